/* A thread that is stopped and let go: src/profile/freeze.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "profile/freeze.h"

/* What a child counts in, and we see. */
static _Atomic uint64_t *counter;

static void
on_signal(int number)
{
    (void)number;
    atomic_fetch_add(counter + 1, 1);
}

/* A child that counts until it is killed. */
static pid_t
counting(void)
{
    atomic_store(counter, 0);
    atomic_store(counter + 1, 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGUSR1, on_signal);
        for (;;)
            atomic_fetch_add(counter, 1);
    }
    while (atomic_load(counter) == 0) {}
    return pid;
}

static int
end_of(pid_t pid)
{
    int status = 0;

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void
wait_until_it_counts(void)
{
    uint64_t before = atomic_load(counter);

    while (atomic_load(counter) == before) {}
}

static void
begin(struct guaco__freezer *freezer, pid_t pid,
      struct guaco__registers *registers)
{
    int rc;

    /* A machine may be so busy that the child gets no processor in time. */
    do {
        rc = guaco__freeze_begin(freezer, pid, registers);
    } while (rc == GUACO_E_AGAIN || rc == GUACO_E_IO);
    assert_int_equal(rc, GUACO_OK);
}

static void
a_thread_stands_between_begin_and_end(void **state)
{
    struct guaco__freezer freezer;
    struct guaco__registers registers = {.count = 0};
    pid_t pid = counting();
    int sys;

    (void)state;
    assert_int_equal(guaco__freezer_check(&sys), GUACO_OK);
    guaco__freezer_init(&freezer, pid);
    for (uint64_t n = 1; n <= 100; n++) {
        begin(&freezer, pid, &registers);
        uint64_t stands_at = atomic_load(counter);
        assert_true(registers.count >= 17);
        assert_int_equal(registers.at[GUACO__REGISTER_SP], registers.sp);
        assert_true(registers.pc != 0);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(atomic_load(counter), stands_at);
        guaco__freeze_end(&freezer);
        assert_int_equal(freezer.stops, n);
        wait_until_it_counts();
    }
    assert_true(freezer.most_ns * freezer.stops >= freezer.total_ns);
    guaco__freezer_release(&freezer);
    assert_true(WIFSIGNALED(end_of(pid)));
}

static void
a_signal_that_comes_meanwhile_is_delivered(void **state)
{
    struct guaco__freezer freezer;
    struct guaco__registers registers;
    pid_t pid = counting();

    (void)state;
    guaco__freezer_init(&freezer, pid);
    for (uint64_t n = 1; n <= 100; n++) {
        kill(pid, SIGUSR1); /* it may be stopped on its way to it */
        begin(&freezer, pid, &registers);
        guaco__freeze_end(&freezer);
        while (atomic_load(counter + 1) < n) {}
    }
    assert_int_equal(atomic_load(counter + 1), 100);
    guaco__freezer_release(&freezer);
    end_of(pid);
}

static void
an_ended_thread_is_missing_and_its_end_is_its_parents(void **state)
{
    struct guaco__freezer freezer;
    struct guaco__registers registers;
    pid_t pid = counting();
    siginfo_t info;
    int status;

    (void)state;
    guaco__freezer_init(&freezer, pid);
    begin(&freezer, pid, &registers);
    kill(pid, SIGKILL); /* while it stands */
    guaco__freeze_end(&freezer);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    int rc = guaco__freeze_begin(&freezer, pid, &registers);
    assert_true(rc == GUACO_E_MISSING || rc == GUACO_E_IO);
    guaco__freezer_release(&freezer);
    assert_int_equal(waitpid(pid, &status, 0), pid); /* still ours to take */
    assert_true(WIFSIGNALED(status));
    guaco__freezer_init(&freezer, pid);
    assert_int_equal(guaco__freeze_begin(&freezer, pid, &registers),
                     GUACO_E_MISSING);
    guaco__freezer_release(&freezer);
}

/* The killer of all is SIGKILL: the kernel lets go. */
static void
the_end_of_the_profiler_lets_a_standing_thread_go(void **state)
{
    struct guaco__freezer freezer;
    struct guaco__registers registers;
    pid_t pid = counting();

    (void)state;
    for (int i = 0; i < 20; i++) {
        pid_t profiler = fork();
        assert_true(profiler >= 0);
        if (profiler == 0) {
            guaco__freezer_init(&freezer, pid);
            while (guaco__freeze_begin(&freezer, pid, &registers) != GUACO_OK) {
            }
            kill(getpid(), SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(profiler, &status, 0), profiler);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        wait_until_it_counts();
    }
    end_of(pid);
}

static int
map_counter(void **state)
{
    (void)state;
    counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return counter == MAP_FAILED;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_stands_between_begin_and_end),
        cmocka_unit_test(a_signal_that_comes_meanwhile_is_delivered),
        cmocka_unit_test(an_ended_thread_is_missing_and_its_end_is_its_parents),
        cmocka_unit_test(the_end_of_the_profiler_lets_a_standing_thread_go),
    };
    int sys;

    if (guaco__freezer_check(&sys) != GUACO_OK) {
        print_message("skipped: ptrace is forbidden here\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, map_counter, NULL);
}
