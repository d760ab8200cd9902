#ifndef GUACO_HTTP_APP_H
#define GUACO_HTTP_APP_H

/*
 * The waist between a server and an application: what an application is told,
 * and what it answers.  No socket, no thread and no Python in it; HTTP/1,
 * HTTP/2 and WebSocket look the same through it, and ASGI, WSGI and a guest
 * written in C are three implementers of struct guaco_app_ops.
 *
 * One exchange is one request and its response, or one WebSocket:
 *
 *   HTTP        begin -> body* -> end          (what the application is told)
 *               inform* -> start -> body* | file* -> finish     (its answer)
 *   WebSocket   begin -> (accept) -> message* -> gone
 *               accept -> send* -> close, or start .. finish to refuse
 *
 * `gone` is told exactly once, last, to every exchange for which begin
 * returned 0, whatever happened: answered, aborted, client left, shut down.
 * After it the application never touches the exchange again.  Between begin
 * and gone the server may call any op from inside an answer call of the same
 * exchange, except gone, which comes only from the server's own loop turn.
 *
 * Threads: all ops are called on the thread of the server's loop, and all
 * guaco_exchange_* functions are called there, except guaco_exchange_post(),
 * which any thread may call.
 * Blocking: an op must not block; a guest that computes long moves the work to
 * a thread and posts the answer back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guaco/error.h"
#include "guaco/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Raised with each change that an application built earlier would not survive;
 * a shared object that names another number is refused at load. */
#define GUACO_APP_ABI 1

struct guaco_field {
    struct guaco_slice name;  /* in requests lower-cased */
    struct guaco_slice value; /* without surrounding white space */
};

/* What the TLS handshake of a connection has settled.  Certificates are PEM. */
struct guaco_tls {
    uint16_t version;                /* 0x0303 is TLS 1.2, 0x0304 TLS 1.3 */
    uint16_t cipher_suite;           /* IANA's number */
    struct guaco_slice server_name;  /* what the client asked for; or empty */
    struct guaco_slice server_cert;  /* the server's own */
    struct guaco_slice client_certs; /* the client's, checked, and its chain,
                                        one behind the other; or empty */
    struct guaco_slice client_name;  /* its subject (RFC 4514); or empty */
};

/* The two ends of a connection, the same for all its requests. */
struct guaco_peer {
    const char
        *client_host; /* numeric address; NULL when there is none (Unix) */
    uint16_t client_port;
    const char *server_host; /* numeric address or the path of the socket */
    uint16_t server_port;    /* 0 for a Unix socket */
    bool is_unix;
    bool is_tls;
    void *app_cache; /* the application's, NULL at first; see ops->peer_gone */
    const struct guaco_tls *tls; /* with is_tls; lives as long as the peer */
};

enum guaco_request_kind {
    GUACO_REQUEST_HTTP,
    GUACO_REQUEST_WEBSOCKET,
};

/*
 * One request.  Everything in it lives until `gone`.
 */
struct guaco_request {
    enum guaco_request_kind kind;
    uint8_t version_major; /* 1 or 2 */
    uint8_t version_minor; /* 0 or 1 */
    struct guaco_slice method;
    struct guaco_slice target; /* as received */
    struct guaco_slice path;   /* raw, still percent-encoded, without query */
    struct guaco_slice query;  /* raw, without '?' */
    struct guaco_slice scheme; /* "http", "https", "ws" or "wss" */
    const struct guaco_field *fields;
    const uint8_t *field_ids; /* of each field a small number for its name, the
                                 same as long as the server runs, 0 for a name
                                 that has none; for tables (http/fields.h) */
    size_t field_count;
    int64_t body_bytes;    /* of Content-Length; 0 no body; -1 not known yet */
    bool body_is_here;     /* there is no body or it has been read already: its
                              pieces and `end` follow begin at once, so that an
                              application may wait for `end` to start */
    bool accepts_trailers; /* TE: trailers was sent */
    bool keep_alive;
    /* WebSocket: the subprotocols offered, comma separated as received */
    struct guaco_slice subprotocols;
    const struct guaco_peer *peer;
    /* Where a trusted proxy has mounted the application, and taken off the
     * path: "/app", without a slash at its end; empty when it did not say. */
    struct guaco_slice prefix;
};

