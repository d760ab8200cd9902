/*
 * Server: an HTTP server inside a guaco.loop.Loop, or as a guest of another
 * loop (guest.h), with one application.  In Python it would read
 *
 *     class Server:
 *         def __new__(cls, loop, app, interface, options, hooks, /): ...
 *         def set_tls(self, settings: str, /) -> None: ...
 *         def listen(self, fd: int, tls: bool = False, /) -> None: ...
 *         def start(self) -> None: ...
 *         def drain(self, seconds: float, done, /) -> None: ...
 *         def cancel(self) -> int: ...
 *         def running(self) -> int: ...
 *         def set_access_log(self, fd: int, /) -> None: ...
 *         def stats(self) -> dict[str, int]: ...
 *         def close(self) -> None: ...
 *
 * `options` has the values of the command line by their long names, `hooks`
 * what the faces call back; both as python/guaco/_server.py makes them.
 *
 * Threads: the loop's, with the GIL.  The server below calls back from the
 * loop's turn, where the GIL is held.
 */

#include "asgi.h"
#include "wsgi.h"

#include <limits.h>
#include <unistd.h>

#include "base/log.h"
#include "loop.h"
#include "module.h"
#include "os/meter.h"
#include "run/tls_settings.h"
#include "server_options.h"

typedef struct {
    PyObject_HEAD
    struct guaco__server *server; /* NULL once closed */
    struct guaco__meters meters;  /* of the tree, when there is one */
    struct guaco__asgi *asgi;     /* one of the two */
    struct guaco__wsgi *wsgi;
    PyObject *loop;
    PyObject *log;       /* log(level, line) */
    PyObject *exhausted; /* exhausted() */
    PyObject *drained;   /* of drain(), or NULL */
    struct guaco_log sink;
    struct guaco_state *st;
    struct guaco__guest *guest; /* NULL in a loop of ours */
    bool is_pinned;             /* in a loop of ours */
} ServerObject;

/* ---- options ------------------------------------------------------------ */

enum unit { UNIT_MS32, UNIT_U32, UNIT_U64, UNIT_SIZE };

struct limit {
    const char *name;
    enum unit unit;
    size_t offset;
};

#define LIMIT(name, unit, member)                                 \
    {                                                             \
        name, unit, offsetof(struct guaco__server_limits, member) \
    }

static const struct limit limits[] = {
    LIMIT("timeout_keep_alive", UNIT_MS32, idle_ms),
    LIMIT("timeout_handshake", UNIT_MS32, handshake_ms),
    LIMIT("timeout_head", UNIT_MS32, head_ms),
    LIMIT("timeout_body", UNIT_MS32, body_ms),
    LIMIT("timeout_send", UNIT_MS32, send_ms),
    LIMIT("limit_concurrency", UNIT_U32, concurrency_max),
    LIMIT("limit_connections", UNIT_U32, connections_max),
    LIMIT("limit_max_requests", UNIT_U64, requests_max),
    LIMIT("limit_keep_alive_requests", UNIT_U32, keep_alive_max),
    LIMIT("limit_head_bytes", UNIT_SIZE, head_bytes_max),
    LIMIT("limit_fields", UNIT_U32, fields_max),
    LIMIT("limit_body_bytes", UNIT_U64, body_bytes_max),
    LIMIT("limit_ws_message_bytes", UNIT_SIZE, ws_message_bytes_max),
    LIMIT("limit_ws_message_bytes", UNIT_SIZE, ws_frame_bytes_max),
    LIMIT("limit_h2_streams", UNIT_U32, h2_streams_max),
    LIMIT("limit_h2_resets", UNIT_U32, h2_resets_max),
    LIMIT("limit_h2_controls", UNIT_U32, h2_controls_max),
    LIMIT("limit_h2_window_bytes", UNIT_SIZE, h2_window_bytes),
    LIMIT("ws_ping_interval", UNIT_MS32, ws_ping_interval_ms),
    LIMIT("ws_ping_timeout", UNIT_MS32, ws_ping_timeout_ms),
};

static void
store(const struct limit *limit, struct guaco__server_limits *into,
      double value)
{
    char *at = (char *)into + limit->offset;

    switch (limit->unit) {
    case UNIT_MS32: *(uint32_t *)(void *)at = (uint32_t)(value * 1000); break;
    case UNIT_U32: *(uint32_t *)(void *)at = (uint32_t)value; break;
    case UNIT_U64: *(uint64_t *)(void *)at = (uint64_t)value; break;
    case UNIT_SIZE: *(size_t *)(void *)at = (size_t)value; break;
    }
}

