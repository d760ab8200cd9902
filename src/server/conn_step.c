/*
 * The steps of a connection, one function a state, and the switch over them: see
 * the drawing in conn.h.  A step looks at what was read and what was answered,
 * and moves the state; runs of steps are conn.c's.
 */

#include "server/conn_int.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "io/tls.h"
#include "server/h2_conn.h"
#include "server/proxy.h"
#include "server/request.h"
#include "server/websocket.h"

static void
take(struct guaco__input *in, size_t used)
{
    assert(used <= in->len);
    in->at += used;
    in->len -= used;
}

/* ---- the end ---- */

void
guaco__conn_start_closing(struct guaco__conn *c)
{
    c->state = GUACO__CONN_CLOSING;
    guaco_http_parser_close(&c->parser);
}

void
guaco__conn_end_exchange(struct guaco__conn *c, struct guaco__exchange *x,
                         enum guaco_gone_reason reason)
{
    struct guaco_app *app = c->server->app;

    guaco__access_exchange(&c->server->access, x);
    if (x->socket != NULL)
        guaco__socket_end(x, reason);
    if (x->is_begun)
        app->ops->gone(app, &x->face, reason);
    if (x->h2 != NULL)
        guaco__h2_stream_release(x->h2);
    else
        c->x = NULL;
    guaco__exchange_end(x);
}

static void
end_exchange(struct guaco__conn *c, enum guaco_gone_reason reason)
{
    guaco__conn_end_exchange(c, c->x, reason);
    c->has_unread = false;
}

enum guaco__conn_next
guaco__conn_break_off(struct guaco__conn *c, enum guaco_gone_reason reason)
{
    if (c->x != NULL)
        end_exchange(c, reason);
    if (c->h2 != NULL)
        guaco__h2_end(c, reason, GUACO__H2_NO_ERROR);
    c->state = GUACO__CONN_CLOSED;
    return GUACO__CONN_NEXT_WAIT;
}

/* ---- H2 ---- */

static enum guaco__conn_next
enter_h2(struct guaco__conn *c)
{
    if (guaco__h2_open(c) < 0)
        return guaco__conn_break_off(c, GUACO_GONE_CLIENT);
    c->state = GUACO__CONN_H2;
    return GUACO__CONN_NEXT_STEP;
}

static enum guaco__conn_next
step_h2(struct guaco__conn *c, struct guaco__input *in)
{
    if (guaco__h2_run(c, in))
        return GUACO__CONN_NEXT_WAIT;
    c->must_linger = true;
    guaco__conn_start_closing(c);
    return GUACO__CONN_NEXT_STEP;
}

/* A client that begins with the preface of HTTP/2, or with the front of it. */
static bool
has_preface(const struct guaco__conn *c, const struct guaco__input *in)
{
    size_t len =
        in->len < GUACO__H2_PREFACE_BYTES ? in->len : GUACO__H2_PREFACE_BYTES;

    return c->request_count == 0 && c->server->options.has_h2 && len > 0 &&
           memcmp(in->at, GUACO__H2_PREFACE, len) == 0;
}

/* ---- HANDSHAKE ---- */

/* The client speaks HTTP where TLS is spoken: it is told so in its own words. */
static enum guaco__conn_next
refuse_plain(struct guaco__conn *c)
{
    c->server->stats.errors++;
    if (guaco__answer_refuse(c, 400, GUACO_SLICE("GET")) < 0)
        c->has_failed = true;
    c->must_linger = true;
    guaco__conn_start_closing(c);
    return GUACO__CONN_NEXT_STEP;
}

