/*
 * The answer's side of an exchange: what the application's calls do.
 *
 * The framing is chosen when the first piece of the body is there: a response
 * of one piece gets Content-Length and leaves, head and body, in one copy; a
 * stream gets chunks; a client of HTTP/1.0 gets the end of the connection.
 */

#include "server/exchange.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "server/conn.h"
#include "server/request.h"
#include "server/websocket.h"

/* ---- the head ---- */

static bool
is_head(struct guaco_slice method)
{
    return guaco_slice_equals(method, GUACO_SLICE("HEAD"));
}

/*
 * Queue the head, now that the first piece of the body is there: `whole_bytes`
 * long if it is all of it, -1 if not.  Returns 0 or GUACO_E_NOMEM.
 */
static int
queue_head(struct guaco__exchange *x, int64_t whole_bytes)
{
    struct guaco__h1_response response = {
        .body_bytes = whole_bytes,
        .is_head = is_head(x->request.method),
        .trailers = x->has_trailers,
    };

    /* an application that knows HEAD gives no body: that is not its length */
    if (response.is_head && whole_bytes == 0)
        response.body_bytes = -1;
    if (x->wire->end_head(x, &response) < 0)
        return GUACO_E_NOMEM;
    x->length_left = x->decision.length;
    x->answer = GUACO__ANSWER_BODY;
    return GUACO_OK;
}

void
guaco__answer_push_head(struct guaco__exchange *x)
{
    if (x->answer == GUACO__ANSWER_HEAD && queue_head(x, -1) < 0)
        x->conn->has_failed = true;
}

static int
start_op(struct guaco_exchange *face, int status,
         const struct guaco_field *fields, size_t count, bool trailers)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    struct guaco__server *server = x->server;
    struct guaco__h1_response response = {
        .status = status,
        .fields = fields,
        .field_count = count,
        .server_line = server->server_line,
    };
    int rc;

    if (x->conn == NULL || x->conn->has_failed)
        return GUACO_E_CLOSED;
    if (x->answer != GUACO__ANSWER_NONE)
        return GUACO_E_STATE;
    if (server->options.has_date)
        response.date_line = guaco__server_date_line(server);
    rc = x->wire->begin_head(x, &response);
    if (rc < 0)
        return rc == GUACO_E_LIMIT ? GUACO_E_INVALID : rc;
    x->status = status;
    x->has_trailers = trailers && !guaco__exchange_is_10(x);
    x->answer = GUACO__ANSWER_HEAD;
    guaco__conn_touch(x->conn);
    return GUACO_OK;
}

/* ---- the body ---- */

/* The last byte was queued. */
static void
end_body(struct guaco__exchange *x)
{
    bool is_whole =
        x->decision.framing != GUACO__H1_LENGTH || x->length_left == 0;

    if (!is_whole)
        guaco__log(x->server->options.log, GUACO_LOG_WARNING, "server",
                   "response shorter than its content-length missing=%llu",
                   (unsigned long long)x->length_left);
    if (x->wire->end_body(x, is_whole) < 0)
        x->conn->has_failed = true;
    x->answer = GUACO__ANSWER_OVER;
}

/* After the last piece: the end, or trailers. */
static void
last_piece(struct guaco__exchange *x)
{
    if (x->has_trailers)
        x->answer = GUACO__ANSWER_TRAILERS;
    else
        end_body(x);
}

int
guaco__answer_pressure(struct guaco__exchange *x)
{
    size_t most = x->server->options.limits.out_high_bytes;

    guaco__conn_touch(x->conn);
    if (x->wire->queued_bytes(x) <= most ||
        (x->answer != GUACO__ANSWER_BODY && x->answer != GUACO__ANSWER_SOCKET))
        return GUACO_OK;
    x->wire->flush(x); /* if that fails the next piece is refused */
    if (x->wire->queued_bytes(x) <= most)
        return GUACO_OK;
    x->wants_writable = true;
    return GUACO_E_AGAIN;
}

/* The state allows a piece. */
static int
check_state(const struct guaco__exchange *x)
{
    if (x->conn == NULL || x->conn->has_failed || x->is_aborted)
        return GUACO_E_CLOSED;
    if (x->answer != GUACO__ANSWER_HEAD && x->answer != GUACO__ANSWER_BODY)
        return GUACO_E_STATE;
    return GUACO_OK;
}

