/*
 * Fuzz the opening of sealed bytes: no input opens that was not sealed here,
 * what was sealed opens as what it was, and with one byte changed it does not.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/seal.h"
#include "guaco/error.h"

static void
check_round_trip(const struct guaco__seal *seal, const uint8_t *data,
                 size_t size)
{
    struct guaco_slice context = {"context", 7};
    struct guaco_slice body = {(const char *)data, size};
    size_t n = guaco__seal_bytes(seal, size), len = 0;
    unsigned char *sealed = malloc(n), *out = malloc(n);

    MUST(sealed != NULL && out != NULL);
    MUST(guaco__seal_close(seal, context, body, sealed) == GUACO_OK);
    struct guaco_slice in = {(const char *)sealed, n};
    MUST(guaco__seal_open(seal, context, in, out, &len) == GUACO_OK);
    MUST(len == size && (size == 0 || memcmp(out, data, size) == 0));

    size_t at = size == 0 ? 0 : data[0] % n;
    sealed[at] ^= 1;
    MUST(guaco__seal_open(seal, context, in, out, &len) < 0);
    free(out);
    free(sealed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco_slice id = {"k", 1}, secret = {"secret", 6};
    struct guaco_slice in = {(const char *)data, size};
    unsigned char *out = malloc(size + 1);
    size_t len;

    MUST(out != NULL);
    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct guaco__seal seal;
        guaco__seal_init(&seal, encrypts != 0);
        MUST(guaco__seal_add(&seal, id, secret, NULL) == GUACO_OK);
        int rc =
            guaco__seal_open(&seal, (struct guaco_slice){"", 0}, in, out, &len);
        MUST(rc == GUACO_E_PROTO || rc == GUACO_E_MISSING);
        check_round_trip(&seal, data, size);
    }
    free(out);
    return 0;
}
