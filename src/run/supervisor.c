/*
 * The tree and its slots: the contract and the states are in run/supervisor.h.
 */

#include "run/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/clock.h"
#include "run/interpreter.h"
#include "supervisor_int.h"

#define YOUNG_NS     5000000000u /* a worker that dies before is a young one */
#define PAUSE_MS     100u        /* before the second restart in a row */
#define PAUSE_MAX_MS 10000u

#define EACH_SLOT(tree, s)                                 \
    for (struct guaco__list *l_ = (tree)->slots.next;      \
         l_ != &(tree)->slots &&                           \
         ((s) = GUACO__OF(l_, struct slot, link)) != NULL; \
         l_ = l_->next)
#define EACH_WORKER(tree, w)                                 \
    for (struct guaco__list *l_ = (tree)->workers.next;      \
         l_ != &(tree)->workers &&                           \
         ((w) = GUACO__OF(l_, struct worker, link)) != NULL; \
         l_ = l_->next)

bool
guaco__target_is_guest(const char *target)
{
    const char *colon = strrchr(target, ':');
    size_t len = colon == NULL ? strlen(target) : (size_t)(colon - target);

    return len > 3 && memcmp(target + len - 3, ".so", 3) == 0;
}

/* ---- the whole tree ---- */

static size_t
count_workers(const struct tree *tree, bool keepers)
{
    const struct worker *w;
    size_t n = 0;

    EACH_WORKER(tree, w)
    n += (w->slot->role == ROLE_KEEPER) == keepers;
    return n;
}

/* Keepers go last: they give back what the workers leave behind. */
static void
stop_more(struct tree *tree)
{
    struct worker *w;

    assert(tree->state == TREE_STOPPING);
    if (count_workers(tree, false) > 0)
        return;
    if (count_workers(tree, true) == 0) {
        guaco__loop_stop(tree->loop);
        return;
    }
    EACH_WORKER(tree, w)
    guaco__worker_drain(w);
}

static void
stop_tree(struct tree *tree, int exit_code)
{
    struct slot *slot;
    struct worker *w;

    if (tree->state == TREE_STOPPING)
        return;
    tree->state = TREE_STOPPING;
    tree->exit_code = exit_code;
    EACH_SLOT(tree, slot)
    guaco__timer_stop(&slot->again);
    EACH_WORKER(tree, w)
    if (w->slot->role != ROLE_KEEPER)
        guaco__worker_drain(w);
    stop_more(tree);
}

static void
take_stop_signal(struct tree *tree)
{
    struct worker *w;

    tree->stop_signals++;
    if (tree->stop_signals == 1 && tree->state != TREE_STOPPING) {
        guaco__log(tree->log, GUACO_LOG_INFO, "supervisor",
                   "shutting down; again to stop at once");
        stop_tree(tree, GUACO__EXIT_OK);
    } else if (tree->stop_signals == 2) {
        guaco__log(tree->log, GUACO_LOG_WARNING, "supervisor",
                   "stopping at once");
        EACH_WORKER(tree, w)
        guaco__worker_kill(w);
    }
}

void
guaco__tree_read_signals(struct tree *tree)
{
    struct signalfd_siginfo info;

    while (read(tree->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            guaco__tree_reload(tree);
        else
            take_stop_signal(tree);
    }
}

static void
on_signal(struct guaco__watch *watch, unsigned events)
{
    (void)events;
    guaco__tree_read_signals(GUACO__OF(watch, struct tree, signal_watch));
}

/* All slots have come up: say once where the tree listens. */
static void
check_started(struct tree *tree)
{
    const struct slot *slot;

    if (tree->state != TREE_STARTING)
        return;
    EACH_SLOT(tree, slot)
    if (slot->role != ROLE_KEEPER &&
        (slot->now == NULL || slot->now->state != WORKER_READY))
        return;
    tree->state = TREE_RUNNING;
    for (size_t i = 0; i < tree->binds.count; i++)
        guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "listening on %s",
                   tree->binds.items[i].url);
    if (tree->binds.count == 0 && tree->setup->options->command != GUACO__QUEUE)
        guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "workers ready");
}

/* ---- slots ---- */

