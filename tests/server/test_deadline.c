/* Deadlines by a clock that is an argument. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "server/deadline.h"

static struct guaco__deadline *expired[8];
static unsigned expired_count;

static void
on_expired(struct guaco__deadlines *all, struct guaco__deadline *deadline,
           enum guaco__deadline_kind kind)
{
    (void)all, (void)kind;
    assert_true(guaco__deadline_is(deadline, GUACO__DEADLINE_COUNT));
    expired[expired_count++] = deadline;
}

static void
open_all(struct guaco__deadlines *all)
{
    guaco__deadlines_init(all, NULL, on_expired);
    all->lengths_ms[GUACO__DEADLINE_HEAD] = 10;
    all->lengths_ms[GUACO__DEADLINE_IDLE] = 50;
    expired_count = 0;
}

static void
each_expires_at_its_time_and_not_before(void **state)
{
    struct guaco__deadlines all;
    struct guaco__deadline a;
    struct guaco__deadline b;

    (void)state;
    open_all(&all);
    guaco__deadline_init(&a);
    guaco__deadline_init(&b);
    guaco__deadline_set(&all, &a, GUACO__DEADLINE_IDLE, 1000);
    guaco__deadline_set(&all, &b, GUACO__DEADLINE_HEAD, 1005);
    assert_int_equal(guaco__deadlines_next_ms(&all), 1015);
    guaco__deadlines_run(&all, 1014);
    assert_int_equal(expired_count, 0);
    guaco__deadlines_run(&all, 1015);
    assert_int_equal(expired_count, 1);
    assert_ptr_equal(expired[0], &b);
    assert_int_equal(guaco__deadlines_next_ms(&all), 1050);
    guaco__deadlines_run(&all, 5000);
    assert_int_equal(expired_count, 2);
    assert_int_equal(guaco__deadlines_next_ms(&all), UINT64_MAX);
    guaco__deadlines_release(&all);
}

static void
setting_again_postpones_and_clearing_forgets(void **state)
{
    struct guaco__deadlines all;
    struct guaco__deadline a;
    struct guaco__deadline b;

    (void)state;
    open_all(&all);
    guaco__deadline_init(&a);
    guaco__deadline_init(&b);
    guaco__deadline_set(&all, &a, GUACO__DEADLINE_HEAD, 0);
    guaco__deadline_set(&all, &b, GUACO__DEADLINE_HEAD, 2);
    guaco__deadline_set(&all, &a, GUACO__DEADLINE_HEAD, 5);
    assert_int_equal(guaco__deadlines_next_ms(&all), 12);
    guaco__deadline_clear(&b);
    guaco__deadline_clear(&b);
    guaco__deadlines_run(&all, 14);
    assert_int_equal(expired_count, 0);
    guaco__deadlines_run(&all, 15);
    assert_int_equal(expired_count, 1);
    guaco__deadlines_release(&all);
}

static void
a_length_of_zero_is_no_timeout(void **state)
{
    struct guaco__deadlines all;
    struct guaco__deadline a;

    (void)state;
    open_all(&all);
    guaco__deadline_init(&a);
    guaco__deadline_set(&all, &a, GUACO__DEADLINE_SEND, 0);
    assert_true(guaco__deadline_is(&a, GUACO__DEADLINE_COUNT));
    assert_int_equal(guaco__deadlines_next_ms(&all), UINT64_MAX);
    guaco__deadlines_release(&all);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_expires_at_its_time_and_not_before),
        cmocka_unit_test(setting_again_postpones_and_clearing_forgets),
        cmocka_unit_test(a_length_of_zero_is_no_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
