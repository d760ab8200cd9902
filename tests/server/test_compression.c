/* Responses of the application, compressed or not: what a client sees. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "fixture.h"

#define GZIP "accept-encoding: gzip\r\n"

struct world {
    struct fixture f;
    struct client c;
    struct guaco_exchange *x; /* of /later */
};

static char text[1000]; /* of a body worth compressing */

static void
open_world(struct world *w)
{
    memset(text, 'a', sizeof(text));
    fixture_init(&w->f);
    w->f.options.compression.is_on = true;
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
ask(struct world *w, const char *method, const char *fields)
{
    char request[256];

    snprintf(request, sizeof(request),
             "%s /later HTTP/1.1\r\nhost: a\r\n%s\r\n", method, fields);
    client_say(&w->c, request);
    w->x = w->f.later;
    assert_non_null(w->x);
}

/* Start with "name: value" lines, of which at most eight. */
static int
start(struct world *w, int status, const char *lines)
{
    struct guaco_field fields[8];
    size_t count = 0;

    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");
        size_t name = strcspn(lines, ":");

        fields[count++] = (struct guaco_field){
            {lines, name}, {lines + name + 2, len - name - 2}};
        lines += len + (lines[len] == '\n');
    }
    return guaco_exchange_start(w->x, status, fields, count, false);
}

static int
give(struct world *w, const char *data, size_t len, bool more)
{
    struct guaco_bytes bytes = {data, len, NULL, NULL};

    return guaco_exchange_body(w->x, bytes, more);
}

static const char *
hear(struct world *w)
{
    fixture_turns(&w->f);
    return client_hear(&w->c);
}

/* The gzip body behind the head, whole or so far; its length. */
static size_t
unzip(const char *at, size_t len, char *out, size_t room)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)at,
                  .avail_in = (unsigned)len,
                  .next_out = (Bytef *)out,
                  .avail_out = (unsigned)room};

    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    int rc = inflate(&z, Z_SYNC_FLUSH);
    assert_true(rc == Z_OK || rc == Z_STREAM_END);
    inflateEnd(&z);
    return z.total_out;
}

static void
a_short_answer_leaves_whole_with_its_length(void **state)
{
    struct world w;
    const char *answer, *body;
    char out[2000], length[64];

    (void)state;
    open_world(&w);
    ask(&w, "GET", GZIP);
    start(&w, 200,
          "content-type: text/html\ncontent-length: 1000\netag: \"v1\"\n"
          "accept-ranges: bytes\nx-a: b");
    give(&w, text, 1000, false);
    answer = hear(&w);
    body = strstr(answer, "\r\n\r\n") + 4;
    snprintf(length, sizeof(length), "content-length: %zu\r\n\r\n",
             w.c.total - (size_t)(body - answer));
    assert_non_null(
        strstr(answer, "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\netag: "
                       "W/\"v1\"\r\nx-a: b\r\nvary: accept-encoding\r\n"
                       "content-encoding: gzip\r\n"));
    assert_non_null(strstr(answer, length));
    assert_int_equal(
        unzip(body, w.c.total - (size_t)(body - answer), out, sizeof(out)),
        1000);
    assert_memory_equal(out, text, 1000);
    assert_false(w.c.is_closed);
    close_world(&w);
}

/* The data of the chunks in `at`, in their place. */
static size_t
dechunk(char *at)
{
    char *out = at;
    char *start = at;
    char *end;

    for (;;) {
        size_t size = strtoul(at, &end, 16);

        if (size == 0 || end == at)
            return (size_t)(out - start);
        memmove(out, end + 2, size);
        out += size;
        at = end + 2 + size + 2;
    }
}

static void
each_piece_of_a_stream_arrives_when_it_is_sent(void **state)
{
    struct world w;
    char out[100];
    char *body;

    (void)state;
    open_world(&w);
    ask(&w, "GET", GZIP);
    start(&w, 200, "content-type: text/event-stream");
    assert_int_equal(give(&w, "data: one\n\n", 11, true), 0);
    body = strstr(hear(&w), "\r\n\r\n") + 4;
    assert_int_equal(unzip(body, dechunk(body), out, sizeof(out)), 11);
    assert_memory_equal(out, "data: one\n\n", 11);
    give(&w, "data: two\n\n", 11, true);
    assert_true(strlen(hear(&w)) > 0);
    assert_int_equal(give(&w, NULL, 0, false), 0);
    hear(&w);
    assert_false(w.c.is_closed);
    assert_string_equal(fixture_told(&w.f), "begin /later;end;gone 0;");
    close_world(&w);
}

struct plain_case {
    const char *method;
    const char *accept;
    int status;
    const char *fields;
    bool has_vary;
};

