/*
 * A connection that speaks HTTP/2: see h2_conn.h.
 *
 * The codec is never called from within its own ops: what they tell of the end
 * of a stream is noted, and seen by the run.  So applications are called from
 * here alone, and may answer at once.
 */

#include "server/h2_conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "server/proxy.h"
#include "server/request.h"
#include "server/websocket.h"

/* ---- the codec's ops ---- */

void
guaco__h2_set_ready(struct guaco__h2_stream *stream)
{
    struct guaco__conn *c = stream->x->conn;

    if (guaco__list_is_empty(&stream->ready_link))
        guaco__list_push(&c->h2->ready, &stream->ready_link);
    guaco__conn_touch(c);
}

static void
on_closed(void *ctx, void *of, uint32_t code)
{
    struct guaco__h2_stream *stream = of;

    (void)ctx;
    stream->is_closed = true;
    stream->closed_code = code;
    guaco__h2_set_ready(stream);
}

static void
on_pending(void *ctx, void *of, struct guaco__h2_body *body)
{
    const struct guaco__h2_stream *stream = of;

    (void)ctx;
    body->bytes = stream->out_bytes;
    body->is_last = stream->is_finished;
    body->trailers = stream->trailers.fields;
    body->trailer_count = stream->trailers.count;
}

static uint64_t
on_left(void *ctx, const void *of)
{
    const struct guaco__h2_stream *stream = of;
    int64_t body_bytes = stream->x->request.body_bytes;

    (void)ctx;
    if (body_bytes < 0 || stream->x->socket != NULL ||
        (uint64_t)body_bytes < stream->body_bytes)
        return UINT64_MAX;
    return (uint64_t)body_bytes - stream->body_bytes;
}

/* After bytes have left the stream's queue. */
static void
note_progress(struct guaco__h2_stream *stream)
{
    struct guaco__exchange *x = stream->x;
    struct guaco__server *server = x->server;

    if (stream->out_bytes == 0)
        guaco__deadline_clear(&stream->send_deadline);
    else
        guaco__deadline_set(&server->deadlines, &stream->send_deadline,
                            GUACO__DEADLINE_STREAM_SEND,
                            guaco__server_now_ms(server));
    if (stream->out_bytes <= server->options.limits.out_low_bytes &&
        (x->wants_writable || x->socket != NULL))
        guaco__h2_set_ready(stream);
}

static int
on_send(void *ctx, void *of, const unsigned char head[GUACO__H2_FRAME_HEAD],
        size_t len)
{
    struct guaco__conn *c = ctx;
    struct guaco__h2_stream *stream = of;
    int rc;

    if (c->stream.queued_bytes > c->server->options.limits.out_high_bytes)
        return GUACO_E_AGAIN;
    rc = guaco__h2_queue_load(stream, len);
    if (rc == GUACO_OK)
        rc = guaco__stream_write(&c->stream, head, GUACO__H2_FRAME_HEAD);
    if (rc == GUACO_OK)
        rc = guaco__h2_queue_move(stream, &c->stream, len);
    if (rc == GUACO_OK && len > 0)
        note_progress(stream);
    return rc;
}

static const struct guaco__h2_ops codec_ops = {
    .closed = on_closed,
    .pending = on_pending,
    .left = on_left,
    .send = on_send,
};

/* ---- requests ---- */

/* Answer without the application. */
static void
refuse(struct guaco__conn *c, const struct guaco__h2_event *event, int status)
{
    struct guaco__server *server = c->server;

    server->stats.errors++;
    guaco__access_refused(&server->access, &c->peer.face, &event->head, status,
                          0);
    if (guaco__h2_refuse(c->h2->codec, event->id, status) < 0)
        c->has_failed = true;
}

