#include "sim.h"

#include <string.h>

#define SETTLE_MS 5000 /* longer than any bucket takes to fill */

/* ---- the table ---- */

void
model_init(struct model *model)
{
    static const struct model_lane lanes[SIM_LANES] = {
        {.running_max = 1},
        {.running_max = 2},
        {.running_max = 3, .rate_count = 5, .period_ms = 1000, .burst = 4},
        {.rate_count = 10, .period_ms = 10000, .burst = 3},
        {.rate_count = 1000, .period_ms = 7000, .burst = 20},
    };

    memset(model, 0, sizeof *model);
    memset(model->slot_of, 0xff, sizeof model->slot_of);
    memcpy(model->lanes, lanes, sizeof lanes);
    for (int i = 0; i < SIM_LANES; i++)
        model->lanes[i].tokens = lanes[i].burst;
    model->locks[0].slots = 1;
    model->locks[1].slots = 3;
}

struct model_task *
model_find(struct model *model, uint64_t id)
{
    int slot = model->slot_of[id % SIM_WINDOW];

    return slot >= 0 && model->tasks[slot].id == id ? &model->tasks[slot]
                                                    : NULL;
}

struct model_task *
model_add(struct model *model, uint64_t id)
{
    MUST(model->slot_of[id % SIM_WINDOW] < 0, "task %llx: its id is in use",
         (unsigned long long)id);
    for (int i = 0; i < SIM_TASKS; i++)
        if (model->tasks[i].state == MODEL_FREE) {
            model->tasks[i] = (struct model_task){.id = id, .key = -1};
            model->slot_of[id % SIM_WINDOW] = (int16_t)i;
            model->live++;
            return &model->tasks[i];
        }
    sim_fail("the model's table is full");
    return NULL;
}

struct model_task *
model_pick(struct model *model, struct guaco__rand *rand,
           enum model_state state)
{
    size_t from = guaco__rand_below(rand, SIM_TASKS);

    for (size_t i = 0; i < SIM_TASKS; i++) {
        struct model_task *task = &model->tasks[(from + i) % SIM_TASKS];
        if (task->state == state)
            return task;
    }
    return NULL;
}

static void
set_due(struct model *model, struct model_task *task, int64_t due_ms)
{
    task->due_ms = due_ms;
    task->state = due_ms > model->now_ms ? MODEL_DELAYED : MODEL_WAITING;
}

/* ---- limits ---- */

static void
refill(struct model *model, struct model_lane *lane)
{
    int64_t passed_ms = model->now_ms - lane->at_ms;

    lane->at_ms = model->now_ms;
    if (passed_ms <= 0 || lane->rate_count == 0)
        return;
    lane->tokens +=
        (double)passed_ms * lane->rate_count / (double)lane->period_ms;
    if (lane->tokens > lane->burst)
        lane->tokens = lane->burst;
}

void
model_unsure(struct model *model)
{
    model->sure_ms = model->now_ms + SETTLE_MS;
}

void
model_clock(struct model *model, int64_t by_ms)
{
    for (int i = 0; i < SIM_LANES; i++)
        refill(model, &model->lanes[i]); /* what came before is not lost */
    model->now_ms += by_ms;
    if (by_ms < 0 || by_ms > SETTLE_MS) /* it was set */
        model_unsure(model);
    if (by_ms >= 0)
        return;
    for (int i = 0; i < SIM_LANES; i++) {
        model->lanes[i].at_ms = model->now_ms;
        if (model->lanes[i].start_ms > model->now_ms)
            model->lanes[i].start_ms = model->now_ms;
    }
}

static void
enter_lane(struct model *model, const struct model_task *task, unsigned i)
{
    struct model_lane *lane = &model->lanes[task->lanes[i]];

    refill(model, lane);
    lane->running++;
    MUST(lane->running_max == 0 || lane->running <= lane->running_max,
         "%u run of lane %d, most %u", lane->running, task->lanes[i],
         lane->running_max);
    if (lane->rate_count == 0)
        return;
    lane->tokens -= task->costs[i];
    lane->start_ms = model->now_ms;
    MUST(lane->tokens > -0.01, "lane %d is faster than its rate",
         task->lanes[i]);
}

static void
leave_lanes(struct model *model, const struct model_task *task)
{
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++)
        if (task->lanes[i] >= 0)
            model->lanes[task->lanes[i]].running--;
}

/* ---- ending ---- */

static void
joined(struct model *model, uint64_t id, uint32_t member,
       enum guaco_task_state state)
{
    struct model_task *held = id == 0 ? NULL : model_find(model, id);

    if (held == NULL || held->state != MODEL_HELD || held->members[member])
        return;
    held->members[member] = true;
    held->left--;
    if (held->must_succeed && state != GUACO_TASK_DONE)
        model_end(model, held, GUACO_TASK_FAILED);
    else if (held->left == 0)
        set_due(model, held, held->due_ms);
}

static void
free_key(struct model *model, const struct model_task *task)
{
    if (task->key >= 0 && model->keys[task->key].holder == task->id)
        model->keys[task->key].holder = 0;
}

