/* Classes of bytes and their scans, names as numbers, lists, percent-encoding. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/fields.h"
#include "http/scan.h"
#include "http/target.h"

static bool
is_alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z');
}

static bool
is_in(int c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static void
classes_are_those_of_the_grammar(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
        int classes =
            (is_alnum(c) || is_in(c, "!#$%&'*+-.^_`|~") ? GUACO__CHAR_TOKEN
                                                        : 0) |
            (value ? GUACO__CHAR_VALUE : 0) |
            (c > 0x20 && c < 0x7f && c != '#' ? GUACO__CHAR_TARGET : 0) |
            (c >= 'A' && c <= 'Z' ? GUACO__CHAR_UPPER : 0) |
            (c >= 'a' && c <= 'z' ? GUACO__CHAR_LOWER : 0) |
            (is_alnum(c) || is_in(c, "-._~%!$&'()*+;=") ? GUACO__CHAR_HOST
                                                        : 0) |
            (c == ' ' || c == '\t' ? GUACO__CHAR_SPACE : 0) |
            (value && c != '"' && c != '\\' ? GUACO__CHAR_QUOTABLE : 0);
        assert_int_equal(guaco__char_class[c], classes);

        const char text[2] = {(char)c, 0};
        char *end;
        long digit = strtol(text, &end, 16);
        bool is_digit = is_alnum(c) && end == text + 1;
        assert_int_equal(guaco__hex_value[c], is_digit ? digit : -1);
    }
}

/* Each byte at each place of 40 good ones, at each alignment. */
static void
scans_stop_where_the_tables_do(void **state)
{
    char good[64];
    char twin[64];

    (void)state;
    for (int c = 0; c < 256; c++)
        for (size_t at = 0; at < 40; at++) {
            memset(good, 'X', sizeof(good));
            good[at] = (char)c;
            memcpy(twin, good, sizeof(good));
            const char *end = good + 40;
            assert_ptr_equal(guaco__scan_value(good, end),
                             guaco__scan_value_scalar(good, end));
            assert_ptr_equal(guaco__scan_target(good, end),
                             guaco__scan_target_scalar(good, end));
            size_t n = (size_t)(guaco__scan_name(good, end) - good);
            size_t m =
                (size_t)(guaco__scan_name_scalar(twin, twin + 40) - twin);
            assert_int_equal(n, m);
            assert_memory_equal(good, twin, sizeof(good));
        }
}

static void
every_known_name_finds_its_number(void **state)
{
    (void)state;
    assert_true(GUACO__FIELD_COUNT <= 256); /* they are kept in bytes */
    for (int id = 1; id < GUACO__FIELD_COUNT; id++) {
        struct guaco_slice name = guaco__field_name((enum guaco__field_id)id);
        assert_int_equal(guaco__field_find(name), id);

        char other[64];
        memcpy(other, name.at, name.len);
        other[1] = '~';
        assert_int_equal(
            guaco__field_find((struct guaco_slice){other, name.len}),
            GUACO__FIELD_OTHER);
        assert_int_equal(
            guaco__field_find((struct guaco_slice){name.at, name.len - 1}),
            GUACO__FIELD_OTHER);
    }
    assert_int_equal(guaco__field_find(GUACO_SLICE("")), GUACO__FIELD_OTHER);
    assert_int_equal(guaco__field_find(GUACO_SLICE("a")), GUACO__FIELD_OTHER);
    assert_int_equal(guaco__field_name(GUACO__FIELD_OTHER).len, 0);
}

static void
lists_skip_empty_elements(void **state)
{
    struct guaco_slice list = GUACO_SLICE(" ,a ,\t, b c,,d,");
    struct guaco_slice element;
    static const char *const expected[] = {"a", "b c", "d"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(guaco__list_next(&list, &element));
        assert_int_equal(element.len, strlen(expected[i]));
        assert_memory_equal(element.at, expected[i], element.len);
    }
    assert_false(guaco__list_next(&list, &element));
    assert_true(guaco__list_has(GUACO_SLICE("x, CLOSE"), GUACO_SLICE("close")));
    assert_false(guaco__list_has(GUACO_SLICE("closed"), GUACO_SLICE("close")));
    assert_false(guaco__list_has(GUACO_SLICE(""), GUACO_SLICE("close")));
}

static void
tokens_and_values_are_told_apart(void **state)
{
    (void)state;
    assert_true(guaco__is_token(GUACO_SLICE("a-b_c|~")));
    assert_false(guaco__is_token(GUACO_SLICE("")));
    assert_false(guaco__is_token(GUACO_SLICE("a b")));
    assert_true(guaco__is_field_value(GUACO_SLICE("")));
    assert_true(guaco__is_field_value(GUACO_SLICE("a\tb \xff")));
    assert_false(guaco__is_field_value(GUACO_SLICE("a\nb")));
}

static void
percent_escapes_are_decoded_once(void **state)
{
    static const struct {
        const char *raw;
        size_t raw_len;
        const char *text;
        size_t len;
        bool is_malformed;
        bool is_ascii;
    } rows[] = {
#define ROW(raw, text, bad, ascii) \
    {raw, sizeof(raw) - 1, text, sizeof(text) - 1, bad, ascii}
        ROW("", "", false, true),
        ROW("/a+b", "/a+b", false, true),
        ROW("/a%20b%2Fc%2fd", "/a b/c/d", false, true),
        ROW("%00", "\0", false, true),
        ROW("%C3%a9", "\xc3\xa9", false, false),
        ROW("%2541", "%41", false, true),
        ROW("%", "%", true, true),
        ROW("%4", "%4", true, true),
        ROW("%zz%41", "%zzA", true, true),
        ROW("%%41", "%A", true, true),
        ROW("%4%31", "%41", true, true),
    };
    char out[32];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guaco_slice raw = {rows[i].raw, rows[i].raw_len};
        struct guaco__decoded got = guaco__percent_decode(raw, out);
        assert_int_equal(got.len, rows[i].len);
        assert_memory_equal(out, rows[i].text, got.len);
        assert_int_equal(got.is_malformed, rows[i].is_malformed);
        assert_int_equal(got.is_ascii, rows[i].is_ascii);
    }
    assert_true(guaco__is_plain(GUACO_SLICE("/a+b")));
    assert_false(guaco__is_plain(GUACO_SLICE("/%41")));
}

#define T(name) cmocka_unit_test(name)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        T(classes_are_those_of_the_grammar),
        T(scans_stop_where_the_tables_do),
        T(every_known_name_finds_its_number),
        T(lists_skip_empty_elements),
        T(tokens_and_values_are_told_apart),
        T(percent_escapes_are_decoded_once),
    };
    return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
