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

static bool
is_before(const struct guaco__heap_node *a, const struct guaco__heap_node *b)
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
    guaco__heap_init(&queue->ready, is_before);
    guaco__heap_init(&queue->suspects, is_before);
    guaco__list_init(&queue->waiting);
    guaco__list_init(&queue->delayed);
    guaco__list_init(&queue->dead);
    guaco__list_init(&queue->recur);
    self->queues[self->queue_count++] = queue;
    *rc = GUACO_OK;
    return queue;
}

/* ---- places ---- */

void
guaco__memory_task_free(struct memory_task *task)
{
    free(task->reason);
    free(task);
}

void
guaco__memory_ready(struct memory_store *self, struct memory_task *task)
{
    struct memory_queue *queue = task->queue;
    struct guaco_slice name = {queue->name, strlen(queue->name)};

    guaco__heap_insert(task->is_suspect ? &queue->suspects : &queue->ready,
                       &task->node);
    guaco__list_push(&queue->waiting, &task->link);
    guaco__touched_ready(&self->base.touched, name, 1);
}

static void
make_delayed(struct memory_store *self, struct memory_task *task,
             int64_t due_ms)
{
    task->since_ms = due_ms;
    guaco__heap_insert(&self->delayed, &task->node);
    guaco__list_push(&task->queue->delayed, &task->link);
    guaco__touched_due(&self->base.touched, due_ms);
}

/* ---- put ---- */

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
    return task;
}

/* All or none: made first, put in place when nothing can fail any more. */
int
guaco__memory_put(struct memory_store *self, struct guaco__put *puts, size_t n)
{
    struct guaco__list made;
    struct guaco__list *link;
    int rc = GUACO_OK;

    guaco__list_init(&made);
    for (size_t i = 0; i < n && rc == GUACO_OK; i++) {
        struct memory_task *task = make_task(self, &puts[i], &rc);
        if (task != NULL)
            guaco__list_push(&made, &task->link);
    }
    for (size_t i = 0; (link = guaco__list_shift(&made)) != NULL; i++) {
        struct memory_task *task = GUACO__OF(link, struct memory_task, link);
        if (rc != GUACO_OK) {
            guaco__memory_task_free(task);
            continue;
        }
        task->id = puts[i].id = ++self->last_id;
        if (puts[i].due_ms > self->now_ms)
            make_delayed(self, task, puts[i].due_ms);
        else
            guaco__memory_ready(self, task);
    }
    return rc;
}

/* ---- claim ---- */

static int
give_row(struct memory_store *self, struct guaco__op_claim *claim,
         struct memory_owner *owner, struct guaco__heap *heap)
{
    struct memory_task *task =
        GUACO__OF(guaco__heap_min(heap), struct memory_task, node);
    char *copy = malloc(task->len + 1);

    if (copy == NULL || guaco__map_put(&self->running, memory_key(&task->id),
                                       task) != GUACO_OK) {
        free(copy);
        return GUACO_E_NOMEM;
    }
    memcpy(copy, task->envelope, task->len);
    guaco__heap_remove(heap, &task->node);
    guaco__list_remove(&task->link);
    guaco__list_push(&owner->running, &task->link);
    task->owner = owner;
    task->attempt++;
    task->since_ms = self->now_ms;
    task->is_alone = claim->alone && (task->is_suspect || claim->max == 1);
    task->queue->running++;
    claim->rows[claim->count++] = (struct guaco__row){
        .id = task->id,
        .attempt = task->attempt,
        .failures = task->failures,
        .deaths = task->deaths,
        .is_suspect = task->is_suspect,
        .since_ms = task->since_ms,
        .priority = task->priority,
        .envelope = {copy, task->len},
    };
    return GUACO_OK;
}

int
guaco__memory_claim(struct memory_store *self, struct guaco__op_claim *claim)
{
    struct memory_owner *owner = guaco__memory_owner(self, claim->owner);
    struct memory_queue *queue = guaco__memory_find(self, claim->queue);
    int rc = GUACO_OK;

    if (owner == NULL)
        return GUACO_E_LOST;
    if (queue == NULL)
        return GUACO_OK;
    if (claim->alone && queue->suspects.count > 0)
        rc = give_row(self, claim, owner, &queue->suspects);
    else
        while (rc == GUACO_OK && claim->count < claim->max &&
               queue->ready.count > 0)
            rc = give_row(self, claim, owner, &queue->ready);
    claim->more = queue->ready.count > 0;
    claim->suspects = queue->suspects.count > 0;
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
guaco__memory_held(struct memory_store *self, uint64_t id, uint64_t owner,
                   uint32_t attempt)
{
    struct memory_task *task = guaco__map_get(&self->running, memory_key(&id));

    if (task == NULL || task->owner->who.id != owner ||
        task->attempt != attempt)
        return NULL;
    return task;
}

static void
take_from_owner(struct memory_store *self, struct memory_task *task)
{
    (void)guaco__map_take(&self->running, memory_key(&task->id));
    guaco__list_remove(&task->link);
    task->owner = NULL;
    task->queue->running--;
}

int
guaco__memory_finish(struct memory_store *self,
                     const struct guaco__op_finish *finish)
{
    struct memory_task *task =
        guaco__memory_held(self, finish->id, finish->owner, finish->attempt);
    struct guaco_result result = {
        .id = finish->id,
        .state = finish->state,
        .attempt = finish->attempt,
        .finished_ms = self->now_ms,
        .body = finish->body,
        .reason = finish->reason,
    };

    if (task == NULL)
        return GUACO_E_LOST;
    int rc = GUACO_OK;
    if (finish->keep)
        rc = guaco__memory_result(self, task->queue, &result, finish->ttl_s);
    if (rc == GUACO_OK && finish->follow_count > 0) {
        rc = guaco__memory_put(self, finish->follow, finish->follow_count);
        if (rc != GUACO_OK)
            guaco__memory_forget(self, finish->id);
    }
    if (rc != GUACO_OK)
        return rc;
    if (!finish->keep)
        guaco__memory_forget(self, finish->id);
    take_from_owner(self, task);
    guaco__memory_task_free(task);
    return GUACO_OK;
}

int
guaco__memory_release(struct memory_store *self,
                      const struct guaco__op_release *release)
{
    struct memory_task *task =
        guaco__memory_held(self, release->id, release->owner, release->attempt);

    if (task == NULL)
        return GUACO_E_LOST;
    take_from_owner(self, task);
    if (release->failed) {
        task->failures++;
        /* It came to an end of its own: it is not what kills processes. */
        task->is_suspect = false;
    }
    if (release->delay_ms > 0)
        make_delayed(self, task, self->now_ms + (int64_t)release->delay_ms);
    else
        guaco__memory_ready(self, task);
    return GUACO_OK;
}

/* ---- due ---- */

int
guaco__memory_promote(struct memory_store *self,
                      struct guaco__op_promote *promote)
{
    struct guaco__heap_node *node;

    promote->next_due_ms = INT64_MAX;
    while ((node = guaco__heap_min(&self->delayed)) != NULL) {
        struct memory_task *task = GUACO__OF(node, struct memory_task, node);

        if (task->since_ms > self->now_ms || promote->count == promote->limit) {
            promote->next_due_ms = task->since_ms;
            break;
        }
        guaco__heap_remove(&self->delayed, node);
        guaco__list_remove(&task->link);
        guaco__memory_ready(self, task);
        promote->count++;
    }
    return GUACO_OK;
}
