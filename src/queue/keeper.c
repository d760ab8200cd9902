#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "keeper_int.h"

/* ---- being told ---- */

static uint32_t
wake(struct guaco__listener *listener, const struct guaco__notice *notice)
{
    struct guaco_keeper *keeper =
        GUACO__OF(listener, struct guaco_keeper, listener);
    const uint64_t one = 1;

    pthread_mutex_lock(&keeper->lock);
    bool is_news = notice->due_ms < keeper->wake_ms;
    if (is_news)
        keeper->wake_ms = notice->due_ms;
    keeper->is_stale = keeper->is_stale || notice->due_ms == 0;
    pthread_mutex_unlock(&keeper->lock);
    if (is_news)
        (void)!write(keeper->kick_fd, &one, sizeof one);
    return 0;
}

/* ---- a round ---- */

static void
lower(int64_t *next_ms, int64_t ms)
{
    if (ms < *next_ms)
        *next_ms = ms;
}

/* Promote and sweep until nothing of it is due. */
static int
move_due(struct guaco_keeper *keeper, int64_t *next_ms)
{
    for (;;) {
        struct guaco__op ops[2] = {
            {.kind = GUACO__OP_PROMOTE, .promote = {.limit = KEEPER_BATCH}},
            {.kind = GUACO__OP_SWEEP, .sweep = {.limit = KEEPER_BATCH}},
        };
        int rc = guaco__front_run(keeper->broker, ops, 2, NULL);
        if (rc != GUACO_OK)
            return rc;
        if (ops[0].promote.count == KEEPER_BATCH ||
            ops[1].sweep.count == KEEPER_BATCH)
            continue;
        lower(next_ms, ops[0].promote.next_due_ms);
        lower(next_ms, ops[1].sweep.next_end_ms);
        return GUACO_OK;
    }
}

static int
make_round(struct guaco_keeper *keeper, bool is_stale, int64_t *next_ms)
{
    int rc = is_stale ? guaco__keeper_load_recurs(keeper) : GUACO_OK;

    if (rc == GUACO_OK)
        rc = guaco__keeper_owners(keeper, next_ms);
    if (rc == GUACO_OK)
        rc = guaco__keeper_fire(keeper, next_ms);
    if (rc == GUACO_OK)
        rc = move_due(keeper, next_ms);
    return rc;
}

/* Say when we look next; what comes up earlier from now on kicks us. */
static void
publish(struct guaco_keeper *keeper, int64_t wake_ms)
{
    keeper->listener.topic.due_ms = wake_ms;
    (void)guaco__front_listen(keeper->broker, &keeper->listener, NULL);
}

/* Before the store is read, so that no change falls between. */
static bool
begin_round(struct guaco_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    bool is_stale = keeper->is_stale;
    keeper->is_stale = false;
    keeper->wake_ms = INT64_MAX;
    pthread_mutex_unlock(&keeper->lock);
    publish(keeper, INT64_MAX);
    return is_stale;
}

/* The next look, ours or one that we were told of meanwhile. */
static int64_t
end_round(struct guaco_keeper *keeper, int rc, bool is_stale, int64_t next_ms)
{
    if (rc != GUACO_OK)
        lower(&next_ms, guaco_broker_now_ms(keeper->broker) + KEEPER_RETRY_MS);
    pthread_mutex_lock(&keeper->lock);
    keeper->is_stale = keeper->is_stale || (rc != GUACO_OK && is_stale);
    lower(&keeper->wake_ms, next_ms);
    next_ms = keeper->wake_ms;
    pthread_mutex_unlock(&keeper->lock);
    publish(keeper, next_ms);
    return next_ms;
}

/* ---- waiting ---- */

static bool
is_shifted(const struct guaco_keeper *keeper)
{
    return keeper->clock.offset_ns != NULL;
}

/* `wake_ms` is the store's time.  By the kernel's wall clock, and also when
 * that is set. */
