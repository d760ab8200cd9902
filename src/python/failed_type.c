/*
 * What send() gives for a message that it refuses, and what all awaitables of
 * this module share.  In Python it would read
 *
 *     class Failed:
 *         def __init__(self, exc: BaseException): self.exc = exc
 *         def __await__(self): return self
 *         def __next__(self): raise self.exc
 *         def send(self, value): raise self.exc
 *         def throw(self, exc): raise exc
 *         def close(self): pass
 *
 * so that the error comes out of the `await`, as from a coroutine.
 */

#include "gateway.h"

#include "module.h"

typedef struct {
    PyObject_HEAD
    PyObject *exc;
} FailedObject;

/* ---- shared ------------------------------------------------------------- */

/*
 * CPython 3.12 to 3.14 await through tp_iternext, so that a value costs a
 * StopIteration: one instance is used again while nobody else has it.
 */
void
guaco__stop_with(struct guaco__gateway_state *gw, PyObject *value)
{
    if (Py_REFCNT(gw->stop) != 1) {
        PyObject *fresh = PyObject_CallNoArgs(PyExc_StopIteration);
        if (fresh == NULL)
            return;
        Py_SETREF(gw->stop, fresh);
    }
    PyStopIterationObject *stop = (PyStopIterationObject *)gw->stop;
    Py_XSETREF(stop->value, Py_NewRef(value));
    guaco__exc_raise(Py_NewRef(gw->stop));
}

/* Like the coroutine's own: type, value and traceback as raise takes them. */
PyObject *
guaco__throw(PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 3) {
        PyErr_SetString(PyExc_TypeError, "throw() takes 1 to 3 arguments");
        return NULL;
    }
    PyObject *type = args[0];
    PyObject *value = nargs > 1 ? args[1] : Py_None;

    if (PyExceptionInstance_Check(type)) {
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    } else if (!PyExceptionClass_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "exceptions must be classes or "
                                         "instances of BaseException");
    } else if (value == Py_None) {
        PyErr_SetNone(type);
    } else {
        PyErr_SetObject(type, value);
    }
    return NULL;
}

PyObject *
guaco__failed_new(struct guaco__gateway_state *gw)
{
    PyObject *exc = guaco__exc_take();
    if (exc == NULL)
        return NULL;
    FailedObject *self =
        (FailedObject *)gw->FailedType->tp_alloc(gw->FailedType, 0);
    if (self == NULL) {
        Py_DECREF(exc);
        return NULL;
    }
    self->exc = exc;
    return (PyObject *)self;
}

/* ---- methods ------------------------------------------------------------ */

static PyObject *
failed_next(FailedObject *self)
{
    if (self->exc == NULL)
        PyErr_SetString(PyExc_RuntimeError, "awaited twice");
    else
        guaco__exc_raise(Py_NewRef(self->exc));
    return NULL;
}

static PySendResult
failed_am_send(FailedObject *self, PyObject *Py_UNUSED(value),
               PyObject **result)
{
    *result = failed_next(self);
    return PYGEN_ERROR;
}

static PyObject *
failed_send(FailedObject *self, PyObject *Py_UNUSED(value))
{
    return failed_next(self);
}

static PyObject *
failed_throw(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t nargs)
{
    return guaco__throw(args, nargs);
}

static PyObject *
failed_close(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    Py_RETURN_NONE;
}

/* ---- table -------------------------------------------------------------- */

static int
failed_traverse(FailedObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->exc);
    return 0;
}

static int
failed_clear(FailedObject *self)
{
    Py_CLEAR(self->exc);
    return 0;
}

static void
failed_dealloc(FailedObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    failed_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef failed_methods[] = {
    {"send", (PyCFunction)failed_send, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))failed_throw, METH_FASTCALL, NULL},
    {"close", failed_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot failed_slots[] = {
    {Py_tp_dealloc, failed_dealloc},
    {Py_tp_traverse, failed_traverse},
    {Py_tp_clear, failed_clear},
    {Py_tp_methods, failed_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, failed_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, failed_am_send},
    {0, NULL},
};

static PyType_Spec failed_spec = {
    .name = "guaco._core.Failed",
    .basicsize = sizeof(FailedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = failed_slots,
};

int
guaco__failed_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.FailedType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &failed_spec, NULL);
    return st->gateway.FailedType == NULL ? -1 : 0;
}
