/*
 * What the tree tells of itself: /metrics in the text form of OpenMetrics, and
 * /-/status as JSON for guaco top.  The numbers are those of the meters, so
 * they are exact over all workers, restarts and upgrades.
 */

#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "os/clock.h"
#include "os/proc.h"
#include "supervisor_int.h"

#define CALLS_SHOWN 256 /* of all workers, in the status */

static const char *const reasons[RENEWALS] = {
    [RENEWAL_DIED] = "died",         [RENEWAL_RELOAD] = "reload",
    [RENEWAL_REQUESTS] = "requests", [RENEWAL_RSS] = "rss",
    [RENEWAL_LIFETIME] = "lifetime", [RENEWAL_STUCK] = "stuck",
};

static const char *
state_name(enum worker_state state)
{
    switch (state) {
    case WORKER_STARTING: return "starting";
    case WORKER_READY: return "ready";
    case WORKER_DRAINING: return "draining";
    case WORKER_ABORTED:
    case WORKER_KILLED: return "ending";
    }
    return "";
}

/* ---- OpenMetrics: the first failure sticks ---- */

struct page {
    struct guaco__buf *out;
    int rc;
};

static void
put_family(struct page *p, const char *name, const char *type, const char *help)
{
    if (p->rc == GUACO_OK)
        p->rc = guaco__buf_printf(p->out, "# TYPE %s %s\n# HELP %s %s\n", name,
                                  type, name, help);
}

static void
put(struct page *p, const char *name, const char *labels, uint64_t value)
{
    if (p->rc == GUACO_OK)
        p->rc = guaco__buf_printf(p->out, "%s%s %llu\n", name, labels,
                                  (unsigned long long)value);
}

static void
put_requests(struct page *p, const struct guaco__meter_counts *c)
{
    char labels[64];

    put_family(p, "guaco_requests", "counter",
               "Requests that are over, by method and class of the status; "
               "none: ended without an answer.");
    for (int m = 0; m < GUACO__METER_METHODS; m++)
        for (int class = 0; class < GUACO__METER_CLASSES; class ++) {
            if (c->requests[m][class] == 0)
                continue;
            snprintf(labels, sizeof labels,
                     class == 0 ? "{method=\"%s\",code=\"none\"}"
                                : "{method=\"%s\",code=\"%dxx\"}",
                     guaco__meter_method_name((enum guaco__meter_method)m),
                     class);
            put(p, "guaco_requests_total", labels, c->requests[m][class]);
        }
}

static void
put_durations(struct page *p, const struct guaco__meter_counts *c)
{
    static const char name[] = "guaco_request_duration_seconds";
    uint64_t sum = 0;
    char labels[64];

    put_family(p, name, "histogram",
               "From the end of a request's head to the end of its answer.");
    for (int i = 0; i < GUACO__METER_BUCKETS; i++) {
        sum += c->durations[i];
        if (i + 1 < GUACO__METER_BUCKETS)
            snprintf(labels, sizeof labels, "{le=\"%g\"}",
                     (double)guaco__meter_bounds_us[i] / 1e6);
        else
            snprintf(labels, sizeof labels, "{le=\"+Inf\"}");
        put(p, "guaco_request_duration_seconds_bucket", labels, sum);
    }
    put(p, "guaco_request_duration_seconds_count", "", sum);
    if (p->rc == GUACO_OK)
        p->rc = guaco__buf_printf(p->out, "%s_sum %.6f\n", name,
                                  (double)c->duration_us / 1e6);
}

static void
put_counts(struct page *p, const struct guaco__meter_counts *c)
{
    const struct {
        const char *family;
        const char *sample;
        uint64_t value;
        const char *help;
    } all[] = {
        {"guaco_connections", "guaco_connections_total", c->connections,
         "Connections that were accepted."},
        {"guaco_received_bytes", "guaco_received_bytes_total", c->bytes_in,
         "Bytes read from clients."},
        {"guaco_sent_bytes", "guaco_sent_bytes_total", c->bytes_out,
         "Bytes that the kernel took for clients."},
        {"guaco_refused_requests", "guaco_refused_requests_total", c->refused,
         "Requests that the server answered itself with an error."},
        {"guaco_timeouts", "guaco_timeouts_total", c->timeouts,
         "Deadlines of connections that passed."},
        {"guaco_access_log_dropped", "guaco_access_log_dropped_total",
         c->log_lines_dropped, "Lines that the log's reader was too slow for."},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        put_family(p, all[i].family, "counter", all[i].help);
        put(p, all[i].sample, "", all[i].value);
    }
}

