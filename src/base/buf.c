/* The growing buffer: the contract is in base/buf.h. */

#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_ROOM_MIN 256u /* of the first allocation; most heads fit */

void
guaco__buf_init(struct guaco__buf *buf, size_t cap)
{
    assert(cap > 0);
    *buf = (struct guaco__buf){.cap = cap};
}

void
guaco__buf_release(struct guaco__buf *buf)
{
    free(buf->at);
    *buf = (struct guaco__buf){.cap = buf->cap};
}

/* The next size that holds `need` bytes: doubled, but never past the cap. */
static size_t
grown_room(const struct guaco__buf *buf, size_t need)
{
    size_t room = buf->room < BUF_ROOM_MIN ? BUF_ROOM_MIN : buf->room;

    while (room < need && room <= buf->cap / 2)
        room *= 2;
    if (room < need || room > buf->cap)
        room = buf->cap;
    assert(room >= need);
    return room;
}

int
guaco__buf_reserve(struct guaco__buf *buf, size_t more)
{
    assert(buf->len <= buf->cap);
    assert(buf->head + buf->len <= buf->room);

    if (more > buf->cap - buf->len)
        return GUACO_E_LIMIT;
    if (more <= guaco__buf_free(buf))
        return GUACO_OK;

    size_t need = buf->len + more;
    if (need <= buf->room) {
        memmove(buf->at, buf->at + buf->head, buf->len);
        buf->head = 0;
        return GUACO_OK;
    }

    /* A fresh block, not realloc, which would copy the dropped bytes too. */
    size_t room = grown_room(buf, need);
    char *at = malloc(room);
    if (at == NULL)
        return GUACO_E_NOMEM;
    if (buf->len > 0)
        memcpy(at, buf->at + buf->head, buf->len);
    free(buf->at);
    buf->at = at;
    buf->head = 0;
    buf->room = room;
    assert(guaco__buf_free(buf) >= more);
    return GUACO_OK;
}

int
guaco__buf_vprintf(struct guaco__buf *buf, const char *fmt, va_list ap)
{
    char small[128];
    va_list again;

    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    int rc = GUACO_E_INVALID;
    if (n < 0)
        goto out;

    size_t len = (size_t)n;
    if (len < sizeof small) {
        rc = guaco__buf_append(buf, small, len);
        goto out;
    }
    rc = guaco__buf_reserve(buf, len + 1); /* vsnprintf writes a NUL too */
    if (rc != GUACO_OK)
        goto out;
    vsnprintf(guaco__buf_end(buf), len + 1, fmt, again);
    guaco__buf_commit(buf, len);
out:
    va_end(again);
    return rc;
}

int
guaco__buf_printf(struct guaco__buf *buf, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int rc = guaco__buf_vprintf(buf, fmt, ap);
    va_end(ap);
    return rc;
}

int
guaco__buf_text(struct guaco__buf *buf, const char **text)
{
    int rc = guaco__buf_reserve(buf, 1);
    if (rc != GUACO_OK)
        return rc;
    *guaco__buf_end(buf) = '\0';
    *text = guaco__buf_data(buf);
    return GUACO_OK;
}
