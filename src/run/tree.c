/*
 * What a tree is made of before it runs: slots, listening sockets, signals, the
 * environment of its workers; and how it is taken apart.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "run/identity.h"
#include "run/interpreter.h"
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
    guaco__tree_reap(tree);
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
on_renewals(struct guaco__timer *timer)
{
    guaco__tree_replace(GUACO__OF(timer, struct tree, renewals));
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
unsigned
guaco__tree_worker_count(const struct tree *tree, const char *name)
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
    unsigned n = guaco__tree_worker_count(tree, name);

    if (strcmp(kind, "process") == 0)
        return add_slots(tree, ROLE_TASKS, n, 1);
    return add_slots(tree, ROLE_TASKS, 1, n);
}

/* A predecessor may have had more slots: the sockets of those beyond ours are
 * served like those of slots that were given up. */
static int
add_web_slots(struct tree *tree)
{
    unsigned count = guaco__tree_worker_count(tree, "workers");

    bool preloads =
        guaco__options_number(tree->setup->options, "preload") != 0 &&
        !guaco__target_is_guest(tree->setup->target);

    int rc = add_slots(tree, ROLE_PRELOAD, preloads, 0);
    if (rc == GUACO_OK)
        rc = add_slots(tree, ROLE_WEB, count, 0);
    for (size_t i = count; i < tree->binds.slots && rc == GUACO_OK; i++) {
        struct slot *slot = guaco__tree_add_slot(tree, ROLE_WEB, i, 0);
        if (slot == NULL)
            return GUACO_E_NOMEM;
        slot->is_parked = true;
    }
    return rc;
}

static int
add_all_slots(struct tree *tree)
{
    int rc;

    switch (tree->setup->options->command) {
    case GUACO__SERVE: return add_web_slots(tree);
    case GUACO__WORK: return add_task_slots(tree, "workers");
    case GUACO__UP:
        rc = add_web_slots(tree);
        return rc != GUACO_OK ? rc : add_task_slots(tree, "task-workers");
    case GUACO__QUEUE: return add_slots(tree, ROLE_ADMIN, 1, 0);
    }
    return GUACO_E_INVALID;
}

/* The children's environment: the number of the channel, and where memory: is. */
static int
make_environment(struct tree *tree, struct guaco_error *err)
{
    const char *more[] = {GUACO__CHANNEL_VARIABLE "=3",
                          tree->memory_fd < 0 ? NULL : tree->memory, NULL};

    return guaco__environment_make(&tree->environment, tree->setup->options,
                                   tree->setup->envp, more, err);
}

