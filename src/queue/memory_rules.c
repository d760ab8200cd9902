/* Rules of the memory store's tasks: unique keys, and tasks that wait for
 * others. */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

/* ---- unique keys ---- */

bool
guaco__memory_unique_is_before(const struct guaco__heap_node *a,
                               const struct guaco__heap_node *b)
{
    return GUACO__OF(a, struct memory_unique, node)->end_ms <
           GUACO__OF(b, struct memory_unique, node)->end_ms;
}

static void
set_end(struct memory_store *self, struct memory_unique *unique, int64_t end_ms)
{
    if (unique->end_ms != INT64_MAX)
        guaco__heap_remove(&self->unique_ends, &unique->node);
    unique->end_ms = end_ms;
    if (end_ms == INT64_MAX)
        return;
    guaco__heap_insert(&self->unique_ends, &unique->node);
    guaco__touched_due(&self->base.touched, end_ms);
}

static void
drop_unique(struct memory_store *self, struct memory_unique *unique)
{
    (void)guaco__map_take(&self->uniques,
                          (struct guaco_slice){unique->key, unique->key_len});
    set_end(self, unique, INT64_MAX);
    free(unique);
}

static struct memory_unique *
make_unique(struct memory_store *self, struct memory_queue *queue,
            struct guaco_slice name)
{
    struct memory_unique *unique = calloc(1, sizeof *unique + name.len);

    if (unique == NULL)
        return NULL;
    unique->queue = queue;
    unique->end_ms = INT64_MAX;
    unique->key_len = name.len;
    memcpy(unique->key, name.at, name.len);
    if (guaco__map_put(&self->uniques,
                       (struct guaco_slice){unique->key, name.len},
                       unique) == GUACO_OK)
        return unique;
    free(unique);
    return NULL;
}

static int64_t
end_of(const struct memory_store *self, const struct guaco_rules *rules)
{
    return rules->unique_ms == 0 ? INT64_MAX
                                 : self->now_ms + (int64_t)rules->unique_ms;
}

/* Take the key for `task`, or GUACO_E_EXISTS. */
static int
hold_key(struct memory_store *self, struct memory_task *task,
         const struct guaco_rules *wanted, uint64_t *holder)
{
    char bytes[MEMORY_NAME_MAX];
    struct guaco_slice name = memory_name(bytes, task->queue, wanted->unique);
    struct memory_unique *unique = guaco__map_get(&self->uniques, name);

    if (unique != NULL && unique->end_ms > self->now_ms) {
        *holder = unique->id;
        return GUACO_E_EXISTS;
    }
    char *key = malloc(name.len);
    if (key != NULL && unique == NULL)
        unique = make_unique(self, task->queue, name);
    if (key == NULL || unique == NULL) {
        free(key);
        return GUACO_E_NOMEM;
    }
    memcpy(key, bytes, name.len);
    task->rules->unique_key = key;
    task->rules->unique_len = name.len;
    unique->id = task->id;
    set_end(self, unique, end_of(self, wanted));
    return GUACO_OK;
}

/* The key that `task` still holds, or NULL. */
static struct memory_unique *
key_of(struct memory_store *self, const struct memory_task *task)
{
    struct memory_rules *rules = task->rules;

    if (rules->unique_key == NULL)
        return NULL;
    struct memory_unique *unique =
        guaco__map_get(&self->uniques, (struct guaco_slice){rules->unique_key,
                                                            rules->unique_len});
    return unique != NULL && unique->id == task->id ? unique : NULL;
}

static void
free_key(struct memory_store *self, struct memory_task *task)
{
    struct memory_unique *unique = key_of(self, task);

    if (unique != NULL)
        drop_unique(self, unique);
    free(task->rules->unique_key);
    task->rules->unique_key = NULL;
}

void
guaco__memory_rules_begin(struct memory_store *self, struct memory_task *task)
{
    if (task->rules->until == GUACO_UNIQUE_STARTED)
        free_key(self, task);
}

