/*
 * guaco._core.StreamIO: what a stream transport does for each packet.  In
 * Python it would read
 *
 *     class StreamIO:
 *         direct: bool             # nothing waits and nothing was shut down
 *         def __new__(cls, transport, fd: int, /): ...
 *         def set_protocol(self, protocol, is_buffered: bool, /) -> None: ...
 *         def read(self) -> None:              # the reader of the loop
 *             self.receive(os.read(self.fd))
 *         def write(self, data: Buffer, /) -> None:
 *             if not self.direct or os.write(self.fd, data) < len(data):
 *                 self.transport._write_slowly(rest of data)
 *         def release(self) -> None: ...       # the connection is lost
 *
 * The transport (guaco._stream.StreamTransport) is asyncio's own, which keeps
 * every state that a connection can be in.  As long as there is none to speak
 * of, which `direct` says, sending is one system call from here; all else,
 * errors and end of file too, is the transport's methods'.
 *
 * Threads: the interpreter's lock guards all of it, and is kept during the
 * system calls, which do not wait.
 */

#include "loop_int.h"

#include <errno.h>
#include <sys/socket.h>

#define SCRATCH_BYTES (64 * 1024)  /* received on the stack, then copied */
#define BULK_BYTES    (256 * 1024) /* after one that filled the scratch */

typedef struct {
    PyObject_HEAD
    struct guaco_state *st;
    PyObject *transport;      /* NULL once released */
    PyObject *receive;        /* bound data_received, or NULL */
    PyObject *get_buffer;     /* of a BufferedProtocol, or NULL */
    PyObject *buffer_updated; /* with it */
    int fd;
    char direct;
    bool is_bulk;
} StreamIOObject;

static StreamIOObject *
cast(PyObject *self)
{
    return (StreamIOObject *)self;
}

/* ---- what the transport does ---- */

/* Have the transport end with the exception that is set, but let those two
 * through that end the loop.  As a method's result. */
static PyObject *
fail(StreamIOObject *self, const char *text)
{
    if (PyErr_ExceptionMatches(PyExc_SystemExit) ||
        PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        self->transport == NULL)
        return NULL;
    PyObject *exc = guaco__exc_take();
    PyObject *transport = Py_NewRef(self->transport);
    PyObject *result =
        PyObject_CallMethod(transport, "_fatal_error", "Os", exc, text);
    Py_DECREF(transport);
    Py_DECREF(exc);
    return result;
}

static PyObject *
fail_system_call(StreamIOObject *self, const char *text)
{
    PyErr_SetFromErrno(PyExc_OSError);
    return fail(self, text);
}

