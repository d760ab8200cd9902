/* A profiling session: what may happen while it lasts is in the header. */

#include "profile_session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "profile/flamegraph.h"
#include "profile/folded.h"
#include "profile/formats.h"
#include "profile/record.h"

#define OUTPUT_BYTES_MAX ((size_t)1 << 30)
#define ATTACH_STEP_MS   2
#define ATTACH_MOST_MS   10000 /* until a started command runs Python */

extern char **environ;

struct session {
    const struct guaco__profile_session *want;
    int pid, pidfd, signals, timer;
    struct guaco__target *target;
    struct guaco__record *record;
    struct guaco__buf chart;
    uint64_t samples, dropped; /* of targets before this one */
    bool ended;                /* the process has */
    bool stopped;              /* a signal said so, or the time is over */
};

/* ---- output -------------------------------------------------------------------- */

static int
render(struct session *s, struct guaco__buf *out)
{
    struct guaco__tally *tally = guaco__record_tally(s->record);
    struct guaco__flamegraph_options options = {
        .count_name = {"samples", 7},
        .min_width = 0.1,
    };
    char subtitle[64];

    uint64_t period_ns = (uint64_t)(s->want->period * 1e9);

    snprintf(subtitle, sizeof subtitle, "process %d, every %g ms", s->pid,
             s->want->period * 1000);
    struct guaco_slice what = {subtitle, strlen(subtitle)};
    switch (s->want->format) {
    case GUACO__PROFILE_FOLDED: return guaco__folded_write(tally, out);
    case GUACO__PROFILE_CHART:
        return guaco__buf_append(out, guaco__buf_data(&s->chart), s->chart.len);
    case GUACO__PROFILE_SVG:
        options.subtitle = what;
        return guaco__flamegraph_write(tally, &options, out);
    case GUACO__PROFILE_SPEEDSCOPE:
        return guaco__speedscope_write(tally, what, period_ns, out);
    case GUACO__PROFILE_PPROF: return guaco__pprof_write(tally, period_ns, out);
    }
    return GUACO_E_INVALID;
}

static int
put_fd(int fd, const struct guaco__buf *out, const char *name,
       struct guaco_error *err)
{
    const char *at = guaco__buf_data(out);
    size_t left = out->len;

    while (left > 0) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return guaco_fail(err, GUACO_E_IO, errno, "%s", name);
        at += n;
        left -= (size_t)n;
    }
    return GUACO_OK;
}

/* A device or a pipe is written to; a file is replaced when it is complete. */
static int
put_out(const char *path, const struct guaco__buf *out, struct guaco_error *err)
{
    struct stat st;

    if (path == NULL)
        return put_fd(STDOUT_FILENO, out, "standard output", err);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            return guaco_fail(err, GUACO_E_IO, errno, "open %s", path);
        int rc = put_fd(fd, out, path, err);
        close(fd);
        return rc;
    }
    mode_t mask = umask(0);
    umask(mask);
    return guaco__file_write(path, guaco__buf_data(out), out->len,
                             0666 & ~(unsigned)mask, err);
}

static int
complain(int rc, const struct guaco_error *err)
{
    fprintf(stderr, "guaco profile: %s\n",
            err->text[0] != '\0' ? err->text : guaco_strerror(rc));
    return 1;
}

/* Write what there is; 0 or 1. */
static int
save(struct session *s)
{
    struct guaco__buf out;
    struct guaco_error err = {0};

    guaco__buf_init(&out, OUTPUT_BYTES_MAX);
    int rc =
        s->want->dump ? guaco__record_dump(s->record, &out) : render(s, &out);
    if (rc == GUACO_OK)
        rc = put_out(s->want->output, &out, &err);
    guaco__buf_release(&out);
    return rc == GUACO_OK ? 0 : complain(rc, &err);
}

/* ---- waiting ------------------------------------------------------------------- */

/* What a signal means.  An interrupt from the terminal reaches a started
 * command by itself: its end is waited for. */