static uint64_t
pause_ms(const struct slot *slot)
{
    uint64_t ms = PAUSE_MS;

    if (slot->young_deaths < 2)
        return 0; /* the first time at once */
    for (unsigned i = 2; i < slot->young_deaths && ms < PAUSE_MAX_MS; i++)
        ms *= 2;
    return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

static void
on_again(struct guaco__timer *timer)
{
    guaco__slot_start(GUACO__OF(timer, struct slot, again));
}

void
guaco__slot_start(struct slot *slot)
{
    struct guaco_error err;

    assert(slot->now == NULL);
    guaco__timer_stop(&slot->again);
    if (guaco__worker_start(slot, &slot->now, &err) == GUACO_OK)
        return;
    guaco__log(slot->tree->log, GUACO_LOG_ERROR, "supervisor", "%s", err.text);
    if (slot->tree->state == TREE_STARTING) {
        stop_tree(slot->tree, GUACO__EXIT_START);
        return;
    }
    slot->young_deaths += slot->young_deaths < 100;
    guaco__timer_start_ms(&slot->again, PAUSE_MS + pause_ms(slot));
}

/* Start the successor in the next slot that did not try the wanted generation
 * yet; one at a time, so that a broken version costs one worker, not all. */
static void
replace_next(struct tree *tree)
{
    struct slot *slot;
    struct guaco_error err;

    if (!tree->is_reloading)
        return;
    EACH_SLOT(tree, slot)
    if (slot->next != NULL)
        return; /* it goes on when this one is ready */
    EACH_SLOT(tree, slot)
    {
        if (slot->role == ROLE_KEEPER || slot->tried == tree->generation)
            continue;
        if (slot->now == NULL) {
            guaco__slot_start(slot);
        } else if (guaco__worker_start(slot, &slot->next, &err) != GUACO_OK) {
            tree->is_reloading = false;
            guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
                       "reload stopped: %s", err.text);
        }
        return;
    }
    tree->is_reloading = false;
    guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "reloaded");
}

void
guaco__tree_reload(struct tree *tree)
{
    if (tree->state == TREE_STOPPING)
        return;
    guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "reloading");
    tree->generation++;
    tree->is_reloading = true;
    replace_next(tree);
}

/* The worker is ready: the slot's first, or a successor. */
static void
slot_ready(struct slot *slot, struct worker *worker)
{
    struct tree *tree = slot->tree;
    char name[64];

    guaco__worker_name(worker, name);
    guaco__log(tree->log, GUACO_LOG_DEBUG, "supervisor", "%s is ready", name);
    if (worker == slot->next) {
        struct worker *before = slot->now;
        slot->now = worker;
        slot->next = NULL;
        if (before != NULL)
            guaco__worker_drain(before);
    }
    check_started(tree);
    replace_next(tree);
}

/* Say how a worker ended that was not asked to. */
static void
log_death(const struct worker *worker, const struct guaco__process_end *end)
{
    char name[64];
    char how[64];

    guaco__worker_name(worker, name);
    guaco__process_describe(end, how, sizeof how);
    guaco__log(worker->tree->log, GUACO_LOG_ERROR, "supervisor",
               "%s ended unexpectedly: %s", name, how);
}

/* The worker in the slot has ended, and nobody asked it to. */
static void
slot_died(struct slot *slot, struct worker *worker,
          const struct guaco__process_end *end)
{
    struct tree *tree = slot->tree;
    uint64_t age_ns = guaco__clock_mono_ns() - worker->start_ns;

    if (!worker->has_told)
        log_death(worker, end);
    if (tree->state == TREE_STARTING && slot->role != ROLE_KEEPER) {
        if (tree->reload != NULL) {
            guaco__log(tree->log, GUACO_LOG_INFO, "supervisor",
                       "waiting for a change of a file");
            return; /* the next reload starts it */
        }
        bool is_usage = end->exited && end->code == GUACO__EXIT_USAGE;
        stop_tree(tree, is_usage ? GUACO__EXIT_USAGE : GUACO__EXIT_START);
        return;
    }
    if (age_ns >= YOUNG_NS)
        slot->young_deaths = 0;
    slot->young_deaths += slot->young_deaths < 100;
    guaco__timer_start_ms(&slot->again, pause_ms(slot));
}

static void
slot_ended(struct slot *slot, struct worker *worker,
           const struct guaco__process_end *end)
{
    struct tree *tree = slot->tree;
    bool is_now = worker == slot->now;
    bool is_next = worker == slot->next;

    if (is_now)
        slot->now = NULL;
    if (is_next)
        slot->next = NULL;
    /* It is still listed; what follows counts only the others. */
    guaco__list_remove(&worker->link);
    if (slot->role == ROLE_ADMIN && tree->state != TREE_STOPPING) {
        stop_tree(tree, end->exited ? end->code : GUACO__EXIT_CRASH);
    } else if (tree->state == TREE_STOPPING) {
        stop_more(tree);
    } else if (is_next) {
        if (!worker->has_told)
            log_death(worker, end);
        tree->is_reloading = false;
        guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
                   "reload stopped; the workers before it go on");
    } else if (is_now && slot->next != NULL) {
        slot->now = slot->next; /* the successor is on its way already */
        slot->next = NULL;
    } else if (is_now) {
        slot_died(slot, worker, end);
    }
}

