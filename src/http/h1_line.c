/*
 * The two kinds of line in a head: the request line and the field line (RFC
 * 9112 3 and 5).  A line is read from left to right and refused at the first
 * byte that is wrong, whether or not the rest has come, so that the verdict
 * does not depend on how the bytes were split.  A limit is checked the same
 * way: no scan goes past it.
 */

#include <string.h>

#include "fields.h"
#include "h1_int.h"
#include "scan.h"

/* The end of a scan of at most max + 1 bytes from `from`. */
static char *
scan_end(const struct h1_cursor *cursor, char *from, size_t max)
{
    return (size_t)(cursor->end - from) > max ? from + max + 1 : cursor->end;
}

/* From where to scan a piece that begins at `from`: not again what an earlier
 * call found clean. */
static char *
scan_from(const struct h1_cursor *cursor, char *from)
{
    if (cursor->clean == NULL || cursor->clean <= from)
        return from;
    return from + (cursor->clean - from);
}

/* ---- request line --------------------------------------------------- */

static int
read_method(struct h1_cursor *cursor, const struct guaco_http_limits *limits,
            struct guaco_http_head *head)
{
    char *start = cursor->at;
    char *stop = scan_end(cursor, start, limits->method_bytes);
    char *at = start;
    bool has_lower = false;

    for (; at < stop && guaco__char_is(*at, GUACO__CHAR_TOKEN); at++)
        if (guaco__char_is(*at, GUACO__CHAR_LOWER))
            has_lower = true;
    if ((size_t)(at - start) > limits->method_bytes)
        return GUACO_HTTP_FAULT_METHOD_LONG;
    if (at == cursor->end)
        return H1_MORE;
    if (*at != ' ' || at == start)
        return GUACO_HTTP_FAULT_METHOD;
    head->method = (struct guaco_slice){start, (size_t)(at - start)};
    /* Methods are case-sensitive and none has lower-case letters; but many
     * applications fold the case, so that "get" must not reach them. */
    if (has_lower)
        return GUACO_HTTP_FAULT_METHOD_UNKNOWN;
    cursor->at = at + 1;
    return H1_OK;
}

static int
read_target(struct h1_cursor *cursor, const struct guaco_http_limits *limits,
            struct guaco_http_head *head)
{
    char *start = cursor->at;
    char *stop = scan_end(cursor, start, limits->target_bytes);
    const char *at = guaco__scan_target(scan_from(cursor, start), stop);

    if ((size_t)(at - start) > limits->target_bytes)
        return GUACO_HTTP_FAULT_TARGET_LONG;
    if (at == cursor->end) {
        cursor->clean_new = at;
        return H1_MORE;
    }
    if (*at == '\r' || *at == '\n') /* HTTP/0.9 */
        return GUACO_HTTP_FAULT_REQUEST_LINE;
    if (*at != ' ')
        return GUACO_HTTP_FAULT_TARGET;
    if (at == start)
        return GUACO_HTTP_FAULT_REQUEST_LINE;
    head->target = (struct guaco_slice){start, (size_t)(at - start)};
    cursor->at = start + (at - start) + 1;
    return H1_OK;
}

/* The version byte by byte, for lines that are not whole or not right. */
static int
check_version(const struct h1_cursor *cursor)
{
    static const char form[] = "HTTP/d.d\r\n";

    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        const char *at = cursor->at + i;
        if (at == cursor->end)
            return H1_MORE;
        bool right = form[i] == 'd' ? *at >= '0' && *at <= '9' : *at == form[i];
        if (right)
            continue;
        if (i >= 8 && (*at == '\n' || i == 9))
            return GUACO_HTTP_FAULT_LINE_END;
        return GUACO_HTTP_FAULT_VERSION;
    }
    return H1_OK;
}

static int
read_version(struct h1_cursor *cursor, struct guaco_http_head *head)
{
    int rc = check_version(cursor);
    if (rc != H1_OK)
        return rc;

    char major = cursor->at[5];
    char minor = cursor->at[7];
    if (major != '1' || minor > '1')
        return GUACO_HTTP_FAULT_VERSION_UNKNOWN;
    head->version_minor = (uint8_t)(minor - '0');
    cursor->at += 10;
    return H1_OK;
}

