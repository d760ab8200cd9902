#ifndef GUACO_HTTP_FIELDS_H
#define GUACO_HTTP_FIELDS_H

/*
 * Field names that are met often, as small numbers, and the little grammar of
 * field values: tokens and comma separated lists of them (RFC 9110 5.6).
 *
 * The numbers are for tables: the parser switches on them, the Python side
 * keeps one prebuilt bytes object for each.  Looking a name up is one hash of
 * four of its bytes and one memcmp.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/slice.h"

/* Registered fields and those that proxies and browsers send.  Append here,
 * then run tools/field_hash.py. */
#define GUACO__FIELD_MAP(X)                                                 \
    X(HOST, "host")                                                         \
    X(CONNECTION, "connection")                                             \
    X(CONTENT_LENGTH, "content-length")                                     \
    X(TRANSFER_ENCODING, "transfer-encoding")                               \
    X(CONTENT_TYPE, "content-type")                                         \
    X(EXPECT, "expect")                                                     \
    X(TE, "te")                                                             \
    X(UPGRADE, "upgrade")                                                   \
    X(TRAILER, "trailer")                                                   \
    X(KEEP_ALIVE, "keep-alive")                                             \
    X(PROXY_CONNECTION, "proxy-connection")                                 \
    X(AUTHORIZATION, "authorization")                                       \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                           \
    X(ACCEPT, "accept")                                                     \
    X(ACCEPT_CHARSET, "accept-charset")                                     \
    X(ACCEPT_ENCODING, "accept-encoding")                                   \
    X(ACCEPT_LANGUAGE, "accept-language")                                   \
    X(ACCEPT_RANGES, "accept-ranges")                                       \
    X(ACCESS_CONTROL_ALLOW_CREDENTIALS, "access-control-allow-credentials") \
    X(ACCESS_CONTROL_ALLOW_HEADERS, "access-control-allow-headers")         \
    X(ACCESS_CONTROL_ALLOW_METHODS, "access-control-allow-methods")         \
    X(ACCESS_CONTROL_ALLOW_ORIGIN, "access-control-allow-origin")           \
    X(ACCESS_CONTROL_EXPOSE_HEADERS, "access-control-expose-headers")       \
    X(ACCESS_CONTROL_MAX_AGE, "access-control-max-age")                     \
    X(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers")     \
    X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method")       \
    X(AGE, "age")                                                           \
    X(ALLOW, "allow")                                                       \
    X(ALT_SVC, "alt-svc")                                                   \
    X(CACHE_CONTROL, "cache-control")                                       \
    X(CONTENT_DISPOSITION, "content-disposition")                           \
    X(CONTENT_ENCODING, "content-encoding")                                 \
    X(CONTENT_LANGUAGE, "content-language")                                 \
    X(CONTENT_LOCATION, "content-location")                                 \
    X(CONTENT_RANGE, "content-range")                                       \
    X(CONTENT_SECURITY_POLICY, "content-security-policy")                   \
    X(COOKIE, "cookie")                                                     \
    X(DATE, "date")                                                         \
    X(DNT, "dnt")                                                           \
    X(ETAG, "etag")                                                         \
    X(EXPIRES, "expires")                                                   \
    X(FORWARDED, "forwarded")                                               \
    X(FROM, "from")                                                         \
    X(IF_MATCH, "if-match")                                                 \
    X(IF_MODIFIED_SINCE, "if-modified-since")                               \
    X(IF_NONE_MATCH, "if-none-match")                                       \
    X(IF_RANGE, "if-range")                                                 \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                           \
    X(LAST_MODIFIED, "last-modified")                                       \
    X(LINK, "link")                                                         \
    X(LOCATION, "location")                                                 \
    X(MAX_FORWARDS, "max-forwards")                                         \
    X(ORIGIN, "origin")                                                     \
    X(PERMISSIONS_POLICY, "permissions-policy")                             \
    X(PRAGMA, "pragma")                                                     \
    X(PRIORITY, "priority")                                                 \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                             \
    X(RANGE, "range")                                                       \
    X(REFERER, "referer")                                                   \
    X(REFERRER_POLICY, "referrer-policy")                                   \
    X(RETRY_AFTER, "retry-after")                                           \
    X(SEC_CH_UA, "sec-ch-ua")                                               \
    X(SEC_CH_UA_MOBILE, "sec-ch-ua-mobile")                                 \
    X(SEC_CH_UA_PLATFORM, "sec-ch-ua-platform")                             \
    X(SEC_FETCH_DEST, "sec-fetch-dest")                                     \
    X(SEC_FETCH_MODE, "sec-fetch-mode")                                     \
    X(SEC_FETCH_SITE, "sec-fetch-site")                                     \
    X(SEC_FETCH_USER, "sec-fetch-user")                                     \
    X(SEC_GPC, "sec-gpc")                                                   \
    X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept")                         \
    X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions")                 \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")                               \
    X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")                     \
    X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")                       \
    X(SERVER, "server")                                                     \
    X(SET_COOKIE, "set-cookie")                                             \
    X(STRICT_TRANSPORT_SECURITY, "strict-transport-security")               \
    X(TRACEPARENT, "traceparent")                                           \
    X(TRACESTATE, "tracestate")                                             \
    X(UPGRADE_INSECURE_REQUESTS, "upgrade-insecure-requests")               \
    X(USER_AGENT, "user-agent")                                             \
    X(VARY, "vary")                                                         \
    X(VIA, "via")                                                           \
    X(WWW_AUTHENTICATE, "www-authenticate")                                 \
    X(X_CONTENT_TYPE_OPTIONS, "x-content-type-options")                     \
    X(X_CSRF_TOKEN, "x-csrf-token")                                         \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                   \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                 \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                 \
    X(X_FORWARDED_PREFIX, "x-forwarded-prefix")                             \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                               \
    X(X_FRAME_OPTIONS, "x-frame-options")                                   \
    X(X_REAL_IP, "x-real-ip")                                               \
    X(X_REQUEST_ID, "x-request-id")                                         \
    X(X_REQUESTED_WITH, "x-requested-with")

enum guaco__field_id {
    GUACO__FIELD_OTHER,
#define X(name, text) GUACO__FIELD_##name,
    GUACO__FIELD_MAP(X)
#undef X
        GUACO__FIELD_COUNT
};

/* The number of a name in lower case; GUACO__FIELD_OTHER when it has none. */
enum guaco__field_id guaco__field_find(struct guaco_slice name);

/* The name in lower case; empty for GUACO__FIELD_OTHER.  Lives for ever. */
struct guaco_slice guaco__field_name(enum guaco__field_id id);

/* A token (RFC 9110 5.6.2), at least one byte. */
bool guaco__is_token(struct guaco_slice text);

/* HTAB, SP, visible ASCII and bytes from 0x80; nothing else (RFC 9110 5.5). */
bool guaco__is_field_value(struct guaco_slice text);

/* Equal but for the case of ASCII letters; `lower` is in lower case. */
bool guaco__equals_lower(struct guaco_slice text, struct guaco_slice lower);

/* `text` without SP and HTAB at both ends. */
struct guaco_slice guaco__trim(struct guaco_slice text);

/*
 * Take the next element of a comma separated list (RFC 9110 5.6.1), trimmed
 * and not empty, from the front of *list.  False when there is none left.
 * Quoted strings are not understood: for lists of tokens.
 */
bool guaco__list_next(struct guaco_slice *list, struct guaco_slice *element);

/* True when the list has this token, in any case; `lower` in lower case. */
bool guaco__list_has(struct guaco_slice list, struct guaco_slice lower);

#endif
