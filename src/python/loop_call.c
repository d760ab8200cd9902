/* call_soon() and its kin, tasks and futures. */

#include "loop_int.h"

#include <string.h>

#include "io/timer.h"
#include "os/clock.h"

/* ---- arguments and checks ---- */

int
guaco__loop_check_open(LoopObject *self)
{
    if (!self->is_closed && self->loop != NULL)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
    return -1;
}

static int
parse_context(LoopObject *self, struct guaco__call *call, const char *name,
              PyObject *const *values, PyObject *kwnames)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (key != self->st->loop.s_context &&
            PyUnicode_CompareWithASCIIString(key, "context") != 0) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got an unexpected keyword argument %R", name,
                         key);
            return -1;
        }
        if (!Py_IsNone(values[i]))
            call->context = values[i];
    }
    if (call->context == NULL || PyContext_CheckExact(call->context))
        return 0;
    PyErr_Format(PyExc_TypeError, "a Context or None is expected, not %.100s",
                 Py_TYPE(call->context)->tp_name);
    return -1;
}

int
guaco__call_parse(LoopObject *self, struct guaco__call *call, const char *name,
                  PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                  Py_ssize_t skip)
{
    if (nargs <= skip) {
        PyErr_Format(PyExc_TypeError, "%s() takes at least %zd argument%s",
                     name, skip + 1, skip == 0 ? "" : "s");
        return -1;
    }
    *call = (struct guaco__call){args + skip, nargs - skip, NULL};
    if (kwnames == NULL)
        return 0;
    return parse_context(self, call, name, args + nargs, kwnames);
}

static int
is_coroutine(LoopObject *self, PyObject *callback)
{
    PyObject *answer =
        PyObject_CallMethod((PyObject *)self, "_is_coroutine", "O", callback);
    int rc = answer != NULL ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return rc;
}

/* What debug mode checks: the callback, and the thread but for threadsafe
 * calls. */
static int
check_debug(LoopObject *self, PyObject *callback, const char *name,
            bool is_threadsafe)
{
    if (!is_threadsafe && self->thread_id != 0 &&
        self->thread_id != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Non-thread-safe operation invoked on an event loop "
                        "other than the current one");
        return -1;
    }
    int rc = is_coroutine(self, callback);
    if (rc < 0)
        return -1;
    if (rc > 0) {
        PyErr_Format(PyExc_TypeError, "coroutines cannot be used with %s()",
                     name);
        return -1;
    }
    if (PyCallable_Check(callback))
        return 0;
    PyErr_Format(PyExc_TypeError,
                 "a callable object was expected by %s(), got %R", name,
                 callback);
    return -1;
}

/* ---- now ---- */

/* The two callables that a C Task gives to call_soon(), whose result it does
 * not look at: a step, and the wake-up that is its method. */
static bool
is_task_callback(struct guaco__loop_state *ls, PyObject *callback)
{
    if (!PyCFunction_CheckExact(callback))
        return guaco__is_task_step(ls, callback);

    const PyMethodDef *method = ((PyCFunctionObject *)callback)->m_ml;
    if (method == ls->task_wakeup)
        return true;
    if (ls->task_wakeup != NULL ||
        strcmp(method->ml_name, "TaskWakeupMethWrapper") != 0)
        return false;
    ls->task_wakeup = method;
    return true;
}

static int
push_bare(LoopObject *self, const struct guaco__call *call)
{
    PyObject *arg = call->nargs == 2 ? call->args[1] : NULL;

    if (guaco__ready_push(self, call->args[0], arg, call->context) < 0)
        return -1;
    Py_INCREF(call->args[0]);
    Py_XINCREF(arg);
    Py_INCREF(call->context);
    return 0;
}

