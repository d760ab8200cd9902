/*
 * A task whose first step runs at once.
 *
 * From 3.12 on that is eager_start.  On 3.11 the one call_soon(step, context=)
 * that Task.__init__ makes is caught and run here: the result is the same real
 * asyncio.Task, without a handle and without a turn of the loop.
 *
 * Keywords in one shared dict, and one name for all: measured 20-110 ns and,
 * on 3.11, 200 ns cheaper a task than fresh ones.
 */

#include "loop_int.h"

/* ---- the spawner -------------------------------------------------------- */

/* Task(coro, **keywords) */
static PyObject *
make_task(struct guaco__spawner *spawner, struct guaco__loop_state *ls,
          PyObject *coro)
{
    PyObject *args = PyTuple_Pack(1, coro);
    if (args == NULL)
        return NULL;
    PyObject *task = PyObject_Call(ls->Task, args, spawner->keywords);
    Py_DECREF(args);
    return task;
}

static int
init_keywords(struct guaco__spawner *spawner, struct guaco__loop_state *ls)
{
    PyObject *keywords = PyDict_New();

    if (keywords == NULL ||
        PyDict_SetItem(keywords, ls->s_loop, spawner->loop) < 0 ||
        PyDict_SetItem(keywords, ls->s_name, ls->task_name) < 0 ||
        (PY_VERSION_HEX >= 0x030c0000 &&
         PyDict_SetItem(keywords, ls->s_eager_start, Py_True) < 0)) {
        Py_XDECREF(keywords);
        return -1;
    }
    spawner->keywords = keywords;
    return 0;
}

bool
guaco__is_task_step(struct guaco__loop_state *ls, PyObject *callback)
{
    if (Py_TYPE(callback) == ls->task_step_type)
        return true;
    if (ls->task_step_type != NULL ||
        strcmp(Py_TYPE(callback)->tp_name, "TaskStepMethWrapper") != 0)
        return false;
    ls->task_step_type = Py_TYPE(callback); /* a static type of _asyncio */
    return true;
}

/* Finalizers that the garbage collector runs meanwhile may call here too: they
 * are told from the step by the type. */
bool
guaco__spawner_capture(struct guaco__spawner *spawner,
                       struct guaco__loop_state *ls, PyObject *callback,
                       PyObject *context)
{
    if (!spawner->is_capturing || spawner->step != NULL || context == NULL ||
        !guaco__is_task_step(ls, callback))
        return false;
    spawner->step = Py_NewRef(callback);
    spawner->context = Py_NewRef(context);
    return true;
}

#if PY_VERSION_HEX < 0x030c0000

static int
begin_capture(struct guaco__spawner *spawner, struct guaco__loop_state *ls)
{
    PyObject *attributes = spawner->attributes;

    if (attributes != NULL) {
        /* Somebody's own call_soon: it must see what it is there to see. */
        int is_taken = PyDict_Contains(attributes, ls->s_call_soon);
        if (is_taken != 0)
            return is_taken < 0 ? -1 : 0;
        if (PyDict_SetItem(attributes, ls->s_call_soon, spawner->trap) < 0)
            return -1;
    }
    spawner->is_capturing = true;
    return 0;
}

void
guaco__spawner_end_capture(struct guaco__spawner *spawner,
                           struct guaco__loop_state *ls)
{
    if (!spawner->is_capturing)
        return;
    spawner->is_capturing = false;
    if (spawner->attributes == NULL)
        return;
    PyObject *exc = guaco__exc_take(); /* of the task's making */
    if (PyDict_DelItem(spawner->attributes, ls->s_call_soon) < 0)
        PyErr_WriteUnraisable(spawner->loop);
    if (exc != NULL)
        guaco__exc_raise(exc);
}

