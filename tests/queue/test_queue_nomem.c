/* Every allocation of a store's and a worker's life fails once: the call says
 * so, nothing leaks (ASan sees to that), and nothing was half done. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../failing_malloc.h"
#include "../folder.h"
#include "guaco/key.h"
#include "guaco/worker.h"
#include "queue/front.h"
#include "redis_server.h"

#include "../test.h"

#define STEPS_MAX 500

static const struct guaco_task task = {
    .queue = {"q", 1}, .name = {"n", 1}, .body = {"body", 4}};

static int
put_two(struct guaco_broker *broker, uint64_t *ids)
{
    const struct guaco_task both[2] = {task, task};

    return guaco_broker_put(broker, both, 2, ids, NULL);
}

static int
claim(struct guaco_broker *broker, uint64_t owner, struct guaco__row *row)
{
    struct guaco__op op = {
        .kind = GUACO__OP_CLAIM,
        .claim = {.queue = task.queue, .owner = owner, .max = 1, .rows = row}};
    int rc = guaco__front_run_one(broker, &op, NULL);

    assert_true(rc != GUACO_OK || op.claim.count == 1);
    return rc;
}

static int
say_and_finish(struct guaco_broker *broker, uint64_t owner,
               const struct guaco__row *row)
{
    struct guaco__op event = {.kind = GUACO__OP_EVENT,
                              .event = {.owner = owner,
                                        .id = row->id,
                                        .attempt = row->attempt,
                                        .body = {"half", 4}}};
    struct guaco__op finish = {.kind = GUACO__OP_FINISH,
                               .finish = {.owner = owner,
                                          .id = row->id,
                                          .attempt = row->attempt,
                                          .state = GUACO_TASK_DONE,
                                          .keep = true,
                                          .ttl_s = 60,
                                          .body = {"42", 2}}};
    int rc = guaco__front_run_one(broker, &event, NULL);

    return rc != GUACO_OK ? rc : guaco__front_run_one(broker, &finish, NULL);
}

static int
use_broker(struct guaco_broker *broker)
{
    struct guaco__op owner = {.kind = GUACO__OP_OWNER_OPEN,
                              .owner = {.lease_ms = 60000}};
    struct guaco__row row = {0};
    struct guaco_news news = {0};
    uint64_t ids[2];

    int rc = put_two(broker, ids);
    if (rc == GUACO_OK)
        rc = guaco__front_run_one(broker, &owner, NULL);
    if (rc == GUACO_OK)
        rc = claim(broker, owner.owner.owner.id, &row);
    if (rc == GUACO_OK)
        rc = say_and_finish(broker, owner.owner.owner.id, &row);
    free((void *)(uintptr_t)row.envelope.at);
    if (rc == GUACO_OK)
        rc = guaco_broker_read(broker, row.id, 0, true, &news, NULL);
    if (rc == GUACO_OK) {
        assert_non_null(news.result);
        assert_int_equal(news.event_count, 1);
    }
    guaco_news_release(&news);
    return rc;
}

/* A chord of unique, limited tasks, one of them canceled. */
static int
use_rules(struct guaco_broker *broker)
{
    struct guaco_rules held = {0};
    struct guaco_rules member = {
        .unique = {"k", 1},
        .limits = {{.key = {"l", 1}, .running_max = 1}},
        .joins = 1,
    };
    struct guaco_task tasks[2] = {task, task};
    struct guaco_news news = {0};
    enum guaco_task_state was;
    uint64_t ids[2], first;

    tasks[0].rules = &held;
    tasks[1].rules = &member;
    int rc = guaco_broker_put(broker, tasks, 2, ids, NULL);
    if (rc == GUACO_OK)
        rc = guaco_broker_cancel(broker, ids[1], (struct guaco_slice){0}, &was,
                                 NULL);
    if (rc == GUACO_OK)
        rc = guaco_broker_members(broker, ids[0], &news, NULL);
    if (rc == GUACO_OK)
        assert_int_equal(news.member_count, 1);
    guaco_news_release(&news);
    return rc != GUACO_OK ? rc : guaco_broker_reserve(broker, 5, &first, NULL);
}

