#ifndef GUACO_PY_WSGI_H
#define GUACO_PY_WSGI_H

/*
 * The WSGI face of the gateway (PEP 3333): an application of the waist
 * (guaco/http/app.h) that is told of a request when its whole body is here.
 *
 *   wsgi.c               what the waist tells; the application's life
 *   wsgi_environ.c       the environ, out of a template and of what the
 *                        connection sent before
 *   wsgi_call_type.c     WsgiCall: one request; it is its start_response
 *   wsgi_run.c           the iterable: advanced, sent, closed
 *   wsgi_pool_type.c     threads that run applications
 *   wsgi_input_type.c    wsgi.input
 *   wsgi_file_type.c     wsgi.file_wrapper
 *
 * Without a pool the application runs on the loop's thread, and its iterable
 * is advanced once a turn while the client takes what it yields.  With one, a
 * thread of the pool runs it from start to end and leaves what is to be sent
 * in the call's queue, from which the loop's thread takes it.
 *
 * Threads: everything is guarded by the GIL; members that say so are used on
 * the loop's thread only.
 */

#include "gateway.h"

#include <pythread.h>

#include "base/list.h"
#include "guaco/http/app.h"

#define GUACO__WSGI_PAIRS      32
#define GUACO__WSGI_SPARE      64
#define GUACO__WSGI_FIELDS_MAX 1024

/* Bytes that a thread may be ahead of the loop. */
#define GUACO__WSGI_AHEAD_MAX 65536

/* A request field of before, and what it became. */
struct guaco__wsgi_pair {
    PyObject *name;  /* bytes, as in the request */
    PyObject *key;   /* str, "HTTP_..."; NULL: not passed on */
    PyObject *value; /* str */
};

struct guaco__wsgi_seen {
    uint32_t count;
    struct guaco__wsgi_pair pairs[GUACO__WSGI_PAIRS];
};

/* Hangs on guaco_peer.app_cache; all str. */
struct guaco__wsgi_peer {
    PyObject *remote_addr; /* NULL: a Unix socket has none */
    PyObject *remote_port;
    PyObject *server_name;
    PyObject *server_port;
    PyObject *target; /* of the last request, NULL before */
    PyObject *path;   /* PATH_INFO of it */
    struct guaco__wsgi_seen seen;
};

struct guaco__wsgi_options {
    PyObject *callable;  /* app(environ, start_response) */
    PyObject *report;    /* report(text, exc | None): logs an error */
    PyObject *errors;    /* wsgi.errors */
    PyObject *root_path; /* str, SCRIPT_NAME */
    PyObject *pool;      /* a Pool, or None: on the loop's thread */
    bool multiprocess;
    uint32_t send_ms; /* that write() waits for the client */
};

struct guaco__wsgi {
    struct guaco_app app; /* first: the waist's */
    struct guaco_state *st;
    struct guaco__wsgi_options options; /* owned references */
    PyObject *environ;                  /* template */
    PyObject *empty_input;              /* shared by requests without a body */
    struct guaco__wsgi_seen seen;
    struct guaco__list calls; /* those not over; each owns one reference */
    struct guaco__wsgi_call *spare[GUACO__WSGI_SPARE];
    size_t spare_count;
};

/* One piece on its way from a thread to the loop. */
struct guaco__wsgi_piece {
    struct guaco__list link;
    PyObject *data; /* bytes, or a FileWrapper */
    bool is_last;
};

/* One request.  Python's `WsgiCall`, the start_response of it. */
struct guaco__wsgi_call {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct guaco_state *st;
    struct guaco__wsgi *wsgi;    /* NULL once over */
    struct guaco_exchange *x;    /* NULL once gone; loop's thread */
    struct guaco_exchange *held; /* the same, for posts: a reference */
    struct guaco__list link;
    struct guaco__list job_link; /* in the pool's queue */
    PyObject *write;             /* bound to this, until it is over */
    PyObject *environ;           /* until the application is called */
    PyObject *iterable;
    PyObject *iterator;

    /* start_response */
    int status;         /* 0: not called yet */
    PyObject *headers;  /* tuple of (str, str), checked */
    int64_t length;     /* its Content-Length, -1: none */
    int64_t add_length; /* Content-Length to add, -1: none */
    bool is_committed;  /* headers are sent or on their way */
    bool is_started;    /* guaco_exchange_start() was called */

    uint64_t given;    /* bytes of body so far */
    bool is_over;      /* the last piece was given, or it was broken off */
    bool is_single;    /* len() of the iterable is 1 */
    bool is_stepping;  /* the iterator runs: no re-entry */
    bool is_scheduled; /* a step is posted */
    bool is_full;      /* hold back until writable */