void
guaco__h2_fail(struct guaco__exchange *x, enum guaco_gone_reason reason,
               int status)
{
    if (x->answer == GUACO__ANSWER_OVER)
        return;
    x->server->stats.errors++;
    if (x->answer <= GUACO__ANSWER_HEAD) {
        x->status = status;
        if (x->wire->refuse(x, status) < 0)
            x->conn->has_failed = true;
    } else {
        x->wire->cut(x);
    }
    x->reason = (uint8_t)reason;
    x->is_aborted = true;
    x->answer = GUACO__ANSWER_OVER;
    guaco__conn_touch(x->conn);
}

/* A status to refuse it with, 101 for a WebSocket, or 0. */
static int
judge(const struct guaco__conn *c, const struct guaco__h2_event *event,
      struct guaco__ws_request *request)
{
    const struct guaco__server *server = c->server;

    if (event->fault != GUACO_HTTP_FAULT_NONE)
        return guaco_http_fault_status(event->fault);
    if (guaco__server_is_full(server))
        return 503;
    return event->is_websocket
               ? guaco__socket_judge_h2(server, &event->head, request)
               : 0;
}

/* An exchange with its stream, of which nobody was told. */
static struct guaco__exchange *
new_exchange(struct guaco__conn *c, const struct guaco__h2_event *event)
{
    struct guaco__exchange *x =
        guaco__exchange_new(c->server, c, &event->head, event->head_at);

    if (x == NULL)
        return NULL;
    x->h2 = guaco__h2_stream_new(x, event->id);
    if (x->h2 == NULL) {
        guaco__exchange_end(x);
        return NULL;
    }
    x->request.version_major = 2;
    x->request.version_minor = 0;
    x->wire = &guaco__wire_h2;
    guaco__list_push(&c->h2->streams, &x->h2->link);
    c->h2->stream_count++;
    guaco__h2_attach(c->h2->codec, event->id, x->h2);
    return x;
}

/* What the client owes us of a request's body, and until when. */
static void
await_body(struct guaco__exchange *x)
{
    struct guaco__server *server = x->server;

    if (x->socket != NULL || x->h2->is_held)
        return;
    if (x->body_is_done || x->expects_continue || guaco__request_is_full(x))
        guaco__deadline_clear(&x->h2->deadline);
    else
        guaco__deadline_set(&server->deadlines, &x->h2->deadline,
                            GUACO__DEADLINE_STREAM_BODY,
                            guaco__server_now_ms(server));
}

static void
tell_end(struct guaco__exchange *x)
{
    struct guaco_http_event done = {.type = GUACO_HTTP_DONE};

    if (guaco__request_event(x, &done) < 0)
        guaco__h2_fail(x, GUACO_GONE_ABORTED, 503);
}

static void
on_request(struct guaco__conn *c, const struct guaco__h2_event *event)
{
    struct guaco__ws_request request;
    int status = judge(c, event, &request);
    struct guaco__exchange *x;
    int rc = GUACO_OK;

    if (status != 0 && status != 101) {
        refuse(c, event, status);
        return;
    }
    x = new_exchange(c, event);
    if (x == NULL) {
        refuse(c, event, 503);
        return;
    }
    if (status == 101)
        rc = guaco__socket_prepare(x, &event->head, &request);
    if (rc == GUACO_OK)
        rc = guaco__proxy_apply(x);
    guaco__conn_count_request(c);
    if (rc == GUACO_OK)
        rc = guaco__request_begin(x, 0);
    if (rc < 0)
        guaco__h2_fail(x, GUACO_GONE_ABORTED, rc == GUACO_E_PROTO ? 400 : 503);
    else if (event->is_last)
        tell_end(x);
    await_body(x);
}

/* ---- their bodies ---- */

/* A WebSocket's frames; what is not used stays in the stream, and holds the
 * client back by its window. */
