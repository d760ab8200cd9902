/* HTTP/2 through the server: what a client hears and the application is told. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "h2_world.h"

/* ---- requests ---- */

static void
the_preface_is_answered_with_settings(void **state)
{
    struct world *w = open_plain();

    (void)state;
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
    h2_preface(&w->h2);
    hears(w, "S;");
    hears(w, "SA;");
    close_world(w);
}

static void
a_request_is_answered_in_one_piece(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/");
    assert_string_equal(talk(w),
                        "H1 :status=200 content-length=5;D1 hello;E1;");
    told(w, "begin /;gone 0;");
    close_world(w);
}

static void
the_same_bytes_one_at_a_time_give_the_same_answers(void **state)
{
    struct world *w = open_plain();

    (void)state;
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
    h2_preface(&w->h2);
    h2_get(&w->h2, 1, "/");
    h2_post(&w->h2, 3, "/echo");
    h2_data(&w->h2, 3, "abc", true);
    for (size_t i = 0; i < w->h2.said_len; i++)
        client_say_bytes(&w->c, (const char *)w->h2.said + i, 1);
    w->h2.said_len = 0;
    hears(w, "H1 :status=200 content-length=5;D1 hello;E1;");
    hears(w, "H3 :status=200;");
    assert_int_equal(w->h2.data_bytes, 8);
    close_world(w);
}

static void
streams_are_answered_in_any_order(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/later");
    h2_get(&w->h2, 3, "/");
    hears(w, "H3 :status=200");
    hears_no(w, "H1");
    told(w, "begin /later;end;begin /;gone 0;");
    assert_int_equal(guaco_exchange_start(w->f.later, 204, NULL, 0, false), 0);
    assert_int_equal(guaco_exchange_finish(w->f.later), 0);
    hears(w, "H1 :status=204;E1;");
    told(w, "gone 0;");
    close_world(w);
}

static void
a_body_is_told_and_its_length_kept_to(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS,
               ":method=POST :scheme=http :path=/echo :authority=a "
               "content-length=5");
    h2_data(&w->h2, 1, "ab", false);
    h2_data(&w->h2, 1, "cde", true);
    hears(w, "D1 abcde;");
    told(w, "begin /echo;body 2;body 3;end;gone 0;");
    h2_headers(&w->h2, 3, NGHTTP2_FLAG_END_HEADERS,
               ":method=POST :scheme=http :path=/later :authority=a "
               "content-length=5");
    h2_data(&w->h2, 3, "abc", true);
    hears(w, "R3 1;");
    assert_non_null(strstr(fixture_told(&w->f), "gone 1;"));
    close_world(w);
}

static void
post_of(struct world *w, uint32_t id, const char *path, unsigned length)
{
    char text[128];

    snprintf(text, sizeof(text),
             ":method=POST :scheme=http :path=%s :authority=a "
             "content-length=%u",
             path, length);
    h2_headers(&w->h2, id, NGHTTP2_FLAG_END_HEADERS, text);
}

/* A reset, or only the end, in the midst of an upload is a failure to clients in
 * wide use. */
static void
an_early_answer_waits_for_the_end_of_a_small_request(void **state)
{
    struct world *w = open_world();

    (void)state;
    post_of(w, 1, "/", 6);
    h2_post(&w->h2, 3, "/");
    hears_no(w, "H1 ");
    h2_data(&w->h2, 3, "abc", false);
    h2_data(&w->h2, 1, "abc", false);
    hears_no(w, "H1 ");
    h2_data(&w->h2, 1, "def", true);
    hears(w, "H1 :status=200 content-length=5;D1 hello;E1;");
    hears_no(w, "H3 ");
    h2_data(&w->h2, 3, "", true);
    hears(w, "H3 :status=200 content-length=5;D3 hello;E3;");
    hears_no(w, "R1");
    hears_no(w, "R3");
    told(w, "begin /;begin /;gone 0;gone 0;");
    close_world(w);
}

