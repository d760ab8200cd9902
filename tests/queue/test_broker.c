/* The promise of guaco/broker.h and of broker_int.h, the same for every store. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/envelope.h"
#include "store.h"

/* The body of a claimed row. */
static struct guaco_slice
body_of(const struct guaco__row *row)
{
    struct guaco_task task;

    assert_int_equal(guaco__envelope_read(row->envelope, &task), GUACO_OK);
    return task.body;
}

static void
claim_body(struct fixture *f, const char *body, struct guaco__row *row)
{
    assert_int_equal(fixture_claim(f, f->owner, false, row), 1);
    struct guaco_slice got = body_of(row);
    assert_int_equal(got.len, strlen(body));
    assert_memory_equal(got.at, body, got.len);
    fixture_free_row(row);
}

/* ---- put and claim ---- */

static void
a_task_is_claimed_once(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    uint64_t id = fixture_put(f, "hi");

    claim_body(f, "hi", &row);
    assert_int_equal(row.id, id);
    assert_int_equal(row.attempt, 1);
    assert_int_equal(row.failures, 0);
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 0);
    assert_int_equal(fixture_stats(f).running, 1);
    assert_int_equal(fixture_stats(f).waiting, 0);
}

static void
tasks_come_by_priority_then_in_order(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;

    fixture_put(f, "a");
    fixture_put_task(
        f, (struct guaco_task){.body = TEXT("low"), .priority = -1000});
    fixture_put_task(
        f, (struct guaco_task){.body = TEXT("high"), .priority = 1000});
    fixture_put(f, "b");
    claim_body(f, "high", &row);
    assert_int_equal(row.priority, 1000);
    claim_body(f, "a", &row);
    claim_body(f, "b", &row);
    claim_body(f, "low", &row);
    assert_int_equal(row.priority, -1000);
}

static void
queues_do_not_mix(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;

    fixture_put_task(f, (struct guaco_task){.queue = TEXT("p")});
    fixture_put_task(f, (struct guaco_task){.queue = TEXT("r")});
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 0);
    fixture_put(f, "mine");
    claim_body(f, "mine", &row);
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 0);
}

static void
a_claim_takes_up_to_max_and_says_if_there_are_more(void **state)
{
    struct fixture *f = *state;
    struct guaco__row rows[3];
    struct guaco__op op = {.kind = GUACO__OP_CLAIM,
                           .claim = {.queue = GUACO_SLICE("q"),
                                     .owner = f->owner,
                                     .max = 3,
                                     .rows = rows}};

    for (int i = 0; i < 4; i++)
        fixture_put(f, "x");
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.claim.count, 3);
    assert_true(op.claim.more);
    assert_true(rows[0].id < rows[1].id && rows[1].id < rows[2].id);
    for (int i = 0; i < 3; i++)
        fixture_free_row(&rows[i]);
    op.claim.count = 0;
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.claim.count, 1);
    assert_false(op.claim.more);
    fixture_free_row(&rows[0]);
}

static void
a_put_over_the_limits_is_refused_and_names_the_field(void **state)
{
    struct fixture *f = *state;
    struct guaco_error err = {0};
    uint64_t id;
    char *big = calloc(1, GUACO_TASK_BODY_MAX + 1);
    struct guaco_task good = {.queue = TEXT("q"), .name = TEXT("n")};
    struct guaco_task tasks[2] = {good, good};

    assert_non_null(big);
    tasks[1].body = (struct guaco_slice){big, GUACO_TASK_BODY_MAX + 1};
    assert_int_equal(guaco_broker_put(f->broker, tasks, 2, &id, &err),
                     GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "body"));
    tasks[1] = good;
    tasks[1].queue = TEXT("a b");
    assert_int_equal(guaco_broker_put(f->broker, tasks, 2, &id, &err),
                     GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "queue"));
    tasks[1] = good;
    tasks[1].priority = 1001;
    assert_int_equal(guaco_broker_put(f->broker, tasks, 2, &id, &err),
                     GUACO_E_INVALID);
    assert_int_equal(guaco_broker_put(f->broker, tasks, 0, &id, &err),
                     GUACO_E_INVALID);
    assert_int_equal(fixture_stats(f).waiting, 0); /* all or none */
    free(big);
}

