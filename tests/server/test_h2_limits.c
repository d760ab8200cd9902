/* HTTP/2: each way of costing much for little, and its limit. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "h2_world.h"

/* ---- limits: each a way to cost much for little ---- */

static void
rapid_resets_end_the_connection(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.h2_resets_max = 20;
    connect_world(w);
    for (uint32_t i = 0; i < 21; i++) {
        h2_get(&w->h2, 2 * i + 1, "/later");
        h2_number(&w->h2, NGHTTP2_RST_STREAM, 2 * i + 1, NGHTTP2_CANCEL);
    }
    the_connection_is_closed_for(w, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(w->f.open_count, 0);
    close_world(w);
}

static void
resets_that_we_are_made_to_send_count_too(void **state)
{
    struct world *w = open_plain();

    (void)state; /* CVE-2025-8671 */
    w->f.options.limits.h2_resets_max = 20;
    connect_world(w);
    for (uint32_t i = 0; i < 22; i++) {
        h2_get(&w->h2, 2 * i + 1, "/later");
        h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 2 * i + 1, 0x7fffffff);
        talk(w); /* a window over 2^31-1: FLOW_CONTROL_ERROR of the stream */
    }
    assert_non_null(strstr(w->h2.heard, "R1 3;"));
    the_connection_is_closed_for(w, NGHTTP2_ENHANCE_YOUR_CALM);
    close_world(w);
}

static void
pings_end_the_connection_when_they_flood(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.h2_controls_max = 50;
    connect_world(w);
    for (int i = 0; i < 40; i++)
        h2_frame(&w->h2, NGHTTP2_PING, 0, 0, "12345678", 8);
    hears(w, "PA;PA;");
    assert_false(w->c.is_closed);
    for (int i = 0; i < 20; i++)
        h2_frame(&w->h2, NGHTTP2_PING, 0, 0, "12345678", 8);
    the_connection_is_closed_for(w, NGHTTP2_ENHANCE_YOUR_CALM);
    close_world(w);
}

static void
settings_end_the_connection_when_they_flood(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.h2_controls_max = 50;
    connect_world(w);
    for (int i = 0; i < 60; i++)
        h2_frame(&w->h2, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    the_connection_is_closed_for(w, NGHTTP2_ENHANCE_YOUR_CALM);
    close_world(w);
}

static void
empty_data_ends_the_connection_when_it_floods(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.h2_controls_max = 50;
    connect_world(w);
    h2_post(&w->h2, 1, "/later");
    for (int i = 0; i < 60; i++)
        h2_data(&w->h2, 1, "", false);
    the_connection_is_closed_for(w, NGHTTP2_ENHANCE_YOUR_CALM);
    close_world(w);
}

static void
a_continuation_flood_ends_the_connection(void **state)
{
    struct world *w = open_world();

    (void)state; /* CVE-2024-27316 and its kin */
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_STREAM,
               ":method=GET :scheme=http :path=/ :authority=a");
    for (int i = 0; i < 40; i++)
        h2_frame(&w->h2, NGHTTP2_CONTINUATION, 0, 1, "\0\1a\1b", 5);
    talk(w);
    assert_true(w->c.is_closed);
    told(w, "");
    close_world(w);
}

static void
a_head_over_the_limit_is_431(void **state)
{
    char fields[1500];
    struct world *w = open_plain();
    int n;

    (void)state;
    w->f.options.limits.head_bytes_max = 1024;
    connect_world(w);
    n = snprintf(fields, sizeof(fields),
                 ":method=GET :scheme=http :path=/ :authority=a x=");
    memset(fields + n, 'y', 1200);
    fields[n + 1200] = '\0';
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
               fields);
    hears(w, "H1 :status=431");
    h2_get(&w->h2, 3, "/");
    hears(w, "D3 hello;E3;"); /* HPACK's state is whole */
    close_world(w);
}

static void
an_hpack_bomb_ends_the_connection(void **state)
{
    /* one entry of 4000 bytes, then references to it, a byte each */
    unsigned char block[8192] = {0x40, 0x01, 'x', 0x7f, 0xa1, 0x1e};
    size_t len = 6 + 4000;
    struct world *w = open_world();

    (void)state;
    memset(block + 6, 'y', 4000);
    memset(block + len, 0x80 | 62, 1000);
    len += 1000;
    h2_frame(&w->h2, NGHTTP2_HEADERS,
             NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block, len);
    talk(w);
    assert_true(w->c.is_closed);
    told(w, "");
    close_world(w);
}

static void
too_many_fields_are_431(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.fields_max = 3;
    connect_world(w);
    h2_headers(&w->h2, 1, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
               ":method=GET :scheme=http :path=/ :authority=a a=1 b=2 c=3");
    hears(w, "H1 :status=431");
    close_world(w);
}

