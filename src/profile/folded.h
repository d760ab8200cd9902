#ifndef GUACO_PROFILE_FOLDED_H
#define GUACO_PROFILE_FOLDED_H

/*
 * Folded stacks, the form that flame graph programs share:
 *
 *     outermost;...;leaf COUNT\n
 *
 * one line a distinct stack.  A semicolon inside a frame becomes a colon, a
 * line break a space.
 */

#include "base/buf.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "tally.h"

/* Append the whole tally.  Returns as guaco__buf_append(). */
int
guaco__folded_write(const struct guaco__tally *tally, struct guaco__buf *out);

/*
 * Add the stacks of folded text to a tally, a frame's whole text as the name
 * of a place.  Empty lines and those that begin with '#' are passed over.
 *
 * Returns 0; GUACO_E_PROTO (a line without a count: err says which);
 * GUACO_E_LIMIT (a stack of over 4096 frames, or the tally is full);
 * GUACO_E_NOMEM.
 */
int guaco__folded_read(struct guaco__tally *tally, struct guaco_slice text,
                       struct guaco_error *err);

/* The same as what the tally is compared with. */
int guaco__folded_read_before(struct guaco__tally *tally,
                              struct guaco_slice text, struct guaco_error *err);

#endif
