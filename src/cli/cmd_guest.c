/*
 * guaco _guest: the worker of an application in C.  The supervisor starts it
 * with one end of a channel (run/channel.h), on which come the target, the
 * options and the listening sockets; it loads the shared object, serves it in
 * a loop, and ends when it has drained:
 *
 *   by SIGTERM, by {"command": "drain"}, by the end of the channel (the
 *   supervisor is gone), or by itself after --limit-max-requests.
 *
 * SIGINT is left to the supervisor: a terminal sends it to the whole group.
 */

#include "command.h"
#include "guest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/log_fd.h"
#include "os/meter.h"
#include "guaco/http/app.h"
#include "io/loop.h"
#include "io/watch.h"
#include "run/channel.h"
#include "run/supervisor.h"
#include "run/tls_settings.h"
#include "server/server.h"

enum { ARENA_BYTES = 1 << 20 };

struct guest {
    struct guaco__loop *loop;
    struct guaco__server *server;
    struct guaco_app *app;
    struct guaco_log log;
    struct guaco__watch channel_watch;
    struct guaco__watch signal_watch;
    int channel;
    int signals;   /* a signalfd */
    int access_fd; /* the supervisor's; -1: standard output */
    int pulse_fd;  /* -1: nobody watches */
    struct guaco__meters meters;
    uint32_t grace_ms;
    bool is_draining;
    struct guaco__arena arena; /* holds the first message */
    const struct guaco__json *hello;
    const struct guaco__json *options;
    int fds[GUACO__CHANNEL_FDS_MAX];
    size_t fd_count;
    char *message; /* GUACO__CHANNEL_MESSAGE_MAX */
};

/* ---- the channel ---- */

/* The first item of the array `name` of an object, or NULL. */
static const struct guaco__json *
first_of(const struct guaco__json *object, const char *name)
{
    const struct guaco__json *list = guaco__json_get(object, name);

    return list == NULL || list->type != GUACO__JSON_ARRAY
               ? NULL
               : list->as.items.first;
}

static void
on_drained(void *ctx)
{
    struct guest *g = ctx;

    guaco__loop_stop(g->loop);
}

static void
drain(struct guest *g)
{
    if (g->is_draining)
        return;
    g->is_draining = true;
    guest_send(g->channel, "draining", NULL);
    guaco__server_drain(g->server, g->grace_ms, on_drained, g);
}

static int
take_access_log(struct guest *g, int fd, struct guaco_error *err)
{
    int rc = guaco__server_set_access_fd(g->server, fd, err);

    if (rc != GUACO_OK)
        return rc;
    if (g->access_fd >= 0)
        close(g->access_fd);
    g->access_fd = fd;
    return GUACO_OK;
}

/* It serves on until its successor is ready. */
static void
on_exhausted(void *ctx)
{
    const struct guest *g = ctx;

    guest_send(g->channel, "exhausted", NULL);
}

static int
listen_on(struct guest *g, int fd, bool is_tls)
{
    struct guaco_error err = {0};
    int rc = is_tls ? guaco__server_listen_tls(g->server, fd, &err)
                    : guaco__server_listen(g->server, fd, &err);

    if (rc != GUACO_OK)
        guaco__log(&g->log, GUACO_LOG_ERROR, "guest", "%s", err.text);
    return rc;
}

/* Take the descriptors of a command: more sockets, or other log files. */
static void
take_fds(struct guest *g, const struct guaco__json *message, const int *fds,
         size_t count)
{
    const char *command = guaco__json_text(message, "command", "");
    const struct guaco__json *one = first_of(message, "sockets");
    bool is_logs = strcmp(command, "logs") == 0 && count == 2;

    for (size_t i = 0; i < count; i++) {
        int rc = GUACO_E_INVALID;

        if (one != NULL)
            rc = listen_on(g, fds[i], guaco__json_bool(one, "tls", false));
        else if (is_logs && i == 0)
            dup2(fds[i], STDERR_FILENO);
        else if (is_logs)
            rc = take_access_log(g, fds[i], NULL);
        if (rc != GUACO_OK)
            close(fds[i]);
        one = one == NULL ? NULL : one->next;
    }
}

