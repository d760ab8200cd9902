/* The request's side: the contract is in request.h. */

#include "server/request.h"

#include "server/conn.h"

static bool
is_spooling(const struct guaco__exchange *x)
{
    return x->server->app->ops->wants_whole_body && !x->is_begun &&
           x->socket == NULL;
}

static int
tell_begin(struct guaco__exchange *x)
{
    struct guaco_app *app = x->server->app;
    int rc = app->ops->begin(app, &x->face);

    x->is_begun = rc == GUACO_OK;
    return rc;
}

/* Tell the client to send its body (RFC 9110 10.1.1). */
static void
send_continue(struct guaco__exchange *x)
{
    x->expects_continue = false;
    if (x->wire->inform(x, 100, NULL, 0) < 0)
        x->conn->has_failed = true;
    guaco__conn_touch(x->conn);
}

int
guaco__request_begin(struct guaco__exchange *x, size_t here_bytes)
{
    int64_t body_bytes = x->request.body_bytes;

    x->request.body_is_here =
        body_bytes >= 0 && (uint64_t)body_bytes <= here_bytes;
    if (!x->server->app->ops->wants_whole_body || body_bytes == 0 ||
        x->socket != NULL)
        return tell_begin(x);
    x->request.body_is_here = true; /* it will be, once begin is told */
    if (x->expects_continue)
        send_continue(x);
    return GUACO_OK;
}

static int
on_body(struct guaco__exchange *x, struct guaco_slice data)
{
    struct guaco_app *app = x->server->app;

    x->expects_continue = false; /* it did not wait */
    if (is_spooling(x) || x->answer == GUACO__ANSWER_OVER) {
        x->wire->consumed(x, data.len);
        return is_spooling(x) ? guaco__spool_add(&x->spool, data) : GUACO_OK;
    }
    x->unconsumed_bytes += data.len;
    app->ops->body(app, &x->face, data);
    return GUACO_OK;
}

static int
on_end(struct guaco__exchange *x)
{
    struct guaco_app *app = x->server->app;

    x->body_is_done = true;
    x->expects_continue = false;
    if (is_spooling(x)) {
        int rc = tell_begin(x);

        if (rc < 0)
            return rc;
    }
    if (x->answer != GUACO__ANSWER_OVER && x->socket == NULL)
        app->ops->end(app, &x->face);
    return GUACO_OK;
}

int
guaco__request_event(struct guaco__exchange *x,
                     const struct guaco_http_event *event)
{
    switch (event->type) {
    case GUACO_HTTP_BODY: return on_body(x, event->data);
    case GUACO_HTTP_DONE: return on_end(x);
    case GUACO_HTTP_TRAILER: /* checked, and of no use to an application */
    case GUACO_HTTP_NEED_MORE:
    case GUACO_HTTP_HEAD: break;
    }
    return GUACO_OK;
}

bool
guaco__request_is_full(const struct guaco__exchange *x)
{
    return x->unconsumed_bytes >= x->server->options.limits.window_bytes;
}

void
guaco__request_consumed_op(struct guaco_exchange *face, size_t bytes)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    bool was_full;

    if (x->conn == NULL)
        return;
    was_full = guaco__request_is_full(x);
    if (bytes > x->unconsumed_bytes)
        bytes = x->unconsumed_bytes;
    x->unconsumed_bytes -= bytes;
    if (bytes > 0)
        x->wire->consumed(x, bytes);
    if (x->expects_continue && x->answer == GUACO__ANSWER_NONE)
        send_continue(x);
    if (was_full && !guaco__request_is_full(x))
        guaco__conn_touch(x->conn);
}

int
guaco__request_spooled_op(struct guaco_exchange *face, struct guaco_slice *data,
                          int *fd)
{
    struct guaco__exchange *x = guaco__exchange_of(face);

    if (x->conn == NULL || !x->server->app->ops->wants_whole_body ||
        !x->body_is_done)
        return GUACO_E_STATE;
    *data = guaco__buf_slice(&x->spool.memory);
    *fd = x->spool.fd;
    return GUACO_OK;
}
