/* Tasks on their way into a store: checked and encoded once for all stores. */

#include "front.h"

#include <assert.h>
#include <stdlib.h>

#include "envelope.h"

/* An envelope's fixed part at its longest. */
#define FIXED_MAX (1u + 11u * 10u)

static size_t
bytes_of_rules(const struct guaco_rules *rules)
{
    size_t bytes = 0;

    if (rules == NULL)
        return 0;
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++)
        bytes += rules->limits[i].key.len;
    return bytes + sizeof *rules + _Alignof(struct guaco_rules) +
           rules->unique.len;
}

static int
check_all(const struct guaco_task *tasks, size_t n, size_t *bytes,
          struct guaco_error *err)
{
    *bytes = 0;
    if (n < 1 || n > GUACO__PUTS_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%zu tasks at once, not 1 to %u", n, GUACO__PUTS_MAX);
    for (size_t i = 0; i < n; i++) {
        int rc = guaco__task_check(&tasks[i], err);
        if (rc != GUACO_OK)
            return rc;
        *bytes += FIXED_MAX + tasks[i].queue.len + tasks[i].name.len +
                  tasks[i].headers.len + tasks[i].body.len +
                  bytes_of_rules(tasks[i].rules);
    }
    if (*bytes > GUACO__PUT_BYTES_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "tasks of %zu bytes at once, most %u", *bytes,
                          GUACO__PUT_BYTES_MAX);
    return GUACO_OK;
}

/* Who joins whom: the one that waits stands before, and has no key. */
static int
count_joins(struct guaco__put *items, size_t n, struct guaco_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct guaco_rules *rules = items[i].rules;
        if (rules == NULL || rules->joins == 0)
            continue;
        if (rules->joins > i)
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "task %zu of a put joins %u, which does not "
                              "stand before it",
                              i + 1, rules->joins);
        struct guaco__put *held = &items[rules->joins - 1];
        if (held->rules != NULL && held->rules->unique.len > 0)
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "a task that waits for others has a unique key");
        items[i].member = held->hold++;
    }
    return GUACO_OK;
}

/* The room was reserved: nothing moves and nothing fails. */
static struct guaco_slice
keep(struct guaco__buf *bytes, struct guaco_slice from)
{
    struct guaco_slice copy = {guaco__buf_end(bytes), from.len};

    (void)guaco__buf_append(bytes, from.at, from.len);
    return copy;
}

static const struct guaco_rules *
keep_rules(struct guaco__buf *bytes, const struct guaco_rules *rules)
{
    struct guaco_rules copy = *rules;
    const size_t align = _Alignof(struct guaco_rules);

    copy.unique = keep(bytes, rules->unique);
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++)
        copy.limits[i].key = keep(bytes, rules->limits[i].key);
    size_t pad = align - (uintptr_t)guaco__buf_end(bytes) % align;
    guaco__buf_commit(bytes, pad);
    void *at = guaco__buf_end(bytes);
    (void)guaco__buf_append(bytes, &copy, sizeof copy);
    return at;
}

static struct guaco__put
encode(struct guaco__buf *bytes, const struct guaco_task *task, bool copy_queue)
{
    struct guaco__put put = {.queue = task->queue,
                             .due_ms = task->due_ms,
                             .priority = task->priority};

    if (task->rules != NULL) {
        put.rules = keep_rules(bytes, task->rules);
        put.id = task->rules->id;
    }

    if (copy_queue) {
        put.queue.at = guaco__buf_end(bytes);
        (void)guaco__buf_append(bytes, task->queue.at, task->queue.len);
    }
    size_t before = bytes->len;
    put.envelope.at = guaco__buf_end(bytes);
    int rc = guaco__envelope_write(bytes, task);
    assert(rc == GUACO_OK);
    (void)rc;
    put.envelope.len = bytes->len - before;
    return put;
}

int
guaco__puts_init(struct guaco__puts *puts, const struct guaco_task *tasks,
                 size_t n, bool copy_queues, struct guaco_error *err)
{
    size_t bytes;
    int rc = check_all(tasks, n, &bytes, err);

    if (rc != GUACO_OK)
        return rc;
    puts->n = n;
    puts->items = n == 1 ? &puts->one : calloc(n, sizeof *puts->items);
    guaco__buf_init(&puts->bytes, bytes);
    if (puts->items == NULL ||
        guaco__buf_reserve(&puts->bytes, bytes) != GUACO_OK) {
        guaco__puts_release(puts);
        return guaco_fail(err, GUACO_E_NOMEM, 0, "%zu tasks", n);
    }
    for (size_t i = 0; i < n; i++)
        puts->items[i] = encode(&puts->bytes, &tasks[i], copy_queues);
    rc = count_joins(puts->items, n, err);
    if (rc != GUACO_OK)
        guaco__puts_release(puts);
    return rc;
}

void
guaco__puts_tell(const struct guaco__puts *puts)
{
    for (size_t i = 0; i < puts->n; i++) {
        const struct guaco_rules *rules = puts->items[i].rules;
        if (rules != NULL && rules->existed != NULL)
            *rules->existed = puts->items[i].existed;
    }
}

void
guaco__puts_release(struct guaco__puts *puts)
{
    if (puts->items != &puts->one)
        free(puts->items);
    guaco__buf_release(&puts->bytes);
    puts->items = NULL;
}
