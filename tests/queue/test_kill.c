/*
 * Processes are killed at random points while they put, claim, run and
 * acknowledge.  Afterwards every task whose put had returned must have ended
 * exactly once, or wait in the dead set and end when it is replayed; and
 * SQLite's file must be sound.
 *
 *     test_kill [KILLS [STORE]]      20 on each store in the normal run, 1000
 *                                    and more for a soak
 */

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../folder.h"
#include "guaco/keeper.h"
#include "guaco/worker.h"
#include "store.h"

#define LONG_MS    30000
#define LEDGER_MAX 4000000
#define SLOTS      4

/* A store in which all tasks of 10,000 kills have ended takes long to check. */
#define ROUND_KILLS 500

/* Producers rest while more is waiting: the file is checked now and then, and
 * the check of one that has grown without end takes as long. */
#define BACKLOG_MAX 20000

static int kills; /* of this round */

/* Shared with the children: what was acknowledged, and how much was run. */
struct ledger {
    atomic_size_t count;
    atomic_size_t runs;
    uint64_t ids[LEDGER_MAX];
};

static struct ledger *
make_ledger(void)
{
    struct ledger *ledger =
        mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_true(ledger != MAP_FAILED);
    return ledger;
}

/* ---- the victims ---- */

struct victim {
    struct guaco_broker *broker;
    struct ledger *ledger;
};

static void *
produce(void *arg)
{
    struct victim *v = arg;
    char body[64] = "payload";
    struct guaco_task tasks[8];
    uint64_t ids[8];

    for (size_t i = 0; i < 8; i++)
        tasks[i] = (struct guaco_task){.queue = GUACO_SLICE("q"),
                                       .name = GUACO_SLICE("kill.task"),
                                       .body = {body, sizeof body},
                                       .retries = 1};
    for (size_t round = 0;; round++) {
        size_t n = round % 8 + 1;
        while (atomic_load(&v->ledger->count) >
               atomic_load(&v->ledger->runs) + BACKLOG_MAX)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        if (guaco_broker_put(v->broker, tasks, n, ids, NULL) != GUACO_OK)
            _exit(3);
        /* The ids are in the ledger only once the put has returned; a kill in
         * between leaves tasks that nobody was promised. */
        size_t at = atomic_fetch_add(&v->ledger->count, n);
        if (at + n > LEDGER_MAX)
            _exit(4);
        memcpy(&v->ledger->ids[at], ids, n * sizeof ids[0]);
    }
}

static void
run_tasks(struct victim *v)
{
    struct guaco_worker_options options = {
        .queue = GUACO_SLICE("q"), .slots = SLOTS, .prefetch = 64};
    struct guaco_worker *worker;
    struct guaco_run *run;

    if (guaco_worker_open(&worker, v->broker, &options, NULL) != GUACO_OK)
        _exit(5);
    while (guaco_worker_next(worker, -1, &run, NULL) == GUACO_OK) {
        /* Some fail at first, so that retries are under fire too. */
        bool fails =
            guaco_run_id(run) % 16 == 0 && guaco_run_retries_left(run) > 0;
        struct guaco_outcome outcome = {
            .kind = fails ? GUACO_OUTCOME_FAILED : GUACO_OUTCOME_DONE,
            .keep = true,
            .body = GUACO_SLICE("ok"),
        };
        atomic_fetch_add(&v->ledger->runs, 1);
        if (guaco_run_finish(run, &outcome, NULL, NULL) != GUACO_OK)
            _exit(6);
    }
    _exit(7);
}

static pid_t
start_victim(struct fixture *f, struct ledger *ledger)
{
    guaco_broker_before_fork(f->broker);
    pid_t pid = fork();
    if (pid == 0) {
        struct victim v = {.ledger = ledger};
        pthread_t thread;
        if (guaco_broker_open(&v.broker, f->url, NULL) != GUACO_OK)
            _exit(1);
        if (pthread_create(&thread, NULL, produce, &v) != 0)
            _exit(2);
        run_tasks(&v);
    }
    guaco_broker_after_fork(f->broker);
    return pid;
}

