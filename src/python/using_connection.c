/*
 * The sqlite3 that a sqlite3.Connection of Python's own module wraps.
 *
 * Where in the object it is kept is no interface, so it is looked for once: our
 * copy of the SQLite library tells the address of what a connection of that
 * module opens, if it is the same copy, and the object has that address
 * somewhere in it.
 */

#include "queue_types.h"

#include <string.h>

#include "guaco/using.h"
#include "queue/using.h"

PyDoc_STRVAR(
    using_addresses_doc,
    "using_addresses($module, on, /)\n--\n\n"
    "While on, each connection that this SQLite library opens has the\n"
    "SQL function guaco_address().");

static PyObject *
using_addresses(PyObject *module, PyObject *on)
{
    int is_on = PyObject_IsTrue(on);

    if (is_on < 0)
        return NULL;
    int rc = guaco__sqlite_addresses(is_on != 0);
    if (rc < 0)
        return guaco_raise(guaco_state_of(module), rc, NULL);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(using_learn_doc,
             "using_learn($module, type, connection, address, /)\n--\n\n"
             "Learn where connections of this type keep their sqlite3, from\n"
             "one whose address is known; False: it is not there.");

static PyObject *
using_learn(PyObject *module, PyObject *args)
{
    struct guaco_state *st = guaco_state_of(module);
    PyTypeObject *type;
    PyObject *connection;
    long long address;

    if (!PyArg_ParseTuple(args, "O!OL:using_learn", &PyType_Type, &type,
                          &connection, &address))
        return NULL;
    if (!Py_IS_TYPE(connection, type)) {
        PyErr_SetString(PyExc_TypeError, "a connection of that very type");
        return NULL;
    }
    const char *object = (const char *)connection;
    for (Py_ssize_t at = (Py_ssize_t)sizeof(PyObject);
         at + (Py_ssize_t)sizeof(void *) <= type->tp_basicsize;
         at += (Py_ssize_t)sizeof(void *)) {
        void *here;
        memcpy(&here, object + at, sizeof here);
        if ((long long)(intptr_t)here != address)
            continue;
        Py_XSETREF(st->ConnectionType, (PyTypeObject *)Py_NewRef(type));
        st->connection_offset = at;
        Py_RETURN_TRUE;
    }
    Py_RETURN_FALSE;
}

int
guaco__using_of(const struct guaco_state *st, PyObject *connection,
                PyObject *commits, struct guaco_using *use)
{
    int is_true = PyObject_IsTrue(commits);

    if (is_true < 0)
        return -1;
    if (st->ConnectionType == NULL ||
        !PyObject_TypeCheck(connection, st->ConnectionType)) {
        PyErr_Format(PyExc_TypeError, "no sqlite3.Connection: %.100s",
                     Py_TYPE(connection)->tp_name);
        return -1;
    }
    memcpy(&use->connection, (const char *)connection + st->connection_offset,
           sizeof use->connection);
    use->commits = is_true != 0;
    if (use->connection != NULL)
        return 0;
    PyErr_SetString(st->Error, "the connection is closed");
    return -1;
}

PyMethodDef guaco__using_functions[] = {
    {"using_addresses", using_addresses, METH_O, using_addresses_doc},
    {"using_learn", using_learn, METH_VARARGS, using_learn_doc},
    {NULL, NULL, 0, NULL},
};
