/*
 * guaco._core.Run: one run of a task, made by Worker.next().  In Python it
 * would read
 *
 *     class Run:
 *         id: int; attempt: int; failures: int; retries_left: int
 *         queue: str; name: str; headers: bytes; body: bytes
 *         due_ms: int; expires_ms: int; priority: int; timeout_ms: int
 *         def remaining_ms(self) -> int | None: ...
 *         def event(self, body: bytes, /) -> None: ...
 *         members: int; why: int
 *         def finish(self, kind: int, body: bytes | None = None,
 *                    retry_delay_ms: int = -1,
 *                    follow: tuple[tuple, ...] | None = None,
 *                    pass_on: bool = False, /) -> bool: ...
 *         def complete(self, connection: sqlite3.Connection, commits: bool,
 *                      body: bytes | None, follow: tuple[tuple, ...] | None,
 *                      /) -> None: ...
 *         completion: int
 *
 * Threads: one thread at a time runs it; the GIL guards `run`, which is NULL
 * once finish() was called and means nothing once the worker is closed.
 */

#include "queue_types.h"

#include "guaco/using.h"
#include "guaco/worker.h"

typedef struct {
    PyObject_HEAD
    PyObject *worker; /* keeps what `run` belongs to */
    struct guaco_run *run;
    struct guaco_state *st;
} RunObject;

PyObject *
guaco__run_new(struct guaco_state *st, PyObject *worker, struct guaco_run *run)
{
    RunObject *self = (RunObject *)st->RunType->tp_alloc(st->RunType, 0);

    if (self == NULL)
        return NULL;
    self->st = st;
    self->worker = Py_NewRef(worker);
    self->run = run;
    return (PyObject *)self;
}

static const struct guaco_run *
run_get(const RunObject *self)
{
    if (self->run != NULL && guaco__worker_is_open(self->worker))
        return self->run;
    PyErr_SetString(self->st->Error, "this run is over");
    return NULL;
}

/* ---- attributes -------------------------------------------------------- */

enum number {
    RUN_ID,
    RUN_ATTEMPT,
    RUN_FAILURES,
    RUN_RETRIES_LEFT,
    RUN_DUE_MS,
    RUN_EXPIRES_MS,
    RUN_PRIORITY,
    RUN_TIMEOUT_MS,
    RUN_MEMBERS,
    RUN_WHY,
};

static long long
number_of(const struct guaco_run *run, enum number which)
{
    const struct guaco_task *task = guaco_run_task(run);

    switch (which) {
    case RUN_ID: return (long long)guaco_run_id(run);
    case RUN_ATTEMPT: return guaco_run_attempt(run);
    case RUN_FAILURES: return guaco_run_failures(run);
    case RUN_RETRIES_LEFT: return guaco_run_retries_left(run);
    case RUN_DUE_MS: return task->due_ms;
    case RUN_EXPIRES_MS: return task->expires_ms;
    case RUN_PRIORITY: return task->priority;
    case RUN_TIMEOUT_MS: return task->timeout_ms;
    case RUN_MEMBERS: return guaco_run_members(run);
    case RUN_WHY: return guaco_run_why(run);
    }
    return 0;
}

static PyObject *
run_get_number(RunObject *self, void *which)
{
    const struct guaco_run *run = run_get(self);

    if (run == NULL)
        return NULL;
    return PyLong_FromLongLong(number_of(run, (enum number)(intptr_t)which));
}

static PyObject *
text_of(struct guaco_slice slice)
{
    return PyUnicode_DecodeUTF8(slice.at, (Py_ssize_t)slice.len, "replace");
}

static PyObject *
run_get_queue(RunObject *self, void *Py_UNUSED(closure))
{
    const struct guaco_run *run = run_get(self);
    return run == NULL ? NULL : text_of(guaco_run_task(run)->queue);
}

static PyObject *
run_get_name(RunObject *self, void *Py_UNUSED(closure))
{
    const struct guaco_run *run = run_get(self);
    return run == NULL ? NULL : text_of(guaco_run_task(run)->name);
}

static PyObject *
bytes_of(struct guaco_slice slice)
{
    return PyBytes_FromStringAndSize(slice.at, (Py_ssize_t)slice.len);
}

static PyObject *
run_get_headers(RunObject *self, void *Py_UNUSED(closure))
{
    const struct guaco_run *run = run_get(self);
    return run == NULL ? NULL : bytes_of(guaco_run_task(run)->headers);
}

static PyObject *
run_get_body(RunObject *self, void *Py_UNUSED(closure))
{
    const struct guaco_run *run = run_get(self);
    return run == NULL ? NULL : bytes_of(guaco_run_task(run)->body);
}

static PyObject *
run_get_interrupted(RunObject *self, void *Py_UNUSED(closure))
{
    const struct guaco_run *run = run_get(self);
    return run == NULL ? NULL : PyBool_FromLong(guaco_run_interrupted(run));
}