static int
use_keys(struct guaco_broker *broker)
{
    const struct guaco_slice key = {"k", 1}, value = {"v", 1};
    const struct guaco_revocation revoked = {.queue = task.queue, .key = key};
    struct guaco_lock lock = {.name = key, .slots = 1, .lease_ms = 60000};
    char *got = NULL;
    size_t len;
    int64_t sum;
    bool was;

    int rc = guaco_key_put(broker, key, value, 1000, false, &was, NULL);
    if (rc == GUACO_OK)
        rc = guaco_key_get(broker, key, true, 0, &got, &len, NULL);
    free(got);
    if (rc == GUACO_OK)
        rc = guaco_key_add(broker, key, 1, 0, &sum, NULL);
    if (rc == GUACO_OK)
        rc = guaco_broker_revoke(broker, &revoked, NULL);
    if (rc == GUACO_OK)
        rc = guaco_lock_take(broker, &lock, 0, NULL);
    return rc != GUACO_OK ? rc : guaco_lock_free(broker, &lock, NULL);
}

static int
use_worker(struct guaco_broker *broker)
{
    struct guaco_worker_options options = {.queue = task.queue, .slots = 1};
    const struct guaco_outcome done = {
        .kind = GUACO_OUTCOME_DONE, .keep = true, .body = {"42", 2}};
    struct guaco_worker *worker;
    struct guaco_run *run;
    uint64_t ids[2];

    int rc = put_two(broker, ids);
    if (rc == GUACO_OK)
        rc = guaco_worker_open(&worker, broker, &options, NULL);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco_worker_next(worker, 0, &run, NULL);
    if (rc == GUACO_OK)
        rc = guaco_run_finish(run, &done, NULL, NULL);
    guaco_worker_close(worker);
    /* Without memory for a claim there is nothing to run. */
    return rc == GUACO_E_AGAIN ? GUACO_E_NOMEM : rc;
}

static void
fail_each(const char *url, int (*use)(struct guaco_broker *broker))
{
    long n = 0;

    for (bool refused = true; refused; n++) {
        struct guaco_broker *broker = NULL;
        assert_true(n < STEPS_MAX);
        fail_after(n);
        int rc = guaco_broker_open(&broker, url, NULL);
        if (rc == GUACO_OK)
            rc = use(broker);
        refused = fail_stop();
        guaco_broker_close(broker);
        /* A worker may do without: what it could not store goes back. */
        bool is_borne = use == use_worker && rc == GUACO_OK;
        /* Who waits was not told, and finds out when it looks. */
        is_borne = is_borne ||
                   ((use == use_rules || use == use_keys) && rc == GUACO_OK);
        /* Redis had done it when there was no memory for its answer. */
        is_borne = is_borne || (refused && rc == GUACO_E_TIMEOUT);
        if (!is_borne)
            assert_int_equal(rc, refused ? GUACO_E_NOMEM : GUACO_OK);
    }
    print_message("%s: %ld allocations failed in turn\n", url, n - 1);
}

static void
on_a_file(int (*use)(struct guaco_broker *broker))
{
    char url[300];

    folder_make();
    (void)snprintf(url, sizeof url, "sqlite:///%s", folder_path("q.db"));
    fail_each(url, use);
    folder_remove();
}

static void
a_memory_store_survives_each_failing_allocation(void **state)
{
    (void)state;
    fail_each("memory:", use_broker);
}

static void
an_sqlite_store_survives_each_failing_allocation(void **state)
{
    (void)state;
    on_a_file(use_broker);
}

static void
a_redis_store_survives_each_failing_allocation(void **state)
{
    struct redis_server server = {0};
    char url[200];

    (void)state;
    if (!redis_server_is_there())
        skip();
    redis_server_start(&server, NULL);
    (void)snprintf(url, sizeof url, "redis+unix://%s", server.socket);
    fail_each(url, use_broker);
    redis_server_remove(&server);
}

static void
rules_and_keys_survive_each_failing_allocation(void **state)
{
    (void)state;
    fail_each("memory:", use_rules);
    fail_each("memory:", use_keys);
    on_a_file(use_rules);
    on_a_file(use_keys);
}

static void
a_worker_survives_each_failing_allocation(void **state)
{
    (void)state;
    fail_each("memory:", use_worker);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_memory_store_survives_each_failing_allocation),
        cmocka_unit_test(an_sqlite_store_survives_each_failing_allocation),
        cmocka_unit_test(a_redis_store_survives_each_failing_allocation),
        cmocka_unit_test(rules_and_keys_survive_each_failing_allocation),
        cmocka_unit_test(a_worker_survives_each_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
