/*
 * Stacks of frame objects, 3.8 to 3.10: the idea is in stack.h.
 *
 * The plan is a set: every frame object met in the last samples.  A frame that
 * is missing from it is added and the thread is read again; a read costs as
 * much as four more ranges, and a set of all the functions of a busy loop is
 * soon complete.
 */

#include "stack_int.h"

#include <assert.h>
#include <stdlib.h>

#define OBJECTS_MAX 1000 /* with the thread they fit in one system call */
#define IDLE_MAX    64   /* samples that an object may go without being met */

struct object {
    uint64_t address;
    char copy[GUACO__FRAME_BYTES_MAX]; /* from f_back on */
    bool is_fresh;
    uint8_t idle;
};

struct frame_objects {
    struct object at[OBJECTS_MAX];
    size_t count;
    size_t last; /* where the last one was found: they come in order */
};

struct frame_objects *
guaco__frame_objects_new(void)
{
    return calloc(1, sizeof(struct frame_objects));
}

void
guaco__frame_objects_free(struct frame_objects *objects)
{
    free(objects);
}

void
guaco__frame_objects_forget(struct frame_objects *objects)
{
    objects->count = 0;
}

int
guaco__frame_objects_plan(struct guaco__stack_reader *reader,
                          struct guaco__span *spans, size_t *count, size_t most)
{
    const struct guaco__layout *l = reader->world->layout;
    struct frame_objects *objects = reader->objects;

    assert(l->frame_object.size - l->frame_object.back <=
           GUACO__FRAME_BYTES_MAX);
    if (objects->count + 1 > most - *count)
        return GUACO_E_LIMIT;
    spans[(*count)++] = (struct guaco__span){
        reader->thread, reader->thread_copy, l->thread.size};
    for (size_t i = 0; i < objects->count; i++) {
        struct object *object = &objects->at[i];
        object->is_fresh = true;
        spans[(*count)++] = (struct guaco__span){
            object->address + l->frame_object.back, object->copy,
            l->frame_object.size - l->frame_object.back};
    }
    return GUACO_OK;
}

static struct object *
object_find(struct frame_objects *objects, uint64_t address)
{
    for (size_t n = 0; n < objects->count; n++) {
        size_t i = (objects->last + n) % objects->count;
        if (objects->at[i].address == address) {
            objects->last = i + 1;
            objects->at[i].idle = 0;
            return &objects->at[i];
        }
    }
    return NULL;
}

static int
object_add(struct frame_objects *objects, uint64_t address)
{
    if (objects->count == OBJECTS_MAX)
        return GUACO_E_LIMIT;
    objects->at[objects->count++] = (struct object){.address = address};
    return GUACO_E_AGAIN;
}

static void
objects_age(struct frame_objects *objects)
{
    size_t kept = 0;

    for (size_t i = 0; i < objects->count; i++)
        if (objects->at[i].idle++ < IDLE_MAX)
            objects->at[kept++] = objects->at[i];
    objects->count = kept;
    objects->last = 0;
}

static int
emit(struct guaco__stack_reader *reader, const struct object *object,
     struct guaco__stack *stack)
{
    const struct guaco__layout *l = reader->world->layout;
    uint32_t base = l->frame_object.back;
    struct guaco__code *code;
    int32_t lasti;

    int rc = guaco__codes_get(
        &reader->world->codes,
        word_at(object->copy, l->frame_object.code - base), &code);
    if (rc != GUACO_OK)
        return rc == GUACO_E_AGAIN ? GUACO_E_LOST : rc;
    memcpy(&lasti, object->copy + (l->frame_object.lasti - base), 4);
    if (lasti < 0 || lasti > INT32_MAX / 2)
        lasti = -1;
    else
        lasti *= (int32_t)l->lasti_unit;
    stack->frames[stack->count++] =
        (struct guaco__frame){code, lasti, object->address};
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
            return object_add(objects, address);
        if (!object->is_fresh || stack->count == GUACO__STACK_DEPTH_MAX)
            return GUACO_E_LOST;
        int rc = emit(reader, object, stack);
        if (rc != GUACO_OK)
            return rc;
        address = word_at(object->copy, 0);
    }
    objects_age(objects);
    return GUACO_OK;
}
