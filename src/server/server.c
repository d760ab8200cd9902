/* The server: options, listeners, draining.  The contract is in server.h. */

#include "server/server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "http/fields.h"
#include "io/tls.h"
#include "server/conn.h"
#include "server/metering.h"
#include "server/server_int.h"

enum {
    EXCHANGE_BYTES_MAX = 4096, /* of an application's own space */
    SERVER_NAME_MAX = 128,
    WS_DEFLATE_FROM = 256, /* bytes: shorter messages hardly shrink */
};

void
guaco__server_options_init(struct guaco__server_options *options)
{
    *options = (struct guaco__server_options){
        .limits =
            {
                .connections_max = 10000,
                .head_bytes_max = 32768,
                .fields_max = 100,
                .body_bytes_max = UINT64_C(1) << 30,
                .window_bytes = 65536,
                .spool_bytes = 65536,
                .out_high_bytes = 65536,
                .out_low_bytes = 16384,
                .drain_bytes_max = 262144,
                .handshake_ms = 10000,
                .head_ms = 15000,
                .body_ms = 30000,
                .idle_ms = 75000,
                .send_ms = 30000,
                .drain_ms = 250,
                .linger_ms = 2000,
                .ws_message_bytes_max = 1 << 20,
                .ws_frame_bytes_max = 1 << 20,
                .ws_ping_interval_ms = 20000,
                .ws_ping_timeout_ms = 20000,
                .ws_close_ms = 5000,
                .h2_streams_max = 128,
                .h2_resets_max = 200,
                .h2_controls_max = 2000,
                .h2_window_bytes = 1 << 20,
            },
        .access_fd = -1,
        .server_name = "guaco",
        .has_date = true,
        .pulse_fd = -1,
        .has_h1 = true,
        .has_h2 = true,
        .ws_deflate = true,
    };
    guaco__statics_init(&options->statics);
    guaco__compression_init(&options->compression);
}

static int
check_options(const struct guaco__server_options *options,
              const struct guaco_app *app, struct guaco_error *err)
{
    const struct guaco__server_limits *l = &options->limits;
    struct guaco_slice name = {options->server_name, 0};

    if (app->ops->abi != GUACO_APP_ABI)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "the application has ABI %u, this server %d",
                          (unsigned)app->ops->abi, GUACO_APP_ABI);
    if (app->ops->exchange_bytes > EXCHANGE_BYTES_MAX)
        return guaco_fail(
            err, GUACO_E_INVALID, 0,
            "the application wants more than %d bytes an exchange",
            EXCHANGE_BYTES_MAX);
    if (l->connections_max == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0, "connections_max is 0");
    if (l->head_bytes_max < 256 || l->head_bytes_max > (1U << 24))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "head_bytes_max is not in 256 to 2^24");
    if (l->fields_max == 0 || l->fields_max > 10000)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "fields_max is not in 1 to 10000");
    if (l->window_bytes == 0 || l->spool_bytes == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "window_bytes or spool_bytes is 0");
    if (l->window_bytes > INT32_MAX || l->h2_window_bytes < 65535 ||
        l->h2_window_bytes > INT32_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "h2_window_bytes is not in 65535 to 2^31-1");
    if (!options->has_h1 && !options->has_h2)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "neither HTTP/1 nor HTTP/2 is to be spoken");
    if (l->h2_streams_max == 0 || l->h2_resets_max == 0 ||
        l->h2_controls_max == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0, "a limit of HTTP/2 is 0");
    if (l->out_low_bytes > l->out_high_bytes)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "out_low_bytes is over out_high_bytes");
    if (options->proxies.reads_protocol &&
        guaco__trust_is_empty(&options->proxies.protocol))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "nobody may send a PROXY header");
    if (name.at != NULL)
        name.len = strlen(name.at);
    if (name.len > SERVER_NAME_MAX ||
        (name.len > 0 && !guaco__is_field_value(name)))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "the server's name is no field value");
    return GUACO_OK;
}

/* Frames of 32 bytes and more pass, in a message as large as is allowed; the
 * limit is there for empty ones, of which there is no end. */