static void
it_waits_no_longer_than_lingering(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_post(&w->h2, 1, "/");
    hears_no(w, "H1 ");
    fixture_pass(&w->f, w->f.options.limits.linger_ms + 1);
    hears(w, "D1 hello;E1;R1 0;");
    h2_data(&w->h2, 1, "crossed", false); /* it did not know yet */
    h2_get(&w->h2, 3, "/");
    hears(w, "D3 hello;E3;");
    assert_false(w->c.is_closed);
    close_world(w);
}

static void
it_waits_for_no_large_request(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.drain_bytes_max = 5;
    connect_world(w);
    post_of(w, 1, "/", 6);
    hears(w, "D1 hello;E1;");
    post_of(w, 3, "/", 70000);
    hears(w, "D3 hello;E3;R3 0;");
    h2_post(&w->h2, 5, "/");
    h2_data(&w->h2, 5, "12345", false);
    hears_no(w, "H5 ");
    h2_data(&w->h2, 5, "6", false);
    hears(w, "D5 hello;E5;R5 0;");
    h2_data(&w->h2, 1, "123456", true);
    hears_no(w, "R1");
    close_world(w);
}

static void
what_a_window_holds_is_read_away_behind_an_answer(void **state)
{
    const struct guaco_bytes piece = {.at = "x", .len = 1};
    struct world *w = open_world();

    (void)state;
    post_of(w, 1, "/later", 6);
    h2_data(&w->h2, 1, "abc", false);
    talk(w);
    assert_int_equal(guaco_exchange_start(w->f.later, 200, NULL, 0, false), 0);
    assert_int_equal(guaco_exchange_body(w->f.later, piece, true), 0);
    hears(w, "D1 x;");
    assert_int_equal(guaco_exchange_finish(w->f.later), 0);
    hears(w, "E1;");
    told(w, "begin /later;body 3;gone 0;");
    h2_get(&w->h2, 3, "/");
    hears(w, "D3 hello;E3;");
    h2_data(&w->h2, 1, "def", true);
    hears_no(w, "R1");
    assert_false(w->c.is_closed);
    close_world(w);
}

static void
a_connection_that_ends_lets_the_rest_of_a_request_come(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.drain_bytes_max = 0;
    w->f.options.limits.keep_alive_max = 1;
    connect_world(w);
    post_of(w, 1, "/", 6);
    hears(w, "D1 hello;E1;");
    assert_false(w->c.is_closed);
    fixture_pass(&w->f, w->f.options.limits.linger_ms / 2);
    h2_data(&w->h2, 1, "abcdef", true);
    talk(w);
    hears_no(w, "R1");
    close_world(w);
}

static void
head_and_204_have_no_body(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
               ":method=HEAD :scheme=http :path=/ :authority=a");
    assert_string_equal(talk(w), "H1 :status=200 content-length=5;E1;");
    close_world(w);
}

static void
early_hints_and_trailers_pass(void **state)
{
    const struct guaco_field link = {GUACO_SLICE("Link"), GUACO_SLICE("</a>")};
    const struct guaco_field check = {GUACO_SLICE("X-Sum"), GUACO_SLICE("7")};
    const struct guaco_bytes body = {"body", 4, NULL, NULL};
    struct world *w = open_world();

    (void)state;
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
               ":method=GET :scheme=http :path=/later :authority=a "
               "te=trailers");
    talk(w);
    assert_true(w->f.later->request->accepts_trailers);
    assert_int_equal(guaco_exchange_inform(w->f.later, 103, &link, 1), 0);
    hears(w, "H1 :status=103 link=</a>;");
    assert_int_equal(guaco_exchange_start(w->f.later, 200, NULL, 0, true), 0);
    assert_int_equal(guaco_exchange_body(w->f.later, body, false), 0);
    assert_int_equal(guaco_exchange_trailers(w->f.later, &check, 1), 0);
    hears(w, "H1 :status=200 content-length=4;D1 body;H1 x-sum=7;E1;");
    close_world(w);
}

