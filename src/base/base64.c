/* Base64: the contract is in base/base64.h. */

#include "base/base64.h"

#include <assert.h>
#include <stdint.h>

#include "guaco/error.h"

static const char standard[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Encode; `pad` is '=' or 0 for none. */
static size_t
encode(const uint8_t *in, size_t len, char *out, const char *alphabet, char pad)
{
    char *to = out;

    for (; len >= 3; in += 3, len -= 3) {
        uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = alphabet[v >> 6 & 63];
        *to++ = alphabet[v & 63];
    }
    if (len > 0) {
        uint32_t v = (uint32_t)in[0] << 16;
        if (len == 2)
            v |= (uint32_t)in[1] << 8;
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        if (len == 2)
            *to++ = alphabet[v >> 6 & 63];
        for (size_t i = len; pad != 0 && i < 3; i++)
            *to++ = pad;
    }
    return (size_t)(to - out);
}

size_t
guaco__base64_encode(const void *data, size_t len, char *out)
{
    size_t n = encode(data, len, out, standard, '=');

    assert(n == guaco__base64_bytes(len));
    return n;
}

size_t
guaco__base64_encode_url(const void *data, size_t len, char *out)
{
    size_t n = encode(data, len, out, url_safe, 0);

    assert(n <= guaco__base64_bytes(len));
    return n;
}

/* The value of one character, or 64. */
static uint32_t
value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : 64;
}

int
guaco__base64_decode(const char *text, size_t len, void *out, size_t *out_len)
{
    uint8_t *to = out;

    if (len % 4 != 0)
        return GUACO_E_PROTO;
    for (size_t i = 0; i < len; i += 4) {
        size_t pad = 0;
        uint32_t v = 0;

        if (i + 4 == len && text[i + 3] == '=')
            pad = text[i + 2] == '=' ? 2 : 1;
        for (size_t k = 0; k < 4; k++) {
            uint32_t six = k < 4 - pad ? value_of(text[i + k]) : 0;
            if (six > 63)
                return GUACO_E_PROTO;
            v = v << 6 | six;
        }
        if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
            return GUACO_E_PROTO;
        *to++ = (uint8_t)(v >> 16);
        if (pad < 2)
            *to++ = (uint8_t)(v >> 8);
        if (pad < 1)
            *to++ = (uint8_t)v;
    }
    *out_len = (size_t)(to - (uint8_t *)out);
    assert(*out_len <= len / 4 * 3);
    return GUACO_OK;
}
