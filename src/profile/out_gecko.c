/*
 * The Gecko profile format, version 24: tables of rows, each thread with its
 * own.  A stack is a row {prefix, frame} whose prefix is the row of its caller.
 */

#include "formats.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "place.h"
#include "tally_list.h"

#define NONE       UINT32_MAX
#define ROWS_BYTES ((size_t)1 << 30)

enum {
    CATEGORY_OTHER,
    CATEGORY_PROJECT,
    CATEGORY_PACKAGE,
    CATEGORY_STDLIB,
    CATEGORY_NATIVE,
    CATEGORIES
};

static const struct {
    const char *name, *colour;
} categories[CATEGORIES] = {
    {"Other", "grey"},  {"Project", "orange"}, {"Packages", "green"},
    {"Stdlib", "blue"}, {"Native", "purple"},
};

/* A row of the stack table, found by its node. */
struct stack_row {
    const struct guaco__tally_node *node;
    uint32_t index;
};

/* The tables of one thread. */
struct tables {
    struct guaco__arena arena; /* of stack rows */
    struct guaco__map by_node; /* of stack rows */
    struct guaco__buf stacks;  /* {prefix, frame}, two u32 a row */
    struct guaco__buf frames;  /* const struct guaco__place * */
    uint32_t *frame_of;        /* by place id; NONE: no frame yet */
    uint32_t stack_count, frame_count;
};

/* ---- collecting ------------------------------------------------------------------ */

static int
frame_get(struct tables *t, const struct guaco__place *place, uint32_t *frame)
{
    *frame = t->frame_of[place->id];
    if (*frame != NONE)
        return GUACO_OK;
    int rc = guaco__buf_append(&t->frames, &place, sizeof place);
    if (rc == GUACO_OK)
        *frame = t->frame_of[place->id] = t->frame_count++;
    return rc;
}

static int
row_add(struct tables *t, const struct guaco__tally_node *node, uint32_t prefix,
        uint32_t *index)
{
    struct stack_row *row = guaco__arena_alloc(&t->arena, sizeof *row);
    uint32_t pair[2] = {prefix, 0};

    if (row == NULL)
        return GUACO_E_NOMEM;
    row->node = node;
    int rc = frame_get(t, node->place, &pair[1]);
    if (rc == GUACO_OK)
        rc = guaco__buf_append(&t->stacks, pair, sizeof pair);
    if (rc != GUACO_OK)
        return rc;
    row->index = *index = t->stack_count++;
    struct guaco_slice key = {(const char *)&row->node, sizeof row->node};
    return guaco__map_put(&t->by_node, key, row);
}

/* The row of `leaf`, its callers' rows before it. */
static int
stack_get(struct tables *t, const struct guaco__tally_node *leaf,
          uint32_t *index)
{
    const struct guaco__tally_node *path[GUACO__TALLY_DEPTH_MAX];
    size_t count = 0;
    int rc = GUACO_OK;

    *index = NONE;
    for (; leaf->place != NULL; leaf = leaf->parent) {
        struct guaco_slice key = {(const char *)&leaf, sizeof leaf};
        const struct stack_row *row = guaco__map_get(&t->by_node, key);
        if (row != NULL) {
            *index = row->index;
            break;
        }
        path[count++] = leaf;
    }
    while (count > 0 && rc == GUACO_OK)
        rc = row_add(t, path[--count], *index, index);
    return rc;
}

static int
tables_init(struct tables *t, uint32_t place_count)
{
    memset(t, 0, sizeof *t);
    guaco__arena_init(&t->arena, (size_t)64 << 10, ROWS_BYTES);
    guaco__map_init(&t->by_node, ROWS_BYTES / sizeof(struct stack_row));
    guaco__buf_init(&t->stacks, ROWS_BYTES);
    guaco__buf_init(&t->frames, ROWS_BYTES);
    t->frame_of = malloc((place_count + 1u) * sizeof *t->frame_of);
    if (t->frame_of == NULL)
        return GUACO_E_NOMEM;
    memset(t->frame_of, 0xff, (place_count + 1u) * sizeof *t->frame_of);
    return GUACO_OK;
}

static void
tables_release(struct tables *t)
{
    free(t->frame_of);
    guaco__buf_release(&t->frames);
    guaco__buf_release(&t->stacks);
    guaco__map_release(&t->by_node);
    guaco__arena_release(&t->arena);
}

/* ---- writing --------------------------------------------------------------------- */

