#include "h2_client.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

void
h2_client_init(struct h2_client *c)
{
    memset(c, 0, sizeof(*c));
    assert_int_equal(nghttp2_hd_deflate_new(&c->deflater, 4096), 0);
    assert_int_equal(nghttp2_hd_inflate_new(&c->inflater), 0);
}

void
h2_client_release(struct h2_client *c)
{
    nghttp2_hd_deflate_del(c->deflater);
    nghttp2_hd_inflate_del(c->inflater);
}

/* ---- saying ---- */

void
h2_say(struct h2_client *c, const void *data, size_t len)
{
    assert_true(c->said_len + len <= sizeof(c->said));
    if (len > 0)
        memcpy(c->said + c->said_len, data, len);
    c->said_len += len;
}

void
h2_frame(struct h2_client *c, unsigned type, unsigned flags, uint32_t id,
         const void *payload, size_t len)
{
    unsigned char head[9] = {
        (unsigned char)(len >> 16), (unsigned char)(len >> 8),
        (unsigned char)len,         (unsigned char)type,
        (unsigned char)flags,       (unsigned char)(id >> 24),
        (unsigned char)(id >> 16),  (unsigned char)(id >> 8),
        (unsigned char)id,
    };

    h2_say(c, head, sizeof(head));
    h2_say(c, payload, len);
}

void
h2_preface(struct h2_client *c)
{
    h2_say(c, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    h2_frame(c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

/* The next of the words "name=value" at *at. */
static bool
next_field(const char **at, nghttp2_nv *nv)
{
    const char *name = *at + strspn(*at, " ");
    const char *equals = strchr(name, '=');
    size_t len;

    if (equals == NULL)
        return false;
    len = strcspn(equals + 1, " ");
    *nv = (nghttp2_nv){(uint8_t *)(uintptr_t)name,
                       (uint8_t *)(uintptr_t)(equals + 1),
                       (size_t)(equals - name), len, 0};
    *at = equals + 1 + len;
    return true;
}

void
h2_headers(struct h2_client *c, uint32_t id, unsigned flags, const char *fields)
{
    nghttp2_nv nv[64];
    uint8_t block[16384];
    size_t count = 0;
    ssize_t len;

    while (count < 64 && next_field(&fields, &nv[count]))
        count++;
    len = nghttp2_hd_deflate_hd(c->deflater, block, sizeof(block), nv, count);
    assert_true(len >= 0);
    h2_frame(c, NGHTTP2_HEADERS, flags, id, block, (size_t)len);
}

static void
request(struct h2_client *c, uint32_t id, const char *method, const char *path,
        unsigned flags)
{
    char fields[512];

    snprintf(fields, sizeof(fields),
             ":method=%s :scheme=http :path=%s :authority=a", method, path);
    h2_headers(c, id, NGHTTP2_FLAG_END_HEADERS | flags, fields);
}

void
h2_get(struct h2_client *c, uint32_t id, const char *path)
{
    request(c, id, "GET", path, NGHTTP2_FLAG_END_STREAM);
}

void
h2_post(struct h2_client *c, uint32_t id, const char *path)
{
    request(c, id, "POST", path, 0);
}

void
h2_data(struct h2_client *c, uint32_t id, const char *text, bool is_last)
{
    h2_frame(c, NGHTTP2_DATA, is_last ? NGHTTP2_FLAG_END_STREAM : 0, id, text,
             strlen(text));
}

void
h2_number(struct h2_client *c, unsigned type, uint32_t id, uint32_t number)
{
    unsigned char payload[4] = {
        (unsigned char)(number >> 24), (unsigned char)(number >> 16),
        (unsigned char)(number >> 8), (unsigned char)number};

    h2_frame(c, type, 0, id, payload, sizeof(payload));
}

/* ---- hearing ---- */

static void
tell(struct h2_client *c, const char *fmt, ...)
{
    va_list args;
    size_t room = sizeof(c->heard) - c->heard_len;
    int n;

    va_start(args, fmt);
    n = vsnprintf(c->heard + c->heard_len, room, fmt, args);
    va_end(args);
    if (n > 0)
        c->heard_len += (size_t)n < room ? (size_t)n : room - 1;
}

static unsigned
be32(const unsigned char *at)
{
    return (unsigned)at[0] << 24 | (unsigned)at[1] << 16 |
           (unsigned)at[2] << 8 | at[3];
}

static void
tell_headers(struct h2_client *c, unsigned id, const unsigned char *block,
             size_t len)
{
    tell(c, "H%u", id);
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t used =
            nghttp2_hd_inflate_hd2(c->inflater, &nv, &flags, block, len, 1);

        assert_true(used >= 0);
        block += used;
        len -= (size_t)used;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
            tell(c, " %.*s=%.*s", (int)nv.namelen, nv.name, (int)nv.valuelen,
                 nv.value);
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0)
            break;
    }
    nghttp2_hd_inflate_end_headers(c->inflater);
    tell(c, ";");
}

static void
tell_data(struct h2_client *c, unsigned id, const unsigned char *data,
          size_t len)
{
    c->data_bytes += len;
    if (len > 40)
        tell(c, "D%u #%zu;", id, len);
    else
        tell(c, "D%u %.*s;", id, (int)len, (const char *)data);
}

static void
tell_frame(struct h2_client *c, const unsigned char *frame, size_t len)
{
    unsigned id = be32(frame + 5) & 0x7fffffff;
    const unsigned char *payload = frame + 9;
    bool is_ack = (frame[4] & NGHTTP2_FLAG_ACK) != 0;

    switch (frame[3]) {
    case NGHTTP2_HEADERS: tell_headers(c, id, payload, len); break;
    case NGHTTP2_DATA: tell_data(c, id, payload, len); break;
    case NGHTTP2_RST_STREAM: tell(c, "R%u %u;", id, be32(payload)); return;
    case NGHTTP2_GOAWAY:
        tell(c, "G%u %u;", be32(payload), be32(payload + 4));
        return;
    case NGHTTP2_WINDOW_UPDATE: tell(c, "W%u %u;", id, be32(payload)); return;
    case NGHTTP2_SETTINGS: tell(c, is_ack ? "SA;" : "S;"); return;
    case NGHTTP2_PING: tell(c, is_ack ? "PA;" : "P;"); return;
    default: tell(c, "?%u;", frame[3]); return;
    }
    if ((frame[4] & NGHTTP2_FLAG_END_STREAM) != 0)
        tell(c, "E%u;", id);
}

void
h2_hear(struct h2_client *c, const void *data, size_t len)
{
    size_t at = 0;

    assert_true(c->partial_len + len <= sizeof(c->partial));
    if (len > 0)
        memcpy(c->partial + c->partial_len, data, len);
    c->partial_len += len;
    while (c->partial_len - at >= 9) {
        size_t payload = be32(c->partial + at) >> 8;

        if (c->partial_len - at < 9 + payload)
            break;
        tell_frame(c, c->partial + at, payload);
        at += 9 + payload;
    }
    memmove(c->partial, c->partial + at, c->partial_len - at);
    c->partial_len -= at;
}

void
h2_forget(struct h2_client *c)
{
    c->heard_len = 0;
    c->heard[0] = '\0';
}