/* A worker drains by itself (--limit-max-requests): its successor starts on
 * the same sockets at once. */
static void
slot_leaves(struct slot *slot, struct worker *worker)
{
    if (worker != slot->now || slot->tree->state == TREE_STOPPING)
        return;
    slot->now = slot->next;
    slot->next = NULL;
    slot->young_deaths = 0;
    if (slot->now == NULL)
        guaco__slot_start(slot);
}

void
guaco__slot_event(struct slot *slot, struct worker *worker,
                  enum worker_event event, const struct guaco__process_end *end)
{
    assert(worker->slot == slot);
    switch (event) {
    case WORKER_IS_READY: slot_ready(slot, worker); return;
    case WORKER_LEAVES: slot_leaves(slot, worker); return;
    case WORKER_ENDED: slot_ended(slot, worker, end); return;
    }
}

/* ---- setting up ---- */

struct slot *
guaco__tree_add_slot(struct tree *tree, enum role role, size_t index,
                     unsigned concurrency)
{
    struct slot *slot = calloc(1, sizeof *slot);

    if (slot == NULL)
        return NULL;
    slot->tree = tree;
    slot->role = role;
    slot->index = index;
    slot->concurrency = concurrency;
    guaco__timer_init(&slot->again, tree->loop, on_again);
    guaco__list_init(&slot->link);
    guaco__list_push(&tree->slots, &slot->link);
    return slot;
}

/* A number of workers; the word auto stands for the CPUs. */
static unsigned
worker_count(const struct tree *tree, const char *name)
{
    int64_t n = guaco__options_number(tree->setup->options, name);

    if (n < 0) {
        struct guaco__limits limits = guaco__cgroup_limits("");
        n = guaco__cgroup_cpus(&limits);
    }
    return n > GUACO__BIND_SLOTS_MAX ? GUACO__BIND_SLOTS_MAX : (unsigned)n;
}

static int
add_slots(struct tree *tree, enum role role, unsigned slots,
          unsigned concurrency)
{
    for (unsigned i = 0; i < slots; i++)
        if (guaco__tree_add_slot(tree, role, i, concurrency) == NULL)
            return GUACO_E_NOMEM;
    return GUACO_OK;
}

static int
add_task_slots(struct tree *tree, const char *name)
{
    const char *kind = guaco__options_text(tree->setup->options, "worker-kind");
    unsigned n = worker_count(tree, name);

    if (strcmp(kind, "process") == 0)
        return add_slots(tree, ROLE_TASKS, n, 1);
    return add_slots(tree, ROLE_TASKS, 1, n);
}

static int
add_all_slots(struct tree *tree)
{
    int rc;

    switch (tree->setup->options->command) {
    case GUACO__SERVE:
        return add_slots(tree, ROLE_WEB, worker_count(tree, "workers"), 0);
    case GUACO__WORK: return add_task_slots(tree, "workers");
    case GUACO__UP:
        rc = add_slots(tree, ROLE_WEB, worker_count(tree, "workers"), 0);
        return rc != GUACO_OK ? rc : add_task_slots(tree, "task-workers");
    case GUACO__QUEUE: return add_slots(tree, ROLE_ADMIN, 1, 0);
    }
    return GUACO_E_INVALID;
}

/* --host and --port are one address, which also is the default. */
static int
bind_host(struct tree *tree, bool otherwise, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    const struct guaco__option_value *port = guaco__options_get(o, "port");
    const char *host = guaco__options_text(o, "host");
    char address[300];

    if (host == NULL && port->origin == GUACO__ORIGIN_UNSET && !otherwise)
        return GUACO_OK;
    if (host == NULL)
        host = "127.0.0.1";
    bool v6 = strchr(host, ':') != NULL && *host != '[';
    snprintf(address, sizeof address, v6 ? "[%.250s]:%s" : "%.250s:%s", host,
             port->text == NULL ? "8000" : port->text);
    return guaco__binds_add(&tree->binds, address, err);
}

static int
bind_all(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    const struct guaco__option_value *binds = guaco__options_get(o, "bind");
    const struct guaco__option_value *fd = guaco__options_get(o, "fd");
    const char *uds = guaco__options_text(o, "uds");
    char address[PATH_MAX];
    int rc = GUACO_OK;

    guaco__binds_init(&tree->binds, worker_count(tree, "workers"),
                      (int)guaco__options_number(o, "backlog"));
    for (size_t i = 0; i < binds->count && rc == GUACO_OK; i++)
        rc = guaco__binds_add(&tree->binds, binds->items[i], err);
    if (rc == GUACO_OK && uds != NULL) {
        snprintf(address, sizeof address, "unix:%.4000s", uds);
        rc = guaco__binds_add(&tree->binds, address, err);
    }
    if (rc == GUACO_OK && fd->origin != GUACO__ORIGIN_UNSET) {
        snprintf(address, sizeof address, "fd:%s", fd->text);
        rc = guaco__binds_add(&tree->binds, address, err);
    }
    return rc != GUACO_OK ? rc : bind_host(tree, tree->binds.count == 0, err);
}

