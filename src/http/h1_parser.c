/*
 * The request parser's life: one switch over its states.
 *
 * A head is parsed only from its beginning, with all fields stored, or not at
 * all: while it is incomplete its lines are checked one by one as they come
 * (`checked` is the first that is not), and when the empty line arrives it is
 * parsed again from the front.  So the usual head, which comes in one piece,
 * costs one pass; one that drips in costs two, and no byte of a value or
 * target is scanned a third time; and no pointer into a buffer that may have
 * moved is kept.
 */

#include <assert.h>
#include <string.h>

#include "h1_int.h"

enum state {
    H1_HEAD,
    H1_BODY,       /* Content-Length */
    H1_CHUNK_LINE, /* the first: no CRLF before it */
    H1_CHUNK_DATA,
    H1_CHUNK_NEXT, /* CRLF, then a chunk line */
    H1_TRAILERS,
    H1_DONE,
    H1_CLOSED,
    H1_FAILED,
};

/* What became of a step inside guaco_http_parser_next(). */
enum step {
    STEP_AGAIN, /* the state changed, no event yet */
    STEP_EVENT, /* *event is filled, NEED_MORE among them */
    STEP_FAULT, /* parser->fault is set */
};

static const struct fault {
    uint16_t status;
    const char *text;
} faults[] = {
#define X(name, number, line) [GUACO_HTTP_FAULT_##name] = {number, line},
    GUACO_HTTP_FAULT_MAP(X)
#undef X
};

int
guaco_http_fault_status(enum guaco_http_fault fault)
{
    return faults[fault].status;
}

const char *
guaco_http_fault_text(enum guaco_http_fault fault)
{
    return faults[fault].text;
}

void
guaco_http_parser_init(struct guaco_http_parser *parser,
                       const struct guaco_http_limits *limits)
{
    *parser = (struct guaco_http_parser){.limits = limits};
}

void
guaco_http_parser_close(struct guaco_http_parser *parser)
{
    parser->closing = true;
    if (parser->state == H1_HEAD)
        parser->state = H1_CLOSED;
}

bool
guaco_http_parser_is_idle(const struct guaco_http_parser *parser)
{
    return parser->state == H1_HEAD;
}

static enum step
fail(struct guaco_http_parser *parser, int fault)
{
    assert(fault > 0);

    parser->state = H1_FAILED;
    parser->fault = (uint8_t)fault;
    return STEP_FAULT;
}

static enum step
tell(struct guaco_http_event *event, enum guaco_http_event_type type)
{
    event->type = type;
    return STEP_EVENT;
}

/* ---- head ----------------------------------------------------------- */

/* From the cursor, which stands before line number head->field_count, to the
 * empty line.  Answers H1_BLANK, H1_MORE or a fault. */
static int
read_fields(struct guaco_http_parser *parser, struct h1_cursor *cursor,
            struct guaco_http_head *head, const char *data)
{
    const struct guaco_http_limits *limits = parser->limits;
    size_t count = parser->checked_fields;

    for (;;) {
        struct guaco_field extra;
        uint8_t extra_id;
        bool fits = count < limits->fields;
        int rc = guaco__h1_field_line(cursor, limits->field_bytes,
                                      fits ? &head->fields[count] : &extra,
                                      fits ? &head->ids[count] : &extra_id);
        if (rc == H1_OK && !fits)
            return GUACO_HTTP_FAULT_FIELD_COUNT;
        if (rc == H1_BLANK)
            head->field_count = count;
        if (rc == H1_MORE) {
            parser->checked = (uint32_t)(cursor->at - data);
            parser->checked_fields = (uint32_t)count;
        }
        if (rc != H1_OK)
            return rc;
        count++;
    }
}

/* Check on from where the last call stopped. */
static int
read_lines(struct guaco_http_parser *parser, struct h1_cursor *cursor,
           struct guaco_http_head *head, char *data)
{
    cursor->at = data + parser->checked;
    cursor->clean = parser->clean > 0 ? data + parser->clean : NULL;
    cursor->clean_new = NULL;

    int rc = H1_OK;
    if (parser->checked == 0)
        rc = guaco__h1_request_line(cursor, parser->limits, head);
    if (rc == H1_OK)
        rc = read_fields(parser, cursor, head, data);
    parser->clean =
        cursor->clean_new ? (uint32_t)(cursor->clean_new - data) : 0;
    return rc;
}

static void
forget_head(struct guaco_http_parser *parser)
{
    parser->checked = 0;
    parser->clean = 0;
    parser->checked_fields = 0;
}

