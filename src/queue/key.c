/* Keys and locks: the face of the ops KEY and LOCK. */

#include "guaco/key.h"

#include <stdlib.h>

#include "os/clock.h"
#include "watch.h"

#define LIST_MAX     10000u
#define SLOTS_MAX    10000u
#define LEASE_MS_MAX (31u * 24 * 3600 * 1000)
#define SESSION_MS   60000u

/* ---- waiting ---- */

/*
 * Try `op` until it answers something else than `wait_for`, being told when
 * that may be; at the end of the time GUACO_E_TIMEOUT.  again_ms says in how
 * many ms to try without being told.
 */
static int
run_until(struct guaco_broker *broker, struct guaco__op *op,
          struct guaco_slice key, int wait_for, const uint64_t *again_ms,
          int64_t timeout_ms, struct guaco_error *err)
{
    uint64_t end_ns = guaco__end_ns(timeout_ms);
    struct guaco__waiter waiter;
    int rc = guaco__front_run_one(broker, op, err);

    if (rc != wait_for || timeout_ms == 0)
        return rc;
    rc = guaco__waiter_begin(broker, &waiter, guaco__topic_key(key), err);
    if (rc != GUACO_OK)
        return rc;
    while (rc == GUACO_OK) {
        rc = guaco__front_run_one(broker, op, err);
        if (rc != wait_for)
            break;
        uint64_t wake_ns = end_ns;
        if (again_ms != NULL && *again_ms < INT64_MAX &&
            guaco__end_ns((int64_t)*again_ms + 1) < wake_ns)
            wake_ns = guaco__end_ns((int64_t)*again_ms + 1);
        rc = GUACO_OK;
        if (!guaco__waiter_sleep(broker, &waiter, wake_ns) &&
            guaco__clock_mono_ns() >= end_ns)
            rc = guaco_fail(err, GUACO_E_TIMEOUT, 0, "%.*s: not in time",
                            (int)key.len, key.at);
    }
    guaco__waiter_end(broker, &waiter);
    return rc;
}

/* ---- keys ---- */

static int
run_key(struct guaco_broker *broker, struct guaco__op *op,
        struct guaco_error *err)
{
    int rc = guaco__key_check(op->key.key, err);

    if (rc == GUACO_OK && op->key.ttl_ms > GUACO__TIME_MS_MAX)
        rc = guaco_fail(err, GUACO_E_INVALID, 0, "a ttl of %llu ms",
                        (unsigned long long)op->key.ttl_ms);
    return rc != GUACO_OK ? rc : guaco__front_run_one(broker, op, err);
}

int
guaco_key_put(struct guaco_broker *broker, struct guaco_slice key,
              struct guaco_slice value, uint64_t ttl_ms, bool if_empty,
              bool *was, struct guaco_error *err)
{
    struct guaco__op op = {
        .kind = GUACO__OP_KEY,
        .key = {.verb = if_empty ? GUACO__KEY_PUT_IF_EMPTY : GUACO__KEY_PUT,
                .key = key,
                .value = value,
                .ttl_ms = ttl_ms},
    };

    *was = false;
    if (value.len > GUACO_KEY_VALUE_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "value of %zu bytes, most %u", value.len,
                          GUACO_KEY_VALUE_MAX);
    int rc = run_key(broker, &op, err);
    *was = rc == GUACO_E_EXISTS;
    return *was ? GUACO_OK : rc;
}

int
guaco_key_get(struct guaco_broker *broker, struct guaco_slice key, bool take,
              int64_t timeout_ms, char **value, size_t *len,
              struct guaco_error *err)
{
    struct guaco__op op = {
        .kind = GUACO__OP_KEY,
        .key = {.verb = take ? GUACO__KEY_TAKE : GUACO__KEY_GET, .key = key},
    };
    int rc = guaco__key_check(key, err);

    *value = NULL;
    *len = 0;
    if (rc == GUACO_OK)
        rc =
            run_until(broker, &op, key, GUACO_E_MISSING, NULL, timeout_ms, err);
    if (rc != GUACO_OK)
        return rc;
    *value = (char *)(uintptr_t)op.key.value.at;
    *len = op.key.value.len;
    return GUACO_OK;
}

int
guaco_key_drop(struct guaco_broker *broker, struct guaco_slice key, bool *was,
               struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_KEY,
                           .key = {.verb = GUACO__KEY_DROP, .key = key}};
    int rc = run_key(broker, &op, err);

    *was = rc == GUACO_OK;
    return rc == GUACO_E_MISSING ? GUACO_OK : rc;
}

