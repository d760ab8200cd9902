/* How far a worker claims ahead: no I/O, no clock. */

#include "queue/pace.h"

#include "../test.h"

#define US 1000u
#define MS 1000000u

/* `n` runs of run_ns each, one after the other. */
static void
run(struct guaco__pace *pace, int n, uint64_t run_ns)
{
    for (int i = 0; i < n; i++) {
        uint64_t begun_ns = pace->ended_ns + 1;
        guaco__pace_ended(pace, begun_ns, begun_ns + run_ns);
    }
}

static void
nothing_is_claimed_ahead_until_runs_are_seen_to_be_short(void **state)
{
    struct guaco__pace pace;

    (void)state;
    guaco__pace_init(&pace);
    assert_int_equal(guaco__pace_ahead(&pace, 64), 0);
    run(&pace, 5, 10 * US);
    assert_int_equal(guaco__pace_ahead(&pace, 64), 0);
    run(&pace, 200, 10 * US);
    assert_true(guaco__pace_ahead(&pace, 64) >= 40);
    assert_int_equal(guaco__pace_ahead(&pace, 8), 8);
    assert_int_equal(guaco__pace_ahead(&pace, 0), 0);
}

static void
one_long_run_ends_it_for_a_while(void **state)
{
    struct guaco__pace pace;

    (void)state;
    guaco__pace_init(&pace);
    run(&pace, 200, 10 * US);
    run(&pace, 1, 1000 * MS);
    assert_int_equal(guaco__pace_ahead(&pace, 64), 0);
    run(&pace, 10, 10 * US);
    assert_int_equal(guaco__pace_ahead(&pace, 64), 0);
    run(&pace, 200, 10 * US);
    assert_true(guaco__pace_ahead(&pace, 64) >= 40);
    guaco__pace_stalled(&pace);
    assert_int_equal(guaco__pace_ahead(&pace, 64), 0);
}

static void
a_slow_store_lets_more_be_claimed_and_held(void **state)
{
    struct guaco__pace pace;

    (void)state;
    guaco__pace_init(&pace);
    run(&pace, 200, 5 * MS);
    assert_int_equal(guaco__pace_ahead(&pace, 64), 0);
    uint64_t hold_ns = guaco__pace_hold_ns(&pace);
    guaco__pace_claimed(&pace, 20 * MS);
    assert_in_range(guaco__pace_ahead(&pace, 64), 6, 8);
    assert_true(guaco__pace_hold_ns(&pace) > hold_ns);
    guaco__pace_claimed(&pace, UINT64_MAX / 4);
    assert_in_range(guaco__pace_ahead(&pace, 64), 6, 10);
}

static void
runs_beside_each_other_count_by_how_often_one_ends(void **state)
{
    struct guaco__pace pace;

    (void)state;
    guaco__pace_init(&pace);
    /* Four seats, 400 us each: one ends each 100 us. */
    for (uint64_t i = 4; i < 400; i++)
        guaco__pace_ended(&pace, (i - 4) * 100 * US, i * 100 * US);
    assert_in_range(guaco__pace_ahead(&pace, 64), 4, 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            nothing_is_claimed_ahead_until_runs_are_seen_to_be_short),
        cmocka_unit_test(one_long_run_ends_it_for_a_while),
        cmocka_unit_test(a_slow_store_lets_more_be_claimed_and_held),
        cmocka_unit_test(runs_beside_each_other_count_by_how_often_one_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