static const struct plain_case plain_cases[] = {
    {"GET", "", 200, "content-type: text/html", true},
    {"GET", "accept-encoding: identity\r\n", 200, "content-type: text/html",
     true},
    {"GET", "accept-encoding: gzip;q=0\r\n", 200, "content-type: text/html",
     true},
    {"HEAD", GZIP, 200, "content-type: text/html", true},
    {"GET", GZIP, 200, "content-type: image/png", false},
    {"GET", GZIP, 200, "", false},
    {"GET", GZIP, 200, "content-type: text/html\ncontent-encoding: br", false},
    {"GET", GZIP, 200,
     "content-type: text/html\ncache-control: public, No-Transform", false},
    {"GET", GZIP, 206, "content-type: text/html\ncontent-range: bytes 0-9/10",
     false},
    {"GET", GZIP, 204, "content-type: text/html", false},
    {"GET", GZIP, 304, "content-type: text/html\netag: \"a\"", false},
    {"GET", GZIP, 200, "content-type: text/html\ncontent-length: 10", false},
};

static void
what_must_not_be_compressed_is_not(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    for (size_t i = 0; i < sizeof(plain_cases) / sizeof(*plain_cases); i++) {
        const struct plain_case *c = &plain_cases[i];
        const char *answer;

        ask(&w, c->method, c->accept);
        assert_int_equal(start(&w, c->status, c->fields), 0);
        give(&w, text, strstr(c->fields, "length: 10") ? 10 : 1000, false);
        answer = hear(&w);
        if (strstr(answer, "content-encoding: gzip") != NULL ||
            strstr(answer, "W/") != NULL)
            fail_msg("case %zu:\n%s", i, answer);
        if ((strstr(answer, "vary: accept-encoding\r\n") != NULL) !=
            c->has_vary)
            fail_msg("case %zu, vary:\n%s", i, answer);
    }
    close_world(&w);
}

static void
a_body_that_turns_out_short_is_sent_as_it_is(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, "GET", GZIP);
    start(&w, 200, "content-type: text/html\nvary: Accept-Encoding");
    give(&w, "short", 5, false);
    assert_string_equal(hear(&w),
                        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n"
                        "vary: Accept-Encoding\r\ncontent-length: 5\r\n\r\n"
                        "short");
    ask(&w, "GET", GZIP);
    start(&w, 200, "content-type: text/html");
    guaco_exchange_finish(w.x);
    assert_non_null(strstr(hear(&w), "content-length: 0\r\n"));
    close_world(&w);
}

static void
an_error_page_is_compressed_too(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, "GET", GZIP);
    start(&w, 404, "content-type: text/html");
    give(&w, text, 1000, false);
    assert_non_null(strstr(hear(&w), "content-encoding: gzip\r\n"));
    close_world(&w);
}

static void
a_file_is_sent_as_it_is_or_through_the_compressor(void **state)
{
    struct world w;
    FILE *file = tmpfile();
    char out[4000];
    char *body;

    (void)state;
    fwrite(text, 1, sizeof(text), file);
    fflush(file);
    open_world(&w);
    fwrite(text, 1, sizeof(text), file);
    fflush(file);
    ask(&w, "GET", GZIP);
    start(&w, 200, "content-type: text/html");
    assert_int_equal(guaco_exchange_file(w.x, fileno(file), 1000, 1000, false),
                     0);
    assert_null(strstr(hear(&w), "content-encoding"));
    ask(&w, "GET", GZIP); /* behind a piece: it is too late to say otherwise */
    start(&w, 200, "content-type: text/html");
    give(&w, "head:", 5, true);
    assert_int_equal(guaco_exchange_file(w.x, fileno(file), 1000, 1000, true),
                     0);
    assert_int_equal(guaco_exchange_file(w.x, fileno(file), 1500, 501, true),
                     GUACO_E_INVALID);
    assert_int_equal(give(&w, ":tail", 5, false), 0);
    fclose(file);
    body = strstr(hear(&w), "\r\n\r\n") + 4;
    assert_int_equal(unzip(body, dechunk(body), out, sizeof(out)), 1010);
    assert_memory_equal(out, "head:aaaa", 9);
    assert_memory_equal(out + 1000, "aaaaa:tail", 10);
    close_world(&w);
}

static void
a_large_file_behind_a_piece_waits_for_the_client(void **state)
{
    enum { MANY = 6000000 };
    struct world w;
    FILE *file = tmpfile();
    char *noise = malloc(MANY);
    uint32_t seed = 1;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        seed = seed * 1664525 + 1013904223;
        noise[i] = (char)(seed >> 24); /* hardly shrinks */
    }
    fwrite(noise, 1, MANY, file);
    fflush(file);
    open_world(&w);
    ask(&w, "GET", GZIP);
    start(&w, 200, "content-type: text/html");
    give(&w, "a", 1, true);
    assert_int_equal(guaco_exchange_file(w.x, fileno(file), 0, MANY, true),
                     GUACO_E_AGAIN);
    fclose(file);
    fixture_told(&w.f);
    for (int i = 0; i < 20000 && strstr(fixture_told(&w.f), "writable") == NULL;
         i++) {
        client_hear(&w.c);
        fixture_turns(&w.f);
    }
    assert_true(w.c.total > MANY / 2);
    assert_int_equal(guaco_exchange_finish(w.x), 0);
    for (int i = 0; i < 1000 && w.f.open_count > 0; i++)
        hear(&w);
    assert_int_equal(w.f.open_count, 0);
    free(noise);
    close_world(&w);
}

