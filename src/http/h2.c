/* HTTP/2 over nghttp2: the contract is in h2.h. */

#include "h2.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "h2_drain.h"
#include "h2_frames.h"
#include "h2_head.h"

enum {
    ACKS_MAX = 256,    /* of PING and SETTINGS, not sent yet */
    SETTINGS_MAX = 32, /* in one frame */
    GOAWAY_BYTES = GUACO__H2_FRAME_HEAD + 8,
    NV_COUNT = 48, /* a longer head is allocated */
};

struct guaco__h2 {
    nghttp2_session *session;
    const struct guaco__h2_limits *limits;
    const struct guaco__h2_ops *ops;
    void *ctx;
    struct guaco_field *fields;
    uint8_t *ids;
    struct guaco__h2_head head; /* of the request that is being read */
    struct guaco__h2_frames frames;
    struct guaco__h2_drains drains;
    bool has_failed;
    bool goaway_is_left; /* made by hand, to be sent */
    int failure;         /* what a callback could not return */
    uint32_t last_id;    /* of a request that was told */
    /* what the frame that was read last has told, not given yet */
    int32_t request_id;
    bool request_is_last;
    int32_t data_id;
    struct guaco_slice data;
    int32_t end_id;
    unsigned char goaway[GOAWAY_BYTES];
};

/* ---- requests ---- */

static void *
stream_of(const struct guaco__h2 *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
                 void *ctx)
{
    struct guaco__h2 *h2 = ctx;

    (void)session, (void)frame;
    guaco__h2_head_begin(&h2->head);
    return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
          const uint8_t *name, size_t name_len, const uint8_t *value,
          size_t value_len, uint8_t flags, void *ctx)
{
    struct guaco__h2 *h2 = ctx;
    int rc = guaco__h2_head_add(
        &h2->head, (struct guaco_slice){(const char *)name, name_len},
        (struct guaco_slice){(const char *)value, value_len});

    (void)session, (void)frame, (void)flags;
    if (rc == GUACO_OK)
        return 0;
    h2->failure = rc;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* One that nghttp2 would leave out and let the rest pass. */
static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                  const uint8_t *name, size_t name_len, const uint8_t *value,
                  size_t value_len, uint8_t flags, void *ctx)
{
    (void)name, (void)name_len, (void)value, (void)value_len, (void)flags;
    (void)ctx;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                              NGHTTP2_PROTOCOL_ERROR);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct guaco__h2 *h2 = ctx;
    bool is_head = frame->hd.type == NGHTTP2_HEADERS;
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    (void)session;
    if (is_head && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        h2->request_id = frame->hd.stream_id;
        h2->request_is_last = is_end;
    } else if ((is_head || frame->hd.type == NGHTTP2_DATA) && is_end) {
        h2->end_id = frame->hd.stream_id;
    }
    return 0;
}

/* One that is refused is no stream, and gets a reset. */
static int
on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int why,
                 void *ctx)
{
    (void)session, (void)why;
    guaco__h2_frames_reset(&((struct guaco__h2 *)ctx)->frames,
                           (uint32_t)frame->hd.stream_id);
    return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id,
        const uint8_t *data, size_t len, void *ctx)
{
    struct guaco__h2 *h2 = ctx;

    (void)session, (void)flags;
    if (h2->data.len > 0 && h2->data.at + h2->data.len == (const char *)data) {
        h2->data.len += len; /* of one frame all is in one piece */
        return 0;
    }
    h2->data_id = id;
    h2->data = (struct guaco_slice){(const char *)data, len};
    return 0;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    struct guaco__h2 *h2 = ctx;
    void *stream = stream_of(h2, id);

    (void)session;
    guaco__h2_drains_remove(&h2->drains, (uint32_t)id);
    if (stream != NULL)
        h2->ops->closed(h2->ctx, stream, code);
    return 0;
}

/* ---- sending ---- */

static ssize_t
on_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
             uint32_t *flags, nghttp2_data_source *source, void *ctx);

static size_t
fill_nv(nghttp2_nv *nv, const struct guaco_field *fields, size_t count,
        uint8_t flags)
{
    for (size_t i = 0; i < count; i++) {
        nv[i].name = (uint8_t *)(uintptr_t)fields[i].name.at;
        nv[i].namelen = fields[i].name.len;
        nv[i].value = fields[i].value.len > 0
                          ? (uint8_t *)(uintptr_t)fields[i].value.at
                          : (uint8_t *)(uintptr_t) "";
        nv[i].valuelen = fields[i].value.len;
        nv[i].flags = flags;
    }
    return count;
}

