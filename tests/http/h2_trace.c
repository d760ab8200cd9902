#include "h2_trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h1_trace.h"

const struct guaco__h2_limits h2_small_limits = {
    .http = &h1_small_limits,
    .streams = 4,
    .resets = 5,
    .controls = 20,
    .window_bytes = 65535,
    .conn_window_bytes = 65535,
};

/* What is attached to a stream. */
struct stream {
    struct h2_trace *trace;
    size_t left;     /* of its answer */
    size_t data_len; /* of its request */
    bool has_length; /* a Content-Length */
    bool is_open;
};

enum { STREAMS_MAX = 256, ANSWER_BYTES = 100 };

static void
tell(struct h2_trace *trace, const char *fmt, ...)
{
    size_t room = sizeof(trace->text) - trace->len;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(trace->text + trace->len, room, fmt, args);
    va_end(args);
    if (n > 0)
        trace->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* The line of a body's bytes ends. */
static void
end_data(struct h2_trace *trace)
{
    if (trace->data_id != 0)
        tell(trace, "data %u #%zu\n", trace->data_id, trace->data_len);
    trace->data_id = 0;
    trace->data_len = 0;
}

/* How much comes of a body that is longer than its Content-Length, before the
 * fault, is the split's: such bodies are told with their end. */
static void
tell_data(struct h2_trace *trace, const struct guaco__h2_event *event)
{
    struct stream *stream = event->stream;

    if (stream != NULL && stream->has_length) {
        stream->data_len += event->data.len;
        return;
    }
    if (trace->data_id != event->id)
        end_data(trace);
    trace->data_id = event->id;
    trace->data_len += event->data.len;
}

static void
tell_end(struct h2_trace *trace, const struct guaco__h2_event *event)
{
    const struct stream *stream = event->stream;

    end_data(trace);
    tell(trace, "end %u", event->id);
    if (stream != NULL && stream->has_length)
        tell(trace, " #%zu", stream->data_len);
    tell(trace, "\n");
}

static void
tell_request(struct h2_trace *trace, const struct guaco__h2_event *event)
{
    const struct guaco_http_head *head = &event->head;

    tell(trace, "request %u fault=%d%s%s %.*s %.*s\n", event->id,
         (int)event->fault, event->is_last ? " last" : "",
         event->is_websocket ? " socket" : "", (int)head->method.len,
         head->method.at, (int)head->target.len, head->target.at);
    if (event->fault != GUACO_HTTP_FAULT_NONE)
        return;
    for (size_t i = 0; i < head->field_count; i++)
        tell(trace, "  %u %.*s: %.*s\n", head->ids[i],
             (int)head->fields[i].name.len, head->fields[i].name.at,
             (int)head->fields[i].value.len, head->fields[i].value.at);
}

/* ---- the ops ---- */

static void
on_closed(void *ctx, void *of, uint32_t code)
{
    struct stream *stream = of;

    (void)ctx, (void)code;
    stream->is_open = false;
}

static void
on_pending(void *ctx, void *of, struct guaco__h2_body *body)
{
    const struct stream *stream = of;

    (void)ctx;
    body->bytes = stream->left;
    body->is_last = true;
}

/* As if all of it were on its way, so that it is read away. */
static uint64_t
on_left(void *ctx, const void *of)
{
    (void)ctx, (void)of;
    return 0;
}

static int
on_send(void *ctx, void *of, const unsigned char head[GUACO__H2_FRAME_HEAD],
        size_t len)
{
    struct stream *stream = of;

    (void)ctx, (void)head;
    if (len > stream->left)
        abort();
    stream->left -= len;
    stream->trace->sent_len += GUACO__H2_FRAME_HEAD + len;
    return GUACO_OK;
}

/* ---- the run ---- */

struct run {
    struct h2_trace *trace;
    struct guaco__h2 *h2;
    struct stream streams[STREAMS_MAX];
    size_t count;
};

static void
take_request(struct run *run, const struct guaco__h2_event *event)
{
    const struct guaco_field fields[] = {
        {GUACO_SLICE(":status"), GUACO_SLICE("200")},
        {GUACO_SLICE("x-long"), GUACO_SLICE("some value")},
    };
    struct stream *stream;

    if (event->fault != GUACO_HTTP_FAULT_NONE || run->count == STREAMS_MAX) {
        guaco__h2_refuse(run->h2, event->id, 400);
        return;
    }
    stream = &run->streams[run->count++];
    *stream = (struct stream){
        .trace = run->trace,
        .left = ANSWER_BYTES,
        .has_length = event->head.body_bytes > 0,
        .is_open = true,
    };
    guaco__h2_attach(run->h2, event->id, stream);
    if (run->trace->answers)
        guaco__h2_head(run->h2, event->id, fields, 2, event->id % 4 == 3);
}

static void
take_event(struct run *run, const struct guaco__h2_event *event)
{
    struct h2_trace *trace = run->trace;

    if (event->type == GUACO__H2_DATA) {
        tell_data(trace, event);
        guaco__h2_consume(run->h2, event->id, event->data.len);
        return;
    }
    if (event->type == GUACO__H2_NEED_MORE)
        return;
    if (event->type == GUACO__H2_END) {
        tell_end(trace, event);
        return;
    }
    end_data(trace);
    tell_request(trace, event);
    take_request(run, event);
}

static void
send_all(struct run *run)
{
    struct guaco_slice out;

    do {
        if (guaco__h2_send(run->h2, &out) < 0)
            return;
        run->trace->sent_len += out.len;
    } while (out.len > 0);
}

/* One piece, in memory of exactly its size. */
static void
feed(struct run *run, const char *data, size_t len)
{
    char *own = malloc(len > 0 ? len : 1);
    size_t at = 0;
    struct guaco__h2_event event;

    if (own == NULL)
        abort();
    memcpy(own, data, len);
    do {
        run->trace->rc =
            guaco__h2_next(run->h2, own + at, len - at, 1000, &event);
        at += event.used;
        if (run->trace->rc == GUACO_OK)
            take_event(run, &event);
    } while (run->trace->rc == GUACO_OK && event.type != GUACO__H2_NEED_MORE);
    if (run->trace->rc == GUACO_OK && at != len)
        abort();
    free(own);
}

void
h2_trace_run(struct h2_trace *trace, const void *data, size_t len, size_t first,
             size_t step, bool answers)
{
    static const struct guaco__h2_ops ops = {on_closed, on_pending, on_left,
                                             on_send};
    struct guaco_field fields[H1_TRACE_FIELDS];
    uint8_t ids[H1_TRACE_FIELDS];
    struct run *run = calloc(1, sizeof(*run));
    size_t at = 0;

    memset(trace, 0, sizeof(*trace));
    trace->answers = answers;
    if (run == NULL ||
        guaco__h2_new(&run->h2, &h2_small_limits, &ops, NULL, fields, ids) < 0)
        abort();
    run->trace = trace;
    while (at < len && trace->rc == GUACO_OK) {
        size_t n = at == 0 && first > 0 ? first : step > 0 ? step : len;

        n = n < len - at ? n : len - at;
        feed(run, (const char *)data + at, n);
        at += n;
        if (answers)
            send_all(run);
    }
    end_data(trace);
    tell(trace, "rc=%d\n", trace->rc);
    send_all(run);
    guaco__h2_free(run->h2);
    free(run);
}
