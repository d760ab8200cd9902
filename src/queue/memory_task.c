/* Tasks of the memory store: put, claim, finish, release, promote. */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

/* ---- order ---- */

static const struct memory_task *
task_of(const struct guaco__heap_node *node)
{
    return GUACO__OF(node, struct memory_task, node);
}

bool
guaco__memory_is_before(const struct guaco__heap_node *a,
                        const struct guaco__heap_node *b)
{
    const struct memory_task *x = task_of(a), *y = task_of(b);

    if (x->priority != y->priority)
        return x->priority > y->priority;
    return x->id < y->id;
}

/* ---- queues ---- */

struct memory_queue *
guaco__memory_find(struct memory_store *self, struct guaco_slice name)
{
    for (size_t i = 0; i < self->queue_count; i++) {
        struct memory_queue *queue = self->queues[i];
        if (strlen(queue->name) == name.len &&
            memcmp(queue->name, name.at, name.len) == 0)
            return queue;
    }
    return NULL;
}

struct memory_queue *
guaco__memory_queue(struct memory_store *self, struct guaco_slice name, int *rc)
{
    struct memory_queue *queue = guaco__memory_find(self, name);

    *rc = GUACO_OK;
    if (queue != NULL)
        return queue;
    *rc = GUACO_E_LIMIT;
    if (self->queue_count == GUACO__QUEUES_MAX)
        return NULL;
    *rc = GUACO_E_NOMEM;
    queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return NULL;
    assert(name.len <= GUACO_QUEUE_NAME_MAX);
    memcpy(queue->name, name.at, name.len);
    guaco__heap_init(&queue->ready, guaco__memory_is_before);
    guaco__heap_init(&queue->suspects, guaco__memory_is_before);
    guaco__list_init(&queue->waiting);
    guaco__list_init(&queue->delayed);
    guaco__list_init(&queue->held);
    guaco__list_init(&queue->revokes);
    guaco__list_init(&queue->dead);
    guaco__list_init(&queue->recur);
    self->queues[self->queue_count++] = queue;
    *rc = GUACO_OK;
    return queue;
}

/* ---- places ---- */

void
guaco__memory_rules_free(struct memory_task *task)
{
    struct memory_rules *rules = task->rules;

    task->rules = NULL;
    if (rules == NULL)
        return;
    for (uint32_t i = 0; i < rules->member_count; i++)
        free(rules->members[i].body);
    free(rules->unique_key);
    free(rules);
}

void
guaco__memory_task_free(struct memory_task *task)
{
    guaco__memory_rules_free(task);
    free(task->reason);
    free(task);
}

void
guaco__memory_ready(struct memory_store *self, struct memory_task *task)
{
    struct memory_queue *queue = task->queue;
    struct guaco_slice name = {queue->name, strlen(queue->name)};

    task->place = task->is_suspect ? PLACE_SUSPECTS : PLACE_READY;
    guaco__heap_insert(task->is_suspect ? &queue->suspects : &queue->ready,
                       &task->node);
    guaco__list_push(&queue->waiting, &task->link);
    queue->waiting_count++;
    if (!queue->is_paused)
        guaco__touched_ready(&self->base.touched, name, 1);
}

void
guaco__memory_delay(struct memory_store *self, struct memory_task *task,
                    int64_t due_ms)
{
    task->place = PLACE_DELAYED;
    task->since_ms = due_ms;
    guaco__heap_insert(&self->delayed, &task->node);
    guaco__list_push(&task->queue->delayed, &task->link);
    guaco__touched_due(&self->base.touched, due_ms);
}

static void
take_waiting(struct memory_task *task, struct guaco__heap *heap)
{
    guaco__heap_remove(heap, &task->node);
    task->queue->waiting_count--;
}

void
guaco__memory_take(struct memory_store *self, struct memory_task *task)
{
    switch (task->place) {
    case PLACE_READY: take_waiting(task, &task->queue->ready); break;
    case PLACE_SUSPECTS: take_waiting(task, &task->queue->suspects); break;
    case PLACE_ASIDE: take_waiting(task, &task->rules->aside->aside); break;
    case PLACE_DELAYED: guaco__heap_remove(&self->delayed, &task->node); break;
    case PLACE_RUNNING:
        task->owner = NULL;
        task->queue->running--;
        break;
    case PLACE_NONE:
    case PLACE_HELD:
    case PLACE_DEAD: break;
    }
    guaco__list_remove(&task->link);
    task->place = PLACE_NONE;
}

void
guaco__memory_drop(struct memory_store *self, struct memory_task *task)
{
    assert(task->place == PLACE_NONE);
    guaco__memory_remove(self, task->id);
    guaco__memory_task_free(task);
}