static void
on_channel(struct guaco__watch *watch, unsigned events)
{
    struct guest *g = GUACO__OF(watch, struct guest, channel_watch);
    const struct guaco__json *value = NULL;
    struct guaco__arena arena;
    int fds[GUACO__CHANNEL_FDS_MAX];
    size_t count;
    size_t len;
    int rc = guaco__channel_receive(
        g->channel, g->message, GUACO__CHANNEL_MESSAGE_MAX, &len, fds, &count);

    (void)events;
    if (rc == GUACO_E_AGAIN || rc == GUACO_E_LIMIT)
        return;
    if (rc < 0) {
        guaco__watch_stop(watch);
        drain(g);
        return;
    }
    guaco__arena_init(&arena, 1024, ARENA_BYTES);
    if (guaco__json_read(&arena, g->message, len, &value, NULL) != GUACO_OK)
        value = NULL;
    if (strcmp(guaco__json_text(value, "command", ""), "drain") == 0)
        drain(g);
    take_fds(g, value, fds, count);
    guaco__arena_release(&arena);
}

static void
on_signal(struct guaco__watch *watch, unsigned events)
{
    struct guest *g = GUACO__OF(watch, struct guest, signal_watch);
    struct signalfd_siginfo info;

    (void)events;
    if (read(g->signals, &info, sizeof(info)) == sizeof(info))
        drain(g);
}

/* ---- the first message ---- */

static void
take_extra(struct guest *g, const struct guaco__json *name, int fd)
{
    if (name->type != GUACO__JSON_TEXT)
        close(fd);
    else if (strcmp(name->as.text.at, "access_log") == 0)
        g->access_fd = fd;
    else if (strcmp(name->as.text.at, "pulse") == 0)
        g->pulse_fd = fd;
    else if (strcmp(name->as.text.at, "meter") == 0)
        (void)guaco__meters_map(&g->meters, fd, NULL);
    else
        close(fd);
}

/* The descriptors behind the sockets, by the names of "extras". */
static void
take_extras(struct guest *g)
{
    const struct guaco__json *extra = first_of(g->hello, "extras");
    size_t at = 0;

    for (const struct guaco__json *s = first_of(g->hello, "sockets"); s != NULL;
         s = s->next)
        at++;
    size_t count = at < g->fd_count ? at : g->fd_count;
    for (; extra != NULL && at < g->fd_count; extra = extra->next, at++)
        take_extra(g, extra, g->fds[at]);
    g->fd_count = count;
}

static int
read_hello(struct guest *g, struct guaco_error *err)
{
    size_t len;
    int rc = guaco__channel_receive(g->channel, g->message,
                                    GUACO__CHANNEL_MESSAGE_MAX, &len, g->fds,
                                    &g->fd_count);

    if (rc < 0)
        return guaco_fail(err, rc, 0, "the first message of the channel");
    rc = guaco__json_read(&g->arena, g->message, len, &g->hello, err);
    g->options = guaco__json_get(g->hello, "options");
    take_extras(g);
    return rc;
}

/* A number of seconds as milliseconds. */
static uint32_t
take_ms(const struct guest *g, const char *name, uint32_t otherwise)
{
    double seconds = guest_seconds(g->options, name, -1);

    if (seconds < 0 || seconds > UINT32_MAX / 1000)
        return otherwise;
    return (uint32_t)(seconds * 1000);
}

static uint64_t
take_number(const struct guest *g, const char *name, uint64_t otherwise)
{
    int64_t value = guaco__json_int(g->options, name, -1);

    return value < 0 ? otherwise : (uint64_t)value;
}

