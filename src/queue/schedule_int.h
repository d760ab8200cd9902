#ifndef GUACO_QUEUE_SCHEDULE_INT_H
#define GUACO_QUEUE_SCHEDULE_INT_H

/* Schedules in a zone that is at hand already. */

#include "guaco/error.h"
#include "guaco/schedule.h"
#include "guaco/slice.h"

struct guaco__tz;

/*
 * As guaco_schedule_new(), without a search for the zone: takes `tz`.  Returns
 * 0, GUACO_E_INVALID or GUACO_E_NOMEM.  Never blocks.
 */
int guaco__schedule_new_in(struct guaco_schedule **schedule,
                           struct guaco_slice spec, struct guaco__tz *tz,
                           struct guaco_error *err);

#endif
