#ifndef TESTS_HTTP_H1_TRACE_H
#define TESTS_HTTP_H1_TRACE_H

/*
 * A request stream told as text, for tests and fuzz targets: one line an
 * event, pieces of a body joined, so that the same bytes in any split have the
 * same trace.
 */

#include <stddef.h>

#include "guaco/http/parser.h"

enum { H1_TRACE_MAX = 1 << 16, H1_TRACE_FIELDS = 200 };

struct h1_trace {
    char text[H1_TRACE_MAX]; /* NUL-terminated; cut when it is too long */
    size_t len;
    int rc; /* of the call that failed, else 0 */
    enum guaco_http_fault fault;
    size_t used;  /* bytes consumed in all */
    int requests; /* that were done */
};

/* So small that short inputs reach every one of them. */
extern const struct guaco_http_limits h1_small_limits;

/*
 * Feed data[0..len) in pieces: first `first` bytes, then `step` bytes at a
 * time (0: all the rest).  Each call sees a fresh allocation of exactly the
 * bytes that are pending, so that a sanitizer sees every read past them.
 */
void
h1_trace_run(struct h1_trace *trace, const struct guaco_http_limits *limits,
             const char *data, size_t len, size_t first, size_t step);

#endif
