/* Keys with values, and revocations, of the memory store. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory_int.h"

/* ---- keys ---- */

bool
guaco__memory_key_is_before(const struct guaco__heap_node *a,
                            const struct guaco__heap_node *b)
{
    return GUACO__OF(a, struct memory_key, node)->end_ms <
           GUACO__OF(b, struct memory_key, node)->end_ms;
}

static void
drop_key(struct memory_store *self, struct memory_key *key)
{
    (void)guaco__map_take(&self->keys,
                          (struct guaco_slice){key->bytes, key->key_len});
    if (key->end_ms != INT64_MAX)
        guaco__heap_remove(&self->key_ends, &key->node);
    free(key);
}

/* What is there; one whose time is over is dropped. */
static struct memory_key *
find_key(struct memory_store *self, struct guaco_slice name)
{
    struct memory_key *key = guaco__map_get(&self->keys, name);

    if (key == NULL || key->end_ms > self->now_ms)
        return key;
    drop_key(self, key);
    return NULL;
}

static struct guaco_slice
value_of(const struct memory_key *key)
{
    return (struct guaco_slice){key->bytes + key->key_len, key->len};
}

static int
set_key(struct memory_store *self, struct guaco_slice name,
        struct guaco_slice value, int64_t end_ms)
{
    struct memory_key *old = guaco__map_get(&self->keys, name);
    struct memory_key *key = malloc(sizeof *key + name.len + value.len);

    if (key == NULL)
        return GUACO_E_NOMEM;
    *key = (struct memory_key){
        .end_ms = end_ms, .key_len = name.len, .len = value.len};
    memcpy(key->bytes, name.at, name.len);
    if (value.len > 0)
        memcpy(key->bytes + name.len, value.at, value.len);
    if (old != NULL)
        drop_key(self, old);
    int rc = guaco__map_put(&self->keys,
                            (struct guaco_slice){key->bytes, name.len}, key);
    if (rc != GUACO_OK) {
        free(key);
        return rc;
    }
    if (end_ms != INT64_MAX) {
        guaco__heap_insert(&self->key_ends, &key->node);
        guaco__touched_due(&self->base.touched, end_ms);
    }
    guaco__touched_topic(&self->base.touched, guaco__topic_key(name));
    return GUACO_OK;
}

static int
give_value(struct memory_store *self, struct guaco__op_key *op)
{
    struct memory_key *key = find_key(self, op->key);

    if (key == NULL)
        return GUACO_E_MISSING;
    if (op->verb != GUACO__KEY_DROP) {
        char *copy = malloc(key->len + 1);
        if (copy == NULL)
            return GUACO_E_NOMEM;
        memcpy(copy, value_of(key).at, key->len);
        op->value = (struct guaco_slice){copy, key->len};
    }
    if (op->verb != GUACO__KEY_GET)
        drop_key(self, key);
    return GUACO_OK;
}

static int
add(struct memory_store *self, struct guaco__op_key *op, int64_t end_ms)
{
    struct memory_key *key = find_key(self, op->key);
    char text[24];
    int64_t before = 0;

    if (key != NULL) {
        end_ms = key->end_ms;
        if (!guaco__key_number(value_of(key), &before))
            return GUACO_E_STATE;
    }
    if (__builtin_add_overflow(before, op->amount, &op->sum))
        return GUACO_E_STATE;
    int len = snprintf(text, sizeof text, "%lld", (long long)op->sum);
    return set_key(self, op->key, (struct guaco_slice){text, (size_t)len},
                   end_ms);
}

int
guaco__memory_key(struct memory_store *self, struct guaco__op_key *op)
{
    int64_t end_ms =
        op->ttl_ms == 0 ? INT64_MAX : self->now_ms + (int64_t)op->ttl_ms;

    switch (op->verb) {
    case GUACO__KEY_PUT_IF_EMPTY:
        if (find_key(self, op->key) != NULL)
            return GUACO_E_EXISTS;
        return set_key(self, op->key, op->value, end_ms);
    case GUACO__KEY_PUT: return set_key(self, op->key, op->value, end_ms);
    case GUACO__KEY_ADD: return add(self, op, end_ms);
    case GUACO__KEY_GET:
    case GUACO__KEY_TAKE:
    case GUACO__KEY_DROP: break;
    }
    return give_value(self, op);
}

