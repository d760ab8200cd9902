/* Counting samples: from frames of a sample to places of the tally. */

#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asyncio.h"
#include "native.h"
#include "place.h"

#define PLACES_CACHED_MAX 2000000u
#define AROUND_MAX        (GUACO__TASKS_CHAIN_MAX + 3) /* beside the frames */

#define DEPTH_MAX \
    (GUACO__STACK_DEPTH_MAX + GUACO__NATIVE_DEPTH_MAX + AROUND_MAX)

/* What a frame was found to be, by its code object and offset. */
struct known {
    char key[12];
    const struct guaco__place *place;
};

/* What a target's C frames are taken with. */
struct native_of {
    const struct guaco__target *target;
    struct guaco__native *native; /* NULL: not possible */
    struct native_of *next;
};

struct guaco__record {
    struct guaco__target *target;
    struct guaco__record_options options;
    struct guaco__tally tally;
    struct guaco__arena arena;
    struct guaco__map known;
    const struct guaco__place *idle;
    struct guaco__labels *labels; /* NULL: samples have none */
    struct native_of *natives;    /* of targets that were sampled */
    /* The stack with its C frames, or NULL; of the sample under way. */
    const struct guaco__mixed_frame *mixed;
    size_t mixed_count;
    int32_t pid; /* of the target */
    const struct guaco__place *stack[DEPTH_MAX];
    size_t depth;    /* places in it */
    size_t label_at; /* which of them is the label */
    uint64_t at_ns;
    size_t told;    /* threads of the sample under way */
    bool is_active; /* one of them ran */
    struct guaco__record_counts counts;
    struct guaco__record_counts ended; /* C frames of targets that are gone */
    int rc;                            /* the first failure inside a callback */
};

/* ---- C frames ----------------------------------------------------------------- */

static void
count_stops(struct guaco__record_counts *counts,
            const struct guaco__native *native)
{
    const struct guaco__freezer *stops = guaco__native_stops(native);

    counts->bare += guaco__native_bare(native);
    counts->stops += stops->stops;
    counts->stopped_ns += stops->total_ns;
    if (stops->most_ns > counts->stopped_most_ns)
        counts->stopped_most_ns = stops->most_ns;
}

static void
natives_free(struct guaco__record *record)
{
    while (record->natives != NULL) {
        struct native_of *first = record->natives;
        record->natives = first->next;
        if (first->native != NULL)
            count_stops(&record->ended, first->native);
        guaco__native_free(first->native);
        free(first);
    }
}

static struct native_of *
native_find(struct guaco__record *record, const struct guaco__target *target)
{
    struct native_of *of = record->natives;

    while (of != NULL && of->target != target)
        of = of->next;
    return of;
}

/* Make ready for the target's C frames; a failure is remembered. */
static int
native_make(struct guaco__record *record, struct guaco_error *err)
{
    struct native_of *made = calloc(1, sizeof *made);

    if (made == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "C frames");
    made->target = record->target;
    made->next = record->natives;
    record->natives = made;
    return guaco__native_new(&made->native, record->target, record->pid, err);
}

int
guaco__record_native(struct guaco__record *record, struct guaco_error *err)
{
    return native_make(record, err);
}

/* Take the thread's stack again, with its C frames.  Returns as
 * guaco__native_take(). */
static int
native_take(struct guaco__record *record,
            const struct guaco__thread_sample *sample)
{
    const struct native_of *of = native_find(record, record->target);

    record->mixed = NULL;
    if (!record->options.native)
        return GUACO_OK;
    if (of != NULL && of->native != NULL)
        return guaco__native_take(of->native, sample, &record->mixed,
                                  &record->mixed_count);
    record->ended.bare++;
    return GUACO_OK;
}

/* ---- life ----------------------------------------------------------------------- */

