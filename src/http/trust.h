#ifndef GUACO_HTTP_TRUST_H
#define GUACO_HTTP_TRUST_H

/* The set of those that are believed when they say for whom they speak. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"
#include "http/address.h"

#define GUACO__TRUST_MAX 64 /* networks */

struct guaco__network {
    struct guaco__address address; /* with the host's bits zero */
    uint8_t bits;
};

/* All zero: nobody is trusted. */
struct guaco__trust {
    struct guaco__network networks[GUACO__TRUST_MAX];
    uint8_t count;
    bool has_all;
    bool has_unix;
};

/*
 * Add what `text` lists, separated by commas: an address, a network
 * (10.0.0.0/8), "unix" for clients of Unix sockets, or "*" for everybody.
 * Returns 0; GUACO_E_INVALID with the item that is none of these, or a network
 * with host bits set (it is most often a mistake); GUACO_E_LIMIT.  What stood
 * before the bad item was added.
 */
int guaco__trust_add(struct guaco__trust *trust, struct guaco_slice text,
                     struct guaco_error *err);

/* GUACO__ADDRESS_NONE is trusted by "*" alone. */
bool guaco__trust_has(const struct guaco__trust *trust,
                      const struct guaco__address *address);

static inline bool
guaco__trust_is_empty(const struct guaco__trust *trust)
{
    return trust->count == 0 && !trust->has_all && !trust->has_unix;
}

#endif
