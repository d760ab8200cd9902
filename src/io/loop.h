#ifndef GUACO__IO_LOOP_H
#define GUACO__IO_LOOP_H

/*
 * An event loop: one libuv loop, one heap of timers with nanosecond deadlines,
 * descriptors that stay registered with the kernel, and a queue that other
 * threads post to.  A turn is
 *
 *     wait -> watches and posts -> due timers -> the host's work -> end hooks
 *
 * The wait blocks only when the turn before it left nothing to do; when it left
 * something, up to seven turns in a row do without asking the kernel.  The host
 * is the one party that owns the thread (the Python loop): it is told before
 * the thread may block and before the first callback after it, which is where
 * it drops and takes the interpreter's lock, once a turn.
 *
 * Threads: a loop belongs to the thread that runs it; every function of it, of
 * its timers and of its watches is called there, except guaco__post_send().
 * Callbacks may call everything here but guaco__loop_run() and _free.
 * Limits: descriptors and timers are the caller's memory; the loop allocates
 * only one small block for each watched descriptor.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "guaco/error.h"

struct guaco__loop;

enum guaco__loop_mode {
    GUACO__LOOP_UNTIL_STOPPED, /* turn after turn, until guaco__loop_stop() */
    GUACO__LOOP_ONCE,          /* one turn, which may wait */
    GUACO__LOOP_NOWAIT,        /* one turn, which does not wait */
};

/* Give a loop.  Returns 0, GUACO_E_NOMEM or GUACO_E_IO. */
int guaco__loop_new(struct guaco__loop **loop, struct guaco_error *err);

/* Free the loop.  No watch may be started and no timer armed; what was posted
 * and has not run is dropped.  NULL is ignored. */
void guaco__loop_free(struct guaco__loop *loop);

/* Run.  Returns 0, or GUACO_E_STATE (running already, or in a forked child). */
int guaco__loop_run(struct guaco__loop *loop, enum guaco__loop_mode mode);

/* End the present run after this turn, or, outside of a run, the next one
 * after its first turn, which then does not wait. */
void guaco__loop_stop(struct guaco__loop *loop);

bool guaco__loop_is_running(const struct guaco__loop *loop);

/* Monotonic nanoseconds as read at the last wake-up: what timers are judged
 * by.  Cheap; for the present instant ask os/clock.h. */
uint64_t guaco__loop_now_ns(const struct guaco__loop *loop);

/* The next wait of the loop will not block: there is work for the host or an
 * end hook.  Holds for one turn. */
void guaco__loop_keep_awake(struct guaco__loop *loop);

/* ---- the host ---- */

/* Any of the functions may be NULL.  `ctx` is passed to each. */
struct guaco__loop_host {
    void (*before_wait)(void *ctx); /* the thread may block now */
    void (*after_wait)(void *ctx);  /* awake, before the first callback */
    void (*work)(void *ctx);        /* once a turn, after the due timers */
    void *ctx;
};

/* Install the host, copied; NULL: none.  Not while the loop waits. */
void guaco__loop_set_host(struct guaco__loop *loop,
                          const struct guaco__loop_host *host);

/*
 * Block in the midst of a callback until one of poll(2)'s `events` of `fd` or an
 * error has come, a signal, or timeout_ms; the host is told as of any wait, so
 * that its other threads go on, and nothing else of the loop does.  Returns what
 * has come, 0 for nothing.
 */
short guaco__loop_poll(struct guaco__loop *loop, int fd, short events,
                       int timeout_ms);

/* ---- the pulse ---- */

/* Told when the loop goes on (after each wait, and in each turn that does not
 * wait) and when it is about to wait or ends its run: for who must find out
 * from outside that a turn does not end.  Called without the host's lock; does
 * little. */
struct guaco__loop_pulse {
    void (*busy)(void *ctx, uint64_t now_ns);
    void (*idle)(void *ctx);
    void *ctx;
};

/* Install it, copied; NULL: none. */
void guaco__loop_set_pulse(struct guaco__loop *loop,
                           const struct guaco__loop_pulse *pulse);

/* ---- end of turn ---- */

/* A function for the end of every turn, when pending writes leave; embedded. */
struct guaco__turn_hook {
    struct guaco__list link; /* private */
    void (*fn)(struct guaco__turn_hook *hook);
};

/* Hooks run in the order in which they were added. */
void
guaco__turn_hook_add(struct guaco__loop *loop, struct guaco__turn_hook *hook,
                     void (*fn)(struct guaco__turn_hook *hook));

/* Harmless when it was not added or is removed already, if zeroed before. */
void guaco__turn_hook_remove(struct guaco__turn_hook *hook);

/* ---- as a guest of another loop ---- */

/*
 * The host's loop watches this descriptor for reading, runs the guest with
 * GUACO__LOOP_NOWAIT when it is readable or at the instant below, and asks
 * again for that after each run and whenever a timer, a watch or a stop was
 * set from outside of a run.
 */
int guaco__loop_backend_fd(const struct guaco__loop *loop);

/* When the guest is to run although the descriptor is not readable, in
 * nanoseconds of the monotonic clock; 0: now, UINT64_MAX: never. */
uint64_t guaco__loop_backend_due_ns(struct guaco__loop *loop);

/* ---- fork ---- */

/* In a forked child: let go of the kernel's objects, which the parent shares,
 * so that freeing here does not disturb the parent.  The loop will not run any
 * more: GUACO_E_STATE. */
void guaco__loop_abandon(struct guaco__loop *loop);

#endif
