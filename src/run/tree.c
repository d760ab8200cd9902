/*
 * What a tree is made of before it runs: slots, listening sockets, signals, the
 * environment of its workers; and how it is taken apart.
 */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/rand.h"
#include "os/cgroup.h"
#include "queue/remote_link.h"
#include "run/interpreter.h"
#include "run/tls_settings.h"
#include "supervisor_int.h"

#define ZOMBIE_MS 200 /* a keeper looks as soon as it is told */

static void
on_again(struct guaco__timer *timer)
{
    guaco__slot_start(GUACO__OF(timer, struct slot, again));
}

/* ---- children that have ended ---- */

static void
wait_for_zombies(struct tree *tree)
{
    struct guaco__process_end end;

    guaco__timer_stop(&tree->zombie_timer);
    for (size_t i = 0; i < tree->zombie_count; i++) {
        (void)guaco__process_wait(tree->zombies[i], &end);
        close(tree->zombies[i]);
    }
    tree->zombie_count = 0;
}

static void
on_zombies(struct guaco__timer *timer)
{
    wait_for_zombies(GUACO__OF(timer, struct tree, zombie_timer));
}

void
guaco__tree_wait_later(struct tree *tree, int pidfd)
{
    assert(pidfd >= 0);
    if (tree->zombie_count == ZOMBIES_MAX)
        wait_for_zombies(tree);
    tree->zombies[tree->zombie_count++] = pidfd;
    guaco__timer_start_ms(&tree->zombie_timer, ZOMBIE_MS);
}

/* ---- setting up ---- */

static void
on_signal(struct guaco__watch *watch, unsigned events)
{
    (void)events;
    guaco__tree_read_signals(GUACO__OF(watch, struct tree, signal_watch));
}

struct slot *
guaco__tree_add_slot(struct tree *tree, enum role role, size_t index,
                     unsigned concurrency)
{
    struct slot *slot = calloc(1, sizeof *slot);

    assert(index < GUACO__BIND_SLOTS_MAX);
    assert(role != ROLE_TASKS || concurrency > 0);
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
    assert(n >= 1);
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

/* Read the certificates once, so that one that is wrong is told before any
 * worker is started; the workers read them again. */
static int
check_tls(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    struct guaco__tls_settings settings;
    struct guaco__tls *tls = NULL;

    tree->has_tls = guaco__tls_is_wanted(o);
    if (!tree->has_tls)
        return guaco__options_get(o, "ssl-keyfile")->count == 0
                   ? GUACO_OK
                   : guaco_fail(err, GUACO_E_INVALID, 0,
                                "--ssl-keyfile without --ssl-certfile");
    guaco__tls_settings_read(&settings, o);

    int rc = guaco__tls_new(&tls, &settings.options, err);

    if (rc == GUACO_OK &&
        guaco__rand_bytes(tree->ticket_secret, sizeof tree->ticket_secret) < 0)
        rc = guaco_fail(err, GUACO_E_IO, 0, "no random bytes");
    guaco__tls_unref(tls);
    return rc;
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
    tree->binds.has_tls = tree->has_tls;
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

/* Our environment, with the number of the channel and where memory: is. */
static int
make_environment(struct tree *tree, struct guaco_error *err)
{
    const char *const *envp = tree->setup->envp;
    static const char channel[] = GUACO__CHANNEL_VARIABLE "=3";
    static const char memory[] = GUACO__MEMORY_SOCKET "=";
    size_t count = 0;
    size_t kept = 0;

    while (envp[count] != NULL)
        count++;
    tree->envp = calloc(count + 3, sizeof *tree->envp);
    if (tree->envp == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "start");
    for (size_t i = 0; i < count; i++)
        if (strncmp(envp[i], channel, sizeof channel - 2) != 0 &&
            strncmp(envp[i], memory, sizeof memory - 1) != 0)
            tree->envp[kept++] = envp[i];
    tree->envp[kept++] = channel;
    tree->envp[kept] = tree->memory_fd < 0 ? NULL : tree->memory;
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

int
guaco__tree_open(struct tree *tree, struct guaco_error *err)
{
    enum guaco__option_command command = tree->setup->options->command;

    tree->message = malloc(GUACO__CHANNEL_MESSAGE_MAX);
    int rc = tree->message == NULL ? guaco_fail(err, GUACO_E_NOMEM, 0, "start")
                                   : guaco__loop_new(&tree->loop, err);
    if (rc == GUACO_OK)
        guaco__timer_init(&tree->zombie_timer, tree->loop, on_zombies);
    if (rc == GUACO_OK && (command & (GUACO__SERVE | GUACO__UP)) != 0)
        rc = guaco__keepers_open(tree, err);
    if (rc == GUACO_OK)
        rc = make_environment(tree, err);
    if (rc == GUACO_OK)
        rc = find_python(tree, err);
    if (rc == GUACO_OK)
        rc = open_signals(tree, err);
    if (rc == GUACO_OK && (command & (GUACO__SERVE | GUACO__UP)) != 0)
        rc = check_tls(tree, err);
    if (rc == GUACO_OK && (command & (GUACO__SERVE | GUACO__UP)) != 0)
        rc = bind_all(tree, err);
    if (rc == GUACO_OK && command != GUACO__QUEUE &&
        guaco__options_number(tree->setup->options, "reload") != 0)
        rc = guaco__reload_open(tree, err);
    if (rc == GUACO_OK && add_all_slots(tree) != GUACO_OK)
        rc = guaco_fail(err, GUACO_E_NOMEM, 0, "start");
    return rc;
}

void
guaco__tree_close(struct tree *tree)
{
    struct guaco__list *link;

    assert(guaco__list_is_empty(&tree->workers));
    while ((link = guaco__list_shift(&tree->slots)) != NULL) {
        struct slot *slot = GUACO__OF(link, struct slot, link);
        guaco__timer_stop(&slot->again);
        free(slot->url);
        free(slot);
    }
    wait_for_zombies(tree);
    guaco__reload_close(tree);
    guaco__keepers_close(tree);
    guaco__watch_stop(&tree->signal_watch);
    if (tree->signal_fd >= 0)
        close(tree->signal_fd);
    guaco__binds_release(&tree->binds);
    guaco__loop_free(tree->loop);
    free(tree->envp);
    free(tree->message);
}
