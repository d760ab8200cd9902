/* The turn of the loop: order, stopping, the host, hooks, hosting, fork. */

#include "io/loop.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/post.h"
#include "io/timer.h"
#include "io/watch.h"

static char trace[64];

static void
note(const char *what)
{
    size_t used = strlen(trace);

    snprintf(trace + used, sizeof(trace) - used, "%s", what);
}

static int
open_loop(void **state)
{
    struct guaco__loop *loop;

    trace[0] = '\0';
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
before_wait(void *ctx)
{
    (void)ctx;
    note("b");
}

static void
after_wait(void *ctx)
{
    (void)ctx;
    note("a");
}

static void
work(void *ctx)
{
    (void)ctx;
    note("w");
}

static void
on_turn_end(struct guaco__turn_hook *hook)
{
    (void)hook;
    note("e");
}

static void
on_timer(struct guaco__timer *timer)
{
    (void)timer;
    note("t");
}

static void
on_post(struct guaco__post *post)
{
    (void)post;
    note("p");
}

static void
on_readable(struct guaco__watch *watch, unsigned events)
{
    assert_int_equal(events, GUACO__READABLE);
    note("r");
    guaco__watch_stop(watch);
}

static void
install_host(struct guaco__loop *loop)
{
    struct guaco__loop_host host = {before_wait, after_wait, work, NULL};
    guaco__loop_set_host(loop, &host);
}

static void
a_turn_waits_then_runs_events_timers_work_and_hooks(void **state)
{
    struct guaco__loop *loop = *state;
    struct guaco__turn_hook hook;
    struct guaco__timer timer;
    struct guaco__watch watch;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    install_host(loop);
    guaco__turn_hook_add(loop, &hook, on_turn_end);
    assert_int_equal(guaco__watch_start(&watch, loop, fds[0], GUACO__READABLE,
                                        on_readable, NULL),
                     GUACO_OK);
    guaco__timer_init(&timer, loop, on_timer);
    guaco__timer_start(&timer, 1);
    assert_int_equal(guaco__loop_run(loop, GUACO__LOOP_ONCE), GUACO_OK);
    assert_string_equal(trace, "rtwe"); /* a due timer: the wait is none */

    guaco__turn_hook_remove(&hook);
    close(fds[0]);
    close(fds[1]);
}

static void
the_host_is_told_of_a_wait_and_taken_back_before_the_first_callback(
    void **state)
{
    struct guaco__loop *loop = *state;
    struct guaco__watch watch;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(guaco__watch_start(&watch, loop, fds[0], GUACO__READABLE,
                                        on_readable, NULL),
                     GUACO_OK);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT); /* the start kept it awake */
    install_host(loop);
    assert_int_equal(guaco__watch_start(&watch, loop, fds[0], GUACO__READABLE,
                                        on_readable, NULL),
                     GUACO_OK);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    assert_string_equal(trace, "rrw");

    trace[0] = '\0';
    struct guaco__timer timer;
    guaco__timer_init(&timer, loop, on_timer);
    guaco__timer_start_ms(&timer, 2);
    while (strchr(trace, 't') == NULL)
        guaco__loop_run(loop, GUACO__LOOP_ONCE);
    assert_memory_equal(trace, "ba", 2);
    assert_string_equal(trace + strlen(trace) - 2, "tw");
    close(fds[0]);
    close(fds[1]);
}

static void
a_loop_kept_awake_does_not_wait_for_one_turn(void **state)
{
    struct guaco__loop *loop = *state;

    install_host(loop);
    guaco__loop_keep_awake(loop);
    guaco__loop_run(loop, GUACO__LOOP_ONCE);
    assert_string_equal(trace, "w");
}

static void
a_stop_before_the_run_allows_one_turn(void **state)
{
    struct guaco__loop *loop = *state;

    install_host(loop);
    guaco__loop_stop(loop);
    guaco__loop_run(loop, GUACO__LOOP_UNTIL_STOPPED);
    assert_string_equal(trace, "w");
    assert_false(guaco__loop_is_running(loop));
}

static struct guaco__loop *inner;

static void
run_again(struct guaco__timer *timer)
{
    (void)timer;
    assert_true(guaco__loop_is_running(inner));
    assert_int_equal(guaco__loop_run(inner, GUACO__LOOP_NOWAIT), GUACO_E_STATE);
    guaco__loop_stop(inner);
}

static void
a_running_loop_refuses_to_run_again(void **state)
{
    struct guaco__timer timer;

    inner = *state;
    guaco__timer_init(&timer, inner, run_again);
    guaco__timer_start(&timer, 1);
    assert_int_equal(guaco__loop_run(inner, GUACO__LOOP_UNTIL_STOPPED),
                     GUACO_OK);
}

