#ifndef GUACO_HTTP_H1_INT_H
#define GUACO_HTTP_H1_INT_H

/*
 * The parts of the request parser, private to h1_*.c.  Each reads from a
 * cursor and answers one of three ways: a step was made, more bytes are
 * needed, or a fault.  None of them keeps anything but in the parser.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/http/parser.h"

/* What a step answers: a fault, or one of these below zero. */
enum {
    H1_OK = 0,
    H1_MORE = -1,  /* the line is not whole */
    H1_BLANK = -2, /* the line is empty: the end of the fields */
};

struct h1_cursor {
    char *at;              /* the next byte */
    char *end;             /* of what may be looked at */
    const char *clean;     /* bytes of the current line before it were found
                              free of controls by an earlier call, or NULL */
    const char *clean_new; /* what this call found, or NULL */
};

/*
 * Read one field line of at most `max` bytes without its CRLF, in the head or
 * the trailers; *id is the number of its name.  Answers H1_OK, H1_BLANK,
 * H1_MORE or a fault; the cursor moves only with the first two.
 */
int guaco__h1_field_line(struct h1_cursor *cursor, uint32_t max,
                         struct guaco_field *field, uint8_t *id);

/* Read the request line with the empty line that may precede it into *head.
 * Answers H1_OK, H1_MORE or a fault. */
int guaco__h1_request_line(struct h1_cursor *cursor,
                           const struct guaco_http_limits *limits,
                           struct guaco_http_head *head);

/* Split head->target by its form.  Answers H1_OK or a fault. */
int guaco__h1_target(struct guaco_http_head *head);

/* True for uri-host [ ":" port ] of RFC 9110 7.2, not empty. */
bool guaco__h1_is_host(struct guaco_slice host);

/* What the fields of a whole head mean for the framing and the connection.
 * Answers H1_OK or a fault. */
int guaco__h1_head_rules(const struct guaco_http_limits *limits,
                         struct guaco_http_head *head, const uint8_t *ids);

/* True when a trailer may not bear this name (RFC 9110 6.5.1). */
bool guaco__h1_is_forbidden_trailer(unsigned id);

/*
 * Read a chunk's size line of which `allowance` bytes may be extensions.
 * Answers H1_OK, H1_MORE or a fault; the cursor moves only with the first.
 */
int guaco__h1_chunk_line(struct h1_cursor *cursor, uint32_t allowance,
                         uint64_t *size, uint32_t *extension_bytes);

#endif