static uint32_t
fragments_max(const struct guaco__server_limits *l)
{
    size_t n = 1024 + l->ws_message_bytes_max / 32;

    if (l->ws_fragments_max != 0)
        return l->ws_fragments_max;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* The limits of the parser and of WebSocket, derived from the server's. */
static void
set_http_limits(struct guaco__server *server)
{
    const struct guaco__server_limits *l = &server->options.limits;
    struct guaco_http_limits limits = GUACO_HTTP_LIMITS_DEFAULT;

    limits.head_bytes = (uint32_t)l->head_bytes_max;
    limits.fields = l->fields_max;
    limits.body_bytes = l->body_bytes_max;
    server->http_limits = limits;
    server->ws_limits = (struct guaco__ws_limits){
        .frame_bytes = l->ws_frame_bytes_max,
        .message_bytes = l->ws_message_bytes_max,
        .fragments = fragments_max(l),
        .deflate_from = WS_DEFLATE_FROM,
    };
    server->h2_limits = (struct guaco__h2_limits){
        .http = &server->http_limits,
        .streams = l->h2_streams_max,
        .resets = l->h2_resets_max,
        .controls = l->h2_controls_max,
        .window_bytes = (uint32_t)l->window_bytes,
        .conn_window_bytes = (uint32_t)l->h2_window_bytes,
    };
}

static void
set_timeouts(struct guaco__server *server)
{
    const struct guaco__server_limits *l = &server->options.limits;
    uint32_t *lengths_ms = server->deadlines.lengths_ms;

    lengths_ms[GUACO__DEADLINE_HANDSHAKE] = l->handshake_ms;
    lengths_ms[GUACO__DEADLINE_HEAD] = l->head_ms;
    lengths_ms[GUACO__DEADLINE_BODY] = l->body_ms;
    lengths_ms[GUACO__DEADLINE_IDLE] = l->idle_ms;
    lengths_ms[GUACO__DEADLINE_SEND] = l->send_ms;
    lengths_ms[GUACO__DEADLINE_LINGER] = l->linger_ms;
    lengths_ms[GUACO__DEADLINE_DRAIN] = l->drain_ms;
    lengths_ms[GUACO__DEADLINE_WS_PING] = l->ws_ping_interval_ms;
    lengths_ms[GUACO__DEADLINE_WS_PONG] = l->ws_ping_timeout_ms;
    lengths_ms[GUACO__DEADLINE_WS_CLOSE] = l->ws_close_ms;
    lengths_ms[GUACO__DEADLINE_STREAM_BODY] = l->body_ms;
    lengths_ms[GUACO__DEADLINE_STREAM_SEND] = l->send_ms;
    lengths_ms[GUACO__DEADLINE_STREAM_LINGER] = l->linger_ms;
    lengths_ms[GUACO__DEADLINE_STREAM_WS_PING] = l->ws_ping_interval_ms;
    lengths_ms[GUACO__DEADLINE_STREAM_WS_PONG] = l->ws_ping_timeout_ms;
    lengths_ms[GUACO__DEADLINE_STREAM_WS_CLOSE] = l->ws_close_ms;
}

/* ---- the end of a turn ---- */

static void
check_drained(struct guaco__server *server)
{
    if (server->state != GUACO__SERVER_DRAINING ||
        !guaco__list_is_empty(&server->conns))
        return;
    server->state = GUACO__SERVER_DONE;
    guaco__timer_stop(&server->drain_timer);
    guaco__access_flush(&server->access);
    if (server->drain_done != NULL)
        server->drain_done(server->drain_ctx);
}

static void
on_end_of_turn(struct guaco__turn_hook *hook)
{
    struct guaco__server *server =
        GUACO__OF(hook, struct guaco__server, end_of_turn);

    guaco__conns_run_touched(server);
    if (server->is_exhausted && !server->exhausted_is_told) {
        server->exhausted_is_told = true;
        if (server->options.on_exhausted != NULL)
            server->options.on_exhausted(server->options.ctx);
    }
    guaco__metering_turn(server);
    check_drained(server);
}

/* ---- life ---- */

static void
free_memory(struct guaco__server *server)
{
    pthread_mutex_destroy(&server->post_lock);
    guaco__buf_release(&server->scratch);
    free(server->read_buf);
    free(server->fields);
    free(server->field_ids);
    free(server->server_text);
    guaco__statics_layer_free(server->statics);
    guaco__compression_layer_free(server->coder);
    free(server);
}

void
guaco__server_unref(struct guaco__server *server)
{
    assert(server->refs > 0);
    if (--server->refs == 0)
        free_memory(server);
}

static void on_drain_timer(struct guaco__timer *timer);

/* Put the layers before the application.  False when out of memory. */
static bool
add_layers(struct guaco__server *server)
{
    if (server->options.compression.is_on) {
        server->coder = guaco__compression_layer_new(server, server->app);
        if (server->coder == NULL)
            return false;
        server->app = server->coder;
    }
    if (server->options.statics.count > 0) {
        server->statics = guaco__statics_layer_new(server, server->app);
        if (server->statics == NULL)
            return false;
        server->app = server->statics;
    }
    server->exchange_bytes =
        sizeof(struct guaco__exchange) + server->app->ops->exchange_bytes;
    return true;
}

/* What of the server is allocated beside it. */
static bool
allocate_parts(struct guaco__server *server)
{
    const struct guaco__server_options *options = &server->options;
    const char *name = options->server_name;

    server->read_buf = malloc(GUACO__READ_BYTES);
    server->fields =
        calloc(options->limits.fields_max, sizeof(*server->fields));
    server->field_ids = calloc(options->limits.fields_max, 1);
    server->server_text = malloc(SERVER_NAME_MAX + 16);
    if (server->read_buf == NULL || server->fields == NULL ||
        server->field_ids == NULL || server->server_text == NULL)
        return false;
    if (name != NULL && *name != '\0') {
        int len = snprintf(server->server_text, SERVER_NAME_MAX + 16,
                           "server: %s\r\n", name);

        server->server_line =
            (struct guaco_slice){server->server_text, (size_t)len};
    }
    return true;
}

int
guaco__server_new(struct guaco__server **out, struct guaco__loop *loop,
                  struct guaco_app *app,
                  const struct guaco__server_options *options,
                  struct guaco_error *err)
{
    struct guaco__server *server;
    int rc = check_options(options, app, err);

    if (rc < 0)
        return rc;
    server = calloc(1, sizeof(*server));
    if (server == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "a server");
    server->loop = loop;
    server->app = app;
    server->options = *options;
    server->refs = 1;
    server->date_second = -1;
    guaco__list_init(&server->conns);
    guaco__list_init(&server->touched);
    guaco__list_init(&server->free_exchanges);
    guaco__list_init(&server->posts);
    pthread_mutex_init(&server->post_lock, NULL);
    guaco__buf_init(&server->scratch, 4096);
    guaco__stream_pool_init(&server->pool);
    guaco__deadlines_init(&server->deadlines, loop, guaco__conn_expired);
    guaco__timer_init(&server->drain_timer, loop, on_drain_timer);
    set_http_limits(server);
    set_timeouts(server);
    if (!add_layers(server) || !allocate_parts(server)) {
        free_memory(server);
        return guaco_fail(err, GUACO_E_NOMEM, 0, "a server");
    }
    rc = guaco__access_init(&server->access, loop, options, err);
    if (rc < 0) {
        free_memory(server);
        return rc;
    }
    guaco__turn_hook_add(loop, &server->end_of_turn, on_end_of_turn);
    guaco__metering_start(server);
    *out = server;
    return GUACO_OK;
}

/* The first connection, or NULL. */
static struct guaco__conn *
first_conn(const struct guaco__server *server)
{
    struct guaco__list *link = guaco__list_first(&server->conns);

    return link == NULL ? NULL : GUACO__OF(link, struct guaco__conn, link);
}

static void
abort_all(struct guaco__server *server)
{
    struct guaco__conn *conn;

    while ((conn = first_conn(server)) != NULL)
        guaco__conn_abort(conn, GUACO_GONE_SHUTDOWN);
}

void
guaco__server_free(struct guaco__server *server)
{
    if (server == NULL)
        return;
    server->state = GUACO__SERVER_FREED;
    guaco__posts_close(server);
    abort_all(server);
    for (unsigned i = 0; i < server->listener_count; i++) {
        guaco__listener_close(server->listeners[i]);
        free(server->listeners[i]);
    }
    server->listener_count = 0;
    guaco__metering_stop(server);
    guaco__turn_hook_remove(&server->end_of_turn);
    guaco__timer_stop(&server->drain_timer);
    guaco__deadlines_release(&server->deadlines);
    guaco__access_release(&server->access);
    guaco__exchanges_release(server);
    guaco__stream_pool_release(&server->pool);
    guaco__statics_release(&server->options.statics);
    guaco__tls_unref(server->tls);
    server->tls = NULL;
    guaco__server_unref(server);
}

const struct guaco__server_stats *
guaco__server_stats(const struct guaco__server *server)
{
    return &server->stats;
}

struct guaco_slice
guaco__server_date_line(struct guaco__server *server)
{
    int64_t now = guaco__clock_wall_ms(&server->access.clock) / 1000;

    if (now != server->date_second) {
        server->date_second = now;
        guaco__h1_date_line(server->date_line, now);
    }
    return (struct guaco_slice){server->date_line, sizeof(server->date_line)};
}

/* ---- listening ---- */

/* The server's listeners accept, or none of them. */
static void
set_accepting(struct guaco__server *server, bool is_on)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        struct guaco_error err = {0};

        if (!is_on)
            guaco__listener_pause(server->listeners[i]);
        else if (guaco__listener_resume(server->listeners[i], &err) < 0)
            guaco__log(server->options.log, GUACO_LOG_ERROR, "server",
                       "a listener does not go on: %s", err.text);
    }
    server->accepting_is_paused = !is_on;
    guaco__metering_crowd(server);
}

