/* The promises of run/pid_file.h. */

#include "run/pid_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../folder.h"
#include "../test.h"

static int
setup(void **state)
{
    (void)state;
    return chdir(folder_make());
}

static int
teardown(void **state)
{
    (void)state;
    folder_remove();
    return chdir("/");
}

static long
pid_in(const char *path)
{
    char text[32] = "";
    FILE *file = fopen(path, "r");

    if (file == NULL)
        return -1;
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    return strtol(text, NULL, 10);
}

static void
put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void
it_is_there_from_open_to_close(void **state)
{
    struct guaco__pid_file file;

    (void)state;
    assert_int_equal(guaco__pid_file_open(&file, NULL, false, NULL), GUACO_OK);
    guaco__pid_file_close(&file);
    assert_int_equal(guaco__pid_file_open(&file, "p", false, NULL), GUACO_OK);
    assert_int_equal(pid_in("p"), getpid());
    guaco__pid_file_close(&file);
    assert_int_equal(pid_in("p"), -1);
}

static void
another_that_runs_is_respected(void **state)
{
    struct guaco__pid_file file;
    struct guaco_error err = {0};
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%ld\n", (long)getppid());
    put("p", text);
    assert_int_equal(guaco__pid_file_open(&file, "p", false, &err),
                     GUACO_E_EXISTS);
    guaco__pid_file_close(&file);
    assert_int_equal(pid_in("p"), getppid());
    put("p", "nonsense");
    assert_int_equal(guaco__pid_file_open(&file, "p", false, &err), GUACO_OK);
    put("p", text); /* somebody has taken it over */
    guaco__pid_file_close(&file);
    assert_int_equal(pid_in("p"), getppid());
    unlink("p");
}

static void
a_newcomer_stands_beside_and_takes_over(void **state)
{
    struct guaco__pid_file file;

    (void)state;
    put("p", "1\n");
    assert_int_equal(guaco__pid_file_open(&file, "p", true, NULL), GUACO_OK);
    assert_int_equal(pid_in("p.2"), getpid());
    assert_int_equal(pid_in("p"), 1);
    assert_int_equal(guaco__pid_file_take_over(&file, NULL), GUACO_OK);
    assert_int_equal(guaco__pid_file_take_over(&file, NULL), GUACO_OK);
    assert_int_equal(pid_in("p.2"), -1);
    assert_int_equal(pid_in("p"), getpid());
    guaco__pid_file_close(&file);
    assert_int_equal(pid_in("p"), -1);
}

static void
a_path_that_cannot_be_is_an_error(void **state)
{
    struct guaco__pid_file file;
    struct guaco_error err = {0};
    char lengthy[2 * PATH_MAX];

    (void)state;
    assert_int_equal(guaco__pid_file_open(&file, "no/p", false, &err),
                     GUACO_E_IO);
    memset(lengthy, 'x', sizeof lengthy);
    lengthy[sizeof lengthy - 1] = '\0';
    assert_int_equal(guaco__pid_file_open(&file, lengthy, false, &err),
                     GUACO_E_LIMIT);
    guaco__pid_file_close(&file);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(it_is_there_from_open_to_close),
        T(another_that_runs_is_respected),
        T(a_newcomer_stands_beside_and_takes_over),
        T(a_path_that_cannot_be_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
