/* The steps of the life of tasks. */

#include "sim.h"

/* ---- puts ---- */

static void
limit(struct guaco_limit *limit, unsigned number)
{
    const struct model_lane *lane = &sim.model.lanes[number];

    *limit = (struct guaco_limit){
        .key = {&sim_digits[number], 1},
        .running_max = lane->running_max,
        .rate_count = lane->rate_count,
        .rate_period_ms = lane->period_ms,
        .rate_burst = lane->burst,
        .cost = lane->rate_count > 0 ? (uint32_t)sim_below(3) : 0,
    };
}

static void
random_rules(struct guaco_rules *rules)
{
    *rules = (struct guaco_rules){0};
    if (sim_one_in(2)) {
        rules->unique =
            (struct guaco_slice){&sim_digits[sim_below(SIM_KEYS)], 1};
        rules->unique_until = (enum guaco_unique_until)(1 + sim_below(3));
        rules->unique_replace = sim_one_in(3);
        if (rules->unique_until == GUACO_UNIQUE_TIME || sim_one_in(3))
            rules->unique_ms = 1 + sim_below(5000);
    }
    unsigned first = (unsigned)sim_below(SIM_LANES);
    if (sim_one_in(2))
        limit(&rules->limits[0], first);
    if (sim_one_in(4))
        limit(&rules->limits[1],
              (first + 1 + (unsigned)sim_below(SIM_LANES - 1)) % SIM_LANES);
}

static void
random_put(struct guaco__put *put, struct guaco_rules *rules, bool ruled)
{
    *put = (struct guaco__put){.queue = sim_queue,
                               .envelope = sim_envelope,
                               .priority = (int32_t)sim_below(3) - 1};
    if (sim_one_in(4))
        put->due_ms = sim.model.now_ms + (int64_t)sim_below(3000);
    if (!ruled)
        return;
    random_rules(rules);
    put->rules = rules;
}

static void
put_some(struct guaco__put *puts, size_t n)
{
    struct guaco__op op = {.kind = GUACO__OP_PUT, .put = {puts, n}};
    /* See run_end: a member that is not put ends there. */
    bool joins = puts[0].hold > 0 && !sim_is_sqlite();
    int rc = joins ? sim_run(&op) : sim_run_faulty(&op);

    if (sim_is_fault(rc))
        return;
    MUST(rc == GUACO_OK, "put: %d", rc);
    model_put(&sim.model, puts, n);
}

static void
step_put(bool ruled)
{
    struct guaco__put puts[SIM_PUTS];
    struct guaco_rules rules[SIM_PUTS];
    size_t n = 1 + sim_below(3);

    if (sim.model.live > SIM_LIVE)
        return;
    for (size_t i = 0; i < n; i++)
        random_put(&puts[i], &rules[i], ruled);
    put_some(puts, n);
}

void
sim_put_plain(void)
{
    step_put(false);
}

void
sim_put_ruled(void)
{
    step_put(true);
}

/* One that waits, those that join it, some of them waiting for others. */
void
sim_put_chord(void)
{
    struct guaco__put puts[SIM_PUTS];
    struct guaco_rules rules[SIM_PUTS];
    size_t n = 2 + sim_below(SIM_PUTS - 2);
    size_t inner = n > 4 && sim_one_in(2) ? 1 : 0;

    if (sim.model.live > SIM_LIVE)
        return;
    for (size_t i = 0; i < n; i++) {
        random_put(&puts[i], &rules[i], true);
        if (i == 0)
            rules[i].unique.len = 0;
        else
            rules[i].joins = inner > 0 && i > 2 ? 2 : 1;
        rules[i].joins_must_succeed = sim_one_in(3);
    }
    if (inner > 0)
        rules[1].unique.len = 0;
    for (size_t i = 1; i < n; i++)
        puts[i].member = puts[rules[i].joins - 1].hold++;
    put_some(puts, n);
}

/* ---- claims and ends ---- */

void
sim_remember(uint64_t owner, uint64_t id, uint32_t attempt)
{
    sim.stale[sim.stale_count++ % SIM_STALE] =
        (struct stale){owner, id, attempt};
}

