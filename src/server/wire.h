#ifndef GUACO__SERVER_WIRE_H
#define GUACO__SERVER_WIRE_H

/*
 * How an answer becomes bytes.  answer.c and websocket.c keep the order of an
 * answer and its limits; what is written, and where to, is the protocol's:
 * HTTP/1 writes into the connection (wire_h1.c), HTTP/2 into a stream of it
 * (wire_h2.c).
 *
 * All return 0, GUACO_E_NOMEM, or what is said; after GUACO_E_NOMEM in the
 * midst of an answer that can only be broken off.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guaco/http/app.h"

struct guaco__exchange;
struct guaco__h1_response;
struct guaco__stream_piece;

struct guaco__wire_ops {
    /* Check and keep all of a final head but the framing.  GUACO_E_INVALID:
     * nothing was kept. */
    int (*begin_head)(struct guaco__exchange *x,
                      const struct guaco__h1_response *response);

    /* Decide the framing (x->decision) and queue the head. */
    int (*end_head)(struct guaco__exchange *x,
                    struct guaco__h1_response *response);

    /* A piece of the body is opened, given in one of three ways, and closed. */
    int (*open_piece)(struct guaco__exchange *x, uint64_t len);
    int (*write)(struct guaco__exchange *x, const void *data, size_t len);
    int (*give)(struct guaco__exchange *x,
                const struct guaco__stream_piece *piece); /* takes */
    int (*file)(struct guaco__exchange *x, int fd, off_t offset,
                uint64_t count); /* also GUACO_E_IO */
    int (*close_piece)(struct guaco__exchange *x, uint64_t len);

    /* The body is over; not whole: shorter than its Content-Length. */
    int (*end_body)(struct guaco__exchange *x, bool is_whole);

    /* In place of end_body.  GUACO_E_INVALID: nothing was done. */
    int (*trailers)(struct guaco__exchange *x, const struct guaco_field *fields,
                    size_t count);

    /* An informational response, 100 among them.  GUACO_E_INVALID. */
    int (*inform)(struct guaco__exchange *x, int status,
                  const struct guaco_field *fields, size_t count);

    /* A whole answer of the server's own; no head was queued. */
    int (*refuse)(struct guaco__exchange *x, int status);

    /* Accept a WebSocket.  GUACO_E_INVALID: nothing was done. */
    int (*accept)(struct guaco__exchange *x, struct guaco_slice subprotocol,
                  const struct guaco_field *fields, size_t count);

    /* The peer must not take what it has for the whole. */
    void (*cut)(struct guaco__exchange *x);

    /* What waits to be sent, and sending it as far as that does not block. */
    size_t (*queued_bytes)(const struct guaco__exchange *x);
    void (*flush)(struct guaco__exchange *x);

    /* Block until at most the low mark waits: 0, GUACO_E_TIMEOUT,
     * GUACO_E_CLOSED. */
    int (*wait)(struct guaco__exchange *x, uint32_t timeout_ms);

    /* `bytes` of the body that came are done with. */
    void (*consumed)(struct guaco__exchange *x, size_t bytes);
};

extern const struct guaco__wire_ops guaco__wire_h1;

#endif
