/*
 * WebSocket: see websocket.h.  Frames are put together in the buffer that held
 * the response's head, and queued from there; a large message that is sent as
 * it is goes out from its owner's memory behind a head of its own.
 */

#include "server/websocket.h"

#include <assert.h>

#include "base/utf8.h"
#include "server/h2_stream.h"
#include "server/request.h"

enum { EVENTS_MAX = 256 }; /* of one run: other connections wait too */

static struct guaco_slice
slice_of(const char *text)
{
    return (struct guaco_slice){text, strlen(text)};
}

/* ---- before accept ---- */

int
guaco__socket_judge(const struct guaco__server *server,
                    const struct guaco_http_head *head,
                    struct guaco__ws_request *request)
{
    static const struct guaco__ws_deflate deflate = GUACO__WS_DEFLATE_DEFAULT;

    if (head->upgrade.len == 0)
        return 0;
    return guaco__ws_check(head, server->options.ws_deflate ? &deflate : NULL,
                           request);
}

int
guaco__socket_judge_h2(const struct guaco__server *server,
                       const struct guaco_http_head *head,
                       struct guaco__ws_request *request)
{
    static const struct guaco__ws_deflate deflate = GUACO__WS_DEFLATE_DEFAULT;

    return guaco__ws_check_h2(
        head, server->options.ws_deflate ? &deflate : NULL, request);
}

int
guaco__socket_prepare(struct guaco__exchange *x,
                      const struct guaco_http_head *head,
                      const struct guaco__ws_request *request)
{
    size_t protocols_len = guaco__ws_protocols(head, NULL);
    char *protocols = guaco__arena_alloc(&x->arena, protocols_len);
    char *key = guaco__arena_dup(&x->arena, request->key.at, request->key.len);

    x->socket = guaco__arena_calloc(&x->arena, 1, sizeof(*x->socket));
    if (protocols == NULL || key == NULL || x->socket == NULL)
        return GUACO_E_NOMEM;
    guaco__ws_protocols(head, protocols);
    x->socket->handshake = *request;
    x->socket->handshake.key.at = key;
    x->request.subprotocols = (struct guaco_slice){protocols, protocols_len};
    x->request.kind = GUACO_REQUEST_WEBSOCKET;
    x->request.scheme =
        x->conn->peer.face.is_tls ? GUACO_SLICE("wss") : GUACO_SLICE("ws");
    return GUACO_OK;
}

/* ---- sending ---- */

/* Queue what a writer appended to x->head. */
static int
queue_frame(struct guaco__exchange *x, int rc)
{
    if (rc == GUACO_OK)
        rc = x->wire->write(x, guaco__buf_data(&x->head), x->head.len);
    guaco__buf_reset(&x->head);
    return rc;
}

/* Send the close frame, if none was sent; then only the peer's is awaited. */
static int
send_close(struct guaco__exchange *x, uint16_t code, struct guaco_slice reason)
{
    struct guaco__socket *socket = x->socket;
    int rc;

    if (socket->close_is_sent)
        return GUACO_E_STATE;
    rc = queue_frame(
        x, guaco__ws_write_close(socket->codec, &x->head, code, reason));
    if (rc < 0)
        return rc;
    socket->close_is_sent = true;
    guaco__conn_touch(x->conn);
    return GUACO_OK;
}

static void
tell_close(struct guaco__exchange *x, uint16_t code, struct guaco_slice reason)
{
    struct guaco_app *app = x->server->app;

    if (x->socket->close_is_told || !x->is_begun)
        return;
    x->socket->close_is_told = true;
    app->ops->message(app, &x->face, GUACO_MESSAGE_CLOSE, reason, code);
}

static void
set_over(struct guaco__exchange *x, enum guaco_gone_reason reason)
{
    x->reason = (uint8_t)reason;
    x->wants_close = true;
    x->answer = GUACO__ANSWER_OVER;
    if (x->wire->end_body(x, true) < 0)
        x->conn->has_failed = true;
}

/* ---- receiving ---- */

static void
on_failure(struct guaco__exchange *x, int rc, uint16_t code)
{
    send_close(x, code, slice_of(""));
    tell_close(x, code, slice_of(""));
    set_over(x, rc == GUACO_E_LIMIT ? GUACO_GONE_LIMIT : GUACO_GONE_PROTO);
}

static void
on_message(struct guaco__exchange *x, const struct guaco__ws_event *event)
{
    struct guaco_app *app = x->server->app;

    if (x->socket->close_is_sent)
        return; /* crossed our close: nobody reads it any more */
    x->unconsumed_bytes += event->data.len;
    app->ops->message(app, &x->face, event->message, event->data, 0);
}