static enum guaco__conn_next
step_handshake(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco_error err = {0};
    bool has_read;
    int rc = guaco__stream_handshake(&c->stream, &err);

    if (rc == GUACO_E_AGAIN)
        return GUACO__CONN_NEXT_WAIT;
    if (rc == GUACO_E_UNSUPPORTED)
        return refuse_plain(c);
    if (rc == GUACO_OK)
        rc = guaco__peer_set_tls(&c->peer, guaco__stream_tls(&c->stream));
    if (rc < 0) {
        guaco__log(c->server->options.log, GUACO_LOG_DEBUG, "server",
                   "%s from %s", err.text,
                   c->peer.client_host[0] != '\0' ? c->peer.client_host : "-");
        c->server->stats.errors++;
        return guaco__conn_break_off(c, GUACO_GONE_CLIENT);
    }
    c->state = GUACO__CONN_HEAD;
    *in = guaco__input_read(
        c, &has_read); /* often the request came with its end */
    return guaco__stream_tls(&c->stream)->is_h2 ? enter_h2(c)
                                                : GUACO__CONN_NEXT_STEP;
}

/* ---- HEAD ---- */

enum guaco__conn_next
guaco__conn_refuse(struct guaco__conn *c, const struct guaco_http_head *head,
                   int status)
{
    int bytes = guaco__answer_refuse(c, status, head->method);

    c->server->stats.errors++;
    guaco__access_refused(&c->server->access, &c->peer.face, head, status,
                          bytes < 0 ? 0 : (uint64_t)bytes);
    c->must_linger = true;
    guaco__conn_start_closing(c);
    return GUACO__CONN_NEXT_STEP;
}

enum guaco__conn_next
guaco__conn_fail_exchange(struct guaco__conn *c, enum guaco_gone_reason reason,
                          int status)
{
    struct guaco__exchange *x = c->x;

    if (x->answer <= GUACO__ANSWER_HEAD) {
        x->status = status;
        if (guaco__answer_refuse(c, status, x->request.method) < 0)
            c->has_failed = true;
    }
    c->server->stats.errors++;
    end_exchange(c, reason);
    c->must_linger = true;
    guaco__conn_start_closing(c);
    return GUACO__CONN_NEXT_STEP;
}

/* A status to refuse it with, 101 for a WebSocket, or 0. */
static int
judge(struct guaco__conn *c, const struct guaco_http_head *head,
      struct guaco__ws_request *request)
{
    if (guaco__server_is_full(c->server))
        return 503;
    return guaco__socket_judge(c->server, head, request);
}

void
guaco__conn_count_request(struct guaco__conn *c)
{
    struct guaco__server *server = c->server;
    uint64_t most = server->options.limits.requests_max;

    c->request_count++;
    server->stats.requests++;
    if (most != 0 && server->stats.requests >= most)
        server->is_exhausted = true;
}

static enum guaco__conn_next
begin(struct guaco__conn *c, struct guaco__input *in,
      const struct guaco_http_head *head)
{
    struct guaco__server *server = c->server;
    struct guaco__ws_request request;
    int status = judge(c, head, &request);
    int rc = GUACO_OK;

    if (status != 0 && status != 101)
        return guaco__conn_refuse(c, head, status);
    c->x = guaco__exchange_new(server, c, head, in->at);
    if (c->x == NULL)
        return guaco__conn_refuse(c, head, 503);
    if (status == 101)
        rc = guaco__socket_prepare(c->x, head, &request);
    if (rc == GUACO_OK)
        rc = guaco__proxy_apply(c->x);
    take(in, head->bytes);
    guaco__conn_count_request(c);
    c->state = GUACO__CONN_EXCHANGE;
    if (rc == GUACO_OK)
        rc = guaco__request_begin(c->x, in->len);
    if (rc == GUACO_E_PROTO && !c->x->is_begun)
        return guaco__conn_fail_exchange(c, GUACO_GONE_PROTO, 400);
    return rc < 0 ? guaco__conn_fail_exchange(c, GUACO_GONE_ABORTED, 503)
                  : GUACO__CONN_NEXT_STEP;
}

