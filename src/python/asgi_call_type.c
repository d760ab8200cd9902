/*
 * Call: the state of one ASGI request or WebSocket.  In Python it would read
 *
 *     class Call:
 *         send: Send          # what the application was given
 *         receive: Receive
 *         task: asyncio.Task | None
 *         def __call__(self, task): ...   # the Task's done callback
 *
 * It is an object so that send() and receive() may outlive the request and so
 * that the collector sees through it.  Call, Send and Receive refer to one
 * another; the circle is cut when the call is over, or, when nobody kept any
 * of the three, left as it is and used for the next request.
 */

#include "asgi.h"

#include <assert.h>

#include "module.h"

typedef struct guaco__asgi_call CallObject;

/* ---- life --------------------------------------------------------------- */

static CallObject *
call_create(struct guaco__asgi *asgi)
{
    PyTypeObject *type = asgi->st->gateway.CallType;
    CallObject *call = (CallObject *)type->tp_alloc(type, 0);

    if (call == NULL)
        return NULL;
    call->st = asgi->st;
    guaco__list_init(&call->link);
    guaco__buf_init(&call->rest, SIZE_MAX / 4);
    call->send = guaco__asgi_send_new(call);
    call->receive = guaco__asgi_receive_new(call);
    if (call->send == NULL || call->receive == NULL) {
        Py_CLEAR(call->send);
        Py_CLEAR(call->receive);
        Py_DECREF(call);
        return NULL;
    }
    return call;
}

CallObject *
guaco__asgi_call_new(struct guaco__asgi *asgi, struct guaco_exchange *x)
{
    CallObject *call = asgi->spare_count > 0 ? asgi->spare[--asgi->spare_count]
                                             : call_create(asgi);
    if (call == NULL)
        return NULL;

    call->asgi = asgi;
    call->x = x;
    call->is_websocket = x->request->kind == GUACO_REQUEST_WEBSOCKET;
    call->phase =
        call->is_websocket ? GUACO__ASGI_CONNECTING : GUACO__ASGI_BEGUN;
    guaco__list_push(&asgi->calls, &call->link);
    return call;
}

/* Drop what belongs to one request; `send` and `receive` stay. */
static void
call_reset(CallObject *call)
{
    call->asgi = NULL;
    call->x = NULL;
    Py_CLEAR(call->tag);
    Py_CLEAR(call->task);
    Py_CLEAR(call->receivers);
    Py_CLEAR(call->senders);
    Py_CLEAR(call->piece);
    guaco__buf_release(&call->rest);
    Py_CLEAR(call->trailer_list);
    guaco__asgi_messages_clear(call);
    Py_CLEAR(call->close_reason);
}

/* A call that was reset begins anew with these all false. */
static void
call_forget(CallObject *call)
{
    call->is_websocket = false;
    call->is_started = false;
    call->is_done = false;
    call->is_full = false;
    call->is_half_closed = false;
    call->is_told_gone = false;
    call->is_cancelled = false;
    call->has_asked = false;
    call->is_whole = false;
    call->is_last_given = false;
    call->is_connect_given = false;
    call->is_closed = false;
    call->close_code = 0;
}

void
guaco__asgi_call_end(CallObject *call)
{
    struct guaco__asgi *asgi = call->asgi;
    struct guaco__gateway_state *gw = &call->st->gateway;

    assert(call->x == NULL);
    assert(asgi != NULL);
    guaco__list_remove(&call->link);
    call_reset(call);
    /* The last event given may still hang on the shared StopIteration. */
    Py_CLEAR(((PyStopIterationObject *)gw->stop)->value);

    if (Py_REFCNT(call) == 3 && Py_REFCNT(call->send) == 1 &&
        Py_REFCNT(call->receive) == 1 &&
        asgi->spare_count < GUACO__ASGI_SPARE) {
        call_forget(call);
        asgi->spare[asgi->spare_count++] = call; /* the list's reference */
        return;
    }
    Py_CLEAR(call->send);
    Py_CLEAR(call->receive);
    Py_DECREF(call);
}

/* ---- table -------------------------------------------------------------- */

/* Added to the Task when its first step was not its last. */
static PyObject *
call_call(CallObject *call, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    if (call->task != NULL)
        guaco__asgi_call_done(call);
    Py_RETURN_NONE;
}

static int
call_traverse(CallObject *call, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(call));
    Py_VISIT(call->send);
    Py_VISIT(call->receive);
    Py_VISIT(call->tag);
    Py_VISIT(call->task);
    Py_VISIT(call->receivers);
    Py_VISIT(call->senders);
    Py_VISIT(call->trailer_list);
    return 0;
}

static int
call_clear(CallObject *call)
{
    Py_CLEAR(call->send);
    Py_CLEAR(call->receive);
    Py_CLEAR(call->task);
    Py_CLEAR(call->receivers);
    Py_CLEAR(call->senders);
    Py_CLEAR(call->trailer_list);
    return 0;
}

static void
call_dealloc(CallObject *call)
{
    PyTypeObject *type = Py_TYPE(call);

    assert(guaco__list_is_empty(&call->link));
    PyObject_GC_UnTrack(call);
    call_reset(call);
    call_clear(call);
    type->tp_free(call);
    Py_DECREF(type);
}

static PyType_Slot call_slots[] = {
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_call, call_call},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "guaco._core.Call",
    .basicsize = sizeof(CallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};

int
guaco__call_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.CallType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &call_spec, NULL);
    return st->gateway.CallType == NULL ? -1 : 0;
}
