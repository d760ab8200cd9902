/* Who is trusted, what a PROXY header says, and what the fields of proxies
 * say: tables. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "http/forwarded.h"
#include "http/proxy_protocol.h"

static struct guaco_slice
slice(const char *text)
{
    return (struct guaco_slice){text, strlen(text)};
}

/* ---- addresses ---- */

/* What the C library says of the text, canonical; "" for none. */
static void
reference(const char *text, char out[GUACO__ADDRESS_TEXT_BYTES])
{
    uint8_t bytes[16];

    out[0] = '\0';
    if (inet_pton(AF_INET, text, bytes) == 1)
        inet_ntop(AF_INET, bytes, out, GUACO__ADDRESS_TEXT_BYTES);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        inet_ntop(AF_INET6, bytes, out, GUACO__ADDRESS_TEXT_BYTES);
    if (strncmp(out, "::ffff:", 7) == 0 && strchr(out, '.') != NULL)
        memmove(out, out + 7, strlen(out + 7) + 1);
}

static void
check_address(const char *text)
{
    struct guaco__address address;
    char ours[GUACO__ADDRESS_TEXT_BYTES], theirs[GUACO__ADDRESS_TEXT_BYTES];

    guaco__address_parse(slice(text), &address);
    guaco__address_format(&address, ours);
    reference(text, theirs);
    /* the C library writes old IPv4-compatible ones as ::1.2.3.4 */
    if (strcmp(ours, theirs) != 0 &&
        !(strncmp(theirs, "::", 2) == 0 && strchr(theirs, '.') != NULL))
        fail_msg("%s: '%s', not '%s'", text, ours, theirs);
}

static void
addresses_are_read_as_the_c_library_reads_them(void **state)
{
    static const char *const texts[] = {
        "0.0.0.0",
        "255.255.255.255",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.",
        ".1.2.3",
        "1..2.3",
        "1.2.3.4 ",
        "0.0.0.00",
        "::",
        "::1",
        "1::",
        "1::8",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        ":1::",
        "1:",
        ":::",
        "1:::2",
        "12345::",
        "g::",
        "::ffff:1.2.3.4",
        "::1.2.3.4",
        "1:2:3:4:5:6:1.2.3.4",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::1.2.3.4:5",
        "1:0:0:2:0:0:0:3",
        "1:0:0:2:0:0:3:4",
        "1:0:2:0:3:0:4:0",
        "2001:DB8::A",
        "0:0:0:0:0:0:0:0",
        "::ffff:0:1.2.3.4",
        "1:2:3:4:5:6:7:8:",
        "::%1",
        "fe80::1%lo",
        ":",
        "",
        "1.2.3.4:80",
        "00001::",
        "::0001",
    };
    static const char alphabet[] = "0123f:::..";
    uint32_t seed = 1;
    char random[20];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check_address(texts[i]);
    for (int i = 0; i < 100000; i++) {
        size_t len = 0;

        do {
            seed = seed * 1664525 + 1013904223;
            random[len++] = alphabet[(seed >> 16) % 10];
        } while (len < 19 && (seed >> 27) != 0);
        random[len] = '\0';
        check_address(random);
    }
}

/* ---- trust ---- */

static void
networks_are_matched_by_prefix(void **state)
{
    static const struct {
        const char *trust, *address;
        bool is_trusted;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.128.0.0/9", "10.127.0.1", false},
        {"192.0.2.4/31", "192.0.2.5", true},
        {"192.0.2.4/31", "192.0.2.6", false},
        {"0.0.0.0/0", "203.0.113.1", true},
        {"0.0.0.0/0", "::1", false},
        {"::1", "::1", true},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"192.0.2.1, 198.51.100.0/24 ,::1", "198.51.100.7", true},
        {"*", "198.51.100.7", true},
        {"unix", "198.51.100.7", false},
        {"", "127.0.0.1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guaco__trust trust = {.count = 0};
        struct guaco__address address;

        assert_int_equal(guaco__trust_add(&trust, slice(cases[i].trust), NULL),
                         0);
        assert_true(guaco__address_parse(slice(cases[i].address), &address));
        if (guaco__trust_has(&trust, &address) != cases[i].is_trusted)
            fail_msg("%s in %s", cases[i].address, cases[i].trust);
    }
}

