/* Lists among the options of a Server: the contract is in server_options.h. */

#include "server_options.h"

#include <stdbool.h>
#include <string.h>

typedef int
take_fn(void *ctx, struct guaco_slice text, struct guaco_error *err);

static int
take_text(PyObject *text, const char *name, take_fn *take, void *ctx)
{
    struct guaco_error err = {0};
    Py_ssize_t len;
    const char *at =
        PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &len) : NULL;

    if (at == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "%s has %R, which is no str", name,
                         text);
        return -1;
    }
    if (take(ctx, (struct guaco_slice){at, (size_t)len}, &err) == GUACO_OK)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s: %s", name, err.text);
    return -1;
}

/* Hand each text of options[name], a str or a sequence of str, to take(ctx). */
static int
each_text(PyObject *options, const char *name, take_fn *take, void *ctx)
{
    PyObject *value = PyDict_GetItemString(options, name);

    if (value == NULL || value == Py_None)
        return 0;
    if (PyUnicode_Check(value))
        return take_text(value, name, take, ctx);
    PyObject *list = PySequence_Fast(value, "a list of str is wanted");
    int rc = list == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(list); i++)
        rc = take_text(PySequence_Fast_GET_ITEM(list, i), name, take, ctx);
    Py_XDECREF(list);
    return rc;
}

static bool
flag(PyObject *options, const char *name, bool missing)
{
    PyObject *value = PyDict_GetItemString(options, name);

    return value == NULL || value == Py_None ? missing : value == Py_True;
}

/* options[name] is this text. */
static bool
says(PyObject *options, const char *name, const char *text)
{
    PyObject *value = PyDict_GetItemString(options, name);

    return value != NULL && PyUnicode_Check(value) &&
           PyUnicode_CompareWithASCIIString(value, text) == 0;
}

static int
take_trust(void *ctx, struct guaco_slice text, struct guaco_error *err)
{
    return guaco__trust_add(ctx, text, err);
}

static int
take_folder(void *ctx, struct guaco_slice text, struct guaco_error *err)
{
    return guaco__statics_add(ctx, text, err);
}

static int
take_index(void *ctx, struct guaco_slice text, struct guaco_error *err)
{
    return guaco__statics_set_index(ctx, text, err);
}

static int
read_statics(PyObject *options, struct guaco__statics *statics)
{
    PyObject *age = PyDict_GetItemString(options, "static_max_age");

    statics->hashes_are_for_ever = flag(options, "static_immutable", false);
    statics->has_dots = flag(options, "static_dotfiles", false);
    statics->has_siblings = flag(options, "static_precompressed", true);
    if (age != NULL && age != Py_None) {
        double seconds = PyFloat_AsDouble(age);
        if (seconds == -1.0 && PyErr_Occurred())
            return -1;
        if (!(seconds >= 0 && seconds <= INT32_MAX)) {
            PyErr_Format(PyExc_ValueError, "static_max_age=%R is out of range",
                         age);
            return -1;
        }
        statics->max_age_s = (int64_t)seconds;
    }
    if (each_text(options, "static_index", take_index, statics) < 0)
        return -1;
    return each_text(options, "static", take_folder, statics);
}

static int
take_types(void *ctx, struct guaco_slice text, struct guaco_error *err)
{
    return guaco__compression_add_types(ctx, text, err);
}

static int
read_compression(PyObject *options, struct guaco__compression *compression)
{
    PyObject *least = PyDict_GetItemString(options, "compress_min_bytes");

    compression->is_on = flag(options, "compress", false);
    if (least != NULL && least != Py_None) {
        Py_ssize_t bytes = PyNumber_AsSsize_t(least, PyExc_OverflowError);
        if (bytes == -1 && PyErr_Occurred())
            return -1;
        if (bytes < 0) {
            PyErr_Format(PyExc_ValueError,
                         "compress_min_bytes=%R is out of range", least);
            return -1;
        }
        compression->min_bytes = (size_t)bytes;
    }
    return each_text(options, "compress_type", take_types, compression);
}

int
guaco__py_front_options(PyObject *options, struct guaco__server_options *into)
{
    struct guaco__proxies *proxies = &into->proxies;

    if (each_text(options, "forwarded_allow_ips", take_trust,
                  &proxies->headers) < 0 ||
        each_text(options, "proxy_allow_from", take_trust, &proxies->protocol) <
            0)
        return -1;
    if (says(options, "forwarded_header", "forwarded"))
        proxies->family = GUACO__FORWARDED_RFC7239;
    if (read_compression(options, &into->compression) < 0 ||
        read_statics(options, &into->statics) < 0)
        return -1;
    proxies->reads_protocol = flag(options, "proxy_protocol", false);
    guaco__proxies_settle(proxies, flag(options, "proxy_headers", true));
    return 0;
}