static void
a_body_of_the_largest_size_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    char *big = malloc(GUACO_TASK_BODY_MAX);

    assert_non_null(big);
    for (size_t i = 0; i < GUACO_TASK_BODY_MAX; i++)
        big[i] = (char)(i * 7 + i / 4096);
    fixture_put_task(f,
                     (struct guaco_task){.body = {big, GUACO_TASK_BODY_MAX}});
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 1);
    struct guaco_slice body = body_of(&row);
    assert_int_equal(body.len, GUACO_TASK_BODY_MAX);
    assert_memory_equal(body.at, big, GUACO_TASK_BODY_MAX);
    fixture_free_row(&row);
    free(big);
}

static void
the_256th_queue_is_refused_and_nothing_of_its_put_stored(void **state)
{
    struct fixture *f = *state;
    char name[16];
    uint64_t ids[2];

    for (int i = 0; i < (int)GUACO__QUEUES_MAX; i++) {
        snprintf(name, sizeof name, "queue-%d", i);
        fixture_put_task(f, (struct guaco_task){.queue = TEXT(name)});
    }
    struct guaco_task tasks[2] = {
        {.queue = TEXT("queue-7"), .name = TEXT("n")},
        {.queue = TEXT("one-more"), .name = TEXT("n")}};
    struct guaco_queue_stats stats;
    assert_int_equal(guaco_broker_put(f->broker, tasks, 2, ids, NULL),
                     GUACO_E_LIMIT);
    assert_int_equal(
        guaco_broker_stats(f->broker, TEXT("queue-7"), &stats, NULL), GUACO_OK);
    assert_int_equal(stats.waiting, 1);
}

/* ---- fencing ---- */

static void
only_the_holder_of_the_attempt_may_finish(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    uint64_t other = fixture_owner(f);
    uint64_t id = fixture_put(f, "x");

    claim_body(f, "x", &row);
    assert_int_equal(fixture_finish(f, other, id, 1, NULL), GUACO_E_LOST);
    assert_int_equal(fixture_finish(f, f->owner, id, 2, NULL), GUACO_E_LOST);
    assert_int_equal(fixture_finish(f, f->owner, id, 1, NULL), GUACO_OK);
    assert_int_equal(fixture_finish(f, f->owner, id, 1, NULL), GUACO_E_LOST);
    assert_int_equal(fixture_stats(f).running, 0);
}

static void
a_finish_after_the_task_was_given_to_another_is_lost(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    uint64_t other = fixture_owner(f);
    uint64_t id = fixture_put(f, "x");

    claim_body(f, "x", &row);
    assert_int_equal(fixture_reap(f, f->owner, false), GUACO_OK);
    assert_int_equal(fixture_claim(f, other, false, &row), 1);
    assert_int_equal(row.attempt, 2);
    fixture_free_row(&row);
    assert_int_equal(fixture_finish(f, f->owner, id, 1, "old"), GUACO_E_LOST);
    assert_int_equal(fixture_release(f, f->owner, id, 1, 0, true),
                     GUACO_E_LOST);
    assert_int_equal(fixture_finish(f, other, id, 2, "new"), GUACO_OK);

    struct guaco_news news;
    assert_int_equal(guaco_broker_read(f->broker, id, 0, false, &news, NULL),
                     GUACO_OK);
    assert_non_null(news.result);
    assert_memory_equal(news.result->body.at, "new", 3);
    assert_int_equal(news.result->attempt, 2);
    guaco_news_release(&news);
}

