#ifndef GUACO__SERVER_H2_STREAM_H
#define GUACO__SERVER_H2_STREAM_H

/*
 * One stream of HTTP/2: what an exchange has there in place of a connection of
 * its own.  It lies in the exchange's arena.  Its queue holds the body until
 * flow control lets it go into the connection's, frame by frame.
 */

#include "base/buf.h"
#include "base/list.h"
#include "http/h2.h"
#include "http/h2_writer.h"
#include "io/stream.h"
#include "server/deadline.h"

struct guaco__exchange;
struct guaco__h2_node;

struct guaco__h2_stream {
    struct guaco__exchange *x;
    struct guaco__list link;         /* of the connection's streams */
    struct guaco__list held_link;    /* of those whose head waits */
    struct guaco__list ready_link;   /* of those with something to be told */
    struct guaco__deadline deadline; /* for the client's next step */
    struct guaco__deadline send_deadline; /* for its taking of what is queued */
    uint32_t id;
    uint64_t body_bytes; /* received */

    struct guaco__h2_draft head; /* in the making, then sent */
    struct guaco__h2_draft trailers;
    struct guaco__h2_node *first;
    struct guaco__h2_node *last;
    size_t out_bytes;       /* in the queue */
    bool has_copied;        /* a node of the arena is in use */
    bool is_finished;       /* nothing will be queued any more */
    bool is_closed;         /* the codec is done with it */
    bool is_held;           /* the answer waits for the request's end */
    bool has_body;          /* of a held one */
    uint64_t held_at_bytes; /* body_bytes at that time */
    uint32_t closed_code;

    struct guaco__buf in; /* of a WebSocket: bytes that were not used yet */
    bool is_eof;          /* the client ended its side */
};

/* For an exchange; NULL when out of memory. */
struct guaco__h2_stream *
guaco__h2_stream_new(struct guaco__exchange *x, uint32_t id);

/* The exchange is about to end. */
void guaco__h2_stream_release(struct guaco__h2_stream *stream);

/* ---- the queue ---- */

/* Append a copy, a piece (taken) or a part of a file (duplicated).  Return 0,
 * GUACO_E_NOMEM or GUACO_E_IO. */
int guaco__h2_queue_copy(struct guaco__h2_stream *stream, const void *data,
                         size_t len);
int guaco__h2_queue_give(struct guaco__h2_stream *stream,
                         const struct guaco__stream_piece *piece);
int guaco__h2_queue_file(struct guaco__h2_stream *stream, int fd, off_t offset,
                         uint64_t count);

/* Have the first `len` bytes in memory.  Returns 0, GUACO_E_NOMEM, or
 * GUACO_E_IO: a file has got shorter. */
int guaco__h2_queue_load(struct guaco__h2_stream *stream, size_t len);

/* Move the first `len` bytes, which are loaded, into `out`.  Returns 0 or
 * GUACO_E_NOMEM: some of them were moved. */
int guaco__h2_queue_move(struct guaco__h2_stream *stream,
                         struct guaco__stream *out, size_t len);

#endif
