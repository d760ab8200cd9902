/*
 * Looks after web workers: one whose loop does not move on (--timeout-worker)
 * is shown in the log with its Python stacks and replaced, one that has grown
 * (--worker-max-rss) is replaced.
 *
 * An idle tree wakes nobody.  Each worker notes in its meter when its loop went
 * on and when it waits; the first that moves while it is not watched writes to
 * an eventfd, which starts a timer here.  When a look finds all loops waiting
 * they are told that nobody watches any more, and the timer runs once more, for
 * one that had begun to move at that moment.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/proc.h"
#include "profile/dump.h"
#include "supervisor_int.h"

#define LOOK_MIN_MS    20u
#define LOOK_MAX_MS    1000u
#define TASKS_LOOK_MS  5000u /* task workers have no loop that says something */
#define DUMP_BYTES_MAX (256u << 10)
#define CALLS_SHOWN    8 /* requests of a stuck worker */
#define NS_PER_MS      1000000u

struct guaco__pulse {
    struct tree *tree;
    int fd;
    uint64_t timeout_ns; /* 0: never */
    uint64_t rss_max;    /* 0: no limit */
    uint32_t look_ms;
    bool is_last; /* the look after which the timer rests */
    struct guaco__watch watch;
    struct guaco__timer look;
    struct guaco__timer look_at_tasks;
};

/* ---- a stuck worker ---- */

static void
say_calls(const struct worker *w, const char *name, uint64_t now_ns)
{
    const struct guaco__meter *meter = &w->tree->meters.slots[w->meter];
    int shown = 0;

    for (size_t i = 0; i < GUACO__METER_CALLS && shown < CALLS_SHOWN; i++) {
        struct guaco__meter_view call;
        if (guaco__meter_look(meter, i, &call) != GUACO_OK ||
            call.since_ns > now_ns)
            continue;
        shown++;
        guaco__log(w->tree->log, GUACO_LOG_ERROR, "supervisor",
                   "%s: in flight for %.1f s: %s %s", name,
                   (double)(now_ns - call.since_ns) / 1e9,
                   guaco__meter_method_name(call.method), call.target);
    }
}

/* Its parent is allowed to read it. */
static int
dump(const struct worker *w, struct guaco__buf *out, struct guaco_error *err)
{
    const char *target_name = w->tree->setup->target;
    const struct guaco__dump_options options = {
        .form = GUACO__DUMP_PEOPLE,
        .pid = w->pid,
        .command_line = {target_name, strlen(target_name)},
    };
    struct guaco__target *target = NULL;

    int rc = guaco__target_attach(&target, w->pid, err);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__dump_write(target, &options, out);
    guaco__target_free(target);
    return rc == GUACO_OK ? rc : guaco_fail(err, rc, 0, "its stacks");
}

static void
take_stuck(struct worker *w, uint64_t since_ns, uint64_t now_ns)
{
    struct tree *tree = w->tree;
    struct guaco__buf out;
    struct guaco_error err = {0};
    char name[64];

    guaco__worker_name(w, name);
    guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
               "%s did not move on for %.1f s (--timeout-worker); it is "
               "replaced",
               name, (double)(now_ns - since_ns) / 1e9);
    say_calls(w, name, now_ns);
    guaco__buf_init(&out, DUMP_BYTES_MAX);
    if (dump(w, &out, &err) == GUACO_OK && out.len > 0)
        tree->setup->tell(tree->setup->ctx, guaco__buf_data(&out), out.len);
    else
        guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
                   "%s: no stacks: %s", name, err.text);
    guaco__buf_release(&out);
    guaco__tree_count(tree, RENEWAL_STUCK);
    guaco__slot_event(w->slot, w, WORKER_LEAVES, NULL);
    guaco__worker_abort(w);
}

/* ---- looking ---- */

static void
check_rss(struct worker *w, uint64_t most)
{
    struct guaco__proc_stat stat;

    if (most > 0 && w->state == WORKER_READY && w->slot->now == w &&
        guaco__proc_stat(w->pid, &stat, NULL) == GUACO_OK &&
        stat.rss_bytes > most)
        guaco__slot_renew(w->slot, RENEWAL_RSS);
}

/* Whether its loop moves at the moment. */
static bool
look_at(struct guaco__pulse *p, struct worker *w, uint64_t now_ns)
{
    const struct guaco__meter *meter = &p->tree->meters.slots[w->meter];
    uint64_t since_ns =
        atomic_load_explicit(&meter->busy_since_ns, memory_order_relaxed);

    check_rss(w, p->rss_max);
    if (since_ns == 0)
        return false;
    if (p->timeout_ns > 0 && w->state == WORKER_READY && w->slot->now == w &&
        now_ns > since_ns && now_ns - since_ns > p->timeout_ns)
        take_stuck(w, since_ns, now_ns);
    return true;
}

