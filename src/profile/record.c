/* Counting samples: from frames of a sample to places of the tally. */

#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asyncio.h"
#include "place.h"

#define PLACES_CACHED_MAX 2000000u
#define AROUND_MAX        (GUACO__TASKS_CHAIN_MAX + 2) /* beside the frames */

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
    int32_t pid; /* of the target */
    const struct guaco__place *stack[GUACO__STACK_DEPTH_MAX + AROUND_MAX];
    size_t depth; /* places in it */
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
    self->pid = options->pid;
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

static int
frames_add(struct guaco__record *record, const struct guaco__stack *stack)
{
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

/* The places of a sample into record->stack, the outermost first. */
static int
places_of(struct guaco__record *record,
          const struct guaco__thread_sample *sample)
{
    int rc = GUACO_OK;

    record->depth = 0;
    if (record->options.by_process)
        rc = process_add(record);
    for (size_t i = sample->task_count; rc == GUACO_OK && i-- > 0;)
        rc = task_add(record, sample->tasks[i]);
    if (rc == GUACO_OK)
        rc = frames_add(record, sample->stack);
    if (rc == GUACO_OK && record->options.by_state)
        rc = state_add(record, sample->state);
    return rc;
}

/* ---- one sample ----------------------------------------------------------------- */

/* Count record->stack, of `sample`'s thread or, if that is NULL, of none. */
static int
count_stack(struct guaco__record *record,
            const struct guaco__thread_sample *sample)
{
    struct guaco_slice none = {NULL, 0};
    struct guaco__timeline *timeline = record->options.timeline;
    const struct guaco__track *track;
    struct guaco__tally_node *leaf;

    int rc =
        guaco__tally_find(&record->tally, record->stack, record->depth, &leaf);
    if (rc == GUACO_OK && timeline != NULL)
        rc = guaco__timeline_track(
            timeline, record->pid, sample == NULL ? 0 : sample->thread_id,
            sample == NULL ? 0 : sample->native_id,
            sample == NULL ? none : sample->name, &track);
    if (rc == GUACO_OK && timeline != NULL)
        rc = guaco__timeline_add(timeline, record->at_ns, leaf, track);
    if (rc != GUACO_OK)
        return rc;
    leaf->self++;
    record->tally.samples++;
    return GUACO_OK;
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
    record->rc = places_of(record, sample);
    if (record->rc == GUACO_OK)
        record->rc = count_stack(record, sample);
}

static unsigned
wants_of(const struct guaco__record *record)
{
    const struct guaco__record_options *o = &record->options;

    return (o->running_only || o->by_state ? GUACO__WANT_STATES : 0u) |
           (o->timeline != NULL ? GUACO__WANT_NAMES : 0u) |
           (o->by_task ? GUACO__WANT_TASKS : 0u);
}

static int
sample_target(struct guaco__record *record, struct guaco__target *target)
{
    guaco__target_want(target, wants_of(record));
    int rc = guaco__target_sample(
        target,
        record->options.threads ? GUACO__SAMPLE_THREADS : GUACO__SAMPLE_HOLDERS,
        on_thread, record);
    return rc != GUACO_OK ? rc : record->rc;
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
