/* Functions of guaco._core for the queue: schedules, and the interruption of a
 * thread. */

#include "queue_types.h"

#include "guaco/schedule.h"

/* ---- schedules --------------------------------------------------------- */

static PyObject *
raise_from(PyObject *module, int rc, const struct guaco_error *err)
{
    return guaco_raise(guaco_state_of(module), rc, err);
}

PyDoc_STRVAR(
    crontab_spec_doc,
    "crontab_spec($module, minute, hour, day, month, day_of_week,\n"
    "             strict, /)\n--\n\n"
    "The spec of Huey's crontab() fields; ValueError names the field.");

static PyObject *
crontab_spec(PyObject *module, PyObject *args)
{
    Py_ssize_t len[5];
    struct guaco_crontab c = {0};
    char spec[GUACO_SCHEDULE_SPEC_MAX + 1];
    struct guaco_error err = {0};
    int is_strict;

    if (!PyArg_ParseTuple(args, "s#s#s#s#s#p:crontab_spec", &c.minute.at,
                          &len[0], &c.hour.at, &len[1], &c.day.at, &len[2],
                          &c.month.at, &len[3], &c.day_of_week.at, &len[4],
                          &is_strict))
        return NULL;
    c.minute.len = (size_t)len[0];
    c.hour.len = (size_t)len[1];
    c.day.len = (size_t)len[2];
    c.month.len = (size_t)len[3];
    c.day_of_week.len = (size_t)len[4];
    int rc = guaco_crontab_spec(&c, is_strict != 0, spec, sizeof spec, &err);
    if (rc < 0)
        return raise_from(module, rc, &err);
    return PyUnicode_FromString(spec);
}

PyDoc_STRVAR(schedule_next_doc,
             "schedule_next($module, spec, zone, after_ms, /)\n--\n\n"
             "The first fire time after after_ms, Unix time in ms; None when\n"
             "there is none.  ValueError for a spec or zone that is no such.");

static PyObject *
schedule_next(PyObject *module, PyObject *args)
{
    struct guaco_slice spec, zone;
    Py_ssize_t spec_len, zone_len;
    long long after_ms;
    struct guaco_schedule *schedule = NULL;
    struct guaco_error err = {0};
    int64_t fire_ms = 0;
    int rc;

    if (!PyArg_ParseTuple(args, "s#s#L:schedule_next", &spec.at, &spec_len,
                          &zone.at, &zone_len, &after_ms))
        return NULL;
    spec.len = (size_t)spec_len;
    zone.len = (size_t)zone_len;
    Py_BEGIN_ALLOW_THREADS /* it may read the zone's file */
        rc = guaco_schedule_new(&schedule, spec, zone, NULL, &err);
    Py_END_ALLOW_THREADS if (rc == GUACO_E_MISSING || rc == GUACO_E_LIMIT) rc =
        GUACO_E_INVALID; /* to the caller an argument is wrong */
    if (rc < 0)
        return raise_from(module, rc, &err);
    rc = guaco_schedule_next(schedule, after_ms, &fire_ms);
    guaco_schedule_free(schedule);
    if (rc < 0)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(fire_ms);
}

/* ---- interruption ------------------------------------------------------ */

PyDoc_STRVAR(interrupt_thread_doc,
             "interrupt_thread($module, running, key, thread_id, exception,\n"
             "                 /)\n--\n\n"
             "Raise exception (a class) in a thread, if running[0] is key.\n\n"
             "The look and the raise are one step: running is only changed by\n"
             "threads that hold the GIL, which is not given up between.");

static PyObject *
interrupt_thread(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *running, *key, *exception;
    unsigned long thread_id;

    if (!PyArg_ParseTuple(args, "O!OkO:interrupt_thread", &PyList_Type,
                          &running, &key, &thread_id, &exception))
        return NULL;
    if (!PyLong_CheckExact(key) || PyList_GET_SIZE(running) != 1 ||
        !PyExceptionClass_Check(exception)) {
        PyErr_SetString(PyExc_TypeError, "interrupt_thread() arguments");
        return NULL;
    }
    PyObject *now = PyList_GET_ITEM(running, 0);
    if (!PyLong_CheckExact(now))
        Py_RETURN_FALSE;
    /* Two exact ints: the comparison runs no Python code. */
    int same = PyObject_RichCompareBool(now, key, Py_EQ);
    if (same < 0)
        return NULL;
    return PyBool_FromLong(same &&
                           PyThreadState_SetAsyncExc(thread_id, exception) > 0);
}

static PyObject *
own_pid(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(
        guaco__own_pid_get(&guaco_state_of(module)->own_pid));
}

static PyMethodDef functions[] = {
    {"crontab_spec", crontab_spec, METH_VARARGS, crontab_spec_doc},
    {"schedule_next", schedule_next, METH_VARARGS, schedule_next_doc},
    {"interrupt_thread", interrupt_thread, METH_VARARGS, interrupt_thread_doc},
    {"own_pid", own_pid, METH_NOARGS,
     "own_pid($module, /)\n--\n\nos.getpid() without the system call."},
    {NULL, NULL, 0, NULL},
};

int
guaco__queue_types_add(PyObject *module, struct guaco_state *st)
{
    if (guaco__codec_type_add(module, st) < 0 ||
        guaco__seal_type_add(module, st) < 0 ||
        guaco__mailbox_type_add(module, st) < 0 ||
        guaco__watch_type_add(module, st) < 0 ||
        guaco__broker_type_add(module, st) < 0 ||
        guaco__keeper_type_add(module, st) < 0 ||
        guaco__run_type_add(module, st) < 0 ||
        guaco__worker_type_add(module, st) < 0)
        return -1;
    if (PyModule_AddFunctions(module, guaco__steer_functions) < 0 ||
        PyModule_AddFunctions(module, guaco__key_functions) < 0 ||
        PyModule_AddFunctions(module, guaco__using_functions) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
