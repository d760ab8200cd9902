#include "h1_writer.h"

#include <assert.h>
#include <string.h>

#include "base/date.h"
#include "fields.h"
#include "h1_int.h"
#include "scan.h"

enum {
    NAME_BYTES_MAX = 63, /* longer names are not looked up */
    DIGITS_MAX = 20,
};

/* ---- fields --------------------------------------------------------- */

int
guaco__h1_field_id(struct guaco_slice name)
{
    char lower[NAME_BYTES_MAX + 1];

    if (name.len > NAME_BYTES_MAX)
        return guaco__is_token(name) ? (int)GUACO__FIELD_OTHER : -1;
    if (name.len == 0)
        return -1;
    memcpy(lower, name.at, name.len);
    if (guaco__scan_name(lower, lower + name.len) != lower + name.len)
        return -1;
    return (int)guaco__field_find((struct guaco_slice){lower, name.len});
}

int
guaco__h1_append_field(struct guaco__buf *out, const struct guaco_field *field)
{
    size_t len = field->name.len + 2 + field->value.len + 2;
    int rc = guaco__buf_reserve(out, len);
    if (rc != GUACO_OK)
        return rc;

    char *at = guaco__buf_end(out);
    memcpy(at, field->name.at, field->name.len);
    at += field->name.len;
    *at++ = ':';
    *at++ = ' ';
    if (field->value.len > 0)
        memcpy(at, field->value.at, field->value.len);
    at += field->value.len;
    *at++ = '\r';
    *at = '\n';
    guaco__buf_commit(out, len);
    return GUACO_OK;
}

static int
read_length(struct guaco_slice value, int64_t *length)
{
    int64_t n = 0;

    if (value.len == 0 || *length >= 0)
        return GUACO_E_INVALID;
    for (size_t i = 0; i < value.len; i++) {
        int digit = value.at[i] - '0';
        if (digit < 0 || digit > 9 || n > (INT64_MAX - digit) / 10)
            return GUACO_E_INVALID;
        n = n * 10 + digit;
    }
    *length = n;
    return GUACO_OK;
}

int
guaco__h1_see_field(struct guaco__h1_draft *draft, int id,
                    struct guaco_slice value, bool *writes)
{
    *writes = false;
    switch (id) {
    case GUACO__FIELD_CONTENT_LENGTH:
        return read_length(guaco__trim(value), &draft->length);
    case GUACO__FIELD_TRANSFER_ENCODING:
    case GUACO__FIELD_KEEP_ALIVE:
    case GUACO__FIELD_PROXY_CONNECTION: return GUACO_OK;
    case GUACO__FIELD_CONNECTION:
        draft->closes |= guaco__list_has(value, GUACO_SLICE("close"));
        draft->upgrades |= guaco__list_has(value, GUACO_SLICE("upgrade"));
        return GUACO_OK;
    case GUACO__FIELD_DATE: draft->has_date = true; break;
    case GUACO__FIELD_SERVER: draft->has_server = true; break;
    }
    *writes = true;
    return GUACO_OK;
}