static void
take_limits(const struct guest *g, struct guaco__server_limits *l)
{
    l->idle_ms = take_ms(g, "timeout_keep_alive", l->idle_ms);
    l->handshake_ms = take_ms(g, "timeout_handshake", l->handshake_ms);
    l->head_ms = take_ms(g, "timeout_head", l->head_ms);
    l->body_ms = take_ms(g, "timeout_body", l->body_ms);
    l->send_ms = take_ms(g, "timeout_send", l->send_ms);
    l->ws_ping_interval_ms =
        take_ms(g, "ws_ping_interval", l->ws_ping_interval_ms);
    l->ws_ping_timeout_ms =
        take_ms(g, "ws_ping_timeout", l->ws_ping_timeout_ms);
    l->concurrency_max = (uint32_t)take_number(g, "limit_concurrency", 0);
    l->connections_max =
        (uint32_t)take_number(g, "limit_connections", l->connections_max);
    l->requests_max = guest_limit(g->options, "limit_max_requests");
    l->keep_alive_max =
        (uint32_t)take_number(g, "limit_keep_alive_requests", 0);
    l->head_bytes_max = take_number(g, "limit_head_bytes", l->head_bytes_max);
    l->fields_max = (uint32_t)take_number(g, "limit_fields", l->fields_max);
    l->body_bytes_max = take_number(g, "limit_body_bytes", l->body_bytes_max);
    l->ws_message_bytes_max =
        take_number(g, "limit_ws_message_bytes", l->ws_message_bytes_max);
    l->h2_streams_max =
        (uint32_t)take_number(g, "limit_h2_streams", l->h2_streams_max);
    l->h2_resets_max =
        (uint32_t)take_number(g, "limit_h2_resets", l->h2_resets_max);
    l->h2_controls_max =
        (uint32_t)take_number(g, "limit_h2_controls", l->h2_controls_max);
    l->h2_window_bytes =
        take_number(g, "limit_h2_window_bytes", l->h2_window_bytes);
    if (l->ws_frame_bytes_max < l->ws_message_bytes_max)
        l->ws_frame_bytes_max = l->ws_message_bytes_max;
}

/* Hand each text of the list `name` to take(ctx). */
static int
each_text(const struct guest *g, const char *name,
          int (*take)(void *ctx, struct guaco_slice text,
                      struct guaco_error *err),
          void *ctx, struct guaco_error *err)
{
    const struct guaco__json *list = guaco__json_get(g->options, name);

    if (list == NULL || list->type != GUACO__JSON_ARRAY)
        return GUACO_OK;
    for (const struct guaco__json *item = list->as.items.first; item != NULL;
         item = item->next) {
        int rc = item->type == GUACO__JSON_TEXT ? take(ctx, item->as.text, err)
                                                : GUACO_OK;

        if (rc < 0)
            return rc;
    }
    return GUACO_OK;
}

static int
take_trust(void *ctx, struct guaco_slice text, struct guaco_error *err)
{
    return guaco__trust_add(ctx, text, err);
}

static int
take_proxies(const struct guest *g, struct guaco__proxies *proxies,
             struct guaco_error *err)
{
    int rc =
        each_text(g, "forwarded_allow_ips", take_trust, &proxies->headers, err);

    if (rc == GUACO_OK)
        rc = each_text(g, "proxy_allow_from", take_trust, &proxies->protocol,
                       err);
    if (strcmp(guaco__json_text(g->options, "forwarded_header", ""),
               "forwarded") == 0)
        proxies->family = GUACO__FORWARDED_RFC7239;
    proxies->reads_protocol =
        guaco__json_bool(g->options, "proxy_protocol", false);
    guaco__proxies_settle(proxies,
                          guaco__json_bool(g->options, "proxy_headers", true));
    return rc;
}

static int
take_folder(void *ctx, struct guaco_slice text, struct guaco_error *err)
{
    return guaco__statics_add(ctx, text, err);
}

static int
take_statics(const struct guest *g, struct guaco__statics *statics,
             struct guaco_error *err)
{
    const char *index = guaco__json_text(g->options, "static_index", "");
    double max_age = guest_seconds(g->options, "static_max_age", -1);