static void
enter_body(struct guaco_http_parser *parser, const struct guaco_http_head *head)
{
    parser->keep_alive = head->keep_alive;
    parser->body_total = 0;
    parser->extension_total = 0;
    parser->trailer_total = 0;
    parser->trailer_count = 0;
    parser->body_left = 0;
    if (head->body_bytes < 0) {
        parser->state = H1_CHUNK_LINE;
    } else if (head->body_bytes > 0) {
        parser->state = H1_BODY;
        parser->body_left = (uint64_t)head->body_bytes;
    } else {
        parser->state = H1_DONE;
    }
}

/* Nothing of a request is known but what the caller gave. */
static void
clear_head(struct guaco_http_head *head)
{
    head->method = (struct guaco_slice){NULL, 0};
    head->target = (struct guaco_slice){NULL, 0};
    head->field_count = 0;
}

static enum step
step_head(struct guaco_http_parser *parser, char *data, size_t len,
          struct guaco_http_head *head, struct guaco_http_event *event)
{
    const struct guaco_http_limits *limits = parser->limits;
    size_t view = len < limits->head_bytes ? len : limits->head_bytes;
    struct h1_cursor cursor = {.end = data + view};
    bool is_resumed = parser->checked > 0;

    clear_head(head);
    int rc = read_lines(parser, &cursor, head, data);
    if (rc == H1_MORE)
        return view == limits->head_bytes
                   ? fail(parser, GUACO_HTTP_FAULT_HEAD_LONG)
                   : tell(event, GUACO_HTTP_NEED_MORE);
    if (rc == H1_BLANK && is_resumed) {
        forget_head(parser);
        rc = read_lines(parser, &cursor, head, data);
    }
    if (rc == H1_BLANK)
        rc = guaco__h1_head_rules(limits, head, head->ids);
    if (rc != H1_OK)
        return fail(parser, rc);

    forget_head(parser);
    head->bytes = (size_t)(cursor.at - data);
    event->used = head->bytes;
    enter_body(parser, head);
    return tell(event, GUACO_HTTP_HEAD);
}

/* ---- body ----------------------------------------------------------- */

static enum step
step_data(struct guaco_http_parser *parser, const char *data, size_t len,
          enum state next, struct guaco_http_event *event)
{
    char const *at = data + event->used;
    size_t have = len - event->used;
    size_t piece = have < parser->body_left ? have : (size_t)parser->body_left;

    if (piece == 0)
        return tell(event, GUACO_HTTP_NEED_MORE);
    parser->body_left -= piece;
    if (parser->body_left == 0)
        parser->state = (uint8_t)next;
    event->data = (struct guaco_slice){at, piece};
    event->used += piece;
    return tell(event, GUACO_HTTP_BODY);
}

static enum step
step_chunk_line(struct guaco_http_parser *parser, char *data, size_t len,
                struct guaco_http_event *event)
{
    struct h1_cursor cursor = {.at = data + event->used, .end = data + len};
    uint32_t allowance =
        parser->limits->chunk_extension_bytes - parser->extension_total;
    uint64_t size;
    uint32_t extension_bytes;

    int rc = guaco__h1_chunk_line(&cursor, allowance, &size, &extension_bytes);
    if (rc == H1_MORE)
        return tell(event, GUACO_HTTP_NEED_MORE);
    if (rc != H1_OK)
        return fail(parser, rc);
    if (size > parser->limits->body_bytes - parser->body_total)
        return fail(parser, GUACO_HTTP_FAULT_BODY_LONG);

    event->used = (size_t)(cursor.at - data);
    parser->extension_total += extension_bytes;
    parser->body_total += size;
    parser->body_left = size;
    parser->state = size > 0 ? H1_CHUNK_DATA : H1_TRAILERS;
    return STEP_AGAIN;
}

static enum step
step_chunk_next(struct guaco_http_parser *parser, const char *data, size_t len,
                struct guaco_http_event *event)
{
    const char *at = data + event->used;
    size_t have = len - event->used;

    if ((have > 0 && at[0] != '\r') || (have > 1 && at[1] != '\n'))
        return fail(parser, GUACO_HTTP_FAULT_CHUNK_END);
    if (have < 2)
        return tell(event, GUACO_HTTP_NEED_MORE);
    event->used += 2;
    parser->state = H1_CHUNK_LINE;
    return STEP_AGAIN;
}

static enum step
step_trailers(struct guaco_http_parser *parser, char *data, size_t len,
              struct guaco_http_event *event)
{
    const struct guaco_http_limits *limits = parser->limits;
    char *start = data + event->used;
    size_t have = len - event->used;
    size_t allowance = limits->trailer_bytes - parser->trailer_total;
    size_t view = have < allowance ? have : allowance;
    struct h1_cursor cursor = {.at = start, .end = start + view};
    uint8_t id;

