#ifndef GUACO_PROFILE_FLAMEGRAPH_H
#define GUACO_PROFILE_FLAMEGRAPH_H

/*
 * A flame graph: a tree of counted stacks as an SVG that is also a small
 * program.
 *
 * One `<g>` a frame with a title, a rectangle and a text, widths proportional
 * to samples, callers below (or above, as an icicle).  Siblings are in the
 * order of their names, so that two profiles of one program look alike, or in
 * that of time.  The script in the file zooms, searches and turns the picture
 * over; without it the picture is complete.
 *
 * Colours tell where code comes from; in a comparison, what has more (red) or
 * less (blue) of the samples than before, in itself and not in what it calls.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "tally.h"

struct guaco__flamegraph_options {
    struct guaco_slice title;      /* empty: "Flame Graph" */
    struct guaco_slice subtitle;   /* what was profiled; may be empty */
    struct guaco_slice count_name; /* "samples" */
    uint32_t width;                /* pixels, 300 to 100000; 0: 1200 */
    double min_width;              /* pixels; narrower frames are left out */
    bool is_icicle;                /* the root on top */
    bool in_time;                  /* children are in the order of time */
    bool is_diff;                  /* colour by what changed */
};

/*
 * Append the SVG of a tally to `out`.  Sorts the tree and sums it.  Returns 0,
 * GUACO_E_INVALID (the width), or as guaco__buf_append(); GUACO_E_NOMEM.
 */
int guaco__flamegraph_write(struct guaco__tally *tally,
                            const struct guaco__flamegraph_options *options,
                            struct guaco__buf *out);

/* The same of a tree whose totals are filled in, as it is. */
int guaco__flamegraph_draw(const struct guaco__tally_node *root,
                           const struct guaco__flamegraph_options *options,
                           struct guaco__buf *out);

#endif
