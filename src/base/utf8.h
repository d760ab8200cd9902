#ifndef GUACO_BASE_UTF8_H
#define GUACO_BASE_UTF8_H

/*
 * UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing over
 * U+10FFFF.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A check that takes its text in pieces; zeroed is the start. */
struct guaco__utf8 {
    uint8_t want; /* private: continuation bytes still to come */
    uint8_t low;  /* private: bounds of the next one, when not the usual */
    uint8_t high;
};

/*
 * Check the next piece.  Returns false when the bytes so far cannot begin any
 * valid text, at the first byte that proves it; then the state must not be fed
 * again.
 */
bool guaco__utf8_feed(struct guaco__utf8 *state, const void *data, size_t len);

/* Whether the pieces so far end with a whole character. */
static inline bool
guaco__utf8_is_whole(const struct guaco__utf8 *state)
{
    return state->want == 0;
}

/* Whether data[0..len) is valid and whole. */
bool guaco__utf8_is_valid(const void *data, size_t len);

/* Encode a scalar value (not a surrogate, at most U+10FFFF); gives the number
 * of bytes, 1 to 4. */
size_t guaco__utf8_encode(uint32_t scalar, char out[4]);

#endif