static void
set_watched(struct tree *tree, uint32_t on)
{
    const struct worker *w;

    EACH_WORKER(tree, w)
    if (w->meter >= 0)
        atomic_store(&tree->meters.slots[w->meter].is_watched, on);
}

/* A worker that is replaced adds one to the list, at its end. */
static bool
look_at_all(struct guaco__pulse *p)
{
    uint64_t now_ns = guaco__clock_mono_ns();
    struct worker *w;
    bool is_busy = false;

    EACH_WORKER(p->tree, w)
    if (w->meter >= 0 && look_at(p, w, now_ns))
        is_busy = true;
    return is_busy;
}

static void
on_look(struct guaco__timer *timer)
{
    struct guaco__pulse *p = GUACO__OF(timer, struct guaco__pulse, look);
    bool is_busy = look_at_all(p);

    if (!is_busy && p->is_last)
        return;
    p->is_last = !is_busy;
    set_watched(p->tree, is_busy);
    guaco__timer_start_ms(timer, p->look_ms);
}

static void
on_pulse(struct guaco__watch *watch, unsigned events)
{
    struct guaco__pulse *p = GUACO__OF(watch, struct guaco__pulse, watch);
    uint64_t count;

    (void)events;
    if (read(p->fd, &count, sizeof count) < 0)
        return;
    p->is_last = false;
    if (!guaco__timer_is_armed(&p->look))
        guaco__timer_start_ms(&p->look, p->look_ms);
}

static void
on_look_at_tasks(struct guaco__timer *timer)
{
    struct guaco__pulse *p =
        GUACO__OF(timer, struct guaco__pulse, look_at_tasks);
    struct worker *w;

    EACH_WORKER(p->tree, w)
    if (w->slot->role == ROLE_TASKS)
        check_rss(w, p->rss_max);
    guaco__timer_start_ms(timer, TASKS_LOOK_MS);
}

/* ---- life ---- */

static uint32_t
look_every_ms(uint64_t timeout_ns)
{
    uint64_t ms = timeout_ns / NS_PER_MS / 4;

    if (timeout_ns == 0 || ms > LOOK_MAX_MS)
        return LOOK_MAX_MS;
    return ms < LOOK_MIN_MS ? LOOK_MIN_MS : (uint32_t)ms;
}

static int
start(struct guaco__pulse *p, struct guaco_error *err)
{
    enum guaco__option_command command = p->tree->setup->options->command;

    if (p->rss_max > 0 && (command & (GUACO__WORK | GUACO__UP)) != 0)
        guaco__timer_start_ms(&p->look_at_tasks, TASKS_LOOK_MS);
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "eventfd");
    return guaco__watch_start(&p->watch, p->tree->loop, p->fd, GUACO__READABLE,
                              on_pulse, err);
}

int
guaco__pulse_open(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    int64_t timeout_ms = 0;
    int64_t rss_max = guaco__options_number(o, "worker-max-rss");

    if (o->command != GUACO__WORK && guaco__options_number(o, "reload") == 0)
        timeout_ms = guaco__options_number(o, "timeout-worker");
    if (timeout_ms == 0 && rss_max == 0)
        return GUACO_OK;
    struct guaco__pulse *p = calloc(1, sizeof *p);
    if (p == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "start");
    tree->pulse = p;
    p->tree = tree;
    p->fd = -1;
    p->timeout_ns = (uint64_t)timeout_ms * NS_PER_MS;
    p->rss_max = (uint64_t)rss_max;
    p->look_ms = look_every_ms(p->timeout_ns);
    guaco__timer_init(&p->look, tree->loop, on_look);
    guaco__timer_init(&p->look_at_tasks, tree->loop, on_look_at_tasks);
    return start(p, err);
}

void
guaco__pulse_close(struct tree *tree)
{
    struct guaco__pulse *p = tree->pulse;

    if (p == NULL)
        return;
    guaco__timer_stop(&p->look);
    guaco__timer_stop(&p->look_at_tasks);
    guaco__watch_stop(&p->watch);
    if (p->fd >= 0)
        close(p->fd);
    free(p);
    tree->pulse = NULL;
}

int
guaco__pulse_fd(const struct tree *tree)
{
    return tree->pulse == NULL ? -1 : tree->pulse->fd;
}
