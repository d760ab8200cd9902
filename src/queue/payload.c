/* Payloads from C: the contract is in guaco/payload.h. */

#include "guaco/payload.h"

#include <string.h>

#include "base/cbor.h"
#include "base/utf8.h"

#define VERSION   1 /* the first byte; src/python/codec_type.c writes the same */
#define DEPTH_MAX 64

/* ---- writing ---- */

struct writer {
    unsigned char *at;
    unsigned char *end;
    int rc;
};

static void
put(struct writer *w, const void *data, size_t len)
{
    if (w->rc == GUACO_OK && (size_t)(w->end - w->at) < len)
        w->rc = GUACO_E_LIMIT;
    if (w->rc != GUACO_OK || len == 0)
        return;
    memcpy(w->at, data, len);
    w->at += len;
}

static void
put_head(struct writer *w, enum guaco__cbor_kind kind, uint64_t value)
{
    unsigned char head[GUACO__CBOR_HEAD_MAX];

    put(w, head, guaco__cbor_put_head(head, kind, value));
}

static void
put_text(struct writer *w, struct guaco_slice text)
{
    if (w->rc == GUACO_OK && !guaco__utf8_is_valid(text.at, text.len))
        w->rc = GUACO_E_INVALID;
    put_head(w, GUACO__CBOR_TEXT, text.len);
    put(w, text.at, text.len);
}

static void
put_item(struct writer *w, struct guaco_slice item)
{
    struct guaco__cbor_reader r = guaco__cbor_reader_of(item.at, item.len);

    if (w->rc == GUACO_OK &&
        (guaco__cbor_skip(&r, DEPTH_MAX) != GUACO_OK || r.at != r.end))
        w->rc = GUACO_E_INVALID;
    put(w, item.at, item.len);
}

static void
put_value(struct writer *w, const struct guaco_value *value)
{
    unsigned char number[GUACO__CBOR_HEAD_MAX];
    int64_t n = value->integer;

    switch (value->kind) {
    case GUACO_VALUE_NONE: put_head(w, GUACO__CBOR_NULL, 0); return;
    case GUACO_VALUE_BOOL:
        put_head(w, n != 0 ? GUACO__CBOR_TRUE : GUACO__CBOR_FALSE, 0);
        return;
    case GUACO_VALUE_INT:
        put_head(w, n < 0 ? GUACO__CBOR_NINT : GUACO__CBOR_UINT,
                 n < 0 ? (uint64_t)(-1 - n) : (uint64_t)n);
        return;
    case GUACO_VALUE_REAL:
        put(w, number, guaco__cbor_put_float(number, value->real));
        return;
    case GUACO_VALUE_TEXT: put_text(w, value->bytes); return;
    case GUACO_VALUE_BYTES:
        put_head(w, GUACO__CBOR_BYTES, value->bytes.len);
        put(w, value->bytes.at, value->bytes.len);
        return;
    case GUACO_VALUE_OTHER: put_item(w, value->bytes); return;
    }
    w->rc = GUACO_E_INVALID;
}

static void
put_list(struct writer *w, const struct guaco_value *values, size_t n)
{
    put_head(w, GUACO__CBOR_ARRAY, n);
    for (size_t i = 0; i < n; i++)
        put_value(w, &values[i]);
}

static void
put_map(struct writer *w, const struct guaco_argument *pairs, size_t n)
{
    put_head(w, GUACO__CBOR_MAP, n);
    for (size_t i = 0; i < n; i++) {
        put_text(w, pairs[i].name);
        put_value(w, &pairs[i].value);
    }
}

static struct writer
begin(void *out, size_t cap)
{
    static const unsigned char version = VERSION;
    unsigned char *at = out;
    struct writer w = {at, cap > 0 ? at + cap : at, GUACO_OK};

    put(&w, &version, 1);
    return w;
}

static int
end(const struct writer *w, const void *out, size_t *len)
{
    *len = w->rc == GUACO_OK ? (size_t)(w->at - (const unsigned char *)out) : 0;
    return w->rc;
}

int
guaco_payload_arguments(const struct guaco_value *args, size_t n,
                        const struct guaco_argument *keywords, size_t k,
                        void *out, size_t cap, size_t *len)
{
    struct writer w = begin(out, cap);

    put_head(&w, GUACO__CBOR_ARRAY, 2);
    put_list(&w, args, n);
    put_map(&w, keywords, k);
    return end(&w, out, len);
}

int
guaco_payload_list(const struct guaco_value *values, size_t n, void *out,
                   size_t cap, size_t *len)
{
    struct writer w = begin(out, cap);

    put_list(&w, values, n);
    return end(&w, out, len);
}

int
guaco_payload_map(const struct guaco_argument *pairs, size_t n, void *out,
                  size_t cap, size_t *len)
{
    struct writer w = begin(out, cap);

    put_map(&w, pairs, n);
    return end(&w, out, len);
}

int
guaco_payload_value(const struct guaco_value *value, void *out, size_t cap,
                    size_t *len)
{
    struct writer w = begin(out, cap);

    put_value(&w, value);
    return end(&w, out, len);
}

/* ---- reading ---- */