/* The owner of a listener: the server's, by its index. */
struct listening {
    struct guaco__listener listener; /* first */
    struct guaco__server *server;
    bool is_tls;
};

static bool
may_accept(const struct guaco__listener *listener)
{
    return guaco__metering_may_accept(
        ((const struct listening *)(const void *)listener)->server);
}

static void
on_accept(struct guaco__listener *listener, int fd,
          const struct sockaddr_storage *from)
{
    const struct listening *listening = (void *)listener;
    struct guaco__server *server = listening->server;

    int rc = guaco__conn_open(server, fd, from, listening->is_tls);

    if (rc == GUACO_E_INVALID && guaco__server_may_warn(server))
        guaco__log(server->options.log, GUACO_LOG_WARNING, "server",
                   "refused a peer that may not send a PROXY header");
    if (rc < 0 && rc != GUACO_E_INVALID)
        guaco__log(server->options.log, GUACO_LOG_ERROR, "server",
                   "out of memory for a connection");
    if (rc < 0) {
        close(fd);
        return;
    }
    if (server->stats.connections_open >=
        server->options.limits.connections_max)
        set_accepting(server, false);
}

static int
listen_on(struct guaco__server *server, int fd, bool is_tls,
          struct guaco_error *err)
{
    struct listening *listening;
    int rc;

