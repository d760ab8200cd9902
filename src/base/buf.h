#ifndef GUACO_BASE_BUF_H
#define GUACO_BASE_BUF_H

/*
 * A growing byte buffer with a cap.  Bytes are appended at the end and dropped
 * from the front; dropping moves an index, not the bytes, and what is left is
 * moved down only when room is needed, so a buffer that is read and written in
 * turn costs no copy in the usual case of being emptied.
 *
 *     at                at + head          at + head + len       at + room
 *     |  dropped        |  data (len)      |  free               |
 *
 * Threads: none; one owner at a time.
 */

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "guaco/error.h"
#include "guaco/slice.h"

struct guaco__buf {
    char *at;    /* private: the allocation, NULL before the first byte */
    size_t head; /* private: bytes dropped and not yet reclaimed */
    size_t len;  /* bytes held */
    size_t room; /* private: bytes allocated */
    size_t cap;  /* most bytes it may hold */
};

/* Begin empty with a cap of `cap` bytes, at least 1.  Allocates nothing. */
void guaco__buf_init(struct guaco__buf *buf, size_t cap);

/* Free the memory; the buffer is as after init and may be used again. */
void guaco__buf_release(struct guaco__buf *buf);

/* Empty it and keep the memory. */
static inline void
guaco__buf_reset(struct guaco__buf *buf)
{
    buf->head = 0;
    buf->len = 0;
}

/* The first byte held; moves with every call that may grow the buffer. */
static inline char *
guaco__buf_data(const struct guaco__buf *buf)
{
    return buf->at == NULL ? NULL : buf->at + buf->head;
}

/* Where the next byte goes: after a reserve, fill in and commit. */
static inline char *
guaco__buf_end(const struct guaco__buf *buf)
{
    return buf->at == NULL ? NULL : buf->at + buf->head + buf->len;
}

/* Bytes that fit behind the end without growing. */
static inline size_t
guaco__buf_free(const struct guaco__buf *buf)
{
    return buf->room - buf->head - buf->len;
}

/* What it holds, borrowed until the next call that changes the buffer. */
static inline struct guaco_slice
guaco__buf_slice(const struct guaco__buf *buf)
{
    return (struct guaco_slice){guaco__buf_data(buf), buf->len};
}

/*
 * Make room for `more` bytes behind the end, growing by doubling.  Returns 0,
 * GUACO_E_LIMIT if the cap would be passed, or GUACO_E_NOMEM; on failure the
 * contents are as they were.
 */
int guaco__buf_reserve(struct guaco__buf *buf, size_t more);

/* `len` bytes written behind the end, at most guaco__buf_free(), now count. */
static inline void
guaco__buf_commit(struct guaco__buf *buf, size_t len)
{
    assert(len <= guaco__buf_free(buf));
    buf->len += len;
}

/* Append a copy of data[0..len).  Returns as guaco__buf_reserve(); on failure
 * nothing was appended. */
static inline int
guaco__buf_append(struct guaco__buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return GUACO_OK;
    if (len > guaco__buf_free(buf) || len > buf->cap - buf->len) {
        int rc = guaco__buf_reserve(buf, len);
        if (rc != GUACO_OK)
            return rc;
    }
    memcpy(guaco__buf_end(buf), data, len);
    buf->len += len;
    return GUACO_OK;
}

/* Append one byte.  Returns as guaco__buf_append(). */
static inline int
guaco__buf_append_byte(struct guaco__buf *buf, char byte)
{
    return guaco__buf_append(buf, &byte, 1);
}

/* Append the bytes of a NUL-terminated string, without the NUL. */
static inline int
guaco__buf_append_text(struct guaco__buf *buf, const char *text)
{
    return guaco__buf_append(buf, text, strlen(text));
}

/* Append formatted text.  Returns as guaco__buf_append(), and GUACO_E_INVALID
 * for a conversion that the C library refuses. */
int guaco__buf_printf(struct guaco__buf *buf, const char *fmt, ...)
    GUACO_PRINTF(2, 3);
int guaco__buf_vprintf(struct guaco__buf *buf, const char *fmt, va_list ap)
    GUACO_PRINTF(2, 0);

/* Put a NUL behind the last byte, which does not count as held, and give the
 * whole as a string in *text, borrowed until the next change.  Returns as
 * guaco__buf_reserve(); the NUL needs one byte under the cap. */
int guaco__buf_text(struct guaco__buf *buf, const char **text);

/* Drop `len` bytes from the front, at most buf->len. */
static inline void
guaco__buf_drop(struct guaco__buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len -= len;
    buf->head = buf->len == 0 ? 0 : buf->head + len;
}

/* Cut to the first `len` bytes, at most buf->len. */
static inline void
guaco__buf_cut(struct guaco__buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len = len;
    if (len == 0)
        buf->head = 0;
}

#endif
