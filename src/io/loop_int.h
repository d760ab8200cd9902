#ifndef GUACO__IO_LOOP_INT_H
#define GUACO__IO_LOOP_INT_H

/* What the files of the loop share; no file outside of src/io includes this. */

#include <pthread.h>
#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "loop.h"

struct guaco__loop {
    uv_loop_t uv;
    uint64_t now_ns;
    struct guaco__loop_host host;
    struct guaco__loop_pulse pulse;
    struct guaco__list hooks; /* of struct guaco__turn_hook */

    struct guaco__heap timers;
    uint64_t timer_serial;
    bool is_firing;    /* in guaco__timers_run() */
    uint64_t armed_ns; /* what `wake_timer` is set to; UINT64_MAX: stopped */
    uv_timer_t wake_timer;

    uv_async_t wake;
    pthread_mutex_t post_lock;
    struct guaco__list posts; /* under post_lock, as the next one */
    bool is_post_closed;
    struct guaco__list batch; /* posts taken over for this turn */

    unsigned unpolled;        /* turns since the last poll */
    struct guaco__list fresh; /* polls that the kernel is not told of yet */

    bool is_running;
    bool is_stopping;
    bool is_awake;    /* the next wait does not block */
    bool is_detached; /* between the host's before_wait and after_wait */
    bool is_abandoned;
};

/* To be called first in whatever libuv calls: takes the host back. */
void guaco__loop_attach(struct guaco__loop *loop);

void guaco__timers_init(struct guaco__loop *loop);

/* Run what is due at loop->now_ns. */
void guaco__timers_run(struct guaco__loop *loop);

/* The earliest deadline, UINT64_MAX when there is none. */
uint64_t guaco__timers_next_ns(struct guaco__loop *loop);

/* Run what was posted before now. */
void guaco__posts_run(struct guaco__loop *loop);

/* To be called before a poll: disarm what was closed since it was armed. */
void guaco__watches_check(struct guaco__loop *loop);

/* Forget what is queued. */
void guaco__posts_drop(struct guaco__loop *loop);

#endif
