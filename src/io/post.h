#ifndef GUACO__IO_POST_H
#define GUACO__IO_POST_H

/*
 * Work that another thread hands to a loop; embedded in what it is about.
 * Posts run in the order in which they were sent.  The loop is waked by one
 * write to an eventfd for all that arrive before it is awake.
 */

#include <stdbool.h>

#include "base/list.h"
#include "guaco/error.h"

struct guaco__loop;

struct guaco__post {
    struct guaco__list link; /* private */
    void (*fn)(struct guaco__post *post);
};

void guaco__post_init(struct guaco__post *post,
                      void (*fn)(struct guaco__post *post));

/*
 * Have post->fn called on the loop's thread, in its next turn; a post that is
 * still queued stays in its place and is called once.  The memory is the
 * loop's until fn is called.  From any thread, while the loop has not been
 * freed; does not block but for a mutex held for a few instructions.
 *
 * Returns 0, or GUACO_E_CLOSED: guaco__post_close() was called.
 */
int guaco__post_send(struct guaco__loop *loop, struct guaco__post *post);

/* On the loop's thread: take a queued post back.  Returns false when it was not
 * queued: it never was, or fn has been called. */
bool guaco__post_cancel(struct guaco__loop *loop, struct guaco__post *post);

/* On the loop's thread: refuse posts from now on.  What is queued still runs
 * if the loop does. */
void guaco__post_close(struct guaco__loop *loop);

/* Wake the loop, from any thread and from signal handlers. */
void guaco__loop_wake(struct guaco__loop *loop);

#endif
