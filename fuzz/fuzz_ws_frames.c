/*
 * Fuzz the reading of WebSocket frames.  The same bytes in any split give the
 * same events, but for references past a window under 15 bits: there one
 * split may be refused where another reads on (see ws.h), and the events
 * before that must be the same.  Of the first byte bit 0 turns compression on,
 * bit 1 forbids the client a shared window, bit 2 sets a window of 9 bits; the
 * rest is the stream.
 */

#include "fuzz.h"

#include <string.h>

#include "ws_trace.h"

enum { CLOSE_TEXT = 1007 };

static const struct guaco__ws_limits limits = {
    .frame_bytes = 8192,
    .message_bytes = 16384,
    .fragments = 8,
    .deflate_from = 0,
};

/* Whether `trace` was refused as damaged and had told nothing else before. */
static bool
is_cut_short(const struct ws_trace *trace, const struct ws_trace *other)
{
    return trace->rc == GUACO_E_PROTO && trace->code == CLOSE_TEXT &&
           strncmp(trace->text, other->text, trace->events_len) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ws_trace whole;
    static struct ws_trace split;

    if (size == 0 || size > 20000)
        return 0;
    struct guaco__ws_deflate deflate = {
        .is_on = data[0] & 1,
        .client_no_takeover = (data[0] & 2) != 0,
        .server_bits = 9,
        .client_bits = (data[0] & 4) != 0 ? 9 : 15,
    };
    bool is_exact = deflate.client_bits == 15;
    data++;
    size--;
    ws_trace_run(&whole, &limits, &deflate, data, size, 0, 0);
    for (size_t step = 1; step < 4; step++) {
        ws_trace_run(&split, &limits, &deflate, data, size, step, step * step);
        if (strcmp(split.text, whole.text) != 0)
            MUST(!is_exact && (is_cut_short(&split, &whole) ||
                               is_cut_short(&whole, &split)));
    }
    return 0;
}
