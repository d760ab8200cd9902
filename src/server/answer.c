/*
 * The answer's side of an exchange: what the application's calls do.
 *
 * The framing is chosen when the first piece of the body is there: a response
 * of one piece gets Content-Length and leaves, head and body, in one copy; a
 * stream gets chunks; a client of HTTP/1.0 gets the end of the connection.
 */

#include "server/answer.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "http/fields.h"
#include "server/conn.h"
#include "server/request.h"
#include "server/status.h"

enum {
    FRAMING_BYTES_MAX = 96, /* the lines that end a head, and a chunk's size */
};

/* ---- the head ---- */

static bool
keeps_connection(const struct guaco__exchange *x)
{
    const struct guaco__server *server = x->server;
    uint32_t most = server->options.limits.keep_alive_max;

    return !x->wants_close && server->state == GUACO__SERVER_OPEN &&
           !server->is_exhausted && x->framing != GUACO__FRAMING_CLOSE &&
           !(x->expects_continue && !x->body_is_done) &&
           (most == 0 || x->conn->request_count < most);
}

/* The rest of the head: the framing, the connection, the empty line. */
static char *
put_framing(struct guaco__exchange *x, char *out)
{
    bool has_length = x->framing == GUACO__FRAMING_LENGTH ||
                      (x->framing == GUACO__FRAMING_NONE && x->has_length);

    if (has_length) {
        out = guaco__put(out, GUACO_SLICE("content-length: "));
        out = guaco__put_number(out, x->length_left);
        out = guaco__put(out, GUACO_SLICE("\r\n"));
    } else if (x->framing == GUACO__FRAMING_CHUNKED) {
        out = guaco__put(out, GUACO_SLICE("transfer-encoding: chunked\r\n"));
    }
    if (!keeps_connection(x)) {
        x->wants_close = true;
        out = guaco__put(out, GUACO_SLICE("connection: close\r\n"));
    } else if (x->request.version_minor == 0) {
        out = guaco__put(out, GUACO_SLICE("connection: keep-alive\r\n"));
    }
    return guaco__put(out, GUACO_SLICE("\r\n"));
}

/* Choose the framing now that the first piece, of `len` bytes, is known. */
static void
choose_framing(struct guaco__exchange *x, uint64_t len, bool more)
{
    bool is_whole = !more && !x->has_trailers;

    if (x->is_bodyless) {
        x->framing = GUACO__FRAMING_NONE;
        /* HEAD tells the length that GET would have; 204 has none */
        if (!x->has_length && is_whole && len > 0 && x->status != 204 &&
            x->status != 304) {
            x->has_length = true;
            x->length_left = len;
        }
        x->has_length = x->has_length && x->status != 204;
    } else if (x->has_length && !x->has_trailers) {
        x->framing = GUACO__FRAMING_LENGTH;
    } else if (is_whole) {
        x->framing = GUACO__FRAMING_LENGTH;
        x->length_left = len;
    } else if (x->request.version_minor >= 1) {
        x->framing = GUACO__FRAMING_CHUNKED;
    } else {
        x->framing = GUACO__FRAMING_CLOSE;
    }
}

/* Queue the head.  Returns 0 or GUACO_E_NOMEM. */
static int
queue_head(struct guaco__exchange *x)
{
    struct guaco__stream *stream = &x->conn->stream;
    char end[FRAMING_BYTES_MAX];
    size_t end_len = (size_t)(put_framing(x, end) - end);
    size_t len = x->head.len + end_len;
    char *room;

    assert(end_len <= sizeof(end));
    x->answer = GUACO__ANSWER_BODY;
    if (len > GUACO__STREAM_COPY_MAX) {
        int rc = guaco__stream_write(stream, x->head.at, x->head.len);

        return rc < 0 ? rc : guaco__stream_write(stream, end, end_len);
    }
    room = guaco__stream_reserve(stream, len);
    if (room == NULL)
        return GUACO_E_NOMEM;
    room = guaco__put(room, x->head);
    guaco__put(room, (struct guaco_slice){end, end_len});
    guaco__stream_commit(stream, len);
    return GUACO_OK;
}