static void
on_close(struct guaco__exchange *x, const struct guaco__ws_event *event)
{
    tell_close(x, event->code, event->data);
    send_close(x, event->code, slice_of("")); /* unless the application has */
    set_over(x, GUACO_GONE_DONE);
}

static void
on_event(struct guaco__exchange *x, const struct guaco__ws_event *event)
{
    struct guaco__socket *socket = x->socket;

    switch (event->type) {
    case GUACO__WS_MESSAGE: on_message(x, event); break;
    case GUACO__WS_PING:
        if (!socket->close_is_sent &&
            queue_frame(x, guaco__ws_write_pong(socket->codec, &x->head,
                                                event->data)) < 0)
            x->conn->has_failed = true;
        break;
    case GUACO__WS_CLOSE: on_close(x, event); break;
    case GUACO__WS_PONG: /* any byte is a sign of life */
    case GUACO__WS_NEED_MORE: break;
    }
}

bool
guaco__socket_is_held(const struct guaco__exchange *x)
{
    return guaco__request_is_full(x) ||
           x->wire->queued_bytes(x) > x->server->options.limits.out_high_bytes;
}

bool
guaco__socket_run(struct guaco__exchange *x, struct guaco__input *in,
                  bool is_eof)
{
    for (int i = 0; i < EVENTS_MAX; i++) {
        struct guaco__ws_event event = {0};
        int rc;

        if (x->answer == GUACO__ANSWER_OVER || guaco__socket_is_held(x))
            return false;
        rc = guaco__ws_next(x->socket->codec, in->at, in->len, &event);
        if (rc < 0) {
            on_failure(x, rc, event.code);
            return false;
        }
        in->at += event.used;
        in->len -= event.used;
        if (event.type == GUACO__WS_NEED_MORE) {
            if (is_eof)
                set_over(x, GUACO_GONE_CLIENT);
            return false;
        }
        on_event(x, &event);
    }
    return true;
}

/* ---- time ---- */

static struct guaco__deadline *
deadline_of(struct guaco__exchange *x)
{
    return x->h2 != NULL ? &x->h2->deadline : &x->conn->deadline;
}

/* A kind of deadline of a WebSocket, where it has a connection or a stream. */
static enum guaco__deadline_kind
kind_of(const struct guaco__exchange *x, enum guaco__deadline_kind kind)
{
    if (x->h2 == NULL)
        return kind;
    return (enum guaco__deadline_kind)(kind - GUACO__DEADLINE_WS_PING +
                                       GUACO__DEADLINE_STREAM_WS_PING);
}

static void
set_deadline(struct guaco__exchange *x, enum guaco__deadline_kind kind,
             bool is_progress)
{
    kind = kind_of(x, kind);
    if (is_progress || !guaco__deadline_is(deadline_of(x), kind))
        guaco__deadline_set(&x->server->deadlines, deadline_of(x), kind,
                            guaco__server_now_ms(x->server));
}

void
guaco__socket_settle(struct guaco__exchange *x, bool has_read)
{
    bool awaits_pong =
        guaco__deadline_is(deadline_of(x), kind_of(x, GUACO__DEADLINE_WS_PONG));

    if (x->socket->close_is_sent)
        set_deadline(x, GUACO__DEADLINE_WS_CLOSE, false);
    else if (has_read || !awaits_pong)
        set_deadline(x, GUACO__DEADLINE_WS_PING, has_read);
}

void
guaco__socket_expired(struct guaco__exchange *x, enum guaco__deadline_kind kind)
{
    struct guaco__conn *c = x->conn;

    if (kind != GUACO__DEADLINE_WS_PING) {
        set_over(x, kind == GUACO__DEADLINE_WS_CLOSE ? GUACO_GONE_DONE
                                                     : GUACO_GONE_TIMEOUT);
        return;
    }
    if (queue_frame(x, guaco__ws_write_ping(x->socket->codec, &x->head,
                                            slice_of(""))) < 0)
        c->has_failed = true;
    set_deadline(x, GUACO__DEADLINE_WS_PONG, true);
}

/* Why there was no close of the peer's (RFC 6455 7.4.1). */
static uint16_t
code_of(enum guaco_gone_reason reason)
{
    switch (reason) {
    case GUACO_GONE_SHUTDOWN: return 1012;
    case GUACO_GONE_ABORTED:
    case GUACO_GONE_TIMEOUT: return 1011;
    case GUACO_GONE_DONE:
    case GUACO_GONE_CLIENT:
    case GUACO_GONE_PROTO:
    case GUACO_GONE_LIMIT: break;
    }
    return 1006;
}

