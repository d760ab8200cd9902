/*
 * The public face of the profiler: a target, its recording, and a thread that
 * samples.  `lock` guards both; whoever samples, renders or dumps holds it.
 */

#include "guaco/profile.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dump.h"
#include "formats.h"
#include "os/clock.h"
#include "os/file.h"
#include "record.h"

#define PERIOD_DEFAULT_US 10000u
#define OUTPUT_BYTES_MAX  ((size_t)1 << 30)
#define NS_A_SECOND       1000000000u

struct guaco_profile {
    pthread_mutex_t lock;
    pthread_cond_t stopping;
    struct guaco__target *target;
    struct guaco__record *record;
    struct guaco__timeline timeline;
    uint64_t period_ns, begin_ns;
    int64_t begin_wall_ns;
    char *title;
    int pid;
    pid_t owner; /* the process that opened it */
    pthread_t thread;
    bool has_thread, wants_stop, keeps_time, has_ended;
    int thread_rc;
};

/* ---- life ------------------------------------------------------------------------- */

static int
locks_init(struct guaco_profile *self)
{
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr) != 0)
        return GUACO_E_NOMEM;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int sys = pthread_cond_init(&self->stopping, &attr);
    pthread_condattr_destroy(&attr);
    if (sys != 0)
        return GUACO_E_NOMEM;
    pthread_mutex_init(&self->lock, NULL);
    return GUACO_OK;
}

static int
attach(struct guaco_profile *self, const struct guaco_profile_options *options,
       struct guaco_error *err)
{
    struct guaco__record_options wanted = {
        .pid = self->pid,
        .threads = options->threads != GUACO_PROFILE_GIL,
        .running_only = options->threads == GUACO_PROFILE_RUNNING,
        .exclude_idle = !options->counts_idle,
        .by_function = options->by_function,
        .timeline = options->keeps_time ? &self->timeline : NULL,
    };
    struct guaco_clock wall = {0};

    int rc = guaco__target_attach(&self->target, self->pid, err);
    if (rc != GUACO_OK)
        return rc;
    self->begin_ns = guaco__clock_mono_ns();
    self->begin_wall_ns = guaco__clock_wall_ns(&wall);
    rc = guaco__record_new(&self->record, self->target, &wanted);
    return rc == GUACO_OK ? rc : guaco_fail(err, rc, 0, "profile");
}

static void
profile_free(struct guaco_profile *self)
{
    guaco__record_free(self->record);
    guaco__target_free(self->target);
    guaco__timeline_release(&self->timeline);
    pthread_cond_destroy(&self->stopping);
    pthread_mutex_destroy(&self->lock);
    free(self->title);
    free(self);
}

int
guaco_profile_open(struct guaco_profile **out, int pid,
                   const struct guaco_profile_options *options,
                   struct guaco_error *err)
{
    uint32_t period_us =
        options->period_us == 0 ? PERIOD_DEFAULT_US : options->period_us;

    if (pid <= 0 || (unsigned)options->threads > GUACO_PROFILE_GIL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "process %d, threads %d",
                          pid, (int)options->threads);
    struct guaco_profile *self = calloc(1, sizeof *self);
    if (self == NULL || locks_init(self) != GUACO_OK) {
        free(self);
        return guaco_fail(err, GUACO_E_NOMEM, 0, "profile");
    }
    self->pid = pid;
    self->owner = getpid();
    self->period_ns = (uint64_t)period_us * 1000;
    self->keeps_time = options->keeps_time;
    guaco__timeline_init(&self->timeline);
    self->title = strdup(options->title == NULL ? "" : options->title);
    int rc = self->title == NULL ? guaco_fail(err, GUACO_E_NOMEM, 0, "profile")
                                 : attach(self, options, err);
    if (rc != GUACO_OK) {
        profile_free(self);
        return rc;
    }
    *out = self;
    return GUACO_OK;
}

void
guaco_profile_close(struct guaco_profile *profile)
{
    if (profile == NULL)
        return;
    /* In a forked child there is no such thread, and its lock may be held for
     * ever: the memory is left to the child's end. */
    if (profile->owner != getpid())
        return;
    guaco_profile_stop(profile);
    profile_free(profile);
}

/* ---- sampling ---------------------------------------------------------------------- */

/* With the lock. */
static int
sample(struct guaco_profile *self)
{
    if (self->has_ended)
        return GUACO_E_CLOSED;
    int rc = guaco__record_sample(self->record,
                                  guaco__clock_mono_ns() - self->begin_ns);
    if (rc == GUACO_E_MISSING)
        rc = GUACO_E_CLOSED;
    if (rc == GUACO_E_CLOSED)
        self->has_ended = true;
    return rc;
}

int
guaco_profile_sample(struct guaco_profile *profile)
{
    pthread_mutex_lock(&profile->lock);
    int rc = sample(profile);
    pthread_mutex_unlock(&profile->lock);
    return rc;
}

