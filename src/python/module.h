#ifndef GUACO_PY_MODULE_H
#define GUACO_PY_MODULE_H

/* State of one import of guaco._core; one per interpreter, no C globals. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "board.h"
#include "guaco/error.h"
#include "gateway.h"
#include "loop_state.h"
#include "os/own_pid.h"

/* Every name that the C code looks up, interned once per interpreter. */
#define GUACO_PY_STRINGS(X) X(send) X(route) X(path)

struct guaco_state {
    PyObject *Error; /* base of all exceptions raised here */
    struct guaco__loop_state loop;
    struct guaco__gateway_state gateway;
    PyObject *PayloadError;
    PyTypeObject *CodecType;
    PyTypeObject *SealType;
    PyTypeObject *MailboxType;
    PyTypeObject *WatchType;
    PyTypeObject *BrokerType;
    PyTypeObject *KeeperType;
    PyTypeObject *RunType;
    PyTypeObject *WorkerType;
    PyTypeObject *ProfileType;
    PyTypeObject *ConnectionType;  /* sqlite3's; NULL: not learnt yet */
    Py_ssize_t connection_offset;  /* of the sqlite3 * in it */
    struct guaco__py_board *board; /* NULL: off */
    struct guaco__own_pid own_pid;
#define X(name) PyObject *str_##name;
    GUACO_PY_STRINGS(X)
#undef X
};

struct guaco_state *guaco_state_of(PyObject *module);
extern struct PyModuleDef guaco_module_def; /* constant after load */

/* Turn a failure of the core into the Python exception for it; returns NULL so
 * that a method can `return guaco_raise(...)`. */
PyObject *guaco_raise(const struct guaco_state *st, int rc,
                      const struct guaco_error *err);

#endif
