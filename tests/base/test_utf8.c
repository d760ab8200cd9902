/* The promises of base/utf8.h. */

#include "base/utf8.h"

#include <string.h>

#include "../test.h"

static void
every_scalar_value_is_valid_and_no_other_is(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        char out[4];
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        size_t n = guaco__utf8_encode(c, out);
        assert_true(guaco__utf8_is_valid(out, n));
        assert_false(n > 1 && guaco__utf8_is_valid(out, n - 1));
    }
}

static void
malformed_text_is_refused(void **state)
{
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xc0\x80",         /* overlong NUL */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* surrogate */
        "\xf4\x90\x80\x80", /* over U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "a\xc3",
        "\xc3z",
        "\xe2\x82",
        "\xf0\x9f\xa5",
        "abcdefgh\x80",
        "abcdefghijklmn\xc3",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (guaco__utf8_is_valid(bad[i], strlen(bad[i])))
            fail_msg("line %zu was taken", i);
    assert_true(guaco__utf8_is_valid("", 0));
}

static void
any_split_gives_the_same_answer(void **state)
{
    static const char text[] = "plain ascii text, \xc3\xa9, \xe2\x82\xac, "
                               "\xf0\x9f\xa5\x91, \xed\x9f\xbf\xee\x80\x80";
    size_t len = sizeof text - 1;

    (void)state;
    for (size_t i = 0; i <= len; i++)
        for (size_t k = i; k <= len; k++) {
            struct guaco__utf8 s = {0};
            assert_true(guaco__utf8_feed(&s, text, i));
            assert_true(guaco__utf8_feed(&s, text + i, k - i));
            assert_true(guaco__utf8_feed(&s, text + k, len - k));
            assert_true(guaco__utf8_is_whole(&s));
        }
}

static void
the_first_impossible_byte_is_refused_at_once(void **state)
{
    struct guaco__utf8 s = {0};

    (void)state;
    assert_true(guaco__utf8_feed(&s, "\xed", 1));
    assert_false(guaco__utf8_is_whole(&s));
    assert_false(guaco__utf8_feed(&s, "\xa0", 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_is_valid_and_no_other_is),
        cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(any_split_gives_the_same_answer),
        cmocka_unit_test(the_first_impossible_byte_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