/* "name": {"schema": {"a": 0, "b": 1 ...}, "data": [ -- both stay open. */
static void
table_open(struct guaco__json_writer *w, const char *name,
           const char *const *columns)
{
    guaco__json_name(w, name);
    guaco__json_open(w, '{');
    guaco__json_name(w, "schema");
    guaco__json_open(w, '{');
    for (int64_t i = 0; columns[i] != NULL; i++) {
        guaco__json_name(w, columns[i]);
        guaco__json_put_int(w, i);
    }
    guaco__json_close(w, '}');
    guaco__json_name(w, "data");
    guaco__json_open(w, '[');
}

static void
table_close(struct guaco__json_writer *w)
{
    guaco__json_close(w, ']');
    guaco__json_close(w, '}');
}

static int
put_samples(struct guaco__json_writer *w, const struct guaco__report *report,
            const struct guaco__track *track, struct tables *t)
{
    static const char *const columns[] = {"stack", "time", "eventDelay", NULL};
    const struct guaco__moment *moments =
        guaco__timeline_moments(report->timeline);
    size_t count = guaco__timeline_count(report->timeline);
    int rc = GUACO_OK;

    table_open(w, "samples", columns);
    for (size_t i = 0; i < count && rc == GUACO_OK; i++) {
        uint32_t stack;
        if (moments[i].track != track)
            continue;
        rc = stack_get(t, moments[i].leaf, &stack);
        guaco__json_open(w, '[');
        guaco__json_put_int(w, stack);
        guaco__json_put_real(w, (double)moments[i].at_ns / 1e6);
        guaco__json_put_int(w, 0);
        guaco__json_close(w, ']');
    }
    table_close(w);
    return rc;
}

static void
put_stacks(struct guaco__json_writer *w, const struct tables *t)
{
    static const char *const columns[] = {"prefix", "frame", NULL};
    const uint32_t *rows = (const void *)guaco__buf_data(&t->stacks);

    table_open(w, "stackTable", columns);
    for (uint32_t i = 0; i < t->stack_count; i++) {
        guaco__json_open(w, '[');
        if (rows[2 * i] == NONE)
            guaco__json_put_null(w);
        else
            guaco__json_put_int(w, rows[2 * i]);
        guaco__json_put_int(w, rows[2 * i + 1]);
        guaco__json_close(w, ']');
    }
    table_close(w);
}

static int
category_of(const struct guaco__place *place)
{
    switch (guaco__place_origin(place)) {
    case GUACO__ORIGIN_PROJECT: return CATEGORY_PROJECT;
    case GUACO__ORIGIN_PACKAGE: return CATEGORY_PACKAGE;
    case GUACO__ORIGIN_STDLIB: return CATEGORY_STDLIB;
    case GUACO__ORIGIN_NATIVE: return CATEGORY_NATIVE;
    case GUACO__ORIGIN_NONE: return CATEGORY_OTHER;
    }
    return CATEGORY_OTHER;
}

/* The location of frame i is string i. */
static void
put_frames(struct guaco__json_writer *w, const struct tables *t)
{
    static const char *const columns[] = {
        "location",       "relevantForJS", "innerWindowID",
        "implementation", "line",          "column",
        "category",       "subcategory",   NULL};
    const struct guaco__place *const *places =
        (const void *)guaco__buf_data(&t->frames);

    table_open(w, "frameTable", columns);
    for (uint32_t i = 0; i < t->frame_count; i++) {
        guaco__json_open(w, '[');
        guaco__json_put_int(w, i);
        guaco__json_put_bool(w, false);
        guaco__json_put_int(w, 0);
        guaco__json_put_null(w);
        if (places[i]->line > 0)
            guaco__json_put_int(w, places[i]->line);
        else
            guaco__json_put_null(w);
        guaco__json_put_null(w);
        guaco__json_put_int(w, category_of(places[i]));
        guaco__json_put_int(w, 0);
        guaco__json_close(w, ']');
    }
    table_close(w);
}

/* "name (file:line)", by which the importer tells a function's file. */
static int
put_strings(struct guaco__json_writer *w, const struct tables *t)
{
    const struct guaco__place *const *places =
        (const void *)guaco__buf_data(&t->frames);
    struct guaco__buf text;
    int rc = GUACO_OK;

    guaco__buf_init(&text, (size_t)1 << 20);
    guaco__json_name(w, "stringTable");
    guaco__json_open(w, '[');
    for (uint32_t i = 0; i < t->frame_count && rc == GUACO_OK; i++) {
        const struct guaco__place *place = places[i];
        guaco__buf_reset(&text);
        rc = guaco__buf_append(&text, place->name.at, place->name.len);
        if (rc == GUACO_OK && place->file.len > 0)
            rc = guaco__buf_printf(&text, " (%.*s:%d)", (int)place->file.len,
                                   place->file.at,
                                   place->line > 0 ? (int)place->line : 1);
        guaco__json_put_slice(w, guaco__buf_slice(&text));
    }
    guaco__json_close(w, ']');
    guaco__buf_release(&text);
    return rc;
}

