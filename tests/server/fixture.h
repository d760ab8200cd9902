#ifndef TESTS_SERVER_FIXTURE_H
#define TESTS_SERVER_FIXTURE_H

/*
 * A server in a loop with an application that writes down what it is told, and
 * clients on socketpairs: no port, no thread, no sleep.
 *
 * The application answers by path:
 *
 *   /          "hello"                        /echo     the body, as it comes
 *   /later     nothing; the test answers      /big      BIG_BYTES of 'x'
 *   /refuse    begin fails                    /abort    after half a body
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/buf.h"
#include "io/loop.h"
#include "server/conn.h"
#include "server/server.h"
#include "server/server_int.h"

#define BIG_BYTES (1024 * 1024)

#define GET(path) "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"
#define HELLO     "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
#define HELLO_CLOSE                                                     \
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n" \
    "hello"

struct fixture {
    struct guaco_app app; /* first */
    struct guaco_app_ops ops;
    struct guaco__server_options options;
    struct guaco__loop *loop;
    struct guaco__server *server;
    struct guaco__buf log;        /* what the application was told */
    struct guaco_exchange *later; /* of /later, until gone */
    size_t consumes;              /* pieces of bodies to consume at once */
    unsigned open_count;          /* begun and not gone */
    bool is_drained;
};

/* The test's end of a connection. */
struct client {
    struct fixture *f;
    int fd;
    bool is_closed; /* end of file was read */
    bool is_reset;
    char heard[8192]; /* what came last, NUL-terminated, cut */
    size_t total;     /* bytes heard in all */
};

/* Options and ops with their defaults; change them, then open. */
void fixture_init(struct fixture *f);
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);

/* Turns of the loop until nothing is ready. */
void fixture_turns(struct fixture *f);

/* What the application was told since the last call. */
const char *fixture_told(struct fixture *f);

/* Time passes: deadlines up to `ms` from now expire. */
void fixture_pass(struct fixture *f, uint64_t ms);

/* Whether the server took the connection. */
bool client_try_open(struct client *c, struct fixture *f);
void client_open(struct client *c, struct fixture *f);
void client_close(struct client *c);

/* Send, and let the server work. */
void client_say(struct client *c, const char *text);
void client_say_bytes(struct client *c, const char *data, size_t len);

/* Receive what is there. */
const char *client_hear(struct client *c);

#endif
