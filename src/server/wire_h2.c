/* Answers in HTTP/2: the contract is in server/wire.h. */

#include "server/wire.h"

#include <poll.h>
#include <stdio.h>

#include "os/clock.h"
#include "server/h2_conn.h"
#include "server/websocket.h"

static struct guaco__h2 *
codec_of(const struct guaco__exchange *x)
{
    return x->conn->h2->codec;
}

/* ---- the head ---- */

static int
send_head(struct guaco__exchange *x, bool is_last)
{
    struct guaco__h2_stream *stream = x->h2;

    return guaco__h2_head(codec_of(x), stream->id, stream->head.fields,
                          stream->head.count, is_last);
}

/* The rest of the request is little, and the client is not waiting for us. */
static bool
is_too_early(const struct guaco__exchange *x)
{
    const struct guaco__server_limits *limits = &x->server->options.limits;

    return x->request.body_bytes != 0 && !x->body_is_done &&
           !x->expects_continue && x->socket == NULL && !x->h2->is_closed &&
           limits->linger_ms > 0 &&
           (x->request.body_bytes < 0 ||
            (uint64_t)x->request.body_bytes - x->h2->body_bytes <=
                limits->drain_bytes_max);
}

/*
 * An answer that is whole before its request is: clients in wide use (curl
 * before 8) fail, or wait for ever, when they hear its end in the midst of their
 * upload.  It is held while the rest is read away, as HTTP/1 reads it away
 * behind the answer: up to drain_bytes_max, for linger_ms at most.
 */
static void
hold(struct guaco__exchange *x, bool is_last)
{
    struct guaco__h2_stream *stream = x->h2;

    stream->is_held = true;
    stream->has_body = !is_last;
    stream->held_at_bytes = stream->body_bytes;
    guaco__deadline_set(&x->server->deadlines, &stream->deadline,
                        GUACO__DEADLINE_STREAM_LINGER,
                        guaco__server_now_ms(x->server));
    guaco__h2_consume(codec_of(x), stream->id, x->unconsumed_bytes);
    x->unconsumed_bytes = 0;
    guaco__conn_touch(x->conn);
}

static int
begin_head(struct guaco__exchange *x, const struct guaco__h1_response *response)
{
    struct guaco__h2_stream *stream = x->h2;
    int rc =
        guaco__h2_begin_head(&x->arena, response, &stream->head, &x->draft);

    if (rc == GUACO_OK)
        guaco__list_push(&x->conn->h2->held, &stream->held_link);
    return rc;
}

static int
end_head(struct guaco__exchange *x, struct guaco__h1_response *response)
{
    struct guaco__h2_stream *stream = x->h2;
    bool is_whole = response->body_bytes >= 0 && !x->has_trailers;
    bool is_last;
    int rc = guaco__h2_end_head(&x->arena, &stream->head, &x->draft, response,
                                &x->decision);

    if (rc < 0)
        return rc;
    guaco__list_remove(&stream->held_link);
    is_last = is_whole && (x->decision.framing == GUACO__H1_NO_BODY ||
                           response->body_bytes == 0);
    if (!is_whole || !is_too_early(x))
        return send_head(x, is_last);
    hold(x, is_last);
    return GUACO_OK;
}

static int
inform(struct guaco__exchange *x, int status, const struct guaco_field *fields,
       size_t count)
{
    struct guaco__h2_draft head;
    int rc;

    if (status < 100 || status > 199 || status == 101)
        return GUACO_E_INVALID;
    rc = guaco__h2_copy_fields(&x->arena, status, fields, count, &head);
    return rc < 0 ? rc
                  : guaco__h2_inform(codec_of(x), x->h2->id, head.fields,
                                     head.count);
}

static int
refuse(struct guaco__exchange *x, int status)
{
    guaco__list_remove(&x->h2->held_link);
    return guaco__h2_refuse(codec_of(x), x->h2->id, status);
}

static int
accept_socket(struct guaco__exchange *x, struct guaco_slice subprotocol,
              const struct guaco_field *fields, size_t count)
{
    struct guaco__server *server = x->server;
    struct guaco__h2_stream *stream = x->h2;
    struct guaco__h1_response response = {
        .fields = fields,
        .field_count = count,
        .server_line = server->server_line,
    };
    int rc;

    if (server->options.has_date)
        response.date_line = guaco__server_date_line(server);
    rc = guaco__h2_accept_head(&x->arena, &x->socket->handshake, subprotocol,
                               &response, &stream->head);
    if (rc < 0)
        return rc;
    guaco__h2_set_ready(stream); /* frames may wait that came before */
    return send_head(x, false);
}

/* ---- the body ---- */

/* Something was queued, or the end. */
static void
touch(struct guaco__exchange *x)
{
    struct guaco__h2_stream *stream = x->h2;

    if (stream->is_held)
        return;
    if (stream->out_bytes > 0 &&
        guaco__deadline_is(&stream->send_deadline, GUACO__DEADLINE_COUNT))
        guaco__deadline_set(&x->server->deadlines, &stream->send_deadline,
                            GUACO__DEADLINE_STREAM_SEND,
                            guaco__server_now_ms(x->server));
    guaco__h2_resume(codec_of(x), stream->id);
    guaco__conn_touch(x->conn);
}

void
guaco__h2_let_go(struct guaco__exchange *x)
{
    struct guaco__h2_stream *stream = x->h2;

    if (!stream->is_held)
        return;
    stream->is_held = false;
    guaco__deadline_clear(&stream->deadline);
    if (send_head(x, !stream->has_body) < 0)
        x->conn->has_failed = true;
    touch(x);
}

