#ifndef GUACO_BASE_BASE64_H
#define GUACO_BASE_BASE64_H

/* Base64 of RFC 4648: section 4, padded, and the URL-safe alphabet of section
 * 5, without padding. */

#include <stddef.h>

/* Bytes of the padded text of `len` bytes, without a NUL; len < SIZE_MAX/2. */
static inline size_t
guaco__base64_bytes(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* Encode data[0..len) into out, which has guaco__base64_bytes(len) bytes;
 * gives the number written.  No NUL is added. */
size_t guaco__base64_encode(const void *data, size_t len, char *out);
size_t guaco__base64_encode_url(const void *data, size_t len, char *out);

/*
 * Decode the whole of text[0..len) in the padded form into out, which has at
 * least len / 4 * 3 bytes.  Returns 0 and the length, or GUACO_E_PROTO for
 * anything that the encoder would not have written (white space, missing or
 * excess padding, bits set in the unused part).
 */
int
guaco__base64_decode(const char *text, size_t len, void *out, size_t *out_len);

#endif
