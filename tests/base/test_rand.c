/* The promises of base/rand.h. */

#include "base/rand.h"

#include <string.h>

#include "guaco/error.h"

#include "../test.h"

static void
bytes_differ_from_call_to_call(void **state)
{
    unsigned char a[64] = {0};
    unsigned char b[64] = {0};

    (void)state;
    assert_int_equal(guaco__rand_bytes(a, sizeof a), GUACO_OK);
    assert_int_equal(guaco__rand_bytes(b, sizeof b), GUACO_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(guaco__rand_bytes(NULL, 0), GUACO_OK);
}

static void
a_seed_gives_the_same_numbers_again(void **state)
{
    struct guaco__rand a;
    struct guaco__rand b;

    (void)state;
    guaco__rand_init(&a, 42);
    guaco__rand_init(&b, 42);
    for (int i = 0; i < 100; i++)
        assert_true(guaco__rand_next(&a) == guaco__rand_next(&b));
}

static void
numbers_below_a_bound_are_spread_evenly(void **state)
{
    struct guaco__rand rand;
    int seen[7] = {0};

    (void)state;
    guaco__rand_init(&rand, 0);
    for (int i = 0; i < 70000; i++)
        seen[guaco__rand_below(&rand, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_int_equal(guaco__rand_below(&rand, 1), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_differ_from_call_to_call),
        cmocka_unit_test(a_seed_gives_the_same_numbers_again),
        cmocka_unit_test(numbers_below_a_bound_are_spread_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
