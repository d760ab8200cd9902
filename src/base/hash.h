#ifndef GUACO_BASE_HASH_H
#define GUACO_BASE_HASH_H

/*
 * A keyed hash for tables whose keys come from outside: SipHash-1-3 (Aumasson
 * and Bernstein).  With a random key nobody can choose strings that collide.
 * Not a digest: for those see base/digest.h.
 */

#include <stddef.h>
#include <stdint.h>

struct guaco__hash_key {
    uint64_t k0;
    uint64_t k1;
};

/* The hash of data[0..len) under `key`; the same on every machine. */
uint64_t guaco__hash(struct guaco__hash_key key, const void *data, size_t len);

#endif
