#ifndef GUACO__IO_STREAM_INT_H
#define GUACO__IO_STREAM_INT_H

/* The write queue of a stream, for stream.c and for what encrypts it
 * (tls_session.c). */

#include "io/stream.h"

#include <sys/uio.h>

enum guaco__stream_kind {
    GUACO__STREAM_CHUNK,
    GUACO__STREAM_PIECE,
    GUACO__STREAM_FILE,
};

struct guaco__stream_node {
    struct guaco__stream_node *next;
    enum guaco__stream_kind kind;
    union {
        struct {
            size_t from; /* sent so far */
            size_t to;   /* filled so far */
        } chunk;
        struct {
            struct guaco__stream_piece given;
            size_t from;
        } piece;
        struct {
            int fd;
            off_t offset;
            uint64_t left;
        } file;
    } as;
    char bytes[]; /* CHUNK_BYTES in a chunk, none in the others */
};

/* The unsent bytes of a node in memory. */
struct iovec guaco__stream_iovec(struct guaco__stream_node *node);

/* `used` bytes of the nodes in memory at the front are done with. */
void guaco__stream_advance(struct guaco__stream *stream, size_t used);

/* Take the first node off, its owner or descriptor released. */
void guaco__stream_drop_first(struct guaco__stream *stream);

#endif
