/*
 * Fuzz permessage-deflate both ways: the input inflates within its cap or is
 * refused, and deflated it inflates to itself.  The first byte chooses windows
 * and resets; each further piece, by its length byte, is one message of the
 * same connection.
 */

#include "fuzz.h"

#include <string.h>

#include "http/ws_deflate.h"

enum { CAP = 1 << 14 };

static void
check_inflate(const struct guaco__ws_deflate *agreed, struct guaco_slice data)
{
    struct guaco__ws_codec codec;
    struct guaco__buf out;

    guaco__ws_codec_init(&codec, agreed);
    guaco__buf_init(&out, CAP);
    for (int i = 0; i < 2; i++) {
        if (guaco__ws_inflate(&codec, data, true, &out) != 0)
            break;
        MUST(out.len <= CAP);
        guaco__buf_reset(&out);
    }
    guaco__ws_codec_release(&codec);
    guaco__buf_release(&out);
}

/* One message through two ends that live as long as the connection. */
static void
check_message(struct guaco__ws_codec *codec, struct guaco_slice data)
{
    struct guaco__buf packed;
    struct guaco__buf plain;

    guaco__buf_init(&packed, CAP);
    guaco__buf_init(&plain, CAP);
    MUST(guaco__ws_deflate(codec, data, &packed) == 0);
    MUST(guaco__ws_inflate(codec, guaco__buf_slice(&packed), true, &plain) ==
         0);
    MUST(guaco_slice_equals(guaco__buf_slice(&plain), data));
    guaco__buf_release(&packed);
    guaco__buf_release(&plain);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096)
        return 0;

    uint8_t bits = (uint8_t)(9 + (data[0] >> 2) % 7);
    bool resets = data[0] & 1;
    struct guaco__ws_deflate agreed = {true, resets, resets, bits, bits};
    data++;
    size--;
    check_inflate(&agreed, (struct guaco_slice){(const char *)data, size});

    struct guaco__ws_codec codec;
    guaco__ws_codec_init(&codec, &agreed);
    while (size > 0) {
        size_t len = data[0] < size ? data[0] : size - 1;
        check_message(&codec,
                      (struct guaco_slice){(const char *)data + 1, len});
        data += 1 + len;
        size -= 1 + len;
    }
    guaco__ws_codec_release(&codec);
    return 0;
}
