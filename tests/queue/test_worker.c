/* The promise of guaco/worker.h, on every store. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guaco/worker.h"
#include "store.h"

#define LONG_MS 20000 /* nobody should ever wait so long */

static struct guaco_worker *
open_worker(struct fixture *f, struct guaco_worker_options options)
{
    struct guaco_worker *worker;
    struct guaco_error err = {0};

    options.queue = GUACO_SLICE("q");
    if (options.slots == 0)
        options.slots = 1;
    int rc = guaco_worker_open(&worker, f->broker, &options, &err);
    if (rc != GUACO_OK)
        fail_msg("worker: %s", err.text);
    return worker;
}

static struct guaco_run *
next(struct guaco_worker *worker)
{
    struct guaco_run *run;
    struct guaco_error err = {0};
    int rc = guaco_worker_next(worker, LONG_MS, &run, &err);

    if (rc != GUACO_OK)
        fail_msg("next: %d %s", rc, err.text);
    return run;
}

static enum guaco_run_end
finish(struct guaco_run *run, enum guaco_outcome_kind kind, const char *body)
{
    struct guaco_outcome outcome = {
        .kind = kind, .keep = body != NULL, .retry_delay_ms = -1};
    enum guaco_run_end end;

    if (body != NULL)
        outcome.body = TEXT(body);
    assert_int_equal(guaco_run_finish(run, &outcome, &end, NULL), GUACO_OK);
    return end;
}

static struct guaco_news
result_of(struct fixture *f, uint64_t id)
{
    struct guaco_news news;

    assert_int_equal(
        guaco_broker_wait(f->broker, id, false, LONG_MS, &news, NULL),
        GUACO_OK);
    return news;
}

static void
a_task_is_run_and_its_result_stored(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    uint64_t id = fixture_put(f, "body");
    struct guaco_run *run = next(worker);

    assert_int_equal(guaco_run_id(run), id);
    assert_int_equal(guaco_run_attempt(run), 1);
    assert_memory_equal(guaco_run_task(run)->body.at, "body", 4);
    assert_memory_equal(guaco_run_task(run)->name.at, "demo.add", 8);
    assert_true(guaco_run_remaining_ms(run) == INT64_MAX);
    assert_int_equal(finish(run, GUACO_OUTCOME_DONE, "42"), GUACO_RUN_ENDED);
    struct guaco_news news = result_of(f, id);
    assert_int_equal(news.result->state, GUACO_TASK_DONE);
    assert_memory_equal(news.result->body.at, "42", 2);
    guaco_news_release(&news);
    guaco_worker_close(worker);
}

static void
a_failed_run_is_retried_then_stored_as_failed(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    uint64_t id = fixture_put_task(f, (struct guaco_task){.retries = 2});

    for (uint32_t i = 0; i < 2; i++) {
        struct guaco_run *run = next(worker);
        assert_int_equal(guaco_run_failures(run), i);
        assert_int_equal(guaco_run_retries_left(run), 2 - i);
        assert_int_equal(finish(run, GUACO_OUTCOME_FAILED, "E"),
                         GUACO_RUN_RETRIED);
    }
    assert_int_equal(finish(next(worker), GUACO_OUTCOME_FAILED, "E"),
                     GUACO_RUN_ENDED);
    struct guaco_news news = result_of(f, id);
    assert_int_equal(news.result->state, GUACO_TASK_FAILED);
    assert_int_equal(news.result->attempt, 3);
    guaco_news_release(&news);
    guaco_worker_close(worker);
}

static void
an_expired_task_is_not_run(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    uint64_t id = fixture_put_task(
        f,
        (struct guaco_task){.expires_ms = guaco_broker_now_ms(f->broker) - 1});
    struct guaco_run *run;

    assert_int_equal(guaco_worker_next(worker, 0, &run, NULL), GUACO_E_AGAIN);
    struct guaco_news news = result_of(f, id);
    assert_int_equal(news.result->state, GUACO_TASK_EXPIRED);
    guaco_news_release(&news);
    guaco_worker_close(worker);
}