static bool
is_again(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

/* ---- reading ---- */

static PyObject *
received_nothing(StreamIOObject *self, ssize_t n)
{
    if (n == 0)
        return PyObject_CallMethodNoArgs(self->transport,
                                         self->st->loop.s__read_ready__on_eof);
    if (is_again())
        Py_RETURN_NONE;
    return fail_system_call(self, "Fatal read error on socket transport");
}

static ssize_t
receive_from(int fd, void *at, size_t len)
{
    ssize_t n;

    do
        n = recv(fd, at, len, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

/* A bytes object with what is there; NULL with *n telling why not. */
static PyObject *
receive_scratch(int fd, ssize_t *n)
{
    char scratch[SCRATCH_BYTES];

    *n = receive_from(fd, scratch, sizeof(scratch));
    return *n > 0 ? PyBytes_FromStringAndSize(scratch, *n) : NULL;
}

static PyObject *
receive_bulk(int fd, ssize_t *n)
{
    PyObject *data = PyBytes_FromStringAndSize(NULL, BULK_BYTES);

    *n = 1; /* a failure is one of memory */
    if (data == NULL)
        return NULL;
    *n = receive_from(fd, PyBytes_AS_STRING(data), BULK_BYTES);
    if (*n > 0) {
        (void)_PyBytes_Resize(&data, *n);
        return data;
    }
    int sys = errno;
    Py_DECREF(data);
    errno = sys;
    return NULL;
}

static PyObject *
read_to_protocol(StreamIOObject *self)
{
    ssize_t n;
    PyObject *data = self->is_bulk ? receive_bulk(self->fd, &n)
                                   : receive_scratch(self->fd, &n);

    self->is_bulk = n >= SCRATCH_BYTES;
    if (n <= 0)
        return received_nothing(self, n);
    PyObject *result = NULL;
    if (data != NULL) {
        PyObject *receive = Py_NewRef(self->receive);
        result = PyObject_CallOneArg(receive, data);
        Py_DECREF(receive);
        Py_DECREF(data);
    }
    return result != NULL
               ? result
               : fail(self, "Fatal error: protocol.data_received() call "
                            "failed.");
}

/* Fill the protocol's own buffer: as many bytes, 0 or -1 as recv says, or -2
 * with an exception that is the protocol's. */
static ssize_t
receive_into(StreamIOObject *self)
{
    PyObject *get_buffer = Py_NewRef(self->get_buffer);
    PyObject *object = PyObject_CallFunction(get_buffer, "i", -1);
    Py_buffer view;

    Py_DECREF(get_buffer);
    if (object == NULL)
        return -2;
    int rc = PyObject_GetBuffer(object, &view, PyBUF_WRITABLE);
    Py_DECREF(object);
    if (rc < 0)
        return -2;
    if (view.len == 0) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_RuntimeError,
                        "get_buffer() returned an empty buffer");
        return -2;
    }
    ssize_t n = receive_from(self->fd, view.buf, (size_t)view.len);
    int sys = errno;
    PyBuffer_Release(&view);
    errno = sys;
    return n;
}

static PyObject *
read_to_buffer(StreamIOObject *self)
{
    ssize_t n = receive_into(self);

    if (n == -2)
        return fail(self, "Fatal error: protocol.get_buffer() call failed.");
    if (n <= 0)
        return received_nothing(self, n);
    /* Of the protocol that is ours now: get_buffer() may have changed it. */
    PyObject *updated = Py_XNewRef(self->buffer_updated);
    if (updated == NULL)
        Py_RETURN_NONE;
    PyObject *result = PyObject_CallFunction(updated, "n", (Py_ssize_t)n);
    Py_DECREF(updated);
    return result != NULL
               ? result
               : fail(self, "Fatal error: protocol.buffer_updated() call "
                            "failed.");
}

static PyObject *
io_read(PyObject *object, PyObject *Py_UNUSED(none))
{
    StreamIOObject *self = cast(object);

    if (self->transport == NULL)
        Py_RETURN_NONE;
    Py_INCREF(object); /* what is called may lose the connection */
    PyObject *result = self->get_buffer != NULL ? read_to_buffer(self)
                                                : read_to_protocol(self);
    Py_DECREF(object);
    return result;
}

/* ---- writing ---- */

static PyObject *
write_slowly(StreamIOObject *self, PyObject *data)
{
    if (self->transport == NULL)
        Py_RETURN_NONE; /* a method that was kept past the end */
    return PyObject_CallMethodOneArg(self->transport,
                                     self->st->loop.s__write_slowly, data);
}

/* The kernel took `sent` of view->len bytes; the transport keeps the rest. */
static PyObject *
write_rest(StreamIOObject *self, const Py_buffer *view, size_t sent)
{
    PyObject *rest = PyBytes_FromStringAndSize((const char *)view->buf + sent,
                                               view->len - (Py_ssize_t)sent);
    PyObject *result = rest != NULL ? write_slowly(self, rest) : NULL;

    Py_XDECREF(rest);
    return result;
}

static PyObject *
send_now(StreamIOObject *self, const Py_buffer *view)
{
    ssize_t n;

    do
        n = send(self->fd, view->buf, (size_t)view->len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == view->len)
        Py_RETURN_NONE;
    self->direct = 0;
    if (n < 0 && !is_again())
        return fail_system_call(self, "Fatal write error on socket transport");
    return write_rest(self, view, n < 0 ? 0 : (size_t)n);
}

static bool
is_taken_by_asyncio(PyObject *data)
{
    return PyBytes_Check(data) || PyByteArray_Check(data) ||
           PyMemoryView_Check(data);
}

static PyObject *
io_write(PyObject *object, PyObject *data)
{
    StreamIOObject *self = cast(object);
    Py_buffer view;

    if (!self->direct || !is_taken_by_asyncio(data))
        return write_slowly(self, data);
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear(); /* a view with holes: asyncio has its own word for it */
        return write_slowly(self, data);
    }
    PyObject *result =
        view.len > 0 ? send_now(self, &view) : Py_NewRef(Py_None);
    PyBuffer_Release(&view);
    return result;
}

