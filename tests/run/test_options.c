/* The promises of run/options.h. */

#include "run/options.h"

#include <string.h>

#include "run/options_alias.h"
#include "run/options_int.h"
#include "run/toml.h"

#include "../failing_malloc.h"
#include "../test.h"

static struct guaco__options options;
static struct guaco_error err;

/* Resolve with words and variables that end with NULL. */
static int
resolve(enum guaco__option_command command, const char *const *words,
        const char *const *envp, const char *toml)
{
    struct guaco__arena arena;
    const struct guaco__toml *root = NULL;
    size_t count = 0;

    while (words[count] != NULL)
        count++;
    guaco__arena_init(&arena, 1024, 1 << 20);
    if (toml != NULL)
        assert_int_equal(
            guaco__toml_read(&arena, toml, strlen(toml), &root, &err),
            GUACO_OK);
    int rc = guaco__options_resolve(&options, command, words, count, envp, root,
                                    &err);
    guaco__arena_release(&arena);
    return rc;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const none[] = {NULL};

static void
refused(enum guaco__option_command command, const char *const *words,
        const char *text)
{
    err.text[0] = '\0';
    if (resolve(command, words, none, NULL) != GUACO_E_INVALID ||
        strstr(err.text, text) == NULL)
        fail_msg("%s: '%s' lacks '%s'", words[0], err.text, text);
}

static void
flag_over_variable_over_file_over_default(void **state)
{
    static const char toml[] = "[tool.guaco]\nworkers = 2\nbacklog = 7\n"
                               "[tool.guaco.serve]\nbacklog = 8\n";

    (void)state;
    assert_int_equal(resolve(GUACO__SERVE, none, none, NULL), GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "workers"), 1);
    assert_int_equal(guaco__options_get(&options, "workers")->origin,
                     GUACO__ORIGIN_DEFAULT);
    guaco__options_release(&options);

    assert_int_equal(resolve(GUACO__SERVE, none, none, toml), GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "workers"), 2);
    assert_int_equal(guaco__options_number(&options, "backlog"), 8);
    assert_string_equal(guaco__options_get(&options, "backlog")->source,
                        "pyproject.toml [tool.guaco.serve] backlog");
    guaco__options_release(&options);

    assert_int_equal(
        resolve(GUACO__SERVE, none, WORDS("WEB_CONCURRENCY=3"), toml),
        GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "workers"), 3);
    guaco__options_release(&options);

    assert_int_equal(
        resolve(GUACO__SERVE, none,
                WORDS("WEB_CONCURRENCY=3", "GUACO_WORKERS=4", "GUACO_FD="),
                toml),
        GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "workers"), 4);
    guaco__options_release(&options);

    assert_int_equal(
        resolve(GUACO__SERVE, WORDS("-w", "5"), WORDS("GUACO_WORKERS=4"), toml),
        GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "workers"), 5);
    assert_string_equal(guaco__options_get(&options, "workers")->source,
                        "--workers");
    guaco__options_release(&options);
}

static void
every_way_to_write_a_flag(void **state)
{
    (void)state;
    assert_int_equal(
        resolve(GUACO__SERVE,
                WORDS("-w3", "app:app", "--port=80", "--no-access-log",
                      "--reload", "--root_path", "/x", "--", "-y"),
                none, NULL),
        GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "workers"), 3);
    assert_int_equal(guaco__options_number(&options, "port"), 80);
    assert_int_equal(guaco__options_number(&options, "access-log"), 0);
    assert_int_equal(guaco__options_number(&options, "reload"), 1);
    assert_string_equal(guaco__options_text(&options, "root-path"), "/x");
    assert_int_equal(options.operand_count, 2);
    assert_string_equal(options.operands[0], "app:app");
    assert_string_equal(options.operands[1], "-y");
    guaco__options_release(&options);
}

static void
units_are_understood(void **state)
{
    (void)state;
    assert_int_equal(resolve(GUACO__UP,
                             WORDS("--timeout-send", "1.5", "--timeout-head",
                                   "250ms", "--timeout-body", "2m", "--grace",
                                   "1h", "--limit-head-bytes", "64K",
                                   "--limit-body-bytes", "1.5m", "-w", "auto"),
                             none, NULL),
                     GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "timeout-send"), 1500);
    assert_int_equal(guaco__options_number(&options, "timeout-head"), 250);
    assert_int_equal(guaco__options_number(&options, "timeout-body"), 120000);
    assert_int_equal(guaco__options_number(&options, "grace"), 3600000);
    assert_int_equal(guaco__options_number(&options, "limit-head-bytes"),
                     65536);
    assert_int_equal(guaco__options_number(&options, "limit-body-bytes"),
                     1572864);
    assert_int_equal(guaco__options_number(&options, "workers"), -1);
    guaco__options_release(&options);
}

