#ifndef GUACO_QUEUE_WATCH_H
#define GUACO_QUEUE_WATCH_H

/* A watch and an async put, as the hub sees them. */

#include "front.h"

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
