/*
 * The Task of a request: how it starts, waits and ends.
 *
 * The application is called and its coroutine takes its first step before the
 * next request is looked at.  Most are done then: the Task never touches the
 * ready queue, and what it returned or raised is judged at once.  One that is
 * suspended is held by its call, which is also its done callback.
 */

#include "asgi.h"

#include <assert.h>

#include "loop.h"
#include "module.h"

/* ---- waiting ------------------------------------------------------------ */

static PyObject *
future_new(struct guaco__asgi_call *call)
{
    struct guaco__asgi *asgi = call->asgi;

    if (asgi == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server is closed");
        return NULL;
    }
    PyObject *future = PyObject_Call(
        asgi->Future, call->st->gateway.empty_tuple, asgi->future_kwargs);
    if (future != NULL &&
        PyObject_SetAttr(future, call->st->gateway.t_asyncio_future_blocking,
                         Py_True) < 0)
        Py_CLEAR(future);
    return future;
}

/* 1: done or cancelled, 0: still waiting, -1: exception. */
static int
is_done(const struct guaco__gateway_state *gw, PyObject *future)
{
    PyObject *done = PyObject_CallMethodNoArgs(future, gw->t_done);
    if (done == NULL)
        return -1;
    int truth = PyObject_IsTrue(done);
    Py_DECREF(done);
    return truth;
}

/* *slot as a list, without the Futures that were cancelled meanwhile. */
static int
prune(const struct guaco__gateway_state *gw, PyObject **slot)
{
    PyObject *kept = PyList_New(0);
    PyObject *old = *slot;
    Py_ssize_t n = PyList_CheckExact(old) ? PyList_GET_SIZE(old) : 1;

    for (Py_ssize_t i = 0; kept != NULL && i < n; i++) {
        PyObject *one = PyList_CheckExact(old) ? PyList_GET_ITEM(old, i) : old;
        int done = is_done(gw, one);
        if (done < 0 || (done == 0 && PyList_Append(kept, one) < 0))
            Py_CLEAR(kept);
    }
    if (kept == NULL)
        return -1;
    *slot = kept;
    Py_DECREF(old);
    return 0;
}

PyObject *
guaco__asgi_wait(struct guaco__asgi_call *call, PyObject **slot)
{
    PyObject *future = future_new(call);

    if (future == NULL)
        return NULL;
    if (*slot == NULL) {
        *slot = Py_NewRef(future);
        return future;
    }
    if (prune(&call->st->gateway, slot) < 0 ||
        PyList_Append(*slot, future) < 0) {
        Py_DECREF(future);
        return NULL;
    }
    return future;
}

static void
wake_one(const struct guaco__gateway_state *gw, PyObject *future)
{
    PyObject *result = NULL;
    int done = is_done(gw, future);

    if (done == 0)
        result = PyObject_CallMethodOneArg(future, gw->t_set_result, Py_None);
    if (done < 0 || (done == 0 && result == NULL))
        PyErr_WriteUnraisable(future);
    Py_XDECREF(result);
}

void
guaco__asgi_wake(struct guaco__asgi_call *call, PyObject **slot)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    PyObject *waiting = *slot;

    *slot = NULL; /* waking may run the loop's call_soon: look at it no more */
    if (waiting == NULL)
        return;
    if (!PyList_CheckExact(waiting)) {
        wake_one(gw, waiting);
    } else {
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(waiting); i++)
            wake_one(gw, PyList_GET_ITEM(waiting, i));
    }
    Py_DECREF(waiting);
}

/* ---- the end ------------------------------------------------------------ */

static void
report(struct guaco__asgi_call *call, const char *text, PyObject *exc)
{
    if (call->asgi == NULL)
        return;
    PyObject *hook = call->asgi->options.report;
    PyObject *done =
        PyObject_CallFunction(hook, "sO", text, exc != NULL ? exc : Py_None);
    if (done == NULL)
        PyErr_WriteUnraisable(hook);
    Py_XDECREF(done);
}

static void
break_off(struct guaco__asgi_call *call)
{
    if (call->phase == GUACO__ASGI_OVER)
        return;
    call->phase = GUACO__ASGI_OVER;
    if (call->x != NULL)
        guaco_exchange_abort(call->x);
}

/* What the application left undone, or NULL. */
static const char *
left_undone(const struct guaco__asgi_call *call)
{
    switch (call->phase) {
    case GUACO__ASGI_BEGUN:
        return "the ASGI application returned without a response";
    case GUACO__ASGI_STARTED:
    case GUACO__ASGI_DENIED:
        return "the ASGI application returned before its response was whole";
    case GUACO__ASGI_TRAILERS:
        return "the ASGI application returned before its trailers";
    case GUACO__ASGI_CONNECTING:
        return "the ASGI application returned without accepting or closing "
               "the WebSocket";
    case GUACO__ASGI_OPEN:
    case GUACO__ASGI_OVER: return NULL;
    }
    return NULL;
}

static void
judge_return(struct guaco__asgi_call *call, PyObject *result)
{
    const char *undone = left_undone(call);

    if (result != Py_None) {
        report(call, "the ASGI application did not return None", NULL);
        break_off(call);
    }
    if (call->x == NULL)
        return;
    /* Told that the client is gone, it may well leave its response undone. */
    if (undone != NULL && call->phase != GUACO__ASGI_OVER &&
        !call->is_told_gone)
        report(call, undone, NULL);
    if (undone != NULL)
        break_off(call);
    if (call->phase == GUACO__ASGI_OPEN) {
        call->phase = GUACO__ASGI_OVER;
        (void)guaco_exchange_close(call->x, 1000, (struct guaco_slice){0});
    }
}