static void
a_result_over_the_limit_fails_with_the_reason(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){.result_bytes_max = 3});
    uint64_t id = fixture_put(f, "x");

    finish(next(worker), GUACO_OUTCOME_DONE, "four");
    struct guaco_news news = result_of(f, id);
    assert_int_equal(news.result->state, GUACO_TASK_FAILED);
    assert_int_equal(news.result->body.len, 0);
    assert_non_null(strstr(news.result->reason.at, "result_bytes_max"));
    guaco_news_release(&news);
    guaco_worker_close(worker);
}

static void
what_was_claimed_and_not_run_goes_back_on_drain(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){.slots = 4});
    struct guaco_run *run, *other;

    for (int i = 0; i < 4; i++)
        fixture_put(f, "x");
    run = next(worker);
    assert_int_equal(fixture_stats(f).running, 4);
    guaco_worker_drain(worker);
    assert_int_equal(guaco_worker_next(worker, LONG_MS, &other, NULL),
                     GUACO_E_CLOSED);
    assert_int_equal(guaco_worker_join(worker, 0), GUACO_E_TIMEOUT);
    finish(run, GUACO_OUTCOME_DONE, NULL);
    assert_int_equal(guaco_worker_join(worker, LONG_MS), GUACO_OK);
    guaco_worker_close(worker);
    struct guaco_queue_stats stats = fixture_stats(f);
    assert_int_equal(stats.waiting, 3);
    assert_int_equal(stats.running, 0);
}

/* ---- waiting ---- */

static void *
put_later(void *arg)
{
    fixture_put(arg, "late");
    return NULL;
}

static void
a_waiting_worker_is_woken_by_a_put(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    struct guaco_run *run;
    pthread_t thread;

    assert_int_equal(guaco_worker_next(worker, 0, &run, NULL), GUACO_E_AGAIN);
    assert_int_equal(pthread_create(&thread, NULL, put_later, f), 0);
    finish(next(worker), GUACO_OUTCOME_DONE, NULL);
    pthread_join(thread, NULL);
    guaco_worker_close(worker);
}

static void
another_broker_on_the_same_file_wakes_it_too(void **state)
{
    struct fixture *f = *state;
    struct fixture other = *f;
    struct guaco_run *run;
    pthread_t thread;

    if (strcmp(f->kind, "memory") == 0)
        skip();
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    assert_int_equal(guaco_broker_open(&other.broker, f->url, NULL), GUACO_OK);
    assert_int_equal(guaco_worker_next(worker, 0, &run, NULL), GUACO_E_AGAIN);
    assert_int_equal(pthread_create(&thread, NULL, put_later, &other), 0);
    finish(next(worker), GUACO_OUTCOME_DONE, NULL);
    pthread_join(thread, NULL);
    guaco_worker_close(worker);
    guaco_broker_close(other.broker);
}

/* ---- progress ---- */

struct watcher {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t events;
    bool has_result;
};

static void
note_news(void *ctx, int rc, const struct guaco_news *news)
{
    struct watcher *watcher = ctx;

    assert_int_equal(rc, GUACO_OK);
    pthread_mutex_lock(&watcher->lock);
    for (size_t i = 0; i < news->event_count; i++)
        assert_int_equal(news->events[i].number, ++watcher->events);
    watcher->has_result = news->result != NULL;
    pthread_cond_signal(&watcher->changed);
    pthread_mutex_unlock(&watcher->lock);
}

static void
a_watch_gets_each_event_once_and_then_the_result(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    uint64_t id = fixture_put(f, "x");
    struct watcher watcher = {.lock = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER};
    struct guaco_watch *watch;
    struct guaco_run *run = next(worker);

    assert_int_equal(guaco_run_event(run, TEXT("1/3"), NULL), GUACO_OK);
    assert_int_equal(guaco_broker_watch(f->broker, id, 0, true, note_news,
                                        &watcher, &watch, NULL),
                     GUACO_OK);
    assert_int_equal(guaco_run_event(run, TEXT("2/3"), NULL), GUACO_OK);
    pthread_mutex_lock(&watcher.lock);
    while (watcher.events < 2)
        pthread_cond_wait(&watcher.changed, &watcher.lock);
    pthread_mutex_unlock(&watcher.lock);
    assert_int_equal(guaco_run_event(run, TEXT("3/3"), NULL), GUACO_OK);
    finish(run, GUACO_OUTCOME_DONE, "r");
    pthread_mutex_lock(&watcher.lock);
    while (!watcher.has_result)
        pthread_cond_wait(&watcher.changed, &watcher.lock);
    assert_int_equal(watcher.events, 3);
    pthread_mutex_unlock(&watcher.lock);
    guaco_broker_unwatch(f->broker, watch);
    guaco_worker_close(worker);
}