/* After `len` bytes of body. */
static int
close_piece(struct guaco__exchange *x, uint64_t len)
{
    x->sent_bytes += len;
    if (x->decision.framing == GUACO__H1_LENGTH)
        x->length_left -= len;
    return x->wire->close_piece(x, len);
}

/* How much of a piece may go out. */
static uint64_t
allowed(const struct guaco__exchange *x, uint64_t len)
{
    if (x->decision.framing == GUACO__H1_NO_BODY)
        return 0;
    if (x->decision.framing == GUACO__H1_LENGTH && len > x->length_left)
        return x->length_left;
    return len;
}

/* A piece could not be queued whole: the response can only be broken off. */
static int
out_of_memory(struct guaco__exchange *x)
{
    x->conn->has_failed = true;
    guaco__conn_touch(x->conn);
    return GUACO_E_NOMEM;
}

/* The application gave more than it announced. */
static int
overlong(struct guaco__exchange *x)
{
    guaco__log(x->server->options.log, GUACO_LOG_WARNING, "server",
               "response longer than its content-length");
    end_body(x);
    guaco__conn_touch(x->conn);
    return GUACO_E_INVALID;
}

static int
body_op(struct guaco_exchange *face, struct guaco_bytes data, bool more)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    int rc = check_state(x);
    uint64_t len;

    if (rc < 0)
        return rc;
    if (more && data.len == 0)
        return GUACO_OK; /* says nothing; the turn's end sends a head */
    if (x->answer == GUACO__ANSWER_HEAD &&
        queue_head(x, more ? -1 : (int64_t)data.len) < 0)
        return out_of_memory(x);
    len = allowed(x, data.len);
    rc = x->wire->open_piece(x, len);
    if (rc < 0)
        return out_of_memory(x);
    if (len < data.len && x->decision.framing == GUACO__H1_LENGTH) {
        rc = x->wire->write(x, data.at, (size_t)len);
        close_piece(x, len);
        return rc < 0 ? out_of_memory(x) : overlong(x);
    }
    if (len > 0) {
        struct guaco__stream_piece piece = {data.at, data.len, data.release,
                                            data.owner};

        if (x->wire->give(x, &piece) < 0)
            return out_of_memory(x);
    } else if (data.release != NULL) {
        data.release(data.owner);
    }
    if (close_piece(x, len) < 0)
        x->conn->has_failed = true;
    if (!more)
        last_piece(x);
    return guaco__answer_pressure(x);
}

static int
file_op(struct guaco_exchange *face, int fd, off_t offset, uint64_t count,
        bool more)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    int rc = check_state(x);
    struct stat info;
    uint64_t here;
    uint64_t len;

    if (rc < 0)
        return rc;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || offset < 0)
        return GUACO_E_INVALID;
    here = offset < info.st_size ? (uint64_t)(info.st_size - offset) : 0;
    if (count == UINT64_MAX)
        count = here;
    if (count > here)
        return GUACO_E_INVALID;
    if (x->answer == GUACO__ANSWER_HEAD &&
        queue_head(x, more ? -1 : (int64_t)count) < 0)
        return out_of_memory(x);
    len = allowed(x, count);
    rc = x->wire->open_piece(x, len);
    if (rc == GUACO_OK)
        rc = x->wire->file(x, fd, offset, len);
    if (rc == GUACO_OK)
        rc = close_piece(x, len);
    if (rc < 0) {
        out_of_memory(x);
        return rc;
    }
    if (len < count && x->decision.framing == GUACO__H1_LENGTH)
        return overlong(x);
    if (!more)
        last_piece(x);
    return guaco__answer_pressure(x);
}

static int
trailers_op(struct guaco_exchange *face, const struct guaco_field *fields,
            size_t count)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    int rc;

    if (x->conn == NULL || x->conn->has_failed || x->is_aborted)
        return GUACO_E_CLOSED;
    if (x->answer != GUACO__ANSWER_TRAILERS)
        return GUACO_E_STATE;
    rc = x->wire->trailers(x, fields, count);
    if (rc < 0)
        return rc;
    x->answer = GUACO__ANSWER_OVER;
    return guaco__answer_pressure(x);
}

