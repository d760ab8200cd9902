#ifndef GUACO_PY_ASGI_H
#define GUACO_PY_ASGI_H

/*
 * The ASGI face of the gateway: an application of the waist
 * (guaco/http/app.h) that answers by running `await app(scope, receive, send)`
 * in a Task of its own for each request and each WebSocket.
 *
 *   asgi.c                what the waist tells: begin, body, gone ...
 *   asgi_scope.c          the scope, out of templates and of what the
 *                         connection sent before
 *   asgi_call_type.c      Call: the state of one request
 *   asgi_task.c           its Task: start, waiting, end
 *   asgi_receive_type.c   receive() and its awaitable
 *   asgi_send_type.c      send() and its awaitable
 *   asgi_http.c           messages of HTTP, in and out
 *   asgi_file.c           those that send files
 *   asgi_websocket.c      messages of WebSocket, in and out
 *   asgi_fields.c         headers of messages turned into fields
 *
 * Threads: all of it runs on the loop's thread with the GIL held.
 */

#include "board.h"
#include "gateway.h"

#include "base/buf.h"
#include "base/list.h"
#include "guaco/http/app.h"
#include "guest.h"

/* Fields of one connection that are remembered: enough for a browser's. */
#define GUACO__ASGI_PAIRS 32

/* Idle calls kept for the next request. */
#define GUACO__ASGI_SPARE 256

/* WebSocket messages that may wait for receive(), beside the window. */
#define GUACO__ASGI_MESSAGES_MAX 65536

/* What a connection, or the application as a whole, sent last: the next
 * request is likely to be made of the same bytes, and then gets the same
 * immutable objects. */
struct guaco__asgi_seen {
    PyObject *raw_path; /* bytes; NULL before the first request */
    PyObject *path;     /* str, decoded, with the root path */
    uint32_t count;
    PyObject *pairs[GUACO__ASGI_PAIRS]; /* (name, value), in order */
};

/* Hangs on guaco_peer.app_cache. */
struct guaco__asgi_peer {
    PyObject *client; /* (host, port) or None */
    PyObject *server;
    PyObject *tls; /* the extension of that name; NULL without TLS */
    struct guaco__asgi_seen seen;
};

struct guaco__asgi_options {
    PyObject *loop;       /* the event loop that runs the Tasks */
    PyObject *callable;   /* an async callable of three arguments */
    PyObject *state;      /* dict of the lifespan, or None: no "state" key */
    PyObject *report;     /* report(text, exc | None): logs an error */
    PyObject *disconnect; /* disconnect(exc) -> bool: is it our own? */
    PyObject *root_path;  /* str */
    struct guaco__guest *guest; /* NULL: loop is a guaco.loop.Loop; borrowed */
};

struct guaco__asgi {
    struct guaco_app app; /* first: the waist's */
    struct guaco_state *st;
    struct guaco__asgi_options options; /* owned references */
    PyObject *context;                  /* copied for each request */
    PyObject *Future;                   /* asyncio.Future */
    PyObject *future_kwargs;            /* {"loop": loop} */
    PyObject *http_scope;               /* templates */
    PyObject *websocket_scope;
    PyObject *about;         /* {"version": ..., "spec_version": ...} */
    PyObject *request_event; /* {"type": "http.request", ...} */
    struct guaco__asgi_seen seen;
    struct guaco__list calls; /* those not over yet; each owns one reference */
    struct guaco__asgi_call *spare[GUACO__ASGI_SPARE];
    size_t spare_count;
    bool is_draining;
};

/* Who may send what.  HTTP: BEGUN -> STARTED -> (TRAILERS) -> OVER.
 * WebSocket: CONNECTING -> OPEN -> OVER, or -> DENIED -> OVER. */
enum guaco__asgi_phase {
    GUACO__ASGI_BEGUN,
    GUACO__ASGI_STARTED,
    GUACO__ASGI_TRAILERS,
    GUACO__ASGI_CONNECTING,
    GUACO__ASGI_OPEN,
    GUACO__ASGI_DENIED,
    GUACO__ASGI_OVER, /* the application has said its last */
};

