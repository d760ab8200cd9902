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

    if (rc == GUACO_OK && entry->task.rules != NULL)
        rc =
            guaco_fail(err, GUACO_E_INVALID, 0, "recurring task %.*s has rules",
                       (int)entry->name.len, entry->name.at);
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
        *bytes += 120 + all[i].task.name.len + all[i].task.headers.len +
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

/* ---- at run time ---- */

static int
check_name(struct guaco_slice queue, struct guaco_slice name,
           struct guaco_error *err)
{
    int rc = guaco__queue_check(queue, err);

    if (rc == GUACO_OK && (name.len < 1 || name.len > GUACO_TASK_NAME_MAX))
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "name of a recurring task of %zu bytes, not 1 to %u",
                        name.len, GUACO_TASK_NAME_MAX);
    return rc;
}

int
guaco_broker_recurring_put(struct guaco_broker *broker,
                           const struct guaco_recurring *entry,
                           struct guaco_error *err)
{
    struct guaco__recur def;
    struct guaco__op op = {.kind = GUACO__OP_RECUR_PUT,
                           .recur_put = {.def = &def}};
    struct guaco_recurring one = *entry;
    struct guaco__buf bytes;
    size_t total;

    one.generation = 0;
    int rc = check_all(entry->task.queue, 0, &one, 1, &total, err);
    if (rc != GUACO_OK)
        return rc;
    guaco__buf_init(&bytes, total);
    if (guaco__buf_reserve(&bytes, total) != GUACO_OK) {
        rc = guaco_fail(err, GUACO_E_NOMEM, 0, "a recurring task");
    } else {
        encode(&def, &one, &bytes);
        def.is_run_time = true;
        def.is_paused = entry->is_paused;
        rc = guaco__front_run_one(broker, &op, err);
    }
    guaco__buf_release(&bytes);
    return rc;
}

static int
run_named(struct guaco_broker *broker, struct guaco__op *op,
          struct guaco_error *err)
{
    struct guaco_slice name = op->recur_name.name;
    int rc = check_name(op->recur_name.queue, name, err);

    if (rc == GUACO_OK)
        rc = guaco__front_run_one(broker, op, err);
    return rc != GUACO_E_MISSING
               ? rc
               : guaco_fail(err, rc, 0, "no recurring task is named %.*s",
                            (int)name.len, name.at);
}

int
guaco_broker_recurring_remove(struct guaco_broker *broker,
                              struct guaco_slice queue, struct guaco_slice name,
                              struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_RECUR_DROP,
                           .recur_name = {.queue = queue, .name = name}};

    return run_named(broker, &op, err);
}

int
guaco_broker_recurring_pause(struct guaco_broker *broker,
                             struct guaco_slice queue, struct guaco_slice name,
                             bool pause, struct guaco_error *err)
{
    struct guaco__op op = {
        .kind = GUACO__OP_RECUR_PAUSE,
        .recur_name = {.queue = queue, .name = name, .pause = pause}};

    return run_named(broker, &op, err);
}

/* ---- listing ---- */

static int64_t
next_of(const struct guaco__recur *def)
{
    struct guaco_schedule *schedule;
    int64_t next_ms = INT64_MAX;

    if (def->is_paused || guaco_schedule_new(&schedule, def->spec, def->zone,
                                             NULL, NULL) != GUACO_OK)
        return INT64_MAX;
    if (guaco_schedule_next(schedule, def->last_ms, &next_ms) != GUACO_OK)
        next_ms = INT64_MAX;
    guaco_schedule_free(schedule);
    return next_ms;
}

int
guaco_broker_recurring_list(struct guaco_broker *broker,
                            struct guaco_slice queue, guaco_recurring_fn *fn,
                            void *ctx, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_RECUR_LIST};
    int rc = queue.len == 0 ? GUACO_OK : guaco__queue_check(queue, err);

    if (rc == GUACO_OK)
        rc = guaco__front_run_one(broker, &op, err);
    if (rc != GUACO_OK)
        return rc;
    for (size_t i = 0; i < op.recur_list.n; i++) {
        const struct guaco__recur *def = &op.recur_list.all[i];
        struct guaco_recurring entry = {
            .name = def->name,
            .spec = def->spec,
            .zone = def->zone,
            .catch_up = def->catch_up,
            .generation = def->generation,
            .is_paused = def->is_paused,
            .is_run_time = def->is_run_time,
        };
        if (queue.len > 0 && !guaco_slice_equals(queue, def->queue))
            continue;
        (void)guaco__envelope_read(def->envelope, &entry.task);
        entry.task.queue = def->queue;
        fn(ctx, &entry, def->last_ms, next_of(def));
    }
    free(op.recur_list.all);
    return GUACO_OK;
}

/* ---- of a deployment ---- */

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
