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
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/date.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "profile/dump.h"
#include "profile/record.h"
#include "profile/tags.h"
#include "profile/ticks.h"
#include "profile/tree.h"
#include "profile_output.h"
#include "profile_top.h"

#define ATTACH_STEP_MS         2
#define ATTACH_MOST_MS         10000 /* until a started command runs Python */
#define PROGRESS_FIRST_NS      2000000000u
#define PROGRESS_NS            1000000000u
#define COMMAND_LINE_BYTES_MAX 65536

extern char **environ;

struct session {
    const struct guaco__profile_session *want;
    int pid, pidfd, signals, timer;
    struct guaco__target *target;
    struct guaco__record *record;
    struct guaco__native *native; /* of a dump */
    struct guaco__top *top;       /* NULL: no screen */
    struct guaco__timeline timeline;
    struct guaco__buf command_line;
    int64_t begin_wall_ns;
    uint64_t begin_ns; /* monotonic */
    struct guaco__ticks ticks;
    struct guaco__tree *tree;           /* NULL: only the process itself */
    struct guaco__target_counts counts; /* of targets before this one */
    uint64_t progress_ns; /* when it is shown next, after the begin */
    bool has_terminal, has_progress;
    bool is_counted; /* `counts` holds those of `target` and `tree` too */
    bool ended;      /* the process has */
    bool stopped;    /* a signal said so, or the time is over */
};

/* ---- output -------------------------------------------------------------------- */

/* The command line of a process, its words apart. */
static void
read_command_line(int pid, struct guaco__buf *out)
{
    char path[64];
    struct guaco_error ignored;

    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    if (guaco__file_read(path, out, &ignored) != GUACO_OK)
        guaco__buf_cut(out, 0);
    for (size_t i = 0; i < out->len; i++)
        if (guaco__buf_data(out)[i] == '\0')
            guaco__buf_data(out)[i] = ' ';
    while (out->len > 0 && guaco__buf_end(out)[-1] == ' ')
        guaco__buf_cut(out, out->len - 1);
}

/* What is profiled, and how, for the head of a picture. */
static void
describe(const struct session *s, char *to, size_t len)
{
    const struct guaco__tally *tally = guaco__record_tally(s->record);
    struct guaco_clock wall = {0};
    char date[GUACO__DATE_ISO_BYTES], lost[96] = "";
    uint64_t dropped = s->counts.dropped; /* of those before */

    if (s->target != NULL && !s->is_counted)
        dropped += guaco__target_counts(s->target)->dropped;
    if (dropped + s->ticks.missed > 0)
        snprintf(lost, sizeof lost, " (%llu stacks dropped, %llu ticks missed)",
                 (unsigned long long)dropped,
                 (unsigned long long)s->ticks.missed);
    guaco__date_format_iso(guaco__clock_wall_ms(&wall), date);
    snprintf(
        to, len, "process %d%s, %llu samples%s, one every %g ms, %.16s UTC",
        s->pid, s->want->subprocesses ? " and those below it" : "",
        (unsigned long long)tally->samples, lost, s->want->period * 1000, date);
}

static int
render(struct session *s, struct guaco__buf *out)
{
    char subtitle[256];
    struct guaco_slice title = guaco__buf_slice(&s->command_line);

    if (s->want->title != NULL)
        title = (struct guaco_slice){s->want->title, strlen(s->want->title)};
    describe(s, subtitle, sizeof subtitle);
    struct guaco__report report = {
        .tally = guaco__record_tally(s->record),
        .timeline = &s->timeline,
        .title = title,
        .subtitle = {subtitle, strlen(subtitle)},
        .period_ns = (uint64_t)(s->want->period * 1e9),
        .begin_wall_ns = s->begin_wall_ns,
        .in_time = s->want->in_time,
        .is_icicle = s->want->is_icicle,
    };
    return guaco__report_write(&report, s->want->format, out);
}

