/* Allocations that fail: the loop and its watches say so and leave nothing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../failing_malloc.h"
#include "io/loop.h"
#include "io/watch.h"

static void
on_event(struct guaco__watch *watch, unsigned events)
{
    (void)watch;
    (void)events;
}

static void
a_loop_that_cannot_be_made_leaves_nothing(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct guaco__loop *loop = NULL;

        fail_after(n);
        int rc = guaco__loop_new(&loop, NULL);
        bool refused = fail_stop();
        if (rc == GUACO_OK) {
            guaco__loop_free(loop);
            if (!refused)
                break;
            continue;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
        assert_null(loop);
        assert_true(refused);
    }
}

static void
a_watch_that_cannot_be_started_is_stopped(void **state)
{
    struct guaco__loop *loop;
    struct guaco__watch watch;
    int fds[2], rc;

    (void)state;
    assert_int_equal(guaco__loop_new(&loop, NULL), GUACO_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    long n = 0;
    do {
        fail_after(n++);
        rc = guaco__watch_start(&watch, loop, fds[0], GUACO__READABLE, on_event,
                                NULL);
        (void)fail_stop();
        if (rc != GUACO_OK) {
            assert_int_equal(rc, GUACO_E_NOMEM);
            assert_false(guaco__watch_is_started(&watch));
        }
    } while (rc != GUACO_OK);
    assert_true(n > 1);
    guaco__watch_stop(&watch);
    guaco__loop_free(loop);
    close(fds[0]);
    close(fds[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_that_cannot_be_made_leaves_nothing),
        cmocka_unit_test(a_watch_that_cannot_be_started_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
