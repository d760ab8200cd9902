/*
 * What proxies say: the contract is in forwarded.h.
 *
 * The walk from the right is done in one pass from the left: the client is
 * what follows from the last hop that is not trusted, so each such hop
 * replaces what was found before it.  No list is kept, whatever its length.
 */

#include "forwarded.h"

#include <string.h>

#include "fields.h"
#include "h1_int.h"
#include "scan.h"

/* One entry of the list, and what was said with it. */
struct hop {
    struct guaco__address address;
    uint16_t port;
    struct guaco_slice scheme;
    struct guaco_slice host;
};

struct walk {
    const struct guaco__trust *trust;
    struct hop client;
    bool has_client;
    bool takes_next; /* the last entry was no address: its address is that of
                        the hop behind it */
};

static void
walk_on(struct walk *walk, const struct hop *hop)
{
    bool is_known = hop->address.kind != GUACO__ADDRESS_NONE;

    if (walk->takes_next) {
        walk->client.address = hop->address;
        walk->client.port = 0; /* of its connection to us: nobody's concern */
        walk->takes_next = false;
    }
    if (walk->has_client && is_known &&
        guaco__trust_has(walk->trust, &hop->address))
        return;
    walk->client = *hop;
    walk->has_client = true;
    walk->takes_next = !is_known;
}

/* ---- texts ---- */

/* At most five digits, 1 to 65535. */
static bool
read_port(struct guaco_slice text, uint16_t *port)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.at[i] - '0');
    }
    *port = (uint16_t)value;
    return value > 0 && value <= UINT16_MAX;
}

/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1"; anything
 * else, "unknown" too, is no address. */
static void
read_node(struct guaco_slice text, struct hop *hop)
{
    const char *colon = memchr(text.at, ':', text.len);
    struct guaco_slice host = text;
    struct guaco_slice rest = {NULL, 0};

    hop->port = 0;
    hop->address.kind = GUACO__ADDRESS_NONE;
    if (text.len > 0 && text.at[0] == '[') {
        const char *close = memchr(text.at, ']', text.len);

        if (close == NULL)
            return;
        host = (struct guaco_slice){text.at + 1, (size_t)(close - text.at) - 1};
        rest = (struct guaco_slice){close + 1, text.len - host.len - 2};
    } else if (colon != NULL && memrchr(text.at, ':', text.len) == colon) {
        host.len = (size_t)(colon - text.at);
        rest = (struct guaco_slice){colon, text.len - host.len};
    }
    if (!guaco__address_parse(host, &hop->address) || rest.len == 0)
        return;
    /* an obfuscated port ("_x", RFC 7239 6.3) is as good as none */
    if (rest.at[0] != ':')
        hop->address.kind = GUACO__ADDRESS_NONE;
    else
        read_port((struct guaco_slice){rest.at + 1, rest.len - 1}, &hop->port);
}

static bool
read_scheme(struct guaco_slice text, struct guaco_slice *scheme)
{
    if (guaco__equals_lower(text, GUACO_SLICE("https")) ||
        guaco__equals_lower(text, GUACO_SLICE("wss")))
        *scheme = GUACO_SLICE("https");
    else if (guaco__equals_lower(text, GUACO_SLICE("http")) ||
             guaco__equals_lower(text, GUACO_SLICE("ws")))
        *scheme = GUACO_SLICE("http");
    else
        return false;
    return true;
}

/* A path of visible bytes that a browser takes for one: "//host" is none. */
static bool
read_prefix(struct guaco_slice text, struct guaco_slice *prefix)
{
    while (text.len > 0 && text.at[text.len - 1] == '/')
        text.len--;
    *prefix = text;
    if (text.len == 0)
        return true;
    if (text.at[0] != '/' || (text.len > 1 && text.at[1] == '/'))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] == '?' || text.at[i] == '\\' ||
            !guaco__char_is(text.at[i], GUACO__CHAR_TARGET))
            return false;
    return true;
}

/* The first value counts, and another must be the same. */
static bool
set_same(struct guaco_slice *slot, struct guaco_slice value)
{
    if (slot->len > 0)
        return guaco_slice_equals(*slot, value);
    *slot = value;
    return true;
}

/* ---- X-Forwarded-* ---- */

