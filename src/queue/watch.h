#ifndef GUACO_QUEUE_WATCH_H
#define GUACO_QUEUE_WATCH_H

/* Those who wait for news: a thread, or a watch and an async put, as the hub
 * sees them. */

#include "front.h"

/* A thread that waits for a topic; from begin to end it is told. */
struct guaco__waiter {
    struct guaco__listener listener;
    pthread_cond_t woken;
    bool is_woken;
};

int
guaco__waiter_begin(struct guaco_broker *broker, struct guaco__waiter *waiter,
                    uint64_t topic, struct guaco_error *err);
/* Until it is told (true) or end_ns of the monotonic clock. */
bool guaco__waiter_sleep(struct guaco_broker *broker,
                         struct guaco__waiter *waiter, uint64_t end_ns);
void
guaco__waiter_end(struct guaco_broker *broker, struct guaco__waiter *waiter);

struct guaco_watch {
    struct guaco_broker *broker;
    struct guaco__listener listener;
    struct guaco__list pending_link; /* in hub.pending */
    uint32_t after;
    bool take;
    bool is_over; /* its last call was made */
    bool is_gone; /* ended from inside its own call: the hub frees it */
    guaco_watch_fn *fn;
    void *ctx;
};

struct guaco__request {
    struct guaco__list link;
    struct guaco__puts puts;
    guaco_put_done *done;
    void *ctx;
    uint64_t ids[]; /* puts.n of them */
};

#endif