uint32_t
guaco__memory_unique_sweep(struct memory_store *self, uint32_t limit,
                           int64_t *next_ms)
{
    struct guaco__heap_node *node;
    uint32_t count = 0;

    while ((node = guaco__heap_min(&self->unique_ends)) != NULL) {
        struct memory_unique *unique =
            GUACO__OF(node, struct memory_unique, node);
        if (unique->end_ms > self->now_ms || count == limit) {
            if (unique->end_ms < *next_ms)
                *next_ms = unique->end_ms;
            break;
        }
        drop_unique(self, unique);
        count++;
    }
    return count;
}

/* ---- making ---- */

static int
take_lanes(struct memory_store *self, struct memory_task *task,
           const struct guaco_rules *wanted)
{
    struct memory_rules *rules = task->rules;
    int rc = GUACO_OK;

    for (unsigned i = 0; i < GUACO_LIMITS_MAX && rc == GUACO_OK; i++) {
        if (wanted->limits[i].key.len == 0)
            continue;
        rules->costs[i] =
            wanted->limits[i].cost == 0 ? 1 : wanted->limits[i].cost;
        rc = guaco__memory_lane_get(self, task->queue, &wanted->limits[i],
                                    &rules->lanes[i]);
    }
    return rc;
}

int
guaco__memory_rules_make(struct memory_store *self, struct memory_task *task,
                         const struct guaco__put *puts, size_t at,
                         uint64_t *holder)
{
    static const struct guaco_rules none;
    const struct guaco__put *put = &puts[at];
    const struct guaco_rules *wanted = put->rules == NULL ? &none : put->rules;
    struct memory_rules *rules =
        calloc(1, sizeof *rules + put->hold * sizeof(struct memory_member));

    if (rules == NULL)
        return GUACO_E_NOMEM;
    task->rules = rules;
    rules->until = wanted->unique_until;
    rules->must_succeed = wanted->joins_must_succeed;
    rules->is_held = put->hold > 0;
    rules->due_ms = put->due_ms;
    rules->left = rules->member_count = put->hold;
    rules->member = put->member;
    if (wanted->joins != 0) {
        assert(wanted->joins <= at);
        rules->joins = puts[wanted->joins - 1].id;
    }
    int rc = take_lanes(self, task, wanted);
    if (rc == GUACO_OK && wanted->unique.len > 0)
        rc = hold_key(self, task, wanted, holder);
    return rc;
}

static void
leave_lanes(struct memory_store *self, struct memory_task *task)
{
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++) {
        struct memory_lane *lane = task->rules->lanes[i];
        task->rules->lanes[i] = NULL;
        if (lane != NULL)
            guaco__memory_lane_put(self, lane);
    }
}

void
guaco__memory_rules_unmake(struct memory_store *self, struct memory_task *task)
{
    if (task->rules == NULL)
        return;
    free_key(self, task);
    leave_lanes(self, task);
}

/* ---- replacing ---- */

static bool
can_replace(const struct guaco__put *put, const struct memory_task *old)
{
    return put->rules->unique_replace && old != NULL && !old->is_suspect &&
           (old->place == PLACE_READY || old->place == PLACE_ASIDE ||
            old->place == PLACE_DELAYED);
}

void
guaco__memory_replace(struct memory_store *self, const struct guaco__put *put,
                      struct memory_task *task)
{
    struct memory_task *old = guaco__memory_get(self, task->id);

    if (!can_replace(put, old)) {
        leave_lanes(self, task);
        guaco__memory_task_free(task);
        return;
    }
    struct memory_unique *unique = key_of(self, old);
    assert(unique != NULL);
    set_end(self, unique, end_of(self, put->rules));
    task->attempt = old->attempt;
    task->failures = old->failures;
    task->deaths = old->deaths;
    task->rules->unique_key = old->rules->unique_key;
    task->rules->unique_len = old->rules->unique_len;
    old->rules->unique_key = NULL;
    task->rules->joins = old->rules->joins;
    task->rules->member = old->rules->member;
    guaco__memory_take(self, old);
    guaco__memory_lanes_kick(self, old); /* it may have had a turn */
    leave_lanes(self, old);
    guaco__memory_swap(self, task);
    guaco__memory_task_free(old);
    if (put->due_ms > self->now_ms)
        guaco__memory_delay(self, task, put->due_ms);
    else
        guaco__memory_ready(self, task);
}