static double
most_of(enum unit unit)
{
    switch (unit) {
    case UNIT_MS32: return UINT32_MAX / 1000;
    case UNIT_U32: return UINT32_MAX;
    case UNIT_U64:
    case UNIT_SIZE: return (double)(1LL << 53);
    }
    return 0;
}

static int
read_limit(PyObject *options, const struct limit *limit,
           struct guaco__server_limits *into)
{
    PyObject *value = PyDict_GetItemString(options, limit->name);

    if (value == NULL || value == Py_None)
        return 0;
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred())
        return -1;
    if (!(number >= 0 && number <= most_of(limit->unit))) {
        PyErr_Format(PyExc_ValueError, "%s=%R is out of range", limit->name,
                     value);
        return -1;
    }
    store(limit, into, number);
    return 0;
}

static bool
flag(PyObject *options, const char *name, bool missing)
{
    PyObject *value = PyDict_GetItemString(options, name);
    return value == NULL ? missing : value == Py_True;
}

/* Borrowed from `options`; NULL: an exception. */
static const char *
format_of(PyObject *options)
{
    PyObject *format = PyDict_GetItemString(options, "access_log_format");

    return format == NULL || format == Py_None ? "combined"
                                               : PyUnicode_AsUTF8(format);
}

/* A descriptor of hooks["extras"], or `otherwise`; -1: an exception. */
static int
extra_fd(PyObject *hooks, const char *name, int otherwise)
{
    PyObject *extras = PyDict_GetItemString(hooks, "extras");
    PyObject *fd = NULL;

    if (extras != NULL && PyDict_Check(extras))
        fd = PyDict_GetItemString(extras, name);
    return fd == NULL ? otherwise : PyObject_AsFileDescriptor(fd);
}

/* The slot of the tree's meters that is this process's: hooks["meter"]. */
static int
take_meter(ServerObject *self, PyObject *hooks,
           struct guaco__server_options *into)
{
    PyObject *slot = PyDict_GetItemString(hooks, "meter");
    int fd = extra_fd(hooks, "meter", -1);
    struct guaco_error err = {0};

    if (PyErr_Occurred())
        return -1;
    if (slot == NULL || slot == Py_None || fd < 0)
        return 0;
    long index = PyLong_AsLong(slot);
    if (index == -1 && PyErr_Occurred())
        return -1;
    if (index < 0 || index >= GUACO__METER_SLOTS) {
        PyErr_SetString(PyExc_ValueError, "no such meter");
        return -1;
    }
    int rc = guaco__meters_map(&self->meters, dup(fd), &err);
    if (rc < 0) {
        guaco_raise(self->st, rc, &err);
        return -1;
    }
    into->meter = &self->meters.slots[index];
    into->crowd = self->meters.crowd;
    into->crowd_place = (uint32_t)index;
    into->pulse_fd = extra_fd(hooks, "pulse", -1);
    return PyErr_Occurred() ? -1 : 0;
}

static int
read_options(PyObject *from, PyObject *hooks,
             struct guaco__server_options *into)
{
    guaco__server_options_init(into);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (read_limit(from, &limits[i], &into->limits) < 0)
            return -1;
    if (flag(from, "access_log", false) &&
        (into->access_format = format_of(from)) == NULL)
        return -1;
    into->access_fd = extra_fd(hooks, "access_log", STDOUT_FILENO);
    if (into->access_fd < 0)
        return -1;
    if (!flag(from, "server_header", true))
        into->server_name = NULL;
    into->has_date = flag(from, "date_header", true);
    into->has_h1 = flag(from, "http1", true);
    into->has_h2 = flag(from, "http2", true);
    into->ws_deflate = flag(from, "ws_deflate", true);
    return guaco__py_front_options(from, into);
}

/* hooks[name], borrowed; KeyError when it is missing. */
static PyObject *
hook_of(PyObject *hooks, const char *name)
{
    PyObject *hook = PyDict_GetItemString(hooks, name);
    if (hook == NULL && !PyErr_Occurred())
        PyErr_Format(PyExc_KeyError, "hooks has no %s", name);
    return hook;
}

/* ---- the loop below ----------------------------------------------------- */

/* Ours, pinned so that it is not closed under us, or one of our own. */
static int
loop_open(ServerObject *self)
{
    if (!guaco__py_loop_check(self->st, self->loop)) {
        self->guest = guaco__guest_new(self->st, self->loop, (PyObject *)self);
        return self->guest == NULL ? -1 : 0;
    }
    self->is_pinned = guaco__py_loop_pin(self->loop, (PyObject *)self) == 0;
    return self->is_pinned ? 0 : -1;
}