static void
an_owner_that_was_reaped_can_claim_and_renew_no_more(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    uint64_t owner = fixture_owner(f);
    struct guaco__op claim = {
        .kind = GUACO__OP_CLAIM,
        .claim = {
            .queue = GUACO_SLICE("q"), .owner = owner, .max = 1, .rows = &row}};
    struct guaco__op renew = {
        .kind = GUACO__OP_OWNER_RENEW,
        .owner = {.owner = {.id = owner}, .lease_ms = 1000}};

    fixture_put(f, "x");
    assert_int_equal(guaco__front_run_one(f->broker, &renew, NULL), GUACO_OK);
    assert_int_equal(fixture_reap(f, owner, true), GUACO_OK);
    assert_int_equal(fixture_reap(f, owner, true), GUACO_E_MISSING);
    assert_int_equal(guaco__front_run_one(f->broker, &renew, NULL),
                     GUACO_E_LOST);
    assert_int_equal(guaco__front_run_one(f->broker, &claim, NULL),
                     GUACO_E_LOST);
}

/* ---- retries, delays, death ---- */

static void
a_released_task_comes_again_and_counts_its_failure(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    uint64_t id = fixture_put(f, "x");

    fixture_put(f, "y");
    claim_body(f, "x", &row);
    assert_int_equal(fixture_release(f, f->owner, id, 1, 0, true), GUACO_OK);
    claim_body(f, "x", &row); /* in its old place */
    assert_int_equal(row.attempt, 2);
    assert_int_equal(row.failures, 1);
    assert_int_equal(fixture_release(f, f->owner, id, 2, 0, false), GUACO_OK);
    claim_body(f, "x", &row);
    assert_int_equal(row.attempt, 3);
    assert_int_equal(row.failures, 1);
}

static void
a_delayed_task_waits_for_its_time(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct guaco__op_promote promote;
    int64_t due_ms = guaco_broker_now_ms(f->broker) + 3600000;

    fixture_put_task(
        f, (struct guaco_task){.body = TEXT("late"), .due_ms = due_ms});
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 0);
    assert_int_equal(fixture_stats(f).delayed, 1);
    assert_int_equal(fixture_promote(f, &promote), GUACO_OK);
    assert_int_equal(promote.count, 0);
    assert_int_equal(promote.next_due_ms, due_ms);

    fixture_clock_shift_ms(3600001);
    assert_int_equal(fixture_promote(f, &promote), GUACO_OK);
    assert_int_equal(promote.count, 1);
    assert_true(promote.next_due_ms == INT64_MAX);
    claim_body(f, "late", &row);
    assert_int_equal(fixture_stats(f).delayed, 0);
}

static void
a_promotion_moves_no_more_than_its_limit_soonest_first(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    int64_t now_ms = guaco_broker_now_ms(f->broker);
    struct guaco__op op = {.kind = GUACO__OP_PROMOTE, .promote = {.limit = 2}};
    const char *const names[] = {"c", "a", "b"};

    for (int i = 0; i < 3; i++)
        fixture_put_task(
            f, (struct guaco_task){.body = TEXT(names[i]),
                                   .due_ms = now_ms + 1000 * names[i][0]});
    fixture_clock_shift_ms(200000);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.promote.count, 2);
    assert_int_equal(op.promote.next_due_ms, now_ms + 1000 * 'c');
    claim_body(f, "a", &row);
    claim_body(f, "b", &row);
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 0);
}

static void
a_task_that_kills_its_process_alone_three_times_is_dead(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct guaco_news news;
    uint64_t id = fixture_put(f, "poison");

    for (uint32_t i = 1; i <= GUACO_TASK_DEATHS_MAX; i++) {
        uint64_t owner = fixture_owner(f);
        assert_int_equal(fixture_claim(f, owner, true, &row), 1);
        assert_int_equal(row.attempt, i);
        fixture_free_row(&row);
        assert_int_equal(fixture_reap(f, owner, true), GUACO_OK);
    }
    assert_int_equal(fixture_claim(f, f->owner, true, &row), 0);
    assert_int_equal(fixture_stats(f).dead, 1);
    assert_int_equal(guaco_broker_read(f->broker, id, 0, false, &news, NULL),
                     GUACO_OK);
    assert_non_null(news.result);
    assert_int_equal(news.result->state, GUACO_TASK_DEAD);
    assert_memory_equal(news.result->reason.at, "gone", 4);
    guaco_news_release(&news);
}

