/*
 * wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling").
 * In Python it would read
 *
 *     class FileWrapper:
 *         def __init__(self, filelike, block_size=8192): ...
 *         def __iter__(self): return self
 *         def __next__(self):
 *             data = self.filelike.read(self.block_size)
 *             if not data: raise StopIteration
 *             return data
 *         def close(self): self.filelike.close()     # if it has one
 *
 * Returned as it is around a regular file, it is sent by sendfile.
 */

#include "wsgi.h"

#include <sys/stat.h>

#include "module.h"

typedef struct {
    PyObject_HEAD
    PyObject *filelike;
    Py_ssize_t block_size;
} FileWrapperObject;

bool
guaco__file_wrapper_span(const struct guaco__gateway_state *gw,
                         PyObject *wrapper, int *fd, off_t *offset,
                         uint64_t *count)
{
    PyObject *file = ((FileWrapperObject *)wrapper)->filelike;
    struct stat status;
    long long at = -1;

    *fd = file == NULL ? -1 : PyObject_AsFileDescriptor(file);
    if (*fd >= 0) {
        PyObject *position = PyObject_CallMethodNoArgs(file, gw->t_tell);
        at = position == NULL ? -1 : PyLong_AsLongLong(position);
        Py_XDECREF(position);
    }
    PyErr_Clear(); /* not a file of the system: it is read instead */
    if (at < 0 || fstat(*fd, &status) < 0 || !S_ISREG(status.st_mode))
        return false;
    *offset = (off_t)at;
    *count =
        status.st_size > *offset ? (uint64_t)(status.st_size - *offset) : 0;
    return true;
}

static PyObject *
wrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t block_size = 8192;
    PyObject *filelike;

    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "FileWrapper() takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O|n:FileWrapper", &filelike, &block_size))
        return NULL;
    if (block_size <= 0) {
        PyErr_SetString(PyExc_ValueError, "block_size must be positive");
        return NULL;
    }
    FileWrapperObject *self = (FileWrapperObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->filelike = Py_NewRef(filelike);
    self->block_size = block_size;
    return (PyObject *)self;
}

static PyObject *
wrapper_next(FileWrapperObject *self)
{
    PyObject *data =
        PyObject_CallMethod(self->filelike, "read", "n", self->block_size);
    if (data == NULL)
        return NULL;
    int truth = PyObject_IsTrue(data);
    if (truth <= 0)
        Py_CLEAR(data);
    return data;
}

static PyObject *
wrapper_close(FileWrapperObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *method = PyObject_GetAttrString(self->filelike, "close");
    if (method == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return NULL;
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *done = PyObject_CallNoArgs(method);
    Py_DECREF(method);
    return done;
}

/* ---- table -------------------------------------------------------------- */

static int
wrapper_traverse(FileWrapperObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->filelike);
    return 0;
}

static int
wrapper_clear(FileWrapperObject *self)
{
    Py_CLEAR(self->filelike);
    return 0;
}

static void
wrapper_dealloc(FileWrapperObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    wrapper_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef wrapper_methods[] = {
    {"close", (PyCFunction)wrapper_close, METH_NOARGS,
     "close($self, /)\n--\n\nClose the file."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef wrapper_members[] = {
    {"filelike", T_OBJECT_EX, offsetof(FileWrapperObject, filelike), READONLY,
     NULL},
    {"block_size", T_PYSSIZET, offsetof(FileWrapperObject, block_size),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot wrapper_slots[] = {
    {Py_tp_doc,
     (void *)"FileWrapper(filelike, block_size=8192, /)\n--\n\n"
             "An iterable over a file (wsgi.file_wrapper of PEP 3333)."},
    {Py_tp_new, wrapper_new},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_clear, wrapper_clear},
    {Py_tp_methods, wrapper_methods},
    {Py_tp_members, wrapper_members},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, wrapper_next},
    {0, NULL},
};

static PyType_Spec wrapper_spec = {
    .name = "guaco._core.FileWrapper",
    .basicsize = sizeof(FileWrapperObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = wrapper_slots,
};

int
guaco__file_wrapper_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.FileWrapperType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &wrapper_spec, NULL);
    return st->gateway.FileWrapperType == NULL ? -1 : 0;
}
