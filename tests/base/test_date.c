/* The promises of base/date.h. */

#include "base/date.h"

#include <string.h>
#include <time.h>

#include "guaco/error.h"

#include "../test.h"

#define NOV_6_1994 784111777

static void
agrees_with_the_c_library_for_a_thousand_years(void **state)
{
    (void)state;
    /* A step that is prime to the day visits all times of day. */
    for (int64_t s = -15000000000; s < 15000000000; s += 7654321) {
        time_t t = (time_t)s;
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        struct guaco__date d = guaco__date_of(s);
        assert_int_equal(d.year, tm.tm_year + 1900);
        assert_int_equal(d.month, tm.tm_mon + 1);
        assert_int_equal(d.day, tm.tm_mday);
        assert_int_equal(d.hour, tm.tm_hour);
        assert_int_equal(d.minute, tm.tm_min);
        assert_int_equal(d.second, tm.tm_sec);
        assert_int_equal(d.weekday, tm.tm_wday);
        assert_int_equal(guaco__date_unix(&d), s);
    }
}

static void
months_know_leap_years(void **state)
{
    (void)state;
    assert_int_equal(guaco__date_month_days(2024, 2), 29);
    assert_int_equal(guaco__date_month_days(2023, 2), 28);
    assert_int_equal(guaco__date_month_days(1900, 2), 28);
    assert_int_equal(guaco__date_month_days(2000, 2), 29);
    assert_int_equal(guaco__date_month_days(2000, 12), 31);
}

static void
formats_as_http_and_iso(void **state)
{
    char http[GUACO__DATE_HTTP_BYTES];
    char iso[GUACO__DATE_ISO_BYTES];

    (void)state;
    guaco__date_format_http(NOV_6_1994, http);
    assert_string_equal(http, "Sun, 06 Nov 1994 08:49:37 GMT");
    guaco__date_format_http(GUACO__DATE_MAX_S, http);
    assert_string_equal(http, "Fri, 31 Dec 9999 23:59:59 GMT");
    guaco__date_format_http(GUACO__DATE_MIN_S, http);
    assert_string_equal(http, "Sat, 01 Jan 0000 00:00:00 GMT");
    guaco__date_format_iso(-1, iso);
    assert_string_equal(iso, "1969-12-31T23:59:59.999Z");
}

static int64_t
parsed(const char *text)
{
    int64_t s = -1;

    assert_int_equal(guaco__date_parse_http(TEXT(text), 1700000000, &s),
                     GUACO_OK);
    return s;
}

static void
the_three_forms_of_rfc_9110_are_read(void **state)
{
    (void)state;
    assert_int_equal(parsed("Sun, 06 Nov 1994 08:49:37 GMT"), NOV_6_1994);
    assert_int_equal(parsed("Sunday, 06-Nov-94 08:49:37 GMT"), NOV_6_1994);
    assert_int_equal(parsed("Sun Nov  6 08:49:37 1994"), NOV_6_1994);
    assert_int_equal(parsed("Wed Nov 16 08:49:37 1994"),
                     NOV_6_1994 + 10 * 86400);
}

static void
a_two_digit_year_is_at_most_50_years_ahead(void **state)
{
    (void)state; /* now is 2023 */
    assert_int_equal(parsed("Sunday, 01-Jan-73 00:00:00 GMT"), 3250454400);
    assert_int_equal(parsed("Sunday, 01-Jan-74 00:00:00 GMT"), 126230400);
    assert_int_equal(parsed("Saturday, 01-Jan-00 00:00:00 GMT"), 946684800);
}

static void
anything_else_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "Sun",
        ",",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Someday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 94",
        "Sun, 06 Nov +994 08:49:37 GMT",
    };
    int64_t s;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(guaco__date_parse_http(TEXT(bad[i]), 0, &s),
                         GUACO_E_PROTO);
}

static void
a_leap_second_counts_as_the_one_before(void **state)
{
    (void)state;
    assert_int_equal(parsed("Sat, 31 Dec 2016 23:59:60 GMT"), 1483228799);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_c_library_for_a_thousand_years),
        cmocka_unit_test(months_know_leap_years),
        cmocka_unit_test(formats_as_http_and_iso),
        cmocka_unit_test(the_three_forms_of_rfc_9110_are_read),
        cmocka_unit_test(a_two_digit_year_is_at_most_50_years_ahead),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(a_leap_second_counts_as_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
