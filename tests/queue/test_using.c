/* The promise of guaco/using.h: transactions of the caller's. */

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "../failing_malloc.h"
#include "guaco/using.h"
#include "guaco/worker.h"
#include "store.h"

#define LONG_MS 20000

static const struct guaco_task task = {
    .queue = {"q", 1}, .name = {"demo.add", 8}, .body = {"body", 4}};

static const char *
path_of(const struct fixture *f)
{
    return f->url + strlen("sqlite:///");
}

static sqlite3 *
connect_to(const char *path)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, LONG_MS);
    return db;
}

static void
run_sql(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static int
put(struct guaco_broker *broker, sqlite3 *db, bool commits, uint64_t *id)
{
    const struct guaco_using use = {db, commits};

    return guaco_using_put(broker, &use, &task, 1, id, NULL);
}

static void
put_well(struct fixture *f, sqlite3 *db, uint64_t *id)
{
    assert_int_equal(put(f->broker, db, false, id), GUACO_OK);
    assert_int_equal(sqlite3_get_autocommit(db), 0);
}

static void
it_is_there_after_the_commit_and_gone_after_a_rollback(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = connect_to(path_of(f));
    uint64_t first, second;

    put_well(f, db, &first);
    assert_int_equal(fixture_stats(f).waiting, 0);
    run_sql(db, "COMMIT");
    assert_int_equal(fixture_stats(f).waiting, 1);
    put_well(f, db, &second);
    put_well(f, db, &second);
    run_sql(db, "ROLLBACK");
    assert_int_equal(fixture_stats(f).waiting, 1);
    assert_int_equal(put(f->broker, db, true, &second), GUACO_OK);
    assert_int_equal(fixture_stats(f).waiting, 2);
    assert_true(second != first);
    sqlite3_close(db);
}

static void
a_closed_connection_rolls_back_and_lets_go(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = connect_to(path_of(f));
    uint64_t id;

    put_well(f, db, &id);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(fixture_stats(f).waiting, 0);
    fixture_put(f, "x");
    assert_int_equal(fixture_stats(f).waiting, 1);
}

static void
the_thread_of_an_open_transaction_may_not_write_otherwise(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = connect_to(path_of(f));
    struct guaco_error err = {0};
    uint64_t id;

    put_well(f, db, &id);
    assert_int_equal(guaco_broker_put(f->broker, &task, 1, &id, &err),
                     GUACO_E_STATE);
    assert_non_null(strstr(err.text, "transaction open"));
    run_sql(db, "COMMIT");
    fixture_put(f, "x");
    sqlite3_close(db);
}

static void
ids_are_given_once_whoever_rolls_back(void **state)
{
    struct fixture *f = *state;
    struct guaco_using use = {connect_to(path_of(f)), false};
    uint64_t kept[300];
    size_t n = 0;

    for (int i = 0; i < 100; i++) {
        uint64_t id, block;
        assert_int_equal(guaco_using_reserve(f->broker, &use, 7, &block, NULL),
                         GUACO_OK);
        put_well(f, use.connection, &id);
        run_sql(use.connection, i % 2 == 0 ? "COMMIT" : "ROLLBACK");
        if (i % 2 == 0)
            kept[n++] = id;
        kept[n++] = fixture_put(f, "plain");
        for (size_t j = 0; j + 1 < n; j++)
            assert_true(kept[j] != kept[n - 1]);
    }
    assert_int_equal(fixture_stats(f).waiting, n);
    sqlite3_close(use.connection);
}

static void
a_reserved_id_is_put_in_the_same_transaction_or_later(void **state)
{
    struct fixture *f = *state;
    const struct guaco_using use = {connect_to(path_of(f)), false};
    struct guaco_rules rules = {0};
    struct guaco_task with = task;
    uint64_t first, id;

    assert_int_equal(guaco_using_reserve(f->broker, &use, 2, &first, NULL),
                     GUACO_OK);
    rules.id = first;
    with.rules = &rules;
    assert_int_equal(guaco_using_put(f->broker, &use, &with, 1, &id, NULL),
                     GUACO_OK);
    assert_int_equal(id, first);
    assert_int_equal(guaco_using_put(f->broker, &use, &with, 1, &id, NULL),
                     GUACO_E_EXISTS);
    run_sql(use.connection, "COMMIT");
    rules.id = first + 1;
    assert_int_equal(guaco_broker_put(f->broker, &with, 1, &id, NULL),
                     GUACO_OK);
    rules.id = first + 100000;
    assert_int_equal(guaco_broker_put(f->broker, &with, 1, &id, NULL),
                     GUACO_E_INVALID);
    sqlite3_close(use.connection);
}

static void
other_files_are_refused(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = connect_to(":memory:");
    uint64_t id;

    assert_int_equal(put(f->broker, db, true, &id), GUACO_E_INVALID);
    assert_int_equal(sqlite3_get_autocommit(db), 1);
    sqlite3_close(db);
}

static void
the_broker_may_be_closed_first(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = connect_to(path_of(f));
    uint64_t id;

    for (int i = 0; i < 3; i++) {
        struct guaco_broker *other;
        assert_int_equal(guaco_broker_open(&other, f->url, NULL), GUACO_OK);
        assert_int_equal(put(other, db, false, &id), GUACO_OK);
        put_well(f, db, &id);
        guaco_broker_close(other);
    }
    run_sql(db, "COMMIT");
    assert_int_equal(fixture_stats(f).waiting, 6);
    sqlite3_close(db);
}

/* ---- a run's own end ---- */

static struct guaco_worker *
open_worker(struct guaco_broker *broker)
{
    struct guaco_worker_options options = {.queue = GUACO_SLICE("q"),
                                           .slots = 1};
    struct guaco_worker *worker;

    assert_int_equal(guaco_worker_open(&worker, broker, &options, NULL),
                     GUACO_OK);
    return worker;
}

static struct guaco_run *
next(struct guaco_worker *worker)
{
    struct guaco_run *run;

    assert_int_equal(guaco_worker_next(worker, LONG_MS, &run, NULL), GUACO_OK);
    return run;
}

static const struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE,
                                          .keep = true,
                                          .body = {"42", 2},
                                          .follow = &task,
                                          .follow_count = 1};