enum guaco_gone_reason {
    GUACO_GONE_DONE,     /* answered in full */
    GUACO_GONE_CLIENT,   /* the client closed or broke the connection */
    GUACO_GONE_TIMEOUT,  /* a limit in time of the server's */
    GUACO_GONE_PROTO,    /* the client broke the protocol in the body */
    GUACO_GONE_LIMIT,    /* a limit in size of the server's */
    GUACO_GONE_ABORTED,  /* the application aborted */
    GUACO_GONE_SHUTDOWN, /* the server is going away */
};

enum guaco_message_type {
    GUACO_MESSAGE_TEXT, /* UTF-8, checked */
    GUACO_MESSAGE_BINARY,
    GUACO_MESSAGE_CLOSE, /* the last one: the peer's close; data is the reason */
};

/*
 * Bytes that an application hands over.  With `release` NULL they are borrowed
 * until the call returns and the server copies them.  Otherwise the server
 * takes them if the call succeeds or returns GUACO_E_AGAIN, and calls
 * release(owner) once on the loop's thread, perhaps before the call returns (a
 * small piece is cheaper copied than kept); after any other failure they stay
 * the caller's.
 */
struct guaco_bytes {
    const void *at;
    size_t len;
    void (*release)(void *owner);
    void *owner;
};

struct guaco_exchange;
struct guaco_app;

/*
 * What an application implements.  Every function is mandatory but those that
 * are said to be optional (NULL).
 */
struct guaco_app_ops {
    uint32_t abi;          /* GUACO_APP_ABI */
    const char *name;      /* for logs: "asgi", "wsgi", "hello" */
    size_t exchange_bytes; /* the application's own zeroed space in each
                              exchange, aligned as malloc aligns; at most 4096 */
    bool wants_whole_body; /* begin is told once the whole body is here, in
                              memory or, past 64 KiB, in a temporary file: see
                              guaco_exchange_spooled(); then `end` follows at
                              once and `body` is never called */

    /* Optional.  The loop runs, nothing is accepted yet.  Returns 0, or a
     * failure that ends the process with err's text. */
    int (*start)(struct guaco_app *app, struct guaco_error *err);

    /* A request begins.  Its body follows by `body` and `end`; a request
     * without one is told `end` right away.  Returns 0, or a failure: the
     * server answers 503 and tells nothing more of it, not even gone. */
    int (*begin)(struct guaco_app *app, struct guaco_exchange *x);

    /* A piece of the body, never empty, borrowed until the call returns.  The
     * server stops reading once window bytes are told and not yet consumed:
     * see guaco_exchange_consumed(). */
    void (*body)(struct guaco_app *app, struct guaco_exchange *x,
                 struct guaco_slice data);

    /* The body is whole. */
    void (*end)(struct guaco_app *app, struct guaco_exchange *x);

    /* WebSocket only: a whole message, borrowed until the call returns.
     * `code` is the close code with GUACO_MESSAGE_CLOSE (1005: none was sent,
     * 1006: the connection broke), else 0. */
    void (*message)(struct guaco_app *app, struct guaco_exchange *x,
                    enum guaco_message_type type, struct guaco_slice data,
                    uint16_t code);

    /* What an answer call refused with GUACO_E_AGAIN has drained to the low
     * mark: more may be given. */
    void (*writable)(struct guaco_app *app, struct guaco_exchange *x);

    /* Optional.  The client shut its sending side after a whole request.  It
     * has probably left, which nothing but a write can prove, or it is one of
     * the few that half-close and still read: what is answered is sent as
     * before, and `gone` follows in its time.  An application that waits for
     * something (a long poll) gives up here.  Told at most once, after end. */
    void (*half_closed)(struct guaco_app *app, struct guaco_exchange *x);

    /* The exchange is over: see above. */
    void (*gone)(struct guaco_app *app, struct guaco_exchange *x,
                 enum guaco_gone_reason reason);

    /* Optional.  The connection of `peer` ends: give app_cache back. */
    void (*peer_gone)(struct guaco_app *app, struct guaco_peer *peer);

    /* Optional.  The server drains: nothing new will begin.  Open exchanges
     * that could live for ever should end themselves (WebSocket: 1012). */
    void (*drain)(struct guaco_app *app);
};

/* An application embeds this first in a struct of its own. */
struct guaco_app {
    const struct guaco_app_ops *ops;
};

/*
 * What a protocol implements for the calls below; private to servers.  Callers
 * use the inline functions, which need no symbol of the executable, so that a
 * shared object with an application in it links against nothing.
 */
