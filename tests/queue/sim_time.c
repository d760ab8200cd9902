/* The steps of owners and clocks. */

#include <stdlib.h>

#include "sim.h"

#define INTERVAL_MS 1000 /* of the schedule */

/* ---- owners ---- */

void
sim_open_owner(int owner)
{
    struct guaco__op op = {.kind = GUACO__OP_OWNER_OPEN,
                           .owner = {.owner = {.pid = 1}, .lease_ms = 15000}};

    MUST(sim_run(&op) == GUACO_OK, "owner: %d", op.rc);
    sim.owners[owner] = op.owner.owner.id;
}

static void
forget_locks(uint64_t owner)
{
    for (int i = 0; i < SIM_LOCKS; i++)
        for (int j = 0; j < SIM_HOLDERS; j++)
            if (sim.model.locks[i].holders[j].owner == owner)
                sim.model.locks[i].holders[j].token = 0;
}

/* It died, or its lease ended though it lives: then it goes on sending what
 * nobody must take. */
void
sim_reap(void)
{
    int owner = (int)sim_below(SIM_OWNERS);
    struct guaco__op op = {.kind = GUACO__OP_OWNER_REAP,
                           .reap = {.owner = sim.owners[owner],
                                    .died = sim_one_in(2),
                                    .reason = {"gone", 4}}};

    for (int i = 0; i < SIM_TASKS; i++) {
        const struct model_task *task = &sim.model.tasks[i];
        if (task->state == MODEL_RUNNING && task->owner == owner)
            sim_remember(sim.owners[owner], task->id, task->attempt);
    }
    MUST(sim_run(&op) == GUACO_OK, "reap: %d", op.rc);
    free(op.reap.dead);
    model_reap(&sim.model, owner, op.reap.died);
    forget_locks(sim.owners[owner]);
    MUST(sim_run(&op) == GUACO_E_MISSING, "reaped twice: %d", op.rc);
    sim_open_owner(owner);
}

void
sim_renew(void)
{
    int owner = (int)sim_below(SIM_OWNERS);
    struct guaco__op op = {
        .kind = GUACO__OP_OWNER_RENEW,
        .owner = {.owner = {.id = sim.owners[owner]}, .lease_ms = 15000}};
    size_t n = 0;

    for (int i = 0; i < SIM_TASKS; i++) {
        const struct model_task *task = &sim.model.tasks[i];
        n += task->state == MODEL_RUNNING && task->owner == owner &&
             task->is_canceled;
    }
    MUST(sim_run(&op) == GUACO_OK, "renew: %d", op.rc);
    MUST(op.owner.canceled_count == n, "%zu canceled, not %zu",
         op.owner.canceled_count, n);
    guaco__op_take_back(&op);
}

/* ---- by the clock ---- */

void
sim_sweep(void)
{
    struct guaco__op op = {.kind = GUACO__OP_SWEEP, .sweep = {.limit = 10000}};

    MUST(sim_run(&op) == GUACO_OK, "sweep: %d", op.rc);
    /* They stay gone though the clock is set back. */
    for (int i = 0; i < SIM_KEYS; i++)
        if (sim.model.keys[i].end_ms <= sim.model.now_ms)
            sim.model.keys[i].holder = 0;
}

void
sim_clock(void)
{
    int64_t by_ms = (int64_t)sim_below(400);

    sim.model.boot_ms += (uint64_t)by_ms;
    if (sim_one_in(200)) { /* it is set; what has ended before stays ended */
        sim_sweep();
        by_ms = (int64_t)sim_below(7200000) - 3600000;
    }
    model_clock(&sim.model, by_ms);
}

void
sim_promote(void)
{
    struct guaco__op op = {.kind = GUACO__OP_PROMOTE,
                           .promote = {.limit = 100000}};

    MUST(sim_run(&op) == GUACO_OK, "promote: %d", op.rc);
    (void)model_promote(&sim.model);
    MUST(op.promote.next_due_ms > sim.model.now_ms,
         "promoted, and more is due");
}

void
sim_pause(void)
{
    struct guaco__op op = {
        .kind = GUACO__OP_PAUSE,
        .pause = {.queue = sim_queue,
                  .pause = !sim.model.is_paused && sim_one_in(4)}};

    MUST(sim_run(&op) == GUACO_OK, "pause: %d", op.rc);
    sim.model.is_paused = op.pause.pause;
}

/* ---- ticks ---- */

