/* The memory store's table of operations; see memory_int.h. */

#include <assert.h>
#include <stdlib.h>

#include "base/rand.h"
#include "memory_int.h"
#include "using.h"

#define MAP_CAP (1u << 28) /* tasks, results, keys of each kind */

static struct memory_store *
self_of(struct guaco__store *store)
{
    assert(store->ops == &guaco__store_memory);
    return (struct memory_store *)store;
}

static bool
is_due_before(const struct guaco__heap_node *a,
              const struct guaco__heap_node *b)
{
    const struct memory_task *x = GUACO__OF(a, struct memory_task, node);
    const struct memory_task *y = GUACO__OF(b, struct memory_task, node);

    if (x->since_ms != y->since_ms)
        return x->since_ms < y->since_ms;
    return x->id < y->id;
}

/* No two memories share an id, so that one is not asked in vain for what is in
 * another: above the count stands a number of the memory's own. */
static int
number_ids(struct memory_store *self, struct guaco_error *err)
{
    uint32_t number;

    if (guaco__rand_bytes(&number, sizeof number) != GUACO_OK)
        return guaco_fail(err, GUACO_E_IO, 0, "memory: random bytes");
    self->number = (number & 0x3fffffff) | 1;
    self->last_id = self->last_owner = self->number << 32;
    return GUACO_OK;
}

static int
memory_open(struct guaco__store *store, const char *rest,
            struct guaco_error *err)
{
    struct memory_store *self = self_of(store);

    if (*rest != '\0')
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "memory: takes nothing behind it, not '%s'", rest);
    guaco__heap_init(&self->delayed, is_due_before);
    guaco__heap_init(&self->unique_ends, guaco__memory_unique_is_before);
    guaco__heap_init(&self->wakes, guaco__memory_lane_is_before);
    guaco__heap_init(&self->key_ends, guaco__memory_key_is_before);
    guaco__memory_index_init(&self->tasks);
    guaco__map_init(&self->records, MAP_CAP);
    guaco__map_init(&self->uniques, MAP_CAP);
    guaco__map_init(&self->lanes, MAP_CAP);
    guaco__map_init(&self->keys, MAP_CAP);
    guaco__map_init(&self->locks, MAP_CAP);
    guaco__list_init(&self->owners);
    store->wait_ms = 0;
    int rc = number_ids(self, err);
    return rc != GUACO_OK ? rc : guaco__clock_open(&self->clock, NULL, err);
}

/* ---- closing ---- */

static void
free_queue(struct memory_queue *queue)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&queue->recur)) != NULL)
        free(GUACO__OF(link, struct memory_recur, link));
    while ((link = guaco__list_shift(&queue->revokes)) != NULL)
        free(GUACO__OF(link, struct memory_revoke, link));
    free(queue);
}

static void
free_values(struct guaco__map *map)
{
    size_t at = 0;
    void *value;

    while (guaco__map_next(map, &at, NULL, &value))
        free(value);
    guaco__map_release(map);
}

static void
free_lock(struct memory_lock *lock)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&lock->holders)) != NULL)
        free(GUACO__OF(link, struct memory_holder, link));
    free(lock);
}

static void
memory_close(struct guaco__store *store)
{
    struct memory_store *self = self_of(store);
    struct guaco__list *link;
    size_t at = 0;
    void *value;

    while ((link = guaco__list_shift(&self->owners)) != NULL)
        free(GUACO__OF(link, struct memory_owner, link));
    for (at = 0; guaco__map_next(&self->records, &at, NULL, &value);)
        guaco__memory_record_free(value);
    for (at = 0; guaco__map_next(&self->locks, &at, NULL, &value);)
        free_lock(value);
    guaco__memory_index_release(&self->tasks);
    guaco__map_release(&self->records);
    guaco__map_release(&self->locks);
    free_values(&self->uniques);
    free_values(&self->lanes);
    free_values(&self->keys);
    for (size_t i = 0; i < self->queue_count; i++)
        free_queue(self->queues[i]);
    guaco__clock_close(&self->clock);
}

/* ---- running ---- */

static int
give_ids(struct memory_store *self, struct guaco__op_ids *ids)
{
    ids->first = self->last_id + 1;
    self->last_id += ids->n;
    return GUACO_OK;
}

