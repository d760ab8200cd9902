/*
 * The queue of what is to be run, and how it is run.
 *
 * It is touched only with the interpreter's lock held, so that other threads
 * queue here directly and at most wake the loop.  A task's steps are bare
 * calls: what call_soon() returns to a Task is never looked at, so that no
 * handle is made.
 */

#include "loop_int.h"

#include <assert.h>

#include "io/post.h"
#include "os/clock.h"

/* ---- the ring ---- */

static struct guaco__ready *
slot(const struct guaco__ready_ring *ring, size_t i)
{
    return &ring->slots[(ring->head + i) & (ring->capacity - 1)];
}

static int
grow(struct guaco__ready_ring *ring)
{
    size_t capacity = ring->capacity == 0 ? 64 : ring->capacity * 2;
    struct guaco__ready *slots = PyMem_New(struct guaco__ready, capacity);

    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < ring->count; i++)
        slots[i] = *slot(ring, i);
    PyMem_Free(ring->slots);
    ring->slots = slots;
    ring->capacity = capacity;
    ring->head = 0;
    return 0;
}

int
guaco__ready_push(LoopObject *self, PyObject *what, PyObject *arg,
                  PyObject *context)
{
    struct guaco__ready_ring *ring = &self->ready;

    if (ring->count == ring->capacity && grow(ring) < 0)
        return -1;
    *slot(ring, ring->count++) = (struct guaco__ready){what, arg, context};
    if (ring->count == 1) {
        guaco__loop_keep_awake(self->loop);
        if (self->is_waiting)
            guaco__loop_wake(self->loop);
    }
    return 0;
}

static struct guaco__ready
shift(struct guaco__ready_ring *ring)
{
    assert(ring->count > 0);
    struct guaco__ready ready = *slot(ring, 0);

    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->count--;
    return ready;
}

static void
drop(struct guaco__ready *ready)
{
    Py_DECREF(ready->what);
    Py_XDECREF(ready->arg);
    Py_XDECREF(ready->context);
}

void
guaco__ready_clear(LoopObject *self)
{
    while (self->ready.count > 0) {
        struct guaco__ready ready = shift(&self->ready);
        drop(&ready);
    }
    PyMem_Free(self->ready.slots);
    self->ready = (struct guaco__ready_ring){0};
}

int
guaco__ready_traverse(LoopObject *self, visitproc visit, void *arg)
{
    for (size_t i = 0; i < self->ready.count; i++) {
        struct guaco__ready *ready = slot(&self->ready, i);
        Py_VISIT(ready->what);
        Py_VISIT(ready->arg);
        Py_VISIT(ready->context);
    }
    return 0;
}

/* ---- failures ---- */

void
guaco__py_loop_break(PyObject *loop)
{
    LoopObject *self = guaco__loop_cast(loop);
    PyObject *exc = guaco__exc_take();

    if (self->error == NULL)
        self->error = exc;
    else
        Py_XDECREF(exc);
    if (self->loop != NULL)
        guaco__loop_stop(self->loop);
}

void
guaco__callback_failed(LoopObject *self, PyObject *handle, PyObject *callback,
                       PyObject *arg)
{
    if (PyErr_ExceptionMatches(PyExc_SystemExit) ||
        PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        guaco__py_loop_break((PyObject *)self);
        return;
    }
    PyObject *exc = guaco__exc_take();
    PyObject *args = arg != NULL ? PyTuple_Pack(1, arg) : PyTuple_New(0);
    PyObject *result = NULL;
    if (args != NULL)
        result = PyObject_CallMethodObjArgs(
            (PyObject *)self, self->st->loop.s__callback_failed,
            handle != NULL ? handle : Py_None,
            callback != NULL ? callback : Py_None, args, exc, NULL);
    if (result == NULL)
        guaco__py_loop_break((PyObject *)self);
    Py_XDECREF(result);
    Py_XDECREF(args);
    Py_DECREF(exc);
}

/* ---- running ---- */

static void
run_bare(LoopObject *self, struct guaco__ready *ready)
{
    PyObject *result = NULL;

    if (PyContext_Enter(ready->context) == 0) {
        struct guaco__board_slot *slot = self->slot;
        TagObject *tag =
            slot != NULL ? guaco__py_board_step(self->st, slot) : NULL;
        result = ready->arg != NULL
                     ? PyObject_CallOneArg(ready->what, ready->arg)
                     : PyObject_CallNoArgs(ready->what);
        if (slot != NULL)
            guaco__py_board_stepped(tag, slot);
        if (PyContext_Exit(ready->context) < 0)
            Py_CLEAR(result);
    }
    if (result == NULL)
        guaco__callback_failed(self, NULL, ready->what, ready->arg);
    Py_XDECREF(result);
}