static void
a_head_leaves_before_a_body_that_is_long_in_coming(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/later");
    talk(w);
    assert_int_equal(guaco_exchange_start(w->f.later, 200, NULL, 0, false), 0);
    hears(w, "H1 :status=200;");
    assert_int_equal(guaco_exchange_finish(w->f.later), 0);
    hears(w, "E1;");
    close_world(w);
}

static void
an_abort_resets_the_stream_and_no_other(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/abort");
    h2_get(&w->h2, 3, "/");
    hears(w, "R1 2;");
    hears(w, "D3 hello;E3;");
    assert_false(w->c.is_closed);
    close_world(w);
}

static void
what_an_application_refuses_is_503(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/refuse");
    hears(w, "H1 :status=503 content-length=0;E1;");
    close_world(w);
}

static void
expect_100_is_answered_when_the_body_is_wanted(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS,
               ":method=POST :scheme=http :path=/later :authority=a "
               "expect=100-continue");
    hears_no(w, "H1");
    guaco_exchange_consumed(w->f.later, 0);
    hears(w, "H1 :status=100;");
    close_world(w);
}

static void
a_client_that_resets_is_gone(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/later");
    talk(w);
    h2_number(&w->h2, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    talk(w);
    told(w, "begin /later;end;gone 1;");
    assert_false(w->c.is_closed);
    close_world(w);
}

/* ---- the head ---- */

static struct guaco_slice
field(const struct guaco_request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++)
        if (guaco_slice_equals(request->fields[i].name,
                               (struct guaco_slice){name, strlen(name)}))
            return request->fields[i].value;
    return (struct guaco_slice){NULL, 0};
}

static void
a_head_reads_like_one_of_http_1(void **state)
{
    struct world *w = open_world();
    const struct guaco_request *r;

    (void)state;
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
               ":method=GET :scheme=http :path=/later?q=1 :authority=a:80 "
               "cookie=a=1 x-y=z cookie=b=2 host=a:80");
    talk(w);
    r = w->f.later->request;
    assert_int_equal(r->version_major, 2);
    assert_true(guaco_slice_equals(r->fields[0].name, GUACO_SLICE("host")));
    assert_true(guaco_slice_equals(r->fields[0].value, GUACO_SLICE("a:80")));
    assert_int_equal(r->field_count, 3);
    assert_true(
        guaco_slice_equals(field(r, "cookie"), GUACO_SLICE("a=1; b=2")));
    assert_true(guaco_slice_equals(r->path, GUACO_SLICE("/later")));
    assert_true(guaco_slice_equals(r->query, GUACO_SLICE("q=1")));
    assert_int_equal(r->body_bytes, 0);
    close_world(w);
}

static void
heads_that_http_2_forbids_are_refused(void **state)
{
    /* RFC 9113 8.2 and 8.3: the stream ends with PROTOCOL_ERROR */
    static const char *const bad[] = {
        ":method=GET :scheme=http :path=/ :authority=a X-Upper=1",
        ":method=GET :scheme=http :path=/ :authority=a connection=close",
        ":method=GET :scheme=http :path=/ :authority=a transfer-encoding=x",
        ":method=GET :scheme=http :path=/ :authority=a keep-alive=1",
        ":method=GET :scheme=http :path=/ :authority=a upgrade=h2c",
        ":method=GET :scheme=http :path=/ :authority=a te=gzip",
        ":method=GET :scheme=http :authority=a",
        ":scheme=http :path=/ :authority=a",
        ":method=GET :scheme=http :path=/",
        ":method=GET :path=/ :authority=a",
        ":method=GET :method=GET :scheme=http :path=/ :authority=a",
        ":method=GET :scheme=http :path=/ :authority=a :unknown=1",
        ":method=GET :scheme=http :path=/ x=1 :authority=a",
        ":method=GET :scheme=http :path=/ :authority=a :status=200",
        ":method=GET :scheme=http :path=x :authority=a",
        ":method=GET :scheme=http :path= :authority=a",
        ":method=GET :scheme=http :path=/ :authority=a content-length=x",
    };
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.h2_resets_max = 1000;
    connect_world(w);
    for (uint32_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char reset[32];

        h2_forget(&w->h2);
        h2_headers(&w->h2, 2 * i + 1,
                   NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, bad[i]);
        talk(w);
        snprintf(reset, sizeof(reset), "R%u 1;", 2 * i + 1);
        if (strstr(w->h2.heard, reset) == NULL)
            fail_msg("%s: %s", bad[i], w->h2.heard);
    }
    told(w, "");
    close_world(w);
}