static void
values_out_of_range_are_refused_with_the_range(void **state)
{
    (void)state;
    refused(GUACO__SERVE, WORDS("-w", "0"), "is not 1 to 256 or auto");
    refused(GUACO__SERVE, WORDS("-w", "257"), "is not 1 to 256");
    refused(GUACO__SERVE, WORDS("-w", "1.5"), "is not 1 to 256");
    refused(GUACO__SERVE, WORDS("-w", ""), "is not 1 to 256");
    refused(GUACO__SERVE, WORDS("-w", "-1"), "is not 1 to 256");
    refused(GUACO__SERVE, WORDS("-w", "99999999999999999999"), "is not 1");
    refused(GUACO__SERVE, WORDS("--port", "65536"), "0 to 65535");
    refused(GUACO__SERVE, WORDS("--timeout-send", "2h"), "0 to 3600 seconds");
    refused(GUACO__SERVE, WORDS("--timeout-send", "0.5ms"), "0 to 3600");
    refused(GUACO__SERVE, WORDS("--limit-head-bytes", "1t"), "bytes");
    refused(GUACO__SERVE, WORDS("--interface", "rsgi"), "auto|asgi|wsgi");
    refused(GUACO__SERVE, WORDS("--reload=maybe"), "true or false");
    refused(GUACO__SERVE, WORDS("--port"), "--port needs a value: PORT");
}

static void
unknown_names_are_refused_with_the_nearest(void **state)
{
    (void)state;
    refused(GUACO__SERVE, WORDS("--workres", "2"), "nearest is --workers");
    refused(GUACO__SERVE, WORDS("--timeout-keepalive=3"),
            "nearest is --timeout-keep-alive");
    refused(GUACO__SERVE, WORDS("--task-workers", "2"), "not an option");
    refused(GUACO__WORK, WORDS("--no-access-log"), "not an option");
    refused(GUACO__SERVE, WORDS("--no-workers"), "not an option");
    refused(GUACO__SERVE, WORDS("-z"), "-z is not an option of guaco serve");
    refused(GUACO__SERVE, WORDS("--xyzzy"), "--xyzzy is not an option of");
}

static void
a_misspelt_variable_is_refused_and_a_foreign_one_is_not(void **state)
{
    (void)state;
    assert_int_equal(
        resolve(GUACO__SERVE, none, WORDS("GUACO_WORKRES=2"), NULL),
        GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "the nearest is GUACO_WORKERS"));
    assert_int_equal(
        resolve(GUACO__SERVE, none, WORDS("GUACO_TIMEOUT_SENT=2"), NULL),
        GUACO_E_INVALID);
    /* Another command's, the test suite's, an application's own. */
    assert_int_equal(resolve(GUACO__SERVE, none,
                             WORDS("GUACO_TASK_WORKERS=2", "GUACO_BUILD=x",
                                   "GUACO_EXE=x", "GUACO_TEST_CLOCK=x",
                                   "GUACO_CHANNEL_FD=3", "GUACO_COLOUR=1"),
                             NULL),
                     GUACO_OK);
    guaco__options_release(&options);
}

static void
keys_of_the_file_are_checked(void **state)
{
    (void)state;
    /* Another command's keys are right, and none of ours. */
    assert_int_equal(resolve(GUACO__SERVE, none, none,
                             "[tool.guaco]\ntask-workers = 3\nperiodic = true\n"
                             "timeout_send = 2.5\nbind = ['a:1', 'b:2']\n"
                             "[tool.guaco.work]\ngrace = 1\n"),
                     GUACO_OK);
    const struct guaco__option_value *bind =
        guaco__options_get(&options, "bind");
    assert_int_equal(bind->count, 2);
    assert_string_equal(bind->items[1], "b:2");
    assert_int_equal(guaco__options_number(&options, "timeout-send"), 2500);
    guaco__options_release(&options);

    assert_int_equal(
        resolve(GUACO__SERVE, none, none, "[tool.guaco]\nworker = 3\n"),
        GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "the nearest is workers"));
    assert_int_equal(
        resolve(GUACO__SERVE, none, none, "[tool.guaco]\nworkers = [3]\n"),
        GUACO_E_INVALID);
    assert_int_equal(resolve(GUACO__SERVE, none, none, "tool.guaco = 3\n"),
                     GUACO_E_INVALID);
}