uint32_t
sim_claim(int owner, uint32_t max, bool alone)
{
    struct guaco__row rows[SIM_CLAIM];
    struct guaco__op op = {.kind = GUACO__OP_CLAIM,
                           .claim = {.queue = sim_queue,
                                     .owner = sim.owners[owner],
                                     .max = max,
                                     .alone = alone,
                                     .rows = rows}};
    uint64_t faults = sim.faults;
    int rc = sim_run_faulty(&op);

    if (sim.faults > faults) /* a start may be paid for and not made */
        model_unsure(&sim.model);
    if (sim_is_fault(rc))
        return 0;
    MUST(rc == GUACO_OK, "claim: %d", rc);
    model_claimed(&sim.model, &op.claim, owner);
    uint32_t count = op.claim.count;
    guaco__op_take_back(&op);
    return count;
}

bool
sim_runs_nothing(int owner)
{
    for (int i = 0; i < SIM_TASKS; i++)
        if (sim.model.tasks[i].state == MODEL_RUNNING &&
            sim.model.tasks[i].owner == owner)
            return false;
    return true;
}

void
sim_claim_some(void)
{
    int owner = (int)sim_below(SIM_OWNERS);
    bool alone = sim_one_in(4) && sim_runs_nothing(owner);

    (void)sim_claim(owner, 1 + (uint32_t)sim_below(SIM_CLAIM), alone);
}

struct guaco__op
sim_finish_of(const struct model_task *task)
{
    static const enum guaco_task_state states[] = {
        GUACO_TASK_DONE, GUACO_TASK_DONE, GUACO_TASK_DONE, GUACO_TASK_FAILED,
        GUACO_TASK_EXPIRED};

    return (struct guaco__op){
        .kind = GUACO__OP_FINISH,
        .finish = {.owner = sim.owners[task->owner],
                   .id = task->id,
                   .attempt = task->attempt,
                   .state = states[sim_below(5)],
                   .keep = sim_one_in(8),
                   .has_rules = task->has_rules,
                   .ttl_s = 1,
                   .body = {"body", 4}},
    };
}

/* A fault where a task ends that another waits for may change what becomes of
 * that one (it runs instead of failing), so there it is left out. */
static int
run_end(struct guaco__op *op, const struct model_task *task)
{
    return task->joins != 0 && !sim_is_sqlite() ? sim_run(op)
                                                : sim_run_faulty(op);
}

static void
finish(struct model_task *task)
{
    struct guaco__put follow;
    struct guaco_rules rules;
    struct guaco__op op = sim_finish_of(task);

    if (sim.model.live < SIM_LIVE && sim_one_in(10)) {
        random_put(&follow, &rules, true);
        op.finish.follow = &follow;
        op.finish.follow_count = 1;
        op.finish.pass_on = sim_one_in(2);
    }
    int rc = run_end(&op, task);
    if (sim_is_fault(rc))
        return;
    MUST(rc == GUACO_OK, "the holder's finish: %d", rc);
    sim_remember(op.finish.owner, task->id, task->attempt);
    sim.model.completions++;
    uint64_t joins = task->joins;
    if (op.finish.follow_count > 0) {
        model_put(&sim.model, &follow, 1);
        if (op.finish.pass_on && op.finish.state == GUACO_TASK_DONE &&
            !follow.existed) {
            struct model_task *next = model_find(&sim.model, follow.id);
            next->joins = joins;
            next->member = task->member;
            task->joins = 0;
        }
    }
    model_end(&sim.model, task, op.finish.state);
}

void
sim_finish_one(void)
{
    struct model_task *task = model_pick(&sim.model, &sim.rand, MODEL_RUNNING);

    if (task != NULL)
        finish(task);
}

void
sim_release(void)
{
    struct model_task *task = model_pick(&sim.model, &sim.rand, MODEL_RUNNING);

    if (task == NULL)
        return;
    struct guaco__op op = {
        .kind = GUACO__OP_RELEASE,
        .release = {.owner = sim.owners[task->owner],
                    .id = task->id,
                    .attempt = task->attempt,
                    .delay_ms = sim_one_in(2) ? sim_below(2000) : 0,
                    .failed = sim_one_in(2)}};
    int rc = run_end(&op, task);
    if (sim_is_fault(rc))
        return;
    MUST(rc == GUACO_OK, "the holder's release: %d", rc);
    MUST(op.release.ended == task->is_canceled, "canceled or not");
    sim_remember(op.release.owner, task->id, task->attempt);
    model_release(&sim.model, task, op.release.delay_ms, op.release.failed);
}

