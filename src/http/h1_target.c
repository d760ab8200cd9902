/*
 * The forms of a request target (RFC 9112 3.2) and the grammar of an
 * authority.  The scan of the request line has refused controls, spaces, '#'
 * and bytes outside ASCII already.
 */

#include <string.h>

#include "fields.h"
#include "h1_int.h"
#include "scan.h"

static bool
slice_is(struct guaco_slice slice, const char *literal, size_t len)
{
    return slice.len == len && memcmp(slice.at, literal, len) == 0;
}

/* At most five digits, at most 65535; none at all is allowed (RFC 3986). */
static bool
is_port(const char *at, const char *end)
{
    unsigned port = 0;

    if (end - at > 5)
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        port = port * 10 + (unsigned)(*at - '0');
    }
    return port <= 65535;
}

/* Behind the '[' of an IP literal: the byte behind its ']', or NULL. */
static const char *
skip_ip_literal(const char *at, const char *end)
{
    const char *close = memchr(at, ']', (size_t)(end - at));
    int colons = 0;

    if (close == NULL)
        return NULL;
    for (; at < close; at++) {
        if (*at == ':')
            colons++;
        else if (*at != '.' && guaco__hex_value[(uint8_t)*at] < 0)
            return NULL;
    }
    return colons >= 2 ? close + 1 : NULL;
}

/* The byte behind a registered name, or NULL. */
static const char *
skip_reg_name(const char *at, const char *end)
{
    const char *start = at;

    for (; at < end && guaco__char_is(*at, GUACO__CHAR_HOST); at++) {
        if (*at != '%')
            continue;
        if (end - at < 3 || guaco__hex_value[(uint8_t)at[1]] < 0 ||
            guaco__hex_value[(uint8_t)at[2]] < 0)
            return NULL;
    }
    return at > start ? at : NULL;
}

bool
guaco__h1_is_host(struct guaco_slice host)
{
    if (host.len == 0)
        return false;

    const char *end = host.at + host.len;
    const char *at = host.at[0] == '[' ? skip_ip_literal(host.at + 1, end)
                                       : skip_reg_name(host.at, end);
    if (at == NULL)
        return false;
    return at == end || (*at == ':' && is_port(at + 1, end));
}

static void
split_query(struct guaco_http_head *head, const char *at, const char *end)
{
    const char *mark = memchr(at, '?', (size_t)(end - at));

    head->path = (struct guaco_slice){at, (size_t)((mark ? mark : end) - at)};
    if (mark == NULL)
        head->query = (struct guaco_slice){NULL, 0};
    else
        head->query =
            (struct guaco_slice){mark + 1, (size_t)(end - (mark + 1))};
}

/* scheme "://" authority [ path ] [ "?" query ], of http and https only. */
static int
split_absolute(struct guaco_http_head *head)
{
    struct guaco_slice target = head->target;
    size_t scheme_len = target.len > 5 && target.at[4] == ':' ? 7 : 8;
    if (target.len <= scheme_len)
        return GUACO_HTTP_FAULT_TARGET_FORM;
    struct guaco_slice scheme = {target.at, scheme_len};
    if (!guaco__equals_lower(scheme, GUACO_SLICE("http://")) &&
        !guaco__equals_lower(scheme, GUACO_SLICE("https://")))
        return GUACO_HTTP_FAULT_TARGET_FORM;

    const char *start = target.at + scheme_len;
    const char *end = target.at + target.len;
    const char *at = start;
    while (at < end && *at != '/' && *at != '?')
        at++;
    head->authority = (struct guaco_slice){start, (size_t)(at - start)};
    if (!guaco__h1_is_host(head->authority))
        return GUACO_HTTP_FAULT_TARGET_FORM;

    head->form = GUACO_HTTP_ABSOLUTE_FORM;
    split_query(head, at, end);
    if (head->path.len == 0) /* RFC 9112 3.2.4: OPTIONS of the whole server */
        head->path =
            slice_is(head->method, "OPTIONS", 7) && head->query.at == NULL
                ? GUACO_SLICE("*")
                : GUACO_SLICE("/");
    return H1_OK;
}

/* CONNECT asks for a tunnel and TRACE for an echo of its head, credentials
 * and all; an origin gateway offers neither. */
static int
check_method(const struct guaco_http_head *head)
{
    if (slice_is(head->method, "CONNECT", 7))
        return guaco__h1_is_host(head->target) ? GUACO_HTTP_FAULT_METHOD_UNKNOWN
                                               : GUACO_HTTP_FAULT_TARGET_FORM;
    if (slice_is(head->method, "TRACE", 5))
        return GUACO_HTTP_FAULT_METHOD_UNKNOWN;
    return H1_OK;
}

int
guaco__h1_target(struct guaco_http_head *head)
{
    const char *at = head->target.at;
    int rc = check_method(head);
    if (rc != H1_OK)
        return rc;

    head->authority = (struct guaco_slice){NULL, 0};
    if (at[0] == '/') {
        head->form = GUACO_HTTP_ORIGIN_FORM;
        split_query(head, at, at + head->target.len);
        return H1_OK;
    }
    if (slice_is(head->target, "*", 1)) {
        head->form = GUACO_HTTP_ASTERISK_FORM;
        head->path = head->target;
        head->query = (struct guaco_slice){NULL, 0};
        return slice_is(head->method, "OPTIONS", 7)
                   ? H1_OK
                   : GUACO_HTTP_FAULT_TARGET_FORM;
    }
    return split_absolute(head);
}