    statics->hashes_are_for_ever =
        guaco__json_bool(g->options, "static_immutable", false);
    statics->has_dots = guaco__json_bool(g->options, "static_dotfiles", false);
    statics->has_siblings =
        guaco__json_bool(g->options, "static_precompressed", true);
    if (max_age >= 0 && max_age <= INT32_MAX)
        statics->max_age_s = (int64_t)max_age;
    int rc = guaco__statics_set_index(
        statics, (struct guaco_slice){index, strlen(index)}, err);
    return rc < 0 ? rc : each_text(g, "static", take_folder, statics, err);
}

static int
take_types(void *ctx, struct guaco_slice text, struct guaco_error *err)
{
    return guaco__compression_add_types(ctx, text, err);
}

static int
take_compression(const struct guest *g, struct guaco__compression *compression,
                 struct guaco_error *err)
{
    compression->is_on = guaco__json_bool(g->options, "compress", false);
    compression->min_bytes =
        take_number(g, "compress_min_bytes", compression->min_bytes);
    return each_text(g, "compress_type", take_types, compression, err);
}

static int
take_options(struct guest *g, struct guaco__server_options *options,
             struct guaco_error *err)
{
    int level =
        guaco__log_level_find(guaco__json_text(g->options, "log_level", ""));

    guaco__server_options_init(options);
    take_limits(g, &options->limits);
    if (level >= 0)
        g->log.level = level;
    options->log = &g->log;
    options->access_fd = g->access_fd < 0 ? STDOUT_FILENO : g->access_fd;
    if (guaco__json_bool(g->options, "access_log", false))
        options->access_format =
            guaco__json_text(g->options, "access_log_format", "combined");
    if (!guaco__json_bool(g->options, "server_header", true))
        options->server_name = NULL;
    options->has_date = guaco__json_bool(g->options, "date_header", true);
    options->has_h1 = guaco__json_bool(g->options, "http1", true);
    options->has_h2 = guaco__json_bool(g->options, "http2", true);
    options->ws_deflate = guaco__json_bool(g->options, "ws_deflate", true);
    int64_t slot = guaco__json_int(g->hello, "meter", -1);
    if (g->meters.slots != NULL && slot >= 0 && slot < GUACO__METER_SLOTS) {
        options->meter = &g->meters.slots[slot];
        options->crowd = g->meters.crowd;
        options->crowd_place = (uint32_t)slot;
        options->pulse_fd = g->pulse_fd;
    }
    options->on_exhausted = on_exhausted;
    options->ctx = g;
    g->grace_ms = take_ms(g, "timeout_graceful_shutdown", 30000);
    int rc = take_proxies(g, &options->proxies, err);
    if (rc == GUACO_OK)
        rc = take_compression(g, &options->compression, err);
    return rc < 0 ? rc : take_statics(g, &options->statics, err);
}

/* ---- the shared object ---- */

static int
load(struct guest *g, struct guaco_error *err)
{
    const char *arg;
    guaco_guest_open_fn *open_fn;
    void *symbol;
    int rc = guest_load(g->hello, GUACO_GUEST_SYMBOL, &symbol, &arg, err);

    if (rc < 0)
        return rc;
    /* ISO C has no cast from an object to a function pointer; POSIX says that
     * the bytes are the same */
    memcpy(&open_fn, &symbol, sizeof(open_fn));
    rc = open_fn(&g->app, arg, err);
    if (rc == GUACO_OK && (g->app == NULL || g->app->ops == NULL))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "the guest gave no application");
    return rc;
}

/* ---- life ---- */

static int
read_certificates(struct guest *g, struct guaco_error *err)
{
    struct guaco__tls_settings settings;
    struct guaco__tls *tls;

    if (!guaco__tls_settings_take(&settings, g->hello))
        return GUACO_OK;

    int rc = guaco__tls_new(&tls, &settings.options, err);

    if (rc < 0)
        return rc;
    guaco__server_set_tls(g->server, tls);
    guaco__tls_unref(tls);
    return GUACO_OK;
}

