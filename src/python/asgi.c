/* What the waist tells an ASGI application, and the application's own life. */

#include "asgi.h"

#include <assert.h>

#include "module.h"

/* The application's space in an exchange. */
struct space {
    struct guaco__asgi_call *call; /* borrowed: asgi->calls owns it */
};

static struct guaco__asgi *
asgi_of(struct guaco_app *app)
{
    return (struct guaco__asgi *)(void *)app;
}

static struct guaco__asgi_call *
call_of(const struct guaco_exchange *x)
{
    struct space *space = x->app_space;
    assert(space->call != NULL);
    assert(space->call->x == x);
    return space->call;
}

/* ---- ops ---------------------------------------------------------------- */

/* A body that is here already comes by `end`, before the next request: then
 * the application starts, and never has to wait for it. */
static int
asgi_begin(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco__asgi_call *call = guaco__asgi_call_new(asgi_of(app), x);

    if (call == NULL) {
        PyErr_WriteUnraisable(NULL);
        return GUACO_E_NOMEM;
    }
    ((struct space *)x->app_space)->call = call;
    if (call->is_websocket || !x->request->body_is_here)
        guaco__asgi_call_start(call);
    return 0;
}

static void
asgi_body(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x,
          struct guaco_slice data)
{
    struct guaco__asgi_call *call = call_of(x);
    int rc = 0;

    assert(data.len > 0);
    if (call->piece == NULL && call->rest.len == 0) {
        call->piece = PyBytes_FromStringAndSize(data.at, (Py_ssize_t)data.len);
        rc = call->piece == NULL ? GUACO_E_NOMEM : 0;
    } else {
        rc = guaco__buf_append(&call->rest, data.at, data.len);
    }
    if (rc < 0) {
        PyErr_Clear();
        guaco_exchange_abort(x);
        return;
    }
    guaco__asgi_wake(call, &call->receivers);
}

static void
asgi_end(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x)
{
    struct guaco__asgi_call *call = call_of(x);

    call->is_whole = true;
    if (!call->is_started)
        guaco__asgi_call_start(call);
    else
        guaco__asgi_wake(call, &call->receivers);
}

static void
asgi_message(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x,
             enum guaco_message_type type, struct guaco_slice data,
             uint16_t code)
{
    guaco__asgi_websocket_message(call_of(x), type, data, code);
}

static void
asgi_writable(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x)
{
    struct guaco__asgi_call *call = call_of(x);

    call->is_full = false;
    guaco__asgi_wake(call, &call->senders);
}

static void
asgi_half_closed(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x)
{
    struct guaco__asgi_call *call = call_of(x);

    call->is_half_closed = true;
    guaco__asgi_wake(call, &call->receivers);
}

static void
asgi_gone(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x,
          enum guaco_gone_reason reason)
{
    struct guaco__asgi_call *call = call_of(x);

    ((struct space *)x->app_space)->call = NULL;
    guaco__asgi_call_gone(call, reason);
}

static void
asgi_peer_gone(struct guaco_app *Py_UNUSED(app), struct guaco_peer *peer)
{
    guaco__asgi_peer_free(peer->app_cache);
    peer->app_cache = NULL;
}

/* WebSockets could live for ever: 1012, "service restart" (IANA registry of
 * RFC 6455).  Responses finish in their own time. */
static void
asgi_drain(struct guaco_app *app)
{
    struct guaco__asgi *asgi = asgi_of(app);
    struct guaco__list *head = &asgi->calls;

    asgi->is_draining = true;
    for (struct guaco__list *l = head->next, *n; n = l->next, l != head;
         l = n) {
        struct guaco__asgi_call *call =
            GUACO__OF(l, struct guaco__asgi_call, link);
        if (call->x != NULL && call->phase == GUACO__ASGI_OPEN)
            guaco__asgi_websocket_message(call, GUACO_MESSAGE_CLOSE,
                                          (struct guaco_slice){0}, 1012);
        if (call->x != NULL && call->phase == GUACO__ASGI_OPEN)
            (void)guaco_exchange_close(call->x, 1012, (struct guaco_slice){0});
    }
}

static const struct guaco_app_ops asgi_ops = {
    .abi = GUACO_APP_ABI,
    .name = "asgi",
    .exchange_bytes = sizeof(struct space),
    .begin = asgi_begin,
    .body = asgi_body,
    .end = asgi_end,
    .message = asgi_message,
    .writable = asgi_writable,
    .half_closed = asgi_half_closed,
    .gone = asgi_gone,
    .peer_gone = asgi_peer_gone,
    .drain = asgi_drain,
};

/* ---- life --------------------------------------------------------------- */

