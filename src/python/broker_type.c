/*
 * guaco._core.Broker: the Python face of struct guaco_broker.  In Python it
 * would read
 *
 *     class Broker:
 *         def __new__(cls, url: str, /): ...
 *         def put(self, queue, name, headers, body, due_ms, expires_ms,
 *                 priority, retries, retry_delay_ms, retry_backoff_percent,
 *                 timeout_ms, result_ttl_s, retry_delay_max_ms,
 *                 retry_jitter_percent, rules, /) -> int: ...
 *         def put_async(self, /, *task_mailbox_tag) -> None: ...
 *         def put_many(self, tasks: list[tuple], /) -> list[int]: ...
 *         def read(self, id, after=0, take=False, /) -> tuple: ...
 *         def watch(self, id, after, mailbox, tag, /) -> Watch: ...
 *         def now_ms(self) -> int: ...
 *         def warning(self) -> str | None: ...
 *         def close(self) -> None: ...
 *
 * and the looking-after calls stats, list, purge, replay and recurring.  No
 * defaults and no keywords on the hot calls: only guaco.queue calls them.
 *
 * Threads: struct guaco_broker locks for itself; the GIL guards `users`, the
 * calls that are inside it.  close() stops new ones, and the last one to leave
 * closes the store.  Fork: a child that drops a Broker of its parent leaves
 * the store alone.
 */

#include "queue_types.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guaco/using.h"

typedef struct {
    PyObject_HEAD
    struct guaco_broker *broker; /* NULL once closed */
    size_t users;                /* calls and watches inside */
    bool is_closing;
    pid_t owner; /* the process that opened it */
    struct guaco_state *st;
} BrokerObject;

/* ---- life -------------------------------------------------------------- */

static PyObject *
broker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const char *url;

    if (!guaco__no_keywords("Broker", kwargs) ||
        !PyArg_ParseTuple(args, "s:Broker", &url))
        return NULL;
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    BrokerObject *self = (BrokerObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->st = guaco_state_of(module);
    self->owner = getpid();

    struct guaco_error err = {0};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = guaco_broker_open(&self->broker, url, &err);
    Py_END_ALLOW_THREADS if (rc < 0)
    {
        Py_DECREF(self);
        return guaco_raise(self->st, rc, &err);
    }
    return (PyObject *)self;
}

static void
broker_end(BrokerObject *self)
{
    struct guaco_broker *broker = self->broker;

    assert(self->users == 0);
    self->broker = NULL;
    if (broker == NULL || self->owner != guaco__own_pid_get(&self->st->own_pid))
        return;
    Py_BEGIN_ALLOW_THREADS guaco_broker_close(broker);
    Py_END_ALLOW_THREADS
}

static struct guaco_broker *
broker_enter(BrokerObject *self)
{
    if (self->broker == NULL || self->is_closing) {
        PyErr_SetString(self->st->Error, "the queue's store is closed");
        return NULL;
    }
    if (self->owner != guaco__own_pid_get(&self->st->own_pid)) {
        PyErr_SetString(self->st->Error, "another process opened this store");
        return NULL;
    }
    self->users++;
    return self->broker;
}

static void
broker_leave(BrokerObject *self)
{
    assert(self->users > 0);
    if (--self->users == 0 && self->is_closing)
        broker_end(self);
}

