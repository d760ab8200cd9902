/* Looking after the memory store: counts, listings, purge, replay. */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

static uint64_t
count_of(const struct guaco__list *head)
{
    uint64_t n = 0;

    for (const struct guaco__list *l = head->next; l != head; l = l->next)
        n++;
    return n;
}

int
guaco__memory_stats(struct memory_store *self, const struct guaco__op_stats *op)
{
    struct memory_queue *queue = guaco__memory_find(self, op->queue);
    struct guaco_queue_stats *stats = op->stats;

    if (queue == NULL)
        return GUACO_OK;
    stats->waiting = queue->waiting_count;
    stats->delayed = count_of(&queue->delayed);
    stats->running = queue->running;
    stats->dead = count_of(&queue->dead);
    stats->results = queue->results;
    stats->recurring = count_of(&queue->recur);
    stats->held = count_of(&queue->held);
    stats->is_paused = queue->is_paused;
    return GUACO_OK;
}

/* ---- listing ---- */

struct rows {
    const struct memory_task **all;
    size_t n;
    size_t room;
    bool failed;
};

static void
add_row(struct rows *rows, const struct memory_task *task)
{
    if (rows->n == rows->room) {
        size_t room = rows->room == 0 ? 64 : rows->room * 2;
        const struct memory_task **all = realloc(
            (void *)rows->all, room * sizeof(const struct memory_task *));
        if (all == NULL) {
            rows->failed = true;
            return;
        }
        rows->all = all;
        rows->room = room;
    }
    rows->all[rows->n++] = task;
}

static void
add_list(struct rows *rows, const struct guaco__list *head,
         const struct memory_queue *queue)
{
    for (const struct guaco__list *l = head->next; l != head; l = l->next) {
        const struct memory_task *task = GUACO__OF(l, struct memory_task, link);
        if (task->queue == queue)
            add_row(rows, task);
    }
}

