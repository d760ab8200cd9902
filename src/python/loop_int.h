#ifndef GUACO_PY_LOOP_INT_H
#define GUACO_PY_LOOP_INT_H

/* What the files of the loop share. */

#include "handle.h"
#include "loop.h"
#include "module.h"

static inline LoopObject *
guaco__loop_cast(PyObject *self)
{
    return (LoopObject *)self;
}

/* ---- loop_ready.c ---- */

/* Queue `what`, all three taken if it succeeds, and keep or make the loop
 * awake.  0, or -1 with MemoryError. */
int guaco__ready_push(LoopObject *self, PyObject *what, PyObject *arg,
                      PyObject *context);

/* Run what is queued now; not what it queues. */
void guaco__ready_run(LoopObject *self);

/* Drop all of it. */
void guaco__ready_clear(LoopObject *self);
int guaco__ready_traverse(LoopObject *self, visitproc visit, void *arg);

/* Report, or end the run with, the exception that is set.  `handle` is NULL
 * for a bare call. */
void guaco__callback_failed(LoopObject *self, PyObject *handle,
                            PyObject *callback, PyObject *arg);

/* ---- loop_call.c: call_soon and its kin ---- */

PyObject *guaco__loop_call_soon(LoopObject *self, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *kwnames);
PyObject *
guaco__loop_call_soon_threadsafe(LoopObject *self, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *kwnames);
PyObject *guaco__loop_call_later(LoopObject *self, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *kwnames);
PyObject *guaco__loop_call_at(LoopObject *self, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *kwnames);
PyObject *guaco__loop_create_task(LoopObject *self, PyObject *const *args,
                                  Py_ssize_t nargs, PyObject *kwnames);
PyObject *guaco__loop_create_future(LoopObject *self, PyObject *none);

/* Read (callback, *args, context=None) behind `skip` leading arguments; `name`
 * is the method's.  0, or -1 with TypeError. */
int guaco__call_parse(LoopObject *self, struct guaco__call *call,
                      const char *name, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, Py_ssize_t skip);

/* 0, or -1 with RuntimeError. */
int guaco__loop_check_open(LoopObject *self);

/* ---- loop_fd.c: readers and writers ---- */

PyObject *guaco__loop_add_reader(LoopObject *self, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *kwnames);
PyObject *guaco__loop_add_writer(LoopObject *self, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *kwnames);
PyObject *guaco__loop_remove_reader(LoopObject *self, PyObject *file);
PyObject *guaco__loop_remove_writer(LoopObject *self, PyObject *file);
PyObject *guaco__loop_fd_events(LoopObject *self, PyObject *file);
void guaco__fd_watches_clear(LoopObject *self);
int guaco__fd_watches_traverse(LoopObject *self, visitproc visit, void *arg);

/* ---- loop_run.c ---- */

void guaco__loop_install_host(LoopObject *self);
PyObject *guaco__loop_run_forever(LoopObject *self, PyObject *none);

#endif
