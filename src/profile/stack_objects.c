/*
 * Stacks of frame objects, 3.8 to 3.10: the idea is in stack.h.
 *
 * The plan is a set: every frame object met in the last samples.  A frame that
 * is missing from it is added and the thread is read again; a read costs as
 * much as four more ranges, and a set of all the functions of a busy loop is
 * soon complete.  Frames of one size lie side by side in the interpreter's
 * pools: those of one page are read as one range.
 */

#include "stack_int.h"

#include <assert.h>
#include <stdlib.h>

#define OBJECTS_MAX 1000 /* with the thread they fit in one system call */
#define IDLE_MAX    64   /* samples that an object may go without being met */
#define PAGE_BYTES  4096u

struct object {
    uint64_t address;
    size_t at; /* of its copy in the buffer, from f_back on */
    bool is_fresh;
    uint8_t idle;
};

struct frame_objects {
    struct object at[OBJECTS_MAX]; /* by address */
    size_t count;
    char *buffer;
    size_t room;
};

struct frame_objects *
guaco__frame_objects_new(void)
{
    return calloc(1, sizeof(struct frame_objects));
}

void
guaco__frame_objects_free(struct frame_objects *objects)
{
    if (objects != NULL)
        free(objects->buffer);
    free(objects);
}

void
guaco__frame_objects_forget(struct frame_objects *objects)
{
    objects->count = 0;
}

/* How many objects, from the i-th on, end on the page on which it begins. */
static size_t
run_length(const struct frame_objects *objects, size_t i, uint32_t bytes)
{
    uint64_t page = objects->at[i].address / PAGE_BYTES;
    size_t n = 1;

    while (i + n < objects->count &&
           (objects->at[i + n].address + bytes) / PAGE_BYTES == page)
        n++;
    return n;
}

/* Lay out the copies: a run of objects is copied with what lies between. */
static int
buffer_plan(struct frame_objects *objects, const struct guaco__layout *l)
{
    uint32_t from = l->frame_object.back, to = l->frame_object.size;
    size_t used = 0;

    for (size_t i = 0; i < objects->count;) {
        size_t n = run_length(objects, i, to);
        /* As the object lies in its cache line: see struct chunk. */
        uint64_t base = objects->at[i].address;
        used += (size_t)((base + from - used) % 64);
        for (size_t k = 0; k < n; k++)
            objects->at[i + k].at =
                used + (size_t)(objects->at[i + k].address - base);
        used = objects->at[i + n - 1].at + (to - from);
        i += n;
    }
    if (used <= objects->room)
        return GUACO_OK;
    free(objects->buffer);
    objects->room = 0;
    objects->buffer = malloc(used * 2);
    if (objects->buffer == NULL)
        return GUACO_E_NOMEM;
    objects->room = used * 2;
    return GUACO_OK;
}

int
guaco__frame_objects_plan(struct guaco__stack_reader *reader,
                          struct guaco__span *spans, size_t *count, size_t most)
{
    const struct guaco__layout *l = reader->world->layout;
    struct frame_objects *objects = reader->objects;

    if (objects->count + 1 > most - *count)
        return GUACO_E_LIMIT;
    int rc = buffer_plan(objects, l);
    if (rc != GUACO_OK)
        return rc;
    spans[(*count)++] = (struct guaco__span){
        reader->thread, reader->thread_copy, l->thread.size};
    for (size_t i = 0; i < objects->count;) {
        size_t n = run_length(objects, i, l->frame_object.size);
        const struct object *first = &objects->at[i];
        const struct object *last = &objects->at[i + n - 1];
        spans[(*count)++] = (struct guaco__span){
            first->address + l->frame_object.back, objects->buffer + first->at,
            last->at - first->at + l->frame_object.size - l->frame_object.back};
        while (n-- > 0)
            objects->at[i++].is_fresh = true;
    }
    return GUACO_OK;
}

/* Where the object is, or would be put. */
static size_t
object_place(const struct frame_objects *objects, uint64_t address)
{
    size_t low = 0, high = objects->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (objects->at[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct object *
object_find(struct frame_objects *objects, uint64_t address)
{
    size_t i = object_place(objects, address);

    if (i == objects->count || objects->at[i].address != address)
        return NULL;
    objects->at[i].idle = 0;
    return &objects->at[i];
}

static int
object_add(struct frame_objects *objects, uint64_t address)
{
    size_t i = object_place(objects, address);

    if (objects->count == OBJECTS_MAX)
        return GUACO_E_LIMIT;
    memmove(&objects->at[i + 1], &objects->at[i],
            (objects->count - i) * sizeof objects->at[0]);
    objects->at[i] = (struct object){.address = address};
    objects->count++;
    return GUACO_E_AGAIN;
}

/* Add a frame that was not in the plan and, as it is rarely alone, those below
 * it that are not known either.  Returns GUACO_E_AGAIN when there is something
 * to read again. */
static int
objects_add_from(struct guaco__stack_reader *reader, uint64_t address)
{
    struct guaco__stack_world *world = reader->world;
    int rc = GUACO_E_AGAIN;

    while (rc == GUACO_E_AGAIN && address != 0 &&
           object_find(reader->objects, address) == NULL) {
        rc = object_add(reader->objects, address);
        if (guaco__vmem_word(world->memory,
                             address + world->layout->frame_object.back,
                             &address) != GUACO_OK)
            break; /* the next read will say what is wrong */
    }
    return rc;
}

static void
objects_age(struct frame_objects *objects)
{
    size_t kept = 0;

    for (size_t i = 0; i < objects->count; i++)
        if (objects->at[i].idle++ < IDLE_MAX)
            objects->at[kept++] = objects->at[i];
    objects->count = kept;
}

static int
emit(struct guaco__stack_reader *reader, uint64_t address, const char *copy,
     struct guaco__stack *stack)
{
    const struct guaco__layout *l = reader->world->layout;
    uint32_t base = l->frame_object.back;
    struct guaco__code *code;
    int32_t lasti;

    int rc =
        guaco__codes_get(&reader->world->codes,
                         word_at(copy, l->frame_object.code - base), &code);
    if (rc != GUACO_OK)
        return rc == GUACO_E_AGAIN ? GUACO_E_LOST : rc;
    memcpy(&lasti, copy + (l->frame_object.lasti - base), 4);
    if (lasti < 0 || lasti > INT32_MAX / 2)
        lasti = -1;
    else
        lasti *= (int32_t)l->lasti_unit;
    stack->frames[stack->count++] =
        (struct guaco__frame){code, lasti, address, GUACO__ENTRY_ANYWHERE};
    return GUACO_OK;
}

int
guaco__frame_objects_decode(struct guaco__stack_reader *reader,
                            struct guaco__stack *stack)
{
    const struct guaco__layout *l = reader->world->layout;
    struct frame_objects *objects = reader->objects;
    uint64_t address = word_at(reader->thread_copy, l->thread.frame);

    while (address != 0) {
        struct object *object = object_find(objects, address);
        if (object == NULL)
            return objects_add_from(reader, address);
        if (!object->is_fresh || stack->count == GUACO__STACK_DEPTH_MAX)
            return GUACO_E_LOST;
        const char *copy = objects->buffer + object->at;
        int rc = emit(reader, address, copy, stack);
        if (rc != GUACO_OK)
            return rc;
        address = word_at(copy, 0);
    }
    objects_age(objects);
    return GUACO_OK;
}
