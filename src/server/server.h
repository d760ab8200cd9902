#ifndef GUACO__SERVER_SERVER_H
#define GUACO__SERVER_SERVER_H

/*
 * An HTTP server inside a loop: listeners, connections and their limits, one
 * application behind the waist (guaco/http/app.h).  The Python binding and the
 * worker of C guests use it the same way:
 *
 *     struct guaco__server_options options;
 *     guaco__server_options_init(&options);
 *     guaco__server_new(&server, loop, app, &options, err);
 *     guaco__server_listen(server, fd, err);          one or more
 *     guaco__server_start(server, err);               app->ops->start, accept
 *     ... guaco__loop_run ...
 *     guaco__server_drain(server, 30000, done, ctx);  done() when all is over
 *     guaco__server_free(server);
 *
 *   NEW -> start -> OPEN -> drain -> DRAINING -> (last connection) -> DONE
 *
 * Threads: all functions are called on the loop's thread.  Nothing blocks but
 * what is said to.  Memory is capped by connections_max times the limits below.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/http/app.h"
#include "server/compression.h"
#include "server/proxy.h"
#include "server/statics.h"

struct guaco__loop;
struct guaco__meter;
struct guaco_log;
struct guaco__server;
struct guaco__tls;

/* Every limit, with the default in brackets.  Times of 0 switch that timeout
 * off, counts of 0 mean no limit; sizes are never without one. */
struct guaco__server_limits {
    uint32_t connections_max; /* open at once; more stay in the kernel's queue
                                 (10000) */
    uint32_t concurrency_max; /* exchanges at once; more are answered 503 (0) */
    uint64_t requests_max;    /* served by this worker, then on_exhausted (0) */
    uint32_t keep_alive_max;  /* requests on one connection (0) */

    size_t head_bytes_max;    /* request line and fields: 431, 414 (32768) */
    uint32_t fields_max;      /* 431 (100) */
    uint64_t body_bytes_max;  /* 413 (1 GiB) */
    size_t window_bytes;      /* of body told and not yet consumed (65536) */
    size_t spool_bytes;       /* of a whole body kept in memory (65536) */
    size_t out_high_bytes;    /* queued to send: GUACO_E_AGAIN above (65536) */
    size_t out_low_bytes;     /* `writable` at or below (16384) */
    uint64_t drain_bytes_max; /* of an unread body read away to keep the
                                 connection (262144) */

    uint32_t handshake_ms; /* of TLS, from accept to its end (10000) */
    uint32_t head_ms;      /* first byte to the end of the head: 408 (15000) */
    uint32_t body_ms;      /* between two pieces of a body: 408 (30000) */
    uint32_t idle_ms;      /* keep-alive, nothing from the client (75000) */
    uint32_t send_ms;      /* nothing taken by the client (30000) */
    uint32_t drain_ms;     /* idle while the server drains (250) */
    uint32_t linger_ms;    /* after our side was shut, for the last bytes to be
                           read by the client (2000) */

    size_t ws_message_bytes_max;  /* inflated: close 1009 (1 MiB) */
    size_t ws_frame_bytes_max;    /* close 1009 (1 MiB) */
    uint32_t ws_fragments_max;    /* of one message: close 1008 (0: 1024 and
                                     one for each 32 bytes of a message) */
    uint32_t ws_ping_interval_ms; /* 0: never (20000) */
    uint32_t ws_ping_timeout_ms;  /* no sign of life after it: 1011 (20000) */
    uint32_t ws_close_ms;         /* for the peer's close frame (5000) */

    /* HTTP/2, of one connection */
    uint32_t h2_streams_max; /* open at once; more are refused (128) */
    /* Two buckets, emptied at a tenth of their size a second; what overflows
     * ends the connection. */
    uint32_t h2_resets_max;   /* streams broken off by the client (200) */
    uint32_t h2_controls_max; /* frames that carry nothing (2000) */
    size_t h2_window_bytes;   /* of all its streams together (1 MiB) */
};