void
guaco__socket_end(struct guaco__exchange *x, enum guaco_gone_reason reason)
{
    uint16_t code = code_of(reason);

    if (x->socket->codec != NULL && code != 1006 && !x->conn->has_failed)
        send_close(x, code, slice_of(""));
    if (reason != GUACO_GONE_ABORTED && x->status < 200)
        tell_close(x, code == 1011 ? 1006 : code, slice_of(""));
    guaco__ws_free(x->socket->codec);
    x->socket->codec = NULL;
}

/* ---- the application's calls ---- */

int
guaco__socket_accept_op(struct guaco_exchange *face,
                        struct guaco_slice subprotocol,
                        const struct guaco_field *fields, size_t count)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    int rc;

    if (x->conn == NULL || x->conn->has_failed)
        return GUACO_E_CLOSED;
    if (x->socket == NULL || x->answer != GUACO__ANSWER_NONE)
        return GUACO_E_STATE;
    if (subprotocol.len > 0 &&
        !guaco__ws_offers(x->request.subprotocols, subprotocol))
        return GUACO_E_INVALID;
    rc = guaco__ws_new(&x->socket->codec, &x->server->ws_limits,
                       &x->socket->handshake.deflate);
    if (rc == GUACO_OK)
        rc = x->wire->accept(x, subprotocol, fields, count);
    if (rc < 0) {
        guaco__ws_free(x->socket->codec);
        x->socket->codec = NULL;
        return rc;
    }
    x->status = 101;
    x->answer = GUACO__ANSWER_SOCKET;
    guaco__conn_touch(x->conn);
    return GUACO_OK;
}

/* Head and payload apart, without a copy of a large one. */
static int
send_plain(struct guaco__exchange *x, enum guaco_message_type type,
           const struct guaco_bytes *data)
{
    struct guaco__stream_piece piece = {data->at, data->len, data->release,
                                        data->owner};
    char head[GUACO__WS_HEAD_BYTES];
    size_t len = guaco__ws_write_frame_head(head, type, data->len);
    int rc;

    if (type == GUACO_MESSAGE_TEXT &&
        !guaco__utf8_is_valid(data->at, data->len))
        return GUACO_E_INVALID;
    rc = x->wire->write(x, head, len);
    if (rc < 0)
        return rc;
    rc = x->wire->give(x, &piece);
    if (rc < 0) {
        x->conn->has_failed = true; /* a head without its payload */
        guaco__conn_touch(x->conn);
    }
    return rc;
}

int
guaco__socket_send_op(struct guaco_exchange *face, enum guaco_message_type type,
                      struct guaco_bytes data)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    struct guaco_slice text = {data.at, data.len};
    int rc;

    if (x->conn == NULL || x->conn->has_failed || x->is_aborted)
        return GUACO_E_CLOSED;
    if (x->answer != GUACO__ANSWER_SOCKET || x->socket->close_is_sent)
        return x->socket != NULL && x->socket->close_is_told ? GUACO_E_CLOSED
                                                             : GUACO_E_STATE;
    if (type != GUACO_MESSAGE_TEXT && type != GUACO_MESSAGE_BINARY)
        return GUACO_E_INVALID;
    if (guaco__ws_is_sent_plain(x->socket->codec, data.len)) {
        rc = send_plain(x, type, &data);
    } else {
        rc = queue_frame(
            x, guaco__ws_write(x->socket->codec, &x->head, type, text));
        if (rc == GUACO_OK && data.release != NULL)
            data.release(data.owner);
    }
    if (rc < 0)
        return rc;
    return guaco__answer_pressure(x);
}

/* Refuse a WebSocket that was not accepted. */
static void
refuse(struct guaco__exchange *x)
{
    x->status = 403;
    if (x->wire->refuse(x, 403) < 0)
        x->conn->has_failed = true;
    set_over(x, GUACO_GONE_DONE);
    guaco__conn_touch(x->conn);
}

int
guaco__socket_close_op(struct guaco_exchange *face, uint16_t code,
                       struct guaco_slice reason)
{
    struct guaco__exchange *x = guaco__exchange_of(face);

    if (x->conn == NULL || x->conn->has_failed || x->is_aborted)
        return GUACO_E_CLOSED;
    if (x->socket == NULL)
        return GUACO_E_STATE;
    if (x->answer == GUACO__ANSWER_SOCKET)
        return send_close(x, code, reason);
    if (x->answer != GUACO__ANSWER_NONE)
        return x->socket->close_is_told ? GUACO_E_CLOSED : GUACO_E_STATE;
    refuse(x);
    return GUACO_OK;
}