static const struct guaco_outcome back = {.kind = GUACO_OUTCOME_RELEASED};

static void
a_run_is_done_with_the_commit(void **state)
{
    struct fixture *f = *state;
    const struct guaco_using use = {connect_to(path_of(f)), false};
    struct guaco_worker *worker = open_worker(f->broker);
    struct guaco_worker_stats stats;
    struct guaco_news news;
    uint64_t id = fixture_put(f, "x");
    struct guaco_run *run = next(worker);

    assert_int_equal(guaco_using_state(run), GUACO_USING_NONE);
    assert_int_equal(guaco_using_finish(run, &use, &done, NULL), GUACO_OK);
    assert_int_equal(guaco_using_finish(run, &use, &done, NULL),
                     GUACO_E_EXISTS);
    assert_int_equal(guaco_using_state(run), GUACO_USING_OPEN);
    run_sql(use.connection, "COMMIT");
    assert_int_equal(guaco_using_state(run), GUACO_USING_COMMITTED);
    assert_int_equal(
        guaco_broker_wait(f->broker, id, false, LONG_MS, &news, NULL),
        GUACO_OK);
    assert_int_equal(news.result->state, GUACO_TASK_DONE);
    guaco_news_release(&news);
    assert_int_equal(guaco_run_finish(run, &back, NULL, NULL), GUACO_OK);
    run = next(worker); /* what followed it */
    assert_true(guaco_run_id(run) != id);
    assert_int_equal(guaco_run_finish(run, &back, NULL, NULL), GUACO_OK);
    guaco_worker_stats(worker, &stats);
    assert_int_equal(stats.lost, 0);
    guaco_worker_close(worker);
    sqlite3_close(use.connection);
}

static void
a_run_is_not_done_with_a_rollback(void **state)
{
    struct fixture *f = *state;
    const struct guaco_using use = {connect_to(path_of(f)), false};
    struct guaco_worker *worker = open_worker(f->broker);
    struct guaco_run *run;
    uint64_t id = fixture_put(f, "x");

    run = next(worker);
    assert_int_equal(guaco_using_finish(run, &use, &done, NULL), GUACO_OK);
    run_sql(use.connection, "ROLLBACK");
    assert_int_equal(guaco_using_state(run), GUACO_USING_UNDONE);
    assert_int_equal(fixture_stats(f).running, 1);
    assert_int_equal(guaco_using_finish(run, &use, &done, NULL), GUACO_OK);
    sqlite3_close(use.connection);
    assert_int_equal(guaco_using_state(run), GUACO_USING_UNDONE);
    assert_int_equal(guaco_run_finish(run, &back, NULL, NULL), GUACO_OK);
    run = next(worker);
    assert_int_equal(guaco_run_id(run), id);
    assert_int_equal(guaco_run_finish(run, &back, NULL, NULL), GUACO_OK);
    guaco_worker_close(worker);
}