struct guaco__asgi_message {
    PyObject *data; /* str or bytes */
    size_t bytes;   /* on the wire, for guaco_exchange_consumed() */
};

/* One request or WebSocket, from begin until both its exchange is gone and its
 * Task is done.  Python's `Call`; applications never see it. */
struct guaco__asgi_call {
    PyObject_HEAD
    struct guaco_state *st;
    struct guaco__asgi *asgi; /* NULL once over */
    struct guaco_exchange *x; /* NULL once gone */
    struct guaco__list link;
    PyObject *send; /* both refer back here, until the call is over */
    PyObject *receive;
    TagObject *tag;      /* what it is called on the board; NULL: off */
    PyObject *task;      /* NULL before it runs and once it is done */
    PyObject *receivers; /* Futures of receive(): NULL, one, or a list */
    PyObject *senders;   /* Futures of send(), the same */

    enum guaco__asgi_phase phase;
    enum guaco_gone_reason gone_reason;
    bool is_websocket;
    bool is_started;     /* the application was called */
    bool is_done;        /* its Task is over */
    bool is_full;        /* hold back until writable */
    bool is_half_closed; /* the client has probably left */
    bool is_told_gone;   /* send() or receive() said that it has */
    bool is_cancelled;   /* by us, at shutdown */
    bool has_asked;      /* receive() was awaited */
    bool has_trailers;   /* announced by the application */
    bool sends_trailers; /* and wanted by the client */

    /* HTTP: the body that waits for receive() */
    bool is_whole;          /* all of it has come */
    bool is_last_given;     /* and was handed out */
    PyObject *piece;        /* bytes, the first to be handed out */
    struct guaco__buf rest; /* what came after it */
    PyObject *trailer_list; /* list of lists, as the application sent them */

    /* WebSocket: the messages that wait for receive(), a ring */
    struct guaco__asgi_message *messages;
    size_t message_first;
    size_t message_count;
    size_t message_room;
    bool is_connect_given;
    bool is_closed; /* no more messages: close_code says why */
    uint16_t close_code;
    PyObject *close_reason; /* str, NULL for none */
};

/* ---- asgi.c ------------------------------------------------------------- */

/* Gives an application; the options' objects are shared.  0, or -1 with an
 * exception. */
int guaco__asgi_new(struct guaco__asgi **asgi, struct guaco_state *st,
                    const struct guaco__asgi_options *options);
/* After the server was freed.  NULL is ignored. */
void guaco__asgi_free(struct guaco__asgi *asgi);
int guaco__asgi_traverse(struct guaco__asgi *asgi, visitproc visit, void *arg);

/* Cancel the Tasks that still run; gives how many there are. */
Py_ssize_t guaco__asgi_cancel(struct guaco__asgi *asgi);
/* How many there are. */
Py_ssize_t guaco__asgi_running(const struct guaco__asgi *asgi);

/* ---- asgi_scope.c ------------------------------------------------------- */

int guaco__asgi_templates(struct guaco__asgi *asgi);
PyObject *guaco__asgi_tls_new(const struct guaco_tls *tls);
PyObject *guaco__asgi_scope(struct guaco__asgi *asgi,
                            const struct guaco_request *request);
void guaco__asgi_peer_free(struct guaco__asgi_peer *peer);
void guaco__asgi_seen_clear(struct guaco__asgi_seen *seen);

/* ---- asgi_call_type.c --------------------------------------------------- */

/* A call, in asgi->calls, which owns it until it is over; borrowed. */
struct guaco__asgi_call *
guaco__asgi_call_new(struct guaco__asgi *asgi, struct guaco_exchange *x);
/* Both the exchange and the Task are over: take it off the list, keep the
 * object for the next request if nobody else has it. */
void guaco__asgi_call_end(struct guaco__asgi_call *call);

/* ---- asgi_task.c -------------------------------------------------------- */

/* Call the application and run its first step. */
void guaco__asgi_call_start(struct guaco__asgi_call *call);
/* The exchange is gone: wake who waits, end the call if its Task is done. */
void guaco__asgi_call_gone(struct guaco__asgi_call *call,
                           enum guaco_gone_reason reason);

