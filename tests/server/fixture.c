#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct guaco_slice
text(const char *at)
{
    return (struct guaco_slice){at, strlen(at)};
}

static int
answer(struct guaco_exchange *x, const char *body)
{
    struct guaco_bytes piece = {body, strlen(body), NULL, NULL};
    int rc = guaco_exchange_start(x, 200, NULL, 0, false);

    return rc < 0 ? rc : guaco_exchange_body(x, piece, false);
}

static void
free_owned(void *owner)
{
    free(owner);
}

static int
answer_big(struct guaco_exchange *x)
{
    struct guaco_bytes piece = {NULL, BIG_BYTES, free_owned, NULL};
    int rc = guaco_exchange_start(x, 200, NULL, 0, false);
    char *own;

    if (rc < 0)
        return rc;
    own = malloc(BIG_BYTES);
    if (own == NULL)
        return GUACO_E_NOMEM;
    memset(own, 'x', BIG_BYTES);
    piece.at = piece.owner = own;
    rc = guaco_exchange_body(x, piece, false);
    if (rc < 0 && rc != GUACO_E_AGAIN)
        free(own);
    return GUACO_OK;
}

static int
answer_half(struct guaco_exchange *x)
{
    struct guaco_bytes piece = {"half", 4, NULL, NULL};
    int rc = guaco_exchange_start(x, 200, NULL, 0, false);

    if (rc < 0)
        return rc;
    guaco_exchange_body(x, piece, true);
    guaco_exchange_abort(x);
    return GUACO_OK;
}

static bool
has_path(struct guaco_exchange *x, const char *path)
{
    return guaco_slice_equals(x->request->path, text(path));
}

static int
dispatch(struct fixture *f, struct guaco_exchange *x)
{
    if (has_path(x, "/refuse"))
        return GUACO_E_LIMIT;
    if (has_path(x, "/"))
        return answer(x, "hello");
    if (has_path(x, "/big"))
        return answer_big(x);
    if (has_path(x, "/abort"))
        return answer_half(x);
    if (has_path(x, "/echo"))
        return guaco_exchange_start(x, 200, NULL, 0, false);
    f->later = x;
    return GUACO_OK;
}

static int
on_begin(struct guaco_app *app, struct guaco_exchange *x)
{
    struct fixture *f = (struct fixture *)(void *)app;
    int rc;

    guaco__buf_printf(&f->log, "begin %.*s;", (int)x->request->path.len,
                      x->request->path.at);
    rc = dispatch(f, x);
    if (rc == GUACO_E_CLOSED || rc == GUACO_E_NOMEM)
        rc = GUACO_E_NOMEM;
    if (rc == GUACO_OK)
        f->open_count++;
    else
        f->later = NULL;
    return rc;
}

static void
on_body(struct guaco_app *app, struct guaco_exchange *x,
        struct guaco_slice data)
{
    struct fixture *f = (struct fixture *)(void *)app;
    struct guaco_bytes piece = {data.at, data.len, NULL, NULL};

    guaco__buf_printf(&f->log, "body %zu;", data.len);
    if (has_path(x, "/echo"))
        guaco_exchange_body(x, piece, true);
    if (f->consumes > 0) {
        f->consumes--;
        guaco_exchange_consumed(x, data.len);
    }
}

static void
on_end(struct guaco_app *app, struct guaco_exchange *x)
{
    struct fixture *f = (struct fixture *)(void *)app;

    guaco__buf_printf(&f->log, "end;");
    if (has_path(x, "/echo"))
        guaco_exchange_finish(x);
}

static void
on_message(struct guaco_app *app, struct guaco_exchange *x,
           enum guaco_message_type type, struct guaco_slice data, uint16_t code)
{
    struct fixture *f = (struct fixture *)(void *)app;
    struct guaco_bytes piece = {data.at, data.len, NULL, NULL};

    guaco__buf_printf(&f->log, "message %d %zu %d;", (int)type, data.len, code);
    if (type != GUACO_MESSAGE_CLOSE && has_path(x, "/echo"))
        guaco_exchange_send(x, type, piece);
    if (f->consumes > 0) {
        f->consumes--;
        guaco_exchange_consumed(x, data.len);
    }
}

