#ifndef GUACO_PY_COMPAT_H
#define GUACO_PY_COMPAT_H

/* What newer CPythons give and older ones lack, under one name. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

/* Take the exception that is set: a new reference with its traceback, or NULL
 * when there is none.  Nothing is set afterwards. */
static inline PyObject *
guaco__exc_take(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(traceback);
    Py_DECREF(type);
    return value;
#endif
}

/* Raise `exc`, taken, with the traceback that it has. */
static inline void
guaco__exc_raise(PyObject *exc)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(exc);
#else
    PyObject *type = Py_NewRef((PyObject *)Py_TYPE(exc));
    PyErr_Restore(type, exc, PyException_GetTraceback(exc));
#endif
}

#endif
