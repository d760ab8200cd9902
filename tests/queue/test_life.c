/* The life of a claimed task, and what an outcome comes to: no I/O, no clock. */

#include "queue/life.h"

#include "../test.h"

#define MS 1000000u

static const struct guaco_task task = {
    .retries = 10,
    .retry_delay_ms = 1000,
    .retry_backoff_percent = 200,
    .timeout_ms = 50,
    .expires_ms = 10,
};

static struct guaco__life_terms
terms_at(uint64_t now_ms)
{
    return (struct guaco__life_terms){.task = &task,
                                      .wall_ms = (int64_t)now_ms,
                                      .now_ns = now_ms * MS,
                                      .kill_grace_ms = 20};
}

static enum guaco__life_action
step(struct guaco__life *life, enum guaco__life_event event, uint64_t now_ms)
{
    struct guaco__life_terms terms = terms_at(now_ms);

    return guaco__life_step(life, event, &terms);
}

static struct guaco__life
claimed(void)
{
    return (struct guaco__life){.state = GUACO__LIFE_CLAIMED,
                                .limit_ns = UINT64_MAX};
}

static struct guaco__life
running(void)
{
    struct guaco__life life = claimed();

    assert_int_equal(step(&life, GUACO__LIFE_HAND_OUT, 0), GUACO__LIFE_RUN);
    return life;
}

static void
a_run_is_interrupted_at_its_timeout_and_killed_after_the_grace(void **state)
{
    struct guaco__life life = running();

    (void)state;
    assert_int_equal(step(&life, GUACO__LIFE_TICK, 49), GUACO__LIFE_NOTHING);
    assert_int_equal(step(&life, GUACO__LIFE_TICK, 50), GUACO__LIFE_INTERRUPT);
    assert_int_equal(step(&life, GUACO__LIFE_TICK, 69), GUACO__LIFE_NOTHING);
    assert_int_equal(step(&life, GUACO__LIFE_TICK, 70), GUACO__LIFE_KILL);
    assert_int_equal(step(&life, GUACO__LIFE_GIVE_UP, 70), GUACO__LIFE_STORE);
    assert_int_equal(step(&life, GUACO__LIFE_FINISH, 71), GUACO__LIFE_DISCARD);
}

static void
a_cancel_interrupts_once_and_its_grace_ends_in_a_kill(void **state)
{
    struct guaco__life life = running();

    (void)state;
    assert_int_equal(step(&life, GUACO__LIFE_CANCEL, 5), GUACO__LIFE_INTERRUPT);
    assert_int_equal(step(&life, GUACO__LIFE_CANCEL, 6), GUACO__LIFE_NOTHING);
    assert_int_equal(step(&life, GUACO__LIFE_TICK, 25), GUACO__LIFE_KILL);
    assert_int_equal(step(&life, GUACO__LIFE_GIVE_UP, 25), GUACO__LIFE_STORE);
}

static void
one_that_is_canceled_before_it_is_handed_out_is_not_run(void **state)
{
    struct guaco__life life = claimed();

    (void)state;
    assert_int_equal(step(&life, GUACO__LIFE_CANCEL, 0), GUACO__LIFE_NOTHING);
    assert_int_equal(step(&life, GUACO__LIFE_HAND_OUT, 1),
                     GUACO__LIFE_CANCELED);
}

static void
a_lost_run_stores_nothing_though_it_is_canceled_too(void **state)
{
    struct guaco__life life = running();

    (void)state;
    assert_int_equal(step(&life, GUACO__LIFE_LOST, 1), GUACO__LIFE_INTERRUPT);
    assert_int_equal(step(&life, GUACO__LIFE_CANCEL, 2), GUACO__LIFE_NOTHING);
    assert_int_equal(step(&life, GUACO__LIFE_GIVE_UP, 3), GUACO__LIFE_NOTHING);
    assert_int_equal(step(&life, GUACO__LIFE_FINISH, 4), GUACO__LIFE_DISCARD);
}

static void
an_expired_task_is_not_run_but_one_of_that_moment_is(void **state)
{
    struct guaco__life late = claimed(), just = claimed();

    (void)state;
    assert_int_equal(step(&late, GUACO__LIFE_HAND_OUT, 11), GUACO__LIFE_EXPIRE);
    assert_int_equal(step(&just, GUACO__LIFE_HAND_OUT, 10), GUACO__LIFE_RUN);
}

/* ---- verdicts ---- */

