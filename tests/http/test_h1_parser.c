/* What the request parser accepts and tells, its limits, and the states of a
 * connection.  test_h1_reject.c has what it refuses. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "h1_trace.h"
#include "http/fields.h"

#define GET   "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST  "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNK POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct guaco_http_limits defaults = GUACO_HTTP_LIMITS_DEFAULT;

/* One parser over one string, event by event. */
struct feed {
    struct guaco_http_parser parser;
    struct guaco_http_head head;
    struct guaco_http_event event;
    struct guaco_field fields[H1_TRACE_FIELDS];
    uint8_t ids[H1_TRACE_FIELDS];
    char data[70000];
    size_t at;
    size_t len;
};

static struct feed feed;

static void
feed_begin(const struct guaco_http_limits *limits, const char *bytes)
{
    memset(&feed, 0, sizeof(feed));
    guaco_http_parser_init(&feed.parser, limits);
    feed.head.fields = feed.fields;
    feed.head.ids = feed.ids;
    feed.len = strlen(bytes);
    assert_true(feed.len < sizeof(feed.data));
    memcpy(feed.data, bytes, feed.len);
}

static int
feed_next(void)
{
    int rc =
        guaco_http_parser_next(&feed.parser, feed.data + feed.at,
                               feed.len - feed.at, &feed.head, &feed.event);
    feed.at += feed.event.used;
    return rc;
}

static void
expect_event(enum guaco_http_event_type type)
{
    assert_int_equal(feed_next(), 0);
    assert_int_equal(feed.event.type, type);
    assert_int_equal(feed.event.fault, GUACO_HTTP_FAULT_NONE);
}

static void
expect_fault(int rc, enum guaco_http_fault fault)
{
    assert_int_equal(feed_next(), rc);
    assert_string_equal(guaco_http_fault_text(feed.event.fault),
                        guaco_http_fault_text(fault));
}

static void
expect_slice(struct guaco_slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.at, text, slice.len);
}

/* Parse `bytes` up to its HEAD. */
static const struct guaco_http_head *
head_of(const char *bytes)
{
    feed_begin(&defaults, bytes);
    expect_event(GUACO_HTTP_HEAD);
    return &feed.head;
}

/* ---- heads ---------------------------------------------------------- */

static void
a_head_is_told_with_its_fields_in_order(void **state)
{
    (void)state;
    const struct guaco_http_head *head =
        head_of("GET /a/b?c=d HTTP/1.1\r\nHost: Example:8080\r\n"
                "X-Twice: 1\r\nCOOKIE: \t a=b \t\r\nx-twice:2\r\nE:\r\n\r\n");

    expect_slice(head->method, "GET");
    expect_slice(head->target, "/a/b?c=d");
    expect_slice(head->path, "/a/b");
    expect_slice(head->query, "c=d");
    expect_slice(head->authority, "Example:8080");
    assert_int_equal(head->form, GUACO_HTTP_ORIGIN_FORM);
    assert_int_equal(head->version_minor, 1);
    assert_int_equal(head->field_count, 5);
    expect_slice(head->fields[0].name, "host");
    expect_slice(head->fields[1].name, "x-twice");
    expect_slice(head->fields[1].value, "1");
    expect_slice(head->fields[2].name, "cookie");
    expect_slice(head->fields[2].value, "a=b");
    expect_slice(head->fields[3].value, "2");
    expect_slice(head->fields[4].value, "");
    assert_int_equal(head->ids[0], GUACO__FIELD_HOST);
    assert_int_equal(head->ids[1], GUACO__FIELD_OTHER);
    assert_int_equal(head->ids[2], GUACO__FIELD_COOKIE);
    assert_int_equal(head->bytes, feed.len);
}

