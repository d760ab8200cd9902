#ifndef GUACO__RUN_SUPERVISOR_INT_H
#define GUACO__RUN_SUPERVISOR_INT_H

/*
 * What the files of the supervisor share: worker.c is the life of one child
 * process, supervisor.c decides what runs in which slot, tree.c sets it up,
 * keepers.c and reload.c add to it.
 */

#include <limits.h>
#include <sys/types.h>

#include "base/list.h"
#include "io/loop.h"
#include "io/timer.h"
#include "io/tls.h"
#include "io/watch.h"
#include "os/meter.h"
#include "os/process.h"
#include "run/binds.h"
#include "run/channel.h"
#include "run/environment.h"
#include "run/log_files.h"
#include "run/notify.h"
#include "run/pid_file.h"
#include "run/supervisor.h"

struct tree;

enum role {
    ROLE_WEB,
    ROLE_TASKS,
    ROLE_ADMIN,   /* guaco queue: the tree ends with it */
    ROLE_KEEPER,  /* of one store */
    ROLE_PRELOAD, /* has imported the application, and forks the web workers */
};

enum worker_state {
    WORKER_STARTING,
    WORKER_READY,
    WORKER_DRAINING, /* told to end, or said that it will */
    WORKER_ABORTED,  /* stuck: got SIGABRT, gets SIGKILL next */
    WORKER_KILLED,
};

/* Why a worker was replaced, for /metrics. */
enum renewal {
    RENEWAL_DIED,
    RENEWAL_RELOAD,
    RENEWAL_REQUESTS,
    RENEWAL_RSS,
    RENEWAL_LIFETIME,
    RENEWAL_STUCK,
    RENEWALS,
};

_Static_assert((int)RENEWALS <= (int)GUACO__METER_REASONS,
               "each has its count");

/* A child process, from its start until its end was taken. */
struct worker {
    struct guaco__list link; /* of tree->workers */
    struct tree *tree;
    struct slot *slot;
    enum worker_state state;
    pid_t pid;
    int pidfd;   /* -1: it is being forked, its pid is not known yet */
    int channel; /* -1 after its end of file */
    struct guaco__watch exit_watch;
    struct guaco__watch channel_watch;
    struct guaco__timer deadline; /* of starting, then of draining */
    struct guaco__timer lifetime; /* --worker-lifetime */
    unsigned generation;
    uint64_t start_ns;
    int meter;        /* its slot of tree->meters; -1: none */
    bool has_told;    /* the reason of its failure */
    bool has_stopped; /* it takes nothing new any more */
};

/* A place for a worker; lives as long as the tree. */
struct slot {
    struct guaco__list link; /* of tree->slots */
    struct tree *tree;
    enum role role;
    size_t index;         /* among those of its role */
    unsigned concurrency; /* tasks at once, for ROLE_TASKS */
    char *url;            /* of a keeper's store, owned */
    struct worker *now;   /* NULL: empty */
    struct worker *next;  /* the successor that starts, or NULL */
    bool wants_renewal;   /* `now` is to be replaced, for this reason */
    enum renewal renewal;
    bool is_parked;            /* by SIGTTOU or SIGWINCH: nothing runs here */
    unsigned tried;            /* the generation last started here; 0: none */
    unsigned young_deaths;     /* in a row */
    struct guaco__timer again; /* starts a worker */
};

enum tree_state {
    TREE_STARTING,
    TREE_RUNNING,
    TREE_STOPPING,
};

#define ZOMBIES_MAX 32

