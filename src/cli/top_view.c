/* The lines of guaco top: the contract is in top_view.h. */

#include "top_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 512
#define CALLS_MAX  256

struct call {
    const struct guaco__json *call;
    int64_t ms;
    int64_t pid;
};

struct view {
    struct guaco__buf *out;
    size_t rows_left;
    size_t columns;
    int rc;
};

/* A line, cut, with '?' for what is not visible ASCII. */
static void put(struct view *v, const char *fmt, ...) GUACO_PRINTF(2, 3);

static void
put(struct view *v, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list ap;

    if (v->rc != GUACO_OK || v->rows_left == 0)
        return;
    v->rows_left--;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = strlen(text);
    if (len > v->columns)
        len = v->columns;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e)
            text[i] = '?';
    v->rc = guaco__buf_printf(v->out, "%.*s\n", (int)len, text);
}

/* "512", "12k", "3.4m": bytes in 6 columns. */
static const char *
bytes_text(int64_t bytes, char out[16])
{
    static const char units[] = " kmgt";
    double value = (double)bytes;
    int unit = 0;

    while (value >= 1000 && units[unit + 1] != '\0') {
        value /= 1024;
        unit++;
    }
    snprintf(out, 16, value < 10 && unit > 0 ? "%.1f%c" : "%.0f%c", value,
             units[unit]);
    if (unit == 0)
        out[strlen(out) - 1] = '\0';
    return out;
}

/* "5s", "3m20", "2h05", "4d". */
static const char *
age_text(int64_t ms, char out[24])
{
    long s = (long)(ms / 1000);

    if (s < 60)
        snprintf(out, 24, "%lds", s);
    else if (s < 3600)
        snprintf(out, 24, "%ldm%02ld", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, 24, "%ldh%02ld", s / 3600, s / 60 % 60);
    else
        snprintf(out, 24, "%ldd", s / 86400);
    return out;
}

static int64_t
number(const struct guaco__json *object, const char *name)
{
    return guaco__json_int(object, name, 0);
}

static void
put_head(struct view *v, const struct guaco__json *status, uint64_t now_ms,
         struct guaco__top_before *before)
{
    int64_t requests = number(status, "requests");
    int64_t sent = number(status, "bytes_out");
    uint64_t passed_ms = now_ms - before->at_ms;
    char age[24];
    char rate[32] = "";

    put(v, "guaco %s  %s  pid %lld  %s  up %s  generation %lld",
        guaco__json_text(status, "version", "?"),
        guaco__json_text(status, "target", "?"),
        (long long)number(status, "pid"),
        guaco__json_text(status, "state", "?"),
        age_text(number(status, "uptime_ms"), age),
        (long long)number(status, "generation"));
    if (before->at_ms != 0 && passed_ms > 0 && requests >= before->requests)
        snprintf(rate, sizeof rate, " (%.1f a second)",
                 (double)(requests - before->requests) * 1000 /
                     (double)passed_ms);
    char total[16];
    put(v, "requests %lld%s  sent %s  connections %lld", (long long)requests,
        rate, bytes_text(sent, total),
        (long long)number(status, "connections"));
    const struct guaco__json *restarts = guaco__json_get(status, "restarts");
    put(v,
        "replaced: died %lld  stuck %lld  requests %lld  rss %lld  lifetime "
        "%lld  reload %lld",
        (long long)number(restarts, "died"),
        (long long)number(restarts, "stuck"),
        (long long)number(restarts, "requests"),
        (long long)number(restarts, "rss"),
        (long long)number(restarts, "lifetime"),
        (long long)number(restarts, "reload"));
    *before = (struct guaco__top_before){now_ms, requests, sent};
}

static void
put_worker(struct view *v, const struct guaco__json *w)
{
    char age[24];
    char rss[16];

    put(v, "%-7s %4lld %7lld %-9s %4lld %6s %7s %8.1f %6lld %6lld %10lld",
        guaco__json_text(w, "role", "?"), (long long)number(w, "slot"),
        (long long)number(w, "pid"), guaco__json_text(w, "state", "?"),
        (long long)number(w, "generation"), age_text(number(w, "age_ms"), age),
        bytes_text(number(w, "rss_bytes"), rss),
        (double)number(w, "cpu_ms") / 1000, (long long)number(w, "connections"),
        (long long)number(w, "in_flight"), (long long)number(w, "requests"));
}

static const struct guaco__json *
items(const struct guaco__json *list)
{
    return list == NULL || list->type != GUACO__JSON_ARRAY
               ? NULL
               : list->as.items.first;
}

static int
compare(const void *a, const void *b)
{
    int64_t x = ((const struct call *)a)->ms;
    int64_t y = ((const struct call *)b)->ms;

    return (x < y) - (x > y); /* the slowest first */
}

static size_t
collect(const struct guaco__json *workers, struct call calls[CALLS_MAX])
{
    size_t count = 0;

    for (const struct guaco__json *w = items(workers); w != NULL; w = w->next)
        for (const struct guaco__json *c = items(guaco__json_get(w, "calls"));
             c != NULL && count < CALLS_MAX; c = c->next)
            calls[count++] =
                (struct call){c, number(c, "ms"), number(w, "pid")};
    qsort(calls, count, sizeof *calls, compare);
    return count;
}

int
guaco__top_view(const struct guaco__json *status, uint64_t now_ms,
                struct guaco__top_before *before, size_t rows, size_t columns,
                struct guaco__buf *out)
{
    struct view v = {out, rows, columns, GUACO_OK};
    const struct guaco__json *workers = guaco__json_get(status, "workers");
    struct call calls[CALLS_MAX];

    if (workers == NULL || workers->type != GUACO__JSON_ARRAY)
        return GUACO_E_PROTO;
    put_head(&v, status, now_ms, before);
    put(&v, "%s", "");
    put(&v, "%-7s %4s %7s %-9s %4s %6s %7s %8s %6s %6s %10s", "ROLE", "SLOT",
        "PID", "STATE", "GEN", "AGE", "RSS", "CPU s", "CONNS", "FLIGHT",
        "REQUESTS");
    for (const struct guaco__json *w = items(workers); w != NULL; w = w->next)
        put_worker(&v, w);
    size_t count = collect(workers, calls);
    put(&v, "%s", "");
    put(&v, "%9s %7s %s", "IN FLIGHT", "PID", "REQUEST");
    for (size_t i = 0; i < count; i++)
        put(&v, "%8.1fs %7lld %s %s", (double)calls[i].ms / 1000,
            (long long)calls[i].pid,
            guaco__json_text(calls[i].call, "method", "?"),
            guaco__json_text(calls[i].call, "target", "?"));
    return v.rc;
}