/* ---- after it ---- */

static void
check_file(const struct fixture *f)
{
    const char *path = f->url + strlen("sqlite:///");
    sqlite3 *db;
    sqlite3_stmt *stmt;

    if (strcmp(f->kind, "sqlite") != 0)
        return;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, LONG_MS);
    assert_int_equal(
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

/* What was running in three victims is in the dead set: make it wait again.
 * Returns how many were there. */
static uint64_t
raise_the_dead(struct fixture *f)
{
    uint64_t count = 0;

    if (fixture_stats(f).dead > 0)
        assert_int_equal(
            guaco_broker_replay(f->broker, GUACO_SLICE("q"), 0, &count, NULL),
            GUACO_OK);
    return count;
}

/* Run what is left until the store is empty.  Returns how many were dead. */
static uint64_t
run_the_rest(struct fixture *f)
{
    struct guaco_worker_options options = {.queue = GUACO_SLICE("q"),
                                           .slots = 64};
    struct guaco_worker *worker;
    uint64_t raised = 0;
    const struct guaco_outcome done = {
        .kind = GUACO_OUTCOME_DONE, .keep = true, .body = GUACO_SLICE("ok")};

    assert_int_equal(guaco_worker_open(&worker, f->broker, &options, NULL),
                     GUACO_OK);
    for (;;) {
        struct guaco_run *run;
        int rc = guaco_worker_next(worker, 200, &run, NULL);
        if (rc == GUACO_OK) {
            assert_int_equal(guaco_run_finish(run, &done, NULL, NULL),
                             GUACO_OK);
            continue;
        }
        assert_int_equal(rc, GUACO_E_AGAIN);
        struct guaco_queue_stats stats = fixture_stats(f);
        if (stats.waiting + stats.delayed + stats.running > 0)
            continue;
        uint64_t n = raise_the_dead(f);
        if (n == 0)
            break;
        raised += n;
    }
    assert_int_equal(guaco_worker_join(worker, LONG_MS), GUACO_OK);
    guaco_worker_close(worker);
    return raised;
}

static size_t
count_lost(struct fixture *f, const struct ledger *ledger)
{
    size_t n = atomic_load(&ledger->count), lost = 0;

    for (size_t i = 0; i < n; i++) {
        struct guaco_news news;
        /* Claimed a place in the ledger, killed before it wrote. */
        if (ledger->ids[i] == 0)
            continue;
        assert_int_equal(
            guaco_broker_read(f->broker, ledger->ids[i], 0, false, &news, NULL),
            GUACO_OK);
        lost += news.result == NULL || news.result->state != GUACO_TASK_DONE;
        guaco_news_release(&news);
    }
    return lost;
}

static void
no_acknowledged_task_is_lost_by_kills(void **state)
{
    struct fixture *f = *state;
    struct ledger *ledger = make_ledger();
    struct guaco_keeper *keeper;
    unsigned seed = 4711;
    /* One that has to log in and be compiled for takes longer to begin. */
    const long range_ns =
        strcmp(f->kind, "postgresql") == 0 ? 400000000 : 25000000;

    assert_int_equal(guaco_keeper_open(&keeper, f->broker, NULL, NULL),
                     GUACO_OK);
    pid_t victims[2] = {start_victim(f, ledger), start_victim(f, ledger)};
    for (int i = 0; i < kills; i++) {
        /* The moment of the kill is what is tested; any will do. */
        nanosleep(&(struct timespec){0, rand_r(&seed) % range_ns}, NULL);
        int which = i % 2, status;
        kill(victims[which], SIGKILL);
        assert_int_equal(waitpid(victims[which], &status, 0), victims[which]);
        if (!WIFSIGNALED(status))
            fail_msg("victim ended by itself: %d", WEXITSTATUS(status));
        if (i % 50 == 0)
            check_file(f);
        victims[which] = start_victim(f, ledger);
    }
    for (int i = 0; i < 2; i++) {
        kill(victims[i], SIGKILL);
        waitpid(victims[i], NULL, 0);
    }
    uint64_t raised = run_the_rest(f);
    check_file(f);
    size_t n = atomic_load(&ledger->count), lost = count_lost(f, ledger);
    print_message("%d kills: %zu tasks acknowledged, %zu runs by victims, "
                  "%zu lost, %llu raised from the dead\n",
                  kills + 2, n, atomic_load(&ledger->runs), lost,
                  (unsigned long long)raised);
    assert_true(n > 0);
    assert_int_equal(lost, 0);
    guaco_keeper_close(keeper);
    munmap(ledger, sizeof *ledger);
}

/* ---- writers and checkpoints ---- */

#define WRITERS 4
#define WRITES  400

static pid_t
start_writer(struct fixture *f)
{
    guaco_broker_before_fork(f->broker);
    pid_t pid = fork();
    if (pid == 0) {
        struct guaco_broker *broker;
        struct guaco_task task = {.queue = GUACO_SLICE("q"),
                                  .name = GUACO_SLICE("n"),
                                  .body = GUACO_SLICE("0123456789")};
        uint64_t id;
        if (guaco_broker_open(&broker, f->url, NULL) != GUACO_OK)
            _exit(1);
        for (int i = 0; i < WRITES; i++)
            if (guaco_broker_put(broker, &task, 1, &id, NULL) != GUACO_OK)
                _exit(2);
        guaco_broker_close(broker);
        _exit(0);
    }
    guaco_broker_after_fork(f->broker);
    return pid;
}

/* A foreign program that checkpoints as hard as SQLite lets it. */
static void
checkpoint_hard(const struct fixture *f)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(f->url + strlen("sqlite:///"), &db),
                     SQLITE_OK);
    sqlite3_busy_timeout(db, 100);
    (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                    NULL);
    sqlite3_close(db);
}

