#ifndef GUACO_PROFILE_LOCALS_H
#define GUACO_PROFILE_LOCALS_H

/*
 * The local variables of a frame of the profiled process: names from its code
 * object, values from the frame.  The process runs on meanwhile, so that
 * values may be of the next moment; each is checked as all foreign memory is.
 */

#include <stdint.h>

#include "base/buf.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "layout.h"
#include "memory.h"
#include "stack.h"

#define GUACO__LOCALS_MAX 64 /* of a frame; further ones are left out */

/* One variable: both texts are borrowed until the call returns. */
typedef int
guaco__local_fn(void *ctx, struct guaco_slice name, struct guaco_slice value);

/*
 * Tell `fn` each variable that has a value, in the order of the function's
 * arguments and locals.  A failure of `fn` ends it.
 *
 * Returns 0 (also when the frame is gone, with nothing told), what `fn`
 * returned, or as guaco__value_write(); GUACO_E_UNSUPPORTED: a build without
 * the GIL.
 */
int guaco__locals_read(struct guaco__vmem *memory,
                       const struct guaco__layout *layout,
                       const struct guaco__frame *frame, guaco__local_fn *fn,
                       void *ctx);

#endif
