/*
 * guaco._core.Worker: the Python face of struct guaco_worker.  In Python it
 * would read
 *
 *     class Worker:
 *         def __new__(cls, broker: Broker, queue: str, slots: int,
 *                     mailbox: Mailbox, lease_ms: int, kill_grace_ms: int,
 *                     exit_when_stuck: bool, wants_ready: bool,
 *                     prefetch: int, /): ...
 *         def next(self, timeout_ms: int, /) -> Run | None: ...
 *         def drain(self) -> None: ...
 *         def join(self, timeout_ms: int, /) -> bool: ...
 *         def stats(self) -> dict[str, int]: ...
 *         def close(self) -> None: ...
 *
 * What the engine has to say of its own accord (with wants_ready that there is
 * something to run; that a run is over its time) comes as letters to the
 * mailbox.
 *
 * A run that does not end after its interruption holds its process, and may
 * hold the GIL with it.  With exit_when_stuck the engine's own thread ends the
 * process then, whatever Python does; the supervisor replaces it.  This is the
 * one place of the binding that may do so, and only a worker process of the
 * supervisor asks for it.
 *
 * Threads: as struct guaco_worker; the GIL guards `users`.
 */

#include "queue_types.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guaco/worker.h"

enum { EXIT_CRASH = 1 };

typedef struct {
    PyObject_HEAD
    struct guaco_worker *worker; /* NULL once closed */
    PyObject *broker;            /* entered while worker is not NULL */
    MailboxObject *box;
    size_t users; /* calls inside */
    bool exit_when_stuck;
    pid_t owner; /* the process that opened it */
    struct guaco_state *st;
} WorkerObject;

/* ---- calls from the engine's thread ------------------------------------ */

static void
post(WorkerObject *self, enum guaco__letter_kind kind, struct guaco_run *run,
     int why)
{
    struct guaco__letter *letter = calloc(1, sizeof *letter);

    if (letter == NULL)
        return; /* an interruption that is lost ends as a stuck run */
    letter->kind = kind;
    if (run != NULL) {
        letter->number[0] = (int64_t)guaco_run_id(run);
        letter->number[1] = (int64_t)guaco_run_attempt(run);
        letter->number[2] = why;
    }
    guaco__mailbox_post(self->box, letter);
}

static void
on_ready(void *ctx)
{
    post(ctx, GUACO__LETTER_READY, NULL, 0);
}

static void
on_interrupt(void *ctx, struct guaco_run *run, int why)
{
    post(ctx, GUACO__LETTER_INTERRUPT, run, why);
}

static void
on_stuck(void *ctx, struct guaco_run *run)
{
    static const char text[] =
        "guaco: a task did not end after its timeout; replacing the process\n";
    WorkerObject *self = ctx;

    if (self->exit_when_stuck) {
        ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
        (void)written;
        _exit(EXIT_CRASH);
    }
    post(self, GUACO__LETTER_STUCK, run, GUACO_E_TIMEOUT);
}

/* ---- life -------------------------------------------------------------- */

static PyObject *
worker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *broker, *mailbox;
    const char *queue;
    Py_ssize_t queue_len;
    unsigned slots, lease_ms, kill_grace_ms, prefetch;
    int exit_when_stuck, wants_ready;

    if (!guaco__no_keywords("Worker", kwargs) ||
        !PyArg_ParseTuple(args, "Os#IOIIppI:Worker", &broker, &queue,
                          &queue_len, &slots, &mailbox, &lease_ms,
                          &kill_grace_ms, &exit_when_stuck, &wants_ready,
                          &prefetch))
        return NULL;
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    struct guaco_state *st = guaco_state_of(module);
    MailboxObject *box = guaco__mailbox_of(st, mailbox);
    if (box == NULL)
        return NULL;
    struct guaco_broker *open = guaco__broker_enter(st, broker);
    if (open == NULL)
        return NULL;
    WorkerObject *self = (WorkerObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        guaco__broker_leave(broker);
        return NULL;
    }
    self->st = st;
    self->owner = getpid();
    self->broker = Py_NewRef(broker);
    self->box = (MailboxObject *)Py_NewRef(mailbox);
    self->exit_when_stuck = exit_when_stuck != 0;

    struct guaco_worker_options options = {
        .queue = {queue, (size_t)queue_len},
        .slots = slots,
        .prefetch = prefetch,
        .lease_ms = lease_ms,
        .kill_grace_ms = kill_grace_ms,
        .calls = {wants_ready ? on_ready : NULL, on_interrupt, on_stuck},
        .ctx = self,
    };
    struct guaco_error err = {0};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_worker_open(&self->worker, open, &options, &err);
    Py_END_ALLOW_THREADS if (rc < 0)
    {
        Py_DECREF(self);
        return guaco_raise(st, rc, &err);
    }
    return (PyObject *)self;
}

