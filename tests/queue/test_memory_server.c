/* The memory of a tree: what only a store behind a socket can get wrong. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "guaco/keeper.h"
#include "guaco/worker.h"
#include "queue/remote_link.h"
#include "store.h"

/* ---- other processes' wake-ups ---- */

/* Waits for a task's result through a broker of its own. */
struct waiter {
    pthread_t thread;
    struct guaco_broker *broker;
    uint64_t id;
    int rc;
    struct guaco_error err;
};

static void *
wait_for_result(void *arg)
{
    struct waiter *w = arg;
    struct guaco_news news;

    w->rc = guaco_broker_wait(w->broker, w->id, false, 20000, &news, &w->err);
    guaco_news_release(&news);
    return NULL;
}

static void
waiter_start(struct waiter *w, uint64_t id)
{
    w->id = id;
    w->err = (struct guaco_error){0};
    assert_int_equal(guaco_broker_open(&w->broker, "memory:", &w->err),
                     GUACO_OK);
    assert_int_equal(pthread_create(&w->thread, NULL, wait_for_result, w), 0);
}

static void
waiter_join(struct waiter *w)
{
    pthread_join(w->thread, NULL);
    guaco_broker_close(w->broker);
}

/* Until the keeper was asked to tell of a task. */
static void
await_listener(struct fixture *f, uint64_t id)
{
    struct guaco__list *head = &f->kept->tasks[id % GUACO__BUCKETS];
    bool is_there = false;

    while (!is_there) {
        pthread_mutex_lock(&f->kept->lock);
        is_there = !guaco__list_is_empty(head);
        pthread_mutex_unlock(&f->kept->lock);
    }
}

static void
who_waits_elsewhere_is_woken_by_the_finish(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct waiter w;
    uint64_t id = fixture_put(f, "x");

    waiter_start(&w, id);
    await_listener(f, id);
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 1);
    fixture_free_row(&row);
    assert_int_equal(fixture_finish(f, f->owner, id, 1, "done"), GUACO_OK);
    waiter_join(&w);
    assert_int_equal(w.rc, GUACO_OK);
}

static void
a_worker_elsewhere_is_woken_by_a_put_and_takes_all(void **state)
{
    struct fixture *f = *state;
    struct guaco_broker *broker;
    struct guaco_worker *worker;
    struct guaco_worker_options options = {.queue = TEXT("q"), .slots = 2};

    assert_int_equal(guaco_broker_open(&broker, "memory:", NULL), GUACO_OK);
    assert_int_equal(guaco_worker_open(&worker, broker, &options, NULL),
                     GUACO_OK);
    for (int i = 0; i < 20; i++) {
        struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE, .keep = true};
        struct guaco_news news;
        struct guaco_run *run;
        uint64_t id = fixture_put(f, "x");
        assert_int_equal(guaco_worker_next(worker, 20000, &run, NULL),
                         GUACO_OK);
        assert_int_equal(guaco_run_id(run), id);
        assert_int_equal(guaco_run_finish(run, &done, NULL, NULL), GUACO_OK);
        assert_int_equal(
            guaco_broker_wait(f->broker, id, true, 20000, &news, NULL),
            GUACO_OK);
        guaco_news_release(&news);
    }
    guaco_worker_close(worker);
    guaco_broker_close(broker);
}

/* ---- the keeper's death ---- */

static void
who_waits_is_told_that_the_memory_is_gone(void **state)
{
    struct fixture *f = *state;
    struct waiter w;
    uint64_t id = fixture_put(f, "x");

    waiter_start(&w, id);
    await_listener(f, id);
    fixture_keeper_end(f);
    fixture_keeper_begin(f);
    waiter_join(&w);
    assert_int_equal(w.rc, GUACO_E_LOST);
    assert_non_null(strstr(w.err.text, "sqlite:"));
}

static void
the_first_call_after_the_keepers_death_fails_and_the_next_goes_on(void **state)
{
    struct fixture *f = *state;
    struct guaco_task task = {.queue = TEXT("q"), .name = TEXT("n")};
    struct guaco_error err = {0};
    uint64_t before = fixture_put(f, "x"), id;

    fixture_keeper_end(f);
    fixture_keeper_begin(f);
    assert_int_equal(guaco_broker_put(f->broker, &task, 1, &id, &err),
                     GUACO_E_IO);
    assert_non_null(strstr(err.text, "keeper"));
    assert_int_equal(guaco_broker_put(f->broker, &task, 1, &id, &err),
                     GUACO_OK);
    assert_int_not_equal(before >> 32, id >> 32);
    assert_int_equal(fixture_stats(f).waiting, 1);
    assert_int_equal(fixture_finish(f, f->owner, before, 1, "late"),
                     GUACO_E_LOST);
}

