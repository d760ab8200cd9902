/*
 * The signals of the supervisor, blocked and read from a descriptor:
 *
 *   TERM, INT   drain and end; a second one kills what is left
 *   QUIT        kill and end at once
 *   HUP         reload: each worker gets a successor
 *   TTIN, TTOU  one worker more, one less
 *   USR1        open the log files again
 *   USR2        start another supervisor on the same sockets (upgrade.c)
 *   WINCH       no web workers until HUP; from a terminal it means its size
 *   CHLD        an orphan has ended; only where orphans become our children
 */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor_int.h"

#define SAY(tree, text) \
    guaco__log((tree)->log, GUACO_LOG_INFO, "supervisor", text)

static void
kill_all(struct tree *tree)
{
    struct worker *w;

    EACH_WORKER(tree, w)
    guaco__worker_kill(w);
}

static void
take_stop_signal(struct tree *tree)
{
    tree->stop_signals++;
    if (tree->stop_signals == 1 && tree->state != TREE_STOPPING) {
        SAY(tree, "shutting down; again to stop at once");
        guaco__tree_stop(tree, GUACO__EXIT_OK);
    } else if (tree->stop_signals == 2) {
        guaco__log(tree->log, GUACO_LOG_WARNING, "supervisor",
                   "stopping at once");
        kill_all(tree);
    }
}

static void
take_quit(struct tree *tree)
{
    guaco__log(tree->log, GUACO_LOG_WARNING, "supervisor", "stopping at once");
    tree->stop_signals = 2;
    guaco__tree_stop(tree, GUACO__EXIT_OK);
    kill_all(tree);
}

static void
take_reload(struct tree *tree)
{
    guaco__tree_unpark_web(tree);
    guaco__tree_reload(tree);
}

static void
take_logs(struct tree *tree)
{
    struct guaco_error err;
    struct worker *w;
    int fds[GUACO__LOG_FILES];

    if (guaco__log_files_reopen(&tree->logs, &err) != GUACO_OK) {
        guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
                   "the log files stay as they are: %s", err.text);
        return;
    }
    guaco__log_files_fds(&tree->logs, fds);
    EACH_WORKER(tree, w)
    guaco__worker_command(w, "{\"command\":\"logs\"}", fds, GUACO__LOG_FILES);
    SAY(tree, "log files opened again");
}

static void
take_winch(struct tree *tree)
{
    if (isatty(STDIN_FILENO) || isatty(STDERR_FILENO) ||
        tree->state == TREE_STOPPING)
        return;
    SAY(tree, "web workers end; SIGHUP starts them again");
    guaco__tree_park_web(tree);
}

static void
take(struct tree *tree, unsigned number)
{
    switch (number) {
    case SIGTERM:
    case SIGINT: take_stop_signal(tree); break;
    case SIGQUIT: take_quit(tree); break;
    case SIGHUP: take_reload(tree); break;
    case SIGTTIN: guaco__tree_grow(tree); break;
    case SIGTTOU: guaco__tree_shrink(tree); break;
    case SIGUSR1: take_logs(tree); break;
    case SIGUSR2: guaco__upgrade_start(tree); break;
    case SIGWINCH: take_winch(tree); break;
    case SIGCHLD: tree->must_reap = true; break;
    default: assert(0); /* no other is in the set */
    }
}

void
guaco__tree_read_signals(struct tree *tree)
{
    struct signalfd_siginfo info;

    while (read(tree->signal_fd, &info, sizeof info) == sizeof info)
        take(tree, info.ssi_signo);
}

/* ---- orphans ---- */

static struct worker *
find_worker(struct tree *tree, pid_t pid)
{
    struct worker *w;

    EACH_WORKER(tree, w)
    if (w->pid == pid)
        return w;
    return NULL;
}

void
guaco__tree_reap(struct tree *tree)
{
    siginfo_t info;

    /* Those that are left zombies on purpose would be in the way. */
    while (tree->must_reap && tree->zombie_count == 0) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            info.si_pid == 0) {
            tree->must_reap = false;
            return;
        }
        struct worker *w = find_worker(tree, info.si_pid);
        if (w != NULL)
            guaco__worker_check_end(w);
        else if (!guaco__upgrade_reap(tree, info.si_pid))
            waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    }
}

static bool
is_reaper(void)
{
    int on = 0;

    return getpid() == 1 ||
           (prctl(PR_GET_CHILD_SUBREAPER, &on) == 0 && on != 0);
}

/* ---- life ---- */

static void
on_signal(struct guaco__watch *watch, unsigned events)
{
    struct tree *tree = GUACO__OF(watch, struct tree, signal_watch);

    (void)events;
    guaco__tree_read_signals(tree);
    guaco__tree_reap(tree);
}

int
guaco__signals_open(struct tree *tree, struct guaco_error *err)
{
    static const int numbers[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP,   SIGTTIN,
                                  SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH, SIGCHLD};
    sigset_t set;

    tree->is_reaper = is_reaper();
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i] != SIGCHLD || tree->is_reaper)
            sigaddset(&set, numbers[i]);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    tree->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (tree->signal_fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "signalfd");
    tree->must_reap = tree->is_reaper; /* what ended before we looked */
    return guaco__watch_start(&tree->signal_watch, tree->loop, tree->signal_fd,
                              GUACO__READABLE, on_signal, err);
}

void
guaco__signals_close(struct tree *tree)
{
    guaco__watch_stop(&tree->signal_watch);
    if (tree->signal_fd >= 0)
        close(tree->signal_fd);
}
