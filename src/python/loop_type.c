/*
 * guaco._core.LoopCore: the C half of guaco.loop.Loop, first among its bases.
 * In Python it would read
 *
 *     class LoopCore:
 *         def call_soon(self, callback, *args, context=None) -> Handle: ...
 *         def call_later(self, delay, callback, *args, context=None): ...
 *         def _add_reader(self, fd, callback, *args, context=None): ...
 *         def _run(self) -> None: ...          # until stop()
 *         ... and what else asyncio's loops do for each callback
 *
 * What it lacks comes from the second base, asyncio.SelectorEventLoop, which
 * keeps a few flags in private attributes: those are shared with it here
 * (_closed, _debug, _thread_id, _task_factory, _current_handle).
 *
 * Threads: the interpreter's lock guards all of it; the loop itself belongs to
 * the thread that runs it.
 */

#include "loop_int.h"

#include "os/clock.h"

/* ---- life ---- */

static PyObject *
loop_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
         PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    struct guaco_state *st = guaco_state_of(module);
    if (guaco__loop_state_import(&st->loop) < 0)
        return NULL;
    LoopObject *self = (LoopObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    struct guaco_error err = {0};

    self->st = st;
    self->spawner.loop = (PyObject *)self;
    guaco__list_init(&self->timers);
    pthread_mutex_init(&self->threadsafe_lock, NULL);
    int rc = guaco__loop_new(&self->loop, &err);
    if (rc < 0) {
        Py_DECREF(self);
        return guaco_raise(st, rc, &err);
    }
    guaco__loop_install_host(self);
    return (PyObject *)self;
}

static int
loop_traverse(PyObject *object, visitproc visit, void *arg)
{
    LoopObject *self = guaco__loop_cast(object);

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->error);
    Py_VISIT(self->task_factory);
    Py_VISIT(self->current_handle);
    Py_VISIT(self->pinned);
    for (struct guaco__list *l = self->timers.next; l != &self->timers;
         l = l->next)
        Py_VISIT(GUACO__OF(l, TimerHandleObject, link));
    int rc = guaco__spawner_traverse(&self->spawner, visit, arg);
    if (rc == 0)
        rc = guaco__ready_traverse(self, visit, arg);
    return rc != 0 ? rc : guaco__fd_watches_traverse(self, visit, arg);
}

/* Drop all that is scheduled.  The loop underneath stays: what is pinned to it
 * may be garbage too, and not be cleared yet. */
static int
loop_clear(PyObject *object)
{
    LoopObject *self = guaco__loop_cast(object);
    struct guaco__list *link;

    self->is_closed = true; /* nothing can be scheduled from here on */
    Py_CLEAR(self->error);
    Py_CLEAR(self->task_factory);
    Py_CLEAR(self->current_handle);
    Py_CLEAR(self->pinned);
    guaco__spawner_clear(&self->spawner);
    while ((link = guaco__list_first(&self->timers)) != NULL)
        guaco__timer_handle_disarm(GUACO__OF(link, TimerHandleObject, link));
    guaco__ready_clear(self);
    guaco__fd_watches_clear(self);
    return 0;
}

static void
release(LoopObject *self)
{
    (void)loop_clear((PyObject *)self);
    guaco__loop_free(self->loop);
    self->loop = NULL;
}

static void
loop_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    release(guaco__loop_cast(object));
    pthread_mutex_destroy(&guaco__loop_cast(object)->threadsafe_lock);
    type->tp_free(object);
    Py_DECREF(type);
}

bool
guaco__py_loop_check(const struct guaco_state *st, PyObject *object)
{
    return PyObject_TypeCheck(object, st->loop.LoopType);
}

int
guaco__py_loop_pin(PyObject *loop, PyObject *user)
{
    LoopObject *self = guaco__loop_cast(loop);

    if (guaco__loop_check_open(self) < 0)
        return -1;
    if (self->pinned == NULL && (self->pinned = PySet_New(NULL)) == NULL)
        return -1;
    return PySet_Add(self->pinned, user);
}

void
guaco__py_loop_unpin(PyObject *loop, PyObject *user)
{
    LoopObject *self = guaco__loop_cast(loop);

    /* NULL: the garbage collector has both. */
    if (self->pinned != NULL && PySet_Discard(self->pinned, user) < 0)
        PyErr_WriteUnraisable(loop);
}

