/* Defining recurring tasks: checked and encoded once for all stores. */

#include <assert.h>
#include <stdlib.h>

#include "envelope.h"
#include "front.h"
#include "guaco/schedule.h"

#define RECURRING_MAX 1000u /* of one queue */

static int
check_spec(const struct guaco_recurring *entry, struct guaco_error *err)
{
    struct guaco_schedule *schedule = NULL;
    struct guaco_error why = {0};
    int rc =
        guaco_schedule_new(&schedule, entry->spec, entry->zone, NULL, &why);

    guaco_schedule_free(schedule);
    if (rc == GUACO_OK)
        return GUACO_OK;
    return guaco_fail(err, rc == GUACO_E_NOMEM ? rc : GUACO_E_INVALID, 0,
                      "recurring task %.*s: %s", (int)entry->name.len,
                      entry->name.at, why.text);
}

static int
check_entry(struct guaco_slice queue, uint64_t generation,
            const struct guaco_recurring *entry, struct guaco_error *err)
{
    int rc = guaco__task_check(&entry->task, err);

    if (rc == GUACO_OK &&
        (entry->name.len == 0 || entry->name.len > GUACO_TASK_NAME_MAX))
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "name of a recurring task of %zu bytes, not 1 to %u",
                        entry->name.len, GUACO_TASK_NAME_MAX);
    if (rc == GUACO_OK && !guaco_slice_equals(entry->task.queue, queue))
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "recurring task %.*s is of another queue",
                        (int)entry->name.len, entry->name.at);
    if (rc == GUACO_OK && (entry->generation != generation ||
                           entry->catch_up < GUACO_CATCH_UP_SKIP ||
                           entry->catch_up > GUACO_CATCH_UP_ALL))
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "recurring task %.*s: generation or catch_up",
                        (int)entry->name.len, entry->name.at);
    return rc != GUACO_OK ? rc : check_spec(entry, err);
}

static bool
is_doubled(const struct guaco_recurring *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (guaco_slice_equals(all[i].name, all[n].name))
            return true;
    return false;
}

static int
check_all(struct guaco_slice queue, uint64_t generation,
          const struct guaco_recurring *all, size_t n, size_t *bytes,
          struct guaco_error *err)
{
    int rc = guaco__queue_check(queue, err);

    *bytes = 1;
    if (rc == GUACO_OK && (n > RECURRING_MAX || generation > INT64_MAX))
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "%zu recurring tasks of one queue, most %u", n,
                        RECURRING_MAX);
    for (size_t i = 0; i < n && rc == GUACO_OK; i++) {
        rc = check_entry(queue, generation, &all[i], err);
        if (rc == GUACO_OK && is_doubled(all, i))
            rc = guaco_fail(err, GUACO_E_INVALID, 0,
                            "two recurring tasks are named %.*s",
                            (int)all[i].name.len, all[i].name.at);
        *bytes += 100 + all[i].task.name.len + all[i].task.headers.len +
                  all[i].task.body.len;
    }
    if (rc == GUACO_OK && *bytes > GUACO__PUT_BYTES_MAX)
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "recurring tasks of %zu bytes, most %u", *bytes,
                        GUACO__PUT_BYTES_MAX);
    return rc;
}

/* The room was reserved: nothing moves and nothing fails. */
static void
encode(struct guaco__recur *def, const struct guaco_recurring *entry,
       struct guaco__buf *bytes)
{
    size_t before = bytes->len;

    *def = (struct guaco__recur){
        .queue = entry->task.queue,
        .name = entry->name,
        .spec = entry->spec,
        .zone = entry->zone,
        .catch_up = entry->catch_up,
        .generation = entry->generation,
        .priority = entry->task.priority,
        .envelope = {guaco__buf_end(bytes), 0},
    };
    int rc = guaco__envelope_write(bytes, &entry->task);
    assert(rc == GUACO_OK);
    (void)rc;
    def->envelope.len = bytes->len - before;
}

int
guaco_broker_recurring(struct guaco_broker *broker, struct guaco_slice queue,
                       uint64_t generation, const struct guaco_recurring *all,
                       size_t n, bool *stale, struct guaco_error *err)
{
    struct guaco__op op = {
        .kind = GUACO__OP_RECUR_SET,
        .recur_set = {.queue = queue, .generation = generation, .n = n}};
    struct guaco__buf bytes;
    size_t total;
    int rc = check_all(queue, generation, all, n, &total, err);

    *stale = false;
    if (rc != GUACO_OK)
        return rc;
    struct guaco__recur *defs = calloc(n + 1, sizeof *defs);
    guaco__buf_init(&bytes, total);
    if (defs == NULL || guaco__buf_reserve(&bytes, total) != GUACO_OK) {
        rc = guaco_fail(err, GUACO_E_NOMEM, 0, "%zu recurring tasks", n);
    } else {
        for (size_t i = 0; i < n; i++)
            encode(&defs[i], &all[i], &bytes);
        op.recur_set.all = defs;
        rc = guaco__front_run_one(broker, &op, err);
        *stale = rc == GUACO_OK && op.recur_set.stale;
    }
    guaco__buf_release(&bytes);
    free(defs);
    return rc;
}