struct guaco_broker *
guaco__broker_enter(const struct guaco_state *st, PyObject *value)
{
    if (!Py_IS_TYPE(value, st->BrokerType)) {
        PyErr_Format(PyExc_TypeError, "a Broker is needed, not %.100s",
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    return broker_enter((BrokerObject *)value);
}

void
guaco__broker_leave(PyObject *value)
{
    broker_leave((BrokerObject *)value);
}

bool
guaco__broker_is_ours(PyObject *value)
{
    const BrokerObject *self = (const BrokerObject *)value;

    return self->owner == guaco__own_pid_get(&self->st->own_pid);
}

static PyObject *
broker_close(BrokerObject *self, PyObject *Py_UNUSED(ignored))
{
    self->is_closing = true;
    if (self->users == 0)
        broker_end(self);
    Py_RETURN_NONE;
}

static int
broker_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
broker_dealloc(BrokerObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    self->users = 0; /* every user holds a reference: there is none */
    broker_end(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Entered between the two, so that the store is not closed meanwhile. */
static PyObject *
broker_before_fork(BrokerObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_broker *broker = broker_enter(self);

    if (broker == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS guaco_broker_before_fork(broker);
    Py_END_ALLOW_THREADS Py_RETURN_NONE; /* stays entered until after_fork */
}

static PyObject *
broker_after_fork(BrokerObject *self, PyObject *Py_UNUSED(ignored))
{
    guaco_broker_after_fork(self->broker);
    broker_leave(self);
    Py_RETURN_NONE;
}

/* ---- enqueue ----------------------------------------------------------- */

static int
check_count(Py_ssize_t nargs, Py_ssize_t wanted, const char *name)
{
    if (nargs == wanted)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name,
                 wanted, nargs);
    return -1;
}

PyDoc_STRVAR(
    broker_put_doc,
    "put($self, queue, name, headers, body, due_ms, expires_ms,\n"
    "    priority, retries, retry_delay_ms, retry_backoff_percent,\n"
    "    timeout_ms, result_ttl_s, retry_delay_max_ms,\n"
    "    retry_jitter_percent, rules, /)\n--\n\n"
    "Store one task and return its id once the store has committed;\n"
    "minus the id of the one that holds its unique key.  rules is None\n"
    "or (unique, until, unique_ms, replace, limits, joins,\n"
    "must_succeed, id), limits a tuple of (key, running_max,\n"
    "rate_count, rate_period_ms, rate_burst, cost).");

static PyObject *
broker_put(BrokerObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct guaco_task task;
    struct guaco_rules rules;
    bool existed = false;

    if (check_count(nargs, GUACO__TASK_ARGS, "put") < 0 ||
        guaco__task_from_args(args, &task, &rules) < 0)
        return NULL;
    rules.existed = &existed;
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        return NULL;

    struct guaco_error err = {0};
    uint64_t id = 0;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = guaco_broker_put(broker, &task, 1, &id, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    if (rc < 0)
        return guaco_raise(self->st, rc, &err);
    return guaco__put_id(id, existed);
}

static PyObject *
ids_to_list(const uint64_t *ids, const bool *existed, Py_ssize_t n)
{
    PyObject *list = PyList_New(n);

    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyObject *id = guaco__put_id(ids[i], existed[i]);
        if (id == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, id);
    }
    return list;
}

PyDoc_STRVAR(broker_put_many_doc,
             "put_many($self, tasks, connection=None, commits=False, /)\n"
             "--\n\n"
             "Store a list of tasks (tuples of put's arguments), all or none,\n"
             "1 to 10000 of them, and return their ids in order.  Through a\n"
             "sqlite3.Connection, if there is one, in its transaction; if it\n"
             "has none, in one that is committed (commits) or left open.");

static PyObject *
broker_put_many(BrokerObject *self, PyObject *args)
{
    PyObject *list, *connection = Py_None, *commits = Py_False;
    PyObject *result = NULL;
    struct guaco_using use;
    struct guaco_error err = {0};
    struct guaco__task_list all;

    if (!PyArg_ParseTuple(args, "O!|OO:put_many", &PyList_Type, &list,
                          &connection, &commits) ||
        (connection != Py_None &&
         guaco__using_of(self->st, connection, commits, &use) < 0))
        return NULL;
    /* The slices borrow from the tuples: the list must not change. */
    PyObject *copy = PyList_GetSlice(list, 0, PyList_GET_SIZE(list));
    if (copy == NULL)
        return NULL;
    if (guaco__task_list_init(&all, copy) < 0) {
        Py_DECREF(copy);
        return NULL;
    }
    uint64_t *ids = calloc(all.n + 1, sizeof *ids);
    if (ids == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        goto out;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        connection == Py_None
            ? guaco_broker_put(broker, all.tasks, all.n, ids, &err)
            : guaco_using_put(broker, &use, all.tasks, all.n, ids, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    result = rc < 0 ? guaco_raise(self->st, rc, &err)
                    : ids_to_list(ids, all.existed, (Py_ssize_t)all.n);
out:
    free(ids);
    guaco__task_list_release(&all);
    Py_DECREF(copy);
    return result;
}

/* On the store's thread. */
static void
on_put(void *ctx, int rc, const struct guaco_error *err, const uint64_t *ids,
       size_t n)
{
    struct guaco__letter *letter = ctx;

    letter->rc = rc;
    if (rc != 0 && err != NULL)
        letter->err = *err;
    else if (n > 0)
        letter->number[0] = (int64_t)ids[0];
    guaco__mailbox_post(letter->box, letter);
}

PyDoc_STRVAR(broker_put_async_doc,
             "put_async($self, /, *task_mailbox_tag)\n--\n\n"
             "Hand one task (put's 15 arguments) to the store's thread and\n"
             "return; how it ended comes to the Mailbox behind them, in a\n"
             "letter with the tag behind that.");

static PyObject *
broker_put_async(BrokerObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct guaco_task task;
    struct guaco_rules rules;

    if (check_count(nargs, GUACO__TASK_ARGS + 2, "put_async") < 0 ||
        guaco__task_from_args(args, &task, &rules) < 0)
        return NULL;
    MailboxObject *box = guaco__mailbox_of(self->st, args[GUACO__TASK_ARGS]);
    unsigned long long tag =
        PyLong_AsUnsignedLongLong(args[GUACO__TASK_ARGS + 1]);
    if (box == NULL || (tag == (unsigned long long)-1 && PyErr_Occurred()))
        return NULL;

    struct guaco__letter *letter = calloc(1, sizeof *letter);
    if (letter == NULL)
        return PyErr_NoMemory();
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL) {
        free(letter);
        return NULL;
    }
    letter->kind = GUACO__LETTER_PUT;
    letter->tag = tag;
    rules.existed = &letter->existed;
    letter->box = (MailboxObject *)Py_NewRef((PyObject *)box);

    struct guaco_error err = {0};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_broker_put_async(broker, &task, 1, on_put, letter, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    if (rc < 0) {
        Py_DECREF((PyObject *)box);
        free(letter);
        return guaco_raise(self->st, rc, &err);
    }
    Py_RETURN_NONE;
}

/* ---- results and events ------------------------------------------------ */

PyDoc_STRVAR(broker_read_doc,
             "read($self, id, after=0, take=False, /)\n--\n\n"
             "(events, result) of task id, as far as there are any: events\n"
             "after number `after` as (number, bytes), result None or (state,\n"
             "attempt, finished_ms, bytes, reason).  take removes the result.");

static PyObject *
broker_read(BrokerObject *self, PyObject *args)
{
    unsigned long long id;
    unsigned after = 0;
    int take = 0;

    if (!PyArg_ParseTuple(args, "K|Ip:read", &id, &after, &take))
        return NULL;
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        return NULL;

    struct guaco_error err = {0};
    struct guaco_news news = {0};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_broker_read(broker, id, after, take != 0, &news, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    if (rc < 0)
        return guaco_raise(self->st, rc, &err);
    PyObject *result = guaco__news_to_python(&news);
    guaco_news_release(&news);
    return result;
}

PyDoc_STRVAR(broker_watch_doc,
             "watch($self, id, after, mailbox, tag, /)\n--\n\n"
             "Send the news of task id after event number `after` to mailbox,\n"
             "in letters with tag, until its result came or Watch.close().");

static PyObject *
broker_watch(BrokerObject *self, PyObject *args)
{
    unsigned long long id, tag;
    unsigned after;
    PyObject *mailbox;

    if (!PyArg_ParseTuple(args, "KIOK:watch", &id, &after, &mailbox, &tag))
        return NULL;
    MailboxObject *box = guaco__mailbox_of(self->st, mailbox);
    if (box == NULL)
        return NULL;
    return guaco__watch_new(self->st, (PyObject *)self, box, id, after, tag);
}

static PyObject *
broker_now_ms(BrokerObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        return NULL;
    int64_t now = guaco_broker_now_ms(broker);
    broker_leave(self);
    return PyLong_FromLongLong(now);
}

static PyObject *
broker_warning(BrokerObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        return NULL;
    PyObject *text =
        Py_BuildValue("z", guaco_broker_warning(broker)); /* None if NULL */
    broker_leave(self);
    return text;
}

/* ---- looking after ----------------------------------------------------- */

PyDoc_STRVAR(broker_stats_doc,
             "stats($self, queue, /)\n--\n\n"
             "Counts by name: waiting, delayed, running, dead, results,\n"
             "recurring, held; and whether it is paused.");

static PyObject *
broker_stats(BrokerObject *self, PyObject *args)
{
    struct guaco_slice queue;
    Py_ssize_t len;

    if (!PyArg_ParseTuple(args, "s#:stats", &queue.at, &len))
        return NULL;
    queue.len = (size_t)len;
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        return NULL;

    struct guaco_error err = {0};
    struct guaco_queue_stats s = {0};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = guaco_broker_stats(broker, queue, &s, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    if (rc < 0)
        return guaco_raise(self->st, rc, &err);
    return Py_BuildValue(
        "{sKsKsKsKsKsKsKsO}", "waiting", (unsigned long long)s.waiting,
        "delayed", (unsigned long long)s.delayed, "running",
        (unsigned long long)s.running, "dead", (unsigned long long)s.dead,
        "results", (unsigned long long)s.results, "recurring",
        (unsigned long long)s.recurring, "held", (unsigned long long)s.held,
        "paused", s.is_paused ? Py_True : Py_False);
}

/* A row of a listing, copied while the store is held and without the
 * interpreter: the texts follow the struct. */
struct row {
    struct row *next;
    struct guaco_task_info info;
};

struct rows {
    struct row *first;
    struct row **last;
    bool is_short_of_memory;
};

static void
keep_slice(char **to, struct guaco_slice *slice)
{
    if (slice->len > 0)
        memcpy(*to, slice->at, slice->len);
    slice->at = *to;
    *to += slice->len;
}

static void
on_row(void *ctx, const struct guaco_task_info *info)
{
    struct rows *rows = ctx;
    const struct guaco_task *t = &info->task;
    struct row *row =
        malloc(sizeof *row + t->name.len + t->body.len + info->reason.len + 1);

    if (row == NULL) {
        rows->is_short_of_memory = true;
        return;
    }
    char *to = (char *)(row + 1);
    row->next = NULL;
    row->info = *info;
    keep_slice(&to, &row->info.task.name);
    keep_slice(&to, &row->info.task.body);
    keep_slice(&to, &row->info.reason);
    *rows->last = row;
    rows->last = &row->next;
}

static PyObject *
row_to_python(const struct guaco_task_info *info)
{
    const struct guaco_task *t = &info->task;

    return Py_BuildValue(
        "{sKsisIsIsIsLss#sy#sisIsLsLss#}", "id", (unsigned long long)info->id,
        "state", (int)info->state, "attempt", (unsigned)info->attempt,
        "failures", (unsigned)info->failures, "deaths", (unsigned)info->deaths,
        "since_ms", (long long)info->since_ms, "name", t->name.at,
        (Py_ssize_t)t->name.len, "body", t->body.at, (Py_ssize_t)t->body.len,
        "priority", (int)t->priority, "retries", (unsigned)t->retries, "due_ms",
        (long long)t->due_ms, "expires_ms", (long long)t->expires_ms, "reason",
        info->reason.at, (Py_ssize_t)info->reason.len);
}

/* A list of the rows, which are freed. */
static PyObject *
rows_to_python(struct rows *rows)
{
    PyObject *list = rows->is_short_of_memory ? NULL : PyList_New(0);

    for (struct row *row = rows->first, *next; row != NULL; row = next) {
        next = row->next;
        PyObject *item = list == NULL ? NULL : row_to_python(&row->info);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        free(row);
    }
    if (rows->is_short_of_memory)
        PyErr_NoMemory();
    return list;
}

PyDoc_STRVAR(broker_list_doc,
             "list($self, queue, state, offset, limit, /)\n--\n\n"
             "Tasks of queue in state (a guaco_task_state) as dicts, in the\n"
             "order in which they would run.");

static PyObject *
broker_list(BrokerObject *self, PyObject *args)
{
    struct guaco_slice queue;
    Py_ssize_t len;
    int state;
    unsigned long long offset;
    unsigned limit;

    if (!PyArg_ParseTuple(args, "s#iKI:list", &queue.at, &len, &state, &offset,
                          &limit))
        return NULL;
    queue.len = (size_t)len;
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        return NULL;

    struct guaco_error err = {0};
    struct rows rows = {.last = &rows.first};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_broker_list(broker, queue, (enum guaco_task_state)state, offset,
                          limit, on_row, &rows, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    PyObject *list = rows_to_python(&rows);
    if (rc < 0) {
        Py_XDECREF(list);
        return guaco_raise(self->st, rc, &err);
    }
    return list;
}

static PyObject *
broker_purge(BrokerObject *self, PyObject *args)
{
    struct guaco_slice queue;
    Py_ssize_t len;
    int state;

    if (!PyArg_ParseTuple(args, "s#i:purge", &queue.at, &len, &state))
        return NULL;
    queue.len = (size_t)len;
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        return NULL;

    struct guaco_error err = {0};
    uint64_t count = 0;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = guaco_broker_purge(
        broker, queue, (enum guaco_task_state)state, &count, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    if (rc < 0)
        return guaco_raise(self->st, rc, &err);
    return PyLong_FromUnsignedLongLong(count);
}

static PyObject *
broker_replay(BrokerObject *self, PyObject *args)
{
    struct guaco_slice queue;
    Py_ssize_t len;
    unsigned long long id;

    if (!PyArg_ParseTuple(args, "s#K:replay", &queue.at, &len, &id))
        return NULL;
    queue.len = (size_t)len;
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL)
        return NULL;

    struct guaco_error err = {0};
    uint64_t count = 0;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_broker_replay(broker, queue, id, &count, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    if (rc < 0)
        return guaco_raise(self->st, rc, &err);
    return PyLong_FromUnsignedLongLong(count);
}

/* ---- recurring --------------------------------------------------------- */

int
guaco__recurring_of_tuple(PyObject *item, uint64_t generation,
                          struct guaco_recurring *r)
{
    Py_ssize_t name_len, spec_len, zone_len;
    const char *name, *spec, *zone;
    int catch_up;
    PyObject *task;

    if (!PyArg_ParseTuple(item, "s#s#s#iO!", &name, &name_len, &spec, &spec_len,
                          &zone, &zone_len, &catch_up, &PyTuple_Type, &task))
        return -1;
    if (PyTuple_GET_SIZE(task) != GUACO__TASK_ARGS ||
        PyTuple_GET_ITEM(task, GUACO__TASK_ARGS - 1) != Py_None) {
        PyErr_SetString(PyExc_TypeError,
                        "a recurring task is a tuple of 15 values, no rules");
        return -1;
    }
    r->name = (struct guaco_slice){name, (size_t)name_len};
    r->spec = (struct guaco_slice){spec, (size_t)spec_len};
    r->zone = (struct guaco_slice){zone, (size_t)zone_len};
    r->catch_up = (enum guaco_catch_up)catch_up;
    r->generation = generation;
    struct guaco_rules none;
    return guaco__task_from_args(&PyTuple_GET_ITEM(task, 0), &r->task, &none);
}

PyDoc_STRVAR(broker_recurring_doc,
             "recurring($self, queue, generation, all, /)\n--\n\n"
             "Make all, a tuple of (name, spec, zone, catch_up, task), the\n"
             "recurring tasks of queue.  False: the store has a newer\n"
             "generation and was left as it is.");

static PyObject *
broker_recurring(BrokerObject *self, PyObject *args)
{
    struct guaco_slice queue;
    Py_ssize_t len;
    unsigned long long generation;
    PyObject *all;

    if (!PyArg_ParseTuple(args, "s#KO!:recurring", &queue.at, &len, &generation,
                          &PyTuple_Type, &all))
        return NULL;
    queue.len = (size_t)len;

    size_t n = (size_t)PyTuple_GET_SIZE(all);
    struct guaco_recurring *table = calloc(n + 1, sizeof *table);
    if (table == NULL)
        return PyErr_NoMemory();
    for (size_t i = 0; i < n; i++) {
        if (guaco__recurring_of_tuple(PyTuple_GET_ITEM(all, (Py_ssize_t)i),
                                      generation, &table[i]) < 0) {
            free(table);
            return NULL;
        }
    }
    struct guaco_broker *broker = broker_enter(self);
    if (broker == NULL) {
        free(table);
        return NULL;
    }
    struct guaco_error err = {0};
    bool stale = false;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = guaco_broker_recurring(
        broker, queue, generation, table, n, &stale, &err);
    Py_END_ALLOW_THREADS broker_leave(self);
    free(table);
    if (rc < 0)
        return guaco_raise(self->st, rc, &err);
    return PyBool_FromLong(!stale);
}

/* ---- the type ---------------------------------------------------------- */

#define FN(f) (PyCFunction)(void (*)(void))(f)

static PyMethodDef broker_methods[] = {
    {"put", FN(broker_put), METH_FASTCALL, broker_put_doc},
    {"put_many", FN(broker_put_many), METH_VARARGS, broker_put_many_doc},
    {"put_async", FN(broker_put_async), METH_FASTCALL, broker_put_async_doc},
    {"read", FN(broker_read), METH_VARARGS, broker_read_doc},
    {"watch", FN(broker_watch), METH_VARARGS, broker_watch_doc},
    {"now_ms", FN(broker_now_ms), METH_NOARGS,
     "now_ms($self, /)\n--\n\nThe store's clock, Unix time in ms."},
    {"warning", FN(broker_warning), METH_NOARGS,
     "warning($self, /)\n--\n\n"
     "What is wrong with how the store is set up, or None."},
    {"stats", FN(broker_stats), METH_VARARGS, broker_stats_doc},
    {"list", FN(broker_list), METH_VARARGS, broker_list_doc},
    {"purge", FN(broker_purge), METH_VARARGS,
     "purge($self, queue, state, /)\n--\n\nDelete what is in state; how many."},
    {"replay", FN(broker_replay), METH_VARARGS,
     "replay($self, queue, id, /)\n--\n\n"
     "Make dead task id (0: all) wait again; how many."},
    {"recurring", FN(broker_recurring), METH_VARARGS, broker_recurring_doc},
    {"before_fork", FN(broker_before_fork), METH_NOARGS,
     "before_fork($self, /)\n--\n\n"
     "In the parent, before a fork: other threads' calls wait from now."},
    {"after_fork", FN(broker_after_fork), METH_NOARGS,
     "after_fork($self, /)\n--\n\nIn the parent, after it."},
    {"close", FN(broker_close), METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Close the store when the calls in it have ended; idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot broker_slots[] = {
    {Py_tp_doc, (void *)"Where tasks and results wait."},
    {Py_tp_new, broker_new},
    {Py_tp_dealloc, broker_dealloc},
    {Py_tp_traverse, broker_traverse},
    {Py_tp_methods, broker_methods},
    {0, NULL},
};

static PyType_Spec broker_spec = {
    .name = "guaco._core.Broker",
    .basicsize = sizeof(BrokerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = broker_slots,
};

int
guaco__broker_type_add(PyObject *module, struct guaco_state *st)
{
    st->BrokerType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &broker_spec, NULL);
    if (st->BrokerType == NULL)
        return -1;
    return PyModule_AddType(module, st->BrokerType);
}