static void
the_announced_length_is_held_to(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, "GET", GZIP);
    start(&w, 200, "content-type: text/html\ncontent-length: 600");
    assert_int_equal(give(&w, text, 1000, true), GUACO_E_INVALID);
    assert_non_null(strstr(hear(&w), "content-encoding: gzip"));
    assert_int_equal(w.f.open_count, 0); /* over, cut */
    ask(&w, "GET", GZIP);
    start(&w, 200, "content-type: text/html\ncontent-length: 2000");
    give(&w, text, 1000, true);
    give(&w, text, 500, false);
    hear(&w);
    assert_true(w.c.is_closed || w.c.is_reset); /* not whole */
    close_world(&w);
}

static void
bad_fields_are_refused_at_once(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, "GET", GZIP);
    assert_int_equal(start(&w, 200, "content-type: text/html\nx-a: b\rc"),
                     GUACO_E_INVALID);
    assert_int_equal(start(&w, 200, "content-type: text/html"), 0);
    assert_int_equal(start(&w, 200, "content-type: text/html"), GUACO_E_STATE);
    assert_int_equal(guaco_exchange_trailers(w.x, NULL, 0), GUACO_E_STATE);
    assert_int_equal(guaco_exchange_wait(w.x, 1), 0);
    guaco_exchange_abort(w.x);
    assert_non_null(strstr(hear(&w), "HTTP/1.1 500 "));
    client_close(&w.c);
    client_open(&w.c, &w.f);
    ask(&w, "GET", GZIP); /* one that is not compressed, then one that is */
    assert_int_equal(start(&w, 200, "content-type: image/png"), 0);
    assert_int_equal(start(&w, 200, "content-type: text/html"), GUACO_E_STATE);
    assert_int_equal(give(&w, "png", 3, false), 0);
    assert_non_null(strstr(hear(&w), "\r\n\r\npng"));
    close_world(&w);
}

static void
types_are_those_of_the_option(void **state)
{
    struct world w;
    struct guaco_error err;

    (void)state;
    fixture_init(&w.f);
    w.f.options.compression.is_on = true;
    assert_int_equal(
        guaco__compression_add_types(&w.f.options.compression,
                                     GUACO_SLICE("Text/Csv, model/*"), &err),
        0);
    assert_int_equal(guaco__compression_add_types(&w.f.options.compression,
                                                  GUACO_SLICE("text"), &err),
                     GUACO_E_INVALID);
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    static const struct {
        const char *type;
        bool is_coded;
    } cases[] = {{"content-type: text/csv; charset=utf-8", true},
                 {"content-type: MODEL/gltf", true},
                 {"content-type: text/html", false},
                 {"content-type: model", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask(&w, "GET", GZIP);
        start(&w, 200, cases[i].type);
        give(&w, text, 1000, false);
        assert_int_equal(strstr(hear(&w), "content-encoding") != NULL,
                         cases[i].is_coded);
    }
    close_world(&w);
}

static void
a_broken_connection_frees_the_compressor(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    ask(&w, "GET", GZIP);
    start(&w, 200, "content-type: text/html");
    give(&w, text, 1000, true);
    guaco_exchange_ref(w.x);
    client_close(&w.c);
    fixture_turns(&w.f);
    give(&w, text, 1000, true);
    fixture_turns(&w.f);
    assert_int_equal(give(&w, text, 1000, true), GUACO_E_CLOSED);
    assert_int_equal(start(&w, 200, "content-type: text/html"), GUACO_E_CLOSED);
    guaco_exchange_unref(w.x);
    assert_int_equal(w.f.open_count, 0);
    fixture_close(&w.f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_answer_leaves_whole_with_its_length),
        cmocka_unit_test(each_piece_of_a_stream_arrives_when_it_is_sent),
        cmocka_unit_test(what_must_not_be_compressed_is_not),
        cmocka_unit_test(a_body_that_turns_out_short_is_sent_as_it_is),
        cmocka_unit_test(an_error_page_is_compressed_too),
        cmocka_unit_test(a_file_is_sent_as_it_is_or_through_the_compressor),
        cmocka_unit_test(a_large_file_behind_a_piece_waits_for_the_client),
        cmocka_unit_test(the_announced_length_is_held_to),
        cmocka_unit_test(bad_fields_are_refused_at_once),
        cmocka_unit_test(types_are_those_of_the_option),
        cmocka_unit_test(a_broken_connection_frees_the_compressor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
