#include "ws_handshake.h"

#include <string.h>

#include "base/base64.h"
#include "base/digest.h"
#include "fields.h"
#include "h1_writer.h"

enum {
    KEY_TEXT_BYTES = 24,
    KEY_BYTES = 16,
    ACCEPT_TEXT_BYTES = 28,
};

/* ---- the request ---------------------------------------------------- */

/* The only value of a field; len 0 when it is missing or repeated. */
static struct guaco_slice
single_value(const struct guaco_http_head *head, enum guaco__field_id id)
{
    struct guaco_slice value = {NULL, 0};

    for (size_t i = 0; i < head->field_count; i++) {
        if (head->ids[i] != id)
            continue;
        if (value.at != NULL)
            return (struct guaco_slice){NULL, 0};
        value = head->fields[i].value;
    }
    return value;
}

static bool
asks_for_websocket(const struct guaco_http_head *head)
{
    if (head->upgrade.at == NULL)
        return false;
    for (size_t i = 0; i < head->field_count; i++)
        if (head->ids[i] == GUACO__FIELD_UPGRADE &&
            guaco__list_has(head->fields[i].value, GUACO_SLICE("websocket")))
            return true;
    return false;
}

static bool
is_key(struct guaco_slice key)
{
    unsigned char bytes[KEY_TEXT_BYTES / 4 * 3];
    size_t len;

    return key.len == KEY_TEXT_BYTES &&
           guaco__base64_decode(key.at, key.len, bytes, &len) == GUACO_OK &&
           len == KEY_BYTES;
}

static void
negotiate(const struct guaco_http_head *head,
          const struct guaco__ws_deflate *ours,
          struct guaco__ws_deflate *agreed)
{
    *agreed = (struct guaco__ws_deflate){.is_on = false};
    if (ours == NULL || !ours->is_on)
        return;
    for (size_t i = 0; i < head->field_count; i++)
        if (head->ids[i] == GUACO__FIELD_SEC_WEBSOCKET_EXTENSIONS &&
            guaco__ws_negotiate(head->fields[i].value, ours, agreed))
            return;
}

int
guaco__ws_check(const struct guaco_http_head *head,
                const struct guaco__ws_deflate *deflate,
                struct guaco__ws_request *request)
{
    if (!asks_for_websocket(head))
        return 0;
    if (!guaco_slice_equals(head->method, GUACO_SLICE("GET")) ||
        head->body_bytes != 0)
        return 400;

    struct guaco_slice version =
        single_value(head, GUACO__FIELD_SEC_WEBSOCKET_VERSION);
    if (!guaco_slice_equals(version, GUACO_SLICE("13")))
        return 426;
    request->key = single_value(head, GUACO__FIELD_SEC_WEBSOCKET_KEY);
    if (!is_key(request->key))
        return 400;
    negotiate(head, deflate, &request->deflate);
    return 101;
}

int
guaco__ws_check_h2(const struct guaco_http_head *head,
                   const struct guaco__ws_deflate *deflate,
                   struct guaco__ws_request *request)
{
    struct guaco_slice version =
        single_value(head, GUACO__FIELD_SEC_WEBSOCKET_VERSION);

    if (!guaco_slice_equals(version, GUACO_SLICE("13")))
        return 426;
    request->key = GUACO_SLICE("");
    negotiate(head, deflate, &request->deflate);
    return 101;
}

size_t
guaco__ws_protocols(const struct guaco_http_head *head, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < head->field_count; i++) {
        struct guaco_slice value = head->fields[i].value;
        if (head->ids[i] != GUACO__FIELD_SEC_WEBSOCKET_PROTOCOL ||
            value.len == 0)
            continue;
        if (len > 0) {
            if (out != NULL)
                out[len] = ',';
            len++;
        }
        if (out != NULL)
            memcpy(out + len, value.at, value.len);
        len += value.len;
    }
    return len;
}

bool
guaco__ws_offers(struct guaco_slice protocols, struct guaco_slice protocol)
{
    struct guaco_slice offered;

    while (guaco__list_next(&protocols, &offered))
        if (guaco_slice_equals(offered, protocol))
            return true;
    return false;
}

/* ---- the response --------------------------------------------------- */

/* RFC 6455 4.2.2, 5.4: base64(SHA-1(key + GUID)). */
static int
accept_key(struct guaco_slice key, char out[ACCEPT_TEXT_BYTES])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_TEXT_BYTES + sizeof(guid) - 1];
    unsigned char digest[GUACO__SHA1_BYTES];

    memcpy(text, key.at, KEY_TEXT_BYTES);
    memcpy(text + KEY_TEXT_BYTES, guid, sizeof(guid) - 1);
    int rc = guaco__sha1(text, sizeof(text), digest);
    if (rc == GUACO_OK)
        guaco__base64_encode(digest, sizeof(digest), out);
    return rc;
}

