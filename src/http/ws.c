#include "ws.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/utf8.h"
#include "ws_deflate.h"

enum {
    CONTROL_BYTES_MAX = 125,
    REASON_BYTES_MAX = 123,
};

enum close_code {
    CLOSE_PROTO = 1002,
    CLOSE_NONE = 1005,
    CLOSE_TEXT = 1007,
    CLOSE_POLICY = 1008,
    CLOSE_BIG = 1009,
    CLOSE_INTERNAL = 1011,
};

struct guaco__ws {
    const struct guaco__ws_limits *limits;
    wslay_frame_context_ptr frames;
    struct guaco__ws_codec codec;

    struct guaco_slice input; /* what recv_input() takes from, during a call */

    /* The frame being read; has_frame from its head to its last byte. */
    bool has_frame;
    bool is_final;
    uint8_t opcode;
    uint64_t frame_left;

    /* The message being read, over its frames. */
    bool has_message;
    bool is_text;
    bool is_deflated;
    bool is_told; /* its event was given: to be emptied by the next call */
    uint32_t fragments;
    struct guaco__utf8 utf8;
    struct guaco__buf message;
    size_t checked; /* bytes of it that went through utf8 */

    char control[CONTROL_BYTES_MAX];
    uint8_t control_len;

    bool close_received;
    bool close_sent;
    int failed; /* the code of the failure, 0 before */
    uint16_t failed_code;
};

/* ---- life ----------------------------------------------------------- */

static ssize_t
recv_input(uint8_t *out, size_t len, int flags, void *user_data)
{
    struct guaco__ws *ws = user_data;
    size_t n = ws->input.len < len ? ws->input.len : len;

    (void)flags;
    if (n == 0)
        return -1; /* wslay answers WANT_READ */
    memcpy(out, ws->input.at, n);
    ws->input.at += n;
    ws->input.len -= n;
    return (ssize_t)n;
}

int
guaco__ws_new(struct guaco__ws **out, const struct guaco__ws_limits *limits,
              const struct guaco__ws_deflate *deflate)
{
    static const struct wslay_frame_callbacks callbacks = {
        .recv_callback = recv_input,
    };

    struct guaco__ws *ws = calloc(1, sizeof(*ws));
    if (ws == NULL)
        return GUACO_E_NOMEM;
    if (wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0) {
        free(ws);
        return GUACO_E_NOMEM;
    }
    ws->limits = limits;
    guaco__buf_init(&ws->message, limits->message_bytes);
    guaco__ws_codec_init(&ws->codec, deflate);
    *out = ws;
    return GUACO_OK;
}

void
guaco__ws_free(struct guaco__ws *ws)
{
    if (ws == NULL)
        return;
    wslay_frame_context_free(ws->frames);
    guaco__ws_codec_release(&ws->codec);
    guaco__buf_release(&ws->message);
    free(ws);
}

bool
guaco__ws_is_closed(const struct guaco__ws *ws)
{
    return ws->close_received && ws->close_sent;
}

/* ---- reading -------------------------------------------------------- */

static int
fail(struct guaco__ws *ws, int rc, enum close_code code)
{
    ws->failed = rc;
    ws->failed_code = (uint16_t)code;
    return rc;
}

static int
fail_by(struct guaco__ws *ws, int rc, enum close_code proto_code)
{
    switch (rc) {
    case GUACO_E_LIMIT: return fail(ws, rc, CLOSE_BIG);
    case GUACO_E_PROTO: return fail(ws, rc, proto_code);
    default: return fail(ws, rc, CLOSE_INTERNAL);
    }
}

/* RFC 6455 7.4: what may stand in a close frame. */
static bool
is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* The head of a data frame: what it means for the message. */
static int
begin_data(struct guaco__ws *ws, const struct wslay_frame_iocb *frame)
{
    bool is_first = frame->opcode != WSLAY_CONTINUATION_FRAME;
    bool is_deflated = frame->rsv == WSLAY_RSV1_BIT;

    if (is_first == ws->has_message)
        return fail(ws, GUACO_E_PROTO, CLOSE_PROTO);
    if (is_deflated && !(is_first && ws->codec.agreed.is_on))
        return fail(ws, GUACO_E_PROTO, CLOSE_PROTO);
    if (is_first) {
        ws->has_message = true;
        ws->is_text = frame->opcode == WSLAY_TEXT_FRAME;
        ws->is_deflated = is_deflated;
        ws->fragments = 0;
        ws->checked = 0;
        ws->utf8 = (struct guaco__utf8){0};
    }
    if (ws->fragments++ == ws->limits->fragments)
        return fail(ws, GUACO_E_LIMIT, CLOSE_POLICY);
    /* A deflated message is measured while it is inflated. */
    if (!ws->is_deflated &&
        frame->payload_length > ws->limits->message_bytes - ws->message.len)
        return fail(ws, GUACO_E_LIMIT, CLOSE_BIG);
    return GUACO_OK;
}