static void
feed_socket(struct guaco__h2_stream *stream, struct guaco_slice data)
{
    struct guaco__exchange *x = stream->x;
    struct guaco__input in = {(char *)(uintptr_t)data.at, data.len};
    size_t before = data.len;
    bool has_more = false;

    if (stream->in.len > 0 || x->answer != GUACO__ANSWER_SOCKET) {
        if (guaco__buf_append(&stream->in, data.at, data.len) < 0) {
            guaco__h2_fail(x, GUACO_GONE_LIMIT, 413);
            return;
        }
        in =
            (struct guaco__input){guaco__buf_data(&stream->in), stream->in.len};
        before = in.len;
    }
    if (x->answer == GUACO__ANSWER_SOCKET)
        has_more = guaco__socket_run(x, &in, stream->is_eof);
    guaco__h2_consume(x->conn->h2->codec, stream->id, before - in.len);
    if (stream->in.len > 0)
        guaco__buf_drop(&stream->in, before - in.len);
    else if (in.len > 0 && guaco__buf_append(&stream->in, in.at, in.len) < 0)
        guaco__h2_fail(x, GUACO_GONE_LIMIT, 413);
    if (x->answer == GUACO__ANSWER_SOCKET)
        guaco__socket_settle(x, data.len > 0);
    if (has_more)
        guaco__h2_set_ready(stream);
}

static void
on_data(struct guaco__conn *c, const struct guaco__h2_event *event)
{
    struct guaco__h2_stream *stream = event->stream;
    struct guaco__exchange *x = stream->x;
    struct guaco_http_event body = {.type = GUACO_HTTP_BODY,
                                    .data = event->data};

    stream->body_bytes += event->data.len;
    if (x->socket != NULL && x->answer != GUACO__ANSWER_OVER) {
        feed_socket(stream, event->data);
        return;
    }
    if (stream->is_held) {
        guaco__h2_consume(c->h2->codec, stream->id, event->data.len);
        if (stream->body_bytes - stream->held_at_bytes >
            c->server->options.limits.drain_bytes_max)
            guaco__h2_let_go(x);
        return;
    }
    if (stream->body_bytes > c->server->http_limits.body_bytes) {
        guaco__h2_consume(c->h2->codec, stream->id, event->data.len);
        guaco__h2_fail(x, GUACO_GONE_LIMIT, 413);
        return;
    }
    if (guaco__request_event(x, &body) < 0)
        guaco__h2_fail(x, GUACO_GONE_ABORTED, 503);
    await_body(x);
}

static void
on_end(const struct guaco__h2_event *event)
{
    struct guaco__h2_stream *stream = event->stream;

    stream->is_eof = true;
    if (stream->is_held)
        guaco__h2_let_go(stream->x);
    else if (stream->x->socket == NULL)
        tell_end(stream->x);
    else
        guaco__h2_set_ready(stream);
    await_body(stream->x);
}

/* ---- the end of a stream ---- */

static void
end_stream(struct guaco__h2_stream *stream, enum guaco_gone_reason reason)
{
    struct guaco__exchange *x = stream->x;
    struct guaco__conn *c = x->conn;
    struct guaco__h2_conn *h2 = c->h2;

    assert(h2->stream_count > 0);
    guaco__h2_attach(h2->codec, stream->id, NULL);
    /* of the body that was told and not consumed, and of what was not told */
    guaco__h2_consume(h2->codec, stream->id,
                      x->socket == NULL ? x->unconsumed_bytes : stream->in.len);
    h2->stream_count--;
    guaco__list_remove(&stream->link);
    guaco__conn_end_exchange(c, x, reason);
}

static enum guaco_gone_reason
reason_of(const struct guaco__h2_stream *stream)
{
    const struct guaco__exchange *x = stream->x;

    if (x->answer == GUACO__ANSWER_OVER &&
        (x->is_aborted || stream->closed_code == GUACO__H2_NO_ERROR))
        return (enum guaco_gone_reason)x->reason;
    return GUACO_GONE_CLIENT;
}

