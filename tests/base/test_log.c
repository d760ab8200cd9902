/* The promises of base/log.h. */

#include "base/log.h"

#include <string.h>
#include <unistd.h>

#include "os/log_fd.h"

#include "../test.h"

struct sink {
    int level;
    char line[GUACO_LOG_LINE_MAX + 1];
    int count;
};

static void
remember(void *ctx, int level, const char *line, size_t len)
{
    struct sink *sink = ctx;

    sink->level = level;
    memcpy(sink->line, line, len);
    sink->line[len] = '\0';
    sink->count++;
}

static void
a_line_has_its_area_and_text(void **state)
{
    struct sink sink = {0};
    struct guaco_log log = {GUACO_LOG_INFO, remember, &sink};

    (void)state;
    guaco__log(&log, GUACO_LOG_WARNING, "conn", "closed id=%d", 7);
    assert_string_equal(sink.line, "conn: closed id=7");
    assert_int_equal(sink.level, GUACO_LOG_WARNING);
}

static void
lines_below_the_level_are_not_written(void **state)
{
    struct sink sink = {0};
    struct guaco_log log = {GUACO_LOG_INFO, remember, &sink};

    (void)state;
    guaco__log(&log, GUACO_LOG_DEBUG, "x", "y");
    guaco__log(NULL, GUACO_LOG_ERROR, "x", "y");
    log.level = GUACO_LOG_OFF;
    guaco__log(&log, GUACO_LOG_ERROR, "x", "y");
    assert_int_equal(sink.count, 0);
}

static void
a_client_cannot_forge_a_second_line(void **state)
{
    struct sink sink = {0};
    struct guaco_log log = {GUACO_LOG_DEBUG, remember, &sink};

    (void)state;
    guaco__log(&log, GUACO_LOG_INFO, "x", "path=%s", "/a\r\nERROR b\x1b[2J");
    assert_string_equal(sink.line, "x: path=/a??ERROR b?[2J");
}

static void
a_long_line_is_cut_and_shows_it(void **state)
{
    struct sink sink = {0};
    struct guaco_log log = {GUACO_LOG_DEBUG, remember, &sink};

    (void)state;
    guaco__log(&log, GUACO_LOG_INFO, "x", "%3000d", 1);
    assert_int_equal(strlen(sink.line), GUACO_LOG_LINE_MAX - 1);
    assert_string_equal(sink.line + GUACO_LOG_LINE_MAX - 4, "...");
}

static void
levels_have_names(void **state)
{
    (void)state;
    assert_int_equal(guaco__log_level_find("warning"), GUACO_LOG_WARNING);
    assert_int_equal(guaco__log_level_find("critical"), GUACO_LOG_ERROR);
    assert_int_equal(guaco__log_level_find("trace"), GUACO_LOG_DEBUG);
    assert_int_equal(guaco__log_level_find("loud"), -1);
}

static void
the_descriptor_sink_writes_whole_lines(void **state)
{
    int ends[2];
    char got[100] = "";

    (void)state;
    assert_int_equal(pipe(ends), 0);
    struct guaco_log log = {GUACO_LOG_INFO, guaco__log_fd,
                            (void *)(intptr_t)ends[1]};
    guaco__log(&log, GUACO_LOG_ERROR, "a", "b");
    assert_true(read(ends[0], got, sizeof got - 1) > 0);
    assert_string_equal(got, "error   a: b\n");
    close(ends[0]);
    close(ends[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_area_and_text),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_client_cannot_forge_a_second_line),
        cmocka_unit_test(a_long_line_is_cut_and_shows_it),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(the_descriptor_sink_writes_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