/* What wslay leaves to its caller: the mask, opcodes, reserved bits.  That
 * control frames are short it has checked; the buffer depends on it. */
static int
begin_frame(struct guaco__ws *ws, const struct wslay_frame_iocb *frame)
{
    bool is_control = wslay_is_ctrl_frame(frame->opcode);

    if (!frame->mask || (frame->rsv & ~WSLAY_RSV1_BIT) != 0)
        return fail(ws, GUACO_E_PROTO, CLOSE_PROTO);
    if (is_control ? frame->opcode > WSLAY_PONG || frame->rsv != 0
                   : frame->opcode > WSLAY_BINARY_FRAME)
        return fail(ws, GUACO_E_PROTO, CLOSE_PROTO);
    if (is_control &&
        (frame->payload_length > CONTROL_BYTES_MAX || !frame->fin))
        return fail(ws, GUACO_E_PROTO, CLOSE_PROTO);
    if (!is_control && frame->payload_length > ws->limits->frame_bytes)
        return fail(ws, GUACO_E_LIMIT, CLOSE_BIG);

    ws->has_frame = true;
    ws->is_final = frame->fin;
    ws->opcode = frame->opcode;
    ws->frame_left = frame->payload_length;
    if (is_control) {
        ws->control_len = 0;
        return GUACO_OK;
    }
    return begin_data(ws, frame);
}

static int
check_text(struct guaco__ws *ws, const char *data, size_t len)
{
    if (ws->is_text && !guaco__utf8_feed(&ws->utf8, data, len))
        return fail(ws, GUACO_E_PROTO, CLOSE_TEXT);
    return GUACO_OK;
}

/* What came into the message since the last check. */
static int
check_fresh(struct guaco__ws *ws)
{
    size_t checked = ws->checked;

    ws->checked = ws->message.len;
    if (ws->message.len == checked)
        return GUACO_OK;
    return check_text(ws, guaco__buf_data(&ws->message) + checked,
                      ws->message.len - checked);
}

/* A piece of a data frame goes into the message.  The text that it held comes
 * before what was wrong with the rest, or the verdict would depend on how the
 * bytes were split. */
static int
add_data(struct guaco__ws *ws, struct guaco_slice piece, bool is_last)
{
    int rc;

    if (ws->is_deflated)
        rc = guaco__ws_inflate(&ws->codec, piece, is_last, &ws->message);
    else
        rc = guaco__buf_append(&ws->message, piece.at, piece.len);
    int text_rc = check_fresh(ws);
    if (text_rc != GUACO_OK)
        return text_rc;
    return rc == GUACO_OK ? GUACO_OK : fail_by(ws, rc, CLOSE_TEXT);
}

static int
tell_message(struct guaco__ws *ws, struct guaco_slice data,
             struct guaco__ws_event *event)
{
    if (ws->is_text && !guaco__utf8_is_whole(&ws->utf8))
        return fail(ws, GUACO_E_PROTO, CLOSE_TEXT);
    ws->has_message = false;
    ws->is_told = true;
    event->type = GUACO__WS_MESSAGE;
    event->message = ws->is_text ? GUACO_MESSAGE_TEXT : GUACO_MESSAGE_BINARY;
    event->data = data;
    return GUACO_OK;
}

static int
take_data(struct guaco__ws *ws, struct guaco_slice piece,
          struct guaco__ws_event *event)
{
    bool is_last = ws->is_final && ws->frame_left == 0;

    /* The usual message is one frame that came in one piece: no copy. */
    if (is_last && !ws->is_deflated && ws->message.len == 0) {
        int rc = check_text(ws, piece.at, piece.len);
        return rc == GUACO_OK ? tell_message(ws, piece, event) : rc;
    }
    int rc = add_data(ws, piece, is_last);
    if (rc != GUACO_OK || !is_last)
        return rc;
    return tell_message(ws, guaco__buf_slice(&ws->message), event);
}