static void
put_about(struct guaco__json_writer *w, const struct guaco__track *track,
          struct guaco_slice name)
{
    static const char *const columns[] = {
        "name", "startTime", "endTime", "phase", "category", "data", NULL};

    guaco__json_name(w, "name");
    guaco__json_put_slice(w, name);
    guaco__json_name(w, "processType");
    guaco__json_put_text(w, "default");
    guaco__json_name(w, "pid");
    guaco__json_put_int(w, track->pid);
    guaco__json_name(w, "tid");
    guaco__json_put_int(w, track->native_id != 0 ? track->native_id
                                                 : (int64_t)track->index);
    guaco__json_name(w, "registerTime");
    guaco__json_put_int(w, 0);
    guaco__json_name(w, "unregisterTime");
    guaco__json_put_null(w);
    table_open(w, "markers", columns);
    table_close(w);
}

static int
put_thread(struct guaco__json_writer *w, const struct guaco__report *report,
           const struct guaco__track *track)
{
    struct tables t;
    struct guaco__buf name;

    guaco__buf_init(&name, 4096);
    int rc = tables_init(&t, report->tally->place_count);
    if (rc == GUACO_OK)
        rc = guaco__track_write(track, &name);
    guaco__json_open(w, '{');
    put_about(w, track, guaco__buf_slice(&name));
    if (rc == GUACO_OK)
        rc = put_samples(w, report, track, &t);
    put_stacks(w, &t);
    put_frames(w, &t);
    if (rc == GUACO_OK)
        rc = put_strings(w, &t);
    guaco__json_close(w, '}');
    tables_release(&t);
    guaco__buf_release(&name);
    return rc;
}

static void
put_empty(struct guaco__json_writer *w, const char *name)
{
    guaco__json_name(w, name);
    guaco__json_open(w, '[');
    guaco__json_close(w, ']');
}

static void
put_meta(struct guaco__json_writer *w, const struct guaco__report *report)
{
    static const char *const flags[] = {"stackwalk", "asyncstack",
                                        "presymbolicated"};

    guaco__json_name(w, "meta");
    guaco__json_open(w, '{');
    guaco__json_name(w, "version");
    guaco__json_put_int(w, 24);
    guaco__json_name(w, "interval"); /* ms */
    guaco__json_put_real(w, (double)report->period_ns / 1e6);
    guaco__json_name(w, "startTime");
    guaco__json_put_real(w, (double)report->begin_wall_ns / 1e6);
    guaco__json_name(w, "shutdownTime");
    guaco__json_put_null(w);
    guaco__json_name(w, "processType");
    guaco__json_put_int(w, 0);
    guaco__json_name(w, "product");
    guaco__json_put_slice(w, report->title.len > 0 ? report->title
                                                   : GUACO_SLICE("Python"));
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        guaco__json_name(w, flags[i]);
        guaco__json_put_int(w, 1);
    }
    guaco__json_name(w, "debug");
    guaco__json_put_int(w, 0);
    guaco__json_name(w, "gcpoison");
    guaco__json_put_int(w, 0);
    put_empty(w, "markerSchema");
    guaco__json_name(w, "categories");
    guaco__json_open(w, '[');
    for (size_t i = 0; i < CATEGORIES; i++) {
        guaco__json_open(w, '{');
        guaco__json_name(w, "name");
        guaco__json_put_text(w, categories[i].name);
        guaco__json_name(w, "color");
        guaco__json_put_text(w, categories[i].colour);
        guaco__json_name(w, "subcategories");
        guaco__json_open(w, '[');
        guaco__json_put_text(w, "Other");
        guaco__json_close(w, ']');
        guaco__json_close(w, '}');
    }
    guaco__json_close(w, ']');
    guaco__json_close(w, '}');
}

int
guaco__gecko_write(const struct guaco__report *report, struct guaco__buf *out)
{
    struct guaco__json_writer w;
    int rc = GUACO_OK;

    guaco__json_begin(&w, out);
    guaco__json_open(&w, '{');
    put_meta(&w, report);
    put_empty(&w, "libs");
    guaco__json_name(&w, "threads");
    guaco__json_open(&w, '[');
    for (const struct guaco__track *track = report->timeline->first;
         rc == GUACO_OK && track != NULL; track = track->next)
        rc = put_thread(&w, report, track);
    guaco__json_close(&w, ']');
    put_empty(&w, "processes");
    put_empty(&w, "pausedRanges");
    guaco__json_close(&w, '}');
    int end = guaco__json_end(&w);
    return rc == GUACO_OK ? end : rc;
}
