/* The channel and the shared object of a C guest: see cli/guest.h. */

#include "guest.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rand.h"
#include "os/clock.h"
#include "os/proc.h"
#include "run/channel.h"

int
guest_channel(void)
{
    const char *text = getenv(GUACO__CHANNEL_VARIABLE);
    char *end;
    long fd;

    if (text == NULL || *text == '\0')
        return -1;
    fd = strtol(text, &end, 10);
    if (*end != '\0' || fd < 0 || fd > INT_MAX || fcntl((int)fd, F_GETFD) < 0)
        return -1;
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    return (int)fd;
}

static void
send_json(int channel, struct guaco__json_writer *w, struct guaco__buf *out)
{
    if (guaco__json_end(w) == GUACO_OK)
        guaco__channel_send(channel, guaco__buf_data(out), out->len, NULL, 0);
    guaco__buf_release(out);
}

void
guest_send(int channel, const char *name, const char *text)
{
    struct guaco__json_writer w;
    struct guaco__buf out;

    guaco__buf_init(&out, GUACO__CHANNEL_MESSAGE_MAX);
    guaco__json_begin(&w, &out);
    guaco__json_open(&w, '{');
    guaco__json_name(&w, "event");
    guaco__json_put_text(&w, name);
    if (text != NULL) {
        guaco__json_name(&w, "text");
        guaco__json_put_text(&w, text);
    } else {
        guaco__json_name(&w, "pid");
        guaco__json_put_int(&w, getpid());
    }
    guaco__json_close(&w, '}');
    send_json(channel, &w, &out);
}

void
guest_send_queue(int channel, const char *queue, const char *url)
{
    struct guaco__json_writer w;
    struct guaco__buf out;

    guaco__buf_init(&out, GUACO__CHANNEL_MESSAGE_MAX);
    guaco__json_begin(&w, &out);
    guaco__json_open(&w, '{');
    guaco__json_name(&w, "event");
    guaco__json_put_text(&w, "queues");
    guaco__json_name(&w, "queues");
    guaco__json_open(&w, '[');
    guaco__json_open(&w, '{');
    guaco__json_name(&w, "name");
    guaco__json_put_text(&w, queue);
    guaco__json_name(&w, "url");
    guaco__json_put_text(&w, url);
    guaco__json_close(&w, '}');
    guaco__json_close(&w, ']');
    guaco__json_close(&w, '}');
    send_json(channel, &w, &out);
}

double
guest_seconds(const struct guaco__json *options, const char *name,
              double otherwise)
{
    const struct guaco__json *value = guaco__json_get(options, name);

    if (value != NULL && value->type == GUACO__JSON_INT)
        return (double)value->as.integer;
    if (value != NULL && value->type == GUACO__JSON_REAL)
        return value->as.real;
    return otherwise;
}

uint64_t
guest_limit(const struct guaco__json *options, const char *name)
{
    struct guaco__rand rand;
    char jitter_name[64];
    int64_t most = guaco__json_int(options, name, 0);

    (void)snprintf(jitter_name, sizeof jitter_name, "%s_jitter", name);
    int64_t jitter = guaco__json_int(options, jitter_name, 0);
    if (most <= 0)
        return 0;
    guaco__rand_init(&rand, guaco__clock_mono_ns() ^ (uint64_t)getpid());
    return (uint64_t)most +
           guaco__rand_below(&rand, jitter > 0 ? (uint64_t)jitter + 1 : 1);
}

/* Unix time in ms at which the parent was started; 0: unknown. */
static uint64_t
parent_start_ms(void)
{
    struct guaco__proc_stat stat;
    const struct guaco_clock clock = {0};
    uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK);

    if (guaco__proc_stat(getppid(), &stat, NULL) != GUACO_OK || ticks == 0)
        return 0;
    return (uint64_t)guaco__clock_wall_ms(&clock) - guaco__clock_boot_ms() +
           stat.start_ticks * 1000 / ticks;
}

uint64_t
guest_deployment(const struct guaco__json *hello)
{
    const char *text = getenv("GUACO_DEPLOYMENT");
    uint64_t generation = (uint64_t)guaco__json_int(hello, "generation", 0);
    char *end;

    if (text != NULL && *text != '\0') {
        uint64_t given = strtoull(text, &end, 10);
        if (*end == '\0')
            return given;
    }
    return parent_start_ms() + generation;
}

static int
split_target(const struct guaco__json *hello, char path[PATH_MAX],
             const char **arg, struct guaco_error *err)
{
    const char *target = guaco__json_text(hello, "target", "");
    const char *folder =
        guaco__json_text(guaco__json_get(hello, "options"), "app_dir", ".");
    const char *end = strstr(target, ".so:");
    size_t len = end == NULL ? strlen(target) : (size_t)(end + 3 - target);
    int n;

    *arg = end == NULL ? "" : end + 4;
    if (target[0] == '/')
        folder = "";
    n = snprintf(path, PATH_MAX, "%s%s%.*s", folder, *folder ? "/" : "",
                 (int)len, target);
    if (len == 0 || n < 0 || n >= PATH_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "no such target: %s",
                          target);
    return GUACO_OK;
}

int
guest_load(const struct guaco__json *hello, const char *symbol, void **address,
           const char **arg, struct guaco_error *err)
{
    char path[PATH_MAX];
    int rc = split_target(hello, path, arg, err);

    if (rc < 0)
        return rc;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        return guaco_fail(err, GUACO_E_MISSING, 0, "%s", dlerror());
    *address = dlsym(object, symbol);
    if (*address == NULL)
        return guaco_fail(err, GUACO_E_MISSING, 0, "%s exports no %s", path,
                          symbol);
    return GUACO_OK;
}
