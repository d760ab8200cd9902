/*
 * Fuzz the chunked coding: the input is what follows the head of a chunked
 * request.  Any split gives the same events, and a body that is accepted,
 * written again as chunks, is accepted with the same bytes.
 */

#include "fuzz.h"

#include <string.h>

#include "h1_trace.h"
#include "http/h1_writer.h"

static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n";

enum { SIZE_MAX_BYTES = 4096, HEAD_BYTES = sizeof(head) - 1 };

/* Parse one request of bytes[0..len); its body goes to out.  Gives whether it
 * was done. */
static bool
read_body(char *bytes, size_t len, struct guaco__buf *out)
{
    struct guaco_http_parser parser;
    struct guaco_field fields[12];
    uint8_t ids[12];
    struct guaco_http_head request = {.fields = fields, .ids = ids};
    struct guaco_http_event event;

    guaco_http_parser_init(&parser, &h1_small_limits);
    for (size_t at = 0;; at += event.used) {
        int rc = guaco_http_parser_next(&parser, bytes + at, len - at, &request,
                                        &event);
        if (rc != 0 || event.type == GUACO_HTTP_NEED_MORE)
            return false;
        if (event.type == GUACO_HTTP_DONE)
            return true;
        if (event.type == GUACO_HTTP_BODY)
            MUST(guaco__buf_append(out, event.data.at, event.data.len) == 0);
    }
}

/* The body as chunks of 1, 2, 3, ... bytes behind the head. */
static void
write_body(struct guaco__buf *out, struct guaco_slice body)
{
    char line[GUACO__H1_CHUNK_LINE_BYTES];
    size_t at = 0;

    MUST(guaco__buf_append(out, head, HEAD_BYTES) == 0);
    for (size_t n = 1; at < body.len; n++) {
        size_t piece = body.len - at < n ? body.len - at : n;
        size_t len = guaco__h1_write_chunk_line(line, piece);
        MUST(guaco__buf_append(out, line, len) == 0);
        MUST(guaco__buf_append(out, body.at + at, piece) == 0);
        MUST(guaco__buf_append(out, "\r\n", 2) == 0);
        at += piece;
    }
    MUST(guaco__h1_write_last_chunk(out, NULL, 0) == 0);
}

static void
check_round_trip(char *bytes, size_t len)
{
    struct guaco__buf body;
    struct guaco__buf chunks;
    struct guaco__buf again;

    guaco__buf_init(&body, 1 << 16);
    guaco__buf_init(&chunks, 1 << 18);
    guaco__buf_init(&again, 1 << 16);
    if (read_body(bytes, len, &body)) {
        write_body(&chunks, guaco__buf_slice(&body));
        MUST(read_body(guaco__buf_data(&chunks), chunks.len, &again));
        MUST(guaco_slice_equals(guaco__buf_slice(&body),
                                guaco__buf_slice(&again)));
    }
    guaco__buf_release(&body);
    guaco__buf_release(&chunks);
    guaco__buf_release(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct h1_trace whole;
    static struct h1_trace split;
    char bytes[HEAD_BYTES + SIZE_MAX_BYTES];
    size_t len = HEAD_BYTES + size;

    if (size > SIZE_MAX_BYTES)
        return 0;
    memcpy(bytes, head, HEAD_BYTES);
    if (size > 0)
        memcpy(bytes + HEAD_BYTES, data, size);
    h1_trace_run(&whole, &h1_small_limits, bytes, len, 0, 0);
    for (size_t step = 1; step < 6; step++) {
        h1_trace_run(&split, &h1_small_limits, bytes, len, HEAD_BYTES, step);
        MUST(strcmp(split.text, whole.text) == 0);
    }
    check_round_trip(bytes, len);
    return 0;
}
