#ifndef GUACO_SLICE_H
#define GUACO_SLICE_H

/*
 * A borrowed run of bytes.  Whoever hands one out says how long it lives; it
 * is never freed through the slice and never NUL-terminated.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct guaco_slice {
    const char *at; /* NULL only when len is 0 */
    size_t len;     /* bytes */
};

/* A slice of a string literal; the literal's NUL is not part of it. */
#ifdef __cplusplus
#define GUACO_SLICE(literal) (guaco_slice{"" literal, sizeof(literal) - 1})
#else
#define GUACO_SLICE(literal) \
    ((struct guaco_slice){"" literal, sizeof(literal) - 1})
#endif

static inline bool
guaco_slice_equals(struct guaco_slice a, struct guaco_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

#ifdef __cplusplus
}
#endif

#endif
