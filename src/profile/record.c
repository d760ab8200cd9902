/* Counting samples: from frames of a sample to places of the tally. */

#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "activity.h"
#include "place.h"

#define PLACES_CACHED_MAX 2000000u

/* What a frame was found to be, by its code object and offset. */
struct known {
    char key[12];
    const struct guaco__place *place;
};

struct guaco__record {
    struct guaco__target *target;
    struct guaco__record_options options;
    struct guaco__tally tally;
    struct guaco__arena arena;
    struct guaco__map known;
    const struct guaco__place *idle;
    const struct guaco__place *stack[GUACO__STACK_DEPTH_MAX];
    uint64_t at_ns;
    size_t told;    /* threads of the sample under way */
    bool is_active; /* one of them ran */
    struct guaco__record_counts counts;
    int rc; /* the first failure inside a callback */
};

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
    guaco__tally_init(&self->tally);
    guaco__arena_init(&self->arena, (size_t)64 << 10, (size_t)512 << 20);
    guaco__map_init(&self->known, PLACES_CACHED_MAX);
    int rc = guaco__tally_place(&self->tally, none, GUACO_SLICE("(idle)"), 0,
                                &self->idle);
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
    guaco__map_release(&record->known);
    guaco__arena_release(&record->arena);
    guaco__tally_release(&record->tally);
    free(record);
}

/* What was known goes by addresses of code objects. */
void
guaco__record_follow(struct guaco__record *record, struct guaco__target *target)
{
    record->target = target;
    guaco__map_release(&record->known);
    guaco__map_init(&record->known, PLACES_CACHED_MAX);
    guaco__arena_reset(&record->arena);
}

const struct guaco__record_counts *
guaco__record_counts(const struct guaco__record *record)
{
    return &record->counts;
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

/* The places of a stack into record->stack, the outermost first. */
static int
places_of(struct guaco__record *record, const struct guaco__stack *stack)
{
    for (size_t i = 0; i < stack->count; i++) {
        int rc = place_of(record, &stack->frames[stack->count - 1 - i],
                          &record->stack[i]);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

/* ---- one sample ----------------------------------------------------------------- */

/* Count record->stack, of `sample`'s thread or, if that is NULL, of none. */
static int
count_stack(struct guaco__record *record, size_t count,
            const struct guaco__thread_sample *sample)
{
    struct guaco__timeline *timeline = record->options.timeline;
    const struct guaco__track *track;
    struct guaco__tally_node *leaf;

    int rc = guaco__tally_find(&record->tally, record->stack, count, &leaf);
    if (rc == GUACO_OK && timeline != NULL)
        rc = guaco__timeline_track(timeline, record->options.pid,
                                   sample == NULL ? 0 : sample->thread_id,
                                   sample == NULL ? 0 : sample->native_id,
                                   (struct guaco_slice){NULL, 0}, &track);
    if (rc == GUACO_OK && timeline != NULL)
        rc = guaco__timeline_add(timeline, record->at_ns, leaf, track);
    if (rc != GUACO_OK)
        return rc;
    leaf->self++;
    record->tally.samples++;
    return GUACO_OK;
}

static bool
is_running(const struct guaco__record *record,
           const struct guaco__thread_sample *sample)
{
    if (sample->holds_gil)
        return true;
    int32_t native_id =
        guaco__thread_native_id(guaco__target_memory(record->target), sample);
    return guaco__thread_is_running(record->options.pid, native_id, false);
}

static void
on_thread(void *ctx, const struct guaco__thread_sample *sample)
{
    struct guaco__record *record = ctx;

    if (record->rc != GUACO_OK)
        return;
    record->told++;
    if (record->options.running_only && !is_running(record, sample))
        return;
    if (sample->holds_gil)
        record->counts.gil++;
    record->is_active = true;
    if (sample->stack->count == 0) /* runs, but no Python: starting, ending */
        return;
    record->rc = places_of(record, sample->stack);
    if (record->rc == GUACO_OK)
        record->rc = count_stack(record, sample->stack->count, sample);
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
    int rc = guaco__target_sample(
        record->target,
        record->options.threads ? GUACO__SAMPLE_THREADS : GUACO__SAMPLE_HOLDERS,
        on_thread, record);
    if (rc != GUACO_OK || record->rc != GUACO_OK)
        return rc != GUACO_OK ? rc : record->rc;
    record->counts.rounds++;
    record->counts.active += record->is_active;
    record->counts.threads = record->told;
    if (record->told > 0 || record->options.exclude_idle ||
        guaco__target_counts(record->target)->dropped != dropped)
        return GUACO_OK;
    record->stack[0] = record->idle;
    return count_stack(record, 1, NULL);
}
