#ifndef GUACO__SERVER_STATUS_H
#define GUACO__SERVER_STATUS_H

#include "guaco/slice.h"

/* The reason phrase of a status (the IANA registry), "Unknown" for one that
 * has none.  Lives for ever. */
struct guaco_slice guaco__status_reason(int status);

#endif
