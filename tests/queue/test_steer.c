/* What steers tasks, the same for every store: canceling, pausing, revoking,
 * reserved ids, recurring tasks at run time. */

#include <stdlib.h>
#include <string.h>

#include "steps.h"

/* ---- canceling ---- */

static void
a_task_that_does_not_run_is_canceled_at_once(void **state)
{
    struct fixture *f = *state;
    enum guaco_task_state was;
    uint64_t ids[4];

    uint64_t waiting = fixture_put_task(
        f, (struct guaco_task){.priority = 5, .body = TEXT("w")});
    fixture_put(f, "stays");
    uint64_t delayed = fixture_put_task(
        f,
        (struct guaco_task){.due_ms = guaco_broker_now_ms(f->broker) + 100000});
    cancel(f, waiting, GUACO_TASK_WAITING);
    cancel(f, delayed, GUACO_TASK_DELAYED);
    assert_int_equal(state_of(f, waiting), GUACO_TASK_CANCELED);
    assert_int_equal(state_of(f, delayed), GUACO_TASK_CANCELED);
    claim_one(f);
    claim_none(f);
    assert_int_equal(fixture_stats(f).delayed, 0);
    assert_int_equal(
        guaco_broker_cancel(f->broker, waiting, TEXT(""), &was, NULL),
        GUACO_E_MISSING);
    assert_int_equal(
        guaco_broker_cancel(f->broker, 1ULL << 40, TEXT(""), &was, NULL),
        GUACO_E_MISSING);
    put_chord(f, false, ids);
    cancel(f, ids[0], GUACO_TASK_HELD);
    assert_int_equal(fixture_stats(f).held, 0);
    for (int i = 1; i < 4; i++)
        finish(f, claim_one(f).id);
    claim_none(f);
}

static void
a_running_task_that_is_canceled_is_not_run_again(void **state)
{
    struct fixture *f = *state;
    struct guaco_news news;
    struct guaco__op renew = {
        .kind = GUACO__OP_OWNER_RENEW,
        .owner = {.owner = {.id = f->owner}, .lease_ms = 60000}};
    uint64_t id = fixture_put(f, "x");

    claim_one(f);
    cancel(f, id, GUACO_TASK_RUNNING);
    cancel(f, id, GUACO_TASK_RUNNING); /* again: no matter */
    assert_int_equal(guaco__front_run_one(f->broker, &renew, NULL), GUACO_OK);
    assert_int_equal(renew.owner.canceled_count, 1);
    assert_int_equal(renew.owner.canceled[0], id);
    guaco__op_take_back(&renew);
    assert_int_equal(fixture_release(f, f->owner, id, 1, 0, true), GUACO_OK);
    claim_none(f);
    assert_int_equal(guaco_broker_read(f->broker, id, 0, false, &news, NULL),
                     0);
    assert_non_null(news.result);
    assert_int_equal(news.result->state, GUACO_TASK_CANCELED);
    assert_memory_equal(news.result->reason.at, "enough", 6);
    guaco_news_release(&news);

    id = fixture_put(f, "y"); /* nor after its process died */
    claim_one(f);
    cancel(f, id, GUACO_TASK_RUNNING);
    assert_int_equal(fixture_reap(f, f->owner, true), GUACO_OK);
    assert_int_equal(state_of(f, id), GUACO_TASK_CANCELED);
    f->owner = fixture_owner(f);
    claim_none(f);

    id = fixture_put(f, "z"); /* but one that was done is done */
    claim_one(f);
    cancel(f, id, GUACO_TASK_RUNNING);
    assert_int_equal(fixture_finish(f, f->owner, id, 1, "result"), GUACO_OK);
    assert_int_equal(state_of(f, id), GUACO_TASK_DONE);
}

/* ---- pausing, revoking, ids ---- */

static void
a_paused_queue_gives_nothing_until_it_is_resumed(void **state)
{
    struct fixture *f = *state;

    fixture_put(f, "a");
    assert_int_equal(
        guaco_broker_pause(f->broker, GUACO_SLICE("q"), true, NULL), 0);
    assert_true(fixture_stats(f).is_paused);
    fixture_put(f, "b");
    claim_none(f);
    assert_int_equal(fixture_stats(f).waiting, 2);
    assert_int_equal(
        guaco_broker_pause(f->broker, GUACO_SLICE("q"), false, NULL), 0);
    assert_false(fixture_stats(f).is_paused);
    claim_one(f);
    claim_one(f);
}

static bool
is_revoked(struct fixture *f, const char *key, bool take)
{
    bool yes;

    assert_int_equal(guaco_broker_revoked(f->broker, GUACO_SLICE("q"),
                                          TEXT(key), take, &yes, NULL),
                     GUACO_OK);
    return yes;
}