static int
asgi_init(struct guaco__asgi *asgi)
{
    PyObject *asyncio = PyImport_ImportModule("asyncio");
    if (asyncio == NULL)
        return -1;
    asgi->Future = PyObject_GetAttrString(asyncio, "Future");
    Py_DECREF(asyncio);
    asgi->future_kwargs = Py_BuildValue("{sO}", "loop", asgi->options.loop);
    asgi->context = PyContext_CopyCurrent();
    if (asgi->Future == NULL || asgi->future_kwargs == NULL ||
        asgi->context == NULL)
        return -1;
    return guaco__asgi_templates(asgi);
}

int
guaco__asgi_new(struct guaco__asgi **out, struct guaco_state *st,
                const struct guaco__asgi_options *options)
{
    struct guaco__asgi *asgi = PyMem_Calloc(1, sizeof *asgi);

    *out = NULL;
    if (asgi == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    asgi->app.ops = &asgi_ops;
    asgi->st = st;
    asgi->options = *options;
    Py_INCREF(options->loop);
    Py_INCREF(options->callable);
    Py_INCREF(options->state);
    Py_INCREF(options->report);
    Py_INCREF(options->disconnect);
    Py_INCREF(options->root_path);
    guaco__list_init(&asgi->calls);
    if (asgi_init(asgi) < 0) {
        guaco__asgi_free(asgi);
        return -1;
    }
    *out = asgi;
    return 0;
}

static void
spare_free(struct guaco__asgi *asgi)
{
    while (asgi->spare_count > 0) {
        struct guaco__asgi_call *call = asgi->spare[--asgi->spare_count];
        Py_CLEAR(call->send);
        Py_CLEAR(call->receive);
        Py_DECREF(call);
    }
}

void
guaco__asgi_free(struct guaco__asgi *asgi)
{
    if (asgi == NULL)
        return;
    while (!guaco__list_is_empty(&asgi->calls)) /* their Tasks still run */
        guaco__asgi_call_end(
            GUACO__OF(asgi->calls.next, struct guaco__asgi_call, link));
    spare_free(asgi);
    guaco__asgi_seen_clear(&asgi->seen);
    Py_XDECREF(asgi->about);
    Py_XDECREF(asgi->http_scope);
    Py_XDECREF(asgi->websocket_scope);
    Py_XDECREF(asgi->request_event);
    Py_XDECREF(asgi->Future);
    Py_XDECREF(asgi->future_kwargs);
    Py_XDECREF(asgi->context);
    Py_DECREF(asgi->options.loop);
    Py_DECREF(asgi->options.callable);
    Py_DECREF(asgi->options.state);
    Py_DECREF(asgi->options.report);
    Py_DECREF(asgi->options.disconnect);
    Py_DECREF(asgi->options.root_path);
    PyMem_Free(asgi);
}

int
guaco__asgi_traverse(struct guaco__asgi *asgi, visitproc visit, void *arg)
{
    const struct guaco__list *head = &asgi->calls;

    for (const struct guaco__list *l = head->next; l != head; l = l->next)
        Py_VISIT((PyObject *)GUACO__OF(l, struct guaco__asgi_call, link));
    for (size_t i = 0; i < asgi->spare_count; i++)
        Py_VISIT((PyObject *)asgi->spare[i]);
    Py_VISIT(asgi->future_kwargs);
    Py_VISIT(asgi->context);
    Py_VISIT(asgi->options.loop);
    Py_VISIT(asgi->options.callable);
    Py_VISIT(asgi->options.state);
    Py_VISIT(asgi->options.report);
    Py_VISIT(asgi->options.disconnect);
    return 0;
}

Py_ssize_t
guaco__asgi_cancel(struct guaco__asgi *asgi)
{
    const struct guaco__gateway_state *gw = &asgi->st->gateway;
    const struct guaco__list *head = &asgi->calls;
    Py_ssize_t n = 0;

    for (const struct guaco__list *l = head->next; l != head; l = l->next) {
        struct guaco__asgi_call *call =
            GUACO__OF(l, struct guaco__asgi_call, link);
        if (call->task == NULL)
            continue;
        n++;
        call->is_cancelled = true;
        PyObject *done = PyObject_CallMethodNoArgs(call->task, gw->t_cancel);
        if (done == NULL)
            PyErr_WriteUnraisable(call->task);
        Py_XDECREF(done);
    }
    return n;
}

Py_ssize_t
guaco__asgi_running(const struct guaco__asgi *asgi)
{
    const struct guaco__list *head = &asgi->calls;
    Py_ssize_t n = 0;

    for (const struct guaco__list *l = head->next; l != head; l = l->next)
        n += GUACO__OF(l, struct guaco__asgi_call, link)->task != NULL;
    return n;
}
