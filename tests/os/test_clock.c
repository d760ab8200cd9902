/* The promises of os/clock.h. */

#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../folder.h"
#include "../test.h"

#define DAY_NS 86400000000000

static int
setup(void **state)
{
    (void)state;
    folder_make();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    unsetenv("GUACO_TEST_CLOCK");
    folder_remove();
    return 0;
}

static void
count_line(void *ctx, int level, const char *line, size_t len)
{
    (void)level;
    (void)line;
    (void)len;
    ++*(int *)ctx;
}

static void
durations_never_run_backwards(void **state)
{
    uint64_t mono = guaco__clock_mono_ns();
    uint64_t boot = guaco__clock_boot_ns();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = guaco__clock_mono_ns();
        assert_true(now >= mono);
        mono = now;
    }
    assert_true(guaco__clock_boot_ns() >= boot);
}

static void
the_wall_clock_is_shifted_by_whoever_writes_the_file(void **state)
{
    struct guaco_clock plain;
    struct guaco_clock shifted;
    int lines = 0;
    struct guaco_log log = {GUACO_LOG_WARNING, count_line, &lines};
    int64_t offset = DAY_NS;

    (void)state;
    assert_int_equal(guaco__clock_open(&plain, &log, NULL), GUACO_OK);
    assert_int_equal(lines, 0);
    folder_write("clock", &offset, sizeof offset);
    setenv("GUACO_TEST_CLOCK", folder_path("clock"), 1);
    assert_int_equal(guaco__clock_open(&shifted, &log, NULL), GUACO_OK);
    assert_int_equal(lines, 1);

    int64_t ahead =
        guaco__clock_wall_ms(&shifted) - guaco__clock_wall_ms(&plain);
    assert_in_range(ahead, DAY_NS / 1000000, DAY_NS / 1000000 + 1000);
    offset = -DAY_NS;
    FILE *file = fopen(folder_path("clock"), "r+");
    assert_non_null(file);
    assert_int_equal(fwrite(&offset, sizeof offset, 1, file), 1);
    fclose(file);
    assert_true(guaco__clock_wall_ms(&shifted) < guaco__clock_wall_ms(&plain));
    guaco__clock_close(&shifted);
    guaco__clock_close(&plain);
}

static void
a_file_that_is_missing_or_short_is_an_error(void **state)
{
    struct guaco_clock clock;
    struct guaco_error err = {0};

    (void)state;
    setenv("GUACO_TEST_CLOCK", folder_path("none"), 1);
    assert_int_equal(guaco__clock_open(&clock, NULL, &err), GUACO_E_IO);
    folder_write("short", "1234567", 7);
    setenv("GUACO_TEST_CLOCK", folder_path("short"), 1);
    assert_int_equal(guaco__clock_open(&clock, NULL, &err), GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "GUACO_TEST_CLOCK"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(durations_never_run_backwards),
        T(the_wall_clock_is_shifted_by_whoever_writes_the_file),
        T(a_file_that_is_missing_or_short_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
