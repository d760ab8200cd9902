#ifndef GUACO_KEY_H
#define GUACO_KEY_H

/*
 * Small data under a name, in the store of a broker: what programs keep beside
 * their tasks.  Keys are of the whole store; a program begins its own with a
 * name of its own.
 *
 * Threads, blocking and the errors that every call may answer: guaco/broker.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/broker.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GUACO_KEY_VALUE_MAX (16u << 20) /* bytes */

/* Store a copy of `value` under `key` (1..GUACO_KEY_MAX bytes) for ttl_ms (0:
 * without end) and wake those who wait for it.  With `if_empty` only if there
 * is none; *was says whether there was one (then nothing was changed). */
GUACO_API int guaco_key_put(struct guaco_broker *broker, struct guaco_slice key,
                            struct guaco_slice value, uint64_t ttl_ms,
                            bool if_empty, bool *was, struct guaco_error *err);

/*
 * Give a copy of what is under `key` (free with free()), with `take` removing
 * it; wait for it at most timeout_ms (0: not at all, < 0: without limit).
 * Returns 0, GUACO_E_MISSING (timeout_ms was 0) or GUACO_E_TIMEOUT.
 */
GUACO_API int guaco_key_get(struct guaco_broker *broker, struct guaco_slice key,
                            bool take, int64_t timeout_ms, char **value,
                            size_t *len, struct guaco_error *err);

/* Remove it; *was says whether it was there. */
GUACO_API int
guaco_key_drop(struct guaco_broker *broker, struct guaco_slice key, bool *was,
               struct guaco_error *err);

/* Add `amount` to the counter `key` (0 before the first time) and give the sum.
 * A counter is a key of its own kind, whose value is the number as text.
 * GUACO_E_STATE: what is there is no number, or the sum would not fit. */
GUACO_API int guaco_key_add(struct guaco_broker *broker, struct guaco_slice key,
                            int64_t amount, uint64_t ttl_ms, int64_t *sum,
                            struct guaco_error *err);

typedef void
guaco_key_fn(void *ctx, struct guaco_slice key, struct guaco_slice value);

/* Call `fn` for up to `limit` (1..10000) keys that begin with `prefix` and come
 * after `after` (empty: from the first), in the order of their bytes; it must
 * not use the broker. */
GUACO_API int
guaco_key_list(struct guaco_broker *broker, struct guaco_slice prefix,
               struct guaco_slice after, uint32_t limit, guaco_key_fn *fn,
               void *ctx, struct guaco_error *err);

/* ---- locks ---- */

/*
 * A lock of `slots` holders (1: a mutex).  It is freed when its holder says so,
 * when its lease ends, or when the process that took it has died.  `token`
 * fences: it is larger than those of all who held the lock before.
 */
struct guaco_lock {
    struct guaco_slice name; /* 1..GUACO_KEY_MAX bytes */
    uint32_t slots;          /* 1..10000; all who use it say the same */
    uint32_t lease_ms;       /* 1..31 days */
    uint64_t token;          /* out */
};

/* Take it, waiting at most timeout_ms (0: not at all, < 0: without limit) by
 * being told, not by looking.  Returns 0, GUACO_E_AGAIN (timeout_ms was 0) or
 * GUACO_E_TIMEOUT. */
GUACO_API int
guaco_lock_take(struct guaco_broker *broker, struct guaco_lock *lock,
                int64_t timeout_ms, struct guaco_error *err);

/* Begin the lease anew.  GUACO_E_LOST: it had ended; it is another's. */
GUACO_API int
guaco_lock_renew(struct guaco_broker *broker, const struct guaco_lock *lock,
                 struct guaco_error *err);

/* Free it.  GUACO_E_LOST as above. */
GUACO_API int
guaco_lock_free(struct guaco_broker *broker, const struct guaco_lock *lock,
                struct guaco_error *err);

/* How many hold it; with `clear` they do so no more. */
GUACO_API int
guaco_lock_holders(struct guaco_broker *broker, struct guaco_slice name,
                   bool clear, uint32_t *holders, struct guaco_error *err);

#ifdef __cplusplus
}
#endif

#endif