static void
heads_that_http_1_refuses_are_refused_alike(void **state)
{
    static const struct {
        const char *fields;
        int status;
    } bad[] = {
        {":method=GET :scheme=http :path=/ :authority=a host=b", 400},
        {":method=GET :scheme=http :path=/ :authority=a@b", 400},
        {":method=get :scheme=http :path=/ :authority=a", 400},
        {":method=TRACE :scheme=http :path=/ :authority=a", 501},
        {":method=CONNECT :authority=a:80", 501},
        {":method=GET :scheme=http :path=/#x :authority=a", 400},
        {":method=GET :scheme=http :path=/ :authority=a content_length=1", 400},
        {":method=GET :scheme=http :path=/ :authority=a expect=200-ok", 417},
        {":method=GET :scheme=http :path=/ :authority=a content-type=a "
         "content-type=b",
         400},
    };
    struct world *w = open_world();

    (void)state;
    for (uint32_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char head[48];

        h2_forget(&w->h2);
        h2_headers(&w->h2, 2 * i + 1,
                   NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                   bad[i].fields);
        talk(w);
        snprintf(head, sizeof(head), "H%u :status=%d", 2 * i + 1,
                 bad[i].status);
        if (strstr(w->h2.heard, head) == NULL)
            fail_msg("%s: %s", bad[i].fields, w->h2.heard);
    }
    told(w, "");
    close_world(w);
}

/* ---- flow control ---- */

static void
a_window_opens_as_the_application_consumes(void **state)
{
    static char piece[16385];
    struct world *w = open_world();

    (void)state;
    memset(piece, 'x', sizeof(piece) - 1);
    w->f.consumes = 0;
    h2_post(&w->h2, 1, "/later");
    for (int i = 0; i < 3; i++)
        h2_data(&w->h2, 1, piece, false);
    hears_no(w, "W1");
    guaco_exchange_consumed(w->f.later, 3 * 16384);
    hears(w, "W1 49152;");
    close_world(w);
}

static void
more_than_the_window_is_an_error(void **state)
{
    static char piece[16385];
    struct world *w = open_world();

    (void)state;
    memset(piece, 'x', sizeof(piece) - 1);
    w->f.consumes = 0;
    h2_post(&w->h2, 1, "/later");
    for (int i = 0; i < 5; i++)
        h2_data(&w->h2, 1, piece, false);
    hears(w, "3;"); /* FLOW_CONTROL_ERROR, of the stream or of all */
    close_world(w);
}

static void
a_large_answer_waits_for_windows(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/big");
    talk(w);
    assert_int_equal(w->h2.data_bytes, 65535); /* the client's windows */
    hears_no(w, "E1");
    told(w, "begin /big;");
    while (w->h2.data_bytes < BIG_BYTES) {
        size_t before = w->h2.data_bytes;

        h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 0, 200000);
        h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 1, 200000);
        talk(w);
        assert_true(w->h2.data_bytes > before);
    }
    hears(w, "E1;");
    told(w, "gone 0;");
    close_world(w);
}

