#include "ws_deflate.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LEVEL = Z_DEFAULT_COMPRESSION,
    MEM_LEVEL = 5, /* 16 KiB of hash chains instead of 128 */
    STEP_BYTES = 4096,
    TAIL_BYTES = 4,
};

/* The empty stored block that a sync flush ends with; RFC 7692 7.2.1 takes it
 * off the wire. */
static const unsigned char tail[TAIL_BYTES] = {0x00, 0x00, 0xff, 0xff};

void
guaco__ws_codec_init(struct guaco__ws_codec *codec,
                     const struct guaco__ws_deflate *agreed)
{
    *codec = (struct guaco__ws_codec){.agreed = *agreed};
}

static void
end_deflate(struct guaco__ws_codec *codec)
{
    if (codec->deflate != NULL)
        deflateEnd(codec->deflate);
    free(codec->deflate);
    codec->deflate = NULL;
}

void
guaco__ws_codec_release(struct guaco__ws_codec *codec)
{
    if (codec->inflate != NULL)
        inflateEnd(codec->inflate);
    free(codec->inflate);
    codec->inflate = NULL;
    end_deflate(codec);
}

static int
need_inflate(struct guaco__ws_codec *codec)
{
    if (codec->inflate != NULL)
        return GUACO_OK;
    z_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return GUACO_E_NOMEM;
    if (inflateInit2(stream, -(int)codec->agreed.client_bits) != Z_OK) {
        free(stream);
        return GUACO_E_NOMEM;
    }
    codec->inflate = stream;
    return GUACO_OK;
}