int
guaco__record_new(struct guaco__record **record, struct guaco__target *target,
                  const struct guaco__record_options *options)
{
    struct guaco__record *self = calloc(1, sizeof *self);
    struct guaco_slice none = {NULL, 0};

    if (self == NULL)
        return GUACO_E_NOMEM;
    self->target = target;
    self->options = *options;
    self->pid = options->pid;
    guaco__tally_init(&self->tally);
    guaco__arena_init(&self->arena, (size_t)64 << 10, (size_t)512 << 20);
    guaco__map_init(&self->known, PLACES_CACHED_MAX);
    int rc = guaco__tally_place(&self->tally, none, GUACO_SLICE("(idle)"), 0,
                                &self->idle);
    if (rc == GUACO_OK && options->labels != NULL)
        rc = guaco__labels_new(&self->labels, options->labels);
    if (rc != GUACO_OK) {
        guaco__record_free(self);
        return rc;
    }
    *record = self;
    return GUACO_OK;
}

void
guaco__record_free(struct guaco__record *record)
{
    if (record == NULL)
        return;
    natives_free(record);
    guaco__labels_free(record->labels);
    guaco__map_release(&record->known);
    guaco__arena_release(&record->arena);
    guaco__tally_release(&record->tally);
    free(record);
}

void
guaco__record_follow(struct guaco__record *record, struct guaco__target *target)
{
    record->target = target;
    guaco__record_forget(record);
}

/* What was known goes by addresses of code objects. */
void
guaco__record_forget(struct guaco__record *record)
{
    natives_free(record);
    guaco__map_release(&record->known);
    guaco__map_init(&record->known, PLACES_CACHED_MAX);
    guaco__arena_reset(&record->arena);
    if (record->labels != NULL)
        guaco__labels_forget(record->labels);
}

const struct guaco__record_counts *
guaco__record_counts(struct guaco__record *record)
{
    struct guaco__record_counts *counts = &record->counts;

    counts->bare = record->ended.bare;
    counts->stops = record->ended.stops;
    counts->stopped_ns = record->ended.stopped_ns;
    counts->stopped_most_ns = record->ended.stopped_most_ns;
    for (const struct native_of *of = record->natives; of != NULL;
         of = of->next)
        if (of->native != NULL)
            count_stops(counts, of->native);
    return counts;
}

struct guaco__tally *
guaco__record_tally(struct guaco__record *record)
{
    return &record->tally;
}

/* ---- places ------------------------------------------------------------------- */

int32_t
guaco__frame_line(const struct guaco__layout *layout,
                  const struct guaco__frame *frame)
{
    int32_t line = 0;

    if (frame->offset >= 0)
        line = guaco__code_line(frame->code, layout, (uint32_t)frame->offset);
    if (line <= 0) /* a module's first instruction is on line 0 */
        line = frame->code->first_line;
    return line > 0 ? line : 1;
}

static int32_t
line_of(const struct guaco__record *record, const struct guaco__frame *frame)
{
    if (record->options.by_function)
        return 0;
    return guaco__frame_line(&guaco__target_runtime(record->target)->layout,
                             frame);
}

static int
place_find(struct guaco__record *record, const struct guaco__frame *frame,
           const struct guaco__place **place)
{
    struct known *known = guaco__arena_alloc(&record->arena, sizeof *known);

    if (known == NULL)
        return GUACO_E_NOMEM;
    memcpy(known->key, &frame->code, 8);
    memcpy(known->key + 8, &frame->offset, 4);
    int rc =
        guaco__tally_place(&record->tally, frame->code->file, frame->code->name,
                           line_of(record, frame), &known->place);
    if (rc == GUACO_OK)
        rc = guaco__map_put(&record->known,
                            (struct guaco_slice){known->key, sizeof known->key},
                            known);
    *place = known->place;
    return rc;
}