int
guaco__h1_request_line(struct h1_cursor *cursor,
                       const struct guaco_http_limits *limits,
                       struct guaco_http_head *head)
{
    /* RFC 9112 2.2: an empty line before the request line is ignored. */
    if (cursor->at < cursor->end && cursor->at[0] == '\r') {
        if (cursor->end - cursor->at < 2)
            return H1_MORE;
        if (cursor->at[1] != '\n')
            return GUACO_HTTP_FAULT_LINE_END;
        cursor->at += 2;
    }

    int rc = read_method(cursor, limits, head);
    if (rc == H1_OK)
        rc = read_target(cursor, limits, head);
    if (rc == H1_OK)
        rc = read_version(cursor, head);
    return rc == H1_OK ? guaco__h1_target(head) : rc;
}

/* ---- field line ----------------------------------------------------- */

/* CRLF at *at, which is at or before the end of the input. */
static int
check_line_end(const struct h1_cursor *cursor, const char *at)
{
    if (at == cursor->end)
        return H1_MORE;
    if (at[0] != '\r')
        return GUACO_HTTP_FAULT_LINE_END;
    if (at + 1 == cursor->end)
        return H1_MORE;
    return at[1] == '\n' ? H1_OK : GUACO_HTTP_FAULT_LINE_END;
}

/* A line that begins with a byte which no field name begins with. */
static int
read_blank(struct h1_cursor *cursor)
{
    char first = *cursor->at;
    if (first == ' ' || first == '\t')
        return GUACO_HTTP_FAULT_FIELD_FOLDED;
    if (first != '\r' && first != '\n')
        return GUACO_HTTP_FAULT_FIELD_NAME;

    int rc = check_line_end(cursor, cursor->at);
    if (rc != H1_OK)
        return rc;
    cursor->at += 2;
    return H1_BLANK;
}

/* Content_Length and Transfer_Encoding: behind CGI's and WSGI's rule for names
 * they cannot be told from the fields that frame the message. */
static bool
is_twin(struct guaco_slice name)
{
    const struct guaco_slice length = GUACO_SLICE("content-length");
    const struct guaco_slice coding = GUACO_SLICE("transfer-encoding");
    const struct guaco_slice *like = name.len == length.len   ? &length
                                     : name.len == coding.len ? &coding
                                                              : NULL;
    if (like == NULL || memchr(name.at, '_', name.len) == NULL)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i] == '_' ? '-' : name.at[i];
        if (c != like->at[i])
            return false;
    }
    return true;
}

static void
set_trimmed(struct guaco_slice *value, const char *at, const char *end)
{
    while (at < end && guaco__char_is(*at, GUACO__CHAR_SPACE))
        at++;
    while (end > at && guaco__char_is(end[-1], GUACO__CHAR_SPACE))
        end--;
    *value = (struct guaco_slice){at, (size_t)(end - at)};
}

/* The value from behind the colon, and the line's end. */
static int
read_value(struct h1_cursor *cursor, char *start, char *stop, size_t max,
           struct guaco_field *field)
{
    const char *at = guaco__scan_value(scan_from(cursor, start), stop);

    if ((size_t)(at - cursor->at) > max)
        return GUACO_HTTP_FAULT_FIELD_LONG;
    if (at == cursor->end) {
        cursor->clean_new = at;
        return H1_MORE;
    }
    if (*at != '\r' && *at != '\n')
        return GUACO_HTTP_FAULT_FIELD_VALUE;
    int rc = check_line_end(cursor, at);
    if (rc != H1_OK)
        return rc;
    set_trimmed(&field->value, start, at);
    cursor->at += at - cursor->at + 2;
    return H1_OK;
}

int
guaco__h1_field_line(struct h1_cursor *cursor, uint32_t max,
                     struct guaco_field *field, uint8_t *id)
{
    if (cursor->at == cursor->end)
        return H1_MORE;

    char *start = cursor->at;
    char *stop = scan_end(cursor, start, max);
    char *at = guaco__scan_name(start, stop);
    if (at == start)
        return read_blank(cursor);
    if ((size_t)(at - start) > max)
        return GUACO_HTTP_FAULT_FIELD_LONG;
    if (at == cursor->end)
        return H1_MORE;
    if (*at != ':')
        return GUACO_HTTP_FAULT_FIELD_NAME;

    field->name = (struct guaco_slice){start, (size_t)(at - start)};
    *id = (uint8_t)guaco__field_find(field->name);
    if (*id == GUACO__FIELD_OTHER && is_twin(field->name))
        return GUACO_HTTP_FAULT_FIELD_TWIN;
    return read_value(cursor, at + 1, stop, max, field);
}