/* Nothing is inside any more: give everything back. */
static void
worker_end(WorkerObject *self)
{
    struct guaco_worker *worker = self->worker;

    self->worker = NULL;
    if (worker != NULL &&
        self->owner == guaco__own_pid_get(&self->st->own_pid)) {
        Py_BEGIN_ALLOW_THREADS guaco_worker_close(worker);
        Py_END_ALLOW_THREADS
    }
    if (self->broker != NULL) {
        guaco__broker_leave(self->broker);
        Py_CLEAR(self->broker);
    }
}

bool
guaco__worker_is_open(PyObject *worker)
{
    const WorkerObject *self = (const WorkerObject *)worker;

    return self->worker != NULL &&
           self->owner == guaco__own_pid_get(&self->st->own_pid);
}

static struct guaco_worker *
worker_enter(WorkerObject *self)
{
    if (self->worker == NULL ||
        self->owner != guaco__own_pid_get(&self->st->own_pid)) {
        PyErr_SetString(self->st->Error, "the worker is closed");
        return NULL;
    }
    self->users++;
    return self->worker;
}

static void
worker_leave(WorkerObject *self)
{
    assert(self->users > 0);
    self->users--;
}

PyDoc_STRVAR(worker_close_doc,
             "close($self, /)\n--\n\n"
             "Store what has ended, give back what has not, and free it.\n\n"
             "Raises Error while another thread is in next() or join().");

static PyObject *
worker_close(WorkerObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->users > 0) {
        PyErr_SetString(self->st->Error, "the worker is in use");
        return NULL;
    }
    worker_end(self);
    Py_RETURN_NONE;
}

static int
worker_traverse(WorkerObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->broker);
    Py_VISIT((PyObject *)self->box);
    return 0;
}