static void
take_signal(struct session *s)
{
    struct signalfd_siginfo info;

    if (read(s->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGUSR1) {
        save(s);
        return;
    }
    if (s->want->command == NULL)
        s->stopped = true;
    else if (info.ssi_signo == SIGTERM || info.ssi_pid != 0)
        guaco__process_signal(s->pidfd, (int)info.ssi_signo);
}

/* Wait for the next tick, a signal or the end of the process, at most
 * timeout_ms (-1: no limit).  True when it is time to sample. */
static bool
wait_tick(struct session *s, int timeout_ms)
{
    struct pollfd fds[3] = {
        {.fd = s->signals, .events = POLLIN},
        {.fd = s->pidfd, .events = POLLIN},
        {.fd = s->timer, .events = POLLIN},
    };
    uint64_t ticks;

    if (poll(fds, 3, timeout_ms) < 0)
        return false;
    if (fds[0].revents != 0)
        take_signal(s);
    if (fds[1].revents != 0)
        s->ended = true;
    return fds[2].revents != 0 &&
           read(s->timer, &ticks, sizeof ticks) == sizeof ticks;
}

/* Attach, waiting for a command that has just been started to become Python. */
static int
attach(struct session *s, struct guaco_error *err)
{
    int waited = 0;

    for (;;) {
        int rc = guaco__target_attach(&s->target, s->pid, err);
        bool early = rc == GUACO_E_MISSING || rc == GUACO_E_AGAIN ||
                     rc == GUACO_E_UNSUPPORTED;
        if (rc == GUACO_OK || s->want->command == NULL || !early || s->ended ||
            waited >= ATTACH_MOST_MS)
            return rc;
        wait_tick(s, ATTACH_STEP_MS);
        waited += ATTACH_STEP_MS;
    }
}

/* Add a target's counts to those of the ones before it. */
static void
keep_counts(struct session *s)
{
    const struct guaco__target_counts *counts = guaco__target_counts(s->target);

    s->samples += counts->samples;
    s->dropped += counts->dropped;
}

static int
arm(struct session *s)
{
    double period = s->want->period;
    struct itimerspec spec = {
        .it_interval.tv_sec = (time_t)period,
        .it_interval.tv_nsec = (long)((period - (double)(time_t)period) * 1e9),
        .it_value.tv_nsec = 1,
    };

    return timerfd_settime(s->timer, 0, &spec, NULL);
}

/* One sample; when the process has begun another program, wait for that to be
 * Python: a sample finds nothing until then. */
static int
sample_once(struct session *s)
{
    struct guaco_clock wall = {0};
    struct guaco_error ignored;

    if (s->target == NULL) {
        int rc = guaco__target_attach(&s->target, s->pid, &ignored);
        if (rc != GUACO_OK)
            return GUACO_OK;
        guaco__record_follow(s->record, s->target);
    }
    int rc = guaco__record_sample(s->record,
                                  (uint64_t)guaco__clock_wall_ns(&wall) / 1000);
    if (rc != GUACO_E_CLOSED && rc != GUACO_E_MISSING)
        return rc;
    keep_counts(s);
    guaco__record_follow(s->record, NULL);
    guaco__target_free(s->target);
    s->target = NULL;
    return GUACO_OK;
}

static int
sample_loop(struct session *s)
{
    uint64_t begin = guaco__clock_mono_ns();
    uint64_t span =
        s->want->seconds < 0 ? UINT64_MAX : (uint64_t)(s->want->seconds * 1e9);
    int rc = arm(s) == 0 ? GUACO_OK : GUACO_E_IO;

    while (rc == GUACO_OK && !s->ended && !s->stopped) {
        if (!wait_tick(s, -1))
            continue;
        rc = sample_once(s);
        if (guaco__clock_mono_ns() - begin >= span)
            s->stopped = true;
    }
    return rc;
}

/* ---- the process ----------------------------------------------------------------- */

static int
start_command(struct session *s, const sigset_t *before,
              struct guaco_error *err)
{
    posix_spawnattr_t attributes;
    pid_t pid = 0;

    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, before);
    int sys = posix_spawnp(&pid, s->want->command[0], NULL, &attributes,
                           (char *const *)(uintptr_t)s->want->command, environ);
    posix_spawnattr_destroy(&attributes);
    if (sys != 0)
        return guaco_fail(err, GUACO_E_IO, sys, "start %s",
                          s->want->command[0]);
    s->pid = pid;
    return GUACO_OK;
}

static int
open_all(struct session *s, struct guaco_error *err)
{
    sigset_t taken, before;

    sigemptyset(&taken);
    sigaddset(&taken, SIGINT);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGUSR1);
    sigprocmask(SIG_BLOCK, &taken, &before);
    signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (s->signals < 0 || s->timer < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "timer and signals");
    s->pid = s->want->pid;
    int rc =
        s->want->command != NULL ? start_command(s, &before, err) : GUACO_OK;
    return rc == GUACO_OK ? guaco__process_open(s->pid, &s->pidfd, err) : rc;
}

/* The command's own exit code, as a shell gives it. */
static int
command_end(struct session *s)
{
    int status = 0;

    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int
run(struct session *s, struct guaco_error *err)
{
    struct guaco__record_options options = {
        .threads = s->want->threads,
        .exclude_idle = s->want->exclude_idle,
        .by_function = s->want->by_function,
        .chart = s->want->format == GUACO__PROFILE_CHART ? &s->chart : NULL,
    };

    int rc = attach(s, err);
    if (rc == GUACO_OK)
        rc = guaco__record_new(&s->record, s->target, &options);
    if (rc == GUACO_OK && !s->want->dump)
        rc = sample_loop(s);
    return rc;
}

static void
tell_dropped(struct session *s)
{
    if (s->target != NULL)
        keep_counts(s);
    if (s->dropped > 0)
        fprintf(stderr,
                "guaco profile: %llu of %llu stacks could not be read "
                "consistently and are not counted\n",
                (unsigned long long)s->dropped, (unsigned long long)s->samples);
}

int
guaco__profile_session_run(const struct guaco__profile_session *session)
{
    struct session s = {
        .want = session, .pidfd = -1, .signals = -1, .timer = -1};
    struct guaco_error err = {0};
    int code = 0;

    guaco__buf_init(&s.chart, OUTPUT_BYTES_MAX);
    int rc = open_all(&s, &err);
    if (rc == GUACO_OK)
        rc = run(&s, &err);
    if (rc != GUACO_OK)
        code = complain(rc, &err);
    if (s.record != NULL && save(&s) != 0)
        code = 1;
    tell_dropped(&s);
    while (session->command != NULL && s.pid > 0 && !s.ended)
        wait_tick(&s, -1);
    if (session->command != NULL && s.pid > 0) {
        int end = command_end(&s);
        code = end != 0 ? end : code;
    }
    guaco__record_free(s.record);
    guaco__target_free(s.target);
    guaco__buf_release(&s.chart);
    return code;
}