static int
open_signals(struct tree *tree, struct guaco_error *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    tree->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (tree->signal_fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "signalfd");
    return guaco__watch_start(&tree->signal_watch, tree->loop, tree->signal_fd,
                              GUACO__READABLE, on_signal, err);
}

/* Our environment, with the number of the channel. */
static int
make_environment(struct tree *tree, struct guaco_error *err)
{
    const char *const *envp = tree->setup->envp;
    static const char channel[] = GUACO__CHANNEL_VARIABLE "=3";
    size_t count = 0;
    size_t kept = 0;

    while (envp[count] != NULL)
        count++;
    tree->envp = calloc(count + 2, sizeof *tree->envp);
    if (tree->envp == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "start");
    for (size_t i = 0; i < count; i++)
        if (strncmp(envp[i], channel, sizeof channel - 2) != 0)
            tree->envp[kept++] = envp[i];
    tree->envp[kept] = channel;
    return GUACO_OK;
}

static int
find_python(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__supervisor_setup *s = tree->setup;
    const char *why = "";

    if (guaco__target_is_guest(s->target))
        return GUACO_OK;
    int rc = guaco__interpreter_find(guaco__options_text(s->options, "python"),
                                     s->exe, s->envp, tree->python, &why, err);
    if (rc == GUACO_OK)
        guaco__log(tree->log,
                   s->options->command == GUACO__QUEUE ? GUACO_LOG_DEBUG
                                                       : GUACO_LOG_INFO,
                   "supervisor", "workers run %s (%s)", tree->python, why);
    return rc;
}

static int
open_tree(struct tree *tree, struct guaco_error *err)
{
    enum guaco__option_command command = tree->setup->options->command;

    tree->message = malloc(GUACO__CHANNEL_MESSAGE_MAX);
    int rc = tree->message == NULL ? guaco_fail(err, GUACO_E_NOMEM, 0, "start")
                                   : guaco__loop_new(&tree->loop, err);
    if (rc == GUACO_OK)
        rc = make_environment(tree, err);
    if (rc == GUACO_OK)
        rc = find_python(tree, err);
    if (rc == GUACO_OK)
        rc = open_signals(tree, err);
    if (rc == GUACO_OK && (command & (GUACO__SERVE | GUACO__UP)) != 0)
        rc = bind_all(tree, err);
    if (rc == GUACO_OK && command != GUACO__QUEUE &&
        guaco__options_number(tree->setup->options, "reload") != 0)
        rc = guaco__reload_open(tree, err);
    if (rc == GUACO_OK && add_all_slots(tree) != GUACO_OK)
        rc = guaco_fail(err, GUACO_E_NOMEM, 0, "start");
    return rc;
}

static void
close_tree(struct tree *tree)
{
    struct guaco__list *link;

    assert(guaco__list_is_empty(&tree->workers));
    while ((link = guaco__list_shift(&tree->slots)) != NULL) {
        struct slot *slot = GUACO__OF(link, struct slot, link);
        guaco__timer_stop(&slot->again);
        free(slot->url);
        free(slot);
    }
    guaco__reload_close(tree);
    guaco__watch_stop(&tree->signal_watch);
    if (tree->signal_fd >= 0)
        close(tree->signal_fd);
    guaco__binds_release(&tree->binds);
    guaco__loop_free(tree->loop);
    free(tree->envp);
    free(tree->message);
}

int
guaco__supervisor_run(const struct guaco__supervisor_setup *setup,
                      int *exit_code, struct guaco_error *err)
{
    struct tree tree = {
        .setup = setup, .log = setup->log, .generation = 1, .signal_fd = -1};
    struct slot *slot;

    guaco__list_init(&tree.slots);
    guaco__list_init(&tree.workers);
    int rc = open_tree(&tree, err);
    if (rc == GUACO_OK) {
        EACH_SLOT(&tree, slot)
        if (tree.state == TREE_STARTING && slot->now == NULL)
            guaco__slot_start(slot);
        check_started(&tree);
        rc = guaco__loop_run(tree.loop, GUACO__LOOP_UNTIL_STOPPED);
        *exit_code = tree.exit_code;
    }
    close_tree(&tree);
    return rc;
}
