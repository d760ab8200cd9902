/*
 * The floor that makes the ASGI call (FA in RESULTS.md): a bare epoll server
 * that splits requests at the empty line, gives the application a scope with
 * its header list, steps its coroutine until it ends and writes what it sent.
 *
 *     floor_asgi.serve(listening_fd, app) -> never returns
 *
 * No event loop, no task, no context, no limits, no timeouts: nothing that a
 * real server needs.  It shows what the kernel and the call itself cost.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES  65536
#define OUT_BYTES 65536

struct floor {
    int epoll;
    PyObject *app, *receive, *send, *scope;
    PyObject *none_awaitable, *request_message;
    char out[OUT_BYTES];
    size_t out_len;
};

/* What `await send(...)` waits for: an iterator that ends at once. */
static PyObject *
ready_await(PyObject *self)
{
    return Py_NewRef(self);
}

static PyObject *
ready_next(PyObject *self)
{
    (void)self;
    return NULL; /* StopIteration(None) */
}

static PyType_Slot ready_slots[] = {
    {Py_am_await, ready_await},
    {Py_tp_iter, ready_await},
    {Py_tp_iternext, ready_next},
    {0, NULL},
};

static PyType_Spec ready_spec = {
    .name = "floor_asgi.Ready",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = ready_slots,
};

static void
put(struct floor *f, const char *at, size_t len)
{
    if (len <= OUT_BYTES - f->out_len) {
        memcpy(f->out + f->out_len, at, len);
        f->out_len += len;
    }
}

static void
put_start(struct floor *f, PyObject *message)
{
    PyObject *headers = PyDict_GetItemString(message, "headers");
    Py_ssize_t n = headers ? PyList_GET_SIZE(headers) : 0;

    put(f, "HTTP/1.1 200 OK\r\n", 17);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        PyObject *name = PyTuple_GET_ITEM(pair, 0);
        PyObject *value = PyTuple_GET_ITEM(pair, 1);
        put(f, PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name));
        put(f, ": ", 2);
        put(f, PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
        put(f, "\r\n", 2);
    }
    put(f, "\r\n", 2);
}

static PyObject *
floor_send(PyObject *capsule, PyObject *message)
{
    struct floor *f = PyCapsule_GetPointer(capsule, "floor");
    PyObject *body = PyDict_GetItemString(message, "body");

    if (body == NULL)
        put_start(f, message);
    else
        put(f, PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body));
    return Py_NewRef(f->none_awaitable);
}

static PyMethodDef send_def = {"send", floor_send, METH_O, NULL};

/* The header list of one head, names as received (the floor's client sends
 * them in lower case). */
static PyObject *
header_list(const char *at, const char *end)
{
    PyObject *list = PyList_New(0);

    at = memchr(at, '\n', (size_t)(end - at));
    while (list != NULL && at != NULL && ++at < end) {
        const char *stop = memchr(at, '\r', (size_t)(end - at));
        const char *colon = memchr(at, ':', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        if (colon == NULL || colon > stop)
            break;
        PyObject *pair =
            Py_BuildValue("(y#y#)", at, (Py_ssize_t)(colon - at), colon + 2,
                          (Py_ssize_t)(stop - colon - 2));
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_XDECREF(pair);
            Py_CLEAR(list);
            break;
        }
        Py_DECREF(pair);
        at = memchr(at, '\n', (size_t)(end - at));
    }
    return list;
}

static int
one_request(struct floor *f, const char *at, const char *end)
{
    PyObject *scope = PyDict_Copy(f->scope);
    PyObject *headers = header_list(at, end);
    if (scope == NULL || headers == NULL ||
        PyDict_SetItemString(scope, "headers", headers) < 0)
        return -1;
    Py_DECREF(headers);

    PyObject *args[] = {scope, f->receive, f->send};
    PyObject *coro = PyObject_Vectorcall(f->app, args, 3, NULL);
    Py_DECREF(scope);
    if (coro == NULL)
        return -1;
    PyObject *value = NULL;
    PySendResult how = PyIter_Send(coro, Py_None, &value);
    Py_XDECREF(value);
    Py_DECREF(coro);
    return how == PYGEN_ERROR ? -1 : 0;
}

/* Answer every whole request in the buffer; the bytes used, or -1. */
static ssize_t
answer(struct floor *f, const char *in, size_t len)
{
    size_t used = 0;

    for (;;) {
        const char *end = memmem(in + used, len - used, "\r\n\r\n", 4);
        if (end == NULL)
            return (ssize_t)used;
        if (one_request(f, in + used, end) < 0)
            return -1;
        used = (size_t)(end - in) + 4;
    }
}

/* 0 to go on, 1 when the connection is over, -1 with an exception. */
static int
readable(struct floor *f, int fd)
{
    static char in[IN_BYTES]; /* requests arrive whole in this benchmark */
    ssize_t got = recv(fd, in, sizeof in, 0);

    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : 1;
    f->out_len = 0;
    if (answer(f, in, (size_t)got) < 0)
        return -1;
    return send(fd, f->out, f->out_len, MSG_NOSIGNAL) < 0 ? 1 : 0;
}

static int
turn(struct floor *f, int listener)
{
    struct epoll_event ready[64];
    int n;

    Py_BEGIN_ALLOW_THREADS n = epoll_wait(f->epoll, ready, 64, -1);
    Py_END_ALLOW_THREADS if (n < 0) return PyErr_CheckSignals();
    for (int i = 0; i < n; i++) {
        int fd = ready[i].data.fd;
        if (fd == listener) {
            int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            struct epoll_event ev = {.events = EPOLLIN, .data.fd = client};
            if (client >= 0)
                epoll_ctl(f->epoll, EPOLL_CTL_ADD, client, &ev);
            continue;
        }
        int rc = readable(f, fd);
        if (rc < 0)
            return -1;
        if (rc > 0)
            close(fd);
    }
    return 0;
}

static PyObject *
serve(PyObject *module, PyObject *args)
{
    static struct floor f;
    int listener;
    (void)module;

    if (!PyArg_ParseTuple(args, "iO", &listener, &f.app))
        return NULL;
    PyObject *type = PyType_FromSpec(&ready_spec);
    PyObject *capsule = PyCapsule_New(&f, "floor", NULL);
    if (type == NULL || capsule == NULL)
        return NULL;
    f.none_awaitable = PyObject_CallNoArgs(type);
    f.send = PyCFunction_New(&send_def, capsule);
    f.receive = Py_NewRef(Py_None);
    f.scope = Py_BuildValue(
        "{s:s,s:{s:s,s:s},s:s,s:s,s:s,s:s,s:y,s:y,s:s,s:(s,i),s:(s,i)}", "type",
        "http", "asgi", "version", "3.0", "spec_version", "2.5", "http_version",
        "1.1", "method", "GET", "scheme", "http", "path", "/", "raw_path", "/",
        "query_string", "", "root_path", "", "client", "127.0.0.1", 1, "server",
        "127.0.0.1", 2);
    if (f.none_awaitable == NULL || f.send == NULL || f.scope == NULL)
        return NULL;
    f.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(f.epoll, EPOLL_CTL_ADD, listener, &ev);
    while (turn(&f, listener) == 0) {}
    return NULL;
}

static PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS, "serve(fd, app): answer until a signal."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "floor_asgi",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_floor_asgi(void);

PyMODINIT_FUNC
PyInit_floor_asgi(void)
{
    return PyModule_Create(&definition);
}
