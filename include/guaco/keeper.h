#ifndef GUACO_KEEPER_H
#define GUACO_KEEPER_H

/*
 * The keeper: what a store needs done when nobody calls.  It makes delayed
 * tasks ready when they are due, fires recurring tasks, gives back the tasks
 * of processes that died (known by pidfd, within milliseconds), and drops
 * results whose time is over.
 *
 * `guaco _keeper URL` is one as a process; this is the same on a thread, for
 * programs that only start workers. Any number may keep one store: each thing
 * is done once. It sleeps until something is due, and is told when that comes
 * earlier.
 */

#include "guaco/broker.h"
#include "guaco/error.h"
#include "guaco/log.h"

#ifdef __cplusplus
extern "C" {
#endif

struct guaco_keeper;

/*
 * Start one on a thread of its own.  `broker` and `log` must live longer.
 * `log`, or NULL, is told of what its operator should know: the wall clock was
 * set by a second or more (due times follow it, catch_up decides about ticks
 * that were jumped over), or a test shifts it; on the caller's thread and on
 * the keeper's.
 *
 * Returns 0 and *out, or an error of the store.
 */
GUACO_API int
guaco_keeper_open(struct guaco_keeper **out, struct guaco_broker *broker,
                  const struct guaco_log *log, struct guaco_error *err);

/* Stop it and wait for what it is doing.  NULL is allowed. */
GUACO_API void guaco_keeper_close(struct guaco_keeper *keeper);

#ifdef __cplusplus
}
#endif

#endif
