/*
 * The access log: see access.h; the form of a line is in access_format.h.
 */

#include "server/access.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/date.h"
#include "base/log.h"
#include "http/fields.h"
#include "os/meter.h"
#include "server/exchange.h"

enum {
    LINES_MAX_BYTES = 256 * 1024,
    FLUSH_BYTES = 32 * 1024,
    FLUSH_MS = 200,
    PIPE_BYTES = 4096, /* PIPE_BUF: poll promises room for these, atomically */
};

static void
on_timer(struct guaco__timer *timer)
{
    guaco__access_flush(GUACO__OF(timer, struct guaco__access, timer));
}

/* Whether a write to it may have to wait; false: no such descriptor. */
static bool
look_at(struct guaco__access *access, int fd, struct guaco_error *err)
{
    struct stat info;

    if (fstat(fd, &info) < 0) {
        guaco_fail(err, GUACO_E_INVALID, errno, "access log");
        return false;
    }
    access->is_pipe = !S_ISREG(info.st_mode);
    return true;
}

int
guaco__access_init(struct guaco__access *access, struct guaco__loop *loop,
                   const struct guaco__server_options *options,
                   struct guaco_error *err)
{
    memset(access, 0, sizeof(*access));
    guaco__buf_init(&access->lines, LINES_MAX_BYTES);
    guaco__timer_init(&access->timer, loop, on_timer);
    access->log = options->log;
    access->meter = options->meter;
    access->fd = options->access_fd;
    access->stamp_second = -1;
    if (access->fd >= 0 && options->access_format != NULL) {
        int rc = guaco__access_format_read(&access->format,
                                           options->access_format, err);
        if (rc < 0)
            return rc;
        if (!look_at(access, access->fd, err))
            return GUACO_E_INVALID;
    }
    return guaco__clock_open(&access->clock, NULL, err);
}

int
guaco__access_set_fd(struct guaco__access *access, int fd,
                     struct guaco_error *err)
{
    guaco__access_flush(access);
    if (!look_at(access, fd, err))
        return GUACO_E_INVALID;
    access->fd = fd;
    return GUACO_OK;
}

void
guaco__access_release(struct guaco__access *access)
{
    guaco__access_flush(access);
    guaco__timer_stop(&access->timer);
    guaco__buf_release(&access->lines);
    guaco__clock_close(&access->clock);
}

/* ---- writing ---- */

static bool
is_ready(int fd)
{
    struct pollfd out = {.fd = fd, .events = POLLOUT};

    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0;
}

/* The part of the lines to write at once: whole lines. */
static size_t
portion(const struct guaco__access *access)
{
    const char *at = guaco__buf_data(&access->lines);
    const char *end;

    if (!access->is_pipe || access->lines.len <= PIPE_BYTES)
        return access->lines.len;
    end = memrchr(at, '\n', PIPE_BYTES);
    return end == NULL ? PIPE_BYTES : (size_t)(end + 1 - at);
}

static void
tell_dropped(struct guaco__access *access)
{
    if (access->dropped == 0)
        return;
    guaco__log(access->log, GUACO_LOG_WARNING, "access",
               "the log's reader is too slow: lines were dropped count=%llu",
               (unsigned long long)access->dropped);
    access->dropped = 0;
}

void
guaco__access_flush(struct guaco__access *access)
{
    while (access->lines.len > 0) {
        size_t len = portion(access);
        ssize_t n;

        if (access->is_pipe && !is_ready(access->fd))
            break;
        n = write(access->fd, guaco__buf_data(&access->lines), len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        guaco__buf_drop(&access->lines, (size_t)n);
    }
    if (access->lines.len > 0) {
        guaco__timer_start_ms(&access->timer, FLUSH_MS);
        return;
    }
    guaco__buf_reset(&access->lines);
    tell_dropped(access);
}

/* ---- formatting ---- */

static void
stamp(struct guaco__access *access)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t now_ms = guaco__clock_wall_ms(&access->clock);
    int64_t now = now_ms / 1000;
    struct guaco__date date;

    if (access->format.is_json)
        guaco__date_format_iso(now_ms, access->time);
    if (now == access->stamp_second)
        return;
    guaco__date_format_iso(now_ms, access->time);
    date = guaco__date_of(now);
    access->stamp_second = now;
    snprintf(access->stamp, sizeof(access->stamp),
             "[%02d/%.3s/%04d:%02d:%02d:%02d +0000]", date.day,
             months + 3 * (date.month - 1), (int)(date.year % 10000), date.hour,
             date.minute, date.second);
}

static void
add(struct guaco__access *access, struct guaco__access_entry *e)
{
    stamp(access);
    e->stamp = access->stamp;
    e->time = access->time;
    if (guaco__buf_reserve(&access->lines, GUACO__ACCESS_LINE_MAX) < 0) {
        access->dropped++;
        access->dropped_total++;
        return;
    }
    char *at = guaco__buf_end(&access->lines);
    char *end = guaco__access_format_put(&access->format, e, at);
    guaco__buf_commit(&access->lines, (size_t)(end - at));
    if (access->lines.len >= FLUSH_BYTES && access->dropped == 0)
        guaco__access_flush(access);
    else if (!guaco__timer_is_armed(&access->timer))
        guaco__timer_start_ms(&access->timer, FLUSH_MS);
}

static void
count(const struct guaco__access *access, const struct guaco__access_entry *e)
{
    if (access->meter != NULL)
        guaco__meter_request(access->meter, guaco__meter_method_of(e->method),
                             e->status, e->took_us);
}

void
guaco__access_exchange(struct guaco__access *access,
                       const struct guaco__exchange *x)
{
    struct guaco__access_entry e = {
        .peer = x->request.peer,
        .request = &x->request,
        .method = x->request.method,
        .target = x->request.target,
        .version_major = x->request.version_major,
        .version_minor = x->request.version_minor,
        .status = x->status,
        .bytes = x->sent_bytes,
    };

    if (!guaco__access_wants_time(access))
        return;
    e.took_us = (guaco__clock_mono_ns() - x->begun_ns) / 1000;
    count(access, &e);
    if (access->format.count > 0)
        add(access, &e);
}

void
guaco__access_refused(struct guaco__access *access,
                      const struct guaco_peer *peer,
                      const struct guaco_http_head *head, int status,
                      uint64_t bytes)
{
    struct guaco__access_entry e = {
        .peer = peer,
        .method = head->method,
        .target = head->target,
        .version_minor = head->version_minor,
        .status = status,
        .bytes = bytes,
    };

    count(access, &e);
    if (access->format.count > 0)
        add(access, &e);
}