static void
arm(struct guaco_keeper *keeper, int64_t wake_ms)
{
    const struct guaco_clock kernels = {0};
    int64_t now_ms = guaco__clock_wall_ms(&kernels);
    int64_t shift_ms = guaco_broker_now_ms(keeper->broker) - now_ms;
    int64_t at_ms = wake_ms == INT64_MAX ? now_ms + 366LL * 24 * 3600 * 1000
                                         : wake_ms - shift_ms;

    if (is_shifted(keeper) && at_ms > now_ms + KEEPER_TEST_CLOCK_MS)
        at_ms = now_ms + KEEPER_TEST_CLOCK_MS;
    if (at_ms < 1)
        at_ms = 1; /* 0 would disarm */
    struct itimerspec when = {
        .it_value = {(time_t)(at_ms / 1000), (long)(at_ms % 1000) * 1000000}};
    (void)timerfd_settime(keeper->timer_fd,
                          TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when,
                          NULL);
}

static void
reap_ended(struct guaco_keeper *keeper, const struct pollfd *fds)
{
    for (size_t i = 0; i < keeper->owner_count; i++)
        if (fds[i].revents != 0)
            (void)guaco__keeper_reap(keeper, keeper->owners[i].id,
                                     keeper->owners[i].pid,
                                     keeper->owners[i].pidfd);
}

static void
drain_fd(int fd)
{
    uint64_t count;

    /* ECANCELED says that the clock was set: look again, as for any wake. */
    (void)!read(fd, &count, sizeof count);
}

/* Until `wake_ms`, a kick, or somebody's death. */
static void
wait_until(struct guaco_keeper *keeper, int64_t wake_ms)
{
    size_t n = keeper->owner_count;
    struct pollfd *fds = calloc(n + 2, sizeof *fds);

    if (fds == NULL) {
        (void)poll(NULL, 0, KEEPER_TEST_CLOCK_MS);
        return;
    }
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){keeper->owners[i].pidfd, POLLIN, 0};
    fds[n] = (struct pollfd){keeper->kick_fd, POLLIN, 0};
    fds[n + 1] = (struct pollfd){keeper->timer_fd, POLLIN, 0};
    arm(keeper, wake_ms);
    while (poll(fds, n + 2, -1) < 0 && errno == EINTR)
        continue;
    reap_ended(keeper, fds);
    if (fds[n].revents != 0)
        drain_fd(keeper->kick_fd);
    if (fds[n + 1].revents != 0)
        drain_fd(keeper->timer_fd);
    free(fds);
}

static int64_t
lead_ms(const struct guaco_keeper *keeper)
{
    return guaco__clock_wall_ms(&keeper->clock) -
           (int64_t)guaco__clock_boot_ms();
}

/* Whether the wall clock was set since the last look, but for what the steering
 * of ntpd and its like does to it. */
static void
note_jump(struct guaco_keeper *keeper)
{
    int64_t lead = lead_ms(keeper);
    int64_t by_ms = lead - keeper->lead_ms;

    keeper->lead_ms = lead;
    if (by_ms > -KEEPER_JUMP_MS && by_ms < KEEPER_JUMP_MS)
        return;
    guaco__log(keeper->log, GUACO_LOG_WARNING, "keeper",
               "the wall clock jumped %s; %s by_ms=%lld",
               by_ms > 0 ? "forward" : "back",
               by_ms > 0 ? "what came due is run, ticks as their catch_up says"
                         : "what is due waits for it, no tick fires twice",
               (long long)by_ms);
}

/* With a shifted clock the timer fires often; a round is due only at its
 * time. A death or a kick is a round in any case. */
static bool
is_due(struct guaco_keeper *keeper, int64_t wake_ms)
{
    return !is_shifted(keeper) ||
           guaco_broker_now_ms(keeper->broker) >= wake_ms;
}

