/* Response heads: what is written, and how the body is framed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/h1_writer.h"

#define FIELD(n, v)          \
    {                        \
        {n, sizeof(n) - 1},  \
        {                    \
            v, sizeof(v) - 1 \
        }                    \
    }

static struct guaco__buf out;

static int
set_up(void **state)
{
    (void)state;
    guaco__buf_init(&out, 4096);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    guaco__buf_release(&out);
    return 0;
}

static void
expect_out(const char *text)
{
    assert_int_equal(guaco__buf_append_byte(&out, '\0'), 0);
    assert_string_equal(guaco__buf_data(&out), text);
    guaco__buf_reset(&out);
}

/* A response to a GET of HTTP/1.1 on a connection that stays. */
static struct guaco__h1_response
plain(int status, const struct guaco_field *fields, size_t count)
{
    return (struct guaco__h1_response){
        .status = status,
        .fields = fields,
        .field_count = count,
        .body_bytes = -1,
        .version_minor = 1,
        .keep_alive = true,
    };
}

/* Both parts of a head, or nothing. */
static int
whole_head(struct guaco__buf *to, const struct guaco__h1_response *response,
           struct guaco__h1_decision *decision)
{
    struct guaco__h1_draft draft;
    size_t before = to->len;
    int rc = guaco__h1_begin_head(to, response, &draft);

    if (rc == GUACO_OK)
        rc = guaco__h1_end_head(to, &draft, response, decision);
    if (rc != GUACO_OK)
        guaco__buf_cut(to, before);
    return rc;
}

static struct guaco__h1_decision
write_head(const struct guaco__h1_response *response)
{
    struct guaco__h1_decision decision;
    assert_int_equal(whole_head(&out, response, &decision), 0);
    return decision;
}

static void
a_body_at_hand_gets_its_length(void **state)
{
    const struct guaco_field fields[] = {FIELD("content-type", "text/plain")};
    struct guaco__h1_response response = plain(200, fields, 1);

    (void)state;
    response.body_bytes = 13;
    response.date_line = GUACO_SLICE("date: D\r\n");
    response.server_line = GUACO_SLICE("server: S\r\n");
    struct guaco__h1_decision decision = write_head(&response);
    assert_int_equal(decision.framing, GUACO__H1_LENGTH);
    assert_int_equal(decision.length, 13);
    assert_true(decision.keep_alive);
    expect_out("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: D\r\n"
               "server: S\r\ncontent-length: 13\r\n\r\n");
}

static void
date_and_server_of_the_application_win(void **state)
{
    const struct guaco_field fields[] = {FIELD("DATE", "d"),
                                         FIELD("Server", "s")};
    struct guaco__h1_response response = plain(200, fields, 2);

    (void)state;
    response.body_bytes = 0;
    response.date_line = GUACO_SLICE("date: D\r\n");
    response.server_line = GUACO_SLICE("server: S\r\n");
    write_head(&response);
    expect_out("HTTP/1.1 200 OK\r\nDATE: d\r\nServer: s\r\n"
               "content-length: 0\r\n\r\n");
}