static int
tell_close(struct guaco__ws *ws, struct guaco__ws_event *event)
{
    const unsigned char *bytes = (const unsigned char *)ws->control;
    unsigned code = CLOSE_NONE;
    size_t skip = ws->control_len == 0 ? 0 : 2;

    if (ws->control_len == 1)
        return fail(ws, GUACO_E_PROTO, CLOSE_PROTO);
    if (ws->control_len >= 2) {
        code = (unsigned)bytes[0] << 8 | bytes[1];
        if (!is_close_code(code))
            return fail(ws, GUACO_E_PROTO, CLOSE_PROTO);
    }
    event->data =
        (struct guaco_slice){ws->control + skip, ws->control_len - skip};
    if (!guaco__utf8_is_valid(event->data.at, event->data.len))
        return fail(ws, GUACO_E_PROTO, CLOSE_TEXT);
    ws->close_received = true;
    event->type = GUACO__WS_CLOSE;
    event->code = (uint16_t)code;
    return GUACO_OK;
}

static int
take_control(struct guaco__ws *ws, struct guaco_slice piece,
             struct guaco__ws_event *event)
{
    assert(ws->control_len + piece.len <= CONTROL_BYTES_MAX);

    if (piece.len > 0)
        memcpy(ws->control + ws->control_len, piece.at, piece.len);
    ws->control_len = (uint8_t)(ws->control_len + piece.len);
    if (ws->frame_left > 0)
        return GUACO_OK;
    if (ws->opcode == WSLAY_CONNECTION_CLOSE)
        return tell_close(ws, event);
    event->type = ws->opcode == WSLAY_PING ? GUACO__WS_PING : GUACO__WS_PONG;
    event->data = (struct guaco_slice){ws->control, ws->control_len};
    return GUACO_OK;
}

/* One piece of one frame; event->type stays NEED_MORE unless it ends
 * something. */
static int
take_piece(struct guaco__ws *ws, const struct wslay_frame_iocb *frame,
           struct guaco__ws_event *event)
{
    if (!ws->has_frame) {
        int rc = begin_frame(ws, frame);
        if (rc != GUACO_OK)
            return rc;
    }
    assert(frame->data_length <= ws->frame_left);
    ws->frame_left -= frame->data_length;
    if (ws->frame_left == 0)
        ws->has_frame = false;

    struct guaco_slice piece = {(const char *)frame->data, frame->data_length};
    return wslay_is_ctrl_frame(ws->opcode) ? take_control(ws, piece, event)
                                           : take_data(ws, piece, event);
}

