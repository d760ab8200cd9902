/* Recurring tasks, the same for every store: definitions and ticks. */

#include <stdlib.h>
#include <string.h>

#include "store.h"

static struct guaco__recur
recurring(const char *name, uint64_t generation)
{
    return (struct guaco__recur){.queue = GUACO_SLICE("q"),
                                 .name = TEXT(name),
                                 .spec = GUACO_SLICE("* * * * *"),
                                 .zone = GUACO_SLICE("UTC"),
                                 .envelope = GUACO_SLICE("\1env"),
                                 .catch_up = GUACO_CATCH_UP_ONCE,
                                 .generation = generation};
}

static bool
set_recurring(struct fixture *f, uint64_t generation,
              const struct guaco__recur *all, size_t n)
{
    struct guaco__op op = {.kind = GUACO__OP_RECUR_SET,
                           .recur_set = {.queue = GUACO_SLICE("q"),
                                         .generation = generation,
                                         .all = all,
                                         .n = n}};

    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    return !op.recur_set.stale;
}

static struct guaco__op_recur_list
list_recurring(struct fixture *f)
{
    struct guaco__op op = {.kind = GUACO__OP_RECUR_LIST};

    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    return op.recur_list;
}

static int
tick(struct fixture *f, const struct guaco__recur *def, int64_t expect_ms,
     int64_t last_ms, struct guaco__put *puts, size_t n)
{
    struct guaco__op op = {.kind = GUACO__OP_TICK,
                           .tick = {.queue = def->queue,
                                    .name = def->name,
                                    .generation = def->generation,
                                    .expect_ms = expect_ms,
                                    .last_ms = last_ms,
                                    .tasks = puts,
                                    .n = n}};

    return guaco__front_run_one(f->broker, &op, NULL);
}

static void
a_fire_time_is_enqueued_once_however_many_tick(void **state)
{
    struct fixture *f = *state;
    struct guaco__recur def = recurring("nightly", 5);
    struct guaco__put put = {.queue = GUACO_SLICE("q"),
                             .envelope = GUACO_SLICE("\1env")};

    assert_true(set_recurring(f, 5, &def, 1));
    struct guaco__op_recur_list list = list_recurring(f);
    assert_int_equal(list.n, 1);
    int64_t last_ms = list.all[0].last_ms;
    assert_true(last_ms > 0);
    assert_memory_equal(list.all[0].spec.at, "* * * * *", 9);
    free(list.all);

    assert_int_equal(tick(f, &def, last_ms, last_ms + 60000, &put, 1),
                     GUACO_OK);
    assert_int_equal(tick(f, &def, last_ms, last_ms + 60000, &put, 1),
                     GUACO_E_STATE);
    assert_int_equal(fixture_stats(f).waiting, 1);
    uint64_t purged;
    assert_int_equal(guaco_broker_purge(f->broker, GUACO_SLICE("q"),
                                        GUACO_TASK_WAITING, &purged, NULL),
                     GUACO_OK);
    assert_int_equal(tick(f, &def, last_ms, last_ms + 60000, &put, 1),
                     GUACO_E_STATE); /* purging does not reopen it */
    assert_int_equal(fixture_stats(f).waiting, 0);
    def.name = TEXT("other");
    assert_int_equal(tick(f, &def, last_ms, last_ms + 60000, &put, 1),
                     GUACO_E_MISSING);
}

static void
an_older_generation_never_replaces_a_newer(void **state)
{
    struct fixture *f = *state;
    struct guaco__recur defs[2] = {recurring("a", 7), recurring("b", 7)};
    struct guaco__recur old = recurring("a", 6);

    assert_true(set_recurring(f, 7, defs, 2));
    assert_false(set_recurring(f, 6, &old, 1));
    assert_int_equal(fixture_stats(f).recurring, 2);
    assert_int_equal(tick(f, &old, 0, 1, NULL, 0), GUACO_E_STATE);

    /* A newer one without b: b is gone, a keeps when it fired last. */
    struct guaco__op_recur_list list = list_recurring(f);
    int64_t last_ms = list.all[0].last_ms;
    free(list.all);
    fixture_clock_shift_ms(5000);
    defs[0].generation = 8;
    assert_true(set_recurring(f, 8, defs, 1));
    list = list_recurring(f);
    assert_int_equal(list.n, 1);
    assert_int_equal(list.all[0].last_ms, last_ms);
    assert_int_equal(list.all[0].generation, 8);
    free(list.all);
    defs[0].spec = GUACO_SLICE("1 * * * *"); /* changed: from now on */
    assert_true(set_recurring(f, 8, defs, 1));
    list = list_recurring(f);
    assert_true(list.all[0].last_ms >= last_ms + 5000);
    free(list.all);
}

/* ---- for each store ---- */

#define TESTS(X)                                      \
    X(a_fire_time_is_enqueued_once_however_many_tick) \
    X(an_older_generation_never_replaces_a_newer)

#include "each_store.h"
