#ifndef GUACO_HTTP_PARSER_H
#define GUACO_HTTP_PARSER_H

/*
 * HTTP/1 request parser: bytes in, events out; no socket, no clock and no
 * allocation.  Strict: what RFC 9110 and RFC 9112 let a recipient refuse, it
 * refuses, because two readers of the same bytes must never disagree about
 * where a request ends.
 *
 *   HEAD -> BODY* -> TRAILER* -> DONE -> HEAD -> ...      (keep-alive)
 *                                DONE                     (then E_CLOSED)
 *   any  -> failure                                       (stays failed)
 *
 * The caller owns the input buffer and keeps in it what was not consumed, from
 * the first such byte on; it may move it between calls.  Names of fields are
 * lower-cased in place there.  Every slice given points into that buffer and
 * is good until the caller moves or drops those bytes.
 *
 * The parser is a plain struct: it may be copied, and forgetting it frees all.
 *
 * Threads: no shared state; one parser is used by one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/http/app.h"
#include "guaco/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What one request may cost.  Every one is checked before the bytes it counts
 * are acted on. */
struct guaco_http_limits {
    uint32_t head_bytes;            /* request line and all fields, with the
                                       line ends: else 431 */
    uint32_t method_bytes;          /* else 501 */
    uint32_t target_bytes;          /* else 414 */
    uint32_t fields;                /* fields of the head, and again of the
                                       trailers: else 431 */
    uint32_t field_bytes;           /* one line, without CRLF: else 431 */
    uint32_t chunk_extension_bytes; /* of all chunks together: else 413 */
    uint32_t trailer_bytes;         /* all trailer lines: else 431 */
    uint64_t body_bytes;            /* after the chunks are taken off; 0: no
                                       body at all: else 413 */
};

#define GUACO_HTTP_LIMITS_DEFAULT                                   \
    {                                                               \
        32768, 32, 16384, 100, 16384, 4096, 8192, 64U * 1024 * 1024 \
    }

/*
 * Why a request was refused: name, status to answer with, text.  The
 * connection must be closed after each of them, because the end of the request
 * is not known.
 */
#define GUACO_HTTP_FAULT_MAP(X)                                           \
    X(NONE, 0, "no fault")                                                \
    X(METHOD, 400, "the method is not a token")                           \
    X(METHOD_UNKNOWN, 501, "the method is not served here")               \
    X(METHOD_LONG, 501, "the method is too long")                         \
    X(TARGET, 400, "the request target has a byte that is not allowed")   \
    X(TARGET_FORM, 400, "the request target has the wrong form")          \
    X(TARGET_LONG, 414, "the request target is too long")                 \
    X(REQUEST_LINE, 400, "the request line is malformed")                 \
    X(VERSION, 400, "the version is malformed")                           \
    X(VERSION_UNKNOWN, 505, "the version is not 1.0 or 1.1")              \
    X(LINE_END, 400, "a line does not end in CRLF")                       \
    X(HEAD_LONG, 431, "the head is too long")                             \
    X(FIELD_NAME, 400, "a field name is not a token followed by a colon") \
    X(FIELD_VALUE, 400, "a field value has a byte that is not allowed")   \
    X(FIELD_FOLDED, 400, "a field line begins with white space")          \
    X(FIELD_LONG, 431, "a field line is too long")                        \
    X(FIELD_COUNT, 431, "too many fields")                                \
    X(FIELD_TWIN, 400, "an underscore imitates a framing field")          \
    X(FIELD_REPEATED, 400, "Content-Type is given more than once")        \
    X(HOST_MISSING, 400, "Host is missing")                               \
    X(HOST_REPEATED, 400, "Host is given more than once")                 \
    X(HOST, 400, "Host is not a host with an optional port")              \
    X(HOST_MISMATCH, 400, "Host and the target name different hosts")     \
    X(LENGTH, 400, "Content-Length is not a number")                      \
    X(LENGTH_REPEATED, 400, "Content-Length is given more than once")     \
    X(LENGTH_AND_CODING, 400, "Content-Length beside Transfer-Encoding")  \
    X(CODING, 400, "Transfer-Encoding is not chunked")                    \
    X(CODING_REPEATED, 400, "Transfer-Encoding is given more than once")  \
    X(CODING_UNKNOWN, 501, "a transfer coding is not known here")         \
    X(CODING_VERSION, 400, "Transfer-Encoding in HTTP/1.0")               \
    X(EXPECT, 417, "an expectation that is not 100-continue")             \
    X(BODY_LONG, 413, "the body is too long")                             \
    X(CHUNK_SIZE, 400, "a chunk size is malformed")                       \
    X(CHUNK_EXTENSION, 400, "a chunk extension is malformed")             \
    X(CHUNK_EXTENSION_LONG, 413, "the chunk extensions are too long")     \
    X(CHUNK_END, 400, "a chunk is not followed by CRLF")                  \
    X(TRAILER, 400, "a field that is not allowed in trailers")            \
    X(TRAILER_LONG, 431, "the trailers are too long")

enum guaco_http_fault {
#define X(name, status, text) GUACO_HTTP_FAULT_##name,
    GUACO_HTTP_FAULT_MAP(X)
#undef X
};