/* ---- the rest ---- */

static int
inform_op(struct guaco_exchange *face, int status,
          const struct guaco_field *fields, size_t count)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    int rc;

    if (x->conn == NULL || x->conn->has_failed)
        return GUACO_E_CLOSED;
    if (x->answer != GUACO__ANSWER_NONE && x->answer != GUACO__ANSWER_HEAD)
        return GUACO_E_STATE;
    if (guaco__exchange_is_10(x))
        return GUACO_E_UNSUPPORTED;
    if (status == 100)
        return GUACO_E_INVALID;
    rc = x->wire->inform(x, status, fields, count);
    if (rc == GUACO_OK)
        guaco__conn_touch(x->conn);
    return rc;
}

int
guaco__answer_refuse(struct guaco__conn *c, int status,
                     struct guaco_slice method)
{
    struct guaco__server *server = c->server;
    const char *reason = guaco__status_text(status);
    size_t reason_len = strlen(reason);
    struct guaco_field fields[] = {
        {GUACO_SLICE("content-type"), GUACO_SLICE("text/plain; charset=utf-8")},
        {GUACO_SLICE("sec-websocket-version"), GUACO_SLICE("13")},
    };
    struct guaco__h1_response response = {
        .status = status,
        .fields = fields,
        .field_count = status == 426 ? 2 : 1,
        .server_line = server->server_line,
        .body_bytes = (int64_t)reason_len + 1,
        .version_minor = 1,
        .is_head = is_head(method),
    };
    struct guaco__h1_decision decision;
    struct guaco__h1_draft draft;
    struct guaco__buf *out = &server->scratch;
    int rc;

    if (server->options.has_date)
        response.date_line = guaco__server_date_line(server);
    guaco__buf_reset(out);
    rc = guaco__h1_begin_head(out, &response, &draft);
    if (rc == GUACO_OK)
        rc = guaco__h1_end_head(out, &draft, &response, &decision);
    if (rc == GUACO_OK && !response.is_head)
        rc = guaco__buf_printf(out, "%s\n", reason);
    if (rc == GUACO_OK)
        rc = guaco__stream_write(&c->stream, guaco__buf_data(out), out->len);
    if (rc < 0)
        return GUACO_E_NOMEM;
    return response.is_head ? 0 : (int)reason_len + 1;
}

static void
abort_op(struct guaco_exchange *face)
{
    struct guaco__exchange *x = guaco__exchange_of(face);

    if (x->conn == NULL || x->answer == GUACO__ANSWER_OVER)
        return;
    if (x->answer <= GUACO__ANSWER_HEAD) {
        x->status = 500;
        if (x->wire->refuse(x, 500) < 0)
            x->conn->has_failed = true;
        x->wants_close = true;
    } else {
        x->wire->cut(x);
    }
    x->is_aborted = true;
    x->reason = GUACO_GONE_ABORTED;
    x->answer = GUACO__ANSWER_OVER;
    guaco__conn_touch(x->conn);
}

static int
wait_op(struct guaco_exchange *face, uint32_t timeout_ms)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    int rc;

    if (x->conn == NULL || x->conn->has_failed || x->is_aborted)
        return GUACO_E_CLOSED;
    if (x->answer == GUACO__ANSWER_NONE)
        return GUACO_E_STATE;
    rc = x->wire->wait(x, timeout_ms);
    if (rc == GUACO_OK)
        x->wants_writable = false;
    else if (rc == GUACO_E_CLOSED)
        x->conn->has_failed = true;
    else
        abort_op(face);
    guaco__conn_touch(x->conn);
    return rc;
}

const struct guaco_exchange_ops guaco__exchange_ops = {
    .inform = inform_op,
    .start = start_op,
    .body = body_op,
    .file = file_op,
    .trailers = trailers_op,
    .abort = abort_op,
    .consumed = guaco__request_consumed_op,
    .accept = guaco__socket_accept_op,
    .send = guaco__socket_send_op,
    .close = guaco__socket_close_op,
    .spooled = guaco__request_spooled_op,
    .ref = guaco__exchange_ref_op,
    .unref = guaco__exchange_unref_op,
    .post = guaco__exchange_post_op,
    .wait = wait_op,
};
