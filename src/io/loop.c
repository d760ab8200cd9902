/*
 * The loop's life and its turn.
 *
 * libuv is asked to run once a turn and only collects there: watches and posts
 * are called from inside of its poll, everything else from the turn, after it.
 * So the order of a turn is ours, libuv's idle, prepare and check handles (and
 * their cost) are not needed, and the host's lock can be dropped around the
 * poll alone: it is dropped before uv_run(), and whichever callback comes
 * first takes it back, see guaco__loop_attach().
 */

#include "loop_int.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "os/clock.h"
#include "timer.h"

static const uint64_t ns_per_ms = 1000000;

/* With work at hand the kernel is asked in every eighth turn only: a chain of
 * callbacks that schedule one another is else half system calls. */
static const unsigned unpolled_max = 7;

/* ---- life ---- */

static void
on_wake(uv_async_t *wake)
{
    struct guaco__loop *loop = wake->data;

    guaco__loop_attach(loop);
    guaco__posts_run(loop);
}

/*
 * It only ends the wait; what is due is found by the turn.  Before 1.45 libuv
 * runs timers ahead of the poll too, and would then wait without end: hence
 * the stop, which uv_run() forgets when it returns.
 */
static void
on_wake_timer(uv_timer_t *timer)
{
    struct guaco__loop *loop = timer->data;

    loop->armed_ns = UINT64_MAX;
    uv_stop(&loop->uv);
}

static int
init_uv(struct guaco__loop *loop)
{
    int rc = uv_loop_init(&loop->uv);
    if (rc < 0)
        return rc;
    rc = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (rc < 0) {
        uv_loop_close(&loop->uv);
        return rc;
    }
    uv_timer_init(&loop->uv, &loop->wake_timer);
    loop->uv.data = loop;
    loop->wake.data = loop;
    loop->wake_timer.data = loop;
    loop->armed_ns = UINT64_MAX;
    return 0;
}

int
guaco__loop_new(struct guaco__loop **out, struct guaco_error *err)
{
    struct guaco__loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "event loop");

    int rc = init_uv(loop);
    if (rc < 0) {
        free(loop);
        return guaco_fail(err, rc == UV_ENOMEM ? GUACO_E_NOMEM : GUACO_E_IO,
                          rc == UV_ENOMEM ? 0 : -rc, "event loop");
    }
    pthread_mutex_init(&loop->post_lock, NULL);
    guaco__list_init(&loop->hooks);
    guaco__list_init(&loop->posts);
    guaco__list_init(&loop->batch);
    guaco__list_init(&loop->fresh);
    guaco__timers_init(loop);
    loop->now_ns = guaco__clock_mono_ns();
    *out = loop;
    return GUACO_OK;
}

void
guaco__loop_free(struct guaco__loop *loop)
{
    if (loop == NULL)
        return;
    assert(!loop->is_running);
    assert(guaco__timers_next_ns(loop) == UINT64_MAX);

    guaco__posts_drop(loop);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->wake_timer, NULL);
    /* The handles of stopped watches are freed here too. */
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0); /* UV_EBUSY: a watch is still started */
    (void)rc;
    pthread_mutex_destroy(&loop->post_lock);
    free(loop);
}

void
guaco__loop_abandon(struct guaco__loop *loop)
{
    /* On failure the child has no epoll of its own; closing it all the same
     * does not reach the parent's. */
    (void)uv_loop_fork(&loop->uv);
    loop->is_abandoned = true;
}

/* ---- the turn ---- */

static void
beat(const struct guaco__loop *loop)
{
    if (loop->pulse.busy != NULL)
        loop->pulse.busy(loop->pulse.ctx, loop->now_ns);
}

static void
rest(const struct guaco__loop *loop)
{
    if (loop->pulse.idle != NULL)
        loop->pulse.idle(loop->pulse.ctx);
}

void
guaco__loop_attach(struct guaco__loop *loop)
{
    if (!loop->is_detached)
        return;
    loop->is_detached = false;
    loop->now_ns = guaco__clock_mono_ns();
    beat(loop); /* the host may have to wait for its lock */
    if (loop->host.after_wait != NULL)
        loop->host.after_wait(loop->host.ctx);
}

short
guaco__loop_poll(struct guaco__loop *loop, int fd, short events, int timeout_ms)
{
    const struct guaco__loop_host *host = &loop->host;
    struct pollfd wait = {.fd = fd, .events = events};
    int count;

    assert(!loop->is_detached);
    if (host->before_wait != NULL)
        host->before_wait(host->ctx);
    count = poll(&wait, 1, timeout_ms);
    if (host->after_wait != NULL)
        host->after_wait(host->ctx);
    return count > 0 ? wait.revents : 0;
}

/* Set libuv's one timer to the earliest deadline, rounded up to its
 * milliseconds. */