enum guaco_http_target_form {
    GUACO_HTTP_ORIGIN_FORM,   /* /path?query */
    GUACO_HTTP_ABSOLUTE_FORM, /* http://host/path?query */
    GUACO_HTTP_ASTERISK_FORM, /* *, of OPTIONS */
};

/*
 * A request's head.  The caller sets the first two members once; the rest is
 * the parser's.
 */
struct guaco_http_head {
    struct guaco_field *fields; /* the caller's, limits.fields entries */
    uint8_t *ids;               /* the caller's too: of each field its number in
                     src/http/fields.h, 0 when it has none */
    size_t field_count;
    size_t bytes; /* of the buffer that the head took */

    struct guaco_slice method; /* a token without lower-case letters */
    struct guaco_slice target; /* as received */
    struct guaco_slice path;   /* still percent-encoded; "/" or "*" at least;
                                  a literal where an absolute form has none */
    struct guaco_slice query;  /* without '?'; at is NULL when there is none */
    struct guaco_slice authority; /* Host, or that of the absolute form; empty
                                     when HTTP/1.0 sent none */
    struct guaco_slice upgrade;   /* the first Upgrade value, when Connection
                                     says so and the version is 1.1 */
    int64_t body_bytes;           /* Content-Length, 0 no body, -1 chunked */
    enum guaco_http_target_form form;
    uint8_t version_minor; /* 0 or 1 */
    bool keep_alive;       /* the client's wish */
    bool expects_continue; /* Expect: 100-continue on 1.1, with a body */
    bool accepts_trailers; /* TE: trailers, named in Connection or not */
};

enum guaco_http_event_type {
    GUACO_HTTP_NEED_MORE, /* call again with more bytes behind these */
    GUACO_HTTP_HEAD,      /* *head is filled */
    GUACO_HTTP_BODY,      /* data: a piece of the body, never empty */
    GUACO_HTTP_TRAILER,   /* field: one trailer field */
    GUACO_HTTP_DONE,      /* the request is whole */
};

struct guaco_http_event {
    enum guaco_http_event_type type;
    enum guaco_http_fault fault; /* with a failure, else NONE */
    size_t used;                 /* bytes of data to drop, with every event,
                                    NEED_MORE too */
    struct guaco_slice data;     /* BODY */
    struct guaco_field field;    /* TRAILER */
};

/* Private; here so that a connection can embed it. */
struct guaco_http_parser {
    const struct guaco_http_limits *limits;
    uint64_t body_left;       /* of the body, or of the chunk */
    uint64_t body_total;      /* chunk data so far */
    uint32_t checked;         /* of an incomplete head: start of the first line
                                 that is not checked yet */
    uint32_t clean;           /* up to here that line has no control byte */
    uint32_t checked_fields;  /* fields before `checked` */
    uint32_t extension_total; /* chunk extension bytes so far */
    uint32_t trailer_total;   /* trailer bytes so far */
    uint32_t trailer_count;
    uint8_t state;
    uint8_t fault;
    bool keep_alive;
    bool closing; /* guaco_http_parser_close() was called */
};

/* Begin at the first byte of a connection.  Borrows `limits` for the life of
 * the parser; its head_bytes and trailer_bytes are at most 2^31. */
GUACO_API void guaco_http_parser_init(struct guaco_http_parser *parser,
                                      const struct guaco_http_limits *limits);

/*
 * Take the next event from data[0..len), the bytes not consumed so far.  Call
 * again with data + event->used until it answers GUACO_HTTP_NEED_MORE.  The
 * same bytes in any split give the same events, except that GUACO_HTTP_BODY
 * may come in other pieces.
 *
 * A head is told when it is whole: then *head is filled, in one pass when it
 * came in one piece.  The buffer must have room for limits.head_bytes or for
 * the longest of a chunk line and a trailer line, whichever is more: with that
 * many bytes at hand the answer is never NEED_MORE.
 *
 * Returns 0; GUACO_E_PROTO or GUACO_E_LIMIT: answer with
 * guaco_http_fault_status(event->fault) and close; head->method and
 * head->target hold what was read of them, for the log; GUACO_E_CLOSED after
 * the DONE of a request whose head had keep_alive false, or after
 * guaco_http_parser_close(): what follows is to be ignored.  After a failure
 * every call gives the same failure.
 */
GUACO_API int
guaco_http_parser_next(struct guaco_http_parser *parser, char *data, size_t len,
                       struct guaco_http_head *head,
                       struct guaco_http_event *event);

/* The connection will close after this request: no further head is parsed. */
GUACO_API void guaco_http_parser_close(struct guaco_http_parser *parser);

/* True between two requests and before the first: the next event is a HEAD. */
GUACO_API bool
guaco_http_parser_is_idle(const struct guaco_http_parser *parser);

/* The head's bytes were copied or moved from `from` to `to`: make every slice
 * of it point there. */
GUACO_API void guaco_http_head_rebase(struct guaco_http_head *head,
                                      const char *from, const char *to);

/* The status to answer with; 0 for GUACO_HTTP_FAULT_NONE. */
GUACO_API int guaco_http_fault_status(enum guaco_http_fault fault);

/* The fixed English text; never NULL. */
GUACO_API const char *guaco_http_fault_text(enum guaco_http_fault fault);

#ifdef __cplusplus
}
#endif

#endif
