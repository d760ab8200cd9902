/* Connections: every state, by what a client sees and the application is told. */

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

struct world {
    struct fixture f;
    struct client c;
};

static void
open_world(struct world *w)
{
    fixture_init(&w->f);
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
}

static void
close_world(struct world *w)
{
    client_close(&w->c);
    fixture_close(&w->f);
}

static void
a_request_is_answered_and_the_connection_kept(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/"));
    assert_string_equal(client_hear(&w.c), HELLO);
    assert_string_equal(fixture_told(&w.f), "begin /;gone 0;");
    client_say(&w.c, GET("/"));
    assert_string_equal(client_hear(&w.c), HELLO);
    assert_false(w.c.is_closed);
    close_world(&w);
}

static void
an_idle_connection_owns_no_buffer_and_less_than_a_kibibyte(void **state)
{
    struct world w;
    struct guaco__conn *c;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/"));
    c = GUACO__OF(w.f.server->conns.next, struct guaco__conn, link);
    assert_null(c->in.at);
    assert_null(c->x);
    assert_null(c->stream.first);
    assert_true(sizeof(struct guaco__conn) <= 832);
    close_world(&w);
}

static void
the_same_bytes_one_at_a_time_give_the_same_answer(void **state)
{
    const char *request = "POST /echo HTTP/1.1\r\nhost: a\r\n"
                          "content-length: 5\r\n\r\nabcde";
    struct world w;

    (void)state;
    open_world(&w);
    for (const char *at = request; *at != '\0'; at++)
        client_say_bytes(&w.c, at, 1);
    assert_non_null(strstr(client_hear(&w.c), "transfer-encoding: chunked"));
    assert_non_null(strstr(fixture_told(&w.f), "end;gone 0;"));
    close_world(&w);
}

static void
pipelined_requests_are_answered_in_order(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/") GET("/later") GET("/"));
    assert_string_equal(client_hear(&w.c), HELLO);
    assert_string_equal(fixture_told(&w.f), "begin /;gone 0;begin /later;end;");
    assert_int_equal(guaco_exchange_start(w.f.later, 204, NULL, 0, false), 0);
    assert_int_equal(guaco_exchange_finish(w.f.later), 0);
    fixture_turns(&w.f);
    assert_string_equal(client_hear(&w.c),
                        "HTTP/1.1 204 No Content\r\n\r\n" HELLO);
    close_world(&w);
}

