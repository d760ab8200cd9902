#ifndef GUACO_PY_SERVER_OPTIONS_H
#define GUACO_PY_SERVER_OPTIONS_H

/* Options of Server that are lists: what stands in front of the application. */

#include "compat.h"

#include "server/server.h"

/* Read them from the dict `options` into *into, which is the caller's to
 * release (statics) until a server has taken it, after a failure too.  Returns
 * 0, or -1 with a ValueError that names the option, or a TypeError. */
int
guaco__py_front_options(PyObject *options, struct guaco__server_options *into);

#endif
