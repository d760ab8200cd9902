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

static void
put_stacks(struct guaco__json_writer *w, const struct guaco__tally_list *list,
           uint64_t period_ns)
{
    guaco__json_name(w, "samples");
    guaco__json_open(w, '[');
    for (size_t i = 0; i < list->stack_count; i++)
        put_stack(w, list->stacks[i]);
    guaco__json_close(w, ']');
    guaco__json_name(w, "weights");
    guaco__json_open(w, '[');
    for (size_t i = 0; i < list->stack_count; i++)
        guaco__json_put_int(w, (int64_t)(list->stacks[i]->self * period_ns));
    guaco__json_close(w, ']');
}

static void
put_profile(struct guaco__json_writer *w, const struct guaco__tally_list *list,
            struct guaco_slice name, uint64_t total_ns, uint64_t period_ns)
{
    guaco__json_open(w, '{');
    guaco__json_name(w, "type");
    guaco__json_put_text(w, "sampled");
    guaco__json_name(w, "name");
    guaco__json_put_slice(w, name);
    guaco__json_name(w, "unit");
    guaco__json_put_text(w, "nanoseconds");
    guaco__json_name(w, "startValue");
    guaco__json_put_int(w, 0);
    guaco__json_name(w, "endValue");
    guaco__json_put_int(w, (int64_t)total_ns);
    put_stacks(w, list, period_ns);
    guaco__json_close(w, '}');
}

int
guaco__speedscope_write(const struct guaco__tally *tally,
                        struct guaco_slice name, uint64_t period_ns,
                        struct guaco__buf *out)
{
    struct guaco__json_writer w;
    struct guaco__tally_list list;

    int rc = guaco__tally_list(tally, &list);
    if (rc == GUACO_OK) {
        guaco__json_begin(&w, out);
        guaco__json_open(&w, '{');
        guaco__json_name(&w, "$schema");
        guaco__json_put_text(
            &w, "https://www.speedscope.app/file-format-schema.json");
        guaco__json_name(&w, "exporter");
        guaco__json_put_text(&w, "guaco");
        guaco__json_name(&w, "name");
        guaco__json_put_slice(&w, name);
        put_frames(&w, &list);
        guaco__json_name(&w, "profiles");
        guaco__json_open(&w, '[');
        put_profile(&w, &list, name, tally->samples * period_ns, period_ns);
        guaco__json_close(&w, ']');
        guaco__json_close(&w, '}');
        rc = guaco__json_end(&w);
    }
    guaco__tally_list_release(&list);
    return rc;
}
