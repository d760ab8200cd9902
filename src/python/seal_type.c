/*
 * guaco._core.Seal: the Python face of struct guaco__seal.  In Python it would
 * read
 *
 *     class Seal:
 *         def __new__(cls, keys: tuple[tuple[bytes, bytes], ...],
 *                     encrypt: bool, /): ...
 *         def close(self, data: bytes, context: bytes, /) -> bytes: ...
 *         def open(self, data: bytes, context: bytes, /) -> bytes: ...
 *
 * The first of keys, (id, secret), seals; each of them opens.
 *
 * Threads: immutable after construction.
 */

#include "queue_types.h"

#include "base/seal.h"

typedef struct {
    PyObject_HEAD
    struct guaco__seal seal;
    struct guaco_state *st;
} SealObject;

static int
add_keys(SealObject *self, PyObject *keys)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keys); i++) {
        const char *id, *secret;
        Py_ssize_t id_len, secret_len;
        struct guaco_error err = {0};

        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(keys, i), "y#y#:Seal", &id,
                              &id_len, &secret, &secret_len))
            return -1;
        int rc = guaco__seal_add(
            &self->seal, (struct guaco_slice){id, (size_t)id_len},
            (struct guaco_slice){secret, (size_t)secret_len}, &err);
        if (rc < 0) {
            guaco_raise(self->st, rc, &err);
            return -1;
        }
    }
    return 0;
}

static PyObject *
seal_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *keys;
    int encrypt;

    if (!guaco__no_keywords("Seal", kwargs) ||
        !PyArg_ParseTuple(args, "O!p:Seal", &PyTuple_Type, &keys, &encrypt))
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keys); i++) {
        if (!PyTuple_Check(PyTuple_GET_ITEM(keys, i))) {
            PyErr_SetString(PyExc_TypeError, "a key is a tuple (id, secret)");
            return NULL;
        }
    }
    if (PyTuple_GET_SIZE(keys) == 0) {
        PyErr_SetString(PyExc_ValueError, "a seal needs a key");
        return NULL;
    }
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    SealObject *self = (SealObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->st = guaco_state_of(module);
    guaco__seal_init(&self->seal, encrypt != 0);
    if (add_keys(self, keys) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
seal_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
seal_dealloc(SealObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    guaco__seal_release(&self->seal);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
fail(const SealObject *self, int rc)
{
    struct guaco_error err = {0};

    switch (rc) {
    case GUACO_E_PROTO:
        PyErr_SetString(self->st->PayloadError,
                        "not a payload: its seal is not ours, or it was "
                        "changed or moved");
        return NULL;
    case GUACO_E_MISSING:
        PyErr_SetString(self->st->PayloadError,
                        "not a payload: it is sealed by a key that this "
                        "process does not have");
        return NULL;
    default:
        guaco_fail(&err, rc, 0, "sealing");
        return guaco_raise(self->st, rc, &err);
    }
}

/* (data, context) as slices, borrowed from the arguments. */
static int
two_bytes(PyObject *const *args, Py_ssize_t nargs, struct guaco_slice out[2])
{
    if (nargs != 2 || !PyBytes_Check(args[0]) || !PyBytes_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "data and context, both bytes");
        return -1;
    }
    for (int i = 0; i < 2; i++)
        out[i] = (struct guaco_slice){PyBytes_AS_STRING(args[i]),
                                      (size_t)PyBytes_GET_SIZE(args[i])};
    return 0;
}

PyDoc_STRVAR(seal_close_doc,
             "close($self, data, context, /)\n--\n\n"
             "data, sealed: open() with the same context gives it back.");

static PyObject *
seal_close(SealObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct guaco_slice in[2];

    if (two_bytes(args, nargs, in) < 0)
        return NULL;
    size_t len = guaco__seal_bytes(&self->seal, in[0].len);
    PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
    if (out == NULL)
        return NULL;
    int rc = guaco__seal_close(&self->seal, in[1], in[0],
                               (unsigned char *)PyBytes_AS_STRING(out));
    if (rc < 0) {
        Py_DECREF(out);
        return fail(self, rc);
    }
    return out;
}

PyDoc_STRVAR(seal_open_doc,
             "open($self, data, context, /)\n--\n\n"
             "What was sealed; PayloadError unless one of the keys sealed it,\n"
             "with this context.");

static PyObject *
seal_open(SealObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct guaco_slice in[2];
    size_t len = 0;

    if (two_bytes(args, nargs, in) < 0)
        return NULL;
    PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)in[0].len);
    if (out == NULL)
        return NULL;
    int rc = guaco__seal_open(&self->seal, in[1], in[0],
                              (unsigned char *)PyBytes_AS_STRING(out), &len);
    if (rc < 0) {
        Py_DECREF(out);
        return fail(self, rc);
    }
    if (_PyBytes_Resize(&out, (Py_ssize_t)len) < 0)
        return NULL;
    return out;
}

static PyMethodDef seal_methods[] = {
    {"close", (PyCFunction)(void (*)(void))seal_close, METH_FASTCALL,
     seal_close_doc},
    {"open", (PyCFunction)(void (*)(void))seal_open, METH_FASTCALL,
     seal_open_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot seal_slots[] = {
    {Py_tp_doc, (void *)"Signs or encrypts payloads, and opens them."},
    {Py_tp_new, seal_new},
    {Py_tp_dealloc, seal_dealloc},
    {Py_tp_traverse, seal_traverse},
    {Py_tp_methods, seal_methods},
    {0, NULL},
};

static PyType_Spec seal_spec = {
    .name = "guaco._core.Seal",
    .basicsize = sizeof(SealObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = seal_slots,
};

int
guaco__seal_type_add(PyObject *module, struct guaco_state *st)
{
    st->SealType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &seal_spec, NULL);
    if (st->SealType == NULL)
        return -1;
    return PyModule_AddType(module, st->SealType);
}
