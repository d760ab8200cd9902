/*
 * Functions of guaco._core for small data under a name and for locks, both of
 * guaco/key.h.  Each takes a Broker first; only guaco.queue calls them.
 */

#include "queue_types.h"

#include <stdlib.h>

#include "guaco/key.h"

/* ---- keys -------------------------------------------------------------- */

PyDoc_STRVAR(key_put_doc,
             "key_put($module, broker, key, value, ttl_ms, if_empty, /)\n"
             "--\n\n"
             "Store bytes; whether the key had some (with if_empty it then\n"
             "keeps them).");

static PyObject *
key_put(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *key, *value;
    Py_ssize_t key_len, value_len;
    unsigned long long ttl_ms;
    int if_empty;

    if (!PyArg_ParseTuple(args, "Os#y#Kp:key_put", &broker, &key, &key_len,
                          &value, &value_len, &ttl_ms, &if_empty) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    bool was = false;
    int rc = guaco_key_put(call.open, guaco__slice_of(key, key_len),
                           guaco__slice_of(value, value_len), ttl_ms,
                           if_empty != 0, &was, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    return PyBool_FromLong(was);
}

PyDoc_STRVAR(key_get_doc,
             "key_get($module, broker, key, take, timeout_ms, /)\n--\n\n"
             "The bytes of a key, waited for at most timeout_ms; None: there\n"
             "are none.  take removes them.");

static PyObject *
key_get(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *key;
    Py_ssize_t key_len;
    int take;
    long long timeout_ms;

    if (!PyArg_ParseTuple(args, "Os#pL:key_get", &broker, &key, &key_len, &take,
                          &timeout_ms) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    char *value = NULL;
    size_t len = 0;
    int rc = guaco_key_get(call.open, guaco__slice_of(key, key_len), take != 0,
                           timeout_ms, &value, &len, &call.err);
    bool is_none =
        rc == GUACO_E_MISSING || (rc == GUACO_E_TIMEOUT && timeout_ms > 0);
    if (!guaco__call_end(&call, is_none ? GUACO_OK : rc))
        return NULL;
    if (is_none)
        Py_RETURN_NONE;
    PyObject *bytes = PyBytes_FromStringAndSize(value, (Py_ssize_t)len);
    free(value);
    return bytes;
}

PyDoc_STRVAR(key_drop_doc, "key_drop($module, broker, key, /)\n--\n\n"
                           "Remove a key; whether it was there.");

static PyObject *
key_drop(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *key;
    Py_ssize_t key_len;

    if (!PyArg_ParseTuple(args, "Os#:key_drop", &broker, &key, &key_len) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    bool was = false;
    int rc = guaco_key_drop(call.open, guaco__slice_of(key, key_len), &was,
                            &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    return PyBool_FromLong(was);
}

PyDoc_STRVAR(key_add_doc,
             "key_add($module, broker, key, amount, ttl_ms, /)\n--\n\n"
             "Add to a counter; the sum.");

static PyObject *
key_add(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *key;
    Py_ssize_t key_len;
    long long amount;
    unsigned long long ttl_ms;

    if (!PyArg_ParseTuple(args, "Os#LK:key_add", &broker, &key, &key_len,
                          &amount, &ttl_ms) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    int64_t sum = 0;
    int rc = guaco_key_add(call.open, guaco__slice_of(key, key_len), amount,
                           ttl_ms, &sum, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    return PyLong_FromLongLong(sum);
}

/* ---- locks ------------------------------------------------------------- */

PyDoc_STRVAR(
    lock_take_doc,
    "lock_take($module, broker, name, slots, lease_ms, timeout_ms, /)\n"
    "--\n\n"
    "Take a lock; its token, or 0 when it was not free in time.");

static PyObject *
lock_take(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *name;
    Py_ssize_t name_len;
    struct guaco_lock lock = {0};
    long long timeout_ms;

    if (!PyArg_ParseTuple(args, "Os#IIL:lock_take", &broker, &name, &name_len,
                          &lock.slots, &lock.lease_ms, &timeout_ms))
        return NULL;
    lock.name = guaco__slice_of(name, name_len);
    if (!guaco__call_begin(&call, module, broker))
        return NULL;
    int rc = guaco_lock_take(call.open, &lock, timeout_ms, &call.err);
    bool is_held =
        rc == GUACO_E_AGAIN || (rc == GUACO_E_TIMEOUT && timeout_ms > 0);
    if (!guaco__call_end(&call, is_held ? GUACO_OK : rc))
        return NULL;
    return PyLong_FromUnsignedLongLong(is_held ? 0 : lock.token);
}

/* (broker, name, slots, lease_ms, token) given to one of two calls. */
static PyObject *
with_lock(PyObject *module, PyObject *args,
          int (*verb)(struct guaco_broker *, const struct guaco_lock *,
                      struct guaco_error *))
{
    struct guaco__call call;
    PyObject *broker;
    const char *name;
    Py_ssize_t name_len;
    struct guaco_lock lock = {0};
    unsigned long long token;

    if (!PyArg_ParseTuple(args, "Os#IIK", &broker, &name, &name_len,
                          &lock.slots, &lock.lease_ms, &token))
        return NULL;
    lock.name = guaco__slice_of(name, name_len);
    lock.token = token;
    if (!guaco__call_begin(&call, module, broker))
        return NULL;
    int rc = verb(call.open, &lock, &call.err);
    if (!guaco__call_end(&call, rc == GUACO_E_LOST ? GUACO_OK : rc))
        return NULL;
    return PyBool_FromLong(rc == GUACO_OK);
}

static PyObject *
lock_renew(PyObject *module, PyObject *args)
{
    return with_lock(module, args, guaco_lock_renew);
}

static PyObject *
lock_free(PyObject *module, PyObject *args)
{
    return with_lock(module, args, guaco_lock_free);
}

PyDoc_STRVAR(lock_holders_doc,
             "lock_holders($module, broker, name, clear, /)\n--\n\n"
             "How many hold a lock; clear: they do so no more.");

static PyObject *
lock_holders(PyObject *module, PyObject *args)
{
    struct guaco__call call;
    PyObject *broker;
    const char *name;
    Py_ssize_t name_len;
    int clear;

    if (!PyArg_ParseTuple(args, "Os#p:lock_holders", &broker, &name, &name_len,
                          &clear) ||
        !guaco__call_begin(&call, module, broker))
        return NULL;
    uint32_t holders = 0;
    int rc = guaco_lock_holders(call.open, guaco__slice_of(name, name_len),
                                clear != 0, &holders, &call.err);
    if (!guaco__call_end(&call, rc))
        return NULL;
    return PyLong_FromUnsignedLong(holders);
}

PyMethodDef guaco__key_functions[] = {
    {"key_put", key_put, METH_VARARGS, key_put_doc},
    {"key_get", key_get, METH_VARARGS, key_get_doc},
    {"key_drop", key_drop, METH_VARARGS, key_drop_doc},
    {"key_add", key_add, METH_VARARGS, key_add_doc},
    {"lock_take", lock_take, METH_VARARGS, lock_take_doc},
    {"lock_renew", lock_renew, METH_VARARGS,
     "lock_renew($module, broker, name, slots, lease_ms, token, /)\n--\n\n"
     "Begin the lease anew; False: it had ended."},
    {"lock_free", lock_free, METH_VARARGS,
     "lock_free($module, broker, name, slots, lease_ms, token, /)\n--\n\n"
     "Free it; False: the lease had ended."},
    {"lock_holders", lock_holders, METH_VARARGS, lock_holders_doc},
    {NULL, NULL, 0, NULL},
};
