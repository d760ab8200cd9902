/* WebSocket: the handshake, the negotiation, frames, messages, close. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/ws.h"
#include "http/ws_deflate.h"
#include "ws_trace.h"

static const struct guaco__ws_limits limits = GUACO__WS_LIMITS_DEFAULT;
static const struct guaco__ws_deflate none = {.is_on = false};
static const struct guaco__ws_deflate ours = GUACO__WS_DEFLATE_DEFAULT;

/* ---- handshake ------------------------------------------------------ */

#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define GOES   "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define ASK    "GET / HTTP/1.1\r\n" GOES
#define V13    "Sec-WebSocket-Version: 13\r\n"
#define GOOD   ASK V13 KEY
#define OFFERS "Sec-WebSocket-Extensions: "

static char buffer[4096];
static struct guaco_field fields[32];
static uint8_t ids[32];
static struct guaco_http_head head;

static int
check(const char *bytes, struct guaco__ws_request *request)
{
    static const struct guaco_http_limits http = GUACO_HTTP_LIMITS_DEFAULT;
    struct guaco_http_parser parser;
    struct guaco_http_event event;

    head.fields = fields;
    head.ids = ids;
    snprintf(buffer, sizeof buffer, "%s", bytes);
    guaco_http_parser_init(&parser, &http);
    assert_int_equal(
        guaco_http_parser_next(&parser, buffer, strlen(buffer), &head, &event),
        0);
    assert_int_equal(event.type, GUACO_HTTP_HEAD);
    return guaco__ws_check(&head, &ours, request);
}

static void
the_example_of_the_rfc_is_accepted(void **state)
{
    struct guaco__ws_request request;
    struct guaco__buf out;

    (void)state;
    assert_int_equal(check(GOOD "\r\n", &request), 101);
    assert_false(request.deflate.is_on);
    guaco__buf_init(&out, 4096);
    struct guaco_slice nothing = {NULL, 0};
    assert_int_equal(guaco__ws_write_accept(&out, &request, GUACO_SLICE("chat"),
                                            nothing, nothing, NULL, 0),
                     0);
    assert_int_equal(guaco__buf_append_byte(&out, '\0'), 0);
    assert_string_equal(guaco__buf_data(&out),
                        "HTTP/1.1 101 Switching Protocols\r\n"
                        "upgrade: websocket\r\nconnection: Upgrade\r\n"
                        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                        "sec-websocket-protocol: chat\r\n\r\n");
    guaco__buf_release(&out);
}

static void
handshakes_are_judged(void **state)
{
    static const struct {
        const char *bytes;
        int status;
    } rows[] = {
        {GOOD "\r\n", 101},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c, WebSocket\r\n"
         "Connection: keep-alive, upgrade\r\n" V13 KEY "\r\n",
         101},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n"
         "Connection: Upgrade\r\n\r\n",
         0},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n" V13 KEY "\r\n",
         0}, /* no Connection: upgrade */
        {"GET / HTTP/1.0\r\n" GOES V13 KEY "\r\n", 0},
        {"POST / HTTP/1.1\r\n" GOES V13 KEY "\r\n", 400},
        {GOOD "Content-Length: 1\r\n\r\n", 400},
        {ASK KEY "\r\n", 426},
        {ASK "Sec-WebSocket-Version: 8\r\n" KEY "\r\n", 426},
        {GOOD V13 "\r\n", 426},
        {ASK V13 "\r\n", 400},
        {GOOD KEY "\r\n", 400},
        {ASK V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n\r\n", 400},
        {ASK V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!\r\n\r\n", 400},
    };
    struct guaco__ws_request request;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(check(rows[i].bytes, &request), rows[i].status);
}

static void
protocols_are_joined_over_all_fields(void **state)
{
    struct guaco__ws_request request;
    char out[64];

    (void)state;
    check(GOOD "Sec-WebSocket-Protocol: a, b\r\n"
               "Sec-WebSocket-Protocol: c\r\n\r\n",
          &request);
    size_t len = guaco__ws_protocols(&head, out);
    assert_int_equal(len, guaco__ws_protocols(&head, NULL));
    assert_int_equal(len, 6);
    assert_memory_equal(out, "a, b,c", len);
    assert_true(
        guaco__ws_offers((struct guaco_slice){out, len}, GUACO_SLICE("c")));
    assert_false(
        guaco__ws_offers((struct guaco_slice){out, len}, GUACO_SLICE("C")));
}

