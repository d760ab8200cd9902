/* What to read of a thread: the plan, and how it follows what was met. */

#include "stack_int.h"

#include <assert.h>
#include <stdlib.h>

#define KEPT_MAX         1000000u
#define ARENA_BYTES      ((size_t)64 << 10)
#define ARENA_CAP        ((size_t)128 << 20)
#define SLACK_BYTES      512u /* read past the top: the next frames */
#define CHUNK_BYTES_MAX  ((uint64_t)1 << 20)
#define OUTSIDE_IDLE_MAX 16
#define LINE_BYTES       64 /* of the cache */

/* ---- the world ---------------------------------------------------------------- */

int
guaco__stack_world_new(struct guaco__stack_world **world,
                       struct guaco__vmem *memory,
                       const struct guaco__layout *layout)
{
    struct guaco__stack_world *self = calloc(1, sizeof *self);

    if (self == NULL)
        return GUACO_E_NOMEM;
    self->memory = memory;
    self->layout = layout;
    guaco__codes_init(&self->codes, memory, layout);
    guaco__arena_init(&self->arena, ARENA_BYTES, ARENA_CAP);
    guaco__map_init(&self->functions, KEPT_MAX);
    guaco__map_init(&self->sites, KEPT_MAX);
    *world = self;
    return GUACO_OK;
}

void
guaco__stack_world_free(struct guaco__stack_world *world)
{
    if (world == NULL)
        return;
    guaco__map_release(&world->sites);
    guaco__map_release(&world->functions);
    guaco__arena_release(&world->arena);
    guaco__codes_release(&world->codes);
    free(world);
}

struct guaco__codes *
guaco__stack_world_codes(struct guaco__stack_world *world)
{
    return &world->codes;
}

/* ---- a reader ------------------------------------------------------------------ */

int
guaco__stack_reader_new(struct guaco__stack_reader **reader,
                        struct guaco__stack_world *world, uint64_t thread)
{
    struct guaco__stack_reader *self = calloc(1, sizeof *self);

    if (self == NULL)
        return GUACO_E_NOMEM;
    self->world = world;
    self->thread = thread;
    self->thread_copy = calloc(1, world->layout->thread.size);
    if (has(world->layout->thread.frame))
        self->objects = guaco__frame_objects_new();
    else
        assert(world->layout->frame.localsplus <= GUACO__FRAME_BYTES_MAX);
    if (self->thread_copy == NULL ||
        (has(world->layout->thread.frame) && self->objects == NULL)) {
        guaco__stack_reader_free(self);
        return GUACO_E_NOMEM;
    }
    *reader = self;
    return GUACO_OK;
}

void
guaco__stack_reader_free(struct guaco__stack_reader *reader)
{
    if (reader == NULL)
        return;
    for (size_t i = 0; i < GUACO__STACK_CHUNKS_MAX; i++)
        free(reader->chunks[i].block);
    guaco__frame_objects_free(reader->objects);
    free(reader->thread_copy);
    free(reader);
}

const char *
guaco__stack_thread_bytes(const struct guaco__stack_reader *reader)
{
    return reader->thread_copy;
}

/* Have `bytes` of the chunk read next time. */
static int
chunk_want(struct chunk *chunk, size_t bytes)
{
    if (bytes > CHUNK_BYTES_MAX)
        return GUACO_E_LOST;
    if (bytes > chunk->room) {
        size_t room = chunk->room == 0 ? 4096 : chunk->room;
        while (room < bytes)
            room *= 2;
        char *block = realloc(chunk->block, room + LINE_BYTES - 1);
        if (block == NULL)
            return GUACO_E_NOMEM;
        chunk->block = block;
        chunk->copy = block + (0 - (uintptr_t)block) % LINE_BYTES;
        chunk->room = room;
    }
    chunk->planned = bytes;
    return GUACO_OK;
}

/* ---- the plan ------------------------------------------------------------------- */

static size_t
spans_needed(const struct guaco__stack_reader *r)
{
    return r->is_booted ? r->chunk_count + 3 + r->outside_count : 1;
}

/* Bytes [from, to) of the current chunk.  Lines that are not in this core's
 * cache would make the copy halt half-way, while the thread runs on. */