static void
a_task_of_a_crashed_process_runs_alone_and_only_that_counts(void **state)
{
    struct fixture *f = *state;
    struct guaco__row rows[2];
    uint64_t crashed = fixture_owner(f);
    struct guaco__op op = {.kind = GUACO__OP_CLAIM,
                           .claim = {.queue = GUACO_SLICE("q"),
                                     .owner = crashed,
                                     .max = 2,
                                     .alone = true,
                                     .rows = rows}};

    fixture_put(f, "a");
    fixture_put(f, "b");
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.claim.count, 2);
    fixture_free_row(&rows[0]);
    fixture_free_row(&rows[1]);
    assert_int_equal(fixture_reap(f, crashed, true), GUACO_OK);

    /* One that runs other things does not get them, and is told. */
    op.claim.owner = f->owner;
    op.claim.alone = false;
    op.claim.count = 0;
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.claim.count, 0);
    assert_true(op.claim.suspects);

    op.claim.alone = true;
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.claim.count, 1);
    assert_true(op.claim.suspects);
    assert_int_equal(rows[0].deaths, 0); /* it was not alone when it crashed */
    fixture_free_row(&rows[0]);
}

static void
a_dead_task_can_be_replayed(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct guaco_news news;
    uint64_t count, id = fixture_put(f, "poison");

    for (uint32_t i = 1; i <= GUACO_TASK_DEATHS_MAX; i++) {
        uint64_t owner = fixture_owner(f);
        assert_int_equal(fixture_claim(f, owner, true, &row), 1);
        fixture_free_row(&row);
        assert_int_equal(fixture_reap(f, owner, true), GUACO_OK);
    }
    assert_int_equal(
        guaco_broker_replay(f->broker, GUACO_SLICE("q"), id + 1, &count, NULL),
        GUACO_E_MISSING);
    assert_int_equal(
        guaco_broker_replay(f->broker, GUACO_SLICE("q"), id, &count, NULL),
        GUACO_OK);
    assert_int_equal(count, 1);
    assert_int_equal(fixture_stats(f).dead, 0);
    assert_int_equal(guaco_broker_read(f->broker, id, 0, false, &news, NULL),
                     GUACO_OK);
    assert_null(news.result);
    assert_int_equal(fixture_claim(f, f->owner, true, &row), 1);
    assert_int_equal(row.id, id);
    assert_int_equal(row.deaths, 0);
    fixture_free_row(&row);
}

/* ---- results and events ---- */

static void
a_result_is_there_once_finished_and_gone_once_taken(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct guaco_news news;
    uint64_t id = fixture_put(f, "x");

    assert_int_equal(guaco_broker_read(f->broker, id, 0, true, &news, NULL),
                     GUACO_OK);
    assert_null(news.result);
    guaco_news_release(&news);
    claim_body(f, "x", &row);
    assert_int_equal(fixture_finish(f, f->owner, id, 1, "42"), GUACO_OK);
    assert_int_equal(fixture_stats(f).results, 1);
    assert_int_equal(guaco_broker_wait(f->broker, id, true, 0, &news, NULL),
                     GUACO_OK);
    assert_int_equal(news.result->id, id);
    assert_int_equal(news.result->state, GUACO_TASK_DONE);
    assert_int_equal(news.result->body.len, 2);
    assert_memory_equal(news.result->body.at, "42", 2);
    guaco_news_release(&news);
    assert_int_equal(fixture_stats(f).results, 0);
    assert_int_equal(guaco_broker_wait(f->broker, id, true, 0, &news, NULL),
                     GUACO_E_TIMEOUT);
}

