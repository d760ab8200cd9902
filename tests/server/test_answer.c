/* What an application may answer, call by call, and the log of it. */

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

struct world {
    struct fixture f;
    struct client c;
    struct guaco_exchange *x; /* of the /later that is open */
};

static const struct guaco_bytes abc = {"abc", 3, NULL, NULL};

static void
ask(struct world *w, const char *request)
{
    client_say(&w->c, request);
    w->x = w->f.later;
    assert_non_null(w->x);
    fixture_told(&w->f);
}

static void
open_world(struct world *w)
{
    fixture_init(&w->f);
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
}

static const char *
hear(struct world *w)
{
    fixture_turns(&w->f);
    return client_hear(&w->c);
}

static void
close_world(struct world *w)
{
    client_close(&w->c);
    fixture_close(&w->f);
}

static void
calls_out_of_order_are_refused(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    assert_int_equal(guaco_exchange_body(w.x, abc, true), GUACO_E_STATE);
    assert_int_equal(guaco_exchange_wait(w.x, 1), GUACO_E_STATE);
    assert_int_equal(guaco_exchange_trailers(w.x, NULL, 0), GUACO_E_STATE);
    assert_int_equal(guaco_exchange_send(w.x, GUACO_MESSAGE_TEXT, abc),
                     GUACO_E_STATE);
    assert_int_equal(guaco_exchange_start(w.x, 199, NULL, 0, false),
                     GUACO_E_INVALID);
    assert_int_equal(guaco_exchange_start(w.x, 200, NULL, 0, false), 0);
    assert_int_equal(guaco_exchange_start(w.x, 200, NULL, 0, false),
                     GUACO_E_STATE);
    assert_int_equal(guaco_exchange_finish(w.x), 0);
    assert_int_equal(guaco_exchange_finish(w.x), GUACO_E_STATE);
    assert_int_equal(guaco_exchange_inform(w.x, 103, NULL, 0), GUACO_E_STATE);
    hear(&w);
    close_world(&w);
}

static void
a_field_that_could_split_the_response_is_refused(void **state)
{
    struct world w;
    struct guaco_field bad = {GUACO_SLICE("x"), GUACO_SLICE("a\r\nb: c")};
    struct guaco_field good = {GUACO_SLICE("x"), GUACO_SLICE("y")};

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    assert_int_equal(guaco_exchange_start(w.x, 200, &bad, 1, false),
                     GUACO_E_INVALID);
    assert_int_equal(guaco_exchange_start(w.x, 200, &good, 1, false), 0);
    guaco_exchange_body(w.x, abc, false);
    assert_string_equal(hear(&w), "HTTP/1.1 200 OK\r\nx: y\r\n"
                                  "content-length: 3\r\n\r\nabc");
    close_world(&w);
}

