#ifndef GUACO_PY_HANDLE_H
#define GUACO_PY_HANDLE_H

/*
 * What call_soon() and its kin return: a callback, its arguments and the
 * context to run it in.  Private to the files of the loop.
 */

#include "compat.h"

#include <stdbool.h>

#include "base/list.h"
#include "io/timer.h"
#include "loop.h"
#include "loop_state.h"

/* Arguments kept in the handle itself; more of them are kept as a tuple. */
#define GUACO__HANDLE_ARGS 3

typedef struct HandleObject {
    PyObject_HEAD
    LoopObject *loop;
    PyObject *callback; /* NULL once cancelled */
    PyObject *context;
    PyObject *args[GUACO__HANDLE_ARGS];
    PyObject *args_tuple;       /* in place of args; NULL: none */
    PyObject *source_traceback; /* debug mode: where it was made; NULL: none */
    PyObject *kept_repr;        /* debug mode: as it was before cancel */
    PyObject *weakrefs;
    unsigned char nargs;
    bool is_cancelled;
    bool is_threadsafe; /* cancel() waits for a running callback */
    bool is_running;    /* kept up for a threadsafe one only */
} HandleObject;

typedef struct {
    HandleObject base;
    struct guaco__timer timer;
    struct guaco__list link; /* in LoopObject.timers while armed */
    double when;             /* seconds of loop.time() */
} TimerHandleObject;

/* A call as Python gave it: args[0] is the callback. */
struct guaco__call {
    PyObject *const *args;
    Py_ssize_t nargs;  /* the callback included */
    PyObject *context; /* borrowed; NULL: a copy of the current one */
};

/* A handle for `call`, whose nargs is at least 1. */
HandleObject *
guaco__handle_new(LoopObject *loop, const struct guaco__call *call);

/* The same, for a timer that is not armed yet. */
TimerHandleObject *
guaco__timer_handle_new(LoopObject *loop, const struct guaco__call *call,
                        double when);

/* Arm it: the loop holds a reference until it fires or is cancelled. */
void guaco__timer_handle_arm(TimerHandleObject *handle);

/* Disarm it and drop the loop's reference, which must not be the last. */
void guaco__timer_handle_disarm(TimerHandleObject *handle);

/* Call it in its context.  Returns what the callback returned, or NULL with
 * its exception. */
PyObject *guaco__handle_call(HandleObject *handle);

/* Drop callback and arguments; harmless when cancelled.  -1: repr failed. */
int guaco__handle_cancel(HandleObject *handle);

/* The arguments without the callback, a new tuple. */
PyObject *guaco__handle_args(HandleObject *handle);

/* Free the handles that are kept for reuse. */
void guaco__handle_pool_clear(struct guaco__loop_state *ls);

/* For the type files. */
int guaco__handle_init(HandleObject *handle, LoopObject *loop,
                       const struct guaco__call *call);
int guaco__handle_traverse(PyObject *self, visitproc visit, void *arg);
int guaco__handle_clear(PyObject *self);
PyObject *guaco__handle_repr_info(PyObject *self, PyObject *asyncio_type);
PyObject *guaco__handle_repr(PyObject *self);

#endif