static void
loop_close(ServerObject *self)
{
    struct guaco__guest *guest = self->guest;

    self->guest = NULL;
    guaco__guest_close(guest);
    if (self->is_pinned) {
        self->is_pinned = false;
        guaco__py_loop_unpin(self->loop, (PyObject *)self);
    }
}

static struct guaco__loop *
loop_below(const ServerObject *self)
{
    return self->guest != NULL ? guaco__guest_loop(self->guest)
                               : guaco__py_loop_of(self->loop);
}

/* ---- callbacks ---------------------------------------------------------- */

static void
call_hook(PyObject *hook)
{
    PyObject *done = PyObject_CallNoArgs(hook);
    if (done == NULL)
        PyErr_WriteUnraisable(hook);
    Py_XDECREF(done);
}

static void
on_log(void *ctx, int level, const char *line, size_t len)
{
    ServerObject *self = ctx;
    PyObject *done =
        PyObject_CallFunction(self->log, "is#", level, line, (Py_ssize_t)len);
    if (done == NULL)
        PyErr_WriteUnraisable(self->log);
    Py_XDECREF(done);
}

static void
on_drained(void *ctx)
{
    ServerObject *self = ctx;
    PyObject *hook = self->drained;

    self->drained = NULL;
    if (hook != NULL)
        call_hook(hook);
    Py_XDECREF(hook);
}

static void
on_exhausted(void *ctx)
{
    call_hook(((ServerObject *)ctx)->exhausted);
}

/* ---- life --------------------------------------------------------------- */

static int
make_asgi(ServerObject *self, PyObject *callable, PyObject *hooks)
{
    struct guaco__asgi_options options = {
        .loop = self->loop,
        .callable = callable,
        .state = hook_of(hooks, "state"),
        .report = hook_of(hooks, "report"),
        .disconnect = hook_of(hooks, "disconnect"),
        .root_path = hook_of(hooks, "root_path"),
        .guest = self->guest,
    };

    if (PyErr_Occurred())
        return -1;
    return guaco__asgi_new(&self->asgi, self->st, &options);
}

static int
make_wsgi(ServerObject *self, PyObject *callable, PyObject *hooks,
          uint32_t send_ms)
{
    PyObject *multiprocess = hook_of(hooks, "multiprocess");
    struct guaco__wsgi_options options = {
        .callable = callable,
        .report = hook_of(hooks, "report"),
        .errors = hook_of(hooks, "errors"),
        .root_path = hook_of(hooks, "root_path"),
        .pool = hook_of(hooks, "pool"),
        .multiprocess = multiprocess == Py_True,
        .send_ms = send_ms,
    };

    if (PyErr_Occurred())
        return -1;
    if (options.pool != Py_None &&
        !Py_IS_TYPE(options.pool, self->st->gateway.PoolType)) {
        PyErr_SetString(PyExc_TypeError, "pool must be a Pool or None");
        return -1;
    }
    return guaco__wsgi_new(&self->wsgi, self->st, &options);
}

static int
make_with(ServerObject *self, PyObject *callable, const char *interface,
          struct guaco__server_options *options, PyObject *hooks)
{
    struct guaco_error err = {0};
    struct guaco_app *app;

    if (strcmp(interface, "wsgi") == 0) {
        if (make_wsgi(self, callable, hooks, options->limits.send_ms) < 0)
            return -1;
        app = &self->wsgi->app;
    } else {
        if (make_asgi(self, callable, hooks) < 0)
            return -1;
        app = &self->asgi->app;
    }
    self->log = Py_XNewRef(hook_of(hooks, "log"));
    self->exhausted = Py_XNewRef(hook_of(hooks, "exhausted"));
    if (self->log == NULL || self->exhausted == NULL)
        return -1;
    self->sink = (struct guaco_log){GUACO_LOG_INFO, on_log, self};
    options->log = &self->sink;
    options->on_exhausted = on_exhausted;
    options->ctx = self;
    int rc =
        guaco__server_new(&self->server, loop_below(self), app, options, &err);
    if (rc < 0)
        guaco_raise(self->st, rc, &err);
    return rc < 0 ? -1 : 0;
}

static int
make(ServerObject *self, PyObject *callable, const char *interface,
     PyObject *from, PyObject *hooks)
{
    struct guaco__server_options options;
    int rc = read_options(from, hooks, &options);

    if (rc == 0)
        rc = take_meter(self, hooks, &options);
    if (rc == 0)
        rc = make_with(self, callable, interface, &options, hooks);
    if (rc < 0) /* no server has taken them */
        guaco__statics_release(&options.statics);
    return rc;
}

