/* Memory runs out at each place of ours in turn while HTTP/2 is spoken: nothing
 * leaks, nothing crashes, and what began is gone.  Not at those of nghttp2:
 * 1.52 frees a frame twice when it cannot queue a body (nghttp2_submit_data). */

#include <stdlib.h>
#include <string.h>

#include "../failing_malloc.h"
#include "../h2_client.h"
#include "fixture.h"

enum { ALLOCATIONS_MAX = 1000 };

struct script {
    void (*say)(struct h2_client *c);
    bool is_whole; /* the application wants whole bodies */
    bool is_socket;
};

/* What is said, with the n-th and all later allocations failing.  True when
 * one failed. */
static bool
attempt(long n, const struct script *script, struct h2_client *h2)
{
    struct fixture f;
    struct client c;
    bool has_failed;

    h2_client_init(h2);
    h2_preface(h2);
    script->say(h2);
    fixture_init(&f);
    f.ops.wants_whole_body = script->is_whole;
    f.options.limits.spool_bytes = 2;
    guaco__buf_reserve(&f.log, 4096); /* the test's own */
    fixture_open(&f);
    fail_after(n);
    if (client_try_open(&c, &f)) {
        client_say_bytes(&c, (const char *)h2->said, h2->said_len);
        if (f.later != NULL && script->is_socket) {
            const struct guaco_bytes data = {"message", 7, NULL, NULL};

            guaco_exchange_accept(f.later, GUACO_SLICE(""), NULL, 0);
            if (f.later != NULL)
                guaco_exchange_send(f.later, GUACO_MESSAGE_TEXT, data);
        }
        fixture_turns(&f);
        client_hear(&c);
        client_close(&c);
    }
    has_failed = fail_stop();
    fixture_turns(&f);
    assert_int_equal(f.open_count, 0);
    fixture_close(&f);
    h2_client_release(h2);
    return has_failed;
}

static void
until_it_works(const struct script *script)
{
    struct h2_client *h2 = malloc(sizeof(*h2));
    long n = 0;

    assert_non_null(h2);
    while (attempt(n, script, h2))
        assert_true(++n < ALLOCATIONS_MAX);
    assert_true(n > 3);
    free(h2);
}

static void
say_requests(struct h2_client *c)
{
    h2_get(c, 1, "/");
    h2_get(c, 3, "/big");
    h2_number(c, NGHTTP2_WINDOW_UPDATE, 0, 2000000);
    h2_number(c, NGHTTP2_WINDOW_UPDATE, 3, 2000000);
    h2_get(c, 5, "/abort");
    h2_post(c, 7, "/echo");
    h2_data(c, 7, "some body", true);
    h2_frame(c, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void
requests_survive_it(void **state)
{
    (void)state;
    until_it_works(&(struct script){.say = say_requests});
}

static void
spooled_bodies_survive_it(void **state)
{
    (void)state;
    until_it_works(&(struct script){.say = say_requests, .is_whole = true});
}

static void
say_nonsense(struct h2_client *c)
{
    h2_headers(c, 1, NGHTTP2_FLAG_END_HEADERS, ":method=GET :path=/ X=1");
    h2_headers(c, 3, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
               ":method=get :scheme=http :path=/ :authority=a");
    h2_frame(c, NGHTTP2_DATA, 0, 99, "x", 1);
}

static void
refusals_survive_it(void **state)
{
    (void)state;
    until_it_works(&(struct script){.say = say_nonsense});
}

static void
say_socket(struct h2_client *c)
{
    h2_headers(c, 1, NGHTTP2_FLAG_END_HEADERS,
               ":method=CONNECT :protocol=websocket :scheme=http :path=/later "
               ":authority=a sec-websocket-version=13 "
               "sec-websocket-extensions=permessage-deflate");
    h2_frame(c, NGHTTP2_DATA, 0, 1, "\x81\x82\0\0\0\0hi", 8);
}

static void
websockets_survive_it(void **state)
{
    (void)state;
    until_it_works(&(struct script){.say = say_socket, .is_socket = true});
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_survive_it),
        cmocka_unit_test(spooled_bodies_survive_it),
        cmocka_unit_test(refusals_survive_it),
        cmocka_unit_test(websockets_survive_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
