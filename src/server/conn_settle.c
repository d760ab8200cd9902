/*
 * What a connection waits for between two runs: until when, for the client's
 * next step and for its taking of what we send, and whether to read.
 */

#include "server/conn.h"
#include "server/h2_conn.h"
#include "server/websocket.h"

static void
set_deadline(struct guaco__conn *c, enum guaco__deadline_kind kind,
             bool is_progress)
{
    if (!is_progress && guaco__deadline_is(&c->deadline, kind))
        return;
    guaco__deadline_set(&c->server->deadlines, &c->deadline, kind,
                        guaco__server_now_ms(c->server));
}

/* Streams have deadlines of their own. */
static void
settle_h2(struct guaco__conn *c)
{
    if (guaco__h2_is_in_head(c->h2->codec))
        set_deadline(c, GUACO__DEADLINE_HEAD, false);
    else if (c->closes_when_idle && !c->h2->is_final)
        set_deadline(c, GUACO__DEADLINE_DRAIN, false);
    else if (c->h2->stream_count > 0)
        guaco__deadline_clear(&c->deadline);
    else if (c->h2->is_final) /* a client has its answers and still sends */
        set_deadline(c, GUACO__DEADLINE_LINGER, false);
    else
        set_deadline(c, GUACO__DEADLINE_IDLE, false);
}

/* A client that still takes the last answer is neither idle nor late with its
 * next request: the deadline for sending holds then. */
static void
settle_head(struct guaco__conn *c, bool has_read)
{
    size_t queued_bytes = c->stream.queued_bytes;

    if (queued_bytes > c->server->options.limits.out_low_bytes ||
        (queued_bytes > 0 && c->in.len == 0))
        guaco__deadline_clear(&c->deadline);
    else if (c->in.len == 0 && c->closes_when_idle)
        set_deadline(c, GUACO__DEADLINE_DRAIN, false);
    else if (c->in.len == 0)
        set_deadline(c, GUACO__DEADLINE_IDLE, has_read);
    else
        set_deadline(c, GUACO__DEADLINE_HEAD, false);
}

/* What the client owes us in this state, and until when. */
static void
settle_deadline(struct guaco__conn *c, bool has_read)
{
    switch ((enum guaco__conn_state)c->state) {
    case GUACO__CONN_PROXY:
        set_deadline(c,
                     c->closes_when_idle ? GUACO__DEADLINE_DRAIN
                                         : GUACO__DEADLINE_HEAD,
                     false);
        break;
    case GUACO__CONN_HANDSHAKE: break; /* its deadline holds from the start */
    case GUACO__CONN_HEAD: settle_head(c, has_read); break;
    case GUACO__CONN_EXCHANGE:
        if (c->x->body_is_done || c->x->expects_continue || c->has_unread)
            guaco__deadline_clear(&c->deadline);
        else
            set_deadline(c, GUACO__DEADLINE_BODY, has_read);
        break;
    case GUACO__CONN_SKIP: set_deadline(c, GUACO__DEADLINE_BODY, false); break;
    case GUACO__CONN_SOCKET: guaco__socket_settle(c->x, has_read); break;
    case GUACO__CONN_H2: settle_h2(c); break;
    case GUACO__CONN_CLOSING: guaco__deadline_clear(&c->deadline); break;
    case GUACO__CONN_LINGER:
        set_deadline(c, GUACO__DEADLINE_LINGER, false);
        break;
    case GUACO__CONN_CLOSED: break;
    }
}

static void
settle_sending(struct guaco__conn *c)
{
    if (c->stream.queued_bytes == 0) {
        if (!guaco__deadline_is(&c->send_deadline, GUACO__DEADLINE_COUNT))
            guaco__deadline_clear(&c->send_deadline);
    } else if (c->stream.sent_bytes != c->sent_mark ||
               guaco__deadline_is(&c->send_deadline, GUACO__DEADLINE_COUNT)) {
        guaco__deadline_set(&c->server->deadlines, &c->send_deadline,
                            GUACO__DEADLINE_SEND,
                            guaco__server_now_ms(c->server));
    }
    c->server->stats.bytes_out += c->stream.sent_bytes - c->sent_mark;
    c->sent_mark = c->stream.sent_bytes;
}

/* Reading stops when nothing more could be kept or used. */
static void
settle_reading(struct guaco__conn *c)
{
    bool is_full = c->in.len >= c->server->options.limits.head_bytes_max;
    bool wants_read = !c->is_eof && !is_full && !c->has_unread &&
                      c->state != GUACO__CONN_CLOSING;

    if (guaco__stream_want_read(&c->stream, wants_read) < 0) {
        c->has_failed = true;
        guaco__conn_touch(c);
    }
}

void
guaco__conn_settle(struct guaco__conn *c, bool has_read)
{
    settle_deadline(c, has_read);
    settle_sending(c);
    settle_reading(c);
}