static struct guaco__span
part_of(struct chunk *chunk, size_t from, size_t to)
{
    memset(chunk->copy + from, 0, to - from);
    return (struct guaco__span){chunk->address + from, chunk->copy + from,
                                to - from};
}

static void
plan_chunks(struct guaco__stack_reader *reader, struct guaco__span *spans,
            size_t *count)
{
    struct chunk *chunk = &reader->chunks[0];
    const struct split *split = &reader->split;
    size_t end = chunk->planned;

    if (split->at != 0 && split->at < end) {
        if (!split->is_held)
            spans[(*count)++] = part_of(chunk, split->at, end);
        end = split->at;
    }
    spans[(*count)++] = part_of(chunk, 0, end);
    for (size_t i = 1; i < reader->chunk_count; i++)
        spans[(*count)++] = (struct guaco__span){reader->chunks[i].address,
                                                 reader->chunks[i].copy,
                                                 reader->chunks[i].planned};
}

int
guaco__stack_plan(struct guaco__stack_reader *reader, struct guaco__span *spans,
                  size_t *count, size_t most)
{
    const struct guaco__layout *l = reader->world->layout;

    if (reader->objects != NULL)
        return guaco__frame_objects_plan(reader, spans, count, most);
    if (spans_needed(reader) > most - *count)
        return GUACO_E_LIMIT;
    if (reader->is_booted)
        plan_chunks(reader, spans, count);
    spans[(*count)++] = (struct guaco__span){
        reader->thread, reader->thread_copy, l->thread.size};
    if (!reader->is_booted)
        return GUACO_OK;
    reader->cframe_is_fresh = reader->cframe != 0;
    if (reader->cframe_is_fresh)
        spans[(*count)++] = (struct guaco__span){
            reader->cframe, reader->cframe_copy, sizeof reader->cframe_copy};
    for (size_t i = 0; i < reader->outside_count; i++) {
        struct outside *outside = &reader->outside[i];
        outside->is_fresh = true;
        spans[(*count)++] = (struct guaco__span){
            outside->address, outside->copy, l->frame.localsplus};
    }
    return GUACO_OK;
}

const char *
guaco__stack_outside(struct guaco__stack_reader *reader, uint64_t address)
{
    for (size_t i = 0; i < reader->outside_count; i++) {
        struct outside *outside = &reader->outside[i];
        if (outside->address != address)
            continue;
        outside->idle = 0;
        return outside->is_fresh ? outside->copy : NULL;
    }
    if (reader->outside_count < GUACO__STACK_OUTSIDE_MAX)
        reader->outside[reader->outside_count++] =
            (struct outside){.address = address};
    return NULL;
}

/* Drop those that were not met for a while. */
static void
outside_age(struct guaco__stack_reader *reader)
{
    size_t kept = 0;

    for (size_t i = 0; i < reader->outside_count; i++)
        if (reader->outside[i].idle++ < OUTSIDE_IDLE_MAX)
            reader->outside[kept++] = reader->outside[i];
    reader->outside_count = kept;
}

void
guaco__stack_unreadable(struct guaco__stack_reader *reader)
{
    if (reader->objects != NULL)
        guaco__frame_objects_forget(reader->objects);
    reader->is_booted = false;
    reader->split = (struct split){.at = 0};
    reader->chunk_count = 0;
    reader->outside_count = 0;
    reader->cframe = 0;
}

/* ---- following the chunks --------------------------------------------------------- */

/* Make `address` the current chunk. */
static int
chunk_enter(struct guaco__stack_reader *reader, uint64_t address, uint64_t top)
{
    struct chunk *chunks = reader->chunks;
    size_t n = reader->chunk_count;

    reader->split = (struct split){.at = 0};
    if (top < address + CHUNK_DATA || top - address > CHUNK_BYTES_MAX)
        return GUACO_E_LOST;
    if (n > 1 && chunks[1].address == address) { /* the last one was left */
        struct chunk left = chunks[0];
        memmove(chunks, chunks + 1, (n - 1) * sizeof *chunks);
        chunks[n - 1] = left; /* keeps its memory */
        reader->chunk_count--;
    } else {
        if (n == GUACO__STACK_CHUNKS_MAX)
            return GUACO_E_LIMIT;
        struct chunk spare = chunks[n];
        memmove(chunks + 1, chunks, n * sizeof *chunks);
        chunks[0] = spare;
        chunks[0].address = address;
        reader->chunk_count++;
    }
    return chunk_want(&chunks[0], (size_t)(top - address) + SLACK_BYTES);
}