/* Each sample has its time; those that are missed are not made up for. */
static void *
thread_main(void *ctx)
{
    struct guaco_profile *self = ctx;
    uint64_t next_ns = guaco__clock_mono_ns();

    pthread_mutex_lock(&self->lock);
    while (!self->wants_stop && self->thread_rc == GUACO_OK) {
        self->thread_rc = sample(self);
        uint64_t now_ns = guaco__clock_mono_ns();
        next_ns += self->period_ns;
        if (next_ns < now_ns)
            next_ns = now_ns + self->period_ns;
        struct timespec until = {
            .tv_sec = (time_t)(next_ns / NS_A_SECOND),
            .tv_nsec = (long)(next_ns % NS_A_SECOND),
        };
        while (!self->wants_stop && self->thread_rc == GUACO_OK &&
               pthread_cond_timedwait(&self->stopping, &self->lock, &until) !=
                   ETIMEDOUT) {}
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

int
guaco_profile_start(struct guaco_profile *profile, struct guaco_error *err)
{
    sigset_t all, before;

    pthread_mutex_lock(&profile->lock);
    if (profile->has_thread || profile->owner != getpid()) {
        pthread_mutex_unlock(&profile->lock);
        return guaco_fail(err, GUACO_E_STATE, 0, "sampling is started already");
    }
    profile->wants_stop = false;
    profile->thread_rc = GUACO_OK;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int sys = pthread_create(&profile->thread, NULL, thread_main, profile);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    profile->has_thread = sys == 0;
    pthread_mutex_unlock(&profile->lock);
    return sys == 0 ? GUACO_OK
                    : guaco_fail(err, GUACO_E_NOMEM, sys, "start a thread");
}

int
guaco_profile_stop(struct guaco_profile *profile)
{
    pthread_mutex_lock(&profile->lock);
    bool is_ours = profile->has_thread;
    profile->has_thread = false;
    profile->wants_stop = true;
    pthread_cond_signal(&profile->stopping);
    pthread_mutex_unlock(&profile->lock);
    if (!is_ours)
        return GUACO_OK;
    pthread_join(profile->thread, NULL);
    return profile->thread_rc;
}

void
guaco_profile_counts(struct guaco_profile *profile,
                     struct guaco_profile_counts *counts)
{
    pthread_mutex_lock(&profile->lock);
    const struct guaco__target_counts *seen =
        guaco__target_counts(profile->target);
    *counts = (struct guaco_profile_counts){
        .samples = seen->samples,
        .stacks = guaco__record_tally(profile->record)->samples,
        .dropped = seen->dropped,
        .has_ended = profile->has_ended,
    };
    pthread_mutex_unlock(&profile->lock);
}

/* ---- what was seen ----------------------------------------------------------------- */

static enum guaco__format
format_of(enum guaco_profile_format format)
{
    switch (format) {
    case GUACO_PROFILE_FOLDED: return GUACO__FORMAT_FOLDED;
    case GUACO_PROFILE_SVG: return GUACO__FORMAT_SVG;
    case GUACO_PROFILE_SPEEDSCOPE: return GUACO__FORMAT_SPEEDSCOPE;
    case GUACO_PROFILE_PPROF: return GUACO__FORMAT_PPROF;
    case GUACO_PROFILE_GECKO: return GUACO__FORMAT_GECKO;
    case GUACO_PROFILE_CHROME: return GUACO__FORMAT_CHROME;
    }
    return GUACO__FORMAT_FOLDED;
}

/* All of it into `out`. */
static int
render(struct guaco_profile *self, enum guaco_profile_format format,
       struct guaco__buf *out, struct guaco_error *err)
{
    enum guaco__format form = format_of(format);
    char subtitle[128];

    if ((unsigned)format > GUACO_PROFILE_CHROME ||
        (guaco__format_has_time(form, false) && !self->keeps_time))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "this form shows time, which was not kept");
    pthread_mutex_lock(&self->lock);
    struct guaco__tally *tally = guaco__record_tally(self->record);
    int len = snprintf(subtitle, sizeof subtitle,
                       "process %d, %llu samples, one every %g ms", self->pid,
                       (unsigned long long)tally->samples,
                       (double)self->period_ns / 1e6);
    struct guaco__report report = {
        .tally = tally,
        .timeline = &self->timeline,
        .title = {self->title, strlen(self->title)},
        .subtitle = {subtitle, (size_t)len},
        .period_ns = self->period_ns,
        .begin_wall_ns = self->begin_wall_ns,
    };
    int rc = guaco__report_write(&report, form, out);
    pthread_mutex_unlock(&self->lock);
    return rc == GUACO_OK ? rc : guaco_fail(err, rc, 0, "render a profile");
}

int
guaco_profile_render(struct guaco_profile *profile,
                     enum guaco_profile_format format,
                     guaco_profile_write_fn *write, void *ctx,
                     struct guaco_error *err)
{
    struct guaco__buf out;

    guaco__buf_init(&out, OUTPUT_BYTES_MAX);
    int rc = render(profile, format, &out, err);
    if (rc == GUACO_OK && out.len > 0)
        rc = write(ctx, guaco__buf_data(&out), out.len);
    guaco__buf_release(&out);
    return rc;
}

int
guaco_profile_save(struct guaco_profile *profile,
                   enum guaco_profile_format format, const char *path,
                   struct guaco_error *err)
{
    struct guaco__buf out;

    guaco__buf_init(&out, OUTPUT_BYTES_MAX);
    int rc = render(profile, format, &out, err);
    if (rc == GUACO_OK)
        rc = guaco__file_write(path, guaco__buf_data(&out), out.len, 0644, err);
    guaco__buf_release(&out);
    return rc;
}

int
guaco_profile_dump(struct guaco_profile *profile, bool locals,
                   guaco_profile_write_fn *write, void *ctx,
                   struct guaco_error *err)
{
    struct guaco__dump_options options = {
        .form = GUACO__DUMP_JSON, .pid = profile->pid, .locals = locals};
    struct guaco__buf out;

    guaco__buf_init(&out, OUTPUT_BYTES_MAX);
    pthread_mutex_lock(&profile->lock);
    int rc = guaco__dump_write(profile->target, &options, &out);
    pthread_mutex_unlock(&profile->lock);
    if (rc == GUACO_OK)
        rc = write(ctx, guaco__buf_data(&out), out.len);
    else
        guaco_fail(err, rc, 0, "dump process %d", profile->pid);
    guaco__buf_release(&out);
    return rc;
}
