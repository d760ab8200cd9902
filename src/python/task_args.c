/* The values of Broker.put() as a struct guaco_task: contract in
 * queue_types.h.  Ranges that the broker checks are not checked twice. */

#include "queue_types.h"

static int
slice_of_text(PyObject *value, struct guaco_slice *slice)
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

int
guaco__task_from_args(PyObject *const *args, struct guaco_task *task)
{
    long long n[8];

    *task = (struct guaco_task){0};
    if (slice_of_text(args[0], &task->queue) < 0 ||
        slice_of_text(args[1], &task->name) < 0 ||
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
    for (int i = 3; i < 8; i++) {
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
    return 0;
}