static enum guaco__conn_next
step_head(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco__server *server = c->server;
    struct guaco_http_head head = {.fields = server->fields,
                                   .ids = server->field_ids};
    struct guaco_http_event event;
    int rc;

    /* the answers before it leave first: they are this client's to read */
    if (c->stream.queued_bytes > server->options.limits.out_low_bytes)
        return GUACO__CONN_NEXT_WAIT;
    if (in->len == 0 && !c->is_eof)
        return GUACO__CONN_NEXT_WAIT;
    if (!server->options.has_h1)
        return enter_h2(c);
    if (has_preface(c, in)) {
        if (in->len >= GUACO__H2_PREFACE_BYTES)
            return enter_h2(c);
        if (!c->is_eof)
            return GUACO__CONN_NEXT_WAIT;
    }
    rc = guaco_http_parser_next(&c->parser, in->at, in->len, &head, &event);
    if (rc == GUACO_E_CLOSED) {
        guaco__conn_start_closing(c);
        return GUACO__CONN_NEXT_STEP;
    }
    if (rc < 0)
        return guaco__conn_refuse(c, &head,
                                  guaco_http_fault_status(event.fault));
    if (event.type == GUACO_HTTP_HEAD)
        return begin(c, in, &head);
    if (c->is_eof) {
        guaco__conn_start_closing(
            c); /* idle, or a head that will never be whole */
        return GUACO__CONN_NEXT_STEP;
    }
    return GUACO__CONN_NEXT_WAIT;
}

/* ---- EXCHANGE ---- */

/* The answer is queued in full, or was broken off. */
static enum guaco__conn_next
finish(struct guaco__conn *c)
{
    struct guaco__exchange *x = c->x;
    bool body_is_done = x->body_is_done;
    bool wants_close = x->wants_close;
    bool is_our_wish = x->request.keep_alive;
    /* a client that still waits for 100 may or may not send its body now */
    bool is_unsure = !body_is_done && x->expects_continue;
    enum guaco_gone_reason reason = (enum guaco_gone_reason)x->reason;
    bool is_cut = x->is_aborted && x->decision.framing == GUACO__H1_UNTIL_CLOSE;

    end_exchange(c, reason);
    if (is_cut) {
        guaco__stream_reset(&c->stream);
        c->state = GUACO__CONN_CLOSED;
    } else if (wants_close || is_unsure) {
        c->must_linger = !body_is_done || is_our_wish;
        guaco__conn_start_closing(c);
    } else if (body_is_done) {
        c->state = GUACO__CONN_HEAD;
    } else {
        c->skipped_bytes = 0;
        c->state = GUACO__CONN_SKIP;
    }
    return GUACO__CONN_NEXT_STEP;
}

static enum guaco__conn_next
read_body(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco_http_head unused = {0};
    struct guaco_http_event event;
    int rc;

    c->has_unread = guaco__request_is_full(c->x);
    if (c->has_unread)
        return GUACO__CONN_NEXT_WAIT;
    rc = guaco_http_parser_next(&c->parser, in->at, in->len, &unused, &event);
    if (rc < 0)
        return guaco__conn_fail_exchange(
            c, rc == GUACO_E_LIMIT ? GUACO_GONE_LIMIT : GUACO_GONE_PROTO,
            guaco_http_fault_status(event.fault));
    take(in, event.used);
    if (event.type == GUACO_HTTP_NEED_MORE)
        return GUACO__CONN_NEXT_WAIT;
    rc = guaco__request_event(c->x, &event);
    return rc < 0 ? guaco__conn_fail_exchange(c, GUACO_GONE_ABORTED, 503)
                  : GUACO__CONN_NEXT_STEP;
}

static enum guaco__conn_next
step_exchange(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco__exchange *x = c->x;
    struct guaco_app *app = c->server->app;

    /* also of an answered one: most often its end is here already */
    if (!x->body_is_done && read_body(c, in) == GUACO__CONN_NEXT_STEP)
        return GUACO__CONN_NEXT_STEP;
    if (x->answer == GUACO__ANSWER_OVER)
        return finish(c);
    if (x->answer == GUACO__ANSWER_SOCKET) {
        c->state = GUACO__CONN_SOCKET;
        return GUACO__CONN_NEXT_STEP;
    }
    if (c->is_eof && (!x->body_is_done || x->socket != NULL))
        return guaco__conn_break_off(c, GUACO_GONE_CLIENT);
    if (c->is_eof && !x->half_closed_is_told) {
        x->half_closed_is_told = true;
        if (app->ops->half_closed != NULL)
            app->ops->half_closed(app, &x->face);
        return GUACO__CONN_NEXT_STEP;
    }
    return GUACO__CONN_NEXT_WAIT;
}