struct guaco__server_options {
    struct guaco__server_limits limits;
    struct guaco_log *log;      /* NULL: silent; outlives the server */
    const char *access_format;  /* see access_format.h; NULL: no log; read by
                                  new */
    int access_fd;              /* borrowed; -1: nowhere; a pipe or a file */
    const char *server_name;    /* the Server field; NULL or "": none; outlives
                                the server ("guaco") */
    bool has_date;              /* add a Date field (true) */
    bool has_h1;                /* speak HTTP/1 (true) */
    bool has_h2;                /* speak HTTP/2: without TLS to clients that
                                   begin with it, with TLS when ALPN chose it
                                   (true) */
    struct guaco__meter *meter; /* counts and shows what is served; outlives
                                   the server (NULL: nowhere) */
    /* Beside it: the connections of all who accept on the same sockets, and our
     * place there (os/meter.h); the one with the fewest takes the next. */
    _Atomic uint32_t *crowd;
    uint32_t crowd_place;
    int pulse_fd;    /* an eventfd: told when the loop begins to move and nobody
                     watches (-1); borrowed */
    bool ws_deflate; /* negotiate permessage-deflate (true) */
    struct guaco__compression compression; /* of responses (off) */
    struct guaco__proxies proxies;         /* whom to believe (nobody) */
    struct guaco__statics statics; /* folders to serve (none); taken by new,
                                      if that succeeds */

    /* Optional.  requests_max was reached; told once, from the loop's turn.
     * The owner then drains. */
    void (*on_exhausted)(void *ctx);
    void *ctx;
};

/* Counters since start; all are exact. */
struct guaco__server_stats {
    uint64_t connections; /* accepted */
    uint64_t requests;    /* begun */
    uint64_t errors;      /* refused by the server itself: 4xx, 503 */
    uint64_t timeouts;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint32_t connections_open;
    uint32_t exchanges_open;
};

/* Fill in the defaults. */
void guaco__server_options_init(struct guaco__server_options *options);

/*
 * A server for `app` (borrowed until free) in `loop` (borrowed until free);
 * copies *options.  Returns 0, GUACO_E_INVALID (a limit out of range, app of
 * another ABI: err says which) or GUACO_E_NOMEM.
 */
int guaco__server_new(struct guaco__server **server, struct guaco__loop *loop,
                      struct guaco_app *app,
                      const struct guaco__server_options *options,
                      struct guaco_error *err);

/* Takes the bound, listening socket `fd` (TCP or Unix stream), which is made
 * non-blocking; after start it accepts at once.  Returns 0, GUACO_E_INVALID
 * (not a listening stream socket), GUACO_E_LIMIT, GUACO_E_NOMEM or GUACO_E_IO;
 * on failure fd stays the caller's. */
int guaco__server_listen(struct guaco__server *server, int fd,
                         struct guaco_error *err);

/* The same for a socket whose clients speak TLS; after set_tls. */
int guaco__server_listen_tls(struct guaco__server *server, int fd,
                             struct guaco_error *err);

/* The certificates (shared) of connections that are accepted from now on, for
 * the sockets that speak TLS; at any time. */
void
guaco__server_set_tls(struct guaco__server *server, struct guaco__tls *tls);

/* Write the access log to `fd` (borrowed) from now on; what was gathered goes
 * where it went.  Returns 0 or GUACO_E_INVALID. */
int guaco__server_set_access_fd(struct guaco__server *server, int fd,
                                struct guaco_error *err);

/* Call app->ops->start, then accept.  Returns 0, what the application failed
 * with, or GUACO_E_STATE, GUACO_E_IO. */
int guaco__server_start(struct guaco__server *server, struct guaco_error *err);

/* Takes the connected stream socket `fd` as if it had been accepted from a
 * listener of either kind.  After start.  Returns 0, GUACO_E_STATE (draining), GUACO_E_LIMIT, GUACO_E_NOMEM or
 * GUACO_E_IO; on failure fd stays the caller's. */
int guaco__server_adopt(struct guaco__server *server, int fd,
                        struct guaco_error *err);
int guaco__server_adopt_tls(struct guaco__server *server, int fd,
                            struct guaco_error *err);

/*
 * Stop accepting (the listeners stay open until free, so that what the kernel
 * has queued on them is the successor's), tell the application to drain, let
 * the rest finish with `Connection: close`, and abort what is left after
 * `deadline_ms` (0: at once).  A connection that is idle is closed after
 * drain_ms: what its client is just sending is still answered.  done(ctx) is told
 * once, from the loop's turn, when no connection is left.  A second call only
 * shortens the deadline; its done is told in place of the first.
 */
void guaco__server_drain(struct guaco__server *server, uint32_t deadline_ms,
                         void (*done)(void *ctx), void *ctx);

/* Abort what is open (`gone` is told for each exchange), close all sockets and
 * free the server.  Posts still under way are not called.  Not from inside an
 * op.  NULL is ignored. */
void guaco__server_free(struct guaco__server *server);

/* Borrowed until free. */
const struct guaco__server_stats *
guaco__server_stats(const struct guaco__server *server);

#endif
