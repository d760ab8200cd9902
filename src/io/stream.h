#ifndef GUACO__IO_STREAM_H
#define GUACO__IO_STREAM_H

/*
 * A connected, non-blocking stream socket in a loop: reading with the caller's
 * buffer, and a queue of what is still to be sent.
 *
 * Writing only queues; guaco__stream_flush() sends all that is queued with as
 * few system calls as there are files in it: one sendmsg for any number of
 * pieces.  Small pieces are copied together into chunks of a pool that all
 * streams of a loop share, large ones are kept with their owner's release, a
 * file is sent by sendfile.  With TLS the same queue is encrypted in records of
 * up to 16 KiB as it leaves, files included.
 *
 * The descriptor is registered with the kernel once, for reading, and stays
 * so: only a full socket buffer (waiting to write) or a paused reader costs an
 * epoll_ctl.  An idle stream owns no buffer.
 *
 * Threads: the loop's only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "guaco/error.h"
#include "io/watch.h"

/* Pieces up to this many bytes are copied, and their owner released at once. */
#define GUACO__STREAM_COPY_MAX 4096

struct guaco__stream_node;
struct guaco__tls;
struct guaco__tls_about;
struct guaco__tls_session;

/* Chunks and queue nodes for the streams of one loop, kept for reuse. */
struct guaco__stream_pool {
    struct guaco__stream_node *chunks; /* free */
    struct guaco__stream_node *others; /* free */
    uint32_t chunk_count;
    uint32_t other_count;
    struct guaco__buf cipher; /* private to TLS: what goes out next */
    char *plain;              /* private to TLS: small pieces of a record */
};

void guaco__stream_pool_init(struct guaco__stream_pool *pool);

/* No stream may have anything queued. */
void guaco__stream_pool_release(struct guaco__stream_pool *pool);

/* A piece that its owner gives; as struct guaco_bytes of the waist. */
struct guaco__stream_piece {
    const void *at;
    size_t len;
    void (*release)(void *owner); /* NULL: copied */
    void *owner;
};

struct guaco__stream {
    struct guaco__watch watch; /* private, as all but fd and the counters */
    struct guaco__stream_pool *pool;
    struct guaco__stream_node *first;
    struct guaco__stream_node *last;
    struct guaco__tls_session *tls; /* NULL: plain */
    void (*on_event)(struct guaco__stream *stream, unsigned events);
    int fd;              /* -1 once closed */
    uint8_t interest;    /* GUACO__READABLE, GUACO__WRITABLE */
    bool is_broken;      /* sending failed: only close is left */
    size_t queued_bytes; /* waiting to be sent, files included, and what is
                            encrypted already */
    uint64_t sent_bytes; /* taken by the kernel since init */
};

/*
 * Start on `fd` (taken; non-blocking, close-on-exec): on_event is told from the
 * loop GUACO__READABLE (bytes, the end of file or a reset) and, while a flush
 * waits, GUACO__WRITABLE.  It may close the stream and free its memory.  Returns 0, GUACO_E_NOMEM or GUACO_E_IO;
 * on failure fd stays the caller's.
 */
int guaco__stream_init(struct guaco__stream *stream, struct guaco__loop *loop,
                       struct guaco__stream_pool *pool, int fd,
                       void (*on_event)(struct guaco__stream *stream,
                                        unsigned events));

/*
 * Speak TLS as a server from here on, by the rules of `tls` (shared).  Then
 * guaco__stream_handshake() until it answers 0, at each event: 0, it is done;
 * GUACO_E_AGAIN; GUACO_E_PROTO: it failed, err says why, and the peer was told;
 * GUACO_E_UNSUPPORTED: the peer speaks HTTP without TLS, and so does the stream
 * now; GUACO_E_CLOSED.  After it the stream is as before, and close and
 * shutdown say goodbye (close_notify).
 *
 * start_tls returns 0 or GUACO_E_NOMEM.
 */
int
guaco__stream_start_tls(struct guaco__stream *stream, struct guaco__tls *tls);
int
guaco__stream_handshake(struct guaco__stream *stream, struct guaco_error *err);

/* What it settled; NULL before, and without TLS. */
const struct guaco__tls_about *
guaco__stream_tls(const struct guaco__stream *stream);

/* Bytes that were read from the socket wait to be taken: nothing will tell
 * GUACO__READABLE for them. */
bool guaco__stream_has_pending(const struct guaco__stream *stream);

/* Close the socket and drop what is queued (owners are released).  Harmless
 * when closed. */
void guaco__stream_close(struct guaco__stream *stream);

/* The opposite of init: the descriptor is the caller's again.  Nothing may be
 * queued. */
void guaco__stream_abandon(struct guaco__stream *stream);

/* As close, but the peer sees a reset in place of an orderly end, so that it
 * cannot take what it got for the whole. */
void guaco__stream_reset(struct guaco__stream *stream);

/* Read once.  Returns the number of bytes (> 0), 0 at the end of file,
 * GUACO_E_AGAIN when there is nothing, or GUACO_E_CLOSED (reset). */
ssize_t
guaco__stream_recv(struct guaco__stream *stream, void *buf, size_t size);

/* Tell GUACO__READABLE or do not; on by default.  Returns 0 or GUACO_E_IO. */
int guaco__stream_want_read(struct guaco__stream *stream, bool wanted);

/*
 * Room for `len` bytes (at most GUACO__STREAM_COPY_MAX) at the queue's end, to
 * write into directly; guaco__stream_commit() then queues the first `used` of
 * them.  NULL when out of memory.
 */
char *guaco__stream_reserve(struct guaco__stream *stream, size_t len);
void guaco__stream_commit(struct guaco__stream *stream, size_t used);

/* Queue a copy.  Returns 0 or GUACO_E_NOMEM (nothing was queued). */
int
guaco__stream_write(struct guaco__stream *stream, const void *data, size_t len);

/* Queue a piece: takes it when it returns 0; GUACO_E_NOMEM: it stays the
 * caller's. */
int guaco__stream_give(struct guaco__stream *stream,
                       const struct guaco__stream_piece *piece);

/* Queue `count` bytes of a file from `offset`; fd is duplicated.  Returns 0,
 * GUACO_E_NOMEM or GUACO_E_IO. */
int guaco__stream_file(struct guaco__stream *stream, int fd, off_t offset,
                       uint64_t count);

/*
 * Send what is queued.  Returns 0 (all is with the kernel), GUACO_E_AGAIN (the
 * rest waits for GUACO__WRITABLE, which is told from now on), GUACO_E_CLOSED (the
 * peer is gone or a file got shorter: the queue is dropped).
 */
int guaco__stream_flush(struct guaco__stream *stream);

/* Flush until at most low_bytes are queued, blocking the thread for at most
 * timeout_ms.  Returns 0, GUACO_E_TIMEOUT or GUACO_E_CLOSED. */
int guaco__stream_wait(struct guaco__stream *stream, struct guaco__loop *loop,
                       size_t low_bytes, uint32_t timeout_ms);

/* Tell the peer that nothing more will come; what is queued must be out. */
void guaco__stream_shutdown(struct guaco__stream *stream);

#endif