static bool
should_stop(struct guaco_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    bool is_stopping = keeper->is_stopping;
    pthread_mutex_unlock(&keeper->lock);
    return is_stopping;
}

static int64_t
told_ms(struct guaco_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    int64_t wake_ms = keeper->wake_ms;
    pthread_mutex_unlock(&keeper->lock);
    return wake_ms;
}

static void *
keeper_main(void *arg)
{
    struct guaco_keeper *keeper = arg;

    (void)prctl(PR_SET_NAME, "guaco-keeper");
    while (!should_stop(keeper)) {
        int64_t next_ms = INT64_MAX;
        bool is_stale = begin_round(keeper);
        int rc = make_round(keeper, is_stale, &next_ms);
        int64_t wake_ms = end_round(keeper, rc, is_stale, next_ms);
        do {
            wait_until(keeper, wake_ms);
            note_jump(keeper);
        } while (!should_stop(keeper) && told_ms(keeper) >= wake_ms &&
                 !is_due(keeper, wake_ms));
    }
    return NULL;
}

/* ---- life ---- */

static int
open_fds(struct guaco_keeper *keeper, struct guaco_error *err)
{
    keeper->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    keeper->timer_fd =
        timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (keeper->kick_fd >= 0 && keeper->timer_fd >= 0)
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_IO, errno, "a keeper's descriptors");
}

static void
close_fds(struct guaco_keeper *keeper)
{
    if (keeper->kick_fd >= 0)
        close(keeper->kick_fd);
    if (keeper->timer_fd >= 0)
        close(keeper->timer_fd);
}

static int
start(struct guaco_keeper *keeper, struct guaco_error *err)
{
    sigset_t all, before;
    int rc = open_fds(keeper, err);

    if (rc == GUACO_OK)
        rc = guaco__clock_open(&keeper->clock, keeper->log, err);
    if (rc != GUACO_OK) {
        close_fds(keeper);
        return rc;
    }
    keeper->lead_ms = lead_ms(keeper);
    rc = guaco__front_listen(keeper->broker, &keeper->listener, err);
    if (rc == GUACO_OK) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int sys = pthread_create(&keeper->thread, NULL, keeper_main, keeper);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (sys == 0)
            return GUACO_OK;
        rc = guaco_fail(err, GUACO_E_IO, sys, "the keeper's thread");
        guaco__front_unlisten(keeper->broker, &keeper->listener);
    }
    guaco__clock_close(&keeper->clock);
    close_fds(keeper);
    return rc;
}

int
guaco_keeper_open(struct guaco_keeper **out, struct guaco_broker *broker,
                  const struct guaco_log *log, struct guaco_error *err)
{
    struct stat space = {0};

    *out = NULL;
    struct guaco_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "a keeper");
    keeper->broker = broker;
    keeper->log = log;
    keeper->is_stale = true;
    keeper->listener.topic.kind = GUACO__NOTICE_KEEPER;
    keeper->listener.wake = wake;
    guaco__list_init(&keeper->listener.link);
    pthread_mutex_init(&keeper->lock, NULL);
    (void)stat("/proc/self/ns/pid", &space);
    keeper->pid_space = space.st_ino;
    int rc = start(keeper, err);
    if (rc != GUACO_OK) {
        pthread_mutex_destroy(&keeper->lock);
        free(keeper);
        return rc;
    }
    *out = keeper;
    return GUACO_OK;
}

void
guaco_keeper_close(struct guaco_keeper *keeper)
{
    const uint64_t one = 1;

    if (keeper == NULL)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->is_stopping = true;
    pthread_mutex_unlock(&keeper->lock);
    (void)!write(keeper->kick_fd, &one, sizeof one);
    (void)pthread_join(keeper->thread, NULL);
    guaco__front_unlisten(keeper->broker, &keeper->listener);
    guaco__keeper_drop_owners(keeper);
    guaco__keeper_drop_recurs(keeper);
    guaco__clock_close(&keeper->clock);
    close_fds(keeper);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}
