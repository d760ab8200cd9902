/* Steering tasks: reserved ids, canceling, pausing, revoking; and the owners of
 * leases and locks that a process is. */

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "envelope.h"
#include "front.h"
#include "os/proc.h"

#define IDS_MAX 10000u

int
guaco_broker_reserve(struct guaco_broker *broker, uint32_t n, uint64_t *first,
                     struct guaco_error *err)
{
    return guaco__broker_reserve(broker, NULL, n, first, err);
}

int
guaco__broker_reserve(struct guaco_broker *broker,
                      const struct guaco_using *how, uint32_t n,
                      uint64_t *first, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_IDS, .ids = {.n = n}};

    *first = 0;
    if (n < 1 || n > IDS_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%u ids, not 1 to %u", n,
                          IDS_MAX);
    int rc = guaco__front_run_by(broker, how, &op, err);
    if (rc == GUACO_OK)
        *first = op.ids.first;
    return rc;
}

int
guaco_broker_members(struct guaco_broker *broker, uint64_t id,
                     struct guaco_news *news, struct guaco_error *err)
{
    struct guaco__op op = {
        .kind = GUACO__OP_READ,
        .read = {.id = id, .members = true, .news = news},
    };

    *news = (struct guaco_news){0};
    int rc = guaco__front_run_one(broker, &op, err);
    if (rc != GUACO_OK)
        guaco_news_release(news);
    return rc;
}

int
guaco_broker_cancel(struct guaco_broker *broker, uint64_t id,
                    struct guaco_slice reason, enum guaco_task_state *was,
                    struct guaco_error *err)
{
    struct guaco__op op = {
        .kind = GUACO__OP_CANCEL,
        .cancel = {.id = id, .reason = reason, .ttl_s = GUACO__RESULT_TTL_S},
    };

    *was = (enum guaco_task_state)0;
    if (reason.len > GUACO_REASON_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "reason of %zu bytes, most %u", reason.len,
                          GUACO_REASON_MAX);
    int rc = guaco__front_run_one(broker, &op, err);
    if (rc == GUACO_OK)
        *was = op.cancel.was;
    else if (rc == GUACO_E_MISSING)
        rc = guaco_fail(err, rc, 0, "task %llu has ended, or never was",
                        (unsigned long long)id);
    return rc;
}

int
guaco_broker_pause(struct guaco_broker *broker, struct guaco_slice queue,
                   bool pause, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_PAUSE,
                           .pause = {.queue = queue, .pause = pause}};
    int rc = guaco__queue_check(queue, err);

    return rc != GUACO_OK ? rc : guaco__front_run_one(broker, &op, err);
}

/* ---- revocations ---- */

int
guaco__key_check(struct guaco_slice key, struct guaco_error *err)
{
    if (key.len >= 1 && key.len <= GUACO_KEY_MAX && key.at != NULL)
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_INVALID, 0, "key of %zu bytes, not 1 to %u",
                      key.len, GUACO_KEY_MAX);
}

static int
run_revoke(struct guaco_broker *broker, const struct guaco__op_revoke *revoke,
           bool *was, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_REVOKE, .revoke = *revoke};
    int rc = guaco__queue_check(revoke->queue, err);

    if (was != NULL)
        *was = false;
    if (rc == GUACO_OK)
        rc = guaco__key_check(revoke->key, err);
    if (rc == GUACO_OK)
        rc = guaco__front_run_one(broker, &op, err);
    if (rc == GUACO_OK && was != NULL)
        *was = op.revoke.was;
    return rc;
}

int
guaco_broker_revoke(struct guaco_broker *broker,
                    const struct guaco_revocation *revocation,
                    struct guaco_error *err)
{
    const struct guaco__op_revoke revoke = {
        .verb = GUACO__REVOKE_SET,
        .queue = revocation->queue,
        .key = revocation->key,
        .until_ms = revocation->until_ms,
        .once = revocation->once,
    };

    if (revocation->until_ms < 0 || revocation->until_ms > GUACO__TIME_MS_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "revoked until %lld",
                          (long long)revocation->until_ms);
    return run_revoke(broker, &revoke, NULL, err);
}

int
guaco_broker_restore(struct guaco_broker *broker, struct guaco_slice queue,
                     struct guaco_slice key, bool *was, struct guaco_error *err)
{
    const struct guaco__op_revoke revoke = {
        .verb = GUACO__REVOKE_DROP, .queue = queue, .key = key};

    return run_revoke(broker, &revoke, was, err);
}

int
guaco_broker_revoked(struct guaco_broker *broker, struct guaco_slice queue,
                     struct guaco_slice key, bool take, bool *is_revoked,
                     struct guaco_error *err)
{
    const struct guaco__op_revoke revoke = {
        .verb = take ? GUACO__REVOKE_TAKE : GUACO__REVOKE_LOOK,
        .queue = queue,
        .key = key,
    };

    return run_revoke(broker, &revoke, is_revoked, err);
}

/* ---- owners ---- */

int
guaco__front_owner(struct guaco_broker *broker, uint32_t lease_ms,
                   uint64_t *owner, struct guaco_error *err)
{
    struct guaco__proc_stat self = {0};
    struct stat space = {0};
    struct guaco__op op = {.kind = GUACO__OP_OWNER_OPEN,
                           .owner = {.lease_ms = lease_ms}};
    int rc = guaco__proc_stat(getpid(), &self, err);

    if (rc != GUACO_OK)
        return rc;
    (void)stat("/proc/self/ns/pid", &space);
    op.owner.owner = (struct guaco__owner){
        .pid = getpid(),
        .pid_start = self.start_ticks,
        .pid_space = space.st_ino,
    };
    rc = guaco__front_run_one(broker, &op, err);
    if (rc == GUACO_OK)
        *owner = op.owner.owner.id;
    return rc;
}

void
guaco__front_disown(struct guaco_broker *broker, uint64_t owner)
{
    struct guaco__op op = {.kind = GUACO__OP_OWNER_REAP,
                           .reap = {.owner = owner}};

    if (owner != 0)
        (void)guaco__front_run_one(broker, &op, NULL);
    free(op.reap.dead);
}
