/* Static files before the application: what a client sees. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../folder.h"
#include "fixture.h"

struct world {
    struct fixture f;
    struct client c;
};

enum { LONG_AGO_S = 784111777 }; /* Sun, 06 Nov 1994 08:49:37 GMT */

#define MODIFIED "last-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

/* The file, last changed long ago, so that its tag is strong. */
static void
write_old(const char *name, const char *text)
{
    struct timespec times[2] = {{LONG_AGO_S, 0}, {LONG_AGO_S, 0}};

    folder_write(name, text, strlen(text));
    assert_int_equal(utimensat(AT_FDCWD, folder_path(name), times, 0), 0);
}

static void
add_folder(struct fixture *f, const char *route, const char *name)
{
    char text[FOLDER_PATH_MAX + 64];
    int len = snprintf(text, sizeof(text), "%s=%s", route, folder_path(name));

    assert_int_equal(guaco__statics_add(&f->options.statics,
                                        (struct guaco_slice){text, (size_t)len},
                                        NULL),
                     0);
}

static void
init_world(struct world *w)
{
    folder_make();
    write_old("public/a.txt", "0123456789");
    write_old("public/index.html", "<p>index");
    write_old("public/sub/index.html", "<p>sub");
    write_old("public/bare/x.bin", "x");
    write_old("public/.secret", "s");
    write_old("public/app.3f2a9c1b.js", "js");
    write_old("outside", "o");
    symlink("../outside", folder_path("public/link"));
    mkfifo(folder_path("public/fifo"), 0600);
    fixture_init(&w->f);
}

static void
start_world(struct world *w)
{
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
}

static void
open_world(struct world *w)
{
    init_world(w);
    add_folder(&w->f, "/s", "public");
    start_world(w);
}

static void
close_world(struct world *w)
{
    client_close(&w->c);
    fixture_close(&w->f);
    folder_remove();
}

/* What comes back for a request with these lines. */
static const char *
ask(struct world *w, const char *line, const char *fields)
{
    char request[1024];

    snprintf(request, sizeof(request), "%s HTTP/1.1\r\nhost: a\r\n%s\r\n", line,
             fields);
    client_say(&w->c, request);
    return client_hear(&w->c);
}

static int
status(struct world *w, const char *line, const char *fields)
{
    const char *answer = ask(w, line, fields);
    int code = 0;

    assert_int_equal(strncmp(answer, "HTTP/1.1 ", 9), 0);
    for (int i = 9; i < 12; i++)
        code = code * 10 + (answer[i] - '0');
    return code;
}

static void
must_have(const char *answer, const char *part)
{
    if (strstr(answer, part) == NULL)
        fail_msg("no '%s' in:\n%s", part, answer);
}

static void
a_file_is_sent_with_its_type_and_validators(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    assert_string_equal(
        ask(&w, "GET /s/a.txt?v=1", ""),
        "HTTP/1.1 200 OK\r\netag: \"a-2ebc98a100000000\"\r\n" MODIFIED
        "vary: accept-encoding\r\naccept-ranges: bytes\r\n"
        "content-type: text/plain; charset=utf-8\r\ncontent-length: 10\r\n\r\n"
        "0123456789");
    assert_string_equal(
        ask(&w, "HEAD /s/a.txt", ""),
        "HTTP/1.1 200 OK\r\netag: \"a-2ebc98a100000000\"\r\n" MODIFIED
        "vary: accept-encoding\r\naccept-ranges: bytes\r\n"
        "content-type: text/plain; charset=utf-8\r\ncontent-length: 10\r\n\r\n");
    must_have(ask(&w, "GET /s/bare/x.bin", ""), "application/octet-stream");
    assert_string_equal(fixture_told(&w.f), ""); /* not the application's */
    assert_string_equal(ask(&w, "GET /", ""), HELLO);
    assert_string_equal(fixture_told(&w.f), "begin /;gone 0;");
    close_world(&w);
}

