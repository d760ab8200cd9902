#ifndef GUACO__SERVER_DEADLINE_H
#define GUACO__SERVER_DEADLINE_H

/*
 * The timeouts of all connections of a server, coarse and cheap.  A kind of
 * timeout has one length, so its deadlines, in the order in which they were
 * set, are in order of time: one list a kind, set and clear are O(1), and the
 * earliest is the first of some list.  One timer serves them all.  It is armed
 * for the earliest deadline and not moved when that one is cleared or set
 * again, so a busy connection costs nothing and an idle server sleeps.
 *
 * Threads: the loop's only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "io/timer.h"

enum guaco__deadline_kind {
    GUACO__DEADLINE_HANDSHAKE,
    GUACO__DEADLINE_HEAD,
    GUACO__DEADLINE_BODY,
    GUACO__DEADLINE_IDLE,
    GUACO__DEADLINE_SEND,
    GUACO__DEADLINE_LINGER,
    GUACO__DEADLINE_DRAIN,
    GUACO__DEADLINE_WS_PING,
    GUACO__DEADLINE_WS_PONG,
    GUACO__DEADLINE_WS_CLOSE,
    GUACO__DEADLINE_STREAM_BODY, /* the same of one stream of HTTP/2 */
    GUACO__DEADLINE_STREAM_SEND,
    GUACO__DEADLINE_STREAM_LINGER,
    GUACO__DEADLINE_STREAM_WS_PING,
    GUACO__DEADLINE_STREAM_WS_PONG,
    GUACO__DEADLINE_STREAM_WS_CLOSE,
    GUACO__DEADLINE_COUNT,
};

/* Embedded in what has a timeout; one of them is of one kind at a time. */
struct guaco__deadline {
    struct guaco__list link; /* private */
    uint64_t at_ms;          /* private */
    uint8_t kind;            /* enum guaco__deadline_kind; COUNT: not set */
};

struct guaco__deadlines {
    struct guaco__list lists[GUACO__DEADLINE_COUNT]; /* private */
    uint32_t lengths_ms[GUACO__DEADLINE_COUNT];      /* 0: never */
    struct guaco__timer timer;                       /* private */
    uint64_t armed_ms; /* private; UINT64_MAX: the timer is not armed */
    void (*on_expired)(struct guaco__deadlines *all,
                       struct guaco__deadline *deadline,
                       enum guaco__deadline_kind kind);
};

/* All lengths are 0; on_expired is told of a deadline that has just been
 * cleared.  `loop` may be NULL: then only guaco__deadlines_run() tells. */
void
guaco__deadlines_init(struct guaco__deadlines *all, struct guaco__loop *loop,
                      void (*on_expired)(struct guaco__deadlines *all,
                                         struct guaco__deadline *deadline,
                                         enum guaco__deadline_kind kind));

/* Disarm.  No deadline may be set. */
void guaco__deadlines_release(struct guaco__deadlines *all);

/* Not set. */
void guaco__deadline_init(struct guaco__deadline *deadline);

/* Expire lengths_ms[kind] after now_ms, in place of what was set. */
void guaco__deadline_set(struct guaco__deadlines *all,
                         struct guaco__deadline *deadline,
                         enum guaco__deadline_kind kind, uint64_t now_ms);

/* Harmless when it is not set. */
void guaco__deadline_clear(struct guaco__deadline *deadline);

static inline bool
guaco__deadline_is(const struct guaco__deadline *deadline,
                   enum guaco__deadline_kind kind)
{
    return deadline->kind == (uint8_t)kind;
}

/* Tell all that are due at now_ms. */
void guaco__deadlines_run(struct guaco__deadlines *all, uint64_t now_ms);

/* The earliest, in ms, or UINT64_MAX. */
uint64_t guaco__deadlines_next_ms(const struct guaco__deadlines *all);

#endif