struct tree {
    const struct guaco__supervisor_setup *setup;
    const struct guaco_log *log;
    struct guaco__loop *loop;
    enum tree_state state;
    int exit_code;
    struct guaco__list slots;
    struct guaco__list workers;
    struct guaco__binds binds;
    struct guaco__inherited inherited; /* until the tree is open */
    unsigned generation; /* of the workers that are wanted; from 1 */
    bool is_reloading;
    struct guaco__timer renewals; /* armed: they rest, one has failed */
    unsigned stop_signals;
    bool is_reaper; /* PID 1 or a subreaper: orphans are ours to take */
    bool must_reap; /* SIGCHLD came */
    int signal_fd;
    struct guaco__watch signal_watch;
    struct guaco__meters meters; /* of web workers */
    struct guaco__pulse *pulse;  /* NULL: nobody looks after stuck workers */
    struct guaco__upgrade *upgrade;
    struct guaco__admin *admin;  /* NULL: no --admin */
    bool is_successor;           /* of a supervisor that was sent SIGUSR2 */
    struct guaco__notify notify; /* the service manager */
    struct guaco__log_files logs;
    struct guaco__pid_file pid_file;
    uint64_t start_ns;
    struct guaco__reload *reload;       /* NULL without --reload */
    struct guaco__profiling *profiling; /* NULL without --profile-socket */
    int memory_fd;                    /* where memory: is served; -1: nowhere */
    char memory[96];                  /* GUACO_MEMORY_SOCKET=NAME */
    struct guaco__watch memory_watch; /* until its keeper was started */
    int zombies[ZOMBIES_MAX];         /* pidfds of task workers that ended */
    size_t zombie_count;
    struct guaco__timer zombie_timer;
    bool has_tls;
    unsigned char ticket_secret[GUACO__TLS_SECRET_BYTES];
    char python[PATH_MAX];
    struct guaco__environment environment; /* of the children */
    char *message; /* GUACO__CHANNEL_MESSAGE_MAX bytes to receive into */
};

enum worker_event {
    WORKER_IS_READY,
    WORKER_LEAVES, /* it drains by itself */
    WORKER_ENDED,  /* *end says how; freed when the call returns */
};

/* The slots, or workers, of a tree, one after the other; the body must not
 * remove the present one. */
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

/* ---- worker.c ---- */

/* Start a child for the slot.  Gives it, linked into tree->workers. */
int guaco__worker_start(struct slot *slot, struct worker **worker,
                        struct guaco_error *err);

/* Have it end gracefully, within the tree's grace, then by SIGKILL. */
void guaco__worker_drain(struct worker *worker);

void guaco__worker_kill(struct worker *worker);

/* It is stuck: SIGABRT, which may leave a core, and soon SIGKILL. */
void guaco__worker_abort(struct worker *worker);

/* Send a command, a JSON object, with descriptors; a worker that does not read
 * its channel yet finds it later.  One that has no channel is left alone. */
void guaco__worker_command(struct worker *worker, const char *command,
                           const int *fds, size_t fd_count);

/* Take its end, if it has come. */
void guaco__worker_check_end(struct worker *worker);

/* Let go of it without any word: only when the tree was not started. */
void guaco__worker_free(struct worker *worker);

/* "web worker 0 (pid 123)" into out, which has 64 bytes. */
void guaco__worker_name(const struct worker *worker, char out[64]);

const char *guaco__role_name(enum role role);

/* ---- supervisor.c ---- */

/* The one place where slots change; called by worker.c. */
void guaco__slot_event(struct slot *slot, struct worker *worker,
                       enum worker_event event,
                       const struct guaco__process_end *end);

/* Note that a worker was replaced. */
void guaco__tree_count(struct tree *tree, enum renewal why);

/* Take the tree down; the exit code is that of the first call. */
void guaco__tree_stop(struct tree *tree, int exit_code);

/* Give every slot a successor: SIGHUP, or a file has changed. */
void guaco__tree_reload(struct tree *tree);

/* Start the next successor that is wanted, if none is on its way. */
void guaco__tree_replace(struct tree *tree);

/* Start a worker in an empty slot; a failure is tried again after a pause. */
void guaco__slot_start(struct slot *slot);

/* Have the slot's worker replaced: a successor starts, and it drains when that
 * one is ready; one slot at a time. */
void guaco__slot_renew(struct slot *slot, enum renewal why);

/* Empty the slot, for good or until it is started again. */
void guaco__slot_park(struct slot *slot);

/* ---- signals.c ---- */

/* Block the signals of the supervisor and read them from a descriptor. */
int guaco__signals_open(struct tree *tree, struct guaco_error *err);
void guaco__signals_close(struct tree *tree);

/* Take the signals that wait; before an end of a worker is judged, since what
 * killed it may have been meant for all (Ctrl-C). */
void guaco__tree_read_signals(struct tree *tree);

/* Take the ends of orphans, if SIGCHLD said that there are any. */
void guaco__tree_reap(struct tree *tree);

/* ---- scale.c ---- */

/* One worker more (SIGTTIN) or less (SIGTTOU): of the web workers where there
 * are any, else of the processes that run tasks. */
void guaco__tree_grow(struct tree *tree);
void guaco__tree_shrink(struct tree *tree);

