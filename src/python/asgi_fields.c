/*
 * Headers of a message, an iterable of two-item iterables of bytes, turned
 * into the fields of the waist.  Lists and tuples are read in place: no Python
 * code runs between here and the answer call, which copies, so that borrowed
 * pointers are good.  Anything else is first collected into lists.
 */

#include "asgi.h"

#include "module.h"

static bool
is_plain(PyObject *object)
{
    return PyList_CheckExact(object) || PyTuple_CheckExact(object);
}

/* A list of tuples out of any iterable of iterables. */
static PyObject *
collect(PyObject *headers)
{
    PyObject *list = PySequence_List(headers);
    if (list == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *pair = PySequence_Tuple(PyList_GET_ITEM(list, i));
        if (pair == NULL || PyList_SetItem(list, i, pair) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

/* Replace fields->held by its collected twin unless it can be read in place. */
static int
normalize(struct guaco__asgi_fields *fields)
{
    bool plain = is_plain(fields->held);

    if (plain) {
        PyObject **items = PySequence_Fast_ITEMS(fields->held);
        for (Py_ssize_t i = 0; i < Py_SIZE(fields->held); i++)
            plain = plain && is_plain(items[i]);
    }
    if (!plain) {
        PyObject *list = collect(fields->held);
        if (list == NULL)
            return -1;
        Py_SETREF(fields->held, list);
    }
    return 0;
}

static int
read_pair(PyObject *pair, struct guaco_field *field)
{
    if (Py_SIZE(pair) != 2) {
        PyErr_SetString(PyExc_ValueError,
                        "each header must be a pair of name and value");
        return -1;
    }
    PyObject **items = PySequence_Fast_ITEMS(pair);
    if (!PyBytes_Check(items[0]) || !PyBytes_Check(items[1])) {
        PyErr_Format(PyExc_TypeError,
                     "header names and values must be bytes, not %.100s",
                     Py_TYPE(items[PyBytes_Check(items[0])])->tp_name);
        return -1;
    }
    field->name.at = PyBytes_AS_STRING(items[0]);
    field->name.len = (size_t)PyBytes_GET_SIZE(items[0]);
    field->value.at = PyBytes_AS_STRING(items[1]);
    field->value.len = (size_t)PyBytes_GET_SIZE(items[1]);
    return 0;
}

int
guaco__asgi_fields_read(struct guaco__asgi_fields *fields, PyObject *headers)
{
    fields->at = fields->local;
    fields->count = 0;
    fields->held = NULL;
    if (headers == NULL)
        return 0;

    fields->held = Py_NewRef(headers);
    if (normalize(fields) < 0)
        return -1;
    size_t count = (size_t)Py_SIZE(fields->held);
    if (count > GUACO__ASGI_FIELDS_MAX) {
        PyErr_Format(PyExc_ValueError, "more than %d headers",
                     GUACO__ASGI_FIELDS_MAX);
        return -1;
    }
    if (count > GUACO__ASGI_FIELDS_LOCAL) {
        fields->at = PyMem_Malloc(count * sizeof *fields->at);
        if (fields->at == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    PyObject **items = PySequence_Fast_ITEMS(fields->held);
    for (; fields->count < count; fields->count++)
        if (read_pair(items[fields->count], &fields->at[fields->count]) < 0)
            return -1;
    return 0;
}

void
guaco__asgi_fields_release(struct guaco__asgi_fields *fields)
{
    if (fields->at != fields->local)
        PyMem_Free(fields->at);
    fields->at = NULL;
    Py_CLEAR(fields->held);
}

static PyObject *
text_of(struct guaco_slice slice)
{
    return PyBytes_FromStringAndSize(
        slice.at, (Py_ssize_t)(slice.len < 200 ? slice.len : 200));
}

int
guaco__asgi_fields_blame(const struct guaco__asgi_fields *fields,
                         const char *what)
{
    for (size_t i = 0; i < fields->count; i++) {
        struct guaco_slice name = fields->at[i].name;
        struct guaco_slice value = fields->at[i].value;

        if (guaco__is_token(name) && guaco__is_field_value(value))
            continue;
        PyObject *shown = text_of(guaco__is_token(name) ? value : name);
        if (shown != NULL)
            PyErr_Format(PyExc_ValueError, "%s: header %s %R cannot be sent",
                         what, guaco__is_token(name) ? "value" : "name", shown);
        Py_XDECREF(shown);
        return -1;
    }
    PyErr_Format(PyExc_ValueError, "%s: the status or a header cannot be sent",
                 what);
    return -1;
}
