/*
 * WsgiCall: one WSGI request, and the start_response of it.  In Python it
 * would read
 *
 *     class WsgiCall:
 *         def __call__(self, status, headers, exc_info=None, /):
 *             if exc_info and self.is_committed:
 *                 raise exc_info[1].with_traceback(exc_info[2])
 *             elif not exc_info and self.status:
 *                 raise AssertionError("...")
 *             self.status, self.headers = checked(status, headers)
 *             return self.write
 *
 * The headers are checked here, where the application's author looks, and sent
 * with the first bytes of the body (PEP 3333, "The start_response() Callable").
 */

#include "wsgi.h"

#include <assert.h>

#include "module.h"

typedef struct guaco__wsgi_call CallObject;

/* ---- life --------------------------------------------------------------- */

static PyMethodDef write_def = {
    "write", guaco__wsgi_write, METH_O,
    "write($self, data, /)\n--\n\nSend bytes before the iterable (PEP 3333)."};

static PyObject *call_vectorcall(PyObject *self, PyObject *const *args,
                                 size_t nargsf, PyObject *kwnames);

static CallObject *
call_create(struct guaco__wsgi *wsgi)
{
    PyTypeObject *type = wsgi->st->gateway.WsgiCallType;
    CallObject *call = (CallObject *)type->tp_alloc(type, 0);

    if (call == NULL)
        return NULL;
    call->vectorcall = call_vectorcall;
    call->st = wsgi->st;
    guaco__list_init(&call->link);
    guaco__list_init(&call->job_link);
    guaco__list_init(&call->pieces);
    call->write = PyCFunction_New(&write_def, (PyObject *)call);
    if (call->write == NULL) {
        Py_DECREF(call);
        return NULL;
    }
    return call;
}

CallObject *
guaco__wsgi_call_new(struct guaco__wsgi *wsgi, struct guaco_exchange *x)
{
    CallObject *call = wsgi->spare_count > 0 ? wsgi->spare[--wsgi->spare_count]
                                             : call_create(wsgi);
    if (call == NULL)
        return NULL;

    call->wsgi = wsgi;
    call->x = x;
    call->held = x;
    guaco_exchange_ref(x);
    call->length = -1;
    call->add_length = -1;
    guaco__list_push(&wsgi->calls, &call->link);
    return call;
}

static void
pieces_clear(CallObject *call)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&call->pieces)) != NULL) {
        struct guaco__wsgi_piece *piece =
            GUACO__OF(link, struct guaco__wsgi_piece, link);
        Py_DECREF(piece->data);
        PyMem_Free(piece);
    }
    call->piece_bytes = 0;
}

/* Back to how it was made; `write` stays. */
static void
call_reset(CallObject *call)
{
    call->wsgi = NULL;
    call->x = NULL;
    Py_CLEAR(call->environ);
    Py_CLEAR(call->iterable);
    Py_CLEAR(call->iterator);
    Py_CLEAR(call->headers);
    pieces_clear(call);
    call->status = 0;
    call->given = 0;
    call->is_committed = false;
    call->is_started = false;
    call->is_over = false;
    call->is_single = false;
    call->is_scheduled = false;
    call->is_full = false;
    call->is_pooled = false;
    call->is_running = false;
    call->is_failed = false;
}

static void
call_unlink(CallObject *call)
{
    assert(call->wsgi != NULL);
    assert(call->x == NULL);
    guaco__list_remove(&call->link);
    guaco__list_remove(&call->job_link);
    if (call->held != NULL)
        guaco_exchange_unref(call->held);
    call->held = NULL;
}

void
guaco__wsgi_call_forsake(CallObject *call)
{
    assert(call->is_running);
    call_unlink(call);
    call->wsgi = NULL;
    guaco__pool_wake(call);
    Py_DECREF(call); /* the thread has one of its own */
}

void
guaco__wsgi_call_end(CallObject *call)
{
    struct guaco__wsgi *wsgi = call->wsgi;

    assert(!call->is_running);
    call_unlink(call);
    call_reset(call);
    if (Py_REFCNT(call) == 2 && Py_REFCNT(call->write) == 1 &&
        wsgi->spare_count < GUACO__WSGI_SPARE) {
        wsgi->spare[wsgi->spare_count++] = call; /* the list's reference */
        return;
    }
    Py_CLEAR(call->write);
    Py_DECREF(call);
}