/* ---- time limits ---- */

struct interrupts {
    atomic_int why;
    atomic_int stuck;
};

static void
note_interrupt(void *ctx, struct guaco_run *run, int why)
{
    struct interrupts *seen = ctx;

    (void)run;
    atomic_store(&seen->why, why);
}

static void
note_stuck(void *ctx, struct guaco_run *run)
{
    struct interrupts *seen = ctx;

    (void)run;
    atomic_store(&seen->stuck, 1);
}

static void
a_run_over_its_timeout_is_interrupted_then_its_process_given_up(void **state)
{
    struct fixture *f = *state;
    struct interrupts seen = {0};
    struct guaco_worker *worker = open_worker(
        f,
        (struct guaco_worker_options){
            .slots = 2,
            .kill_grace_ms = 1,
            .calls = {.on_interrupt = note_interrupt, .on_stuck = note_stuck},
            .ctx = &seen});
    /* The other runs before the time of the one that is stuck begins. */
    uint64_t other_id = fixture_put(f, "other");
    struct guaco_run *other = next(worker);
    uint64_t id = fixture_put_task(f, (struct guaco_task){.timeout_ms = 5});
    struct guaco_run *run = next(worker);

    struct guaco_news news = result_of(f, id); /* stored without its runner */
    assert_int_equal(news.result->state, GUACO_TASK_FAILED);
    assert_non_null(strstr(news.result->reason.at, "timeout"));
    guaco_news_release(&news);
    assert_int_equal(atomic_load(&seen.why), GUACO_E_TIMEOUT);
    assert_true(guaco_run_interrupted(run));
    assert_int_equal(guaco_run_remaining_ms(run), 0);
    assert_int_equal(fixture_stats(f).waiting, 1); /* the other went back */
    finish(run, GUACO_OUTCOME_DONE, "too late");
    finish(other, GUACO_OUTCOME_DONE, "too late");
    guaco_worker_close(worker);
    assert_int_equal(atomic_load(&seen.stuck), 1);
    assert_int_equal(
        guaco_broker_wait(f->broker, other_id, false, 0, &news, NULL),
        GUACO_E_TIMEOUT);
}

static void
an_outcome_after_the_lease_was_lost_is_refused_and_counted(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    uint64_t id = fixture_put(f, "x");
    struct guaco_run *run = next(worker);
    struct guaco__op list = {.kind = GUACO__OP_OWNER_LIST};
    struct guaco__row row;

    assert_int_equal(guaco__front_run_one(f->broker, &list, NULL), GUACO_OK);
    for (size_t i = 0; i < list.owners.n; i++)
        if (list.owners.owners[i].id != f->owner)
            assert_int_equal(fixture_reap(f, list.owners.owners[i].id, false),
                             GUACO_OK);
    free(list.owners.owners);
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 1);
    fixture_free_row(&row);
    finish(run, GUACO_OUTCOME_DONE, "old");
    assert_int_equal(guaco_worker_join(worker, LONG_MS), GUACO_OK);
    struct guaco_worker_stats stats;
    guaco_worker_stats(worker, &stats);
    assert_int_equal(stats.lost, 1);
    assert_int_equal(fixture_finish(f, f->owner, id, 2, "new"), GUACO_OK);

    /* And it works on, as another owner. */
    fixture_put(f, "y");
    finish(next(worker), GUACO_OUTCOME_DONE, NULL);
    guaco_worker_close(worker);
}

/* ---- many threads ---- */

#define THREADS 4
#define JOBS    2000