/* ---- methods ----------------------------------------------------------- */

static PyObject *
run_remaining_ms(RunObject *self, PyObject *Py_UNUSED(ignored))
{
    const struct guaco_run *run = run_get(self);

    if (run == NULL)
        return NULL;
    int64_t left = guaco_run_remaining_ms(run);
    if (left == INT64_MAX)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(left);
}

PyDoc_STRVAR(run_event_doc,
             "event($self, body, /)\n--\n\n"
             "Tell those who watch the task; stored within a few\n"
             "milliseconds.");

static PyObject *
run_event(RunObject *self, PyObject *body)
{
    struct guaco_run *run = self->run;
    struct guaco_error err = {0};

    if (run_get(self) == NULL)
        return NULL;
    if (!PyBytes_Check(body)) {
        PyErr_SetString(PyExc_TypeError, "an event's body is bytes");
        return NULL;
    }
    struct guaco_slice slice = {PyBytes_AS_STRING(body),
                                (size_t)PyBytes_GET_SIZE(body)};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = guaco_run_event(run, slice, &err);
    Py_END_ALLOW_THREADS if (rc < 0) return guaco_raise(self->st, rc, &err);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(run_finish_doc,
             "finish($self, kind, body=None, retry_delay_ms=-1, follow=None,\n"
             "       pass_on=False, /)\n--\n\n"
             "End the run: kind is a guaco_outcome_kind, body the result's\n"
             "bytes or None to keep none; follow, a tuple of tasks (put's\n"
             "arguments), is put in the same step if this ends the task, and\n"
             "with pass_on whoever waits for it waits for the first of them.\n"
             "True when the task will run again.");

/* The arguments of finish() as an outcome: -1 with an exception. */
static int
outcome_of(PyObject *const *args, Py_ssize_t nargs,
           struct guaco_outcome *outcome, struct guaco__task_list *follow)
{
    if (nargs < 1 || nargs > 5) {
        PyErr_SetString(PyExc_TypeError, "finish() takes 1 to 5 arguments");
        return -1;
    }
    long kind = PyLong_AsLong(args[0]);
    if (kind == -1 && PyErr_Occurred())
        return -1;
    if (kind < GUACO_OUTCOME_DONE || kind > GUACO_OUTCOME_RELEASED) {
        PyErr_SetString(PyExc_ValueError, "no such outcome");
        return -1;
    }
    outcome->kind = (enum guaco_outcome_kind)kind;
    if (nargs >= 2 && args[1] != Py_None) {
        if (!PyBytes_Check(args[1])) {
            PyErr_SetString(PyExc_TypeError, "a result's body is bytes");
            return -1;
        }
        outcome->keep = true;
        outcome->body.at = PyBytes_AS_STRING(args[1]);
        outcome->body.len = (size_t)PyBytes_GET_SIZE(args[1]);
    }
    if (nargs >= 3) {
        outcome->retry_delay_ms = PyLong_AsLongLong(args[2]);
        if (outcome->retry_delay_ms == -1 && PyErr_Occurred())
            return -1;
    }
    if (nargs == 5) {
        int pass_on = PyObject_IsTrue(args[4]);
        if (pass_on < 0)
            return -1;
        outcome->pass_on = pass_on != 0;
    }
    if (nargs < 4 || args[3] == Py_None)
        return 0;
    if (!PyTuple_CheckExact(args[3])) {
        PyErr_SetString(PyExc_TypeError, "follow is a tuple of tasks");
        return -1;
    }
    if (guaco__task_list_init(follow, args[3]) < 0)
        return -1;
    outcome->follow = follow->tasks;
    outcome->follow_count = follow->n;
    return 0;
}

PyDoc_STRVAR(run_complete_doc,
             "complete($self, connection, commits, body, follow, /)\n--\n\n"
             "Write through a sqlite3.Connection, in its transaction, that\n"
             "the run is done, with finish()'s arguments; finish() is still\n"
             "to be called.");

static PyObject *
run_complete(RunObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct guaco_outcome outcome = {.retry_delay_ms = -1};
    struct guaco__task_list follow = {0};
    struct guaco_run *run = self->run;
    struct guaco_error err = {0};
    struct guaco_using use;
    PyObject *kind = PyLong_FromLong(GUACO_OUTCOME_DONE);
    PyObject *no_delay = PyLong_FromLong(-1);
    int rc = -1;

    if (kind == NULL || no_delay == NULL || run_get(self) == NULL)
        goto out;
    if (nargs != 4) {
        PyErr_SetString(PyExc_TypeError, "complete() takes 4 arguments");
        goto out;
    }
    PyObject *const given[5] = {kind, args[2], no_delay, args[3],
                                args[3] == Py_None ? Py_False : Py_True};
    rc = guaco__using_of(self->st, args[0], args[1], &use);
    if (rc == 0)
        rc = outcome_of(given, 5, &outcome, &follow);
    if (rc < 0)
        goto out;
    Py_BEGIN_ALLOW_THREADS rc = guaco_using_finish(run, &use, &outcome, &err);
    Py_END_ALLOW_THREADS if (rc < 0) guaco_raise(self->st, rc, &err);
out:
    guaco__task_list_release(&follow);
    Py_XDECREF(kind);
    Py_XDECREF(no_delay);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
run_get_completion(RunObject *self, void *Py_UNUSED(closure))
{
    const struct guaco_run *run = run_get(self);

    return run == NULL ? NULL : PyLong_FromLong(guaco_using_state(run));
}

static PyObject *
run_finish(RunObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct guaco_outcome outcome = {.retry_delay_ms = -1};
    struct guaco__task_list follow = {0};
    struct guaco_run *run = self->run;

    if (run_get(self) == NULL || outcome_of(args, nargs, &outcome, &follow) < 0)
        return NULL;

    struct guaco_error err = {0};
    enum guaco_run_end end = GUACO_RUN_ENDED;
    int rc;
    self->run = NULL; /* another thread must not finish it too */
    Py_BEGIN_ALLOW_THREADS rc = guaco_run_finish(run, &outcome, &end, &err);
    Py_END_ALLOW_THREADS guaco__task_list_release(&follow);
    if (rc < 0) {
        self->run = run;
        return guaco_raise(self->st, rc, &err);
    }
    return PyBool_FromLong(end == GUACO_RUN_RETRIED);
}

/* ---- life, and the type ------------------------------------------------ */

static int
run_traverse(RunObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->worker);
    return 0;
}

/* A run that is dropped unfinished goes back to the store uncounted. */
static void
run_dealloc(RunObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    struct guaco_outcome outcome = {.kind = GUACO_OUTCOME_RELEASED};

    PyObject_GC_UnTrack(self);
    if (self->run != NULL && guaco__worker_is_open(self->worker))
        guaco_run_finish(self->run, &outcome, NULL, NULL);
    Py_CLEAR(self->worker);
    type->tp_free(self);
    Py_DECREF(type);
}

#define NUMBER(name, which, doc)                                           \
    {                                                                      \
        name, (getter)run_get_number, NULL, doc, (void *)(intptr_t)(which) \
    }

static PyGetSetDef run_attributes[] = {
    NUMBER("id", RUN_ID, "The task's id."),
    NUMBER("attempt", RUN_ATTEMPT, "The number of this run, from 1."),
    NUMBER("failures", RUN_FAILURES, "Runs that failed before this one."),
    NUMBER("retries_left", RUN_RETRIES_LEFT, "Runs that may still follow."),
    NUMBER("due_ms", RUN_DUE_MS, "When it was due, Unix time; 0: at once."),
    NUMBER("expires_ms", RUN_EXPIRES_MS, "Its last start; 0: none."),
    NUMBER("priority", RUN_PRIORITY, "Higher first."),
    NUMBER("timeout_ms", RUN_TIMEOUT_MS, "The limit of a run; 0: none."),
    NUMBER("members", RUN_MEMBERS, "How many tasks joined this one."),
    NUMBER("why", RUN_WHY, "Why it was told to end, a GUACO_E_*; or 0."),
    {"queue", (getter)run_get_queue, NULL, "The queue's name.", NULL},
    {"name", (getter)run_get_name, NULL, "The task's name.", NULL},
    {"headers", (getter)run_get_headers, NULL, "The headers' bytes.", NULL},
    {"body", (getter)run_get_body, NULL, "The arguments' bytes.", NULL},
    {"interrupted", (getter)run_get_interrupted, NULL,
     "Whether it was told to end.", NULL},
    {"completion", (getter)run_get_completion, NULL,
     "What became of complete(): a guaco_using_state.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef run_methods[] = {
    {"remaining_ms", (PyCFunction)run_remaining_ms, METH_NOARGS,
     "remaining_ms($self, /)\n--\n\nTo its timeout; None without one."},
    {"event", (PyCFunction)run_event, METH_O, run_event_doc},
    {"complete", (PyCFunction)(void (*)(void))run_complete, METH_FASTCALL,
     run_complete_doc},
    {"finish", (PyCFunction)(void (*)(void))run_finish, METH_FASTCALL,
     run_finish_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot run_slots[] = {
    {Py_tp_doc, (void *)"One run of a task; made by Worker.next()."},
    {Py_tp_dealloc, run_dealloc},
    {Py_tp_traverse, run_traverse},
    {Py_tp_getset, run_attributes},
    {Py_tp_methods, run_methods},
    {0, NULL},
};

static PyType_Spec run_spec = {
    .name = "guaco._core.Run",
    .basicsize = sizeof(RunObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = run_slots,
};

int
guaco__run_type_add(PyObject *module, struct guaco_state *st)
{
    st->RunType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &run_spec, NULL);
    if (st->RunType == NULL)
        return -1;
    return PyModule_AddType(module, st->RunType);
}
