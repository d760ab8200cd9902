/* The promises of base/json.h. */

#include "base/json.h"

#include <locale.h>
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

static int
reading(const char *text)
{
    const struct guaco__json *value;

    return guaco__json_read(&arena, text, strlen(text), &value, NULL);
}

static const struct guaco__json *
read_ok(const char *text)
{
    const struct guaco__json *value = NULL;
    struct guaco_error err = {0};

    if (guaco__json_read(&arena, text, strlen(text), &value, &err) != GUACO_OK)
        fail_msg("%s: %s", text, err.text);
    return value;
}

static void
reads_every_kind_of_value(void **state)
{
    const struct guaco__json *v;

    (void)state;
    assert_int_equal(read_ok(" null ")->type, GUACO__JSON_NULL);
    assert_true(read_ok("true")->as.boolean);
    assert_false(read_ok("false")->as.boolean);
    assert_int_equal(read_ok("-9223372036854775808")->as.integer, INT64_MIN);
    assert_int_equal(read_ok("9223372036854775807")->as.integer, INT64_MAX);
    assert_int_equal(read_ok("9223372036854775808")->type, GUACO__JSON_REAL);
    assert_true(read_ok("-0.5e+1")->as.real == -5.0);
    assert_int_equal(read_ok("[]")->as.items.count, 0);

    v = read_ok("{\"a\": [1, {\"b\": \"c\"}], \"d\": 2}");
    assert_int_equal(v->as.items.count, 2);
    const struct guaco__json *a = guaco__json_get(v, "a");
    assert_int_equal(a->as.items.first->as.integer, 1);
    assert_string_equal(guaco__json_text(a->as.items.first->next, "b", NULL),
                        "c");
    assert_int_equal(guaco__json_int(v, "d", 0), 2);
}

static void
escapes_mean_what_rfc_8259_says(void **state)
{
    const struct guaco__json *v;

    (void)state;
    v = read_ok("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83e\\udd51\"");
    assert_string_equal(v->as.text.at,
                        "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\xa5\x91");
    v = read_ok("\"a\\u0000b\"");
    assert_int_equal(v->as.text.len, 3);
    assert_memory_equal(v->as.text.at, "a\0b", 4);
}

static void
what_is_not_json_is_refused(void **state)
{
    static const char *const bad[] = {
        "nul0",
        "tru1",
        "01",
        "1.e5",
        "+1",
        ".5",
        "-x",
        "1e400",
        "'a'",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "[1 2]",
        "[1,]",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "1 2",
        "[]]",
        "\"\xff\"",
        "\"\xed\xa0\x80\"",
        "{\"a\":1,\"a\":2}",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "[,]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (reading(bad[i]) != GUACO_E_PROTO)
            fail_msg("%s gave %d", bad[i], reading(bad[i]));
}

static void
every_prefix_of_a_value_asks_for_more(void **state)
{
    static const char text[] =
        "{\"a\": [1.5e3, true, \"\\ud83e\\udd51\xc3\xa9\"], \"b\": null}";

    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++) {
        const struct guaco__json *v;
        int rc = guaco__json_read(&arena, text, len, &v, NULL);
        if (rc != GUACO_E_AGAIN)
            fail_msg("%.*s gave %d", (int)len, text, rc);
    }
    read_ok(text);
}

static void
depth_and_members_are_capped(void **state)
{
    char deep[2 * GUACO__JSON_DEPTH_MAX + 3] = "";
    struct guaco__buf wide;

    (void)state;
    for (size_t i = 0; i < GUACO__JSON_DEPTH_MAX; i++) {
        deep[i] = '[';
        deep[2 * GUACO__JSON_DEPTH_MAX - 1 - i] = ']';
    }
    read_ok(deep);
    memset(deep, '[', GUACO__JSON_DEPTH_MAX + 1);
    assert_int_equal(reading(deep), GUACO_E_LIMIT);

    guaco__buf_init(&wide, 1 << 20);
    for (int i = 0; i <= GUACO__JSON_NAMES_MAX; i++)
        guaco__buf_printf(&wide, "%c\"%d\":0", i == 0 ? '{' : ',', i);
    guaco__buf_append_byte(&wide, '}');
    const char *text;
    assert_int_equal(guaco__buf_text(&wide, &text), GUACO_OK);
    assert_int_equal(reading(text), GUACO_E_LIMIT);
    guaco__buf_release(&wide);
}

