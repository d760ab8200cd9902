/* Owners of leases in the memory store. */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

struct memory_owner *
guaco__memory_owner(struct memory_store *self, uint64_t id)
{
    struct guaco__list *head = &self->owners;

    for (struct guaco__list *l = head->next; l != head; l = l->next) {
        struct memory_owner *owner = GUACO__OF(l, struct memory_owner, link);
        if (owner->who.id == id)
            return owner;
    }
    return NULL;
}

int
guaco__memory_owner_open(struct memory_store *self, struct guaco__op_owner *op)
{
    struct memory_owner *owner = calloc(1, sizeof *owner);
    if (owner == NULL)
        return GUACO_E_NOMEM;

    guaco__list_init(&owner->link);
    guaco__list_init(&owner->running);
    owner->who = op->owner;
    owner->who.id = op->owner.id = ++self->last_owner;
    owner->who.boot_is_ours = true;
    owner->lease_end_ms = guaco__clock_boot_ms() + op->lease_ms;
    guaco__list_push(&self->owners, &owner->link);
    guaco__touched_due(&self->base.touched, 0); /* keepers watch the new one */
    return GUACO_OK;
}

static int
give_canceled(const struct memory_owner *owner, struct guaco__op_owner *op)
{
    const struct guaco__list *head = &owner->running;
    size_t n = 0;

    for (const struct guaco__list *l = head->next; l != head; l = l->next)
        n += GUACO__OF(l, struct memory_task, link)->is_canceled;
    if (n == 0)
        return GUACO_OK;
    op->canceled = malloc(n * sizeof *op->canceled);
    if (op->canceled == NULL)
        return GUACO_E_NOMEM;
    for (const struct guaco__list *l = head->next; l != head; l = l->next) {
        const struct memory_task *task = GUACO__OF(l, struct memory_task, link);
        if (task->is_canceled)
            op->canceled[op->canceled_count++] = task->id;
    }
    return GUACO_OK;
}

int
guaco__memory_owner_renew(struct memory_store *self, struct guaco__op_owner *op)
{
    struct memory_owner *owner = guaco__memory_owner(self, op->owner.id);

    op->canceled = NULL;
    op->canceled_count = 0;
    if (owner == NULL)
        return GUACO_E_LOST;
    int rc = give_canceled(owner, op);
    if (rc != GUACO_OK)
        return rc;
    owner->lease_end_ms = guaco__clock_boot_ms() + op->lease_ms;
    return GUACO_OK;
}

/* ---- reaping ---- */

/* To the dead set, with a result that says so.  Returns 0 or GUACO_E_NOMEM:
 * then the task is as it was. */
static int
bury(struct memory_store *self, struct memory_task *task,
     const struct guaco__op_reap *op)
{
    struct guaco_result result = {
        .id = task->id,
        .state = GUACO_TASK_DEAD,
        .attempt = task->attempt,
        .finished_ms = self->now_ms,
        .reason = op->reason,
    };
    char *reason = malloc(op->reason.len + 1);

    if (reason == NULL || guaco__memory_result(self, task->queue, &result,
                                               GUACO__DEAD_TTL_S) != GUACO_OK) {
        free(reason);
        return GUACO_E_NOMEM;
    }
    if (op->reason.len > 0)
        memcpy(reason, op->reason.at, op->reason.len);
    task->reason = reason;
    task->reason_len = op->reason.len;
    task->since_ms = self->now_ms;
    task->place = PLACE_DEAD;
    guaco__list_push(&task->queue->dead, &task->link);
    return GUACO_OK;
}

static void
give_back(struct memory_store *self, struct memory_task *task,
          struct guaco__op_reap *op)
{
    if (task->is_canceled &&
        guaco__memory_end_canceled(
            self, task, (struct guaco_slice){task->reason, task->reason_len},
            GUACO__RESULT_TTL_S) == GUACO_OK)
        return;
    guaco__memory_take(self, task);
    if (task->rules != NULL)
        guaco__memory_lanes_leave(self, task);
    if (op->died) {
        task->is_suspect = true;
        if (task->is_alone)
            task->deaths++;
    }
    if (task->deaths >= GUACO_TASK_DEATHS_MAX && op->died &&
        bury(self, task, op) == GUACO_OK) {
        op->dead[op->dead_count++] = task->id;
        guaco__memory_rules_end(self, task, GUACO_TASK_DEAD, NULL, 0);
        guaco__memory_rules_free(task);
        return;
    }
    guaco__memory_ready(self, task);
    op->returned++;
}

int
guaco__memory_owner_reap(struct memory_store *self, struct guaco__op_reap *op)
{
    struct memory_owner *owner = guaco__memory_owner(self, op->owner);
    struct guaco__list *link;
    size_t n = 0;

    if (owner == NULL)
        return GUACO_E_MISSING;
    for (link = owner->running.next; link != &owner->running; link = link->next)
        n++;
    op->dead = malloc((n + 1) * sizeof *op->dead);
    if (op->dead == NULL)
        return GUACO_E_NOMEM;
    while ((link = guaco__list_first(&owner->running)) != NULL)
        give_back(self, GUACO__OF(link, struct memory_task, link), op);
    guaco__memory_unlock_owner(self, op->owner);
    guaco__list_remove(&owner->link);
    free(owner);
    return GUACO_OK;
}

int
guaco__memory_owner_list(struct memory_store *self, struct guaco__op_owners *op)
{
    struct guaco__list *head = &self->owners;
    uint64_t now_ms = guaco__clock_boot_ms();
    size_t n = 0;

    for (struct guaco__list *l = head->next; l != head; l = l->next)
        n++;
    op->owners = malloc((n + 1) * sizeof *op->owners);
    if (op->owners == NULL)
        return GUACO_E_NOMEM;
    op->n = 0;
    for (struct guaco__list *l = head->next; l != head; l = l->next) {
        struct memory_owner *owner = GUACO__OF(l, struct memory_owner, link);
        owner->who.is_expired = owner->lease_end_ms < now_ms;
        owner->who.holds = !guaco__list_is_empty(&owner->running);
        op->owners[op->n++] = owner->who;
    }
    return GUACO_OK;
}