static void
worker_dealloc(WorkerObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    worker_end(self);
    Py_XDECREF((PyObject *)self->box);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- methods ----------------------------------------------------------- */

PyDoc_STRVAR(worker_next_doc,
             "next($self, timeout_ms, /)\n--\n\n"
             "The next run, waited for at most timeout_ms (-1: without limit,\n"
             "0: not at all); None: none came, or the worker drains.");

static PyObject *
worker_next(WorkerObject *self, PyObject *timeout)
{
    long long timeout_ms = PyLong_AsLongLong(timeout);

    if (timeout_ms == -1 && PyErr_Occurred())
        return NULL;
    struct guaco_worker *worker = worker_enter(self);
    if (worker == NULL)
        return NULL;

    struct guaco_error err = {0};
    struct guaco_run *run = NULL;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_worker_next(worker, timeout_ms, &run, &err);
    Py_END_ALLOW_THREADS worker_leave(self);
    if (rc == GUACO_E_AGAIN || rc == GUACO_E_CLOSED)
        Py_RETURN_NONE;
    if (rc < 0)
        return guaco_raise(self->st, rc, &err);

    PyObject *result = guaco__run_new(self->st, (PyObject *)self, run);
    if (result == NULL) {
        struct guaco_outcome outcome = {.kind = GUACO_OUTCOME_RELEASED};
        guaco_run_finish(run, &outcome, NULL, NULL);
    }
    return result;
}

enum { BATCH_MAX = 4096 }; /* as many slots as a worker may have */

/* A list of Runs; those that find no place in it go back. */
static PyObject *
runs_to_python(WorkerObject *self, struct guaco_run **runs, size_t n)
{
    struct guaco_outcome released = {.kind = GUACO_OUTCOME_RELEASED};
    PyObject *list = PyList_New(0);

    for (size_t i = 0; i < n; i++) {
        PyObject *run =
            list == NULL ? NULL
                         : guaco__run_new(self->st, (PyObject *)self, runs[i]);
        if (run == NULL)
            guaco_run_finish(runs[i], &released, NULL, NULL);
        if (run == NULL || PyList_Append(list, run) < 0)
            Py_CLEAR(list);
        Py_XDECREF(run);
    }
    return list;
}

PyDoc_STRVAR(worker_next_batch_doc,
             "next_batch($self, timeout_ms, most, /)\n--\n\n"
             "As next(), but up to `most` runs of one name, those that were\n"
             "claimed together; an empty list: none came.");

static PyObject *
worker_next_batch(WorkerObject *self, PyObject *args)
{
    long long timeout_ms;
    unsigned most;

    if (!PyArg_ParseTuple(args, "LI:next_batch", &timeout_ms, &most))
        return NULL;
    if (most < 1 || most > BATCH_MAX) {
        PyErr_Format(PyExc_ValueError, "a batch has 1 to %d tasks", BATCH_MAX);
        return NULL;
    }
    struct guaco_run **runs = calloc(most, sizeof *runs);
    if (runs == NULL)
        return PyErr_NoMemory();
    struct guaco_worker *worker = worker_enter(self);
    if (worker == NULL) {
        free(runs);
        return NULL;
    }
    struct guaco_error err = {0};
    size_t n = 0;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_worker_next_batch(worker, timeout_ms, most, runs, &n, &err);
    Py_END_ALLOW_THREADS worker_leave(self);
    PyObject *list = NULL;
    if (rc == GUACO_OK || rc == GUACO_E_AGAIN || rc == GUACO_E_CLOSED)
        list = runs_to_python(self, runs, n);
    else
        guaco_raise(self->st, rc, &err);
    free(runs);
    return list;
}

static PyObject *
worker_drain(WorkerObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_worker *worker = worker_enter(self);

    if (worker == NULL)
        return NULL;
    guaco_worker_drain(worker);
    worker_leave(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(worker_join_doc,
             "join($self, timeout_ms, /)\n--\n\n"
             "Wait until nothing runs, at most timeout_ms (-1: without\n"
             "limit); False: something still does.");

static PyObject *
worker_join(WorkerObject *self, PyObject *timeout)
{
    long long timeout_ms = PyLong_AsLongLong(timeout);

    if (timeout_ms == -1 && PyErr_Occurred())
        return NULL;
    struct guaco_worker *worker = worker_enter(self);
    if (worker == NULL)
        return NULL;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = guaco_worker_join(worker, timeout_ms);
    Py_END_ALLOW_THREADS worker_leave(self);
    return PyBool_FromLong(rc == 0);
}

static PyObject *
worker_stats(WorkerObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_worker_stats s = {0};
    struct guaco_worker *worker = worker_enter(self);

    if (worker == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS guaco_worker_stats(worker, &s);
    Py_END_ALLOW_THREADS worker_leave(self);
    return Py_BuildValue(
        "{sIsIsKsKsK}", "running", s.running, "prefetched", s.prefetched,
        "finished", (unsigned long long)s.finished, "retried",
        (unsigned long long)s.retried, "lost", (unsigned long long)s.lost);
}

static PyMethodDef worker_methods[] = {
    {"next", (PyCFunction)worker_next, METH_O, worker_next_doc},
    {"next_batch", (PyCFunction)worker_next_batch, METH_VARARGS,
     worker_next_batch_doc},
    {"drain", (PyCFunction)worker_drain, METH_NOARGS,
     "drain($self, /)\n--\n\nClaim no more; what runs may go on."},
    {"join", (PyCFunction)worker_join, METH_O, worker_join_doc},
    {"stats", (PyCFunction)worker_stats, METH_NOARGS,
     "stats($self, /)\n--\n\nrunning, prefetched, finished, retried, lost."},
    {"close", (PyCFunction)worker_close, METH_NOARGS, worker_close_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot worker_slots[] = {
    {Py_tp_doc, (void *)"Takes tasks of one queue and has them run."},
    {Py_tp_new, worker_new},
    {Py_tp_dealloc, worker_dealloc},
    {Py_tp_traverse, worker_traverse},
    {Py_tp_methods, worker_methods},
    {0, NULL},
};

static PyType_Spec worker_spec = {
    .name = "guaco._core.Worker",
    .basicsize = sizeof(WorkerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = worker_slots,
};

int
guaco__worker_type_add(PyObject *module, struct guaco_state *st)
{
    st->WorkerType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &worker_spec, NULL);
    if (st->WorkerType == NULL)
        return -1;
    return PyModule_AddType(module, st->WorkerType);
}
