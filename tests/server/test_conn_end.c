/* How connections end: by time, and when the server drains. */

#include <string.h>
#include <sys/socket.h>

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
timeouts_end_what_does_not_move(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "GET / HT");
    fixture_pass(&w.f, 14000);
    assert_string_equal(client_hear(&w.c), "");
    fixture_pass(&w.f, 16000);
    assert_non_null(strstr(client_hear(&w.c), "HTTP/1.1 408 "));
    assert_true(w.c.is_closed);
    client_close(&w.c);

    client_open(&w.c, &w.f);
    client_say(
        &w.c, "POST /later HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab");
    fixture_told(&w.f);
    fixture_pass(&w.f, 31000);
    assert_non_null(strstr(client_hear(&w.c), "HTTP/1.1 408 "));
    assert_string_equal(fixture_told(&w.f), "gone 2;");
    client_close(&w.c);

    client_open(&w.c, &w.f);
    fixture_pass(&w.f, 76000);
    assert_string_equal(client_hear(&w.c), "");
    assert_true(w.c.is_closed);
    client_close(&w.c);

    client_open(&w.c, &w.f);
    client_say(&w.c, GET("/big"));
    fixture_pass(&w.f, 31000); /* it takes nothing: send_ms */
    assert_true(guaco__list_is_empty(&w.f.server->conns));
    close_world(&w);
}

/* The send deadline holds for it, not those of the next request. */
static void
a_client_that_still_takes_an_answer_is_not_idle(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    w.f.options.limits.idle_ms = 1000;
    w.f.options.limits.head_ms = 1000;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    client_say(&w.c, GET("/big"));
    fixture_pass(&w.f, 20000);
    client_hear(&w.c);
    assert_false(w.c.is_closed);
    assert_true(w.c.total > BIG_BYTES);
    client_say(&w.c, GET("/big") GET("/"));
    fixture_pass(&w.f, 20000);
    client_hear(&w.c);
    assert_false(w.c.is_closed);
    assert_true(w.c.total > 2 * BIG_BYTES);
    assert_non_null(strstr(fixture_told(&w.f), "begin /;"));
    fixture_pass(&w.f, 2000);
    client_hear(&w.c);
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
a_skipped_body_that_is_late_has_its_answer_already(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n");
    assert_string_equal(client_hear(&w.c), HELLO);
    fixture_pass(&w.f, 31000);
    assert_string_equal(client_hear(&w.c), "");
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
no_time_limit_is_on_the_application(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/later"));
    fixture_pass(&w.f, 1000000);
    assert_non_null(w.f.later);
    close_world(&w);
}

static void
what_nobody_needs_sets_no_timer(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_close(&w.c);
    assert_int_equal(guaco__deadlines_next_ms(&w.f.server->deadlines),
                     UINT64_MAX);
    fixture_close(&w.f);
}

static void
set_drained(void *ctx)
{
    struct fixture *f = ctx;

    f->is_drained = true;
}

static void
draining_lets_requests_finish_and_closes_idle_ones(void **state)
{
    struct world w;
    struct client idle;
    struct client sent;

    (void)state;
    open_world(&w);
    client_open(&idle, &w.f);
    client_open(&sent, &w.f);
    client_say(&w.c, GET("/later"));
    assert_int_equal(send(sent.fd, GET("/"), strlen(GET("/")), 0),
                     strlen(GET("/"))); /* not read yet */
    guaco__server_drain(w.f.server, 10000, set_drained, &w.f);
    fixture_turns(&w.f);
    assert_string_equal(client_hear(&sent), HELLO_CLOSE);
    client_hear(&idle);
    assert_false(idle.is_closed);
    fixture_pass(&w.f, 300);
    client_hear(&idle);
    assert_true(idle.is_closed);
    client_close(&idle);
    client_close(&sent);
    assert_false(w.f.is_drained);
    guaco_exchange_start(w.f.later, 200, NULL, 0, false);
    guaco_exchange_finish(w.f.later);
    fixture_turns(&w.f);
    assert_non_null(strstr(client_hear(&w.c), "connection: close"));
    client_close(&w.c);
    assert_true(w.f.is_drained);
    fixture_close(&w.f);
}

/* Its head, sent before, promised to keep the connection. */
static void
draining_ends_a_connection_behind_an_answer_that_had_begun(void **state)
{
    struct world w;
    struct client sent;
    struct guaco_bytes piece = {"x", 1, NULL, NULL};

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/later"));
    guaco_exchange_start(w.f.later, 200, NULL, 0, false);
    guaco_exchange_body(w.f.later, piece, true);
    fixture_turns(&w.f);
    client_hear(&w.c);
    client_open(&sent, &w.f);
    client_say(&sent, GET("/big"));
    guaco__server_drain(w.f.server, 10000, set_drained, &w.f);
    fixture_turns(&w.f);
    client_hear(&sent);
    client_say(&sent, GET("/")); /* on its way when the drain began */
    assert_string_equal(client_hear(&sent), HELLO_CLOSE);
    client_close(&sent);
    guaco_exchange_finish(w.f.later);
    fixture_turns(&w.f);
    assert_string_equal(client_hear(&w.c), "0\r\n\r\n");
    assert_false(w.c.is_closed);
    fixture_pass(&w.f, 300);
    client_hear(&w.c);
    assert_true(w.c.is_closed);
    client_close(&w.c);
    assert_true(w.f.is_drained);
    fixture_close(&w.f);
}

static void
what_is_left_at_the_deadline_is_aborted(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    client_say(&w.c, GET("/later"));
    guaco__server_drain(w.f.server, 0, set_drained, &w.f);
    fixture_turns(&w.f);
    assert_string_equal(fixture_told(&w.f), "begin /later;end;drain;gone 6;");
    assert_true(w.f.is_drained);
    close_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts_end_what_does_not_move),
        cmocka_unit_test(a_client_that_still_takes_an_answer_is_not_idle),
        cmocka_unit_test(a_skipped_body_that_is_late_has_its_answer_already),
        cmocka_unit_test(no_time_limit_is_on_the_application),
        cmocka_unit_test(what_nobody_needs_sets_no_timer),
        cmocka_unit_test(draining_lets_requests_finish_and_closes_idle_ones),
        cmocka_unit_test(
            draining_ends_a_connection_behind_an_answer_that_had_begun),
        cmocka_unit_test(what_is_left_at_the_deadline_is_aborted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