static void
without_a_supervisor_to_connect_to_it_says_so(void **state)
{
    struct guaco_broker *broker;
    struct guaco_error err = {0};

    (void)state;
    setenv("GUACO_MEMORY_SOCKET", "guaco-test-nobody-is-here", 1);
    assert_int_equal(guaco_broker_open(&broker, "memory:", &err), GUACO_E_IO);
    assert_non_null(strstr(err.text, "supervisor"));
    assert_null(broker);
}

/* ---- what an enemy sends ---- */

static int
connect_raw(void)
{
    struct sockaddr_un address;
    socklen_t len =
        guaco__link_address(getenv("GUACO_MEMORY_SOCKET"), &address);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

/* The server closes it, and goes on serving others. */
static void
check_refused(struct fixture *f, int fd, const char *bytes, size_t len)
{
    char answer[64];

    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
    while (recv(fd, answer, sizeof answer, 0) > 0)
        continue;
    close(fd);
    assert_int_equal(fixture_stats(f).dead, 0);
}

static void
who_breaks_the_protocol_loses_its_connection(void **state)
{
    struct fixture *f = *state;
    static const char *const frames[] = {
        "\0\0\0\0\2\1",         /* HELLO without a socket */
        "\1\0\0\0\2\3\1",       /* RUN before HELLO */
        "\0\0\0\0\2\7",         /* no such type */
        "\0\0\0\0\3\1",         /* another version */
        "\377\377\377\377\2\3", /* too long */
    };

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        check_refused(f, connect_raw(), frames[i],
                      i == 1 ? 7 : GUACO__WIRE_HEAD_BYTES);
}

/* After HELLO, on a link that knows the way. */
static void
what_is_no_run_ends_the_link(void **state)
{
    struct fixture *f = *state;
    static const struct guaco_slice runs[] = {
        {"\0\0\0\0\2\3", 6},             /* no ops */
        {"\2\0\0\0\2\3\1\0", 8},         /* no such kind */
        {"\2\0\0\0\2\3\1\36", 8},        /* beyond the last kind */
        {"\3\0\0\0\2\3\1\1\0", 9},       /* a put of nothing */
        {"\4\0\0\0\2\3\1\1\177\1", 10},  /* more puts than bytes */
        {"\4\0\0\0\2\3\1\20\1 ", 10},    /* stats of no queue's name */
        {"\2\0\0\0\2\5\2\1", 8},         /* listen: neither on nor off */
        {"\7\0\0\0\2\6\2\0\1\0\0\0", 12} /* ring for a task: cut short */
    };

    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct guaco__link link;
        struct guaco_slice answer;
        uint64_t end_ns = guaco__end_ns(20000);

        guaco__link_init(&link);
        assert_int_equal(guaco__link_connect(&link,
                                             getenv("GUACO_MEMORY_SOCKET"),
                                             end_ns, NULL),
                         GUACO_OK);
        assert_int_equal(guaco__link_send(&link, runs[i], end_ns, NULL),
                         GUACO_OK);
        if (i == 7)
            shutdown(link.fd, SHUT_WR);
        assert_int_equal(guaco__link_receive(&link, GUACO__WIRE_ANSWER, end_ns,
                                             &answer, NULL),
                         GUACO_E_IO);
        guaco__link_release(&link);
        assert_int_equal(fixture_stats(f).dead, 0);
    }
}

/* ---- many readers, large answers ---- */

static void
hundreds_of_reads_and_claims_are_split_into_requests(void **state)
{
    struct fixture *f = *state;
    struct guaco__op ops[300] = {{0}};
    struct guaco_news news[300] = {{0}};

    for (size_t i = 0; i < 300; i++)
        ops[i] = (struct guaco__op){.kind = GUACO__OP_READ,
                                    .read = {.id = i + 1, .news = &news[i]}};
    assert_int_equal(guaco__front_run(f->broker, ops, 300, NULL), GUACO_OK);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(ops[i].rc, GUACO_OK);
        guaco_news_release(&news[i]);
    }
}

int
main(void)
{
#define X(name) \
    cmocka_unit_test_setup_teardown(name, fixture_on_remote, fixture_teardown)
    const struct CMUnitTest tests[] = {
        X(who_waits_elsewhere_is_woken_by_the_finish),
        X(a_worker_elsewhere_is_woken_by_a_put_and_takes_all),
        X(who_waits_is_told_that_the_memory_is_gone),
        X(the_first_call_after_the_keepers_death_fails_and_the_next_goes_on),
        X(without_a_supervisor_to_connect_to_it_says_so),
        X(who_breaks_the_protocol_loses_its_connection),
        X(what_is_no_run_ends_the_link),
        X(hundreds_of_reads_and_claims_are_split_into_requests),
    };
#undef X
    fixture_clock_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
