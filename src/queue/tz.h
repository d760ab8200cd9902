#ifndef GUACO_QUEUE_TZ_H
#define GUACO_QUEUE_TZ_H

/*
 * Time zones: a reader of TZif files (RFC 9636, versions 1 to 4) and the
 * question that all others are made of: which offset holds at this moment, and
 * from when to when?
 *
 * Files are outside input: every count is checked against the file's size
 * before it is used, and nothing in one reaches an assert.  Files that count
 * leap seconds are refused.
 *
 * Threads: a zone never changes after it was made.
 */

#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"

/* The largest file that is read; the largest there is has 4 KiB. */
#define GUACO__TZ_BYTES_MAX 65536

/* Every offset lies in (-25 h, 26 h): RFC 9636, 3.2. */
#define GUACO__TZ_WEST_MAX_S 89999
#define GUACO__TZ_EAST_MAX_S 93599

struct guaco__tz;

/* Local time is UTC plus offset_s for start_s <= utc < end_s; the span before
 * and the one after may have the same offset. */
struct guaco__tz_span {
    int64_t start_s; /* INT64_MIN: always was */
    int64_t end_s;   /* INT64_MAX: for ever */
    int32_t offset_s;
};

/*
 * Make a zone of the bytes of a TZif file; they are copied.  Gives *tz, freed
 * with guaco__tz_free().  Returns 0, GUACO_E_PROTO (not such a file, or
 * damaged), GUACO_E_UNSUPPORTED (leap seconds), GUACO_E_LIMIT (too large) or
 * GUACO_E_NOMEM.
 */
int guaco__tz_parse(struct guaco__tz **tz, const void *data, size_t len,
                    struct guaco_error *err);

/*
 * Find `name` in the folders of `dirs` (separated by colons) and read it; UTC
 * needs no file.  Returns as guaco__tz_parse(), and GUACO_E_INVALID (not a
 * name), GUACO_E_MISSING (in none of the folders) or GUACO_E_IO.
 */
int guaco__tz_open(struct guaco__tz **tz, struct guaco_slice name,
                   const char *dirs, struct guaco_error *err);

/* NULL is let pass. */
void guaco__tz_free(struct guaco__tz *tz);

/* The span that holds utc_s, which is within the years 0 to 9999. */
struct guaco__tz_span guaco__tz_at(const struct guaco__tz *tz, int64_t utc_s);

#endif
