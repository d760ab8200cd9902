/*
 * The access log: see access.h.  Whatever comes from a client is escaped
 * (\xHH for quotes, backslashes and bytes that are not visible ASCII), so that
 * a line is one line and its fields stay where they are.
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
    TEXT_MAX = 2048,   /* of one escaped text; longer ones are cut */
};

struct entry {
    const struct guaco_peer *peer;
    struct guaco_slice method;
    struct guaco_slice target;
    struct guaco_slice referer;
    struct guaco_slice agent;
    int version_major;
    int version_minor;
    int status;
    uint64_t bytes;
    uint64_t took_us;
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
    access->format = options->access_format;
    access->stamp_second = -1;
    if (access->fd < 0)
        access->format = GUACO__ACCESS_OFF;
    else if (!look_at(access, access->fd, err))
        return GUACO_E_INVALID;
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
    int64_t now = guaco__clock_wall_ms(&access->clock) / 1000;
    struct guaco__date date;

    if (now == access->stamp_second)
        return;
    date = guaco__date_of(now);
    access->stamp_second = now;
    snprintf(access->stamp, sizeof(access->stamp),
             "[%02d/%.3s/%04d:%02d:%02d:%02d +0000]", date.day,
             months + 3 * (date.month - 1), (int)(date.year % 10000), date.hour,
             date.minute, date.second);
}

static char *
put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

/* A space and the number: printf would cost more than the rest of a line. */
static char *
put_number(char *out, uint64_t number)
{
    char digits[20];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *out++ = ' ';
    while (n > 0)
        *out++ = digits[--n];
    return out;
}

static char *
put_escaped(char *out, struct guaco_slice text)
{
    char *end = out + TEXT_MAX - 4;

    if (text.len == 0)
        *out++ = '-';
    for (size_t i = 0; i < text.len && out < end; i++) {
        unsigned char byte = (unsigned char)text.at[i];

        if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\') {
            *out++ = '\\';
            *out++ = 'x';
            *out++ = "0123456789abcdef"[byte >> 4];
            *out++ = "0123456789abcdef"[byte & 15];
        } else {
            *out++ = (char)byte;
        }
    }
    return out;
}

static char *
put_quoted(char *out, struct guaco_slice text)
{
    *out++ = ' ';
    *out++ = '"';
    out = put_escaped(out, text);
    *out++ = '"';
    return out;
}

static const char *
version_of(const struct entry *e)
{
    if (e->version_major == 2)
        return " HTTP/2.0\"";
    return e->version_minor == 0 ? " HTTP/1.0\"" : " HTTP/1.1\"";
}

static char *
put_line(struct guaco__access *access, const struct entry *e, char *out)
{
    const char *host = e->peer->client_host;

    if (host == NULL)
        host = "-";
    out = put(out, host, strlen(host));
    out = put(out, " - - ", 5);
    out = put(out, access->stamp, strlen(access->stamp));
    out = put(out, " \"", 2);
    out = put_escaped(out, e->method);
    *out++ = ' ';
    out = put_escaped(out, e->target);
    out = put(out, version_of(e), 10);
    out = put_number(out, (uint64_t)e->status);
    out = put_number(out, e->bytes);
    if (access->format == GUACO__ACCESS_COMBINED) {
        out = put_quoted(out, e->referer);
        out = put_quoted(out, e->agent);
        out = put_number(out, e->took_us);
    }
    *out++ = '\n';
    return out;
}

static void
add(struct guaco__access *access, const struct entry *e)
{
    size_t most = 4 * TEXT_MAX + 256;
    char *at;

    stamp(access);
    if (guaco__buf_reserve(&access->lines, most) < 0) {
        access->dropped++;
        access->dropped_total++;
        return;
    }
    at = guaco__buf_end(&access->lines);
    guaco__buf_commit(&access->lines, (size_t)(put_line(access, e, at) - at));
    if (access->lines.len >= FLUSH_BYTES && access->dropped == 0)
        guaco__access_flush(access);
    else if (!guaco__timer_is_armed(&access->timer))
        guaco__timer_start_ms(&access->timer, FLUSH_MS);
}

static void
find_texts(const struct guaco_request *request, struct entry *e)
{
    for (size_t i = 0; i < request->field_count; i++) {
        if (request->field_ids[i] == GUACO__FIELD_REFERER)
            e->referer = request->fields[i].value;
        else if (request->field_ids[i] == GUACO__FIELD_USER_AGENT)
            e->agent = request->fields[i].value;
    }
}

static void
count(const struct guaco__access *access, const struct entry *e)
{
    if (access->meter != NULL)
        guaco__meter_request(access->meter, guaco__meter_method_of(e->method),
                             e->status, e->took_us);
}

void
guaco__access_exchange(struct guaco__access *access,
                       const struct guaco__exchange *x)
{
    struct entry e = {
        .peer = x->request.peer,
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
    if (access->format == GUACO__ACCESS_OFF)
        return;
    if (access->format == GUACO__ACCESS_COMBINED)
        find_texts(&x->request, &e);
    add(access, &e);
}

void
guaco__access_refused(struct guaco__access *access,
                      const struct guaco_peer *peer,
                      const struct guaco_http_head *head, int status,
                      uint64_t bytes)
{
    struct entry e = {
        .peer = peer,
        .method = head->method,
        .target = head->target,
        .version_minor = head->version_minor,
        .status = status,
        .bytes = bytes,
    };

    count(access, &e);
    if (access->format != GUACO__ACCESS_OFF)
        add(access, &e);
}