    if (parser->clean > 0)
        cursor.clean = start + parser->clean;
    int rc =
        guaco__h1_field_line(&cursor, limits->field_bytes, &event->field, &id);
    parser->clean = cursor.clean_new ? (uint32_t)(cursor.clean_new - start) : 0;
    if (rc == H1_MORE)
        return view == allowance ? fail(parser, GUACO_HTTP_FAULT_TRAILER_LONG)
                                 : tell(event, GUACO_HTTP_NEED_MORE);
    if (rc == H1_OK && guaco__h1_is_forbidden_trailer(id))
        rc = GUACO_HTTP_FAULT_TRAILER;
    if (rc == H1_OK && parser->trailer_count++ == limits->fields)
        rc = GUACO_HTTP_FAULT_FIELD_COUNT;
    if (rc > 0)
        return fail(parser, rc);

    event->used += (size_t)(cursor.at - start);
    parser->trailer_total += (uint32_t)(cursor.at - start);
    if (rc == H1_OK)
        return tell(event, GUACO_HTTP_TRAILER);
    parser->state = H1_DONE;
    return STEP_AGAIN;
}

static enum step
step_done(struct guaco_http_parser *parser, struct guaco_http_event *event)
{
    bool goes_on = parser->keep_alive && !parser->closing;

    parser->state = goes_on ? H1_HEAD : H1_CLOSED;
    return tell(event, GUACO_HTTP_DONE);
}

/* ---- next ----------------------------------------------------------- */

static enum step
step(struct guaco_http_parser *parser, char *data, size_t len,
     struct guaco_http_head *head, struct guaco_http_event *event)
{
    switch ((enum state)parser->state) {
    case H1_HEAD: return step_head(parser, data, len, head, event);
    case H1_BODY: return step_data(parser, data, len, H1_DONE, event);
    case H1_CHUNK_LINE: return step_chunk_line(parser, data, len, event);
    case H1_CHUNK_DATA:
        return step_data(parser, data, len, H1_CHUNK_NEXT, event);
    case H1_CHUNK_NEXT: return step_chunk_next(parser, data, len, event);
    case H1_TRAILERS: return step_trailers(parser, data, len, event);
    case H1_DONE: return step_done(parser, event);
    case H1_CLOSED:
    case H1_FAILED: break;
    }
    return STEP_FAULT;
}

static int
failure(const struct guaco_http_parser *parser, struct guaco_http_event *event)
{
    event->type = GUACO_HTTP_NEED_MORE;
    if (parser->state == H1_CLOSED)
        return GUACO_E_CLOSED;

    event->fault = (enum guaco_http_fault)parser->fault;
    int status = guaco_http_fault_status(event->fault);
    return status == 413 || status == 414 || status == 431 ? GUACO_E_LIMIT
                                                           : GUACO_E_PROTO;
}

int
guaco_http_parser_next(struct guaco_http_parser *parser, char *data, size_t len,
                       struct guaco_http_head *head,
                       struct guaco_http_event *event)
{
    event->used = 0;
    event->fault = GUACO_HTTP_FAULT_NONE;

    enum step result;
    do { /* at most: CRLF, chunk line, empty trailers, done */
        result = step(parser, data, len, head, event);
    } while (result == STEP_AGAIN);
    return result == STEP_EVENT ? GUACO_OK : failure(parser, event);
}

/* ---- moving a head -------------------------------------------------- */

/* Slices that point to a literal, or nowhere, stay. */
static void
rebase(struct guaco_slice *slice, const char *from, size_t bytes,
       const char *to)
{
    uintptr_t offset = (uintptr_t)slice->at - (uintptr_t)from;

    if (slice->at != NULL && offset <= bytes)
        slice->at = to + offset;
}

void
guaco_http_head_rebase(struct guaco_http_head *head, const char *from,
                       const char *to)
{
    size_t bytes = head->bytes;

    rebase(&head->method, from, bytes, to);
    rebase(&head->target, from, bytes, to);
    rebase(&head->path, from, bytes, to);
    rebase(&head->query, from, bytes, to);
    rebase(&head->authority, from, bytes, to);
    rebase(&head->upgrade, from, bytes, to);
    for (size_t i = 0; i < head->field_count; i++) {
        rebase(&head->fields[i].name, from, bytes, to);
        rebase(&head->fields[i].value, from, bytes, to);
    }
}
