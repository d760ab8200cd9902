/* What redis_store.lua answers to the ops that steer: cancel, pause, revoke,
 * keys, locks, schedules at run time. */

#include <stdlib.h>

#include "redis_int.h"

/* An op's own rc. */
static int
take_rc(const struct guaco__reply *reply, int *rc)
{
    int64_t number;

    if (!guaco__reply_number(reply, GUACO_E_UNSUPPORTED, 0, &number) ||
        number == GUACO_E_NOMEM || number == GUACO_E_PROTO ||
        number == GUACO_E_IO || number == GUACO_E_TIMEOUT)
        return GUACO_E_PROTO;
    *rc = (int)number;
    return GUACO_OK;
}

static int
take_ids(const struct guaco__reply *reply, struct guaco__op_ids *ids)
{
    int64_t first;

    if (!guaco__reply_number(reply, 1, REDIS_NUMBER_MAX, &first))
        return GUACO_E_PROTO;
    ids->first = (uint64_t)first;
    return GUACO_OK;
}

/* {rc, state, owner} */
static int
take_cancel(const struct guaco__reply *reply, struct guaco__op *op)
{
    int64_t state, owner;
    int rc = take_rc(guaco__reply_at(reply, 0), &op->rc);

    if (rc != GUACO_OK ||
        !guaco__reply_count_at(reply, 1, GUACO_TASK_HELD, &state) ||
        state < GUACO_TASK_WAITING ||
        !guaco__reply_count_at(reply, 2, REDIS_NUMBER_MAX, &owner))
        return GUACO_E_PROTO;
    op->cancel.owner = (uint64_t)owner;
    op->cancel.was = (enum guaco_task_state)state;
    return GUACO_OK;
}

/* An rc, or 1: it was there. */
static int
take_revoke(const struct guaco__reply *reply, struct guaco__op *op)
{
    int64_t number;

    op->revoke.was = guaco__reply_number(reply, 1, 1, &number);
    return op->revoke.was ? GUACO_OK : take_rc(reply, &op->rc);
}

/* {rc, value} */
static int
take_key(const struct guaco__reply *reply, struct guaco__op *op)
{
    struct guaco__op_key *key = &op->key;
    const struct guaco__reply *sum = guaco__reply_at(reply, 1);
    struct guaco_slice value;
    int rc = take_rc(guaco__reply_at(reply, 0), &op->rc);

    if (rc != GUACO_OK || !guaco__reply_text(sum, &value))
        return GUACO_E_PROTO;
    if (op->rc != GUACO_OK)
        return GUACO_OK;
    if (key->verb == GUACO__KEY_ADD)
        return guaco__reply_number(sum, INT64_MIN, INT64_MAX, &key->sum)
                   ? GUACO_OK
                   : GUACO_E_PROTO;
    if (key->verb != GUACO__KEY_GET && key->verb != GUACO__KEY_TAKE)
        return GUACO_OK;
    char *copy = malloc(value.len + 1);
    if (copy == NULL)
        return GUACO_E_NOMEM;
    if (value.len > 0)
        memcpy(copy, value.at, value.len);
    key->value = (struct guaco_slice){copy, value.len};
    return GUACO_OK;
}

/* The key behind which the next page begins must outlive this answer. */
static int
turn_page(struct redis_store *self, struct guaco__op_key_list *list,
          struct guaco_slice key)
{
    struct redis_page *page =
        key.len > sizeof page->key ? NULL : malloc(sizeof *page);

    if (page == NULL)
        return GUACO_E_NOMEM;
    guaco__list_init(&page->link);
    memcpy(page->key, key.at, key.len);
    guaco__list_push(&self->pages, &page->link);
    list->after = (struct guaco_slice){page->key, key.len};
    return GUACO_OK;
}

/* {more, key, value, ...} */
static int
take_keys(struct redis_store *self, const struct guaco__reply *reply,
          struct guaco__op_key_list *list, bool *again)
{
    struct guaco_slice key = {0}, value;
    int64_t more;

    if (!guaco__reply_count_at(reply, 0, 1, &more) || reply->count % 2 != 1)
        return GUACO_E_PROTO;
    for (size_t i = 1; i < reply->count; i += 2) {
        if (list->limit == 0 || !guaco__reply_text(reply->items[i], &key) ||
            !guaco__reply_text(reply->items[i + 1], &value) || key.len == 0)
            return GUACO_E_PROTO;
        list->fn(list->ctx, key, value);
        list->limit--;
    }
    *again = more == 1 && key.len > 0 && list->limit > 0;
    return *again ? turn_page(self, list, key) : GUACO_OK;
}

/* {rc, holders, token, free in ms} */
static int
take_lock(const struct guaco__reply *reply, struct guaco__op *op)
{
    struct guaco__op_lock *lock = &op->lock;
    int64_t holders, token, free_ms;
    int rc = take_rc(guaco__reply_at(reply, 0), &op->rc);

    if (rc != GUACO_OK ||
        !guaco__reply_count_at(reply, 1, REDIS_COUNT_MAX, &holders) ||
        !guaco__reply_count_at(reply, 2, REDIS_NUMBER_MAX, &token) ||
        !guaco__reply_count_at(reply, 3, REDIS_NUMBER_MAX, &free_ms))
        return GUACO_E_PROTO;
    lock->free_ms = (uint64_t)free_ms;
    lock->holders = (uint32_t)holders;
    if (lock->verb == GUACO__LOCK_TAKE && op->rc == GUACO_OK)
        lock->token = (uint64_t)token;
    return GUACO_OK;
}

int
guaco__redis_take_steer(struct redis_store *self,
                        const struct guaco__reply *reply, struct guaco__op *op,
                        bool *again)
{
    bool is_list = reply != NULL && reply->kind == GUACO__REPLY_LIST;

    if (op->kind == GUACO__OP_IDS)
        return take_ids(reply, &op->ids);
    if (op->kind == GUACO__OP_CANCEL)
        return take_cancel(reply, op);
    if (op->kind == GUACO__OP_REVOKE)
        return take_revoke(reply, op);
    if (op->kind == GUACO__OP_KEY)
        return take_key(reply, op);
    if (op->kind == GUACO__OP_KEY_LIST)
        return is_list ? take_keys(self, reply, &op->key_list, again)
                       : GUACO_E_PROTO;
    if (op->kind == GUACO__OP_LOCK)
        return take_lock(reply, op);
    return take_rc(reply, &op->rc);
}