void
guaco__wsgi_call_try_end(CallObject *call)
{
    if (call->x == NULL && !call->is_running && !call->is_scheduled)
        guaco__wsgi_call_end(call);
}

/* ---- start_response ----------------------------------------------------- */

static bool
is_digit(Py_UCS4 c)
{
    return c >= '0' && c <= '9';
}

static bool
has_control(PyObject *text)
{
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(text); i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(text, i);
        if (c < 0x20 || c == 0x7f)
            return true;
    }
    return false;
}

/* "404 Not Found" -> 404.  The reason is for people; HTTP/2 has none, and the
 * server writes the registered one. */
static int
status_of(PyObject *text)
{
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "the status must be str");
        return -1;
    }
    if (PyUnicode_GET_LENGTH(text) < 4 ||
        !is_digit(PyUnicode_READ_CHAR(text, 0)) ||
        !is_digit(PyUnicode_READ_CHAR(text, 1)) ||
        !is_digit(PyUnicode_READ_CHAR(text, 2)) ||
        PyUnicode_READ_CHAR(text, 3) != ' ' ||
        PyUnicode_READ_CHAR(text, 0) < '2' || has_control(text)) {
        PyErr_Format(PyExc_ValueError,
                     "the status must be like \"200 OK\", not %R", text);
        return -1;
    }
    return (int)(PyUnicode_READ_CHAR(text, 0) - '0') * 100 +
           (int)(PyUnicode_READ_CHAR(text, 1) - '0') * 10 +
           (int)(PyUnicode_READ_CHAR(text, 2) - '0');
}

/* The bytes of a str that is Latin-1, in place. */
static bool
latin1_slice(PyObject *text, struct guaco_slice *slice)
{
    if (!PyUnicode_Check(text) || PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND)
        return false;
    slice->at = (const char *)PyUnicode_1BYTE_DATA(text);
    slice->len = (size_t)PyUnicode_GET_LENGTH(text);
    return true;
}

/* RFC 9110 7.6.1: they are between the server and the client. */
static bool
is_hop_by_hop(struct guaco_slice name)
{
    static const struct guaco_slice names[] = {
        {"connection", 10}, {"keep-alive", 10}, {"proxy-connection", 16},
        {"te", 2},          {"trailer", 7},     {"transfer-encoding", 17},
        {"upgrade", 7},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (guaco__equals_lower(name, names[i]))
            return true;
    return false;
}

/* 1*DIGIT, or an exception. */
static int
length_of(struct guaco_slice text, int64_t *length)
{
    int64_t number = 0;
    bool good = text.len > 0 && text.len <= 18;

    for (size_t i = 0; good && i < text.len; i++) {
        good = is_digit((Py_UCS4)(unsigned char)text.at[i]);
        number = number * 10 + (text.at[i] - '0');
    }
    if (!good || *length >= 0) {
        PyErr_SetString(PyExc_ValueError,
                        "Content-Length must be one decimal number");
        return -1;
    }
    *length = number;
    return 0;
}

static int
check_header(PyObject *header, int64_t *length)
{
    struct guaco_slice name, value;

    if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2 ||
        !PyUnicode_Check(PyTuple_GET_ITEM(header, 0)) ||
        !PyUnicode_Check(PyTuple_GET_ITEM(header, 1))) {
        PyErr_Format(PyExc_TypeError,
                     "a header must be a tuple of two str, not %R", header);
        return -1;
    }
    if (!latin1_slice(PyTuple_GET_ITEM(header, 0), &name) ||
        !latin1_slice(PyTuple_GET_ITEM(header, 1), &value) ||
        !guaco__is_token(name) || !guaco__is_field_value(value)) {
        PyErr_Format(PyExc_ValueError, "the header %R cannot be sent", header);
        return -1;
    }
    if (is_hop_by_hop(name)) {
        PyErr_Format(PyExc_ValueError,
                     "the header %R is the server's (hop by hop)", header);
        return -1;
    }
    return guaco__equals_lower(name, GUACO_SLICE("content-length"))
               ? length_of(value, length)
               : 0;
}