/* The attempt is right, but it is another's. */
static void
finish_of_another(void)
{
    struct model_task *task = model_pick(&sim.model, &sim.rand, MODEL_RUNNING);

    if (task == NULL)
        return;
    struct guaco__op op = sim_finish_of(task);
    op.finish.owner = sim.owners[(task->owner + 1) % SIM_OWNERS];
    int rc = sim_run(&op);
    MUST(rc == GUACO_E_LOST, "another's finish of %llx: %d",
         (unsigned long long)task->id, rc);
}

/* An acknowledgement that comes twice, or from one that lost its lease. */
void
sim_stale_finish(void)
{
    size_t n = sim.stale_count < SIM_STALE ? sim.stale_count : SIM_STALE;

    if (sim_one_in(8)) {
        finish_of_another();
        return;
    }

    if (n == 0)
        return;
    const struct stale *stale = &sim.stale[sim_below(n)];
    struct guaco__op op = {.kind = GUACO__OP_FINISH,
                           .finish = {.owner = stale->owner,
                                      .id = stale->id,
                                      .attempt = stale->attempt,
                                      .state = GUACO_TASK_DONE,
                                      .has_rules = true,
                                      .keep = sim_one_in(2),
                                      .ttl_s = 1}};
    if (sim_one_in(3))
        op = (struct guaco__op){.kind = GUACO__OP_RELEASE,
                                .release = {.owner = stale->owner,
                                            .id = stale->id,
                                            .attempt = stale->attempt,
                                            .failed = true}};
    int rc = sim_run(&op);
    MUST(rc == GUACO_E_LOST, "a stale end of %llx: %d",
         (unsigned long long)stale->id, rc);
    sim.refused++;
}

void
sim_cancel(void)
{
    static const enum guaco_task_state said[] = {
        [MODEL_WAITING] = GUACO_TASK_WAITING,
        [MODEL_DELAYED] = GUACO_TASK_DELAYED,
        [MODEL_HELD] = GUACO_TASK_HELD,
        [MODEL_RUNNING] = GUACO_TASK_RUNNING,
    };
    struct model_task *task =
        model_pick(&sim.model, &sim.rand,
                   (enum model_state)(1 + sim_below(MODEL_RUNNING)));

    if (task == NULL)
        return;
    struct guaco__op op = {.kind = GUACO__OP_CANCEL,
                           .cancel = {.id = task->id, .ttl_s = 1}};
    int rc = run_end(&op, task);
    if (sim_is_fault(rc))
        return;
    MUST(rc == GUACO_OK, "cancel: %d", rc);
    MUST(op.cancel.was == said[task->state], "canceled in state %d, not %d",
         (int)op.cancel.was, (int)task->state);
    if (task->state == MODEL_RUNNING)
        task->is_canceled = true;
    else
        model_end(&sim.model, task, GUACO_TASK_CANCELED);
}

void
sim_purge(void)
{
    bool waiting = sim_one_in(2);
    enum model_state from = waiting ? MODEL_WAITING : MODEL_DELAYED;
    uint64_t ids[SIM_TASKS], n = 0;
    struct guaco__op op = {
        .kind = GUACO__OP_PURGE,
        .purge = {.queue = sim_queue,
                  .state = waiting ? GUACO_TASK_WAITING : GUACO_TASK_DELAYED}};

    for (int i = 0; i < SIM_TASKS; i++)
        if (sim.model.tasks[i].state == from)
            ids[n++] = sim.model.tasks[i].id;
    MUST(sim_run(&op) == GUACO_OK, "purge: %d", op.rc);
    MUST(op.purge.count == n, "%llu purged, not %llu",
         (unsigned long long)op.purge.count, (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++)
        model_end(&sim.model, model_find(&sim.model, ids[i]),
                  GUACO_TASK_CANCELED);
}
