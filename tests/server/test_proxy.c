/* Proxies in front: what the application is told of a request, and the PROXY
 * header before the first one.  The clients are on Unix sockets. */

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "fixture.h"

struct world {
    struct fixture f;
    struct client c;
};

static void
open_world(struct world *w, const char *trusted)
{
    struct guaco_slice text = {trusted, strlen(trusted)};

    fixture_init(&w->f);
    assert_int_equal(
        guaco__trust_add(&w->f.options.proxies.headers, text, NULL), 0);
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
}

static void
open_greeted(struct world *w)
{
    fixture_init(&w->f);
    w->f.options.proxies.reads_protocol = true;
    w->f.options.proxies.protocol.has_unix = true;
    w->f.options.limits.head_ms = 1000;
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
}

static void
close_world(struct world *w)
{
    client_close(&w->c);
    fixture_close(&w->f);
}

/* "scheme client:port server:port prefix host" of the request to /later with
 * these field lines. */
static const char *
seen(struct world *w, const char *fields)
{
    static char out[512];
    char request[512];
    const struct guaco_request *r;
    struct guaco_slice host = {"", 0};

    snprintf(request, sizeof(request),
             "GET /later HTTP/1.1\r\nhost: a\r\n%s\r\n", fields);
    client_say(&w->c, request);
    if (w->f.later == NULL)
        return client_hear(&w->c);
    r = w->f.later->request;
    for (size_t i = 0; i < r->field_count; i++)
        if (guaco_slice_equals(r->fields[i].name, GUACO_SLICE("host")))
            host = r->fields[i].value;
    snprintf(
        out, sizeof(out), "%.*s %s:%u %s:%u %.*s %.*s", (int)r->scheme.len,
        r->scheme.at, r->peer->client_host != NULL ? r->peer->client_host : "-",
        r->peer->client_port, r->peer->is_unix ? "unix" : r->peer->server_host,
        r->peer->server_port, (int)r->prefix.len, r->prefix.at, (int)host.len,
        host.at);
    guaco_exchange_start(w->f.later, 200, NULL, 0, false);
    guaco_exchange_finish(w->f.later);
    fixture_turns(&w->f);
    client_hear(&w->c);
    return out;
}

static void
a_trusted_proxy_names_client_scheme_host_and_prefix(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, "unix");
    assert_string_equal(seen(&w, ""), "http -:0 unix:0  a");
    assert_string_equal(
        seen(&w,
             "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n"
             "x-forwarded-host: example.org\r\nx-forwarded-prefix: /app\r\n"),
        "https 203.0.113.9:0 example.org:443 /app example.org");
    assert_string_equal(seen(&w, "X-Forwarded-Host: example.org:8443\r\n"
                                 "x-forwarded-proto: https\r\n"),
                        "https -:0 example.org:8443  example.org:8443");
    assert_string_equal(
        seen(&w, "x-forwarded-host: [2001:db8::1]\r\nx-forwarded-port: 81\r\n"),
        "http -:0 2001:db8::1:81  [2001:db8::1]:81");
    assert_string_equal(seen(&w, "x-forwarded-for: ::1\r\n"),
                        "http ::1:0 unix:0  a");
    close_world(&w);
}

static void
a_request_of_1_0_without_host_is_given_the_proxys(void **state)
{
    struct world w;
    const struct guaco_request *r;

    (void)state;
    open_world(&w, "unix");
    client_say(&w.c, "GET /later HTTP/1.0\r\na: b\r\n"
                     "x-forwarded-host: example.org\r\n\r\n");
    r = w.f.later->request;
    assert_int_equal(r->field_count, 3);
    assert_true(guaco_slice_equals(r->fields[0].name, GUACO_SLICE("host")));
    assert_true(
        guaco_slice_equals(r->fields[0].value, GUACO_SLICE("example.org")));
    assert_true(guaco_slice_equals(r->fields[1].name, GUACO_SLICE("a")));
    close_world(&w);
}

static bool
has_field(const struct guaco_request *r, const char *name)
{
    struct guaco_slice want = {name, strlen(name)};

    for (size_t i = 0; i < r->field_count; i++)
        if (guaco_slice_equals(r->fields[i].name, want))
            return true;
    return false;
}

#define ALL_FIELDS                                               \
    "GET /later HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 6.6.6.6" \
    "\r\na: b\r\nforwarded: for=6.6.6.6\r\nx-real-ip: 6.6.6.6\r\n\r\n"

static void
the_fields_of_others_are_taken_out(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, "192.0.2.1");
    client_say(&w.c, ALL_FIELDS);
    assert_int_equal(w.f.later->request->field_count, 2);
    assert_null(w.f.later->request->peer->client_host);
    assert_true(has_field(w.f.later->request, "a"));
    close_world(&w);
    open_world(&w, "unix");
    client_say(&w.c, ALL_FIELDS);
    assert_true(has_field(w.f.later->request, "x-forwarded-for"));
    assert_false(has_field(w.f.later->request, "forwarded"));
    close_world(&w);
    open_world(&w, ""); /* nobody is trusted: it is the application's affair */
    client_say(&w.c, ALL_FIELDS);
    assert_int_equal(w.f.later->request->field_count, 5);
    close_world(&w);
}

static void
contradictions_are_refused(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, "unix");
    assert_non_null(strstr(seen(&w, "x-forwarded-proto: https\r\n"
                                    "x-forwarded-ssl: off\r\n"),
                           "HTTP/1.1 400 "));
    assert_true(w.c.is_closed);
    assert_string_equal(fixture_told(&w.f), "");
    close_world(&w);
}