/* ---- put ---- */

static int
number_task(struct memory_store *self, struct memory_task *task, uint64_t id)
{
    if (id != 0 && (id >> 32 != self->number || id > self->last_id))
        return GUACO_E_INVALID; /* never set aside */
    task->id = id != 0 ? id : ++self->last_id;
    return guaco__memory_add(self, task);
}

static struct memory_task *
make_task(struct memory_store *self, const struct guaco__put *put, int *rc)
{
    struct memory_queue *queue = guaco__memory_queue(self, put->queue, rc);
    if (queue == NULL)
        return NULL;

    struct memory_task *task = calloc(1, sizeof *task + put->envelope.len);
    if (task == NULL) {
        *rc = GUACO_E_NOMEM;
        return NULL;
    }
    task->queue = queue;
    task->priority = put->priority;
    task->since_ms = put->due_ms;
    task->len = put->envelope.len;
    guaco__list_init(&task->link);
    memcpy(task->envelope, put->envelope.at, put->envelope.len);
    *rc = number_task(self, task, put->id);
    if (*rc == GUACO_OK)
        return task;
    free(task);
    return NULL;
}

static void
unmake(struct memory_store *self, struct memory_task *task)
{
    if (guaco__memory_get(self, task->id) == task)
        guaco__memory_remove(self, task->id);
    guaco__memory_rules_unmake(self, task);
    guaco__memory_task_free(task);
}

/* A task for puts[at], or for the place of the one that holds its key. */
static int
make_one(struct memory_store *self, struct guaco__put *puts, size_t at,
         struct guaco__list *made)
{
    struct guaco__put *put = &puts[at];
    uint64_t holder = 0;
    int rc;
    struct memory_task *task = make_task(self, put, &rc);

    put->existed = false;
    if (task == NULL)
        return rc;
    guaco__list_push(made, &task->link);
    if (put->rules != NULL || put->hold > 0)
        rc = guaco__memory_rules_make(self, task, puts, at, &holder);
    if (rc == GUACO_E_EXISTS) {
        guaco__memory_remove(self, task->id);
        task->id = holder;
        put->existed = true;
        rc = GUACO_OK;
    }
    put->id = task->id;
    return rc;
}

/* Nothing can fail any more. */
static void
place(struct memory_store *self, struct memory_task *task,
      const struct guaco__put *puts, size_t at)
{
    const struct guaco__put *put = &puts[at];
    const struct memory_member gone = {.id = task->id,
                                       .state = GUACO_TASK_CANCELED};

    if (put->existed) {
        guaco__memory_replace(self, put, task);
        if (put->rules->joins != 0)
            guaco__memory_joined(self, puts[put->rules->joins - 1].id,
                                 put->member, &gone);
    } else if (put->hold > 0) {
        task->place = PLACE_HELD;
        guaco__list_push(&task->queue->held, &task->link);
    } else if (put->due_ms > self->now_ms) {
        guaco__memory_delay(self, task, put->due_ms);
    } else {
        guaco__memory_ready(self, task);
    }
}

/* All or none: made first, put in place when nothing can fail any more. */
int
guaco__memory_put(struct memory_store *self, struct guaco__put *puts, size_t n)
{
    struct guaco__list made;
    struct guaco__list *link;
    int rc = GUACO_OK;

    guaco__list_init(&made);
    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = make_one(self, puts, i, &made);
    for (size_t i = 0; (link = guaco__list_shift(&made)) != NULL; i++) {
        struct memory_task *task = GUACO__OF(link, struct memory_task, link);
        if (rc != GUACO_OK)
            unmake(self, task);
        else
            place(self, task, puts, i);
    }
    return rc;
}

/* ---- claim ---- */

static int
give_row(struct memory_store *self, struct guaco__op_claim *claim,
         struct memory_owner *owner, struct memory_task *task)
{
    char *copy = malloc(task->len + 1);

    if (copy == NULL)
        return GUACO_E_NOMEM;
    memcpy(copy, task->envelope, task->len);
    guaco__memory_take(self, task);
    guaco__list_push(&owner->running, &task->link);
    task->place = PLACE_RUNNING;
    task->owner = owner;
    task->attempt++;
    task->since_ms = self->now_ms;
    task->is_alone = claim->alone && (task->is_suspect || claim->max == 1);
    task->queue->running++;
    if (task->rules != NULL)
        guaco__memory_rules_begin(self, task);
    claim->rows[claim->count++] = (struct guaco__row){
        .id = task->id,
        .attempt = task->attempt,
        .failures = task->failures,
        .deaths = task->deaths,
        .is_suspect = task->is_suspect,
        .has_rules = task->rules != NULL,
        .members = task->rules == NULL ? 0 : task->rules->member_count,
        .since_ms = task->since_ms,
        .priority = task->priority,
        .envelope = {copy, task->len},
    };
    return GUACO_OK;
}

