/*
 * Limits of the memory store.  A lane is the key of a limit.  A task is let run
 * when all its lanes let it; else it is set aside at the first that does not.
 *
 * From there it comes back, the first of the order first: one for each task of
 * the lane that ends, and by the clock while the lane's rate is what keeps them
 * (wake_ms); only if the lane lets it run by then.  What came back is looked at again by the next claim; if another
 * lane stops it then, the turn that it had goes to the next one aside (kick).
 */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

bool
guaco__memory_lane_is_before(const struct guaco__heap_node *a,
                             const struct guaco__heap_node *b)
{
    return GUACO__OF(a, struct memory_lane, node)->wake_ms <
           GUACO__OF(b, struct memory_lane, node)->wake_ms;
}

/* ---- life ---- */

static void
set_wake(struct memory_store *self, struct memory_lane *lane, int64_t wake_ms)
{
    if (lane->wake_ms != INT64_MAX)
        guaco__heap_remove(&self->wakes, &lane->node);
    lane->wake_ms = wake_ms;
    if (wake_ms == INT64_MAX)
        return;
    guaco__heap_insert(&self->wakes, &lane->node);
    guaco__touched_due(&self->base.touched, wake_ms);
}

static struct memory_lane *
make_lane(struct memory_store *self, struct memory_queue *queue,
          struct guaco_slice name)
{
    struct memory_lane *lane = calloc(1, sizeof *lane + name.len);

    if (lane == NULL)
        return NULL;
    lane->queue = queue;
    lane->wake_ms = INT64_MAX;
    lane->key_len = name.len;
    memcpy(lane->key, name.at, name.len);
    guaco__heap_init(&lane->aside, guaco__memory_is_before);
    if (guaco__map_put(&self->lanes, (struct guaco_slice){lane->key, name.len},
                       lane) == GUACO_OK)
        return lane;
    free(lane);
    return NULL;
}

int
guaco__memory_lane_get(struct memory_store *self, struct memory_queue *queue,
                       const struct guaco_limit *limit,
                       struct memory_lane **out)
{
    char bytes[MEMORY_NAME_MAX];
    struct guaco_slice name = memory_name(bytes, queue, limit->key);
    struct memory_lane *lane = guaco__map_get(&self->lanes, name);

    if (lane == NULL)
        lane = make_lane(self, queue, name);
    if (lane == NULL)
        return GUACO_E_NOMEM;
    bool is_wider =
        limit->running_max == 0 || limit->running_max > lane->running_max;
    lane->running_max = limit->running_max;
    lane->rate = guaco__rate_of(limit);
    lane->refs++;
    *out = lane;
    if (is_wider && lane->aside.count > 0)
        set_wake(self, lane, self->now_ms); /* others may be let run now */
    return GUACO_OK;
}

static void
free_lane(struct memory_store *self, struct memory_lane *lane)
{
    assert(lane->refs == 0);
    assert(lane->running == 0);
    set_wake(self, lane, INT64_MAX);
    (void)guaco__map_take(&self->lanes,
                          (struct guaco_slice){lane->key, lane->key_len});
    free(lane);
}

/* The lane of a task that is gone; kept until its bucket is full again. */
void
guaco__memory_lane_put(struct memory_store *self, struct memory_lane *lane)
{
    assert(lane->refs > 0);
    lane->refs--;
    if (lane->refs > 0)
        return;
    if (lane->rate.interval_us == 0 || lane->full_us <= self->now_ms * 1000)
        free_lane(self, lane);
    else
        set_wake(self, lane, lane->full_us / 1000 + 1);
}

/* ---- aside and back ---- */

static bool
has_room(const struct memory_lane *lane)
{
    return lane->running_max == 0 || lane->running < lane->running_max;
}

static struct memory_task *
first_aside(const struct memory_lane *lane)
{
    struct guaco__heap_node *node = guaco__heap_min(&lane->aside);

    return node == NULL ? NULL : GUACO__OF(node, struct memory_task, node);
}

static uint32_t
cost_of(const struct memory_task *task, const struct memory_lane *lane)
{
    const struct memory_rules *rules = task->rules;

    return rules->lanes[0] == lane ? rules->costs[0] : rules->costs[1];
}

/*
 * Let the first one come back if the lane would let it run, as far as full_us
 * says; and if that waits for an owner that is alone, the next
 * too, which must not wait for that.  One that came back in vain would send
 * others back in its turn, and so on without end.  Returns when it may (now: it
 * came, or there was none), INT64_MAX: once another has ended.
 */
static int64_t
bring_back(struct memory_store *self, struct memory_lane *lane,
           int64_t *full_us, uint32_t *count)
{
    int64_t now_us = self->now_ms * 1000;
    struct memory_task *task;
    bool is_suspect = true;

    while (is_suspect && (task = first_aside(lane)) != NULL) {
        int64_t after_us = *full_us;
        if (!has_room(lane))
            return INT64_MAX;
        int64_t at_us = guaco__rate_take(&lane->rate, cost_of(task, lane),
                                         now_us, &after_us);
        if (at_us > now_us)
            return (at_us + 999) / 1000;
        is_suspect = task->is_suspect;
        if (!is_suspect)
            *full_us = after_us;
        guaco__memory_take(self, task);
        task->rules->aside = NULL;
        guaco__memory_ready(self, task);
        (*count)++;
    }
    return self->now_ms;
}