static void
handshake_fields_of_the_application_are_refused(void **state)
{
    static const struct guaco_field bad[] = {
        {{"Sec-WebSocket-Protocol", 22}, {"x", 1}},
        {{"upgrade", 7}, {"x", 1}},
        {{"content-length", 14}, {"0", 1}},
        {{"x", 1}, {"a\r\nb", 4}},
    };
    struct guaco__ws_request request;
    struct guaco_slice nothing = {NULL, 0};
    struct guaco__buf out;

    (void)state;
    assert_int_equal(check(GOOD "\r\n", &request), 101);
    guaco__buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(guaco__ws_write_accept(&out, &request, nothing,
                                                nothing, nothing, &bad[i], 1),
                         GUACO_E_INVALID);
        assert_int_equal(out.len, 0);
    }
    assert_int_equal(guaco__ws_write_accept(&out, &request, GUACO_SLICE("a b"),
                                            nothing, nothing, NULL, 0),
                     GUACO_E_INVALID);
    guaco__buf_release(&out);
}

static void
compression_is_negotiated(void **state)
{
    static const struct {
        const char *offers;
        struct guaco__ws_deflate agreed;
    } rows[] = {
        {"permessage-deflate", {true, false, false, 12, 15}},
        {"permessage-deflate; client_max_window_bits",
         {true, false, false, 12, 12}},
        {"permessage-deflate; client_max_window_bits=10",
         {true, false, false, 12, 10}},
        {"permessage-deflate; client_max_window_bits=\"8\"",
         {true, false, false, 12, 8}},
        {"permessage-deflate; server_max_window_bits=9; "
         "server_no_context_takeover",
         {true, true, false, 9, 15}},
        {"permessage-deflate ;client_no_context_takeover ",
         {true, false, true, 12, 15}},
        {"x-webkit, permessage-deflate; nonsense, permessage-deflate",
         {true, false, false, 12, 15}},
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate",
         {true, false, false, 12, 15}},
        {"permessage-deflate; server_max_window_bits=8", {false, 0, 0, 0, 0}},
        {"permessage-deflate; server_max_window_bits", {false, 0, 0, 0, 0}},
        {"permessage-deflate; server_max_window_bits=16", {false, 0, 0, 0, 0}},
        {"permessage-deflate; server_max_window_bits=09", {false, 0, 0, 0, 0}},
        {"permessage-deflate; server_no_context_takeover=1",
         {false, 0, 0, 0, 0}},
        {"permessage-deflate; server_no_context_takeover; "
         "server_no_context_takeover",
         {false, 0, 0, 0, 0}},
        {"permessage-deflate; =1", {false, 0, 0, 0, 0}},
        {"permessage-bzip2", {false, 0, 0, 0, 0}},
    };
    char bytes[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guaco__ws_request request;
        snprintf(bytes, sizeof bytes, "%s%s\r\n\r\n", GOOD OFFERS,
                 rows[i].offers);
        assert_int_equal(check(bytes, &request), 101);
        const struct guaco__ws_deflate *got = &request.deflate;
        const struct guaco__ws_deflate *want = &rows[i].agreed;
        assert_int_equal(got->is_on, want->is_on);
        assert_int_equal(got->server_no_takeover, want->server_no_takeover);
        assert_int_equal(got->client_no_takeover, want->client_no_takeover);
        assert_int_equal(got->server_bits, want->server_bits);
        assert_int_equal(got->client_bits, want->client_bits);
    }
}

/* ---- frames --------------------------------------------------------- */

struct frames {
    unsigned char bytes[1 << 17];
    size_t len;
};

static struct frames in;
static struct ws_trace trace;

static void
add(unsigned first, const char *payload, size_t len)
{
    assert_true(in.len + len + 14 <= sizeof(in.bytes));
    in.len += ws_frame(in.bytes + in.len, first, payload, len);
}

#define ADD(first, literal) add(first, literal, sizeof(literal) - 1)

