/* pyflame's --flamechart: what of it is written is in formats.h. */

#include "formats.h"
#include "place.h"
#include "tally_list.h"

/* A stack ends in a semicolon; "(idle)" and its like, of no file, do not. */
static int
put_stack(const struct guaco__tally_node *leaf, struct guaco__buf *out)
{
    const struct guaco__place *places[GUACO__TALLY_DEPTH_MAX];
    size_t count = guaco__tally_path(leaf, places);
    int rc = GUACO_OK;

    for (size_t i = 0; rc == GUACO_OK && i < count; i++) {
        rc = guaco__place_write_folded(places[i], out);
        if (rc == GUACO_OK && (places[i]->file.len > 0 || count > 1))
            rc = guaco__buf_append_byte(out, ';');
    }
    return rc == GUACO_OK ? guaco__buf_append_byte(out, '\n') : rc;
}

int
guaco__chart_write(const struct guaco__report *report, struct guaco__buf *out)
{
    const struct guaco__moment *moments =
        guaco__timeline_moments(report->timeline);
    size_t count = guaco__timeline_count(report->timeline);
    int rc = GUACO_OK;

    for (size_t i = 0; rc == GUACO_OK && i < count; i++) {
        int64_t wall_ns = report->begin_wall_ns + (int64_t)moments[i].at_ns;
        rc = guaco__buf_printf(out, "%lld\n", (long long)(wall_ns / 1000));
        if (rc == GUACO_OK)
            rc = put_stack(moments[i].leaf, out);
    }
    return rc;
}
