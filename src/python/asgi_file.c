/*
 * The two messages of ASGI that send a file without reading it into Python:
 * http.response.pathsend and http.response.zerocopysend.
 */

#include "asgi.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "module.h"

static int
answered(struct guaco__asgi_call *call, int rc, const char *what, bool more)
{
    if (rc == GUACO_E_INVALID) {
        guaco__asgi_over(call);
        PyErr_SetString(PyExc_RuntimeError,
                        "the file is longer than the Content-Length");
        return -1;
    }
    if (guaco__asgi_answered(call, rc, what) < 0)
        return -1;
    if (more)
        return 0;
    if (call->has_trailers)
        call->phase = GUACO__ASGI_TRAILERS;
    else
        guaco__asgi_over(call);
    return 0;
}

/* ---- http.response.pathsend --------------------------------------------- */

/* Open the regular file at `path`; -1 with an exception that names it. */
static int
open_regular(PyObject *path)
{
    PyObject *encoded;
    struct stat status;

    if (!PyUnicode_FSConverter(path, &encoded))
        return -1;
    const char *text = PyBytes_AS_STRING(encoded);
    int fd = -1;
    if (text[0] != '/')
        PyErr_SetString(PyExc_ValueError, "\"path\" must be absolute");
    else if ((fd = open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0 ||
             fstat(fd, &status) < 0)
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    else if (!S_ISREG(status.st_mode))
        PyErr_Format(PyExc_ValueError, "%R is not a regular file", path);
    Py_DECREF(encoded);
    if (fd >= 0 && PyErr_Occurred()) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int
guaco__asgi_http_pathsend(struct guaco__asgi_call *call, PyObject *message)
{
    PyObject *path;

    if (call->phase != GUACO__ASGI_STARTED)
        return guaco__asgi_unexpected(call, message);
    int found = guaco__asgi_get(message, call->st->gateway.t_path, &path);
    if (found <= 0) {
        if (found == 0)
            PyErr_SetString(PyExc_ValueError, "pathsend has a \"path\"");
        return -1;
    }
    int fd = open_regular(path);
    if (fd < 0)
        return -1;
    if (call->x == NULL) { /* FSConverter may have run __fspath__ */
        close(fd);
        return guaco__asgi_disconnected(call);
    }
    int rc = guaco_exchange_file(call->x, fd, 0, UINT64_MAX, false);
    close(fd); /* the server has its own */
    return answered(call, rc, "http.response.pathsend", false);
}

/* ---- http.response.zerocopysend ----------------------------------------- */

struct span {
    int fd;
    long long offset;
    long long count; /* -1: to the end */
    bool is_from_position;
};

/* message[key] as a number of bytes; `missing` when it is not there. */
static int
number_of(PyObject *message, PyObject *key, long long *number)
{
    PyObject *value;
    int found = guaco__asgi_get(message, key, &value);

    if (found <= 0 || value == Py_None)
        return found < 0 ? -1 : 0;
    *number = PyLong_AsLongLong(value);
    if (*number == -1 && PyErr_Occurred())
        return -1;
    if (*number < 0) {
        PyErr_Format(PyExc_ValueError, "%R must not be negative", key);
        return -1;
    }
    return 1;
}

/* Where the file stands for its owner, who may read it through a buffer. */
static long long
position_of(const struct guaco__gateway_state *gw, PyObject *file, int fd)
{
    PyObject *method = NULL;
    long long at;

    if (!PyLong_Check(file))
        method = PyObject_GetAttr(file, gw->t_tell);
    if (method == NULL) {
        PyErr_Clear();
        at = lseek(fd, 0, SEEK_CUR);
        if (at < 0)
            PyErr_SetFromErrno(PyExc_OSError);
        return at;
    }
    PyObject *position = PyObject_CallNoArgs(method);
    Py_DECREF(method);
    at = position == NULL ? -1 : PyLong_AsLongLong(position);
    Py_XDECREF(position);
    return at;
}

/* Leave the position behind what was sent, as os.sendfile() does. */
static int
move_position(const struct guaco__gateway_state *gw, PyObject *file,
              const struct span *span)
{
    if (PyLong_Check(file) || !PyObject_HasAttr(file, gw->t_seek)) {
        if (lseek(span->fd, span->offset + span->count, SEEK_SET) >= 0)
            return 0;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    PyObject *to = PyLong_FromLongLong(span->offset + span->count);
    PyObject *done =
        to == NULL ? NULL : PyObject_CallMethodOneArg(file, gw->t_seek, to);
    Py_XDECREF(to);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
span_of(const struct guaco__gateway_state *gw, PyObject *message,
        PyObject *file, struct span *span)
{
    struct stat status;
    int has_offset, has_count;

    span->fd = PyObject_AsFileDescriptor(file);
    if (span->fd < 0 ||
        (has_offset = number_of(message, gw->t_offset, &span->offset)) < 0 ||
        (has_count = number_of(message, gw->t_count, &span->count)) < 0)
        return -1;
    span->is_from_position = !has_offset;
    if (!has_offset && (span->offset = position_of(gw, file, span->fd)) < 0)
        return -1;
    if (fstat(span->fd, &status) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        PyErr_SetString(PyExc_ValueError, "\"file\" is not a regular file");
        return -1;
    }
    long long left = status.st_size > span->offset
                         ? (long long)status.st_size - span->offset
                         : 0;
    if (!has_count || span->count > left)
        span->count = left;
    return 0;
}

int
guaco__asgi_http_zerocopysend(struct guaco__asgi_call *call, PyObject *message)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    struct span span = {.fd = -1, .count = -1};
    PyObject *file;

    if (call->phase != GUACO__ASGI_STARTED)
        return guaco__asgi_unexpected(call, message);
    int more = guaco__asgi_flag(message, gw->t_more_body, false);
    int found = guaco__asgi_get(message, gw->t_file, &file);
    if (more < 0 || found <= 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "zerocopysend has a \"file\"");
        return -1;
    }
    Py_INCREF(file);
    int rc = span_of(gw, message, file, &span);
    if (rc == 0 && span.is_from_position)
        rc = move_position(gw, file, &span);
    Py_DECREF(file);
    if (rc < 0)
        return -1;
    if (call->x == NULL) /* its methods are Python code */
        return guaco__asgi_disconnected(call);
    rc = guaco_exchange_file(call->x, span.fd, span.offset,
                             (uint64_t)span.count, more);
    return answered(call, rc, "http.response.zerocopysend", more);
}