static void
an_invalid_request_after_good_ones_leaves_them_answered(void **state)
{
    struct world w;
    const char *heard;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/") GET("/") "nonsense\r\n\r\n");
    heard = client_hear(&w.c);
    assert_memory_equal(heard, HELLO HELLO, strlen(HELLO HELLO));
    assert_non_null(strstr(heard, "HTTP/1.1 400 Bad Request\r\n"));
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
a_body_is_told_in_pieces_and_then_its_end(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "POST /later HTTP/1.1\r\nhost: a\r\n"
                     "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_string_equal(fixture_told(&w.f), "begin /later;body 3;");
    client_say(&w.c, "2\r\nde\r\n0\r\n\r\n");
    assert_string_equal(fixture_told(&w.f), "body 2;end;");
    guaco_exchange_start(w.f.later, 200, NULL, 0, false);
    guaco_exchange_finish(w.f.later);
    fixture_turns(&w.f);
    assert_string_equal(client_hear(&w.c),
                        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    close_world(&w);
}

static void
an_unread_body_is_skipped_to_find_the_next_request(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n");
    assert_string_equal(client_hear(&w.c), HELLO);
    assert_string_equal(fixture_told(&w.f), "begin /;gone 0;");
    client_say(&w.c, "GET " GET("/"));
    assert_string_equal(client_hear(&w.c), HELLO);
    assert_string_equal(fixture_told(&w.f), "begin /;gone 0;");
    close_world(&w);
}

static void
beyond_the_cap_an_unread_body_costs_the_connection(void **state)
{
    struct world w;
    char filler[4096];

    (void)state;
    memset(filler, 'z', sizeof(filler));
    fixture_init(&w.f);
    w.f.options.limits.drain_bytes_max = 1000;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    client_say(&w.c,
               "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9999\r\n\r\n");
    client_say_bytes(&w.c, filler, sizeof(filler));
    client_say_bytes(&w.c, filler, sizeof(filler));
    client_hear(&w.c);
    assert_true(w.c.is_closed);
    assert_false(w.c.is_reset);
    close_world(&w);
}

static void
reading_stops_until_the_application_consumes(void **state)
{
    struct world w;
    char filler[1000];

    (void)state;
    memset(filler, 'z', sizeof(filler));
    fixture_init(&w.f);
    w.f.options.limits.window_bytes = 1500;
    w.f.consumes = 0;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    client_say(
        &w.c,
        "POST /later HTTP/1.1\r\nhost: a\r\ncontent-length: 3000\r\n\r\n");
    for (int i = 0; i < 3; i++)
        client_say_bytes(&w.c, filler, sizeof(filler));
    assert_string_equal(fixture_told(&w.f),
                        "begin /later;body 1000;body 1000;");
    guaco_exchange_consumed(w.f.later, 2000);
    fixture_turns(&w.f);
    assert_string_equal(fixture_told(&w.f), "body 1000;end;");
    close_world(&w);
}

static void
continue_is_said_when_the_application_first_asks(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "POST /later HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n"
                     "expect: 100-continue\r\n\r\n");
    assert_string_equal(client_hear(&w.c), "");
    guaco_exchange_consumed(w.f.later, 0);
    fixture_turns(&w.f);
    assert_string_equal(client_hear(&w.c), "HTTP/1.1 100 Continue\r\n\r\n");
    client_say(&w.c, "ab");
    assert_string_equal(fixture_told(&w.f), "begin /later;body 2;end;");
    close_world(&w);
}

static void
an_answer_without_continue_closes(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n"
                     "expect: 100-continue\r\n\r\n");
    assert_string_equal(client_hear(&w.c), HELLO_CLOSE);
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
the_client_may_ask_to_close(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(
        &w.c,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" GET("/"));
    assert_string_equal(client_hear(&w.c), HELLO_CLOSE);
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
http_1_0_closes_unless_asked_to_keep(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    assert_string_equal(client_hear(&w.c),
                        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"
                        "connection: keep-alive\r\n\r\nhello");
    assert_false(w.c.is_closed);
    client_say(&w.c, "POST /echo HTTP/1.0\r\nconnection: keep-alive\r\n"
                     "content-length: 2\r\n\r\nab");
    assert_string_equal(client_hear(&w.c),
                        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab");
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
head_has_the_length_and_no_body(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n" GET("/"));
    assert_string_equal(client_hear(&w.c),
                        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" HELLO);
    close_world(&w);
}

static void
what_the_server_says_itself_has_no_body_for_head(void **state)
{
    struct world w;
    const char *heard;

    (void)state;
    open_world(&w);
    client_say(&w.c, "HEAD /refuse HTTP/1.1\r\nhost: a\r\n\r\n");
    heard = client_hear(&w.c);
    assert_non_null(strstr(heard, "HTTP/1.1 503 "));
    assert_non_null(strstr(heard, "content-length: 20\r\n"));
    assert_string_equal(strstr(heard, "\r\n\r\n"), "\r\n\r\n");
    close_world(&w);
}

static void
a_half_closed_client_is_told_of_and_still_answered(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/later"));
    shutdown(w.c.fd, SHUT_WR);
    fixture_turns(&w.f);
    assert_string_equal(fixture_told(&w.f), "begin /later;end;half_closed;");
    guaco_exchange_start(w.f.later, 200, NULL, 0, false);
    guaco_exchange_finish(w.f.later);
    fixture_turns(&w.f);
    assert_non_null(strstr(client_hear(&w.c), "200 OK"));
    assert_true(w.c.is_closed);
    assert_string_equal(fixture_told(&w.f), "gone 0;");
    close_world(&w);
}

static void
a_client_that_leaves_within_its_body_is_gone(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(
        &w.c, "POST /later HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab");
    client_close(&w.c);
    assert_string_equal(fixture_told(&w.f), "begin /later;body 2;gone 1;");
    assert_true(guaco__list_is_empty(&w.f.server->conns));
    fixture_close(&w.f);
}

static void
answers_to_a_client_that_left_are_refused(void **state)
{
    struct world w;
    struct guaco_bytes piece = {"abc", 3, NULL, NULL};

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/later"));
    guaco_exchange_ref(w.f.later);

    struct guaco_exchange *x = w.f.later;

    client_close(&w.c);
    guaco_exchange_start(x, 200, NULL, 0, false);
    guaco_exchange_body(x, piece, true);
    fixture_turns(&w.f);
    assert_non_null(strstr(fixture_told(&w.f), "gone 1;"));
    assert_int_equal(guaco_exchange_body(x, piece, true), GUACO_E_CLOSED);
    guaco_exchange_unref(x);
    fixture_close(&w.f);
}

static void
a_slow_reader_holds_the_answer_back_and_gets_all(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/big") GET("/"));
    assert_true(w.f.server->stats.connections_open == 1);
    client_hear(&w.c);
    assert_int_equal(w.c.total, strlen("HTTP/1.1 200 OK\r\n"
                                       "content-length: 1048576\r\n\r\n") +
                                    BIG_BYTES + strlen(HELLO));
    close_world(&w);
}

static void
pressure_is_told_and_relieved(void **state)
{
    struct world w;
    static char filler[300000];
    struct guaco_bytes piece = {filler, sizeof(filler), NULL, NULL};
    int rc = GUACO_OK;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/later"));
    guaco_exchange_start(w.f.later, 200, NULL, 0, false);
    for (int i = 0; i < 10 && rc == GUACO_OK; i++)
        rc = guaco_exchange_body(w.f.later, piece, true);
    assert_int_equal(rc, GUACO_E_AGAIN);
    fixture_told(&w.f);
    client_hear(&w.c);
    assert_string_equal(fixture_told(&w.f), "writable;");
    close_world(&w);
}

static void
relief_is_told_although_a_later_piece_was_taken(void **state)
{
    struct world w;
    static char filler[300000];
    struct guaco_bytes large = {filler, sizeof(filler), NULL, NULL};
    struct guaco_bytes small = {filler, 1, NULL, NULL};
    int rc = GUACO_OK;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/later"));
    guaco_exchange_start(w.f.later, 200, NULL, 0, false);
    for (int i = 0; i < 10 && rc == GUACO_OK; i++)
        rc = guaco_exchange_body(w.f.later, large, true);
    fixture_told(&w.f);
    for (int i = 0; i < 50 && rc == GUACO_E_AGAIN; i++) {
        while (recv(w.c.fd, filler, sizeof(filler), 0) > 0)
            continue;
        rc = guaco_exchange_body(w.f.later, small, true);
    }
    assert_int_equal(rc, GUACO_OK);
    while (recv(w.c.fd, filler, sizeof(filler), 0) > 0)
        fixture_turns(&w.f);
    assert_string_equal(fixture_told(&w.f), "writable;");
    close_world(&w);
}

static void
a_long_head_may_end_in_nothing(void **state)
{
    static char head[6000] = "GET / HTTP/1.1\r\nhost: a\r\nx: ";
    struct world w;

    (void)state;
    memset(head + strlen(head), 'x', sizeof(head) - strlen(head));
    open_world(&w);
    client_say_bytes(&w.c, head, sizeof(head));
    shutdown(w.c.fd, SHUT_WR); /* the buffer has moved, nothing came */
    fixture_turns(&w.f);
    client_hear(&w.c);
    assert_true(w.c.is_closed);
    assert_string_equal(fixture_told(&w.f), "");
    close_world(&w);
}

static void
a_reset_is_the_end_and_no_half_close(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/") GET("/later"));
    client_close(&w.c); /* with bytes unread, which resets */
    assert_string_equal(fixture_told(&w.f),
                        "begin /;gone 0;begin /later;end;gone 1;");
    assert_true(guaco__list_is_empty(&w.f.server->conns));
    fixture_close(&w.f);
}

static void
an_aborted_answer_is_seen_to_be_cut(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/abort"));
    assert_string_equal(client_hear(&w.c),
                        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                        "4\r\nhalf\r\n");
    assert_true(w.c.is_closed);
    assert_string_equal(fixture_told(&w.f), "begin /abort;gone 5;");
    close_world(&w);
}

static void
a_refused_begin_is_503_and_not_told_more(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/refuse"));
    assert_non_null(strstr(client_hear(&w.c), "HTTP/1.1 503 "));
    assert_true(w.c.is_closed);
    assert_string_equal(fixture_told(&w.f), "begin /refuse;");
    close_world(&w);
}

static void
beyond_the_concurrency_limit_it_is_503(void **state)
{
    struct world w;
    struct client second;

    (void)state;
    fixture_init(&w.f);
    w.f.options.limits.concurrency_max = 1;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    client_open(&second, &w.f);
    client_say(&w.c, GET("/later"));
    client_say(&second, GET("/"));
    assert_non_null(strstr(client_hear(&second), "HTTP/1.1 503 "));
    client_close(&second);
    close_world(&w);
}

static void
a_whole_body_is_spooled_to_a_file_past_the_limit(void **state)
{
    struct world w;
    struct guaco_slice data;
    char first[3] = {0};
    int fd = -1;

    (void)state;
    fixture_init(&w.f);
    w.f.ops.wants_whole_body = true;
    w.f.options.limits.spool_bytes = 4;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    client_say(&w.c, "POST /later HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n"
                     "expect: 100-continue\r\n\r\nabc");
    assert_string_equal(client_hear(&w.c), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_string_equal(fixture_told(&w.f), "");
    client_say(&w.c, "def");
    assert_string_equal(fixture_told(&w.f), "begin /later;end;");
    assert_int_equal(guaco_exchange_spooled(w.f.later, &data, &fd), 0);
    assert_int_equal(data.len, 0);
    assert_int_equal(pread(fd, first, 2, 4), 2);
    assert_string_equal(first, "ef");
    close_world(&w);
}

static void
a_body_over_the_limit_is_413(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    w.f.options.limits.body_bytes_max = 10;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    client_say(&w.c,
               "POST /later HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n");
    assert_non_null(strstr(client_hear(&w.c), "HTTP/1.1 413 "));
    close_world(&w);
}

static void
garbage_within_a_chunked_body_is_400_and_gone(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "POST /later HTTP/1.1\r\nhost: a\r\n"
                     "transfer-encoding: chunked\r\n\r\nzz\r\n");
    assert_non_null(strstr(client_hear(&w.c), "HTTP/1.1 400 "));
    assert_string_equal(fixture_told(&w.f), "begin /later;gone 3;");
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
a_head_without_a_body_yet_leaves_at_the_end_of_the_turn(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/later"));
    guaco_exchange_start(w.f.later, 200, NULL, 0, false);
    assert_string_equal(client_hear(&w.c), "");
    fixture_turns(&w.f);
    assert_string_equal(
        client_hear(&w.c),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    close_world(&w);
}

static void
the_connection_limit_is_kept(void **state)
{
    struct world w;
    struct client second;

    (void)state;
    fixture_init(&w.f);
    w.f.options.limits.connections_max = 1;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    assert_false(client_try_open(&second, &w.f));
    client_close(&w.c);
    client_open(&w.c, &w.f);
    close_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_and_the_connection_kept),
        cmocka_unit_test(
            an_idle_connection_owns_no_buffer_and_less_than_a_kibibyte),
        cmocka_unit_test(the_same_bytes_one_at_a_time_give_the_same_answer),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(
            an_invalid_request_after_good_ones_leaves_them_answered),
        cmocka_unit_test(a_body_is_told_in_pieces_and_then_its_end),
        cmocka_unit_test(an_unread_body_is_skipped_to_find_the_next_request),
        cmocka_unit_test(beyond_the_cap_an_unread_body_costs_the_connection),
        cmocka_unit_test(reading_stops_until_the_application_consumes),
        cmocka_unit_test(continue_is_said_when_the_application_first_asks),
        cmocka_unit_test(an_answer_without_continue_closes),
        cmocka_unit_test(the_client_may_ask_to_close),
        cmocka_unit_test(http_1_0_closes_unless_asked_to_keep),
        cmocka_unit_test(head_has_the_length_and_no_body),
        cmocka_unit_test(what_the_server_says_itself_has_no_body_for_head),
        cmocka_unit_test(a_half_closed_client_is_told_of_and_still_answered),
        cmocka_unit_test(a_client_that_leaves_within_its_body_is_gone),
        cmocka_unit_test(answers_to_a_client_that_left_are_refused),
        cmocka_unit_test(a_slow_reader_holds_the_answer_back_and_gets_all),
        cmocka_unit_test(pressure_is_told_and_relieved),
        cmocka_unit_test(relief_is_told_although_a_later_piece_was_taken),
        cmocka_unit_test(a_long_head_may_end_in_nothing),
        cmocka_unit_test(a_reset_is_the_end_and_no_half_close),
        cmocka_unit_test(an_aborted_answer_is_seen_to_be_cut),
        cmocka_unit_test(a_refused_begin_is_503_and_not_told_more),
        cmocka_unit_test(beyond_the_concurrency_limit_it_is_503),
        cmocka_unit_test(a_whole_body_is_spooled_to_a_file_past_the_limit),
        cmocka_unit_test(a_body_over_the_limit_is_413),
        cmocka_unit_test(garbage_within_a_chunked_body_is_400_and_gone),
        cmocka_unit_test(
            a_head_without_a_body_yet_leaves_at_the_end_of_the_turn),
        cmocka_unit_test(the_connection_limit_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