static void
only_star_trusts_an_address_that_is_not_known(void **state)
{
    const struct guaco__address none = {.kind = GUACO__ADDRESS_NONE};
    const struct guaco__address local = {.kind = GUACO__ADDRESS_UNIX};
    struct guaco__trust trust = {.has_unix = true};

    (void)state;
    assert_true(guaco__trust_has(&trust, &local));
    assert_false(guaco__trust_has(&trust, &none));
    trust = (struct guaco__trust){.has_all = true};
    assert_true(guaco__trust_has(&trust, &local));
    assert_true(guaco__trust_has(&trust, &none));
}

static void
what_is_no_network_is_named(void **state)
{
    static const char *const bad[] = {
        "10.0.0.1/8",       "10.0.0.0/33", "10.0.0.0/", "localhost",
        "010.0.0.1",        "::1/129",     "[::1]",     "10.0.0.0/8/8",
        "10.0.0",           "fe80::1%lo",  "::/-1",     "**",
        "::ffff:1.2.3.4/64"};
    struct guaco__trust trust = {.count = 0};
    struct guaco_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err.text[0] = '\0';
        if (guaco__trust_add(&trust, slice(bad[i]), &err) != GUACO_E_INVALID)
            fail_msg("%s was taken", bad[i]);
        assert_non_null(strstr(err.text, bad[i]));
    }
    assert_true(guaco__trust_is_empty(&trust));
    for (int i = 0; i < GUACO__TRUST_MAX; i++)
        assert_int_equal(guaco__trust_add(&trust, slice("::1"), NULL), 0);
    assert_int_equal(guaco__trust_add(&trust, slice("::1"), &err),
                     GUACO_E_LIMIT);
}

/* ---- the PROXY protocol ---- */

#define V2         "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(lit) lit, sizeof(lit) - 1

struct header_case {
    const char *data;
    size_t len;
    int rc;
    const char *says; /* "client port server port", "-" for none */
};

static const struct header_case header_cases[] = {
    {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"), 0,
     "192.0.2.1 56324 192.0.2.2 443"},
    {BYTES("PROXY TCP6 2001:db8::1 ::2 0 65535\r\n"), 0,
     "2001:db8::1 0 ::2 65535"},
    {BYTES("PROXY UNKNOWN\r\n"), 0, "-"},
    {BYTES("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), 0,
     "-"},
    {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP4 ::1 ::2 1 2\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP6 1.2.3.4 ::2 1 2\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("GET / HTTP/1.1\r\n"), GUACO_E_PROTO, NULL},
    {BYTES("\x16\x03\x01"), GUACO_E_PROTO, NULL},
    {BYTES("PROXY UNKNOWN 9999999999999999999999999999999999999999999999999999"
           "9999999999999999999999999999999999999999999999"),
     GUACO_E_LIMIT, NULL},
    {BYTES("PROXY TCP4 1.2.3.4 1.2"), GUACO_E_AGAIN, NULL},
    {BYTES(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\xdc\x04\1\xbb"), 0,
     "192.0.2.1 56324 192.0.2.2 443"},
    {BYTES(V2 "\x21\x21\0\x24\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
              "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\2"),
     0, "2001:db8::1 1 2001:db8::2 2"},
    {BYTES(V2 "\x21\x11\0\x13\1\2\3\4\1\2\3\5\0\1\0\2\4\0\4abcd"), 0,
     "1.2.3.4 1 1.2.3.5 2"},
    {BYTES(V2 "\x21\x11\0\x12\1\2\3\4\1\2\3\5\0\1\0\2\4\0\4abc"), GUACO_E_PROTO,
     NULL}, /* TLV past its end */
    {BYTES(V2 "\x21\x11\0\x0b\1\2\3\4\1\2\3\5\0\1\0"), GUACO_E_PROTO,
     NULL},                                   /* too short for IPv4 */
    {BYTES(V2 "\x20\x11\0\x04whoX"), 0, "-"}, /* LOCAL */
    {BYTES(V2 "\x20\0\0\0"), 0, "-"},         /* LOCAL, UNSPEC */
    {BYTES(V2 "\x21\0\0\0"), 0, "-"},         /* PROXY, UNSPEC */
    {BYTES(V2 "\x21\x12\0\x0c\1\2\3\4\1\2\3\5\0\1\0\2"), 0, "-"}, /* UDP */
    {BYTES(V2 "\x22\x11\0\0"), GUACO_E_PROTO, NULL}, /* no such command */
    {BYTES(V2 "\x11\x11\0\0"), GUACO_E_PROTO, NULL}, /* no such version */
    {BYTES(V2 "\x21\x41\0\0"), GUACO_E_PROTO, NULL}, /* no such family */
    {BYTES(V2 "\x21\x11\xff\xff"), GUACO_E_LIMIT, NULL},
    {BYTES(V2 "\x21\x11\0"), GUACO_E_AGAIN, NULL},
    {BYTES("\r\n\r\n"), GUACO_E_AGAIN, NULL},
    {BYTES("\r\n\r\nG"), GUACO_E_PROTO, NULL},
};

static const char *
describe(const struct guaco__proxy_header *h)
{
    static char out[160];
    char client[GUACO__ADDRESS_TEXT_BYTES], server[GUACO__ADDRESS_TEXT_BYTES];

    if (h->client.kind == GUACO__ADDRESS_NONE)
        return "-";
    guaco__address_format(&h->client, client);
    guaco__address_format(&h->server, server);
    snprintf(out, sizeof(out), "%s %u %s %u", client, h->client_port, server,
             h->server_port);
    return out;
}

static void
a_proxy_header_says_who_talks_or_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(header_cases) / sizeof(*header_cases); i++) {
        const struct header_case *c = &header_cases[i];
        struct guaco__proxy_header header;
        size_t used;
        int rc = guaco__proxy_read(c->data, c->len, &header, &used);

        if (rc != c->rc)
            fail_msg("case %zu: %d, not %d", i, rc, c->rc);
        if (rc == 0) {
            assert_string_equal(describe(&header), c->says);
            assert_int_equal(used, c->len);
        }
    }
}

