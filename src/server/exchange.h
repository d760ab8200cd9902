#ifndef GUACO__SERVER_EXCHANGE_H
#define GUACO__SERVER_EXCHANGE_H

/*
 * An exchange of the server: one request, the answer so far, the application's
 * space.  Memory: the struct comes from the server's free list, what the
 * request consists of lies in its arena, reset when the exchange goes back.
 *
 * The answer of HTTP moves through
 *
 *   NONE -> HEAD -> BODY -> (TRAILERS) -> OVER
 *           start   first piece           last piece
 *
 * A head is only put together by start; it joins the connection's queue with
 * the first piece, when the framing is known.
 */

#include "base/arena.h"
#include "base/list.h"
#include "guaco/http/app.h"
#include "guaco/http/parser.h"
#include "http/h1_writer.h"
#include "server/spool.h"
#include "server/wire.h"

struct guaco__conn;
struct guaco__h2_stream;
struct guaco__peer;
struct guaco__server;
struct guaco__socket;

enum guaco__answer {
    GUACO__ANSWER_NONE,
    GUACO__ANSWER_HEAD,     /* put together, not queued */
    GUACO__ANSWER_BODY,     /* the head is queued */
    GUACO__ANSWER_TRAILERS, /* the body is over, trailers may follow */
    GUACO__ANSWER_SOCKET,   /* a WebSocket was accepted */
    GUACO__ANSWER_OVER,
};

struct guaco__exchange {
    struct guaco_exchange face; /* first: what the application holds */
    struct guaco_request request;
    const struct guaco__wire_ops *wire;
    struct guaco__h2_stream *h2; /* in the arena; NULL in HTTP/1 */
    struct guaco__server *server;
    struct guaco__conn *conn; /* NULL once gone */
    struct guaco__list link;  /* of the server's free exchanges */
    struct guaco__arena arena;
    size_t refs;                   /* the connection's and the application's */
    struct guaco__peer *forwarded; /* in the arena: the peer as its proxy
                                      names it, or NULL */

    /* the request's body */
    size_t unconsumed_bytes; /* told and not yet consumed */
    struct guaco__spool spool;
    bool is_begun; /* begin returned 0 */
    bool body_is_done;
    bool expects_continue; /* and was not told to go on yet */
    bool half_closed_is_told;

    /* the answer */
    uint8_t answer;      /* enum guaco__answer */
    bool has_trailers;   /* the application announced some */
    bool wants_close;    /* the connection does not outlive this exchange */
    bool wants_writable; /* an answer call returned GUACO_E_AGAIN */
    bool is_aborted;
    uint8_t reason; /* enum guaco_gone_reason, once the answer is over */
    int status;
    struct guaco__buf head; /* its first part; the memory is kept for reuse */
    struct guaco__h1_draft draft;
    struct guaco__h1_decision decision;
    uint64_t length_left; /* of the announced Content-Length */
    uint64_t sent_bytes;  /* of the body, for the log */
    uint64_t begun_ns;    /* for the log and the meter */
    int meter_place;      /* private to metering.c; -1: not shown */

    struct guaco__socket *socket; /* of a WebSocket, in the arena */

    _Alignas(max_align_t) char app_space[];
};

/*
 * An exchange for the head of conn's request that lies parsed in *head; copies
 * what the request needs.  Returns NULL when out of memory.
 */
struct guaco__exchange *
guaco__exchange_new(struct guaco__server *server, struct guaco__conn *conn,
                    const struct guaco_http_head *head, const char *head_at);

/* Cut it off its connection, after gone or in place of begin, and drop the
 * connection's reference. */
void guaco__exchange_end(struct guaco__exchange *x);

/* Free the server's spare exchanges. */
void guaco__exchanges_release(struct guaco__server *server);

/* Refuse posts from now on and drop what is queued. */
void guaco__posts_close(struct guaco__server *server);

static inline struct guaco__exchange *
guaco__exchange_of(struct guaco_exchange *face)
{
    return (struct guaco__exchange *)(void *)face;
}

/* The client speaks HTTP/1.0. */
static inline bool
guaco__exchange_is_10(const struct guaco__exchange *x)
{
    return x->request.version_major == 1 && x->request.version_minor == 0;
}

/* ---- answer.c ---- */

extern const struct guaco_exchange_ops guaco__exchange_ops;

/* The head waits for its framing. */
static inline bool
guaco__answer_is_held(const struct guaco__exchange *x)
{
    return x->answer == GUACO__ANSWER_HEAD;
}

/* Queue the head if it still waits for its framing: the body may be long in
 * coming (the end of a turn). */
void guaco__answer_push_head(struct guaco__exchange *x);

/* After something was queued: 0, or GUACO_E_AGAIN if too much waits. */
int guaco__answer_pressure(struct guaco__exchange *x);

/* Queue a whole answer of the server's own, with `connection: close` and the
 * reason as text unless `method` is HEAD, on conn, which may have no exchange.
 * Returns the bytes of its body, or GUACO_E_NOMEM. */
int guaco__answer_refuse(struct guaco__conn *conn, int status,
                         struct guaco_slice method);

/* ---- post.c, and what the ops table needs of the other files ---- */

void guaco__exchange_ref_op(struct guaco_exchange *x);
void guaco__exchange_unref_op(struct guaco_exchange *x);
int guaco__exchange_post_op(struct guaco_exchange *x,
                            void (*fn)(struct guaco_exchange *x, void *ctx),
                            void *ctx);

#endif
