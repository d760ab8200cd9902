/* Claims ahead of a worker's free slots, on every store. */

#include <string.h>

#include "guaco/worker.h"
#include "store.h"

#define LONG_MS 20000 /* nobody should ever wait so long */

static struct guaco_worker *
open_worker(struct fixture *f, uint32_t slots, uint32_t prefetch)
{
    const struct guaco_worker_options options = {
        .queue = GUACO_SLICE("q"), .slots = slots, .prefetch = prefetch};
    struct guaco_worker *worker;
    struct guaco_error err = {0};

    if (guaco_worker_open(&worker, f->broker, &options, &err) != GUACO_OK)
        fail_msg("worker: %s", err.text);
    return worker;
}

/* Begin one that is there. */
static struct guaco_run *
begin(struct guaco_worker *worker)
{
    struct guaco_run *run;

    assert_int_equal(guaco_worker_next(worker, LONG_MS, &run, NULL), GUACO_OK);
    return run;
}

static void
end(struct guaco_run *run)
{
    const struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE};

    assert_int_equal(guaco_run_finish(run, &done, NULL, NULL), GUACO_OK);
}

/* Run short tasks until the worker has claimed ahead; that run goes on.  Its
 * task, and at least one that nobody runs, are left. */
static struct guaco_run *
run_until_ahead(struct fixture *f, struct guaco_worker *worker, uint32_t *ahead)
{
    struct guaco_worker_stats stats;

    for (int i = 0; i < 20000; i++) {
        if (i % 100 == 0)
            for (int j = 0; j < 100; j++)
                fixture_put(f, "x");
        struct guaco_run *run = begin(worker);
        guaco_worker_stats(worker, &stats);
        *ahead = stats.prefetched;
        if (*ahead > 0)
            return run;
        end(run);
    }
    fail_msg("never claimed ahead");
    return NULL;
}

static uint64_t
tasks_left(struct fixture *f)
{
    struct guaco_queue_stats stats = fixture_stats(f);

    return stats.waiting + stats.running;
}

/* Have `worker` run all but `n` of what is there. */
static void
run_all_but(struct fixture *f, struct guaco_worker *worker, uint64_t n)
{
    while (tasks_left(f) > n) {
        struct guaco_run *run;
        int rc = guaco_worker_next(worker, 100, &run, NULL);
        if (rc == GUACO_OK)
            end(run);
        else
            assert_int_equal(rc, GUACO_E_AGAIN);
    }
}

static void
what_was_claimed_ahead_of_a_long_run_goes_to_others(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker = open_worker(f, 1, 64);
    struct guaco_worker *other = open_worker(f, 1, 0);
    struct guaco_worker_stats stats;
    uint32_t ahead;

    struct guaco_run *run = run_until_ahead(f, worker, &ahead);
    assert_true(ahead <= 64);
    run_all_but(f, other, 1);
    guaco_worker_stats(worker, &stats);
    assert_int_equal(stats.prefetched, 0);
    assert_int_equal(stats.running, 1);
    assert_int_equal(fixture_stats(f).dead, 0);
    end(run);
    guaco_worker_close(other);
    guaco_worker_close(worker);
    assert_int_equal(tasks_left(f), 0);
}

static void
what_was_claimed_ahead_goes_back_on_drain(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker = open_worker(f, 1, 64);
    uint32_t ahead;

    struct guaco_run *run = run_until_ahead(f, worker, &ahead);
    guaco_worker_drain(worker);
    struct guaco_worker *other = open_worker(f, 4, 0);
    run_all_but(f, other, 1);
    end(run);
    assert_int_equal(guaco_worker_join(worker, LONG_MS), GUACO_OK);
    guaco_worker_close(other);
    guaco_worker_close(worker);
    assert_int_equal(tasks_left(f), 0);
}

static void
no_more_run_than_there_are_slots_whatever_was_claimed_ahead(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker = open_worker(f, 2, 64);
    struct guaco_run *third;
    uint32_t ahead;

    struct guaco_run *run = run_until_ahead(f, worker, &ahead);
    fixture_put(f, "x");
    struct guaco_run *second = begin(worker);
    assert_int_equal(guaco_worker_next(worker, 0, &third, NULL), GUACO_E_AGAIN);
    end(run);
    end(second);
    run_all_but(f, worker, 0);
    guaco_worker_close(worker);
}

static void
more_claimed_ahead_than_a_claim_may_give_is_refused(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker_options options = {
        .queue = GUACO_SLICE("q"), .slots = 1, .prefetch = 257};
    struct guaco_worker *worker;
    struct guaco_error err = {0};

    assert_int_equal(guaco_worker_open(&worker, f->broker, &options, &err),
                     GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "257"));
}

#define TESTS(X)                                                   \
    X(what_was_claimed_ahead_of_a_long_run_goes_to_others)         \
    X(what_was_claimed_ahead_goes_back_on_drain)                   \
    X(no_more_run_than_there_are_slots_whatever_was_claimed_ahead) \
    X(more_claimed_ahead_than_a_claim_may_give_is_refused)

#include "each_store.h"