/* Streams of which something is to be told. */
static void
look_at_ready(struct guaco__conn *c)
{
    struct guaco_app *app = c->server->app;
    struct guaco__list now;
    struct guaco__list *link;

    guaco__list_init(&now);
    guaco__list_splice(&now, &c->h2->ready);
    while ((link = guaco__list_shift(&now)) != NULL) {
        struct guaco__h2_stream *stream =
            GUACO__OF(link, struct guaco__h2_stream, ready_link);
        struct guaco__exchange *x = stream->x;

        if (stream->is_closed) {
            end_stream(stream, reason_of(stream));
            continue;
        }
        if (x->wants_writable &&
            stream->out_bytes <= c->server->options.limits.out_low_bytes) {
            x->wants_writable = false;
            app->ops->writable(app, &x->face);
        }
        if (x->socket != NULL && x->answer == GUACO__ANSWER_SOCKET)
            feed_socket(stream, (struct guaco_slice){"", 0});
    }
}

/* ---- the run ---- */

void
guaco__h2_pump(struct guaco__conn *c)
{
    size_t most = c->server->options.limits.out_high_bytes;
    struct guaco_slice bytes;

    while (!c->has_failed && c->stream.queued_bytes <= most) {
        if (guaco__h2_send(c->h2->codec, &bytes) < 0) {
            c->has_failed = true;
            return;
        }
        if (bytes.len == 0)
            return;
        if (guaco__stream_write(&c->stream, bytes.at, bytes.len) < 0)
            c->has_failed = true;
    }
}

void
guaco__h2_push_heads(struct guaco__conn *c)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&c->h2->held)) != NULL)
        guaco__answer_push_head(
            GUACO__OF(link, struct guaco__h2_stream, held_link)->x);
}

bool
guaco__h2_has_work(const struct guaco__conn *c)
{
    return !guaco__list_is_empty(&c->h2->ready) ||
           guaco__h2_wants_send(c->h2->codec);
}

static void
tell(struct guaco__conn *c, const struct guaco__h2_event *event)
{
    switch (event->type) {
    case GUACO__H2_REQUEST: on_request(c, event); break;
    case GUACO__H2_DATA: on_data(c, event); break;
    case GUACO__H2_END: on_end(event); break;
    case GUACO__H2_NEED_MORE: break;
    }
}

/* All that came.  Returns what the codec fails with. */
static int
read_all(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco__h2_event event;
    int rc;

    c->h2->input = in;
    do {
        rc = guaco__h2_next(c->h2->codec, in->at, in->len,
                            guaco__server_now_ms(c->server), &event);
        in->at += event.used;
        in->len -= event.used;
        if (rc == GUACO_OK)
            tell(c, &event);
        look_at_ready(c);
    } while (rc == GUACO_OK && event.type != GUACO__H2_NEED_MORE &&
             !c->has_failed);
    c->h2->input = NULL;
    return rc;
}

/* The client broke the protocol or passed a limit of the connection's. */
static bool
fail_conn(struct guaco__conn *c, int rc, struct guaco__input *in)
{
    if (rc == GUACO_E_NOMEM) {
        c->has_failed = true;
        return true;
    }
    guaco__log(c->server->options.log, GUACO_LOG_DEBUG, "server",
               "HTTP/2: %s by %s",
               rc == GUACO_E_LIMIT ? "a flood" : "a broken protocol",
               c->peer.client_host[0] != '\0' ? c->peer.client_host : "-");
    c->server->stats.errors++;
    in->len = 0;
    guaco__h2_end(c, rc == GUACO_E_LIMIT ? GUACO_GONE_LIMIT : GUACO_GONE_PROTO,
                  GUACO__H2_NO_ERROR);
    return false;
}