enum submit {
    SUBMIT_LAST,
    SUBMIT_HEAD,
    SUBMIT_REFUSAL, /* these two copy */
    SUBMIT_INFORM,
    SUBMIT_TRAILERS,
};

static int
submit(struct guaco__h2 *h2, uint32_t id, const struct guaco_field *fields,
       size_t count, enum submit what)
{
    nghttp2_data_provider body = {.read_callback = on_read_body};
    uint8_t keep = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    nghttp2_nv local[NV_COUNT];
    nghttp2_nv *nv = local;
    int rc = 0;

    if (count > NV_COUNT)
        nv = malloc(count * sizeof(*nv));
    if (nv == NULL)
        return GUACO_E_NOMEM;
    fill_nv(nv, fields, count,
            what == SUBMIT_INFORM || what == SUBMIT_REFUSAL ? 0 : keep);
    switch (what) {
    case SUBMIT_REFUSAL:
    case SUBMIT_LAST:
        rc = nghttp2_submit_response(h2->session, (int32_t)id, nv, count, NULL);
        break;
    case SUBMIT_HEAD:
        rc =
            nghttp2_submit_response(h2->session, (int32_t)id, nv, count, &body);
        break;
    case SUBMIT_INFORM:
        rc = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, (int32_t)id,
                                    NULL, nv, count, NULL);
        break;
    case SUBMIT_TRAILERS:
        rc = nghttp2_submit_trailer(h2->session, (int32_t)id, nv, count);
        break;
    }
    if (nv != local)
        free(nv);
    return rc == NGHTTP2_ERR_NOMEM ? GUACO_E_NOMEM : GUACO_OK;
}

static ssize_t
on_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
             uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct guaco__h2 *h2 = ctx;
    struct guaco__h2_body body = {0};
    void *stream = stream_of(h2, id);
    size_t n;

    (void)session, (void)buf, (void)source;
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    h2->ops->pending(h2->ctx, stream, &body);
    n = body.bytes < room ? body.bytes : room;
    if (n == 0 && !body.is_last)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!body.is_last || n < body.bytes)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (body.trailer_count > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (submit(h2, (uint32_t)id, body.trailers, body.trailer_count,
                   SUBMIT_TRAILERS) < 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)n;
}

