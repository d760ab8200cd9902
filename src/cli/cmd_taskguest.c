/*
 * guaco _taskguest: the worker of tasks in C (guaco/call.h).  The supervisor
 * starts it as it starts _guest; the first message says how many tasks run at
 * the same time.  Each has a thread that takes, runs and finishes.
 *
 * It drains by SIGTERM, by {"command": "drain"} or by the end of the channel:
 * nothing new is taken, what runs has the tree's grace; what then still runs
 * goes back, and the process ends under it.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "command.h"
#include "guaco/broker.h"
#include "guaco/call.h"
#include "guaco/worker.h"
#include "guest.h"
#include "os/log_fd.h"
#include "run/channel.h"
#include "run/supervisor.h"

#define ARENA_BYTES    (1u << 20)
#define RECURRING_MAX  1000u
#define PAYLOAD_SPARE  64u /* what a payload adds to the bytes of its value */
#define THREADS_MAX    1024u
#define GRACE_S        30
#define FLUSH_MS       2000 /* for what was given back to be stored */
#define ERROR_PAUSE_MS 1000 /* after an error of the store */

struct task_guest {
    int channel;
    int signals; /* a signalfd */
    struct guaco_log log;
    struct guaco__arena arena; /* holds the first message */
    const struct guaco__json *hello;
    const struct guaco__json *options;
    char *message;
    const struct guaco_tasks *tasks;
    struct guaco_broker *broker;
    struct guaco_worker *worker;
    struct seat *seats;
    unsigned seat_count;
    uint64_t runs_max; /* then another process takes over; 0: never */
    _Atomic uint64_t runs;
};

/* A thread that runs one task at a time.  `lock` guards `run`, which is NULL
 * once it is finished, or given back when the process ends under it. */
struct seat {
    struct task_guest *guest;
    pthread_t thread;
    pthread_mutex_t lock;
    struct guaco_run *run;
};

/* ---- one run ---- */

/* A call as the worker keeps it. */
struct run_call {
    struct guaco_call call; /* first */
    struct guaco_run *run;
    unsigned char *body; /* the result, or NULL */
    size_t body_len;
    char why[GUACO_REASON_MAX];
};

static struct run_call *
run_call_of(struct guaco_call *call)
{
    return (struct run_call *)(void *)call;
}

static int
call_argument(struct guaco_call *call, size_t index, struct guaco_value *value)
{
    return guaco_payload_argument(call->task->body, index, value);
}

static int
call_keyword(struct guaco_call *call, const char *name,
             struct guaco_value *value)
{
    struct guaco_slice slice = {name, strlen(name)};

    return guaco_payload_keyword(call->task->body, slice, value);
}

/* Room for `len` bytes in place of the body before. */
static int
renew_body(struct run_call *own, size_t len)
{
    free(own->body);
    own->body_len = 0;
    own->body = malloc(len > 0 ? len : 1);
    return own->body == NULL ? GUACO_E_NOMEM : GUACO_OK;
}

static int
call_give(struct guaco_call *call, const struct guaco_value *value)
{
    struct run_call *own = run_call_of(call);
    size_t cap = value->bytes.len + PAYLOAD_SPARE;
    int rc = renew_body(own, cap);

    return rc != GUACO_OK
               ? rc
               : guaco_payload_value(value, own->body, cap, &own->body_len);
}

static int
call_give_raw(struct guaco_call *call, struct guaco_slice body)
{
    struct run_call *own = run_call_of(call);
    int rc = renew_body(own, body.len);

    if (rc != GUACO_OK)
        return rc;
    if (body.len > 0)
        memcpy(own->body, body.at, body.len);
    own->body_len = body.len;
    return GUACO_OK;
}

static int
call_fail(struct guaco_call *call, const char *why)
{
    struct run_call *own = run_call_of(call);

    snprintf(own->why, sizeof own->why, "%s", why);
    return GUACO_E_INVALID;
}

/* Events are [kind, value]. */
static int
call_event(struct guaco_call *call, const char *kind,
           const struct guaco_value *value)
{
    struct run_call *own = run_call_of(call);
    struct guaco_value pair[2] = {
        guaco_value_text((struct guaco_slice){kind, strlen(kind)}), *value};
    size_t cap = strlen(kind) + value->bytes.len + PAYLOAD_SPARE;
    size_t len;
    unsigned char *body = malloc(cap);

    if (body == NULL)
        return GUACO_E_NOMEM;
    int rc = guaco_payload_list(pair, 2, body, cap, &len);
    if (rc == GUACO_OK)
        rc = guaco_run_event(own->run, (struct guaco_slice){(char *)body, len},
                             NULL);
    free(body);
    return rc;
}

static int64_t
call_remaining_ms(struct guaco_call *call)
{
    return guaco_run_remaining_ms(run_call_of(call)->run);
}

