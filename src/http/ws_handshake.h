#ifndef GUACO_HTTP_WS_HANDSHAKE_H
#define GUACO_HTTP_WS_HANDSHAKE_H

/*
 * The opening handshake of WebSocket over HTTP/1.1 (RFC 6455 4.2) and the
 * negotiation of permessage-deflate (RFC 7692 5 and 7.1).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/http/parser.h"

/* What is offered for compression, and what was agreed. */
struct guaco__ws_deflate {
    bool is_on;
    bool server_no_takeover; /* each message we send stands alone */
    bool client_no_takeover; /* each message we receive does */
    uint8_t server_bits;     /* window of what we send, 9 to 15 */
    uint8_t client_bits;     /* window of what we receive, 8 to 15 */
};

/* 4 KiB windows: compress nearly as well as 32 KiB for messages of usual
 * size, at an eighth of the memory a connection. */
#define GUACO__WS_DEFLATE_DEFAULT  \
    {                              \
        true, false, false, 12, 12 \
    }

struct guaco__ws_request {
    struct guaco_slice key;           /* Sec-WebSocket-Key, checked */
    struct guaco__ws_deflate deflate; /* agreed; is_on false: none */
};

/*
 * Judge a head of which the parser made no complaint.  `deflate` is what this
 * side would agree to at most (smaller windows and more resets may come out);
 * NULL for none.
 *
 * Returns 0: the client does not ask for a WebSocket, it is an ordinary
 * request; 101: it may be accepted, *request is filled; 400 or 426: refuse it
 * with this status (426 with Sec-WebSocket-Version: 13).
 */
int guaco__ws_check(const struct guaco_http_head *head,
                    const struct guaco__ws_deflate *deflate,
                    struct guaco__ws_request *request);

/* The same for an extended CONNECT of HTTP/2 with `:protocol` websocket (RFC
 * 8441), which has no key: 101 or 426. */
int guaco__ws_check_h2(const struct guaco_http_head *head,
                       const struct guaco__ws_deflate *deflate,
                       struct guaco__ws_request *request);

/* True for the fields of a response that are the handshake's own. */
bool guaco__ws_is_handshake_field(int id);

/* Append the value of Sec-WebSocket-Extensions that agrees. */
int guaco__ws_append_extension(struct guaco__buf *out,
                               const struct guaco__ws_deflate *agreed);

/* Bytes of all Sec-WebSocket-Protocol values joined by commas, written to out
 * unless that is NULL. */
size_t guaco__ws_protocols(const struct guaco_http_head *head, char *out);

/* True when `protocol` is an element of the list, case and all. */
bool
guaco__ws_offers(struct guaco_slice protocols, struct guaco_slice protocol);

/*
 * Append the 101 response: accept key, `protocol` unless it is empty, the
 * agreed extension, the application's fields.
 *
 * Returns 0; GUACO_E_INVALID: `protocol` is no token, a field is not
 * acceptable or is one of the handshake's own (Sec-WebSocket-*, Upgrade,
 * Connection, Content-Length, Transfer-Encoding); GUACO_E_NOMEM,
 * GUACO_E_LIMIT, GUACO_E_UNSUPPORTED (no SHA-1).  After a failure *out is as it
 * was.
 */
int guaco__ws_write_accept(struct guaco__buf *out,
                           const struct guaco__ws_request *request,
                           struct guaco_slice protocol,
                           struct guaco_slice date_line,
                           struct guaco_slice server_line,
                           const struct guaco_field *fields, size_t count);

/* Private to ws_*.c: agree on one of the offers in a
 * Sec-WebSocket-Extensions value.  False when none is acceptable. */
bool guaco__ws_negotiate(struct guaco_slice offers,
                         const struct guaco__ws_deflate *ours,
                         struct guaco__ws_deflate *agreed);

#endif
