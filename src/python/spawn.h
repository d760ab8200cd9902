#ifndef GUACO_PY_SPAWN_H
#define GUACO_PY_SPAWN_H

/*
 * Tasks whose first step runs at once: for loops of ours and for others.
 *
 * Threads: the loop's.
 */

#include "loop_state.h"

/* Of one loop.  Zero but for `loop` before the first task. */
struct guaco__spawner {
    PyObject *loop;     /* borrowed */
    PyObject *keywords; /* of Task(): a dict, or NULL */

    /* Up to 3.11, while a task is made: its first step. */
    PyObject *step;
    PyObject *context;
    bool is_capturing;

    /* The same, for a loop that is not ours: `trap` stands in for call_soon in
     * the loop's own attributes and calls guaco__spawner_capture().  Both are
     * NULL where that cannot be; the step then comes by call_soon. */
    PyObject *attributes;
    PyObject *trap;
};

/*
 * Make `coro` a real asyncio.Task of the loop, which is running, in a copy of
 * the current context, and run its first step.
 *
 * Gives the task.  NULL with an exception: there is no task, or its step raised
 * SystemExit or KeyboardInterrupt.
 */
PyObject *guaco__spawner_run(struct guaco__spawner *spawner,
                             struct guaco__loop_state *ls, PyObject *coro);

/* What stands in for call_soon was called: keep the step, if it is one, for
 * guaco__spawner_run().  False: call_soon is to do what it does. */
bool guaco__spawner_capture(struct guaco__spawner *spawner,
                            struct guaco__loop_state *ls, PyObject *callback,
                            PyObject *context);

/* Give the loop its call_soon back. */
void guaco__spawner_end_capture(struct guaco__spawner *spawner,
                                struct guaco__loop_state *ls);

int guaco__spawner_traverse(struct guaco__spawner *spawner, visitproc visit,
                            void *arg);
/* Whether `callback` is the first step of a task, as Task.__init__ gives it to
 * call_soon(). */
bool guaco__is_task_step(struct guaco__loop_state *ls, PyObject *callback);

void guaco__spawner_clear(struct guaco__spawner *spawner);

#endif
