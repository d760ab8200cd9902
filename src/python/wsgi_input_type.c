/*
 * wsgi.input: a whole request body, in memory or in a temporary file.  In
 * Python it would read
 *
 *     class Input:
 *         def read(self, size=-1, /) -> bytes: ...
 *         def readline(self, size=-1, /) -> bytes: ...
 *         def readlines(self, hint=-1, /) -> list[bytes]: ...
 *         def __iter__(self): return self
 *         def __next__(self) -> bytes: ...
 *
 * It owns what it reads from, and so outlives the request.
 */

#include "wsgi.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "module.h"

enum { LINE_STEP = 8192 };

typedef struct {
    PyObject_HEAD
    PyObject *data; /* bytes; NULL: the file */
    int fd;         /* -1: none */
    off_t at;       /* of the next byte */
    off_t size;
} InputObject;

/* ---- life --------------------------------------------------------------- */

PyObject *
guaco__input_new(struct guaco_state *st, PyObject *data, int fd)
{
    PyTypeObject *type = st->gateway.InputType;
    InputObject *self = (InputObject *)type->tp_alloc(type, 0);
    struct stat status;

    if (self == NULL)
        return NULL;
    self->fd = -1;
    self->data = Py_XNewRef(data);
    if (data != NULL) {
        self->size = PyBytes_GET_SIZE(data);
        return (PyObject *)self;
    }
    self->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (self->fd < 0 || fstat(self->fd, &status) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    self->size = status.st_size;
    return (PyObject *)self;
}

static void
input_dealloc(InputObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    Py_CLEAR(self->data);
    if (self->fd >= 0)
        close(self->fd);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- reading ------------------------------------------------------------ */

/* An optional number argument: None and negative mean "no limit". */
static int
limit_of(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t *limit)
{
    *limit = PY_SSIZE_T_MAX;
    if (nargs > 1) {
        PyErr_SetString(PyExc_TypeError, "at most one argument expected");
        return -1;
    }
    if (nargs == 0 || args[0] == Py_None)
        return 0;
    Py_ssize_t number = PyNumber_AsSsize_t(args[0], NULL);
    if (number == -1 && PyErr_Occurred())
        return -1;
    if (number >= 0)
        *limit = number;
    return 0;
}

/* Fill buf[0..want) from the file at `at`; how many there were, or -1. */
static Py_ssize_t
read_file(int fd, char *buf, Py_ssize_t want, off_t at)
{
    Py_ssize_t got = 0;
    ssize_t n = 1;

    Py_BEGIN_ALLOW_THREADS while (got < want && n != 0)
    {
        n = pread(fd, buf + got, (size_t)(want - got), at + got);
        if (n < 0 && errno != EINTR)
            break;
        got += n > 0 ? n : 0;
    }
    Py_END_ALLOW_THREADS if (n >= 0) return got;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* The next `want` bytes, which are there. */
static PyObject *
take(InputObject *self, Py_ssize_t want)
{
    off_t at = self->at;

    if (self->data != NULL && at == 0 && want == self->size) {
        self->at = self->size;
        return Py_NewRef(self->data);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, want);
    if (bytes == NULL || want == 0)
        return bytes;
    self->at += want;
    if (self->data != NULL) {
        memcpy(PyBytes_AS_STRING(bytes), PyBytes_AS_STRING(self->data) + at,
               (size_t)want);
        return bytes;
    }
    Py_ssize_t got = read_file(self->fd, PyBytes_AS_STRING(bytes), want, at);
    if (got < 0)
        Py_CLEAR(bytes);
    else if (got < want)
        (void)_PyBytes_Resize(&bytes, got);
    return bytes;
}

static Py_ssize_t
left_of(const InputObject *self, Py_ssize_t limit)
{
    off_t left = self->size - self->at;
    return left < limit ? (Py_ssize_t)left : limit;
}

static PyObject *
input_read(InputObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t limit;

    if (limit_of(args, nargs, &limit) < 0)
        return NULL;
    return take(self, left_of(self, limit));
}

/* Bytes up to and with the next newline, at most `limit`; -1: exception. */
static Py_ssize_t
line_of(InputObject *self, Py_ssize_t limit)
{
    Py_ssize_t left = left_of(self, limit);
    char step[LINE_STEP];

    if (self->data != NULL) {
        const char *at = PyBytes_AS_STRING(self->data) + self->at;
        const char *end = memchr(at, '\n', (size_t)left);
        return end == NULL ? left : end - at + 1;
    }
    for (Py_ssize_t done = 0; done < left;) {
        Py_ssize_t want = left - done < LINE_STEP ? left - done : LINE_STEP;
        Py_ssize_t got = read_file(self->fd, step, want, self->at + done);
        if (got <= 0)
            return got < 0 ? -1 : done;
        const char *end = memchr(step, '\n', (size_t)got);
        if (end != NULL)
            return done + (end - step) + 1;
        done += got;
    }
    return left;
}

static PyObject *
next_line(InputObject *self, Py_ssize_t limit)
{
    Py_ssize_t len = line_of(self, limit);
    return len < 0 ? NULL : take(self, len);
}

static PyObject *
input_readline(InputObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t limit;

    return limit_of(args, nargs, &limit) < 0 ? NULL : next_line(self, limit);
}

static PyObject *
input_readlines(InputObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t hint, total = 0;
    PyObject *lines;

    if (limit_of(args, nargs, &hint) < 0 || (lines = PyList_New(0)) == NULL)
        return NULL;
    if (hint == 0) /* as io.IOBase: no hint */
        hint = PY_SSIZE_T_MAX;
    while (self->at < self->size && total < hint) {
        PyObject *line = next_line(self, PY_SSIZE_T_MAX);
        if (line == NULL || PyList_Append(lines, line) < 0) {
            Py_XDECREF(line);
            Py_DECREF(lines);
            return NULL;
        }
        total += PyBytes_GET_SIZE(line);
        Py_DECREF(line);
    }
    return lines;
}

static PyObject *
input_next(InputObject *self)
{
    return self->at < self->size ? next_line(self, PY_SSIZE_T_MAX) : NULL;
}

/* ---- table -------------------------------------------------------------- */

#define FASTCALL(f) (PyCFunction)(void (*)(void))(f)

static PyMethodDef input_methods[] = {
    {"read", FASTCALL(input_read), METH_FASTCALL,
     "read($self, size=-1, /)\n--\n\nAt most size bytes; None or a negative "
     "size: all that is left."},
    {"readline", FASTCALL(input_readline), METH_FASTCALL,
     "readline($self, size=-1, /)\n--\n\nA line with its newline, at most size "
     "bytes of it."},
    {"readlines", FASTCALL(input_readlines), METH_FASTCALL,
     "readlines($self, hint=-1, /)\n--\n\nLines until hint bytes are read."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot input_slots[] = {
    {Py_tp_doc, (void *)"The body of a WSGI request (wsgi.input of PEP 3333)."},
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_methods, input_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, input_next},
    {0, NULL},
};

static PyType_Spec input_spec = {
    .name = "guaco._core.Input",
    .basicsize = sizeof(InputObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = input_slots,
};

int
guaco__input_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.InputType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &input_spec, NULL);
    return st->gateway.InputType == NULL ? -1 : 0;
}
