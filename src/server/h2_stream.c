/* Streams and their queues: the contract is in server/h2_stream.h. */

#include "server/h2_stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/conn.h"

enum {
    ARENA_BYTES_MAX = 2048, /* a first copy up to this costs no allocation */
    COPY_BYTES = 1024,      /* room of a node for copies, at least */
    IN_BYTES_MAX = 1 << 20,
};

enum node_kind { NODE_COPY, NODE_PIECE, NODE_FILE };

struct guaco__h2_node {
    struct guaco__h2_node *next;
    size_t refs; /* the queue's, and of frames that wait to be sent */
    enum node_kind kind;
    bool is_in_arena;
    const char *at; /* of what is left */
    size_t len;
    size_t room; /* of bytes[] */
    struct guaco__stream_piece given;
    int fd;
    off_t offset;
    uint64_t left;
    char bytes[];
};

struct guaco__h2_stream *
guaco__h2_stream_new(struct guaco__exchange *x, uint32_t id)
{
    struct guaco__h2_stream *stream =
        guaco__arena_calloc(&x->arena, 1, sizeof(*stream));

    if (stream == NULL)
        return NULL;
    stream->x = x;
    stream->id = id;
    guaco__list_init(&stream->link);
    guaco__list_init(&stream->held_link);
    guaco__list_init(&stream->ready_link);
    guaco__deadline_init(&stream->deadline);
    guaco__deadline_init(&stream->send_deadline);
    guaco__buf_init(&stream->in, IN_BYTES_MAX);
    return stream;
}

/* ---- nodes ---- */

static struct guaco__h2_node *
node_new(struct guaco__h2_stream *stream, enum node_kind kind, size_t room)
{
    bool is_in_arena =
        kind == NODE_COPY && !stream->has_copied && room <= ARENA_BYTES_MAX;
    struct guaco__h2_node *node;

    if (kind == NODE_COPY && !is_in_arena && room < COPY_BYTES)
        room = COPY_BYTES;
    node = is_in_arena
               ? guaco__arena_alloc(&stream->x->arena, sizeof(*node) + room)
               : malloc(sizeof(*node) + room);
    if (node == NULL)
        return NULL;
    memset(node, 0, sizeof(*node));
    node->refs = 1;
    node->kind = kind;
    node->is_in_arena = is_in_arena;
    node->room = room;
    node->at = node->bytes;
    node->fd = -1;
    stream->has_copied |= is_in_arena;
    return node;
}

static void
node_unref(void *owner)
{
    struct guaco__h2_node *node = owner;

    assert(node->refs > 0);
    if (--node->refs > 0)
        return;
    if (node->kind == NODE_PIECE)
        node->given.release(node->given.owner);
    if (node->kind == NODE_FILE)
        close(node->fd);
    if (!node->is_in_arena)
        free(node);
}

static void
append(struct guaco__h2_stream *stream, struct guaco__h2_node *node)
{
    if (stream->last == NULL)
        stream->first = node;
    else
        stream->last->next = node;
    stream->last = node;
}

static void
drop_first(struct guaco__h2_stream *stream)
{
    struct guaco__h2_node *node = stream->first;

    stream->first = node->next;
    if (stream->first == NULL)
        stream->last = NULL;
    node_unref(node);
}

void
guaco__h2_stream_release(struct guaco__h2_stream *stream)
{
    while (stream->first != NULL)
        drop_first(stream);
    stream->out_bytes = 0;
    guaco__list_remove(&stream->link);
    guaco__list_remove(&stream->held_link);
    guaco__list_remove(&stream->ready_link);
    guaco__deadline_clear(&stream->deadline);
    guaco__deadline_clear(&stream->send_deadline);
    guaco__buf_release(&stream->in);
}

/* ---- the queue ---- */

int
guaco__h2_queue_copy(struct guaco__h2_stream *stream, const void *data,
                     size_t len)
{
    struct guaco__h2_node *node = stream->last;
    size_t used = 0;

    if (len == 0)
        return GUACO_OK;
    if (node != NULL && node->kind == NODE_COPY)
        used = (size_t)(node->at - node->bytes) + node->len;
    if (node == NULL || node->kind != NODE_COPY || node->room - used < len) {
        node = node_new(stream, NODE_COPY, len);
        if (node == NULL)
            return GUACO_E_NOMEM;
        append(stream, node);
        used = 0;
    }
    memcpy(node->bytes + used, data, len);
    node->len += len;
    stream->out_bytes += len;
    return GUACO_OK;
}

