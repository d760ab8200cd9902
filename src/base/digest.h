#ifndef GUACO_BASE_DIGEST_H
#define GUACO_BASE_DIGEST_H

/*
 * Digests, by libcrypto: SHA-1 (for the WebSocket handshake, which prescribes
 * it), SHA-256 and HMAC-SHA256.
 *
 * All return 0 or GUACO_E_NOMEM; GUACO_E_UNSUPPORTED if the library was built
 * or is configured without the algorithm.  Threads: from any.
 */

#include <stdbool.h>
#include <stddef.h>

#define GUACO__SHA1_BYTES   20
#define GUACO__SHA256_BYTES 32

int
guaco__sha1(const void *data, size_t len, unsigned char out[GUACO__SHA1_BYTES]);

int guaco__sha256(const void *data, size_t len,
                  unsigned char out[GUACO__SHA256_BYTES]);

/* HMAC (RFC 2104) of data under a key of 1 to 4096 bytes. */
int guaco__hmac_sha256(const void *key, size_t key_len, const void *data,
                       size_t len, unsigned char out[GUACO__SHA256_BYTES]);

/* Whether two secrets of the same length are equal, in a time that does not
 * depend on where they differ. */
bool guaco__secret_equals(const void *a, const void *b, size_t len);

#endif