static void
a_result_goes_when_its_time_is_over(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct guaco__op op = {.kind = GUACO__OP_SWEEP, .sweep = {.limit = 10}};
    uint64_t id = fixture_put(f, "x");

    claim_body(f, "x", &row);
    assert_int_equal(fixture_finish(f, f->owner, id, 1, "42"), GUACO_OK);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.sweep.count, 0);
    assert_true(op.sweep.next_end_ms < INT64_MAX);
    fixture_clock_shift_ms(3600001);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.sweep.count, 1);
    assert_int_equal(fixture_stats(f).results, 0);
}

static void
events_come_in_order_and_only_from_the_holder(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct guaco_news news;
    uint64_t id = fixture_put(f, "x");
    struct guaco__op op = {
        .kind = GUACO__OP_EVENT,
        .event = {.owner = f->owner, .id = id, .attempt = 1}};

    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_E_LOST);
    claim_body(f, "x", &row);
    op.event.body = TEXT("one");
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    op.event.body = TEXT("two");
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(guaco_broker_read(f->broker, id, 0, false, &news, NULL),
                     GUACO_OK);
    assert_int_equal(news.event_count, 2);
    assert_int_equal(news.events[0].number, 1);
    assert_memory_equal(news.events[1].body.at, "two", 3);
    guaco_news_release(&news);
    assert_int_equal(guaco_broker_read(f->broker, id, 1, false, &news, NULL),
                     GUACO_OK);
    assert_int_equal(news.event_count, 1);
    assert_int_equal(news.events[0].number, 2);
    guaco_news_release(&news);
}

static void
only_the_last_256_events_are_kept(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct guaco_news news;
    uint64_t id = fixture_put(f, "x");
    struct guaco__op op = {
        .kind = GUACO__OP_EVENT,
        .event = {.owner = f->owner, .id = id, .attempt = 1}};

    claim_body(f, "x", &row);
    for (int i = 0; i < 300; i++)
        assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(guaco_broker_read(f->broker, id, 0, false, &news, NULL),
                     GUACO_OK);
    assert_int_equal(news.event_count, GUACO_EVENTS_MAX);
    assert_int_equal(news.events[0].number, 300 - GUACO_EVENTS_MAX + 1);
    guaco_news_release(&news);
}

static void
follow_ups_are_put_with_the_finish_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct guaco__puts puts;
    uint64_t id = fixture_put(f, "x");
    struct guaco_task task = {
        .queue = TEXT("q"), .name = TEXT("n"), .body = TEXT("next")};

    assert_int_equal(guaco__puts_init(&puts, &task, 1, false, NULL), GUACO_OK);
    struct guaco__op op = {.kind = GUACO__OP_FINISH,
                           .finish = {.owner = f->owner,
                                      .id = id,
                                      .attempt = 1,
                                      .state = GUACO_TASK_DONE,
                                      .ttl_s = 1,
                                      .follow = puts.items,
                                      .follow_count = 1}};
    claim_body(f, "x", &row);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_E_LOST);
    claim_body(f, "next", &row);
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 0);
    guaco__puts_release(&puts);
}

/* ---- looking after ---- */

struct seen {
    char text[256];
};

static void
note(void *ctx, const struct guaco_task_info *info)
{
    struct seen *seen = ctx;
    size_t len = strlen(seen->text);

    snprintf(seen->text + len, sizeof seen->text - len, "%.*s/%u/%d ",
             (int)info->task.body.len, info->task.body.at, info->attempt,
             (int)info->task.priority);
}