static void
what_is_no_file_is_404(void **state)
{
    static const char *const lines[] = {
        "GET /s/none",     "GET /s/a.txt/",     "GET /s/a.txt/x",
        "GET /s/.secret",  "GET /s/%2esecret",  "GET /s/link",
        "GET /s/fifo",     "GET /s/../outside", "GET /s/%2e%2e/outside",
        "GET /s//a.txt",   "GET /s/bare",       "GET /s/bare/",
        "GET /s/sub/none", "GET /s/.",          "GET /s/A.TXT",
    };
    struct world w;

    (void)state;
    open_world(&w);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (status(&w, lines[i], "") != 404)
            fail_msg("%s", lines[i]);
    assert_int_equal(status(&w, "GET /s/a%2fb", ""), 400);
    assert_int_equal(status(&w, "GET /s/a%00b", ""), 400);
    assert_int_equal(status(&w, "GET /s/a%zz", ""), 400);
    assert_string_equal(fixture_told(&w.f), "");
    assert_false(w.c.is_closed);
    close_world(&w);
}

static void
a_folder_has_its_index_behind_a_slash(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    must_have(ask(&w, "GET /s/", ""), "\r\n\r\n<p>index");
    must_have(ask(&w, "GET /s/sub/", ""), "\r\n\r\n<p>sub");
    must_have(ask(&w, "GET /s", ""), "301 Moved Permanently\r\n"
                                     "location: ./s/\r\n");
    must_have(ask(&w, "GET /s/sub?a=b", ""), "location: ./sub/?a=b\r\n");
    close_world(&w);
}

static void
other_methods_are_405(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    must_have(ask(&w, "DELETE /s/a.txt", ""), "allow: GET, HEAD\r\n");
    assert_int_equal(status(&w, "POST /s/none", "content-length: 0\r\n"), 405);
    client_say(&w.c, "PUT /s/a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"
                     "hello" GET("/"));
    must_have(client_hear(&w.c), HELLO); /* the body was read away */
    close_world(&w);
}

static void
conditions_are_heeded(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    assert_string_equal(
        ask(&w, "GET /s/a.txt", "if-none-match: \"a-2ebc98a100000000\"\r\n"),
        "HTTP/1.1 304 Not Modified\r\netag: \"a-2ebc98a100000000\"\r\n" MODIFIED
        "vary: accept-encoding\r\n\r\n");
    assert_int_equal(status(&w, "HEAD /s/a.txt",
                            "if-modified-since: Sun, 06 Nov 1994 08:49:37 "
                            "GMT\r\n"),
                     304);
    assert_int_equal(status(&w, "GET /s/a.txt", "if-match: \"b\"\r\n"), 412);
    write_old("public/a.txt", "01234567890"); /* replaced: another tag */
    assert_int_equal(
        status(&w, "GET /s/a.txt", "if-none-match: \"a-2ebc98a100000000\"\r\n"),
        200);
    folder_write("public/a.txt", "new", 3);
    must_have(ask(&w, "GET /s/a.txt", ""), "etag: W/\""); /* too young */
    close_world(&w);
}

static void
ranges_are_sent(void **state)
{
    struct world w;
    const char *answer;

    (void)state;
    open_world(&w);
    answer = ask(&w, "GET /s/a.txt", "range: bytes=2-4\r\n");
    must_have(answer, "206 Partial Content\r\n");
    must_have(answer, "content-range: bytes 2-4/10\r\n");
    must_have(answer, "content-length: 3\r\n\r\n234");
    must_have(ask(&w, "GET /s/a.txt", "range: bytes=10-\r\n"),
              "content-range: bytes */10\r\n");
    assert_int_equal(status(&w, "GET /s/a.txt", "range: bytes=10-\r\n"), 416);
    assert_int_equal(status(&w, "HEAD /s/a.txt", "range: bytes=2-4\r\n"), 200);
    assert_int_equal(
        status(&w, "GET /s/a.txt", "range: bytes=2-4\r\nif-range: \"b\"\r\n"),
        200);
    close_world(&w);
}

