/*
 * The life of a connection: see the drawing in conn.h.
 *
 * A step never calls itself through the application: while a connection runs,
 * the answer calls of its exchange only change that exchange's state, and the
 * loop in guaco__conn_run() sees it.  Answers given at other times touch the
 * connection, which is then run at the end of the loop's turn.  So `gone` is
 * told from here alone, nothing is freed under an application's feet, and all
 * that one read or one turn has produced leaves in one system call.
 */

#include "server/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/tls.h"
#include "server/metering.h"
#include "server/h2_conn.h"
#include "server/request.h"
#include "server/websocket.h"

enum {
    STEPS_MAX = 256, /* of one run: other connections wait too */
    ROUNDS_MAX = 16, /* of writing and asking for more in one run */
};

enum next {
    NEXT_STEP, /* the state may go on at once */
    NEXT_WAIT, /* for the client, the application or the loop */
};

static void
take(struct guaco__input *in, size_t used)
{
    assert(used <= in->len);
    in->at += used;
    in->len -= used;
}

/* ---- the end ---- */

static void
start_closing(struct guaco__conn *c)
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

/* Nothing can be sent any more, or nothing should. */
static enum next
break_off(struct guaco__conn *c, enum guaco_gone_reason reason)
{
    if (c->x != NULL)
        end_exchange(c, reason);
    if (c->h2 != NULL)
        guaco__h2_end(c, reason, GUACO__H2_NO_ERROR);
    c->state = GUACO__CONN_CLOSED;
    return NEXT_WAIT;
}

static void
conn_free(struct guaco__conn *c)
{
    struct guaco__server *server = c->server;

    assert(c->x == NULL);
    guaco__server_peer_gone(server, &c->peer);
    server->stats.bytes_out += c->stream.sent_bytes - c->sent_mark;
    guaco__h2_close(c);
    guaco__stream_close(&c->stream);
    guaco__peer_release(&c->peer);
    guaco__buf_release(&c->in);
    guaco__deadline_clear(&c->deadline);
    guaco__deadline_clear(&c->send_deadline);
    guaco__list_remove(&c->link);
    guaco__list_remove(&c->touched_link);
    free(c);
    guaco__server_conn_ended(server);
}

/* ---- H2 ---- */

static enum next
enter_h2(struct guaco__conn *c)
{
    if (guaco__h2_open(c) < 0)
        return break_off(c, GUACO_GONE_CLIENT);
    c->state = GUACO__CONN_H2;
    return NEXT_STEP;
}