static int
open_piece(struct guaco__exchange *x, uint64_t len)
{
    (void)x, (void)len;
    return GUACO_OK;
}

static int
write_piece(struct guaco__exchange *x, const void *data, size_t len)
{
    int rc = guaco__h2_queue_copy(x->h2, data, len);

    if (rc == GUACO_OK)
        touch(x);
    return rc;
}

static int
give_piece(struct guaco__exchange *x, const struct guaco__stream_piece *piece)
{
    int rc = guaco__h2_queue_give(x->h2, piece);

    if (rc == GUACO_OK)
        touch(x);
    return rc;
}

static int
file_piece(struct guaco__exchange *x, int fd, off_t offset, uint64_t count)
{
    int rc = guaco__h2_queue_file(x->h2, fd, offset, count);

    if (rc == GUACO_OK)
        touch(x);
    return rc;
}

static int
close_piece(struct guaco__exchange *x, uint64_t len)
{
    (void)x, (void)len;
    return GUACO_OK;
}

static void
cut(struct guaco__exchange *x)
{
    guaco__h2_reset(codec_of(x), x->h2->id, GUACO__H2_INTERNAL_ERROR);
    guaco__conn_touch(x->conn);
}

static int
end_body(struct guaco__exchange *x, bool is_whole)
{
    if (!is_whole)
        cut(x);
    x->h2->is_finished = true;
    touch(x);
    return GUACO_OK;
}

static int
trailers(struct guaco__exchange *x, const struct guaco_field *fields,
         size_t count)
{
    int rc =
        guaco__h2_copy_fields(&x->arena, 0, fields, count, &x->h2->trailers);

    if (rc < 0)
        return rc;
    if (!x->request.accepts_trailers)
        x->h2->trailers.count = 0;
    return end_body(x, true);
}

/* ---- waiting ---- */

static size_t
queued_bytes(const struct guaco__exchange *x)
{
    return x->h2->out_bytes;
}

static void
flush(struct guaco__exchange *x)
{
    struct guaco__conn *c = x->conn;
    size_t before;

    do { /* what the connection's queue holds is less than a window may */
        before = x->h2->out_bytes;
        guaco__h2_pump(c);
        if (guaco__stream_flush(&c->stream) == GUACO_E_CLOSED)
            c->has_failed = true;
    } while (x->h2->out_bytes < before && c->stream.queued_bytes == 0 &&
             !c->has_failed);
}

/* Read what is there behind what the run has not used yet, and take the
 * windows out of it. */
static void
read_windows(struct guaco__exchange *x)
{
    struct guaco__conn *c = x->conn;
    struct guaco__input *in = c->h2->input;
    size_t len;

    if (in != NULL && in->len > 0 && c->in.len == 0 &&
        guaco__buf_append(&c->in, in->at, in->len) < 0)
        c->has_failed = true;
    if (!c->has_failed && guaco__conn_read_more(c) < 0)
        c->has_failed = true;
    len = c->in.len;
    if (len > 0)
        guaco__h2_take_windows(codec_of(x), x->h2->id, guaco__buf_data(&c->in),
                               &len);
    guaco__buf_cut(&c->in, len);
    if (in != NULL)
        *in = (struct guaco__input){guaco__buf_data(&c->in), c->in.len};
}

/*
 * The loop's thread waits, and nothing is told meanwhile; but windows open only
 * by frames of the client.  They are looked for among what comes, and taken out
 * of it; the rest is kept for the run.
 */
static int
wait_low(struct guaco__exchange *x, uint32_t timeout_ms)
{
    struct guaco__conn *c = x->conn;
    size_t low = x->server->options.limits.out_low_bytes;
    uint64_t end_ns = guaco__clock_mono_ns() + timeout_ms * UINT64_C(1000000);

    for (;;) {
        uint64_t now_ns = guaco__clock_mono_ns();
        short events = POLLIN;

        flush(x);
        if (c->has_failed || c->is_eof)
            return GUACO_E_CLOSED;
        if (x->h2->out_bytes <= low && c->stream.queued_bytes <= low)
            return GUACO_OK;
        if (now_ns >= end_ns)
            return GUACO_E_TIMEOUT;
        if (c->stream.queued_bytes > 0)
            events |= POLLOUT;
        events = guaco__loop_poll(c->server->loop, c->stream.fd, events,
                                  (int)((end_ns - now_ns + 999999) / 1000000));
        if ((events & ~POLLOUT) != 0)
            read_windows(x);
    }
}

static void
consumed(struct guaco__exchange *x, size_t bytes)
{
    if (x->socket != NULL) {
        guaco__h2_set_ready(x->h2); /* it may have been held */
        return;
    }
    guaco__h2_consume(codec_of(x), x->h2->id, bytes);
    guaco__conn_touch(x->conn);
}

const struct guaco__wire_ops guaco__wire_h2 = {
    .begin_head = begin_head,
    .end_head = end_head,
    .open_piece = open_piece,
    .write = write_piece,
    .give = give_piece,
    .file = file_piece,
    .close_piece = close_piece,
    .end_body = end_body,
    .trailers = trailers,
    .inform = inform,
    .refuse = refuse,
    .accept = accept_socket,
    .cut = cut,
    .queued_bytes = queued_bytes,
    .flush = flush,
    .wait = wait_low,
    .consumed = consumed,
};