int
guaco_key_add(struct guaco_broker *broker, struct guaco_slice key,
              int64_t amount, uint64_t ttl_ms, int64_t *sum,
              struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_KEY,
                           .key = {.verb = GUACO__KEY_ADD,
                                   .key = key,
                                   .amount = amount,
                                   .ttl_ms = ttl_ms}};
    int rc = run_key(broker, &op, err);

    *sum = rc == GUACO_OK ? op.key.sum : 0;
    return rc;
}

int
guaco_key_list(struct guaco_broker *broker, struct guaco_slice prefix,
               struct guaco_slice after, uint32_t limit, guaco_key_fn *fn,
               void *ctx, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_KEY_LIST,
                           .key_list = {.prefix = prefix,
                                        .after = after,
                                        .limit = limit,
                                        .fn = fn,
                                        .ctx = ctx}};

    if (prefix.len > GUACO_KEY_MAX || after.len > GUACO_KEY_MAX || limit < 1 ||
        limit > LIST_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "a listing of %u keys",
                          limit);
    return guaco__front_run_one(broker, &op, err);
}

/* ---- locks ---- */

static int
check_lock(const struct guaco_lock *lock, struct guaco_error *err)
{
    int rc = guaco__key_check(lock->name, err);

    if (rc == GUACO_OK && (lock->slots < 1 || lock->slots > SLOTS_MAX ||
                           lock->lease_ms < 1 || lock->lease_ms > LEASE_MS_MAX))
        rc = guaco_fail(err, GUACO_E_INVALID, 0, "a lock of %u slots for %u ms",
                        lock->slots, lock->lease_ms);
    return rc;
}

/* This process as an owner; `lost`: the one that we were is gone. */
static int
get_session(struct guaco_broker *broker, uint64_t lost, uint64_t *owner,
            struct guaco_error *err)
{
    int rc = GUACO_OK;

    pthread_mutex_lock(&broker->session_lock);
    if (broker->session == lost)
        rc = guaco__front_owner(broker, SESSION_MS, &broker->session, err);
    *owner = broker->session;
    pthread_mutex_unlock(&broker->session_lock);
    return rc;
}

int
guaco_lock_take(struct guaco_broker *broker, struct guaco_lock *lock,
                int64_t timeout_ms, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_LOCK,
                           .lock = {.verb = GUACO__LOCK_TAKE,
                                    .name = lock->name,
                                    .slots = lock->slots,
                                    .lease_ms = lock->lease_ms}};
    int rc = check_lock(lock, err);

    lock->token = 0;
    if (rc == GUACO_OK)
        rc = get_session(broker, 0, &op.lock.owner, err);
    if (rc == GUACO_OK)
        rc = run_until(broker, &op, lock->name, GUACO_E_AGAIN, &op.lock.free_ms,
                       timeout_ms, err);
    if (rc == GUACO_E_LOST) {
        rc = get_session(broker, op.lock.owner, &op.lock.owner, err);
        if (rc == GUACO_OK)
            rc = run_until(broker, &op, lock->name, GUACO_E_AGAIN,
                           &op.lock.free_ms, timeout_ms, err);
    }
    if (rc == GUACO_OK)
        lock->token = op.lock.token;
    return rc;
}

static int
use_lock(struct guaco_broker *broker, const struct guaco_lock *lock,
         enum guaco__lock_verb verb, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_LOCK,
                           .lock = {.verb = verb,
                                    .name = lock->name,
                                    .lease_ms = lock->lease_ms,
                                    .token = lock->token}};
    int rc = check_lock(lock, err);

    return rc != GUACO_OK ? rc : guaco__front_run_one(broker, &op, err);
}

int
guaco_lock_renew(struct guaco_broker *broker, const struct guaco_lock *lock,
                 struct guaco_error *err)
{
    return use_lock(broker, lock, GUACO__LOCK_RENEW, err);
}

int
guaco_lock_free(struct guaco_broker *broker, const struct guaco_lock *lock,
                struct guaco_error *err)
{
    return use_lock(broker, lock, GUACO__LOCK_FREE, err);
}

int
guaco_lock_holders(struct guaco_broker *broker, struct guaco_slice name,
                   bool clear, uint32_t *holders, struct guaco_error *err)
{
    struct guaco__op op = {
        .kind = GUACO__OP_LOCK,
        .lock = {.verb = clear ? GUACO__LOCK_CLEAR : GUACO__LOCK_LOOK,
                 .name = name},
    };
    int rc = guaco__key_check(name, err);

    *holders = 0;
    if (rc == GUACO_OK)
        rc = guaco__front_run_one(broker, &op, err);
    if (rc == GUACO_OK)
        *holders = op.lock.holders;
    return rc;
}