/* ---- life ---- */

/* A protocol that lacks a method fails when it is called for, as None does. */
static int
find_method(PyObject **out, PyObject *protocol, PyObject *name)
{
    *out = PyObject_GetAttr(protocol, name);
    if (*out != NULL)
        return 0;
    if (!PyErr_ExceptionMatches(PyExc_AttributeError))
        return -1;
    PyErr_Clear();
    *out = Py_NewRef(Py_None);
    return 0;
}

static int
find_methods(StreamIOObject *self, PyObject *protocol, bool is_buffered)
{
    struct guaco__loop_state *ls = &self->st->loop;

    if (is_buffered) {
        if (find_method(&self->get_buffer, protocol, ls->s_get_buffer) < 0)
            return -1;
        return find_method(&self->buffer_updated, protocol,
                           ls->s_buffer_updated);
    }
    return find_method(&self->receive, protocol, ls->s_data_received);
}

static int
io_clear_protocol(StreamIOObject *self)
{
    Py_CLEAR(self->receive);
    Py_CLEAR(self->get_buffer);
    Py_CLEAR(self->buffer_updated);
    return 0;
}

static PyObject *
io_set_protocol(PyObject *object, PyObject *args)
{
    StreamIOObject *self = cast(object);
    PyObject *protocol;
    int is_buffered;

    if (!PyArg_ParseTuple(args, "Op:set_protocol", &protocol, &is_buffered))
        return NULL;
    io_clear_protocol(self);
    if (find_methods(self, protocol, is_buffered != 0) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int
io_clear(PyObject *object)
{
    StreamIOObject *self = cast(object);

    self->direct = 0;
    Py_CLEAR(self->transport);
    return io_clear_protocol(self);
}

static PyObject *
io_release(PyObject *object, PyObject *Py_UNUSED(none))
{
    (void)io_clear(object);
    Py_RETURN_NONE;
}

static int
io_traverse(PyObject *object, visitproc visit, void *arg)
{
    StreamIOObject *self = cast(object);

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->transport);
    Py_VISIT(self->receive);
    Py_VISIT(self->get_buffer);
    Py_VISIT(self->buffer_updated);
    return 0;
}

static PyObject *
io_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *transport;
    int fd;

    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "StreamIO() takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "Oi:StreamIO", &transport, &fd))
        return NULL;
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    StreamIOObject *self = cast(type->tp_alloc(type, 0));
    if (self == NULL)
        return NULL;
    self->st = guaco_state_of(module);
    self->transport = Py_NewRef(transport);
    self->fd = fd;
    return (PyObject *)self;
}

static void
io_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    (void)io_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- the type ---- */

static PyMethodDef io_methods[] = {
    {"read", io_read, METH_NOARGS,
     "read($self, /)\n--\n\nPass on what the socket has."},
    {"write", io_write, METH_O,
     "write($self, data, /)\n--\n\nSend, or have the transport keep, data."},
    {"set_protocol", io_set_protocol, METH_VARARGS,
     "set_protocol($self, protocol, is_buffered, /)\n--\n\nWho receives."},
    {"release", io_release, METH_NOARGS,
     "release($self, /)\n--\n\nThe connection is lost: let go of all."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef io_members[] = {
    {"direct", T_BOOL, offsetof(StreamIOObject, direct), 0,
     "Nothing waits to be sent, and nothing forbids to send."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot io_slots[] = {
    {Py_tp_doc, (void *)"What a stream transport does for each packet."},
    {Py_tp_new, io_new},
    {Py_tp_dealloc, io_dealloc},
    {Py_tp_traverse, io_traverse},
    {Py_tp_clear, io_clear},
    {Py_tp_methods, io_methods},
    {Py_tp_members, io_members},
    {0, NULL},
};

static PyType_Spec io_spec = {
    .name = "guaco._core.StreamIO",
    .basicsize = sizeof(StreamIOObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = io_slots,
};

int
guaco__stream_io_type_add(PyObject *module, struct guaco_state *st)
{
    st->loop.StreamIOType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &io_spec, NULL);
    if (st->loop.StreamIOType == NULL)
        return -1;
    return PyModule_AddType(module, st->loop.StreamIOType);
}
