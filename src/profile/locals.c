/* Local variables over there: the contract is in locals.h. */

#include "locals.h"

#include <assert.h>

#include "text.h"
#include "values.h"

#define VALUE_BYTES_MAX ((size_t)64 << 10)
#define TAG_BITS        UINT64_C(3) /* of a _PyStackRef, 3.14 and later */
#define TUPLE_SIZE_AT   16

/* Tuples of names in a code object, in the order of the frame's slots. */
struct names {
    uint32_t tuples[3]; /* offsets in PyCodeObject */
    size_t count;
    uint32_t slots; /* of the first value in the frame */
};

static struct names
names_of(const struct guaco__layout *layout)
{
    if (layout->version >= GUACO__VERSION(3, 11)) /* co_localsplusnames */
        return (struct names){{96}, 1, layout->frame.localsplus};
    /* co_varnames, co_cellvars, co_freevars */
    return (struct names){
        {72, 88, 80},
        3,
        layout->version == GUACO__VERSION(3, 10) ? 352 : 360,
    };
}

struct reader {
    struct guaco__vmem *memory;
    const struct guaco__layout *layout;
    guaco__local_fn *fn;
    void *ctx;
    uint64_t slot; /* the address of the next one */
    size_t told;
    struct guaco__arena arena; /* of names */
    struct guaco__buf value;
};

static int
tell_one(struct reader *r, uint64_t name_at, uint64_t value_at)
{
    struct guaco_slice name;

    guaco__arena_reset(&r->arena);
    guaco__buf_reset(&r->value);
    int rc = guaco__text_read(r->memory, r->layout, name_at, &r->arena, &name);
    if (rc == GUACO_OK)
        rc = guaco__value_write(r->memory, r->layout, value_at, &r->value);
    return rc == GUACO_OK ? r->fn(r->ctx, name, guaco__buf_slice(&r->value))
                          : rc;
}

/* The variables of one tuple of names. */
static int
tell_tuple(struct reader *r, uint64_t tuple)
{
    uint64_t count, names[GUACO__LOCALS_MAX], values[GUACO__LOCALS_MAX];

    int rc = guaco__vmem_word(r->memory, tuple + TUPLE_SIZE_AT, &count);
    if (rc != GUACO_OK || count == 0)
        return rc;
    if (count > GUACO__LOCALS_MAX)
        count = GUACO__LOCALS_MAX;
    struct guaco__span spans[2] = {
        {tuple + guaco__tuple_items(r->layout), names, (size_t)count * 8},
        {r->slot, values, (size_t)count * 8},
    };
    rc = guaco__vmem_read(r->memory, spans, 2, NULL);
    for (size_t i = 0; i < count && rc == GUACO_OK; i++) {
        uint64_t value = values[i];
        if (r->layout->version >= GUACO__VERSION(3, 14))
            value &= ~TAG_BITS;
        if (value != 0 && r->told++ < GUACO__LOCALS_MAX)
            rc = tell_one(r, names[i], value);
    }
    r->slot += count * 8;
    return rc;
}

int
guaco__locals_read(struct guaco__vmem *memory,
                   const struct guaco__layout *layout,
                   const struct guaco__frame *frame, guaco__local_fn *fn,
                   void *ctx)
{
    struct names names = names_of(layout);
    struct reader r = {.memory = memory,
                       .layout = layout,
                       .fn = fn,
                       .ctx = ctx,
                       .slot = frame->address + names.slots};
    int rc = GUACO_OK;

    if (!guaco__values_are_known(layout))
        return GUACO_E_UNSUPPORTED;
    guaco__arena_init(&r.arena, 1024, (size_t)1 << 20);
    guaco__buf_init(&r.value, VALUE_BYTES_MAX);
    for (size_t i = 0; i < names.count && rc == GUACO_OK; i++) {
        uint64_t tuple;
        rc = guaco__vmem_word(memory, frame->code->address + names.tuples[i],
                              &tuple);
        if (rc == GUACO_OK)
            rc = tell_tuple(&r, tuple);
    }
    guaco__buf_release(&r.value);
    guaco__arena_release(&r.arena);
    return rc == GUACO_E_AGAIN ? GUACO_OK : rc;
}
