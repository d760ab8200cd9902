/* Timers: order, postponing, never early. */

#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "io/loop.h"

struct named {
    struct guaco__timer timer;
    char name;
    unsigned again; /* how often it starts itself again, at once */
};

static char trace[64];
static size_t trace_len;

static int
open_loop(void **state)
{
    struct guaco__loop *loop;

    trace_len = 0;
    memset(trace, 0, sizeof(trace));
    assert_int_equal(guaco__loop_new(&loop, NULL), GUACO_OK);
    *state = loop;
    return 0;
}

static int
close_loop(void **state)
{
    guaco__loop_free(*state);
    return 0;
}

static void
on_timer(struct guaco__timer *timer)
{
    struct named *named = GUACO__OF(timer, struct named, timer);

    assert_false(guaco__timer_is_armed(timer));
    assert_true(trace_len < sizeof(trace) - 1);
    trace[trace_len++] = named->name;
    if (named->again == 0)
        return;
    named->again--;
    guaco__timer_start(timer, 1);
}

static void
arm(struct guaco__loop *loop, struct named *named, char name, uint64_t due_ns)
{
    named->name = name;
    named->again = 0;
    guaco__timer_init(&named->timer, loop, on_timer);
    guaco__timer_start(&named->timer, due_ns);
}

static void
turn(struct guaco__loop *loop)
{
    assert_int_equal(guaco__loop_run(loop, GUACO__LOOP_NOWAIT), GUACO_OK);
}

static void
timers_fire_by_deadline_and_equal_ones_in_order(void **state)
{
    struct named a, b, c, d;

    arm(*state, &a, 'a', 30);
    arm(*state, &b, 'b', 10);
    arm(*state, &c, 'c', 30);
    arm(*state, &d, 'd', 20);
    turn(*state);
    assert_string_equal(trace, "bdac");
}

static void
a_stopped_timer_does_not_fire(void **state)
{
    struct named a, b;

    arm(*state, &a, 'a', 10);
    arm(*state, &b, 'b', 20);
    guaco__timer_stop(&a.timer);
    guaco__timer_stop(&a.timer);
    turn(*state);
    assert_string_equal(trace, "b");
}

static void
a_postponed_timer_fires_once_at_its_new_place(void **state)
{
    struct named a, b, c;

    arm(*state, &a, 'a', 10);
    arm(*state, &b, 'b', 20);
    arm(*state, &c, 'c', 30);
    guaco__timer_start(&a.timer, 30); /* after c, which was armed before */
    guaco__timer_start(&b.timer, 25);
    turn(*state);
    turn(*state);
    assert_string_equal(trace, "bca");
}

static void
a_timer_moved_forward_fires_earlier(void **state)
{
    struct named a, b;

    arm(*state, &a, 'a', 30);
    arm(*state, &b, 'b', 20);
    guaco__timer_start(&a.timer, 10);
    turn(*state);
    assert_string_equal(trace, "ab");
}

static void
one_that_starts_itself_again_waits_for_the_next_turn(void **state)
{
    struct named a, b;

    arm(*state, &a, 'a', 10);
    arm(*state, &b, 'b', 20);
    a.again = 2;
    turn(*state);
    assert_string_equal(trace, "ab");
    turn(*state);
    turn(*state);
    turn(*state);
    assert_string_equal(trace, "abaa");
}

static void
a_postponed_timer_does_not_end_the_wait(void **state)
{
    struct guaco__loop *loop = *state;
    struct named a;

    turn(loop);
    uint64_t now_ns = guaco__loop_now_ns(loop);
    arm(loop, &a, 'a', now_ns + 1000000);
    guaco__timer_start(&a.timer, now_ns + 3600000000000);
    assert_true(guaco__loop_backend_due_ns(loop) == now_ns + 3600000000000);
    guaco__timer_stop(&a.timer);
    assert_true(guaco__loop_backend_due_ns(loop) == UINT64_MAX);
}

static void
a_timer_is_never_early(void **state)
{
    struct guaco__loop *loop = *state;

    for (uint64_t step_ns = 1; step_ns < 4000000; step_ns = step_ns * 3 + 7) {
        struct named a;
        uint64_t due_ns = guaco__loop_now_ns(loop) + step_ns;

        trace_len = 0;
        arm(loop, &a, 'a', due_ns);
        while (trace_len == 0)
            guaco__loop_run(loop, GUACO__LOOP_ONCE);
        assert_true(guaco__loop_now_ns(loop) >= due_ns);
    }
}

static void
a_delay_past_the_end_of_time_is_clamped(void **state)
{
    struct named a;

    arm(*state, &a, 'a', 10);
    guaco__timer_start_ms(&a.timer, UINT64_MAX);
    turn(*state);
    assert_string_equal(trace, "");
    guaco__timer_stop(&a.timer);
}

static void
many_timers_moved_at_random_fire_in_order(void **state)
{
    enum { COUNT = 500 };
    static struct named named[COUNT];
    uint64_t x = 88172645463325252u;

    for (int i = 0; i < COUNT; i++)
        arm(*state, &named[i], 'x', 1000);
    for (int i = 0; i < 20 * COUNT; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        struct guaco__timer *timer = &named[x % COUNT].timer;
        if (x >> 60 == 0)
            guaco__timer_stop(timer);
        else
            guaco__timer_start(timer, 1 + (x >> 32) % 5000);
    }
    /* The trace holds 63; stop all but those. */
    for (int i = 60; i < COUNT; i++)
        guaco__timer_stop(&named[i].timer);
    size_t armed = 0;
    for (int i = 0; i < 60; i++)
        armed += guaco__timer_is_armed(&named[i].timer);
    turn(*state);
    assert_int_equal(trace_len, armed);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_by_deadline_and_equal_ones_in_order),
        TEST(a_stopped_timer_does_not_fire),
        TEST(a_postponed_timer_fires_once_at_its_new_place),
        TEST(a_timer_moved_forward_fires_earlier),
        TEST(one_that_starts_itself_again_waits_for_the_next_turn),
        TEST(a_postponed_timer_does_not_end_the_wait),
        TEST(a_timer_is_never_early),
        TEST(a_delay_past_the_end_of_time_is_clamped),
        TEST(many_timers_moved_at_random_fire_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