static void
put_gauges(struct page *p, const struct tree *tree)
{
    uint64_t connections = 0;
    uint64_t in_flight = 0;

    for (size_t i = 0; i < GUACO__METER_SLOTS; i++) {
        const struct guaco__meter *m = &tree->meters.slots[i];
        if (m->pid == 0)
            continue;
        connections += m->open_connections;
        in_flight += m->in_flight;
    }
    put_family(p, "guaco_open_connections", "gauge", "Connections now.");
    put(p, "guaco_open_connections", "", connections);
    put_family(p, "guaco_requests_in_flight", "gauge", "Requests now.");
    put(p, "guaco_requests_in_flight", "", in_flight);
}

static void
put_workers(struct page *p, const struct tree *tree)
{
    static const enum worker_state states[] = {WORKER_STARTING, WORKER_READY,
                                               WORKER_DRAINING, WORKER_KILLED};
    static const enum role roles[] = {ROLE_WEB, ROLE_TASKS, ROLE_KEEPER};
    char labels[96];

    put_family(p, "guaco_workers", "gauge", "Processes by role and state.");
    for (size_t r = 0; r < sizeof roles / sizeof *roles; r++)
        for (size_t s = 0; s < sizeof states / sizeof *states; s++) {
            const struct worker *w;
            uint64_t n = 0;
            EACH_WORKER(tree, w)
            n += w->slot->role == roles[r] &&
                 state_name(w->state) == state_name(states[s]);
            snprintf(labels, sizeof labels, "{role=\"%s\",state=\"%s\"}",
                     guaco__role_name(roles[r]), state_name(states[s]));
            put(p, "guaco_workers", labels, n);
        }
    put_family(p, "guaco_worker_restarts", "counter",
               "Workers that were replaced, by reason.");
    for (int i = 0; i < RENEWALS; i++) {
        snprintf(labels, sizeof labels, "{reason=\"%s\"}", reasons[i]);
        put(p, "guaco_worker_restarts_total", labels, tree->meters.restarts[i]);
    }
}

static void
put_memory(struct page *p, const struct tree *tree)
{
    const struct worker *w;
    char labels[96];

    put_family(p, "guaco_worker_resident_memory_bytes", "gauge",
               "Memory of each process.");
    EACH_WORKER(tree, w)
    {
        struct guaco__proc_stat stat;
        if (guaco__proc_stat(w->pid, &stat, NULL) != GUACO_OK)
            continue;
        snprintf(labels, sizeof labels,
                 "{role=\"%s\",slot=\"%zu\",pid=\"%ld\"}",
                 guaco__role_name(w->slot->role), w->slot->index, (long)w->pid);
        put(p, "guaco_worker_resident_memory_bytes", labels, stat.rss_bytes);
    }
}

int
guaco__metrics_write(const struct tree *tree, struct guaco__buf *out)
{
    struct page p = {out, GUACO_OK};
    struct guaco__meter_counts sum;

    guaco__meters_sum(&tree->meters, &sum);
    put_requests(&p, &sum);
    put_durations(&p, &sum);
    put_counts(&p, &sum);
    put_gauges(&p, tree);
    put_workers(&p, tree);
    put_memory(&p, tree);
    put_family(&p, "guaco_build", "info", "The version that runs.");
    put(&p, "guaco_build_info", "{version=\"" GUACO_VERSION "\"}", 1);
    return p.rc != GUACO_OK ? p.rc : guaco__buf_printf(out, "# EOF\n");
}

/* ---- the status ---- */