static void *
work(void *arg)
{
    struct guaco_worker *worker = arg;
    struct guaco_run *run;
    const struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE};

    while (guaco_worker_next(worker, -1, &run, NULL) == GUACO_OK)
        if (guaco_run_finish(run, &done, NULL, NULL) != GUACO_OK)
            break;
    return NULL;
}

static void *
produce(void *arg)
{
    for (int i = 0; i < JOBS / THREADS; i++)
        fixture_put(arg, "x");
    return NULL;
}

static void
many_producers_and_runners_do_each_task_once(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){.slots = THREADS});
    pthread_t runners[THREADS], producers[THREADS];
    struct guaco_worker_stats stats;

    for (int i = 0; i < THREADS; i++) {
        pthread_create(&runners[i], NULL, work, worker);
        pthread_create(&producers[i], NULL, produce, f);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(producers[i], NULL);
    for (;;) {
        guaco_worker_stats(worker, &stats);
        if (stats.finished >= JOBS)
            break;
        sched_yield();
    }
    guaco_worker_drain(worker);
    for (int i = 0; i < THREADS; i++)
        pthread_join(runners[i], NULL);
    assert_int_equal(guaco_worker_join(worker, LONG_MS), GUACO_OK);
    guaco_worker_stats(worker, &stats);
    assert_int_equal(stats.finished, JOBS);
    assert_int_equal(stats.lost, 0);
    guaco_worker_close(worker);
    assert_int_equal(fixture_stats(f).waiting + fixture_stats(f).running, 0);
}

/* ---- suspects ---- */

/* `n` tasks whose process died. */
static void
put_suspects(struct fixture *f, int n)
{
    uint64_t owner = fixture_owner(f);
    struct guaco__row row;

    for (int i = 0; i < n; i++)
        fixture_put(f, "suspect");
    for (int i = 0; i < n; i++) {
        assert_int_equal(fixture_claim(f, owner, false, &row), 1);
        fixture_free_row(&row);
    }
    assert_int_equal(fixture_reap(f, owner, true), GUACO_OK);
}

static bool
is_suspect(const struct guaco_run *run)
{
    return guaco_run_attempt(run) == 2;
}

static void
after_a_suspect_the_others_have_their_turn(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){.slots = 2});
    struct guaco_run *run, *beside;

    put_suspects(f, 2);
    run = next(worker);
    assert_true(is_suspect(run));
    fixture_put(f, "other");
    assert_int_equal(guaco_worker_next(worker, 0, &beside, NULL),
                     GUACO_E_AGAIN); /* nothing runs beside it */
    /* Its time is what the others get. */
    assert_int_equal(guaco_worker_next(worker, 50, &beside, NULL),
                     GUACO_E_AGAIN);
    finish(run, GUACO_OUTCOME_DONE, NULL);
    run = next(worker);
    assert_false(is_suspect(run));
    finish(run, GUACO_OUTCOME_DONE, NULL);
    run = next(worker); /* and when they have none, the next suspect */
    assert_true(is_suspect(run));
    finish(run, GUACO_OUTCOME_DONE, NULL);
    guaco_worker_close(worker);
    assert_int_equal(fixture_stats(f).waiting + fixture_stats(f).running, 0);
}

static void
one_long_run_does_not_keep_slots_empty_for_a_suspect(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){.slots = 2});
    struct guaco_run *slow, *run;

    fixture_put(f, "slow");
    slow = next(worker);
    put_suspects(f, 1);
    for (int i = 0; i < 3; i++)
        fixture_put(f, "other");
    for (int i = 0; i < 3; i++) { /* the first may pass before it is quiet */
        run = next(worker);
        assert_false(is_suspect(run));
        finish(run, GUACO_OUTCOME_DONE, NULL);
    }
    assert_int_equal(fixture_stats(f).waiting, 1);
    finish(slow, GUACO_OUTCOME_DONE, NULL);
    run = next(worker);
    assert_true(is_suspect(run));
    finish(run, GUACO_OUTCOME_DONE, NULL);
    guaco_worker_close(worker);
}

/* ---- follow-ups ---- */

