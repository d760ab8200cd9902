/* The promises of run/inherited.h. */

#include "run/inherited.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../failing_malloc.h"
#include "../test.h"

static struct guaco__inherited inherited;
static struct guaco_error err;

static int
setup(void **state)
{
    (void)state;
    inherited.count = 0;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    guaco__inherited_release(&inherited);
    return 0;
}

static void
sockets_of_the_same_words_come_together_and_are_closed_if_not_taken(
    void **state)
{
    int fds[3] = {dup(0), dup(0), dup(0)};

    (void)state;
    assert_int_equal(guaco__inherited_add(&inherited, "a:1", fds, 2, &err),
                     GUACO_OK);
    assert_int_equal(guaco__inherited_add(&inherited, "a:1", fds + 2, 1, &err),
                     GUACO_OK);
    struct guaco__inherited_item *item =
        guaco__inherited_find(&inherited, "a:1");
    assert_non_null(item);
    assert_int_equal(item->fd_count, 3);
    assert_true(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
    assert_null(guaco__inherited_find(&inherited, "b:1"));
    assert_int_equal(guaco__inherited_release(&inherited), 1);
    assert_int_equal(fcntl(fds[1], F_GETFD), -1);
}

static void
activation_that_is_meant_for_another_process_is_ignored(void **state)
{
    static const char *const other[] = {"LISTEN_PID=1", "LISTEN_FDS=1", NULL};
    static const char *const wrong[] = {"LISTEN_PID=x", "LISTEN_FDS=1", NULL};
    static const char *const none[] = {NULL};

    (void)state;
    assert_int_equal(guaco__inherited_add_activated(&inherited, other, &err),
                     GUACO_OK);
    assert_int_equal(guaco__inherited_add_activated(&inherited, wrong, &err),
                     GUACO_OK);
    assert_int_equal(guaco__inherited_add_activated(&inherited, none, &err),
                     GUACO_OK);
    assert_int_equal(inherited.count, 0);
}

static void
an_activated_descriptor_that_does_not_listen_is_refused(void **state)
{
    char pid[32];
    const char *const envp[] = {pid, "LISTEN_FDS=1", NULL};

    (void)state;
    snprintf(pid, sizeof pid, "LISTEN_PID=%ld", (long)getpid());
    assert_int_equal(guaco__inherited_add_activated(&inherited, envp, &err),
                     GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "fd:3"));
}

static void
without_memory_the_sockets_are_closed(void **state)
{
    int fd = dup(0);

    (void)state;
    fail_after(0);
    int rc = guaco__inherited_add(&inherited, "a:1", &fd, 1, &err);
    assert_true(fail_stop());
    assert_int_equal(rc, GUACO_E_LIMIT);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(sockets_of_the_same_words_come_together_and_are_closed_if_not_taken),
        T(activation_that_is_meant_for_another_process_is_ignored),
        T(an_activated_descriptor_that_does_not_listen_is_refused),
        T(without_memory_the_sockets_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
