#ifndef GUACO_HTTP_CONDITIONS_H
#define GUACO_HTTP_CONDITIONS_H

/*
 * Conditional requests (RFC 9110 13) and ranges (14) of a representation whose
 * size and validators are known.  Sans-I/O, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/http/app.h"

/* What the selected representation is compared by. */
struct guaco__validators {
    struct guaco_slice etag; /* with its quotes, and W/ when weak */
    int64_t modified_s;      /* whole seconds since 1970 */
    int64_t now_s;
};

/* The status that the conditions of a GET or HEAD ask for, in the order of RFC
 * 9110 13.2.2: 0 go on, 304, or 412.  A malformed date, or one given twice, is
 * ignored (13.1.3). */
int guaco__conditions_judge(const struct guaco_request *request,
                            const struct guaco__validators *validators);

/* The ranges asked for at most; a request for more is answered whole. */
#define GUACO__RANGES_MAX 16

struct guaco__range {
    uint64_t from;
    uint64_t to; /* the last byte, included */
};

/*
 * The ranges that a GET asks for of `size` bytes, If-Range considered
 * (RFC 9110 13.1.5): in the order asked for, those that overlap or nearly
 * touch as one.  Returns their number, 0 to answer with the whole (none is
 * asked for, they are malformed or too many, or If-Range does not hold), or
 * -1: none can be had (416).
 */
int
guaco__ranges_read(const struct guaco_request *request,
                   const struct guaco__validators *validators, uint64_t size,
                   struct guaco__range ranges[GUACO__RANGES_MAX]);

#endif