static void
a_proxy_header_in_pieces_is_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(header_cases) / sizeof(*header_cases); i++) {
        const struct header_case *c = &header_cases[i];
        struct guaco__proxy_header header;
        char more[256];
        size_t used;

        for (size_t n = 0; c->rc == 0 && n < c->len; n++)
            assert_int_equal(guaco__proxy_read(c->data, n, &header, &used),
                             GUACO_E_AGAIN);
        if (c->rc != 0)
            continue;
        memcpy(more, c->data, c->len);
        memcpy(more + c->len, "\x16\x03\x01\0\n", 5); /* of TLS */
        assert_int_equal(guaco__proxy_read(more, c->len + 5, &header, &used),
                         0);
        assert_int_equal(used, c->len);
    }
}

static void
the_paths_of_unix_sockets_are_passed_over(void **state)
{
    char data[16 + 216] = V2 "\x21\x31\0\xd8";
    struct guaco__proxy_header header;
    size_t used;

    (void)state;
    assert_int_equal(guaco__proxy_read(data, sizeof(data), &header, &used), 0);
    assert_int_equal(header.client.kind, GUACO__ADDRESS_UNIX);
    assert_int_equal(used, sizeof(data));
}

/* ---- fields ---- */

struct field_case {
    enum guaco__forwarded_family family;
    const char *fields; /* "name: value" lines */
    const char *says;   /* "client:port scheme host port prefix"; NULL: 400 */
};

#define X GUACO__FORWARDED_X
#define F GUACO__FORWARDED_RFC7239