static void
an_unknown_length_is_chunked_in_1_1_and_closes_in_1_0(void **state)
{
    struct guaco__h1_response response = plain(200, NULL, 0);

    (void)state;
    assert_int_equal(write_head(&response).framing, GUACO__H1_CHUNKED);
    expect_out("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");

    response.version_minor = 0;
    struct guaco__h1_decision decision = write_head(&response);
    assert_int_equal(decision.framing, GUACO__H1_UNTIL_CLOSE);
    assert_false(decision.keep_alive);
    expect_out("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
}

static void
a_1_0_connection_that_stays_says_so(void **state)
{
    struct guaco__h1_response response = plain(200, NULL, 0);

    (void)state;
    response.version_minor = 0;
    response.body_bytes = 1;
    assert_true(write_head(&response).keep_alive);
    expect_out("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n"
               "connection: keep-alive\r\n\r\n");
}

static void
the_length_of_the_application_is_kept(void **state)
{
    const struct guaco_field fields[] = {FIELD("Content-Length", "007")};
    struct guaco__h1_response response = plain(200, fields, 1);

    (void)state;
    response.body_bytes = 3;
    struct guaco__h1_decision decision = write_head(&response);
    assert_int_equal(decision.framing, GUACO__H1_LENGTH);
    assert_int_equal(decision.length, 7);
    expect_out("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
}

static void
transfer_encoding_of_the_application_is_dropped(void **state)
{
    const struct guaco_field fields[] = {
        FIELD("Transfer-Encoding", "gzip"), FIELD("Content-Length", "5"),
        FIELD("Keep-Alive", "timeout=5"), FIELD("Proxy-Connection", "close")};
    struct guaco__h1_response response = plain(200, fields, 4);

    (void)state;
    assert_int_equal(write_head(&response).framing, GUACO__H1_LENGTH);
    expect_out("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
}

static void
connection_close_is_honoured(void **state)
{
    const struct guaco_field fields[] = {FIELD("Connection", "x, Close")};
    struct guaco__h1_response response = plain(200, fields, 1);

    (void)state;
    response.body_bytes = 0;
    assert_false(write_head(&response).keep_alive);
    expect_out("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"
               "connection: close\r\n\r\n");
}

static void
an_upgrade_offer_keeps_its_connection_option(void **state)
{
    const struct guaco_field fields[] = {FIELD("Upgrade", "websocket"),
                                         FIELD("Connection", "upgrade")};
    struct guaco__h1_response response = plain(426, fields, 2);

    (void)state;
    response.body_bytes = 0;
    assert_true(write_head(&response).keep_alive);
    expect_out("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"
               "content-length: 0\r\nconnection: upgrade\r\n\r\n");
}

static void
statuses_without_body_have_no_framing(void **state)
{
    const struct guaco_field length[] = {FIELD("content-length", "5")};
    struct guaco__h1_response response = plain(204, length, 1);

    (void)state;
    assert_int_equal(write_head(&response).framing, GUACO__H1_NO_BODY);
    expect_out("HTTP/1.1 204 No Content\r\n\r\n");
    response.status = 205;
    assert_int_equal(write_head(&response).framing, GUACO__H1_NO_BODY);
    expect_out("HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n");
    response.status = 304;
    assert_int_equal(write_head(&response).framing, GUACO__H1_NO_BODY);
    expect_out("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n");
    response.field_count = 0;
    response.body_bytes = 0;
    write_head(&response);
    expect_out("HTTP/1.1 304 Not Modified\r\n\r\n");
}

static void
a_response_to_head_looks_as_to_get(void **state)
{
    struct guaco__h1_response response = plain(200, NULL, 0);

    (void)state;
    response.is_head = true;
    response.body_bytes = 5;
    struct guaco__h1_decision decision = write_head(&response);
    assert_int_equal(decision.framing, GUACO__H1_NO_BODY);
    assert_int_equal(decision.length, 5);
    expect_out("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");

    response.body_bytes = -1;
    assert_true(write_head(&response).keep_alive);
    expect_out("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");

    response.version_minor = 0;
    assert_true(write_head(&response).keep_alive);
    expect_out("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\n");
}

static void
trailers_make_it_chunked(void **state)
{
    const struct guaco_field fields[] = {FIELD("content-length", "5")};
    struct guaco__h1_response response = plain(200, fields, 1);

    (void)state;
    response.trailers = true;
    response.body_bytes = 5;
    assert_int_equal(write_head(&response).framing, GUACO__H1_CHUNKED);
    expect_out("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
}

static void
a_status_without_a_name_has_an_empty_reason(void **state)
{
    struct guaco__h1_response response = plain(299, NULL, 0);

    (void)state;
    response.body_bytes = 0;
    write_head(&response);
    expect_out("HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n");
    response.status = 999;
    write_head(&response);
    expect_out("HTTP/1.1 999 \r\ncontent-length: 0\r\n\r\n");
    assert_string_equal(guaco__status_text(404), "Not Found");
    assert_string_equal(guaco__status_text(299), "");
    assert_string_equal(guaco__status_text(-1), "");
}

static void
bad_heads_are_refused_and_nothing_is_written(void **state)
{
    static const struct guaco_field rows[][2] = {
        {FIELD("a b", "c"), FIELD("x", "y")},
        {FIELD("", "c"), FIELD("x", "y")},
        {FIELD("a:", "c"), FIELD("x", "y")},
        {FIELD("a\r\nb", "c"), FIELD("x", "y")},
        {FIELD("x", "y"), FIELD("a", "b\r\nSet-Cookie: c")},
        {FIELD("x", "y"), FIELD("a", "b\nc")},
        {FIELD("x", "y"), FIELD("a", "b\rc")},
        {FIELD("x", "y"), FIELD("a", "b\0c")},
        {FIELD("x", "y"), FIELD("a", "\177")},
        {FIELD("content-length", "+1"), FIELD("x", "y")},
        {FIELD("content-length", ""), FIELD("x", "y")},
        {FIELD("content-length", "9223372036854775808"), FIELD("x", "y")},
        {FIELD("content-length", "1"), FIELD("Content-Length", "1")},
        {FIELD("a-name-of-more-than-sixty-three-bytes-"
               "with-a-space-at-its-very-end-here ",
               "y"),
         FIELD("x", "y")},
    };
    struct guaco__h1_decision decision;
    struct guaco__h1_response response = plain(200, NULL, 2);

    (void)state;
    assert_int_equal(guaco__buf_append_text(&out, "before"), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        response.fields = rows[i];
        assert_int_equal(whole_head(&out, &response, &decision),
                         GUACO_E_INVALID);
        assert_int_equal(out.len, 6);
    }
    response = plain(199, NULL, 0);
    assert_int_equal(whole_head(&out, &response, &decision), GUACO_E_INVALID);
    response = plain(1000, NULL, 0);
    assert_int_equal(whole_head(&out, &response, &decision), GUACO_E_INVALID);
}

static void
a_full_buffer_keeps_what_it_had(void **state)
{
    struct guaco__h1_response response = plain(200, NULL, 0);
    struct guaco__h1_decision decision;

    (void)state;
    guaco__buf_release(&out);
    for (size_t cap = 1; cap < 40; cap++) {
        guaco__buf_init(&out, cap);
        assert_int_equal(whole_head(&out, &response, &decision), GUACO_E_LIMIT);
        assert_int_equal(out.len, 0);
        guaco__buf_release(&out);
    }
}

static void
informational_responses_have_no_framing(void **state)
{
    const struct guaco_field fields[] = {FIELD("link", "</a>"),
                                         FIELD("content-length", "1")};

    (void)state;
    assert_int_equal(guaco__h1_write_inform(&out, 103, fields, 2), 0);
    expect_out("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    assert_int_equal(guaco__h1_write_inform(&out, 100, NULL, 0), 0);
    expect_out("HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(guaco__h1_write_inform(&out, 101, NULL, 0),
                     GUACO_E_INVALID);
    assert_int_equal(guaco__h1_write_inform(&out, 200, NULL, 0),
                     GUACO_E_INVALID);
}

static void
chunk_lines_are_hexadecimal(void **state)
{
    static const struct {
        uint64_t size;
        const char *line;
    } rows[] = {
        {1, "1\r\n"},         {15, "f\r\n"},
        {16, "10\r\n"},       {0xdeadbeef, "deadbeef\r\n"},
        {65536, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"},
    };
    char line[GUACO__H1_CHUNK_LINE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = guaco__h1_write_chunk_line(line, rows[i].size);
        assert_int_equal(len, strlen(rows[i].line));
        assert_memory_equal(line, rows[i].line, len);
    }
}

static void
the_last_chunk_carries_trailers(void **state)
{
    const struct guaco_field good[] = {FIELD("x-sum", "7")};
    const struct guaco_field bad[] = {FIELD("content-length", "7")};

    (void)state;
    assert_int_equal(guaco__h1_write_last_chunk(&out, NULL, 0), 0);
    expect_out("0\r\n\r\n");
    assert_int_equal(guaco__h1_write_last_chunk(&out, good, 1), 0);
    expect_out("0\r\nx-sum: 7\r\n\r\n");
    assert_int_equal(guaco__h1_write_last_chunk(&out, bad, 1), GUACO_E_INVALID);
    assert_int_equal(out.len, 0);
}

static void
the_date_line_is_an_imf_fixdate(void **state)
{
    char line[GUACO__H1_DATE_LINE_BYTES + 1] = {0};

    (void)state;
    guaco__h1_date_line(line, 784111777);
    assert_string_equal(line, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        T(a_body_at_hand_gets_its_length),
        T(date_and_server_of_the_application_win),
        T(an_unknown_length_is_chunked_in_1_1_and_closes_in_1_0),
        T(a_1_0_connection_that_stays_says_so),
        T(the_length_of_the_application_is_kept),
        T(transfer_encoding_of_the_application_is_dropped),
        T(connection_close_is_honoured),
        T(an_upgrade_offer_keeps_its_connection_option),
        T(statuses_without_body_have_no_framing),
        T(a_response_to_head_looks_as_to_get),
        T(trailers_make_it_chunked),
        T(a_status_without_a_name_has_an_empty_reason),
        T(bad_heads_are_refused_and_nothing_is_written),
        T(a_full_buffer_keeps_what_it_had),
        T(informational_responses_have_no_framing),
        T(chunk_lines_are_hexadecimal),
        T(the_last_chunk_carries_trailers),
        T(the_date_line_is_an_imf_fixdate),
    };
    return cmocka_run_group_tests_name("response writer", tests, NULL, NULL);
}
