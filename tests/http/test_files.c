/* Names of files, media types and content codings, by table. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "http/coding.h"
#include "http/fields.h"
#include "http/file_path.h"
#include "http/media_type.h"

static struct guaco_slice
slice(const char *text)
{
    return (struct guaco_slice){text, strlen(text)};
}

static void
a_route_has_whole_segments(void **state)
{
    static const struct {
        const char *path, *route, *rest; /* NULL: not of the route */
    } cases[] = {
        {"/static/a", "/static", "/a"},
        {"/static", "/static", ""},
        {"/static/", "/static", "/"},
        {"/statics", "/static", NULL},
        {"/stati", "/static", NULL},
        {"/Static/a", "/static", NULL},
        {"/a/b", "", "/a/b"},
        {"/", "", "/"},
        {"/%73tatic/a", "/static", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guaco_slice rest =
            guaco__route_rest(slice(cases[i].path), slice(cases[i].route));

        if (cases[i].rest == NULL) {
            assert_null(rest.at);
            continue;
        }
        assert_non_null(rest.at);
        assert_true(guaco_slice_equals(rest, slice(cases[i].rest)));
    }
}

struct path_case {
    const char *rest;
    int status;
    const char *path;
    bool is_folder;
    bool has_dots;
};

static const struct path_case path_cases[] = {
    {"", 0, "", false, false},
    {"/", 0, "", true, false},
    {"/a", 0, "a", false, false},
    {"/a/", 0, "a", true, false},
    {"/a/b.css", 0, "a/b.css", false, false},
    {"/%61%2Ecss", 0, "a.css", false, false},
    {"/a%20b", 0, "a b", false, false},
    {"/%C3%A9", 0, "\xc3\xa9", false, false},
    {"/a%5Cb", 0, "a\\b", false, false},
    {"/a+b", 0, "a+b", false, false},
    {"/%2561", 0, "%61", false, false}, /* decoded once */
    {"/..", 404, NULL, false, true},
    {"/../etc/passwd", 404, NULL, false, true},
    {"/a/../b", 404, NULL, false, true},
    {"/a/..", 404, NULL, false, true},
    {"/.", 404, NULL, false, true},
    {"/./a", 404, NULL, false, true},
    {"/%2e%2e/a", 404, NULL, false, true},
    {"/.%2E/a", 404, NULL, false, true},
    {"/a/%2e%2e%2fb", 400, NULL, false, true},
    {"/a%2fb", 400, NULL, false, false},
    {"/a%2Fb", 400, NULL, false, false},
    {"/a%00", 400, NULL, false, false},
    {"/a%", 400, NULL, false, false},
    {"/a%2", 400, NULL, false, false},
    {"/a%zz", 400, NULL, false, false},
    {"//a", 404, NULL, false, false},
    {"/a//b", 404, NULL, false, false},
    {"/a//", 404, NULL, false, false},
    {"//", 404, NULL, false, false},
    {"/.git/config", 404, NULL, false, false},
    {"/a/.htaccess", 404, NULL, false, false},
    {"/%2egit/config", 404, NULL, false, false},
    {"/.git/config", 0, ".git/config", false, true},
    {"/...", 404, NULL, false, false},
    {"/a/...", 0, "a/...", false, true},
    {"/.well-known/acme", 0, ".well-known/acme", false, false},
    {"/a/.well-known/b", 404, NULL, false, false},
    {"/.well-known-2", 404, NULL, false, false},
    {"/a..", 0, "a..", false, false},
};

static void
a_path_names_a_file_below_the_folder_or_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(path_cases) / sizeof(*path_cases); i++) {
        const struct path_case *c = &path_cases[i];
        char path[GUACO__FILE_PATH_BYTES];
        bool is_folder;
        int status =
            guaco__file_path(slice(c->rest), c->has_dots, path, &is_folder);

        if (status != c->status)
            fail_msg("%s: %d, not %d", c->rest, status, c->status);
        if (status == 0) {
            assert_string_equal(path, c->path);
            assert_int_equal(is_folder, c->is_folder);
        }
    }
}

static void
a_path_has_a_longest_length(void **state)
{
    char rest[GUACO__FILE_PATH_BYTES + 2];
    char path[GUACO__FILE_PATH_BYTES];
    bool is_folder;

    (void)state;
    memset(rest, 'a', sizeof(rest));
    rest[0] = '/';
    for (size_t len = GUACO__FILE_PATH_BYTES - 2; len < sizeof(rest); len++)
        assert_int_equal(guaco__file_path((struct guaco_slice){rest, len},
                                          false, path, &is_folder),
                         len - 1 < GUACO__FILE_PATH_BYTES ? 0 : 404);
}

