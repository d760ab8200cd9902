#include "ws_trace.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
    GUACO_PRINTF(2, 3) tell(struct ws_trace *trace, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    size_t room = sizeof(trace->text) - trace->len;
    int n = vsnprintf(trace->text + trace->len, room, fmt, args);
    va_end(args);
    trace->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void
tell_data(struct ws_trace *trace, struct guaco_slice data)
{
    uint64_t hash = 0xcbf29ce484222325U;

    for (size_t i = 0; i < data.len; i++)
        hash = (hash ^ (uint8_t)data.at[i]) * 0x100000001b3U;
    tell(trace, " %zu %016" PRIx64 " %.*s\n", data.len, hash,
         data.len < 40 ? (int)data.len : 0, data.at);
}

static void
take_event(struct ws_trace *trace, const struct guaco__ws_event *event)
{
    switch (event->type) {
    case GUACO__WS_NEED_MORE: return;
    case GUACO__WS_MESSAGE:
        tell(trace, event->message == GUACO_MESSAGE_TEXT ? "text" : "binary");
        trace->messages++;
        break;
    case GUACO__WS_PING: tell(trace, "ping"); break;
    case GUACO__WS_PONG: tell(trace, "pong"); break;
    case GUACO__WS_CLOSE: tell(trace, "close %u", event->code); break;
    }
    tell_data(trace, event->data);
}

/* All events of one piece. */
static void
drain(struct ws_trace *trace, struct guaco__ws *ws, const char *data,
      size_t len)
{
    struct guaco__ws_event event;
    size_t used = 0;

    do {
        trace->rc = guaco__ws_next(ws, data + used, len - used, &event);
        assert(event.used <= len - used);
        used += event.used;
        trace->code = event.code;
        if (trace->rc == 0)
            take_event(trace, &event);
    } while (trace->rc == 0 && event.type != GUACO__WS_NEED_MORE);
    assert(trace->rc != 0 || used == len);
}

void
ws_trace_run(struct ws_trace *trace, const struct guaco__ws_limits *limits,
             const struct guaco__ws_deflate *deflate, const void *data,
             size_t len, size_t first, size_t step)
{
    struct guaco__ws *ws;
    size_t at = 0;

    trace->len = 0;
    trace->messages = 0;
    trace->rc = guaco__ws_new(&ws, limits, deflate);
    assert(trace->rc == 0);
    while (at < len && trace->rc == 0) {
        size_t rest = len - at;
        size_t piece = at == 0 && first > 0 ? first : step > 0 ? step : rest;
        if (piece > rest)
            piece = rest;
        char *copy = malloc(piece);
        assert(copy != NULL);
        memcpy(copy, (const char *)data + at, piece);
        drain(trace, ws, copy, piece);
        free(copy);
        at += piece;
    }
    trace->events_len = trace->len;
    tell(trace, "end rc=%d code=%u\n", trace->rc,
         trace->rc != 0 ? trace->code : 0);
    guaco__ws_free(ws);
}

size_t
ws_frame(unsigned char *out, unsigned first, const void *payload, size_t len)
{
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    const unsigned char *bytes = payload;
    size_t at = 0;

    int length_bytes = len <= 125 ? 0 : len <= 0xffff ? 2 : 8;
    out[at++] = (unsigned char)first;
    out[at++] = (unsigned char)(0x80U | (length_bytes == 0   ? len
                                         : length_bytes == 2 ? 126
                                                             : 127));
    for (int i = length_bytes - 1; i >= 0; i--)
        out[at++] = (unsigned char)(len >> (8 * i));
    memcpy(out + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < len; i++)
        out[at + i] = bytes[i] ^ mask[i % 4];
    return at + len;
}