static enum next
step_h2(struct guaco__conn *c, struct guaco__input *in)
{
    if (guaco__h2_run(c, in))
        return NEXT_WAIT;
    c->must_linger = true;
    start_closing(c);
    return NEXT_STEP;
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
static enum next
refuse_plain(struct guaco__conn *c)
{
    c->server->stats.errors++;
    if (guaco__answer_refuse(c, 400, GUACO_SLICE("GET")) < 0)
        c->has_failed = true;
    c->must_linger = true;
    start_closing(c);
    return NEXT_STEP;
}

static enum next
step_handshake(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco_error err = {0};
    bool has_read;
    int rc = guaco__stream_handshake(&c->stream, &err);

    if (rc == GUACO_E_AGAIN)
        return NEXT_WAIT;
    if (rc == GUACO_E_UNSUPPORTED)
        return refuse_plain(c);
    if (rc == GUACO_OK)
        rc = guaco__peer_set_tls(&c->peer, guaco__stream_tls(&c->stream));
    if (rc < 0) {
        guaco__log(c->server->options.log, GUACO_LOG_DEBUG, "server",
                   "%s from %s", err.text,
                   c->peer.client_host[0] != '\0' ? c->peer.client_host : "-");
        c->server->stats.errors++;
        return break_off(c, GUACO_GONE_CLIENT);
    }
    c->state = GUACO__CONN_HEAD;
    *in = guaco__input_read(
        c, &has_read); /* often the request came with its end */
    return guaco__stream_tls(&c->stream)->is_h2 ? enter_h2(c) : NEXT_STEP;
}

/* ---- HEAD ---- */

/* Answer without the application and close. */
static enum next
refuse(struct guaco__conn *c, const struct guaco_http_head *head, int status)
{
    int bytes = guaco__answer_refuse(c, status, head->method);

    c->server->stats.errors++;
    guaco__access_refused(&c->server->access, &c->peer.face, head, status,
                          bytes < 0 ? 0 : (uint64_t)bytes);
    c->must_linger = true;
    start_closing(c);
    return NEXT_STEP;
}

/* Break the exchange off: by an answer with this status if none has begun,
 * else by ending the connection in its midst. */
static enum next
fail_exchange(struct guaco__conn *c, enum guaco_gone_reason reason, int status)
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
    start_closing(c);
    return NEXT_STEP;
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

static enum next
begin(struct guaco__conn *c, struct guaco__input *in,
      const struct guaco_http_head *head)
{
    struct guaco__server *server = c->server;
    struct guaco__ws_request request;
    int status = judge(c, head, &request);
    int rc = GUACO_OK;

    if (status != 0 && status != 101)
        return refuse(c, head, status);
    c->x = guaco__exchange_new(server, c, head, in->at);
    if (c->x == NULL)
        return refuse(c, head, 503);
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
        return fail_exchange(c, GUACO_GONE_PROTO, 400);
    return rc < 0 ? fail_exchange(c, GUACO_GONE_ABORTED, 503) : NEXT_STEP;
}

static enum next
step_head(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco__server *server = c->server;
    struct guaco_http_head head = {.fields = server->fields,
                                   .ids = server->field_ids};
    struct guaco_http_event event;
    int rc;

    /* the answers before it leave first: they are this client's to read */
    if (c->stream.queued_bytes > server->options.limits.out_low_bytes)
        return NEXT_WAIT;
    if (in->len == 0 && !c->is_eof)
        return NEXT_WAIT;
    if (!server->options.has_h1)
        return enter_h2(c);
    if (has_preface(c, in)) {
        if (in->len >= GUACO__H2_PREFACE_BYTES)
            return enter_h2(c);
        if (!c->is_eof)
            return NEXT_WAIT;
    }
    rc = guaco_http_parser_next(&c->parser, in->at, in->len, &head, &event);
    if (rc == GUACO_E_CLOSED) {
        start_closing(c);
        return NEXT_STEP;
    }
    if (rc < 0)
        return refuse(c, &head, guaco_http_fault_status(event.fault));
    if (event.type == GUACO_HTTP_HEAD)
        return begin(c, in, &head);
    if (c->is_eof) {
        start_closing(c); /* idle, or a head that will never be whole */
        return NEXT_STEP;
    }
    return NEXT_WAIT;
}

/* ---- EXCHANGE ---- */

/* The answer is queued in full, or was broken off. */
static enum next
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
        start_closing(c);
    } else if (body_is_done) {
        c->state = GUACO__CONN_HEAD;
    } else {
        c->skipped_bytes = 0;
        c->state = GUACO__CONN_SKIP;
    }
    return NEXT_STEP;
}

static enum next
read_body(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco_http_head unused = {0};
    struct guaco_http_event event;
    int rc;

    c->has_unread = guaco__request_is_full(c->x);
    if (c->has_unread)
        return NEXT_WAIT;
    rc = guaco_http_parser_next(&c->parser, in->at, in->len, &unused, &event);
    if (rc < 0)
        return fail_exchange(
            c, rc == GUACO_E_LIMIT ? GUACO_GONE_LIMIT : GUACO_GONE_PROTO,
            guaco_http_fault_status(event.fault));
    take(in, event.used);
    if (event.type == GUACO_HTTP_NEED_MORE)
        return NEXT_WAIT;
    rc = guaco__request_event(c->x, &event);
    return rc < 0 ? fail_exchange(c, GUACO_GONE_ABORTED, 503) : NEXT_STEP;
}

