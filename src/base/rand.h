#ifndef GUACO_BASE_RAND_H
#define GUACO_BASE_RAND_H

/*
 * Random bytes from the kernel (getrandom), for ids, keys and hash seeds; and
 * a small fast generator for jitter, whose numbers can be guessed.
 *
 * Threads: guaco__rand_bytes() from any; a struct guaco__rand has one owner.
 */

#include <stddef.h>
#include <stdint.h>

/* Fill out[0..len) with bytes that cannot be guessed.  Returns 0 or GUACO_E_IO
 * (a kernel or sandbox without getrandom).  Blocks only before the kernel's
 * pool is ready, early in the boot. */
int guaco__rand_bytes(void *out, size_t len);

/* xoshiro256** by Blackman and Vigna (public domain algorithm). */
struct guaco__rand {
    uint64_t s[4]; /* private: never all zero */
};

/* The same seed gives the same numbers. */
void guaco__rand_init(struct guaco__rand *rand, uint64_t seed);

/* Uniform in 0..2^64-1. */
uint64_t guaco__rand_next(struct guaco__rand *rand);

/* Uniform in 0..bound-1, without bias; bound is at least 1. */
uint64_t guaco__rand_below(struct guaco__rand *rand, uint64_t bound);

#endif