static int
append_slice(struct guaco__buf *out, struct guaco_slice slice)
{
    return guaco__buf_append(out, slice.at, slice.len);
}

int
guaco__ws_append_extension(struct guaco__buf *out,
                           const struct guaco__ws_deflate *agreed)
{
    int rc = append_slice(out, GUACO_SLICE("permessage-deflate"));
    if (rc == GUACO_OK && agreed->server_no_takeover)
        rc = append_slice(out, GUACO_SLICE("; server_no_context_takeover"));
    if (rc == GUACO_OK && agreed->client_no_takeover)
        rc = append_slice(out, GUACO_SLICE("; client_no_context_takeover"));
    if (rc == GUACO_OK && agreed->server_bits < 15)
        rc = guaco__buf_printf(out, "; server_max_window_bits=%d",
                               agreed->server_bits);
    if (rc == GUACO_OK && agreed->client_bits < 15)
        rc = guaco__buf_printf(out, "; client_max_window_bits=%d",
                               agreed->client_bits);
    return rc;
}

static int
append_extension(struct guaco__buf *out, const struct guaco__ws_deflate *agreed)
{
    int rc = append_slice(out, GUACO_SLICE("sec-websocket-extensions: "));
    if (rc == GUACO_OK)
        rc = guaco__ws_append_extension(out, agreed);
    return rc == GUACO_OK ? append_slice(out, GUACO_SLICE("\r\n")) : rc;
}

static int
append_handshake(struct guaco__buf *out,
                 const struct guaco__ws_request *request,
                 struct guaco_slice protocol)
{
    char key[ACCEPT_TEXT_BYTES];

    int rc = accept_key(request->key, key);
    if (rc == GUACO_OK)
        rc = append_slice(
            out, GUACO_SLICE("HTTP/1.1 101 Switching Protocols\r\n"
                             "upgrade: websocket\r\nconnection: Upgrade\r\n"
                             "sec-websocket-accept: "));
    if (rc == GUACO_OK)
        rc = guaco__buf_append(out, key, sizeof(key));
    if (rc == GUACO_OK)
        rc = append_slice(out, GUACO_SLICE("\r\n"));
    if (rc == GUACO_OK && protocol.len > 0)
        rc = guaco__buf_printf(out, "sec-websocket-protocol: %.*s\r\n",
                               (int)protocol.len, protocol.at);
    if (rc == GUACO_OK && request->deflate.is_on)
        rc = append_extension(out, &request->deflate);
    return rc;
}

bool
guaco__ws_is_handshake_field(int id)
{
    return (id >= GUACO__FIELD_SEC_WEBSOCKET_ACCEPT &&
            id <= GUACO__FIELD_SEC_WEBSOCKET_VERSION) ||
           id == GUACO__FIELD_UPGRADE || id == GUACO__FIELD_CONNECTION ||
           id == GUACO__FIELD_CONTENT_LENGTH ||
           id == GUACO__FIELD_TRANSFER_ENCODING;
}

static int
append_fields(struct guaco__buf *out, struct guaco_slice date_line,
              struct guaco_slice server_line, const struct guaco_field *fields,
              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int id = guaco__h1_field_id(fields[i].name);
        if (id < 0 || guaco__ws_is_handshake_field(id) ||
            !guaco__is_field_value(fields[i].value))
            return GUACO_E_INVALID;
        int rc = guaco__h1_append_field(out, &fields[i]);
        if (rc != GUACO_OK)
            return rc;
        if (id == GUACO__FIELD_DATE)
            date_line.len = 0;
        if (id == GUACO__FIELD_SERVER)
            server_line.len = 0;
    }
    int rc = append_slice(out, date_line);
    if (rc == GUACO_OK)
        rc = append_slice(out, server_line);
    return rc == GUACO_OK ? append_slice(out, GUACO_SLICE("\r\n")) : rc;
}

int
guaco__ws_write_accept(struct guaco__buf *out,
                       const struct guaco__ws_request *request,
                       struct guaco_slice protocol,
                       struct guaco_slice date_line,
                       struct guaco_slice server_line,
                       const struct guaco_field *fields, size_t count)
{
    size_t before = out->len;

    if (protocol.len > 0 && (protocol.len > 1024 || !guaco__is_token(protocol)))
        return GUACO_E_INVALID;
    int rc = append_handshake(out, request, protocol);
    if (rc == GUACO_OK)
        rc = append_fields(out, date_line, server_line, fields, count);
    if (rc != GUACO_OK)
        guaco__buf_cut(out, before);
    return rc;
}
