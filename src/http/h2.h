#ifndef GUACO_HTTP_H2_H
#define GUACO_HTTP_H2_H

/*
 * The server's end of one HTTP/2 connection (RFC 9113), over nghttp2: bytes in,
 * events out; answers in, bytes out.  No socket and no clock.  nghttp2 keeps the
 * states of streams, HPACK and flow control, and refuses what RFC 9113 8 says
 * must be refused; here is what it leaves open: the rules that a request shares
 * with HTTP/1, and limits on what costs us work and a client nothing.
 *
 * The ops are called from within guaco__h2_next() and guaco__h2_send() alone;
 * they may call nothing here.
 *
 * Threads: one at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/http/parser.h"

#define GUACO__H2_PREFACE       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define GUACO__H2_PREFACE_BYTES 24
#define GUACO__H2_FRAME_HEAD    9

/* Codes of RST_STREAM and GOAWAY (RFC 9113 7) that are used by name. */
enum guaco__h2_code {
    GUACO__H2_NO_ERROR = 0,
    GUACO__H2_PROTOCOL_ERROR = 1,
    GUACO__H2_INTERNAL_ERROR = 2,
    GUACO__H2_REFUSED_STREAM = 7,
    GUACO__H2_CANCEL = 8,
    GUACO__H2_ENHANCE_YOUR_CALM = 11,
};

struct guaco__h2_limits {
    const struct guaco_http_limits *http; /* of each request; borrowed */
    uint32_t streams;                     /* open at once; more are refused */
    /* Two buckets, emptied at a tenth of their size a second; what overflows
     * ends the connection with ENHANCE_YOUR_CALM. */
    uint32_t resets;   /* streams that the client broke off, or made us break */
    uint32_t controls; /* frames that carry nothing: PING, SETTINGS, empty DATA,
                          WINDOW_UPDATE without need, ... */
    uint32_t window_bytes;      /* of a stream: sent and not consumed */
    uint32_t conn_window_bytes; /* of all streams together */
};

/* What of a stream's answer is at hand to be sent. */
struct guaco__h2_body {
    size_t bytes;
    bool is_last;                       /* the body ends behind them */
    const struct guaco_field *trailers; /* with is_last; alive until closed */
    size_t trailer_count;
};

enum guaco__h2_event_type {
    GUACO__H2_NEED_MORE,
    GUACO__H2_REQUEST, /* guaco__h2_attach() it, or refuse it */
    GUACO__H2_DATA,    /* a piece of a body, never empty; it counts against the
                          windows until guaco__h2_consume() */
    GUACO__H2_END,     /* the body is whole */
};

struct guaco__h2_event {
    enum guaco__h2_event_type type;
    uint32_t id;
    size_t used;             /* bytes of the input to drop, with every event */
    void *stream;            /* DATA, END: what was attached */
    struct guaco_slice data; /* DATA: into the input */
    /* REQUEST: */
    struct guaco_http_head head; /* slices into head_at[0..head.bytes) */
    const char *head_at;         /* borrowed until the next call */
    enum guaco_http_fault fault; /* not NONE: refuse it with its status; of
                                    head only method and target are good */
    bool is_websocket;           /* extended CONNECT (RFC 8441) */
    bool is_last;                /* there is no body; END is not told */
};

struct guaco__h2_ops {
    /* A stream that was attached is no more, or its answer was sent in full and
     * the rest of the request is not wanted; told once, last. */
    void (*closed)(void *ctx, void *stream, uint32_t code);
    void (*pending)(void *ctx, void *stream, struct guaco__h2_body *body);
    /* What of its request is still to come; UINT64_MAX: nobody knows. */
    uint64_t (*left)(void *ctx, const void *stream);
    /* Send a frame's head and `len` bytes of what is at hand.  Returns 0,
     * GUACO_E_AGAIN (later: nothing was taken), GUACO_E_IO (the stream can only
     * be broken off) or GUACO_E_NOMEM. */
    int (*send)(void *ctx, void *stream,
                const unsigned char head[GUACO__H2_FRAME_HEAD], size_t len);
};

