/* What a connection has read and not used: the contract is in conn.h. */

#include <assert.h>

#include "server/conn.h"

enum {
    GROW_BYTES_MIN = 4096,
    GROW_BYTES_MAX = 16384,
};

struct guaco__input
guaco__input_kept(const struct guaco__conn *c)
{
    char *at = c->in.len > 0 ? guaco__buf_data(&c->in) : c->server->read_buf;

    return (struct guaco__input){at, c->in.len};
}

/* Room behind what waits in `in`.  Gives its size, 0 for none; it grows with
 * what comes: a client that trickles gets a page. */
static size_t
make_room(struct guaco__conn *c)
{
    size_t left = c->in.cap - c->in.len;
    size_t room = c->in.len < GROW_BYTES_MIN ? GROW_BYTES_MIN : c->in.len;

    if (room > GROW_BYTES_MAX)
        room = GROW_BYTES_MAX;
    if (room > left)
        room = left;
    return room > 0 && guaco__buf_reserve(&c->in, room) == GUACO_OK ? room : 0;
}

struct guaco__input
guaco__input_read(struct guaco__conn *c, bool *has_read)
{
    bool is_behind = c->in.len > 0;
    size_t room = is_behind ? make_room(c) : GUACO__READ_BYTES;
    char *at = is_behind ? guaco__buf_end(&c->in) : c->server->read_buf;
    ssize_t n = GUACO_E_AGAIN;

    if (room > 0 && c->state != GUACO__CONN_HANDSHAKE)
        n = guaco__stream_recv(&c->stream, at, room);
    *has_read = n > 0;
    c->is_eof |= n == 0;
    c->has_failed |= n == GUACO_E_CLOSED;
    if (n <= 0)
        return guaco__input_kept(c);
    c->server->stats.bytes_in += (uint64_t)n;
    if (!is_behind)
        return (struct guaco__input){at, (size_t)n};
    guaco__buf_commit(&c->in, (size_t)n);
    return guaco__input_kept(c);
}

int
guaco__conn_read_more(struct guaco__conn *c)
{
    size_t room = make_room(c);
    ssize_t n;

    if (room == 0)
        return GUACO_E_LIMIT;
    n = guaco__stream_recv(&c->stream, guaco__buf_end(&c->in), room);
    c->is_eof |= n == 0;
    c->has_failed |= n == GUACO_E_CLOSED;
    if (n <= 0)
        return GUACO_OK;
    c->server->stats.bytes_in += (uint64_t)n;
    guaco__buf_commit(&c->in, (size_t)n);
    return GUACO_OK;
}

void
guaco__input_keep(struct guaco__conn *c, const struct guaco__input *in)
{
    if (c->in.len == 0) {
        if (in->len > 0 && guaco__buf_append(&c->in, in->at, in->len) < 0)
            c->has_failed = true;
        return;
    }
    assert(in->len <= c->in.len);
    guaco__buf_drop(&c->in, c->in.len - in->len);
    if (c->in.len == 0)
        guaco__buf_release(&c->in);
}
