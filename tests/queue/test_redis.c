/* What is the Redis store's own: lost connections and lost answers, what a
 * server may refuse, and what it may say.  The promise that it shares with the
 * others is in test_broker.c and its kin. */

#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guaco/key.h"
#include "guaco/worker.h"
#include "os/clock.h"
#include "redis_proxy.h"
#include "store.h"

#define LONG_MS 20000

static int disconnects = 50;

/* Commands to the server, whose answers do not matter. */
static void
tell(const char *line)
{
    char answer[256];

    redis_server_ask(fixture_redis(), line, answer, sizeof answer);
}

static const char *
prefix_of(const struct fixture *f)
{
    return strstr(f->url, "prefix=") + strlen("prefix=");
}

/* Where the URL leaves little time and the machine is busy, once more. */
static struct guaco_broker *
open_patiently(const char *url)
{
    struct guaco_broker *broker;
    struct guaco_error err = {0};
    int rc;

    do
        rc = guaco_broker_open(&broker, url, &err);
    while (rc == GUACO_E_TIMEOUT);
    if (rc != GUACO_OK)
        fail_msg("open %s: %s", url, err.text);
    return broker;
}

/* The same keys through a proxy. */
static struct guaco_broker *
open_through(const struct fixture *f, const struct redis_proxy *proxy,
             const char *more)
{
    char url[300];

    snprintf(url, sizeof url, "redis+unix://%s?prefix=%s%s", proxy->path,
             prefix_of(f), more);
    return open_patiently(url);
}

static void
start_proxy(struct redis_proxy *proxy)
{
    char path[112];

    snprintf(path, sizeof path, "%s/proxy.sock", fixture_redis()->folder);
    redis_proxy_start(proxy, path);
}

static const struct guaco_task task = {.queue = {"q", 1}, .name = {"n", 1}};

static uint64_t
put(struct guaco_broker *broker)
{
    struct guaco_error err = {0};
    uint64_t id = 0;

    if (guaco_broker_put(broker, &task, 1, &id, &err) != GUACO_OK)
        fail_msg("put: %s", err.text);
    return id;
}

static int
claim(struct guaco_broker *broker, uint64_t owner, struct guaco__row *row,
      uint32_t *count)
{
    struct guaco__op op = {
        .kind = GUACO__OP_CLAIM,
        .claim = {.queue = task.queue, .owner = owner, .max = 1, .rows = row}};
    int rc = guaco__front_run_one(broker, &op, NULL);

    *count = op.claim.count;
    if (op.claim.count > 0)
        fixture_free_row(row);
    return rc;
}

static int
finish(struct guaco_broker *broker, uint64_t owner, uint64_t id,
       uint32_t attempt)
{
    struct guaco__op op = {.kind = GUACO__OP_FINISH,
                           .finish = {.owner = owner,
                                      .id = id,
                                      .attempt = attempt,
                                      .state = GUACO_TASK_DONE,
                                      .keep = true,
                                      .ttl_s = 60,
                                      .body = {"42", 2}}};

    return guaco__front_run_one(broker, &op, NULL);
}

/* ---- lost answers ---- */

static void
what_was_done_is_not_done_again_when_its_answer_is_lost(void **state)
{
    struct fixture *f = *state;
    struct redis_proxy proxy = {.server = fixture_redis()->socket};
    struct guaco__row row;
    struct guaco_news news;
    uint32_t count;

    start_proxy(&proxy);
    struct guaco_broker *broker = open_through(f, &proxy, "");
    atomic_store(&proxy.swallow, 1);
    uint64_t id = put(broker);
    assert_int_equal(fixture_stats(f).waiting, 1);

    atomic_store(&proxy.swallow, 2); /* also of the second attempt */
    assert_int_equal(claim(broker, f->owner, &row, &count), GUACO_OK);
    assert_int_equal(count, 1);
    assert_int_equal(row.id, id);
    assert_int_equal(row.attempt, 1);
    assert_int_equal(fixture_stats(f).running, 1);

    atomic_store(&proxy.swallow, 1);
    assert_int_equal(finish(broker, f->owner, id, 1), GUACO_OK);
    atomic_store(&proxy.swallow, 1);
    assert_int_equal(guaco_broker_read(broker, id, 0, true, &news, NULL),
                     GUACO_OK);
    assert_non_null(news.result);
    assert_memory_equal(news.result->body.at, "42", 2);
    guaco_news_release(&news);
    assert_int_equal(atomic_load(&proxy.swallowed), 5);
    assert_int_equal(fixture_stats(f).results, 0);
    guaco_broker_close(broker);
    redis_proxy_stop(&proxy);
}

