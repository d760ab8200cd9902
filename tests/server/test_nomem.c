/* Memory runs out at each place in turn: nothing leaks, nothing crashes, and
 * the client gets an answer or the end of its connection. */

#include <stdio.h>
#include <string.h>

#include "../failing_malloc.h"
#include "../folder.h"
#include "fixture.h"

#define POST                                                       \
    "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked" \
    "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
#define UPGRADE                                                         \
    "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: " \
    "upgrade\r\nsec-websocket-version: 13\r\n"                          \
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                   \
    "sec-websocket-extensions: permessage-deflate\r\n\r\n"

enum { ALLOCATIONS_MAX = 400 };

static void
add_folder(struct fixture *f)
{
    char text[FOLDER_PATH_MAX + 8];
    int len = snprintf(text, sizeof(text), "/s=%s", folder_path("public"));

    assert_int_equal(guaco__statics_add(&f->options.statics,
                                        (struct guaco_slice){text, (size_t)len},
                                        NULL),
                     0);
}

/* In two pieces, as a type that is compressed. */
static void
answer(struct guaco_exchange *x, struct guaco_bytes data)
{
    struct guaco_field type = {GUACO_SLICE("content-type"),
                               GUACO_SLICE("text/plain")};

    if (guaco_exchange_start(x, 200, &type, 1, false) < 0) {
        guaco_exchange_abort(x);
        return;
    }
    if (guaco_exchange_body(x, data, true) == GUACO_OK)
        guaco_exchange_body(x, data, false);
    else
        guaco_exchange_abort(x);
}

/* One exchange with the n-th and all later allocations failing, on a server
 * that has no spare memory of its own yet.  True when one failed. */
static bool
attempt(long n, const char *first, const char *second, bool is_whole)
{
    struct fixture f;
    struct client c;
    bool has_failed;

    fixture_init(&f);
    f.ops.wants_whole_body = is_whole;
    f.options.limits.spool_bytes = 2;
    f.options.proxies.headers.has_unix = true;
    f.options.proxies.protocol.has_unix = true;
    f.options.proxies.reads_protocol = strncmp(first, "PROXY", 5) == 0;
    guaco__buf_reserve(&f.log, 4096); /* the test's own */
    if (strstr(first, " /s/") != NULL)
        add_folder(&f);
    f.options.compression.is_on = strstr(first, "accept-encoding") != NULL;
    fixture_open(&f);
    fail_after(n);
    if (client_try_open(&c, &f)) {
        client_say(&c, first);
        if (f.later != NULL) {
            struct guaco_slice none = {NULL, 0};
            struct guaco_bytes data = {second, strlen(second), NULL, NULL};

            if (f.options.compression.is_on)
                answer(f.later, data);
            else
                guaco_exchange_accept(f.later, none, NULL, 0);
            if (f.later != NULL)
                guaco_exchange_send(f.later, GUACO_MESSAGE_TEXT, data);
        } else {
            client_say(&c, second);
        }
        fixture_turns(&f);
        client_hear(&c);
        client_close(&c);
    }
    has_failed = fail_stop();
    fixture_turns(&f);
    assert_int_equal(f.open_count, 0);
    fixture_close(&f);
    return has_failed;
}

static void
until_it_works(const char *first, const char *second, bool is_whole)
{
    long n = 0;

    while (attempt(n, first, second, is_whole)) {
        n++;
        assert_true(n < ALLOCATIONS_MAX);
    }
    assert_true(n > 0);
}

static void
requests_survive_it(void **state)
{
    (void)state;
    until_it_works(GET("/") GET("/"), GET("/"), false);
    until_it_works(POST, GET("/big"), false);
    until_it_works("GET / HT", "TP/1.1\r\nhost: a\r\n\r\n", false);
    until_it_works(GET("/abort"), "", false);
    until_it_works("nonsense\r\n\r\n", "", false);
}

static void
proxies_survive_it(void **state)
{
    (void)state;
    until_it_works("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: ::1\r\n"
                   "x-forwarded-host: b\r\n\r\n",
                   GET("/"), false);
    until_it_works("PROXY TCP4 1.2.3.4 1.2", ".3.4 1 2\r\n" GET("/"), false);
}

static void
static_files_survive_it(void **state)
{
    (void)state;
    folder_make();
    folder_write("public/a.txt", "0123456789", 10);
    until_it_works(GET("/s/a.txt"), GET("/s/none"), false);
    until_it_works("GET /s/a.txt HTTP/1.1\r\nhost: a\r\n"
                   "range: bytes=0-1,9-9\r\n\r\n",
                   GET("/"), false);
    folder_remove();
}

static void
compressed_answers_survive_it(void **state)
{
    static char text[1000];

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    until_it_works("GET /later HTTP/1.1\r\nhost: a\r\n"
                   "accept-encoding: gzip\r\n\r\n",
                   text, false);
    until_it_works("GET /later HTTP/1.1\r\nhost: a\r\n"
                   "accept-encoding: br\r\n\r\n",
                   text, false);
}

static void
spooled_bodies_survive_it(void **state)
{
    (void)state;
    until_it_works(POST, GET("/"), true);
}

static void
websockets_survive_it(void **state)
{
    static char text[1000];

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    until_it_works(UPGRADE, text, false);
}

static void
a_server_is_made_whole_or_not_at_all(void **state)
{
    struct fixture f;
    struct guaco_error err = {0};

    (void)state;
    fixture_init(&f);
    f.options.compression.is_on = true;
    assert_int_equal(guaco__loop_new(&f.loop, &err), 0);
    for (long n = 0;; n++) {
        fail_after(n);
        int rc = guaco__server_new(&f.server, f.loop, &f.app, &f.options, &err);
        if (!fail_stop()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
    }
    fixture_close(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_survive_it),
        cmocka_unit_test(proxies_survive_it),
        cmocka_unit_test(static_files_survive_it),
        cmocka_unit_test(compressed_answers_survive_it),
        cmocka_unit_test(spooled_bodies_survive_it),
        cmocka_unit_test(websockets_survive_it),
        cmocka_unit_test(a_server_is_made_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
