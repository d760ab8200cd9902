/*
 * Fuzz the decoding of targets: in place and apart give the same, nothing
 * grows, and text without escapes stays as it is.  The input is also read as a
 * list of WebSocket extensions, whose every agreement must be one that zlib
 * can keep.
 */

#include "fuzz.h"

#include <string.h>

#include "http/fields.h"
#include "http/target.h"
#include "http/ws_handshake.h"

static void
check_decoding(const char *raw, size_t len, char *out, char *in_place)
{
    struct guaco_slice slice = {raw, len};
    struct guaco__decoded apart = guaco__percent_decode(slice, out);

    memcpy(in_place, raw, len);
    slice.at = in_place;
    struct guaco__decoded same = guaco__percent_decode(slice, in_place);
    MUST(apart.len == same.len && apart.len <= len);
    MUST(apart.is_malformed == same.is_malformed);
    MUST(memcmp(out, in_place, apart.len) == 0);
    slice.at = raw;
    if (guaco__is_plain(slice))
        MUST(apart.len == len && memcmp(out, raw, len) == 0);
}

static void
check_extensions(const char *text, size_t len)
{
    static const struct guaco__ws_deflate ours = GUACO__WS_DEFLATE_DEFAULT;
    struct guaco__ws_deflate agreed;

    if (!guaco__ws_negotiate((struct guaco_slice){text, len}, &ours, &agreed))
        return;
    MUST(agreed.is_on);
    MUST(agreed.server_bits >= 9 && agreed.server_bits <= ours.server_bits);
    MUST(agreed.client_bits >= 8 && agreed.client_bits <= 15);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096)
        return 0;

    char *raw = malloc(size);
    char *out = malloc(size);
    char *in_place = malloc(size);
    MUST(raw != NULL && out != NULL && in_place != NULL);
    memcpy(raw, data, size);
    check_decoding(raw, size, out, in_place);
    check_extensions(raw, size);
    free(raw);
    free(out);
    free(in_place);
    return 0;
}