static void
what_an_unanswered_claim_took_is_given_back(void **state)
{
    struct fixture *f = *state;
    struct redis_proxy proxy = {.server = fixture_redis()->socket};
    struct guaco__row row;
    uint32_t count;
    uint64_t id = fixture_put(f, "x");

    start_proxy(&proxy);
    struct guaco_broker *broker =
        open_through(f, &proxy, "&timeout_ms=250&connect_timeout_ms=200");
    atomic_store(&proxy.swallow, 1000000); /* no attempt is answered */
    assert_int_equal(claim(broker, f->owner, &row, &count), GUACO_E_TIMEOUT);
    assert_int_equal(count, 0);
    assert_int_equal(fixture_stats(f).running, 1); /* and nobody has it */
    atomic_store(&proxy.swallow, 0);
    guaco_broker_close(broker);

    /* The same, by a client that goes on. */
    broker = open_through(f, &proxy, "&timeout_ms=1000");
    assert_int_equal(fixture_reap(f, f->owner, false), GUACO_OK);
    f->owner = fixture_owner(f);
    atomic_store(&proxy.swallow, 1000000);
    assert_int_equal(claim(broker, f->owner, &row, &count), GUACO_E_TIMEOUT);
    atomic_store(&proxy.swallow, 0);
    assert_int_equal(claim(broker, f->owner, &row, &count), GUACO_OK);
    assert_int_equal(count, 1);
    assert_int_equal(row.id, id);
    assert_int_equal(row.attempt, 2); /* the first was the reaped one's */
    assert_int_equal(fixture_stats(f).running, 1);
    guaco_broker_close(broker);
    redis_proxy_stop(&proxy);
}

/* ---- lost connections ---- */

struct killer {
    pthread_t thread;
    sem_t progress; /* posted for each call that came back */
    atomic_bool stop;
    atomic_int kills;
};

/* Everybody's connection, again and again; but each time something was done
 * meanwhile, or a busy machine would never get as far as that. */
static void *
kill_all(void *arg)
{
    struct killer *killer = arg;
    char answer[64];

    for (;;) {
        while (sem_wait(&killer->progress) != 0)
            continue;
        if (atomic_load(&killer->stop))
            return NULL;
        redis_server_ask(fixture_redis(), "CLIENT KILL TYPE normal SKIPME yes",
                         answer, sizeof answer);
        if (answer[0] == ':' && answer[1] != '0')
            atomic_fetch_add(&killer->kills, 1);
        if (atomic_load(&killer->kills) % 5 == 0)
            redis_server_ask(fixture_redis(), "CLIENT KILL TYPE pubsub", answer,
                             sizeof answer);
    }
}

static void
nothing_is_lost_or_done_twice_by_disconnects(void **state)
{
    struct fixture *f = *state;
    struct killer killer = {0};
    struct guaco__row row;
    uint64_t puts = 0, finished = 0;

    sem_init(&killer.progress, 0, 0);
    assert_int_equal(pthread_create(&killer.thread, NULL, kill_all, &killer),
                     0);
    while (atomic_load(&killer.kills) < disconnects) {
        uint32_t count;
        sem_post(&killer.progress);
        (void)put(f->broker);
        puts++;
        if (puts % 2 == 0)
            continue;
        assert_int_equal(claim(f->broker, f->owner, &row, &count), GUACO_OK);
        assert_int_equal(count, 1);
        assert_int_equal(row.attempt, 1);
        assert_int_equal(finish(f->broker, f->owner, row.id, 1), GUACO_OK);
        finished++;
    }
    atomic_store(&killer.stop, true);
    sem_post(&killer.progress);
    pthread_join(killer.thread, NULL);
    sem_destroy(&killer.progress);
    print_message("%d disconnects, %llu puts, %llu finished\n",
                  atomic_load(&killer.kills), (unsigned long long)puts,
                  (unsigned long long)finished);
    struct guaco_queue_stats stats = fixture_stats(f);
    assert_int_equal(stats.waiting, puts - finished);
    assert_int_equal(stats.results, finished);
    assert_int_equal(stats.running, 0);
}