static void
missing_members_and_wrong_types_give_the_default(void **state)
{
    const struct guaco__json *v;

    (void)state;
    v = read_ok("{\"n\": 1, \"t\": \"x\", \"b\": true}");
    assert_null(guaco__json_get(v, "zzz"));
    assert_null(guaco__json_get(NULL, "n"));
    assert_null(guaco__json_get(guaco__json_get(v, "n"), "n"));
    assert_int_equal(guaco__json_int(v, "t", -7), -7);
    assert_string_equal(guaco__json_text(v, "n", "else"), "else");
    assert_true(guaco__json_bool(v, "n", true));
    assert_true(guaco__json_bool(v, "b", false));
}

static void
what_is_written_reads_back_the_same(void **state)
{
    struct guaco__buf out;
    struct guaco__json_writer w;
    const char *text;

    (void)state;
    guaco__buf_init(&out, 4096);
    guaco__json_begin(&w, &out);
    guaco__json_open(&w, '{');
    guaco__json_name(&w, "a\"b");
    guaco__json_open(&w, '[');
    guaco__json_put_int(&w, INT64_MIN);
    guaco__json_put_real(&w, 0.1);
    guaco__json_put_real(&w, 1e300 * 1e300);
    guaco__json_put_null(&w);
    guaco__json_open(&w, '{');
    guaco__json_close(&w, '}');
    guaco__json_close(&w, ']');
    guaco__json_name(&w, "t");
    guaco__json_put_slice(&w, GUACO_SLICE("l\n\x01\xc3\xa9\xff\xc3"));
    guaco__json_name(&w, "b");
    guaco__json_put_bool(&w, true);
    guaco__json_close(&w, '}');
    assert_int_equal(guaco__json_end(&w), GUACO_OK);

    assert_int_equal(guaco__buf_text(&out, &text), GUACO_OK);
    assert_string_equal(text,
                        "{\"a\\\"b\":[-9223372036854775808,"
                        "0.10000000000000001,null,null,{}],\"t\":\"l\\n\\u0001"
                        "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\",\"b\":true}");
    const struct guaco__json *v = read_ok(text);
    assert_true(guaco__json_get(v, "a\"b")->as.items.first->next->as.real ==
                0.1);
    guaco__buf_release(&out);
}

static void
a_locale_with_a_decimal_comma_changes_nothing(void **state)
{
    struct guaco__buf out;
    struct guaco__json_writer w;
    const char *text;

    (void)state;
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL)
        skip();
    guaco__buf_init(&out, 100);
    guaco__json_begin(&w, &out);
    guaco__json_put_real(&w, 2.5);
    assert_int_equal(guaco__json_end(&w), GUACO_OK);
    assert_int_equal(guaco__buf_text(&out, &text), GUACO_OK);
    assert_string_equal(text, "2.5");
    assert_true(read_ok("2.5")->as.real == 2.5);
    setlocale(LC_NUMERIC, "C");
    guaco__buf_release(&out);
}

static void
the_writer_keeps_its_first_failure(void **state)
{
    struct guaco__buf out;
    struct guaco__json_writer w;

    (void)state;
    guaco__buf_init(&out, 4);
    guaco__json_begin(&w, &out);
    guaco__json_put_text(&w, "long text");
    guaco__json_open(&w, '[');
    guaco__json_name(&w, "x");
    guaco__json_close(&w, ']');
    assert_int_equal(guaco__json_end(&w), GUACO_E_LIMIT);
    guaco__buf_release(&out);

    guaco__buf_init(&out, 4096);
    guaco__json_begin(&w, &out);
    for (int i = 0; i <= GUACO__JSON_DEPTH_MAX; i++)
        guaco__json_open(&w, '[');
    assert_int_equal(guaco__json_end(&w), GUACO_E_LIMIT);
    guaco__buf_release(&out);
}

static void
each_failing_allocation_is_reported(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        guaco__arena_release(&arena);
        fail_after(n);
        int rc = reading("{\"a\": [1, 2.5, \"x\"], \"b\": {}}");
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
        T(reads_every_kind_of_value),
        T(escapes_mean_what_rfc_8259_says),
        T(what_is_not_json_is_refused),
        T(every_prefix_of_a_value_asks_for_more),
        T(depth_and_members_are_capped),
        T(missing_members_and_wrong_types_give_the_default),
        T(what_is_written_reads_back_the_same),
        T(a_locale_with_a_decimal_comma_changes_nothing),
        T(the_writer_keeps_its_first_failure),
        T(each_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