static void
a_revocation_holds_until_its_time_once_or_until_restored(void **state)
{
    struct fixture *f = *state;
    struct guaco_revocation r = {.queue = TEXT("q"), .key = TEXT("demo.add")};
    bool was;

    assert_false(is_revoked(f, "demo.add", true));
    assert_int_equal(guaco_broker_revoke(f->broker, &r, NULL), 0);
    assert_true(is_revoked(f, "demo.add", true));
    assert_true(is_revoked(f, "demo.add", true));
    assert_false(is_revoked(f, "demo.sub", true));
    assert_int_equal(
        guaco_broker_restore(f->broker, r.queue, r.key, &was, NULL), 0);
    assert_true(was);
    assert_int_equal(
        guaco_broker_restore(f->broker, r.queue, r.key, &was, NULL), 0);
    assert_false(was);
    r.once = true;
    assert_int_equal(guaco_broker_revoke(f->broker, &r, NULL), 0);
    assert_true(is_revoked(f, "demo.add", false));
    assert_true(is_revoked(f, "demo.add", true));
    assert_false(is_revoked(f, "demo.add", true));
    r.once = false;
    r.until_ms = guaco_broker_now_ms(f->broker) + 5000;
    assert_int_equal(guaco_broker_revoke(f->broker, &r, NULL), 0);
    assert_true(is_revoked(f, "demo.add", true));
    fixture_clock_shift_ms(5001);
    assert_false(is_revoked(f, "demo.add", true));
}

static void
a_claim_says_whether_anything_is_revoked(void **state)
{
    struct fixture *f = *state;
    struct guaco_revocation r = {.queue = TEXT("q"), .key = TEXT("n")};
    struct guaco__row row;
    struct guaco__op op = {.kind = GUACO__OP_CLAIM,
                           .claim = {.queue = GUACO_SLICE("q"),
                                     .owner = f->owner,
                                     .max = 1,
                                     .rows = &row}};

    fixture_put(f, "a");
    fixture_put(f, "b");
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), 0);
    assert_false(op.claim.revokes);
    fixture_free_row(&row);
    assert_int_equal(guaco_broker_revoke(f->broker, &r, NULL), 0);
    op.claim.count = 0;
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), 0);
    assert_true(op.claim.revokes);
    fixture_free_row(&row);
}

static void
a_reserved_id_is_used_once_and_no_other_is_taken(void **state)
{
    struct fixture *f = *state;
    uint64_t first, ids[2];

    assert_int_equal(guaco_broker_reserve(f->broker, 3, &first, NULL), 0);
    uint64_t given = fixture_put(f, "x");
    assert_true(given < first || given >= first + 3);
    struct guaco_rules rules = {.id = first + 1}, wrong = {.id = given + 1000};
    assert_int_equal(put_ruled(f, "y", &rules), first + 1);
    struct guaco_task tasks[2] = {
        {.queue = TEXT("q"), .name = TEXT("n")},
        {.queue = TEXT("q"), .name = TEXT("n"), .rules = &rules}};
    assert_int_equal(guaco_broker_put(f->broker, tasks, 2, ids, NULL),
                     GUACO_E_EXISTS);
    tasks[1].rules = &wrong;
    assert_int_equal(guaco_broker_put(f->broker, tasks, 2, ids, NULL),
                     GUACO_E_INVALID);
    assert_int_equal(fixture_stats(f).waiting, 2); /* all or none */
}

/* ---- recurring tasks at run time ---- */

struct listed {
    int n;
    char names[8][8];
    bool paused[8];
    bool run_time[8];
    int64_t next_ms[8];
};

static void
note(void *ctx, const struct guaco_recurring *entry, int64_t last_ms,
     int64_t next_ms)
{
    struct listed *listed = ctx;

    (void)last_ms;
    assert_true(listed->n < 8);
    memcpy(listed->names[listed->n], entry->name.at, entry->name.len);
    listed->paused[listed->n] = entry->is_paused;
    listed->run_time[listed->n] = entry->is_run_time;
    listed->next_ms[listed->n++] = next_ms;
}

static struct listed
list(struct fixture *f)
{
    struct listed listed = {0};

    assert_int_equal(guaco_broker_recurring_list(f->broker, GUACO_SLICE("q"),
                                                 note, &listed, NULL),
                     GUACO_OK);
    return listed;
}

static struct guaco_recurring
entry_of(const char *name, uint64_t generation)
{
    return (struct guaco_recurring){
        .name = TEXT(name),
        .spec = TEXT("* * * * *"),
        .catch_up = GUACO_CATCH_UP_SKIP,
        .generation = generation,
        .task = {.queue = TEXT("q"), .name = TEXT("n")},
    };
}

static void
deploy(struct fixture *f, uint64_t generation, const char *one, const char *two)
{
    struct guaco_recurring all[2] = {entry_of(one, generation),
                                     entry_of(two, generation)};
    bool stale;

    assert_int_equal(guaco_broker_recurring(f->broker, GUACO_SLICE("q"),
                                            generation, all, 2, &stale, NULL),
                     GUACO_OK);
    assert_false(stale);
}