static void
an_application_is_held_back_and_told_when_it_may_go_on(void **state)
{
    static char piece[100000];
    const struct guaco_bytes body = {piece, sizeof(piece), NULL, NULL};
    struct world *w = open_world();

    (void)state;
    memset(piece, 'x', sizeof(piece));
    h2_get(&w->h2, 1, "/later");
    talk(w);
    assert_int_equal(guaco_exchange_start(w->f.later, 200, NULL, 0, false), 0);
    assert_int_equal(guaco_exchange_body(w->f.later, body, true), 0);
    assert_int_equal(guaco_exchange_body(w->f.later, body, true),
                     GUACO_E_AGAIN);
    talk(w);
    told(w, "begin /later;end;");
    h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 0, 1000000);
    h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 1, 1000000);
    talk(w);
    told(w, "writable;");
    assert_int_equal(w->h2.data_bytes, 2 * sizeof(piece));
    assert_int_equal(guaco_exchange_finish(w->f.later), 0);
    hears(w, "E1;");
    close_world(w);
}

/* What WSGI's write() does: the loop's thread waits, and the client's windows
 * are found among what it sends meanwhile. */
static void
a_blocking_wait_takes_windows_from_what_comes(void **state)
{
    static char piece[150000];
    const struct guaco_bytes body = {piece, sizeof(piece), NULL, NULL};
    struct world *w = open_world();

    (void)state;
    memset(piece, 'x', sizeof(piece));
    h2_get(&w->h2, 1, "/later");
    talk(w);
    assert_int_equal(guaco_exchange_start(w->f.later, 200, NULL, 0, false), 0);
    guaco_exchange_body(w->f.later, body, true);
    assert_int_equal(guaco_exchange_wait(w->f.later, 1), GUACO_E_TIMEOUT);
    close_world(w);

    w = open_world();
    h2_get(&w->h2, 1, "/later");
    talk(w);
    assert_int_equal(guaco_exchange_start(w->f.later, 200, NULL, 0, false), 0);
    guaco_exchange_body(w->f.later, body, true);
    h2_get(&w->h2, 3, "/"); /* not for now */
    h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 0, 1000000);
    h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 1, 1000000);
    assert_int_equal(send(w->c.fd, w->h2.said, w->h2.said_len, 0),
                     w->h2.said_len);
    w->h2.said_len = 0;
    assert_int_equal(guaco_exchange_wait(w->f.later, 5000), GUACO_OK);
    told(w, "begin /later;end;");
    assert_int_equal(guaco_exchange_finish(w->f.later), 0);
    hears(w, "E1;");
    hears(w, "D3 hello;E3;");
    assert_int_equal(w->h2.data_bytes, sizeof(piece) + 5);
    close_world(w);
}

static void
one_stalled_stream_holds_no_other(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 0, 1000000);
    h2_get(&w->h2, 1, "/big");
    talk(w);
    h2_get(&w->h2, 3, "/");
    hears(w, "D3 hello;E3;");
    close_world(w);
}

/* ---- the end ---- */

static void
on_drained(void *ctx)
{
    ((struct fixture *)ctx)->is_drained = true;
}

static void
a_drain_warns_then_refuses_then_ends(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/later");
    talk(w);
    guaco__server_drain(w->f.server, 60000, on_drained, &w->f);
    hears(w, "G2147483647 0;");
    h2_get(&w->h2, 3, "/"); /* it was under way: answered still */
    hears(w, "D3 hello;E3;");
    fixture_pass(&w->f, w->f.options.limits.drain_ms + 1);
    hears(w, "G3 0;");
    assert_false(w->c.is_closed);
    assert_int_equal(guaco_exchange_start(w->f.later, 204, NULL, 0, false), 0);
    assert_int_equal(guaco_exchange_finish(w->f.later), 0);
    hears(w, "H1 :status=204;E1;");
    assert_true(w->c.is_closed);
    close(w->c.fd);
    w->c.fd = -1;
    fixture_turns(&w->f);
    assert_true(w->f.is_drained);
    close_world(w);
}

