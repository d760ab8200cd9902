/* CBOR heads, both ways: the contract is in cbor.h. */

#include "base/cbor.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "guaco/error.h"

/* Values of the low five bits of an initial byte (RFC 8949 section 3). */
enum { ONE_BYTE = 24, EIGHT_BYTES = 27 };

/* Initial bytes of major type 7 that are accepted. */
enum { BYTE_FALSE = 0xf4, BYTE_TRUE, BYTE_NULL, BYTE_FLOAT64 = 0xfb };

/* ---- reading ----------------------------------------------------------- */

/* Read the argument at at[0 ..], whose size `low` names.  0 or -1. */
static int
read_argument(const unsigned char **at, const unsigned char *end, unsigned low,
              uint64_t *value)
{
    if (low < ONE_BYTE) {
        *value = low;
        return 0;
    }
    if (low > EIGHT_BYTES)
        return -1; /* reserved, or an indefinite length */

    size_t size = (size_t)1 << (low - ONE_BYTE);
    if ((size_t)(end - *at) < size)
        return -1;

    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum << 8 | (*at)[i];
    *at += size;
    *value = sum;

    /* The shortest form only: it would not have fitted a size less. */
    return sum < (size == 1 ? ONE_BYTE : UINT64_C(1) << (size * 4)) ? -1 : 0;
}

static int
read_simple(const unsigned char **at, const unsigned char *end, unsigned first,
            struct guaco__cbor_item *item)
{
    switch (first) {
    case BYTE_FALSE: item->kind = GUACO__CBOR_FALSE; return 0;
    case BYTE_TRUE: item->kind = GUACO__CBOR_TRUE; return 0;
    case BYTE_NULL: item->kind = GUACO__CBOR_NULL; return 0;
    case BYTE_FLOAT64: break;
    default: return -1;
    }
    if (end - *at < 8)
        return -1;

    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | (*at)[i];
    *at += 8;
    item->kind = GUACO__CBOR_FLOAT;
    memcpy(&item->number, &bits, sizeof bits);
    return 0;
}

/* What the argument of this kind promises must be there. */
static bool
is_plausible(const struct guaco__cbor_item *item, size_t left)
{
    switch (item->kind) {
    case GUACO__CBOR_NINT: return item->value <= INT64_MAX;
    case GUACO__CBOR_BYTES:
    case GUACO__CBOR_TEXT:
    case GUACO__CBOR_ARRAY: return item->value <= left;
    case GUACO__CBOR_MAP: return item->value <= left / 2;
    case GUACO__CBOR_TAG: return left > 0;
    case GUACO__CBOR_UINT:
    case GUACO__CBOR_FALSE:
    case GUACO__CBOR_TRUE:
    case GUACO__CBOR_NULL:
    case GUACO__CBOR_FLOAT: break;
    }
    return true;
}

int
guaco__cbor_next(struct guaco__cbor_reader *reader,
                 struct guaco__cbor_item *item)
{
    const unsigned char *at = reader->at;

    if (at == reader->end)
        return GUACO_E_PROTO;
    unsigned first = *at++;

    *item = (struct guaco__cbor_item){0};
    if (first >> 5 == 7) {
        if (read_simple(&at, reader->end, first, item) < 0)
            return GUACO_E_PROTO;
        reader->at = at;
        return GUACO_OK;
    }
    item->kind = (enum guaco__cbor_kind)(first >> 5);
    if (read_argument(&at, reader->end, first & 31, &item->value) < 0)
        return GUACO_E_PROTO;
    if (!is_plausible(item, (size_t)(reader->end - at)))
        return GUACO_E_PROTO;
    if (item->kind == GUACO__CBOR_BYTES || item->kind == GUACO__CBOR_TEXT) {
        item->bytes.at = (const char *)at;
        item->bytes.len = (size_t)item->value;
        at += item->value;
    }
    reader->at = at;
    return GUACO_OK;
}

/* How many items follow directly inside this one. */
static uint64_t
count_children(const struct guaco__cbor_item *item)
{
    switch (item->kind) {
    case GUACO__CBOR_ARRAY: return item->value;
    case GUACO__CBOR_MAP: return item->value * 2; /* <= bytes left */
    case GUACO__CBOR_TAG: return 1;
    case GUACO__CBOR_UINT:
    case GUACO__CBOR_NINT:
    case GUACO__CBOR_BYTES:
    case GUACO__CBOR_TEXT:
    case GUACO__CBOR_FALSE:
    case GUACO__CBOR_TRUE:
    case GUACO__CBOR_NULL:
    case GUACO__CBOR_FLOAT: break;
    }
    return 0;
}

int
guaco__cbor_skip(struct guaco__cbor_reader *reader, unsigned depth_max)
{
    assert(depth_max >= 1);
    assert(depth_max <= GUACO__CBOR_DEPTH);

    struct guaco__cbor_reader r = *reader;
    uint64_t left[GUACO__CBOR_DEPTH + 1]; /* items to come, a level each */
    unsigned depth = 0;

    left[0] = 1;
    for (;;) {
        struct guaco__cbor_item item;

        while (left[depth] == 0) {
            if (depth == 0) {
                *reader = r;
                return GUACO_OK;
            }
            depth--;
        }
        int rc = guaco__cbor_next(&r, &item);
        if (rc < 0)
            return rc;
        left[depth]--;

        uint64_t children = count_children(&item);
        if (children == 0)
            continue;
        if (depth == depth_max)
            return GUACO_E_LIMIT;
        left[++depth] = children;
    }
}

/* ---- writing ----------------------------------------------------------- */

static size_t
put_argument(unsigned char *out, unsigned major, uint64_t value)
{
    if (value < ONE_BYTE) {
        out[0] = (unsigned char)(major << 5 | value);
        return 1;
    }

    unsigned log = value <= UINT8_MAX    ? 0
                   : value <= UINT16_MAX ? 1
                   : value <= UINT32_MAX ? 2
                                         : 3;
    size_t size = (size_t)1 << log;
    out[0] = (unsigned char)(major << 5 | (ONE_BYTE + log));
    for (size_t i = size; i > 0; i--) {
        out[i] = (unsigned char)value;
        value >>= 8;
    }
    return 1 + size;
}

size_t
guaco__cbor_put_head(unsigned char *out, enum guaco__cbor_kind kind,
                     uint64_t value)
{
    switch (kind) {
    case GUACO__CBOR_UINT:
    case GUACO__CBOR_NINT:
    case GUACO__CBOR_BYTES:
    case GUACO__CBOR_TEXT:
    case GUACO__CBOR_ARRAY:
    case GUACO__CBOR_MAP:
    case GUACO__CBOR_TAG: return put_argument(out, (unsigned)kind, value);
    case GUACO__CBOR_FALSE: out[0] = BYTE_FALSE; return 1;
    case GUACO__CBOR_TRUE: out[0] = BYTE_TRUE; return 1;
    case GUACO__CBOR_NULL: out[0] = BYTE_NULL; return 1;
    case GUACO__CBOR_FLOAT: break;
    }
    assert(kind != GUACO__CBOR_FLOAT); /* that is guaco__cbor_put_float */
    return 0;
}

size_t
guaco__cbor_put_float(unsigned char *out, double number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof bits);
    out[0] = BYTE_FLOAT64;
    for (size_t i = 8; i > 0; i--) {
        out[i] = (unsigned char)bits;
        bits >>= 8;
    }
    return 9;
}
