#ifndef GUACO_PROFILE_FORMATS_H
#define GUACO_PROFILE_FORMATS_H

/*
 * A tally in the forms of other programs.  Weights are samples times the time
 * between two of them.
 *
 * Both functions return as guaco__buf_append(), or GUACO_E_NOMEM.
 */

#include <stdint.h>

#include "base/buf.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "tally.h"

/*
 * speedscope's JSON (https://www.speedscope.app/file-format-schema.json): one
 * "sampled" profile, a sample for each distinct stack with its time in
 * nanoseconds.  `name` is what the page shows.
 */
int guaco__speedscope_write(const struct guaco__tally *tally,
                            struct guaco_slice name, uint64_t period_ns,
                            struct guaco__buf *out);

/*
 * pprof's protobuf (github.com/google/pprof, proto/profile.proto), not
 * compressed, which its readers accept.  Two values a stack: samples and wall
 * time in nanoseconds.
 */
int guaco__pprof_write(const struct guaco__tally *tally, uint64_t period_ns,
                       struct guaco__buf *out);

#endif