static int
dump(struct session *s, struct guaco__buf *out)
{
    struct guaco__dump_options options = {
        .form = s->want->dumps_json         ? GUACO__DUMP_JSON
                : s->want->dumps_for_people ? GUACO__DUMP_PEOPLE
                                            : GUACO__DUMP_PYFLAME,
        .pid = s->pid,
        .command_line = guaco__buf_slice(&s->command_line),
        .locals = s->want->dumps_locals,
        .native = s->native,
    };

    return guaco__dump_write(s->target, &options, out);
}

/* Write what there is; 0 or 1. */
static int
save(struct session *s)
{
    struct guaco__buf out;
    struct guaco_error err = {0};

    guaco__buf_init(&out, GUACO__OUTPUT_BYTES_MAX);
    int rc = s->want->dump ? dump(s, &out) : render(s, &out);
    if (rc == GUACO_OK)
        rc = guaco__output_write(s->want->output, &out, &err);
    guaco__buf_release(&out);
    return rc == GUACO_OK ? 0 : guaco__complain("profile", rc, &err);
}

/* A long recording shows that it lives, to a person only. */
static void
show_progress(struct session *s, uint64_t elapsed_ns)
{
    if (!s->has_terminal || s->want->is_top || elapsed_ns < s->progress_ns)
        return;
    s->progress_ns = elapsed_ns + PROGRESS_NS;
    fprintf(stderr, "\r\033[K%llu s, %llu samples; Ctrl-C ends it",
            (unsigned long long)(elapsed_ns / 1000000000),
            (unsigned long long)guaco__record_tally(s->record)->samples);
    s->has_progress = true;
}

static void
clear_progress(struct session *s)
{
    if (s->has_progress)
        fputs("\r\033[K", stderr);
    s->has_progress = false;
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
    if (info.ssi_signo == SIGUSR1 && s->want->output == NULL) {
        clear_progress(s);
        fputs("guaco profile: SIGUSR1 writes to a file only: use -o\n", stderr);
    } else if (info.ssi_signo == SIGUSR1) {
        if (s->record != NULL)
            save(s);
    } else if (s->want->command == NULL) {
        s->stopped = true;
    } else if (info.ssi_code != SI_KERNEL) {
        guaco__process_signal(s->pidfd, (int)info.ssi_signo);
    }
}

/* Wait for the next tick, a signal or the end of the process, at most
 * timeout_ms (-1: no limit).  True when it is time to sample. */
static bool
wait_tick(struct session *s, int timeout_ms)
{
    struct pollfd fds[4] = {
        {.fd = s->signals, .events = POLLIN},
        {.fd = s->pidfd, .events = POLLIN},
        {.fd = s->timer, .events = POLLIN},
        {.fd = s->top != NULL ? STDIN_FILENO : -1, .events = POLLIN},
    };
    uint64_t ticks;

    int count = poll(fds, 4, timeout_ms);
    /* Also when a signal came: the window has changed its size. */
    if (s->top != NULL && !guaco__top_keys(s->top))
        s->stopped = true;
    if (count < 0)
        return false;
    if (fds[3].revents & (POLLHUP | POLLERR))
        s->stopped = true;
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

    s->counts.samples += counts->samples;
    s->counts.retried += counts->retried;
    s->counts.torn += counts->torn;
    s->counts.dropped += counts->dropped;
}

/* Have the timer end when the next tick is due. */
static int
arm(struct session *s)
{
    uint64_t due = s->ticks.due_ns;
    struct itimerspec spec = {
        .it_value.tv_sec = (time_t)(due / 1000000000),
        .it_value.tv_nsec = (long)(due % 1000000000),
    };

    return timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &spec, NULL) == 0
               ? GUACO_OK
               : GUACO_E_IO;
}

/* One sample; when the process has begun another program, wait for that to be
 * Python: a sample finds nothing until then. */
