#ifndef GUACO_QUEUE_CONNECTION_H
#define GUACO_QUEUE_CONNECTION_H

/*
 * A connection to a server: TCP or a Unix socket, plain or TLS, in which every
 * wait has an end.  And the pauses between the attempts to have one again.
 *
 * TCP is kept alive by the kernel: it asks after 15 s of silence and gives up
 * 15 s later, so that a peer that vanished is found without anybody waking up.
 *
 * Names are looked up by the C library, in the thread that connects, and may
 * take as long as the resolver's own settings allow.
 *
 * Threads: one at a time, but a send may run beside a receive where there is no
 * TLS.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/error.h"

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

/* ---- TLS ---- */

/* How a server is asked for its name and shown ours; NULL where it is not. */
struct guaco__tls_options {
    const char *ca_path;   /* certificates to trust; NULL: the system's */
    const char *cert_path; /* our own, and its key */
    const char *key_path;
    const char *name;   /* that the certificate must bear; NULL: the host's */
    bool is_unverified; /* whoever answers is believed */
};

struct guaco__tls {
    SSL_CTX *ctx; /* NULL: no TLS */
    const char *name;
    bool is_unverified;
};

/* Returns 0, GUACO_E_INVALID (a file that cannot be used), GUACO_E_NOMEM.
 * The strings of `options` are borrowed until the release. */
int guaco__tls_init(struct guaco__tls *tls,
                    const struct guaco__tls_options *options,
                    struct guaco_error *err);
void guaco__tls_release(struct guaco__tls *tls);

/* ---- the connection ---- */

struct guaco__connection {
    int fd;   /* -1: none */
    SSL *ssl; /* NULL: plain */
};

/* Where to; borrowed for the call. */
struct guaco__address {
    const char *host; /* or NULL: `path` */
    uint16_t port;
    const char *path; /* of a Unix socket */
};

void guaco__connection_init(struct guaco__connection *conn);

/* Connect until the monotonic clock says deadline_ns.  Returns 0, GUACO_E_IO,
 * GUACO_E_TIMEOUT, GUACO_E_INVALID (its certificate is not what it should
 * be), GUACO_E_NOMEM. */
int guaco__connection_open(struct guaco__connection *conn,
                           const struct guaco__address *address,
                           const struct guaco__tls *tls, uint64_t deadline_ns,
                           struct guaco_error *err);

/* End it, if there is one. */
void guaco__connection_close(struct guaco__connection *conn);

/* Send all of it.  0, GUACO_E_IO or GUACO_E_TIMEOUT; then the connection is of
 * no more use, and the peer may have got it all the same. */
int
guaco__connection_send(struct guaco__connection *conn, struct guaco_slice bytes,
                       uint64_t deadline_ns, struct guaco_error *err);

/* Append what came, at least a byte, at most `max`.  0, GUACO_E_IO (also its
 * end), GUACO_E_TIMEOUT, GUACO_E_NOMEM or GUACO_E_LIMIT of the buffer;
 * deadline_ns 0: GUACO_E_AGAIN when nothing is there. */
int guaco__connection_receive(struct guaco__connection *conn,
                              struct guaco__buf *in, size_t max,
                              uint64_t deadline_ns, struct guaco_error *err);

/* ---- pauses ---- */

/* Between attempts: 10 ms at first, twice as long each time up to half a
 * second, a quarter of it random, so that a thousand clients of a server that
 * came back do not all knock at once. */
struct guaco__backoff {
    uint32_t next_ms; /* 0: the next attempt is made at once */
};

/* The next pause, in ms. */
uint32_t guaco__backoff_step(struct guaco__backoff *backoff);

/* Wait a pause, at most until deadline_ns.  False: the deadline has come. */
bool guaco__backoff_wait(struct guaco__backoff *backoff, uint64_t deadline_ns);

#endif