static const char *
x_for(struct walk *walk, struct guaco_slice list)
{
    struct guaco_slice item;

    while (guaco__list_next(&list, &item)) {
        struct hop hop = {.port = 0};

        read_node(item, &hop);
        walk_on(walk, &hop);
    }
    return NULL;
}

static const char *
x_proto(struct guaco__forwarded *out, struct guaco_slice list)
{
    struct guaco_slice item, scheme;

    while (guaco__list_next(&list, &item)) {
        if (!read_scheme(item, &scheme))
            return "X-Forwarded-Proto is no scheme of HTTP";
        if (!set_same(&out->scheme, scheme))
            return "two schemes are forwarded";
    }
    return NULL;
}

/* X-Forwarded-Ssl: on, or X-Forwarded-Protocol: ssl, as older proxies say it. */
static const char *
x_ssl(struct guaco__forwarded *out, struct guaco_slice value)
{
    bool is_on = guaco__equals_lower(value, GUACO_SLICE("on")) ||
                 guaco__equals_lower(value, GUACO_SLICE("ssl")) ||
                 guaco__equals_lower(value, GUACO_SLICE("https"));

    return x_proto(out, is_on ? GUACO_SLICE("https") : GUACO_SLICE("http"));
}

static const char *
x_host(struct guaco__forwarded *out, struct guaco_slice list)
{
    struct guaco_slice item;

    while (guaco__list_next(&list, &item)) {
        if (!guaco__h1_is_host(item))
            return "X-Forwarded-Host is no host";
        if (!set_same(&out->host, item))
            return "two hosts are forwarded";
    }
    return NULL;
}

static const char *
x_port(struct guaco__forwarded *out, struct guaco_slice list)
{
    struct guaco_slice item;

    while (guaco__list_next(&list, &item)) {
        uint16_t port;

        if (!read_port(item, &port))
            return "X-Forwarded-Port is no port";
        if (out->port != 0 && out->port != port)
            return "two ports are forwarded";
        out->port = port;
    }
    return NULL;
}

static const char *
x_prefix(struct guaco__forwarded *out, struct guaco_slice list)
{
    struct guaco_slice item, prefix;

    while (guaco__list_next(&list, &item)) {
        if (!read_prefix(item, &prefix))
            return "X-Forwarded-Prefix is no path";
        if (!set_same(&out->prefix, prefix))
            return "two prefixes are forwarded";
    }
    return NULL;
}

static const char *
x_field(struct walk *walk, struct guaco__forwarded *out,
        const struct guaco_field *field)
{
    const struct guaco_slice start = GUACO_SLICE("x-forwarded-");
    struct guaco_slice name = field->name;

    if (name.len <= start.len || memcmp(name.at, start.at, start.len) != 0)
        return NULL;
    name.at += start.len;
    name.len -= start.len;
    if (guaco_slice_equals(name, GUACO_SLICE("for")))
        return x_for(walk, field->value);
    if (guaco_slice_equals(name, GUACO_SLICE("proto")))
        return x_proto(out, field->value);
    if (guaco_slice_equals(name, GUACO_SLICE("ssl")) ||
        guaco_slice_equals(name, GUACO_SLICE("protocol")))
        return x_ssl(out, field->value);
    if (guaco_slice_equals(name, GUACO_SLICE("host")))
        return x_host(out, field->value);
    if (guaco_slice_equals(name, GUACO_SLICE("port")))
        return x_port(out, field->value);
    if (guaco_slice_equals(name, GUACO_SLICE("prefix")))
        return x_prefix(out, field->value);
    return NULL;
}

/* ---- Forwarded ---- */

static void
skip_space(struct guaco_slice *text)
{
    while (text->len > 0 && guaco__char_is(text->at[0], GUACO__CHAR_SPACE)) {
        text->at++;
        text->len--;
    }
}

static bool
take_byte(struct guaco_slice *text, char byte)
{
    skip_space(text);
    if (text->len == 0 || text->at[0] != byte)
        return false;
    text->at++;
    text->len--;
    return true;
}

/* A token at the front, not empty. */
static bool
take_token(struct guaco_slice *text, struct guaco_slice *token)
{
    skip_space(text);
    *token = (struct guaco_slice){text->at, 0};
    while (text->len > 0 && guaco__char_is(text->at[0], GUACO__CHAR_TOKEN)) {
        text->at++;
        text->len--;
        token->len++;
    }
    return token->len > 0;
}

