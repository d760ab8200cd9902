/* Heads of answers in HTTP/2: the contract is in h2_writer.h. */

#include "h2_writer.h"

#include <assert.h>
#include <string.h>

#include "fields.h"
#include "h1_int.h"
#include "ws_handshake.h"

enum {
    /* :status, date, server; content-length; what a WebSocket adds */
    MORE_FIELDS = 6,
    DIGITS_MAX = 20,
};

static void
put(struct guaco__h2_draft *out, struct guaco_slice name,
    struct guaco_slice value)
{
    out->fields[out->count++] = (struct guaco_field){name, value};
}

/* Decimal digits in the arena. */
static int
put_number(struct guaco__arena *arena, struct guaco__h2_draft *out,
           struct guaco_slice name, uint64_t number)
{
    char text[DIGITS_MAX];
    char *at = text + sizeof(text);
    char *copy;

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);

    size_t len = (size_t)(text + sizeof(text) - at);

    copy = guaco__arena_dup(arena, at, len);
    if (copy == NULL)
        return GUACO_E_NOMEM;
    put(out, name, (struct guaco_slice){copy, len});
    return GUACO_OK;
}

static int
begin(struct guaco__arena *arena, size_t count, int status,
      struct guaco__h2_draft *out)
{
    out->count = 0;
    out->fields =
        guaco__arena_alloc(arena, (count + MORE_FIELDS) * sizeof(*out->fields));
    if (out->fields == NULL)
        return GUACO_E_NOMEM;
    if (status == 200)
        put(out, GUACO_SLICE(":status"), GUACO_SLICE("200"));
    else if (status != 0)
        return put_number(arena, out, GUACO_SLICE(":status"), (uint64_t)status);
    return GUACO_OK;
}

/* Fields of one connection, which HTTP/2 does not know (RFC 9113 8.2.2). */
static bool
is_of_connection(int id)
{
    return id == GUACO__FIELD_UPGRADE || id == GUACO__FIELD_CONNECTION ||
           id == GUACO__FIELD_TRANSFER_ENCODING ||
           id == GUACO__FIELD_KEEP_ALIVE ||
           id == GUACO__FIELD_PROXY_CONNECTION || id == GUACO__FIELD_TE;
}

