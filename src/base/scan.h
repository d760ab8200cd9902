#ifndef GUACO_BASE_SCAN_H
#define GUACO_BASE_SCAN_H

/* A cursor over text, for small grammars: cron, POSIX TZ, files of /proc. */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/slice.h"

struct guaco__scan {
    const char *at;
    const char *end;
};

static inline struct guaco__scan
guaco__scan_of(struct guaco_slice text)
{
    struct guaco__scan scan = {text.at,
                               text.len ? text.at + text.len : text.at};
    return scan;
}

static inline bool
guaco__scan_done(const struct guaco__scan *scan)
{
    return scan->at == scan->end;
}

/* The next character, 0 at the end. */
static inline char
guaco__scan_peek(const struct guaco__scan *scan)
{
    return scan->at == scan->end ? '\0' : *scan->at;
}

/* Step over `c` if it is next. */
static inline bool
guaco__scan_take(struct guaco__scan *scan, char c)
{
    if (guaco__scan_done(scan) || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

/* Read a number of ASCII digits, at most `max` (which is <= 2^59).  False when
 * there is none or it is greater; then the cursor stands where the number
 * became too great. */
static inline bool
guaco__scan_number(struct guaco__scan *scan, int64_t max, int64_t *number)
{
    const char *start = scan->at;
    int64_t value = 0;

    while (scan->at != scan->end && *scan->at >= '0' && *scan->at <= '9') {
        value = value * 10 + (*scan->at - '0');
        if (value > max)
            return false;
        scan->at++;
    }
    *number = value;
    return scan->at != start;
}

#endif