PyObject *
guaco__loop_call_soon(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    struct guaco__call call;

    if (guaco__call_parse(self, &call, "call_soon", args, nargs, kwnames, 0) <
            0 ||
        guaco__loop_check_open(self) < 0)
        return NULL;
    if (guaco__spawner_capture(&self->spawner, &self->st->loop, args[0],
                               call.context))
        Py_RETURN_NONE;
    if (self->is_debug) {
        if (check_debug(self, args[0], "call_soon", false) < 0)
            return NULL;
    } else if (call.context != NULL && nargs <= 2 &&
               is_task_callback(&self->st->loop, args[0])) {
        if (push_bare(self, &call) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    HandleObject *handle = guaco__handle_new(self, &call);
    if (handle == NULL)
        return NULL;
    if (guaco__ready_push(self, Py_NewRef((PyObject *)handle), NULL, NULL) <
        0) {
        Py_DECREF(handle);
        Py_CLEAR(handle);
    }
    return (PyObject *)handle;
}

PyObject *
guaco__loop_call_soon_threadsafe(LoopObject *self, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *kwnames)
{
    struct guaco__call call;

    if (guaco__call_parse(self, &call, "call_soon_threadsafe", args, nargs,
                          kwnames, 0) < 0 ||
        guaco__loop_check_open(self) < 0)
        return NULL;
    if (self->is_debug &&
        check_debug(self, args[0], "call_soon_threadsafe", true) < 0)
        return NULL;
    HandleObject *handle = guaco__handle_new(self, &call);
    if (handle == NULL)
        return NULL;
    handle->is_threadsafe = true;
    if (guaco__ready_push(self, Py_NewRef((PyObject *)handle), NULL, NULL) <
        0) {
        Py_DECREF(handle);
        Py_CLEAR(handle);
    }
    return (PyObject *)handle;
}

/* ---- later ---- */

static PyObject *
call_at(LoopObject *self, const struct guaco__call *call, double when)
{
    TimerHandleObject *handle = guaco__timer_handle_new(self, call, when);

    if (handle != NULL)
        guaco__timer_handle_arm(handle);
    return (PyObject *)handle;
}

/* The number of seconds in args[0].  0, or -1 with TypeError. */
static int
seconds_of(PyObject *number, const char *name, double *seconds)
{
    if (Py_IsNone(number)) {
        PyErr_Format(PyExc_TypeError, "%s cannot be None", name);
        return -1;
    }
    *seconds = PyFloat_AsDouble(number);
    return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

PyObject *
guaco__loop_call_later(LoopObject *self, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames)
{
    struct guaco__call call;
    double delay;

    if (guaco__call_parse(self, &call, "call_later", args, nargs, kwnames, 1) <
            0 ||
        guaco__loop_check_open(self) < 0 ||
        seconds_of(args[0], "delay", &delay) < 0)
        return NULL;
    if (self->is_debug && check_debug(self, args[1], "call_later", false) < 0)
        return NULL;
    double now = (double)guaco__clock_mono_ns() / 1e9;
    return call_at(self, &call, now + delay);
}

PyObject *
guaco__loop_call_at(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    struct guaco__call call;
    double when;

    if (guaco__call_parse(self, &call, "call_at", args, nargs, kwnames, 1) <
            0 ||
        guaco__loop_check_open(self) < 0 ||
        seconds_of(args[0], "when", &when) < 0)
        return NULL;
    if (self->is_debug && check_debug(self, args[1], "call_at", false) < 0)
        return NULL;
    return call_at(self, &call, when);
}

/* ---- tasks and futures ---- */

PyObject *
guaco__loop_create_future(LoopObject *self, PyObject *Py_UNUSED(none))
{
    struct guaco__loop_state *ls = &self->st->loop;
    PyObject *args[2] = {NULL, (PyObject *)self};

    return PyObject_Vectorcall(
        ls->Future, args + 1, PY_VECTORCALL_ARGUMENTS_OFFSET, ls->loop_keyword);
}

/* base_create_task(self, ...): the standard library's, for what is rare. */
static PyObject *
create_task_slowly(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    Py_ssize_t count =
        nargs + (kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0);
    PyObject **stack = PyMem_New(PyObject *, (size_t)count + 1);
    if (stack == NULL)
        return PyErr_NoMemory();

    stack[0] = (PyObject *)self;
    for (Py_ssize_t i = 0; i < count; i++)
        stack[i + 1] = args[i];
    PyObject *task = PyObject_Vectorcall(self->st->loop.base_create_task, stack,
                                         (size_t)nargs + 1, kwnames);
    PyMem_Free(stack);
    return task;
}

PyObject *
guaco__loop_create_task(LoopObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    struct guaco__loop_state *ls = &self->st->loop;

    if (nargs != 1 || kwnames != NULL || self->task_factory != NULL ||
        self->is_debug)
        return create_task_slowly(self, args, nargs, kwnames);
    if (guaco__loop_check_open(self) < 0)
        return NULL;
    PyObject *task_args[2] = {args[0], (PyObject *)self};
    return PyObject_Vectorcall(ls->Task, task_args, 1, ls->loop_keyword);
}