static void
an_idle_worker_is_woken_after_its_connections_were_cut(void **state)
{
    struct fixture *f = *state;
    struct guaco_worker_options options = {.queue = task.queue, .slots = 1};
    const struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE};
    struct guaco_broker *other;
    struct guaco_worker *worker;
    struct guaco_run *run;

    assert_int_equal(guaco_broker_open(&other, f->url, NULL), GUACO_OK);
    assert_int_equal(guaco_worker_open(&worker, f->broker, &options, NULL),
                     GUACO_OK);
    for (int i = 0; i < 20; i++) {
        /* Idle, and known to be. */
        assert_int_equal(guaco_worker_next(worker, 0, &run, NULL),
                         GUACO_E_AGAIN);
        if (i % 2 == 0)
            tell("CLIENT KILL TYPE pubsub");
        if (i % 4 >= 2)
            tell("CLIENT KILL TYPE normal SKIPME yes");
        (void)put(other);
        assert_int_equal(guaco_worker_next(worker, LONG_MS, &run, NULL),
                         GUACO_OK);
        assert_int_equal(guaco_run_finish(run, &done, NULL, NULL), GUACO_OK);
    }
    guaco_worker_close(worker);
    guaco_broker_close(other);
}

/* A broker of its own, with an idle worker of one slot. */
static struct guaco_worker *
idle_worker(struct guaco_broker *broker)
{
    struct guaco_worker_options options = {.queue = task.queue, .slots = 1};
    struct guaco_worker *worker;
    struct guaco_run *run;

    assert_int_equal(guaco_worker_open(&worker, broker, &options, NULL),
                     GUACO_OK);
    assert_int_equal(guaco_worker_next(worker, 0, &run, NULL), GUACO_E_AGAIN);
    return worker;
}

static void
run_one(struct guaco_worker *worker)
{
    const struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE};
    struct guaco_run *run;

    assert_int_equal(guaco_worker_next(worker, LONG_MS, &run, NULL), GUACO_OK);
    assert_int_equal(guaco_run_finish(run, &done, NULL, NULL), GUACO_OK);
}

/* Put, claimed, run, acknowledged. */
static void
run_one_through(struct guaco_broker *broker)
{
    struct guaco_worker *worker = idle_worker(broker);

    (void)put(broker);
    run_one(worker);
    guaco_worker_close(worker);
}

static void
what_is_more_than_our_own_can_take_wakes_others(void **state)
{
    struct fixture *f = *state;
    const struct guaco_task two[2] = {task, task};
    struct guaco_broker *other;
    uint64_t ids[2];

    assert_int_equal(guaco_broker_open(&other, f->url, NULL), GUACO_OK);
    struct guaco_worker *ours = idle_worker(f->broker);
    struct guaco_worker *theirs = idle_worker(other);
    assert_int_equal(guaco_broker_put(f->broker, two, 2, ids, NULL), GUACO_OK);
    run_one(theirs);
    run_one(ours);
    guaco_worker_close(theirs);
    guaco_worker_close(ours);
    guaco_broker_close(other);
}