static struct guaco__verdict
judge(const struct guaco_task *about, uint32_t failures, uint32_t dice,
      enum guaco_outcome_kind kind)
{
    const struct guaco__case it = {.task = about,
                                   .failures = failures,
                                   .dice = dice,
                                   .result_bytes_max = 100};
    const struct guaco_outcome outcome = {.kind = kind, .retry_delay_ms = -1};

    return guaco__verdict(&it, &outcome);
}

static uint64_t
delay(const struct guaco_task *about, uint32_t failures, uint32_t dice)
{
    struct guaco__verdict verdict =
        judge(about, failures, dice, GUACO_OUTCOME_FAILED);

    assert_false(verdict.ends);
    assert_true(verdict.failed);
    return verdict.delay_ms;
}

static void
delays_back_off_up_to_their_cap(void **state)
{
    struct guaco_task capped = task;

    (void)state;
    capped.retry_delay_max_ms = 5000;
    assert_int_equal(delay(&task, 0, 0), 1000);
    assert_int_equal(delay(&task, 3, 0), 8000);
    assert_int_equal(delay(&capped, 2, 0), 4000);
    assert_int_equal(delay(&capped, 3, 0), 5000);
    capped.retries = UINT32_MAX;
    assert_int_equal(delay(&capped, UINT32_MAX - 1, 0), 5000);
    capped.retry_delay_max_ms = 0;
    assert_int_equal(delay(&capped, UINT32_MAX - 1, 0),
                     365ULL * 24 * 3600 * 1000);
}

static void
jitter_takes_a_part_of_the_delay_by_the_dice(void **state)
{
    struct guaco_task full = task, part = task;

    (void)state;
    full.retry_jitter_percent = 100;
    part.retry_jitter_percent = 20;
    assert_int_equal(delay(&full, 0, 0), 1000);
    assert_int_equal(delay(&full, 0, 1u << 31), 500);
    assert_int_equal(delay(&full, 0, UINT32_MAX), 0);
    assert_int_equal(delay(&part, 1, 0), 2000);
    assert_int_equal(delay(&part, 1, UINT32_MAX), 1600);
    assert_int_equal(delay(&task, 0, UINT32_MAX), 1000);
}

static void
what_was_canceled_ends_unless_it_is_done(void **state)
{
    struct guaco__case it = {
        .task = &task, .is_canceled = true, .result_bytes_max = 100};
    struct guaco_outcome outcome = {.kind = GUACO_OUTCOME_RETRY};

    (void)state;
    struct guaco__verdict verdict = guaco__verdict(&it, &outcome);
    assert_true(verdict.ends);
    assert_int_equal(verdict.state, GUACO_TASK_CANCELED);
    assert_true(verdict.keep); /* somebody may wait for it */
    outcome.kind = GUACO_OUTCOME_DONE;
    assert_int_equal(guaco__verdict(&it, &outcome).state, GUACO_TASK_DONE);
}

static void
a_body_too_large_fails_what_is_kept_or_joined_and_no_other(void **state)
{
    struct guaco__case it = {.task = &task, .result_bytes_max = 3};
    struct guaco_outcome outcome = {.kind = GUACO_OUTCOME_DONE,
                                    .body = TEXT("four")};

    (void)state;
    assert_int_equal(guaco__verdict(&it, &outcome).state, GUACO_TASK_DONE);
    it.has_rules = true;
    assert_int_equal(guaco__verdict(&it, &outcome).state, GUACO_TASK_FAILED);
    it.has_rules = false;
    outcome.keep = true;
    assert_int_equal(guaco__verdict(&it, &outcome).state, GUACO_TASK_FAILED);
    assert_false(guaco__verdict(&it, &outcome).keep_body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_run_is_interrupted_at_its_timeout_and_killed_after_the_grace),
        cmocka_unit_test(a_cancel_interrupts_once_and_its_grace_ends_in_a_kill),
        cmocka_unit_test(
            one_that_is_canceled_before_it_is_handed_out_is_not_run),
        cmocka_unit_test(a_lost_run_stores_nothing_though_it_is_canceled_too),
        cmocka_unit_test(an_expired_task_is_not_run_but_one_of_that_moment_is),
        cmocka_unit_test(delays_back_off_up_to_their_cap),
        cmocka_unit_test(jitter_takes_a_part_of_the_delay_by_the_dice),
        cmocka_unit_test(what_was_canceled_ends_unless_it_is_done),
        cmocka_unit_test(
            a_body_too_large_fails_what_is_kept_or_joined_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
