/* WebSocket through the server: handshake, messages, limits, close. */

#include <string.h>
#include <sys/socket.h>

#include "fixture.h"

#define UPGRADE(path)                                            \
    "GET " path " HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n" \
    "connection: Upgrade\r\nsec-websocket-version: 13\r\n"       \
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"            \
    "sec-websocket-protocol: chat, super\r\n"

struct world {
    struct fixture f;
    struct client c;
};

/* A frame as a client sends it, masked with zeroes; len < 126. */
static void
say_frame(struct client *c, int first, const char *payload, size_t len)
{
    char frame[256] = {(char)first, (char)(0x80 | len)};

    memcpy(frame + 6, payload, len);
    client_say_bytes(c, frame, len + 6);
}

static void
ask(struct world *w, const char *head)
{
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
    client_say(&w->c, head);
    client_say(&w->c, "\r\n");
}

/* A WebSocket on /echo or /later, accepted. */
static void
open_world(struct world *w, const char *head)
{
    struct guaco_slice none = {NULL, 0};

    ask(w, head);
    assert_non_null(w->f.later);
    assert_int_equal(guaco_exchange_accept(w->f.later, none, NULL, 0), 0);
    fixture_turns(&w->f);
    assert_non_null(strstr(client_hear(&w->c), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    fixture_told(&w->f);
}

static void
close_world(struct world *w)
{
    client_close(&w->c);
    fixture_close(&w->f);
}

static void
a_message_is_told_and_answered(void **state)
{
    struct world w;
    struct guaco_bytes data = {"you", 3, NULL, NULL};

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    say_frame(&w.c, 0x81, "hello", 5);
    assert_string_equal(fixture_told(&w.f), "message 0 5 0;");
    assert_int_equal(guaco_exchange_send(w.f.later, GUACO_MESSAGE_TEXT, data),
                     0);
    fixture_turns(&w.f);
    assert_string_equal(client_hear(&w.c), "\x81\x03you");
    close_world(&w);
}

static void
bytes_behind_the_handshake_wait_for_accept(void **state)
{
    struct world w;
    struct guaco_slice none = {NULL, 0};

    (void)state;
    fixture_init(&w.f);
    ask(&w, UPGRADE("/ws"));
    say_frame(&w.c, 0x82, "early", 5);
    assert_string_equal(fixture_told(&w.f), "begin /ws;");
    guaco_exchange_accept(w.f.later, none, NULL, 0);
    fixture_turns(&w.f);
    assert_string_equal(fixture_told(&w.f), "message 1 5 0;");
    close_world(&w);
}

static void
only_an_offered_subprotocol_is_accepted(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    ask(&w, UPGRADE("/ws"));
    assert_int_equal(
        guaco_exchange_accept(w.f.later, GUACO_SLICE("other"), NULL, 0),
        GUACO_E_INVALID);
    assert_int_equal(
        guaco_exchange_accept(w.f.later, GUACO_SLICE("super"), NULL, 0), 0);
    fixture_turns(&w.f);
    assert_non_null(strstr(client_hear(&w.c), "super\r\n"));
    close_world(&w);
}

static void
a_close_before_accept_is_403(void **state)
{
    struct world w;
    struct guaco_slice none = {NULL, 0};

    (void)state;
    fixture_init(&w.f);
    ask(&w, UPGRADE("/ws"));
    assert_int_equal(guaco_exchange_close(w.f.later, 1000, none), 0);
    fixture_turns(&w.f);
    assert_non_null(strstr(client_hear(&w.c), "HTTP/1.1 403 "));
    assert_true(w.c.is_closed);
    assert_string_equal(fixture_told(&w.f), "begin /ws;gone 0;");
    close_world(&w);
}

static void
it_may_be_refused_with_a_response(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    ask(&w, UPGRADE("/ws"));
    guaco_exchange_start(w.f.later, 401, NULL, 0, false);
    guaco_exchange_finish(w.f.later);
    fixture_turns(&w.f);
    assert_non_null(strstr(client_hear(&w.c), "HTTP/1.1 401 "));
    assert_string_equal(fixture_told(&w.f), "begin /ws;gone 0;");
    close_world(&w);
}

static void
a_bad_handshake_is_refused(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    ask(&w, "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n"
            "connection: Upgrade\r\nsec-websocket-version: 8\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    client_hear(&w.c);
    assert_non_null(strstr(w.c.heard, "HTTP/1.1 426 "));
    assert_non_null(strstr(w.c.heard, "sec-websocket-version: 13\r\n"));
    close_world(&w);
}

static void
the_peers_close_is_told_and_answered(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    say_frame(&w.c, 0x88,
              "\x03\xe9"
              "bye",
              5);
    assert_string_equal(fixture_told(&w.f), "message 2 3 1001;gone 0;");
    assert_memory_equal(client_hear(&w.c), "\x88\x02\x03\xe9", 4);
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
our_close_waits_for_the_peers(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    assert_int_equal(guaco_exchange_close(w.f.later, 1000, GUACO_SLICE("done")),
                     0);
    fixture_turns(&w.f);
    assert_memory_equal(client_hear(&w.c),
                        "\x88\x06\x03\xe8"
                        "done",
                        8);
    assert_false(w.c.is_closed);
    say_frame(&w.c, 0x88, "\x03\xe8", 2);
    assert_string_equal(fixture_told(&w.f), "message 2 0 1000;gone 0;");
    client_hear(&w.c);
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
a_close_that_is_not_answered_times_out(void **state)
{
    struct world w;
    struct guaco_slice none = {NULL, 0};

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    guaco_exchange_close(w.f.later, 1000, none);
    fixture_turns(&w.f);
    fixture_pass(&w.f, 6000);
    assert_string_equal(fixture_told(&w.f), "message 2 0 1006;gone 0;");
    close_world(&w);
}

static void
a_silent_peer_is_pinged_and_then_given_up(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    w.f.options.limits.ws_ping_timeout_ms = 60000;
    open_world(&w, UPGRADE("/ws"));
    fixture_pass(&w.f, 21000);
    assert_string_equal(client_hear(&w.c), "\x89");
    say_frame(&w.c, 0x8a, "", 0);
    fixture_pass(&w.f, 21000);
    assert_string_equal(client_hear(&w.c), "\x89");
    fixture_pass(&w.f, 61000);
    assert_string_equal(fixture_told(&w.f), "message 2 0 1006;gone 2;");
    assert_memory_equal(client_hear(&w.c), "\x88\x02\x03\xf3", 4);
    close_world(&w);
}

static void
a_ping_is_answered(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    say_frame(&w.c, 0x89, "abc", 3);
    assert_string_equal(client_hear(&w.c), "\x8a\x03"
                                           "abc");
    assert_string_equal(fixture_told(&w.f), "");
    close_world(&w);
}

static void
too_long_a_message_is_1009(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    w.f.options.limits.ws_message_bytes_max = 4;
    open_world(&w, UPGRADE("/ws"));
    say_frame(&w.c, 0x81, "hello", 5);
    assert_memory_equal(client_hear(&w.c), "\x88\x02\x03\xf1", 4);
    assert_string_equal(fixture_told(&w.f), "message 2 0 1009;gone 4;");
    close_world(&w);
}

static void
an_unmasked_frame_is_1002(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    client_say_bytes(&w.c, "\x81\x01x", 3);
    assert_memory_equal(client_hear(&w.c), "\x88\x02\x03\xea", 4);
    assert_string_equal(fixture_told(&w.f), "message 2 0 1002;gone 3;");
    close_world(&w);
}

static void
reading_stops_until_messages_are_consumed(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    w.f.consumes = 0;
    w.f.options.limits.window_bytes = 8;
    open_world(&w, UPGRADE("/ws"));
    for (int i = 0; i < 3; i++)
        say_frame(&w.c, 0x81, "hello", 5);
    assert_string_equal(fixture_told(&w.f), "message 0 5 0;message 0 5 0;");
    guaco_exchange_consumed(w.f.later, 10);
    fixture_turns(&w.f);
    assert_string_equal(fixture_told(&w.f), "message 0 5 0;");
    close_world(&w);
}

static void
a_connection_that_breaks_is_1006(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    client_close(&w.c);
    assert_string_equal(fixture_told(&w.f), "message 2 0 1006;gone 1;");
    fixture_close(&w.f);
}

static void
an_abort_is_1011(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    guaco_exchange_abort(w.f.later);
    fixture_turns(&w.f);
    assert_memory_equal(client_hear(&w.c), "\x88\x02\x03\xf3", 4);
    assert_string_equal(fixture_told(&w.f), "gone 5;");
    close_world(&w);
}

static void
a_shutdown_is_1012(void **state)
{
    struct world w;

    (void)state;
    fixture_init(&w.f);
    open_world(&w, UPGRADE("/ws"));
    guaco__server_drain(w.f.server, 0, NULL, NULL);
    fixture_turns(&w.f);
    assert_memory_equal(client_hear(&w.c), "\x88\x02\x03\xf4", 4);
    assert_string_equal(fixture_told(&w.f), "drain;message 2 0 1012;gone 6;");
    close_world(&w);
}

static void
a_long_message_is_deflated_when_agreed(void **state)
{
    static char long_text[1000];
    struct guaco_bytes data = {long_text, sizeof(long_text), NULL, NULL};
    struct world w;

    (void)state;
    memset(long_text, 'a', sizeof(long_text));
    fixture_init(&w.f);
    open_world(
        &w, UPGRADE("/ws") "sec-websocket-extensions: permessage-deflate\r\n");
    guaco_exchange_send(w.f.later, GUACO_MESSAGE_TEXT, data);
    fixture_turns(&w.f);
    assert_int_equal(client_hear(&w.c)[0], '\xc1');
    assert_true(w.c.total < 400);
    close_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_told_and_answered),
        cmocka_unit_test(bytes_behind_the_handshake_wait_for_accept),
        cmocka_unit_test(only_an_offered_subprotocol_is_accepted),
        cmocka_unit_test(a_close_before_accept_is_403),
        cmocka_unit_test(it_may_be_refused_with_a_response),
        cmocka_unit_test(a_bad_handshake_is_refused),
        cmocka_unit_test(the_peers_close_is_told_and_answered),
        cmocka_unit_test(our_close_waits_for_the_peers),
        cmocka_unit_test(a_close_that_is_not_answered_times_out),
        cmocka_unit_test(a_silent_peer_is_pinged_and_then_given_up),
        cmocka_unit_test(a_ping_is_answered),
        cmocka_unit_test(too_long_a_message_is_1009),
        cmocka_unit_test(an_unmasked_frame_is_1002),
        cmocka_unit_test(reading_stops_until_messages_are_consumed),
        cmocka_unit_test(a_connection_that_breaks_is_1006),
        cmocka_unit_test(an_abort_is_1011),
        cmocka_unit_test(a_shutdown_is_1012),
        cmocka_unit_test(a_long_message_is_deflated_when_agreed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