static void
who_waits_hears_after_a_fork(void **state)
{
    struct fixture *f = *state;
    struct guaco_broker *other;
    struct guaco_news news;
    struct guaco__row row;
    uint32_t count;
    uint64_t id = fixture_put(f, "x");

    assert_int_equal(guaco_broker_wait(f->broker, id, false, 0, &news, NULL),
                     GUACO_E_TIMEOUT);
    guaco_broker_before_fork(f->broker);
    pid_t pid = fork();
    if (pid == 0) {
        pause(); /* with a copy of all that the parent had open */
        _exit(0);
    }
    guaco_broker_after_fork(f->broker);
    assert_int_equal(guaco_broker_open(&other, f->url, NULL), GUACO_OK);
    assert_int_equal(claim(other, f->owner, &row, &count), GUACO_OK);
    assert_int_equal(finish(other, f->owner, id, 1), GUACO_OK);
    assert_int_equal(
        guaco_broker_wait(f->broker, id, true, LONG_MS, &news, NULL), GUACO_OK);
    guaco_news_release(&news);
    guaco_broker_close(other);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void
a_server_that_lost_its_scripts_gets_them_again(void **state)
{
    struct fixture *f = *state;

    (void)put(f->broker);
    tell("SCRIPT FLUSH");
    (void)put(f->broker);
    assert_int_equal(fixture_stats(f).waiting, 2);
}

/* ---- large things ---- */

#define LARGE 12

static void
count_row(void *ctx, const struct guaco_task_info *info)
{
    size_t *count = ctx;

    assert_int_equal(info->task.body.len, GUACO_TASK_BODY_MAX);
    assert_int_equal(info->task.body.at[0], (char)*count);
    (*count)++;
}

static void
count_key(void *ctx, struct guaco_slice key, struct guaco_slice value)
{
    size_t *count = ctx;

    assert_int_equal(key.at[0], 'a' + (char)*count);
    assert_int_equal(value.len, GUACO_TASK_BODY_MAX * 3);
    (*count)++;
}

/* All tasks, however many claims that takes. */
static void
claim_all(struct fixture *f, uint64_t *last)
{
    struct guaco__row rows[LARGE];

    for (uint32_t n = 0; n < LARGE;) {
        struct guaco__op op = {.kind = GUACO__OP_CLAIM,
                               .claim = {.queue = task.queue,
                                         .owner = f->owner,
                                         .max = LARGE - n,
                                         .rows = rows}};
        assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
        assert_true(op.claim.count > 0);
        for (uint32_t i = 0; i < op.claim.count; i++) {
            assert_true(rows[i].id > *last);
            *last = rows[i].id;
            assert_true(rows[i].envelope.len > GUACO_TASK_BODY_MAX);
            fixture_free_row(&rows[i]);
        }
        n += op.claim.count;
    }
}

static void
large_tasks_results_and_keys_pass_whole(void **state)
{
    struct fixture *f = *state;
    char *large = calloc(1, GUACO_RESULT_BODY_MAX);
    struct guaco_news news;
    size_t count = 0;
    uint64_t last = 0;

    assert_non_null(large);
    for (int i = 0; i < LARGE; i++) {
        large[0] = (char)i;
        fixture_put_task(
            f, (struct guaco_task){.body = {large, GUACO_TASK_BODY_MAX}});
    }
    assert_int_equal(guaco_broker_list(f->broker, task.queue,
                                       GUACO_TASK_WAITING, 0, 100, count_row,
                                       &count, NULL),
                     GUACO_OK);
    assert_int_equal(count, LARGE);
    claim_all(f, &last);

    struct guaco__op op = {.kind = GUACO__OP_FINISH,
                           .finish = {.owner = f->owner,
                                      .id = last,
                                      .attempt = 1,
                                      .state = GUACO_TASK_DONE,
                                      .keep = true,
                                      .ttl_s = 60,
                                      .body = {large, GUACO_RESULT_BODY_MAX}}};
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(guaco_broker_read(f->broker, last, 0, true, &news, NULL),
                     GUACO_OK);
    assert_int_equal(news.result->body.len, GUACO_RESULT_BODY_MAX);
    assert_memory_equal(news.result->body.at, large, GUACO_RESULT_BODY_MAX);
    guaco_news_release(&news);

    const struct guaco_slice value = {large, GUACO_TASK_BODY_MAX * 3};
    for (char c = 'a'; c <= 'd'; c++) {
        bool was;
        assert_int_equal(guaco_key_put(f->broker, (struct guaco_slice){&c, 1},
                                       value, 0, false, &was, NULL),
                         GUACO_OK);
    }
    count = 0;
    assert_int_equal(guaco_key_list(f->broker, TEXT(""), TEXT(""), 100,
                                    count_key, &count, NULL),
                     GUACO_OK);
    assert_int_equal(count, 4);
    free(large);
}

/* ---- another server ---- */

static void
expect_open(const char *url, int rc, const char *word)
{
    struct guaco_broker *broker;
    struct guaco_error err = {0};

    assert_int_equal(guaco_broker_open(&broker, url, &err), rc);
    if (strstr(err.text, word) == NULL)
        fail_msg("'%s' says not '%s'", err.text, word);
}

static void
a_server_that_comes_back_has_all_and_wakes_who_waits(void **state)
{
    static const char *const durable[] = {"--appendonly", "yes",
                                          "--appendfsync", "always", NULL};
    struct redis_server server = {0};
    struct guaco_worker_options options = {.queue = task.queue, .slots = 1};
    const struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE};
    struct guaco_broker *broker, *other;
    struct guaco_worker *worker;
    struct guaco_run *run;
    char url[200];

    (void)state;
    redis_server_start(&server, durable);
    snprintf(url, sizeof url, "redis+unix://%s", server.socket);
    assert_int_equal(guaco_broker_open(&broker, url, NULL), GUACO_OK);
    assert_int_equal(guaco_broker_open(&other, url, NULL), GUACO_OK);
    assert_int_equal(guaco_worker_open(&worker, broker, &options, NULL),
                     GUACO_OK);
    assert_int_equal(guaco_worker_next(worker, 0, &run, NULL), GUACO_E_AGAIN);
    redis_server_kill(&server);
    redis_server_start(&server, durable);
    for (int i = 0; i < 3; i++) { /* waiting, and then running as it ends */
        uint64_t id = put(other);
        assert_int_equal(guaco_worker_next(worker, LONG_MS, &run, NULL),
                         GUACO_OK);
        assert_true(guaco_run_id(run) == id);
        redis_server_kill(&server);
        redis_server_start(&server, durable);
        assert_int_equal(guaco_run_finish(run, &done, NULL, NULL), GUACO_OK);
    }
    guaco_worker_close(worker);
    struct guaco_queue_stats stats;
    assert_int_equal(guaco_broker_stats(other, task.queue, &stats, NULL),
                     GUACO_OK);
    assert_int_equal(stats.waiting + stats.running, 0);
    guaco_broker_close(other);
    guaco_broker_close(broker);
    redis_server_remove(&server);
}

