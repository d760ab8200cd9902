/*
 * Connections: their runs, their beginning and what ends them from outside; the
 * steps of a run are in conn_step.c.
 *
 * A step never calls itself through the application: while a connection runs,
 * the answer calls of its exchange only change that exchange's state, and the
 * loop in guaco__conn_run() sees it.  Answers given at other times touch the
 * connection, which is then run at the end of the loop's turn.  So `gone` is
 * told from here alone, nothing is freed under an application's feet, and all
 * that one read or one turn has produced leaves in one system call.
 */

#include "server/conn_int.h"

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

/* ---- the run ---- */

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

        while (steps < STEPS_MAX &&
               guaco__conn_step(c, in) == GUACO__CONN_NEXT_STEP)
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
    guaco__conn_break_off(c, reason);
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
        guaco__conn_start_closing(c);
    } else if (c->x != NULL) {
        guaco__conn_fail_exchange(c, GUACO_GONE_TIMEOUT, 408);
    } else if (c->state == GUACO__CONN_SKIP) {
        c->must_linger = true;
        guaco__conn_start_closing(c);
    } else if (c->state == GUACO__CONN_PROXY) {
        guaco__conn_abort(c, GUACO_GONE_TIMEOUT); /* it is no client yet */
        return;
    } else {
        guaco__conn_refuse(c, &head, 408);
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
        guaco__conn_start_closing(c);
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
    case GUACO__DEADLINE_STREAM_LINGER:
    case GUACO__DEADLINE_STREAM_WS_PING:
    case GUACO__DEADLINE_STREAM_WS_PONG:
    case GUACO__DEADLINE_STREAM_WS_CLOSE:
    case GUACO__DEADLINE_COUNT: break;
    }
}