static int
sample_once(struct session *s)
{
    struct guaco_error ignored;

    if (s->target == NULL) {
        int rc = guaco__target_attach(&s->target, s->pid, &ignored);
        if (rc != GUACO_OK)
            return GUACO_OK;
        guaco__record_follow(s->record, s->target);
    }
    int rc =
        guaco__record_sample(s->record, guaco__clock_mono_ns() - s->begin_ns);
    if (rc != GUACO_E_CLOSED && rc != GUACO_E_MISSING)
        return rc;
    keep_counts(s);
    guaco__record_follow(s->record, NULL);
    guaco__target_free(s->target);
    s->target = NULL;
    return GUACO_OK;
}

/* The process, and those below it. */
static int
sample_all(struct session *s)
{
    uint64_t now = guaco__clock_mono_ns();

    guaco__ticks_take(&s->ticks, now);
    int rc = arm(s);
    if (rc != GUACO_OK || (s->top != NULL && guaco__top_is_paused(s->top)))
        return rc;
    rc = sample_once(s);
    if (rc == GUACO_OK && s->tree != NULL)
        rc = guaco__tree_sample(s->tree, s->record, now, now - s->begin_ns);
    return rc;
}

static int
sample_begin(struct session *s)
{
    struct guaco_clock wall = {0};
    int rc = GUACO_OK;

    s->begin_ns = guaco__clock_mono_ns();
    s->begin_wall_ns = guaco__clock_wall_ns(&wall);
    s->progress_ns = PROGRESS_FIRST_NS;
    guaco__ticks_init(&s->ticks, (uint64_t)(s->want->period * 1e9),
                      s->want->is_jittered, (uint64_t)s->begin_wall_ns,
                      s->begin_ns);
    if (s->want->subprocesses)
        rc = guaco__tree_new(&s->tree, s->pid);
    return rc == GUACO_OK ? arm(s) : rc;
}

static int
sample_loop(struct session *s)
{
    uint64_t span =
        s->want->seconds < 0 ? UINT64_MAX : (uint64_t)(s->want->seconds * 1e9);
    int rc = sample_begin(s);

    while (rc == GUACO_OK && !s->ended && !s->stopped) {
        if (!wait_tick(s, -1))
            continue;
        rc = sample_all(s);
        uint64_t elapsed = guaco__clock_mono_ns() - s->begin_ns;
        if (elapsed >= span)
            s->stopped = true;
        show_progress(s, elapsed);
        if (rc == GUACO_OK && s->top != NULL)
            rc = guaco__top_tick(s->top, elapsed);
    }
    return rc;
}

/* ---- the process ----------------------------------------------------------------- */

static int
start_command(struct session *s, const sigset_t *before,
              struct guaco_error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid = 0;

    posix_spawn_file_actions_init(&actions);
    if (s->want->is_top) /* the screen is ours */
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR,
                                             0);

    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, before);
    int sys = posix_spawnp(&pid, s->want->command[0], &actions, &attributes,
                           (char *const *)(uintptr_t)s->want->command, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (sys != 0)
        return guaco_fail(err, GUACO_E_IO, sys, "start %s",
                          s->want->command[0]);
    s->pid = pid;
    return GUACO_OK;
}

static int
open_all(struct session *s, struct guaco_error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1};
    sigset_t taken, before;

    int rc = guaco__output_check(s->want->output, err);
    if (rc != GUACO_OK)
        return rc;
    sigemptyset(&taken);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&taken, numbers[i]);
    sigprocmask(SIG_BLOCK, &taken, &before);
    s->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (s->signals < 0 || s->timer < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "timer and signals");
    s->pid = s->want->pid;
    if (s->want->command != NULL)
        rc = start_command(s, &before, err);
    signal(SIGPIPE, SIG_IGN); /* the command keeps it as it was */
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
check_version(struct session *s, struct guaco_error *err)
{
    unsigned version = guaco__target_runtime(s->target)->layout.version;

    if (s->want->version == 0 || s->want->version == version)
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                      "process %d runs Python 3.%u, not the 3.%u of --abi",
                      s->pid, version & 0xff, s->want->version & 0xff);
}