static void
a_list_is_replaced_by_a_higher_source(void **state)
{
    static const char toml[] = "[tool.guaco]\nbind = 'a'\n"
                               "[tool.guaco.serve]\nbind = ['b', 'c']\n";

    (void)state;
    assert_int_equal(resolve(GUACO__SERVE, none, none, toml), GUACO_OK);
    assert_int_equal(guaco__options_get(&options, "bind")->count, 2);
    assert_string_equal(guaco__options_get(&options, "bind")->items[0], "b");
    guaco__options_release(&options);
    assert_int_equal(
        resolve(GUACO__SERVE, none, WORDS("GUACO_BIND=d,e,f"), toml), GUACO_OK);
    assert_int_equal(guaco__options_get(&options, "bind")->count, 3);
    guaco__options_release(&options);
    assert_int_equal(resolve(GUACO__SERVE, WORDS("-b", "g", "--bind=h"),
                             WORDS("GUACO_BIND=d,e,f"), toml),
                     GUACO_OK);
    assert_int_equal(guaco__options_get(&options, "bind")->count, 2);
    assert_string_equal(guaco__options_get(&options, "bind")->items[0], "g");
    guaco__options_release(&options);
}

static void
each_row_of_the_table_is_sound(void **state)
{
    static const enum guaco__option_command commands[] = {
        GUACO__SERVE, GUACO__WORK, GUACO__UP, GUACO__QUEUE};

    (void)state;
    for (size_t c = 0; c < 4; c++) {
        assert_int_equal(resolve(commands[c], none, none, NULL), GUACO_OK);
        for (size_t i = 0; i < guaco__option_count; i++) {
            const struct guaco__option *o = &guaco__option_table[i];
            if ((o->commands & commands[c]) == 0)
                continue;
            /* No name twice, none that "no-" makes ambiguous. */
            assert_ptr_equal(
                guaco__options_find(commands[c], o->name, strlen(o->name)), o);
            assert_int_not_equal(strncmp(o->name, "no-", 3), 0);
            assert_true(o->kind == GUACO__OPTION_FLAG || o->operand != NULL);
            assert_true(strlen(o->name) < 40);
        }
        guaco__options_release(&options);
    }
}

static void
workers_receive_typed_values(void **state)
{
    struct guaco__buf out;
    struct guaco__json_writer w;
    struct guaco__arena arena;
    const struct guaco__json *v;

    (void)state;
    assert_int_equal(resolve(GUACO__SERVE,
                             WORDS("--timeout-send", "0.25", "-b", "a\"b"),
                             none, NULL),
                     GUACO_OK);
    guaco__buf_init(&out, 65536);
    guaco__json_begin(&w, &out);
    guaco__options_write(&options, &w);
    assert_int_equal(guaco__json_end(&w), GUACO_OK);
    guaco__arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(
        guaco__json_read(&arena, guaco__buf_data(&out), out.len, &v, &err),
        GUACO_OK);
    assert_true(guaco__json_get(v, "timeout_send")->as.real == 0.25);
    assert_int_equal(guaco__json_int(v, "timeout_head", 0), 15);
    assert_int_equal(guaco__json_get(v, "uds")->type, GUACO__JSON_NULL);
    assert_int_equal(guaco__json_get(v, "factory")->type, GUACO__JSON_BOOL);
    assert_string_equal(guaco__json_get(v, "bind")->as.items.first->as.text.at,
                        "a\"b");
    guaco__buf_reset(&out);
    assert_int_equal(guaco__options_print(&options, &out), GUACO_OK);
    assert_int_equal(guaco__options_help(GUACO__SERVE, &out), GUACO_OK);
    guaco__arena_release(&arena);
    guaco__buf_release(&out);
    guaco__options_release(&options);
}

static void
each_failing_allocation_is_reported(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        fail_after(n);
        int rc = guaco__options_resolve(&options, GUACO__SERVE,
                                        WORDS("-b", "a", "-b", "b", "x:y"), 5,
                                        none, NULL, &err);
        if (!fail_stop()) {
            assert_int_equal(rc, GUACO_OK);
            guaco__options_release(&options);
            break;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
    }
}

/* ---- flags of other programs ---- */

static void
a_flag_of_another_program_is_ours_by_another_name(void **state)
{
    (void)state;
    assert_int_equal(
        resolve(GUACO__SERVE,
                WORDS("--max_requests", "7", "-t=9", "--pid=x",
                      "--disable-access-log", "--no-ws-per-message-deflate"),
                none, NULL),
        GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "limit-max-requests"), 7);
    assert_int_equal(guaco__options_number(&options, "timeout-worker"), 9000);
    assert_string_equal(guaco__options_text(&options, "pid-file"), "x");
    assert_int_equal(guaco__options_number(&options, "access-log"), 0);
    assert_int_equal(guaco__options_number(&options, "ws-deflate"), 0);
    assert_string_equal(
        guaco__options_get(&options, "limit-max-requests")->source,
        "--max-requests");
    assert_int_equal(options.note_count, 0);
    guaco__options_release(&options);
}