static void
a_server_that_is_gone_is_an_error_in_time(void **state)
{
    struct redis_server server = {0};
    struct guaco_broker *broker;
    struct guaco_error err = {0};
    char url[200];
    uint64_t id;

    (void)state;
    redis_server_start(&server, NULL);
    snprintf(url, sizeof url, "redis+unix://%s?timeout_ms=50", server.socket);
    broker = open_patiently(url);
    redis_server_kill(&server);
    int rc = guaco_broker_put(broker, &task, 1, &id, &err);
    assert_true(rc == GUACO_E_IO || rc == GUACO_E_TIMEOUT);
    assert_non_null(strstr(err.text, "redis: "));
    guaco_broker_close(broker);
    /* At the open there is no patience. */
    assert_int_equal(guaco_broker_open(&broker, url, &err), GUACO_E_IO);
    assert_null(broker);
    redis_server_remove(&server);
}

static void
a_node_of_a_cluster_that_has_the_keys_will_do(void **state)
{
    static const char *const clustered[] = {"--cluster-enabled", "yes", NULL};
    struct redis_server server = {0};
    struct guaco_broker *broker;
    char url[200], answer[64];

    (void)state;
    redis_server_start(&server, clustered);
    snprintf(url, sizeof url, "redis+unix://%s", server.socket);
    expect_open(url, GUACO_E_IO, "CLUSTERDOWN");
    redis_server_ask(&server, "CLUSTER ADDSLOTSRANGE 0 16383", answer,
                     sizeof answer);
    if (answer[0] == '-') { /* before 7 */
        redis_server_remove(&server);
        skip();
    }
    snprintf(url, sizeof url, "redis+unix://%s", server.socket);
    int rc;
    struct guaco_error err = {0};
    do /* it takes the node a moment to know that it is whole */
        rc = guaco_broker_open(&broker, url, &err);
    while (rc == GUACO_E_IO && strstr(err.text, "CLUSTERDOWN") != NULL);
    assert_int_equal(rc, GUACO_OK);
    run_one_through(broker);
    guaco_broker_close(broker);
    redis_server_remove(&server);
}

/* ---- what a server refuses ---- */