void
model_end(struct model *model, struct model_task *task,
          enum guaco_task_state state)
{
    uint64_t joins = task->joins;
    uint32_t member = task->member;

    MUST(task->state != MODEL_FREE, "a task ends twice");
    if (task->state == MODEL_RUNNING)
        leave_lanes(model, task);
    if (task->until != GUACO_UNIQUE_TIME)
        free_key(model, task);
    model->slot_of[task->id % SIM_WINDOW] = -1;
    task->state = MODEL_FREE;
    model->live--;
    model->ended++;
    model->dead += state == GUACO_TASK_DEAD;
    joined(model, joins, member, state);
}

void
model_release(struct model *model, struct model_task *task, uint64_t delay_ms,
              bool failed)
{
    if (task->is_canceled) {
        model_end(model, task, GUACO_TASK_CANCELED);
        return;
    }
    leave_lanes(model, task);
    task->is_suspect = task->is_suspect && !failed;
    set_due(model, task, model->now_ms + (int64_t)delay_ms);
}

void
model_reap(struct model *model, int owner, bool died)
{
    for (int i = 0; i < SIM_TASKS; i++) {
        struct model_task *task = &model->tasks[i];
        if (task->state != MODEL_RUNNING || task->owner != owner)
            continue;
        if (task->is_canceled) {
            model_end(model, task, GUACO_TASK_CANCELED);
            continue;
        }
        task->is_suspect = task->is_suspect || died;
        task->deaths += died && task->is_alone;
        if (died && task->deaths >= GUACO_TASK_DEATHS_MAX) {
            model_end(model, task, GUACO_TASK_DEAD);
        } else {
            leave_lanes(model, task);
            task->state = MODEL_WAITING;
        }
    }
}

/* ---- putting ---- */

static int
number_of(struct guaco_slice key)
{
    return key.len == 0 ? -1 : key.at[0] - '0';
}

static void
hold_key(struct model *model, const struct guaco_rules *rules, int key,
         uint64_t id)
{
    model->keys[key] = (struct model_key){
        .holder = id,
        .end_ms = rules->unique_ms == 0
                      ? INT64_MAX
                      : model->now_ms + (int64_t)rules->unique_ms,
    };
}

static void
set_rules(struct model_task *task, const struct guaco__put *puts,
          const struct guaco__put *put)
{
    const struct guaco_rules *rules = put->rules;

    task->has_rules = rules != NULL || put->hold > 0;
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++) {
        task->lanes[i] = rules == NULL ? -1 : number_of(rules->limits[i].key);
        task->costs[i] = rules == NULL || rules->limits[i].cost == 0
                             ? 1
                             : rules->limits[i].cost;
    }
    task->hold = task->left = put->hold;
    if (rules == NULL)
        return;
    task->until = rules->unique_until;
    task->must_succeed = rules->joins_must_succeed;
    if (rules->joins != 0) {
        task->joins = puts[rules->joins - 1].id;
        task->member = put->member;
    }
}

static void
put_existing(struct model *model, const struct guaco__put *puts,
             const struct guaco__put *put, int key)
{
    struct model_task *old = model_find(model, put->id);

    MUST(put->id == model->keys[key].holder, "key %d: not its holder's id",
         key);
    if (put->rules->unique_replace && old != NULL && !old->is_suspect &&
        (old->state == MODEL_WAITING || old->state == MODEL_DELAYED)) {
        struct model_task fresh = *old;
        set_rules(&fresh, puts, put);
        fresh.priority = put->priority;
        fresh.joins = old->joins;
        fresh.member = old->member;
        *old = fresh;
        hold_key(model, put->rules, key, old->id);
        set_due(model, old, put->due_ms);
    }
    if (put->rules->joins != 0)
        joined(model, puts[put->rules->joins - 1].id, put->member,
               GUACO_TASK_CANCELED);
}

static void
put_one(struct model *model, const struct guaco__put *puts,
        const struct guaco__put *put)
{
    const struct guaco_rules *rules = put->rules;
    int key = rules == NULL ? -1 : number_of(rules->unique);
    bool is_held = key >= 0 && model->keys[key].holder != 0 &&
                   model->keys[key].end_ms > model->now_ms;

    MUST(put->existed == is_held, "key %d: existed %d, but it is %d", key,
         put->existed, is_held);
    if (is_held) {
        put_existing(model, puts, put, key);
        return;
    }
    struct model_task *task = model_add(model, put->id);
    model->acked++;
    set_rules(task, puts, put);
    task->priority = put->priority;
    task->key = key;
    if (key >= 0)
        hold_key(model, rules, key, put->id);
    if (put->hold > 0) {
        task->due_ms = put->due_ms;
        task->state = MODEL_HELD;
    } else {
        set_due(model, task, put->due_ms);
    }
}

void
model_put(struct model *model, const struct guaco__put *puts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_one(model, puts, &puts[i]);
}

/* ---- claiming ---- */

