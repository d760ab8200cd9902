/* The promises of os/proc.h. */

#include "os/proc.h"

#include <string.h>
#include <unistd.h>

#include "../test.h"

static void
this_process_is_found(void **state)
{
    struct guaco__proc_stat stat;
    struct guaco_error err = {0};

    (void)state;
    assert_int_equal(guaco__proc_stat(getpid(), &stat, &err), GUACO_OK);
    assert_int_equal(stat.parent, getppid());
    assert_int_equal(stat.state, 'R');
    assert_string_equal(stat.comm, "test_proc");
    assert_true(stat.rss_bytes > 100000);
    assert_true(stat.start_ticks > 0);
}

static void
a_name_with_parentheses_and_blanks_confuses_nobody(void **state)
{
    static const char text[] =
        "7 (a) R 1 (b)) S 42 7 7 0 -1 4194560 1 2 3 4 150 50 5 6 20 0 1 0 "
        "98765 1000 25 18446744073709551615 1 1\n";
    struct guaco__proc_stat stat;

    (void)state;
    assert_int_equal(guaco__proc_parse_stat(text, sizeof text - 1, &stat),
                     GUACO_OK);
    assert_string_equal(stat.comm, "a) R 1 (b)");
    assert_int_equal(stat.state, 'S');
    assert_int_equal(stat.parent, 42);
    assert_int_equal(stat.start_ticks, 98765);
    assert_int_equal(stat.cpu_ms, 200 * 1000 / sysconf(_SC_CLK_TCK));
    assert_int_equal(stat.rss_bytes, 25 * sysconf(_SC_PAGESIZE));
}

static void
other_text_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "7", "7 (a", "7 a) R 1", ")(", "7 (a) R", "7 (a) R 1 2 x",
    };
    struct guaco__proc_stat stat;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(guaco__proc_parse_stat(bad[i], strlen(bad[i]), &stat),
                         GUACO_E_PROTO);
}

static void
a_process_that_is_not_there_is_missing(void **state)
{
    struct guaco__proc_stat stat;

    (void)state;
    assert_int_equal(guaco__proc_stat(0x3fffffff, &stat, NULL),
                     GUACO_E_MISSING);
}

static void
the_boot_has_an_id(void **state)
{
    char a[GUACO__BOOT_ID_BYTES];
    char b[GUACO__BOOT_ID_BYTES];

    (void)state;
    assert_int_equal(guaco__proc_boot_id(a, NULL), GUACO_OK);
    assert_int_equal(guaco__proc_boot_id(b, NULL), GUACO_OK);
    assert_int_equal(strlen(a), 36);
    assert_string_equal(a, b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_process_is_found),
        cmocka_unit_test(a_name_with_parentheses_and_blanks_confuses_nobody),
        cmocka_unit_test(other_text_is_refused),
        cmocka_unit_test(a_process_that_is_not_there_is_missing),
        cmocka_unit_test(the_boot_has_an_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