/* Its Task is over: judge how it ended, and the response with it. */
void guaco__asgi_call_done(struct guaco__asgi_call *call);

/* A fresh Future in *slot, which guaco__asgi_wake() will set. */
PyObject *guaco__asgi_wait(struct guaco__asgi_call *call, PyObject **slot);
/* Let all who wait in *slot look again. */
void guaco__asgi_wake(struct guaco__asgi_call *call, PyObject **slot);

/* ---- asgi_send_type.c, asgi_receive_type.c ------------------------------ */

PyObject *guaco__asgi_send_new(struct guaco__asgi_call *call);
PyObject *guaco__asgi_receive_new(struct guaco__asgi_call *call);

/* ---- messages ----------------------------------------------------------- */

/* The next event for receive(): 1 and a new reference, 0 when there is none
 * yet, -1 with an exception. */
int guaco__asgi_http_event(struct guaco__asgi_call *call, PyObject **event);
int
guaco__asgi_websocket_event(struct guaco__asgi_call *call, PyObject **event);

/* Handlers of send(), one a message type; the call's exchange is there.  0, or
 * -1 with an exception. */
typedef int
guaco__asgi_handler(struct guaco__asgi_call *call, PyObject *message);
guaco__asgi_handler guaco__asgi_http_start;
guaco__asgi_handler guaco__asgi_http_body;
guaco__asgi_handler guaco__asgi_http_trailers;
guaco__asgi_handler guaco__asgi_http_early_hint;
guaco__asgi_handler guaco__asgi_http_pathsend;
guaco__asgi_handler guaco__asgi_http_zerocopysend;
guaco__asgi_handler guaco__asgi_websocket_accept;
guaco__asgi_handler guaco__asgi_websocket_send;
guaco__asgi_handler guaco__asgi_websocket_close;

/* A WebSocket message or the peer's close came in. */
void guaco__asgi_websocket_message(struct guaco__asgi_call *call,
                                   enum guaco_message_type type,
                                   struct guaco_slice data, uint16_t code);
void guaco__asgi_messages_clear(struct guaco__asgi_call *call);

/* Take what an answer call returned: 0 for success and for "full", else -1
 * with the exception; `what` was being done. */
int
guaco__asgi_answered(struct guaco__asgi_call *call, int rc, const char *what);
/* Raise: this message is not allowed now.  -1. */
int
guaco__asgi_unexpected(const struct guaco__asgi_call *call, PyObject *message);
/* Raise ClientDisconnected; -1. */
int guaco__asgi_disconnected(const struct guaco__asgi_call *call);

/* The response is whole: receive() now tells http.disconnect. */
void guaco__asgi_over(struct guaco__asgi_call *call);

/* message[key], borrowed while the message is not changed: 1, 0 when it is
 * missing, -1 with an exception. */
int guaco__asgi_get(PyObject *message, PyObject *key, PyObject **value);
/* The truth of message[key], `missing` when it is not there; -1: exception. */
int guaco__asgi_flag(PyObject *message, PyObject *key, bool missing);

/* ---- asgi_fields.c ------------------------------------------------------ */

#define GUACO__ASGI_FIELDS_LOCAL 24
#define GUACO__ASGI_FIELDS_MAX   1024

/* Fields that borrow from Python objects until released. */
struct guaco__asgi_fields {
    struct guaco_field *at; /* local, or from PyMem */
    size_t count;
    PyObject *held; /* owns the bytes where the message does not */
    struct guaco_field local[GUACO__ASGI_FIELDS_LOCAL];
};

/* Read an iterable of two-item iterables of bytes (NULL: none).  0, or -1 with
 * an exception; release in both cases. */
int
guaco__asgi_fields_read(struct guaco__asgi_fields *fields, PyObject *headers);
void guaco__asgi_fields_release(struct guaco__asgi_fields *fields);
/* Raise ValueError naming the first field that may not be sent; -1. */
int guaco__asgi_fields_blame(const struct guaco__asgi_fields *fields,
                             const char *what);

#endif