/* Everything ends now; `gone` is told to what is open. */
static void
server_end(ServerObject *self)
{
    struct guaco__server *server = self->server;
    struct guaco__asgi *asgi = self->asgi;
    struct guaco__wsgi *wsgi = self->wsgi;

    self->server = NULL;
    self->asgi = NULL;
    self->wsgi = NULL;
    guaco__server_free(server);
    guaco__meters_close(&self->meters);
    guaco__asgi_free(asgi);
    guaco__wsgi_free(wsgi);
    loop_close(self);
}

static PyObject *
server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *loop, *callable, *options, *hooks;
    const char *interface;

    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Server() takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OOsO!O!:Server", &loop, &callable, &interface,
                          &PyDict_Type, &options, &PyDict_Type, &hooks))
        return NULL;
    struct guaco_state *st = PyType_GetModuleState(type);
    ServerObject *self = (ServerObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->st = st;
    self->loop = Py_NewRef(loop);
    if (loop_open(self) < 0 ||
        make(self, callable, interface, options, hooks) < 0) {
        server_end(self);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
server_dealloc(ServerObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    server_end(self);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->log);
    Py_CLEAR(self->exhausted);
    Py_CLEAR(self->drained);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
server_traverse(ServerObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->log);
    Py_VISIT(self->exhausted);
    Py_VISIT(self->drained);
    if (self->guest != NULL)
        Py_VISIT((PyObject *)self->guest);
    if (self->asgi != NULL) {
        int rc = guaco__asgi_traverse(self->asgi, visit, arg);
        if (rc != 0)
            return rc;
    }
    return self->wsgi == NULL ? 0
                              : guaco__wsgi_traverse(self->wsgi, visit, arg);
}

/* ---- methods ------------------------------------------------------------ */

static int
check_open(const ServerObject *self)
{
    if (self->server != NULL)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "the server is closed");
    return -1;
}

/* The answer of the core as None or an exception. */
static PyObject *
answer(const ServerObject *self, int rc, const struct guaco_error *err)
{
    if (rc < 0)
        return PyErr_Occurred() ? NULL : guaco_raise(self->st, rc, err);
    Py_RETURN_NONE;
}

/* The options of TLS as the JSON that a worker of C guests gets: so there is
 * one reader of them. */
static int
use_tls(struct guaco__server *server, struct guaco__arena *arena,
        const char *text, size_t len, struct guaco_error *err)
{
    const struct guaco__json *hello;
    struct guaco__tls_settings settings;
    struct guaco__tls *tls;
    int rc = guaco__json_read(arena, text, len, &hello, err);

    if (rc < 0)
        return rc;
    guaco__tls_settings_take(&settings, hello);
    rc = guaco__tls_new(&tls, &settings.options, err);
    if (rc < 0)
        return rc;
    guaco__server_set_tls(server, tls);
    guaco__tls_unref(tls);
    return rc;
}

static PyObject *
server_set_tls(ServerObject *self, PyObject *arg)
{
    struct guaco_error err = {0};
    struct guaco__arena arena;
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(arg, &len);

    if (text == NULL || check_open(self) < 0)
        return NULL;
    guaco__arena_init(&arena, 4096, 1 << 20);
    int rc = use_tls(self->server, &arena, text, (size_t)len, &err);
    guaco__arena_release(&arena);
    return answer(self, rc, &err);
}

static PyObject *
server_listen(ServerObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct guaco_error err = {0};

    if (nargs != 1 && nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "listen(fd, tls=False)");
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(args[0]);
    if (fd < 0 || check_open(self) < 0)
        return NULL;
    int rc = nargs == 2 && args[1] == Py_True
                 ? guaco__server_listen_tls(self->server, fd, &err)
                 : guaco__server_listen(self->server, fd, &err);
    return answer(self, rc, &err);
}

static PyObject *
server_start(ServerObject *self, PyObject *Py_UNUSED(none))
{
    struct guaco_error err = {0};

    if (check_open(self) < 0)
        return NULL;
    int rc = guaco__server_start(self->server, &err);
    guaco__guest_touch(self->guest);
    return answer(self, rc, &err);
}

static PyObject *
server_drain(ServerObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "drain(seconds, done)");
        return NULL;
    }
    double seconds = PyFloat_AsDouble(args[0]);
    if ((seconds == -1.0 && PyErr_Occurred()) || check_open(self) < 0)
        return NULL;
    if (!(seconds >= 0 && seconds < (double)(UINT32_MAX / 1000))) {
        PyErr_SetString(PyExc_ValueError, "seconds is out of range");
        return NULL;
    }
    Py_XSETREF(self->drained, Py_NewRef(args[1]));
    guaco__server_drain(self->server, (uint32_t)(seconds * 1000), on_drained,
                        self);
    guaco__guest_touch(self->guest);
    Py_RETURN_NONE;
}