struct guaco_exchange_ops {
    int (*inform)(struct guaco_exchange *x, int status,
                  const struct guaco_field *fields, size_t count);
    int (*start)(struct guaco_exchange *x, int status,
                 const struct guaco_field *fields, size_t count, bool trailers);
    int (*body)(struct guaco_exchange *x, struct guaco_bytes data, bool more);
    int (*file)(struct guaco_exchange *x, int fd, off_t offset, uint64_t count,
                bool more);
    int (*trailers)(struct guaco_exchange *x, const struct guaco_field *fields,
                    size_t count);
    void (*abort)(struct guaco_exchange *x);
    void (*consumed)(struct guaco_exchange *x, size_t bytes);
    int (*accept)(struct guaco_exchange *x, struct guaco_slice subprotocol,
                  const struct guaco_field *fields, size_t count);
    int (*send)(struct guaco_exchange *x, enum guaco_message_type type,
                struct guaco_bytes data);
    int (*close)(struct guaco_exchange *x, uint16_t code,
                 struct guaco_slice reason);
    int (*spooled)(struct guaco_exchange *x, struct guaco_slice *data, int *fd);
    void (*ref)(struct guaco_exchange *x);
    void (*unref)(struct guaco_exchange *x);
    int (*post)(struct guaco_exchange *x,
                void (*fn)(struct guaco_exchange *x, void *ctx), void *ctx);
    int (*wait)(struct guaco_exchange *x, uint32_t timeout_ms);
};

struct guaco_exchange {
    const struct guaco_exchange_ops *ops; /* private */
    const struct guaco_request *request;
    void *app_space; /* ops->exchange_bytes of the application's */
};

/*
 * Send an informational response (100 is the server's own business and is
 * refused; 103 Early Hints is what this is for).  May be repeated, until the
 * head leaves: before start, or after it while nothing is sent yet (see there).
 * Returns 0, GUACO_E_INVALID (status not 1xx, a field not acceptable),
 * GUACO_E_UNSUPPORTED (HTTP/1.0), GUACO_E_STATE, GUACO_E_NOMEM or
 * GUACO_E_CLOSED.
 */
static inline int
guaco_exchange_inform(struct guaco_exchange *x, int status,
                      const struct guaco_field *fields, size_t count)
{
    return x->ops->inform(x, status, fields, count);
}

/*
 * Begin the response: status 200 to 999 and the fields, copied.  Names must be
 * tokens, values without CR, LF, NUL and other controls but HTAB (RFC 9110
 * 5.5).  Nothing is sent before the first body piece, finish, or the end of
 * the loop's turn, so that a small response leaves in one write.  The server
 * chooses the framing: Content-Length as given, else added when the first
 * piece is the last, else chunks (RFC 9112 6); Transfer-Encoding from the
 * application is dropped.  `trailers` announces guaco_exchange_trailers().
 *
 * Returns 0, GUACO_E_INVALID (nothing was started: another start may follow),
 * GUACO_E_STATE (started already), GUACO_E_NOMEM or GUACO_E_CLOSED.
 */
static inline int
guaco_exchange_start(struct guaco_exchange *x, int status,
                     const struct guaco_field *fields, size_t count,
                     bool trailers)
{
    return x->ops->start(x, status, fields, count, trailers);
}

/*
 * Send a piece of the body, perhaps empty; `more` false ends the response.
 * The bodies of HEAD, 204 and 304 are swallowed.
 *
 * Returns 0; GUACO_E_AGAIN: taken, but more than the high mark is waiting:
 * hold back until `writable`; GUACO_E_INVALID: past the announced
 * Content-Length (the rest was cut and the response is over); GUACO_E_STATE:
 * before start or after the end; GUACO_E_NOMEM; GUACO_E_CLOSED: the client is
 * gone.
 */
static inline int
guaco_exchange_body(struct guaco_exchange *x, struct guaco_bytes data,
                    bool more)
{
    return x->ops->body(x, data, more);
}

/*
 * Send `count` bytes of a regular file from `offset` (UINT64_MAX: to its end)
 * as a piece of the body.  The descriptor is duplicated; its position is not
 * used.  Returns as guaco_exchange_body(), and GUACO_E_IO.
 */
static inline int
guaco_exchange_file(struct guaco_exchange *x, int fd, off_t offset,
                    uint64_t count, bool more)
{
    return x->ops->file(x, fd, offset, count, more);
}

/* End a body announced with trailers by these fields, copied; perhaps none.
 * Only this ends such a response: the last piece of the body does not.  Fields
 * are dropped when the client did not say that it takes them.  Returns as
 * guaco_exchange_start(). */