/* One process that says nothing of requests and tasks has none to show. */
static int
check_board(struct session *s, struct guaco_error *err)
{
    struct guaco__tags *tags = NULL;

    if (s->want->command != NULL || s->want->subprocesses)
        return GUACO_OK;
    int rc =
        guaco__tags_open(&tags, s->pid, guaco__target_memory(s->target), err);
    if (rc == GUACO_OK)
        guaco__tags_close(tags);
    return rc;
}

static int
open_top(struct session *s, struct guaco_error *err)
{
    int rc = guaco__top_open(&s->top, 1 / s->want->period,
                             (uint64_t)(s->want->top_delay * 1e9), err);
    if (rc == GUACO_OK)
        guaco__top_watch(s->top, s->record, s->pid,
                         guaco__buf_slice(&s->command_line));
    return rc;
}

/* Of the targets that are still attached, and of the processes below. */
static void
add_all_counts(struct session *s)
{
    if (s->target != NULL)
        keep_counts(s);
    s->is_counted = true;
    if (s->tree == NULL)
        return;
    struct guaco__target_counts below = guaco__tree_counts(s->tree);
    s->counts.samples += below.samples;
    s->counts.retried += below.retried;
    s->counts.torn += below.torn;
    s->counts.dropped += below.dropped;
}

/* Without them nothing is written, not even an empty profile. */
static int
open_native(struct session *s, struct guaco_error *err)
{
    int rc = s->want->dump
                 ? guaco__native_new(&s->native, s->target, s->pid, err)
                 : guaco__record_native(s->record, err);
    if (rc == GUACO_OK)
        return rc;
    guaco__record_free(s->record);
    s->record = NULL;
    return rc;
}

static int
run(struct session *s, struct guaco_error *err)
{
    bool has_time = guaco__format_has_time(s->want->format, s->want->in_time);
    struct guaco__record_options options = {
        .pid = s->pid,
        .threads = s->want->threads,
        .running_only = s->want->running_only,
        .exclude_idle = s->want->exclude_idle,
        .by_function = s->want->by_function,
        .by_process = s->want->subprocesses,
        .by_task = s->want->by_task,
        .by_state = s->want->by_state,
        .native = s->want->native && !s->want->dump,
        .timeline = has_time ? &s->timeline : NULL,
        .labels = s->want->has_labels ? &s->want->labels : NULL,
    };

    int rc = attach(s, err);
    if (rc == GUACO_OK)
        rc = check_version(s, err);
    if (rc == GUACO_OK && s->want->has_labels)
        rc = check_board(s, err);
    if (rc == GUACO_OK)
        rc = guaco__record_new(&s->record, s->target, &options);
    if (rc == GUACO_OK && s->want->native)
        rc = open_native(s, err);
    read_command_line(s->pid, &s->command_line);
    if (rc == GUACO_OK && s->want->is_top)
        rc = open_top(s, err);
    if (rc == GUACO_OK && !s->want->dump)
        rc = sample_loop(s);
    guaco__top_close(s->top);
    s->top = NULL;
    clear_progress(s);
    add_all_counts(s);
    return rc;
}

/* pyflame's form stays silent about little: its users look at standard error. */
static bool
is_worth_telling(const struct session *s, uint64_t lost, uint64_t kept)
{
    bool tells_all = s->want->says_end || s->has_terminal;

    return lost > 0 && (tells_all || lost >= kept / 10);
}

