/* A server's own loop under the loop of somebody else. */

#include "guest.h"

#include <string.h>

int
guaco__guest_init(struct guaco__guest *guest, PyObject *wake, PyObject *spawn)
{
    struct guaco_error err = {0};

    memset(guest, 0, sizeof *guest);
    if (guaco__loop_new(&guest->loop, &err) < 0) {
        PyErr_SetString(PyExc_OSError, err.text);
        return -1;
    }
    guest->wake = Py_NewRef(wake);
    guest->spawn = Py_NewRef(spawn);
    return 0;
}

void
guaco__guest_release(struct guaco__guest *guest)
{
    guaco__loop_free(guest->loop);
    guest->loop = NULL;
    Py_CLEAR(guest->wake);
    Py_CLEAR(guest->spawn);
    Py_CLEAR(guest->error);
}

int
guaco__guest_run(struct guaco__guest *guest)
{
    guest->is_waked = false;
    guest->is_running = true;
    int rc = guaco__loop_run(guest->loop, GUACO__LOOP_NOWAIT);
    guest->is_running = false;
    if (guest->error != NULL) {
        PyObject *error = guest->error;
        guest->error = NULL;
        guaco__exc_raise(error);
        return -1;
    }
    if (rc < 0)
        PyErr_SetString(PyExc_RuntimeError, guaco_strerror(rc));
    return rc < 0 ? -1 : 0;
}

void
guaco__guest_touch(struct guaco__guest *guest)
{
    if (guest == NULL || guest->is_running || guest->is_waked ||
        guest->wake == NULL)
        return;
    guest->is_waked = true;
    PyObject *exc = guaco__exc_take(); /* may be on its way out of send() */
    PyObject *done = PyObject_CallNoArgs(guest->wake);
    if (done == NULL)
        PyErr_WriteUnraisable(guest->wake);
    Py_XDECREF(done);
    if (exc != NULL)
        guaco__exc_raise(exc);
}

void
guaco__guest_break(struct guaco__guest *guest)
{
    Py_XSETREF(guest->error, guaco__exc_take());
    guaco__guest_touch(guest);
}