static void
a_flag_that_means_nothing_here_is_taken_with_a_note(void **state)
{
    (void)state;
    assert_int_equal(resolve(GUACO__SERVE,
                             WORDS("-k", "gthread", "--use-colors", "app:app"),
                             none, NULL),
                     GUACO_OK);
    assert_int_equal(options.operand_count, 1);
    assert_int_equal(options.note_count, 2);
    assert_non_null(strstr(options.notes[0], "--worker-class means nothing"));
    assert_non_null(strstr(options.notes[1], "--use-colors means nothing"));
    guaco__options_release(&options);
}

static void
a_flag_that_is_not_taken_names_what_to_use(void **state)
{
    (void)state;
    refused(GUACO__SERVE, WORDS("--daemon"), "use a service manager");
    refused(GUACO__SERVE, WORDS("-c", "gunicorn.py"), "[tool.guaco]");
    refused(GUACO__SERVE, WORDS("--max-requests"), "needs a value");
    refused(GUACO__SERVE, WORDS("--max-requests", "x"), "--max-requests");
    refused(GUACO__WORK, WORDS("--max-requests", "7"), "not an option");
}

static void
the_flags_of_huey_consumer_are_for_work(void **state)
{
    (void)state;
    assert_int_equal(resolve(GUACO__WORK,
                             WORDS("-w", "4", "-k", "process", "-n", "-v", "-d",
                                   "0.1", "-C"),
                             none, NULL),
                     GUACO_OK);
    assert_int_equal(guaco__options_number(&options, "periodic"), 0);
    assert_string_equal(guaco__options_text(&options, "log-level"), "debug");
    assert_int_equal(options.note_count, 2);
    guaco__options_release(&options);
}

/* For each command of an alias: what it stands for exists, and its name and
 * letter are nobody else's. */
static void
check_alias(const struct guaco__option_alias *a,
            enum guaco__option_command command)
{
    if ((a->commands & command) == 0)
        return;
    if (a->own != NULL &&
        guaco__options_find(command, a->own, strlen(a->own)) == NULL)
        fail_msg("--%s: there is no --%s", a->name, a->own);
    if (guaco__options_find(command, a->name, strlen(a->name)) != NULL)
        fail_msg("--%s is an option of ours", a->name);
    if (a->letter != 0 &&
        guaco__options_find_letter(command, a->letter) != NULL)
        fail_msg("-%c is an option of ours", a->letter);
    assert_ptr_equal(guaco__alias_find(command, a->name, strlen(a->name)), a);
    if (a->letter != 0)
        assert_ptr_equal(guaco__alias_find_letter(command, a->letter), a);
}

static void
every_alias_stands_for_something_and_for_one_thing(void **state)
{
    (void)state;
    for (size_t i = 0; i < guaco__alias_count; i++) {
        const struct guaco__option_alias *a = &guaco__alias_table[i];
        bool has_own = a->own != NULL;
        assert_true(has_own == (a->kind == GUACO__ALIAS_SAME ||
                                a->kind == GUACO__ALIAS_FIXED));
        assert_true(strlen(a->name) <= NAME_BYTES_MAX);
        check_alias(a, GUACO__SERVE);
        check_alias(a, GUACO__UP);
        check_alias(a, GUACO__WORK);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flag_over_variable_over_file_over_default),
        cmocka_unit_test(every_way_to_write_a_flag),
        cmocka_unit_test(units_are_understood),
        cmocka_unit_test(values_out_of_range_are_refused_with_the_range),
        cmocka_unit_test(unknown_names_are_refused_with_the_nearest),
        cmocka_unit_test(
            a_misspelt_variable_is_refused_and_a_foreign_one_is_not),
        cmocka_unit_test(keys_of_the_file_are_checked),
        cmocka_unit_test(a_list_is_replaced_by_a_higher_source),
        cmocka_unit_test(each_row_of_the_table_is_sound),
        cmocka_unit_test(workers_receive_typed_values),
        cmocka_unit_test(each_failing_allocation_is_reported),
        cmocka_unit_test(a_flag_of_another_program_is_ours_by_another_name),
        cmocka_unit_test(a_flag_that_means_nothing_here_is_taken_with_a_note),
        cmocka_unit_test(a_flag_that_is_not_taken_names_what_to_use),
        cmocka_unit_test(the_flags_of_huey_consumer_are_for_work),
        cmocka_unit_test(every_alias_stands_for_something_and_for_one_thing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