static int
place_of(struct guaco__record *record, const struct guaco__frame *frame,
         const struct guaco__place **place)
{
    char key[12];

    memcpy(key, &frame->code, 8);
    memcpy(key + 8, &frame->offset, 4);
    const struct known *known =
        guaco__map_get(&record->known, (struct guaco_slice){key, sizeof key});
    if (known == NULL)
        return place_find(record, frame, place);
    *place = known->place;
    return GUACO_OK;
}

static int
mixed_add(struct guaco__record *record)
{
    int rc = GUACO_OK;

    for (size_t i = record->mixed_count; rc == GUACO_OK && i-- > 0;) {
        const struct guaco__mixed_frame *frame = &record->mixed[i];
        const struct guaco__place **place = &record->stack[record->depth++];
        if (frame->python != NULL)
            rc = place_of(record, frame->python, place);
        else
            rc = guaco__tally_place(&record->tally, frame->native->file,
                                    frame->native->name, 0, place);
    }
    return rc;
}

static int
frames_add(struct guaco__record *record, const struct guaco__stack *stack)
{
    if (record->mixed != NULL)
        return mixed_add(record);
    for (size_t i = stack->count; i-- > 0;) {
        int rc = place_of(record, &stack->frames[i],
                          &record->stack[record->depth++]);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

/* A place that is no frame. */
static int
word_add(struct guaco__record *record, struct guaco_slice word)
{
    struct guaco_slice none = {NULL, 0};

    return guaco__tally_place(&record->tally, none, word, 0,
                              &record->stack[record->depth++]);
}

static int
task_add(struct guaco__record *record, struct guaco_slice name)
{
    char text[128];
    int most = name.len < 100 ? (int)name.len : 100;

    while (most > 0 && most < (int)name.len &&
           ((unsigned char)name.at[most] & 0xc0) == 0x80)
        most--; /* not inside a character */
    int len = snprintf(text, sizeof text, "task %.*s", most, name.at);
    for (int i = 0; i < len; i++)
        if (text[i] == ';' || (unsigned char)text[i] < ' ')
            text[i] = '_'; /* what separates frames and stacks */
    return word_add(record, (struct guaco_slice){text, (size_t)len});
}

static int
process_add(struct guaco__record *record)
{
    char text[32];
    int len = snprintf(text, sizeof text, "process %d", (int)record->pid);

    return word_add(record, (struct guaco_slice){text, (size_t)len});
}

static int
state_add(struct guaco__record *record, enum guaco__thread_state state)
{
    switch (state) {
    case GUACO__THREAD_WAITS:
        return word_add(record, GUACO_SLICE("(waits for the GIL)"));
    case GUACO__THREAD_RUNS:
        return word_add(record, GUACO_SLICE("(without the GIL)"));
    case GUACO__THREAD_IDLE: return word_add(record, GUACO_SLICE("(waits)"));
    case GUACO__THREAD_HOLDS:
    case GUACO__THREAD_UNKNOWN: break;
    }
    return GUACO_OK;
}

/* The label's place: it may be another's by the time it is known. */
static int
label_add(struct guaco__record *record, const char *text)
{
    if (record->labels == NULL)
        return GUACO_OK;
    record->label_at = record->depth;
    return word_add(record, (struct guaco_slice){text, strlen(text)});
}

/* The places of a sample into record->stack, the outermost first. */
static int
places_of(struct guaco__record *record,
          const struct guaco__thread_sample *sample, const char *label)
{
    int rc = GUACO_OK;

    record->depth = 0;
    if (record->options.by_process)
        rc = process_add(record);
    if (rc == GUACO_OK)
        rc = label_add(record, label);
    for (size_t i = sample->task_count; rc == GUACO_OK && i-- > 0;)
        rc = task_add(record, sample->tasks[i]);
    if (rc == GUACO_OK)
        rc = frames_add(record, sample->stack);
    if (rc == GUACO_OK && record->options.by_state)
        rc = state_add(record, sample->state);
    return rc;
}

/* ---- one sample ----------------------------------------------------------------- */

/* The track of `sample`'s thread or, if that is NULL, of none; NULL where no
 * order is kept. */
static int
track_of(struct guaco__record *record,
         const struct guaco__thread_sample *sample,
         const struct guaco__track **track)
{
    struct guaco_slice none = {NULL, 0};

    *track = NULL;
    if (record->options.timeline == NULL)
        return GUACO_OK;
    return guaco__timeline_track(record->options.timeline, record->pid,
                                 sample == NULL ? 0 : sample->thread_id,
                                 sample == NULL ? 0 : sample->native_id,
                                 sample == NULL ? none : sample->name, track);
}

static int
count_places(struct guaco__record *record,
             const struct guaco__place *const *places, size_t depth,
             const struct guaco__track *track, uint64_t at_ns)
{
    struct guaco__tally_node *leaf;

    int rc = guaco__tally_find(&record->tally, places, depth, &leaf);
    if (rc == GUACO_OK && track != NULL)
        rc = guaco__timeline_add(record->options.timeline, at_ns, leaf, track);
    if (rc != GUACO_OK)
        return rc;
    leaf->self++;
    record->tally.samples++;
    return GUACO_OK;
}

/* Count record->stack. */
static int
count_stack(struct guaco__record *record,
            const struct guaco__thread_sample *sample)
{
    const struct guaco__track *track;

    int rc = track_of(record, sample, &track);
    return rc != GUACO_OK ? rc
                          : count_places(record, record->stack, record->depth,
                                         track, record->at_ns);
}

/* Keep record->stack until the route of request `id` is known. */
static int
hold_stack(struct guaco__record *record,
           const struct guaco__thread_sample *sample, uint64_t id)
{
    const struct guaco__track *track;

    int rc = track_of(record, sample, &track);
    if (rc != GUACO_OK)
        return rc;
    struct guaco__held *held =
        guaco__labels_hold(record->labels, id, record->depth);
    if (held == NULL) /* it has the label of those that are never named */
        return guaco__labels_want_none(record->labels)
                   ? count_stack(record, sample)
                   : GUACO_OK;
    held->track = track;
    held->at_ns = record->at_ns;
    held->label_at = record->label_at;
    memcpy(held->places, record->stack,
           record->depth * sizeof(struct guaco__place *));
    return GUACO_OK;
}

/* Count what has got its label by now, or at the end all. */
static int
settle(struct guaco__record *record, bool is_end)
{
    struct guaco_slice none = {NULL, 0};
    char text[GUACO__LABEL_BYTES];
    struct guaco__held *held;
    int rc = GUACO_OK;

    while (rc == GUACO_OK && record->labels != NULL &&
           (held = guaco__labels_next(record->labels, is_end, text)) != NULL) {
        if (text[0] != '\0')
            rc = guaco__tally_place(&record->tally, none,
                                    (struct guaco_slice){text, strlen(text)}, 0,
                                    &held->places[held->label_at]);
        if (rc == GUACO_OK && text[0] != '\0')
            rc = count_places(record, held->places, held->depth, held->track,
                              held->at_ns);
        free(held);
    }
    return rc;
}

int
guaco__record_settle(struct guaco__record *record)
{
    int rc = settle(record, true);

    if (rc == GUACO_OK && record->labels != NULL &&
        record->options.timeline != NULL)
        guaco__timeline_sort(record->options.timeline);
    return rc;
}

static int
count_labelled(struct guaco__record *record,
               const struct guaco__thread_sample *sample)
{
    char text[GUACO__LABEL_BYTES] = "request unrouted";
    uint64_t id = 0;

    enum guaco__label_kind kind =
        guaco__labels_of(record->labels, sample->native_id, text, &id);
    record->counts.unsure += kind == GUACO__LABEL_UNSURE;
    if (kind == GUACO__LABEL_UNSURE || kind == GUACO__LABEL_UNWANTED ||
        (kind == GUACO__LABEL_NONE && !guaco__labels_want_none(record->labels)))
        return GUACO_OK;
    if (kind == GUACO__LABEL_NONE)
        snprintf(text, sizeof text, "(no request or task)");
    int rc = places_of(record, sample, text);
    if (rc != GUACO_OK)
        return rc;
    return kind == GUACO__LABEL_UNNAMED ? hold_stack(record, sample, id)
                                        : count_stack(record, sample);
}

static bool
is_running(const struct guaco__thread_sample *sample)
{
    return sample->holds_gil || sample->state == GUACO__THREAD_RUNS;
}

static void
on_thread(void *ctx, const struct guaco__thread_sample *sample)
{
    struct guaco__record *record = ctx;

    if (record->rc != GUACO_OK)
        return;
    record->told++;
    if (record->options.running_only && !is_running(sample))
        return;
    if (sample->holds_gil)
        record->counts.gil++;
    record->is_active = true;
    if (sample->stack->count == 0) /* runs, but no Python: starting, ending */
        return;
    int rc = native_take(record, sample);
    if (rc == GUACO_E_MISSING || rc == GUACO_E_LOST ||
        sample->stack->count == 0)
        return;
    if (rc != GUACO_OK) {
        record->rc = rc;
        return;
    }
    if (record->labels != NULL) {
        record->rc = count_labelled(record, sample);
        return;
    }
    record->rc = places_of(record, sample, NULL);
    if (record->rc == GUACO_OK)
        record->rc = count_stack(record, sample);
}

static unsigned
wants_of(const struct guaco__record *record)
{
    const struct guaco__record_options *o = &record->options;

    return (o->running_only || o->by_state ? GUACO__WANT_STATES : 0u) |
           (o->timeline != NULL ? GUACO__WANT_NAMES : 0u) |
           (o->native ? GUACO__WANT_HOST_IDS : 0u) |
           (o->by_task ? GUACO__WANT_TASKS : 0u);
}

static int
sample_target(struct guaco__record *record, struct guaco__target *target)
{
    guaco__target_want(target, wants_of(record));
    int rc = GUACO_OK;
    if (record->options.native && native_find(record, target) == NULL &&
        native_make(record, NULL) == GUACO_E_NOMEM)
        return GUACO_E_NOMEM;
    if (record->labels != NULL)
        rc = guaco__labels_look(record->labels, record->pid, target);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__target_sample(target,
                              record->options.threads ? GUACO__SAMPLE_THREADS
                                                      : GUACO__SAMPLE_HOLDERS,
                              on_thread, record);
    if (rc == GUACO_OK)
        rc = record->rc;
    return rc == GUACO_OK ? settle(record, false) : rc;
}

int
guaco__record_sample_of(struct guaco__record *record,
                        struct guaco__target *target, int32_t pid,
                        uint64_t at_ns)
{
    struct guaco__target *own = record->target;

    record->at_ns = at_ns;
    record->rc = GUACO_OK;
    record->target = target;
    record->pid = pid;
    int rc = sample_target(record, target);
    record->target = own;
    record->pid = record->options.pid;
    return rc;
}

int
guaco__record_sample(struct guaco__record *record, uint64_t at_ns)
{
    record->at_ns = at_ns;
    record->told = 0;
    record->is_active = false;
    record->rc = GUACO_OK;
    if (record->target == NULL)
        return GUACO_OK;
    uint64_t dropped = guaco__target_counts(record->target)->dropped;
    int rc = sample_target(record, record->target);
    if (rc != GUACO_OK)
        return rc;
    record->counts.rounds++;
    record->counts.active += record->is_active;
    record->counts.threads = record->told;
    if (record->told > 0 || record->options.exclude_idle ||
        guaco__target_counts(record->target)->dropped != dropped)
        return GUACO_OK;
    record->depth = 0;
    rc = record->options.by_process ? process_add(record) : GUACO_OK;
    record->stack[record->depth++] = record->idle;
    return rc == GUACO_OK ? count_stack(record, NULL) : rc;
}