static void
several_ranges_are_parts_of_one_answer(void **state)
{
    static char text[2001];
    char boundary[64], expected[1024];
    struct world w;
    const char *answer, *at, *body;
    unsigned length = 0;

    (void)state;
    init_world(&w);
    memset(text, 'x', 2000);
    memcpy(text, "abc", 3);
    memcpy(text + 1997, "xyz", 3);
    write_old("public/long.bin", text);
    add_folder(&w.f, "/s", "public");
    start_world(&w);
    answer = ask(&w, "GET /s/long.bin", "range: bytes=-3,0-2\r\n");
    must_have(answer, "206 Partial Content\r\n");
    at = strstr(answer, "boundary=");
    assert_non_null(at);
    snprintf(boundary, sizeof(boundary), "%.*s", (int)strcspn(at + 9, "\r"),
             at + 9);
    at = strstr(answer, "content-length: ");
    assert_non_null(at);
    for (at += 16; *at >= '0' && *at <= '9'; at++)
        length = length * 10 + (unsigned)(*at - '0');
    body = strstr(answer, "\r\n\r\n") + 4;
    snprintf(expected, sizeof(expected),
             "\r\n--%s\r\ncontent-type: application/octet-stream\r\n"
             "content-range: bytes 1997-1999/2000\r\n\r\nxyz"
             "\r\n--%s\r\ncontent-type: application/octet-stream\r\n"
             "content-range: bytes 0-2/2000\r\n\r\nabc\r\n--%s--\r\n",
             boundary, boundary, boundary);
    assert_string_equal(body, expected);
    assert_int_equal(length, strlen(body));
    close_world(&w);
}

static void
a_compressed_sibling_stands_for_its_file(void **state)
{
    struct world w;
    const char *answer;

    (void)state;
    init_world(&w);
    write_old("public/a.txt.gz", "gzip!");
    write_old("public/a.txt.br", "br!");
    write_old("public/bare/x.bin.gz", "no");
    mkdir(folder_path("public/index.html.gz"), 0700);
    add_folder(&w.f, "/s", "public");
    start_world(&w);
    answer = ask(&w, "GET /s/a.txt", "accept-encoding: gzip, br\r\n");
    must_have(answer, "content-encoding: br\r\n");
    must_have(answer, "-br\"\r\n");
    must_have(answer, "content-type: text/plain; charset=utf-8\r\n");
    must_have(answer, "vary: accept-encoding\r\n");
    must_have(answer, "\r\n\r\nbr!");
    answer = ask(&w, "GET /s/a.txt", "accept-encoding: gzip, br;q=0.5\r\n");
    must_have(answer, "content-encoding: gzip\r\n");
    answer = ask(&w, "GET /s/a.txt",
                 "accept-encoding: gzip\r\nrange: bytes=0-1\r\n");
    must_have(answer, "content-range: bytes 0-1/5\r\n"); /* of what is sent */
    answer = ask(&w, "GET /s/a.txt", "accept-encoding: zstd\r\n");
    assert_null(strstr(answer, "content-encoding"));
    must_have(answer, "vary: accept-encoding\r\n");
    answer = ask(&w, "GET /s/bare/x.bin", "accept-encoding: gzip\r\n");
    assert_null(strstr(answer, "vary")); /* a type that does not shrink */
    answer = ask(&w, "GET /s/", "accept-encoding: gzip\r\n");
    must_have(answer, "<p>index"); /* the sibling is a folder */
    close_world(&w);
}

static void
options_say_how_long_and_what(void **state)
{
    struct world w;
    const char *answer;

    (void)state;
    init_world(&w);
    w.f.options.statics.max_age_s = 60;
    w.f.options.statics.hashes_are_for_ever = true;
    w.f.options.statics.has_dots = true;
    assert_int_equal(guaco__statics_set_index(&w.f.options.statics,
                                              GUACO_SLICE("a.txt"), NULL),
                     0);
    add_folder(&w.f, "/s/", "public");
    start_world(&w);
    answer = ask(&w, "GET /s/", "");
    must_have(answer, "cache-control: public, max-age=60\r\n");
    must_have(answer, "0123456789");
    must_have(ask(&w, "GET /s/app.3f2a9c1b.js", ""),
              "cache-control: public, max-age=31536000, immutable\r\n");
    assert_int_equal(status(&w, "GET /s/.secret", ""), 200);
    assert_int_equal(status(&w, "GET /s/..", ""), 404);
    close_world(&w);
}

