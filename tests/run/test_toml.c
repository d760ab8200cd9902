/* The promises of run/toml.h; tests/python/test_toml.py compares with tomllib
 * over many more documents. */

#include "run/toml.h"

#include <string.h>

#include "../failing_malloc.h"
#include "../test.h"

static struct guaco__arena arena;

static int
setup(void **state)
{
    (void)state;
    guaco__arena_init(&arena, 1024, 1 << 20);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    guaco__arena_release(&arena);
    return 0;
}

static const struct guaco__toml *
read_ok(const char *text)
{
    const struct guaco__toml *root = NULL;
    struct guaco_error err = {0};

    if (guaco__toml_read(&arena, text, strlen(text), &root, &err) != GUACO_OK)
        fail_msg("%s: %s", text, err.text);
    return root;
}

static void
tables_keys_and_values(void **state)
{
    (void)state;
    const struct guaco__toml *root = read_ok("[project]\n"
                                             "name = \"demo\" # a comment\n"
                                             "\r\n"
                                             "[tool.guaco]\n"
                                             "workers = 4\n"
                                             "reload = true\n"
                                             "timeout-send = 1.5\n"
                                             "bind = [ 'a',\n 'b', ]\n"
                                             "work.grace = 3\n"
                                             "[[tool.x]]\n[[tool.x]]\n");
    const struct guaco__toml *tool = guaco__toml_get(root, "tool");
    const struct guaco__toml *guaco = guaco__toml_get(tool, "guaco");
    assert_int_equal(guaco__toml_get(guaco, "workers")->integer, 4);
    assert_int_equal(guaco__toml_get(guaco, "reload")->type, GUACO__TOML_BOOL);
    assert_true(guaco__toml_get(guaco, "timeout-send")->real == 1.5);
    const struct guaco__toml *bind = guaco__toml_get(guaco, "bind");
    assert_int_equal(bind->type, GUACO__TOML_ARRAY);
    assert_string_equal(bind->first->text.at, "a");
    assert_string_equal(bind->first->next->text.at, "b");
    assert_null(bind->first->next->next);
    assert_int_equal(
        guaco__toml_get(guaco__toml_get(guaco, "work"), "grace")->integer, 3);
    assert_ptr_equal(guaco__toml_get(tool, "x")->first->next,
                     guaco__toml_get(tool, "x")->last);
    assert_null(guaco__toml_get(guaco, "none"));
    assert_null(guaco__toml_get(NULL, "x"));
    assert_null(guaco__toml_get(bind, "x"));
}

static void
strings_of_all_four_kinds(void **state)
{
    (void)state;
    const struct guaco__toml *root =
        read_ok("a = \"\\u00e9\\t\\\"\"\n"
                "b = 'C:\\x'\n"
                "c = \"\"\"\r\none\r\ntwo \\\n   three\"\"\"\"\"\n"
                "d = '''\nx'y'''\n");
    assert_string_equal(guaco__toml_get(root, "a")->text.at, "\xc3\xa9\t\"");
    assert_string_equal(guaco__toml_get(root, "b")->text.at, "C:\\x");
    assert_string_equal(guaco__toml_get(root, "c")->text.at,
                        "one\ntwo three\"\"");
    assert_string_equal(guaco__toml_get(root, "d")->text.at, "x'y");
}

static void
errors_name_their_line(void **state)
{
    const struct guaco__toml *root;
    struct guaco_error err = {0};
    static const char text[] = "a = 1\nb = '''\n\n'''\nc = nope\n";

    (void)state;
    assert_int_equal(
        guaco__toml_read(&arena, text, sizeof text - 1, &root, &err),
        GUACO_E_PROTO);
    assert_string_equal(err.text, "line 5: not a value");
}

static void
depth_is_capped(void **state)
{
    const struct guaco__toml *root;
    char text[200] = "a = ";
    size_t at = 4;

    (void)state;
    for (int i = 0; i < GUACO__TOML_DEPTH_MAX; i++)
        text[at++] = '[';
    for (int i = 0; i < GUACO__TOML_DEPTH_MAX; i++)
        text[at++] = ']';
    read_ok(text);
    memset(text + 4, '[', GUACO__TOML_DEPTH_MAX + 1);
    assert_int_equal(guaco__toml_read(&arena, text, at, &root, NULL),
                     GUACO_E_LIMIT);

    at = 0;
    for (int i = 0; i <= GUACO__TOML_DEPTH_MAX; i++) {
        text[at++] = 'k';
        text[at++] = '.';
    }
    assert_int_equal(guaco__toml_read(&arena, text, at, &root, NULL),
                     GUACO_E_LIMIT);
}

static void
each_failing_allocation_is_reported(void **state)
{
    static const char text[] = "[a.b]\nc = {d = [1, 2.5, 'x'], e = 2020-01-01}";

    (void)state;
    for (long n = 0;; n++) {
        const struct guaco__toml *root;
        guaco__arena_release(&arena);
        guaco__arena_init(&arena, 64, 1 << 20);
        fail_after(n);
        int rc = guaco__toml_read(&arena, text, sizeof text - 1, &root, NULL);
        if (!fail_stop()) {
            assert_int_equal(rc, GUACO_OK);
            break;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
    }
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(tables_keys_and_values),
        T(strings_of_all_four_kinds),
        T(errors_name_their_line),
        T(depth_is_capped),
        T(each_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
