/*
 * Readers and writers: for each descriptor one watch of the loop's, and a
 * handle for each of the two directions.
 */

#include "loop_int.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#include "io/watch.h"

struct guaco__fd_watch {
    struct guaco__watch watch;
    LoopObject *loop; /* borrowed: it owns this */
    int fd;
    bool is_socket;
    ino_t inode;      /* of a socket: tells it from a later one */
    PyObject *reader; /* a handle, or NULL */
    PyObject *writer;
};

enum { FD_LIMIT = 1 << 26 }; /* above what any kernel allows by default */

/* ---- events ---- */

static void
push_handle(LoopObject *self, PyObject *handle)
{
    if (guaco__ready_push(self, Py_NewRef(handle), NULL, NULL) < 0) {
        Py_DECREF(handle);
        guaco__py_loop_break((PyObject *)self);
    }
}

static void
on_ready(struct guaco__watch *watch, unsigned events)
{
    struct guaco__fd_watch *fd_watch =
        GUACO__OF(watch, struct guaco__fd_watch, watch);
    LoopObject *self = fd_watch->loop;

    if ((events & GUACO__READABLE) != 0 && fd_watch->reader != NULL)
        push_handle(self, fd_watch->reader);
    if ((events & GUACO__WRITABLE) != 0 && fd_watch->writer != NULL)
        push_handle(self, fd_watch->writer);
}

/* ---- the table ---- */

static void
forget(struct guaco__fd_watch *fd_watch)
{
    guaco__watch_stop(&fd_watch->watch);
    fd_watch->loop->watches[fd_watch->fd] = NULL;
    PyMem_Free(fd_watch);
}

static struct guaco__fd_watch *
find(LoopObject *self, int fd)
{
    if (fd < 0 || (size_t)fd >= self->watch_capacity)
        return NULL;
    return self->watches[fd];
}

/* Whether a parked watch still is of the file that now has its number. */
static bool
is_current(const struct guaco__fd_watch *fd_watch)
{
    struct stat file;

    return guaco__watch_is_started(&fd_watch->watch) &&
           fstat(fd_watch->fd, &file) == 0 && S_ISSOCK(file.st_mode) &&
           file.st_ino == fd_watch->inode;
}

/* The same for a handle to be set: one that has none is of the same socket. */
static struct guaco__fd_watch *
find_current(LoopObject *self, int fd)
{
    struct guaco__fd_watch *fd_watch = find(self, fd);

    if (fd_watch == NULL || fd_watch->reader != NULL ||
        fd_watch->writer != NULL || is_current(fd_watch))
        return fd_watch;
    forget(fd_watch);
    return NULL;
}

static int
reserve(LoopObject *self, int fd)
{
    size_t capacity = self->watch_capacity == 0 ? 64 : self->watch_capacity;

    while (capacity <= (size_t)fd)
        capacity *= 2;
    if (capacity == self->watch_capacity)
        return 0;
    struct guaco__fd_watch **watches = self->watches;
    PyMem_Resize(watches, struct guaco__fd_watch *, capacity);
    if (watches == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = self->watch_capacity; i < capacity; i++)
        watches[i] = NULL;
    self->watches = watches;
    self->watch_capacity = capacity;
    return 0;
}

static void
raise_watch_error(int rc, const struct guaco_error *err, int fd)
{
    if (rc == GUACO_E_EXISTS) {
        PyErr_Format(PyExc_RuntimeError,
                     "File descriptor %d is used by the server", fd);
    } else if (rc == GUACO_E_NOMEM) {
        PyErr_NoMemory();
    } else {
        errno = err->sys;
        PyErr_SetFromErrno(PyExc_OSError);
    }
}

static struct guaco__fd_watch *
add(LoopObject *self, int fd, unsigned events)
{
    struct guaco_error err = {0};

    if (reserve(self, fd) < 0)
        return NULL;
    struct guaco__fd_watch *fd_watch = PyMem_Calloc(1, sizeof(*fd_watch));
    if (fd_watch == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    struct stat file;
    fd_watch->loop = self;
    fd_watch->fd = fd;
    fd_watch->is_socket = fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode);
    fd_watch->inode = file.st_ino;
    int rc = guaco__watch_start(&fd_watch->watch, self->loop, fd, events,
                                on_ready, &err);
    if (rc < 0) {
        PyMem_Free(fd_watch);
        raise_watch_error(rc, &err, fd);
        return NULL;
    }
    self->watches[fd] = fd_watch;
    return fd_watch;
}

/*
 * Without a handle left the descriptor may be closed, and its number used
 * again, without a word to the loop.  A socket has an inode of its own, by
 * which a later one is told from it: its watch is parked, so that one await of
 * a socket after another makes no epoll_ctl.  Others are stopped at once.
 */
