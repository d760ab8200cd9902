/*
 * Chrome's trace events: what of it is written is in formats.h.
 *
 * A call is open from the first sample that shows it to the first that does
 * not; between two samples it is taken to have gone on, but not over a gap of
 * several periods.  Calls are told apart by function, not by line.
 */

#include "formats.h"

#include "base/json.h"
#include "tally_list.h"

#define GAP_PERIODS 3

struct trace {
    struct guaco__json_writer w;
    const struct guaco__report *report;
    const struct guaco__track *track;
    const struct guaco__place *open[GUACO__TALLY_DEPTH_MAX];
    const struct guaco__place *now[GUACO__TALLY_DEPTH_MAX];
    size_t open_count;
    uint64_t last_ns; /* of the last moment of this track */
};

/* The members that every event has; the object stays open. */
static void
event_open(struct trace *t, const char *phase, const char *name_key)
{
    guaco__json_open(&t->w, '{');
    guaco__json_name(&t->w, "ph");
    guaco__json_put_text(&t->w, phase);
    guaco__json_name(&t->w, "pid");
    guaco__json_put_int(&t->w, t->track->pid);
    guaco__json_name(&t->w, "tid");
    guaco__json_put_int(&t->w, t->track->native_id != 0
                                   ? t->track->native_id
                                   : (int64_t)t->track->index);
    guaco__json_name(&t->w, name_key);
}

static void
put_call(struct trace *t, const char *phase, uint64_t at_ns,
         const struct guaco__place *place)
{
    event_open(t, phase, "ts");
    guaco__json_put_int(&t->w, (int64_t)(at_ns / 1000));
    guaco__json_name(&t->w, "cat");
    guaco__json_put_text(&t->w, "python");
    guaco__json_name(&t->w, "name");
    guaco__json_put_slice(&t->w, place->name);
    if (*phase == 'B' && place->file.len > 0) {
        guaco__json_name(&t->w, "args");
        guaco__json_open(&t->w, '{');
        guaco__json_name(&t->w, "file");
        guaco__json_put_slice(&t->w, place->file);
        if (place->line > 0) {
            guaco__json_name(&t->w, "line");
            guaco__json_put_int(&t->w, place->line);
        }
        guaco__json_close(&t->w, '}');
    }
    guaco__json_close(&t->w, '}');
}

/* {"ph": "M", "name": "thread_name", "args": {"name": ...}} */
static void
put_name(struct trace *t, const char *what, struct guaco_slice name)
{
    event_open(t, "M", "name");
    guaco__json_put_text(&t->w, what);
    guaco__json_name(&t->w, "args");
    guaco__json_open(&t->w, '{');
    guaco__json_name(&t->w, "name");
    guaco__json_put_slice(&t->w, name);
    guaco__json_close(&t->w, '}');
    guaco__json_close(&t->w, '}');
}

static bool
is_same_function(const struct guaco__place *a, const struct guaco__place *b)
{
    return a == b || (guaco_slice_equals(a->file, b->file) &&
                      guaco_slice_equals(a->name, b->name));
}

/* Close what is open down to `depth` frames. */
static void
close_to(struct trace *t, size_t depth, uint64_t at_ns)
{
    while (t->open_count > depth)
        put_call(t, "E", at_ns, t->open[--t->open_count]);
}

static void
put_moment(struct trace *t, const struct guaco__moment *moment)
{
    uint64_t period_ns = t->report->period_ns;
    size_t count = guaco__tally_path(moment->leaf, t->now);
    size_t same = 0;

    if (moment->at_ns - t->last_ns > GAP_PERIODS * period_ns)
        close_to(t, 0, t->last_ns + period_ns);
    while (same < count && same < t->open_count &&
           is_same_function(t->open[same], t->now[same]))
        same++;
    close_to(t, same, moment->at_ns);
    while (t->open_count < count) {
        t->open[t->open_count] = t->now[t->open_count];
        put_call(t, "B", moment->at_ns, t->now[t->open_count++]);
    }
    t->last_ns = moment->at_ns;
}

static int
put_track(struct trace *t, const struct guaco__track *track)
{
    const struct guaco__moment *moments =
        guaco__timeline_moments(t->report->timeline);
    size_t count = guaco__timeline_count(t->report->timeline);
    struct guaco__buf name;

    t->track = track;
    t->last_ns = 0;
    guaco__buf_init(&name, 4096);
    int rc = guaco__track_write(track, &name);
    put_name(t, "thread_name", guaco__buf_slice(&name));
    for (size_t i = 0; i < count; i++)
        if (moments[i].track == track)
            put_moment(t, &moments[i]);
    close_to(t, 0, t->last_ns + t->report->period_ns);
    guaco__buf_release(&name);
    return rc;
}

int
guaco__chrome_write(const struct guaco__report *report, struct guaco__buf *out)
{
    struct trace t = {.report = report};
    int rc = GUACO_OK;

    guaco__json_begin(&t.w, out);
    guaco__json_open(&t.w, '{');
    guaco__json_name(&t.w, "displayTimeUnit");
    guaco__json_put_text(&t.w, "ms");
    guaco__json_name(&t.w, "otherData");
    guaco__json_open(&t.w, '{');
    guaco__json_name(&t.w, "title");
    guaco__json_put_slice(&t.w, report->title);
    guaco__json_name(&t.w, "version");
    guaco__json_put_text(&t.w, "guaco " GUACO_VERSION);
    guaco__json_close(&t.w, '}');
    guaco__json_name(&t.w, "traceEvents");
    guaco__json_open(&t.w, '[');
    for (const struct guaco__track *track = report->timeline->first;
         rc == GUACO_OK && track != NULL; track = track->next)
        rc = put_track(&t, track);
    guaco__json_close(&t.w, ']');
    guaco__json_close(&t.w, '}');
    int end = guaco__json_end(&t.w);
    return rc == GUACO_OK ? end : rc;
}
