/*
 * guaco._core.TimerHandle: a callback waiting for its time.  In Python it would
 * read
 *
 *     class TimerHandle(Handle):
 *         def when(self) -> float: ...
 *
 * It holds its timer of the loop's heap, so that arming allocates nothing but
 * the handle itself.  While armed it is in LoopObject.timers, which owns one
 * reference.
 */

#include "loop_int.h"

#include <math.h>
#include <structmember.h>

/* ---- life ---- */

static void
on_due(struct guaco__timer *timer)
{
    TimerHandleObject *handle = GUACO__OF(timer, TimerHandleObject, timer);
    LoopObject *loop = handle->base.loop;

    guaco__list_remove(&handle->link);
    if (guaco__ready_push(loop, (PyObject *)handle, NULL, NULL) < 0) {
        guaco__py_loop_break((PyObject *)loop);
        Py_DECREF(handle);
    }
}

TimerHandleObject *
guaco__timer_handle_new(LoopObject *loop, const struct guaco__call *call,
                        double when)
{
    PyTypeObject *type = loop->st->loop.TimerHandleType;
    TimerHandleObject *handle = PyObject_GC_New(TimerHandleObject, type);
    if (handle == NULL)
        return NULL;

    memset((char *)handle + sizeof(PyObject), 0,
           sizeof(*handle) - sizeof(PyObject));
    handle->when = when;
    guaco__list_init(&handle->link);
    guaco__timer_init(&handle->timer, loop->loop, on_due);
    int rc = guaco__handle_init(&handle->base, loop, call);
    PyObject_GC_Track((PyObject *)handle);
    if (rc < 0)
        Py_CLEAR(handle);
    return handle;
}

/* Seconds to nanoseconds, rounded up: a timer is never early.  A time past
 * what 64 bits hold (584 years) is never. */
static uint64_t
ns_of(double seconds)
{
    double ns = ceil(seconds * 1e9);

    if (!(ns > 0))
        return 0;
    return ns < 18e18 ? (uint64_t)ns : UINT64_MAX - 1;
}

void
guaco__timer_handle_arm(TimerHandleObject *handle)
{
    Py_INCREF(handle);
    guaco__list_push(&handle->base.loop->timers, &handle->link);
    guaco__timer_start(&handle->timer, ns_of(handle->when));
}

void
guaco__timer_handle_disarm(TimerHandleObject *handle)
{
    if (!guaco__timer_is_armed(&handle->timer))
        return;
    guaco__timer_stop(&handle->timer);
    guaco__list_remove(&handle->link);
    Py_DECREF(handle);
}