bool
guaco__tree_renew_environment(struct tree *tree)
{
    struct guaco_error err;

    if (make_environment(tree, &err) == GUACO_OK)
        return true;
    guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor", "%s", err.text);
    return false;
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
open_logs(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    const char *access = NULL;

    if (o->command != GUACO__WORK)
        access = guaco__options_text(o, "access-logfile");
    int rc = guaco__log_files_set(&tree->logs, GUACO__ERROR_LOG,
                                  guaco__options_text(o, "error-logfile"), err);
    return rc != GUACO_OK ? rc
                          : guaco__log_files_set(&tree->logs, GUACO__ACCESS_LOG,
                                                 access, err);
}

/* What a service has beside its workers: a pid file, a manager. */
static int
open_service(struct tree *tree, struct guaco_error *err)
{
    const char *path = guaco__options_text(tree->setup->options, "pid-file");

    int rc =
        guaco__pid_file_open(&tree->pid_file, path, tree->is_successor, err);
    if (rc == GUACO_OK)
        rc = guaco__notify_open(&tree->notify, tree->loop, tree->setup->envp,
                                err);
    return rc;
}

static void
own_sockets(const struct guaco__identity *identity,
            const struct guaco__binds *binds)
{
    for (size_t i = 0; i < binds->count; i++)
        if (binds->items[i].is_ours)
            guaco__identity_own(identity,
                                binds->items[i].text + strlen("unix:"));
}

/* Files that were made by the one we were belong to the one we become. */
static int
drop_user(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    struct guaco__identity identity;

    int rc = guaco__identity_find(&identity, guaco__options_text(o, "user"),
                                  guaco__options_text(o, "group"), err);
    if (rc != GUACO_OK || !identity.is_set)
        return rc;
    for (int i = 0; i < GUACO__LOG_FILES; i++)
        guaco__identity_own(&identity, tree->logs.paths[i]);
    own_sockets(&identity, &tree->binds);
    if (guaco__admin_binds(tree) != NULL)
        own_sockets(&identity, guaco__admin_binds(tree));
    guaco__identity_own(&identity, tree->pid_file.path);
    return guaco__identity_become(&identity, err);
}

static int
open_basics(struct tree *tree, struct guaco_error *err)
{
    const char *mask = NULL;

    tree->message = malloc(GUACO__CHANNEL_MESSAGE_MAX);
    int rc = tree->message == NULL ? guaco_fail(err, GUACO_E_NOMEM, 0, "start")
                                   : guaco__loop_new(&tree->loop, err);
    if (rc == GUACO_OK)
        guaco__timer_init(&tree->zombie_timer, tree->loop, on_zombies);
    if (rc == GUACO_OK)
        guaco__timer_init(&tree->renewals, tree->loop, on_renewals);
    if (tree->setup->options->command != GUACO__QUEUE)
        mask = guaco__options_text(tree->setup->options, "umask");
    if (rc == GUACO_OK && mask != NULL)
        rc = guaco__identity_umask(mask, err);
    return rc;
}

int
guaco__tree_open(struct tree *tree, struct guaco_error *err)
{
    enum guaco__option_command command = tree->setup->options->command;
    bool is_web = (command & (GUACO__SERVE | GUACO__UP)) != 0;
    bool is_service = command != GUACO__QUEUE;

    /* What is forked from a process of ours becomes our child by this. */
    if (is_web && guaco__options_number(tree->setup->options, "preload") != 0)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    int rc = open_basics(tree, err);
    if (rc == GUACO_OK && is_service)
        rc = open_logs(tree, err);
    if (rc == GUACO_OK && is_web)
        rc = guaco__keepers_open(tree, err);
    if (rc == GUACO_OK)
        rc = make_environment(tree, err);
    if (rc == GUACO_OK)
        rc = find_python(tree, err);
    if (rc == GUACO_OK)
        rc = guaco__signals_open(tree, err);
    if (rc == GUACO_OK && is_service)
        rc = guaco__upgrade_open(tree, err);
    if (rc == GUACO_OK && is_web)
        rc = guaco__listening_open(tree, err);
    if (rc == GUACO_OK && is_service && tree->meters.slots == NULL)
        rc = guaco__meters_open(&tree->meters, err);
    if (rc == GUACO_OK && is_service)
        rc = guaco__pulse_open(tree, err);
    if (rc == GUACO_OK && is_service)
        rc = guaco__admin_open(tree, err);
    if (rc == GUACO_OK && is_service)
        rc = open_service(tree, err);
    if (rc == GUACO_OK && is_service)
        rc = drop_user(tree, err);
    if (rc == GUACO_OK && is_service &&
        guaco__options_number(tree->setup->options, "reload") != 0)
        rc = guaco__reload_open(tree, err);
    if (rc == GUACO_OK && is_service)
        rc = guaco__profiling_open(tree, err);
    if (rc == GUACO_OK && add_all_slots(tree) != GUACO_OK)
        rc = guaco_fail(err, GUACO_E_NOMEM, 0, "start");
    if (rc == GUACO_OK && guaco__inherited_release(&tree->inherited) > 0)
        guaco__log(tree->log, GUACO_LOG_WARNING, "supervisor",
                   "inherited sockets that no address names were closed");
    tree->binds.inherited = NULL;
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
    guaco__profiling_close(tree);
    guaco__pulse_close(tree);
    guaco__admin_close(tree);
    guaco__upgrade_close(tree);
    guaco__inherited_release(&tree->inherited);
    guaco__meters_close(&tree->meters);
    guaco__keepers_close(tree);
    guaco__signals_close(tree);
    guaco__notify_close(&tree->notify);
    guaco__pid_file_close(&tree->pid_file);
    guaco__binds_release(&tree->binds);
    if (tree->loop != NULL)
        guaco__timer_stop(&tree->renewals);
    guaco__loop_free(tree->loop);
    guaco__log_files_close(&tree->logs);
    guaco__environment_release(&tree->environment);
    free(tree->message);
}
