/* The promises of run/log_files.h. */

#include "run/log_files.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../folder.h"
#include "../test.h"

static struct guaco__log_files logs;
static int errors; /* standard error as it was */

static int
setup(void **state)
{
    (void)state;
    guaco__log_files_init(&logs);
    errors = dup(STDERR_FILENO);
    return chdir(folder_make());
}

static int
teardown(void **state)
{
    (void)state;
    guaco__log_files_close(&logs);
    dup2(errors, STDERR_FILENO);
    close(errors);
    folder_remove();
    return chdir("/");
}

static void
say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static off_t
size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void
without_files_all_goes_where_it_went(void **state)
{
    int fds[GUACO__LOG_FILES];

    (void)state;
    assert_int_equal(guaco__log_files_set(&logs, GUACO__ACCESS_LOG, "-", NULL),
                     GUACO_OK);
    assert_int_equal(guaco__log_files_set(&logs, GUACO__ERROR_LOG, NULL, NULL),
                     GUACO_OK);
    guaco__log_files_fds(&logs, fds);
    assert_int_equal(fds[GUACO__ACCESS_LOG], STDOUT_FILENO);
    assert_int_equal(fds[GUACO__ERROR_LOG], STDERR_FILENO);
    assert_int_equal(guaco__log_files_reopen(&logs, NULL), GUACO_OK);
}

static void
a_renamed_file_is_left_when_it_is_opened_again(void **state)
{
    int fds[GUACO__LOG_FILES];

    (void)state;
    assert_int_equal(guaco__log_files_set(&logs, GUACO__ERROR_LOG, "e", NULL),
                     GUACO_OK);
    assert_int_equal(guaco__log_files_set(&logs, GUACO__ACCESS_LOG, "a", NULL),
                     GUACO_OK);
    guaco__log_files_fds(&logs, fds);
    say(STDERR_FILENO, "12");
    say(fds[GUACO__ACCESS_LOG], "1");
    assert_int_equal(rename("e", "e.1"), 0);
    assert_int_equal(rename("a", "a.1"), 0);
    say(STDERR_FILENO, "3");
    assert_int_equal(guaco__log_files_reopen(&logs, NULL), GUACO_OK);
    guaco__log_files_fds(&logs, fds);
    say(STDERR_FILENO, "4");
    say(fds[GUACO__ACCESS_LOG], "2345");
    assert_int_equal(size_of("e.1"), 3);
    assert_int_equal(size_of("e"), 1);
    assert_int_equal(size_of("a.1"), 1);
    assert_int_equal(size_of("a"), 4);
    unlink("e.1");
    unlink("a.1");
    unlink("e");
    unlink("a");
}

static void
when_one_cannot_be_opened_none_is_changed(void **state)
{
    struct guaco_error err = {0};
    int before[GUACO__LOG_FILES];
    int after[GUACO__LOG_FILES];

    (void)state;
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(guaco__log_files_set(&logs, GUACO__ERROR_LOG, "e", NULL),
                     GUACO_OK);
    assert_int_equal(
        guaco__log_files_set(&logs, GUACO__ACCESS_LOG, "d/a", NULL), GUACO_OK);
    guaco__log_files_fds(&logs, before);
    unlink("d/a");
    rmdir("d");
    assert_int_equal(guaco__log_files_reopen(&logs, &err), GUACO_E_IO);
    guaco__log_files_fds(&logs, after);
    assert_memory_equal(before, after, sizeof before);
    unlink("e");
}

static void
a_path_that_cannot_be_is_an_error(void **state)
{
    struct guaco_error err = {0};
    char lengthy[2 * PATH_MAX];

    (void)state;
    assert_int_equal(
        guaco__log_files_set(&logs, GUACO__ACCESS_LOG, "no/a", &err),
        GUACO_E_IO);
    memset(lengthy, 'x', sizeof lengthy);
    lengthy[sizeof lengthy - 1] = '\0';
    assert_int_equal(
        guaco__log_files_set(&logs, GUACO__ACCESS_LOG, lengthy, &err),
        GUACO_E_LIMIT);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(without_files_all_goes_where_it_went),
        T(a_renamed_file_is_left_when_it_is_opened_again),
        T(when_one_cannot_be_opened_none_is_changed),
        T(a_path_that_cannot_be_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
