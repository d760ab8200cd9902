/*
 * guaco._core.Handle: a callback waiting to be run.  In Python it would read
 *
 *     class Handle:
 *         def cancel(self) -> None: ...
 *         def cancelled(self) -> bool: ...
 *         def get_context(self) -> contextvars.Context: ...
 *
 * It shares no layout with asyncio.Handle, whose eight slots would double its
 * cost, but says that it is one: isinstance() asks __class__, and repr() is
 * the standard library's, which reads the private attributes below.
 *
 * A handle whose last reference is the loop's goes to a pool once it has run.
 *
 * Threads: the interpreter's lock; cancel() of a threadsafe one lets go of it
 * to wait for the callback that runs.
 */

#include "loop_int.h"

#include <structmember.h>

enum { POOL_MAX = 256 };

/* ---- life ---- */

int
guaco__handle_init(HandleObject *handle, LoopObject *loop,
                   const struct guaco__call *call)
{
    Py_ssize_t nargs = call->nargs - 1;

    if (nargs > GUACO__HANDLE_ARGS) {
        handle->args_tuple = PyTuple_New(nargs);
        if (handle->args_tuple == NULL)
            return -1;
        for (Py_ssize_t i = 0; i < nargs; i++)
            PyTuple_SET_ITEM(handle->args_tuple, i,
                             Py_NewRef(call->args[i + 1]));
    } else {
        for (Py_ssize_t i = 0; i < nargs; i++)
            handle->args[i] = Py_NewRef(call->args[i + 1]);
        handle->nargs = (unsigned char)nargs;
    }
    handle->context = call->context != NULL ? Py_NewRef(call->context)
                                            : PyContext_CopyCurrent();
    if (handle->context == NULL)
        return -1;
    handle->callback = Py_NewRef(call->args[0]);
    handle->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    if (!loop->is_debug)
        return 0;
    handle->source_traceback =
        PyObject_CallNoArgs(loop->st->loop.extract_stack);
    return handle->source_traceback == NULL ? -1 : 0;
}

HandleObject *
guaco__handle_new(LoopObject *loop, const struct guaco__call *call)
{
    struct guaco__loop_state *ls = &loop->st->loop;
    HandleObject *handle = ls->free_handles;

    if (handle != NULL) {
        ls->free_handles = (HandleObject *)handle->args[0];
        ls->free_handle_count--;
        handle->args[0] = NULL;
        PyObject_Init((PyObject *)handle, ls->HandleType);
    } else {
        handle = PyObject_GC_New(HandleObject, ls->HandleType);
        if (handle == NULL)
            return NULL;
        memset((char *)handle + sizeof(PyObject), 0,
               sizeof(*handle) - sizeof(PyObject));
    }
    int rc = guaco__handle_init(handle, loop, call);
    PyObject_GC_Track((PyObject *)handle);
    if (rc < 0)
        Py_CLEAR(handle);
    return handle;
}

int
guaco__handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    HandleObject *handle = (HandleObject *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(handle->loop);
    Py_VISIT(handle->callback);
    Py_VISIT(handle->context);
    for (int i = 0; i < handle->nargs; i++)
        Py_VISIT(handle->args[i]);
    Py_VISIT(handle->args_tuple);
    Py_VISIT(handle->source_traceback);
    return 0;
}

static void
drop_call(HandleObject *handle)
{
    int nargs = handle->nargs;

    handle->nargs = 0;
    Py_CLEAR(handle->callback);
    for (int i = 0; i < nargs; i++)
        Py_CLEAR(handle->args[i]);
    Py_CLEAR(handle->args_tuple);
}

int
guaco__handle_clear(PyObject *self)
{
    HandleObject *handle = (HandleObject *)self;

    drop_call(handle);
    Py_CLEAR(handle->context);
    Py_CLEAR(handle->loop);
    Py_CLEAR(handle->source_traceback);
    Py_CLEAR(handle->kept_repr);
    return 0;
}

/*
 * The pool takes the memory of a handle, emptied, untracked and without its
 * reference to the type.  The handle may hold the last reference to the loop;
 * the type keeps the module, and so the pool, until the end.
 */