static const struct field_case field_cases[] = {
    {X, "", ":0    "},
    {X, "x-forwarded-for: 203.0.113.9", "203.0.113.9:0    "},
    /* the walk from the right: 10/8 is trusted */
    {X, "x-forwarded-for: 6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9:0    "},
    {X, "x-forwarded-for: 6.6.6.6\nx-forwarded-for: 203.0.113.9,10.0.0.1",
     "203.0.113.9:0    "},
    {X, "x-forwarded-for: 10.0.0.2, 10.0.0.1", "10.0.0.2:0    "},
    {X, "x-forwarded-for: 6.6.6.6, 7.7.7.7", "7.7.7.7:0    "},
    {X, "x-forwarded-for: 203.0.113.9:4711", "203.0.113.9:4711    "},
    {X, "x-forwarded-for: [2001:db8::1]:4711", "2001:db8::1:4711    "},
    {X, "x-forwarded-for: 2001:db8::1", "2001:db8::1:0    "},
    {X, "x-forwarded-for: ::ffff:203.0.113.9", "203.0.113.9:0    "},
    {X, "x-forwarded-for: , ,203.0.113.9,", "203.0.113.9:0    "},
    /* what is no address ends the walk at the hop that named it */
    {X, "x-forwarded-for: 6.6.6.6, unknown, 10.0.0.1", "10.0.0.1:0    "},
    {X, "x-forwarded-for: unknown", ":0    "},
    {X, "x-forwarded-for: 6.6.6.6, evil\"<script>", ":0    "},
    {X, "x-forwarded-for: [::1]x", ":0    "},
    {X, "x-forwarded-for: [::1", ":0    "},
    {X, "x-forwarded-for: 127.0.0.1 6.6.6.6", ":0    "},
    {X, "x-forwarded-proto: HTTPS", ":0 https   "},
    {X, "x-forwarded-proto: wss", ":0 https   "},
    {X, "x-forwarded-proto: https, https\nx-forwarded-ssl: on", ":0 https   "},
    {X, "x-forwarded-protocol: ssl", ":0 https   "},
    {X, "x-forwarded-protocol: http\nx-forwarded-ssl: off", ":0 http   "},
    {X, "x-forwarded-protocol: ssl\nx-forwarded-proto: http", NULL},
    {X, "x-forwarded-proto: https, http", NULL},
    {X, "x-forwarded-proto: https\nx-forwarded-proto: http", NULL},
    {X, "x-forwarded-proto: http\nx-forwarded-ssl: on", NULL},
    {X, "x-forwarded-proto: gopher", NULL},
    {X, "x-forwarded-host: example.org:8443", ":0  example.org:8443  "},
    {X, "x-forwarded-host: a.example, b.example", NULL},
    {X, "x-forwarded-host: user@example.org", NULL},
    {X, "x-forwarded-host: a/b", NULL},
    {X, "x-forwarded-port: 8443", ":0   8443 "},
    {X, "x-forwarded-port: 0", NULL},
    {X, "x-forwarded-port: 1, 2", NULL},
    {X, "x-forwarded-port: 65536", NULL},
    {X, "x-forwarded-prefix: /app/", ":0    /app"},
    {X, "x-forwarded-prefix: /", ":0    "},
    {X, "x-forwarded-prefix: app", NULL},
    {X, "x-forwarded-prefix: //evil.example", NULL},
    {X, "x-forwarded-prefix: /a?b", NULL},
    {X, "x-forwarded-prefix: /\\evil", NULL},
    {X, "x-forwarded-server: a", ":0    "},
    {X, "forwarded: for=6.6.6.6", ":0    "}, /* not the family that is read */
    {F, "x-forwarded-for: 6.6.6.6\nx-forwarded-proto: https", ":0    "},
    {F, "forwarded: for=203.0.113.9;proto=https;host=example.org;by=10.0.0.1",
     "203.0.113.9:0 https example.org  "},
    {F, "forwarded: For=\"[2001:db8::17]:4711\"", "2001:db8::17:4711    "},
    {F, "forwarded: for=\"203.0.113.9:_x\"", "203.0.113.9:0    "},
    {F,
     "forwarded: for=6.6.6.6;proto=http, for=203.0.113.9;proto=https, "
     "for=10.0.0.1;proto=http",
     "203.0.113.9:0 https   "},
    {F, "forwarded: for=203.0.113.9;proto=https\nforwarded: for=10.0.0.1",
     "203.0.113.9:0 https   "},
    {F, "forwarded: for=_hidden;proto=https, for=10.0.0.1",
     "10.0.0.1:0 https   "},
    {F, "forwarded: proto=https", ":0 https   "},
    {F, "forwarded: for=6.6.6.6, ;, for=\"_secret\" ; proto=http",
     ":0 http   "},
    {F, "forwarded: for=1.2.3.4;for=5.6.7.8", NULL},
    {F, "forwarded: proto=https;proto=http", NULL},
    {F, "forwarded: proto=gopher", NULL},
    {F, "forwarded: host=\"a/b\"", NULL},
    {F, "forwarded: for=[::1]", NULL}, /* brackets must be quoted */
    {F, "forwarded: for=\"1.2.3.4", NULL},
    {F, "forwarded: for=\"1.2\\.3.4\"", NULL},
    {F, "forwarded: for", NULL},
    {F, "forwarded: for=1.2.3.4 proto=https", NULL},
    {F, "forwarded: =1.2.3.4", NULL},
};

