/* What binds tasks to others, the same for every store: unique keys, limits,
 * tasks that wait for others. */

#include <stdlib.h>
#include <string.h>

#include "steps.h"

/* ---- unique keys ---- */

static void
a_unique_key_gives_the_id_of_its_holder(void **state)
{
    struct fixture *f = *state;
    bool existed = true;
    struct guaco_rules rules = {.unique = TEXT("k"), .existed = &existed};
    uint64_t first = put_ruled(f, "a", &rules);

    assert_false(existed);
    assert_int_equal(put_ruled(f, "b", &rules), first);
    assert_true(existed);
    assert_int_equal(fixture_stats(f).waiting, 1);
    assert_int_equal(claim_one(f).id, first); /* it is held while it runs */
    assert_int_equal(put_ruled(f, "c", &rules), first);
    assert_int_equal(fixture_release(f, f->owner, first, 1, 0, true), 0);
    assert_int_equal(put_ruled(f, "d", &rules), first); /* and retried */
    assert_int_equal(claim_one(f).id, first);
    end_as(f, first, 2, GUACO_TASK_FAILED, "");
    assert_int_not_equal(put_ruled(f, "e", &rules), first);
    assert_false(existed);
}

static void
a_key_until_the_start_is_free_once_it_runs(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules rules = {.unique = TEXT("k"),
                                .unique_until = GUACO_UNIQUE_STARTED};
    uint64_t first = put_ruled(f, "a", &rules);

    assert_int_equal(put_ruled(f, "b", &rules), first);
    assert_int_equal(claim_one(f).id, first);
    uint64_t second = put_ruled(f, "b", &rules);
    assert_int_not_equal(second, first);
    finish(f, first); /* it is the second's now */
    assert_int_equal(put_ruled(f, "c", &rules), second);
}

static void
a_key_for_a_time_outlives_its_task_and_then_is_free(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules rules = {.unique = TEXT("k"),
                                .unique_until = GUACO_UNIQUE_TIME,
                                .unique_ms = 60000};
    uint64_t first = put_ruled(f, "a", &rules);

    claim_one(f);
    finish(f, first);
    assert_int_equal(put_ruled(f, "b", &rules), first);
    fixture_clock_shift_ms(60001);
    assert_int_not_equal(put_ruled(f, "c", &rules), first);
}

static void
a_key_whose_time_is_over_is_swept(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules rules = {.unique = TEXT("k"),
                                .unique_until = GUACO_UNIQUE_TIME,
                                .unique_ms = 1000};
    struct guaco__op op = {.kind = GUACO__OP_SWEEP, .sweep = {.limit = 100}};

    put_ruled(f, "a", &rules);
    fixture_clock_shift_ms(1001);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(op.sweep.count, 1);
}

static void
a_replacing_put_takes_the_place_and_keeps_the_id(void **state)
{
    struct fixture *f = *state;
    bool existed;
    struct guaco_rules rules = {
        .unique = TEXT("k"), .unique_replace = true, .existed = &existed};
    uint64_t first = put_ruled(f, "old", &rules);
    struct guaco__row row;

    struct guaco_task later = {
        .body = TEXT("new"),
        .priority = 7,
        .due_ms = guaco_broker_now_ms(f->broker) + 5000,
        .rules = &rules,
    };
    assert_int_equal(fixture_put_task(f, later), first);
    assert_true(existed);
    assert_int_equal(fixture_stats(f).waiting, 0);
    assert_int_equal(fixture_stats(f).delayed, 1);
    claim_none(f);
    fixture_clock_shift_ms(5001);
    assert_int_equal(promote(f), 1);
    assert_int_equal(fixture_claim(f, f->owner, false, &row), 1);
    assert_int_equal(row.id, first);
    assert_int_equal(row.priority, 7);
    assert_non_null(memmem(row.envelope.at, row.envelope.len, "new", 3));
    fixture_free_row(&row);
    put_ruled(f, "third", &rules); /* it runs: it stays as it is */
    assert_int_equal(fixture_stats(f).waiting, 0);
    finish(f, first);
    assert_int_not_equal(put_ruled(f, "x", &rules), first);
}

static void
keys_of_two_queues_are_two(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules rules = {.unique = TEXT("k")};
    uint64_t first = put_ruled(f, "a", &rules);

    assert_int_not_equal(
        fixture_put_task(
            f, (struct guaco_task){.queue = TEXT("p"), .rules = &rules}),
        first);
}

/* ---- limits ---- */

