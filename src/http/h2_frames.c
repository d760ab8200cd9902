/* Heads of frames: the contract is in h2_frames.h. */

#include "h2_frames.h"

#include <string.h>

/* ---- buckets ---- */

bool
guaco__h2_pour(struct guaco__h2_bucket *bucket, uint32_t drops, uint64_t now_ms)
{
    uint64_t gone = (now_ms - bucket->at_ms) * bucket->size / 10;

    bucket->level -= gone < bucket->level ? gone : bucket->level;
    bucket->level += (uint64_t)drops * 1000;
    bucket->at_ms = now_ms;
    return bucket->level <= (uint64_t)bucket->size * 1000;
}

void
guaco__h2_scoop(struct guaco__h2_bucket *bucket, uint32_t drops)
{
    uint64_t gone = (uint64_t)drops * 1000;

    bucket->level -= gone < bucket->level ? gone : bucket->level;
}

/* ---- frame heads ---- */

static uint32_t
frame_bytes(const struct guaco__h2_frames *f)
{
    return (uint32_t)f->frame[0] << 16 | (uint32_t)f->frame[1] << 8 |
           f->frame[2];
}

static uint32_t
frame_id(const struct guaco__h2_frames *f)
{
    return guaco__h2_be32(f->frame + 5) & 0x7fffffff;
}

void
guaco__h2_frames_reset(struct guaco__h2_frames *f, uint32_t id)
{
    f->reset_ids[f->reset_count++ % GUACO__H2_RESET_IDS] = id;
}

static bool
was_reset(const struct guaco__h2_frames *f, uint32_t id)
{
    for (size_t i = 0; i < GUACO__H2_RESET_IDS; i++)
        if (f->reset_ids[i] == id)
            return true;
    return false;
}

/* DATA and HEADERS behind the end of a stream (RFC 9113 5.1); but what we broke
 * off the client may not know of yet. */
static bool
is_misplaced(struct guaco__h2_frames *f, nghttp2_session *session)
{
    uint8_t type = f->frame[3];
    uint32_t id = frame_id(f);

    if (type == NGHTTP2_PRIORITY)
        return id == 0;
    if ((type != NGHTTP2_DATA && type != NGHTTP2_HEADERS) || f->is_leaving)
        return false;
    if (id > f->seen_id) {
        if (type == NGHTTP2_HEADERS)
            f->seen_id = id;
        return false;
    }
    return id != 0 &&
           nghttp2_session_find_stream(session, (int32_t)id) == NULL &&
           !was_reset(f, id);
}

static bool
is_allowed(struct guaco__h2_frames *f)
{
    uint8_t type = f->frame[3];
    uint8_t flags = f->frame[4];
    bool is_empty = type == NGHTTP2_DATA && frame_bytes(f) == 0 &&
                    (flags & NGHTTP2_FLAG_END_STREAM) == 0;

    if (type == NGHTTP2_HEADERS) {
        f->continuations = 0;
        f->is_in_block = (flags & NGHTTP2_FLAG_END_HEADERS) == 0;
        guaco__h2_scoop(&f->controls, 2);
        return true;
    }
    if (type == NGHTTP2_CONTINUATION) {
        if ((flags & NGHTTP2_FLAG_END_HEADERS) != 0)
            f->is_in_block = false;
        return ++f->continuations <= GUACO__H2_CONTINUATIONS_MAX;
    }
    if (type == NGHTTP2_RST_STREAM)
        return guaco__h2_pour(&f->resets, 1, f->now_ms);
    if (type != NGHTTP2_DATA || is_empty)
        return guaco__h2_pour(&f->controls, 1, f->now_ms);
    return true;
}

/* A stream that depends on itself (RFC 7540 5.3.1), of which nghttp2 does not
 * say anything when it ignores priorities. */
static bool
depends_on_itself(struct guaco__h2_frames *f, const char *data, size_t len)
{
    if (f->frame[3] != NGHTTP2_PRIORITY || !f->preface_is_read)
        return false;
    for (size_t i = 0; i < len && f->depends_len < 4; i++)
        f->depends_on[f->depends_len++] = (unsigned char)data[i];
    return f->depends_len == 4 &&
           (guaco__h2_be32(f->depends_on) & 0x7fffffff) == frame_id(f);
}

/* A whole head: what is to be said of it, as a code. */
static uint32_t
judge(struct guaco__h2_frames *f, nghttp2_session *session)
{
    f->depends_len = 0;
    if (!is_allowed(f))
        return NGHTTP2_ENHANCE_YOUR_CALM;
    if (!is_misplaced(f, session))
        return NGHTTP2_NO_ERROR;
    return f->frame[3] == NGHTTP2_PRIORITY ? NGHTTP2_PROTOCOL_ERROR
                                           : NGHTTP2_STREAM_CLOSED;
}

void
guaco__h2_frames_init(struct guaco__h2_frames *f,
                      const struct guaco__h2_limits *limits)
{
    *f = (struct guaco__h2_frames){.to_skip = GUACO__H2_PREFACE_BYTES};
    f->resets.size = limits->resets;
    f->controls.size = limits->controls;
}

/* Bytes of a frame's head; what of it nghttp2 is to read is *first. */
static size_t
cut_head(struct guaco__h2_frames *f, nghttp2_session *session, const char *data,
         size_t len, struct guaco_slice *first)
{
    size_t n = (size_t)(GUACO__H2_FRAME_HEAD - f->frame_len);

    f->preface_is_read = true;
    if (n > len)
        n = len;
    memcpy(f->frame + f->frame_len, data, n);
    f->frame_len = (uint8_t)(f->frame_len + n);
    if (f->frame_len < GUACO__H2_FRAME_HEAD)
        return n;
    if (n < GUACO__H2_FRAME_HEAD)
        *first =
            (struct guaco_slice){(const char *)f->frame, GUACO__H2_FRAME_HEAD};
    f->frame_len = 0;
    f->code = judge(f, session);
    f->to_skip = frame_bytes(f);
    return n;
}

size_t
guaco__h2_frames_cut(struct guaco__h2_frames *f, nghttp2_session *session,
                     const char *data, size_t len, struct guaco_slice *first,
                     struct guaco_slice *rest)
{
    size_t n = 0;
    size_t more;

    *first = *rest = (struct guaco_slice){NULL, 0};
    if (f->to_skip == 0)
        n = cut_head(f, session, data, len, first);
    if (f->frame_len > 0)
        return n;
    more = len - n < f->to_skip ? len - n : f->to_skip;
    if (depends_on_itself(f, data + n, more))
        f->code = NGHTTP2_PROTOCOL_ERROR;
    f->to_skip -= more;
    if (first->len > 0)
        *rest = (struct guaco_slice){data + n, more};
    else
        *rest = (struct guaco_slice){data, n + more};
    return n + more;
}