static bool
call_is_interrupted(struct guaco_call *call)
{
    return guaco_run_interrupted(run_call_of(call)->run);
}

static const struct guaco_call_ops call_ops = {
    .argument = call_argument,
    .keyword = call_keyword,
    .give = call_give,
    .give_raw = call_give_raw,
    .fail = call_fail,
    .event = call_event,
    .remaining_ms = call_remaining_ms,
    .is_interrupted = call_is_interrupted,
};

static const struct guaco_task_entry *
find_entry(const struct guaco_tasks *tasks, struct guaco_slice name)
{
    for (const struct guaco_task_entry *e = tasks->entries; e->name != NULL;
         e++)
        if (strlen(e->name) == name.len &&
            memcmp(e->name, name.at, name.len) == 0)
            return e;
    return NULL;
}

/* What Python calls a TaskException's metadata. */
static int
give_failure(struct run_call *own)
{
    const struct guaco_argument about[] = {
        {GUACO_SLICE("error"),
         guaco_value_text((struct guaco_slice){own->why, strlen(own->why)})},
        {GUACO_SLICE("retries"),
         guaco_value_int(guaco_run_retries_left(own->run))},
        {GUACO_SLICE("task_id"), guaco_value_int((int64_t)own->call.id)},
    };
    size_t cap = sizeof own->why + 4 * PAYLOAD_SPARE;
    int rc = renew_body(own, cap);

    return rc != GUACO_OK
               ? rc
               : guaco_payload_map(about, 3, own->body, cap, &own->body_len);
}

/* End the seat's run, unless it was given back meanwhile. */
static void
finish(struct seat *seat, const struct guaco_outcome *outcome)
{
    const struct guaco_outcome back = {.kind = GUACO_OUTCOME_RELEASED};
    struct guaco_error err = {0};

    pthread_mutex_lock(&seat->lock);
    struct guaco_run *run = seat->run;
    seat->run = NULL;
    if (run != NULL && guaco_run_finish(run, outcome, NULL, &err) != GUACO_OK) {
        guaco__log(&seat->guest->log, GUACO_LOG_ERROR, "tasks", "%s", err.text);
        (void)guaco_run_finish(run, &back, NULL, NULL);
    }
    pthread_mutex_unlock(&seat->lock);
}

static void
run_one(struct seat *seat, struct guaco_run *run)
{
    struct task_guest *g = seat->guest;
    struct run_call own = {.call = {.ops = &call_ops,
                                    .task = guaco_run_task(run),
                                    .id = guaco_run_id(run),
                                    .attempt = guaco_run_attempt(run)},
                           .run = run};
    const struct guaco_task_entry *entry =
        find_entry(g->tasks, own.call.task->name);
    int rc = GUACO_E_MISSING;

    pthread_mutex_lock(&seat->lock);
    seat->run = run;
    pthread_mutex_unlock(&seat->lock);
    if (entry != NULL)
        rc = entry->run(&own.call);
    else
        snprintf(own.why, sizeof own.why, "there is no task %.*s here",
                 (int)own.call.task->name.len, own.call.task->name.at);
    if (rc < 0 && own.why[0] == '\0')
        snprintf(own.why, sizeof own.why, "%s", guaco_strerror(rc));
    if (rc < 0 && give_failure(&own) != GUACO_OK)
        own.body_len = 0;
    const struct guaco_outcome outcome = {
        .kind = rc >= 0                               ? GUACO_OUTCOME_DONE
                : guaco_run_why(run) == GUACO_E_STATE ? GUACO_OUTCOME_CANCELED
                                                      : GUACO_OUTCOME_FAILED,
        .keep = true,
        .body = {(char *)own.body, own.body_len},
        .retry_delay_ms = -1,
    };
    finish(seat, &outcome);
    free(own.body);
    if (atomic_fetch_add(&g->runs, 1) + 1 == g->runs_max)
        guest_send(g->channel, "exhausted", NULL);
}

static void *
seat_main(void *ctx)
{
    struct seat *seat = ctx;
    struct task_guest *g = seat->guest;
    struct guaco_run *run;
    struct guaco_error err = {0};

    for (;;) {
        int rc = guaco_worker_next(g->worker, -1, &run, &err);
        if (rc == GUACO_E_CLOSED)
            return NULL;
        if (rc == GUACO_OK) {
            run_one(seat, run);
        } else if (rc != GUACO_E_AGAIN) {
            guaco__log(&g->log, GUACO_LOG_ERROR, "tasks", "the store: %s",
                       err.text);
            (void)poll(NULL, 0, ERROR_PAUSE_MS);
        }
    }
}

/* A task that goes on after its timeout: its failure is stored, and nothing
 * else can end it. */
