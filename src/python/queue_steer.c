/*
 * Functions of guaco._core that steer what is in a store: cancel, pause,
 * revoke, the members of a chord, schedules at run time.  Each takes a Broker
 * first; only guaco.queue calls them.
 */

#include "queue_types.h"

#include <stdlib.h>
#include <string.h>

#include "guaco/using.h"

/* ---- tasks ------------------------------------------------------------- */

PyDoc_STRVAR(task_cancel_doc,
             "task_cancel($module, broker, id, reason, /)\n--\n\n"
             "Cancel a task; the guaco_task_state that it was in, 0: it has\n"
             "ended, or there is none.");

static PyObject *
task_cancel(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    unsigned long long id;
    const char *reason;
    Py_ssize_t len;

    if (!PyArg_ParseTuple(args, "OKs#:task_cancel", &broker, &id, &reason,
                          &len) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    enum guaco_task_state was = 0;
    int rc = guaco_broker_cancel(call.open, id, guaco__slice_of(reason, len),
                                 &was, &call.err);
    if (!guaco__call_end(&call, rc == GUACO_E_MISSING ? GUACO_OK : rc))
        return NULL;
    return PyLong_FromLong(rc < 0 ? 0 : (long)was);
}

PyDoc_STRVAR(task_members_doc,
             "task_members($module, broker, id, /)\n--\n\n"
             "What those ended with that joined a task, in order:\n"
             "[(id, state, body)].");

static PyObject *
task_members(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    unsigned long long id;

    if (!PyArg_ParseTuple(args, "OK:task_members", &broker, &id) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    struct guaco_news news = {0};
    int rc = guaco_broker_members(call.open, id, &news, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    PyObject *list = guaco__members_to_python(&news);
    guaco_news_release(&news);
    return list;
}

PyDoc_STRVAR(ids_reserve_doc,
             "ids_reserve($module, broker, n, connection=None, commits=False,\n"
             "            /)\n--\n\n"
             "The first of n ids that follow one another and are ours; as\n"
             "Broker.put_many.");

static PyObject *
ids_reserve(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker, *connection = Py_None, *commits = Py_False;
    struct guaco_using use;
    unsigned n;

    if (!PyArg_ParseTuple(args, "OI|OO:ids_reserve", &broker, &n, &connection,
                          &commits) ||
        (connection != Py_None &&
         guaco__using_of(guaco_state_of(module), connection, commits, &use) <
             0) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    uint64_t first = 0;
    int rc = connection == Py_None
                 ? guaco_broker_reserve(call.open, n, &first, &call.err)
                 : guaco_using_reserve(call.open, &use, n, &first, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    return PyLong_FromUnsignedLongLong(first);
}

/* ---- queues ------------------------------------------------------------ */

PyDoc_STRVAR(queue_pause_doc,
             "queue_pause($module, broker, queue, pause, /)\n--\n\n"
             "Give out no task of a queue, or do so again.");

static PyObject *
queue_pause(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *queue;
    Py_ssize_t len;
    int pause;

    if (!PyArg_ParseTuple(args, "Os#p:queue_pause", &broker, &queue, &len,
                          &pause) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    int rc = guaco_broker_pause(call.open, guaco__slice_of(queue, len),
                                pause != 0, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(name_revoke_doc,
             "name_revoke($module, broker, queue, key, until_ms, once, /)\n"
             "--\n\n"
             "Run no task of that name: until then (0: ever), or the next.");

static PyObject *
name_revoke(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *queue, *key;
    Py_ssize_t queue_len, key_len;
    long long until_ms;
    int once;

    if (!PyArg_ParseTuple(args, "Os#s#Lp:name_revoke", &broker, &queue,
                          &queue_len, &key, &key_len, &until_ms, &once) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    struct guaco_revocation revocation = {
        .queue = guaco__slice_of(queue, queue_len),
        .key = guaco__slice_of(key, key_len),
        .until_ms = until_ms,
        .once = once != 0,
    };
    int rc = guaco_broker_revoke(call.open, &revocation, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(name_restore_doc,
             "name_restore($module, broker, queue, key, /)\n--\n\n"
             "Undo name_revoke(); whether it was revoked.");

static PyObject *
name_restore(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *queue, *key;
    Py_ssize_t queue_len, key_len;

    if (!PyArg_ParseTuple(args, "Os#s#:name_restore", &broker, &queue,
                          &queue_len, &key, &key_len) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    bool was = false;
    int rc =
        guaco_broker_restore(call.open, guaco__slice_of(queue, queue_len),
                             guaco__slice_of(key, key_len), &was, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    return PyBool_FromLong(was);
}

PyDoc_STRVAR(name_revoked_doc,
             "name_revoked($module, broker, queue, key, take, /)\n--\n\n"
             "Whether a name is revoked; take: one that holds once is used.");

static PyObject *
name_revoked(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *queue, *key;
    Py_ssize_t queue_len, key_len;
    int take;

    if (!PyArg_ParseTuple(args, "Os#s#p:name_revoked", &broker, &queue,
                          &queue_len, &key, &key_len, &take) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    bool is_revoked = false;
    int rc = guaco_broker_revoked(call.open, guaco__slice_of(queue, queue_len),
                                  guaco__slice_of(key, key_len), take != 0,
                                  &is_revoked, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    return PyBool_FromLong(is_revoked);
}

/* ---- schedules at run time --------------------------------------------- */

PyDoc_STRVAR(recurring_put_doc,
             "recurring_put($module, broker, entry, is_paused, /)\n--\n\n"
             "Define a recurring task, (name, spec, zone, catch_up, task),\n"
             "that stays until it is removed.");

static PyObject *
recurring_put(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker, *item;
    struct guaco_recurring entry = {0};
    int is_paused;

    if (!PyArg_ParseTuple(args, "OO!p:recurring_put", &broker, &PyTuple_Type,
                          &item, &is_paused) ||
        guaco__recurring_of_tuple(item, 0, &entry) < 0)
        return NULL;
    entry.is_paused = is_paused != 0;
    if (!guaco__call_begin(&call, module, broker))
        return NULL;
    int rc = guaco_broker_recurring_put(call.open, &entry, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(recurring_remove_doc,
             "recurring_remove($module, broker, queue, name, /)\n--\n\n"
             "Remove one; False: there is none.");

static PyObject *
recurring_remove(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *queue, *name;
    Py_ssize_t queue_len, name_len;

    if (!PyArg_ParseTuple(args, "Os#s#:recurring_remove", &broker, &queue,
                          &queue_len, &name, &name_len) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    int rc = guaco_broker_recurring_remove(
        call.open, guaco__slice_of(queue, queue_len),
        guaco__slice_of(name, name_len), &call.err);
    if (!guaco__call_end(&call, rc == GUACO_E_MISSING ? GUACO_OK : rc))
        return NULL;
    return PyBool_FromLong(rc == GUACO_OK);
}

PyDoc_STRVAR(recurring_pause_doc,
             "recurring_pause($module, broker, queue, name, pause, /)\n--\n\n"
             "Let one fire no more, or again; False: there is none.");

static PyObject *
recurring_pause(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *queue, *name;
    Py_ssize_t queue_len, name_len;
    int pause;

    if (!PyArg_ParseTuple(args, "Os#s#p:recurring_pause", &broker, &queue,
                          &queue_len, &name, &name_len, &pause) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    int rc = guaco_broker_recurring_pause(
        call.open, guaco__slice_of(queue, queue_len),
        guaco__slice_of(name, name_len), pause != 0, &call.err);
    if (!guaco__call_end(&call, rc == GUACO_E_MISSING ? GUACO_OK : rc))
        return NULL;
    return PyBool_FromLong(rc == GUACO_OK);
}

/* A listed entry, copied while the store is held. */
struct entry {
    struct entry *next;
    int64_t last_ms, next_ms;
    int catch_up;
    bool is_paused, is_run_time;
    struct guaco_slice text[4]; /* name, spec, zone, task's name */
};

struct entries {
    struct entry *first;
    struct entry **last;
    bool is_short_of_memory;
};

static void
on_entry(void *ctx, const struct guaco_recurring *r, int64_t last_ms,
         int64_t next_ms)
{
    struct entries *entries = ctx;
    const struct guaco_slice from[4] = {r->name, r->spec, r->zone,
                                        r->task.name};
    size_t bytes = 0;

    for (int i = 0; i < 4; i++)
        bytes += from[i].len;
    struct entry *entry = malloc(sizeof *entry + bytes + 1);
    if (entry == NULL) {
        entries->is_short_of_memory = true;
        return;
    }
    *entry = (struct entry){
        .last_ms = last_ms,
        .next_ms = next_ms,
        .catch_up = (int)r->catch_up,
        .is_paused = r->is_paused,
        .is_run_time = r->is_run_time,
    };
    char *to = (char *)(entry + 1);
    for (int i = 0; i < 4; i++) {
        entry->text[i] = (struct guaco_slice){to, from[i].len};
        if (from[i].len > 0)
            memcpy(to, from[i].at, from[i].len);
        to += from[i].len;
    }
    *entries->last = entry;
    entries->last = &entry->next;
}

static PyObject *
entry_to_python(const struct entry *e)
{
    PyObject *next = e->next_ms == INT64_MAX ? Py_NewRef(Py_None)
                                             : PyLong_FromLongLong(e->next_ms);

    if (next == NULL)
        return NULL;
    return Py_BuildValue("{ss#ss#ss#ss#sisLsNsOsO}", "name", e->text[0].at,
                         (Py_ssize_t)e->text[0].len, "spec", e->text[1].at,
                         (Py_ssize_t)e->text[1].len, "zone", e->text[2].at,
                         (Py_ssize_t)e->text[2].len, "task", e->text[3].at,
                         (Py_ssize_t)e->text[3].len, "catch_up", e->catch_up,
                         "last_ms", (long long)e->last_ms, "next_ms", next,
                         "is_paused", e->is_paused ? Py_True : Py_False,
                         "is_run_time", e->is_run_time ? Py_True : Py_False);
}

/* A list of the entries, which are freed; NULL with an exception, also the one
 * that is set unless is_done. */
static PyObject *
entries_to_python(struct entries *entries, bool is_done)
{
    if (is_done && entries->is_short_of_memory)
        PyErr_NoMemory();
    PyObject *list = PyErr_Occurred() != NULL ? NULL : PyList_New(0);

    for (struct entry *e = entries->first, *next; e != NULL; e = next) {
        next = e->next;
        PyObject *item = list == NULL ? NULL : entry_to_python(e);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        free(e);
    }
    return list;
}

PyDoc_STRVAR(recurring_list_doc,
             "recurring_list($module, broker, queue, /)\n--\n\n"
             "The recurring tasks of a queue, as dicts.");

static PyObject *
recurring_list(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *queue;
    Py_ssize_t len;

    if (!PyArg_ParseTuple(args, "Os#:recurring_list", &broker, &queue, &len) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    struct entries entries = {.last = &entries.first};
    int rc = guaco_broker_recurring_list(call.open, guaco__slice_of(queue, len),
                                         on_entry, &entries, &call.err);
    bool is_done = guaco__call_end(&call, rc);
    return entries_to_python(&entries, is_done);
}

PyMethodDef guaco__steer_functions[] = {
    {"task_cancel", task_cancel, METH_VARARGS, task_cancel_doc},
    {"task_members", task_members, METH_VARARGS, task_members_doc},
    {"ids_reserve", ids_reserve, METH_VARARGS, ids_reserve_doc},
    {"queue_pause", queue_pause, METH_VARARGS, queue_pause_doc},
    {"name_revoke", name_revoke, METH_VARARGS, name_revoke_doc},
    {"name_restore", name_restore, METH_VARARGS, name_restore_doc},
    {"name_revoked", name_revoked, METH_VARARGS, name_revoked_doc},
    {"recurring_put", recurring_put, METH_VARARGS, recurring_put_doc},
    {"recurring_remove", recurring_remove, METH_VARARGS, recurring_remove_doc},
    {"recurring_pause", recurring_pause, METH_VARARGS, recurring_pause_doc},
    {"recurring_list", recurring_list, METH_VARARGS, recurring_list_doc},
    {NULL, NULL, 0, NULL},
};