static void
what_is_defined_at_run_time_outlives_deployments(void **state)
{
    struct fixture *f = *state;
    struct guaco_recurring mine = entry_of("b", 0);

    deploy(f, 1, "c", "a");
    assert_int_equal(guaco_broker_recurring_put(f->broker, &mine, NULL), 0);
    deploy(f, 2, "a", "b"); /* one of its name loses; c is gone */
    struct listed l = list(f);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.names[0], "a");
    assert_string_equal(l.names[1], "b");
    assert_false(l.run_time[0]);
    assert_true(l.run_time[1]);
    assert_true(l.next_ms[0] > guaco_broker_now_ms(f->broker));
    assert_int_equal(guaco_broker_recurring_remove(f->broker, GUACO_SLICE("q"),
                                                   TEXT("b"), NULL),
                     0);
    assert_int_equal(guaco_broker_recurring_remove(f->broker, GUACO_SLICE("q"),
                                                   TEXT("b"), NULL),
                     GUACO_E_MISSING);
    deploy(f, 2, "a", "b");
    assert_int_equal(list(f).n, 2);
    assert_false(list(f).run_time[1]);
}

static int
tick(struct fixture *f, uint64_t generation, int64_t expect_ms)
{
    char envelope[] = "\1\0\0\0\0\0\0\0\1\0n";
    struct guaco__put put = {.queue = GUACO_SLICE("q"),
                             .envelope = {envelope, sizeof envelope - 1}};
    struct guaco__op op = {.kind = GUACO__OP_TICK,
                           .tick = {.queue = GUACO_SLICE("q"),
                                    .name = TEXT("a"),
                                    .generation = generation,
                                    .expect_ms = expect_ms,
                                    .last_ms = expect_ms + 60000,
                                    .tasks = &put,
                                    .n = 1}};

    return guaco__front_run_one(f->broker, &op, NULL);
}

static struct guaco__recur
stored(struct fixture *f)
{
    struct guaco__op op = {.kind = GUACO__OP_RECUR_LIST};

    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), 0);
    assert_true(op.recur_list.n >= 1);
    struct guaco__recur first = op.recur_list.all[0];
    free(op.recur_list.all);
    return first;
}

static void
a_paused_entry_does_not_tick_and_stays_paused(void **state)
{
    struct fixture *f = *state;
    struct guaco_slice q = GUACO_SLICE("q");

    deploy(f, 1, "a", "b");
    int64_t last_ms = stored(f).last_ms;
    assert_int_equal(
        guaco_broker_recurring_pause(f->broker, q, TEXT("a"), true, NULL), 0);
    assert_int_equal(tick(f, 1, last_ms), GUACO_E_STATE);
    deploy(f, 2, "a", "b");
    assert_true(list(f).paused[0]);
    assert_int_equal(tick(f, 2, last_ms), GUACO_E_STATE);
    fixture_clock_shift_ms(600000);
    assert_int_equal(
        guaco_broker_recurring_pause(f->broker, q, TEXT("a"), false, NULL), 0);
    assert_true(stored(f).last_ms >= last_ms + 600000);
    assert_int_equal(tick(f, 2, stored(f).last_ms), GUACO_OK);
    assert_int_equal(fixture_stats(f).waiting, 1);
    assert_int_equal(
        guaco_broker_recurring_pause(f->broker, q, TEXT("z"), true, NULL),
        GUACO_E_MISSING);
}

static void
a_tick_of_a_former_definition_does_not_count(void **state)
{
    struct fixture *f = *state;
    struct guaco_recurring mine = entry_of("a", 0);

    assert_int_equal(guaco_broker_recurring_put(f->broker, &mine, NULL), 0);
    struct guaco__recur before = stored(f);
    mine.spec = TEXT("0 0 1 1 *");
    assert_int_equal(guaco_broker_recurring_put(f->broker, &mine, NULL), 0);
    assert_int_equal(tick(f, before.generation, before.last_ms), GUACO_E_STATE);
    assert_int_equal(tick(f, stored(f).generation, stored(f).last_ms), 0);
}

/* ---- running ---- */

#define TESTS(X)                                                \
    X(a_task_that_does_not_run_is_canceled_at_once)             \
    X(a_running_task_that_is_canceled_is_not_run_again)         \
    X(a_paused_queue_gives_nothing_until_it_is_resumed)         \
    X(a_revocation_holds_until_its_time_once_or_until_restored) \
    X(a_claim_says_whether_anything_is_revoked)                 \
    X(a_reserved_id_is_used_once_and_no_other_is_taken)         \
    X(what_is_defined_at_run_time_outlives_deployments)         \
    X(a_paused_entry_does_not_tick_and_stays_paused)            \
    X(a_tick_of_a_former_definition_does_not_count)

#include "each_store.h"