static void
no_more_of_a_key_run_than_its_limit(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules two = {.limits = {{.key = TEXT("k"), .running_max = 2}}};
    uint64_t ids[4];

    for (int i = 0; i < 4; i++)
        ids[i] = put_ruled(f, "x", &two);
    uint64_t other = fixture_put(f, "other");
    assert_int_equal(claim_one(f).id, ids[0]);
    assert_int_equal(claim_one(f).id, ids[1]);
    assert_int_equal(claim_one(f).id, other); /* it is not kept waiting */
    claim_none(f);
    assert_int_equal(fixture_stats(f).waiting, 2);
    finish(f, ids[0]);
    assert_int_equal(claim_one(f).id, ids[2]); /* in its order */
    claim_none(f);
    assert_int_equal(fixture_release(f, f->owner, ids[1], 1, 0, true), 0);
    assert_int_equal(claim_one(f).id, ids[1]); /* it came before */
    claim_none(f);
    assert_int_equal(fixture_reap(f, f->owner, false), GUACO_OK);
    f->owner = fixture_owner(f);
    assert_int_equal(claim_one(f).id, ids[1]);
    assert_int_equal(claim_one(f).id, ids[2]);
    assert_int_equal(claim_one(f).id, other);
    claim_none(f);
}

static void
a_wider_limit_lets_others_run(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules rules = {
        .limits = {{.key = TEXT("k"), .running_max = 1}}};

    for (int i = 0; i < 3; i++)
        put_ruled(f, "x", &rules);
    claim_one(f);
    claim_none(f);
    rules.limits[0].running_max = 3;
    put_ruled(f, "x", &rules);
    promote(f);
    claim_one(f);
    claim_one(f);
    claim_none(f);
}

static void
starts_of_a_key_are_no_faster_than_its_rate(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules rules = {.limits = {{.key = TEXT("k"),
                                            .rate_count = 10,
                                            .rate_period_ms = 1000000,
                                            .rate_burst = 2}}};
    struct guaco__op_promote op;

    for (int i = 0; i < 5; i++)
        put_ruled(f, "x", &rules);
    claim_one(f);
    claim_one(f);
    claim_none(f);
    assert_int_equal(fixture_promote(f, &op), GUACO_OK);
    assert_int_equal(op.count, 0);
    int64_t wait_ms = op.next_due_ms - guaco_broker_now_ms(f->broker);
    assert_true(wait_ms > 90000 && wait_ms <= 100000);
    fixture_clock_shift_ms(wait_ms - 1000);
    assert_int_equal(promote(f), 0);
    fixture_clock_shift_ms(1001);
    assert_true(promote(f) >= 1);
    claim_one(f);
    claim_none(f);
    fixture_clock_shift_ms(200001); /* a burst of two has come together */
    promote(f);
    claim_one(f);
    promote(f);
    claim_one(f);
    promote(f);
    claim_none(f);
}

static void
a_dear_task_takes_its_cost_of_the_rate(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules rules = {.limits = {{.key = TEXT("k"),
                                            .rate_count = 10,
                                            .rate_period_ms = 1000000,
                                            .cost = 9}}};

    put_ruled(f, "dear", &rules);
    rules.limits[0].cost = 0;
    put_ruled(f, "cheap", &rules);
    put_ruled(f, "cheap", &rules);
    claim_one(f);
    claim_one(f);
    claim_none(f);
}

static void
of_two_limits_both_hold_and_neither_stalls_the_other(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules both = {
        .limits = {{.key = TEXT("a"), .running_max = 1},
                   {.key = TEXT("b"), .running_max = 1}}};
    struct guaco_rules one = {.limits = {{.key = TEXT("a"), .running_max = 1}}};
    struct guaco_rules two = {.limits = {{.key = TEXT("b"), .running_max = 1}}};

    uint64_t b = put_ruled(f, "b", &two);
    uint64_t ab = put_ruled(f, "ab", &both);
    uint64_t a = put_ruled(f, "a", &one);
    assert_int_equal(claim_one(f).id, b);
    assert_int_equal(claim_one(f).id, a); /* ab waits for b only */
    finish(f, b);
    claim_none(f); /* now it waits for a */
    finish(f, a);
    assert_int_equal(claim_one(f).id, ab);
    uint64_t b2 = put_ruled(f, "b", &two);
    uint64_t a2 = put_ruled(f, "a", &one);
    claim_none(f);
    finish(f, ab);
    struct guaco__row rows[2] = {claim_one(f), claim_one(f)};
    assert_true((rows[0].id == b2 && rows[1].id == a2) ||
                (rows[0].id == a2 && rows[1].id == b2));
}