    if (server->listener_count == GUACO__LISTENERS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "more than %d sockets",
                          GUACO__LISTENERS_MAX);
    listening = calloc(1, sizeof(*listening));
    if (listening == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "a listener");
    listening->server = server;
    listening->is_tls = is_tls;
    rc = guaco__listener_init(&listening->listener, server->loop, fd,
                              server->options.log, on_accept, err);
    if (rc < 0) {
        free(listening);
        return rc;
    }
    listening->listener.may_accept = may_accept;
    server->listeners[server->listener_count++] = &listening->listener;
    if (server->state != GUACO__SERVER_OPEN || server->accepting_is_paused)
        return GUACO_OK;
    rc = guaco__listener_resume(&listening->listener, err);
    if (rc < 0) {
        server->listener_count--;
        free(listening); /* fd stays the caller's */
    }
    return rc;
}

int
guaco__server_set_access_fd(struct guaco__server *server, int fd,
                            struct guaco_error *err)
{
    return guaco__access_set_fd(&server->access, fd, err);
}

int
guaco__server_listen(struct guaco__server *server, int fd,
                     struct guaco_error *err)
{
    return listen_on(server, fd, false, err);
}

int
guaco__server_listen_tls(struct guaco__server *server, int fd,
                         struct guaco_error *err)
{
    if (server->tls == NULL)
        return guaco_fail(err, GUACO_E_STATE, 0,
                          "TLS needs a certificate (--ssl-certfile)");
    return listen_on(server, fd, true, err);
}

void
guaco__server_set_tls(struct guaco__server *server, struct guaco__tls *tls)
{
    struct guaco__tls *before = server->tls;

    server->tls = guaco__tls_ref(tls);
    guaco__tls_unref(before);
}