static enum next
step_exchange(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco__exchange *x = c->x;
    struct guaco_app *app = c->server->app;

    /* also of an answered one: most often its end is here already */
    if (!x->body_is_done && read_body(c, in) == NEXT_STEP)
        return NEXT_STEP;
    if (x->answer == GUACO__ANSWER_OVER)
        return finish(c);
    if (x->answer == GUACO__ANSWER_SOCKET) {
        c->state = GUACO__CONN_SOCKET;
        return NEXT_STEP;
    }
    if (c->is_eof && (!x->body_is_done || x->socket != NULL))
        return break_off(c, GUACO_GONE_CLIENT);
    if (c->is_eof && !x->half_closed_is_told) {
        x->half_closed_is_told = true;
        if (app->ops->half_closed != NULL)
            app->ops->half_closed(app, &x->face);
        return NEXT_STEP;
    }
    return NEXT_WAIT;
}

/* ---- SKIP ---- */

/* Read the rest of a body that nobody wants, so that the next request can be
 * found, or give up beyond a cap. */
static enum next
step_skip(struct guaco__conn *c, struct guaco__input *in)
{
    struct guaco_http_head unused = {0};
    struct guaco_http_event event;

    int rc =
        guaco_http_parser_next(&c->parser, in->at, in->len, &unused, &event);

    if (rc < 0 ||
        c->skipped_bytes > c->server->options.limits.drain_bytes_max) {
        c->must_linger = true;
        start_closing(c);
        return NEXT_STEP;
    }
    take(in, event.used);
    c->skipped_bytes += event.used;
    if (event.type == GUACO_HTTP_NEED_MORE)
        return c->is_eof ? break_off(c, GUACO_GONE_CLIENT) : NEXT_WAIT;
    if (event.type == GUACO_HTTP_DONE)
        c->state = GUACO__CONN_HEAD;
    return NEXT_STEP;
}

/* ---- SOCKET ---- */

static enum next
step_socket(struct guaco__conn *c, struct guaco__input *in)
{
    c->has_more |= guaco__socket_run(c->x, in, c->is_eof);
    c->has_unread = guaco__socket_is_held(c->x);
    if (c->has_failed)
        return NEXT_STEP;
    if (c->x->answer != GUACO__ANSWER_OVER)
        return NEXT_WAIT;
    finish(c);
    c->must_linger = true;
    return NEXT_STEP;
}

/* ---- CLOSING and LINGER ---- */

static enum next
step_closing(struct guaco__conn *c, struct guaco__input *in)
{
    bool may_be_unread = in->len > 0 || c->must_linger;

    take(in, in->len);
    if (c->stream.queued_bytes > 0)
        return NEXT_WAIT; /* the flush after this run comes back here */
    if (!may_be_unread || c->is_eof) {
        c->state = GUACO__CONN_CLOSED;
        return NEXT_WAIT;
    }
    /* Closing with bytes unread would reset the connection, and the client
     * could lose our answer (RFC 9112 9.6). */
    guaco__stream_shutdown(&c->stream);
    c->state = GUACO__CONN_LINGER;
    return NEXT_WAIT;
}

static enum next
step_linger(struct guaco__conn *c, struct guaco__input *in)
{
    take(in, in->len);
    if (c->is_eof)
        c->state = GUACO__CONN_CLOSED;
    return NEXT_WAIT;
}

/* ---- the switch ---- */

