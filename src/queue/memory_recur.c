/* Recurring tasks of the memory store. */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

static struct memory_recur *
find_recur(struct memory_queue *queue, struct guaco_slice name)
{
    struct guaco__list *head = &queue->recur;

    for (struct guaco__list *l = head->next; l != head; l = l->next) {
        struct memory_recur *recur = GUACO__OF(l, struct memory_recur, link);
        if (guaco_slice_equals(recur->def.name, name))
            return recur;
    }
    return NULL;
}

/* Copy `from` behind *at. */
static struct guaco_slice
copy_to(char **at, struct guaco_slice from)
{
    struct guaco_slice copy = {*at, from.len};

    if (from.len > 0)
        memcpy(*at, from.at, from.len);
    *at += from.len;
    return copy;
}

static size_t
bytes_of(const struct guaco__recur *def)
{
    return def->name.len + def->spec.len + def->zone.len + def->envelope.len;
}

/* `def` with its slices (but queue) copied to *at. */
static struct guaco__recur
copy_def(char **at, const struct guaco__recur *def)
{
    struct guaco__recur copy = *def;

    copy.name = copy_to(at, def->name);
    copy.spec = copy_to(at, def->spec);
    copy.zone = copy_to(at, def->zone);
    copy.envelope = copy_to(at, def->envelope);
    return copy;
}

static struct memory_recur *
make_recur(struct memory_store *self, struct memory_queue *queue,
           const struct guaco__recur *def)
{
    struct memory_recur *recur = malloc(sizeof *recur + bytes_of(def));
    if (recur == NULL)
        return NULL;

    char *at = recur->bytes;
    const struct memory_recur *old = find_recur(queue, def->name);
    guaco__list_init(&recur->link);
    recur->def = copy_def(&at, def);
    recur->def.queue = (struct guaco_slice){queue->name, strlen(queue->name)};
    recur->def.last_ms = self->now_ms;
    if (old != NULL && guaco_slice_equals(old->def.spec, def->spec) &&
        guaco_slice_equals(old->def.zone, def->zone))
        recur->def.last_ms = old->def.last_ms;
    return recur;
}

static void
free_all(struct guaco__list *list)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(list)) != NULL)
        free(GUACO__OF(link, struct memory_recur, link));
}

int
guaco__memory_recur_set(struct memory_store *self,
                        struct guaco__op_recur_set *set)
{
    struct guaco__list made;
    int rc;
    struct memory_queue *queue = guaco__memory_queue(self, set->queue, &rc);

    if (queue == NULL)
        return rc;
    set->stale = set->generation < queue->generation;
    if (set->stale)
        return GUACO_OK;
    guaco__list_init(&made);
    for (size_t i = 0; i < set->n; i++) {
        struct memory_recur *recur = make_recur(self, queue, &set->all[i]);
        if (recur == NULL) {
            free_all(&made);
            return GUACO_E_NOMEM;
        }
        guaco__list_push(&made, &recur->link);
    }
    free_all(&queue->recur);
    guaco__list_splice(&queue->recur, &made);
    queue->generation = set->generation;
    guaco__touched_due(&self->base.touched, 0);
    return GUACO_OK;
}

static size_t
recur_count(const struct memory_queue *queue, size_t *bytes)
{
    const struct guaco__list *head = &queue->recur;
    size_t n = 0;

    for (const struct guaco__list *l = head->next; l != head; l = l->next) {
        *bytes += bytes_of(&GUACO__OF(l, struct memory_recur, link)->def);
        n++;
    }
    return n;
}

int
guaco__memory_recur_list(struct memory_store *self,
                         struct guaco__op_recur_list *list)
{
    size_t bytes = 0, n = 0;

    for (size_t i = 0; i < self->queue_count; i++)
        n += recur_count(self->queues[i], &bytes);
    list->all = malloc(n * sizeof *list->all + bytes + 1);
    if (list->all == NULL)
        return GUACO_E_NOMEM;

    char *at = (char *)(list->all + n);
    list->n = 0;
    for (size_t i = 0; i < self->queue_count; i++) {
        struct guaco__list *head = &self->queues[i]->recur;
        for (struct guaco__list *l = head->next; l != head; l = l->next)
            list->all[list->n++] =
                copy_def(&at, &GUACO__OF(l, struct memory_recur, link)->def);
    }
    assert(list->n == n);
    return GUACO_OK;
}

int
guaco__memory_tick(struct memory_store *self, struct guaco__op_tick *tick)
{
    struct memory_queue *queue = guaco__memory_find(self, tick->queue);
    struct memory_recur *recur =
        queue == NULL ? NULL : find_recur(queue, tick->name);

    if (recur == NULL)
        return GUACO_E_MISSING;
    if (recur->def.generation != tick->generation ||
        recur->def.last_ms != tick->expect_ms)
        return GUACO_E_STATE;
    int rc = GUACO_OK;
    if (tick->n > 0)
        rc = guaco__memory_put(self, tick->tasks, tick->n);
    if (rc == GUACO_OK)
        recur->def.last_ms = tick->last_ms;
    return rc;
}