static void
a_login_is_needed_and_checked(void **state)
{
    static const char *const locked[] = {"--requirepass", "se cret", NULL};
    struct redis_server server = {0};
    struct guaco_broker *broker;
    char url[300], acl[256];

    (void)state;
    redis_server_start(&server, locked);
    snprintf(url, sizeof url, "redis+unix://%s", server.socket);
    expect_open(url, GUACO_E_INVALID, "NOAUTH");
    snprintf(url, sizeof url, "redis+unix://:wrong@%s", server.socket);
    expect_open(url, GUACO_E_INVALID, "WRONGPASS");
    snprintf(url, sizeof url, "redis+unix://:se%%20cret@%s", server.socket);
    assert_int_equal(guaco_broker_open(&broker, url, NULL), GUACO_OK);
    guaco_broker_close(broker);
    snprintf(acl, sizeof acl,
             "AUTH 'se cret'\r\nACL SETUSER worker on >pw ~{guaco}* &{guaco}* "
             "+@all -@dangerous\r\nACL SETUSER nobody on >pw ~x -@all +auth");
    redis_server_ask(&server, acl, url, sizeof url);
    redis_server_ask(&server, "PING", url, sizeof url);
    snprintf(url, sizeof url, "redis+unix://worker:pw@%s", server.socket);
    assert_int_equal(guaco_broker_open(&broker, url, NULL), GUACO_OK);
    (void)put(broker);
    guaco_broker_close(broker);
    snprintf(url, sizeof url, "redis+unix://nobody:pw@%s", server.socket);
    expect_open(url, GUACO_E_INVALID, "NOPERM");
    redis_server_remove(&server);
}

static void
what_a_server_cannot_do_is_said(void **state)
{
    struct fixture *f = *state;
    struct guaco_error err = {0};
    struct guaco_broker *broker;
    uint64_t id;

    tell("CONFIG SET maxmemory 1");
    assert_int_equal(guaco_broker_put(f->broker, &task, 1, &id, &err),
                     GUACO_E_IO);
    assert_non_null(strstr(err.text, "memory is full"));
    tell("CONFIG SET maxmemory 1gb");
    tell("CONFIG SET maxmemory-policy allkeys-lru");
    assert_null(guaco_broker_warning(f->broker));
    assert_int_equal(guaco_broker_open(&broker, f->url, &err), GUACO_OK);
    assert_non_null(strstr(guaco_broker_warning(broker), "allkeys-lru"));
    guaco_broker_close(broker);
    tell("CONFIG SET maxmemory-policy noeviction");
    tell("CONFIG SET maxmemory 0");

    tell("REPLICAOF 127.0.0.1 1");
    expect_open(f->url, GUACO_E_IO, "a replica");
    tell("REPLICAOF NO ONE");
    assert_int_equal(fixture_stats(f).waiting, 0);
    (void)put(f->broker);
}

static void
a_bad_url_is_refused_and_tells_no_password(void **state)
{
    static const struct {
        const char *url, *word;
    } cases[] = {
        {"redis://h/x", "db"},
        {"redis://h:70000", "port"},
        {"redis://a,b", "one host"},
        {"redis://h?colour=red", "no option 'colour'"},
        {"redis://h?tls_ca=x", "rediss"},
        {"redis://h?prefix=", "prefix"},
        {"redis://h?timeout_ms=0", "timeout"},
        {"redis://h?timeout_ms=1s", "timeout_ms"},
        {"redis://user@h", "without a password"},
        {"redis+sentinel://h", "service"},
        {"redis+unix://relative", "absolute"},
        {"rediss://h?tls_ca=/nowhere", "/nowhere"},
        {"redsi://me:hush@h/0", "no store for 'redsi://me:***@h/0'"},
        {"redis://h?hush", "KEY=VALUE"},
    };
    struct guaco_broker *broker;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct guaco_error err = {0};
        assert_int_equal(guaco_broker_open(&broker, cases[i].url, &err),
                         GUACO_E_INVALID);
        if (strstr(err.text, cases[i].word) == NULL)
            fail_msg("%s: '%s'", cases[i].url, err.text);
        assert_null(strstr(err.text, "hush"));
    }
}

/* ---- what a server may say ---- */