/* A checked copy as a tuple; the application may go on to change its list. */
static PyObject *
headers_of(PyObject *headers, int64_t *length)
{
    if (!PyList_Check(headers)) {
        PyErr_SetString(PyExc_TypeError, "the headers must be a list");
        return NULL;
    }
    PyObject *copy = PyList_AsTuple(headers);
    if (copy == NULL)
        return NULL;
    if (PyTuple_GET_SIZE(copy) > GUACO__WSGI_FIELDS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many headers");
        Py_CLEAR(copy);
    }
    *length = -1;
    for (Py_ssize_t i = 0; copy != NULL && i < PyTuple_GET_SIZE(copy); i++)
        if (check_header(PyTuple_GET_ITEM(copy, i), length) < 0)
            Py_CLEAR(copy);
    return copy;
}

/* Raise exc_info again, with its traceback; NULL. */
static PyObject *
raise_again(PyObject *exc_info)
{
    if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3 ||
        !PyExceptionInstance_Check(PyTuple_GET_ITEM(exc_info, 1))) {
        PyErr_SetString(PyExc_TypeError, "exc_info must be sys.exc_info()");
        return NULL;
    }
    PyObject *exc = Py_NewRef(PyTuple_GET_ITEM(exc_info, 1));
    PyObject *traceback = PyTuple_GET_ITEM(exc_info, 2);
    if (PyTraceBack_Check(traceback))
        PyException_SetTraceback(exc, traceback);
    guaco__exc_raise(exc);
    return NULL;
}

static PyObject *
call_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf,
                PyObject *kwnames)
{
    CallObject *call = (CallObject *)self;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    if (nargs < 2 || nargs + nkw > 3 ||
        (nkw == 1 && PyUnicode_CompareWithASCIIString(
                         PyTuple_GET_ITEM(kwnames, 0), "exc_info") != 0)) {
        PyErr_SetString(PyExc_TypeError,
                        "start_response(status, headers, exc_info=None)");
        return NULL;
    }
    PyObject *exc_info = nargs + nkw == 3 ? args[2] : Py_None;
    if (exc_info != Py_None && call->is_committed)
        return raise_again(exc_info);
    if (exc_info == Py_None && call->status != 0) {
        PyErr_SetString(PyExc_AssertionError,
                        "start_response was called twice without exc_info");
        return NULL;
    }
    int64_t length;
    int status = status_of(args[0]);
    PyObject *headers = status < 0 ? NULL : headers_of(args[1], &length);
    if (headers == NULL)
        return NULL;
    call->status = status;
    call->length = length;
    Py_XSETREF(call->headers, headers);
    if (call->write == NULL)
        Py_RETURN_NONE; /* the request is over long since */
    return Py_NewRef(call->write);
}

/* ---- table -------------------------------------------------------------- */

static int
call_traverse(CallObject *call, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(call));
    Py_VISIT(call->write);
    Py_VISIT(call->environ);
    Py_VISIT(call->iterable);
    Py_VISIT(call->iterator);
    Py_VISIT(call->headers);
    return 0;
}

static int
call_clear(CallObject *call)
{
    Py_CLEAR(call->write);
    Py_CLEAR(call->environ);
    Py_CLEAR(call->iterable);
    Py_CLEAR(call->iterator);
    Py_CLEAR(call->headers);
    return 0;
}

static void
call_dealloc(CallObject *call)
{
    PyTypeObject *type = Py_TYPE(call);

    PyObject_GC_UnTrack(call);
    call_reset(call);
    call_clear(call);
    if (call->room != NULL)
        PyThread_free_lock(call->room);
    type->tp_free(call);
    Py_DECREF(type);
}

static PyMemberDef call_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CallObject, vectorcall),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_dealloc, call_dealloc},   {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},       {Py_tp_members, call_members},
    {Py_tp_call, PyVectorcall_Call}, {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "guaco._core.WsgiCall",
    .basicsize = sizeof(CallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};

int
guaco__wsgi_call_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.WsgiCallType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &call_spec, NULL);
    return st->gateway.WsgiCallType == NULL ? -1 : 0;
}