/* ---- methods ---- */

static PyObject *
loop_time(LoopObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    return PyFloat_FromDouble((double)guaco__clock_mono_ns() / 1e9);
}

static PyObject *
loop_stop(LoopObject *self, PyObject *Py_UNUSED(none))
{
    if (self->loop != NULL)
        guaco__loop_stop(self->loop);
    Py_RETURN_NONE;
}

static PyObject *
loop_is_running(LoopObject *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(self->thread_id != 0);
}

static PyObject *
loop_is_closed(LoopObject *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(self->is_closed);
}

static PyObject *
loop_get_debug(LoopObject *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(self->is_debug);
}

static PyObject *
loop_check_closed(LoopObject *self, PyObject *Py_UNUSED(none))
{
    if (guaco__loop_check_open(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* asyncio.TimerHandle.cancel() tells the loop; ours need not. */
static PyObject *
loop_timer_handle_cancelled(LoopObject *Py_UNUSED(self),
                            PyObject *Py_UNUSED(handle))
{
    Py_RETURN_NONE;
}

/* Queue a handle of the standard library's, from any thread. */
static PyObject *
loop_add_callback(LoopObject *self, PyObject *handle)
{
    if (guaco__loop_check_open(self) < 0)
        return NULL;
    if (guaco__ready_push(self, Py_NewRef(handle), NULL, NULL) < 0) {
        Py_DECREF(handle);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The loop underneath can be running when Python thinks it is not: in a child
 * that was forked by a callback. */
static int
check_closable(LoopObject *self)
{
    const char *text = NULL;

    if (self->pinned != NULL && PySet_GET_SIZE(self->pinned) > 0)
        text = "Cannot close a loop that a server lives in";
    else if (self->loop != NULL && guaco__loop_is_running(self->loop))
        text = "Cannot close a running event loop";
    if (text == NULL)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, text);
    return -1;
}

static PyObject *
loop_check_closable(LoopObject *self, PyObject *Py_UNUSED(none))
{
    if (check_closable(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
loop_release(LoopObject *self, PyObject *Py_UNUSED(none))
{
    if (check_closable(self) < 0)
        return NULL;
    release(self);
    Py_RETURN_NONE;
}

static PyObject *
loop_abandon(LoopObject *self, PyObject *Py_UNUSED(none))
{
    if (self->loop != NULL)
        guaco__loop_abandon(self->loop);
    self->thread_id = 0;
    Py_RETURN_NONE;
}

static PyObject *
loop_spawn(PyObject *self, PyObject *coro)
{
    PyObject *task = guaco__py_spawn(self, coro);

    if (task != NULL || (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) &&
                         !PyErr_ExceptionMatches(PyExc_SystemExit)))
        return task;
    guaco__py_loop_break(self);
    Py_RETURN_NONE;
}

/* ---- attributes shared with the second base ---- */

static PyObject *
get_closed(LoopObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->is_closed);
}

static int
set_flag(bool *flag, PyObject *value)
{
    int truth = value != NULL ? PyObject_IsTrue(value) : 0;

    if (truth < 0)
        return -1;
    *flag = truth;
    return 0;
}

static int
set_closed(LoopObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return set_flag(&self->is_closed, value);
}

static PyObject *
get_debug(LoopObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->is_debug);
}

static int
set_debug(LoopObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return set_flag(&self->is_debug, value);
}

static PyObject *
get_thread_id(LoopObject *self, void *Py_UNUSED(closure))
{
    if (self->thread_id == 0)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(self->thread_id);
}

static int
set_thread_id(LoopObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    unsigned long id = 0;

    if (value != NULL && !Py_IsNone(value)) {
        id = PyLong_AsUnsignedLong(value);
        if (id == (unsigned long)-1 && PyErr_Occurred())
            return -1;
    }
    self->thread_id = id;
    return 0;
}

/* None and NULL are the same to Python. */
static PyObject *
get_object(PyObject *object)
{
    return Py_NewRef(object != NULL ? object : Py_None);
}

static int
set_object(PyObject **place, PyObject *value)
{
    PyObject *old = *place;

    *place = value == NULL || Py_IsNone(value) ? NULL : Py_NewRef(value);
    Py_XDECREF(old);
    return 0;
}

static PyObject *
get_task_factory(LoopObject *self, void *Py_UNUSED(closure))
{
    return get_object(self->task_factory);
}

static int
set_task_factory(LoopObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return set_object(&self->task_factory, value);
}

static PyObject *
get_current_handle(LoopObject *self, void *Py_UNUSED(closure))
{
    return get_object(self->current_handle);
}

static int
set_current_handle(LoopObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return set_object(&self->current_handle, value);
}

/* ---- the type ---- */

#define CAST(fn) _PyCFunction_CAST(fn)
#define FAST     METH_FASTCALL | METH_KEYWORDS

static PyMethodDef loop_methods[] = {
    {"call_soon", CAST(guaco__loop_call_soon), FAST, NULL},
    {"call_soon_threadsafe", CAST(guaco__loop_call_soon_threadsafe), FAST,
     NULL},
    {"call_later", CAST(guaco__loop_call_later), FAST, NULL},
    {"call_at", CAST(guaco__loop_call_at), FAST, NULL},
    {"create_task", CAST(guaco__loop_create_task), FAST, NULL},
    {"create_future", CAST(guaco__loop_create_future), METH_NOARGS, NULL},
    {"time", CAST(loop_time), METH_NOARGS, NULL},
    {"stop", CAST(loop_stop), METH_NOARGS, NULL},
    {"is_running", CAST(loop_is_running), METH_NOARGS, NULL},
    {"is_closed", CAST(loop_is_closed), METH_NOARGS, NULL},
    {"get_debug", CAST(loop_get_debug), METH_NOARGS, NULL},
    {"_add_reader", CAST(guaco__loop_add_reader), FAST, NULL},
    {"_add_writer", CAST(guaco__loop_add_writer), FAST, NULL},
    {"_remove_reader", CAST(guaco__loop_remove_reader), METH_O, NULL},
    {"_remove_writer", CAST(guaco__loop_remove_writer), METH_O, NULL},
    {"_fd_events", CAST(guaco__loop_fd_events), METH_O, NULL},
    {"_add_callback", CAST(loop_add_callback), METH_O, NULL},
    {"_add_callback_signalsafe", CAST(loop_add_callback), METH_O, NULL},
    {"_timer_handle_cancelled", CAST(loop_timer_handle_cancelled), METH_O,
     NULL},
    {"_check_closed", CAST(loop_check_closed), METH_NOARGS, NULL},
    {"_check_closable", CAST(loop_check_closable), METH_NOARGS, NULL},
    {"_spawn", loop_spawn, METH_O,
     "_spawn($self, coro, /)\n--\n\n"
     "A Task whose first step has run; for tests of the C function."},
    {"_run", CAST(guaco__loop_run_forever), METH_NOARGS, NULL},
    {"_release", CAST(loop_release), METH_NOARGS, NULL},
    {"_abandon", CAST(loop_abandon), METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef loop_getset[] = {
    {"_closed", (getter)get_closed, (setter)set_closed, NULL, NULL},
    {"_debug", (getter)get_debug, (setter)set_debug, NULL, NULL},
    {"_thread_id", (getter)get_thread_id, (setter)set_thread_id, NULL, NULL},
    {"_task_factory", (getter)get_task_factory, (setter)set_task_factory, NULL,
     NULL},
    {"_current_handle", (getter)get_current_handle, (setter)set_current_handle,
     NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, (void *)"The C half of guaco.loop.Loop."},
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_traverse, loop_traverse},
    {Py_tp_clear, loop_clear},
    {Py_tp_methods, loop_methods},
    {Py_tp_getset, loop_getset},
    {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "guaco._core.LoopCore",
    .basicsize = sizeof(LoopObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = loop_slots,
};

int
guaco__loop_type_add(PyObject *module, struct guaco_state *st)
{
    st->loop.LoopType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &loop_spec, NULL);
    if (st->loop.LoopType == NULL)
        return -1;
    return PyModule_AddType(module, st->loop.LoopType);
}
