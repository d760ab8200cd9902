#ifndef GUACO_HTTP_H2_HEAD_H
#define GUACO_HTTP_H2_HEAD_H

/*
 * A request's head, gathered field by field from HPACK and then judged by the
 * rules of HTTP/1, so that an application sees the same either way: :authority
 * is `host`, first of all; crumbs of cookies are one field (RFC 9113 8.2.3).
 */

#include "base/buf.h"
#include "guaco/http/parser.h"

/* A text in the buffer, which moves. */
struct guaco__h2_span {
    uint32_t from;
    uint32_t len;
};

struct guaco__h2_entry {
    struct guaco__h2_span name;
    struct guaco__h2_span value;
    uint8_t id;
};

enum guaco__h2_pseudo {
    GUACO__H2_METHOD,
    GUACO__H2_PATH,
    GUACO__H2_SCHEME,
    GUACO__H2_AUTHORITY,
    GUACO__H2_PROTOCOL,
    GUACO__H2_PSEUDO_COUNT,
};

struct guaco__h2_head {
    const struct guaco_http_limits *limits;
    struct guaco__buf text;    /* names and values */
    struct guaco__buf entries; /* of struct guaco__h2_entry */
    struct guaco__h2_span pseudo[GUACO__H2_PSEUDO_COUNT];
    size_t total_bytes; /* of all, kept or not */
    uint32_t cookies;
    enum guaco_http_fault fault;
};

void guaco__h2_head_init(struct guaco__h2_head *head,
                         const struct guaco_http_limits *limits);
void guaco__h2_head_release(struct guaco__h2_head *head);

/* Begin a head, with or without memory of one before. */
void guaco__h2_head_begin(struct guaco__h2_head *head);

/* Add a field or pseudo field, copied.  Returns 0 (a limit of the request
 * shows in the judgement), GUACO_E_NOMEM, or GUACO_E_LIMIT: it is past all
 * measure, end the connection. */
int guaco__h2_head_add(struct guaco__h2_head *head, struct guaco_slice name,
                       struct guaco_slice value);

/* All are here: fill *out, whose arrays are the caller's.  `is_last`: no body
 * follows.  Gives the fault. */
enum guaco_http_fault
guaco__h2_head_judge(struct guaco__h2_head *head, struct guaco_http_head *out,
                     bool is_last, bool *is_websocket);

#endif