/* No web worker runs until the next reload: SIGWINCH without a terminal. */
void guaco__tree_park_web(struct tree *tree);
void guaco__tree_unpark_web(struct tree *tree);

/* Hand a worker of the first web slot the sockets of those that are parked. */
void guaco__worker_give_parked(struct worker *worker);

/* The process to fork web workers from, or NULL: they start by themselves. */
struct worker *guaco__tree_preload(const struct tree *tree);

/* ---- tree.c ---- */

/* Make all that the options ask for; nothing runs yet.  Whatever it returns,
 * close follows. */
int guaco__tree_open(struct tree *tree, struct guaco_error *err);

/* No worker is left. */
void guaco__tree_close(struct tree *tree);

/* Make the children's environment anew, for a reload; false, and told, when
 * --env-file cannot be read. */
bool guaco__tree_renew_environment(struct tree *tree);

/* Add a slot at the end; NULL when out of memory. */
struct slot *guaco__tree_add_slot(struct tree *tree, enum role role,
                                  size_t index, unsigned concurrency);

/*
 * Wait for a child that has ended, and close its pidfd, which is taken; but
 * leave it a zombie for a moment, so that a keeper, whose child it is not, can
 * see how it ended (a dead task's reason names the signal).
 */
void guaco__tree_wait_later(struct tree *tree, int pidfd);

/* A number of workers; the word auto stands for the CPUs. */
unsigned guaco__tree_worker_count(const struct tree *tree, const char *name);

/* ---- listening.c ---- */

/* Bind all addresses of the options, and check the certificates. */
int guaco__listening_open(struct tree *tree, struct guaco_error *err);

/* ---- keepers.c ---- */

/* A worker has these queues: run a keeper for each store that has none. */
struct guaco__json;
void guaco__keepers_add(struct tree *tree, const struct guaco__json *queues);

#define GUACO__MEMORY_URL "memory:"

/* Listen where the keeper of memory: will serve; it is started when the first
 * process connects.  Only for a tree with web workers: one of task workers
 * alone has nobody in it who enqueues, and whoever does elsewhere has a memory
 * of its own. */
int guaco__keepers_open(struct tree *tree, struct guaco_error *err);
void guaco__keepers_close(struct tree *tree);

/* ---- upgrade.c ---- */

/* Take what a predecessor hands over, if there is one: into tree->inherited and
 * tree->meters. */
int guaco__upgrade_open(struct tree *tree, struct guaco_error *err);
void guaco__upgrade_close(struct tree *tree);

/* SIGUSR2: start a successor. */
void guaco__upgrade_start(struct tree *tree);

/* The tree goes down: so does a successor that has not taken over. */
void guaco__upgrade_stop(struct tree *tree);

/* All workers are ready: tell the predecessor; false when there is none, or it
 * has gone. */
bool guaco__upgrade_say_ready(struct tree *tree);

/* Whether a child that has ended was the successor; then it is taken. */
bool guaco__upgrade_reap(struct tree *tree, pid_t pid);

/* ---- metrics.c ---- */

/* Append what is told of the tree: OpenMetrics, or JSON.  Return 0,
 * GUACO_E_NOMEM or GUACO_E_LIMIT. */
int guaco__metrics_write(const struct tree *tree, struct guaco__buf *out);
int guaco__status_write(const struct tree *tree, struct guaco__buf *out);

/* ---- admin.c ---- */

/* Serve --admin, if it is given. */
int guaco__admin_open(struct tree *tree, struct guaco_error *err);
void guaco__admin_close(struct tree *tree);

/* Its address, for an upgrade; NULL: none. */
struct guaco__binds *guaco__admin_binds(const struct tree *tree);

/* ---- pulse.c ---- */

/* Look after workers that are stuck or have grown, if the options say so. */
int guaco__pulse_open(struct tree *tree, struct guaco_error *err);
void guaco__pulse_close(struct tree *tree);

/* What a web worker tells that its loop moves; -1: nobody wants to know. */
int guaco__pulse_fd(const struct tree *tree);

/* ---- profiling.c ---- */

/* Listen at --profile-socket, if it is given. */
int guaco__profiling_open(struct tree *tree, struct guaco_error *err);
void guaco__profiling_close(struct tree *tree);

/* ---- reload.c ---- */

/* Watch the Python files below the folders of --reload-dir. */
int guaco__reload_open(struct tree *tree, struct guaco_error *err);
void guaco__reload_close(struct tree *tree);

#endif