static size_t
split(const char *text, struct guaco_field *fields)
{
    size_t count = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        size_t name = strcspn(text, ":");

        fields[count++] = (struct guaco_field){
            {text, name}, {text + name + 2, len - name - 2}};
        text += len + (text[len] == '\n');
    }
    return count;
}

static void
what_proxies_say_is_taken_or_refused(void **state)
{
    struct guaco__trust trust = {.count = 0};

    (void)state;
    guaco__trust_add(&trust, GUACO_SLICE("10.0.0.0/8"), NULL);
    for (size_t i = 0; i < sizeof(field_cases) / sizeof(*field_cases); i++) {
        const struct field_case *c = &field_cases[i];
        struct guaco_field fields[8];
        struct guaco__forwarded f;
        char client[GUACO__ADDRESS_TEXT_BYTES], port[8] = "", says[256];
        const char *why;
        int rc = guaco__forwarded_read(
            c->family, fields, split(c->fields, fields), &trust, &f, &why);

        if (c->says == NULL) {
            if (rc != GUACO_E_PROTO || why == NULL)
                fail_msg("taken: %s", c->fields);
            continue;
        }
        if (rc != 0)
            fail_msg("%s: %s", c->fields, why);
        guaco__address_format(&f.client, client);
        if (f.port != 0)
            snprintf(port, sizeof(port), "%u", f.port);
        snprintf(says, sizeof(says), "%s:%u %.*s %.*s %s %.*s", client,
                 f.client_port, (int)f.scheme.len, f.scheme.at, (int)f.host.len,
                 f.host.at, port, (int)f.prefix.len, f.prefix.at);
        if (strcmp(says, c->says) != 0)
            fail_msg("%s: '%s', not '%s'", c->fields, says, c->says);
    }
}

static void
everybody_is_trusted_by_star(void **state)
{
    struct guaco__trust trust = {.has_all = true};
    struct guaco_field fields[1];
    struct guaco__forwarded f;
    const char *why;
    char client[GUACO__ADDRESS_TEXT_BYTES];

    (void)state;
    split("x-forwarded-for: 6.6.6.6, 7.7.7.7", fields);
    assert_int_equal(guaco__forwarded_read(X, fields, 1, &trust, &f, &why), 0);
    guaco__address_format(&f.client, client);
    assert_string_equal(client, "6.6.6.6");
}

static void
fields_that_nobody_vouched_for_are_not_kept(void **state)
{
    (void)state;
    assert_true(guaco__forwarded_keeps(X, false, slice("host")));
    assert_true(guaco__forwarded_keeps(X, true, slice("x-forwarded-for")));
    assert_true(guaco__forwarded_keeps(X, true, slice("x-real-ip")));
    assert_false(guaco__forwarded_keeps(X, true, slice("forwarded")));
    assert_false(guaco__forwarded_keeps(X, false, slice("x-forwarded-for")));
    assert_false(guaco__forwarded_keeps(X, false, slice("x-forwarded-any")));
    assert_false(guaco__forwarded_keeps(X, false, slice("forwarded")));
    assert_true(guaco__forwarded_keeps(F, true, slice("forwarded")));
    assert_false(guaco__forwarded_keeps(F, true, slice("x-forwarded-for")));
    assert_true(guaco__forwarded_keeps(X, false, slice("x-forwarded")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_as_the_c_library_reads_them),
        cmocka_unit_test(networks_are_matched_by_prefix),
        cmocka_unit_test(only_star_trusts_an_address_that_is_not_known),
        cmocka_unit_test(what_is_no_network_is_named),
        cmocka_unit_test(a_proxy_header_says_who_talks_or_is_refused),
        cmocka_unit_test(a_proxy_header_in_pieces_is_the_same),
        cmocka_unit_test(the_paths_of_unix_sockets_are_passed_over),
        cmocka_unit_test(what_proxies_say_is_taken_or_refused),
        cmocka_unit_test(everybody_is_trusted_by_star),
        cmocka_unit_test(fields_that_nobody_vouched_for_are_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
