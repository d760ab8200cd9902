/*
 * An application in C.  Built as hello.so it is served by
 *
 *     guaco serve ./hello.so
 *
 * with no interpreter in the process.  GET / says hello, POST /echo sends the
 * body back as it comes, and a WebSocket on /echo sends its messages back.
 */

#include <stddef.h>

#include "guaco/http/app.h"
#include "guaco/route.h"

/* What is kept for each exchange, zeroed at its beginning. */
struct echo {
    bool is_echo;
    size_t owed; /* told while held, not consumed yet */
};

static int
hello(struct guaco_app *app, struct guaco_exchange *x)
{
    (void)app;
    return guaco_route_text(x, 200, GUACO_SLICE("Hello, world\n"));
}

static int
echo(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_field type = {GUACO_SLICE("content-type"),
                               GUACO_SLICE("application/octet-stream")};
    struct echo *own = x->app_space;

    (void)app;
    own->is_echo = true;
    guaco_exchange_consumed(x, 0);
    return guaco_exchange_start(x, 200, &type, 1, false);
}

static const struct guaco_route routes[] = {
    {"GET", "/", hello},
    {"POST", "/echo", echo},
    {NULL, NULL, NULL},
};

static int
on_begin(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_slice none = {NULL, 0};

    if (x->request->kind == GUACO_REQUEST_WEBSOCKET)
        return guaco_exchange_accept(x, none, NULL, 0);
    return guaco_route_begin(routes, app, x);
}

/* What came in has gone out, or waits: ask for more when it has gone. */
static void
settle(struct guaco_exchange *x, int rc, size_t bytes)
{
    struct echo *own = x->app_space;

    if (rc == GUACO_E_AGAIN) {
        own->owed += bytes;
    } else {
        guaco_exchange_consumed(x, bytes);
    }
}

static void
on_body(struct guaco_app *app, struct guaco_exchange *x,
        struct guaco_slice data)
{
    struct guaco_bytes piece = {data.at, data.len, NULL, NULL};
    struct echo *own = x->app_space;

    (void)app;
    if (own->is_echo)
        settle(x, guaco_exchange_body(x, piece, true), data.len);
    else
        guaco_exchange_consumed(x, data.len);
}

static void
on_end(struct guaco_app *app, struct guaco_exchange *x)
{
    struct echo *own = x->app_space;

    (void)app;
    if (own->is_echo)
        guaco_exchange_finish(x);
}

static void
on_message(struct guaco_app *app, struct guaco_exchange *x,
           enum guaco_message_type type, struct guaco_slice data, uint16_t code)
{
    struct guaco_bytes piece = {data.at, data.len, NULL, NULL};

    (void)app, (void)code;
    if (type != GUACO_MESSAGE_CLOSE)
        settle(x, guaco_exchange_send(x, type, piece), data.len);
}

static void
on_writable(struct guaco_app *app, struct guaco_exchange *x)
{
    struct echo *own = x->app_space;
    size_t owed = own->owed;

    (void)app;
    own->owed = 0;
    guaco_exchange_consumed(x, owed);
}

static void
on_gone(struct guaco_app *app, struct guaco_exchange *x,
        enum guaco_gone_reason reason)
{
    (void)app, (void)x, (void)reason;
}

static const struct guaco_app_ops ops = {
    .abi = GUACO_APP_ABI,
    .name = "hello",
    .exchange_bytes = sizeof(struct echo),
    .begin = on_begin,
    .body = on_body,
    .end = on_end,
    .message = on_message,
    .writable = on_writable,
    .gone = on_gone,
};

GUACO_API guaco_guest_open_fn guaco_guest_open;

int
guaco_guest_open(struct guaco_app **app, const char *arg,
                 struct guaco_error *err)
{
    static struct guaco_app hello_app = {&ops};

    (void)arg, (void)err;
    *app = &hello_app;
    return GUACO_OK;
}