static void
on_stuck(void *ctx, struct guaco_run *run)
{
    const struct task_guest *g = ctx;

    guaco__log(&g->log, GUACO_LOG_ERROR, "tasks",
               "task %llu did not end after its timeout; replacing the process",
               (unsigned long long)guaco_run_id(run));
    _exit(GUACO__EXIT_CRASH);
}

/* ---- starting ---- */

static int
load(struct task_guest *g, struct guaco_error *err)
{
    const char *arg;
    guaco_tasks_open_fn *open_fn;
    void *symbol;
    int rc = guest_load(g->hello, GUACO_TASKS_SYMBOL, &symbol, &arg, err);

    if (rc < 0)
        return rc;
    memcpy(&open_fn, &symbol, sizeof open_fn); /* as cmd_guest.c says */
    rc = open_fn(&g->tasks, arg, err);
    if (rc != GUACO_OK)
        return rc;
    if (g->tasks == NULL || g->tasks->abi != GUACO_TASKS_ABI)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "the tasks were built for another guaco: abi %u, "
                          "here %u",
                          g->tasks == NULL ? 0 : g->tasks->abi,
                          GUACO_TASKS_ABI);
    if (g->tasks->url == NULL || g->tasks->queue == NULL ||
        g->tasks->entries == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "the tasks lack a url, a queue or entries");
    return GUACO_OK;
}

/* Those of the entries that come by themselves.  The generation is that of a
 * deployment: the start of the supervisor, and its reloads. */
static int
put_recurring(struct task_guest *g, struct guaco_error *err)
{
    struct guaco_recurring *all = NULL;
    struct guaco_slice queue = {g->tasks->queue, strlen(g->tasks->queue)};
    size_t n = 0;
    bool stale;

    for (const struct guaco_task_entry *e = g->tasks->entries; e->name != NULL;
         e++)
        n += e->spec != NULL;
    if (n > RECURRING_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "more than %u schedules",
                          RECURRING_MAX);
    all = calloc(n + 1, sizeof *all);
    if (all == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "schedules");
    struct guaco_recurring *r = all;
    uint64_t generation = guest_deployment(g->hello);
    for (const struct guaco_task_entry *e = g->tasks->entries; e->name != NULL;
         e++) {
        if (e->spec == NULL)
            continue;
        const char *zone = e->zone == NULL ? "" : e->zone;
        struct guaco_slice name = {e->name, strlen(e->name)};
        *r++ = (struct guaco_recurring){
            .name = name,
            .spec = {e->spec, strlen(e->spec)},
            .zone = {zone, strlen(zone)},
            .catch_up = e->catch_up == 0 ? GUACO_CATCH_UP_SKIP : e->catch_up,
            .generation = generation,
            .task = {.queue = queue, .name = name}};
    }
    int rc = guaco_broker_recurring(g->broker, queue, generation, all, n,
                                    &stale, err);
    free(all);
    return rc;
}

