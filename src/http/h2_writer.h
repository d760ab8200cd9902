#ifndef GUACO_HTTP_H2_WRITER_H
#define GUACO_HTTP_H2_WRITER_H

/*
 * Heads of answers in HTTP/2, from what HTTP/1's are made of.  The framing is
 * simpler: a body has a length or ends with its stream.  Texts are kept in an
 * arena, which lives as long as the stream.
 */

#include "base/arena.h"
#include "http/h1_writer.h"

/* A head in the making; room for what end adds. */
struct guaco__h2_draft {
    struct guaco_field *fields; /* ":status" first */
    size_t count;
};

/* As guaco__h1_begin_head(); fields of the connection are dropped too. */
int guaco__h2_begin_head(struct guaco__arena *arena,
                         const struct guaco__h1_response *response,
                         struct guaco__h2_draft *out,
                         struct guaco__h1_draft *draft);

/* As guaco__h1_end_head(): GUACO__H1_CHUNKED stands for a body that ends with
 * its stream.  Returns 0 or GUACO_E_NOMEM. */
int guaco__h2_end_head(struct guaco__arena *arena, struct guaco__h2_draft *out,
                       const struct guaco__h1_draft *draft,
                       const struct guaco__h1_response *response,
                       struct guaco__h1_decision *decision);

/* Copies of `fields`, for an informational head (with its status) or for
 * trailers (status 0).  Returns 0, GUACO_E_INVALID or GUACO_E_NOMEM. */
int guaco__h2_copy_fields(struct guaco__arena *arena, int status,
                          const struct guaco_field *fields, size_t count,
                          struct guaco__h2_draft *out);

/* The head that accepts a WebSocket (RFC 8441 5); as
 * guaco__ws_write_accept(). */
struct guaco__ws_request;
int guaco__h2_accept_head(struct guaco__arena *arena,
                          const struct guaco__ws_request *request,
                          struct guaco_slice protocol,
                          const struct guaco__h1_response *response,
                          struct guaco__h2_draft *out);

#endif