static void
the_longest_route_has_the_path_and_the_root_shares(void **state)
{
    struct world w;

    (void)state;
    init_world(&w);
    add_folder(&w.f, "/", "public");
    add_folder(&w.f, "/s", "public/sub");
    add_folder(&w.f, "/s/deep", "public/bare");
    start_world(&w);
    must_have(ask(&w, "GET /s/index.html", ""), "<p>sub");
    must_have(ask(&w, "GET /s/deep/x.bin", ""), "\r\n\r\nx");
    assert_int_equal(status(&w, "GET /s/a.txt", ""), 404);
    must_have(ask(&w, "GET /a.txt", ""), "0123456789");
    must_have(ask(&w, "GET /", ""), "<p>index");
    must_have(ask(&w, "GET /sub", ""), "location: ./sub/\r\n");
    assert_string_equal(fixture_told(&w.f), "");
    client_say(&w.c,
               "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n"
               "hi");
    must_have(client_hear(&w.c), "hi"); /* the application's */
    client_say(&w.c, GET("/big%2f"));
    assert_non_null(w.f.later); /* not malformed to it */
    close_world(&w);
}

static void
what_is_no_folder_or_route_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "=", "/s", "/s=", "s=/", "/s/../t=/", "/a//b=/", "/%zz=/"};
    struct guaco__statics statics;
    struct guaco_error err;

    (void)state;
    guaco__statics_init(&statics);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct guaco_slice text = {bad[i], strlen(bad[i])};

        if (guaco__statics_add(&statics, text, &err) != GUACO_E_INVALID)
            fail_msg("%s was taken", bad[i]);
    }
    assert_int_equal(
        guaco__statics_add(&statics, GUACO_SLICE("/s=/no/such"), &err),
        GUACO_E_MISSING);
    assert_int_equal(guaco__statics_add(&statics, GUACO_SLICE("/s=/"), &err),
                     0);
    assert_int_equal(guaco__statics_add(&statics, GUACO_SLICE("/s/=/"), &err),
                     GUACO_E_INVALID);
    assert_int_equal(
        guaco__statics_set_index(&statics, GUACO_SLICE("a/b"), &err),
        GUACO_E_INVALID);
    guaco__statics_release(&statics);
}

static void
a_large_file_goes_out_as_the_client_takes_it(void **state)
{
    static char text[3000001];
    struct world w;

    (void)state;
    init_world(&w);
    memset(text, 'y', sizeof(text) - 1);
    write_old("public/large.bin", text);
    add_folder(&w.f, "/s", "public");
    start_world(&w);
    client_say(&w.c, GET("/s/large.bin"));
    for (int i = 0; i < 10000 && w.c.total < sizeof(text) - 1; i++) {
        client_hear(&w.c);
        fixture_turns(&w.f);
    }
    assert_true(w.c.total > sizeof(text) - 1);
    assert_string_equal(ask(&w, "GET /", ""), HELLO);
    close_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_sent_with_its_type_and_validators),
        cmocka_unit_test(what_is_no_file_is_404),
        cmocka_unit_test(a_folder_has_its_index_behind_a_slash),
        cmocka_unit_test(other_methods_are_405),
        cmocka_unit_test(conditions_are_heeded),
        cmocka_unit_test(ranges_are_sent),
        cmocka_unit_test(several_ranges_are_parts_of_one_answer),
        cmocka_unit_test(a_compressed_sibling_stands_for_its_file),
        cmocka_unit_test(options_say_how_long_and_what),
        cmocka_unit_test(the_longest_route_has_the_path_and_the_root_shares),
        cmocka_unit_test(what_is_no_folder_or_route_is_refused),
        cmocka_unit_test(a_large_file_goes_out_as_the_client_takes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