static int
need_deflate(struct guaco__ws_codec *codec)
{
    if (codec->deflate != NULL)
        return GUACO_OK;
    z_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return GUACO_E_NOMEM;
    if (deflateInit2(stream, LEVEL, Z_DEFLATED, -(int)codec->agreed.server_bits,
                     MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(stream);
        return GUACO_E_NOMEM;
    }
    codec->deflate = stream;
    return GUACO_OK;
}

/* Room for the next step, less than a step only when the cap is near. */
static int
need_room(struct guaco__buf *out)
{
    size_t left = out->cap - out->len;

    if (left == 0)
        return GUACO_E_LIMIT;
    if (guaco__buf_free(out) >= STEP_BYTES)
        return GUACO_OK;
    return guaco__buf_reserve(out, left < STEP_BYTES ? left : STEP_BYTES);
}

/* Give zlib the free room of *out, within its cap. */
static size_t
lend_room(z_stream *stream, struct guaco__buf *out)
{
    size_t room = guaco__buf_free(out);
    size_t left = out->cap - out->len;

    if (room > left)
        room = left;
    if (room > UINT_MAX)
        room = UINT_MAX;
    stream->next_out = (unsigned char *)guaco__buf_end(out);
    stream->avail_out = (unsigned)room;
    return room;
}

/* zlib's answer to one step; GUACO_E_AGAIN: go on. */
static int
after_step(z_stream *stream, int answer)
{
    switch (answer) {
    case Z_OK:
    case Z_BUF_ERROR:
        return stream->avail_in > 0 || stream->avail_out == 0 ? GUACO_E_AGAIN
                                                              : GUACO_OK;
    case Z_STREAM_END:
        /* A final block, which RFC 7692 7.2.3.5 allows; an empty one follows.
         * The window is lost with it: no sender refers back past it. */
        if (inflateReset(stream) != Z_OK)
            return GUACO_E_PROTO;
        return stream->avail_in > 0 ? GUACO_E_AGAIN : GUACO_OK;
    case Z_MEM_ERROR: return GUACO_E_NOMEM;
    }
    return GUACO_E_PROTO;
}

/* One step at the cap: damage and ends of streams are answered as anywhere,
 * only a further byte is over the limit.  That is what zlib says of the same
 * data when the byte that reached the cap came in the same call. */
static int
inflate_at_cap(z_stream *stream)
{
    unsigned char byte;

    stream->next_out = &byte;
    stream->avail_out = 1;
    int answer = inflate(stream, Z_SYNC_FLUSH);
    return stream->avail_out == 0 ? GUACO_E_LIMIT : after_step(stream, answer);
}

static int
inflate_step(z_stream *stream, struct guaco__buf *out)
{
    if (out->len == out->cap)
        return inflate_at_cap(stream);

    int rc = need_room(out);
    if (rc != GUACO_OK)
        return rc;
    size_t room = lend_room(stream, out);
    int answer = inflate(stream, Z_SYNC_FLUSH);
    guaco__buf_commit(out, room - stream->avail_out);
    return after_step(stream, answer);
}

static int
inflate_piece(z_stream *stream, const void *data, size_t len,
              struct guaco__buf *out)
{
    assert(len <= UINT_MAX);

    int rc = GUACO_E_AGAIN;
    stream->next_in = (z_const unsigned char *)(uintptr_t)data;
    stream->avail_in = (unsigned)len;
    while (rc == GUACO_E_AGAIN)
        rc = inflate_step(stream, out);
    return rc;
}

int
guaco__ws_inflate(struct guaco__ws_codec *codec, struct guaco_slice data,
                  bool is_last, struct guaco__buf *out)
{
    int rc = need_inflate(codec);
    if (rc == GUACO_OK && data.len > 0)
        rc = inflate_piece(codec->inflate, data.at, data.len, out);
    if (rc != GUACO_OK || !is_last)
        return rc;

    rc = inflate_piece(codec->inflate, tail, sizeof(tail), out);
    if (rc == GUACO_OK && codec->agreed.client_no_takeover)
        inflateReset(codec->inflate);
    return rc;
}

static int
deflate_piece(z_stream *stream, struct guaco_slice data, int flush,
              struct guaco__buf *out)
{
    stream->next_in = (z_const unsigned char *)(uintptr_t)data.at;
    stream->avail_in = (unsigned)data.len;
    do {
        int rc = need_room(out);
        if (rc != GUACO_OK)
            return rc;
        size_t room = lend_room(stream, out);
        deflate(stream, flush);
        guaco__buf_commit(out, room - stream->avail_out);
    } while (stream->avail_out == 0);
    return GUACO_OK;
}

static int
deflate_all(z_stream *stream, struct guaco_slice data, struct guaco__buf *out)
{
    while (data.len > UINT_MAX) {
        struct guaco_slice piece = {data.at, UINT_MAX};
        int rc = deflate_piece(stream, piece, Z_NO_FLUSH, out);
        if (rc != GUACO_OK)
            return rc;
        data.at += UINT_MAX;
        data.len -= UINT_MAX;
    }
    return deflate_piece(stream, data, Z_SYNC_FLUSH, out);
}

int
guaco__ws_deflate(struct guaco__ws_codec *codec, struct guaco_slice data,
                  struct guaco__buf *out)
{
    size_t before = out->len;

    if (data.len == 0) /* RFC 7692 7.2.3.6; zlib flushes nothing twice */
        return guaco__buf_append_byte(out, '\0');
    int rc = need_deflate(codec);
    if (rc == GUACO_OK)
        rc = deflate_all(codec->deflate, data, out);
    if (rc != GUACO_OK) {
        /* What went into the window never leaves: begin a new one, which any
         * receiver can follow. */
        end_deflate(codec);
        guaco__buf_cut(out, before);
        return rc;
    }
    assert(out->len - before >= TAIL_BYTES);
    assert(memcmp(guaco__buf_end(out) - TAIL_BYTES, tail, TAIL_BYTES) == 0);
    guaco__buf_cut(out, out->len - TAIL_BYTES);
    if (codec->agreed.server_no_takeover)
        deflateReset(codec->deflate);
    return GUACO_OK;
}
