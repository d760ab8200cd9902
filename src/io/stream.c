/*
 * The write queue is a list of nodes of three kinds.  A chunk holds copied
 * bytes and is filled from both small pieces and heads, so that sixteen
 * pipelined responses are one run of bytes; a piece refers to an owner's
 * bytes; a file is a descriptor and a range.  Nodes come from the pool of the
 * loop, which keeps a bounded number of free ones: a request that is answered
 * at once takes and returns one chunk, and nothing is allocated.
 *
 * io_uring and MSG_ZEROCOPY were refused: the first is measured slower for
 * large messages and is blocked in containers, the second pays from about
 * 64 KiB on and only on real network cards.
 */

#include "io/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "io/loop.h"
#include "io/stream_int.h"
#include "io/tls_int.h"
#include "os/clock.h"

enum {
    CHUNK_BYTES = 8192 - 64, /* with the node's head two pages at most */
    FREE_CHUNKS_MAX = 64,    /* 512 KiB kept for a loop at most */
    FREE_OTHERS_MAX = 256,
    IOV_COUNT = 64,
    SENDFILE_BYTES = 1 << 20, /* in one call: others wait too */
    CIPHER_BYTES_MAX = 1 << 20,
};

/* ---- the pool ---- */

void
guaco__stream_pool_init(struct guaco__stream_pool *pool)
{
    memset(pool, 0, sizeof(*pool));
    guaco__buf_init(&pool->cipher, CIPHER_BYTES_MAX);
}

static void
free_list(struct guaco__stream_node *node)
{
    while (node != NULL) {
        struct guaco__stream_node *next = node->next;

        free(node);
        node = next;
    }
}

void
guaco__stream_pool_release(struct guaco__stream_pool *pool)
{
    free_list(pool->chunks);
    free_list(pool->others);
    guaco__buf_release(&pool->cipher);
    free(pool->plain);
    guaco__stream_pool_init(pool);
}

static struct guaco__stream_node *
node_new(struct guaco__stream_pool *pool, enum guaco__stream_kind kind)
{
    bool is_chunk = kind == GUACO__STREAM_CHUNK;
    struct guaco__stream_node **free_nodes =
        is_chunk ? &pool->chunks : &pool->others;
    struct guaco__stream_node *node = *free_nodes;

    if (node != NULL) {
        *free_nodes = node->next;
        *(is_chunk ? &pool->chunk_count : &pool->other_count) -= 1;
    } else {
        node = malloc(sizeof(*node) + (is_chunk ? CHUNK_BYTES : 0));
        if (node == NULL)
            return NULL;
    }
    node->next = NULL;
    node->kind = kind;
    if (is_chunk)
        node->as.chunk.from = node->as.chunk.to = 0;
    return node;
}

/* Give the node's memory back; what it referred to is dealt with already. */
static void
node_free(struct guaco__stream_pool *pool, struct guaco__stream_node *node)
{
    bool is_chunk = node->kind == GUACO__STREAM_CHUNK;
    uint32_t *count = is_chunk ? &pool->chunk_count : &pool->other_count;
    struct guaco__stream_node **free_nodes =
        is_chunk ? &pool->chunks : &pool->others;

    if (*count >= (is_chunk ? FREE_CHUNKS_MAX : FREE_OTHERS_MAX)) {
        free(node);
        return;
    }
    node->next = *free_nodes;
    *free_nodes = node;
    *count += 1;
}

/* ---- life ---- */

static int
set_interest(struct guaco__stream *stream, unsigned interest)
{
    if (stream->interest == interest)
        return GUACO_OK;

    int rc = guaco__watch_set(&stream->watch, interest);

    if (rc == GUACO_OK)
        stream->interest = (uint8_t)interest;
    return rc;
}

static void
on_watch(struct guaco__watch *watch, unsigned events)
{
    struct guaco__stream *stream =
        GUACO__OF(watch, struct guaco__stream, watch);

    stream->on_event(stream, events);
}