static void
an_idle_connection_drains_soon(void **state)
{
    struct world *w = open_world();

    (void)state;
    guaco__server_drain(w->f.server, 60000, on_drained, &w->f);
    hears(w, "G2147483647 0;");
    fixture_pass(&w->f, w->f.options.limits.drain_ms + 1);
    hears(w, "G0 0;");
    assert_true(w->c.is_closed);
    close_world(w);
}

static void
a_client_that_leaves_ends_its_exchanges(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_get(&w->h2, 1, "/later");
    h2_get(&w->h2, 3, "/later");
    talk(w);
    client_close(&w->c);
    told(w, "begin /later;end;begin /later;end;gone 1;gone 1;");
    close_world(w);
}

static void
a_server_that_ends_says_goodbye(void **state)
{
    struct world *w = open_world();
    char piece[4096];
    ssize_t n;

    (void)state;
    h2_get(&w->h2, 1, "/later");
    talk(w);
    guaco__server_free(w->f.server);
    while ((n = recv(w->c.fd, piece, sizeof(piece), 0)) > 0)
        h2_hear(&w->h2, piece, (size_t)n);
    assert_non_null(strstr(w->h2.heard, "G1 0;"));
    assert_int_equal(w->f.open_count, 0);
    close(w->c.fd);
    guaco__loop_free(w->f.loop);
    guaco__buf_release(&w->f.log);
    h2_client_release(&w->h2);
    free(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_preface_is_answered_with_settings),
        cmocka_unit_test(a_request_is_answered_in_one_piece),
        cmocka_unit_test(the_same_bytes_one_at_a_time_give_the_same_answers),
        cmocka_unit_test(streams_are_answered_in_any_order),
        cmocka_unit_test(a_body_is_told_and_its_length_kept_to),
        cmocka_unit_test(an_early_answer_waits_for_the_end_of_a_small_request),
        cmocka_unit_test(it_waits_no_longer_than_lingering),
        cmocka_unit_test(it_waits_for_no_large_request),
        cmocka_unit_test(what_a_window_holds_is_read_away_behind_an_answer),
        cmocka_unit_test(
            a_connection_that_ends_lets_the_rest_of_a_request_come),
        cmocka_unit_test(head_and_204_have_no_body),
        cmocka_unit_test(early_hints_and_trailers_pass),
        cmocka_unit_test(a_head_leaves_before_a_body_that_is_long_in_coming),
        cmocka_unit_test(an_abort_resets_the_stream_and_no_other),
        cmocka_unit_test(what_an_application_refuses_is_503),
        cmocka_unit_test(expect_100_is_answered_when_the_body_is_wanted),
        cmocka_unit_test(a_client_that_resets_is_gone),
        cmocka_unit_test(a_head_reads_like_one_of_http_1),
        cmocka_unit_test(heads_that_http_2_forbids_are_refused),
        cmocka_unit_test(heads_that_http_1_refuses_are_refused_alike),
        cmocka_unit_test(a_window_opens_as_the_application_consumes),
        cmocka_unit_test(more_than_the_window_is_an_error),
        cmocka_unit_test(a_large_answer_waits_for_windows),
        cmocka_unit_test(
            an_application_is_held_back_and_told_when_it_may_go_on),
        cmocka_unit_test(a_blocking_wait_takes_windows_from_what_comes),
        cmocka_unit_test(one_stalled_stream_holds_no_other),
        cmocka_unit_test(a_drain_warns_then_refuses_then_ends),
        cmocka_unit_test(an_idle_connection_drains_soon),
        cmocka_unit_test(a_client_that_leaves_ends_its_exchanges),
        cmocka_unit_test(a_server_that_ends_says_goodbye),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