/* A copy with the name in lower case. */
static int
put_copy(struct guaco__arena *arena, struct guaco__h2_draft *out,
         const struct guaco_field *field, int id)
{
    struct guaco_slice name = guaco__field_name((enum guaco__field_id)id);
    size_t name_len = name.len > 0 ? 0 : field->name.len;
    char *at = guaco__arena_alloc(arena, name_len + field->value.len);

    if (at == NULL)
        return GUACO_E_NOMEM;
    for (size_t i = 0; i < name_len; i++) {
        char c = field->name.at[i];

        at[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    if (field->value.len > 0)
        memcpy(at + name_len, field->value.at, field->value.len);
    put(out, name.len > 0 ? name : (struct guaco_slice){at, name_len},
        (struct guaco_slice){at + name_len, field->value.len});
    return GUACO_OK;
}

/* The value of a whole line "date: ...\r\n", if there is one. */
static int
put_line(struct guaco__arena *arena, struct guaco__h2_draft *out,
         struct guaco_slice name, struct guaco_slice line)
{
    size_t len = line.len < name.len + 4 ? 0 : line.len - name.len - 4;
    char *copy;

    if (line.len == 0)
        return GUACO_OK;
    copy = guaco__arena_dup(arena, line.at + name.len + 2, len);
    if (copy == NULL)
        return GUACO_E_NOMEM;
    put(out, name, (struct guaco_slice){copy, len});
    return GUACO_OK;
}

static int
put_lines(struct guaco__arena *arena, struct guaco__h2_draft *out,
          const struct guaco__h1_response *response,
          const struct guaco__h1_draft *draft)
{
    int rc = GUACO_OK;

    if (!draft->has_date)
        rc = put_line(arena, out, GUACO_SLICE("date"), response->date_line);
    if (rc == GUACO_OK && !draft->has_server)
        rc = put_line(arena, out, GUACO_SLICE("server"), response->server_line);
    return rc;
}

/* The application's fields but those of the framing; what they say goes to
 * *draft. */
static int
put_fields(struct guaco__arena *arena, struct guaco__h2_draft *out,
           const struct guaco_field *fields, size_t count,
           struct guaco__h1_draft *draft)
{
    for (size_t i = 0; i < count; i++) {
        int id = guaco__h1_field_id(fields[i].name);
        bool writes;

        if (id < 0 || !guaco__is_field_value(fields[i].value))
            return GUACO_E_INVALID;

        int rc = guaco__h1_see_field(draft, id, fields[i].value, &writes);

        if (rc == GUACO_OK && writes && !is_of_connection(id))
            rc = put_copy(arena, out, &fields[i], id);
        if (rc < 0)
            return rc;
    }
    return GUACO_OK;
}

int
guaco__h2_begin_head(struct guaco__arena *arena,
                     const struct guaco__h1_response *response,
                     struct guaco__h2_draft *out, struct guaco__h1_draft *draft)
{
    int rc;

    if (response->status < 200 || response->status > 999)
        return GUACO_E_INVALID;
    *draft = (struct guaco__h1_draft){.status = response->status, .length = -1};
    rc = begin(arena, response->field_count, response->status, out);
    if (rc == GUACO_OK)
        rc = put_fields(arena, out, response->fields, response->field_count,
                        draft);
    if (rc == GUACO_OK)
        rc = put_lines(arena, out, response, draft);
    return rc;
}

int
guaco__h2_end_head(struct guaco__arena *arena, struct guaco__h2_draft *out,
                   const struct guaco__h1_draft *draft,
                   const struct guaco__h1_response *response,
                   struct guaco__h1_decision *decision)
{
    int64_t length = draft->length >= 0 ? draft->length : response->body_bytes;
    int status = draft->status;
    bool has_none = status == 204 || status == 205 || status == 304;

    if (status == 205)
        length = 0;
    if (status == 204 || (status == 304 && draft->length < 0))
        length = -1;
    decision->length = length > 0 ? (uint64_t)length : 0;
    decision->keep_alive = true;
    decision->framing = length >= 0 ? GUACO__H1_LENGTH : GUACO__H1_CHUNKED;
    if (has_none || response->is_head)
        decision->framing = GUACO__H1_NO_BODY;
    if (length < 0)
        return GUACO_OK;
    return put_number(arena, out, GUACO_SLICE("content-length"),
                      decision->length);
}

int
guaco__h2_copy_fields(struct guaco__arena *arena, int status,
                      const struct guaco_field *fields, size_t count,
                      struct guaco__h2_draft *out)
{
    int rc = begin(arena, count, status, out);

    for (size_t i = 0; i < count && rc == GUACO_OK; i++) {
        int id = guaco__h1_field_id(fields[i].name);

        if (id < 0 || !guaco__is_field_value(fields[i].value) ||
            (status == 0 && guaco__h1_is_forbidden_trailer((unsigned)id)))
            return GUACO_E_INVALID;
        if (!is_of_connection(id) && id != GUACO__FIELD_CONTENT_LENGTH)
            rc = put_copy(arena, out, &fields[i], id);
    }
    return rc;
}

/* ---- WebSocket ---- */

static int
put_extension(struct guaco__arena *arena, struct guaco__h2_draft *out,
              const struct guaco__ws_deflate *agreed)
{
    struct guaco__buf text;
    char *copy = NULL;

    guaco__buf_init(&text, 256);
    if (guaco__ws_append_extension(&text, agreed) == GUACO_OK)
        copy = guaco__arena_dup(arena, guaco__buf_data(&text), text.len);
    if (copy != NULL)
        put(out, GUACO_SLICE("sec-websocket-extensions"),
            (struct guaco_slice){copy, text.len});
    guaco__buf_release(&text);
    return copy != NULL ? GUACO_OK : GUACO_E_NOMEM;
}

int
guaco__h2_accept_head(struct guaco__arena *arena,
                      const struct guaco__ws_request *request,
                      struct guaco_slice protocol,
                      const struct guaco__h1_response *response,
                      struct guaco__h2_draft *out)
{
    const struct guaco_field chosen = {GUACO_SLICE("sec-websocket-protocol"),
                                       protocol};
    struct guaco__h1_draft draft = {.length = -1};
    int rc = begin(arena, response->field_count, 200, out);

    for (size_t i = 0; i < response->field_count; i++)
        if (guaco__ws_is_handshake_field(
                guaco__h1_field_id(response->fields[i].name)))
            return GUACO_E_INVALID;
    if (protocol.len > 0 && (protocol.len > 1024 || !guaco__is_token(protocol)))
        return GUACO_E_INVALID;
    if (rc == GUACO_OK && protocol.len > 0)
        rc = put_copy(arena, out, &chosen, GUACO__FIELD_SEC_WEBSOCKET_PROTOCOL);
    if (rc == GUACO_OK && request->deflate.is_on)
        rc = put_extension(arena, out, &request->deflate);
    if (rc == GUACO_OK)
        rc = put_fields(arena, out, response->fields, response->field_count,
                        &draft);
    if (rc == GUACO_OK)
        rc = put_lines(arena, out, response, &draft);
    return rc;
}
