/* The promises of guaco/error.h. */

#include "guaco/error.h"

#include <errno.h>
#include <string.h>

#include "../test.h"

static void
every_code_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(guaco_strerror(GUACO_OK), "success");
    assert_string_equal(guaco_strerror(GUACO_E_NOMEM), "out of memory");
    assert_string_equal(guaco_strerror(-999), "unknown error code");
    assert_string_equal(guaco_strerror(7), "unknown error code");
}

static void
failing_fills_the_error_and_gives_the_code(void **state)
{
    struct guaco_error err = {0};

    (void)state;
    assert_int_equal(guaco_fail(&err, GUACO_E_IO, ENOENT, "open %s", "x"),
                     GUACO_E_IO);
    assert_int_equal(err.code, GUACO_E_IO);
    assert_int_equal(err.sys, ENOENT);
    assert_string_equal(err.text, "open x: No such file or directory");
    assert_int_equal(guaco_fail(NULL, GUACO_E_LOST, 0, "x"), GUACO_E_LOST);
}

static void
a_text_that_is_too_long_is_cut(void **state)
{
    struct guaco_error err = {0};

    (void)state;
    guaco_fail(&err, GUACO_E_IO, EIO, "%1000d", 1);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_text),
        cmocka_unit_test(failing_fills_the_error_and_gives_the_code),
        cmocka_unit_test(a_text_that_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
