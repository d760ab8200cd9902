/* Locks of the memory store. */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

static void
free_holder(struct memory_holder *holder)
{
    guaco__list_remove(&holder->link);
    free(holder);
}

static void
drop_lock(struct memory_store *self, struct memory_lock *lock)
{
    struct guaco_slice name = {lock->name, lock->name_len};

    guaco__touched_topic(&self->base.touched, guaco__topic_key(name));
    if (!guaco__list_is_empty(&lock->holders))
        return;
    (void)guaco__map_take(&self->locks, name);
    free(lock);
}

/* Without those whose lease has ended; gives how many are left, and when the
 * first of their leases ends. */
static uint32_t
count_holders(struct memory_lock *lock, uint64_t now_ms, uint64_t *end_ms)
{
    struct guaco__list *head = &lock->holders;
    uint32_t n = 0;

    *end_ms = UINT64_MAX;
    for (struct guaco__list *l = head->next, *next; l != head; l = next) {
        struct memory_holder *holder = GUACO__OF(l, struct memory_holder, link);
        next = l->next;
        if (holder->end_ms <= now_ms) {
            free_holder(holder);
            continue;
        }
        n++;
        if (holder->end_ms < *end_ms)
            *end_ms = holder->end_ms;
    }
    return n;
}

static struct memory_lock *
make_lock(struct memory_store *self, struct guaco_slice name)
{
    struct memory_lock *lock = guaco__map_get(&self->locks, name);
    if (lock != NULL)
        return lock;

    lock = malloc(sizeof *lock + name.len);
    if (lock == NULL)
        return NULL;
    guaco__list_init(&lock->holders);
    lock->name_len = name.len;
    memcpy(lock->name, name.at, name.len);
    if (guaco__map_put(&self->locks, (struct guaco_slice){lock->name, name.len},
                       lock) == GUACO_OK)
        return lock;
    free(lock);
    return NULL;
}

static int
take(struct memory_store *self, struct guaco__op_lock *op, uint64_t now_ms)
{
    uint64_t end_ms;

    if (guaco__memory_owner(self, op->owner) == NULL)
        return GUACO_E_LOST;
    struct memory_holder *holder = malloc(sizeof *holder);
    struct memory_lock *lock =
        holder == NULL ? NULL : make_lock(self, op->name);
    if (lock == NULL) {
        free(holder);
        return GUACO_E_NOMEM;
    }
    op->holders = count_holders(lock, now_ms, &end_ms);
    if (op->holders >= op->slots) {
        op->free_ms = end_ms - now_ms;
        free(holder);
        return GUACO_E_AGAIN;
    }
    guaco__list_init(&holder->link);
    holder->owner = op->owner;
    holder->token = op->token = ++self->last_id;
    holder->end_ms = now_ms + op->lease_ms;
    guaco__list_push(&lock->holders, &holder->link);
    op->holders++;
    return GUACO_OK;
}

static int
use_token(struct memory_store *self, struct memory_lock *lock,
          const struct guaco__op_lock *op, uint64_t now_ms)
{
    struct guaco__list *head = &lock->holders;

    for (struct guaco__list *l = head->next; l != head; l = l->next) {
        struct memory_holder *holder = GUACO__OF(l, struct memory_holder, link);
        if (holder->token != op->token)
            continue;
        if (op->verb == GUACO__LOCK_RENEW) {
            holder->end_ms = now_ms + op->lease_ms;
        } else {
            free_holder(holder);
            drop_lock(self, lock);
        }
        return GUACO_OK;
    }
    return GUACO_E_LOST;
}

int
guaco__memory_lock(struct memory_store *self, struct guaco__op_lock *op)
{
    uint64_t now_ms = guaco__clock_boot_ms(), end_ms;
    bool needs_token =
        op->verb == GUACO__LOCK_RENEW || op->verb == GUACO__LOCK_FREE;

    op->holders = 0;
    if (op->verb == GUACO__LOCK_TAKE)
        return take(self, op, now_ms);
    struct memory_lock *lock = guaco__map_get(&self->locks, op->name);
    if (lock == NULL)
        return needs_token ? GUACO_E_LOST : GUACO_OK;
    op->holders = count_holders(lock, now_ms, &end_ms);
    if (needs_token)
        return use_token(self, lock, op, now_ms);
    if (op->verb == GUACO__LOCK_LOOK)
        return GUACO_OK;
    assert(op->verb == GUACO__LOCK_CLEAR);
    while (!guaco__list_is_empty(&lock->holders))
        free_holder(GUACO__OF(lock->holders.next, struct memory_holder, link));
    drop_lock(self, lock);
    return GUACO_OK;
}

/* Of an owner that is gone.  A walk through all locks: owners die seldom. */
void
guaco__memory_unlock_owner(struct memory_store *self, uint64_t owner)
{
    size_t at = 0;
    void *value;

    while (guaco__map_next(&self->locks, &at, NULL, &value)) {
        struct memory_lock *lock = value;
        struct guaco__list *head = &lock->holders;
        for (struct guaco__list *l = head->next, *next; l != head; l = next) {
            struct memory_holder *holder =
                GUACO__OF(l, struct memory_holder, link);
            next = l->next;
            if (holder->owner != owner)
                continue;
            free_holder(holder);
            guaco__touched_topic(&self->base.touched,
                                 guaco__topic_key((struct guaco_slice){
                                     lock->name, lock->name_len}));
        }
    }
}