/* fn(loop, task) */
static int
mark_task(struct guaco__spawner *spawner, PyObject *fn, PyObject *task)
{
    PyObject *result =
        PyObject_CallFunctionObjArgs(fn, spawner->loop, task, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *
call_step(PyObject *step, PyObject *context)
{
    if (PyContext_Enter(context) < 0)
        return NULL;
    PyObject *result = PyObject_CallNoArgs(step);
    if (PyContext_Exit(context) < 0)
        Py_CLEAR(result);
    return result;
}

/* A step refuses to begin inside of another task's, so that one is left for
 * the time being: the spawner may be called from within send(). */
static int
run_step(struct guaco__spawner *spawner, struct guaco__loop_state *ls,
         PyObject *step, PyObject *context)
{
    PyObject *outer = PyObject_CallOneArg(ls->current_task, spawner->loop);

    if (outer == NULL)
        return -1;
    bool is_nested = !Py_IsNone(outer);
    if (is_nested && mark_task(spawner, ls->leave_task, outer) < 0) {
        Py_DECREF(outer);
        return -1;
    }
    PyObject *result = call_step(step, context);
    if (is_nested) {
        PyObject *exc = guaco__exc_take();
        if (mark_task(spawner, ls->enter_task, outer) < 0)
            Py_CLEAR(result);
        if (exc != NULL)
            guaco__exc_raise(exc);
    }
    Py_DECREF(outer);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Whether the captured step is this task's. */
static int
is_step_of(struct guaco__loop_state *ls, PyObject *step, PyObject *task)
{
    PyObject *owner = PyObject_GetAttr(step, ls->s___self__);
    int answer = owner == NULL ? -1 : owner == task;
    Py_XDECREF(owner);
    return answer;
}

/* call_soon(step, context=context): of a task that a finalizer made. */
static int
pass_on(struct guaco__spawner *spawner, struct guaco__loop_state *ls,
        PyObject *step, PyObject *context)
{
    PyObject *args[] = {spawner->loop, step, context};
    PyObject *names = PyTuple_Pack(1, ls->s_context);
    PyObject *handle =
        names == NULL
            ? NULL
            : PyObject_VectorcallMethod(ls->s_call_soon, args, 2, names);
    Py_XDECREF(names);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

static PyObject *
spawn(struct guaco__spawner *spawner, struct guaco__loop_state *ls,
      PyObject *coro)
{
    if (begin_capture(spawner, ls) < 0)
        return NULL;
    PyObject *task = make_task(spawner, ls, coro);
    guaco__spawner_end_capture(spawner, ls);

    PyObject *step = spawner->step;
    PyObject *context = spawner->context;
    spawner->step = NULL;
    spawner->context = NULL;
    int rc = task == NULL ? -1 : 0;
    if (rc == 0 && step != NULL) {
        rc = is_step_of(ls, step, task);
        if (rc > 0)
            rc = run_step(spawner, ls, step, context);
        else if (rc == 0)
            rc = pass_on(spawner, ls, step, context);
    }
    Py_XDECREF(step);
    Py_XDECREF(context);
    if (rc < 0)
        Py_CLEAR(task);
    return task;
}

#else

void
guaco__spawner_end_capture(struct guaco__spawner *Py_UNUSED(spawner),
                           struct guaco__loop_state *Py_UNUSED(ls))
{
}

#define spawn make_task

#endif

PyObject *
guaco__spawner_run(struct guaco__spawner *spawner, struct guaco__loop_state *ls,
                   PyObject *coro)
{
    if (spawner->keywords == NULL && init_keywords(spawner, ls) < 0)
        return NULL;
    return spawn(spawner, ls, coro);
}

int
guaco__spawner_traverse(struct guaco__spawner *spawner, visitproc visit,
                        void *arg)
{
    Py_VISIT(spawner->keywords);
    Py_VISIT(spawner->attributes);
    Py_VISIT(spawner->trap);
    return 0;
}

void
guaco__spawner_clear(struct guaco__spawner *spawner)
{
    Py_CLEAR(spawner->keywords);
    Py_CLEAR(spawner->attributes);
    Py_CLEAR(spawner->trap);
}

/* ---- a loop of ours ----------------------------------------------------- */

PyObject *
guaco__py_spawn(PyObject *loop, PyObject *coro)
{
    LoopObject *self = guaco__loop_cast(loop);

    if (guaco__loop_check_open(self) < 0)
        return NULL;
    if (self->task_factory != NULL)
        return guaco__loop_create_task(self, &coro, 1, NULL);
    return guaco__spawner_run(&self->spawner, &self->st->loop, coro);
}
