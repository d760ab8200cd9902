/* The promises of run/interpreter.h. */

#include "run/interpreter.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../folder.h"
#include "../test.h"

static char path[PATH_MAX];
static const char *why;
static struct guaco_error err;

static int
setup(void **state)
{
    (void)state;
    folder_make();
    folder_write("none/file", "", 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    folder_remove();
    return 0;
}

static void
program(const char *name)
{
    folder_write(name, "#!/bin/sh\n", 10);
    assert_int_equal(chmod(folder_path(name), 0700), 0);
}

/* Find with the folders "env" as VIRTUAL_ENV and "path" in PATH. */
static int
find(const char *wanted)
{
    char venv[600];
    char paths[600];
    char exe[600];
    const char *envp[] = {venv, paths, NULL};

    snprintf(venv, sizeof venv, "VIRTUAL_ENV=%s", folder_path("env"));
    snprintf(paths, sizeof paths, "PATH=:/nonexistent:%s", folder_path("path"));
    snprintf(exe, sizeof exe, "%s", folder_path("beside/guaco"));
    return guaco__interpreter_find(wanted, exe, envp, path, &why, &err);
}

static void
the_nearest_interpreter_is_found_first(void **state)
{
    (void)state;
    assert_int_equal(find(NULL), GUACO_E_MISSING);
    folder_write("path/python3", "not executable", 1);
    assert_int_equal(find(NULL), GUACO_E_MISSING);
    program("path/python3");
    assert_int_equal(find(NULL), GUACO_OK);
    assert_string_equal(path, folder_path("path/python3"));
    assert_string_equal(why, "PATH");
    program("env/bin/python3");
    assert_int_equal(find(NULL), GUACO_OK);
    assert_string_equal(path, folder_path("env/bin/python3"));
    program("beside/python3");
    assert_int_equal(find(NULL), GUACO_OK);
    assert_string_equal(path, folder_path("beside/python3"));
    assert_string_equal(why, "beside guaco");
}

static void
the_wanted_one_is_a_path_or_a_name(void **state)
{
    (void)state;
    program("path/python3.99");
    assert_int_equal(find("python3.99"), GUACO_OK);
    assert_string_equal(path, folder_path("path/python3.99"));
    assert_int_equal(find(folder_path("path/python3.99")), GUACO_OK);
    assert_int_equal(find("python3.98"), GUACO_E_MISSING);
    assert_non_null(strstr(err.text, "python3.98"));
    assert_int_equal(find(folder_path("none")), GUACO_E_MISSING);
    assert_int_equal(find("./nothing"), GUACO_E_MISSING);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_nearest_interpreter_is_found_first),
        T(the_wanted_one_is_a_path_or_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
