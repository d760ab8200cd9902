/*
 * guaco._core.Mailbox: messages of native threads, read by Python.  In Python
 * it would read
 *
 *     class Mailbox:
 *         def __new__(cls): ...
 *         def fileno(self) -> int: ...
 *         def take(self, timeout_ms: int = 0, /) -> list[tuple]: ...
 *
 * A letter is (kind, tag, error, payload): `tag` the number that was given
 * with the request, `error` None or an exception, `payload` by the kind
 * (queue_types.h).
 *
 * Threads: `lock` guards the list, on every thread, and nothing under it
 * touches a Python object.  The eventfd is readable while letters are there.
 */

#include "queue_types.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/clock.h"

struct guaco__mailbox {
    PyObject_HEAD
    pthread_mutex_t lock;
    struct guaco__letter *first; /* guarded by lock */
    struct guaco__letter **last; /* guarded by lock */
    int fd;                      /* eventfd, not blocking */
    struct guaco_state *st;
};

/* ---- posting, on any thread -------------------------------------------- */

void
guaco__mailbox_post(MailboxObject *box, struct guaco__letter *letter)
{
    uint64_t one = 1;

    letter->next = NULL;
    pthread_mutex_lock(&box->lock);
    bool was_empty = box->first == NULL;
    *box->last = letter;
    box->last = &letter->next;
    /* Under the lock, so that a reader never clears a ring it has not read
     * the letter of.  The counter cannot be full: only the first rings. */
    if (was_empty && write(box->fd, &one, sizeof one) < 0)
        assert(errno == EINTR);
    pthread_mutex_unlock(&box->lock);
}

static struct guaco__letter *
detach_all(MailboxObject *box)
{
    uint64_t rings;

    pthread_mutex_lock(&box->lock);
    struct guaco__letter *all = box->first;
    box->first = NULL;
    box->last = &box->first;
    if (all != NULL && read(box->fd, &rings, sizeof rings) < 0)
        assert(errno == EAGAIN || errno == EINTR);
    pthread_mutex_unlock(&box->lock);
    return all;
}

/* ---- reading, attached ------------------------------------------------- */

static PyObject *
payload_of(const struct guaco__letter *letter)
{
    const int64_t *n = letter->number;

    switch (letter->kind) {
    case GUACO__LETTER_PUT:
        return guaco__put_id((uint64_t)n[0], letter->existed);
    case GUACO__LETTER_NEWS:
        if (letter->news == NULL)
            break;
        return guaco__news_to_python(guaco__news_of(letter->news));
    case GUACO__LETTER_READY: break;
    case GUACO__LETTER_INTERRUPT:
    case GUACO__LETTER_STUCK:
        return Py_BuildValue("(KIi)", (unsigned long long)n[0], (unsigned)n[1],
                             (int)n[2]);
    case GUACO__LETTER_LOG:
        return Py_BuildValue("(is)", (int)n[0], letter->err.text);
    }
    Py_RETURN_NONE;
}

/* The exception that guaco_raise would raise, as an object. */
static PyObject *
error_of(const struct guaco_state *st, const struct guaco__letter *letter)
{
    PyObject *type, *value, *traceback;

    if (letter->rc == 0)
        Py_RETURN_NONE;
    guaco_raise(st, letter->rc, &letter->err);
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static void
letter_free(struct guaco__letter *letter)
{
    Py_XDECREF((PyObject *)letter->box);
    free(letter->news);
    free(letter);
}

static PyObject *
letter_to_python(const struct guaco_state *st,
                 const struct guaco__letter *letter)
{
    PyObject *error = error_of(st, letter);
    PyObject *payload = error == NULL ? NULL : payload_of(letter);

    if (payload == NULL) {
        Py_XDECREF(error);
        return NULL;
    }
    return Py_BuildValue("(iKNN)", (int)letter->kind,
                         (unsigned long long)letter->tag, error, payload);
}

/* All letters as a list; one that memory was short for is lost. */
static PyObject *
letters_to_python(MailboxObject *self, struct guaco__letter *all)
{
    PyObject *list = PyList_New(0);

    while (all != NULL) {
        struct guaco__letter *letter = all;
        all = letter->next;
        PyObject *item =
            list == NULL ? NULL : letter_to_python(self->st, letter);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        letter_free(letter);
    }
    return list;
}

/* Sleep until the box is readable or the time is over.  0, or -1 with an
 * exception: a signal's handler raised. */
static int
wait_for_ring(const MailboxObject *self, int64_t timeout_ms)
{
    int64_t end = timeout_ms < 0 ? INT64_MAX
                                 : (int64_t)guaco__clock_mono_ms() + timeout_ms;
    int fd = self->fd;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left =
            timeout_ms < 0 ? -1 : end - (int64_t)guaco__clock_mono_ms();
        int ready, wait_ms;

        if (timeout_ms >= 0 && left < 0)
            left = 0;
        wait_ms = left > 3600000 ? 3600000 : (int)left;
        Py_BEGIN_ALLOW_THREADS ready = poll(&p, 1, wait_ms);
        Py_END_ALLOW_THREADS if (ready > 0) return 0;
        if (ready < 0 && PyErr_CheckSignals() < 0)
            return -1;
        if (timeout_ms >= 0 && (int64_t)guaco__clock_mono_ms() >= end)
            return 0;
    }
}