void
guaco__answer_push_head(struct guaco__exchange *x)
{
    if (x->answer != GUACO__ANSWER_HEAD)
        return;
    choose_framing(x, 0, true);
    if (queue_head(x) < 0)
        x->conn->has_failed = true;
}

static int
start_op(struct guaco_exchange *face, int status,
         const struct guaco_field *fields, size_t count, bool trailers)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    struct guaco__head_facts facts;
    char *at;

    if (x->conn == NULL || x->conn->has_failed)
        return GUACO_E_CLOSED;
    if (x->answer != GUACO__ANSWER_NONE)
        return GUACO_E_STATE;
    if (status < 200 || status > 999 ||
        guaco__head_check(fields, count, &facts) < 0)
        return GUACO_E_INVALID;
    at =
        guaco__arena_alloc(&x->arena, guaco__head_bytes_max(x->server, &facts));
    if (at == NULL)
        return GUACO_E_NOMEM;
    x->head.at = at;
    x->head.len = (size_t)(guaco__head_format(x->server, status, fields, count,
                                              &facts, at) -
                           at);
    x->status = status;
    x->has_length = facts.has_length;
    x->length_left = facts.length;
    x->wants_close |= facts.wants_close;
    x->is_bodyless = status == 204 || status == 304 ||
                     guaco_slice_equals(x->request.method, GUACO_SLICE("HEAD"));
    x->has_trailers = trailers && x->request.version_minor >= 1;
    x->answer = GUACO__ANSWER_HEAD;
    guaco__conn_touch(x->conn);
    return GUACO_OK;
}

/* ---- the body ---- */