void
sim_deploy(void)
{
    struct guaco__recur def = {
        .queue = sim_queue,
        .name = {"r", 1},
        .spec = {"every 1 s", 9},
        .envelope = sim_envelope,
        .catch_up = GUACO_CATCH_UP_ALL,
        .generation = sim.generation + 1,
    };
    struct guaco__op op = {.kind = GUACO__OP_RECUR_SET,
                           .recur_set = {.queue = sim_queue,
                                         .generation = def.generation,
                                         .all = &def,
                                         .n = 1}};

    MUST(sim_run(&op) == GUACO_OK, "sim_deploy: %d", op.rc);
    MUST(!op.recur_set.stale, "a newer deployment is stale");
    if (sim.generation == 0)
        sim.last_ms = sim.model.now_ms;
    sim.generation = def.generation;
}

/* A keeper fires by what it read of the schedule once; others may have fired
 * since. */
void
sim_tick(void)
{
    struct keeper *keeper = &sim.keepers[sim_below(SIM_KEEPERS)];
    struct guaco__put put = {.queue = sim_queue, .envelope = sim_envelope};

    if (sim_one_in(300))
        sim_deploy();
    if (sim_one_in(4) || keeper->generation == 0)
        *keeper = (struct keeper){sim.generation, sim.last_ms};
    put.due_ms = keeper->last_ms + INTERVAL_MS;
    if (put.due_ms > sim.model.now_ms || sim.model.live > SIM_LIVE)
        return;
    struct guaco__op op = {.kind = GUACO__OP_TICK,
                           .tick = {.queue = sim_queue,
                                    .name = {"r", 1},
                                    .generation = keeper->generation,
                                    .expect_ms = keeper->last_ms,
                                    .last_ms = put.due_ms,
                                    .tasks = &put,
                                    .n = 1}};
    int rc = sim_run_faulty(&op);
    if (sim_is_fault(rc))
        return;
    bool is_first =
        keeper->generation == sim.generation && keeper->last_ms == sim.last_ms;
    MUST(rc == (is_first ? GUACO_OK : GUACO_E_STATE), "a tick: %d", rc);
    if (!is_first) {
        *keeper = (struct keeper){sim.generation, sim.last_ms};
        return;
    }
    sim.model.ticks++;
    keeper->last_ms = sim.last_ms = put.due_ms;
    model_put(&sim.model, &put, 1);
}

/* ---- locks ---- */

static uint32_t
holders_of(struct model_lock *lock)
{
    uint32_t n = 0;

    for (int i = 0; i < SIM_HOLDERS; i++) {
        if (lock->holders[i].end_ms <= sim.model.boot_ms)
            lock->holders[i].token = 0;
        n += lock->holders[i].token != 0;
    }
    return n;
}

static void
take_lock(struct model_lock *lock, struct guaco__op *op)
{
    uint32_t n = holders_of(lock);

    op->lock.owner = sim.owners[sim_below(SIM_OWNERS)];
    int rc = sim_run(op);
    MUST(rc == (n < lock->slots ? GUACO_OK : GUACO_E_AGAIN),
         "lock with %u of %u holders: %d", n, lock->slots, rc);
    if (rc != GUACO_OK)
        return;
    MUST(op->lock.token > lock->last_token, "a token that does not grow");
    lock->last_token = op->lock.token;
    for (int i = 0; i < SIM_HOLDERS; i++)
        if (lock->holders[i].token == 0) {
            lock->holders[i].token = op->lock.token;
            lock->holders[i].owner = op->lock.owner;
            lock->holders[i].end_ms = sim.model.boot_ms + op->lock.lease_ms;
            return;
        }
}

void
sim_lock(void)
{
    size_t number = sim_below(SIM_LOCKS);
    struct model_lock *lock = &sim.model.locks[number];
    int i = (int)sim_below(SIM_HOLDERS);
    uint64_t token = lock->holders[i].token;
    struct guaco__op op = {.kind = GUACO__OP_LOCK,
                           .lock = {.verb = GUACO__LOCK_TAKE,
                                    .name = {&sim_digits[number], 1},
                                    .slots = lock->slots,
                                    .lease_ms = 1 + sim_below(3000),
                                    .token = token}};

    if (sim_one_in(2) || token == 0) {
        take_lock(lock, &op);
        return;
    }
    bool frees = sim_one_in(2);
    op.lock.verb = frees ? GUACO__LOCK_FREE : GUACO__LOCK_RENEW;
    (void)holders_of(lock);
    bool is_held = lock->holders[i].token != 0;
    int rc = sim_run(&op);
    MUST(rc == (is_held ? GUACO_OK : GUACO_E_LOST), "a lock's token: %d", rc);
    if (is_held && frees)
        lock->holders[i].token = 0;
    else if (is_held)
        lock->holders[i].end_ms = sim.model.boot_ms + op.lock.lease_ms;
}
