/* Answers in HTTP/1: the contract is in server/wire.h. */

#include "server/wire.h"

#include "server/conn.h"
#include "server/websocket.h"

static int
queue(struct guaco__exchange *x, const struct guaco__buf *what)
{
    return guaco__stream_write(&x->conn->stream, guaco__buf_data(what),
                               what->len);
}

/* Queue what one of the writers of http has appended to a buffer. */
static int
queue_written(struct guaco__exchange *x, struct guaco__buf *what, int rc)
{
    if (rc == GUACO_OK)
        rc = queue(x, what);
    guaco__buf_reset(what);
    return rc == GUACO_E_LIMIT ? GUACO_E_INVALID : rc;
}

/* ---- the head ---- */

static bool
keeps_connection(const struct guaco__exchange *x)
{
    const struct guaco__server *server = x->server;
    uint32_t most = server->options.limits.keep_alive_max;

    return !x->wants_close && server->state == GUACO__SERVER_OPEN &&
           !server->is_exhausted &&
           !(x->expects_continue && !x->body_is_done) &&
           (most == 0 || x->conn->request_count < most);
}

static int
begin_head(struct guaco__exchange *x, const struct guaco__h1_response *response)
{
    return guaco__h1_begin_head(&x->head, response, &x->draft);
}

static int
end_head(struct guaco__exchange *x, struct guaco__h1_response *response)
{
    int rc;

    response->version_minor = x->request.version_minor;
    response->keep_alive = keeps_connection(x);
    rc = guaco__h1_end_head(&x->head, &x->draft, response, &x->decision);
    if (rc == GUACO_OK)
        rc = queue(x, &x->head);
    x->wants_close = !x->decision.keep_alive;
    return rc;
}

static int
inform(struct guaco__exchange *x, int status, const struct guaco_field *fields,
       size_t count)
{
    struct guaco__buf *out = &x->server->scratch; /* a head may be held */

    if (x->request.version_minor == 0)
        return GUACO_E_UNSUPPORTED;
    guaco__buf_reset(out);
    return queue_written(x, out,
                         guaco__h1_write_inform(out, status, fields, count));
}

static int
refuse(struct guaco__exchange *x, int status)
{
    return guaco__answer_refuse(x->conn, status, x->request.method) < 0
               ? GUACO_E_NOMEM
               : GUACO_OK;
}

static int
accept_socket(struct guaco__exchange *x, struct guaco_slice subprotocol,
              const struct guaco_field *fields, size_t count)
{
    struct guaco__server *server = x->server;
    struct guaco_slice date_line = {NULL, 0};

    if (server->options.has_date)
        date_line = guaco__server_date_line(server);
    return queue_written(
        x, &x->head,
        guaco__ws_write_accept(&x->head, &x->socket->handshake, subprotocol,
                               date_line, server->server_line, fields, count));
}

/* ---- the body ---- */

static int
open_piece(struct guaco__exchange *x, uint64_t len)
{
    char line[GUACO__H1_CHUNK_LINE_BYTES];

    if (x->decision.framing != GUACO__H1_CHUNKED || len == 0)
        return GUACO_OK;
    return guaco__stream_write(&x->conn->stream, line,
                               guaco__h1_write_chunk_line(line, len));
}

static int
write_piece(struct guaco__exchange *x, const void *data, size_t len)
{
    return guaco__stream_write(&x->conn->stream, data, len);
}

static int
give_piece(struct guaco__exchange *x, const struct guaco__stream_piece *piece)
{
    return guaco__stream_give(&x->conn->stream, piece);
}

static int
file_piece(struct guaco__exchange *x, int fd, off_t offset, uint64_t count)
{
    return guaco__stream_file(&x->conn->stream, fd, offset, count);
}

static int
close_piece(struct guaco__exchange *x, uint64_t len)
{
    if (x->decision.framing != GUACO__H1_CHUNKED || len == 0)
        return GUACO_OK;
    return guaco__stream_write(&x->conn->stream, "\r\n", 2);
}

static int
end_body(struct guaco__exchange *x, bool is_whole)
{
    if (!is_whole)
        x->wants_close = true;
    if (x->decision.framing != GUACO__H1_CHUNKED)
        return GUACO_OK;
    return guaco__stream_write(&x->conn->stream, "0\r\n\r\n", 5);
}

static int
trailers(struct guaco__exchange *x, const struct guaco_field *fields,
         size_t count)
{
    int rc;

    guaco__buf_reset(&x->head);
    rc = guaco__h1_write_last_chunk(&x->head, fields, count);
    if (rc == GUACO_OK && !x->request.accepts_trailers) {
        guaco__buf_reset(&x->head); /* good ones, but not for this client */
        rc = guaco__h1_write_last_chunk(&x->head, NULL, 0);
    }
    if (x->decision.framing != GUACO__H1_CHUNKED)
        guaco__buf_reset(&x->head);
    return queue_written(x, &x->head, rc);
}

/* ---- the rest ---- */

/* The connection ends with it, and what is not delimited by its end shows. */
static void
cut(struct guaco__exchange *x)
{
    x->wants_close = true;
}

static size_t
queued_bytes(const struct guaco__exchange *x)
{
    return x->conn->stream.queued_bytes;
}

static void
flush(struct guaco__exchange *x)
{
    if (guaco__stream_flush(&x->conn->stream) == GUACO_E_CLOSED)
        x->conn->has_failed = true;
}

static int
wait_low(struct guaco__exchange *x, uint32_t timeout_ms)
{
    return guaco__stream_wait(&x->conn->stream, x->server->loop,
                              x->server->options.limits.out_low_bytes,
                              timeout_ms);
}

/* The window is what was told and not consumed: request.c counts it. */
static void
consumed(struct guaco__exchange *x, size_t bytes)
{
    (void)x, (void)bytes;
}

const struct guaco__wire_ops guaco__wire_h1 = {
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