/* A quoted string without its quotes.  Nothing that is read here needs an
 * escape, so one makes the value none. */
static bool
take_quoted(struct guaco_slice *text, struct guaco_slice *value)
{
    const char *close = memchr(text->at, '"', text->len);

    if (close == NULL)
        return false;
    *value = (struct guaco_slice){text->at, (size_t)(close - text->at)};
    if (memchr(value->at, '\\', value->len) != NULL)
        return false;
    text->len -= value->len + 1;
    text->at = close + 1;
    return true;
}

/* for="[2001:db8::1]" */
static const char *
take_pair(struct guaco_slice *text, struct hop *hop, bool *has_for)
{
    struct guaco_slice name, value;

    if (!take_token(text, &name) || !take_byte(text, '='))
        return "Forwarded is malformed";
    if (text->len > 0 && text->at[0] == '"') {
        take_byte(text, '"');
        if (!take_quoted(text, &value))
            return "Forwarded is malformed";
    } else if (!take_token(text, &value)) {
        return "Forwarded is malformed";
    }
    if (guaco__equals_lower(name, GUACO_SLICE("for"))) {
        if (*has_for)
            return "Forwarded names a hop twice";
        *has_for = true;
        read_node(value, hop);
    } else if (guaco__equals_lower(name, GUACO_SLICE("proto"))) {
        struct guaco_slice scheme;

        if (!read_scheme(value, &scheme) || !set_same(&hop->scheme, scheme))
            return "Forwarded has no scheme of HTTP, or two";
    } else if (guaco__equals_lower(name, GUACO_SLICE("host"))) {
        if (!guaco__h1_is_host(value) || !set_same(&hop->host, value))
            return "Forwarded has no host, or two";
    }
    return NULL;
}

/* The elements of one field line. */
static const char *
read_elements(struct walk *walk, struct guaco_slice text)
{
    for (;;) {
        struct hop hop = {.port = 0};
        bool has_for = false;
        bool has_pair = false;

        for (;;) {
            const char *why;

            skip_space(&text);
            if (text.len == 0 || text.at[0] == ',')
                break;
            if (take_byte(&text, ';'))
                continue;
            why = take_pair(&text, &hop, &has_for);
            if (why != NULL)
                return why;
            has_pair = true;
            skip_space(&text);
            if (text.len > 0 && text.at[0] != ',' && text.at[0] != ';')
                return "Forwarded is malformed";
        }
        if (has_pair)
            walk_on(walk, &hop);
        if (!take_byte(&text, ','))
            return NULL;
    }
}

/* ---- both ---- */

int
guaco__forwarded_read(enum guaco__forwarded_family family,
                      const struct guaco_field *fields, size_t count,
                      const struct guaco__trust *trust,
                      struct guaco__forwarded *out, const char **why)
{
    struct walk walk = {.trust = trust};

    *out = (struct guaco__forwarded){.port = 0};
    *why = NULL;
    for (size_t i = 0; i < count && *why == NULL; i++) {
        if (family == GUACO__FORWARDED_X)
            *why = x_field(&walk, out, &fields[i]);
        else if (guaco_slice_equals(fields[i].name, GUACO_SLICE("forwarded")))
            *why = read_elements(&walk, fields[i].value);
    }
    if (*why != NULL)
        return GUACO_E_PROTO;
    if (family == GUACO__FORWARDED_RFC7239) {
        out->scheme = walk.client.scheme;
        out->host = walk.client.host;
    }
    out->client = walk.client.address;
    out->client_port = walk.client.port;
    return GUACO_OK;
}

bool
guaco__forwarded_keeps(enum guaco__forwarded_family family, bool is_trusted,
                       struct guaco_slice name)
{
    const struct guaco_slice start = GUACO_SLICE("x-forwarded-");
    bool is_x =
        (name.len >= start.len && memcmp(name.at, start.at, start.len) == 0) ||
        guaco_slice_equals(name, GUACO_SLICE("x-real-ip"));
    bool is_standard = guaco_slice_equals(name, GUACO_SLICE("forwarded"));

    if (!is_x && !is_standard)
        return true;
    return is_trusted && is_x == (family == GUACO__FORWARDED_X);
}