static void
a_canceled_task_that_was_let_run_gives_its_turn_on(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules rules = {
        .limits = {{.key = TEXT("k"), .running_max = 1}}};
    uint64_t ids[3];

    for (int i = 0; i < 3; i++)
        ids[i] = put_ruled(f, "x", &rules);
    claim_one(f);
    claim_none(f);
    finish(f, ids[0]); /* the second is ready again */
    cancel(f, ids[1], GUACO_TASK_WAITING);
    assert_int_equal(claim_one(f).id, ids[2]);
}

/* ---- tasks that wait for others ---- */

static void
a_task_waits_until_the_last_that_joins_it_has_ended(void **state)
{
    struct fixture *f = *state;
    uint64_t ids[4];
    struct guaco_news news;

    put_chord(f, false, ids);
    for (int i = 1; i < 4; i++)
        assert_int_equal(claim_one(f).id, ids[i]);
    claim_none(f);
    end_as(f, ids[3], 1, GUACO_TASK_DONE, "three");
    end_as(f, ids[1], 1, GUACO_TASK_FAILED, "oh");
    claim_none(f);
    assert_int_equal(fixture_release(f, f->owner, ids[2], 1, 0, true), 0);
    assert_int_equal(claim_one(f).id, ids[2]); /* a retry is no end */
    end_as(f, ids[2], 2, GUACO_TASK_DONE, "two");
    struct guaco__row row = claim_one(f);
    assert_int_equal(row.id, ids[0]);
    assert_int_equal(row.members, 3);
    assert_int_equal(guaco_broker_members(f->broker, ids[0], &news, NULL), 0);
    assert_int_equal(news.member_count, 3);
    assert_int_equal(news.members[0].state, GUACO_TASK_FAILED);
    assert_int_equal(news.members[0].id, ids[1]);
    assert_memory_equal(news.members[1].body.at, "two", 3);
    assert_int_equal(news.members[2].number, 2);
    guaco_news_release(&news);
    finish(f, ids[0]);
    assert_int_equal(guaco_broker_members(f->broker, ids[0], &news, NULL), 0);
    assert_int_equal(news.member_count, 0);
    guaco_news_release(&news);
    assert_int_equal(state_of(f, ids[0]), GUACO_TASK_DONE);
}

static void
one_whose_members_must_succeed_fails_with_the_first(void **state)
{
    struct fixture *f = *state;
    uint64_t ids[4];

    put_chord(f, true, ids);
    for (int i = 1; i < 4; i++)
        claim_one(f);
    finish(f, ids[1]);
    end_as(f, ids[2], 1, GUACO_TASK_FAILED, "oh");
    assert_int_equal(state_of(f, ids[0]), GUACO_TASK_FAILED);
    assert_int_equal(fixture_stats(f).held, 0);
    finish(f, ids[3]);
    claim_none(f);
    assert_int_equal(state_of(f, ids[0]), GUACO_TASK_FAILED);
}

static void
every_kind_of_end_counts_for_the_one_that_waits(void **state)
{
    struct fixture *f = *state;
    uint64_t ids[4], purged;

    put_chord(f, false, ids);
    cancel(f, ids[1], GUACO_TASK_WAITING);
    assert_int_equal(guaco_broker_purge(f->broker, GUACO_SLICE("q"),
                                        GUACO_TASK_WAITING, &purged, NULL),
                     GUACO_OK);
    assert_true(purged >= 2);
    struct guaco__row row = claim_one(f);
    assert_int_equal(row.id, ids[0]);
    finish(f, ids[0]);

    put_chord(f, false, ids);
    claim_one(f);
    claim_one(f);
    claim_one(f);
    for (int i = 1; i < 3; i++)
        end_as(f, ids[i], 1, GUACO_TASK_EXPIRED, "");
    for (int deaths = 0; deaths < 4; deaths++) { /* first as one of several */
        assert_int_equal(fixture_reap(f, f->owner, true), GUACO_OK);
        f->owner = fixture_owner(f);
        if (fixture_claim(f, f->owner, true, &row) == 1)
            fixture_free_row(&row);
    }
    assert_int_equal(state_of(f, ids[3]), GUACO_TASK_DEAD);
    assert_int_equal(row.id, ids[0]);
}