/* The last byte was queued. */
static void
end_body(struct guaco__exchange *x)
{
    if (x->framing == GUACO__FRAMING_LENGTH && x->length_left > 0) {
        guaco__log(x->server->options.log, GUACO_LOG_WARNING, "server",
                   "response shorter than its content-length missing=%llu",
                   (unsigned long long)x->length_left);
        x->wants_close = true;
    }
    if (x->framing == GUACO__FRAMING_CHUNKED &&
        guaco__stream_write(&x->conn->stream, "0\r\n\r\n", 5) < 0)
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

/* What the caller is told once a piece was queued. */
static int
pressure(struct guaco__exchange *x)
{
    struct guaco__conn *c = x->conn;
    const struct guaco__server_limits *limits = &x->server->options.limits;

    guaco__conn_touch(c);
    if (c->stream.queued_bytes <= limits->out_high_bytes ||
        x->answer != GUACO__ANSWER_BODY)
        return GUACO_OK;
    if (guaco__stream_flush(&c->stream) == GUACO_E_CLOSED)
        c->has_failed = true; /* the piece was taken; the next is refused */
    if (c->stream.queued_bytes <= limits->out_high_bytes)
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

/* Before `len` bytes of body: the head, and the size of a chunk. */
static int
open_piece(struct guaco__exchange *x, uint64_t len)
{
    char line[24];
    char *at = line;
    int shift = 60;

    if (x->answer == GUACO__ANSWER_HEAD && queue_head(x) < 0)
        return GUACO_E_NOMEM;
    if (x->framing != GUACO__FRAMING_CHUNKED || len == 0)
        return GUACO_OK;
    while (len >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[len >> shift & 15];
    at = guaco__put(at, GUACO_SLICE("\r\n"));
    return guaco__stream_write(&x->conn->stream, line, (size_t)(at - line));
}

/* After them. */
static int
close_piece(struct guaco__exchange *x, uint64_t len)
{
    x->sent_bytes += len;
    if (x->framing == GUACO__FRAMING_LENGTH)
        x->length_left -= len;
    if (x->framing != GUACO__FRAMING_CHUNKED || len == 0)
        return GUACO_OK;
    return guaco__stream_write(&x->conn->stream, "\r\n", 2);
}

/* How much of a piece may go out. */
static uint64_t
allowed(const struct guaco__exchange *x, uint64_t len)
{
    if (x->framing == GUACO__FRAMING_NONE)
        return 0;
    if (x->framing == GUACO__FRAMING_LENGTH && len > x->length_left)
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
    if (x->answer == GUACO__ANSWER_HEAD) {
        if (more && data.len == 0)
            return GUACO_OK; /* says nothing; the turn's end sends the head */
        choose_framing(x, data.len, more);
    }
    len = allowed(x, data.len);
    rc = open_piece(x, len);
    if (rc < 0)
        return out_of_memory(x);
    if (len < data.len && x->framing == GUACO__FRAMING_LENGTH) {
        rc = guaco__stream_write(&x->conn->stream, data.at, (size_t)len);
        close_piece(x, len);
        return rc < 0 ? out_of_memory(x) : overlong(x);
    }
    if (len > 0) {
        struct guaco__stream_piece piece = {data.at, data.len, data.release,
                                            data.owner};

        if (guaco__stream_give(&x->conn->stream, &piece) < 0)
            return out_of_memory(x);
    } else if (data.release != NULL) {
        data.release(data.owner);
    }
    if (close_piece(x, len) < 0)
        x->conn->has_failed = true;
    if (!more)
        last_piece(x);
    return pressure(x);
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
    if (x->answer == GUACO__ANSWER_HEAD)
        choose_framing(x, count, more);
    len = allowed(x, count);
    rc = open_piece(x, len);
    if (rc == GUACO_OK)
        rc = guaco__stream_file(&x->conn->stream, fd, offset, len);
    if (rc == GUACO_OK)
        rc = close_piece(x, len);
    if (rc < 0) {
        out_of_memory(x);
        return rc;
    }
    if (len < count && x->framing == GUACO__FRAMING_LENGTH)
        return overlong(x);
    if (!more)
        last_piece(x);
    return pressure(x);
}

static int
trailers_op(struct guaco_exchange *face, const struct guaco_field *fields,
            size_t count)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    struct guaco__head_facts facts;
    struct guaco__stream *stream;
    int rc;

    if (x->conn == NULL || x->conn->has_failed || x->is_aborted)
        return GUACO_E_CLOSED;
    if (x->answer != GUACO__ANSWER_TRAILERS)
        return GUACO_E_STATE;
    if (guaco__head_check(fields, count, &facts) < 0)
        return GUACO_E_INVALID;
    if (x->framing != GUACO__FRAMING_CHUNKED || !x->request.accepts_trailers) {
        end_body(x);
        return pressure(x);
    }
    stream = &x->conn->stream;
    rc = guaco__stream_write(stream, "0\r\n", 3);
    for (size_t i = 0; i < count && rc == GUACO_OK; i++) {
        struct guaco_slice value = guaco__trim(fields[i].value);

        rc = guaco__stream_write(stream, fields[i].name.at, fields[i].name.len);
        if (rc == GUACO_OK)
            rc = guaco__stream_write(stream, ": ", 2);
        if (rc == GUACO_OK)
            rc = guaco__stream_write(stream, value.at, value.len);
        if (rc == GUACO_OK)
            rc = guaco__stream_write(stream, "\r\n", 2);
    }
    if (rc == GUACO_OK)
        rc = guaco__stream_write(stream, "\r\n", 2);
    if (rc < 0)
        return out_of_memory(x);
    x->answer = GUACO__ANSWER_OVER;
    return pressure(x);
}

/* ---- the rest ---- */

static int
inform_op(struct guaco_exchange *face, int status,
          const struct guaco_field *fields, size_t count)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    struct guaco__head_facts facts;
    char *at;
    char *end;

    if (x->conn == NULL || x->conn->has_failed)
        return GUACO_E_CLOSED;
    if (x->answer != GUACO__ANSWER_NONE)
        return GUACO_E_STATE;
    if (x->request.version_minor == 0)
        return GUACO_E_UNSUPPORTED;
    if (status < 102 || status > 199 ||
        guaco__head_check(fields, count, &facts) < 0)
        return GUACO_E_INVALID;
    at = guaco__arena_alloc(&x->arena,
                            guaco__head_bytes_max(x->server, &facts) + 2);
    if (at == NULL)
        return GUACO_E_NOMEM;
    facts.has_server = facts.has_date = true; /* the final head has them */
    end = guaco__head_format(x->server, status, fields, count, &facts, at);
    end = guaco__put(end, GUACO_SLICE("\r\n"));
    if (guaco__stream_write(&x->conn->stream, at, (size_t)(end - at)) < 0)
        return GUACO_E_NOMEM;
    guaco__conn_touch(x->conn);
    return GUACO_OK;
}

int
guaco__answer_refuse(struct guaco__conn *c, int status)
{
    struct guaco__server *server = c->server;
    struct guaco_slice reason = guaco__status_reason(status);
    struct guaco_field fields[] = {
        {GUACO_SLICE("content-type"), GUACO_SLICE("text/plain; charset=utf-8")},
    };
    struct guaco__head_facts facts;
    char text[512];
    char *out = text;

    guaco__head_check(fields, 1, &facts);
    if (guaco__head_bytes_max(server, &facts) + 2 * FRAMING_BYTES_MAX >
        sizeof(text))
        facts.has_server = true; /* a very long Server field */
    out = guaco__head_format(server, status, fields, 1, &facts, out);
    out = guaco__put(out, GUACO_SLICE("content-length: "));
    out = guaco__put_number(out, reason.len + 1);
    out = guaco__put(out, GUACO_SLICE("\r\nconnection: close\r\n\r\n"));
    out = guaco__put(out, reason);
    *out++ = '\n';
    assert((size_t)(out - text) <= sizeof(text));
    if (guaco__stream_write(&c->stream, text, (size_t)(out - text)) < 0)
        return GUACO_E_NOMEM;
    return (int)reason.len + 1;
}

static void
abort_op(struct guaco_exchange *face)
{
    struct guaco__exchange *x = guaco__exchange_of(face);

    if (x->conn == NULL || x->answer == GUACO__ANSWER_OVER)
        return;
    if (x->answer <= GUACO__ANSWER_HEAD) {
        x->status = 500;
        if (guaco__answer_refuse(x->conn, 500) < 0)
            x->conn->has_failed = true;
        x->framing = GUACO__FRAMING_NONE;
    }
    x->is_aborted = true;
    x->wants_close = true;
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
    rc = guaco__stream_wait(
        &x->conn->stream, x->server->options.limits.out_low_bytes, timeout_ms);
    if (rc == GUACO_OK)
        x->wants_writable = false;
    else if (rc == GUACO_E_CLOSED)
        x->conn->has_failed = true;
    else
        abort_op(face);
    guaco__conn_touch(x->conn);
    return rc;
}

static int
accept_op(struct guaco_exchange *face, struct guaco_slice subprotocol,
          const struct guaco_field *fields, size_t count)
{
    (void)face, (void)subprotocol, (void)fields, (void)count;
    return GUACO_E_STATE;
}

static int
send_op(struct guaco_exchange *face, enum guaco_message_type type,
        struct guaco_bytes data)
{
    (void)face, (void)type, (void)data;
    return GUACO_E_STATE;
}

static int
close_op(struct guaco_exchange *face, uint16_t code, struct guaco_slice reason)
{
    (void)face, (void)code, (void)reason;
    return GUACO_E_STATE;
}

const struct guaco_exchange_ops guaco__exchange_ops = {
    .inform = inform_op,
    .start = start_op,
    .body = body_op,
    .file = file_op,
    .trailers = trailers_op,
    .abort = abort_op,
    .consumed = guaco__request_consumed_op,
    .accept = accept_op,
    .send = send_op,
    .close = close_op,
    .spooled = guaco__request_spooled_op,
    .ref = guaco__exchange_ref_op,
    .unref = guaco__exchange_unref_op,
    .post = guaco__exchange_post_op,
    .wait = wait_op,
};
