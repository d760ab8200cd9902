/* The codec of HTTP/2 by itself: events, whatever the split, and the heads of
 * answers. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../h2_client.h"
#include "h2_trace.h"
#include "http/h2_writer.h"

static void
any_split_gives_the_same_events(void **state)
{
    static struct h2_trace whole;
    static struct h2_trace split;
    struct h2_client *c = malloc(sizeof(*c));

    (void)state;
    assert_non_null(c);
    h2_client_init(c);
    h2_preface(c);
    h2_headers(c, 1, 0, ":method=POST :scheme=http :path=/a?b :authority=h");
    h2_frame(c, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, "\0\1x\1y",
             5);
    h2_data(c, 1, "abc", false);
    h2_frame(c, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\2def\0\0", 6);
    h2_get(c, 3, "/c");
    h2_headers(c, 1, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
               "x-sum=1");
    h2_frame(c, NGHTTP2_PRIORITY, 0, 5, "\0\0\0\5\1", 5);
    h2_trace_run(&whole, c->said, c->said_len, 0, 0, false);
    assert_string_equal(whole.text, "request 1 fault=0 POST /a?b\n"
                                    "  1 host: h\n"
                                    "  0 x: y\n"
                                    "data 1 #6\n"
                                    "request 3 fault=0 last GET /c\n"
                                    "  1 host: a\n"
                                    "end 1\n"
                                    "rc=-6\n");
    for (size_t first = 1; first < c->said_len; first++) {
        h2_trace_run(&split, c->said, c->said_len, first, 0, false);
        assert_string_equal(split.text, whole.text);
        h2_trace_run(&split, c->said, c->said_len, first, first % 7 + 1, false);
        assert_string_equal(split.text, whole.text);
    }
    h2_client_release(c);
    free(c);
}

static void
answers_are_sent_as_windows_allow(void **state)
{
    static struct h2_trace trace;
    struct h2_client *c = malloc(sizeof(*c));

    (void)state;
    assert_non_null(c);
    h2_client_init(c);
    h2_preface(c);
    h2_get(c, 1, "/");
    h2_get(c, 3, "/");
    h2_trace_run(&trace, c->said, c->said_len, 0, 0, true);
    assert_int_equal(trace.rc, 0);
    assert_true(trace.sent_len > 100);
    h2_client_release(c);
    free(c);
}

/* ---- heads of answers ---- */

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

/* "name=value name=value" */
static const char *
text_of(const struct guaco__h2_draft *head)
{
    static char text[1024];
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < head->count; i++)
        len += (size_t)snprintf(
            text + len, sizeof(text) - len, "%s%.*s=%.*s", i > 0 ? " " : "",
            (int)head->fields[i].name.len, head->fields[i].name.at,
            (int)head->fields[i].value.len, head->fields[i].value.at);
    return text;
}

static void
a_head_has_lower_case_names_and_no_fields_of_connections(void **state)
{
    const struct guaco_field fields[] = {
        {GUACO_SLICE("X-Odd-Name"), GUACO_SLICE("v")},
        {GUACO_SLICE("Connection"), GUACO_SLICE("close")},
        {GUACO_SLICE("Transfer-Encoding"), GUACO_SLICE("chunked")},
        {GUACO_SLICE("Keep-Alive"), GUACO_SLICE("1")},
        {GUACO_SLICE("Upgrade"), GUACO_SLICE("h2c")},
        {GUACO_SLICE("Content-Type"), GUACO_SLICE("text/plain")},
    };
    struct guaco__h1_response response = {
        .status = 299,
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(*fields),
        .date_line = GUACO_SLICE("date: now\r\n"),
        .server_line = GUACO_SLICE("server: guaco\r\n"),
        .body_bytes = 12,
    };
    struct guaco__h2_draft head;
    struct guaco__h1_draft draft;
    struct guaco__h1_decision decision;

    (void)state;
    assert_int_equal(guaco__h2_begin_head(&arena, &response, &head, &draft), 0);
    assert_int_equal(
        guaco__h2_end_head(&arena, &head, &draft, &response, &decision), 0);
    assert_string_equal(text_of(&head),
                        ":status=299 x-odd-name=v content-type=text/plain "
                        "date=now server=guaco content-length=12");
    assert_int_equal(decision.framing, GUACO__H1_LENGTH);
    assert_int_equal(decision.length, 12);
}

static void
statuses_without_a_body_have_no_length_or_none(void **state)
{
    static const struct {
        int status;
        bool is_head;
        int64_t bytes;
        const char *text;
    } cases[] = {
        {204, false, 0, ":status=204"},
        {304, false, 0, ":status=304"},
        {205, false, 7, ":status=205 content-length=0"},
        {200, true, 7, ":status=200 content-length=7"},
        {200, true, -1, ":status=200"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct guaco__h1_response response = {.status = cases[i].status,
                                              .is_head = cases[i].is_head,
                                              .body_bytes = cases[i].bytes};
        struct guaco__h2_draft head;
        struct guaco__h1_draft draft;
        struct guaco__h1_decision decision;

        assert_int_equal(guaco__h2_begin_head(&arena, &response, &head, &draft),
                         0);
        assert_int_equal(
            guaco__h2_end_head(&arena, &head, &draft, &response, &decision), 0);
        assert_string_equal(text_of(&head), cases[i].text);
        assert_int_equal(decision.framing, GUACO__H1_NO_BODY);
    }
}

static void
fields_that_are_none_are_refused(void **state)
{
    static const struct guaco_field bad[] = {
        {{"a b", 3}, {"x", 1}},
        {{"", 0}, {"x", 1}},
        {{":path", 5}, {"x", 1}},
        {{"a", 1}, {"x\ny", 3}},
        {{"content-length", 14}, {"x", 1}},
    };
    struct guaco__h2_draft head;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct guaco__h1_response response = {
            .status = 200, .fields = &bad[i], .field_count = 1};
        struct guaco__h1_draft draft;

        assert_int_equal(guaco__h2_begin_head(&arena, &response, &head, &draft),
                         GUACO_E_INVALID);
    }
    assert_int_equal(guaco__h2_copy_fields(
                         &arena, 0,
                         &(struct guaco_field){GUACO_SLICE("content-length"),
                                               GUACO_SLICE("1")},
                         1, &head),
                     GUACO_E_INVALID);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(any_split_gives_the_same_events),
        T(answers_are_sent_as_windows_allow),
        T(a_head_has_lower_case_names_and_no_fields_of_connections),
        T(statuses_without_a_body_have_no_length_or_none),
        T(fields_that_are_none_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