static void
one_that_waits_can_wait_for_one_that_waits(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules none = {0},
                       must = {.joins = 1, .joins_must_succeed = true};
    struct guaco_rules to_inner = {.joins = 2}, to_outer = {.joins = 1};
    const struct guaco_rules *rules[] = {&none, &must, &to_inner, &to_inner,
                                         &to_outer};
    struct guaco_task tasks[5];
    uint64_t ids[5];
    struct guaco_news news;

    for (int i = 0; i < 5; i++)
        tasks[i] = (struct guaco_task){
            .queue = TEXT("q"), .name = TEXT("n"), .rules = rules[i]};
    assert_int_equal(guaco_broker_put(f->broker, tasks, 5, ids, NULL), 0);
    assert_int_equal(fixture_stats(f).held, 2);
    for (int i = 2; i < 5; i++)
        assert_int_equal(claim_one(f).id, ids[i]);
    finish(f, ids[4]);
    claim_none(f);
    end_as(f, ids[2], 1, GUACO_TASK_FAILED, ""); /* the inner one fails */
    assert_int_equal(state_of(f, ids[1]), GUACO_TASK_FAILED);
    assert_int_equal(claim_one(f).id, ids[0]);
    assert_int_equal(guaco_broker_members(f->broker, ids[0], &news, NULL), 0);
    assert_int_equal(news.member_count, 2);
    assert_int_equal(news.members[0].id, ids[1]);
    assert_int_equal(news.members[0].state, GUACO_TASK_FAILED);
    guaco_news_release(&news);
}

static void
the_next_stage_joins_in_the_place_of_its_forerunner(void **state)
{
    struct fixture *f = *state;
    static const struct guaco_rules none;
    uint64_t ids[4];
    struct guaco_news news;

    put_chord(f, false, ids);
    for (int i = 1; i < 4; i++)
        claim_one(f);
    finish(f, ids[1]);
    finish(f, ids[2]);
    char envelope[] = "\1\0\0\0\0\0\0\0\1\0n";
    struct guaco__put follow = {.queue = GUACO_SLICE("q"),
                                .envelope = {envelope, sizeof envelope - 1},
                                .rules = &none};
    struct guaco__op op = {.kind = GUACO__OP_FINISH,
                           .finish = {.owner = f->owner,
                                      .id = ids[3],
                                      .attempt = 1,
                                      .state = GUACO_TASK_DONE,
                                      .has_rules = true,
                                      .pass_on = true,
                                      .ttl_s = 60,
                                      .follow = &follow,
                                      .follow_count = 1}};
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    struct guaco__row row = claim_one(f);
    assert_true(row.id > ids[3]);
    claim_none(f);
    end_as(f, row.id, 1, GUACO_TASK_DONE, "last");
    assert_int_equal(claim_one(f).id, ids[0]);
    assert_int_equal(guaco_broker_members(f->broker, ids[0], &news, NULL), 0);
    assert_int_equal(news.members[2].id, row.id);
    assert_memory_equal(news.members[2].body.at, "last", 4);
    guaco_news_release(&news);
}

static void
what_joins_behind_it_or_with_a_key_is_refused(void **state)
{
    struct fixture *f = *state;
    struct guaco_rules first = {.unique = TEXT("k")}, member = {.joins = 1};
    struct guaco_task tasks[2] = {
        {.queue = TEXT("q"), .name = TEXT("n"), .rules = &member},
        {.queue = TEXT("q"), .name = TEXT("n"), .rules = &member}};
    uint64_t ids[2];

    assert_int_equal(guaco_broker_put(f->broker, tasks, 2, ids, NULL),
                     GUACO_E_INVALID);
    tasks[0].rules = &first;
    assert_int_equal(guaco_broker_put(f->broker, tasks, 2, ids, NULL),
                     GUACO_E_INVALID);
    assert_int_equal(fixture_stats(f).waiting, 0);
}

/* ---- running ---- */

#define TESTS(X)                                            \
    X(a_unique_key_gives_the_id_of_its_holder)              \
    X(a_key_until_the_start_is_free_once_it_runs)           \
    X(a_key_for_a_time_outlives_its_task_and_then_is_free)  \
    X(a_key_whose_time_is_over_is_swept)                    \
    X(a_replacing_put_takes_the_place_and_keeps_the_id)     \
    X(keys_of_two_queues_are_two)                           \
    X(no_more_of_a_key_run_than_its_limit)                  \
    X(a_wider_limit_lets_others_run)                        \
    X(starts_of_a_key_are_no_faster_than_its_rate)          \
    X(a_dear_task_takes_its_cost_of_the_rate)               \
    X(of_two_limits_both_hold_and_neither_stalls_the_other) \
    X(a_canceled_task_that_was_let_run_gives_its_turn_on)   \
    X(a_task_waits_until_the_last_that_joins_it_has_ended)  \
    X(one_whose_members_must_succeed_fails_with_the_first)  \
    X(every_kind_of_end_counts_for_the_one_that_waits)      \
    X(one_that_waits_can_wait_for_one_that_waits)           \
    X(the_next_stage_joins_in_the_place_of_its_forerunner)  \
    X(what_joins_behind_it_or_with_a_key_is_refused)

#include "each_store.h"