static enum next
step(struct guaco__conn *c, struct guaco__input *in)
{
    if (c->has_failed && c->state != GUACO__CONN_CLOSED)
        return break_off(c, GUACO_GONE_CLIENT);
    switch ((enum guaco__conn_state)c->state) {
    case GUACO__CONN_PROXY:
        return c->is_eof ? break_off(c, GUACO_GONE_CLIENT) : NEXT_WAIT;
    case GUACO__CONN_HANDSHAKE: return step_handshake(c, in);
    case GUACO__CONN_HEAD: return step_head(c, in);
    case GUACO__CONN_EXCHANGE: return step_exchange(c, in);
    case GUACO__CONN_SKIP: return step_skip(c, in);
    case GUACO__CONN_SOCKET: return step_socket(c, in);
    case GUACO__CONN_H2: return step_h2(c, in);
    case GUACO__CONN_CLOSING: return step_closing(c, in);
    case GUACO__CONN_LINGER: return step_linger(c, in);
    case GUACO__CONN_CLOSED: return NEXT_WAIT;
    }
    return NEXT_WAIT;
}

/* Send what is queued; true when that lets the next step be made. */
static bool
flush(struct guaco__conn *c, const struct guaco__input *in)
{
    size_t low_bytes = c->server->options.limits.out_low_bytes;
    size_t before = c->stream.queued_bytes;
    struct guaco_app *app = c->server->app;

    if (before > 0 && guaco__stream_flush(&c->stream) == GUACO_E_CLOSED) {
        c->has_failed = true;
        return true;
    }
    if (c->stream.queued_bytes > low_bytes)
        return false;
    if (c->state == GUACO__CONN_H2)
        return before > 0 && guaco__h2_has_work(c);
    if (c->x != NULL && c->x->wants_writable) {
        c->x->wants_writable = false;
        app->ops->writable(app, &c->x->face);
        return true;
    }
    if (c->state == GUACO__CONN_CLOSING)
        return before > 0 && c->stream.queued_bytes == 0;
    return c->state == GUACO__CONN_HEAD && before > low_bytes && in->len > 0;
}

/* Steps, then writing, until neither has anything to do. */
static void
run(struct guaco__conn *c, struct guaco__input *in)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int steps = 0;

        while (steps < STEPS_MAX && step(c, in) == NEXT_STEP)
            steps++;
        if (c->state == GUACO__CONN_CLOSED)
            return;
        if (!flush(c, in) && steps < STEPS_MAX)
            return;
        if (steps == STEPS_MAX)
            break;
    }
    c->has_more = true;
}

/* ---- between runs ---- */

/* Bytes wait in TLS, which no event of the socket will tell of. */
static bool
has_unread_input(const struct guaco__conn *c)
{
    return (c->stream.interest & GUACO__READABLE) != 0 &&
           guaco__stream_has_pending(&c->stream);
}

/* It stopped for the others' sake, not for want of work. */
static void
run_again(struct guaco__conn *c)
{
    c->has_more = false;
    guaco__conn_touch(c);
    guaco__loop_keep_awake(c->server->loop);
}

static void
run_with(struct guaco__conn *c, struct guaco__input *in, bool has_read)
{
    c->is_running = true;
    run(c, in);
    c->is_running = false;
    if (c->state != GUACO__CONN_CLOSED) {
        guaco__input_keep(c, in);
        guaco__conn_settle(c, has_read);
        if (c->has_failed || (c->x != NULL && guaco__answer_is_held(c->x)) ||
            (c->h2 != NULL && !guaco__list_is_empty(&c->h2->held)))
            guaco__conn_touch(c);
        if (c->has_more || has_unread_input(c))
            run_again(c);
        else if (c->server->state == GUACO__SERVER_DRAINING &&
                 !c->closes_when_idle)
            guaco__conn_drain(c);
    } else {
        conn_free(c);
    }
}

void
guaco__conn_run(struct guaco__conn *c)
{
    bool has_read = false;
    struct guaco__input in;

    if (c->is_running)
        return;
    in = has_unread_input(c) ? guaco__input_read(c, &has_read)
                             : guaco__input_kept(c);
    run_with(c, &in, has_read);
}