    /* with a pool */
    bool is_pooled;
    bool is_running;           /* a thread has it */
    bool is_failed;            /* the thread gave up: abort */
    bool is_waiting;           /* the thread, for `room` */
    struct guaco__list pieces; /* for the loop to send */
    size_t piece_bytes;
    PyThread_type_lock room; /* released when the thread may go on */
};

/* ---- wsgi.c ------------------------------------------------------------- */

int guaco__wsgi_new(struct guaco__wsgi **wsgi, struct guaco_state *st,
                    const struct guaco__wsgi_options *options);
/* After the server was freed.  NULL is ignored. */
void guaco__wsgi_free(struct guaco__wsgi *wsgi);
int guaco__wsgi_traverse(struct guaco__wsgi *wsgi, visitproc visit, void *arg);
/* Requests that a thread still runs. */
Py_ssize_t guaco__wsgi_running(const struct guaco__wsgi *wsgi);

/* ---- wsgi_environ.c ----------------------------------------------------- */

int guaco__wsgi_template(struct guaco__wsgi *wsgi);
/* A new environ for x, whose body is here. */
PyObject *
guaco__wsgi_environ(struct guaco__wsgi *wsgi, struct guaco_exchange *x);
void guaco__wsgi_peer_free(struct guaco__wsgi_peer *peer);
void guaco__wsgi_seen_clear(struct guaco__wsgi_seen *seen);

/* ---- wsgi_call_type.c --------------------------------------------------- */

/* A call, in wsgi->calls, which owns it until it is over; borrowed. */
struct guaco__wsgi_call *
guaco__wsgi_call_new(struct guaco__wsgi *wsgi, struct guaco_exchange *x);
/* Off the list, if the exchange is gone and nothing runs or is posted. */
void guaco__wsgi_call_try_end(struct guaco__wsgi_call *call);
/* Off the list; no thread runs it. */
void guaco__wsgi_call_end(struct guaco__wsgi_call *call);
/* Off the list, left to the thread that runs it. */
void guaco__wsgi_call_forsake(struct guaco__wsgi_call *call);
/* Have guaco__wsgi_continue() called in the loop's next turn.  From any
 * thread. */
void guaco__wsgi_post(struct guaco__wsgi_call *call);

/* ---- wsgi_run.c --------------------------------------------------------- */

/* On the loop's thread: call the application and send what is here. */
void guaco__wsgi_run(struct guaco__wsgi_call *call);
/* On the loop's thread: go on sending. */
void guaco__wsgi_continue(struct guaco__wsgi_call *call);
/* Begin to iterate over the iterable; -1 with an exception. */
int guaco__wsgi_iterate(struct guaco__wsgi_call *call);
/* Call close() of the iterable, if there is one, and let go of it. */
void guaco__wsgi_close(struct guaco__wsgi_call *call);
/* Log `text`, and what is raised now, which is taken. */
void guaco__wsgi_report(struct guaco__wsgi_call *call, const char *text);
/* Raise TypeError unless it is bytes; -1. */
int guaco__wsgi_check_bytes(PyObject *data);
/* Raise AssertionError if start_response was not called; -1. */
int guaco__wsgi_check_started(const struct guaco__wsgi_call *call);
/* Send bytes or a FileWrapper (borrowed), the headers before the first.
 * On the loop's thread, after start_response.  Returns what the exchange
 * answered, GUACO_E_AGAIN for "hold back" among it. */
int guaco__wsgi_give(struct guaco__wsgi_call *call, PyObject *data, bool more);
/* write(data) of PEP 3333, from whichever thread runs the application. */
PyObject *guaco__wsgi_write(PyObject *call, PyObject *data);

/* ---- wsgi_pool_type.c --------------------------------------------------- */

/* Queue a call for the next free thread. */
void guaco__pool_put(PyObject *pool, struct guaco__wsgi_call *call);
/* From a thread of the pool: leave a piece for the loop, wait while too much is
 * left.  0, or -1 with ClientDisconnected. */
int guaco__pool_give(struct guaco__wsgi_call *call, PyObject *data, bool last);
/* On the loop's thread: send what is left. */
void guaco__pool_flush(struct guaco__wsgi_call *call);
/* On the loop's thread: let the thread of this call look again. */
void guaco__pool_wake(struct guaco__wsgi_call *call);

/* ---- input and files ---------------------------------------------------- */

/* wsgi.input over `data` (bytes, shared) or, if it is NULL, over the file `fd`
 * (duplicated) from its start. */
PyObject *guaco__input_new(struct guaco_state *st, PyObject *data, int fd);

/* The file behind a FileWrapper, when it is a regular one: *fd (borrowed), its
 * position and what is left.  False: read it instead. */
bool guaco__file_wrapper_span(const struct guaco__gateway_state *gw,
                              PyObject *wrapper, int *fd, off_t *offset,
                              uint64_t *count);

#endif