static struct guaco__turn_hook first, second;

static void
remove_both(struct guaco__turn_hook *hook)
{
    guaco__turn_hook_remove(hook);
    guaco__turn_hook_remove(&second);
    note("1");
}

static void
a_hook_may_remove_itself_and_the_next(void **state)
{
    struct guaco__loop *loop = *state;

    guaco__turn_hook_add(loop, &first, remove_both);
    guaco__turn_hook_add(loop, &second, on_turn_end);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    assert_string_equal(trace, "1");
}

static void
a_guest_is_driven_by_its_descriptor_and_its_timeout(void **state)
{
    struct guaco__loop *loop = *state;
    struct guaco__timer timer;
    struct guaco__post post;

    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    assert_true(guaco__loop_backend_due_ns(loop) == UINT64_MAX);

    guaco__timer_init(&timer, loop, on_timer);
    guaco__timer_start(&timer, guaco__loop_now_ns(loop) + 5);
    assert_true(guaco__loop_backend_due_ns(loop) ==
                guaco__loop_now_ns(loop) + 5);
    guaco__timer_stop(&timer);

    guaco__loop_keep_awake(loop);
    assert_true(guaco__loop_backend_due_ns(loop) == 0);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);

    guaco__post_init(&post, on_post);
    assert_int_equal(guaco__post_send(loop, &post), GUACO_OK);
    struct pollfd fd = {guaco__loop_backend_fd(loop), POLLIN, 0};
    assert_int_equal(poll(&fd, 1, 60000), 1);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    assert_string_equal(trace, "p");
}

/* What the child does with its copy must not reach the parent's epoll. */
static int
child(struct guaco__loop *loop, struct guaco__watch *watch)
{
    guaco__loop_abandon(loop);
    if (guaco__loop_run(loop, GUACO__LOOP_NOWAIT) != GUACO_E_STATE)
        return 1;
    guaco__watch_stop(watch);
    guaco__loop_free(loop);
    return 0;
}

static void
a_forked_child_refuses_to_run_and_leaves_the_parent_alone(void **state)
{
    struct guaco__loop *loop = *state;
    struct guaco__watch watch;
    int fds[2], status;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(guaco__watch_start(&watch, loop, fds[0], GUACO__READABLE,
                                        on_readable, NULL),
                     GUACO_OK);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child(loop, &watch));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);

    assert_int_equal(write(fds[1], "x", 1), 1);
    guaco__loop_run(loop, GUACO__LOOP_ONCE);
    assert_string_equal(trace, "r");
    close(fds[0]);
    close(fds[1]);
}

static void
beat(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    note(now_ns > 0 ? "+" : "?");
}

static void
rest(void *ctx)
{
    (void)ctx;
    note("-");
}

static void
on_due(struct guaco__timer *timer)
{
    (void)timer;
    note("t");
}

/* Idle before the host lets go of the thread, busy before it takes it back:
 * waiting for its lock is not waiting for events. */
static void
the_pulse_tells_when_the_loop_moves_and_when_it_waits(void **state)
{
    struct guaco__loop *loop = *state;
    const struct guaco__loop_host host = {before_wait, after_wait, NULL, NULL};
    const struct guaco__loop_pulse pulse = {beat, rest, NULL};
    struct guaco__timer timer;

    guaco__timer_init(&timer, loop, on_due);
    guaco__loop_set_host(loop, &host);
    guaco__loop_set_pulse(loop, &pulse);
    guaco__timer_start_ms(&timer, 1);
    guaco__loop_run(loop, GUACO__LOOP_ONCE);
    assert_string_equal(trace, "-b+at-");
    trace[0] = '\0';
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    assert_string_equal(trace, "+-");
    guaco__loop_set_pulse(loop, NULL);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    assert_string_equal(trace, "+-");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
    const struct CMUnitTest tests[] = {
        TEST(a_turn_waits_then_runs_events_timers_work_and_hooks),
        TEST(
            the_host_is_told_of_a_wait_and_taken_back_before_the_first_callback),
        TEST(a_loop_kept_awake_does_not_wait_for_one_turn),
        TEST(a_stop_before_the_run_allows_one_turn),
        TEST(a_running_loop_refuses_to_run_again),
        TEST(a_hook_may_remove_itself_and_the_next),
        TEST(a_guest_is_driven_by_its_descriptor_and_its_timeout),
        TEST(the_pulse_tells_when_the_loop_moves_and_when_it_waits),
        TEST(a_forked_child_refuses_to_run_and_leaves_the_parent_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