/* Give up to `max` of a heap; those whose limits are reached are set aside. */
static int
give_from(struct memory_store *self, struct guaco__op_claim *claim,
          struct memory_owner *owner, struct guaco__heap *heap, uint32_t max)
{
    uint32_t aside = 0;
    int rc = GUACO_OK;

    while (rc == GUACO_OK && claim->count < max && heap->count > 0 &&
           aside < GUACO__ASIDE_MAX) {
        struct memory_task *task =
            GUACO__OF(guaco__heap_min(heap), struct memory_task, node);
        if (task->rules != NULL && !guaco__memory_lanes_enter(self, task)) {
            aside++;
            continue;
        }
        rc = give_row(self, claim, owner, task);
        if (rc != GUACO_OK && task->rules != NULL)
            guaco__memory_lanes_leave(self, task);
    }
    return rc;
}

int
guaco__memory_claim(struct memory_store *self, struct guaco__op_claim *claim)
{
    struct memory_owner *owner = guaco__memory_owner(self, claim->owner);
    struct memory_queue *queue = guaco__memory_find(self, claim->queue);
    int rc = GUACO_OK;

    if (owner == NULL)
        return GUACO_E_LOST;
    if (queue == NULL || queue->is_paused)
        return GUACO_OK;
    if (claim->alone)
        rc = give_from(self, claim, owner, &queue->suspects, 1);
    if (rc == GUACO_OK && claim->count == 0)
        rc = give_from(self, claim, owner, &queue->ready, claim->max);
    claim->more = queue->ready.count > 0;
    claim->suspects = queue->suspects.count > 0;
    claim->revokes = !guaco__list_is_empty(&queue->revokes);
    if (claim->more && claim->count > 0)
        guaco__touched_ready(&self->base.touched, claim->queue, 1);
    if (claim->count > 0)
        guaco__touched_due(&self->base.touched,
                           self->now_ms + GUACO__LEASE_LOOK_MS);
    /* What was given is given; only an empty claim may fail. */
    return claim->count > 0 ? GUACO_OK : rc;
}

/* ---- the end of a run ---- */

struct memory_task *
guaco__memory_holds(struct memory_store *self, uint64_t id, uint64_t owner,
                    uint32_t attempt)
{
    struct memory_task *task = guaco__memory_get(self, id);

    if (task == NULL || task->place != PLACE_RUNNING ||
        task->owner->who.id != owner || task->attempt != attempt)
        return NULL;
    return task;
}

/* The copy of its outcome for the task that it joins. */
static int
copy_for_joined(const struct memory_task *task, struct guaco_slice body,
                char **copy)
{
    *copy = NULL;
    if (task->rules == NULL || task->rules->joins == 0 || body.len == 0)
        return GUACO_OK;
    *copy = malloc(body.len);
    if (*copy == NULL)
        return GUACO_E_NOMEM;
    memcpy(*copy, body.at, body.len);
    return GUACO_OK;
}

static int
store_finish(struct memory_store *self, struct memory_task *task,
             const struct guaco__op_finish *finish)
{
    struct guaco_result result = {
        .id = finish->id,
        .state = finish->state,
        .attempt = finish->attempt,
        .finished_ms = self->now_ms,
        .body = finish->body,
        .reason = finish->reason,
    };
    int rc = GUACO_OK;

    if (finish->state == GUACO_TASK_CANCELED && finish->reason.len == 0 &&
        task->is_canceled)
        result.reason = (struct guaco_slice){task->reason, task->reason_len};
    if (finish->keep)
        rc = guaco__memory_result(self, task->queue, &result, finish->ttl_s);
    if (rc == GUACO_OK && finish->follow_count > 0) {
        rc = guaco__memory_put(self, finish->follow, finish->follow_count);
        if (rc != GUACO_OK)
            guaco__memory_forget(self, finish->id);
    }
    return rc;
}

static bool
passes_on(const struct memory_task *task, const struct guaco__op_finish *finish)
{
    return finish->pass_on && finish->state == GUACO_TASK_DONE &&
           finish->follow_count > 0 && !finish->follow[0].existed &&
           task->rules != NULL && task->rules->joins != 0;
}