static int
open_payload(struct guaco_slice body, struct guaco__cbor_reader *r)
{
    if (body.len == 0 || (unsigned char)body.at[0] != VERSION)
        return GUACO_E_PROTO;
    *r = guaco__cbor_reader_of(body.at + 1, body.len - 1);
    return GUACO_OK;
}

/* A head of the wanted kind; its argument. */
static int
take_head(struct guaco__cbor_reader *r, enum guaco__cbor_kind kind,
          uint64_t *value)
{
    struct guaco__cbor_item item;

    if (guaco__cbor_next(r, &item) != GUACO_OK || item.kind != kind)
        return GUACO_E_PROTO;
    *value = item.value;
    return GUACO_OK;
}

static int
skip_items(struct guaco__cbor_reader *r, uint64_t n)
{
    while (n-- > 0)
        if (guaco__cbor_skip(r, DEPTH_MAX) != GUACO_OK)
            return GUACO_E_PROTO;
    return GUACO_OK;
}

/* The item's own kind, if it is a plain one; else all of it. */
static int
take_value(struct guaco__cbor_reader *r, struct guaco_value *value)
{
    const unsigned char *from = r->at;
    struct guaco__cbor_item item;

    *value = (struct guaco_value){.kind = GUACO_VALUE_NONE};
    if (guaco__cbor_next(r, &item) != GUACO_OK)
        return GUACO_E_PROTO;
    switch (item.kind) {
    case GUACO__CBOR_NULL: return GUACO_OK;
    case GUACO__CBOR_TRUE:
    case GUACO__CBOR_FALSE:
        value->kind = GUACO_VALUE_BOOL;
        value->integer = item.kind == GUACO__CBOR_TRUE;
        return GUACO_OK;
    case GUACO__CBOR_FLOAT:
        value->kind = GUACO_VALUE_REAL;
        value->real = item.number;
        return GUACO_OK;
    case GUACO__CBOR_TEXT:
    case GUACO__CBOR_BYTES:
        value->kind = item.kind == GUACO__CBOR_TEXT ? GUACO_VALUE_TEXT
                                                    : GUACO_VALUE_BYTES;
        value->bytes = item.bytes;
        return GUACO_OK;
    case GUACO__CBOR_UINT:
    case GUACO__CBOR_NINT:
        if (item.value > INT64_MAX)
            break;
        value->kind = GUACO_VALUE_INT;
        value->integer = item.kind == GUACO__CBOR_UINT
                             ? (int64_t)item.value
                             : -1 - (int64_t)item.value;
        return GUACO_OK;
    case GUACO__CBOR_ARRAY:
    case GUACO__CBOR_MAP:
    case GUACO__CBOR_TAG: break;
    }
    r->at = from;
    if (guaco__cbor_skip(r, DEPTH_MAX) != GUACO_OK)
        return GUACO_E_PROTO;
    value->kind = GUACO_VALUE_OTHER;
    value->bytes =
        (struct guaco_slice){(const char *)from, (size_t)(r->at - from)};
    return GUACO_OK;
}

/* Stand before the first argument; *n is how many there are. */
static int
open_arguments(struct guaco_slice body, struct guaco__cbor_reader *r,
               uint64_t *n)
{
    uint64_t two;
    int rc = open_payload(body, r);

    if (rc == GUACO_OK)
        rc = take_head(r, GUACO__CBOR_ARRAY, &two);
    if (rc == GUACO_OK && two != 2)
        rc = GUACO_E_PROTO;
    return rc == GUACO_OK ? take_head(r, GUACO__CBOR_ARRAY, n) : rc;
}

int
guaco_payload_argument(struct guaco_slice body, size_t index,
                       struct guaco_value *value)
{
    struct guaco__cbor_reader r;
    uint64_t n;
    int rc = open_arguments(body, &r, &n);

    if (rc == GUACO_OK && index >= n)
        rc = GUACO_E_MISSING;
    if (rc == GUACO_OK)
        rc = skip_items(&r, index);
    return rc == GUACO_OK ? take_value(&r, value) : rc;
}

int
guaco_payload_keyword(struct guaco_slice body, struct guaco_slice name,
                      struct guaco_value *value)
{
    struct guaco__cbor_reader r;
    struct guaco_value key;
    uint64_t n;
    int rc = open_arguments(body, &r, &n);

    if (rc == GUACO_OK)
        rc = skip_items(&r, n);
    if (rc == GUACO_OK)
        rc = take_head(&r, GUACO__CBOR_MAP, &n);
    for (; rc == GUACO_OK && n > 0; n--) {
        rc = take_value(&r, &key);
        if (rc == GUACO_OK && key.kind == GUACO_VALUE_TEXT &&
            guaco_slice_equals(key.bytes, name))
            return take_value(&r, value);
        if (rc == GUACO_OK)
            rc = skip_items(&r, 1);
    }
    return rc == GUACO_OK ? GUACO_E_MISSING : rc;
}

int
guaco_payload_read(struct guaco_slice body, struct guaco_value *value)
{
    struct guaco__cbor_reader r;

    if (body.len == 0) {
        *value = (struct guaco_value){.kind = GUACO_VALUE_NONE};
        return GUACO_OK;
    }
    int rc = open_payload(body, &r);
    if (rc == GUACO_OK)
        rc = take_value(&r, value);
    return rc == GUACO_OK && r.at != r.end ? GUACO_E_PROTO : rc;
}