/* ---- ending ---- */

/* A task that waited has failed with one that it waited for; `how` becomes what
 * its own end means to the next.  Without memory for its result it is run. */
static bool
fail_held(struct memory_store *self, struct memory_task *held,
          struct memory_member *how, uint32_t member)
{
    char text[GUACO_REASON_MAX];
    struct guaco_result result = {
        .id = held->id,
        .state = GUACO_TASK_FAILED,
        .finished_ms = self->now_ms,
        .reason = guaco__joined_reason(text, member, how->state),
    };

    if (guaco__memory_result(self, held->queue, &result, GUACO__RESULT_TTL_S) !=
        GUACO_OK)
        return false;
    guaco__touched_topic(&self->base.touched, held->id);
    *how = (struct memory_member){.id = held->id, .state = GUACO_TASK_FAILED};
    return true;
}

static void
let_go(struct memory_store *self, struct memory_task *held)
{
    guaco__memory_take(self, held);
    held->rules->is_held = false;
    if (held->rules->due_ms > self->now_ms)
        guaco__memory_delay(self, held, held->rules->due_ms);
    else
        guaco__memory_ready(self, held);
}

/* Upwards through all that end by it: one step each, no recursion. */
void
guaco__memory_joined(struct memory_store *self, uint64_t id, uint32_t member,
                     const struct memory_member *what)
{
    struct memory_member how = *what;

    for (;;) {
        struct memory_task *held = id == 0 ? NULL : guaco__memory_get(self, id);
        if (held == NULL || held->place != PLACE_HELD ||
            held->rules->members[member].state != 0) {
            free(how.body);
            return;
        }
        struct memory_rules *rules = held->rules;
        assert(member < rules->member_count);
        rules->members[member] = how;
        rules->left--;
        if (rules->must_succeed && how.state != GUACO_TASK_DONE &&
            fail_held(self, held, &how, member)) {
            id = rules->joins;
            member = rules->member;
            guaco__memory_take(self, held);
            leave_lanes(self, held);
            guaco__memory_drop(self, held);
            continue;
        }
        if (rules->left == 0)
            let_go(self, held);
        return;
    }
}

void
guaco__memory_rules_end(struct memory_store *self, struct memory_task *task,
                        enum guaco_task_state state, char *body, size_t len)
{
    struct memory_rules *rules = task->rules;
    const struct memory_member how = {task->id, state, body, len};

    if (rules == NULL) {
        assert(body == NULL);
        return;
    }
    if (rules->is_counted)
        guaco__memory_lanes_leave(self, task);
    else
        guaco__memory_lanes_kick(self, task);
    if (rules->until != GUACO_UNIQUE_TIME)
        free_key(self, task);
    leave_lanes(self, task);
    guaco__memory_joined(self, rules->joins, rules->member, &how);
    rules->joins = 0;
}

void
guaco__memory_pass_on(struct memory_store *self, struct memory_task *from,
                      uint64_t to)
{
    struct memory_task *next = guaco__memory_get(self, to);

    assert(next != NULL);
    assert(next->rules != NULL);
    next->rules->joins = from->rules->joins;
    next->rules->member = from->rules->member;
    from->rules->joins = 0;
}

int
guaco__memory_members(struct memory_store *self, uint64_t id,
                      struct guaco_news *news)
{
    const struct memory_task *task = guaco__memory_get(self, id);

    if (task == NULL || task->rules == NULL)
        return GUACO_OK;
    for (uint32_t i = 0; i < task->rules->member_count; i++) {
        const struct memory_member *from = &task->rules->members[i];
        const struct guaco_member member = {
            .number = i,
            .id = from->id,
            .state = from->state,
            .body = {from->body, from->len},
        };
        int rc =
            from->state == 0 ? GUACO_OK : guaco__news_member(news, &member);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}
