#ifndef TESTS_HTTP_H2_TRACE_H
#define TESTS_HTTP_H2_TRACE_H

/* A connection of HTTP/2 told as text, for tests and fuzz targets: requests
 * with their fields, the bytes of bodies joined, ends; the same for the same
 * bytes in any split. */

#include <stdbool.h>
#include <stddef.h>

#include "http/h2.h"

enum { H2_TRACE_MAX = 1 << 16 };

struct h2_trace {
    char text[H2_TRACE_MAX]; /* NUL-terminated; cut when it is too long */
    size_t len;
    uint32_t data_id; /* the stream of the line that is open, or 0 */
    size_t data_len;
    int rc;          /* of the call that failed, else 0 */
    size_t sent_len; /* bytes of the server's, in all */
    bool answers;    /* requests at once, and bodies that they wait for */
};

/* So small that short inputs reach them. */
extern const struct guaco__h2_limits h2_small_limits;

/*
 * Feed data[0..len) in pieces: first `first` bytes, then `step` at a time (0:
 * all the rest).  With `answers`, each request is answered and all is sent
 * after each piece; else nothing is sent before the end, so that the split
 * makes no difference.
 */
void h2_trace_run(struct h2_trace *trace, const void *data, size_t len,
                  size_t first, size_t step, bool answers);

#endif