static int
compare_keys(const void *a, const void *b)
{
    const struct memory_key *x = *(const struct memory_key *const *)a;
    const struct memory_key *y = *(const struct memory_key *const *)b;
    size_t least = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->bytes, y->bytes, least);

    return order != 0 ? order
                      : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static bool
is_listed(const struct memory_store *self, const struct memory_key *key,
          const struct guaco__op_key_list *op)
{
    size_t least = key->key_len < op->after.len ? key->key_len : op->after.len;
    int order = least == 0 ? 0 : memcmp(key->bytes, op->after.at, least);

    if (key->end_ms <= self->now_ms || key->key_len < op->prefix.len ||
        (op->prefix.len > 0 &&
         memcmp(key->bytes, op->prefix.at, op->prefix.len) != 0))
        return false;
    return order > 0 || (order == 0 && key->key_len > op->after.len);
}

int
guaco__memory_key_list(struct memory_store *self,
                       const struct guaco__op_key_list *op)
{
    const struct memory_key **all =
        calloc(self->keys.count + 1, sizeof(const struct memory_key *));
    size_t at = 0, n = 0;
    void *value;

    if (all == NULL)
        return GUACO_E_NOMEM;
    while (guaco__map_next(&self->keys, &at, NULL, &value))
        if (is_listed(self, value, op))
            all[n++] = value;
    qsort((void *)all, n, sizeof(const struct memory_key *), compare_keys);
    for (size_t i = 0; i < n && i < op->limit; i++)
        op->fn(op->ctx, (struct guaco_slice){all[i]->bytes, all[i]->key_len},
               value_of(all[i]));
    free((void *)all);
    return GUACO_OK;
}

/* ---- revocations ---- */

static struct memory_revoke *
find_revoke(const struct memory_store *self, struct memory_queue *queue,
            struct guaco_slice key)
{
    struct guaco__list *head = &queue->revokes;

    for (struct guaco__list *l = head->next, *next; l != head; l = next) {
        struct memory_revoke *revoke = GUACO__OF(l, struct memory_revoke, link);
        next = l->next;
        if (revoke->until_ms != 0 && revoke->until_ms <= self->now_ms) {
            guaco__list_remove(l);
            free(revoke);
        } else if (revoke->len == key.len &&
                   memcmp(revoke->key, key.at, key.len) == 0) {
            return revoke;
        }
    }
    return NULL;
}

static int
set_revoke(struct memory_queue *queue, struct memory_revoke *old,
           const struct guaco__op_revoke *op)
{
    struct memory_revoke *revoke = old;

    if (revoke == NULL) {
        revoke = malloc(sizeof *revoke + op->key.len);
        if (revoke == NULL)
            return GUACO_E_NOMEM;
        guaco__list_init(&revoke->link);
        revoke->len = op->key.len;
        memcpy(revoke->key, op->key.at, op->key.len);
        guaco__list_push(&queue->revokes, &revoke->link);
    }
    revoke->until_ms = op->until_ms;
    revoke->once = op->once;
    return GUACO_OK;
}

int
guaco__memory_revoke(struct memory_store *self, struct guaco__op_revoke *op)
{
    int rc = GUACO_OK;
    struct memory_queue *queue = op->verb == GUACO__REVOKE_SET
                                     ? guaco__memory_queue(self, op->queue, &rc)
                                     : guaco__memory_find(self, op->queue);

    op->was = false;
    if (queue == NULL)
        return rc;
    struct memory_revoke *revoke = find_revoke(self, queue, op->key);
    if (op->verb == GUACO__REVOKE_SET)
        return set_revoke(queue, revoke, op);
    op->was = revoke != NULL;
    if (revoke != NULL && (op->verb == GUACO__REVOKE_DROP ||
                           (op->verb == GUACO__REVOKE_TAKE && revoke->once))) {
        guaco__list_remove(&revoke->link);
        free(revoke);
    }
    return GUACO_OK;
}

uint32_t
guaco__memory_key_sweep(struct memory_store *self, uint32_t limit,
                        int64_t *next_ms)
{
    struct guaco__heap_node *node;
    uint32_t count = 0;

    while ((node = guaco__heap_min(&self->key_ends)) != NULL) {
        struct memory_key *key = GUACO__OF(node, struct memory_key, node);
        if (key->end_ms > self->now_ms || count == limit) {
            if (key->end_ms < *next_ms)
                *next_ms = key->end_ms;
            break;
        }
        drop_key(self, key);
        count++;
    }
    return count;
}
