/* Child processes: the contract is in os/process.h. */

#include "os/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/proc.h"

/* Descriptors are first moved up here, so that no `to` can overwrite a `from`
 * that is still needed. */
#define FD_ASIDE 200

static int
set_attributes(posix_spawnattr_t *attr, int held_signal)
{
    sigset_t held;
    sigset_t all;
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

    sigemptyset(&held);
    if (held_signal != 0)
        sigaddset(&held, held_signal);
    sigfillset(&all);
    int sys = posix_spawnattr_setsigmask(attr, &held);
    if (sys == 0)
        sys = posix_spawnattr_setsigdefault(attr, &all);
    if (sys == 0)
        sys = posix_spawnattr_setflags(attr, flags);
    return sys;
}

/* Have the descriptors handed over; aside[] receives what is to be closed. */
static int
add_fds(posix_spawn_file_actions_t *actions,
        const struct guaco__process_spec *spec, int *aside)
{
    for (size_t i = 0; i < spec->fd_count; i++) {
        assert(spec->fds[i].to >= 0);
        assert(spec->fds[i].to < FD_ASIDE);
        aside[i] = fcntl(spec->fds[i].from, F_DUPFD_CLOEXEC, FD_ASIDE);
        if (aside[i] < 0)
            return errno;
        int sys = posix_spawn_file_actions_adddup2(actions, aside[i],
                                                   spec->fds[i].to);
        if (sys != 0)
            return sys;
    }
    return 0;
}

static int
spawn(const struct guaco__process_spec *spec, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int aside[GUACO__PROCESS_FDS_MAX];

    for (size_t i = 0; i < GUACO__PROCESS_FDS_MAX; i++)
        aside[i] = -1;
    int sys = posix_spawn_file_actions_init(&actions);
    if (sys != 0)
        return sys;
    sys = posix_spawnattr_init(&attr);
    if (sys == 0) {
        sys = set_attributes(&attr, spec->held_signal);
        if (sys == 0)
            sys = add_fds(&actions, spec, aside);
        if (sys == 0 && spec->folder != NULL)
            sys = posix_spawn_file_actions_addchdir_np(&actions, spec->folder);
        if (sys == 0)
            /* Its prototype lacks a const; the strings are not changed. */
            sys = posix_spawn(pid, spec->path, &actions, &attr,
                              (char *const *)(uintptr_t)spec->argv,
                              (char *const *)(uintptr_t)spec->envp);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; i < GUACO__PROCESS_FDS_MAX; i++)
        if (aside[i] >= 0)
            close(aside[i]);
    return sys;
}

int
guaco__process_spawn(const struct guaco__process_spec *spec, pid_t *pid,
                     int *pidfd, struct guaco_error *err)
{
    assert(spec->argv[0] != NULL);
    assert(spec->fd_count <= GUACO__PROCESS_FDS_MAX);

    int sys = spawn(spec, pid);
    if (sys != 0) {
        int code = sys == ENOENT   ? GUACO_E_MISSING
                   : sys == ENOMEM ? GUACO_E_NOMEM
                                   : GUACO_E_IO;
        return guaco_fail(err, code, sys, "start %s", spec->path);
    }
    /* Not waited for yet, so that the pid cannot be anyone else's. */
    int rc = guaco__process_open(*pid, pidfd, err);
    if (rc != GUACO_OK) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    return rc;
}

int
guaco__process_open(pid_t pid, int *pidfd, struct guaco_error *err)
{
    assert(pid > 0);

    long fd = syscall(SYS_pidfd_open, pid, 0u); /* close-on-exec by itself */
    if (fd < 0) {
        int code = errno == ESRCH    ? GUACO_E_MISSING
                   : errno == ENOSYS ? GUACO_E_UNSUPPORTED
                                     : GUACO_E_IO;
        return guaco_fail(err, code, errno, "pidfd_open of %ld", (long)pid);
    }
    *pidfd = (int)fd;
    return GUACO_OK;
}

int
guaco__process_signal(int pidfd, int signal)
{
    assert(pidfd >= 0);

    if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0u) == 0)
        return GUACO_OK;
    return errno == ESRCH ? GUACO_E_MISSING : GUACO_E_IO;
}

static int
wait_for(int pidfd, int options, struct guaco__process_end *end)
{
    siginfo_t info = {0};
    int rc;

    assert(pidfd >= 0);
    do
        rc = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | options);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return GUACO_E_MISSING;
    if (info.si_pid == 0)
        return GUACO_E_AGAIN;
    end->exited = info.si_code == CLD_EXITED;
    end->code = info.si_status;
    return GUACO_OK;
}

int
guaco__process_wait(int pidfd, struct guaco__process_end *end)
{
    return wait_for(pidfd, 0, end);
}

int
guaco__process_peek(int pidfd, struct guaco__process_end *end)
{
    return wait_for(pidfd, WNOWAIT, end);
}

/* ---- of one that is no child -------------------------------------------- */

/* Of linux/pidfd.h, which Debian 12 does not have yet. */
struct pidfd_info {
    uint64_t mask;
    uint64_t cgroup_id;
    uint32_t ids[11]; /* pid, tgid, ppid and eight of its owner */
    int32_t exit_code;
};

#define PIDFD_INFO_EXIT (UINT64_C(1) << 3)
#define PIDFD_GET_INFO  _IOWR(0xff, 11, struct pidfd_info)

_Static_assert(sizeof(struct pidfd_info) == 64, "PIDFD_INFO_SIZE_VER0");

/* A status as of wait(2). */
static struct guaco__process_end
end_of_status(int status)
{
    return (struct guaco__process_end){
        .exited = WIFEXITED(status),
        .code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
    };
}

int
guaco__process_end_of(pid_t pid, int pidfd, struct guaco__process_end *end)
{
    struct pidfd_info info = {.mask = PIDFD_INFO_EXIT};
    struct guaco__proc_stat stat;

    /* Whether the pid is still its own is asked after /proc was read. */
    int rc = guaco__proc_stat(pid, &stat, NULL);
    bool is_there =
        rc == GUACO_OK && guaco__process_signal(pidfd, 0) != GUACO_E_MISSING;
    if (is_there && stat.state != 'Z' && stat.state != 'X')
        return GUACO_E_AGAIN;
    /* A status of 0 may also mean that we may not know it. */
    if (is_there && stat.exit_status != 0) {
        *end = end_of_status(stat.exit_status);
        return GUACO_OK;
    }
    if (ioctl(pidfd, PIDFD_GET_INFO, &info) == 0 &&
        (info.mask & PIDFD_INFO_EXIT) != 0) {
        *end = end_of_status(info.exit_code);
        return GUACO_OK;
    }
    return GUACO_E_MISSING;
}

void
guaco__process_describe(const struct guaco__process_end *end, char *out,
                        size_t len)
{
    assert(len >= 64);
    if (end->exited)
        snprintf(out, len, "exit code %d", end->code);
    else
        snprintf(out, len, "signal %d (%s)", end->code, strsignal(end->code));
}