static void
on_event(struct guaco__stream *stream, unsigned events)
{
    struct guaco__conn *c = (struct guaco__conn *)(void *)stream;
    bool has_read = false;
    bool may_read = (events & GUACO__READABLE) != 0 &&
                    (c->state != GUACO__CONN_PROXY || guaco__proxy_greet(c));
    struct guaco__input in =
        may_read ? guaco__input_read(c, &has_read) : guaco__input_kept(c);

    run_with(c, &in, has_read);
}

void
guaco__conn_touch(struct guaco__conn *c)
{
    if (!c->is_running && guaco__list_is_empty(&c->touched_link))
        guaco__list_push(&c->server->touched, &c->touched_link);
}

void
guaco__conns_run_touched(struct guaco__server *server)
{
    struct guaco__list now;
    struct guaco__list *link;

    if (guaco__list_is_empty(&server->touched))
        return;
    guaco__list_init(&now);
    guaco__list_splice(&now, &server->touched);
    while ((link = guaco__list_shift(&now)) != NULL) {
        struct guaco__conn *c =
            GUACO__OF(link, struct guaco__conn, touched_link);

        if (c->x != NULL)
            guaco__answer_push_head(c->x);
        if (c->h2 != NULL)
            guaco__h2_push_heads(c);
        guaco__conn_run(c);
    }
    if (!guaco__list_is_empty(&server->touched))
        guaco__loop_keep_awake(server->loop);
}

/* ---- life ---- */

/* One of the states before the first request, with its deadline. */
static void
enter(struct guaco__conn *c, enum guaco__conn_state state,
      enum guaco__deadline_kind kind)
{
    c->state = (uint8_t)state;
    guaco__deadline_set(&c->server->deadlines, &c->deadline, kind,
                        guaco__server_now_ms(c->server));
}

void
guaco__conn_greeted(struct guaco__conn *c)
{
    if (c->stream.tls != NULL)
        enter(c, GUACO__CONN_HANDSHAKE, GUACO__DEADLINE_HANDSHAKE);
    else
        enter(c, GUACO__CONN_HEAD, GUACO__DEADLINE_IDLE);
}

int
guaco__conn_open(struct guaco__server *server, int fd,
                 const struct sockaddr_storage *from, bool is_tls)
{
    const struct guaco__proxies *proxies = &server->options.proxies;
    struct guaco__conn *c = calloc(1, sizeof(*c));
    int rc;

    if (c == NULL)
        return GUACO_E_NOMEM;
    c->server = server;
    guaco__peer_init(&c->peer, fd, from);
    if (proxies->reads_protocol &&
        !guaco__trust_has(&proxies->protocol, &c->peer.client)) {
        free(c);
        return GUACO_E_INVALID;
    }
    rc = guaco__stream_init(&c->stream, server->loop, &server->pool, fd,
                            on_event);
    if (rc == GUACO_OK && is_tls) {
        rc = guaco__stream_start_tls(&c->stream, server->tls);
        if (rc < 0)
            guaco__stream_abandon(&c->stream);
    }
    if (rc < 0) {
        free(c);
        return rc;
    }
    guaco__list_init(&c->link);
    guaco__list_init(&c->touched_link);
    guaco__deadline_init(&c->deadline);
    guaco__deadline_init(&c->send_deadline);
    guaco_http_parser_init(&c->parser, &server->http_limits);
    guaco__buf_init(&c->in,
                    server->options.limits.head_bytes_max + GUACO__READ_BYTES);
    guaco__list_push(&server->conns, &c->link);
    server->stats.connections++;
    server->stats.connections_open++;
    guaco__metering_crowd(server);
    if (proxies->reads_protocol)
        enter(c, GUACO__CONN_PROXY, GUACO__DEADLINE_HEAD);
    else
        guaco__conn_greeted(c);
    return GUACO_OK;
}