int
guaco__server_start(struct guaco__server *server, struct guaco_error *err)
{
    struct guaco_app *app = server->app;

    if (server->state != GUACO__SERVER_NEW)
        return guaco_fail(err, GUACO_E_STATE, 0, "the server has started");
    if (app->ops->start != NULL) {
        int rc = app->ops->start(app, err);

        if (rc < 0)
            return rc;
    }
    for (unsigned i = 0; i < server->listener_count; i++) {
        int rc = guaco__listener_resume(server->listeners[i], err);

        if (rc < 0) {
            set_accepting(server, false);
            return rc;
        }
    }
    server->state = GUACO__SERVER_OPEN;
    guaco__metering_crowd(server);
    return GUACO_OK;
}

static int
adopt(struct guaco__server *server, int fd, bool is_tls,
      struct guaco_error *err)
{
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof(from);
    int flags = fcntl(fd, F_GETFL);
    int one = 1;
    int rc;

    if (server->state != GUACO__SERVER_OPEN)
        return guaco_fail(err, GUACO_E_STATE, 0, "the server is not open");
    if (server->stats.connections_open >=
        server->options.limits.connections_max)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "connections_max");
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        getpeername(fd, (struct sockaddr *)&from, &len) < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "adopt descriptor %d", fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* if TCP */
    rc = guaco__conn_open(server, fd, &from, is_tls);
    return rc < 0 ? guaco_fail(err, rc, 0, "adopt descriptor %d", fd) : rc;
}

int
guaco__server_adopt(struct guaco__server *server, int fd,
                    struct guaco_error *err)
{
    return adopt(server, fd, false, err);
}

int
guaco__server_adopt_tls(struct guaco__server *server, int fd,
                        struct guaco_error *err)
{
    return adopt(server, fd, true, err);
}

bool
guaco__server_may_warn(struct guaco__server *server)
{
    uint64_t now_ms = guaco__server_now_ms(server);

    if (server->warned_ms != 0 && now_ms - server->warned_ms < 1000)
        return false;
    server->warned_ms = now_ms;
    return true;
}

void
guaco__server_peer_gone(struct guaco__server *server, struct guaco__peer *peer)
{
    const struct guaco_app_ops *ops = server->app->ops;

    if (ops->peer_gone != NULL && peer->face.app_cache != NULL)
        ops->peer_gone(server->app, &peer->face);
}

void
guaco__server_conn_ended(struct guaco__server *server)
{
    uint32_t most = server->options.limits.connections_max;

    assert(server->stats.connections_open > 0);
    server->stats.connections_open--;
    guaco__metering_crowd(server);
    /* a little hysteresis: not one accept for each close */
    if (server->accepting_is_paused && server->state == GUACO__SERVER_OPEN &&
        server->stats.connections_open <= most - 1 - most / 64)
        set_accepting(server, true);
}

/* ---- draining ---- */

static void
on_drain_timer(struct guaco__timer *timer)
{
    struct guaco__server *server =
        GUACO__OF(timer, struct guaco__server, drain_timer);

    guaco__log(server->options.log, GUACO_LOG_WARNING, "server",
               "the drain's deadline passed aborted=%u",
               (unsigned)server->stats.connections_open);
    abort_all(server);
    guaco__loop_keep_awake(server->loop); /* the end of the turn tells done */
}

static void
drain_conns(struct guaco__server *server)
{
    struct guaco__list *link = server->conns.next;

    while (link != &server->conns) {
        struct guaco__conn *conn = GUACO__OF(link, struct guaco__conn, link);

        link = link->next; /* conn may end in the call, and no other */
        guaco__conn_drain(conn);
    }
}

void
guaco__server_drain(struct guaco__server *server, uint32_t deadline_ms,
                    void (*done)(void *ctx), void *ctx)
{
    bool is_first = server->state == GUACO__SERVER_OPEN ||
                    server->state == GUACO__SERVER_NEW;
    uint64_t due_ns =
        guaco__loop_now_ns(server->loop) + deadline_ms * UINT64_C(1000000);

    server->drain_done = done;
    server->drain_ctx = ctx;
    if (server->state == GUACO__SERVER_DONE)
        server->state = GUACO__SERVER_DRAINING; /* tells the new done */
    if (is_first || !guaco__timer_is_armed(&server->drain_timer) ||
        due_ns < server->drain_timer.due_ns)
        guaco__timer_start(&server->drain_timer, due_ns);
    if (is_first) {
        server->state = GUACO__SERVER_DRAINING;
        set_accepting(server, false);
        if (server->app->ops->drain != NULL)
            server->app->ops->drain(server->app);
        drain_conns(server);
    }
    guaco__loop_keep_awake(server->loop);
}