/* What was added gives these lines, in every split. */
static void
expect_trace(const char *text)
{
    static struct ws_trace split;

    ws_trace_run(&trace, &limits, &none, in.bytes, in.len, 0, 0);
    if (text != NULL)
        assert_non_null(strstr(trace.text, text));
    for (size_t step = 1; step < 8; step++) {
        ws_trace_run(&split, &limits, &none, in.bytes, in.len, 0, step);
        assert_string_equal(split.text, trace.text);
    }
    in.len = 0;
}

static void
expect_code(unsigned code)
{
    expect_trace(NULL);
    assert_int_not_equal(trace.rc, 0);
    assert_int_equal(trace.code, code);
}

static void
messages_of_one_frame_and_of_many_are_told_whole(void **state)
{
    (void)state;
    ADD(0x81, "hello");
    ADD(0x82, "\xff");
    ADD(0x81, "");
    ADD(0x01, "fr");
    ADD(0x89, "ping between");
    ADD(0x00, "");
    ADD(0x80, "ag");
    ADD(0x8a, "pong");
    expect_trace("text 5 a430d84680aabd0b hello\nbinary 1");
    assert_int_equal(trace.messages, 4);
    assert_non_null(strstr(trace.text, "ping 12"));
    assert_non_null(strstr(trace.text, " frag\npong 4"));
    assert_int_equal(trace.rc, 0);
}

static void
long_messages_come_through_every_form_of_length(void **state)
{
    static char payload[70000];

    (void)state;
    memset(payload, 'x', sizeof(payload));
    add(0x82, payload, 125);
    add(0x82, payload, 126);
    add(0x82, payload, 65535);
    expect_trace("binary 65535");
    add(0x82, payload, 65536);
    expect_trace("binary 65536");
}

static void
broken_frames_close_with_1002(void **state)
{
    (void)state;
    static const unsigned first[] = {0x83, 0x87, 0x8b, 0x8f, 0xc1, 0xa1,
                                     0x91, 0x80, 0x00, 0x09, 0x08, 0xc9};
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        ADD(first[i], "x");
        expect_code(1002);
    }
    ADD(0x01, "a");
    ADD(0x81, "b"); /* a new message inside one */
    expect_code(1002);
    add(0x89, (const char[126]){0}, 126); /* a long ping */
    expect_code(1002);
    memcpy(in.bytes, "\x81\x01x", 3); /* without a mask */
    in.len = 3;
    expect_code(1002);
    memcpy(in.bytes, "\x82\xfe\x00\x01\0\0\0\0x", 9); /* not the shortest */
    in.len = 9;
    expect_code(1002);
}

static void
text_must_be_utf_8_across_frames(void **state)
{
    (void)state;
    ADD(0x01, "\xc3");
    ADD(0x80, "\xa9");
    expect_trace("text 2");
    ADD(0x81, "\xc3");
    expect_code(1007);
    ADD(0x01, "\xed\xa0");
    expect_code(1007); /* a surrogate, before the message is whole */
    ADD(0x81, "\xc0\xaf");
    expect_code(1007);
}

