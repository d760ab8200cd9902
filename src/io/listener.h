#ifndef GUACO__IO_LISTENER_H
#define GUACO__IO_LISTENER_H

/*
 * A listening socket, TCP or Unix, in a loop.  Connections are accepted in
 * batches; what the owner does not want yet stays in the kernel's queue.  When
 * the process has no descriptor left, accepting rests for a moment instead of
 * spinning, and one line is logged.
 *
 * Threads: the loop's only.
 */

#include <stdbool.h>
#include <sys/socket.h>

#include "guaco/error.h"
#include "io/timer.h"
#include "io/watch.h"

struct guaco_log;
struct guaco__listener;

/*
 * A connection was accepted: `fd` (taken; non-blocking, close-on-exec, without
 * Nagle's delay) from `from`.  May pause or close the listener.
 */
typedef void guaco__accept_fn(struct guaco__listener *listener, int fd,
                              const struct sockaddr_storage *from);

/* Whether the owner wants a connection now; if not, other processes that listen
 * on the same socket have YIELD_MS to take it. */
typedef bool guaco__may_accept_fn(const struct guaco__listener *listener);

struct guaco__listener {
    struct guaco__watch watch; /* private, as all but fd and family */
    struct guaco__timer rest;
    const struct guaco_log *log;
    guaco__accept_fn *on_accept;
    guaco__may_accept_fn *may_accept; /* the owner's to set; NULL: always */
    int fd;                           /* -1 once closed */
    int family;                       /* AF_INET, AF_INET6 or AF_UNIX */
    bool is_paused;
    bool is_starved;  /* no descriptor was left; told in the log */
    bool has_yielded; /* the next connection is taken in any case */
};

/*
 * Check `fd` (taken), a bound and listening stream socket, and prepare it;
 * accepting begins with guaco__listener_resume().  `log` may be NULL and
 * outlives the listener.  Returns 0, GUACO_E_INVALID (not such a socket) or
 * GUACO_E_IO; on failure fd stays the caller's.
 */
int
guaco__listener_init(struct guaco__listener *listener, struct guaco__loop *loop,
                     int fd, const struct guaco_log *log,
                     guaco__accept_fn *on_accept, struct guaco_error *err);

/* Accept from now on.  Returns 0, GUACO_E_NOMEM or GUACO_E_IO. */
int guaco__listener_resume(struct guaco__listener *listener,
                           struct guaco_error *err);

/* Leave new connections in the kernel's queue. */
void guaco__listener_pause(struct guaco__listener *listener);

/* Close the socket; harmless when closed. */
void guaco__listener_close(struct guaco__listener *listener);

#endif