static void
more_streams_than_allowed_are_refused(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.h2_streams_max = 2;
    connect_world(w);
    h2_get(&w->h2, 1, "/later");
    h2_get(&w->h2, 3, "/later");
    h2_post(&w->h2, 5, "/"); /* the settings may not have come yet */
    h2_data(&w->h2, 5, "crossed", true);
    hears(w, "R5 7;");
    assert_int_equal(w->f.open_count, 2);
    assert_false(w->c.is_closed);
    h2_frame(&w->h2, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
    h2_get(&w->h2, 7, "/");
    the_connection_is_closed_for(w, NGHTTP2_PROTOCOL_ERROR);
    close_world(w);
}

static void
more_exchanges_than_allowed_are_503(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.concurrency_max = 1;
    connect_world(w);
    h2_get(&w->h2, 1, "/later");
    h2_get(&w->h2, 3, "/");
    hears(w, "H3 :status=503");
    close_world(w);
}

static void
a_body_over_the_limit_is_413(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.limits.body_bytes_max = 4;
    connect_world(w);
    h2_post(&w->h2, 1, "/later");
    h2_data(&w->h2, 1, "abcde", false);
    hears(w, "H1 :status=413");
    assert_non_null(strstr(fixture_told(&w->f), "gone 4;"));
    close_world(w);
}

static void
a_window_that_stays_shut_ends_its_stream(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_number(&w->h2, NGHTTP2_WINDOW_UPDATE, 0, 1000000);
    h2_get(&w->h2, 1, "/big");
    talk(w);
    fixture_pass(&w->f, w->f.options.limits.send_ms + 1);
    hears(w, "R1 8;");
    assert_non_null(strstr(fixture_told(&w->f), "gone 2;"));
    h2_get(&w->h2, 3, "/");
    hears(w, "D3 hello;E3;");
    close_world(w);
}

static void
a_body_that_does_not_come_is_408(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_post(&w->h2, 1, "/later");
    talk(w);
    fixture_pass(&w->f, w->f.options.limits.body_ms + 1);
    hears(w, "H1 :status=408");
    assert_non_null(strstr(fixture_told(&w->f), "gone 2;"));
    close_world(w);
}

static void
a_head_that_is_never_whole_ends_the_connection(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_headers(&w->h2, 1, 0, ":method=GET :scheme=http :path=/ :authority=a");
    talk(w);
    fixture_pass(&w->f, w->f.options.limits.head_ms + 1);
    the_connection_is_closed_for(w, NGHTTP2_ENHANCE_YOUR_CALM);
    close_world(w);
}

static void
pings_keep_no_connection_that_is_idle(void **state)
{
    struct world *w = open_world();

    (void)state;
    h2_frame(&w->h2, NGHTTP2_PING, 0, 0, "12345678", 8);
    hears(w, "PA;");
    fixture_pass(&w->f, w->f.options.limits.idle_ms + 1);
    hears(w, "G0 0;");
    assert_true(w->c.is_closed);
    close_world(w);
}

static void
a_broken_preface_closes(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.has_h1 = false;
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
    h2_say(&w->h2, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 24);
    the_connection_is_closed_for(w, NGHTTP2_PROTOCOL_ERROR);
    close_world(w);
}

static void
http_2_can_be_switched_off(void **state)
{
    struct world *w = open_plain();

    (void)state;
    w->f.options.has_h2 = false;
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
    client_say_bytes(&w->c, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    assert_non_null(strstr(client_hear(&w->c), "HTTP/1.1 "));
    assert_true(w->c.is_closed);
    close_world(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rapid_resets_end_the_connection),
        cmocka_unit_test(resets_that_we_are_made_to_send_count_too),
        cmocka_unit_test(pings_end_the_connection_when_they_flood),
        cmocka_unit_test(settings_end_the_connection_when_they_flood),
        cmocka_unit_test(empty_data_ends_the_connection_when_it_floods),
        cmocka_unit_test(a_continuation_flood_ends_the_connection),
        cmocka_unit_test(a_head_over_the_limit_is_431),
        cmocka_unit_test(an_hpack_bomb_ends_the_connection),
        cmocka_unit_test(too_many_fields_are_431),
        cmocka_unit_test(more_streams_than_allowed_are_refused),
        cmocka_unit_test(more_exchanges_than_allowed_are_503),
        cmocka_unit_test(a_body_over_the_limit_is_413),
        cmocka_unit_test(a_window_that_stays_shut_ends_its_stream),
        cmocka_unit_test(a_body_that_does_not_come_is_408),
        cmocka_unit_test(a_head_that_is_never_whole_ends_the_connection),
        cmocka_unit_test(pings_keep_no_connection_that_is_idle),
        cmocka_unit_test(a_broken_preface_closes),
        cmocka_unit_test(http_2_can_be_switched_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