static void
close_frames_are_judged(void **state)
{
    static const struct {
        const char *payload;
        size_t len;
        unsigned code;
        bool is_good;
    } rows[] = {
        {"", 0, 1005, true},
        {"\x03\xe8", 2, 1000, true},
        {"\x03\xe8"
         "bye",
         5, 1000, true},
        {"\x0f\xa0", 2, 4000, true},
        {"\x03", 1, 1002, false},
        {"\x03\xe7", 2, 1002, false}, /* 999 */
        {"\x03\xec", 2, 1002, false}, /* 1004 */
        {"\x03\xed", 2, 1002, false}, /* 1005 */
        {"\x03\xf7", 2, 1002, false}, /* 1015 */
        {"\x07\xd0", 2, 1002, false}, /* 2000 */
        {"\x13\x88", 2, 1002, false}, /* 5000 */
        {"\x03\xe8\xff", 3, 1007, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        add(0x88, rows[i].payload, rows[i].len);
        if (rows[i].is_good) {
            char line[32];
            snprintf(line, sizeof(line), "close %u", rows[i].code);
            expect_trace(line);
        } else {
            expect_code(rows[i].code);
        }
    }
    ADD(0x88, "\x03\xe8");
    ADD(0x81, "late");
    expect_trace("close 1000");
    assert_int_equal(trace.rc, GUACO_E_CLOSED);
}

static void
limits_close_with_their_codes(void **state)
{
    struct guaco__ws_limits small = {4, 6, 3, 0};

    (void)state;
    ADD(0x82, "12345");
    ws_trace_run(&trace, &small, &none, in.bytes, in.len, 0, 0);
    assert_int_equal(trace.rc, GUACO_E_LIMIT);
    assert_int_equal(trace.code, 1009);
    in.len = 0;
    ADD(0x02, "1234");
    ADD(0x80, "567");
    ws_trace_run(&trace, &small, &none, in.bytes, in.len, 0, 0);
    assert_int_equal(trace.code, 1009);
    in.len = 0;
    ADD(0x02, "");
    ADD(0x00, "");
    ADD(0x00, "");
    ADD(0x00, "");
    ws_trace_run(&trace, &small, &none, in.bytes, in.len, 0, 0);
    assert_int_equal(trace.code, 1008);
    in.len = 0;
    ADD(0x02, "1234");
    ADD(0x80, "56");
    ws_trace_run(&trace, &small, &none, in.bytes, in.len, 0, 0);
    assert_int_equal(trace.messages, 1);
    in.len = 0;
}

/* ---- compression ---------------------------------------------------- */

/* The client's side of the codec: both windows the other way round. */
static void
add_deflated(struct guaco__ws_codec *client, struct guaco__buf *scratch,
             const char *data, size_t len)
{
    guaco__buf_reset(scratch);
    assert_int_equal(
        guaco__ws_deflate(client, (struct guaco_slice){data, len}, scratch), 0);
    add(0xc1, guaco__buf_data(scratch), scratch->len);
}

static void
deflated_messages_share_their_window(void **state)
{
    static char text[20000];
    struct guaco__ws_deflate agreed = {true, false, false, 12, 12};
    struct guaco__ws_codec client;
    struct guaco__buf scratch;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "the quick brown fox "[i % 20];
    guaco__buf_init(&scratch, 1 << 20);
    guaco__ws_codec_init(&client, &agreed);
    for (int i = 0; i < 3; i++)
        add_deflated(&client, &scratch, text, sizeof(text));
    add_deflated(&client, &scratch, "", 0);
    ADD(0x81, "plain");
    for (size_t step = 0; step < 5; step++) {
        ws_trace_run(&trace, &limits, &agreed, in.bytes, in.len, 0, step);
        assert_int_equal(trace.rc, 0);
        assert_int_equal(trace.messages, 5);
        assert_non_null(strstr(trace.text, "text 20000"));
    }
    in.len = 0;
    guaco__ws_codec_release(&client);
    guaco__buf_release(&scratch);
}

static void
a_message_that_inflates_too_far_is_refused(void **state)
{
    static char zeros[1 << 16];
    struct guaco__ws_limits small = {1 << 16, sizeof(zeros), 10, 0};
    struct guaco__ws_deflate agreed = {true, false, false, 15, 15};
    struct guaco__ws_codec client;
    struct guaco__buf scratch;

    (void)state;
    memset(zeros, '0', sizeof(zeros));
    guaco__buf_init(&scratch, 1 << 20);
    guaco__ws_codec_init(&client, &agreed);
    add_deflated(&client, &scratch, zeros, sizeof(zeros));
    ws_trace_run(&trace, &small, &agreed, in.bytes, in.len, 0, 0);
    assert_int_equal(trace.rc, 0);
    assert_int_equal(trace.messages, 1);
    small.message_bytes--;
    ws_trace_run(&trace, &small, &agreed, in.bytes, in.len, 0, 0);
    assert_int_equal(trace.rc, GUACO_E_LIMIT);
    assert_int_equal(trace.code, 1009);
    in.len = 0;
    guaco__ws_codec_release(&client);
    guaco__buf_release(&scratch);
}

static void
damaged_deflate_data_is_refused(void **state)
{
    struct guaco__ws_deflate agreed = {true, false, false, 15, 15};

    (void)state;
    ADD(0xc1, "\xff\xff\xff");
    ws_trace_run(&trace, &limits, &agreed, in.bytes, in.len, 0, 0);
    assert_int_equal(trace.rc, GUACO_E_PROTO);
    assert_int_equal(trace.code, 1007);
    in.len = 0;
    /* The example with BFINAL of RFC 7692 7.2.3.5. */
    ADD(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00");
    ws_trace_run(&trace, &limits, &agreed, in.bytes, in.len, 0, 0);
    assert_non_null(strstr(trace.text, "Hello"));
    in.len = 0;
}

static void
what_follows_the_last_byte_allowed_decides(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        int rc;
        unsigned code;
    } rows[] = {
        /* Stored blocks of eight bytes: a final one, one before a block of
         * the reserved type, one before another byte. */
        {"\x01\x08\0\xf7\xff"
         "01234567"
         "\0",
         14, 0, 0},
        {"\x00\x08\0\xf7\xff"
         "01234567"
         "\x06",
         14, GUACO_E_PROTO, 1007},
        {"\x00\x08\0\xf7\xff"
         "01234567"
         "\0\x01\0\xfe\xff"
         "8",
         19, GUACO_E_LIMIT, 1009},
    };
    struct guaco__ws_limits eight = {1 << 16, 8, 10, 0};
    struct guaco__ws_deflate agreed = {true, false, false, 15, 15};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        in.len = 0;
        add(0xc1, rows[i].data, rows[i].len);
        for (size_t step = 0; step <= in.len; step++) {
            ws_trace_run(&trace, &eight, &agreed, in.bytes, in.len, 0, step);
            assert_int_equal(trace.rc, rows[i].rc);
            assert_int_equal(trace.code, rows[i].code);
        }
    }
    in.len = 0;
}

