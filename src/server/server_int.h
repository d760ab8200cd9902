#ifndef GUACO__SERVER_SERVER_INT_H
#define GUACO__SERVER_SERVER_INT_H

/*
 * What the files of this folder share: the server's own struct.  Connections
 * (conn.h) and exchanges (exchange.h) point to it; it points to them by lists.
 */

#include <pthread.h>

#include "base/list.h"
#include "guaco/http/parser.h"
#include "http/h2.h"
#include "http/h1_writer.h"
#include "http/ws.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/post.h"
#include "io/stream.h"
#include "server/access.h"
#include "server/deadline.h"
#include "server/peer.h"
#include "server/server.h"

enum {
    GUACO__READ_BYTES = 65536,       /* one read, into the server's buffer */
    GUACO__FREE_EXCHANGES_MAX = 128, /* kept for reuse */
    GUACO__LISTENERS_MAX = 64,
};

enum guaco__server_state {
    GUACO__SERVER_NEW,
    GUACO__SERVER_OPEN,
    GUACO__SERVER_DRAINING,
    GUACO__SERVER_DONE, /* drained, done was told */
    GUACO__SERVER_FREED,
};

struct guaco__server {
    struct guaco__loop *loop;
    struct guaco_app *app;     /* perhaps with layers before it */
    struct guaco_app *statics; /* the layer of static files, or NULL */
    struct guaco_app *coder;   /* the layer of compression, or NULL */
    struct guaco__server_options options;
    struct guaco_http_limits http_limits;
    struct guaco__ws_limits ws_limits;
    struct guaco__h2_limits h2_limits;
    struct guaco__server_stats stats;
    enum guaco__server_state state;
    bool is_exhausted; /* requests_max was reached */
    bool exhausted_is_told;
    bool accepting_is_paused; /* at connections_max */

    struct guaco__tls *tls; /* NULL: no socket speaks TLS */
    struct guaco__listener *listeners[GUACO__LISTENERS_MAX];
    unsigned listener_count;

    struct guaco__list conns;   /* all */
    struct guaco__list touched; /* to be run at the end of this turn */
    struct guaco__turn_hook end_of_turn;
    struct guaco__deadlines deadlines;
    struct guaco__stream_pool pool;
    struct guaco__access access;

    struct guaco__list free_exchanges;
    unsigned free_exchange_count;
    size_t exchange_bytes; /* of one, with the application's space */

    struct guaco__buf scratch; /* for an answer of the server's own */
    char *read_buf;            /* GUACO__READ_BYTES, used within one callback */
    struct guaco_field *fields; /* the parser's, fields_max entries */
    uint8_t *field_ids;

    char *server_text;
    struct guaco_slice server_line; /* "server: ...\r\n", or empty */
    int64_t date_second;
    uint64_t warned_ms; /* of guaco__server_may_warn() */
    char date_line[GUACO__H1_DATE_LINE_BYTES];

    struct guaco__timer drain_timer;
    void (*drain_done)(void *ctx);
    void *drain_ctx;

    /* Posts come from other threads, and exchanges that they hold may outlive
     * the server: its memory stays until the last of them is let go. */
    pthread_mutex_t post_lock; /* guards the two below */
    struct guaco__list posts;
    bool is_post_closed;
    size_t refs; /* the owner's, and one for each exchange in use */
};

/* The loop's clock in ms: what deadlines are judged by. */
static inline uint64_t
guaco__server_now_ms(const struct guaco__server *server)
{
    return guaco__loop_now_ns(server->loop) / 1000000;
}

/* No exchange more: 503. */
static inline bool
guaco__server_is_full(const struct guaco__server *server)
{
    uint32_t most = server->options.limits.concurrency_max;

    return most != 0 && server->stats.exchanges_open >= most;
}

/* The line "date: ...\r\n" of this second. */
struct guaco_slice guaco__server_date_line(struct guaco__server *server);

/* Whether to log what anybody can cause at will: once a second. */
bool guaco__server_may_warn(struct guaco__server *server);

/* The application may let go of what it keeps for `peer`. */
void
guaco__server_peer_gone(struct guaco__server *server, struct guaco__peer *peer);

/* A connection has ended and is out of all lists. */
void guaco__server_conn_ended(struct guaco__server *server);

/* Let go of one reference; the last frees the memory. */
void guaco__server_unref(struct guaco__server *server);

#endif