int
guaco__h2_queue_give(struct guaco__h2_stream *stream,
                     const struct guaco__stream_piece *piece)
{
    struct guaco__h2_node *node;

    if (piece->release == NULL || piece->len <= GUACO__STREAM_COPY_MAX) {
        int rc = guaco__h2_queue_copy(stream, piece->at, piece->len);

        if (rc == GUACO_OK && piece->release != NULL)
            piece->release(piece->owner);
        return rc;
    }
    node = node_new(stream, NODE_PIECE, 0);
    if (node == NULL)
        return GUACO_E_NOMEM;
    node->given = *piece;
    node->at = piece->at;
    node->len = piece->len;
    append(stream, node);
    stream->out_bytes += piece->len;
    return GUACO_OK;
}

int
guaco__h2_queue_file(struct guaco__h2_stream *stream, int fd, off_t offset,
                     uint64_t count)
{
    struct guaco__h2_node *node;
    int own;

    if (count == 0)
        return GUACO_OK;
    own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return GUACO_E_IO;
    node = node_new(stream, NODE_FILE, 0);
    if (node == NULL) {
        close(own);
        return GUACO_E_NOMEM;
    }
    node->fd = own;
    node->offset = offset;
    node->left = count;
    append(stream, node);
    stream->out_bytes += (size_t)count;
    return GUACO_OK;
}

/* A node with the next `len` bytes of the file, to stand before it. */
static int
read_file(struct guaco__h2_stream *stream, struct guaco__h2_node *file,
          size_t len, struct guaco__h2_node **out)
{
    char *copy = malloc(len);
    struct guaco__h2_node *node = node_new(stream, NODE_PIECE, 0);
    size_t got = 0;

    if (copy == NULL || node == NULL) {
        free(copy);
        free(node);
        return GUACO_E_NOMEM;
    }
    node->given = (struct guaco__stream_piece){copy, len, free, copy};
    while (got < len) {
        ssize_t n =
            pread(file->fd, copy + got, len - got, file->offset + (off_t)got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            node_unref(node);
            return GUACO_E_IO;
        }
        got += (size_t)n;
    }
    node->at = copy;
    node->len = len;
    file->offset += (off_t)len;
    file->left -= len;
    *out = node;
    return GUACO_OK;
}

int
guaco__h2_queue_load(struct guaco__h2_stream *stream, size_t len)
{
    struct guaco__h2_node **at = &stream->first;

    while (len > 0) {
        struct guaco__h2_node *node = *at;
        struct guaco__h2_node *loaded;
        size_t n;
        int rc;

        assert(node != NULL);
        if (node->kind != NODE_FILE) {
            len -= node->len < len ? node->len : len;
            at = &node->next;
            continue;
        }
        n = node->left < len ? (size_t)node->left : len;
        if (n > 0) {
            rc = read_file(stream, node, n, &loaded);
            if (rc < 0)
                return rc;
            loaded->next = node;
            *at = loaded;
            at = &loaded->next;
            len -= n;
        }
        if (node->left == 0 && node->next != NULL) {
            *at = node->next;
            node_unref(node);
        } else if (node->left == 0) {
            break; /* the last one stays where it is, empty */
        }
    }
    return GUACO_OK;
}

/* Part of a node: large ones are not copied. */
static int
move_part(struct guaco__h2_node *node, struct guaco__stream *out, size_t len)
{
    struct guaco__stream_piece part = {node->at, len, node_unref, node};
    int rc;

    if (node->kind == NODE_COPY || len <= GUACO__STREAM_COPY_MAX)
        return guaco__stream_write(out, node->at, len);
    node->refs++;
    rc = guaco__stream_give(out, &part);
    if (rc < 0)
        node->refs--;
    return rc;
}

int
guaco__h2_queue_move(struct guaco__h2_stream *stream, struct guaco__stream *out,
                     size_t len)
{
    while (len > 0) {
        struct guaco__h2_node *node = stream->first;
        size_t n = node->len < len ? node->len : len;
        int rc = n == 0 ? GUACO_OK : move_part(node, out, n);

        if (rc < 0)
            return rc;
        node->at += n;
        node->len -= n;
        len -= n;
        stream->out_bytes -= n;
        if (node->len == 0 && (node->kind != NODE_FILE || node->left == 0))
            drop_first(stream);
        assert(len == 0 || stream->first != NULL);
    }
    /* a file that is read to its end */
    if (stream->out_bytes == 0)
        while (stream->first != NULL)
            drop_first(stream);
    return GUACO_OK;
}