int
guaco__memory_finish(struct memory_store *self,
                     const struct guaco__op_finish *finish)
{
    struct memory_task *task =
        guaco__memory_holds(self, finish->id, finish->owner, finish->attempt);
    char *copy;

    if (task == NULL)
        return GUACO_E_LOST;
    int rc = copy_for_joined(task, finish->body, &copy);
    if (rc == GUACO_OK)
        rc = store_finish(self, task, finish);
    if (rc != GUACO_OK) {
        free(copy);
        return rc;
    }
    if (!finish->keep)
        guaco__memory_forget(self, finish->id);
    if (passes_on(task, finish))
        guaco__memory_pass_on(self, task, finish->follow[0].id);
    guaco__memory_take(self, task);
    guaco__memory_rules_end(self, task, finish->state, copy, finish->body.len);
    guaco__memory_drop(self, task);
    return GUACO_OK;
}

int
guaco__memory_end_canceled(struct memory_store *self, struct memory_task *task,
                           struct guaco_slice reason, uint32_t ttl_s)
{
    const struct guaco_result result = {
        .id = task->id,
        .state = GUACO_TASK_CANCELED,
        .attempt = task->attempt,
        .finished_ms = self->now_ms,
        .reason = reason,
    };
    int rc = guaco__memory_result(self, task->queue, &result, ttl_s);

    if (rc != GUACO_OK)
        return rc;
    guaco__memory_take(self, task);
    guaco__memory_rules_end(self, task, GUACO_TASK_CANCELED, NULL, 0);
    guaco__memory_drop(self, task);
    return GUACO_OK;
}

int
guaco__memory_release(struct memory_store *self,
                      struct guaco__op_release *release)
{
    struct memory_task *task = guaco__memory_holds(
        self, release->id, release->owner, release->attempt);

    if (task == NULL)
        return GUACO_E_LOST;
    release->ended = task->is_canceled;
    if (task->is_canceled)
        return guaco__memory_end_canceled(
            self, task, (struct guaco_slice){task->reason, task->reason_len},
            GUACO__RESULT_TTL_S);
    guaco__memory_take(self, task);
    if (task->rules != NULL)
        guaco__memory_lanes_leave(self, task);
    if (release->failed) {
        task->failures++;
        /* It came to an end of its own: it is not what kills processes. */
        task->is_suspect = false;
    }
    if (release->delay_ms > 0)
        guaco__memory_delay(self, task,
                            self->now_ms + (int64_t)release->delay_ms);
    else
        guaco__memory_ready(self, task);
    return GUACO_OK;
}

/* ---- canceling ---- */

static enum guaco_task_state
state_of(const struct memory_task *task)
{
    switch (task->place) {
    case PLACE_READY:
    case PLACE_SUSPECTS:
    case PLACE_ASIDE: return GUACO_TASK_WAITING;
    case PLACE_DELAYED: return GUACO_TASK_DELAYED;
    case PLACE_HELD: return GUACO_TASK_HELD;
    case PLACE_RUNNING: return GUACO_TASK_RUNNING;
    case PLACE_NONE:
    case PLACE_DEAD: break;
    }
    return GUACO_TASK_DEAD;
}

static int
mark_canceled(struct memory_task *task, struct guaco__op_cancel *cancel)
{
    cancel->owner = task->owner->who.id;
    if (task->is_canceled)
        return GUACO_OK;
    task->reason = malloc(cancel->reason.len + 1);
    if (task->reason == NULL)
        return GUACO_E_NOMEM;
    if (cancel->reason.len > 0)
        memcpy(task->reason, cancel->reason.at, cancel->reason.len);
    task->reason_len = cancel->reason.len;
    task->is_canceled = true;
    return GUACO_OK;
}

int
guaco__memory_cancel(struct memory_store *self, struct guaco__op_cancel *cancel)
{
    struct memory_task *task = guaco__memory_get(self, cancel->id);

    if (task == NULL || task->place == PLACE_DEAD)
        return GUACO_E_MISSING;
    cancel->was = state_of(task);
    if (task->place == PLACE_RUNNING)
        return mark_canceled(task, cancel);
    int rc =
        guaco__memory_end_canceled(self, task, cancel->reason, cancel->ttl_s);
    if (rc == GUACO_OK)
        guaco__touched_topic(&self->base.touched, cancel->id);
    return rc;
}

/* ---- due ---- */

int
guaco__memory_promote(struct memory_store *self,
                      struct guaco__op_promote *promote)
{
    struct guaco__heap_node *node;

    promote->next_due_ms = INT64_MAX;
    guaco__memory_lanes_promote(self, promote);
    while ((node = guaco__heap_min(&self->delayed)) != NULL) {
        struct memory_task *task = GUACO__OF(node, struct memory_task, node);

        if (task->since_ms > self->now_ms || promote->count >= promote->limit) {
            if (task->since_ms < promote->next_due_ms)
                promote->next_due_ms = task->since_ms;
            break;
        }
        guaco__memory_take(self, task);
        guaco__memory_ready(self, task);
        promote->count++;
    }
    return GUACO_OK;
}
