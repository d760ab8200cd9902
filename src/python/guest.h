#ifndef GUACO_PY_GUEST_H
#define GUACO_PY_GUEST_H

/*
 * A server inside another event loop than ours (asyncio's, uvloop's), its host.
 * It keeps a loop of its own, which the host runs
 *
 *     when the loop's descriptor is readable          (a reader of the host's)
 *     when its next timer is due                      (one timer of the host's)
 *     after something was set in it from a callback of the host's
 *                                                     (call_soon)
 *
 * so that nothing runs while nothing happens.  The host keeps the server alive
 * until guaco__guest_close(), or until the host itself is closed.
 *
 * Threads: the host loop's.
 */

#include "compat.h"

#include <stdbool.h>

#include "io/loop.h"

struct guaco_state;
struct guaco__guest; /* a Python object */

/* Of the open loop `host`, for `owner`, which close() forgets.  NULL with an
 * exception: MemoryError, guaco.Error, or the host's own. */
struct guaco__guest *
guaco__guest_new(struct guaco_state *st, PyObject *host, PyObject *owner);

/* Once everything in its loop is stopped; gives the reference up.  NULL is
 * ignored.  Not from inside of its turn: ask guaco__guest_is_running(). */
void guaco__guest_close(struct guaco__guest *guest);
bool guaco__guest_is_running(const struct guaco__guest *guest);

/* Its own loop. */
struct guaco__loop *guaco__guest_loop(const struct guaco__guest *guest);

/* Something was set in its loop: have a turn soon.  NULL, and a turn under
 * way, are fine.  Leaves an exception that is set as it is. */
void guaco__guest_touch(struct guaco__guest *guest);

/* As guaco__py_spawn().  Where the host allows nothing better, on 3.11, the
 * first step comes by the host's call_soon. */
PyObject *guaco__guest_spawn(struct guaco__guest *guest, PyObject *coro);

/* Take the exception that is set and raise it in the host after the turn. */
void guaco__guest_break(struct guaco__guest *guest);

/* Its type, added to the state: 0, or -1 with an exception. */
int guaco__guest_type_add(PyObject *module, struct guaco_state *st);

#endif