static void
early_hints_precede_the_response(void **state)
{
    struct world w;
    struct guaco_field link = {GUACO_SLICE("link"), GUACO_SLICE("</a>")};

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    assert_int_equal(guaco_exchange_inform(w.x, 100, NULL, 0), GUACO_E_INVALID);
    assert_int_equal(guaco_exchange_inform(w.x, 103, &link, 1), 0);
    assert_string_equal(hear(&w),
                        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    guaco_exchange_start(w.x, 204, NULL, 0, false);
    guaco_exchange_finish(w.x);
    assert_string_equal(hear(&w), "HTTP/1.1 204 No Content\r\n\r\n");
    close_world(&w);
}

static void
trailers_end_a_response_that_announced_them(void **state)
{
    struct world w;
    struct guaco_field sum = {GUACO_SLICE("x-sum"), GUACO_SLICE("7")};

    (void)state;
    open_world(&w);
    ask(&w, "GET /later HTTP/1.1\r\nhost: a\r\nte: trailers\r\n"
            "connection: te\r\n\r\n");
    guaco_exchange_start(w.x, 200, NULL, 0, true);
    assert_int_equal(guaco_exchange_body(w.x, abc, false), 0);
    hear(&w);
    assert_string_equal(fixture_told(&w.f), ""); /* not over yet */
    assert_int_equal(guaco_exchange_trailers(w.x, &sum, 1), 0);
    assert_string_equal(hear(&w), "0\r\nx-sum: 7\r\n\r\n");
    assert_string_equal(fixture_told(&w.f), "gone 0;");
    ask(&w, GET("/later"));
    guaco_exchange_start(w.x, 200, NULL, 0, true);
    guaco_exchange_body(w.x, abc, false);
    guaco_exchange_trailers(w.x, &sum, 1);
    assert_non_null(
        strstr(hear(&w), "abc\r\n0\r\n\r\n")); /* not for this one */
    close_world(&w);
}

static void
a_part_of_a_file_is_sent_from_the_file(void **state)
{
    struct world w;
    FILE *file = tmpfile();

    (void)state;
    fputs("0123456789", file);
    fflush(file);
    open_world(&w);
    ask(&w, GET("/later"));
    guaco_exchange_start(w.x, 200, NULL, 0, false);
    assert_int_equal(guaco_exchange_file(w.x, fileno(file), 8, 3, false),
                     GUACO_E_INVALID);
    assert_int_equal(
        guaco_exchange_file(w.x, fileno(file), 7, UINT64_MAX, false), 0);
    fclose(file);
    assert_string_equal(hear(&w),
                        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n789");
    close_world(&w);
}

static void
more_than_the_announced_length_is_cut(void **state)
{
    struct world w;
    struct guaco_field length = {GUACO_SLICE("Content-Length"),
                                 GUACO_SLICE("2")};

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    guaco_exchange_start(w.x, 200, &length, 1, false);
    assert_int_equal(guaco_exchange_body(w.x, abc, true), GUACO_E_INVALID);
    assert_string_equal(hear(&w),
                        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab");
    assert_false(w.c.is_closed);
    close_world(&w);
}

static void
less_than_the_announced_length_closes(void **state)
{
    struct world w;
    struct guaco_field length = {GUACO_SLICE("Content-Length"),
                                 GUACO_SLICE("9")};

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    guaco_exchange_start(w.x, 200, &length, 1, false);
    guaco_exchange_body(w.x, abc, false);
    hear(&w);
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
an_abort_before_the_head_is_500(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    guaco_exchange_start(w.x, 200, NULL, 0, false);
    guaco_exchange_abort(w.x);
    assert_non_null(strstr(hear(&w), "HTTP/1.1 500 Internal Server Error\r\n"));
    assert_string_equal(fixture_told(&w.f), "gone 5;");
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
an_aborted_response_until_close_is_reset(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, "GET /later HTTP/1.0\r\n\r\n");
    guaco_exchange_start(w.x, 200, NULL, 0, false);
    guaco_exchange_body(w.x, abc, true);
    guaco_exchange_abort(w.x);
    fixture_turns(&w.f);
    assert_true(guaco__list_is_empty(&w.f.server->conns));
    close_world(&w);
}

static void
a_blocking_wait_sends_or_breaks_off(void **state)
{
    static char filler[1000000];
    struct guaco_bytes large = {filler, sizeof(filler), NULL, NULL};
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    guaco_exchange_start(w.x, 200, NULL, 0, false);
    guaco_exchange_body(w.x, abc, true);
    assert_int_equal(guaco_exchange_wait(w.x, 1), 0);
    assert_non_null(strstr(client_hear(&w.c), "abc"));
    assert_int_equal(guaco_exchange_body(w.x, large, true), GUACO_E_AGAIN);
    assert_int_equal(guaco_exchange_wait(w.x, 1), GUACO_E_TIMEOUT);
    fixture_turns(&w.f);
    assert_string_equal(fixture_told(&w.f), "gone 5;");
    close_world(&w);
}

static void
the_last_request_of_a_connection_says_so(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    w.f.options.limits.keep_alive_max = 2;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    client_say(&w.c, GET("/"));
    assert_null(strstr(client_hear(&w.c), "connection: close"));
    client_say(&w.c, GET("/"));
    assert_non_null(strstr(client_hear(&w.c), "connection: close"));
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void
the_owner_is_told_once_the_most_requests_are_served(void **state)
{
    struct world w;
    bool is_told = false;

    (void)state;
    fixture_init(&w.f);
    w.f.options.limits.requests_max = 1;
    w.f.options.on_exhausted = set_flag;
    w.f.options.ctx = &is_told;
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    client_say(&w.c, GET("/"));
    assert_true(is_told);
    assert_non_null(strstr(client_hear(&w.c), "connection: close"));
    close_world(&w);
}

/* ---- posts ---- */

static void
answer_posted(struct guaco_exchange *x, void *ctx)
{
    (void)ctx;
    guaco_exchange_start(x, 200, NULL, 0, false);
    guaco_exchange_body(x, abc, false);
    guaco_exchange_unref(x);
}

static void *
post_from_thread(void *arg)
{
    struct guaco_exchange *x = arg;

    assert_int_equal(guaco_exchange_post(x, answer_posted, NULL), 0);
    return NULL;
}

static void
another_thread_answers_by_a_post(void **state)
{
    struct world w;
    pthread_t thread;

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    guaco_exchange_ref(w.x);
    assert_int_equal(pthread_create(&thread, NULL, post_from_thread, w.x), 0);
    pthread_join(thread, NULL);
    assert_non_null(strstr(hear(&w), "abc"));
    close_world(&w);
}

static void
a_post_after_the_server_is_freed_is_refused(void **state)
{
    struct world w;
    struct guaco_exchange *x;

    (void)state;
    open_world(&w);
    ask(&w, GET("/later"));
    x = w.x;
    guaco_exchange_ref(x);
    assert_int_equal(guaco_exchange_post(x, answer_posted, NULL), 0);
    close(w.c.fd);
    fixture_close(&w.f);
    assert_int_equal(guaco_exchange_post(x, answer_posted, NULL),
                     GUACO_E_CLOSED);
    guaco_exchange_unref(x);
}

/* ---- the access log ---- */

static void
open_logged(struct world *w, int fd, const char *format)
{
    fixture_init(&w->f);
    w->f.options.access_fd = fd;
    w->f.options.access_format = format;
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
}

static void
a_request_is_one_line_whatever_it_holds(void **state)
{
    struct world w;
    FILE *file = tmpfile();
    char line[512] = "";

    (void)state;
    open_logged(&w, fileno(file), "combined");
    client_say(&w.c, "GET /?a=\"x HTTP/1.1\r\nhost: a\r\nreferer: http://r/\r\n"
                     "user-agent: caf\xc3\xa9 \"q\"\r\n\r\n");
    guaco__access_flush(&w.f.server->access);
    assert_true(pread(fileno(file), line, sizeof(line) - 1, 0) > 0);
    assert_non_null(strstr(line, "- - - ["));
    assert_non_null(strstr(line,
                           "] \"GET /?a=\\x22x HTTP/1.1\" 200 5 \"http://r/\" "
                           "\"caf\\xc3\\xa9 \\x22q\\x22\" "));
    assert_ptr_equal(strchr(line, '\n') + 1, line + strlen(line));
    close_world(&w);
    fclose(file);
}

static void
what_the_server_refused_is_logged_too(void **state)
{
    struct world w;
    FILE *file = tmpfile();
    char line[512] = "";

    (void)state;
    open_logged(&w, fileno(file), "common");
    client_say(&w.c, "GET /a b HTTP/1.1\r\n\r\n");
    guaco__access_flush(&w.f.server->access);
    assert_true(pread(fileno(file), line, sizeof(line) - 1, 0) > 0);
    assert_non_null(strstr(line, "\" 400 "));
    close_world(&w);
    fclose(file);
}

static void
a_full_pipe_drops_lines_and_never_blocks(void **state)
{
    struct world w;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0); /* blocking, and nobody reads */
    open_logged(&w, ends[1], "common");
    for (int i = 0; i < 1000; i++) {
        client_say(&w.c, GET("/"));
        client_hear(&w.c);
    }
    for (int i = 0; i < 4000; i++) {
        struct guaco_http_head head = {
            .target = GUACO_SLICE("/a-target-of-some-length-so-that-"
                                  "the-buffer-fills-sooner-or-later")};

        guaco__access_refused(&w.f.server->access, &(struct guaco_peer){0},
                              &head, 400, 0);
    }
    assert_true(w.f.server->access.dropped > 0);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    close_world(&w);
    close(ends[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_out_of_order_are_refused),
        cmocka_unit_test(a_field_that_could_split_the_response_is_refused),
        cmocka_unit_test(early_hints_precede_the_response),
        cmocka_unit_test(trailers_end_a_response_that_announced_them),
        cmocka_unit_test(a_part_of_a_file_is_sent_from_the_file),
        cmocka_unit_test(more_than_the_announced_length_is_cut),
        cmocka_unit_test(less_than_the_announced_length_closes),
        cmocka_unit_test(an_abort_before_the_head_is_500),
        cmocka_unit_test(an_aborted_response_until_close_is_reset),
        cmocka_unit_test(a_blocking_wait_sends_or_breaks_off),
        cmocka_unit_test(the_last_request_of_a_connection_says_so),
        cmocka_unit_test(the_owner_is_told_once_the_most_requests_are_served),
        cmocka_unit_test(another_thread_answers_by_a_post),
        cmocka_unit_test(a_post_after_the_server_is_freed_is_refused),
        cmocka_unit_test(a_request_is_one_line_whatever_it_holds),
        cmocka_unit_test(what_the_server_refused_is_logged_too),
        cmocka_unit_test(a_full_pipe_drops_lines_and_never_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
