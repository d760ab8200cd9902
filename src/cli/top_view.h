#ifndef GUACO__CLI_TOP_VIEW_H
#define GUACO__CLI_TOP_VIEW_H

/* What guaco top shows of a status (src/run/metrics.c), as lines of text; no
 * terminal in it. */

#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"

/* The last look, for rates; zeroed before the first. */
struct guaco__top_before {
    uint64_t at_ms;
    int64_t requests;
    int64_t bytes_out;
};

/*
 * Append the view of `status`, at most `rows` lines, each cut to `columns`, and
 * take note of it in *before.  `now_ms` is of any clock that does not step.
 * What comes from clients is shown without controls.  Returns 0, GUACO_E_PROTO
 * (not a status), GUACO_E_NOMEM or GUACO_E_LIMIT.
 */
int guaco__top_view(const struct guaco__json *status, uint64_t now_ms,
                    struct guaco__top_before *before, size_t rows,
                    size_t columns, struct guaco__buf *out);

#endif
