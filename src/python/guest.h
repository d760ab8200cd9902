#ifndef GUACO_PY_GUEST_H
#define GUACO_PY_GUEST_H

/*
 * A server inside another event loop than ours (asyncio's, uvloop's): it keeps
 * a loop of its own, which the host runs for one turn when its descriptor is
 * readable, when its next timer is due, and when something was set from a
 * callback of the host (guaco/_guest.py is the other half).
 *
 * Threads: the host loop's.
 */

#include "compat.h"

#include <stdbool.h>

#include "guaco/error.h"
#include "io/loop.h"

struct guaco__guest {
    struct guaco__loop *loop;
    PyObject *wake;  /* wake(): have the host run a turn soon */
    PyObject *spawn; /* spawn(coro) -> Task, as eager as the host can */
    PyObject *error; /* what ends the host's run, raised after the turn */
    bool is_running; /* a turn: its end sends what is pending */
    bool is_waked;   /* and the turn has not come yet */
};

/* With its own loop; takes references of its own.  0 or -1, exception. */
int
guaco__guest_init(struct guaco__guest *guest, PyObject *wake, PyObject *spawn);
/* After the server was freed. */
void guaco__guest_release(struct guaco__guest *guest);

/* One turn.  -1 with what a Task's step raised to end the loop. */
int guaco__guest_run(struct guaco__guest *guest);

/* Something was set; NULL, and a turn under way, are fine. */
void guaco__guest_touch(struct guaco__guest *guest);

/* Take the exception that is set and raise it after the turn. */
void guaco__guest_break(struct guaco__guest *guest);

#endif