PyDoc_STRVAR(mailbox_take_doc,
             "take($self, timeout_ms=0, /)\n--\n\n"
             "All letters that are there, after waiting for the first at most\n"
             "timeout_ms (-1: without limit).  An empty list: none came.");

static PyObject *
mailbox_take(MailboxObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    long long timeout_ms = 0;

    if (nargs > 1) {
        PyErr_SetString(PyExc_TypeError, "take() takes timeout_ms");
        return NULL;
    }
    if (nargs == 1) {
        timeout_ms = PyLong_AsLongLong(args[0]);
        if (timeout_ms == -1 && PyErr_Occurred())
            return NULL;
    }
    struct guaco__letter *all = detach_all(self);
    if (all == NULL && timeout_ms != 0) {
        if (wait_for_ring(self, timeout_ms) < 0)
            return NULL;
        all = detach_all(self);
    }
    return letters_to_python(self, all);
}

static PyObject *
mailbox_fileno(MailboxObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->fd);
}

PyDoc_STRVAR(mailbox_ring_doc,
             "ring($self, /)\n--\n\n"
             "Put a READY letter in: wakes a thread that waits in take().");

static PyObject *
mailbox_ring(MailboxObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco__letter *letter = calloc(1, sizeof *letter);

    if (letter == NULL)
        return PyErr_NoMemory();
    letter->kind = GUACO__LETTER_READY;
    guaco__mailbox_post(self, letter);
    Py_RETURN_NONE;
}

/* ---- life, and the type ------------------------------------------------ */

MailboxObject *
guaco__mailbox_of(const struct guaco_state *st, PyObject *value)
{
    if (!Py_IS_TYPE(value, st->MailboxType)) {
        PyErr_Format(PyExc_TypeError, "a Mailbox is needed, not %.100s",
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    return (MailboxObject *)value;
}

static PyObject *
mailbox_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{

    if (!guaco__no_keywords("Mailbox", kwargs) ||
        !PyArg_ParseTuple(args, ":Mailbox"))
        return NULL;
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    MailboxObject *self = (MailboxObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        close(fd);
        return NULL;
    }
    pthread_mutex_init(&self->lock, NULL);
    self->last = &self->first;
    self->fd = fd;
    self->st = guaco_state_of(module);
    return (PyObject *)self;
}

static int
mailbox_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
mailbox_dealloc(MailboxObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    /* A letter holds a reference to its box where a thread may still post: so
     * no thread does.  What is left came without one. */
    for (struct guaco__letter *l = self->first, *next; l != NULL; l = next) {
        next = l->next;
        letter_free(l);
    }
    pthread_mutex_destroy(&self->lock);
    close(self->fd);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef mailbox_methods[] = {
    {"take", (PyCFunction)(void (*)(void))mailbox_take, METH_FASTCALL,
     mailbox_take_doc},
    {"fileno", (PyCFunction)mailbox_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nReadable while letters are there."},
    {"ring", (PyCFunction)mailbox_ring, METH_NOARGS, mailbox_ring_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot mailbox_slots[] = {
    {Py_tp_doc, (void *)"Messages of native threads, read by Python."},
    {Py_tp_new, mailbox_new},
    {Py_tp_dealloc, mailbox_dealloc},
    {Py_tp_traverse, mailbox_traverse},
    {Py_tp_methods, mailbox_methods},
    {0, NULL},
};

static PyType_Spec mailbox_spec = {
    .name = "guaco._core.Mailbox",
    .basicsize = sizeof(MailboxObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = mailbox_slots,
};

int
guaco__mailbox_type_add(PyObject *module, struct guaco_state *st)
{
    st->MailboxType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &mailbox_spec, NULL);
    if (st->MailboxType == NULL)
        return -1;
    return PyModule_AddType(module, st->MailboxType);
}