static int
run_op(struct memory_store *self, struct guaco__op *op)
{
    switch (op->kind) {
    case GUACO__OP_PUT:
        return guaco__memory_put(self, op->put.tasks, op->put.n);
    case GUACO__OP_CLAIM: return guaco__memory_claim(self, &op->claim);
    case GUACO__OP_FINISH: return guaco__memory_finish(self, &op->finish);
    case GUACO__OP_RELEASE: return guaco__memory_release(self, &op->release);
    case GUACO__OP_EVENT: return guaco__memory_event(self, &op->event);
    case GUACO__OP_OWNER_OPEN:
        return guaco__memory_owner_open(self, &op->owner);
    case GUACO__OP_OWNER_RENEW:
        return guaco__memory_owner_renew(self, &op->owner);
    case GUACO__OP_OWNER_REAP: return guaco__memory_owner_reap(self, &op->reap);
    case GUACO__OP_OWNER_LIST:
        return guaco__memory_owner_list(self, &op->owners);
    case GUACO__OP_READ: return guaco__memory_read(self, &op->read);
    case GUACO__OP_PROMOTE: return guaco__memory_promote(self, &op->promote);
    case GUACO__OP_SWEEP: return guaco__memory_sweep(self, &op->sweep);
    case GUACO__OP_RECUR_SET:
        return guaco__memory_recur_set(self, &op->recur_set);
    case GUACO__OP_RECUR_LIST:
        return guaco__memory_recur_list(self, &op->recur_list);
    case GUACO__OP_TICK: return guaco__memory_tick(self, &op->tick);
    case GUACO__OP_STATS: return guaco__memory_stats(self, &op->stats);
    case GUACO__OP_LIST: return guaco__memory_list(self, &op->list);
    case GUACO__OP_PURGE: return guaco__memory_purge(self, &op->purge);
    case GUACO__OP_REPLAY: return guaco__memory_replay(self, &op->replay);
    case GUACO__OP_IDS: return give_ids(self, &op->ids);
    case GUACO__OP_CANCEL: return guaco__memory_cancel(self, &op->cancel);
    case GUACO__OP_PAUSE: return guaco__memory_pause(self, &op->pause);
    case GUACO__OP_REVOKE: return guaco__memory_revoke(self, &op->revoke);
    case GUACO__OP_KEY: return guaco__memory_key(self, &op->key);
    case GUACO__OP_KEY_LIST: return guaco__memory_key_list(self, &op->key_list);
    case GUACO__OP_LOCK: return guaco__memory_lock(self, &op->lock);
    case GUACO__OP_RECUR_PUT:
        return guaco__memory_recur_put(self, &op->recur_put);
    case GUACO__OP_RECUR_DROP:
        return guaco__memory_recur_drop(self, &op->recur_name);
    case GUACO__OP_RECUR_PAUSE:
        return guaco__memory_recur_pause(self, &op->recur_name);
    }
    return GUACO_E_STATE;
}

/* Nothing here can fail as a whole: each op is all or nothing by itself. */
static int
memory_run(struct guaco__store *store, struct guaco__op **ops, size_t n,
           uint64_t deadline_ns, struct guaco_error *err)
{
    struct memory_store *self = self_of(store);

    (void)deadline_ns;
    (void)err;
    self->now_ms = guaco__clock_wall_ms(&self->clock);
    if (self->now_ms > self->latest_ms)
        self->latest_ms = self->now_ms;
    for (size_t i = 0; i < n; i++)
        ops[i]->rc = run_op(self, ops[i]);
    return GUACO_OK;
}

static void
memory_pause(struct guaco__store *store)
{
    (void)store;
}

static int64_t
memory_now_ms(const struct guaco__store *store)
{
    return guaco__clock_wall_ms(&((const struct memory_store *)store)->clock);
}

/* ---- wake-ups: there is nobody else ---- */

static int
memory_listen(struct guaco__store *store, const struct guaco__notice *notice,
              bool on, struct guaco_error *err)
{
    (void)store;
    (void)notice;
    (void)on;
    (void)err;
    return GUACO_OK;
}

static void
memory_ring(struct guaco__store *store, const struct guaco__notice *notice)
{
    (void)store;
    (void)notice;
}

static int
memory_wait_fd(struct guaco__store *store)
{
    (void)store;
    return -1;
}

static size_t
memory_hear(struct guaco__store *store, struct guaco__notice *out, size_t max)
{
    (void)store;
    (void)out;
    (void)max;
    return 0;
}

const struct guaco__store_ops guaco__store_memory = {
    .has_rules = true,
    .scheme = "memory",
    .size = sizeof(struct memory_store),
    .open = memory_open,
    .close = memory_close,
    .pause = memory_pause,
    .resume = memory_pause,
    .run = memory_run,
    .run_using = guaco__store_no_using,
    .now_ms = memory_now_ms,
    .listen = memory_listen,
    .ring = memory_ring,
    .wait_fd = memory_wait_fd,
    .hear = memory_hear,
};