static void
on_writable(struct guaco_app *app, struct guaco_exchange *x)
{
    struct fixture *f = (struct fixture *)(void *)app;

    (void)x;
    guaco__buf_printf(&f->log, "writable;");
}

static void
on_half_closed(struct guaco_app *app, struct guaco_exchange *x)
{
    struct fixture *f = (struct fixture *)(void *)app;

    (void)x;
    guaco__buf_printf(&f->log, "half_closed;");
}

static void
on_gone(struct guaco_app *app, struct guaco_exchange *x,
        enum guaco_gone_reason reason)
{
    struct fixture *f = (struct fixture *)(void *)app;

    guaco__buf_printf(&f->log, "gone %d;", (int)reason);
    assert_true(f->open_count > 0);
    f->open_count--;
    if (f->later == x)
        f->later = NULL;
}

static void
on_drain(struct guaco_app *app)
{
    struct fixture *f = (struct fixture *)(void *)app;

    guaco__buf_printf(&f->log, "drain;");
}

void
fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->ops = (struct guaco_app_ops){
        .abi = GUACO_APP_ABI,
        .name = "test",
        .exchange_bytes = 16,
        .begin = on_begin,
        .body = on_body,
        .end = on_end,
        .message = on_message,
        .writable = on_writable,
        .half_closed = on_half_closed,
        .gone = on_gone,
        .drain = on_drain,
    };
    f->app.ops = &f->ops;
    f->consumes = SIZE_MAX;
    guaco__buf_init(&f->log, 1 << 20);
    guaco__server_options_init(&f->options);
    f->options.server_name = NULL;
    f->options.has_date = false;
}

void
fixture_open(struct fixture *f)
{
    struct guaco_error err = {0};

    assert_int_equal(guaco__loop_new(&f->loop, &err), 0);
    assert_int_equal(
        guaco__server_new(&f->server, f->loop, &f->app, &f->options, &err), 0);
    assert_int_equal(guaco__server_start(f->server, &err), 0);
}

void
fixture_close(struct fixture *f)
{
    guaco__server_free(f->server);
    assert_int_equal(f->open_count, 0); /* each that began is gone */
    guaco__loop_free(f->loop);
    guaco__buf_release(&f->log);
}

void
fixture_turns(struct fixture *f)
{
    for (int i = 0; i < 8; i++)
        guaco__loop_run(f->loop, GUACO__LOOP_NOWAIT);
}

const char *
fixture_told(struct fixture *f)
{
    const char *told = "";

    guaco__buf_text(&f->log, &told);
    guaco__buf_reset(&f->log);
    return told;
}

void
fixture_pass(struct fixture *f, uint64_t ms)
{
    guaco__deadlines_run(&f->server->deadlines,
                         guaco__server_now_ms(f->server) + ms);
    fixture_turns(f);
}

bool
client_try_open(struct client *c, struct fixture *f)
{
    int pair[2];

    memset(c, 0, sizeof(*c));
    c->f = f;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    c->fd = pair[0];
    assert_true(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0);
    if (guaco__server_adopt(f->server, pair[1], NULL) == GUACO_OK)
        return true;
    close(pair[0]);
    close(pair[1]);
    return false;
}

void
client_open(struct client *c, struct fixture *f)
{
    assert_true(client_try_open(c, f));
}

void
client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    fixture_turns(c->f);
}

void
client_say_bytes(struct client *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

        if (n < 0)
            break; /* it does not read, or has closed: the test will see */
        data += n;
        len -= (size_t)n;
        fixture_turns(c->f);
    }
    fixture_turns(c->f);
}

void
client_say(struct client *c, const char *what)
{
    client_say_bytes(c, what, strlen(what));
}

const char *
client_hear(struct client *c)
{
    size_t len = 0;
    char piece[65536];

    for (;;) {
        ssize_t n = recv(c->fd, piece, sizeof(piece), 0);

        if (n == 0)
            c->is_closed = true;
        else if (n < 0 && errno == ECONNRESET)
            c->is_closed = c->is_reset = true;
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n && len < sizeof(c->heard) - 1; i++)
            c->heard[len++] = piece[i];
        c->total += (size_t)n;
        fixture_turns(c->f);
    }
    c->heard[len] = '\0';
    return c->heard;
}