static void
count_line(void *ctx, int level, const char *line, size_t len)
{
    (void)level, (void)line, (void)len;
    *(int *)ctx += 1;
}

static void
what_anybody_can_cause_is_logged_once_a_second(void **state)
{
    struct fixture f;
    struct client c;
    int lines = 0;
    struct guaco_log log = {GUACO_LOG_INFO, count_line, &lines};

    (void)state;
    fixture_init(&f);
    f.options.log = &log;
    f.options.proxies.reads_protocol = true;
    f.options.proxies.protocol.has_unix = true;
    fixture_open(&f);
    for (int i = 0; i < 5; i++) {
        client_open(&c, &f);
        client_say(&c, "nonsense");
        client_close(&c);
    }
    assert_in_range(lines, 1, 2); /* a slow machine may need a second */
    fixture_close(&f);
}

static void
a_websocket_behind_tls_is_wss(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, "unix");
    assert_string_equal(seen(&w,
                             "upgrade: websocket\r\nconnection: upgrade\r\n"
                             "sec-websocket-version: 13\r\n"
                             "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             "x-forwarded-proto: https\r\n"),
                        "wss -:0 unix:0  a");
    close_world(&w);
}

#define V1 "PROXY TCP4 203.0.113.9 192.0.2.2 4711 443\r\n"

static void
a_proxy_header_names_both_ends(void **state)
{
    struct world w;

    (void)state;
    open_greeted(&w);
    client_say(&w.c, V1);
    assert_string_equal(seen(&w, ""), "http 203.0.113.9:4711 192.0.2.2:443  a");
    assert_string_equal(seen(&w, ""), "http 203.0.113.9:4711 192.0.2.2:443  a");
    close_world(&w);
    open_greeted(&w); /* the request in the same packet */
    client_say(&w.c, V1 GET("/"));
    assert_string_equal(client_hear(&w.c), HELLO);
    close_world(&w);
    open_greeted(&w);
    client_say_bytes(&w.c, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);
    assert_string_equal(seen(&w, ""), "http -:0 unix:0  a");
    close_world(&w);
}

static void
a_proxy_header_may_come_byte_by_byte(void **state)
{
    struct world w;

    (void)state;
    open_greeted(&w);
    for (size_t i = 0; i < sizeof(V1) - 1; i++)
        client_say_bytes(&w.c, &V1[i], 1);
    assert_string_equal(seen(&w, ""), "http 203.0.113.9:4711 192.0.2.2:443  a");
    close_world(&w);
}

static void
without_a_proxy_header_nothing_is_answered(void **state)
{
    struct world w;

    (void)state;
    open_greeted(&w);
    client_say(&w.c, GET("/"));
    assert_string_equal(client_hear(&w.c), "");
    assert_true(w.c.is_closed || w.c.is_reset);
    assert_string_equal(fixture_told(&w.f), "");
    client_close(&w.c);
    client_open(&w.c, &w.f); /* the half of one, then silence */
    client_say(&w.c, "PROXY TCP4 ");
    fixture_pass(&w.f, 1001);
    client_hear(&w.c);
    assert_true(w.c.is_closed || w.c.is_reset);
    client_close(&w.c);
    client_open(&w.c, &w.f);
    client_close(&w.c); /* a check of health: connect and leave */
    fixture_turns(&w.f);
    assert_true(guaco__list_is_empty(&w.f.server->conns));
    fixture_close(&w.f);
}

static void
a_draining_server_does_not_wait_for_a_proxy_header(void **state)
{
    struct world w;

    (void)state;
    open_greeted(&w);
    guaco__server_drain(w.f.server, 60000, NULL, NULL);
    fixture_turns(&w.f);
    fixture_pass(&w.f, 300);
    client_hear(&w.c);
    assert_true(w.c.is_closed);
    close_world(&w);
}

static void
strangers_may_not_connect(void **state)
{
    struct fixture f;
    struct client c;
    struct guaco_error err = {0};

    (void)state;
    fixture_init(&f);
    f.options.proxies.reads_protocol = true;
    assert_int_equal(guaco__loop_new(&f.loop, &err), 0);
    assert_int_equal(
        guaco__server_new(&f.server, f.loop, &f.app, &f.options, &err),
        GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "PROXY"));
    guaco__loop_free(f.loop);
    fixture_init(&f);
    f.options.proxies.reads_protocol = true;
    guaco__trust_add(&f.options.proxies.protocol, GUACO_SLICE("192.0.2.1"),
                     NULL);
    fixture_open(&f);
    assert_false(client_try_open(&c, &f));
    fixture_close(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trusted_proxy_names_client_scheme_host_and_prefix),
        cmocka_unit_test(a_request_of_1_0_without_host_is_given_the_proxys),
        cmocka_unit_test(the_fields_of_others_are_taken_out),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(what_anybody_can_cause_is_logged_once_a_second),
        cmocka_unit_test(a_websocket_behind_tls_is_wss),
        cmocka_unit_test(a_proxy_header_names_both_ends),
        cmocka_unit_test(a_proxy_header_may_come_byte_by_byte),
        cmocka_unit_test(without_a_proxy_header_nothing_is_answered),
        cmocka_unit_test(a_draining_server_does_not_wait_for_a_proxy_header),
        cmocka_unit_test(strangers_may_not_connect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