static int
read_frames(struct guaco__ws *ws, struct guaco__ws_event *event)
{
    while (event->type == GUACO__WS_NEED_MORE) {
        struct wslay_frame_iocb frame = {0};
        ssize_t n = wslay_frame_recv(ws->frames, &frame);
        if (n == WSLAY_ERR_WANT_READ)
            return GUACO_OK;
        int rc = n < 0 ? fail(ws, GUACO_E_PROTO, CLOSE_PROTO)
                       : take_piece(ws, &frame, event);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

/* Messages are rare and buffers are many: one that grew is not kept. */
static void
forget_message(struct guaco__ws *ws)
{
    if (!ws->is_told)
        return;
    ws->is_told = false;
    guaco__buf_release(&ws->message);
}

int
guaco__ws_next(struct guaco__ws *ws, const char *data, size_t len,
               struct guaco__ws_event *event)
{
    *event = (struct guaco__ws_event){.type = GUACO__WS_NEED_MORE};
    if (ws->failed != 0) {
        event->code = ws->failed_code;
        return ws->failed;
    }
    if (ws->close_received)
        return GUACO_E_CLOSED;

    forget_message(ws);
    ws->input = (struct guaco_slice){data, len};
    int rc = read_frames(ws, event);
    event->used = len - ws->input.len;
    if (rc != GUACO_OK)
        event->code = ws->failed_code;
    return rc;
}

/* ---- writing -------------------------------------------------------- */

/* A frame's first byte without reserved bits: FIN and the opcode. */
static unsigned
first_byte(enum guaco_message_type type)
{
    return 0x80U |
           (type == GUACO_MESSAGE_TEXT ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME);
}

/* RFC 6455 5.2: the shortest of the three forms of a length. */
static size_t
put_head(char out[GUACO__WS_HEAD_BYTES], unsigned first, uint64_t len)
{
    int bytes = len <= 125 ? 0 : len <= 0xffff ? 2 : 8;

    out[0] = (char)first;
    out[1] = (char)(bytes == 0 ? len : bytes == 2 ? 126 : 127);
    for (int i = 0; i < bytes; i++)
        out[2 + i] = (char)(len >> (8 * (bytes - 1 - i)));
    return 2 + (size_t)bytes;
}

size_t
guaco__ws_write_frame_head(char out[GUACO__WS_HEAD_BYTES],
                           enum guaco_message_type type, uint64_t len)
{
    return put_head(out, first_byte(type), len);
}

bool
guaco__ws_is_sent_plain(const struct guaco__ws *ws, size_t len)
{
    return !ws->codec.agreed.is_on || len < ws->limits->deflate_from;
}

static int
write_frame(struct guaco__buf *out, unsigned first, struct guaco_slice data)
{
    char head[GUACO__WS_HEAD_BYTES];
    size_t head_len = put_head(head, first, data.len);

    int rc = guaco__buf_reserve(out, head_len + data.len);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__buf_append(out, head, head_len);
    assert(rc == GUACO_OK);
    return guaco__buf_append(out, data.at, data.len);
}

/* Deflate behind room for the longest head, then close the gap. */
static int
write_deflated(struct guaco__ws *ws, struct guaco__buf *out, unsigned first,
               struct guaco_slice data)
{
    char head[GUACO__WS_HEAD_BYTES] = {0};
    size_t before = out->len;

    int rc = guaco__buf_append(out, head, sizeof(head));
    if (rc == GUACO_OK)
        rc = guaco__ws_deflate(&ws->codec, data, out);
    if (rc != GUACO_OK) {
        guaco__buf_cut(out, before);
        return rc;
    }
    size_t len = out->len - before - sizeof(head);
    size_t head_len = put_head(head, first | 0x40U, len);
    char *at = guaco__buf_data(out) + before;
    memmove(at + head_len, at + sizeof(head), len);
    memcpy(at, head, head_len);
    guaco__buf_cut(out, before + head_len + len);
    return GUACO_OK;
}

int
guaco__ws_write(struct guaco__ws *ws, struct guaco__buf *out,
                enum guaco_message_type type, struct guaco_slice data)
{
    if (ws->close_sent)
        return GUACO_E_STATE;
    if (type == GUACO_MESSAGE_CLOSE ||
        (type == GUACO_MESSAGE_TEXT &&
         !guaco__utf8_is_valid(data.at, data.len)))
        return GUACO_E_INVALID;
    return guaco__ws_is_sent_plain(ws, data.len)
               ? write_frame(out, first_byte(type), data)
               : write_deflated(ws, out, first_byte(type), data);
}

static int
write_control(struct guaco__ws *ws, struct guaco__buf *out, unsigned opcode,
              struct guaco_slice data)
{
    if (ws->close_sent)
        return GUACO_E_STATE;
    if (data.len > CONTROL_BYTES_MAX)
        return GUACO_E_INVALID;
    return write_frame(out, 0x80U | opcode, data);
}

int
guaco__ws_write_ping(struct guaco__ws *ws, struct guaco__buf *out,
                     struct guaco_slice data)
{
    return write_control(ws, out, WSLAY_PING, data);
}

int
guaco__ws_write_pong(struct guaco__ws *ws, struct guaco__buf *out,
                     struct guaco_slice data)
{
    return write_control(ws, out, WSLAY_PONG, data);
}

int
guaco__ws_write_close(struct guaco__ws *ws, struct guaco__buf *out,
                      uint16_t code, struct guaco_slice reason)
{
    char payload[CONTROL_BYTES_MAX];
    struct guaco_slice data = {payload, 0};

    if (code != CLOSE_NONE) {
        if (!is_close_code(code) || reason.len > REASON_BYTES_MAX ||
            !guaco__utf8_is_valid(reason.at, reason.len))
            return GUACO_E_INVALID;
        payload[0] = (char)(code >> 8);
        payload[1] = (char)(code & 0xff);
        if (reason.len > 0)
            memcpy(payload + 2, reason.at, reason.len);
        data.len = 2 + reason.len;
    } else if (reason.len > 0) {
        return GUACO_E_INVALID;
    }
    int rc = write_control(ws, out, WSLAY_CONNECTION_CLOSE, data);
    if (rc == GUACO_OK)
        ws->close_sent = true;
    return rc;
}