static void
a_finish_whose_follow_up_is_refused_fails_the_task_and_says_why(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    uint64_t id = fixture_put(f, "x");
    struct guaco_run *run = next(worker);
    struct guaco_task follow = {.queue = TEXT("one-too-many"),
                                .name = TEXT("n")};
    struct guaco_outcome outcome = {.kind = GUACO_OUTCOME_DONE,
                                    .keep = true,
                                    .body = TEXT("42"),
                                    .follow = &follow,
                                    .follow_count = 1};
    struct guaco_worker_stats stats;

    for (unsigned i = 1; i < GUACO__QUEUES_MAX; i++) {
        char name[16];
        int len = snprintf(name, sizeof name, "q%u", i);
        fixture_put_task(f, (struct guaco_task){.queue = {name, (size_t)len}});
    }
    assert_int_equal(guaco_run_finish(run, &outcome, NULL, NULL), GUACO_OK);
    struct guaco_news news = result_of(f, id);
    assert_int_equal(news.result->state, GUACO_TASK_FAILED);
    assert_int_equal(news.result->body.len, 0);
    assert_true(news.result->reason.len > 0);
    assert_memory_equal(news.result->reason.at, "its follow-up", 13);
    guaco_news_release(&news);
    assert_int_equal(fixture_stats(f).running, 0);
    assert_int_equal(guaco_worker_join(worker, LONG_MS), GUACO_OK);
    guaco_worker_stats(worker, &stats);
    assert_int_equal(stats.lost, 0);
    assert_int_equal(stats.finished, 1);
    guaco_worker_close(worker);
}

/* ---- canceling, revoking, batches ---- */

struct interruption {
    pthread_mutex_t lock;
    pthread_cond_t came;
    int why;
};

static void
tell_interrupt(void *ctx, struct guaco_run *run, int why)
{
    struct interruption *it = ctx;

    (void)run;
    pthread_mutex_lock(&it->lock);
    it->why = why;
    pthread_cond_signal(&it->came);
    pthread_mutex_unlock(&it->lock);
}

static void
a_run_that_is_canceled_is_interrupted_and_not_retried(void **state)
{
    struct fixture *f = *state;

    if (!f->broker->store->ops->has_rules)
        skip(); /* not this store's */
    struct interruption it = {PTHREAD_MUTEX_INITIALIZER,
                              PTHREAD_COND_INITIALIZER, 0};
    struct guaco_worker *worker = open_worker(
        f, (struct guaco_worker_options){
               .calls = {.on_interrupt = tell_interrupt}, .ctx = &it});
    uint64_t id = fixture_put_task(f, (struct guaco_task){.retries = 9});
    struct guaco_run *run = next(worker);
    enum guaco_task_state was;

    assert_int_equal(guaco_run_why(run), 0);
    assert_int_equal(
        guaco_broker_cancel(f->broker, id, TEXT("stop"), &was, NULL), 0);
    assert_int_equal(was, GUACO_TASK_RUNNING);
    pthread_mutex_lock(&it.lock);
    while (it.why == 0)
        pthread_cond_wait(&it.came, &it.lock);
    pthread_mutex_unlock(&it.lock);
    assert_int_equal(it.why, GUACO_E_STATE);
    assert_int_equal(guaco_run_why(run), GUACO_E_STATE);
    assert_int_equal(finish(run, GUACO_OUTCOME_FAILED, NULL), GUACO_RUN_ENDED);
    struct guaco_news news = result_of(f, id);
    assert_int_equal(news.result->state, GUACO_TASK_CANCELED);
    assert_memory_equal(news.result->reason.at, "stop", 4);
    guaco_news_release(&news);
    guaco_worker_close(worker);
}

static void
a_revoked_task_is_not_run(void **state)
{
    struct fixture *f = *state;

    if (!f->broker->store->ops->has_rules)
        skip(); /* not this store's */
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    struct guaco_revocation once = {
        .queue = TEXT("q"), .key = TEXT("demo.add"), .once = true};

    assert_int_equal(guaco_broker_revoke(f->broker, &once, NULL), 0);
    uint64_t first = fixture_put(f, "a");
    uint64_t second = fixture_put(f, "b");
    struct guaco_run *run = next(worker);
    assert_int_equal(guaco_run_id(run), second);
    struct guaco_news news = result_of(f, first);
    assert_int_equal(news.result->state, GUACO_TASK_CANCELED);
    guaco_news_release(&news);
    finish(run, GUACO_OUTCOME_DONE, NULL);
    guaco_worker_close(worker);
}