/* The table has checked it. */
static uint32_t
prefetch_of(const struct guaco__json *options)
{
    int64_t n = guaco__json_int(options, "prefetch", 0);

    return n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static int
open_worker(struct task_guest *g, struct guaco_error *err)
{
    const struct guaco_worker_options options = {
        .queue = {g->tasks->queue, strlen(g->tasks->queue)},
        .slots = g->seat_count,
        .prefetch = prefetch_of(g->options),
        .calls = {.on_stuck = on_stuck},
        .ctx = g};
    int rc = guaco_broker_open(&g->broker, g->tasks->url, err);

    if (rc == GUACO_OK && guaco__json_bool(g->options, "periodic", true))
        rc = put_recurring(g, err);
    return rc != GUACO_OK
               ? rc
               : guaco_worker_open(&g->worker, g->broker, &options, err);
}

/* Signals are the main thread's. */
static int
block_signals(struct task_guest *g, struct guaco_error *err)
{
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    g->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return g->signals >= 0 ? GUACO_OK
                           : guaco_fail(err, GUACO_E_IO, errno, "signalfd");
}

static int
start_threads(struct task_guest *g, struct guaco_error *err)
{
    unsigned wanted = g->seat_count;

    g->seat_count = 0;
    g->seats = calloc(wanted, sizeof *g->seats);
    if (g->seats == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "threads");
    for (; g->seat_count < wanted; g->seat_count++) {
        struct seat *seat = &g->seats[g->seat_count];
        seat->guest = g;
        pthread_mutex_init(&seat->lock, NULL);
        int sys = pthread_create(&seat->thread, NULL, seat_main, seat);
        if (sys != 0)
            return guaco_fail(err, GUACO_E_IO, sys, "a thread");
    }
    return GUACO_OK;
}

static int
read_hello(struct task_guest *g, struct guaco_error *err)
{
    int fds[GUACO__CHANNEL_FDS_MAX];
    size_t count;
    size_t len;
    int rc = guaco__channel_receive(
        g->channel, g->message, GUACO__CHANNEL_MESSAGE_MAX, &len, fds, &count);

    if (rc < 0)
        return guaco_fail(err, rc, 0, "the first message of the channel");
    for (size_t i = 0; i < count; i++)
        close(fds[i]); /* sockets and meters are for gateways */
    rc = guaco__json_read(&g->arena, g->message, len, &g->hello, err);
    if (rc != GUACO_OK)
        return rc;
    g->options = guaco__json_get(g->hello, "options");
    int64_t n = guaco__json_int(g->hello, "concurrency", 1);
    g->seat_count = n < 1                      ? 1
                    : n > (int64_t)THREADS_MAX ? THREADS_MAX
                                               : (unsigned)n;
    g->runs_max = guest_limit(g->options, "max_tasks");
    int level =
        guaco__log_level_find(guaco__json_text(g->options, "log_level", ""));
    if (level >= 0)
        g->log.level = level;
    return GUACO_OK;
}

static int
start(struct task_guest *g, struct guaco_error *err)
{
    int rc = read_hello(g, err);

    if (rc == GUACO_OK)
        rc = block_signals(g, err);
    if (rc == GUACO_OK)
        rc = load(g, err);
    if (rc == GUACO_OK)
        rc = open_worker(g, err);
    return rc == GUACO_OK ? start_threads(g, err) : rc;
}

/* ---- running and ending ---- */

/* Whether the channel says to end; its messages are for Python's workers, too,
 * and most mean nothing here. */
static bool
is_told_to_end(struct task_guest *g)
{
    int fds[GUACO__CHANNEL_FDS_MAX];
    const struct guaco__json *value = NULL;
    struct guaco__arena arena;
    size_t count;
    size_t len;
    int rc = guaco__channel_receive(
        g->channel, g->message, GUACO__CHANNEL_MESSAGE_MAX, &len, fds, &count);

    if (rc < 0)
        return rc != GUACO_E_AGAIN;
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    guaco__arena_init(&arena, 1024, ARENA_BYTES);
    bool ends =
        guaco__json_read(&arena, g->message, len, &value, NULL) == GUACO_OK &&
        strcmp(guaco__json_text(value, "command", ""), "drain") == 0;
    guaco__arena_release(&arena);
    return ends;
}

static void
wait_for_the_end(struct task_guest *g)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = g->channel, .events = POLLIN},
                               {.fd = g->signals, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[1].revents != 0 || (fds[0].revents != 0 && is_told_to_end(g)))
            return;
    }
}

static void
drain(struct task_guest *g)
{
    double grace = guest_seconds(g->options, "grace", GRACE_S);

    guest_send(g->channel, "draining", NULL);
    guaco_worker_drain(g->worker);
    if (guaco_worker_join(g->worker, (int64_t)(grace * 1000)) != GUACO_OK) {
        const struct guaco_outcome back = {.kind = GUACO_OUTCOME_RELEASED};
        for (unsigned i = 0; i < g->seat_count; i++)
            finish(&g->seats[i], &back);
        (void)guaco_worker_join(g->worker, FLUSH_MS);
        _exit(GUACO__EXIT_OK); /* it ends under them */
    }
    for (unsigned i = 0; i < g->seat_count; i++)
        (void)pthread_join(g->seats[i].thread, NULL);
}

int
guaco__command_taskguest(const struct guaco__command *command,
                         const char *const *args, size_t count)
{
    struct task_guest g = {.channel = guest_channel(), .signals = -1};
    struct guaco_error err = {0};

    (void)command, (void)args, (void)count;
    if (g.channel < 0) {
        fprintf(stderr, "guaco _taskguest is started by guaco work\n");
        return GUACO__EXIT_USAGE;
    }
    g.log = (struct guaco_log){GUACO_LOG_INFO, guaco__log_fd,
                               (void *)(intptr_t)STDERR_FILENO};
    guaco__arena_init(&g.arena, 4096, ARENA_BYTES);
    g.message = malloc(GUACO__CHANNEL_MESSAGE_MAX);
    if (g.message == NULL || start(&g, &err) < 0) {
        guest_send(g.channel, "failed", err.text);
        return GUACO__EXIT_START; /* threads may be in the tables of `g` */
    }
    guest_send_queue(g.channel, g.tasks->queue, g.tasks->url);
    guest_send(g.channel, "ready", NULL);
    wait_for_the_end(&g);
    drain(&g);
    guaco_worker_close(g.worker);
    guaco_broker_close(g.broker);
    free(g.seats);
    free(g.message);
    guaco__arena_release(&g.arena);
    return GUACO__EXIT_OK;
}
