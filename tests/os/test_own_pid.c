/* Whose process this is, without the system call. */

#include "os/own_pid.h"

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../test.h"

/* Whether a forked child, and a child of its own, each know who they are. */
static int
children_know(const struct guaco__own_pid *own, int depth)
{
    int status = 1;
    pid_t pid = fork();

    if (pid == 0) {
        bool knows = guaco__own_pid_get(own) == getpid() &&
                     guaco__own_pid_get(own) == getpid();
        _exit(knows && (depth == 0 || children_know(own, depth - 1)) ? 0 : 1);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void
it_is_what_getpid_says_in_forked_children_too(void **state)
{
    struct guaco__own_pid own;

    (void)state;
    guaco__own_pid_open(&own);
    assert_int_equal(guaco__own_pid_get(&own), getpid());
    assert_true(children_know(&own, 2));
    assert_int_equal(guaco__own_pid_get(&own), getpid());
    guaco__own_pid_close(&own);
}

static void
without_a_page_it_asks_the_kernel(void **state)
{
    const struct guaco__own_pid own = {0};

    (void)state;
    assert_int_equal(guaco__own_pid_get(&own), getpid());
    assert_true(children_know(&own, 0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_getpid_says_in_forked_children_too),
        cmocka_unit_test(without_a_page_it_asks_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
