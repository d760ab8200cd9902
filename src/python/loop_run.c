/*
 * How the interpreter lives in the loop's turn: its lock is let go once a turn,
 * when the loop may block, and taken back before the first callback.
 */

#include "loop_int.h"

static void
on_before_wait(void *ctx)
{
    LoopObject *self = ctx;

    self->is_waiting = true; /* first: another thread may run from here on */
    self->detached = PyEval_SaveThread();
}

static void
on_after_wait(void *ctx)
{
    LoopObject *self = ctx;

    PyEval_RestoreThread(self->detached);
    self->detached = NULL;
    self->is_waiting = false;
}

/* The signal's handler runs here when the wait was ended by it. */
static void
on_work(void *ctx)
{
    LoopObject *self = ctx;

    if (self->error == NULL && PyErr_CheckSignals() < 0)
        guaco__py_loop_break((PyObject *)self);
    guaco__ready_run(self);
}

void
guaco__loop_install_host(LoopObject *self)
{
    struct guaco__loop_host host = {
        .before_wait = on_before_wait,
        .after_wait = on_after_wait,
        .work = on_work,
        .ctx = self,
    };
    guaco__loop_set_host(self->loop, &host);
}

PyObject *
guaco__loop_run_forever(LoopObject *self, PyObject *Py_UNUSED(none))
{
    if (guaco__loop_check_open(self) < 0)
        return NULL;
    if (self->ready.count > 0)
        guaco__loop_keep_awake(self->loop);
    self->slot = guaco__py_board_slot(self->st);
    int rc = guaco__loop_run(self->loop, GUACO__LOOP_UNTIL_STOPPED);
    self->slot = NULL;
    PyObject *error = self->error;
    self->error = NULL;
    if (error != NULL) {
        guaco__exc_raise(error);
        return NULL;
    }
    if (rc < 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this loop is running already, or was made in the "
                        "parent of this process");
        return NULL;
    }
    Py_RETURN_NONE;
}
