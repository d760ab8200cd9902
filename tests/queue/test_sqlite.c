/* What is the SQLite store's own: its URL, its file, its lock, its groups. */

#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"
#include "os/clock.h"
#include "queue/bell.h"
#include "schema_1.h"
#include "store.h"

static int
open_url(const char *url, struct guaco_error *err)
{
    struct guaco_broker *broker;
    int rc = guaco_broker_open(&broker, url, err);

    guaco_broker_close(broker);
    return rc;
}

static const char *
path_of(const struct fixture *f)
{
    return f->url + strlen("sqlite:///");
}

static void
run_sql(const char *path, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void
a_url_that_is_not_understood_is_refused_by_what_is_wrong(void **state)
{
    static const struct {
        const char *url;
        const char *named;
    } cases[] = {
        {"carrier-pigeon:", "carrier-pigeon"},
        {"sqlite:q.db", "sqlite:///PATH"},
        {"sqlite:///", "path"},
        {"sqlite:////tmp/q.db?synchronous=off", "synchronous=off"},
        {"sqlite:////tmp/q.db?busy_timeout_ms=-1", "busy_timeout_ms"},
        {"sqlite:////tmp/q.db?busy_timeout_ms=", "busy_timeout_ms"},
        {"sqlite:////tmp/q.db?synchronous=full&colour=red", "colour"},
        {"memory:x", "x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct guaco_error err = {0};
        assert_int_equal(open_url(cases[i].url, &err), GUACO_E_INVALID);
        if (strstr(err.text, cases[i].named) == NULL)
            fail_msg("%s: %s", cases[i].url, err.text);
    }
}

static void
a_folder_that_is_not_there_is_an_error_of_the_system(void **state)
{
    struct guaco_error err = {0};

    (void)state;
    assert_int_equal(open_url("sqlite:////nowhere/at/all/q.db", &err),
                     GUACO_E_IO);
    assert_true(err.sys != 0);
}

static void
a_new_file_is_its_owners_alone(void **state)
{
    const struct fixture *f = *state;
    struct stat st;
    char folder[PATH_MAX];

    assert_int_equal(stat(path_of(f), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)snprintf(folder, sizeof folder, "%s-wake", path_of(f));
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void
a_file_of_a_newer_version_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct guaco_error err = {0};

    run_sql(path_of(f),
            "UPDATE guaco_meta SET value = 99 WHERE name = 'version'");
    assert_int_equal(open_url(f->url, &err), GUACO_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer"));
}

static void
old_file(struct fixture *f)
{
    folder_make();
    f->kind = "sqlite";
    (void)snprintf(f->url, sizeof f->url, "sqlite:///%s", folder_path("q.db"));
    run_sql(path_of(f), schema_1);
}

static void
a_file_of_the_first_version_is_brought_to_this_one(void **state)
{
    struct fixture f = {0};
    struct guaco_error err = {0};
    struct guaco_queue_stats stats;
    struct guaco_news news;
    enum guaco_task_state was;
    uint64_t count;
    const struct guaco_slice queue = GUACO_SLICE("guaco");

    (void)state;
    old_file(&f);
    if (guaco_broker_open(&f.broker, f.url, &err) != GUACO_OK)
        fail_msg("%s", err.text);
    assert_int_equal(guaco_broker_stats(f.broker, queue, &stats, NULL), 0);
    assert_int_equal(stats.waiting, 2);
    assert_int_equal(stats.delayed, 1);
    assert_int_equal(stats.running, 1);
    assert_int_equal(stats.dead, 1);
    assert_int_equal(stats.results, 1);
    assert_int_equal(stats.recurring, 1);
    assert_int_equal(guaco_broker_read(f.broker, 7, 0, false, &news, NULL), 0);
    assert_int_equal(news.event_count, 1);
    assert_memory_equal(news.result->body.at, "*", 1);
    guaco_news_release(&news);
    assert_int_equal(fixture_reap(&f, 4000, true), GUACO_OK);
    assert_int_equal(guaco_broker_cancel(f.broker, 4, TEXT(""), &was, NULL), 0);
    assert_int_equal(was, GUACO_TASK_DELAYED);
    assert_int_equal(guaco_broker_cancel(f.broker, 5, TEXT(""), &was, NULL), 0);
    assert_int_equal(was, GUACO_TASK_WAITING);
    assert_int_equal(guaco_broker_replay(f.broker, queue, 6, &count, NULL), 0);
    assert_int_equal(guaco_broker_recurring_pause(
                         f.broker, queue, TEXT("v1.demo.nightly"), true, NULL),
                     GUACO_OK);
    struct guaco_rules rules = {.unique = TEXT("k")};
    struct guaco_task task = {.queue = queue, .rules = &rules};
    assert_true(fixture_put_task(&f, task) >= 4097);
    guaco_broker_close(f.broker);
    assert_int_equal(open_url(f.url, &err), GUACO_OK); /* it is so by now */
    folder_remove();
}

static int
take_number(void *ctx, int n, char **values, char **names)
{
    (void)n;
    (void)names;
    *(int *)ctx = (int)strtol(values[0], NULL, 10);
    return 0;
}

static void
a_file_that_cannot_be_brought_to_this_version_stays_as_it_is(void **state)
{
    struct fixture f = {0};
    struct guaco_error err = {0};
    sqlite3 *db;
    int version = 0, columns = 0;

    (void)state;
    old_file(&f);
    run_sql(path_of(&f), "CREATE TABLE guaco_lock(of, another)");
    assert_int_equal(open_url(f.url, &err), GUACO_E_IO);
    assert_non_null(strstr(err.text, "guaco_lock"));
    assert_int_equal(sqlite3_open(path_of(&f), &db), SQLITE_OK);
    (void)sqlite3_exec(db,
                       "SELECT value FROM guaco_meta WHERE name = 'version'",
                       take_number, &version, NULL);
    (void)sqlite3_exec(db,
                       "SELECT count(*) FROM pragma_table_info('guaco_ready')",
                       take_number, &columns, NULL);
    sqlite3_close(db);
    assert_int_equal(version, 1);
    assert_int_equal(columns, 5);
    folder_remove();
}

static void
a_file_that_is_no_database_is_an_error(void **state)
{
    char url[300];
    struct guaco_error err = {0};

    (void)state;
    folder_make();
    folder_write("junk", "this is not a database, but it is long enough", 45);
    (void)snprintf(url, sizeof url, "sqlite:///%s", folder_path("junk"));
    assert_int_equal(open_url(url, &err), GUACO_E_IO);
    folder_remove();
}

static void
an_id_is_never_given_twice_though_the_board_is_lost(void **state)
{
    struct fixture *f = *state;
    char board[600], saved[600];
    uint64_t before = fixture_put(f, "x"), count;

    assert_int_equal(guaco_broker_purge(f->broker, GUACO_SLICE("q"),
                                        GUACO_TASK_WAITING, &count, NULL),
                     GUACO_OK);
    guaco_broker_close(f->broker);
    /* As after a reboot, or a copy of the file alone. */
    (void)snprintf(board, sizeof board, "%s-wake/board", path_of(f));
    (void)snprintf(saved, sizeof saved, "%s-wake/board.old", path_of(f));
    assert_int_equal(rename(board, saved), 0);
    assert_int_equal(guaco_broker_open(&f->broker, f->url, NULL), GUACO_OK);
    assert_true(fixture_put(f, "y") > before);
}

static void
a_process_that_dies_with_the_lock_does_not_keep_it(void **state)
{
    struct fixture *f = *state;
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        struct guaco__bell bell;
        uint64_t soon_ns = guaco__clock_mono_ns() + 1000000000u;
        bool is_held = guaco__bell_open(&bell, path_of(f), NULL) == GUACO_OK &&
                       guaco__bell_lock(&bell, soon_ns, NULL) == GUACO_OK;
        _exit(is_held ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fixture_put(f, "x");
}

static void
a_lock_that_is_not_given_up_ends_in_a_timeout(void **state)
{
    struct fixture *f = *state;
    struct guaco__bell bell;
    struct guaco_broker *hasty;
    char url[600];
    const struct guaco_task task = {.queue = GUACO_SLICE("q"),
                                    .name = GUACO_SLICE("n")};
    uint64_t id;

    (void)snprintf(url, sizeof url, "%s?busy_timeout_ms=20", f->url);
    assert_int_equal(guaco_broker_open(&hasty, url, NULL), GUACO_OK);
    assert_int_equal(guaco__bell_open(&bell, path_of(f), NULL), GUACO_OK);
    assert_int_equal(
        guaco__bell_lock(&bell, guaco__clock_mono_ns() + 1000000000u, NULL),
        GUACO_OK);
    assert_int_equal(guaco_broker_put(hasty, &task, 1, &id, NULL),
                     GUACO_E_TIMEOUT);
    guaco__bell_unlock(&bell);
    assert_int_equal(guaco_broker_put(hasty, &task, 1, &id, NULL), GUACO_OK);
    guaco__bell_close(&bell);
    guaco_broker_close(hasty);
}

/* ---- groups ---- */

#define MEMBERS 8

static void *
put_one(void *arg)
{
    fixture_put(arg, "x");
    return NULL;
}

static size_t
line_length(struct guaco_broker *broker)
{
    pthread_mutex_lock(&broker->lock);
    size_t n = broker->line_count;
    pthread_mutex_unlock(&broker->lock);
    return n;
}

/* The log grows by a commit's pages: by a few for one commit, by as many
 * again for each other. */
static long
log_bytes(const struct fixture *f)
{
    char log[600];
    struct stat st;

    (void)snprintf(log, sizeof log, "%s-wal", path_of(f));
    return stat(log, &st) == 0 ? (long)st.st_size : 0;
}

static void
those_who_wait_are_committed_together(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[MEMBERS];

    fixture_put(f, "first");
    long before = log_bytes(f);
    fixture_put(f, "one alone");
    long alone = log_bytes(f) - before;

    guaco_broker_before_fork(f->broker); /* nobody leads */
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_one, f), 0);
    while (line_length(f->broker) < MEMBERS)
        sched_yield();
    before = log_bytes(f);
    guaco_broker_after_fork(f->broker);
    for (int i = 0; i < MEMBERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(fixture_stats(f).waiting, MEMBERS + 2);
    assert_true(alone > 0);
    assert_true(log_bytes(f) - before <= 2 * alone);
}

/* ---- the log ---- */

#define MB (1u << 20)

static void
put_megabytes(struct fixture *f, int n)
{
    char *body = calloc(1, GUACO_TASK_BODY_MAX);

    assert_non_null(body);
    for (int i = 0; i < n; i++)
        fixture_put_task(
            f, (struct guaco_task){.body = {body, GUACO_TASK_BODY_MAX}});
    free(body);
}

static void
the_log_is_bounded_without_readers_and_cut_when_a_pinned_one_leaves(
    void **state)
{
    struct fixture *f = *state;
    sqlite3 *db;

    put_megabytes(f, 40);
    assert_true(log_bytes(f) < 16 * (long)MB);

    assert_int_equal(sqlite3_open(path_of(f), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM sqlite_schema",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    put_megabytes(f, 80);
    assert_true(log_bytes(f) > 70 * (long)MB); /* nobody can help it */
    sqlite3_close(db);
    put_megabytes(f, 40);
    assert_true(log_bytes(f) < 24 * (long)MB);
    assert_int_equal(fixture_stats(f).waiting, 160);
}

/* ---- where it may lie ---- */

/* What statfs says; 0: the truth.  Both names of it: which one is called is up
 * to _FILE_OFFSET_BITS. */
static unsigned long fake_type;

int __real_statfs(const char *path, struct statfs *fs);
int __wrap_statfs(const char *path, struct statfs *fs);
int __real_statfs64(const char *path, struct statfs *fs);
int __wrap_statfs64(const char *path, struct statfs *fs);

int
__wrap_statfs(const char *path, struct statfs *fs)
{
    int rc = __real_statfs(path, fs);

    if (fake_type != 0)
        fs->f_type = (__typeof__(fs->f_type))fake_type;
    return rc;
}

int
__wrap_statfs64(const char *path, struct statfs *fs)
{
    int rc = __real_statfs64(path, fs);

    if (fake_type != 0)
        fs->f_type = (__typeof__(fs->f_type))fake_type;
    return rc;
}

static void
a_file_on_a_network_is_refused_by_the_systems_name(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned long type;
        const char *name;
    } cases[] = {{0x6969, "NFS"},
                 {0xff534d42, "CIFS"},
                 {0xfe534d42, "SMB"},
                 {0x01021997, "9P"},
                 {0x00c36400, "Ceph"}};
    struct guaco_error err = {0};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_type = cases[i].type;
        assert_int_equal(open_url(f->url, &err), GUACO_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, cases[i].name));
    }
    fake_type = 0x65735546; /* FUSE may be a disk */
    assert_int_equal(open_url(f->url, &err), GUACO_OK);
    fake_type = 0;
}

int
main(void)
{
#define ON_FILE(name) \
    cmocka_unit_test_setup_teardown(name, fixture_on_sqlite, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_url_that_is_not_understood_is_refused_by_what_is_wrong),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error_of_the_system),
        ON_FILE(a_new_file_is_its_owners_alone),
        ON_FILE(a_file_of_a_newer_version_is_left_alone),
        cmocka_unit_test(a_file_of_the_first_version_is_brought_to_this_one),
        cmocka_unit_test(
            a_file_that_cannot_be_brought_to_this_version_stays_as_it_is),
        cmocka_unit_test(a_file_that_is_no_database_is_an_error),
        ON_FILE(an_id_is_never_given_twice_though_the_board_is_lost),
        ON_FILE(a_process_that_dies_with_the_lock_does_not_keep_it),
        ON_FILE(a_lock_that_is_not_given_up_ends_in_a_timeout),
        ON_FILE(those_who_wait_are_committed_together),
        ON_FILE(
            the_log_is_bounded_without_readers_and_cut_when_a_pinned_one_leaves),
        ON_FILE(a_file_on_a_network_is_refused_by_the_systems_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