void
guaco__conn_drain(struct guaco__conn *c)
{
    if (c->state == GUACO__CONN_H2)
        guaco__h2_drain(c);
    if (c->state > GUACO__CONN_HEAD || c->in.len > 0)
        return;
    /* What the client has sent, or sends within drain_ms, is still answered,
     * so that a rolling restart loses nothing of a client that is at work; the
     * answer says `connection: close`. */
    c->closes_when_idle = true;
    if (!c->is_running)
        on_event(&c->stream, GUACO__READABLE);
}

void
guaco__conn_abort(struct guaco__conn *c, enum guaco_gone_reason reason)
{
    assert(!c->is_running);
    bool is_socket = c->x != NULL && c->x->answer == GUACO__ANSWER_SOCKET;

    if (c->x != NULL && !is_socket && c->x->answer >= GUACO__ANSWER_BODY)
        guaco__stream_reset(&c->stream);
    break_off(c, reason);
    if ((is_socket || c->h2 != NULL) && c->stream.queued_bytes > 0)
        guaco__stream_flush(&c->stream); /* the close frame, if it fits */
    conn_free(c);
}

/* The head or the body did not come in time.  A body that is skipped has its
 * answer already. */
static void
expire_request(struct guaco__conn *c)
{
    struct guaco_http_head head = {0};

    if (c->state == GUACO__CONN_H2) {
        guaco__h2_end(c, GUACO_GONE_TIMEOUT, GUACO__H2_ENHANCE_YOUR_CALM);
        c->must_linger = true;
        start_closing(c);
    } else if (c->x != NULL) {
        fail_exchange(c, GUACO_GONE_TIMEOUT, 408);
    } else if (c->state == GUACO__CONN_SKIP) {
        c->must_linger = true;
        start_closing(c);
    } else if (c->state == GUACO__CONN_PROXY) {
        guaco__conn_abort(c, GUACO_GONE_TIMEOUT); /* it is no client yet */
        return;
    } else {
        refuse(c, &head, 408);
    }
    guaco__conn_run(c);
}

void
guaco__conn_expired(struct guaco__deadlines *all,
                    struct guaco__deadline *deadline,
                    enum guaco__deadline_kind kind)
{
    size_t offset = offsetof(struct guaco__conn, deadline);

    (void)all;
    if (kind >= GUACO__DEADLINE_STREAM_BODY) {
        guaco__h2_expired(deadline, kind);
        return;
    }
    if (kind == GUACO__DEADLINE_SEND)
        offset = offsetof(struct guaco__conn, send_deadline);

    struct guaco__conn *c = (void *)((char *)deadline - offset);

    c->server->stats.timeouts++;
    switch (kind) {
    case GUACO__DEADLINE_HEAD:
    case GUACO__DEADLINE_BODY: expire_request(c); break;
    case GUACO__DEADLINE_DRAIN:
        if (c->state == GUACO__CONN_H2) {
            guaco__h2_refuse_more(c);
            guaco__conn_run(c);
            break;
        }
        c->must_linger = true;
        start_closing(c);
        guaco__conn_run(c);
        break;
    case GUACO__DEADLINE_HANDSHAKE:
    case GUACO__DEADLINE_SEND:
    case GUACO__DEADLINE_IDLE:
    case GUACO__DEADLINE_LINGER:
        guaco__conn_abort(c, GUACO_GONE_TIMEOUT);
        break;
    case GUACO__DEADLINE_WS_PING:
    case GUACO__DEADLINE_WS_PONG:
    case GUACO__DEADLINE_WS_CLOSE:
        guaco__socket_expired(c->x, kind);
        guaco__conn_run(c);
        break;
    case GUACO__DEADLINE_STREAM_BODY:
    case GUACO__DEADLINE_STREAM_SEND:
    case GUACO__DEADLINE_STREAM_WS_PING:
    case GUACO__DEADLINE_STREAM_WS_PONG:
    case GUACO__DEADLINE_STREAM_WS_CLOSE:
    case GUACO__DEADLINE_COUNT: break;
    }
}