struct guaco__h2;

/* Begin with the client's preface; `limits`, `ops` and the arrays (of
 * limits->http->fields entries, used within a call) are borrowed for its life.
 * Returns 0 or GUACO_E_NOMEM. */
int guaco__h2_new(struct guaco__h2 **h2, const struct guaco__h2_limits *limits,
                  const struct guaco__h2_ops *ops, void *ctx,
                  struct guaco_field *fields, uint8_t *ids);

/* `closed` is not told any more. */
void guaco__h2_free(struct guaco__h2 *h2);

/*
 * Take the next event from data[0..len).  Call again with what was not used,
 * even when that is nothing, until it answers NEED_MORE, which uses all.  The
 * same bytes in any split give the same events, but DATA may come in other
 * pieces.
 *
 * Returns 0; GUACO_E_PROTO or GUACO_E_LIMIT: the connection is over, send what
 * is left (it says why) and close; GUACO_E_NOMEM: break it off.
 */
int guaco__h2_next(struct guaco__h2 *h2, const char *data, size_t len,
                   uint64_t now_ms, struct guaco__h2_event *event);

/*
 * Out of turn, for who must wait for a window: take WINDOW_UPDATE frames of
 * `id`, and of the connection, from among the whole frames of data[0..*len),
 * which are the next bytes; what is left is moved together.  True when there
 * was one.
 */
bool guaco__h2_take_windows(struct guaco__h2 *h2, uint32_t id, char *data,
                            size_t *len);

/* The next bytes to send, borrowed until the next call; empty: nothing now.
 * Returns 0 or GUACO_E_NOMEM. */
int guaco__h2_send(struct guaco__h2 *h2, struct guaco_slice *out);

/* Whether guaco__h2_send() might give something. */
bool guaco__h2_wants_send(const struct guaco__h2 *h2);

/* Nothing more can come of it: both sides are done. */
bool guaco__h2_is_over(const struct guaco__h2 *h2);

/* The rest of an answered request is being read away. */
bool guaco__h2_is_draining(const struct guaco__h2 *h2);

/* A client is in the midst of its preface or of a head. */
bool guaco__h2_is_in_head(const struct guaco__h2 *h2);

/* ---- answers ---- */

void guaco__h2_attach(struct guaco__h2 *h2, uint32_t id, void *stream);

/*
 * Send a head, ":status" first, names in lower case; the texts stay alive until
 * closed.  is_last: no body follows.  Else it is asked for by ops->pending;
 * when that had nothing, guaco__h2_resume() tells that it has.  Return 0 or
 * GUACO_E_NOMEM; a stream that is closed already counts as success.
 */
int
guaco__h2_head(struct guaco__h2 *h2, uint32_t id,
               const struct guaco_field *fields, size_t count, bool is_last);
void guaco__h2_resume(struct guaco__h2 *h2, uint32_t id);

/* Send a whole answer without a body; what was begun by no head is over. */
int guaco__h2_refuse(struct guaco__h2 *h2, uint32_t id, int status);

/* Send an informational head; copies. */
int guaco__h2_inform(struct guaco__h2 *h2, uint32_t id,
                     const struct guaco_field *fields, size_t count);

/* Break a stream off. */
void guaco__h2_reset(struct guaco__h2 *h2, uint32_t id, uint32_t code);

/* `bytes` of a stream's data are done with; the stream may be closed. */
void guaco__h2_consume(struct guaco__h2 *h2, uint32_t id, size_t bytes);

/* Say that no new stream is wanted, first as a warning, then for good; with a
 * code other than NO_ERROR all streams end too. */
void guaco__h2_warn(struct guaco__h2 *h2);
void guaco__h2_goaway(struct guaco__h2 *h2, uint32_t code);

#endif