static inline int
guaco_exchange_trailers(struct guaco_exchange *x,
                        const struct guaco_field *fields, size_t count)
{
    return x->ops->trailers(x, fields, count);
}

/* End the body; a shorthand for an empty last piece. */
static inline int
guaco_exchange_finish(struct guaco_exchange *x)
{
    struct guaco_bytes none = {NULL, 0, NULL, NULL};
    return x->ops->body(x, none, false);
}

/* Break the exchange off: 500 where no head has left, else the connection (or
 * stream) is torn down so that the client sees that the response is not whole.
 * A WebSocket is closed with 1011.  `gone` follows. */
static inline void
guaco_exchange_abort(struct guaco_exchange *x)
{
    x->ops->abort(x);
}

/* The application is done with `bytes` of the body (WebSocket: of messages)
 * it was told; the server reads on accordingly.  Sends 100 Continue when the
 * client waits for it: call with 0 when the application first asks. */
static inline void
guaco_exchange_consumed(struct guaco_exchange *x, size_t bytes)
{
    x->ops->consumed(x, bytes);
}

/* Accept a WebSocket; `subprotocol` is empty or one that was offered.
 * Returns 0, GUACO_E_INVALID, GUACO_E_STATE, GUACO_E_NOMEM, GUACO_E_CLOSED. */
static inline int
guaco_exchange_accept(struct guaco_exchange *x, struct guaco_slice subprotocol,
                      const struct guaco_field *fields, size_t count)
{
    return x->ops->accept(x, subprotocol, fields, count);
}

/* Send a whole message (text must be UTF-8).  Returns as
 * guaco_exchange_body(). */
static inline int
guaco_exchange_send(struct guaco_exchange *x, enum guaco_message_type type,
                    struct guaco_bytes data)
{
    return x->ops->send(x, type, data);
}

/* Close a WebSocket: `code` as RFC 6455 7.4 lets an endpoint send, reason at
 * most 123 bytes of UTF-8.  Before accept it refuses with 403.  Returns 0,
 * GUACO_E_INVALID, GUACO_E_STATE or GUACO_E_CLOSED. */
static inline int
guaco_exchange_close(struct guaco_exchange *x, uint16_t code,
                     struct guaco_slice reason)
{
    return x->ops->close(x, code, reason);
}

/*
 * With ops->wants_whole_body: the body, either in memory (*fd is -1) or in an
 * unlinked temporary file (*fd, borrowed until gone; *data is empty).
 * Returns 0 or GUACO_E_STATE.
 */
static inline int
guaco_exchange_spooled(struct guaco_exchange *x, struct guaco_slice *data,
                       int *fd)
{
    return x->ops->spooled(x, data, fd);
}

/* Keep the memory of the exchange (not the exchange: after gone its calls
 * answer GUACO_E_CLOSED) until the matching unref.  Loop's thread only. */
static inline void
guaco_exchange_ref(struct guaco_exchange *x)
{
    x->ops->ref(x);
}

static inline void
guaco_exchange_unref(struct guaco_exchange *x)
{
    x->ops->unref(x);
}

/* Have fn(x, ctx) called on the loop's thread.  From any thread that holds a
 * reference.  Returns 0, GUACO_E_NOMEM or GUACO_E_CLOSED (the loop ended: fn
 * will not be called). */
static inline int
guaco_exchange_post(struct guaco_exchange *x,
                    void (*fn)(struct guaco_exchange *x, void *ctx), void *ctx)
{
    return x->ops->post(x, fn, ctx);
}

/*
 * Send what is waiting, now, and block the loop's thread until less than the
 * low mark waits: for an application whose own interface is blocking (the
 * write() of PEP 3333) and which has nowhere else to go.  Nothing is told
 * meanwhile.  Returns 0, GUACO_E_TIMEOUT after timeout_ms (the exchange is
 * then broken off), GUACO_E_STATE before start, or GUACO_E_CLOSED.
 */
static inline int
guaco_exchange_wait(struct guaco_exchange *x, uint32_t timeout_ms)
{
    return x->ops->wait(x, timeout_ms);
}

/*
 * The one symbol that a guest shared object exports.  Called once a process,
 * before the loop runs; `arg` is what follows the colon in "./hello.so:arg",
 * or "".  Gives the application; it lives until the process ends.
 */
typedef int guaco_guest_open_fn(struct guaco_app **app, const char *arg,
                                struct guaco_error *err);
#define GUACO_GUEST_SYMBOL "guaco_guest_open"

#ifdef __cplusplus
}
#endif

#endif