static void
a_batch_is_of_one_name_and_each_ends_for_itself(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){.slots = 8});
    struct guaco_run *runs[8];
    uint64_t ids[4];
    size_t n;

    ids[0] = fixture_put(f, "0");
    ids[1] = fixture_put_task(f, (struct guaco_task){.name = TEXT("other")});
    ids[2] = fixture_put(f, "2");
    ids[3] = fixture_put(f, "3");
    assert_int_equal(
        guaco_worker_next_batch(worker, LONG_MS, 8, runs, &n, NULL), 0);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(guaco_run_id(runs[i]), ids[i == 0 ? 0 : i + 1]);
    finish(runs[0], GUACO_OUTCOME_DONE, "x");
    finish(runs[1], GUACO_OUTCOME_FAILED, "x");
    finish(runs[2], GUACO_OUTCOME_RELEASED, NULL);
    assert_int_equal(
        guaco_worker_next_batch(worker, LONG_MS, 1, runs, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(guaco_run_id(runs[0]), ids[1]);
    finish(runs[0], GUACO_OUTCOME_DONE, "x");
    struct guaco_news news = result_of(f, ids[2]);
    assert_int_equal(news.result->state, GUACO_TASK_FAILED);
    guaco_news_release(&news);
    finish(next(worker), GUACO_OUTCOME_DONE, NULL);
    guaco_worker_close(worker);
}

static void *
resume_queue(void *arg)
{
    struct fixture *f = arg;

    assert_int_equal(
        guaco_broker_pause(f->broker, GUACO_SLICE("q"), false, NULL), GUACO_OK);
    return NULL;
}

static void
a_waiting_worker_is_woken_by_a_resume(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    if (!f->broker->store->ops->has_rules)
        skip(); /* not this store's */
    struct guaco_worker *worker =
        open_worker(f, (struct guaco_worker_options){0});
    struct guaco_run *run;
    assert_int_equal(
        guaco_broker_pause(f->broker, GUACO_SLICE("q"), true, NULL), GUACO_OK);
    fixture_put(f, "x");
    assert_int_equal(guaco_worker_next(worker, 0, &run, NULL), GUACO_E_AGAIN);
    assert_int_equal(pthread_create(&thread, NULL, resume_queue, f), 0);
    finish(next(worker), GUACO_OUTCOME_DONE, NULL);
    pthread_join(thread, NULL);
    guaco_worker_close(worker);
}

/* ---- for each store ---- */

#define TESTS(X)                                                       \
    X(a_task_is_run_and_its_result_stored)                             \
    X(a_failed_run_is_retried_then_stored_as_failed)                   \
    X(an_expired_task_is_not_run)                                      \
    X(a_result_over_the_limit_fails_with_the_reason)                   \
    X(what_was_claimed_and_not_run_goes_back_on_drain)                 \
    X(a_waiting_worker_is_woken_by_a_put)                              \
    X(another_broker_on_the_same_file_wakes_it_too)                    \
    X(a_watch_gets_each_event_once_and_then_the_result)                \
    X(a_run_over_its_timeout_is_interrupted_then_its_process_given_up) \
    X(an_outcome_after_the_lease_was_lost_is_refused_and_counted)      \
    X(many_producers_and_runners_do_each_task_once)                    \
    X(after_a_suspect_the_others_have_their_turn)                      \
    X(one_long_run_does_not_keep_slots_empty_for_a_suspect)            \
    X(a_finish_whose_follow_up_is_refused_fails_the_task_and_says_why) \
    X(a_run_that_is_canceled_is_interrupted_and_not_retried)           \
    X(a_waiting_worker_is_woken_by_a_resume)                           \
    X(a_revoked_task_is_not_run)                                       \
    X(a_batch_is_of_one_name_and_each_ends_for_itself)

#include "each_store.h"
