/*
 * Fuzz the reading of WebSocket frames: the same bytes in any split give the
 * same events.  Bit 0 of the first byte turns compression on, bit 1 forbids
 * the client a shared window; the rest is the stream.
 */

#include "fuzz.h"

#include <string.h>

#include "ws_trace.h"

static const struct guaco__ws_limits limits = {
    .frame_bytes = 8192,
    .message_bytes = 16384,
    .fragments = 8,
    .deflate_from = 0,
};

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
        /* With a smaller window zlib's verdict on data that refers back past
         * it depends on the split: see ws.h. */
        .client_bits = 15,
    };
    data++;
    size--;
    ws_trace_run(&whole, &limits, &deflate, data, size, 0, 0);
    for (size_t step = 1; step < 4; step++) {
        ws_trace_run(&split, &limits, &deflate, data, size, step, step * step);
        if (strcmp(split.text, whole.text) != 0)
            abort();
    }
    return 0;
}
