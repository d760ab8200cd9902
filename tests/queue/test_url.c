/* URLs of stores: taken apart, and shown without what is secret. */

#include <string.h>

#include "queue/url.h"

#include "../test.h"

static void
all_parts_are_found_and_decoded(void **state)
{
    static struct guaco__url url;

    (void)state;
    assert_int_equal(
        guaco__url_read(
            &url, "//m%65:p%40s:s@h1:1,[::1]:2,h3/a%2Fb/c?x=1&y=%3D", NULL),
        GUACO_OK);
    assert_string_equal(url.user, "me");
    assert_string_equal(url.password, "p@s:s");
    assert_int_equal(url.host_count, 3);
    assert_string_equal(url.hosts[0].name, "h1");
    assert_int_equal(url.hosts[0].port, 1);
    assert_string_equal(url.hosts[1].name, "::1");
    assert_int_equal(url.hosts[1].port, 2);
    assert_int_equal(url.hosts[2].port, 0);
    assert_string_equal(url.path, "/a/b/c");
    assert_int_equal(url.option_count, 2);
    assert_string_equal(url.options[1].key, "y");
    assert_string_equal(url.options[1].value, "=");
}

static void
parts_may_be_missing(void **state)
{
    static const struct {
        const char *rest, *user, *password, *host, *path;
    } cases[] = {
        {"//h", "", NULL, "h", ""},         {"//:p@h/", "", "p", "h", "/"},
        {"//u@h", "u", NULL, "h", ""},      {"//a@b:c@h", "a@b", "c", "h", ""},
        {"///x/y", "", NULL, NULL, "/x/y"}, {"/x/y", "", NULL, NULL, "/x/y"},
        {"//:@h", "", "", "h", ""},         {"", "", NULL, NULL, ""},
    };
    static struct guaco__url url;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(guaco__url_read(&url, cases[i].rest, NULL), GUACO_OK);
        assert_string_equal(url.user, cases[i].user);
        if (cases[i].password == NULL)
            assert_null(url.password);
        else
            assert_string_equal(url.password, cases[i].password);
        assert_int_equal(url.host_count, cases[i].host != NULL);
        if (cases[i].host != NULL)
            assert_string_equal(url.hosts[0].name, cases[i].host);
        assert_string_equal(url.path, cases[i].path);
    }
}

static void
what_is_none_is_refused(void **state)
{
    static const char *const cases[] = {
        "//h:x",   "//h:99999", "//,h",
        "//h,",    "//[::1",    "//[::1]x",
        "//%zz",   "//u%0@h",   "//h/%",
        "//h/%00", "//h?a",     "//h?a=%g",
        "//:1",    "//h:",      "//a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
    };
    static struct guaco__url url;
    static char large[GUACO__URL_BYTES_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct guaco_error err = {0};
        if (guaco__url_read(&url, cases[i], &err) != GUACO_E_INVALID)
            fail_msg("'%s' was read", cases[i]);
        assert_true(err.text[0] != '\0');
    }
    memset(large, '/', sizeof large - 1);
    assert_int_equal(guaco__url_read(&url, large, NULL), GUACO_E_INVALID);
}

static void
no_secret_is_shown(void **state)
{
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"redis://u:secret@h:1/2", "redis://u:***@h:1/2"},
        {"redis://:secret@h", "redis://:***@h"},
        {"redis://u:a@b:c@h", "redis://u:***@h"},
        {"redis://u:sec?ret@h/1?x=y", "redis://u:***@h/1"},
        {"redis://h:6379/1?password=secret", "redis://h:6379/1"},
        {"redis://h:6379", "redis://h:6379"},
        {"redis://[::1]:6379", "redis://[::1]:6379"},
        {"sqlite:///a@b:c.db", "sqlite:///a@b:c.db"},
        {"memory:", "memory:"},
        {"nothing", "nothing"},
    };
    char shown[80];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        guaco__url_redact(cases[i].url, shown, sizeof shown);
        assert_string_equal(shown, cases[i].shown);
        for (size_t room = 1; room < 20; room++) {
            guaco__url_redact(cases[i].url, shown, room);
            assert_true(strlen(shown) < room);
        }
    }
}

static void
numbers_have_a_limit(void **state)
{
    uint64_t number;

    (void)state;
    assert_int_equal(guaco__url_number("n", "100", 100, &number, NULL),
                     GUACO_OK);
    assert_int_equal(number, 100);
    static const char *const bad[] = {"",   "101", "-1",
                                      "1x", "1e2", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(guaco__url_number("n", bad[i], 100, &number, NULL),
                         GUACO_E_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parts_are_found_and_decoded),
        cmocka_unit_test(parts_may_be_missing),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(no_secret_is_shown),
        cmocka_unit_test(numbers_have_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
