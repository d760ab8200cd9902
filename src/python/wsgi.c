/* What the waist tells a WSGI application, and the application's own life. */

#include "wsgi.h"

#include <assert.h>

#include "module.h"

/* The application's space in an exchange. */
struct space {
    struct guaco__wsgi_call *call; /* borrowed: wsgi->calls owns it */
};

static struct guaco__wsgi *
wsgi_of(struct guaco_app *app)
{
    return (struct guaco__wsgi *)(void *)app;
}

static struct guaco__wsgi_call *
call_of(const struct guaco_exchange *x)
{
    struct space *space = x->app_space;
    assert(space->call != NULL);
    return space->call;
}

/* ---- posts -------------------------------------------------------------- */

static void
on_post(struct guaco_exchange *Py_UNUSED(x), void *ctx)
{
    struct guaco__wsgi_call *call = ctx;

    call->is_scheduled = false;
    guaco__wsgi_continue(call);
    guaco__wsgi_call_try_end(call);
}

void
guaco__wsgi_post(struct guaco__wsgi_call *call)
{
    if (call->is_scheduled || call->held == NULL)
        return;
    call->is_scheduled = true;
    if (guaco_exchange_post(call->held, on_post, call) < 0)
        call->is_scheduled = false; /* the server ends: gone follows */
}

/* ---- ops ---------------------------------------------------------------- */

static int
wsgi_begin(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco__wsgi *wsgi = wsgi_of(app);
    struct guaco__wsgi_call *call = guaco__wsgi_call_new(wsgi, x);

    if (call != NULL)
        call->environ = guaco__wsgi_environ(wsgi, x);
    if (call == NULL || call->environ == NULL) {
        PyErr_WriteUnraisable(NULL);
        if (call != NULL) {
            call->x = NULL;
            guaco__wsgi_call_end(call);
        }
        return GUACO_E_NOMEM;
    }
    ((struct space *)x->app_space)->call = call;
    return 0;
}

static void
wsgi_body(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *Py_UNUSED(x),
          struct guaco_slice Py_UNUSED(data))
{
    /* never told: wants_whole_body */
}

static void
wsgi_end(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco__wsgi_call *call = call_of(x);
    PyObject *pool = wsgi_of(app)->options.pool;

    if (pool != Py_None)
        guaco__pool_put(pool, call);
    else
        guaco__wsgi_run(call);
}

static void
wsgi_message(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x,
             enum guaco_message_type Py_UNUSED(type),
             struct guaco_slice Py_UNUSED(data), uint16_t Py_UNUSED(code))
{
    guaco_exchange_abort(x); /* WSGI accepts no WebSocket */
}

static void
wsgi_writable(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x)
{
    struct guaco__wsgi_call *call = call_of(x);

    call->is_full = false;
    guaco__wsgi_continue(call);
}

static void
wsgi_gone(struct guaco_app *Py_UNUSED(app), struct guaco_exchange *x,
          enum guaco_gone_reason Py_UNUSED(reason))
{
    struct guaco__wsgi_call *call = call_of(x);

    ((struct space *)x->app_space)->call = NULL;
    call->x = NULL;
    call->is_full = false;
    if (call->is_running) {
        guaco__pool_wake(call);
        return;
    }
    guaco__wsgi_close(call);
    guaco__wsgi_call_try_end(call);
}

static void
wsgi_peer_gone(struct guaco_app *Py_UNUSED(app), struct guaco_peer *peer)
{
    guaco__wsgi_peer_free(peer->app_cache);
    peer->app_cache = NULL;
}

static const struct guaco_app_ops wsgi_ops = {
    .abi = GUACO_APP_ABI,
    .name = "wsgi",
    .exchange_bytes = sizeof(struct space),
    .wants_whole_body = true,
    .begin = wsgi_begin,
    .body = wsgi_body,
    .end = wsgi_end,
    .message = wsgi_message,
    .writable = wsgi_writable,
    .gone = wsgi_gone,
    .peer_gone = wsgi_peer_gone,
};

/* ---- life --------------------------------------------------------------- */

int
guaco__wsgi_new(struct guaco__wsgi **out, struct guaco_state *st,
                const struct guaco__wsgi_options *options)
{
    struct guaco__wsgi *wsgi = PyMem_Calloc(1, sizeof *wsgi);

    *out = NULL;
    if (wsgi == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    wsgi->app.ops = &wsgi_ops;
    wsgi->st = st;
    wsgi->options = *options;
    Py_INCREF(options->callable);
    Py_INCREF(options->report);
    Py_INCREF(options->errors);
    Py_INCREF(options->root_path);
    Py_INCREF(options->pool);
    guaco__list_init(&wsgi->calls);
    wsgi->empty_input = guaco__input_new(st, st->gateway.empty_bytes, -1);
    if (wsgi->empty_input == NULL || guaco__wsgi_template(wsgi) < 0) {
        guaco__wsgi_free(wsgi);
        return -1;
    }
    *out = wsgi;
    return 0;
}

static void
spare_free(struct guaco__wsgi *wsgi)
{
    while (wsgi->spare_count > 0) {
        struct guaco__wsgi_call *call = wsgi->spare[--wsgi->spare_count];
        Py_CLEAR(call->write);
        Py_DECREF(call);
    }
}

void
guaco__wsgi_free(struct guaco__wsgi *wsgi)
{
    if (wsgi == NULL)
        return;
    while (!guaco__list_is_empty(&wsgi->calls)) {
        struct guaco__wsgi_call *call =
            GUACO__OF(wsgi->calls.next, struct guaco__wsgi_call, link);
        if (call->is_running) {
            guaco__wsgi_call_forsake(call);
        } else {
            guaco__wsgi_close(call);
            guaco__wsgi_call_end(call);
        }
    }
    spare_free(wsgi);
    guaco__wsgi_seen_clear(&wsgi->seen);
    Py_XDECREF(wsgi->environ);
    Py_XDECREF(wsgi->empty_input);
    Py_DECREF(wsgi->options.callable);
    Py_DECREF(wsgi->options.report);
    Py_DECREF(wsgi->options.errors);
    Py_DECREF(wsgi->options.root_path);
    Py_DECREF(wsgi->options.pool);
    PyMem_Free(wsgi);
}

int
guaco__wsgi_traverse(struct guaco__wsgi *wsgi, visitproc visit, void *arg)
{
    const struct guaco__list *head = &wsgi->calls;

    for (const struct guaco__list *l = head->next; l != head; l = l->next)
        Py_VISIT((PyObject *)GUACO__OF(l, struct guaco__wsgi_call, link));
    for (size_t i = 0; i < wsgi->spare_count; i++)
        Py_VISIT((PyObject *)wsgi->spare[i]);
    Py_VISIT(wsgi->environ);
    Py_VISIT(wsgi->options.callable);
    Py_VISIT(wsgi->options.report);
    Py_VISIT(wsgi->options.errors);
    Py_VISIT(wsgi->options.pool);
    return 0;
}

Py_ssize_t
guaco__wsgi_running(const struct guaco__wsgi *wsgi)
{
    const struct guaco__list *head = &wsgi->calls;
    Py_ssize_t n = 0;

    for (const struct guaco__list *l = head->next; l != head; l = l->next)
        n += GUACO__OF(l, struct guaco__wsgi_call, link)->is_running;
    return n;
}