static void
handle_dealloc(PyObject *self)
{
    HandleObject *handle = (HandleObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    struct guaco__loop_state *ls =
        handle->loop != NULL ? &handle->loop->st->loop : NULL;

    PyObject_GC_UnTrack(self);
    if (handle->weakrefs != NULL)
        PyObject_ClearWeakRefs(self);
    (void)guaco__handle_clear(self);
    handle->is_cancelled = false;
    handle->is_threadsafe = false;
    if (ls != NULL && type == ls->HandleType &&
        ls->free_handle_count < POOL_MAX) {
        handle->args[0] = (PyObject *)ls->free_handles;
        ls->free_handles = handle;
        ls->free_handle_count++;
    } else {
        PyObject_GC_Del(self);
    }
    Py_DECREF(type);
}

void
guaco__handle_pool_clear(struct guaco__loop_state *ls)
{
    HandleObject *handle = ls->free_handles;

    ls->free_handles = NULL;
    ls->free_handle_count = 0;
    while (handle != NULL) {
        HandleObject *next = (HandleObject *)handle->args[0];
        PyObject_GC_Del(handle);
        handle = next;
    }
}

/* ---- running and cancelling ---- */

static PyObject *
call_tuple(PyObject *callback, PyObject *args)
{
    Py_INCREF(args);
    PyObject *result = PyObject_Call(callback, args, NULL);
    Py_DECREF(args);
    return result;
}

/* The callback may cancel its own handle: what is called is kept. */
static PyObject *
call_kept(HandleObject *handle)
{
    PyObject *args[1 + GUACO__HANDLE_ARGS] = {NULL};
    PyObject *callback = Py_NewRef(handle->callback);
    size_t nargs = handle->nargs;
    PyObject *result;

    if (handle->args_tuple != NULL) {
        result = call_tuple(callback, handle->args_tuple);
        Py_DECREF(callback);
        return result;
    }
    for (size_t i = 0; i < nargs; i++)
        args[1 + i] = Py_NewRef(handle->args[i]);
    result = PyObject_Vectorcall(callback, args + 1,
                                 nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    for (size_t i = 0; i < nargs; i++)
        Py_DECREF(args[1 + i]);
    Py_DECREF(callback);
    return result;
}

PyObject *
guaco__handle_call(HandleObject *handle)
{
    PyObject *context = Py_NewRef(handle->context);
    PyObject *result = NULL;

    if (PyContext_Enter(context) == 0) {
        struct guaco__board_slot *slot =
            handle->loop != NULL ? handle->loop->slot : NULL;
        TagObject *tag =
            slot != NULL ? guaco__py_board_step(handle->loop->st, slot) : NULL;
        result = call_kept(handle);
        if (slot != NULL)
            guaco__py_board_stepped(tag, slot);
        if (PyContext_Exit(context) < 0)
            Py_CLEAR(result);
    }
    Py_DECREF(context);
    return result;
}

int
guaco__handle_cancel(HandleObject *handle)
{
    if (handle->is_cancelled)
        return 0;
    if (handle->loop != NULL && handle->loop->is_debug) {
        handle->kept_repr = PyObject_Repr((PyObject *)handle);
        if (handle->kept_repr == NULL)
            return -1;
    }
    handle->is_cancelled = true;
    drop_call(handle);
    return 0;
}

/* Wait until a callback that runs on the loop's thread has returned. */
static void
wait_for_callback(LoopObject *loop)
{
    Py_BEGIN_ALLOW_THREADS pthread_mutex_lock(&loop->threadsafe_lock);
    pthread_mutex_unlock(&loop->threadsafe_lock);
    Py_END_ALLOW_THREADS
}

static void
wait_if_running(HandleObject *handle)
{
    LoopObject *loop = handle->loop;

    if (!handle->is_running || loop == NULL ||
        loop->thread_id == PyThread_get_thread_ident())
        return;
    Py_INCREF(loop);
    wait_for_callback(loop);
    Py_DECREF(loop);
}

static PyObject *
handle_cancel(PyObject *self, PyObject *Py_UNUSED(none))
{
    HandleObject *handle = (HandleObject *)self;

    wait_if_running(handle);
    if (guaco__handle_cancel(handle) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- what is read of it ---- */

static PyObject *
handle_cancelled(PyObject *self, PyObject *Py_UNUSED(none))
{
    HandleObject *handle = (HandleObject *)self;

    wait_if_running(handle);
    return PyBool_FromLong(handle->is_cancelled);
}

static PyObject *
handle_get_context(PyObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *context = ((HandleObject *)self)->context;
    return Py_NewRef(context != NULL ? context : Py_None);
}

/* For code that runs handles itself, as the standard library's loops do. */
static PyObject *
handle_run(PyObject *self, PyObject *Py_UNUSED(none))
{
    HandleObject *handle = (HandleObject *)self;

    if (handle->is_cancelled || handle->loop == NULL)
        Py_RETURN_NONE;
    PyObject *result = guaco__handle_call(handle);
    if (result == NULL)
        guaco__callback_failed(handle->loop, self, NULL, NULL);
    Py_XDECREF(result);
    Py_RETURN_NONE;
}

PyObject *
guaco__handle_args(HandleObject *handle)
{
    if (handle->args_tuple != NULL)
        return Py_NewRef(handle->args_tuple);
    PyObject *tuple = PyTuple_New(handle->nargs);
    for (int i = 0; tuple != NULL && i < handle->nargs; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(handle->args[i]));
    return tuple;
}

static PyObject *
handle_get_args(PyObject *self, void *Py_UNUSED(closure))
{
    HandleObject *handle = (HandleObject *)self;

    if (handle->is_cancelled)
        Py_RETURN_NONE;
    return guaco__handle_args(handle);
}

static PyObject *
handle_get_class(PyObject *self, void *Py_UNUSED(closure))
{
    HandleObject *handle = (HandleObject *)self;

    if (handle->loop == NULL)
        return Py_NewRef((PyObject *)Py_TYPE(self));
    struct guaco__loop_state *ls = &handle->loop->st->loop;
    return Py_NewRef(handle->is_threadsafe ? ls->AsyncioThreadSafeHandle
                                           : ls->AsyncioHandle);
}

PyObject *
guaco__handle_repr_info(PyObject *self, PyObject *asyncio_type)
{
    LoopObject *loop = ((HandleObject *)self)->loop;

    PyObject *fn = PyObject_GetAttr(asyncio_type, loop->st->loop.s__repr_info);
    PyObject *info = fn != NULL ? PyObject_CallOneArg(fn, self) : NULL;
    Py_XDECREF(fn);
    return info;
}

static PyObject *
handle_repr_info(PyObject *self, PyObject *Py_UNUSED(none))
{
    LoopObject *loop = ((HandleObject *)self)->loop;

    if (loop == NULL)
        return PyList_New(0);
    return guaco__handle_repr_info(self, loop->st->loop.AsyncioHandle);
}

PyObject *
guaco__handle_repr(PyObject *self)
{
    LoopObject *loop = ((HandleObject *)self)->loop;

    if (loop == NULL)
        return PyUnicode_FromString("<Handle>");
    struct guaco__loop_state *ls = &loop->st->loop;
    PyObject *fn = PyObject_GetAttr(ls->AsyncioHandle, ls->s___repr__);
    PyObject *text = fn != NULL ? PyObject_CallOneArg(fn, self) : NULL;
    Py_XDECREF(fn);
    return text;
}

/* ---- the type ---- */

static PyMethodDef handle_methods[] = {
    {"cancel", handle_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nDo not run the callback; drop it."},
    {"cancelled", handle_cancelled, METH_NOARGS,
     "cancelled($self, /)\n--\n\nWhether cancel() was called."},
    {"get_context", handle_get_context, METH_NOARGS,
     "get_context($self, /)\n--\n\nThe context in which the callback runs."},
    {"_run", handle_run, METH_NOARGS, NULL},
    {"_repr_info", handle_repr_info, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef handle_members[] = {
    {"_loop", T_OBJECT, offsetof(HandleObject, loop), READONLY, NULL},
    {"_callback", T_OBJECT, offsetof(HandleObject, callback), READONLY, NULL},
    {"_context", T_OBJECT, offsetof(HandleObject, context), READONLY, NULL},
    {"_cancelled", T_BOOL, offsetof(HandleObject, is_cancelled), READONLY,
     NULL},
    {"_source_traceback", T_OBJECT, offsetof(HandleObject, source_traceback), 0,
     NULL},
    {"_repr", T_OBJECT, offsetof(HandleObject, kept_repr), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(HandleObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef handle_getset[] = {
    {"_args", handle_get_args, NULL, NULL, NULL},
    {"__class__", handle_get_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot handle_slots[] = {
    {Py_tp_doc,
     (void *)"A callback that the loop will run; made by call_soon()."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, guaco__handle_traverse},
    {Py_tp_clear, guaco__handle_clear},
    {Py_tp_repr, guaco__handle_repr},
    {Py_tp_methods, handle_methods},
    {Py_tp_members, handle_members},
    {Py_tp_getset, handle_getset},
    {0, NULL},
};

static PyType_Spec handle_spec = {
    .name = "guaco._core.Handle",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = handle_slots,
};

int
guaco__handle_type_add(PyObject *module, struct guaco_state *st)
{
    st->loop.HandleType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    if (st->loop.HandleType == NULL)
        return -1;
    return PyModule_AddType(module, st->loop.HandleType);
}