static int
compare_ready(const void *a, const void *b)
{
    const struct memory_task *x = *(const struct memory_task *const *)a;
    const struct memory_task *y = *(const struct memory_task *const *)b;

    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int
compare_since(const void *a, const void *b)
{
    const struct memory_task *x = *(const struct memory_task *const *)a;
    const struct memory_task *y = *(const struct memory_task *const *)b;

    if (x->since_ms != y->since_ms)
        return x->since_ms < y->since_ms ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void
collect(struct memory_store *self, const struct memory_queue *queue,
        enum guaco_task_state state, struct rows *rows)
{
    struct guaco__list *head = &self->owners;

    if (state == GUACO_TASK_WAITING) {
        add_list(rows, &queue->waiting, queue);
    } else if (state == GUACO_TASK_DELAYED) {
        add_list(rows, &queue->delayed, queue);
    } else if (state == GUACO_TASK_DEAD) {
        add_list(rows, &queue->dead, queue);
    } else if (state == GUACO_TASK_HELD) {
        add_list(rows, &queue->held, queue);
    } else {
        for (struct guaco__list *l = head->next; l != head; l = l->next)
            add_list(rows, &GUACO__OF(l, struct memory_owner, link)->running,
                     queue);
    }
}

static void
call_row(const struct guaco__op_list *op, const struct memory_task *task)
{
    struct guaco__row row = {
        .id = task->id,
        .attempt = task->attempt,
        .failures = task->failures,
        .deaths = task->deaths,
        .since_ms = task->since_ms,
        .priority = task->priority,
        .envelope = {task->envelope, task->len},
        .reason = {task->reason, task->reason_len},
    };

    op->fn(op->ctx, &row);
}

int
guaco__memory_list(struct memory_store *self, const struct guaco__op_list *op)
{
    struct memory_queue *queue = guaco__memory_find(self, op->queue);
    struct rows rows = {0};

    if (queue == NULL)
        return GUACO_OK;
    collect(self, queue, op->state, &rows);
    if (rows.n > 0)
        qsort((void *)rows.all, rows.n, sizeof(const struct memory_task *),
              op->state == GUACO_TASK_WAITING ? compare_ready : compare_since);
    for (size_t i = op->offset; i < rows.n && i - op->offset < op->limit; i++)
        call_row(op, rows.all[i]);
    free((void *)rows.all);
    return rows.failed ? GUACO_E_NOMEM : GUACO_OK;
}

/* ---- purge ---- */

/* End the tasks of a list: these, and not those that are made ready by it. So
 * all are taken out before the first one ends. */
static uint64_t
purge_tasks(struct memory_store *self, struct guaco__list *list, bool dead)
{
    struct guaco__list doomed;
    struct guaco__list *link;
    uint64_t count = 0;

    guaco__list_init(&doomed);
    while ((link = guaco__list_first(list)) != NULL) {
        guaco__memory_take(self, GUACO__OF(link, struct memory_task, link));
        guaco__list_push(&doomed, link);
    }
    while ((link = guaco__list_shift(&doomed)) != NULL) {
        struct memory_task *task = GUACO__OF(link, struct memory_task, link);
        if (!dead)
            guaco__memory_rules_end(self, task, GUACO_TASK_CANCELED, NULL, 0);
        guaco__memory_drop(self, task);
        count++;
    }
    return count;
}

static int
purge_results(struct memory_store *self, const struct memory_queue *queue,
              uint64_t *count)
{
    uint64_t *ids = malloc((queue->results + 1) * sizeof *ids);
    size_t at = 0, n = 0;
    void *value;

    if (ids == NULL)
        return GUACO_E_NOMEM;
    while (guaco__map_next(&self->records, &at, NULL, &value)) {
        const struct memory_record *record = value;
        if (record->queue == queue && record->has_result)
            ids[n++] = record->id;
    }
    assert(n == queue->results);
    for (size_t i = 0; i < n; i++)
        guaco__memory_forget(self, ids[i]);
    *count = n;
    free(ids);
    return GUACO_OK;
}

int
guaco__memory_purge(struct memory_store *self, struct guaco__op_purge *op)
{
    struct memory_queue *queue = guaco__memory_find(self, op->queue);

    if (queue == NULL)
        return GUACO_OK;
    if (op->state == GUACO_TASK_DONE)
        return purge_results(self, queue, &op->count);
    struct guaco__list *list = op->state == GUACO_TASK_WAITING ? &queue->waiting
                               : op->state == GUACO_TASK_DELAYED
                                   ? &queue->delayed
                               : op->state == GUACO_TASK_HELD ? &queue->held
                                                              : &queue->dead;
    op->count = purge_tasks(self, list, op->state == GUACO_TASK_DEAD);
    return GUACO_OK;
}

/* ---- replay ---- */

static void
revive(struct memory_store *self, struct memory_task *task)
{
    guaco__memory_take(self, task);
    guaco__memory_forget(self, task->id);
    free(task->reason);
    task->reason = NULL;
    task->reason_len = 0;
    task->failures = 0;
    task->deaths = 0;
    guaco__memory_ready(self, task); /* still a suspect: it runs alone */
}

int
guaco__memory_replay(struct memory_store *self, struct guaco__op_replay *op)
{
    struct memory_queue *queue = guaco__memory_find(self, op->queue);
    struct guaco__list *head = queue == NULL ? NULL : &queue->dead;

    for (struct guaco__list *l = head == NULL ? NULL : head->next, *next;
         l != head; l = next) {
        struct memory_task *task = GUACO__OF(l, struct memory_task, link);
        next = l->next;
        if (op->id != 0 && task->id != op->id)
            continue;
        revive(self, task);
        op->count++;
    }
    return op->id != 0 && op->count == 0 ? GUACO_E_MISSING : GUACO_OK;
}

/* ---- pause ---- */

int
guaco__memory_pause(struct memory_store *self, const struct guaco__op_pause *op)
{
    int rc;
    struct memory_queue *queue = guaco__memory_queue(self, op->queue, &rc);

    if (queue == NULL)
        return rc;
    queue->is_paused = op->pause;
    if (!op->pause && queue->waiting_count > 0)
        guaco__touched_ready(&self->base.touched, op->queue,
                             queue->waiting_count > UINT32_MAX
                                 ? UINT32_MAX
                                 : (uint32_t)queue->waiting_count);
    return GUACO_OK;
}