bool
guaco__h2_run(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco__h2_conn *h2 = c->h2;
    uint32_t most = c->server->options.limits.keep_alive_max;
    int rc = read_all(c, in);

    if (rc < 0)
        return fail_conn(c, rc, in);
    if (most != 0 && c->request_count >= most && !h2->is_final)
        guaco__h2_refuse_more(c);
    guaco__h2_pump(c);
    look_at_ready(c);
    if (c->has_failed)
        return true;
    if (c->is_eof || guaco__h2_is_over(h2->codec)) {
        guaco__h2_end(c, GUACO_GONE_CLIENT, GUACO__H2_NO_ERROR);
        return false;
    }
    return !(h2->is_final && h2->stream_count == 0 &&
             !guaco__h2_is_draining(h2->codec));
}

/* ---- life ---- */

int
guaco__h2_open(struct guaco__conn *c)
{
    struct guaco__server *server = c->server;
    struct guaco__h2_conn *h2 = calloc(1, sizeof(*h2));

    if (h2 == NULL)
        return GUACO_E_NOMEM;
    guaco__list_init(&h2->streams);
    guaco__list_init(&h2->held);
    guaco__list_init(&h2->ready);
    if (guaco__h2_new(&h2->codec, &server->h2_limits, &codec_ops, c,
                      server->fields, server->field_ids) < 0) {
        free(h2);
        return GUACO_E_NOMEM;
    }
    c->h2 = h2;
    return GUACO_OK;
}

void
guaco__h2_close(struct guaco__conn *c)
{
    if (c->h2 == NULL)
        return;
    assert(c->h2->stream_count == 0);
    guaco__h2_free(c->h2->codec);
    free(c->h2);
    c->h2 = NULL;
}

void
guaco__h2_end(struct guaco__conn *c, enum guaco_gone_reason reason,
              enum guaco__h2_code code)
{
    struct guaco__list *link;

    /* heads that wait refer to exchanges: they leave before these end */
    guaco__h2_push_heads(c);
    guaco__h2_goaway(c->h2->codec, code);
    guaco__h2_pump(c);
    while ((link = guaco__list_first(&c->h2->streams)) != NULL)
        end_stream(GUACO__OF(link, struct guaco__h2_stream, link), reason);
}

void
guaco__h2_refuse_more(struct guaco__conn *c)
{
    if (c->h2->is_final)
        return;
    c->h2->is_final = true;
    guaco__h2_goaway(c->h2->codec, GUACO__H2_NO_ERROR);
    guaco__conn_touch(c);
}

void
guaco__h2_drain(struct guaco__conn *c)
{
    if (c->closes_when_idle)
        return;
    c->closes_when_idle = true;
    guaco__h2_warn(c->h2->codec);
    guaco__conn_touch(c);
}

void
guaco__h2_expired(struct guaco__deadline *deadline,
                  enum guaco__deadline_kind kind)
{
    size_t offset = kind == GUACO__DEADLINE_STREAM_SEND
                        ? offsetof(struct guaco__h2_stream, send_deadline)
                        : offsetof(struct guaco__h2_stream, deadline);
    struct guaco__h2_stream *stream = (void *)((char *)deadline - offset);
    struct guaco__exchange *x = stream->x;

    if (kind == GUACO__DEADLINE_STREAM_LINGER) {
        guaco__h2_let_go(x);
        return;
    }
    x->server->stats.timeouts++;
    if (kind == GUACO__DEADLINE_STREAM_BODY) {
        guaco__h2_fail(x, GUACO_GONE_TIMEOUT, 408);
    } else if (kind == GUACO__DEADLINE_STREAM_SEND) {
        /* its window stays shut: what was answered cannot be sent */
        guaco__h2_reset(x->conn->h2->codec, stream->id, GUACO__H2_CANCEL);
        x->reason = GUACO_GONE_TIMEOUT;
        x->is_aborted = true;
        x->answer = GUACO__ANSWER_OVER;
        guaco__conn_touch(x->conn);
    } else {
        guaco__socket_expired(x, (enum guaco__deadline_kind)(
                                     kind - GUACO__DEADLINE_STREAM_WS_PING +
                                     GUACO__DEADLINE_WS_PING));
        guaco__conn_touch(x->conn);
    }
}
