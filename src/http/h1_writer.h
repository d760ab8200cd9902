#ifndef GUACO_HTTP_H1_WRITER_H
#define GUACO_HTTP_H1_WRITER_H

/*
 * HTTP/1 responses: heads, chunks and trailers into a buffer.  The writer
 * decides how the body is framed (RFC 9112 6.3) from the status, the request
 * and what is known of the body; the caller sends the body accordingly.
 *
 *   what is sent                          framing
 *   204, 304, 1xx, and to HEAD            none
 *   205                                   none, content-length: 0
 *   trailers, and the client takes them   chunked
 *   Content-Length by the application     length
 *   the whole body is at hand             length, the field is added
 *   else, to HTTP/1.1                     chunked
 *   else                                  until the connection closes
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/http/app.h"

enum guaco__h1_framing {
    GUACO__H1_NO_BODY, /* whatever the application gives is swallowed */
    GUACO__H1_LENGTH,  /* exactly `length` bytes follow */
    GUACO__H1_CHUNKED,
    GUACO__H1_UNTIL_CLOSE,
};

/* What a head is made of. */
struct guaco__h1_response {
    int status; /* 200 to 999 */
    const struct guaco_field *fields;
    size_t field_count;
    struct guaco_slice date_line;   /* whole lines with CRLF, written unless */
    struct guaco_slice server_line; /* the application gave the field; may be
                                       empty */
    /* for the second part only: */
    int64_t body_bytes;    /* when the whole body is at hand, else -1 */
    uint8_t version_minor; /* of the request */
    bool is_head;          /* the request's method is HEAD */
    bool keep_alive;       /* the request and the server would */
    bool trailers;         /* the application has some and the client said
                              TE: trailers */
};

/* What the first part leaves for the second. */
struct guaco__h1_draft {
    int status;
    int64_t length; /* Content-Length, or -1 */
    bool has_date;
    bool has_server;
    bool closes;   /* Connection: close */
    bool upgrades; /* Connection: upgrade */
};

/* What was decided. */
struct guaco__h1_decision {
    enum guaco__h1_framing framing;
    uint64_t length; /* with GUACO__H1_LENGTH; of bodies never sent too */
    bool keep_alive; /* the connection outlives this response */
};

/*
 * Append the first part of the head of a final response: all but the framing,
 * which can wait for the body.  Of the fields given, Transfer-Encoding,
 * Keep-Alive and Proxy-Connection are dropped, and of Connection only `close`
 * and `upgrade` count; Content-Length is dropped where it may not stand.
 *
 * Returns 0; GUACO_E_INVALID: status out of range, a name that is no token, a
 * value with a control byte, a Content-Length that is no number or given
 * twice; GUACO_E_NOMEM or GUACO_E_LIMIT of the buffer.  After a failure *out is
 * as it was.
 */
int guaco__h1_begin_head(struct guaco__buf *out,
                         const struct guaco__h1_response *response,
                         struct guaco__h1_draft *draft);

/* Append the rest, with the empty line; the fields of *response are not looked
 * at again.  Returns 0, or GUACO_E_NOMEM or
 * GUACO_E_LIMIT of the buffer; then *out is as it was. */
int
guaco__h1_end_head(struct guaco__buf *out, const struct guaco__h1_draft *draft,
                   const struct guaco__h1_response *response,
                   struct guaco__h1_decision *decision);

/* Append an informational response (RFC 9110 15.2): status 100 to 199 but 101,
 * without framing fields.  Returns as guaco__h1_begin_head(). */
int guaco__h1_write_inform(struct guaco__buf *out, int status,
                           const struct guaco_field *fields, size_t count);

/* Append the last chunk, the trailers and the empty line.  A field that may
 * not stand in trailers (RFC 9110 6.5.1) is GUACO_E_INVALID too. */
int guaco__h1_write_last_chunk(struct guaco__buf *out,
                               const struct guaco_field *fields, size_t count);

/* The most that guaco__h1_write_chunk_line() writes. */
#define GUACO__H1_CHUNK_LINE_BYTES 18

/* Write the line before a chunk of `size` bytes, more than 0; the chunk's data
 * and GUACO__H1_CHUNK_END follow.  Gives the bytes written. */
size_t
guaco__h1_write_chunk_line(char out[GUACO__H1_CHUNK_LINE_BYTES], uint64_t size);

#define GUACO__H1_CHUNK_END GUACO_SLICE("\r\n")

/* "date: Sun, 06 Nov 1994 08:49:37 GMT" CRLF; to be made once a second. */
#define GUACO__H1_DATE_LINE_BYTES 37

void guaco__h1_date_line(char out[GUACO__H1_DATE_LINE_BYTES], int64_t unix_s);

/* The number of a name in any case (fields.h); -1 when it is not a token. */
int guaco__h1_field_id(struct guaco_slice name);

/* Take note of a field of a final head; *writes tells whether it goes out as
 * it is.  Returns 0 or GUACO_E_INVALID (Content-Length). */
int guaco__h1_see_field(struct guaco__h1_draft *draft, int id,
                        struct guaco_slice value, bool *writes);

/* Append one field line; name and value were checked. */
int
guaco__h1_append_field(struct guaco__buf *out, const struct guaco_field *field);

/* "HTTP/1.1 200 OK" CRLF for the registered statuses, empty for others.  Lives
 * for ever. */
struct guaco_slice guaco__h1_status_line(int status);

/* "OK", or "" for statuses that are not registered. */
const char *guaco__status_text(int status);

#endif