static void
run_handle(LoopObject *self, HandleObject *handle)
{
    if (handle->is_cancelled)
        return;
    bool is_threadsafe = handle->is_threadsafe;
    if (is_threadsafe) {
        pthread_mutex_lock(&self->threadsafe_lock);
        handle->is_running = true;
    }
    PyObject *result = guaco__handle_call(handle);
    if (result == NULL)
        guaco__callback_failed(self, (PyObject *)handle, NULL, NULL);
    Py_XDECREF(result);
    if (is_threadsafe) {
        handle->is_running = false;
        pthread_mutex_unlock(&self->threadsafe_lock);
    }
}

/* One of the standard library's handles, or one that looks like it. */
static void
run_foreign(LoopObject *self, PyObject *handle)
{
    struct guaco__loop_state *ls = &self->st->loop;
    PyObject *result = NULL;

    PyObject *flag = PyObject_GetAttr(handle, ls->s__cancelled);
    int is_cancelled = flag != NULL ? PyObject_IsTrue(flag) : -1;
    Py_XDECREF(flag);
    if (is_cancelled == 0)
        result = PyObject_CallMethodNoArgs(handle, ls->s__run);
    if (is_cancelled < 0 || (is_cancelled == 0 && result == NULL))
        guaco__callback_failed(self, handle, NULL, NULL);
    Py_XDECREF(result);
}

static void
run_one(LoopObject *self, struct guaco__ready *ready)
{
    struct guaco__loop_state *ls = &self->st->loop;

    if (ready->context != NULL)
        run_bare(self, ready);
    else if (Py_IS_TYPE(ready->what, ls->HandleType) ||
             Py_IS_TYPE(ready->what, ls->TimerHandleType))
        run_handle(self, (HandleObject *)ready->what);
    else
        run_foreign(self, ready->what);
}

/* Debug mode: also time it, and let the loop say what runs. */
static void
run_one_timed(LoopObject *self, struct guaco__ready *ready)
{
    uint64_t start_ns = guaco__clock_mono_ns();

    if (ready->context == NULL)
        self->current_handle = Py_NewRef(ready->what);
    run_one(self, ready);
    Py_CLEAR(self->current_handle);
    double seconds = (double)(guaco__clock_mono_ns() - start_ns) / 1e9;
    if (self->error != NULL)
        return;
    PyObject *duration = PyFloat_FromDouble(seconds);
    PyObject *result = NULL;
    if (duration != NULL)
        result = PyObject_CallMethodObjArgs((PyObject *)self,
                                            self->st->loop.s__slow_callback,
                                            ready->what, duration, NULL);
    if (result == NULL)
        guaco__py_loop_break((PyObject *)self);
    Py_XDECREF(result);
    Py_XDECREF(duration);
}

void
guaco__ready_run(LoopObject *self)
{
    size_t count = self->ready.count;

    while (count-- > 0 && self->error == NULL && self->ready.count > 0) {
        struct guaco__ready ready = shift(&self->ready);

        if (self->is_debug)
            run_one_timed(self, &ready);
        else
            run_one(self, &ready);
        drop(&ready);
    }
    if (self->ready.count > 0)
        guaco__loop_keep_awake(self->loop);
}

/* ---- for the rest of the binding ---- */

int
guaco__py_call_soon(PyObject *loop, PyObject *callback, PyObject *arg,
                    PyObject *context)
{
    LoopObject *self = guaco__loop_cast(loop);

    if (guaco__loop_check_open(self) < 0)
        return -1;
    context = context != NULL ? Py_NewRef(context) : PyContext_CopyCurrent();
    if (context == NULL)
        return -1;
    if (guaco__ready_push(self, callback, arg, context) < 0) {
        Py_DECREF(context);
        return -1;
    }
    Py_INCREF(callback);
    Py_XINCREF(arg);
    return 0;
}

void
guaco__py_call_now(PyObject *loop, PyObject *callback, PyObject *arg,
                   PyObject *context)
{
    struct guaco__ready ready = {callback, arg, context};
    run_bare(guaco__loop_cast(loop), &ready);
}