static void
four_writers_and_forced_checkpoints_leave_a_sound_file(void **state)
{
    struct fixture *f = *state;
    pid_t writers[WRITERS];
    int left = WRITERS;

    for (int i = 0; i < WRITERS; i++)
        writers[i] = start_writer(f);
    while (left > 0) {
        int status;
        checkpoint_hard(f);
        check_file(f);
        for (int i = 0; i < WRITERS; i++) {
            if (writers[i] == 0 ||
                waitpid(writers[i], &status, WNOHANG) != writers[i])
                continue;
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
            writers[i] = 0;
            left--;
        }
    }
    check_file(f);
    assert_int_equal(fixture_stats(f).waiting, WRITERS * WRITES);
}

/* Each round has a store of its own. */
static int
kill_on(CMFixtureFunction setup, int total)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_acknowledged_task_is_lost_by_kills,
                                        setup, fixture_teardown),
    };
    int failed = 0;

    for (int left = total; left > 0; left -= kills) {
        kills = left < ROUND_KILLS ? left : ROUND_KILLS;
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest writers[] = {
        cmocka_unit_test_setup_teardown(
            four_writers_and_forced_checkpoints_leave_a_sound_file,
            fixture_on_sqlite, fixture_teardown),
    };
    int total = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 20;
    const char *only = argc > 2 ? argv[2] : "";
    int failed = 0;

    if (*only == '\0' || strcmp(only, "sqlite") == 0) {
        failed += kill_on(fixture_on_sqlite, total);
        failed += cmocka_run_group_tests(writers, NULL, NULL);
    }
    if ((*only == '\0' || strcmp(only, "redis") == 0) && fixture_has("redis"))
        failed += kill_on(fixture_on_redis, total);
    if ((*only == '\0' || strcmp(only, "postgresql") == 0) &&
        fixture_has("postgresql"))
        failed += kill_on(fixture_on_postgresql, total);
    fixture_end();
    return failed;
}