static void
a_listing_is_in_the_order_of_running(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    struct seen seen = {{0}};
    struct guaco_slice q = GUACO_SLICE("q");

    fixture_put(f, "a");
    fixture_put(f, "b");
    fixture_put_task(f, (struct guaco_task){.body = TEXT("c"), .priority = 5});
    assert_int_equal(guaco_broker_list(f->broker, q, GUACO_TASK_WAITING, 0, 10,
                                       note, &seen, NULL),
                     GUACO_OK);
    assert_string_equal(seen.text, "c/0/5 a/0/0 b/0/0 ");
    seen.text[0] = '\0';
    assert_int_equal(guaco_broker_list(f->broker, q, GUACO_TASK_WAITING, 1, 1,
                                       note, &seen, NULL),
                     GUACO_OK);
    assert_string_equal(seen.text, "a/0/0 ");
    claim_body(f, "c", &row);
    seen.text[0] = '\0';
    assert_int_equal(guaco_broker_list(f->broker, q, GUACO_TASK_RUNNING, 0, 10,
                                       note, &seen, NULL),
                     GUACO_OK);
    assert_string_equal(seen.text, "c/1/5 ");
    assert_int_equal(guaco_broker_list(f->broker, q, GUACO_TASK_DONE, 0, 10,
                                       note, &seen, NULL),
                     GUACO_E_INVALID);
}

static void
a_purge_leaves_what_runs(void **state)
{
    struct fixture *f = *state;
    struct guaco__row row;
    uint64_t count;
    struct guaco_slice q = GUACO_SLICE("q");
    uint64_t id = fixture_put(f, "runs");

    claim_body(f, "runs", &row);
    fixture_put(f, "w");
    fixture_put_task(f, (struct guaco_task){
                            .due_ms = guaco_broker_now_ms(f->broker) + 1000});
    assert_int_equal(
        guaco_broker_purge(f->broker, q, GUACO_TASK_WAITING, &count, NULL),
        GUACO_OK);
    assert_int_equal(count, 1);
    assert_int_equal(
        guaco_broker_purge(f->broker, q, GUACO_TASK_DELAYED, &count, NULL),
        GUACO_OK);
    assert_int_equal(count, 1);
    assert_int_equal(
        guaco_broker_purge(f->broker, q, GUACO_TASK_RUNNING, &count, NULL),
        GUACO_E_INVALID);
    assert_int_equal(fixture_finish(f, f->owner, id, 1, "r"), GUACO_OK);
    assert_int_equal(
        guaco_broker_purge(f->broker, q, GUACO_TASK_DONE, &count, NULL),
        GUACO_OK);
    assert_int_equal(count, 1);
    struct guaco_queue_stats stats = fixture_stats(f);
    assert_int_equal(stats.waiting + stats.delayed + stats.running +
                         stats.dead + stats.results,
                     0);
}

/* ---- for each store ---- */

#define TESTS(X)                                                   \
    X(a_task_is_claimed_once)                                      \
    X(tasks_come_by_priority_then_in_order)                        \
    X(queues_do_not_mix)                                           \
    X(a_claim_takes_up_to_max_and_says_if_there_are_more)          \
    X(a_put_over_the_limits_is_refused_and_names_the_field)        \
    X(a_body_of_the_largest_size_comes_back_whole)                 \
    X(the_256th_queue_is_refused_and_nothing_of_its_put_stored)    \
    X(only_the_holder_of_the_attempt_may_finish)                   \
    X(a_finish_after_the_task_was_given_to_another_is_lost)        \
    X(an_owner_that_was_reaped_can_claim_and_renew_no_more)        \
    X(a_released_task_comes_again_and_counts_its_failure)          \
    X(a_delayed_task_waits_for_its_time)                           \
    X(a_promotion_moves_no_more_than_its_limit_soonest_first)      \
    X(a_task_that_kills_its_process_alone_three_times_is_dead)     \
    X(a_task_of_a_crashed_process_runs_alone_and_only_that_counts) \
    X(a_dead_task_can_be_replayed)                                 \
    X(a_result_is_there_once_finished_and_gone_once_taken)         \
    X(a_result_goes_when_its_time_is_over)                         \
    X(events_come_in_order_and_only_from_the_holder)               \
    X(only_the_last_256_events_are_kept)                           \
    X(follow_ups_are_put_with_the_finish_or_not_at_all)            \
    X(a_listing_is_in_the_order_of_running)                        \
    X(a_purge_leaves_what_runs)

#include "each_store.h"