static void
timer_handle_dealloc(PyObject *self)
{
    TimerHandleObject *handle = (TimerHandleObject *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (handle->base.weakrefs != NULL)
        PyObject_ClearWeakRefs(self);
    (void)guaco__handle_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* ---- methods ---- */

static PyObject *
timer_handle_cancel(PyObject *self, PyObject *Py_UNUSED(none))
{
    TimerHandleObject *handle = (TimerHandleObject *)self;

    if (guaco__handle_cancel(&handle->base) < 0)
        return NULL;
    guaco__timer_handle_disarm(handle);
    Py_RETURN_NONE;
}

static PyObject *
timer_handle_when(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyFloat_FromDouble(((TimerHandleObject *)self)->when);
}

static PyObject *
timer_handle_repr_info(PyObject *self, PyObject *Py_UNUSED(none))
{
    LoopObject *loop = ((HandleObject *)self)->loop;

    if (loop == NULL)
        return PyList_New(0);
    return guaco__handle_repr_info(self, loop->st->loop.AsyncioTimerHandle);
}

static PyObject *
timer_handle_get_class(PyObject *self, void *Py_UNUSED(closure))
{
    LoopObject *loop = ((HandleObject *)self)->loop;

    return Py_NewRef(loop != NULL ? loop->st->loop.AsyncioTimerHandle
                                  : (PyObject *)Py_TYPE(self));
}

static PyObject *
timer_handle_get_scheduled(PyObject *self, void *Py_UNUSED(closure))
{
    TimerHandleObject *handle = (TimerHandleObject *)self;
    return PyBool_FromLong(guaco__timer_is_armed(&handle->timer));
}

/* The comparisons and the hash of asyncio.TimerHandle: by time. */
static PyObject *
timer_handle_compare(PyObject *self, PyObject *other, int op)
{
    if (!Py_IS_TYPE(other, Py_TYPE(self)))
        Py_RETURN_NOTIMPLEMENTED;

    HandleObject *a = (HandleObject *)self, *b = (HandleObject *)other;
    double left = ((TimerHandleObject *)self)->when;
    double right = ((TimerHandleObject *)other)->when;
    bool is_same = left == right && a->callback == b->callback &&
                   a->is_cancelled == b->is_cancelled;
    if (is_same && self != other) {
        PyObject *mine = guaco__handle_args(a);
        PyObject *theirs = mine != NULL ? guaco__handle_args(b) : NULL;
        int rc =
            theirs != NULL ? PyObject_RichCompareBool(mine, theirs, Py_EQ) : -1;
        Py_XDECREF(mine);
        Py_XDECREF(theirs);
        if (rc < 0)
            return NULL;
        is_same = rc;
    }
    switch (op) {
    case Py_EQ: return PyBool_FromLong(is_same);
    case Py_NE: return PyBool_FromLong(!is_same);
    case Py_LT: return PyBool_FromLong(left < right);
    case Py_GT: return PyBool_FromLong(left > right);
    case Py_LE: return PyBool_FromLong(left < right || is_same);
    case Py_GE: return PyBool_FromLong(left > right || is_same);
    default: Py_RETURN_NOTIMPLEMENTED;
    }
}

static Py_hash_t
timer_handle_hash(PyObject *self)
{
    PyObject *when = timer_handle_when(self, NULL);
    if (when == NULL)
        return -1;
    Py_hash_t hash = PyObject_Hash(when);
    Py_DECREF(when);
    return hash;
}

/* ---- the type ---- */

static PyMethodDef timer_handle_methods[] = {
    {"cancel", timer_handle_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nDo not run the callback; drop it."},
    {"when", timer_handle_when, METH_NOARGS,
     "when($self, /)\n--\n\nWhen it is due: seconds of loop.time()."},
    {"_repr_info", timer_handle_repr_info, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef timer_handle_members[] = {
    {"_when", T_DOUBLE, offsetof(TimerHandleObject, when), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(HandleObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef timer_handle_getset[] = {
    {"_scheduled", timer_handle_get_scheduled, NULL, NULL, NULL},
    {"__class__", timer_handle_get_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot timer_handle_slots[] = {
    {Py_tp_doc,
     (void *)"A callback that runs at its time; made by call_later()."},
    {Py_tp_dealloc, timer_handle_dealloc},
    {Py_tp_traverse, guaco__handle_traverse},
    {Py_tp_clear, guaco__handle_clear},
    {Py_tp_repr, guaco__handle_repr},
    {Py_tp_richcompare, timer_handle_compare},
    {Py_tp_hash, timer_handle_hash},
    {Py_tp_methods, timer_handle_methods},
    {Py_tp_members, timer_handle_members},
    {Py_tp_getset, timer_handle_getset},
    {0, NULL},
};

static PyType_Spec timer_handle_spec = {
    .name = "guaco._core.TimerHandle",
    .basicsize = sizeof(TimerHandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = timer_handle_slots,
};

int
guaco__timer_handle_type_add(PyObject *module, struct guaco_state *st)
{
    PyObject *base = (PyObject *)st->loop.HandleType;

    st->loop.TimerHandleType = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &timer_handle_spec, base);
    if (st->loop.TimerHandleType == NULL)
        return -1;
    return PyModule_AddType(module, st->loop.TimerHandleType);
}
