/*
 * guaco/schedule.h from C: bounds, refusals and memory.  Fire times are held
 * against an oracle by tests/python/test_schedule.py.
 */

#include "guaco/schedule.h"

#include <string.h>

#include "../failing_malloc.h"
#include "../test.h"

#define DAY_MS INT64_C(86400000)

/* 9999-12-30 00:00, and 0001-01-01. */
#define NEAR_END_MS INT64_C(253402128000000)
#define FIRST_MS    INT64_C(-62135596800000)

static struct guaco_schedule *
made(const char *spec)
{
    struct guaco_schedule *schedule = NULL;
    struct guaco_error err = {0};

    if (guaco_schedule_new(&schedule, TEXT(spec), TEXT(""), "", &err) < 0)
        fail_msg("%s: %s", spec, err.text);
    return schedule;
}

static void
next_is_strictly_after_and_on_whole_seconds(void **state)
{
    struct guaco_schedule *schedule = made("* * * * * *");
    int64_t fire_ms = 0;

    (void)state;
    assert_int_equal(guaco_schedule_next(schedule, 999, &fire_ms), 0);
    assert_true(fire_ms == 1000);
    assert_int_equal(guaco_schedule_next(schedule, 1000, &fire_ms), 0);
    assert_true(fire_ms == 2000);
    assert_int_equal(guaco_schedule_next(schedule, -1500, &fire_ms), 0);
    assert_true(fire_ms == -1000);
    guaco_schedule_free(schedule);
}

static void
outside_of_the_calendar_nothing_fires(void **state)
{
    static const char *const specs[] = {"* * * * *", "0 0 29 2 *", "every 1d"};
    static const int64_t outside[] = {INT64_MIN, FIRST_MS - 400 * DAY_MS,
                                      NEAR_END_MS + 3 * DAY_MS, INT64_MAX};
    int64_t fire_ms = 7;

    (void)state;
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        struct guaco_schedule *schedule = made(specs[i]);
        for (size_t k = 0; k < sizeof outside / sizeof outside[0]; k++) {
            assert_int_equal(
                guaco_schedule_next(schedule, outside[k], &fire_ms),
                GUACO_E_MISSING);
            assert_true(fire_ms == 7);
        }
        assert_int_equal(guaco_schedule_next(schedule, FIRST_MS, &fire_ms), 0);
        fire_ms = 7;
        guaco_schedule_free(schedule);
    }
    struct guaco_schedule *schedule = made("0 0 1 1 *");
    assert_int_equal(
        guaco_schedule_next(schedule, NEAR_END_MS - DAY_MS, &fire_ms),
        GUACO_E_MISSING);
    guaco_schedule_free(schedule);
}

static void
last_finds_what_fired_in_the_window_and_nothing_else(void **state)
{
    struct guaco_schedule *schedule = made("0 0 1 1 *");
    int64_t year_ms = 365 * DAY_MS, fire_ms = 0;

    (void)state;
    assert_int_equal(
        guaco_schedule_last(schedule, INT64_MIN, 200 * DAY_MS, &fire_ms), 0);
    assert_true(fire_ms == 0);
    assert_int_equal(guaco_schedule_last(schedule, 0, 200 * DAY_MS, &fire_ms),
                     GUACO_E_MISSING);
    assert_int_equal(guaco_schedule_last(schedule, -1, 0, &fire_ms), 0);
    assert_true(fire_ms == 0);
    assert_int_equal(guaco_schedule_last(schedule, 0, year_ms, &fire_ms), 0);
    assert_true(fire_ms == year_ms);
    assert_int_equal(guaco_schedule_last(schedule, 5, 4, &fire_ms),
                     GUACO_E_MISSING);
    assert_int_equal(
        guaco_schedule_last(schedule, INT64_MIN, INT64_MAX, &fire_ms), 0);
    assert_true(fire_ms > NEAR_END_MS - year_ms);
    guaco_schedule_free(schedule);
}

static void
due_survives_any_pair_of_times(void **state)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, 1, DAY_MS, INT64_MAX};
    int64_t fire_ms[GUACO_SCHEDULE_CATCH_UP_MAX];
    struct guaco_schedule *schedule = made("*/5 * * * * *");

    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        for (size_t k = 0; k < sizeof times / sizeof times[0]; k++) {
            for (int policy = 1; policy <= 3; policy++) {
                size_t count =
                    guaco_schedule_due(schedule, (enum guaco_catch_up)policy,
                                       times[i], times[k], fire_ms);
                assert_true(count <= (policy == 3 ? 100 : 1));
                for (size_t n = 0; n < count; n++)
                    assert_true(fire_ms[n] > times[i] &&
                                fire_ms[n] <= times[k]);
            }
        }
    }
    guaco_schedule_free(schedule);
}

static void
a_spec_that_does_not_fit_is_refused(void **state)
{
    struct guaco_crontab fields = {TEXT("1"), TEXT("*"), TEXT("*"), TEXT("*"),
                                   TEXT("*")};
    char spec[16];

    (void)state;
    assert_int_equal(guaco_crontab_spec(&fields, true, spec, 14, NULL), 0);
    assert_string_equal(spec, "all 1 * * * *");
    assert_int_equal(guaco_crontab_spec(&fields, true, spec, 13, NULL),
                     GUACO_E_LIMIT);
    assert_int_equal(guaco_crontab_spec(&fields, true, spec, 0, NULL),
                     GUACO_E_LIMIT);
}

static void
without_memory_nothing_is_left(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct guaco_schedule *schedule = NULL;
        fail_after(n);
        int rc = guaco_schedule_new(&schedule, TEXT("@daily"), TEXT("UTC"),
                                    NULL, NULL);
        if (!fail_stop()) {
            assert_int_equal(rc, GUACO_OK);
            guaco_schedule_free(schedule);
            assert_true(n >= 2);
            break;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
        assert_null(schedule);
    }
    guaco_schedule_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_is_strictly_after_and_on_whole_seconds),
        cmocka_unit_test(outside_of_the_calendar_nothing_fires),
        cmocka_unit_test(last_finds_what_fired_in_the_window_and_nothing_else),
        cmocka_unit_test(due_survives_any_pair_of_times),
        cmocka_unit_test(a_spec_that_does_not_fit_is_refused),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
