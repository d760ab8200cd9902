/* WebSockets over HTTP/2 (RFC 8441). */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "h2_world.h"

/* ---- WebSocket (RFC 8441) ---- */

static void
ask_for_socket(struct world *w)
{
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS,
               ":method=CONNECT :protocol=websocket :scheme=http :path=/echo "
               ":authority=a sec-websocket-version=13");
    talk(w);
}

static void
a_websocket_echoes_and_closes(void **state)
{
    struct world *w = open_world();
    const struct guaco_slice none = {NULL, 0};

    (void)state;
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS,
               ":method=CONNECT :protocol=websocket :scheme=http :path=/later "
               ":authority=a sec-websocket-version=13 "
               "sec-websocket-protocol=chat");
    talk(w);
    assert_int_equal(w->f.later->request->kind, GUACO_REQUEST_WEBSOCKET);
    /* a frame that comes before accept is kept */
    h2_frame(&w->h2, NGHTTP2_DATA, 0, 1, "\x81\x82\0\0\0\0hi", 8);
    talk(w);
    assert_int_equal(
        guaco_exchange_accept(w->f.later, GUACO_SLICE("chat"), NULL, 0), 0);
    hears(w, "H1 :status=200 sec-websocket-protocol=chat;");
    assert_non_null(strstr(fixture_told(&w->f), "message 0 2 0;"));
    assert_int_equal(
        guaco_exchange_send(w->f.later, GUACO_MESSAGE_TEXT,
                            (struct guaco_bytes){"yo", 2, NULL, NULL}),
        0);
    hears(w, "D1 \x81\x02yo;");
    assert_int_equal(guaco_exchange_close(w->f.later, 1000, none), 0);
    h2_frame(&w->h2, NGHTTP2_DATA, 0, 1, "\x88\x82\0\0\0\0\x03\xe8", 8);
    hears(w, "E1;");
    assert_non_null(strstr(fixture_told(&w->f), "gone 0;"));
    assert_false(w->c.is_closed);
    close_world(w);
}

static void
a_websocket_without_its_version_is_426(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS,
               ":method=CONNECT :protocol=websocket :scheme=http :path=/echo "
               ":authority=a");
    hears(w, "H1 :status=426");
    h2_headers(&w->h2, 3, NGHTTP2_FLAG_END_HEADERS,
               ":method=CONNECT :protocol=other :scheme=http :path=/echo "
               ":authority=a");
    hears(w, "H3 :status=501");
    close_world(w);
}

static void
a_websocket_may_be_refused(void **state)
{
    struct world *w = open_world();

    (void)state;
    w->f.later = NULL;
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS,
               ":method=CONNECT :protocol=websocket :scheme=http :path=/later "
               ":authority=a sec-websocket-version=13");
    talk(w);
    assert_int_equal(guaco_exchange_close(w->f.later, 1000, GUACO_SLICE("")),
                     0);
    hears(w, "H1 :status=403");
    close_world(w);
}

static void
a_silent_websocket_is_pinged_and_ended(void **state)
{
    struct world *w = open_world();

    (void)state;
    ask_for_socket(w);
    h2_headers(&w->h2, 3, NGHTTP2_FLAG_END_HEADERS,
               ":method=CONNECT :protocol=websocket :scheme=http :path=/later "
               ":authority=a sec-websocket-version=13");
    talk(w);
    assert_int_equal(
        guaco_exchange_accept(w->f.later, GUACO_SLICE(""), NULL, 0), 0);
    talk(w);
    h2_forget(&w->h2);
    fixture_pass(&w->f, w->f.options.limits.ws_ping_interval_ms + 1);
    hears(w, "D3 \x89");
    fixture_pass(&w->f, w->f.options.limits.ws_ping_timeout_ms + 1);
    hears(w, "E3;");
    assert_non_null(strstr(fixture_told(&w->f), "gone 2;"));
    close_world(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_websocket_echoes_and_closes),
        cmocka_unit_test(a_websocket_without_its_version_is_426),
        cmocka_unit_test(a_websocket_may_be_refused),
        cmocka_unit_test(a_silent_websocket_is_pinged_and_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