/* What ws.h says of it: refused or read rightly, never read wrongly. */
static void
a_reference_past_the_window_is_never_read_wrongly(void **state)
{
    static char text[2000];
    static struct ws_trace rightly;
    struct guaco__ws_deflate wide = {true, false, false, 15, 15};
    struct guaco__ws_deflate narrow = {true, false, false, 9, 9};
    struct guaco__ws_codec client;
    struct guaco__buf scratch;
    uint32_t random = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(text) / 2; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = text[i + 1000] = (char)('!' + (random >> 24) % 90);
    }
    in.len = 0;
    guaco__buf_init(&scratch, 1 << 20);
    guaco__ws_codec_init(&client, &wide);
    add_deflated(&client, &scratch, text, sizeof(text));
    ws_trace_run(&trace, &limits, &wide, in.bytes, in.len, 0, 0);
    assert_int_equal(trace.messages, 1);
    ws_trace_run(&rightly, &limits, &narrow, in.bytes, in.len, 0, 0);
    assert_string_equal(rightly.text, trace.text);
    ws_trace_run(&trace, &limits, &narrow, in.bytes, in.len, 0, 1);
    assert_int_equal(trace.messages, 0);
    assert_int_equal(trace.rc, GUACO_E_PROTO);
    assert_int_equal(trace.code, 1007);
    in.len = 0;
    guaco__ws_codec_release(&client);
    guaco__buf_release(&scratch);
}

/* ---- writing -------------------------------------------------------- */

static void
written_frames_are_those_of_the_rfc(void **state)
{
    static char big[65536];
    struct guaco__ws *ws;
    struct guaco__buf out;

    (void)state;
    assert_int_equal(guaco__ws_new(&ws, &limits, &none), 0);
    guaco__buf_init(&out, 1 << 20);
    assert_int_equal(
        guaco__ws_write(ws, &out, GUACO_MESSAGE_TEXT, GUACO_SLICE("Hello")), 0);
    assert_int_equal(guaco__ws_write_ping(ws, &out, GUACO_SLICE("p")), 0);
    assert_int_equal(guaco__ws_write_pong(ws, &out, GUACO_SLICE("")), 0);
    assert_int_equal(out.len, 12);
    assert_memory_equal(guaco__buf_data(&out), "\x81\x05Hello\x89\x01p\x8a\x00",
                        12);
    guaco__buf_reset(&out);
    assert_int_equal(guaco__ws_write(ws, &out, GUACO_MESSAGE_BINARY,
                                     (struct guaco_slice){big, 65535}),
                     0);
    assert_memory_equal(guaco__buf_data(&out), "\x82\x7e\xff\xff", 4);
    guaco__buf_reset(&out);
    assert_int_equal(guaco__ws_write(ws, &out, GUACO_MESSAGE_BINARY,
                                     (struct guaco_slice){big, 65536}),
                     0);
    assert_memory_equal(guaco__buf_data(&out), "\x82\x7f\0\0\0\0\0\1\0\0", 10);
    guaco__buf_reset(&out);
    assert_int_equal(
        guaco__ws_write(ws, &out, GUACO_MESSAGE_TEXT, GUACO_SLICE("\xff")),
        GUACO_E_INVALID);
    assert_int_equal(out.len, 0);
    guaco__ws_free(ws);
    guaco__buf_release(&out);
}