static int
on_send_body(nghttp2_session *session, nghttp2_frame *frame,
             const uint8_t *head, size_t len, nghttp2_data_source *source,
             void *ctx)
{
    struct guaco__h2 *h2 = ctx;
    void *stream = stream_of(h2, frame->hd.stream_id);
    int rc;

    (void)session, (void)source;
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    assert(frame->data.padlen == 0); /* there is no callback that asks for it */
    rc = h2->ops->send(h2->ctx, stream, head, len);
    if (rc == GUACO_E_AGAIN)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (rc == GUACO_E_IO)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    guaco__h2_scoop(&h2->frames.controls, 1);
    return rc < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A request was answered, and goes on: the rest of it is nobody's. */
static void
drain(struct guaco__h2 *h2, int32_t id)
{
    void *stream = stream_of(h2, id);
    int32_t window =
        nghttp2_session_get_stream_local_window_size(h2->session, id);
    uint32_t victim = (uint32_t)id;

    if (stream != NULL && window > 0 &&
        h2->ops->left(h2->ctx, stream) <= (uint64_t)window) {
        victim = guaco__h2_drains_add(&h2->drains, h2->limits, victim,
                                      h2->frames.now_ms);
        nghttp2_session_set_stream_user_data(h2->session, id, NULL);
        h2->ops->closed(h2->ctx, stream, NGHTTP2_NO_ERROR);
    }
    if (victim != 0)
        guaco__h2_reset(h2, victim, NGHTTP2_NO_ERROR);
}

/* After a frame of ours: a request of which the rest is not wanted any more,
 * and streams that the client made us break off. */
static int
on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct guaco__h2 *h2 = ctx;
    int32_t id = frame->hd.stream_id;
    bool is_end =
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    if (frame->hd.type == NGHTTP2_RST_STREAM)
        guaco__h2_frames_reset(&h2->frames, (uint32_t)id);
    if (is_end && nghttp2_session_get_stream_remote_close(session, id) == 0)
        drain(h2, id);
    if (frame->hd.type == NGHTTP2_RST_STREAM &&
        frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
        frame->rst_stream.error_code != NGHTTP2_INTERNAL_ERROR &&
        !guaco__h2_pour(&h2->frames.resets, 1, h2->frames.now_ms))
        nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

/* ---- life ---- */

static void
set_callbacks(nghttp2_session_callbacks *on)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(on,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(on, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(on,
                                                             on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(on, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
        on, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(on, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(on, on_close);
    nghttp2_session_callbacks_set_send_data_callback(on, on_send_body);
    nghttp2_session_callbacks_set_on_frame_send_callback(on, on_sent);
}

static void
set_options(nghttp2_option *option, const struct guaco__h2_limits *limits)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
    nghttp2_option_set_max_settings(option, SETTINGS_MAX);
    nghttp2_option_set_max_send_header_block_length(
        option, (size_t)limits->http->head_bytes * 64);
#ifdef GUACO__HAS_H2_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(option, GUACO__H2_CONTINUATIONS_MAX);
#endif
#ifdef GUACO__HAS_H2_RESET_RATE_LIMIT
    /* ours is met first */
    nghttp2_option_set_stream_reset_rate_limit(
        option, 2 * (uint64_t)limits->resets + 1, limits->resets / 5 + 1);
#endif
}

static int
make_session(struct guaco__h2 *h2)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);

    if (rc == 0)
        rc = nghttp2_option_new(&option);
    if (rc == 0) {
        set_callbacks(callbacks);
        set_options(option, h2->limits);
        rc = nghttp2_session_server_new2(&h2->session, callbacks, h2, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return rc == 0 ? GUACO_OK : GUACO_E_NOMEM;
}

static int
send_settings(struct guaco__h2 *h2)
{
    const struct guaco__h2_limits *limits = h2->limits;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->http->head_bytes},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    int rc = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                     sizeof(settings) / sizeof(*settings));

    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(
            h2->session, NGHTTP2_FLAG_NONE, 0,
            (int32_t)limits->conn_window_bytes);
    return rc == 0 ? GUACO_OK : GUACO_E_NOMEM;
}

int
guaco__h2_new(struct guaco__h2 **out, const struct guaco__h2_limits *limits,
              const struct guaco__h2_ops *ops, void *ctx,
              struct guaco_field *fields, uint8_t *ids)
{
    struct guaco__h2 *h2 = calloc(1, sizeof(*h2));
    int rc;

    if (h2 == NULL)
        return GUACO_E_NOMEM;
    h2->limits = limits;
    h2->ops = ops;
    h2->ctx = ctx;
    h2->fields = fields;
    h2->ids = ids;
    guaco__h2_frames_init(&h2->frames, limits);
    guaco__h2_head_init(&h2->head, limits->http);
    rc = make_session(h2);
    if (rc == GUACO_OK)
        rc = send_settings(h2);
    if (rc < 0)
        guaco__h2_free(h2);
    else
        *out = h2;
    return rc;
}

void
guaco__h2_free(struct guaco__h2 *h2)
{
    if (h2 == NULL)
        return;
    nghttp2_session_del(h2->session);
    guaco__h2_head_release(&h2->head);
    guaco__h2_drains_release(&h2->drains);
    free(h2);
}

/* ---- the calls ---- */

static void
put_be32(unsigned char *out, uint32_t n)
{
    out[0] = (unsigned char)(n >> 24);
    out[1] = (unsigned char)(n >> 16);
    out[2] = (unsigned char)(n >> 8);
    out[3] = (unsigned char)n;
}

/* nghttp2 does nothing more after some failures: say why by hand. */
static int
fail(struct guaco__h2 *h2, int rc, uint32_t code)
{
    h2->has_failed = true;
    if (rc == GUACO_E_NOMEM)
        return rc;
    memset(h2->goaway, 0, sizeof(h2->goaway));
    h2->goaway[2] = 8;
    h2->goaway[3] = NGHTTP2_GOAWAY;
    put_be32(h2->goaway + GUACO__H2_FRAME_HEAD, h2->last_id);
    put_be32(h2->goaway + GUACO__H2_FRAME_HEAD + 4, code);
    h2->goaway_is_left = true;
    return rc;
}

static int
judge(struct guaco__h2 *h2, ssize_t rc)
{
    if (rc == NGHTTP2_ERR_NOMEM || h2->failure == GUACO_E_NOMEM)
        return fail(h2, GUACO_E_NOMEM, 0);
    if (h2->failure == GUACO_E_LIMIT || rc == NGHTTP2_ERR_FLOODED)
        h2->frames.code = NGHTTP2_ENHANCE_YOUR_CALM;
    if (h2->frames.code == NGHTTP2_ENHANCE_YOUR_CALM)
        return fail(h2, GUACO_E_LIMIT, h2->frames.code);
    if (h2->frames.code != NGHTTP2_NO_ERROR)
        return fail(h2, GUACO_E_PROTO, h2->frames.code);
    return rc < 0 ? fail(h2, GUACO_E_PROTO, NGHTTP2_PROTOCOL_ERROR) : GUACO_OK;
}

static void
give_request(struct guaco__h2 *h2, struct guaco__h2_event *event)
{
    event->type = GUACO__H2_REQUEST;
    event->id = (uint32_t)h2->request_id;
    event->is_last = h2->request_is_last;
    event->head =
        (struct guaco_http_head){.fields = h2->fields, .ids = h2->ids};
    event->fault = guaco__h2_head_judge(&h2->head, &event->head, event->is_last,
                                        &event->is_websocket);
    event->head_at = guaco__buf_data(&h2->head.text);
    h2->last_id = event->id;
    h2->request_id = 0;
}

/* Data of a stream that nobody attached to, or that is closed, is nobody's. */
static bool
give_data(struct guaco__h2 *h2, struct guaco__h2_event *event)
{
    event->type = GUACO__H2_DATA;
    event->id = (uint32_t)h2->data_id;
    event->data = h2->data;
    event->stream = stream_of(h2, h2->data_id);
    h2->data.len = 0;
    if (event->stream != NULL)
        return true;
    /* one window is not opened again, the connection's is */
    nghttp2_session_consume_connection(h2->session, event->data.len);
    if (nghttp2_session_get_stream_local_window_size(h2->session,
                                                     (int32_t)event->id) <= 0 &&
        guaco__h2_drains_remove(&h2->drains, event->id))
        guaco__h2_reset(h2, event->id, GUACO__H2_NO_ERROR);
    return false;
}

static bool
give_end(struct guaco__h2 *h2, struct guaco__h2_event *event)
{
    event->type = GUACO__H2_END;
    event->id = (uint32_t)h2->end_id;
    event->stream = stream_of(h2, h2->end_id);
    h2->end_id = 0;
    return event->stream != NULL;
}

/* What the last frame has told. */
static bool
give(struct guaco__h2 *h2, struct guaco__h2_event *event)
{
    if (h2->request_id != 0) {
        give_request(h2, event);
        return true;
    }
    return (h2->data.len > 0 && give_data(h2, event)) ||
           (h2->end_id != 0 && give_end(h2, event));
}

static ssize_t
read_slice(struct guaco__h2 *h2, struct guaco_slice bytes)
{
    if (bytes.len == 0)
        return 0;
    return nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.at,
                                    bytes.len);
}

/* Read on in the frame that data[0..len) begins in.  Returns as next. */
static int
read_frame(struct guaco__h2 *h2, const char *data, size_t len, size_t *used)
{
    struct guaco_slice first;
    struct guaco_slice rest;
    ssize_t rc = 0;

    *used = guaco__h2_frames_cut(&h2->frames, h2->session, data, len, &first,
                                 &rest);
    if (h2->frames.code == NGHTTP2_NO_ERROR)
        rc = read_slice(h2, first);
    if (h2->frames.code == NGHTTP2_NO_ERROR && rc >= 0)
        rc = read_slice(h2, rest);
    return judge(h2, rc);
}

int
guaco__h2_next(struct guaco__h2 *h2, const char *data, size_t len,
               uint64_t now_ms, struct guaco__h2_event *event)
{
    event->used = 0;
    h2->frames.now_ms = now_ms;
    if (h2->has_failed)
        return GUACO_E_PROTO;
    while (!give(h2, event)) {
        size_t used;
        int rc;

        event->type = GUACO__H2_NEED_MORE;
        if (event->used == len) {
            if (!h2->frames.is_in_block && h2->frames.to_skip == 0)
                guaco__h2_head_release(&h2->head); /* idle: stay small */
            return GUACO_OK;
        }
        rc = read_frame(h2, data + event->used, len - event->used, &used);
        event->used += used;
        if (rc < 0)
            return rc;
    }
    return GUACO_OK;
}

/* ---- windows, out of turn ---- */

bool
guaco__h2_take_windows(struct guaco__h2 *h2, uint32_t id, char *data,
                       size_t *len)
{
    bool has_taken = false;
    size_t at = 0;

    if (h2->frames.to_skip > 0 || h2->frames.frame_len > 0 ||
        h2->frames.is_in_block)
        return false; /* in the midst of a frame nothing can be told */
    while (*len - at >= GUACO__H2_FRAME_HEAD && !h2->has_failed) {
        size_t bytes = GUACO__H2_FRAME_HEAD + (guaco__h2_be32(data + at) >> 8);
        uint32_t of = guaco__h2_be32(data + at + 5) & 0x7fffffff;

        if (bytes > *len - at)
            break;
        if (data[at + 3] != NGHTTP2_WINDOW_UPDATE || (of != 0 && of != id)) {
            at += bytes;
            continue;
        }
        if (nghttp2_session_mem_recv(h2->session, (const uint8_t *)data + at,
                                     bytes) < 0)
            h2->has_failed = true;
        memmove(data + at, data + at + bytes, *len - at - bytes);
        *len -= bytes;
        has_taken = true;
    }
    return has_taken;
}

int
guaco__h2_send(struct guaco__h2 *h2, struct guaco_slice *out)
{
    const uint8_t *at = NULL;
    ssize_t n = 0;

    *out = (struct guaco_slice){NULL, 0};
    if (!h2->has_failed) {
        n = nghttp2_session_mem_send(h2->session, &at);
    } else if (h2->goaway_is_left) {
        h2->goaway_is_left = false;
        at = h2->goaway;
        n = sizeof(h2->goaway);
    }
    if (n < 0) {
        h2->has_failed = true;
        return GUACO_E_NOMEM;
    }
    if (n > 0)
        *out = (struct guaco_slice){(const char *)at, (size_t)n};
    return GUACO_OK;
}

bool
guaco__h2_wants_send(const struct guaco__h2 *h2)
{
    return h2->goaway_is_left ||
           (!h2->has_failed && nghttp2_session_want_write(h2->session) != 0);
}

bool
guaco__h2_is_over(const struct guaco__h2 *h2)
{
    if (h2->has_failed)
        return !h2->goaway_is_left;
    return nghttp2_session_want_read(h2->session) == 0 &&
           nghttp2_session_want_write(h2->session) == 0;
}

bool
guaco__h2_is_draining(const struct guaco__h2 *h2)
{
    return h2->drains.count > 0;
}

bool
guaco__h2_is_in_head(const struct guaco__h2 *h2)
{
    return !h2->frames.preface_is_read || h2->frames.is_in_block ||
           h2->frames.frame_len > 0;
}

void
guaco__h2_attach(struct guaco__h2 *h2, uint32_t id, void *stream)
{
    nghttp2_session_set_stream_user_data(h2->session, (int32_t)id, stream);
}

int
guaco__h2_head(struct guaco__h2 *h2, uint32_t id,
               const struct guaco_field *fields, size_t count, bool is_last)
{
    return submit(h2, id, fields, count, is_last ? SUBMIT_LAST : SUBMIT_HEAD);
}

void
guaco__h2_resume(struct guaco__h2 *h2, uint32_t id)
{
    nghttp2_session_resume_data(h2->session, (int32_t)id);
}

int
guaco__h2_refuse(struct guaco__h2 *h2, uint32_t id, int status)
{
    char digits[4] = {(char)('0' + status / 100 % 10),
                      (char)('0' + status / 10 % 10), (char)('0' + status % 10),
                      '\0'};
    const struct guaco_field fields[] = {
        {GUACO_SLICE(":status"), {digits, 3}},
        {GUACO_SLICE("content-length"), GUACO_SLICE("0")},
    };

    return submit(h2, id, fields, 2, SUBMIT_REFUSAL);
}

int
guaco__h2_inform(struct guaco__h2 *h2, uint32_t id,
                 const struct guaco_field *fields, size_t count)
{
    return submit(h2, id, fields, count, SUBMIT_INFORM);
}

void
guaco__h2_reset(struct guaco__h2 *h2, uint32_t id, uint32_t code)
{
    nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, (int32_t)id,
                              code);
}

void
guaco__h2_consume(struct guaco__h2 *h2, uint32_t id, size_t bytes)
{
    /* of a closed stream only the connection's window is left */
    if (bytes > 0)
        nghttp2_session_consume(h2->session, (int32_t)id, bytes);
}

void
guaco__h2_warn(struct guaco__h2 *h2)
{
    nghttp2_submit_shutdown_notice(h2->session);
}

void
guaco__h2_goaway(struct guaco__h2 *h2, uint32_t code)
{
    if (h2->has_failed)
        return;
    h2->frames.is_leaving = true;
    if (code != NGHTTP2_NO_ERROR)
        nghttp2_session_terminate_session(h2->session, code);
    else
        nghttp2_submit_goaway(
            h2->session, NGHTTP2_FLAG_NONE,
            nghttp2_session_get_last_proc_stream_id(h2->session), code, NULL,
            0);
}
