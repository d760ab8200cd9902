/* speedscope's JSON: what of it is written is in formats.h. */

#include "formats.h"

#include "base/json.h"
#include "tally_list.h"

static void
put_frame(struct guaco__json_writer *w, const struct guaco__place *place)
{
    guaco__json_open(w, '{');
    guaco__json_name(w, "name");
    guaco__json_put_slice(w, place->name);
    if (place->file.len > 0) {
        guaco__json_name(w, "file");
        guaco__json_put_slice(w, place->file);
    }
    if (place->line > 0) {
        guaco__json_name(w, "line");
        guaco__json_put_int(w, place->line);
    }
    guaco__json_close(w, '}');
}

static void
put_frames(struct guaco__json_writer *w, const struct guaco__tally_list *list)
{
    guaco__json_name(w, "shared");
    guaco__json_open(w, '{');
    guaco__json_name(w, "frames");
    guaco__json_open(w, '[');
    for (uint32_t i = 0; i < list->place_count; i++)
        put_frame(w, list->places[i]);
    guaco__json_close(w, ']');
    guaco__json_close(w, '}');
}

static void
put_stack(struct guaco__json_writer *w, const struct guaco__tally_node *leaf)
{
    const struct guaco__place *places[GUACO__TALLY_DEPTH_MAX];
    size_t count = guaco__tally_path(leaf, places);

    guaco__json_open(w, '[');
    for (size_t i = 0; i < count; i++)
        guaco__json_put_int(w, places[i]->id);
    guaco__json_close(w, ']');
}

/* The samples of one track with their weights; their number. */
static uint64_t
put_samples(struct guaco__json_writer *w, const struct guaco__report *report,
            const struct guaco__track *track)
{
    const struct guaco__moment *moments =
        guaco__timeline_moments(report->timeline);
    size_t count = guaco__timeline_count(report->timeline);
    uint64_t own = 0;

    guaco__json_name(w, "samples");
    guaco__json_open(w, '[');
    for (size_t i = 0; i < count; i++)
        if (moments[i].track == track) {
            put_stack(w, moments[i].leaf);
            own++;
        }
    guaco__json_close(w, ']');
    guaco__json_name(w, "weights");
    guaco__json_open(w, '[');
    for (uint64_t i = 0; i < own; i++)
        guaco__json_put_int(w, (int64_t)report->period_ns);
    guaco__json_close(w, ']');
    return own;
}

static int
put_profile(struct guaco__json_writer *w, const struct guaco__report *report,
            const struct guaco__track *track)
{
    struct guaco__buf name;

    guaco__buf_init(&name, 4096);
    int rc = guaco__track_write(track, &name);
    guaco__json_open(w, '{');
    guaco__json_name(w, "type");
    guaco__json_put_text(w, "sampled");
    guaco__json_name(w, "name");
    guaco__json_put_slice(w, guaco__buf_slice(&name));
    guaco__json_name(w, "unit");
    guaco__json_put_text(w, "nanoseconds");
    guaco__json_name(w, "startValue");
    guaco__json_put_int(w, 0);
    uint64_t own = put_samples(w, report, track);
    guaco__json_name(w, "endValue");
    guaco__json_put_int(w, (int64_t)(own * report->period_ns));
    guaco__json_close(w, '}');
    guaco__buf_release(&name);
    return rc;
}

int
guaco__speedscope_write(const struct guaco__report *report,
                        struct guaco__buf *out)
{
    struct guaco__json_writer w;
    struct guaco__tally_list list;

    int rc = guaco__tally_list(report->tally, &list);
    if (rc == GUACO_OK) {
        guaco__json_begin(&w, out);
        guaco__json_open(&w, '{');
        guaco__json_name(&w, "$schema");
        guaco__json_put_text(
            &w, "https://www.speedscope.app/file-format-schema.json");
        guaco__json_name(&w, "exporter");
        guaco__json_put_text(&w, "guaco " GUACO_VERSION);
        guaco__json_name(&w, "name");
        guaco__json_put_slice(&w, report->title.len > 0 ? report->title
                                                        : report->subtitle);
        guaco__json_name(&w, "activeProfileIndex");
        guaco__json_put_int(&w, 0);
        put_frames(&w, &list);
        guaco__json_name(&w, "profiles");
        guaco__json_open(&w, '[');
        for (const struct guaco__track *track = report->timeline->first;
             rc == GUACO_OK && track != NULL; track = track->next)
            rc = put_profile(&w, report, track);
        guaco__json_close(&w, ']');
        guaco__json_close(&w, '}');
        int end = guaco__json_end(&w);
        rc = rc == GUACO_OK ? end : rc;
    }
    guaco__tally_list_release(&list);
    return rc;
}