static void
write_int(struct guaco__json_writer *j, const char *name, uint64_t value)
{
    guaco__json_name(j, name);
    guaco__json_put_int(j, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void
write_text(struct guaco__json_writer *j, const char *name, const char *text)
{
    guaco__json_name(j, name);
    guaco__json_put_text(j, text);
}

static uint64_t
ms_since(uint64_t ns, uint64_t now_ns)
{
    return ns == 0 || ns > now_ns ? 0 : (now_ns - ns) / 1000000;
}

static uint64_t
count_requests(const struct guaco__meter_counts *c)
{
    uint64_t n = 0;

    for (int m = 0; m < GUACO__METER_METHODS; m++)
        for (int class = 0; class < GUACO__METER_CLASSES; class ++)
            n += c->requests[m][class];
    return n;
}

static void
write_calls(struct guaco__json_writer *j, const struct guaco__meter *m,
            uint64_t now_ns, size_t *left)
{
    guaco__json_name(j, "calls");
    guaco__json_open(j, '[');
    for (size_t i = 0; i<GUACO__METER_CALLS && * left> 0; i++) {
        struct guaco__meter_view call;
        if (guaco__meter_look(m, i, &call) != GUACO_OK)
            continue;
        (*left)--;
        guaco__json_open(j, '{');
        write_text(j, "method", guaco__meter_method_name(call.method));
        write_text(j, "target", call.target);
        write_int(j, "ms", ms_since(call.since_ns, now_ns));
        guaco__json_close(j, '}');
    }
    guaco__json_close(j, ']');
}

static void
write_worker(struct guaco__json_writer *j, const struct worker *w,
             uint64_t now_ns, size_t *calls_left)
{
    struct guaco__proc_stat stat = {0};

    (void)guaco__proc_stat(w->pid, &stat, NULL);
    guaco__json_open(j, '{');
    write_text(j, "role", guaco__role_name(w->slot->role));
    write_int(j, "slot", w->slot->index);
    write_int(j, "pid", (uint64_t)w->pid);
    write_text(j, "state", state_name(w->state));
    write_int(j, "generation", w->generation);
    write_int(j, "age_ms", ms_since(w->start_ns, now_ns));
    write_int(j, "cpu_ms", stat.cpu_ms);
    write_int(j, "rss_bytes", stat.rss_bytes);
    if (w->meter >= 0) {
        const struct guaco__meter *m = &w->tree->meters.slots[w->meter];
        write_int(j, "connections", m->open_connections);
        write_int(j, "in_flight", m->in_flight);
        write_int(j, "requests", count_requests(&m->counts));
        write_int(j, "busy_ms", ms_since(m->busy_since_ns, now_ns));
        write_calls(j, m, now_ns, calls_left);
    }
    guaco__json_close(j, '}');
}

int
guaco__status_write(const struct tree *tree, struct guaco__buf *out)
{
    uint64_t now_ns = guaco__clock_mono_ns();
    struct guaco__meter_counts sum;
    struct guaco__json_writer j;
    const struct worker *w;
    size_t calls_left = CALLS_SHOWN;

    guaco__meters_sum(&tree->meters, &sum);
    guaco__json_begin(&j, out);
    guaco__json_open(&j, '{');
    write_text(&j, "version", GUACO_VERSION);
    write_text(&j, "target", tree->setup->target);
    write_int(&j, "pid", (uint64_t)getpid());
    write_text(&j, "state",
               tree->state == TREE_STARTING  ? "starting"
               : tree->state == TREE_RUNNING ? "running"
                                             : "stopping");
    write_int(&j, "generation", tree->generation);
    write_int(&j, "uptime_ms", ms_since(tree->start_ns, now_ns));
    write_int(&j, "requests", count_requests(&sum));
    write_int(&j, "bytes_in", sum.bytes_in);
    write_int(&j, "bytes_out", sum.bytes_out);
    write_int(&j, "connections", sum.connections);
    guaco__json_name(&j, "restarts");
    guaco__json_open(&j, '{');
    for (int i = 0; i < RENEWALS; i++)
        write_int(&j, reasons[i], tree->meters.restarts[i]);
    guaco__json_close(&j, '}');
    guaco__json_name(&j, "workers");
    guaco__json_open(&j, '[');
    EACH_WORKER(tree, w)
    write_worker(&j, w, now_ns, &calls_left);
    guaco__json_close(&j, ']');
    guaco__json_close(&j, '}');
    return guaco__json_end(&j);
}
