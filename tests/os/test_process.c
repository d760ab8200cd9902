/* The promises of os/process.h. */

#include "os/process.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"

/* Run a line of shell with descriptor `fd` as its number 7; gives a pidfd. */
static int
shell(const char *line, int fd)
{
    const char *argv[] = {"sh", "-c", line, NULL};
    const char *envp[] = {"GREETING=hello", NULL};
    struct guaco__process_fd fds[] = {{fd, 7}, {fd, 8}};
    struct guaco__process_spec spec = {.path = "/bin/sh",
                                       .argv = argv,
                                       .envp = envp,
                                       .fds = fds,
                                       .fd_count = fd < 0 ? 0 : 2};
    struct guaco_error err = {0};
    pid_t pid;
    int pidfd = -1;

    assert_int_equal(guaco__process_spawn(&spec, &pid, &pidfd, &err), GUACO_OK);
    assert_true(pid > 0);
    return pidfd;
}

static struct guaco__process_end
end_of(int pidfd)
{
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    struct guaco__process_end end;

    assert_int_equal(poll(&wait, 1, 60000), 1);
    assert_int_equal(guaco__process_wait(pidfd, &end), GUACO_OK);
    assert_int_equal(guaco__process_wait(pidfd, &end), GUACO_E_MISSING);
    close(pidfd);
    return end;
}

static void
a_child_gets_its_environment_and_descriptors(void **state)
{
    int ends[2];
    char got[32] = "";

    (void)state;
    assert_int_equal(pipe(ends), 0);
    int pidfd = shell("echo $GREETING >&7; echo there >&8; exit 5", ends[1]);
    struct guaco__process_end end = end_of(pidfd);
    assert_true(end.exited);
    assert_int_equal(end.code, 5);
    assert_int_equal(read(ends[0], got, sizeof got - 1), 12);
    assert_string_equal(got, "hello\nthere\n");
    close(ends[0]);
    close(ends[1]);
}

static void
an_end_by_signal_is_told_apart(void **state)
{
    char text[64];
    struct guaco__process_end end;

    (void)state;
    int pidfd = shell("kill -STOP $$", -1);
    assert_int_equal(guaco__process_wait(pidfd, &end), GUACO_E_AGAIN);
    assert_int_equal(guaco__process_signal(pidfd, SIGKILL), GUACO_OK);
    end = end_of(pidfd);
    assert_false(end.exited);
    assert_int_equal(end.code, SIGKILL);
    guaco__process_describe(&end, text, sizeof text);
    assert_string_equal(text, "signal 9 (Killed)");
    end = (struct guaco__process_end){true, 3};
    guaco__process_describe(&end, text, sizeof text);
    assert_string_equal(text, "exit code 3");
}

/* Nothing in it asks as a parent. */
static void
expect_end_elsewhere(pid_t pid, int pidfd, int rc, int code)
{
    struct guaco__process_end end = {true, 0};

    assert_int_equal(guaco__process_end_of(pid, pidfd, &end), rc);
    if (rc != GUACO_OK)
        return;
    assert_false(end.exited);
    assert_int_equal(end.code, code);
}

static void
the_end_of_a_zombie_is_known_to_others(void **state)
{
    const char *argv[] = {"sleep", "100", NULL};
    const char *envp[] = {NULL};
    struct guaco__process_spec spec = {
        .path = "/bin/sleep", .argv = argv, .envp = envp};
    struct guaco__process_end end;
    struct pollfd wait = {.events = POLLIN};
    pid_t pid;

    (void)state;
    assert_int_equal(guaco__process_spawn(&spec, &pid, &wait.fd, NULL),
                     GUACO_OK);
    expect_end_elsewhere(pid, wait.fd, GUACO_E_AGAIN, 0);
    assert_int_equal(guaco__process_peek(wait.fd, &end), GUACO_E_AGAIN);
    assert_int_equal(guaco__process_signal(wait.fd, SIGSEGV), GUACO_OK);
    assert_int_equal(poll(&wait, 1, 60000), 1);
    expect_end_elsewhere(pid, wait.fd, GUACO_OK, SIGSEGV);
    assert_int_equal(guaco__process_peek(wait.fd, &end), GUACO_OK);
    assert_int_equal(end.code, SIGSEGV);
    expect_end_elsewhere(pid, wait.fd, GUACO_OK, SIGSEGV);

    /* Once it was waited for, only newer kernels know. */
    assert_int_equal(guaco__process_wait(wait.fd, &end), GUACO_OK);
    int rc = guaco__process_end_of(pid, wait.fd, &end);
    assert_true(rc == GUACO_OK || rc == GUACO_E_MISSING);
    if (rc == GUACO_OK)
        assert_int_equal(end.code, SIGSEGV);
    close(wait.fd);
}

static void
blocked_and_ignored_signals_are_not_inherited(void **state)
{
    sigset_t all;
    sigset_t before;

    (void)state;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    signal(SIGTERM, SIG_IGN);
    int pidfd = shell("kill -TERM $$; exit 0", -1);
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    struct guaco__process_end end = end_of(pidfd);
    assert_false(end.exited);
    assert_int_equal(end.code, SIGTERM);
}

static void
an_executable_that_is_missing_is_named(void **state)
{
    const char *argv[] = {"x", NULL};
    const char *envp[] = {NULL};
    struct guaco__process_spec spec = {
        .path = "/nonexistent/x", .argv = argv, .envp = envp};
    struct guaco_error err = {0};
    pid_t pid;
    int pidfd;

    (void)state;
    assert_int_equal(guaco__process_spawn(&spec, &pid, &pidfd, &err),
                     GUACO_E_MISSING);
    assert_non_null(strstr(err.text, "/nonexistent/x"));
}

static void
a_pid_that_is_not_there_is_missing(void **state)
{
    int pidfd;

    (void)state;
    assert_int_equal(guaco__process_open(0x3fffffff, &pidfd, NULL),
                     GUACO_E_MISSING);
    assert_int_equal(guaco__process_open(getpid(), &pidfd, NULL), GUACO_OK);
    assert_int_equal(guaco__process_signal(pidfd, 0), GUACO_OK);
    close(pidfd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_gets_its_environment_and_descriptors),
        cmocka_unit_test(an_end_by_signal_is_told_apart),
        cmocka_unit_test(the_end_of_a_zombie_is_known_to_others),
        cmocka_unit_test(blocked_and_ignored_signals_are_not_inherited),
        cmocka_unit_test(an_executable_that_is_missing_is_named),
        cmocka_unit_test(a_pid_that_is_not_there_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