static void
set_aside(struct memory_store *self, struct memory_task *task,
          struct memory_lane *lane)
{
    guaco__memory_take(self, task);
    task->place = PLACE_ASIDE;
    task->rules->aside = lane;
    guaco__heap_insert(&lane->aside, &task->node);
    guaco__list_push(&task->queue->waiting, &task->link);
    task->queue->waiting_count++;
}

void
guaco__memory_lanes_kick(struct memory_store *self, struct memory_task *task)
{
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++) {
        struct memory_lane *lane = task->rules->lanes[i];
        uint32_t count = 0;
        if (lane == NULL || lane == task->rules->aside)
            continue;
        int64_t full_us = lane->full_us;
        int64_t at_ms = bring_back(self, lane, &full_us, &count);
        if (at_ms > self->now_ms && at_ms < lane->wake_ms)
            set_wake(self, lane, at_ms);
    }
}

/* ---- entering and leaving ---- */

/* When `lane` lets the task run: now, later, or INT64_MAX: once another has
 * ended.  With `take` it is counted. */
static int64_t
ask_lane(struct memory_store *self, struct memory_lane *lane, uint32_t cost,
         bool take)
{
    int64_t now_us = self->now_ms * 1000;
    int64_t full_us = guaco__rate_clamp(&lane->rate, now_us, lane->full_us);

    lane->full_us = full_us;
    if (!has_room(lane))
        return INT64_MAX;
    int64_t at_us = guaco__rate_take(&lane->rate, cost, now_us, &full_us);
    if (at_us > now_us)
        return (at_us + 999) / 1000;
    if (take) {
        lane->running++;
        lane->full_us = full_us;
    }
    return self->now_ms;
}

bool
guaco__memory_lanes_enter(struct memory_store *self, struct memory_task *task)
{
    struct memory_rules *rules = task->rules;

    assert(!rules->is_counted);
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++) {
        struct memory_lane *lane = rules->lanes[i];
        int64_t at_ms = lane == NULL
                            ? self->now_ms
                            : ask_lane(self, lane, rules->costs[i], false);
        if (at_ms <= self->now_ms)
            continue;
        set_aside(self, task, lane);
        if (at_ms != INT64_MAX && at_ms < lane->wake_ms)
            set_wake(self, lane, at_ms);
        guaco__memory_lanes_kick(self, task);
        return false;
    }
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++)
        if (rules->lanes[i] != NULL)
            (void)ask_lane(self, rules->lanes[i], rules->costs[i], true);
    rules->is_counted = true;
    return true;
}

void
guaco__memory_lanes_leave(struct memory_store *self, struct memory_task *task)
{
    struct memory_rules *rules = task->rules;

    if (!rules->is_counted)
        return;
    rules->is_counted = false;
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++)
        if (rules->lanes[i] != NULL) {
            assert(rules->lanes[i]->running > 0);
            rules->lanes[i]->running--;
        }
    guaco__memory_lanes_kick(self, task);
}

/* ---- by the clock ---- */

/* Those that may run by now, and when the next one may. */
static void
wake_lane(struct memory_store *self, struct memory_lane *lane, uint32_t limit,
          uint32_t *count)
{
    int64_t full_us = lane->full_us, at_ms = self->now_ms;
    uint32_t room = lane->running_max == 0 ? UINT32_MAX
                    : has_room(lane)       ? lane->running_max - lane->running
                                           : 0;

    set_wake(self, lane, INT64_MAX);
    if (lane->refs == 0) {
        lane->refs = 1;
        guaco__memory_lane_put(self, lane); /* gone, or waits to be full */
        return;
    }
    while (lane->aside.count > 0 && room-- > 0 && *count < limit &&
           at_ms <= self->now_ms)
        at_ms = bring_back(self, lane, &full_us, count);
    /* Without room one that ends lets the next come back. */
    if (lane->aside.count > 0 && at_ms > self->now_ms)
        set_wake(self, lane, at_ms);
    else if (lane->aside.count > 0 && *count >= limit)
        set_wake(self, lane, self->now_ms);
}

/* What was to be looked at by a clock that was set back since, is looked at
 * now. */
static void
pull_wakes(struct memory_store *self)
{
    size_t at = 0;
    void *value;

    while (guaco__map_next(&self->lanes, &at, NULL, &value)) {
        struct memory_lane *lane = value;
        lane->full_us =
            guaco__rate_clamp(&lane->rate, self->now_ms * 1000, lane->full_us);
        if (lane->wake_ms != INT64_MAX && lane->wake_ms > self->now_ms)
            set_wake(self, lane, self->now_ms);
    }
}

void
guaco__memory_lanes_promote(struct memory_store *self,
                            struct guaco__op_promote *promote)
{
    struct guaco__heap_node *node;

    if (self->now_ms < self->latest_ms)
        pull_wakes(self);
    self->latest_ms = self->now_ms;

    while ((node = guaco__heap_min(&self->wakes)) != NULL) {
        struct memory_lane *lane = GUACO__OF(node, struct memory_lane, node);
        if (lane->wake_ms > self->now_ms || promote->count >= promote->limit) {
            promote->next_due_ms = lane->wake_ms;
            return;
        }
        wake_lane(self, lane, promote->limit, &promote->count);
    }
}