/* What C frames cost the process, and where they are missing. */
static void
tell_stops(const struct session *s)
{
    const struct guaco__record_counts *c = guaco__record_counts(s->record);

    if (s->want->says_end && c->stops > 0)
        fprintf(stderr,
                "guaco profile: threads were stopped %llu times, for %.0f us "
                "on average and %.0f us at most\n",
                (unsigned long long)c->stops,
                (double)c->stopped_ns / (double)c->stops / 1e3,
                (double)c->stopped_most_ns / 1e3);
    if (is_worth_telling(s, c->bare, c->rounds))
        fprintf(stderr,
                "guaco profile: %llu stacks have no C frames: their threads "
                "could not be stopped or followed\n",
                (unsigned long long)c->bare);
}

/* What the recording lacks. */
static void
tell_lost(struct session *s)
{
    const struct guaco__target_counts *c = &s->counts;
    const struct guaco__ticks *t = &s->ticks;

    if (is_worth_telling(s, c->dropped, c->samples))
        fprintf(stderr,
                "guaco profile: %llu stacks could not be read consistently and "
                "are not counted (%llu samples, %llu copies torn, %llu reads "
                "repeated)\n",
                (unsigned long long)c->dropped, (unsigned long long)c->samples,
                (unsigned long long)c->torn, (unsigned long long)c->retried);
    if (is_worth_telling(s, t->missed, t->taken))
        fprintf(stderr,
                "guaco profile: %llu of %llu ticks were missed and %llu late, "
                "by %.1f ms at most: the machine is busy, or the rate too "
                "high\n",
                (unsigned long long)t->missed,
                (unsigned long long)(t->taken + t->missed),
                (unsigned long long)t->late, (double)t->late_most_ns / 1e6);
    if (s->record != NULL && s->want->native)
        tell_stops(s);
    if (s->timeline.lost > 0)
        fprintf(stderr,
                "guaco profile: the last %llu samples have no place in time "
                "any more and are left out\n",
                (unsigned long long)s->timeline.lost);
}

static void
tell_end(const struct session *s)
{
    if (s->want->is_top && s->ended)
        fprintf(stderr, "guaco profile: process %d has ended\n", s->pid);
    if (!s->want->says_end || s->record == NULL)
        return;
    fprintf(stderr, "guaco profile: %llu samples%s%s\n",
            (unsigned long long)guaco__record_tally(s->record)->samples,
            s->want->output != NULL ? " in " : "",
            s->want->output != NULL ? s->want->output : "");
}

static void
session_release(struct session *s)
{
    guaco__native_free(s->native);
    guaco__record_free(s->record);
    guaco__target_free(s->target);
    guaco__tree_free(s->tree);
    guaco__timeline_release(&s->timeline);
    guaco__buf_release(&s->command_line);
}

int
guaco__profile_session_run(const struct guaco__profile_session *session)
{
    struct session s = {
        .want = session, .pidfd = -1, .signals = -1, .timer = -1};
    struct guaco_error err = {0};
    int code = 0;

    s.has_terminal = isatty(STDERR_FILENO) == 1;
    guaco__timeline_init(&s.timeline);
    guaco__buf_init(&s.command_line, COMMAND_LINE_BYTES_MAX);
    int rc = open_all(&s, &err);
    if (rc == GUACO_OK)
        rc = run(&s, &err);
    if (rc != GUACO_OK)
        code = guaco__complain("profile", rc, &err);
    if (s.record != NULL)
        (void)guaco__record_settle(s.record);
    if (s.record != NULL && !session->is_top && save(&s) != 0)
        code = 1;
    else
        tell_end(&s);
    tell_lost(&s);
    if (session->is_top && session->command != NULL && s.pidfd >= 0)
        guaco__process_signal(s.pidfd, SIGTERM); /* nobody sees it any more */
    while (session->command != NULL && s.pid > 0 && !s.ended)
        wait_tick(&s, -1);
    if (session->command != NULL && s.pid > 0) {
        int end = command_end(&s);
        code = end != 0 ? end : code;
    }
    session_release(&s);
    return code;
}