static int
update(struct guaco__fd_watch *fd_watch)
{
    unsigned events = (fd_watch->reader != NULL ? GUACO__READABLE : 0u) |
                      (fd_watch->writer != NULL ? GUACO__WRITABLE : 0u);

    if (events != 0) {
        if (guaco__watch_set(&fd_watch->watch, events) == GUACO_OK)
            return 0;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (!fd_watch->is_socket)
        forget(fd_watch);
    else if (guaco__watch_is_started(&fd_watch->watch))
        guaco__watch_park(&fd_watch->watch);
    return 0;
}

/* Cancel and drop a handle, which may be anything with cancel(). */
static void
cancel(PyObject *handle)
{
    if (handle == NULL)
        return;
    (void)guaco__handle_cancel((HandleObject *)handle);
    PyErr_Clear(); /* a repr() that failed; the handle is cancelled */
    Py_DECREF(handle);
}

/* ---- the four methods ---- */

/* The descriptor of an int or of an object with fileno(). */
static int
fd_of(PyObject *file)
{
    int fd = PyObject_AsFileDescriptor(file);

    if (fd < 0 && PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_ValueError, "Invalid file object: %R", file);
    if (fd >= FD_LIMIT) {
        PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %d", fd);
        return -1;
    }
    return fd;
}

static PyObject *
set_handle(LoopObject *self, bool is_writer, PyObject *const *args,
           Py_ssize_t nargs, PyObject *kwnames)
{
    struct guaco__call call;

    if (guaco__loop_check_open(self) < 0 ||
        guaco__call_parse(self, &call, is_writer ? "add_writer" : "add_reader",
                          args, nargs, kwnames, 1) < 0)
        return NULL;
    int fd = fd_of(args[0]);
    if (fd < 0)
        return NULL;
    PyObject *handle = (PyObject *)guaco__handle_new(self, &call);
    if (handle == NULL)
        return NULL;
    struct guaco__fd_watch *fd_watch = find_current(self, fd);
    if (fd_watch == NULL)
        fd_watch = add(self, fd, is_writer ? GUACO__WRITABLE : GUACO__READABLE);
    if (fd_watch == NULL) {
        Py_DECREF(handle);
        return NULL;
    }
    PyObject **place = is_writer ? &fd_watch->writer : &fd_watch->reader;
    PyObject *old = *place;
    *place = Py_NewRef(handle);
    int rc = update(fd_watch);
    cancel(old);
    if (rc < 0)
        Py_CLEAR(handle);
    return handle;
}

static PyObject *
remove_handle(LoopObject *self, bool is_writer, PyObject *file)
{
    if (self->loop == NULL)
        Py_RETURN_FALSE;
    int fd = fd_of(file);
    if (fd < 0)
        return NULL;
    struct guaco__fd_watch *fd_watch = find(self, fd);
    if (fd_watch == NULL)
        Py_RETURN_FALSE;
    PyObject **place = is_writer ? &fd_watch->writer : &fd_watch->reader;
    PyObject *old = *place;
    *place = NULL;
    int rc = update(fd_watch);
    bool was_set = old != NULL;
    cancel(old);
    return rc < 0 ? NULL : PyBool_FromLong(was_set);
}

PyObject *
guaco__loop_add_reader(LoopObject *self, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames)
{
    return set_handle(self, false, args, nargs, kwnames);
}

PyObject *
guaco__loop_add_writer(LoopObject *self, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames)
{
    return set_handle(self, true, args, nargs, kwnames);
}

PyObject *
guaco__loop_remove_reader(LoopObject *self, PyObject *file)
{
    return remove_handle(self, false, file);
}

PyObject *
guaco__loop_remove_writer(LoopObject *self, PyObject *file)
{
    return remove_handle(self, true, file);
}

/* 1: a reader, 2: a writer, as the selectors module has them. */
PyObject *
guaco__loop_fd_events(LoopObject *self, PyObject *file)
{
    int fd = fd_of(file);
    if (fd < 0)
        return NULL;
    struct guaco__fd_watch *fd_watch = find(self, fd);
    if (fd_watch == NULL)
        return PyLong_FromLong(0);
    return PyLong_FromLong((fd_watch->reader != NULL) +
                           2 * (fd_watch->writer != NULL));
}

/* ---- life ---- */

void
guaco__fd_watches_clear(LoopObject *self)
{
    struct guaco__fd_watch **watches = self->watches;
    size_t capacity = self->watch_capacity;

    self->watches = NULL;
    self->watch_capacity = 0;
    for (size_t fd = 0; fd < capacity; fd++) {
        struct guaco__fd_watch *fd_watch = watches[fd];
        if (fd_watch == NULL)
            continue;
        guaco__watch_stop(&fd_watch->watch);
        Py_XDECREF(fd_watch->reader);
        Py_XDECREF(fd_watch->writer);
        PyMem_Free(fd_watch);
    }
    PyMem_Free(watches);
}

int
guaco__fd_watches_traverse(LoopObject *self, visitproc visit, void *arg)
{
    for (size_t fd = 0; fd < self->watch_capacity; fd++) {
        if (self->watches[fd] == NULL)
            continue;
        Py_VISIT(self->watches[fd]->reader);
        Py_VISIT(self->watches[fd]->writer);
    }
    return 0;
}