/* The chunk below chunk `i`, as that one's head says.  Returns 0 when it is
 * as planned, GUACO_E_AGAIN when it is to be read. */
static int
chunk_below(struct guaco__stack_reader *reader, size_t i)
{
    struct chunk *chunks = reader->chunks;
    uint64_t previous = word_at(chunks[i].copy, CHUNK_PREVIOUS);

    if (previous == 0) {
        reader->chunk_count = i + 1;
        return GUACO_OK;
    }
    if (i + 1 == GUACO__STACK_CHUNKS_MAX)
        return GUACO_E_LIMIT;
    if (i + 1 < reader->chunk_count && chunks[i + 1].address == previous) {
        uint64_t top = word_at(chunks[i + 1].copy, CHUNK_TOP);
        if (top > CHUNK_BYTES_MAX / 8)
            return GUACO_E_LOST;
        size_t used = CHUNK_DATA + (size_t)top * 8;
        if (used <= chunks[i + 1].planned)
            return GUACO_OK;
        int rc = chunk_want(&chunks[i + 1], used);
        return rc == GUACO_OK ? GUACO_E_AGAIN : rc;
    }
    int rc = chunk_want(&chunks[i + 1], CHUNK_DATA);
    if (rc != GUACO_OK)
        return rc;
    chunks[i + 1].address = previous;
    reader->chunk_count = i + 2;
    return GUACO_E_AGAIN;
}

static int
chunks_follow(struct guaco__stack_reader *reader)
{
    const struct guaco__layout *l = reader->world->layout;
    uint64_t current = word_at(reader->thread_copy, l->thread.datastack_chunk);
    uint64_t top = word_at(reader->thread_copy, l->thread.datastack_chunk + 8);

    if (current == 0)
        return GUACO_OK;
    if (!reader->is_booted || reader->chunk_count == 0 ||
        reader->chunks[0].address != current) {
        int rc = chunk_enter(reader, current, top);
        if (rc != GUACO_OK) { /* no chunk without a copy stays listed */
            guaco__stack_unreadable(reader);
            return rc;
        }
        reader->is_booted = true;
        return GUACO_E_AGAIN;
    }
    int rc = GUACO_OK;
    for (size_t i = 0; rc == GUACO_OK && i < reader->chunk_count; i++)
        rc = chunk_below(reader, i);
    return rc;
}

/* What the current chunk's next plan must hold. */
static int
chunk_adapt(struct guaco__stack_reader *reader)
{
    struct chunk *chunk = &reader->chunks[0];
    uint64_t size = word_at(chunk->copy, CHUNK_SIZE);
    uint64_t top = word_at(reader->thread_copy,
                           reader->world->layout->thread.datastack_chunk + 8);

    if (size < CHUNK_DATA || size > CHUNK_BYTES_MAX ||
        top < chunk->address + CHUNK_DATA || top - chunk->address > size)
        return GUACO_E_LOST;
    size_t want = (size_t)(top - chunk->address) + SLACK_BYTES;
    if (want < chunk->planned) /* shrinks slowly: stacks come back */
        want = chunk->planned - (chunk->planned - want) / 16;
    want = (want + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    if (want > size)
        want = (size_t)size;
    int rc = chunk_want(chunk, want);
    if (rc == GUACO_OK)
        guaco__stack_split(reader, top);
    return rc;
}

int
guaco__stack_decode(struct guaco__stack_reader *reader,
                    struct guaco__stack *stack)
{
    stack->count = 0;
    if (reader->objects != NULL)
        return guaco__frame_objects_decode(reader, stack);
    int rc = chunks_follow(reader);
    if (rc != GUACO_OK || reader->chunk_count == 0)
        return rc;
    rc = guaco__stack_walk(reader);
    if (rc == GUACO_OK) {
        rc = guaco__stack_settle(reader);
        if (rc == GUACO_E_AGAIN) /* its upper part stays as it is */
            return rc;
    }
    reader->split.is_held = false;
    if (rc == GUACO_OK)
        rc = guaco__stack_link(reader, stack);
    int adapted = chunk_adapt(reader);
    if (rc == GUACO_OK)
        outside_age(reader);
    return rc != GUACO_OK ? rc : adapted;
}