/* Of tasks without limits the first by priority, then id, is given. */
static void
check_order(const struct model *model, const struct model_task *given)
{
    for (int i = 0; i < SIM_TASKS; i++) {
        const struct model_task *task = &model->tasks[i];
        if (task->state != MODEL_WAITING || task->is_suspect ||
            task->lanes[0] >= 0 || task->lanes[1] >= 0)
            continue;
        MUST(task->priority < given->priority ||
                 (task->priority == given->priority && task->id >= given->id),
             "%llx was given before %llx", (unsigned long long)given->id,
             (unsigned long long)task->id);
    }
}

static void
claim_row(struct model *model, const struct guaco__op_claim *claim,
          const struct guaco__row *row, int owner)
{
    struct model_task *task = model_find(model, row->id);

    MUST(task != NULL, "%llx was given, which is not there",
         (unsigned long long)row->id);
    MUST(task->state == MODEL_WAITING, "%llx was given in state %d",
         (unsigned long long)row->id, (int)task->state);
    MUST(row->attempt == task->attempt + 1, "attempt %u after %u", row->attempt,
         task->attempt);
    MUST(row->is_suspect == task->is_suspect, "suspect or not");
    MUST(!row->is_suspect || (claim->alone && claim->count == 1),
         "a suspect beside others");
    MUST(row->has_rules == task->has_rules, "rules or not");
    MUST(row->members == task->hold && task->left == 0,
         "it waited for %u, of which %u have not ended", task->hold,
         task->left);
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++)
        if (task->lanes[i] >= 0)
            enter_lane(model, task, i);
    if (task->until == GUACO_UNIQUE_STARTED)
        free_key(model, task);
    task->attempt = row->attempt;
    task->state = MODEL_RUNNING;
    task->owner = owner;
    task->is_alone = claim->alone && (task->is_suspect || claim->max == 1);
    model->starts++;
}

void
model_claimed(struct model *model, const struct guaco__op_claim *claim,
              int owner)
{
    MUST(claim->count == 0 || !model->is_paused, "a paused queue gave");
    MUST(claim->count <= claim->max, "more than was asked for");
    for (uint32_t i = 0; i < claim->count; i++) {
        struct model_task *task = model_find(model, claim->rows[i].id);
        if (task != NULL && !task->is_suspect && model->starts % 16 == 0)
            check_order(model, task);
        claim_row(model, claim, &claim->rows[i], owner);
    }
}

/* ---- by the clock ---- */

uint32_t
model_promote(struct model *model)
{
    uint32_t count = 0;

    for (int i = 0; i < SIM_TASKS; i++) {
        struct model_task *task = &model->tasks[i];
        if (task->state != MODEL_DELAYED || task->due_ms > model->now_ms)
            continue;
        task->state = MODEL_WAITING;
        count++;
    }
    return count;
}

/* Surely a lane would let it run, whatever was rounded. */
static bool
lets_run(struct model *model, int number)
{
    struct model_lane *lane = &model->lanes[number];

    refill(model, lane);
    if (lane->running_max != 0 && lane->running >= lane->running_max)
        return false;
    return lane->rate_count == 0 ||
           (model->now_ms >= model->sure_ms &&
            model->now_ms >= lane->start_ms + SETTLE_MS);
}

void
model_check_idle(struct model *model, bool suspects_too)
{
    for (int i = 0; i < SIM_TASKS; i++) {
        struct model_task *task = &model->tasks[i];
        if (task->state == MODEL_HELD)
            MUST(task->left > 0, "%llx is held for nothing",
                 (unsigned long long)task->id);
        if (task->state != MODEL_WAITING || (task->is_suspect && !suspects_too))
            continue;
        bool may_run = true;
        for (unsigned j = 0; j < GUACO_LIMITS_MAX; j++)
            if (task->lanes[j] >= 0 && !lets_run(model, task->lanes[j]))
                may_run = false;
        MUST(!may_run, "%llx may run and is not given%s",
             (unsigned long long)task->id,
             task->is_suspect ? ", a suspect" : "");
    }
}

void
model_check_stats(const struct model *model,
                  const struct guaco_queue_stats *stats)
{
    uint64_t counts[MODEL_RUNNING + 1] = {0};

    for (int i = 0; i < SIM_TASKS; i++)
        counts[model->tasks[i].state]++;
    MUST(stats->waiting == counts[MODEL_WAITING] &&
             stats->delayed == counts[MODEL_DELAYED] &&
             stats->held == counts[MODEL_HELD] &&
             stats->running == counts[MODEL_RUNNING],
         "there are %llu %llu %llu %llu, not %llu %llu %llu %llu",
         (unsigned long long)stats->waiting, (unsigned long long)stats->delayed,
         (unsigned long long)stats->held, (unsigned long long)stats->running,
         (unsigned long long)counts[MODEL_WAITING],
         (unsigned long long)counts[MODEL_DELAYED],
         (unsigned long long)counts[MODEL_HELD],
         (unsigned long long)counts[MODEL_RUNNING]);
    MUST(stats->dead == model->dead, "%llu dead, not %llu",
         (unsigned long long)stats->dead, (unsigned long long)model->dead);
    MUST(model->acked == model->ended + (uint64_t)model->live,
         "a task is lost");
}
