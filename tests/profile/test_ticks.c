/* Ticks: a grid that lateness does not move. */

#include "test.h"

#include "profile/ticks.h"

static void
ticks_stand_on_a_grid(void **state)
{
    struct guaco__ticks ticks;

    (void)state;
    guaco__ticks_init(&ticks, 1000, false, 1, 5000);
    assert_int_equal(ticks.due_ns, 5000);
    guaco__ticks_take(&ticks, 5010);
    assert_int_equal(ticks.due_ns, 6000);
    guaco__ticks_take(&ticks, 6700);
    assert_int_equal(ticks.due_ns, 7000);
    assert_int_equal(ticks.taken, 2);
    assert_int_equal(ticks.missed, 0);
    assert_int_equal(ticks.late, 1);
    assert_int_equal(ticks.late_most_ns, 700);
}

static void
what_passed_meanwhile_is_missed_and_counted(void **state)
{
    struct guaco__ticks ticks;

    (void)state;
    guaco__ticks_init(&ticks, 1000, false, 1, 0);
    guaco__ticks_take(&ticks, 3500); /* 1000 and 2000 are gone, 3000 is due */
    assert_int_equal(ticks.missed, 2);
    assert_int_equal(ticks.due_ns, 3500);
    guaco__ticks_take(&ticks, 3600);
    assert_int_equal(ticks.due_ns, 4000);
    assert_int_equal(ticks.taken + ticks.missed, 4);
}

static void
jitter_moves_a_tick_inside_its_cell(void **state)
{
    struct guaco__ticks ticks;
    uint64_t least = UINT64_MAX, most = 0;

    (void)state;
    guaco__ticks_init(&ticks, 1000, true, 7, 0);
    for (uint64_t i = 1; i < 1000; i++) {
        guaco__ticks_take(&ticks, ticks.due_ns);
        assert_int_equal(ticks.due_ns / 1000, i);
        uint64_t in_cell = ticks.due_ns % 1000;
        least = in_cell < least ? in_cell : least;
        most = in_cell > most ? in_cell : most;
    }
    assert_true(least < 50);
    assert_true(most > 950);
    assert_int_equal(ticks.missed, 0);
}

static void
a_due_moment_is_never_in_the_past(void **state)
{
    struct guaco__ticks ticks;
    uint64_t now = 0;

    (void)state;
    guaco__ticks_init(&ticks, 10, true, 3, 0);
    for (int i = 0; i < 1000; i++) {
        now = ticks.due_ns + (uint64_t)(i * 37 % 101);
        guaco__ticks_take(&ticks, now);
        assert_true(ticks.due_ns >= now);
    }
    uint64_t cells = now / 10 + 1;
    assert_true(ticks.taken + ticks.missed <= cells + 1);
    assert_true(ticks.taken + ticks.missed + 1 >= cells);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_stand_on_a_grid),
        cmocka_unit_test(what_passed_meanwhile_is_missed_and_counted),
        cmocka_unit_test(jitter_moves_a_tick_inside_its_cell),
        cmocka_unit_test(a_due_moment_is_never_in_the_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
