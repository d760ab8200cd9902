/*
 * receive() of an ASGI request.  In Python it would read
 *
 *     class Receive:
 *         def __call__(self):
 *             return self
 *         def __await__(self):
 *             return self
 *         def __next__(self):             # and send(None)
 *             event = self.call.next_event()
 *             if event is not None:
 *                 raise StopIteration(event)
 *             return self.call.fresh_future()
 *
 * The callable is its own awaitable and has no state: whenever it is resumed
 * it looks at the call.  So nothing is allocated, no event is lost when a
 * waiting receive() is cancelled, and several may wait at once.
 */

#include "asgi.h"

#include "module.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct guaco__asgi_call *call;
} ReceiveObject;

static PyObject *
receive_vectorcall(PyObject *self, PyObject *const *Py_UNUSED(args),
                   size_t nargsf, PyObject *kwnames)
{
    if (PyVectorcall_NARGS(nargsf) != 0 || kwnames != NULL) {
        PyErr_SetString(PyExc_TypeError, "receive() takes no arguments");
        return NULL;
    }
    return Py_NewRef(self);
}

/* Borrowed Future or new event; -1, 0 (wait for *result), 1 (here it is). */
static int
receive_step(ReceiveObject *self, PyObject **result)
{
    struct guaco__asgi_call *call = self->call;

    *result = NULL;
    if (call == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "receive() of a freed request");
        return -1;
    }
    int rc = call->is_websocket ? guaco__asgi_websocket_event(call, result)
                                : guaco__asgi_http_event(call, result);
    if (call->asgi != NULL) /* consuming lets the server read on */
        guaco__guest_touch(call->asgi->options.guest);
    if (rc != 0)
        return rc;
    *result = guaco__asgi_wait(call, &call->receivers);
    return *result == NULL ? -1 : 0;
}

static PySendResult
receive_am_send(ReceiveObject *self, PyObject *Py_UNUSED(value),
                PyObject **result)
{
    int rc = receive_step(self, result);
    return rc < 0 ? PYGEN_ERROR : rc == 0 ? PYGEN_NEXT : PYGEN_RETURN;
}

static PyObject *
receive_next(ReceiveObject *self)
{
    PyObject *result;
    int rc = receive_step(self, &result);

    if (rc <= 0)
        return result;
    PyTypeObject *type = Py_TYPE(self);
    struct guaco_state *st = PyType_GetModuleState(type);
    guaco__stop_with(&st->gateway, result);
    Py_DECREF(result);
    return NULL;
}

static PyObject *
receive_send(ReceiveObject *self, PyObject *Py_UNUSED(value))
{
    return receive_next(self);
}

static PyObject *
receive_throw(PyObject *Py_UNUSED(self), PyObject *const *args,
              Py_ssize_t nargs)
{
    return guaco__throw(args, nargs);
}

static PyObject *
receive_close(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    Py_RETURN_NONE;
}

/* ---- table -------------------------------------------------------------- */

PyObject *
guaco__asgi_receive_new(struct guaco__asgi_call *call)
{
    PyTypeObject *type = call->st->gateway.ReceiveType;
    ReceiveObject *self = (ReceiveObject *)type->tp_alloc(type, 0);

    if (self == NULL)
        return NULL;
    self->vectorcall = receive_vectorcall;
    self->call = (struct guaco__asgi_call *)Py_NewRef((PyObject *)call);
    return (PyObject *)self;
}

static int
receive_traverse(ReceiveObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->call);
    return 0;
}

static int
receive_clear(ReceiveObject *self)
{
    Py_CLEAR(self->call);
    return 0;
}

static void
receive_dealloc(ReceiveObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    receive_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef receive_methods[] = {
    {"send", (PyCFunction)receive_send, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))receive_throw, METH_FASTCALL, NULL},
    {"close", receive_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef receive_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(ReceiveObject, vectorcall),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot receive_slots[] = {
    {Py_tp_dealloc, receive_dealloc},
    {Py_tp_traverse, receive_traverse},
    {Py_tp_clear, receive_clear},
    {Py_tp_methods, receive_methods},
    {Py_tp_members, receive_members},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, receive_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, receive_am_send},
    {0, NULL},
};

static PyType_Spec receive_spec = {
    .name = "guaco._core.Receive",
    .basicsize = sizeof(ReceiveObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = receive_slots,
};

int
guaco__receive_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.ReceiveType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &receive_spec, NULL);
    return st->gateway.ReceiveType == NULL ? -1 : 0;
}
