#ifndef GUACO_PY_LOOP_H
#define GUACO_PY_LOOP_H

/*
 * The event loop as the rest of the binding sees it.  guaco.loop.Loop is a
 * Python class whose first base is the C type here (guaco._core.LoopCore) and
 * whose second is the standard library's selector loop: what runs for each
 * callback, timer or ready descriptor is C; connection set-up is inherited.
 *
 * Threads: everything needs the interpreter; everything but guaco__py_call_soon
 * is for the loop's own thread.
 */

#include "compat.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "io/loop.h"
#include "spawn.h"

struct guaco_state;
struct guaco__fd_watch;

/*
 * One thing to be run.  With `context` it is a bare call: what(arg), or what()
 * if arg is NULL.  Without, `what` is a handle: ours, or any object with
 * _cancelled and _run().
 */
struct guaco__ready {
    PyObject *what;
    PyObject *arg;
    PyObject *context;
};

/* A queue in a ring that doubles. */
struct guaco__ready_ring {
    struct guaco__ready *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t head;
    size_t count;
};

typedef struct {
    PyObject_HEAD
    struct guaco__loop *loop; /* NULL once closed */
    struct guaco_state *st;   /* of the module that the type keeps alive */
    struct guaco__ready_ring ready;
    struct guaco__list timers;        /* of TimerHandleObject: the armed ones */
    struct guaco__fd_watch **watches; /* by descriptor; NULL: none */
    size_t watch_capacity;

    PyObject *error;                 /* what ends the run, or NULL */
    PyObject *task_factory;          /* or NULL */
    PyObject *current_handle;        /* debug mode: what runs now, or NULL */
    PyThreadState *detached;         /* while waiting */
    unsigned long thread_id;         /* of the running thread; 0: not running */
    PyObject *pinned;                /* set of those who live in it, or NULL */
    pthread_mutex_t threadsafe_lock; /* held while a threadsafe handle runs */

    struct guaco__spawner spawner;
    struct guaco__board_slot *slot; /* while it runs; NULL: nothing is told */
    bool is_waiting; /* the interpreter's lock is let go, or about to be */
    bool is_closed;
    bool is_debug;
} LoopObject;

/* Whether `object` is a loop of ours, so that the casts below are right. */
bool guaco__py_loop_check(const struct guaco_state *st, PyObject *object);

/* The loop underneath, or NULL once it is closed. */
static inline struct guaco__loop *
guaco__py_loop_of(PyObject *loop)
{
    return ((LoopObject *)loop)->loop;
}

/* For an object that has watches or timers of its own in the loop: the loop
 * keeps it alive, and refuses close() with RuntimeError, until it is unpinned.
 * -1 with RuntimeError: closed. */
int guaco__py_loop_pin(PyObject *loop, PyObject *user);
void guaco__py_loop_unpin(PyObject *loop, PyObject *user);

/*
 * Make `coro` a real asyncio.Task of `loop`, in a context of its own (a copy
 * of the current one), and run its first step before returning.  To be called
 * while the loop runs, with or without another task being stepped.
 *
 * A task factory that was set with set_task_factory() is honoured; its task
 * may then take its first step later.
 *
 * Returns a new reference: keep it while the task lives, a task that waits is
 * else only kept by what it waits for.  Its exception, if any, is in the task.
 * Returns NULL with an exception when there is no task, or when the step
 * raised SystemExit or KeyboardInterrupt: then call guaco__py_loop_break().
 */
PyObject *guaco__py_spawn(PyObject *loop, PyObject *coro);

/*
 * Run callback(arg), or callback() if arg is NULL, in `context` (NULL: a copy
 * of the current one) in the loop's next batch, as call_soon() does but without
 * a handle.  From any thread.  Returns 0, or -1 with MemoryError or
 * RuntimeError (closed).
 */
int guaco__py_call_soon(PyObject *loop, PyObject *callback, PyObject *arg,
                        PyObject *context);

/*
 * Call callback(arg) in `context` now, from C code that runs in the loop; what
 * it raises is reported as call_soon()'s callbacks are.
 */
void guaco__py_call_now(PyObject *loop, PyObject *callback, PyObject *arg,
                        PyObject *context);

/* Take the exception that is set and end the run with it. */
void guaco__py_loop_break(PyObject *loop);

#endif