/* ---- SKIP ---- */

/* Read the rest of a body that nobody wants, so that the next request can be
 * found, or give up beyond a cap. */
static enum guaco__conn_next
step_skip(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco_http_head unused = {0};
    struct guaco_http_event event;

    int rc =
        guaco_http_parser_next(&c->parser, in->at, in->len, &unused, &event);

    if (rc < 0 ||
        c->skipped_bytes > c->server->options.limits.drain_bytes_max) {
        c->must_linger = true;
        guaco__conn_start_closing(c);
        return GUACO__CONN_NEXT_STEP;
    }
    take(in, event.used);
    c->skipped_bytes += event.used;
    if (event.type == GUACO_HTTP_NEED_MORE)
        return c->is_eof ? guaco__conn_break_off(c, GUACO_GONE_CLIENT)
                         : GUACO__CONN_NEXT_WAIT;
    if (event.type == GUACO_HTTP_DONE)
        c->state = GUACO__CONN_HEAD;
    return GUACO__CONN_NEXT_STEP;
}

/* ---- SOCKET ---- */

static enum guaco__conn_next
step_socket(struct guaco__conn *c, struct guaco__input *in)
{
    c->has_more |= guaco__socket_run(c->x, in, c->is_eof);
    c->has_unread = guaco__socket_is_held(c->x);
    if (c->has_failed)
        return GUACO__CONN_NEXT_STEP;
    if (c->x->answer != GUACO__ANSWER_OVER)
        return GUACO__CONN_NEXT_WAIT;
    finish(c);
    c->must_linger = true;
    return GUACO__CONN_NEXT_STEP;
}

/* ---- CLOSING and LINGER ---- */

static enum guaco__conn_next
step_closing(struct guaco__conn *c, struct guaco__input *in)
{
    bool may_be_unread = in->len > 0 || c->must_linger;

    take(in, in->len);
    if (c->stream.queued_bytes > 0)
        return GUACO__CONN_NEXT_WAIT; /* the flush after this run comes back here */
    if (!may_be_unread || c->is_eof) {
        c->state = GUACO__CONN_CLOSED;
        return GUACO__CONN_NEXT_WAIT;
    }
    /* Closing with bytes unread would reset the connection, and the client
     * could lose our answer (RFC 9112 9.6). */
    guaco__stream_shutdown(&c->stream);
    c->state = GUACO__CONN_LINGER;
    return GUACO__CONN_NEXT_WAIT;
}

static enum guaco__conn_next
step_linger(struct guaco__conn *c, struct guaco__input *in)
{
    take(in, in->len);
    if (c->is_eof)
        c->state = GUACO__CONN_CLOSED;
    return GUACO__CONN_NEXT_WAIT;
}

/* ---- the switch ---- */

enum guaco__conn_next
guaco__conn_step(struct guaco__conn *c, struct guaco__input *in)
{
    if (c->has_failed && c->state != GUACO__CONN_CLOSED)
        return guaco__conn_break_off(c, GUACO_GONE_CLIENT);
    switch ((enum guaco__conn_state)c->state) {
    case GUACO__CONN_PROXY:
        return c->is_eof ? guaco__conn_break_off(c, GUACO_GONE_CLIENT)
                         : GUACO__CONN_NEXT_WAIT;
    case GUACO__CONN_HANDSHAKE: return step_handshake(c, in);
    case GUACO__CONN_HEAD: return step_head(c, in);
    case GUACO__CONN_EXCHANGE: return step_exchange(c, in);
    case GUACO__CONN_SKIP: return step_skip(c, in);
    case GUACO__CONN_SOCKET: return step_socket(c, in);
    case GUACO__CONN_H2: return step_h2(c, in);
    case GUACO__CONN_CLOSING: return step_closing(c, in);
    case GUACO__CONN_LINGER: return step_linger(c, in);
    case GUACO__CONN_CLOSED: return GUACO__CONN_NEXT_WAIT;
    }
    return GUACO__CONN_NEXT_WAIT;
}