static int
append_fields(struct guaco__buf *out, const struct guaco_field *fields,
              size_t count, struct guaco__h1_draft *draft)
{
    for (size_t i = 0; i < count; i++) {
        int id = guaco__h1_field_id(fields[i].name);
        bool writes;
        if (id < 0 || !guaco__is_field_value(fields[i].value))
            return GUACO_E_INVALID;
        int rc = guaco__h1_see_field(draft, id, fields[i].value, &writes);
        if (rc == GUACO_OK && writes)
            rc = guaco__h1_append_field(out, &fields[i]);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

/* ---- head ----------------------------------------------------------- */

static int
append_slice(struct guaco__buf *out, struct guaco_slice slice)
{
    return guaco__buf_append(out, slice.at, slice.len);
}

static int
append_status_line(struct guaco__buf *out, int status)
{
    struct guaco_slice line = guaco__h1_status_line(status);
    if (line.len > 0)
        return append_slice(out, line);
    /* RFC 9112 4: the space stays when there is no reason phrase. */
    return guaco__buf_printf(out, "HTTP/1.1 %03d \r\n", status);
}

static int
append_length(struct guaco__buf *out, uint64_t length)
{
    static const char name[] = "content-length: ";
    char line[sizeof(name) + DIGITS_MAX + 2];
    char *end = line + sizeof(line);
    char *at = end;

    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    at -= sizeof(name) - 1;
    memcpy(at, name, sizeof(name) - 1);
    return guaco__buf_append(out, at, (size_t)(end - at));
}

static void
decide(const struct guaco__h1_draft *draft,
       const struct guaco__h1_response *response,
       struct guaco__h1_decision *decision)
{
    int64_t length = draft->length >= 0 ? draft->length : response->body_bytes;
    bool is_11 = response->version_minor > 0;

    decision->length = length > 0 ? (uint64_t)length : 0;
    decision->keep_alive = response->keep_alive && !draft->closes;
    if (response->trailers && is_11)
        decision->framing = GUACO__H1_CHUNKED;
    else if (length >= 0)
        decision->framing = GUACO__H1_LENGTH;
    else
        decision->framing = is_11 ? GUACO__H1_CHUNKED : GUACO__H1_UNTIL_CLOSE;
}

/* The framing fields that announce the decision, those of HEAD and 304 as if
 * the body followed; and what then really follows. */
static int
append_framing(struct guaco__buf *out, const struct guaco__h1_draft *draft,
               const struct guaco__h1_response *response,
               struct guaco__h1_decision *decision)
{
    enum guaco__h1_framing framing = decision->framing;
    int status = draft->status;

    if (status == 204 || status == 205 || status == 304 || response->is_head)
        decision->framing = GUACO__H1_NO_BODY;
    if (status == 204 || (status == 304 && draft->length < 0))
        return GUACO_OK;
    if (status == 205)
        return append_length(out, 0);
    if (status == 304)
        return append_length(out, decision->length);
    if (framing == GUACO__H1_LENGTH)
        return append_length(out, decision->length);
    if (framing == GUACO__H1_CHUNKED)
        return append_slice(out, GUACO_SLICE("transfer-encoding: chunked\r\n"));
    if (decision->framing == GUACO__H1_UNTIL_CLOSE)
        decision->keep_alive = false;
    return GUACO_OK;
}

static int
append_connection(struct guaco__buf *out, const struct guaco__h1_draft *draft,
                  const struct guaco__h1_response *response, bool keep_alive)
{
    if (!keep_alive)
        return append_slice(
            out, draft->upgrades ? GUACO_SLICE("connection: close, upgrade\r\n")
                                 : GUACO_SLICE("connection: close\r\n"));
    if (draft->upgrades)
        return append_slice(out, GUACO_SLICE("connection: upgrade\r\n"));
    if (response->version_minor == 0)
        return append_slice(out, GUACO_SLICE("connection: keep-alive\r\n"));
    return GUACO_OK;
}

int
guaco__h1_begin_head(struct guaco__buf *out,
                     const struct guaco__h1_response *response,
                     struct guaco__h1_draft *draft)
{
    size_t before = out->len;

    if (response->status < 200 || response->status > 999)
        return GUACO_E_INVALID;
    *draft = (struct guaco__h1_draft){.status = response->status, .length = -1};

    int rc = append_status_line(out, response->status);
    if (rc == GUACO_OK)
        rc = append_fields(out, response->fields, response->field_count, draft);
    if (rc == GUACO_OK && !draft->has_date)
        rc = append_slice(out, response->date_line);
    if (rc == GUACO_OK && !draft->has_server)
        rc = append_slice(out, response->server_line);
    if (rc != GUACO_OK)
        guaco__buf_cut(out, before);
    return rc;
}

int
guaco__h1_end_head(struct guaco__buf *out, const struct guaco__h1_draft *draft,
                   const struct guaco__h1_response *response,
                   struct guaco__h1_decision *decision)
{
    size_t before = out->len;

    decide(draft, response, decision);

    int rc = append_framing(out, draft, response, decision);
    if (rc == GUACO_OK)
        rc = append_connection(out, draft, response, decision->keep_alive);
    if (rc == GUACO_OK)
        rc = append_slice(out, GUACO_SLICE("\r\n"));
    if (rc != GUACO_OK)
        guaco__buf_cut(out, before);
    return rc;
}

int
guaco__h1_write_inform(struct guaco__buf *out, int status,
                       const struct guaco_field *fields, size_t count)
{
    size_t before = out->len;
    struct guaco__h1_draft ignored = {.length = -1};

    if (status < 100 || status > 199 || status == 101)
        return GUACO_E_INVALID;
    int rc = append_status_line(out, status);
    if (rc == GUACO_OK)
        rc = append_fields(out, fields, count, &ignored);
    if (rc == GUACO_OK)
        rc = append_slice(out, GUACO_SLICE("\r\n"));
    if (rc != GUACO_OK)
        guaco__buf_cut(out, before);
    return rc;
}

/* ---- body ----------------------------------------------------------- */

static int
append_trailer(struct guaco__buf *out, const struct guaco_field *field)
{
    int id = guaco__h1_field_id(field->name);

    if (id < 0 || guaco__h1_is_forbidden_trailer((unsigned)id) ||
        !guaco__is_field_value(field->value))
        return GUACO_E_INVALID;
    return guaco__h1_append_field(out, field);
}

int
guaco__h1_write_last_chunk(struct guaco__buf *out,
                           const struct guaco_field *fields, size_t count)
{
    size_t before = out->len;

    int rc = append_slice(out, GUACO_SLICE("0\r\n"));
    for (size_t i = 0; rc == GUACO_OK && i < count; i++)
        rc = append_trailer(out, &fields[i]);
    if (rc == GUACO_OK)
        rc = append_slice(out, GUACO_SLICE("\r\n"));
    if (rc != GUACO_OK)
        guaco__buf_cut(out, before);
    return rc;
}

size_t
guaco__h1_write_chunk_line(char out[GUACO__H1_CHUNK_LINE_BYTES], uint64_t size)
{
    assert(size > 0);

    int digits = (67 - __builtin_clzll(size)) / 4;
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = "0123456789abcdef"[size & 15];
        size >>= 4;
    }
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return (size_t)digits + 2;
}

void
guaco__h1_date_line(char out[GUACO__H1_DATE_LINE_BYTES], int64_t unix_s)
{
    char date[GUACO__DATE_HTTP_BYTES];

    if (unix_s < GUACO__DATE_MIN_S || unix_s > GUACO__DATE_MAX_S)
        unix_s = 0;
    guaco__date_format_http(unix_s, date);
    memcpy(out, "date: ", 6);
    memcpy(out + 6, date, GUACO__DATE_HTTP_BYTES - 1);
    memcpy(out + 35, "\r\n", 2);
}
