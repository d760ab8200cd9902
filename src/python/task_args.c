/* The values of Broker.put() as a struct guaco_task: contract in
 * queue_types.h.  Ranges that the broker checks are not checked twice. */

#include "queue_types.h"

#include <stdlib.h>

int
guaco__text_of(PyObject *value, struct guaco_slice *slice)
{
    Py_ssize_t len;

    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "a name must be str, not %.100s",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    slice->at = PyUnicode_AsUTF8AndSize(value, &len);
    if (slice->at == NULL)
        return -1;
    slice->len = (size_t)len;
    return 0;
}

static int
slice_of_bytes(PyObject *value, struct guaco_slice *slice)
{
    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "a payload must be bytes, not %.100s",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    slice->at = PyBytes_AS_STRING(value);
    slice->len = (size_t)PyBytes_GET_SIZE(value);
    return 0;
}

static int
number_of(PyObject *value, long long least, long long most, long long *number)
{
    *number = PyLong_AsLongLong(value);
    if (*number == -1 && PyErr_Occurred())
        return -1;
    if (*number < least || *number > most) {
        PyErr_Format(PyExc_ValueError, "%lld is not in %lld to %lld", *number,
                     least, most);
        return -1;
    }
    return 0;
}

static int
limit_from_tuple(PyObject *item, struct guaco_limit *limit)
{
    Py_ssize_t len;

    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "a limit is a tuple of 6 values");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "s#IIKII:limit", &limit->key.at, &len,
                          &limit->running_max, &limit->rate_count,
                          &limit->rate_period_ms, &limit->rate_burst,
                          &limit->cost))
        return -1;
    limit->key.len = (size_t)len;
    return 0;
}

static int
rules_from_tuple(PyObject *value, struct guaco_rules *rules)
{
    PyObject *limits;
    Py_ssize_t len;
    int until, replace, must_succeed;
    unsigned long long unique_ms, id;

    if (!PyTuple_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "rules are a tuple of 8 values");
        return -1;
    }
    *rules = (struct guaco_rules){0};
    if (!PyArg_ParseTuple(value, "s#iKpO!IpK:rules", &rules->unique.at, &len,
                          &until, &unique_ms, &replace, &PyTuple_Type, &limits,
                          &rules->joins, &must_succeed, &id))
        return -1;
    if (PyTuple_GET_SIZE(limits) > GUACO_LIMITS_MAX) {
        PyErr_Format(PyExc_ValueError, "a task has at most %d limits",
                     GUACO_LIMITS_MAX);
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(limits); i++) {
        if (limit_from_tuple(PyTuple_GET_ITEM(limits, i), &rules->limits[i]) <
            0)
            return -1;
    }
    rules->unique.len = (size_t)len;
    rules->unique_until = (enum guaco_unique_until)until;
    rules->unique_ms = unique_ms;
    rules->unique_replace = replace != 0;
    rules->joins_must_succeed = must_succeed != 0;
    rules->id = id;
    return 0;
}

int
guaco__task_from_args(PyObject *const *args, struct guaco_task *task,
                      struct guaco_rules *rules)
{
    long long n[10];

    *task = (struct guaco_task){0};
    if (guaco__text_of(args[0], &task->queue) < 0 ||
        guaco__text_of(args[1], &task->name) < 0 ||
        slice_of_bytes(args[2], &task->headers) < 0 ||
        slice_of_bytes(args[3], &task->body) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        if (number_of(args[4 + i], 0, LLONG_MAX, &n[i]) < 0)
            return -1;
    }
    if (number_of(args[6], -GUACO_TASK_PRIORITY_MAX, GUACO_TASK_PRIORITY_MAX,
                  &n[2]) < 0)
        return -1;
    for (int i = 3; i < 10; i++) {
        if (number_of(args[4 + i], 0, UINT32_MAX, &n[i]) < 0)
            return -1;
    }
    task->due_ms = n[0];
    task->expires_ms = n[1];
    task->priority = (int32_t)n[2];
    task->retries = (uint32_t)n[3];
    task->retry_delay_ms = (uint32_t)n[4];
    task->retry_backoff_percent = (uint32_t)n[5];
    task->timeout_ms = (uint32_t)n[6];
    task->result_ttl_s = (uint32_t)n[7];
    task->retry_delay_max_ms = (uint32_t)n[8];
    task->retry_jitter_percent = (uint32_t)n[9];
    if (args[14] == Py_None)
        return 0;
    if (rules_from_tuple(args[14], rules) < 0)
        return -1;
    task->rules = rules;
    return 0;
}

void
guaco__task_list_release(struct guaco__task_list *list)
{
    free(list->tasks);
    free(list->rules);
    free(list->existed);
}

int
guaco__task_list_init(struct guaco__task_list *list, PyObject *sequence)
{
    size_t n = (size_t)PySequence_Fast_GET_SIZE(sequence);

    *list = (struct guaco__task_list){
        .tasks = calloc(n + 1, sizeof *list->tasks),
        .rules = calloc(n + 1, sizeof *list->rules),
        .existed = calloc(n + 1, sizeof *list->existed),
        .n = n,
    };
    if (list->tasks == NULL || list->rules == NULL || list->existed == NULL) {
        PyErr_NoMemory();
        goto fail;
    }
    for (size_t i = 0; i < n; i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(sequence, (Py_ssize_t)i);
        if (!PyTuple_CheckExact(item) ||
            PyTuple_GET_SIZE(item) != GUACO__TASK_ARGS) {
            PyErr_Format(PyExc_TypeError, "a task is a tuple of %d values",
                         GUACO__TASK_ARGS);
            goto fail;
        }
        if (guaco__task_from_args(&PyTuple_GET_ITEM(item, 0), &list->tasks[i],
                                  &list->rules[i]) < 0)
            goto fail;
        list->rules[i].existed = &list->existed[i];
    }
    return 0;
fail:
    guaco__task_list_release(list);
    return -1;
}

PyObject *
guaco__put_id(uint64_t id, bool existed)
{
    long long number = (long long)id; /* below 2^62, all of them */

    return PyLong_FromLongLong(existed ? -number : number);
}