static void
a_run_that_was_taken_over_is_fenced(void **state)
{
    struct fixture *f = *state;
    const struct guaco_using use = {connect_to(path_of(f)), false};
    struct guaco_worker *worker = open_worker(f->broker);
    struct guaco_error err = {0};

    fixture_put(f, "x");
    struct guaco_run *run = next(worker);
    run_sql(use.connection, "UPDATE guaco_running SET attempt = attempt + 1");
    assert_int_equal(guaco_using_finish(run, &use, &done, &err), GUACO_E_LOST);
    assert_non_null(strstr(err.text, "roll back"));
    assert_int_equal(guaco_using_state(run), GUACO_USING_NONE);
    assert_int_equal(sqlite3_get_autocommit(use.connection), 1);
    assert_int_equal(fixture_stats(f).waiting, 0); /* no follow-up */
    assert_int_equal(guaco_run_finish(run, &back, NULL, NULL), GUACO_OK);
    guaco_worker_close(worker);
    sqlite3_close(use.connection);
}

/* ---- memory, threads ---- */

static void
without_memory_nothing_is_half_done(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = connect_to(path_of(f));
    uint64_t id, puts = 0;

    for (long n = 0; n < 200; n++) {
        sqlite3 *other = n % 2 == 0 ? db : connect_to(path_of(f));
        fail_after(n);
        int rc = put(f->broker, other, true, &id);
        bool was_refused = fail_stop();
        puts += rc == GUACO_OK;
        assert_int_equal(sqlite3_get_autocommit(other), 1);
        if (other != db)
            sqlite3_close(other);
        if (!was_refused && n % 2 == 1)
            break;
        assert_true(rc == GUACO_OK || rc == GUACO_E_NOMEM);
    }
    assert_int_equal(fixture_stats(f).waiting, puts);
    assert_true(puts > 0);
    sqlite3_close(db);
}

static void *
put_some(void *arg)
{
    struct fixture *f = arg;
    sqlite3 *db = connect_to(path_of(f));
    uint64_t id;

    for (int i = 0; i < 40; i++) {
        run_sql(db, "BEGIN IMMEDIATE");
        assert_int_equal(put(f->broker, db, false, &id), GUACO_OK);
        run_sql(db, i % 4 == 3 ? "ROLLBACK" : "COMMIT");
    }
    sqlite3_close(db);
    return NULL;
}

static void
threads_write_both_ways_and_workers_are_woken(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker *worker = open_worker(f->broker);
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_some, f), 0);
    for (int i = 0; i < 40; i++)
        fixture_put(f, "plain");
    for (int i = 0; i < 3 * 30 + 40; i++) {
        const struct guaco_outcome plain = {.kind = GUACO_OUTCOME_DONE};
        struct guaco_run *run = next(worker);
        assert_int_equal(guaco_run_finish(run, &plain, NULL, NULL), GUACO_OK);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    guaco_worker_close(worker);
    assert_int_equal(fixture_stats(f).waiting, 0);
}

/* ---- the other stores ---- */

static void
a_store_without_connections_says_so(void **state)
{
    struct fixture *f = *state;
    struct guaco_error err = {0};
    const struct guaco_using use = {f, false};
    uint64_t id;

    assert_int_equal(guaco_using_put(f->broker, &use, &task, 1, &id, &err),
                     GUACO_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "cannot take part"));
}

int
main(void)
{
#define X(name) \
    cmocka_unit_test_setup_teardown(name, fixture_on_sqlite, fixture_teardown)
    const struct CMUnitTest tests[] = {
        X(it_is_there_after_the_commit_and_gone_after_a_rollback),
        X(a_closed_connection_rolls_back_and_lets_go),
        X(the_thread_of_an_open_transaction_may_not_write_otherwise),
        X(ids_are_given_once_whoever_rolls_back),
        X(a_reserved_id_is_put_in_the_same_transaction_or_later),
        X(other_files_are_refused),
        X(the_broker_may_be_closed_first),
        X(a_run_is_done_with_the_commit),
        X(a_run_is_not_done_with_a_rollback),
        X(a_run_that_was_taken_over_is_fenced),
        X(without_memory_nothing_is_half_done),
        X(threads_write_both_ways_and_workers_are_woken),
        cmocka_unit_test_setup_teardown(a_store_without_connections_says_so,
                                        fixture_on_memory, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_store_without_connections_says_so,
                                        fixture_on_remote, fixture_teardown),
    };
#undef X

    fixture_clock_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return failed;
}
