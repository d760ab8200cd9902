/* The promises of server/access_format.h. */

#include "server/access_format.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"

static struct guaco__access_format format;
static struct guaco_field fields[3];
static struct guaco_peer peer;
static struct guaco_request request;
static struct guaco__access_entry entry;

static int
setup(void **state)
{
    (void)state;
    fields[0] = (struct guaco_field){.name = GUACO_SLICE("Referer"),
                                     .value = GUACO_SLICE("http://r/")};
    fields[1] = (struct guaco_field){.name = GUACO_SLICE("user-agent"),
                                     .value = GUACO_SLICE("caf\xc3\xa9 \"q\\")};
    fields[2] = (struct guaco_field){.name = GUACO_SLICE("X-Id"),
                                     .value = GUACO_SLICE("7\x01\xff")};
    peer = (struct guaco_peer){.client_host = "10.0.0.1"};
    request = (struct guaco_request){.path = GUACO_SLICE("/a"),
                                     .query = GUACO_SLICE("b=\"1"),
                                     .fields = fields,
                                     .field_count = 3};
    entry = (struct guaco__access_entry){
        .peer = &peer,
        .request = &request,
        .method = GUACO_SLICE("GET"),
        .target = GUACO_SLICE("/a?b=\"1"),
        .version_major = 1,
        .version_minor = 1,
        .status = 200,
        .bytes = 1234,
        .took_us = 2034567,
        .stamp = "[23/Nov/2026:12:00:00 +0000]",
        .time = "2026-11-23T12:00:00.250Z",
    };
    return 0;
}

/* The line without its newline. */
static const char *
line_of(const char *text)
{
    static char out[GUACO__ACCESS_LINE_MAX + 1];
    struct guaco_error err = {0};

    assert_int_equal(guaco__access_format_read(&format, text, &err), GUACO_OK);
    char *end = guaco__access_format_put(&format, &entry, out);
    assert_int_equal(end[-1], '\n');
    end[-1] = '\0';
    return out;
}

static void
the_named_formats_are_what_they_are_called(void **state)
{
    char wanted[512];

    (void)state;
    assert_string_equal(line_of("common"),
                        "10.0.0.1 - - [23/Nov/2026:12:00:00 +0000] \"GET "
                        "/a?b=\\x221 HTTP/1.1\" 200 1234");
    assert_string_equal(
        line_of("combined"),
        "10.0.0.1 - - [23/Nov/2026:12:00:00 +0000] \"GET /a?b=\\x221 "
        "HTTP/1.1\" 200 1234 \"http://r/\" \"caf\\xc3\\xa9 \\x22q\\x5c\" "
        "2034567");
    snprintf(wanted, sizeof wanted,
             "{\"time\":\"2026-11-23T12:00:00.250Z\",\"client\":\"10.0.0.1\","
             "\"method\":\"GET\",\"target\":\"/a?b=\\\"1\",\"protocol\":"
             "\"HTTP/1.1\",\"status\":200,\"bytes\":1234,\"duration_us\":"
             "2034567,\"referer\":\"http://r/\",\"user_agent\":\"caf\xc3\xa9 "
             "\\\"q\\\\\",\"pid\":%ld}",
             (long)getpid());
    assert_string_equal(line_of("json"), wanted);
}

static const char *const cases[][2] = {
    {"%(h)s|%(l)s|%(u)s", "10.0.0.1|-|-"},
    {"%(m)s %(U)s?%(q)s %(H)s", "GET /a?b=\\x221 HTTP/1.1"},
    {"%(T)s %(M)s %(D)s %(L)s", "2 2034 2034567 2.034567"},
    {"%(s)s %(B)s %(b)s", "200 1234 1234"},
    {"100%% %(s)d", "100% 200"},
    {"%({X-ID}i)s", "7\\x01\\xff"},
    {"%({x-none}i)s|%(f)s", "-|http://r/"},
    {"plain", "plain"},
};

static void
atoms_are_those_of_gunicorn(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(line_of(cases[i][0]), cases[i][1]);
}

static void
what_is_missing_is_a_dash_or_empty_in_json(void **state)
{
    (void)state;
    entry.request = NULL;
    entry.method.len = entry.target.len = 0;
    entry.bytes = 0;
    entry.took_us = 0;
    peer.client_host = NULL;
    assert_string_equal(line_of("%(h)s %(r)s %(U)s %(b)s %(B)s %(f)s %(L)s"),
                        "- - - HTTP/1.1 - - 0 - 0.000000");
    assert_non_null(strstr(line_of("json"), "\"client\":\"\",\"method\":\"\""));
    assert_non_null(strstr(line_of("json"), "\"referer\":\"\""));
}

static void
bytes_that_are_no_text_are_escaped_in_json_too(void **state)
{
    (void)state;
    fields[1].value = GUACO_SLICE("a\xff\x01\x7f");
    assert_non_null(strstr(line_of("json"), "\"a\\u00ff\\u0001\\u007f\""));
}

static void
a_line_ends_where_it_must(void **state)
{
    static char target[65536];
    char text[GUACO__ACCESS_TEXT_MAX] = "";

    (void)state;
    memset(target, '"', sizeof target);
    entry.target = (struct guaco_slice){target, sizeof target};
    for (int i = 0; i < GUACO__ACCESS_STEPS_MAX; i++)
        memcpy(text + 5 * i, "%(r)s", 6);
    assert_true(strlen(line_of(text)) < GUACO__ACCESS_LINE_MAX);
    assert_true(strlen(line_of("%(r)s")) < 3000);
    assert_non_null(strstr(line_of("%(r)s"), " HTTP/1.1"));
}

static void
what_is_no_format_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",        "%",        "%(",       "%(z)s", "%(h)x",
        "%({}i)s", "%({a}e)s", "%({a}o)s", "%s",    "a\nb",
    };
    static char lengthy[2 * GUACO__ACCESS_TEXT_MAX];
    struct guaco_error err;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err.text[0] = '\0';
        assert_true(guaco__access_format_read(&format, wrong[i], &err) < 0);
        assert_true(err.text[0] != '\0');
    }
    memset(lengthy, 'x', sizeof lengthy - 1);
    assert_int_equal(guaco__access_format_read(&format, lengthy, &err),
                     GUACO_E_LIMIT);
    lengthy[0] = '\0';
    for (int i = 0; i <= GUACO__ACCESS_STEPS_MAX; i++)
        memcpy(lengthy + 5 * i, "%(h)s", 6);
    assert_int_equal(guaco__access_format_read(&format, lengthy, &err),
                     GUACO_E_LIMIT);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(the_named_formats_are_what_they_are_called),
        T(atoms_are_those_of_gunicorn),
        T(what_is_missing_is_a_dash_or_empty_in_json),
        T(bytes_that_are_no_text_are_escaped_in_json_too),
        T(a_line_ends_where_it_must),
        T(what_is_no_format_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