int
guaco__stream_init(struct guaco__stream *stream, struct guaco__loop *loop,
                   struct guaco__stream_pool *pool, int fd,
                   void (*on_event)(struct guaco__stream *stream,
                                    unsigned events))
{
    memset(stream, 0, sizeof(*stream));
    stream->pool = pool;
    stream->fd = fd;
    stream->on_event = on_event;

    stream->interest = GUACO__READABLE;
    return guaco__watch_start(&stream->watch, loop, fd, GUACO__READABLE,
                              on_watch, NULL);
}

void
guaco__stream_drop_first(struct guaco__stream *stream)
{
    struct guaco__stream_node *node = stream->first;

    stream->first = node->next;
    if (stream->first == NULL)
        stream->last = NULL;
    switch (node->kind) {
    case GUACO__STREAM_CHUNK: break;
    case GUACO__STREAM_PIECE:
        node->as.piece.given.release(node->as.piece.given.owner);
        break;
    case GUACO__STREAM_FILE: close(node->as.file.fd); break;
    }
    node_free(stream->pool, node);
}

static void
drop_all(struct guaco__stream *stream)
{
    while (stream->first != NULL)
        guaco__stream_drop_first(stream);
    stream->queued_bytes = 0;
}

void
guaco__stream_close(struct guaco__stream *stream)
{
    if (stream->fd < 0)
        return;
    guaco__watch_stop(&stream->watch);
    if (stream->tls != NULL)
        guaco__tls_close(stream);
    close(stream->fd);
    stream->fd = -1;
    drop_all(stream);
}

void
guaco__stream_abandon(struct guaco__stream *stream)
{
    assert(stream->first == NULL);
    guaco__watch_stop(&stream->watch);
    stream->fd = -1;
}

void
guaco__stream_reset(struct guaco__stream *stream)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (stream->fd < 0)
        return;
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    stream->is_broken = true; /* no goodbye of TLS either */
    guaco__stream_close(stream);
}

void
guaco__stream_shutdown(struct guaco__stream *stream)
{
    assert(stream->first == NULL || stream->is_broken);
    if (stream->fd < 0)
        return;
    if (stream->tls != NULL)
        guaco__tls_shutdown(stream);
    shutdown(stream->fd, SHUT_WR);
}

/* ---- reading ---- */