static void
deflated_messages_are_written_as_rfc_7692_shows(void **state)
{
    struct guaco__ws_limits all = limits;
    struct guaco__ws_deflate agreed = {true, false, false, 15, 15};
    struct guaco__ws *ws;
    struct guaco__buf out;

    (void)state;
    all.deflate_from = 0;
    assert_int_equal(guaco__ws_new(&ws, &all, &agreed), 0);
    guaco__buf_init(&out, 1 << 20);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            guaco__ws_write(ws, &out, GUACO_MESSAGE_TEXT, GUACO_SLICE("Hello")),
            0);
    assert_int_equal(out.len, 9 + 7); /* 7.2.3.1 and 7.2.3.2 */
    assert_memory_equal(guaco__buf_data(&out),
                        "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
                        "\xc1\x05\xf2\x00\x11\x00\x00",
                        16);
    assert_false(guaco__ws_is_sent_plain(ws, 0));
    guaco__ws_free(ws);
    guaco__buf_release(&out);
}

static void
close_is_sent_once_and_with_a_permitted_code(void **state)
{
    struct guaco__ws *ws;
    struct guaco__buf out;
    struct guaco_slice nothing = {NULL, 0};

    (void)state;
    assert_int_equal(guaco__ws_new(&ws, &limits, &none), 0);
    guaco__buf_init(&out, 4096);
    static const uint16_t bad[] = {0, 999, 1004, 1006, 1015, 2000, 5000};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(guaco__ws_write_close(ws, &out, bad[i], nothing),
                         GUACO_E_INVALID);
    static const char reason[124] = {0};
    assert_int_equal(guaco__ws_write_close(ws, &out, 1000,
                                           (struct guaco_slice){reason, 124}),
                     GUACO_E_INVALID);
    assert_int_equal(guaco__ws_write_close(ws, &out, 1000, GUACO_SLICE("bye")),
                     0);
    assert_int_equal(out.len, 7);
    assert_memory_equal(guaco__buf_data(&out),
                        "\x88\x05\x03\xe8"
                        "bye",
                        7);
    assert_int_equal(guaco__ws_write_close(ws, &out, 1000, nothing),
                     GUACO_E_STATE);
    assert_int_equal(
        guaco__ws_write(ws, &out, GUACO_MESSAGE_TEXT, GUACO_SLICE("late")),
        GUACO_E_STATE);
    assert_false(guaco__ws_is_closed(ws));

    struct guaco__ws_event event;
    unsigned char frame[16];
    size_t len = ws_frame(frame, 0x88, "", 0);
    assert_int_equal(guaco__ws_next(ws, (const char *)frame, len, &event), 0);
    assert_int_equal(event.type, GUACO__WS_CLOSE);
    assert_true(guaco__ws_is_closed(ws));
    guaco__ws_free(ws);
    guaco__buf_release(&out);
}

#define T(name) cmocka_unit_test(name)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        T(the_example_of_the_rfc_is_accepted),
        T(handshakes_are_judged),
        T(protocols_are_joined_over_all_fields),
        T(handshake_fields_of_the_application_are_refused),
        T(compression_is_negotiated),
        T(messages_of_one_frame_and_of_many_are_told_whole),
        T(long_messages_come_through_every_form_of_length),
        T(broken_frames_close_with_1002),
        T(text_must_be_utf_8_across_frames),
        T(close_frames_are_judged),
        T(limits_close_with_their_codes),
        T(deflated_messages_share_their_window),
        T(a_message_that_inflates_too_far_is_refused),
        T(damaged_deflate_data_is_refused),
        T(what_follows_the_last_byte_allowed_decides),
        T(a_reference_past_the_window_is_never_read_wrongly),
        T(written_frames_are_those_of_the_rfc),
        T(deflated_messages_are_written_as_rfc_7692_shows),
        T(close_is_sent_once_and_with_a_permitted_code),
    };
    return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