/* True when what was raised comes of ClientDisconnected of our own. */
static bool
is_disconnect(struct guaco__asgi_call *call, PyObject *exc)
{
    if (call->x != NULL && call->phase != GUACO__ASGI_OVER &&
        !call->is_told_gone)
        return false;
    PyObject *answer = PyObject_CallOneArg(call->asgi->options.disconnect, exc);
    int truth = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    if (truth < 0)
        PyErr_WriteUnraisable(exc);
    return truth > 0;
}

static void
judge_exception(struct guaco__asgi_call *call, PyObject *exc)
{
    if (!call->is_cancelled && !is_disconnect(call, exc))
        report(call, "exception in the ASGI application", exc);
    break_off(call);
}

static void
judge(struct guaco__asgi_call *call, PyObject *result)
{
    if (result != NULL) {
        judge_return(call, result);
        Py_DECREF(result);
        return;
    }
    PyObject *exc = guaco__exc_take();
    judge_exception(call, exc);
    Py_XDECREF(exc);
}

void
guaco__asgi_call_done(struct guaco__asgi_call *call)
{
    PyObject *task = call->task;

    assert(task != NULL);
    assert(!call->is_done);
    if (call->tag != NULL)
        guaco__tag_look(call->tag, true);
    call->task = NULL;
    call->is_done = true;
    if (call->asgi != NULL) {
        judge(call,
              PyObject_CallMethodNoArgs(task, call->st->gateway.t_result));
        guaco__guest_touch(call->asgi->options.guest);
        if (call->x == NULL)
            guaco__asgi_call_end(call);
    }
    Py_DECREF(task);
}

void
guaco__asgi_call_gone(struct guaco__asgi_call *call,
                      enum guaco_gone_reason reason)
{
    call->x = NULL;
    call->gone_reason = reason;
    call->is_full = false;
    if (!call->is_started || call->is_done) {
        guaco__asgi_call_end(call);
        return;
    }
    guaco__asgi_wake(call, &call->senders);
    guaco__asgi_wake(call, &call->receivers);
}

/* ---- the start ---------------------------------------------------------- */

static PyObject *
coroutine_of(struct guaco__asgi_call *call)
{
    struct guaco__asgi *asgi = call->asgi;
    PyObject *scope = guaco__asgi_scope(asgi, call->x->request);

    if (scope == NULL)
        return NULL;
    PyObject *args[] = {NULL, scope, call->receive, call->send};
    PyObject *coro =
        PyObject_Vectorcall(asgi->options.callable, args + 1,
                            3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (call->st->board != NULL)
        call->tag = guaco__tag_of_request(call->st, scope);
    Py_DECREF(scope);
    if (call->st->board != NULL && call->tag == NULL)
        Py_CLEAR(coro);
    return coro;
}

/* The Task copies the context that is current: the application's, in which
 * its lifespan ran. */
static PyObject *
spawn(struct guaco__asgi_call *call, PyObject *coro)
{
    struct guaco__asgi *asgi = call->asgi;

    if (PyContext_Enter(asgi->context) < 0)
        return NULL;
    PyObject *token = call->tag != NULL ? guaco__tag_enter(call->tag) : NULL;
    struct guaco__guest *guest = asgi->options.guest;
    PyObject *task = guest != NULL ? guaco__guest_spawn(guest, coro)
                                   : guaco__py_spawn(asgi->options.loop, coro);
    PyObject *exc = task == NULL ? guaco__exc_take() : NULL;
    if (token != NULL)
        guaco__tag_leave(call->tag, token);
    if (PyContext_Exit(asgi->context) < 0)
        PyErr_WriteUnraisable(asgi->context);
    if (exc != NULL)
        guaco__exc_raise(exc);
    return task;
}

/* Look at the Task after its first step. */
static void
first_step_done(struct guaco__asgi_call *call)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    int done = is_done(gw, call->task);

    if (done > 0) {
        guaco__asgi_call_done(call);
        return;
    }
    PyObject *none =
        done < 0 ? NULL
                 : PyObject_CallMethodOneArg(
                       call->task, gw->t_add_done_callback, (PyObject *)call);
    if (none == NULL)
        PyErr_WriteUnraisable(call->task);
    Py_XDECREF(none);
}

void
guaco__asgi_call_start(struct guaco__asgi_call *call)
{
    assert(!call->is_started);
    call->is_started = true;

    PyObject *coro = coroutine_of(call);
    struct guaco__board_slot *slot =
        call->tag != NULL ? guaco__py_board_slot(call->st) : NULL;
    if (slot != NULL)
        guaco__tag_show(call->tag, slot);
    call->task = coro == NULL ? NULL : spawn(call, coro);
    if (slot != NULL)
        guaco__tag_show(NULL, slot);
    if (call->tag != NULL)
        guaco__tag_look(call->tag, call->task == NULL);
    Py_XDECREF(coro);
    if (call->task != NULL) {
        first_step_done(call);
        return;
    }
    call->is_done = true;
    if (PyErr_ExceptionMatches(PyExc_SystemExit) ||
        PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        if (call->asgi->options.guest != NULL)
            guaco__guest_break(call->asgi->options.guest);
        else
            guaco__py_loop_break(call->asgi->options.loop);
        break_off(call);
        return;
    }
    judge(call, NULL);
}