ssize_t
guaco__stream_recv(struct guaco__stream *stream, void *buf, size_t size)
{
    ssize_t n;

    if (stream->tls != NULL)
        return guaco__tls_recv(stream, buf, size);
    do {
        n = recv(stream->fd, buf, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? GUACO_E_AGAIN
                                                   : GUACO_E_CLOSED;
}

int
guaco__stream_want_read(struct guaco__stream *stream, bool wanted)
{
    unsigned interest = stream->interest;

    if (wanted)
        interest |= GUACO__READABLE;
    else
        interest &= ~(unsigned)GUACO__READABLE;
    return set_interest(stream, interest);
}

/* ---- queueing ---- */

static void
append(struct guaco__stream *stream, struct guaco__stream_node *node)
{
    if (stream->last == NULL)
        stream->first = node;
    else
        stream->last->next = node;
    stream->last = node;
}

char *
guaco__stream_reserve(struct guaco__stream *stream, size_t len)
{
    struct guaco__stream_node *node = stream->last;

    assert(len <= GUACO__STREAM_COPY_MAX);
    if (node == NULL || node->kind != GUACO__STREAM_CHUNK ||
        CHUNK_BYTES - node->as.chunk.to < len) {
        node = node_new(stream->pool, GUACO__STREAM_CHUNK);
        if (node == NULL)
            return NULL;
        append(stream, node);
    }
    return node->bytes + node->as.chunk.to;
}

void
guaco__stream_commit(struct guaco__stream *stream, size_t used)
{
    struct guaco__stream_node *node = stream->last;

    assert(node != NULL);
    assert(node->kind == GUACO__STREAM_CHUNK);
    assert(used <= CHUNK_BYTES - node->as.chunk.to);
    node->as.chunk.to += used;
    stream->queued_bytes += used;
}

/* Queue memory of ours as a piece. */
static int
write_large(struct guaco__stream *stream, const void *data, size_t len)
{
    void *copy = malloc(len);
    struct guaco__stream_piece piece = {copy, len, free, copy};

    if (copy == NULL)
        return GUACO_E_NOMEM;
    memcpy(copy, data, len);

    int rc = guaco__stream_give(stream, &piece);

    if (rc < 0)
        free(copy);
    return rc;
}

int
guaco__stream_write(struct guaco__stream *stream, const void *data, size_t len)
{
    if (len == 0)
        return GUACO_OK;
    if (len > GUACO__STREAM_COPY_MAX)
        return write_large(stream, data, len);

    char *room = guaco__stream_reserve(stream, len);

    if (room == NULL)
        return GUACO_E_NOMEM;
    memcpy(room, data, len);
    guaco__stream_commit(stream, len);
    return GUACO_OK;
}

int
guaco__stream_give(struct guaco__stream *stream,
                   const struct guaco__stream_piece *piece)
{
    if (piece->release == NULL || piece->len <= GUACO__STREAM_COPY_MAX) {
        int rc = guaco__stream_write(stream, piece->at, piece->len);

        if (rc == GUACO_OK && piece->release != NULL)
            piece->release(piece->owner);
        return rc;
    }

    struct guaco__stream_node *node =
        node_new(stream->pool, GUACO__STREAM_PIECE);

    if (node == NULL)
        return GUACO_E_NOMEM;
    node->as.piece.given = *piece;
    node->as.piece.from = 0;
    append(stream, node);
    stream->queued_bytes += piece->len;
    return GUACO_OK;
}

int
guaco__stream_file(struct guaco__stream *stream, int fd, off_t offset,
                   uint64_t count)
{
    struct guaco__stream_node *node;
    int own;

    if (count == 0)
        return GUACO_OK;
    own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return GUACO_E_IO;
    node = node_new(stream->pool, GUACO__STREAM_FILE);
    if (node == NULL) {
        close(own);
        return GUACO_E_NOMEM;
    }
    node->as.file.fd = own;
    node->as.file.offset = offset;
    node->as.file.left = count;
    append(stream, node);
    stream->queued_bytes += (size_t)count;
    return GUACO_OK;
}

/* ---- sending ---- */

struct iovec
guaco__stream_iovec(struct guaco__stream_node *node)
{
    struct iovec iov;

    if (node->kind == GUACO__STREAM_CHUNK) {
        iov.iov_base = node->bytes + node->as.chunk.from;
        iov.iov_len = node->as.chunk.to - node->as.chunk.from;
    } else {
        const char *at = node->as.piece.given.at;

        iov.iov_base = (void *)(uintptr_t)(at + node->as.piece.from);
        iov.iov_len = node->as.piece.given.len - node->as.piece.from;
    }
    return iov;
}

void
guaco__stream_advance(struct guaco__stream *stream, size_t sent)
{
    stream->queued_bytes -= sent;
    while (stream->first != NULL && stream->first->kind != GUACO__STREAM_FILE) {
        struct guaco__stream_node *node = stream->first;
        size_t len = guaco__stream_iovec(node).iov_len;

        if (sent < len) {
            if (node->kind == GUACO__STREAM_CHUNK)
                node->as.chunk.from += sent;
            else
                node->as.piece.from += sent;
            return;
        }
        sent -= len;
        guaco__stream_drop_first(stream);
    }
    assert(sent == 0);
}

/* Send the run of nodes in memory at the front.  Returns 1 when all that was
 * offered was taken, 0 when not, -1 with errno. */
static int
send_memory(struct guaco__stream *stream)
{
    struct iovec iov[IOV_COUNT];
    struct msghdr message = {.msg_iov = iov};
    struct guaco__stream_node *node = stream->first;
    size_t offered = 0;
    ssize_t sent;

    for (; node != NULL && node->kind != GUACO__STREAM_FILE &&
           message.msg_iovlen < IOV_COUNT;
         node = node->next) {
        iov[message.msg_iovlen] = guaco__stream_iovec(node);
        offered += iov[message.msg_iovlen++].iov_len;
    }
    if (message.msg_iovlen == 1)
        sent = send(stream->fd, iov[0].iov_base, iov[0].iov_len,
                    MSG_NOSIGNAL | (node != NULL ? MSG_MORE : 0));
    else
        sent = sendmsg(stream->fd, &message,
                       MSG_NOSIGNAL | (node != NULL ? MSG_MORE : 0));
    if (sent < 0)
        return -1;
    stream->sent_bytes += (size_t)sent;
    guaco__stream_advance(stream, (size_t)sent);
    return (size_t)sent == offered;
}

static int
send_file(struct guaco__stream *stream)
{
    struct guaco__stream_node *node = stream->first;
    uint64_t left = node->as.file.left;
    size_t want = left < SENDFILE_BYTES ? (size_t)left : SENDFILE_BYTES;
    ssize_t sent =
        sendfile(stream->fd, node->as.file.fd, &node->as.file.offset, want);

    if (sent == 0)
        errno = EPIPE; /* the file got shorter: the rest cannot be made up */
    if (sent <= 0)
        return -1;
    stream->queued_bytes -= (size_t)sent;
    stream->sent_bytes += (size_t)sent;
    node->as.file.left -= (uint64_t)sent;
    if (node->as.file.left == 0)
        guaco__stream_drop_first(stream);
    return (size_t)sent == want;
}

/* Until the queue is empty (0), the socket full (E_AGAIN) or broken. */
static int
send_all(struct guaco__stream *stream)
{
    if (stream->tls != NULL) {
        int rc = guaco__tls_send(stream);

        if (rc == GUACO_E_CLOSED) {
            stream->is_broken = true;
            drop_all(stream);
        }
        return rc;
    }
    while (stream->first != NULL) {
        int rc = stream->first->kind == GUACO__STREAM_FILE
                     ? send_file(stream)
                     : send_memory(stream);

        if (rc >= 0 || errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return GUACO_E_AGAIN;
        stream->is_broken = true;
        drop_all(stream);
        return GUACO_E_CLOSED;
    }
    return GUACO_OK;
}

int
guaco__stream_flush(struct guaco__stream *stream)
{
    unsigned interest = stream->interest & ~(unsigned)GUACO__WRITABLE;
    int rc;

    if (stream->is_broken || stream->fd < 0)
        return GUACO_E_CLOSED;
    rc = send_all(stream);
    if (rc == GUACO_E_AGAIN)
        interest |= GUACO__WRITABLE;
    if (set_interest(stream, interest) < 0) {
        stream->is_broken = true;
        drop_all(stream);
        return GUACO_E_CLOSED;
    }
    return rc;
}

int
guaco__stream_wait(struct guaco__stream *stream, struct guaco__loop *loop,
                   size_t low_bytes, uint32_t timeout_ms)
{
    uint64_t end_ns = guaco__clock_mono_ns() + timeout_ms * UINT64_C(1000000);

    for (;;) {
        int rc = guaco__stream_flush(stream);
        uint64_t now_ns = guaco__clock_mono_ns();

        if (rc != GUACO_E_AGAIN)
            return rc;
        if (stream->queued_bytes <= low_bytes)
            return GUACO_OK;
        if (now_ns >= end_ns)
            return GUACO_E_TIMEOUT;
        /* rounded up: a wait of 0 ms would spin */
        guaco__loop_poll(loop, stream->fd, POLLOUT,
                         (int)((end_ns - now_ns + 999999) / 1000000));
    }
}