static void
arm_wake_timer(struct guaco__loop *loop)
{
    uint64_t next_ns = guaco__timers_next_ns(loop);

    if (next_ns == loop->armed_ns)
        return;
    loop->armed_ns = next_ns;
    if (next_ns == UINT64_MAX) {
        uv_timer_stop(&loop->wake_timer);
        return;
    }
    uint64_t now_ns = guaco__clock_mono_ns();
    uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    uint64_t wait_ms = wait_ns / ns_per_ms + (wait_ns % ns_per_ms != 0);
    uv_update_time(&loop->uv);
    int rc = uv_timer_start(&loop->wake_timer, on_wake_timer, wait_ms, 0);
    assert(rc == 0);
    (void)rc;
}

static bool
may_block(struct guaco__loop *loop, bool wait)
{
    if (!wait || loop->is_awake || loop->is_stopping)
        return false;
    return guaco__timers_next_ns(loop) > loop->now_ns;
}

static void
poll_uv(struct guaco__loop *loop, bool wait)
{
    bool block = may_block(loop, wait);

    loop->is_awake = false;
    if (block) {
        arm_wake_timer(loop);
        loop->is_detached = true;
        rest(loop);
        if (loop->host.before_wait != NULL)
            loop->host.before_wait(loop->host.ctx);
    }
    if (!block) {
        loop->now_ns = guaco__clock_mono_ns();
        beat(loop);
    }
    guaco__watches_check(loop);
    uv_run(&loop->uv, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    guaco__loop_attach(loop);
}

/* Each goes back to its list before it is called, so that hooks may remove
 * themselves and others. */
static void
run_hooks(struct guaco__loop *loop)
{
    struct guaco__list todo;
    struct guaco__list *link;

    guaco__list_init(&todo);
    guaco__list_splice(&todo, &loop->hooks);
    while ((link = guaco__list_shift(&todo)) != NULL) {
        struct guaco__turn_hook *hook =
            GUACO__OF(link, struct guaco__turn_hook, link);
        guaco__list_push(&loop->hooks, link);
        hook->fn(hook);
    }
}

static bool
may_skip_poll(struct guaco__loop *loop)
{
    return loop->is_awake && !loop->is_stopping &&
           loop->unpolled < unpolled_max;
}

static void
run_turn(struct guaco__loop *loop, bool wait)
{
    if (may_skip_poll(loop)) {
        loop->unpolled++;
        loop->is_awake = false;
    } else {
        loop->unpolled = 0;
        poll_uv(loop, wait);
    }
    if (guaco__heap_min(&loop->timers) != NULL) {
        loop->now_ns = guaco__clock_mono_ns();
        guaco__timers_run(loop);
    }
    if (loop->host.work != NULL)
        loop->host.work(loop->host.ctx);
    run_hooks(loop);
}

int
guaco__loop_run(struct guaco__loop *loop, enum guaco__loop_mode mode)
{
    if (loop->is_running || loop->is_abandoned)
        return GUACO_E_STATE;
    loop->is_running = true;
    loop->unpolled = unpolled_max; /* a run begins with a poll */
    do {
        run_turn(loop, mode != GUACO__LOOP_NOWAIT);
    } while (mode == GUACO__LOOP_UNTIL_STOPPED && !loop->is_stopping &&
             !loop->is_abandoned);
    rest(loop);
    loop->is_stopping = false;
    loop->is_running = false;
    return loop->is_abandoned ? GUACO_E_STATE : GUACO_OK;
}

void
guaco__loop_stop(struct guaco__loop *loop)
{
    loop->is_stopping = true;
}

bool
guaco__loop_is_running(const struct guaco__loop *loop)
{
    return loop->is_running;
}

uint64_t
guaco__loop_now_ns(const struct guaco__loop *loop)
{
    return loop->now_ns;
}

void
guaco__loop_keep_awake(struct guaco__loop *loop)
{
    loop->is_awake = true;
}

/* ---- host, hooks, guest ---- */

void
guaco__loop_set_host(struct guaco__loop *loop,
                     const struct guaco__loop_host *host)
{
    assert(!loop->is_detached);
    loop->host = host != NULL ? *host : (struct guaco__loop_host){0};
}

void
guaco__loop_set_pulse(struct guaco__loop *loop,
                      const struct guaco__loop_pulse *pulse)
{
    loop->pulse = pulse != NULL ? *pulse : (struct guaco__loop_pulse){0};
}

void
guaco__turn_hook_add(struct guaco__loop *loop, struct guaco__turn_hook *hook,
                     void (*fn)(struct guaco__turn_hook *hook))
{
    hook->fn = fn;
    guaco__list_init(&hook->link);
    guaco__list_push(&loop->hooks, &hook->link);
}

void
guaco__turn_hook_remove(struct guaco__turn_hook *hook)
{
    if (hook->link.next != NULL)
        guaco__list_remove(&hook->link);
}

int
guaco__loop_backend_fd(const struct guaco__loop *loop)
{
    return uv_backend_fd(&loop->uv);
}

/* libuv asks to be run, by a timeout of 0, when it has a descriptor that it did
 * not tell the kernel of, or a closed handle to finish. */
uint64_t
guaco__loop_backend_due_ns(struct guaco__loop *loop)
{
    if (loop->is_awake || loop->is_stopping ||
        uv_backend_timeout(&loop->uv) == 0)
        return 0;
    return guaco__timers_next_ns(loop);
}
