/*
 * send() of an ASGI request.  In Python it would read
 *
 *     class Send:
 *         def __call__(self, message):
 *             try:
 *                 handlers[message["type"]](self.call, message)
 *             except BaseException as exc:
 *                 return Failed(exc)
 *             return self
 *         def __await__(self):
 *             return self
 *         def __next__(self):             # and send(None)
 *             if self.call.is_full:
 *                 return self.call.fresh_future()
 *             raise StopIteration
 *
 * The message is acted on by the call; awaiting only waits while more than the
 * server's high mark is queued.  Like Receive it is its own awaitable, without
 * state.  Errors come out of the await, as from a coroutine.
 */

#include "asgi.h"

#include "module.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct guaco__asgi_call *call;
} SendObject;

/* ---- messages ----------------------------------------------------------- */

struct kind {
    const char *type;
    size_t len;
    bool is_websocket;
    guaco__asgi_handler *handler;
};

#define KIND(type, is_websocket, handler)            \
    {                                                \
        type, sizeof type - 1, is_websocket, handler \
    }

static const struct kind kinds[] = {
    KIND("http.response.start", false, guaco__asgi_http_start),
    KIND("http.response.body", false, guaco__asgi_http_body),
    KIND("websocket.send", true, guaco__asgi_websocket_send),
    KIND("websocket.accept", true, guaco__asgi_websocket_accept),
    KIND("websocket.close", true, guaco__asgi_websocket_close),
    KIND("http.response.pathsend", false, guaco__asgi_http_pathsend),
    KIND("http.response.zerocopysend", false, guaco__asgi_http_zerocopysend),
    KIND("http.response.trailers", false, guaco__asgi_http_trailers),
    KIND("http.response.early_hint", false, guaco__asgi_http_early_hint),
    KIND("websocket.http.response.start", true, guaco__asgi_http_start),
    KIND("websocket.http.response.body", true, guaco__asgi_http_body),
};

static guaco__asgi_handler *
handler_of(const struct guaco__asgi_call *call, PyObject *type)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(type, &len);

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].len == (size_t)len &&
            kinds[i].is_websocket == call->is_websocket &&
            memcmp(kinds[i].type, text, (size_t)len) == 0)
            return kinds[i].handler;
    PyErr_Format(PyExc_ValueError, "unknown message type %R", type);
    return NULL;
}

static int
send_message(struct guaco__asgi_call *call, PyObject *message)
{
    PyObject *type;

    if (!PyDict_Check(message)) {
        PyErr_Format(PyExc_TypeError, "a message is a dict, not %.100s",
                     Py_TYPE(message)->tp_name);
        return -1;
    }
    int found = guaco__asgi_get(message, call->st->gateway.t_type, &type);
    if (found < 0)
        return -1;
    if (!found || !PyUnicode_Check(type)) {
        PyErr_SetString(PyExc_ValueError,
                        "a message has a \"type\", which is a str");
        return -1;
    }
    guaco__asgi_handler *handler = handler_of(call, type);
    if (handler == NULL)
        return -1;
    if (call->x == NULL && call->phase != GUACO__ASGI_OVER)
        return guaco__asgi_disconnected(call);
    return handler(call, message);
}

static PyObject *
send_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf,
                PyObject *kwnames)
{
    struct guaco__asgi_call *call = ((SendObject *)self)->call;

    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames != NULL || call == NULL) {
        PyErr_SetString(PyExc_TypeError, "send() takes one message");
        return NULL;
    }
    int rc = send_message(call, args[0]);
    if (call->asgi != NULL)
        guaco__guest_touch(call->asgi->options.guest);
    return rc < 0 ? guaco__failed_new(&call->st->gateway) : Py_NewRef(self);
}

/* ---- awaiting ----------------------------------------------------------- */

static bool
must_wait(const SendObject *self)
{
    return self->call != NULL && self->call->x != NULL && self->call->is_full;
}

static PySendResult
send_am_send(SendObject *self, PyObject *Py_UNUSED(value), PyObject **result)
{
    if (!must_wait(self)) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    *result = guaco__asgi_wait(self->call, &self->call->senders);
    return *result == NULL ? PYGEN_ERROR : PYGEN_NEXT;
}

/* NULL without an exception is StopIteration(None). */
static PyObject *
send_next(SendObject *self)
{
    return must_wait(self) ? guaco__asgi_wait(self->call, &self->call->senders)
                           : NULL;
}

static PyObject *
send_send(SendObject *self, PyObject *Py_UNUSED(value))
{
    PyObject *future = send_next(self);

    if (future == NULL && !PyErr_Occurred())
        PyErr_SetNone(PyExc_StopIteration);
    return future;
}

static PyObject *
send_throw(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t nargs)
{
    return guaco__throw(args, nargs);
}

static PyObject *
send_close(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    Py_RETURN_NONE;
}

/* ---- table -------------------------------------------------------------- */

PyObject *
guaco__asgi_send_new(struct guaco__asgi_call *call)
{
    PyTypeObject *type = call->st->gateway.SendType;
    SendObject *self = (SendObject *)type->tp_alloc(type, 0);

    if (self == NULL)
        return NULL;
    self->vectorcall = send_vectorcall;
    self->call = (struct guaco__asgi_call *)Py_NewRef((PyObject *)call);
    return (PyObject *)self;
}

static int
send_traverse(SendObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->call);
    return 0;
}

static int
send_clear(SendObject *self)
{
    Py_CLEAR(self->call);
    return 0;
}

static void
send_dealloc(SendObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    send_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef send_methods[] = {
    {"send", (PyCFunction)send_send, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))send_throw, METH_FASTCALL, NULL},
    {"close", send_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef send_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(SendObject, vectorcall),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot send_slots[] = {
    {Py_tp_dealloc, send_dealloc},
    {Py_tp_traverse, send_traverse},
    {Py_tp_clear, send_clear},
    {Py_tp_methods, send_methods},
    {Py_tp_members, send_members},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, send_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, send_am_send},
    {0, NULL},
};

static PyType_Spec send_spec = {
    .name = "guaco._core.Send",
    .basicsize = sizeof(SendObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = send_slots,
};

int
guaco__send_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.SendType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &send_spec, NULL);
    return st->gateway.SendType == NULL ? -1 : 0;
}