static void
a_name_of_any_length_becomes_lower_case_and_its_value_does_not(void **state)
{
    (void)state;
    for (size_t n = 1; n < 70; n++) {
        char bytes[256] = GET;
        size_t at = strlen(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[at++] = i % 7 == 6 ? '_' : (char)('A' + i % 26);
        snprintf(bytes + at, sizeof bytes - at, ":VALUE[]@Z\r\n\r\n");

        const struct guaco_http_head *head = head_of(bytes);
        assert_int_equal(head->fields[1].name.len, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(head->fields[1].name.at[i],
                             i % 7 == 6 ? '_' : 'a' + (int)(i % 26));
        expect_slice(head->fields[1].value, "VALUE[]@Z");
    }
}

static void
values_may_have_tabs_and_bytes_above_127(void **state)
{
    (void)state;
    const struct guaco_http_head *head =
        head_of(GET "A: b\tc\x80\xff \x85\r\n\r\n");
    expect_slice(head->fields[1].value, "b\tc\x80\xff \x85");
}

static void
one_empty_line_may_come_first(void **state)
{
    (void)state;
    const struct guaco_http_head *head = head_of("\r\n" GET "\r\n");
    expect_slice(head->method, "GET");
    assert_int_equal(head->bytes, feed.len);
}

static void
a_query_may_be_empty_or_missing(void **state)
{
    (void)state;
    const struct guaco_http_head *head =
        head_of("GET /a? HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(head->query.at);
    assert_int_equal(head->query.len, 0);
    head = head_of("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_null(head->query.at);
    head = head_of("GET /?a?b/c HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_slice(head->path, "/");
    expect_slice(head->query, "a?b/c");
}

static void
absolute_form_gives_authority_path_and_query(void **state)
{
    (void)state;
    const struct guaco_http_head *head =
        head_of("GET HTTPS://A.b:1/c?d HTTP/1.1\r\nHost: a.B:1\r\n\r\n");
    assert_int_equal(head->form, GUACO_HTTP_ABSOLUTE_FORM);
    expect_slice(head->authority, "A.b:1");
    expect_slice(head->path, "/c");
    expect_slice(head->query, "d");

    head = head_of("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_slice(head->path, "/");
    expect_slice(head->query, "q");
    head = head_of("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_slice(head->path, "*");
    head = head_of("GET http://a HTTP/1.0\r\n\r\n");
    expect_slice(head->authority, "a");
}

static void
asterisk_form_is_for_options(void **state)
{
    (void)state;
    const struct guaco_http_head *head =
        head_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(head->form, GUACO_HTTP_ASTERISK_FORM);
    expect_slice(head->path, "*");
}

static void
hosts_of_every_form_are_accepted(void **state)
{
    static const char *const hosts[] = {
        "a",     "a.b.c",    "a:",
        "a:0",   "a:65535",  "1.2.3.4:80",
        "[::1]", "[::1]:80", "[2001:db8::1.2.3.4]",
        "a_b",   "a-b.",     "xn--a",
        "a%20b", "a'b",
    };
    char bytes[128];

    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
                 hosts[i]);
        expect_slice(head_of(bytes)->authority, hosts[i]);
    }
}

static void
keep_alive_follows_version_and_connection(void **state)
{
    static const struct {
        const char *bytes;
        bool keep_alive;
    } rows[] = {
        {GET "\r\n", true},
        {GET "Connection: close\r\n\r\n", false},
        {GET "Connection: CLOSE\r\n\r\n", false},
        {GET "Connection: x, close , y\r\n\r\n", false},
        {GET "Connection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {GET "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(head_of(rows[i].bytes)->keep_alive,
                         rows[i].keep_alive);
}

static void
expect_is_told_only_for_a_body_in_1_1(void **state)
{
    (void)state;
    assert_true(head_of(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n"
                             "\r\n")
                    ->expects_continue);
    assert_false(head_of(GET "Expect: 100-continue\r\n\r\n")->expects_continue);
    assert_false(head_of("POST / HTTP/1.0\r\nExpect: 100-continue\r\n"
                         "Content-Length: 1\r\n\r\n")
                     ->expects_continue);
}

static void
upgrade_needs_its_connection_option_and_1_1(void **state)
{
    (void)state;
    expect_slice(head_of(GET "Upgrade: websocket, h2c\r\n"
                             "Connection: keep-alive, Upgrade\r\n\r\n")
                     ->upgrade,
                 "websocket, h2c");
    assert_null(head_of(GET "Upgrade: websocket\r\n\r\n")->upgrade.at);
    assert_null(head_of("GET / HTTP/1.0\r\nUpgrade: websocket\r\n"
                        "Connection: upgrade\r\n\r\n")
                    ->upgrade.at);
}

static void
te_trailers_is_told(void **state)
{
    (void)state;
    assert_true(head_of(GET "TE: deflate, Trailers\r\n\r\n")->accepts_trailers);
    assert_false(head_of(GET "TE: trailersx\r\n\r\n")->accepts_trailers);
}

static void
a_moved_head_is_rebased(void **state)
{
    static char copy[256];

    (void)state;
    head_of("GET http://a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
    memcpy(copy, feed.data, feed.head.bytes);
    guaco_http_head_rebase(&feed.head, feed.data, copy);
    memset(feed.data, '!', sizeof(feed.data));
    expect_slice(feed.head.method, "GET");
    expect_slice(feed.head.authority, "a");
    expect_slice(feed.head.path, "/"); /* a literal: not moved */
    expect_slice(feed.head.fields[1].name, "x");
    expect_slice(feed.head.fields[1].value, "y");
    assert_null(feed.head.query.at);
}

/* ---- bodies --------------------------------------------------------- */

static void
a_request_without_length_has_no_body(void **state)
{
    (void)state;
    assert_int_equal(head_of(POST "\r\n")->body_bytes, 0);
    expect_event(GUACO_HTTP_DONE);
    expect_event(GUACO_HTTP_NEED_MORE);
}

static void
a_length_frames_the_body_of_any_method(void **state)
{
    (void)state;
    head_of("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0016\r\n\r\n"
            "GET / HTTP/1.1\r\n" GET "\r\n");
    assert_int_equal(feed.head.body_bytes, 16);
    expect_event(GUACO_HTTP_BODY);
    expect_slice(feed.event.data, "GET / HTTP/1.1\r\n");
    expect_event(GUACO_HTTP_DONE);
    expect_event(GUACO_HTTP_HEAD);
    expect_event(GUACO_HTTP_DONE);
    expect_event(GUACO_HTTP_NEED_MORE);
    assert_int_equal(feed.at, feed.len);
}

static void
chunks_are_taken_off_and_trailers_told(void **state)
{
    (void)state;
    head_of(CHUNK "3\r\nabc\r\n0A;x;y=z;q=\"a;\\\"b\"\r\n0123456789\r\n"
                  "000\r\nX-Sum: 7 \r\nY:\r\n\r\n");
    assert_int_equal(feed.head.body_bytes, -1);
    expect_event(GUACO_HTTP_BODY);
    expect_slice(feed.event.data, "abc");
    expect_event(GUACO_HTTP_BODY);
    expect_slice(feed.event.data, "0123456789");
    expect_event(GUACO_HTTP_TRAILER);
    expect_slice(feed.event.field.name, "x-sum");
    expect_slice(feed.event.field.value, "7");
    expect_event(GUACO_HTTP_TRAILER);
    expect_event(GUACO_HTTP_DONE);
    expect_event(GUACO_HTTP_NEED_MORE);
    assert_int_equal(feed.at, feed.len);
}

static void
a_truncated_body_is_never_done(void **state)
{
    static const char *const streams[] = {
        POST "Content-Length: 4\r\n\r\nabc",
        CHUNK "3\r\nab",
        CHUNK "3\r\nabc\r\n0\r\n",
        CHUNK "3\r\nabc\r\n0",
        CHUNK "0\r\nA: b\r\n",
        CHUNK "3\r\nabc\r",
    };
    static struct h1_trace trace;

    (void)state;
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        h1_trace_run(&trace, &defaults, streams[i], strlen(streams[i]), 0, 0);
        assert_int_equal(trace.rc, 0);
        assert_int_equal(trace.requests, 0);
    }
}

/* ---- limits --------------------------------------------------------- */

/* `bytes` is refused with `fault` at the HEAD or later under `limits`. */
static void
expect_refused(const struct guaco_http_limits *limits, const char *bytes,
               enum guaco_http_fault fault)
{
    static struct h1_trace whole;
    static struct h1_trace split;
    size_t len = strlen(bytes);

    h1_trace_run(&whole, limits, bytes, len, 0, 0);
    assert_string_equal(guaco_http_fault_text(whole.fault),
                        guaco_http_fault_text(fault));
    for (size_t step = 1; step < 20; step++) {
        h1_trace_run(&split, limits, bytes, len, 0, step);
        assert_string_equal(split.text, whole.text);
    }
}

static void
expect_accepted(const struct guaco_http_limits *limits, const char *bytes)
{
    static struct h1_trace trace;

    h1_trace_run(&trace, limits, bytes, strlen(bytes), 0, 0);
    assert_true(trace.rc == 0 || trace.rc == GUACO_E_CLOSED);
    assert_int_equal(trace.requests, 1);
}

static void
each_limit_is_exact(void **state)
{
    struct guaco_http_limits limits = defaults;

    (void)state;
    limits.head_bytes = sizeof(GET "\r\n") - 1;
    expect_accepted(&limits, GET "\r\n");
    limits.head_bytes--;
    expect_refused(&limits, GET "\r\n", GUACO_HTTP_FAULT_HEAD_LONG);

    limits = defaults;
    limits.method_bytes = 3;
    expect_accepted(&limits, GET "\r\n");
    expect_refused(&limits, POST "\r\n", GUACO_HTTP_FAULT_METHOD_LONG);

    limits = defaults;
    limits.target_bytes = 3;
    expect_accepted(&limits, "GET /ab HTTP/1.0\r\n\r\n");
    expect_refused(&limits, "GET /abc HTTP/1.0\r\n\r\n",
                   GUACO_HTTP_FAULT_TARGET_LONG);

    limits = defaults;
    limits.fields = 2;
    expect_accepted(&limits, GET "A: b\r\n\r\n");
    expect_refused(&limits, GET "A: b\r\nC: d\r\n\r\n",
                   GUACO_HTTP_FAULT_FIELD_COUNT);
    expect_refused(&limits, CHUNK "0\r\nA:\r\nB:\r\nC:\r\n\r\n",
                   GUACO_HTTP_FAULT_FIELD_COUNT);

    limits = defaults;
    limits.field_bytes = 7;
    expect_accepted(&limits, GET "A: 4567\r\n\r\n");
    expect_refused(&limits, GET "A: 45678\r\n\r\n",
                   GUACO_HTTP_FAULT_FIELD_LONG);
    expect_refused(&limits, GET "ABCDEFGH: 45678\r\n\r\n",
                   GUACO_HTTP_FAULT_FIELD_LONG);
}

static void
each_limit_of_the_body_is_exact(void **state)
{
    struct guaco_http_limits limits = defaults;

    (void)state;
    limits.body_bytes = 3;
    expect_accepted(&limits, POST "Content-Length: 3\r\n\r\nabc");
    expect_refused(&limits, POST "Content-Length: 4\r\n\r\nabcd",
                   GUACO_HTTP_FAULT_BODY_LONG);
    expect_accepted(&limits, CHUNK "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    expect_refused(&limits, CHUNK "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
                   GUACO_HTTP_FAULT_BODY_LONG);
    limits.body_bytes = 0;
    expect_accepted(&limits, CHUNK "0\r\n\r\n");
    expect_refused(&limits, CHUNK "1\r\na\r\n0\r\n\r\n",
                   GUACO_HTTP_FAULT_BODY_LONG);

    limits = defaults;
    limits.chunk_extension_bytes = 4;
    expect_accepted(&limits, CHUNK "1;a\r\nx\r\n0;b\r\n\r\n");
    expect_refused(&limits, CHUNK "1;a\r\nx\r\n0;bc\r\n\r\n",
                   GUACO_HTTP_FAULT_CHUNK_EXTENSION_LONG);
    expect_refused(&limits, CHUNK "1;a=\"",
                   GUACO_HTTP_FAULT_NONE); /* four so far */
    expect_refused(&limits, CHUNK "1;a=\"b",
                   GUACO_HTTP_FAULT_CHUNK_EXTENSION_LONG);

    limits = defaults;
    limits.trailer_bytes = 8; /* the empty line counts */
    expect_accepted(&limits, CHUNK "0\r\nA:bc\r\n\r\n");
    expect_refused(&limits, CHUNK "0\r\nA:bcd\r\n\r\n",
                   GUACO_HTTP_FAULT_TRAILER_LONG);
}

static void
limits_give_their_own_code_and_status(void **state)
{
    struct guaco_http_limits limits = defaults;

    (void)state;
    limits.target_bytes = 1;
    feed_begin(&limits, "GET /a HTTP/1.1\r\n");
    expect_fault(GUACO_E_LIMIT, GUACO_HTTP_FAULT_TARGET_LONG);
    assert_int_equal(guaco_http_fault_status(feed.event.fault), 414);
    feed_begin(&defaults, "GET a HTTP/1.1\r\n");
    expect_fault(GUACO_E_PROTO, GUACO_HTTP_FAULT_TARGET_FORM);
    assert_int_equal(guaco_http_fault_status(feed.event.fault), 400);
    expect_slice(feed.head.method, "GET"); /* for the log */
    expect_slice(feed.head.target, "a");
}

/* ---- connections ---------------------------------------------------- */

static void
pipelined_requests_are_told_in_order_and_garbage_last(void **state)
{
    (void)state;
    head_of("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\x01");
    expect_slice(feed.head.path, "/1");
    expect_event(GUACO_HTTP_DONE);
    assert_true(guaco_http_parser_is_idle(&feed.parser));
    expect_event(GUACO_HTTP_HEAD);
    expect_slice(feed.head.path, "/2");
    assert_false(guaco_http_parser_is_idle(&feed.parser));
    expect_event(GUACO_HTTP_DONE);
    expect_fault(GUACO_E_PROTO, GUACO_HTTP_FAULT_METHOD);
    expect_fault(GUACO_E_PROTO, GUACO_HTTP_FAULT_METHOD); /* and for ever */
}

static void
bytes_after_the_last_request_are_ignored(void **state)
{
    (void)state;
    head_of(GET "Connection: close\r\n\r\n" GET "\r\n");
    expect_event(GUACO_HTTP_DONE);
    assert_int_equal(feed_next(), GUACO_E_CLOSED);
    assert_int_equal(feed.event.used, 0);
    assert_int_equal(feed_next(), GUACO_E_CLOSED);
}

static void
a_closed_parser_finishes_its_request_only(void **state)
{
    (void)state;
    head_of(POST "Content-Length: 1\r\n\r\nx" GET "\r\n");
    guaco_http_parser_close(&feed.parser);
    expect_event(GUACO_HTTP_BODY);
    expect_event(GUACO_HTTP_DONE);
    assert_int_equal(feed_next(), GUACO_E_CLOSED);

    feed_begin(&defaults, GET "\r\n");
    guaco_http_parser_close(&feed.parser);
    assert_int_equal(feed_next(), GUACO_E_CLOSED);
}

static void
any_split_of_valid_requests_gives_the_same_events(void **state)
{
    static const char stream[] =
        "GET /x?y HTTP/1.1\r\nHost: a\r\nUser-Agent: b c d e f g h i j k l\r\n"
        "\r\n" CHUNK "5;a=\"b\"\r\nhello\r\n6\r\n world\r\n0\r\nT: u\r\n\r\n"
        "\r\n" POST "Content-Length: 7\r\nExpect: 100-continue\r\n\r\n1234567"
        "GET / HTTP/1.0\r\n\r\nignored";
    static struct h1_trace whole;
    static struct h1_trace split;
    size_t len = sizeof(stream) - 1;

    (void)state;
    h1_trace_run(&whole, &defaults, stream, len, 0, 0);
    assert_int_equal(whole.rc, GUACO_E_CLOSED);
    assert_int_equal(whole.requests, 4);
    for (size_t first = 0; first < len; first++)
        for (size_t step = 0; step < 4; step++) {
            h1_trace_run(&split, &defaults, stream, len, first, step);
            assert_string_equal(split.text, whole.text);
        }
}

#define T(name) cmocka_unit_test(name)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        T(a_head_is_told_with_its_fields_in_order),
        T(a_name_of_any_length_becomes_lower_case_and_its_value_does_not),
        T(values_may_have_tabs_and_bytes_above_127),
        T(one_empty_line_may_come_first),
        T(a_query_may_be_empty_or_missing),
        T(absolute_form_gives_authority_path_and_query),
        T(asterisk_form_is_for_options),
        T(hosts_of_every_form_are_accepted),
        T(keep_alive_follows_version_and_connection),
        T(expect_is_told_only_for_a_body_in_1_1),
        T(upgrade_needs_its_connection_option_and_1_1),
        T(te_trailers_is_told),
        T(a_moved_head_is_rebased),
        T(a_request_without_length_has_no_body),
        T(a_length_frames_the_body_of_any_method),
        T(chunks_are_taken_off_and_trailers_told),
        T(a_truncated_body_is_never_done),
        T(each_limit_is_exact),
        T(each_limit_of_the_body_is_exact),
        T(limits_give_their_own_code_and_status),
        T(pipelined_requests_are_told_in_order_and_garbage_last),
        T(bytes_after_the_last_request_are_ignored),
        T(a_closed_parser_finishes_its_request_only),
        T(any_split_of_valid_requests_gives_the_same_events),
    };
    return cmocka_run_group_tests_name("request parser", tests, NULL, NULL);
}
