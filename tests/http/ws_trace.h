#ifndef TESTS_HTTP_WS_TRACE_H
#define TESTS_HTTP_WS_TRACE_H

/* A WebSocket's input told as text, and frames as a client makes them; for
 * tests and fuzz targets. */

#include <stdbool.h>
#include <stddef.h>

#include "http/ws.h"

enum { WS_TRACE_MAX = 1 << 16 };

struct ws_trace {
    char text[WS_TRACE_MAX]; /* NUL-terminated; cut when it is too long */
    size_t len;
    size_t events_len; /* of it, without the line that ends it */
    int rc;            /* of the call that failed, else 0 */
    unsigned code;     /* to close with */
    int messages;
};

/* Feed data[0..len) in pieces: first `first` bytes, then `step` at a time (0:
 * all the rest). */
void ws_trace_run(struct ws_trace *trace, const struct guaco__ws_limits *limits,
                  const struct guaco__ws_deflate *deflate, const void *data,
                  size_t len, size_t first, size_t step);

/* Write a client's frame: the first byte as given, masked.  Gives its bytes;
 * out has room for len + 14. */
size_t
ws_frame(unsigned char *out, unsigned first, const void *payload, size_t len);

#endif
