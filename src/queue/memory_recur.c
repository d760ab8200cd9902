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
    recur->def.is_paused =
        def->is_paused || (old != NULL && old->def.is_paused);
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

/* In the order of names, as other stores list them. */
static void
insert(struct memory_queue *queue, struct memory_recur *recur)
{
    struct guaco__list *l = queue->recur.next;

    while (l != &queue->recur &&
           guaco__recur_order(&GUACO__OF(l, struct memory_recur, link)->def,
                              &recur->def) < 0)
        l = l->next;
    guaco__list_insert(l, &recur->link);
}

static void
drop_deployed(struct memory_queue *queue)
{
    struct guaco__list *head = &queue->recur;

    for (struct guaco__list *l = head->next, *next; l != head; l = next) {
        struct memory_recur *recur = GUACO__OF(l, struct memory_recur, link);
        next = l->next;
        if (recur->def.is_run_time)
            continue;
        guaco__list_remove(l);
        free(recur);
    }
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
    drop_deployed(queue);
    for (struct guaco__list *link; (link = guaco__list_shift(&made)) != NULL;) {
        struct memory_recur *recur = GUACO__OF(link, struct memory_recur, link);
        if (find_recur(queue, recur->def.name) != NULL)
            free(recur); /* one of that name was defined at run time */
        else
            insert(queue, recur);
    }
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
    if (recur->def.generation != tick->generation || recur->def.is_paused ||
        recur->def.last_ms != tick->expect_ms)
        return GUACO_E_STATE;
    int rc = GUACO_OK;
    if (tick->n > 0)
        rc = guaco__memory_put(self, tick->tasks, tick->n);
    if (rc == GUACO_OK)
        recur->def.last_ms = tick->last_ms;
    return rc;
}

/* ---- at run time ---- */

int
guaco__memory_recur_put(struct memory_store *self,
                        const struct guaco__op_recur_put *put)
{
    int rc;
    struct memory_queue *queue =
        guaco__memory_queue(self, put->def->queue, &rc);

    if (queue == NULL)
        return rc;
    struct memory_recur *old = find_recur(queue, put->def->name);
    struct memory_recur *recur = make_recur(self, queue, put->def);
    if (recur == NULL)
        return GUACO_E_NOMEM;
    recur->def.is_run_time = true;
    recur->def.is_paused = put->def->is_paused;
    recur->def.generation =
        guaco__recur_generation(self->now_ms, old == NULL ? NULL : &old->def);
    if (old != NULL) {
        guaco__list_remove(&old->link);
        free(old);
    }
    insert(queue, recur);
    guaco__touched_due(&self->base.touched, 0);
    return GUACO_OK;
}

static struct memory_recur *
named(struct memory_store *self, const struct guaco__op_recur_name *op)
{
    struct memory_queue *queue = guaco__memory_find(self, op->queue);

    return queue == NULL ? NULL : find_recur(queue, op->name);
}

int
guaco__memory_recur_drop(struct memory_store *self,
                         const struct guaco__op_recur_name *op)
{
    struct memory_recur *recur = named(self, op);

    if (recur == NULL)
        return GUACO_E_MISSING;
    guaco__list_remove(&recur->link);
    free(recur);
    guaco__touched_due(&self->base.touched, 0);
    return GUACO_OK;
}

int
guaco__memory_recur_pause(struct memory_store *self,
                          const struct guaco__op_recur_name *op)
{
    struct memory_recur *recur = named(self, op);

    if (recur == NULL)
        return GUACO_E_MISSING;
    if (recur->def.is_paused && !op->pause)
        recur->def.last_ms = self->now_ms;
    recur->def.is_paused = op->pause;
    guaco__touched_due(&self->base.touched, 0);
    return GUACO_OK;
}
