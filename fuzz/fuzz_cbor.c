/*
 * Fuzz the CBOR reader: for every input, reading heads ends at the end of the
 * input or with an error, never outside of it; and what was read, written
 * again, is the same bytes (one value has one encoding).
 */

#include "fuzz.h"

#include <string.h>

#include "base/cbor.h"
#include "guaco/error.h"

/* The item in `from` .. `reader->at` has this one encoding. */
static void
check_canonical(const unsigned char *from, const unsigned char *to,
                const struct guaco__cbor_item *item)
{
    unsigned char head[GUACO__CBOR_HEAD_MAX];
    size_t len = item->kind == GUACO__CBOR_FLOAT
                     ? guaco__cbor_put_float(head, item->number)
                     : guaco__cbor_put_head(head, item->kind, item->value);

    MUST(len + item->bytes.len == (size_t)(to - from));
    /* A NaN's payload may be quieted on its way through a double. */
    if (item->kind != GUACO__CBOR_FLOAT || item->number == item->number)
        MUST(memcmp(head, from, len) == 0);
    if (item->bytes.len > 0)
        MUST(item->bytes.at == (const char *)from + len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__cbor_reader r = guaco__cbor_reader_of(data, size);
    struct guaco__cbor_item item;

    for (;;) {
        const unsigned char *from = r.at;
        if (guaco__cbor_next(&r, &item) < 0) {
            MUST(r.at == from);
            break;
        }
        MUST(r.at > from);
        MUST(r.at <= r.end);
        check_canonical(from, r.at, &item);
    }

    r = guaco__cbor_reader_of(data, size);
    int rc = guaco__cbor_skip(&r, 64);
    MUST(rc == GUACO_OK || rc == GUACO_E_PROTO || rc == GUACO_E_LIMIT);
    MUST(rc == GUACO_OK || r.at == (const unsigned char *)data);
    return 0;
}