static void
a_hash_in_a_name_is_seen(void **state)
{
    static const struct {
        const char *path;
        bool is_hashed;
    } cases[] = {
        {"app.3f2a9c1b.js", true},
        {"a/app-3f2a9c1b0d.min.js", true},
        {"3f2a9c1b.js", false}, /* nothing in front of it */
        {"app.3f2a9c1.js", false},
        {"app.deadbeef.js", false}, /* a word, perhaps */
        {"app.deadbee5", false},
        {"app.3f2a9c1g.js", false},
        {"v-12345678.9/app.js", false},
        {"app.js", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (guaco__file_is_hashed(slice(cases[i].path)) != cases[i].is_hashed)
            fail_msg("%s", cases[i].path);
}

static void
a_type_follows_from_a_name(void **state)
{
    static const char *const cases[][2] = {
        {"a.html", "text/html; charset=utf-8"},
        {"A.HTML", "text/html; charset=utf-8"},
        {"a.b.css", "text/css; charset=utf-8"},
        {"a.js", "text/javascript; charset=utf-8"},
        {"a.json", "application/json"},
        {"a.svg", "image/svg+xml"},
        {"a.tar.gz", "application/gzip"},
        {"html", "application/octet-stream"},
        {"a.unknown", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"", "application/octet-stream"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guaco_slice type = guaco__media_type_of(slice(cases[i][0]));

        if (!guaco_slice_equals(type, slice(cases[i][1])))
            fail_msg("%s: %.*s", cases[i][0], (int)type.len, type.at);
    }
}

static void
what_shrinks_is_known_by_type(void **state)
{
    static const char *const yes[] = {
        "text/html",         "TEXT/HTML; charset=utf-8",
        "application/json",  "application/problem+json",
        "image/svg+xml",     "application/javascript",
        "text/event-stream", "application/xml ; a=b"};
    static const char *const no[] = {
        "image/png", "application/zip",          "font/woff2", "text/", "",
        "video/mp4", "application/octet-stream", "textual/x"};

    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(guaco__media_type_shrinks(slice(yes[i])));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(guaco__media_type_shrinks(slice(no[i])));
}

static void
codings_are_negotiated_by_weight_then_by_the_servers_order(void **state)
{
    static const struct {
        const char *accept;
        const char *codings;
    } cases[] = {
        {NULL, ""},
        {"", ""},
        {"gzip", "gzip "},
        {"gzip, deflate, br, zstd", "br zstd gzip "},
        {"GZIP, x-other", "gzip "},
        {"x-gzip", "gzip "},
        {"br;q=0.5, gzip", "gzip br "},
        {"br;q=0.5, gzip;q=0.500, zstd;q=0.501", "zstd br gzip "},
        {"br;q=0, gzip", "gzip "},
        {"*", "br zstd gzip "},
        {"*;q=0.1, gzip;q=0.2", "gzip br zstd "},
        {"*;q=0", ""},
        {"*, br;q=0", "zstd gzip "},
        {"identity", ""},
        {"gzip;q=0.5, identity", ""}, /* it likes it better as it is */
        {"gzip;q=0.5, identity;q=0.5", "gzip "},
        {"gzip;q=0.5, identity;q=0", "gzip "},
        {"gzip ; Q=1.000 ", "gzip "},
        {"gzip;q=1.001", ""},
        {"gzip;q=2", ""},
        {"gzip;q=0.0001", ""},
        {"gzip;q=-1", ""},
        {"gzip;q=.5", ""},
        {"gzip;q=", ""},
        {"gzip;x=1", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guaco_field field = {GUACO_SLICE("accept-encoding"), {NULL, 0}};
        uint8_t id = GUACO__FIELD_ACCEPT_ENCODING;
        struct guaco_request r = {.fields = &field, .field_ids = &id};
        enum guaco__coding codings[GUACO__CODING_COUNT];
        char text[64] = "";

        if (cases[i].accept != NULL) {
            field.value = slice(cases[i].accept);
            r.field_count = 1;
        }
        size_t count = guaco__codings_read(&r, codings);
        for (size_t n = 0; n < count; n++) {
            struct guaco_slice name = guaco__coding_name(codings[n]);
            size_t len = strlen(text);

            snprintf(text + len, sizeof(text) - len, "%.*s ", (int)name.len,
                     name.at);
        }
        if (strcmp(text, cases[i].codings) != 0)
            fail_msg("%s: '%s'", cases[i].accept, text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_has_whole_segments),
        cmocka_unit_test(a_path_names_a_file_below_the_folder_or_none),
        cmocka_unit_test(a_path_has_a_longest_length),
        cmocka_unit_test(a_hash_in_a_name_is_seen),
        cmocka_unit_test(a_type_follows_from_a_name),
        cmocka_unit_test(what_shrinks_is_known_by_type),
        cmocka_unit_test(
            codings_are_negotiated_by_weight_then_by_the_servers_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