static int
listen_all(struct guest *g, struct guaco_error *err)
{
    const struct guaco__json *one = first_of(g->hello, "sockets");
    int rc = read_certificates(g, err);

    for (size_t i = 0; i < g->fd_count && rc == GUACO_OK; i++) {
        rc = guaco__json_bool(one, "tls", false)
                 ? guaco__server_listen_tls(g->server, g->fds[i], err)
                 : guaco__server_listen(g->server, g->fds[i], err);
        one = one == NULL ? NULL : one->next;
    }
    return rc;
}

static int
watch_all(struct guest *g, struct guaco_error *err)
{
    sigset_t mask;
    int flags = fcntl(g->channel, F_GETFL);
    int rc;

    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "sigprocmask");
    g->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (g->signals < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "signalfd");
    if (flags < 0 || fcntl(g->channel, F_SETFL, flags | O_NONBLOCK) < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "the channel");
    rc = guaco__watch_start(&g->signal_watch, g->loop, g->signals,
                            GUACO__READABLE, on_signal, err);
    if (rc == GUACO_OK)
        rc = guaco__watch_start(&g->channel_watch, g->loop, g->channel,
                                GUACO__READABLE, on_channel, err);
    return rc;
}

static int
start(struct guest *g, struct guaco_error *err)
{
    struct guaco__server_options options;
    int rc = read_hello(g, err);

    if (rc < 0)
        return rc;
    rc = take_options(g, &options, err);
    if (rc == GUACO_OK)
        rc = guaco__loop_new(&g->loop, err);
    if (rc == GUACO_OK)
        rc = watch_all(g, err);
    if (rc == GUACO_OK)
        rc = load(g, err);
    if (rc == GUACO_OK)
        rc = guaco__server_new(&g->server, g->loop, g->app, &options, err);
    if (rc == GUACO_OK)
        rc = listen_all(g, err);
    if (rc == GUACO_OK)
        rc = guaco__server_start(g->server, err);
    if (g->server == NULL)
        guaco__statics_release(&options.statics);
    return rc;
}

static void
release(struct guest *g)
{
    guaco__server_free(g->server);
    guaco__watch_stop(&g->channel_watch);
    guaco__watch_stop(&g->signal_watch);
    guaco__loop_free(g->loop);
    guaco__meters_close(&g->meters);
    guaco__arena_release(&g->arena);
    free(g->message);
}

int
guaco__command_guest(const struct guaco__command *command,
                     const char *const *args, size_t count)
{
    struct guest g = {.channel = guest_channel(),
                      .signals = -1,
                      .access_fd = -1,
                      .pulse_fd = -1,
                      .meters = {.shm = {.fd = -1}}};
    struct guaco_error err = {0};
    int code = GUACO__EXIT_OK;

    (void)command, (void)args, (void)count;
    if (g.channel < 0) {
        fprintf(stderr, "guaco _guest is started by guaco serve\n");
        return GUACO__EXIT_USAGE;
    }
    g.log = (struct guaco_log){GUACO_LOG_INFO, guaco__log_fd,
                               (void *)(intptr_t)STDERR_FILENO};
    guaco__arena_init(&g.arena, 4096, ARENA_BYTES);
    g.message = malloc(GUACO__CHANNEL_MESSAGE_MAX);
    if (g.message == NULL || start(&g, &err) < 0) {
        guaco__log(&g.log, GUACO_LOG_ERROR, "guest", "%s", err.text);
        guest_send(g.channel, "failed", err.text);
        code = GUACO__EXIT_START;
    } else {
        guest_send(g.channel, "ready", NULL);
        guaco__loop_run(g.loop, GUACO__LOOP_UNTIL_STOPPED);
    }
    release(&g);
    return code;
}
