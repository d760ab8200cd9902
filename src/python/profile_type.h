#ifndef GUACO_PY_PROFILE_TYPE_H
#define GUACO_PY_PROFILE_TYPE_H

#include "module.h"

/* Make guaco._core.Profile.  0, or -1 with an exception. */
int guaco__profile_type_add(PyObject *module, struct guaco_state *st);

#endif