static PyObject *
server_cancel(ServerObject *self, PyObject *Py_UNUSED(none))
{
    return PyLong_FromSsize_t(
        self->asgi == NULL ? 0 : guaco__asgi_cancel(self->asgi));
}

static PyObject *
server_running(ServerObject *self, PyObject *Py_UNUSED(none))
{
    Py_ssize_t n = 0;

    if (self->asgi != NULL)
        n = guaco__asgi_running(self->asgi);
    else if (self->wsgi != NULL)
        n = guaco__wsgi_running(self->wsgi);
    return PyLong_FromSsize_t(n);
}

static PyObject *
server_set_access_log(ServerObject *self, PyObject *arg)
{
    struct guaco_error err = {0};
    int fd = PyObject_AsFileDescriptor(arg);

    if (fd < 0 || check_open(self) < 0)
        return NULL;
    return answer(self, guaco__server_set_access_fd(self->server, fd, &err),
                  &err);
}

static PyObject *
server_stats(ServerObject *self, PyObject *Py_UNUSED(none))
{
    if (check_open(self) < 0)
        return NULL;
    const struct guaco__server_stats *s = guaco__server_stats(self->server);
    return Py_BuildValue("{sK sK sK sK sK sK sI sI}", "connections",
                         (unsigned long long)s->connections, "requests",
                         (unsigned long long)s->requests, "errors",
                         (unsigned long long)s->errors, "timeouts",
                         (unsigned long long)s->timeouts, "bytes_in",
                         (unsigned long long)s->bytes_in, "bytes_out",
                         (unsigned long long)s->bytes_out, "connections_open",
                         (unsigned int)s->connections_open, "exchanges_open",
                         (unsigned int)s->exchanges_open);
}

static PyObject *
server_close(ServerObject *self, PyObject *Py_UNUSED(none))
{
    if (self->guest != NULL && guaco__guest_is_running(self->guest)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a server cannot be closed inside of its own turn");
        return NULL;
    }
    server_end(self);
    Py_RETURN_NONE;
}

/* ---- table -------------------------------------------------------------- */

static PyMethodDef server_methods[] = {
    {"set_tls", (PyCFunction)server_set_tls, METH_O,
     "set_tls($self, settings, /)\n--\n\nRead certificates and keys, for "
     "connections from now on; settings is\nJSON, as a worker gets it."},
    {"listen", (PyCFunction)(void (*)(void))server_listen, METH_FASTCALL,
     "listen($self, fd, tls=False, /)\n--\n\nTake a bound, listening socket, "
     "before start()."},
    {"start", (PyCFunction)server_start, METH_NOARGS,
     "start($self, /)\n--\n\nAccept connections."},
    {"drain", (PyCFunction)(void (*)(void))server_drain, METH_FASTCALL,
     "drain($self, seconds, done, /)\n--\n\nAccept no more, let what is open "
     "finish, abort it after seconds;\nthen call done()."},
    {"cancel", (PyCFunction)server_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nCancel the tasks of requests; how many there "
     "were."},
    {"running", (PyCFunction)server_running, METH_NOARGS,
     "running($self, /)\n--\n\nApplication calls that have not returned."},
    {"set_access_log", (PyCFunction)server_set_access_log, METH_O,
     "set_access_log($self, fd, /)\n--\n\nWrite the access log there from "
     "now on; fd is borrowed."},
    {"stats", (PyCFunction)server_stats, METH_NOARGS,
     "stats($self, /)\n--\n\nCounters since start."},
    {"close", (PyCFunction)server_close, METH_NOARGS,
     "close($self, /)\n--\n\nAbort what is open and close the sockets."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_doc,
     (void *)"Server(loop, app, interface, options, hooks, /)\n--\n\n"
             "An HTTP server inside a loop; use guaco.Server."},
    {Py_tp_new, server_new},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_traverse, server_traverse},
    {Py_tp_methods, server_methods},
    {0, NULL},
};

static PyType_Spec server_spec = {
    .name = "guaco._core.Server",
    .basicsize = sizeof(ServerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = server_slots,
};

int
guaco__server_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.ServerType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &server_spec, NULL);
    if (st->gateway.ServerType == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "Server",
                                 (PyObject *)st->gateway.ServerType);
}
