#include "h1_trace.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct guaco_http_limits h1_small_limits = {
    .head_bytes = 512,
    .method_bytes = 16,
    .target_bytes = 128,
    .fields = 12,
    .field_bytes = 100,
    .chunk_extension_bytes = 32,
    .trailer_bytes = 64,
    .body_bytes = 1 << 16,
};

struct run {
    struct h1_trace *trace;
    struct guaco_http_parser parser;
    struct guaco_http_head head;
    struct guaco_field fields[H1_TRACE_FIELDS];
    uint8_t ids[H1_TRACE_FIELDS];
    size_t body_bytes;
    uint64_t body_hash;
};

static void
    GUACO_PRINTF(2, 3) tell(struct h1_trace *trace, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    size_t room = sizeof(trace->text) - trace->len;
    int n = vsnprintf(trace->text + trace->len, room, fmt, args);
    va_end(args);
    trace->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void
tell_slice(struct h1_trace *trace, const char *name, struct guaco_slice slice)
{
    tell(trace, " %s=", name);
    if (slice.at == NULL)
        tell(trace, "-");
    for (size_t i = 0; i < slice.len; i++) {
        unsigned char c = (unsigned char)slice.at[i];
        if (c > 0x20 && c < 0x7f && c != '\\')
            tell(trace, "%c", c);
        else
            tell(trace, "\\x%02x", c);
    }
}

static void
tell_field(struct h1_trace *trace, const char *what, struct guaco_field field,
           unsigned id)
{
    tell(trace, "%s", what);
    tell_slice(trace, "name", field.name);
    tell_slice(trace, "value", field.value);
    tell(trace, " id=%u\n", id);
}

static void
tell_head(struct h1_trace *trace, const struct guaco_http_head *head)
{
    tell(trace, "head");
    tell_slice(trace, "method", head->method);
    tell_slice(trace, "target", head->target);
    tell_slice(trace, "path", head->path);
    tell_slice(trace, "query", head->query);
    tell_slice(trace, "authority", head->authority);
    tell_slice(trace, "upgrade", head->upgrade);
    tell(trace,
         " form=%d minor=%d body=%" PRId64 " keep=%d expect=%d trailers=%d"
         " bytes=%zu\n",
         (int)head->form, head->version_minor, head->body_bytes,
         head->keep_alive, head->expects_continue, head->accepts_trailers,
         head->bytes);
    for (size_t i = 0; i < head->field_count; i++)
        tell_field(trace, "field", head->fields[i], head->ids[i]);
}

static void
tell_body(struct run *run)
{
    if (run->body_bytes > 0)
        tell(run->trace, "body %zu %016" PRIx64 "\n", run->body_bytes,
             run->body_hash);
    run->body_bytes = 0;
    run->body_hash = 0xcbf29ce484222325U;
}

static void
add_body(struct run *run, struct guaco_slice data)
{
    assert(data.len > 0);
    for (size_t i = 0; i < data.len; i++)
        run->body_hash =
            (run->body_hash ^ (uint8_t)data.at[i]) * 0x100000001b3U;
    run->body_bytes += data.len;
}

static void
take_event(struct run *run, const struct guaco_http_event *event)
{
    if (event->type != GUACO_HTTP_BODY && event->type != GUACO_HTTP_NEED_MORE)
        tell_body(run);
    switch (event->type) {
    case GUACO_HTTP_NEED_MORE: break;
    case GUACO_HTTP_HEAD: tell_head(run->trace, &run->head); break;
    case GUACO_HTTP_BODY: add_body(run, event->data); break;
    case GUACO_HTTP_TRAILER:
        tell_field(run->trace, "trailer", event->field, 0);
        break;
    case GUACO_HTTP_DONE:
        tell(run->trace, "done\n");
        run->trace->requests++;
        break;
    }
}

/* All events of the pending bytes; returns how many were consumed. */
static size_t
drain(struct run *run, char *data, size_t len)
{
    struct guaco_http_event event = {0};
    size_t used = 0;

    do {
        int rc = guaco_http_parser_next(&run->parser, data + used, len - used,
                                        &run->head, &event);
        assert(event.used <= len - used);
        used += event.used;
        if (rc != 0) {
            run->trace->rc = rc;
            run->trace->fault = event.fault;
            break;
        }
        take_event(run, &event);
    } while (event.type != GUACO_HTTP_NEED_MORE);
    return used;
}

/* The pending bytes, less those consumed, with data[0..len) behind them. */
static char *
append(char *pending, size_t used, size_t *pending_len, const char *data,
       size_t len)
{
    size_t kept = *pending_len - used;
    char *next = malloc(kept + len + (kept + len == 0));
    assert(next != NULL);
    if (kept > 0)
        memcpy(next, pending + used, kept);
    if (len > 0)
        memcpy(next + kept, data, len);
    free(pending);
    *pending_len = kept + len;
    return next;
}

void
h1_trace_run(struct h1_trace *trace, const struct guaco_http_limits *limits,
             const char *data, size_t len, size_t first, size_t step)
{
    struct run run = {.trace = trace};
    char *pending = NULL;
    size_t pending_len = 0;
    size_t used = 0;
    size_t at = 0;

    assert(limits->fields <= H1_TRACE_FIELDS);
    *trace = (struct h1_trace){0};
    guaco_http_parser_init(&run.parser, limits);
    run.head.fields = run.fields;
    run.head.ids = run.ids;
    tell_body(&run);
    do {
        size_t rest = len - at;
        size_t piece = at == 0 && first > 0 ? first : step > 0 ? step : rest;
        if (piece > rest)
            piece = rest;
        pending = append(pending, used, &pending_len, data + at, piece);
        at += piece;
        used = drain(&run, pending, pending_len);
        trace->used += used;
    } while (at < len && trace->rc == 0);
    tell_body(&run);
    tell(trace, "end rc=%d fault=%s\n", trace->rc,
         guaco_http_fault_text(trace->fault));
    free(pending);
}