/* An open broker of a server of ours that goes mad then. */
static void
expect_answer(const char *says, int rc)
{
    static const char sane[] =
        "*4\r\n:1764000000000000\r\n$0\r\n\r\n*0\r\n*0\r\n";
    struct redis_proxy proxy = {.says = sane};
    struct guaco_error err = {0};
    char url[200];
    uint64_t id;

    start_proxy(&proxy);
    /* Only what may pass is asked again until the time is over. */
    snprintf(url, sizeof url, "redis+unix://%s?timeout_ms=%d", proxy.path,
             strstr(says, "LOADING") != NULL ? 300 : LONG_MS);
    struct guaco_broker *broker = open_patiently(url);
    proxy.says = says;
    int got = guaco_broker_put(broker, &task, 1, &id, &err);
    if (got != rc)
        fail_msg("'%.40s' gives %d %s", says, got, err.text);
    guaco_broker_close(broker);
    redis_proxy_stop(&proxy);
}

static void
a_mad_server_is_an_error_and_no_crash(void **state)
{
    (void)state;
    expect_answer("hello\r\n", GUACO_E_TIMEOUT); /* it may have been done */
    expect_answer(":1\r\n", GUACO_E_PROTO);
    expect_answer("*0\r\n", GUACO_E_PROTO);
    expect_answer("*5\r\n:1\r\n$0\r\n\r\n*0\r\n*0\r\n$1\r\nx\r\n",
                  GUACO_E_PROTO);
    expect_answer("*5\r\n:1\r\n$0\r\n\r\n*0\r\n*0\r\n:5\r\n", GUACO_E_PROTO);
    expect_answer(
        "*5\r\n:1\r\n$0\r\n\r\n*3\r\n$1\r\nq\r\n:-1\r\n:1\r\n*0\r\n$1\r\n7\r\n",
        GUACO_E_PROTO);
    expect_answer("*5\r\n:1\r\n$0\r\n\r\n*0\r\n*0\r\n$1\r\n7\r\n", GUACO_OK);
    expect_answer("-MOVED 123 10.0.0.3:6379\r\n", GUACO_E_UNSUPPORTED);
    expect_answer("-OOM command not allowed\r\n", GUACO_E_IO);
    expect_answer("-LOADING Redis is loading\r\n", GUACO_E_IO);
    expect_answer("*1000000000\r\n", GUACO_E_TIMEOUT);
}

/* ---- owners ---- */

static void
an_owner_of_another_boot_may_be_another_machine(void **state)
{
    struct fixture *f = *state;
    struct guaco__op op = {.kind = GUACO__OP_OWNER_LIST};
    char line[200];

    snprintf(line, sizeof line,
             "HSET {%s}:owners 9000000000000000 \"7 8 9 other\"", prefix_of(f));
    tell(line);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.owners.n, 2);
    for (size_t i = 0; i < 2; i++) {
        bool is_other = op.owners.owners[i].id == 9000000000000000u;
        assert_int_equal(op.owners.owners[i].is_elsewhere, is_other);
        assert_true(op.owners.owners[i].boot_is_ours);
    }
    free(op.owners.owners);
}

int
main(int argc, char **argv)
{
#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, fixture_on_redis, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_done_is_not_done_again_when_its_answer_is_lost),
        TEST(what_an_unanswered_claim_took_is_given_back),
        TEST(nothing_is_lost_or_done_twice_by_disconnects),
        TEST(an_idle_worker_is_woken_after_its_connections_were_cut),
        TEST(what_is_more_than_our_own_can_take_wakes_others),
        TEST(who_waits_hears_after_a_fork),
        TEST(large_tasks_results_and_keys_pass_whole),
        TEST(a_server_that_lost_its_scripts_gets_them_again),
        cmocka_unit_test(a_server_that_comes_back_has_all_and_wakes_who_waits),
        cmocka_unit_test(a_server_that_is_gone_is_an_error_in_time),
        cmocka_unit_test(a_node_of_a_cluster_that_has_the_keys_will_do),
        cmocka_unit_test(a_login_is_needed_and_checked),
        TEST(what_a_server_cannot_do_is_said),
        cmocka_unit_test(a_bad_url_is_refused_and_tells_no_password),
        cmocka_unit_test(a_mad_server_is_an_error_and_no_crash),
        TEST(an_owner_of_another_boot_may_be_another_machine),
    };

    if (argc > 1)
        disconnects = (int)strtol(argv[1], NULL, 10);
    if (!fixture_has("redis"))
        return 77; /* Meson's word for a skipped test */
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return failed;
}
