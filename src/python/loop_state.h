#ifndef GUACO_PY_LOOP_STATE_H
#define GUACO_PY_LOOP_STATE_H

/* What the event loop keeps for one import of the module. */

#include "compat.h"

#include <stdbool.h>

struct guaco_state;

/* Names that the loop looks up. */
#define GUACO__LOOP_NAMES(X) \
    X(context)               \
    X(loop)                  \
    X(name)                  \
    X(eager_start)           \
    X(_repr_info)            \
    X(__repr__)              \
    X(__self__)              \
    X(_run)                  \
    X(_cancelled)            \
    X(_callback_failed)      \
    X(_slow_callback)        \
    X(call_soon)             \
    X(call_later)            \
    X(get_task_factory)      \
    X(data_received)         \
    X(get_buffer)            \
    X(buffer_updated)        \
    X(_read_ready__on_eof)   \
    X(_write_slowly)         \
    X(create_task)

struct guaco__loop_state {
    PyTypeObject *LoopType;
    PyTypeObject *HandleType;
    PyTypeObject *TimerHandleType;
    PyTypeObject *StreamIOType;

    PyObject *AsyncioHandle;           /* asyncio.Handle */
    PyObject *AsyncioTimerHandle;      /* asyncio.TimerHandle */
    PyObject *AsyncioThreadSafeHandle; /* before 3.14: asyncio.Handle */
    PyObject *Task;                    /* asyncio.Task */
    PyObject *Future;                  /* asyncio.Future */
    PyObject *base_create_task;        /* asyncio.BaseEventLoop.create_task */
    PyObject *extract_stack; /* asyncio.format_helpers.extract_stack */
    PyObject *enter_task;    /* asyncio._enter_task */
    PyObject *leave_task;    /* asyncio._leave_task */
    PyObject *current_task;  /* asyncio.current_task */
    PyObject *loop_keyword;  /* ("loop",) */
    PyObject *task_name;     /* of spawned tasks: one for all is cheaper
                                     than counting */

    /* The two callables by which a Task asks to be run; found when first
     * seen, see guaco__is_task_callback(). */
    PyTypeObject *task_step_type;
    const PyMethodDef *task_wakeup;

    /* Handles kept for reuse, linked through their first argument. */
    struct HandleObject *free_handles;
    unsigned free_handle_count;

#define X(name) PyObject *s_##name;
    GUACO__LOOP_NAMES(X)
#undef X
};

/* Parts of the module's exec, traverse and clear. */
int guaco__loop_state_init(PyObject *module, struct guaco_state *st);
int guaco__loop_state_traverse(struct guaco__loop_state *ls, visitproc visit,
                               void *arg);
void guaco__loop_state_clear(struct guaco__loop_state *ls);

/* Import what the loop needs of asyncio; done by the first loop, so that
 * importing the module does not cost it.  0, or -1 with an exception. */
int guaco__loop_state_import(struct guaco__loop_state *ls);

/* One type each, added to the state: 0, or -1 with an exception. */
int guaco__loop_type_add(PyObject *module, struct guaco_state *st);
int guaco__handle_type_add(PyObject *module, struct guaco_state *st);
int guaco__timer_handle_type_add(PyObject *module, struct guaco_state *st);
int guaco__stream_io_type_add(PyObject *module, struct guaco_state *st);

#endif
