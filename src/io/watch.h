#ifndef GUACO__IO_WATCH_H
#define GUACO__IO_WATCH_H

/*
 * Readiness of one descriptor, level-triggered; embedded in what waits for it.
 *
 * A change of interest is a matter of system calls (libuv takes a descriptor
 * out of epoll and puts it back), so interest in reading is dropped lazily:
 * the descriptor stays registered until an unwanted event really arrives.
 * Pausing and resuming a reader, or one await of a socket after another, then
 * costs nothing in the kernel.
 *
 * Threads: the loop's only.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"

struct guaco__loop;
struct guaco__poll;

enum guaco__watch_event {
    GUACO__READABLE = 1, /* bytes, end of file, or an error to be read */
    GUACO__WRITABLE = 2, /* room, or an error */
    GUACO__HANGUP = 4,   /* the peer will send no more, or reset; tells a
                            paused reader */
};

struct guaco__watch {
    struct guaco__poll *poll; /* private; NULL while stopped */
    void (*fn)(struct guaco__watch *watch, unsigned events);
    unsigned interest; /* private */
    bool is_parked;    /* private */
};

/*
 * Watch the open descriptor `fd` for `events` (0: registered, nothing told);
 * fn is told what is ready and wanted, at most once a turn.  It may stop the
 * watch and free its memory.  The descriptor's blocking mode is not changed.
 *
 * Returns 0, GUACO_E_EXISTS (fd is watched by another), GUACO_E_UNSUPPORTED
 * (not a kind of file that can be waited for), GUACO_E_NOMEM or GUACO_E_IO; on
 * failure the watch is stopped.
 */
int guaco__watch_start(struct guaco__watch *watch, struct guaco__loop *loop,
                       int fd, unsigned events,
                       void (*fn)(struct guaco__watch *watch, unsigned events),
                       struct guaco_error *err);

/* Change what is told.  Returns 0, or GUACO_E_IO if the kernel refuses; then
 * the interest is as before. */
int guaco__watch_set(struct guaco__watch *watch, unsigned events);

/*
 * Tell nothing, and keep the registration for a guaco__watch_set() to come, but
 * give it up (the watch is stopped) if another watch of the same number is
 * started.  So fd may be closed without a word; whoever parks has to find out
 * whether the number is still the same file before setting again.
 */
void guaco__watch_park(struct guaco__watch *watch);

/* End; to be called before fd is closed.  Harmless when stopped or zeroed. */
void guaco__watch_stop(struct guaco__watch *watch);

static inline bool
guaco__watch_is_started(const struct guaco__watch *watch)
{
    return watch->poll != NULL;
}

#endif
