/* UTF-8: the contract is in base/utf8.h. */

#include "base/utf8.h"

#include <assert.h>
#include <string.h>

/* Take the first byte of a character: what must follow (RFC 3629, 4). */
static bool
lead(struct guaco__utf8 *state, uint8_t byte)
{
    state->low = 0x80;
    state->high = 0xbf;
    if (byte < 0x80) {
        state->want = 0;
    } else if (byte >= 0xc2 && byte <= 0xdf) {
        state->want = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        state->want = 2;
        if (byte == 0xe0)
            state->low = 0xa0; /* below: overlong */
        if (byte == 0xed)
            state->high = 0x9f; /* above: surrogates */
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        state->want = 3;
        if (byte == 0xf0)
            state->low = 0x90; /* below: overlong */
        if (byte == 0xf4)
            state->high = 0x8f; /* above: over U+10FFFF */
    } else {
        return false;
    }
    return true;
}

/* The length of the run of ASCII that `at` begins with, in whole words. */
static size_t
ascii_run(const uint8_t *at, size_t len)
{
    size_t i = 0;

    for (; len - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        if ((word & 0x8080808080808080u) != 0)
            break;
    }
    return i;
}

bool
guaco__utf8_feed(struct guaco__utf8 *state, const void *data, size_t len)
{
    const uint8_t *at = data;
    size_t i = 0;

    while (i < len) {
        assert(state->want <= 3);
        if (state->want == 0) {
            i += ascii_run(at + i, len - i);
            if (i < len && !lead(state, at[i++]))
                return false;
            continue;
        }
        if (at[i] < state->low || at[i] > state->high)
            return false;
        state->low = 0x80;
        state->high = 0xbf;
        state->want--;
        i++;
    }
    return true;
}

bool
guaco__utf8_is_valid(const void *data, size_t len)
{
    struct guaco__utf8 state = {0};

    return guaco__utf8_feed(&state, data, len) && guaco__utf8_is_whole(&state);
}

size_t
guaco__utf8_encode(uint32_t scalar, char out[4])
{
    assert(scalar <= 0x10ffff);
    assert(scalar < 0xd800 || scalar > 0xdfff);

    if (scalar < 0x80) {
        out[0] = (char)scalar;
        return 1;
    }
    if (scalar < 0x800) {
        out[0] = (char)(0xc0 | scalar >> 6);
        out[1] = (char)(0x80 | (scalar & 0x3f));
        return 2;
    }
    if (scalar < 0x10000) {
        out[0] = (char)(0xe0 | scalar >> 12);
        out[1] = (char)(0x80 | (scalar >> 6 & 0x3f));
        out[2] = (char)(0x80 | (scalar & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | scalar >> 18);
    out[1] = (char)(0x80 | (scalar >> 12 & 0x3f));
    out[2] = (char)(0x80 | (scalar >> 6 & 0x3f));
    out[3] = (char)(0x80 | (scalar & 0x3f));
    return 4;
}
