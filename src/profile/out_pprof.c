/* pprof's protobuf, by hand: fields are numbered as in profile.proto. */

#include "formats.h"

#include "tally_list.h"

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING = 6,
    PROFILE_TIME_NANOS = 9,
    PROFILE_DURATION_NANOS = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    VALUE_TYPE = 1,
    VALUE_UNIT = 2,
    SAMPLE_LOCATION = 1,
    SAMPLE_VALUE = 2,
    LOCATION_ID = 1,
    LOCATION_LINE = 4,
    LINE_FUNCTION = 1,
    LINE_LINE = 2,
    FUNCTION_ID = 1,
    FUNCTION_NAME = 2,
    FUNCTION_SYSTEM_NAME = 3,
    FUNCTION_FILE = 4,
};

/* The string table: these first, then two for each place. */
enum {
    TEXT_EMPTY,
    TEXT_SAMPLES,
    TEXT_COUNT,
    TEXT_WALL,
    TEXT_NANOSECONDS,
    TEXT_PLACES,
};
static const char *const texts[] = {"", "samples", "count", "wall",
                                    "nanoseconds"};

/* The first failure sticks. */
struct writer {
    struct guaco__buf *out;
    struct guaco__buf inner, packed; /* of messages inside of messages */
    int rc;
};

static void
put_number(struct writer *w, struct guaco__buf *to, uint64_t n)
{
    do {
        char byte = (char)((n & 0x7fu) | (n > 0x7f ? 0x80u : 0));
        if (w->rc == GUACO_OK)
            w->rc = guaco__buf_append_byte(to, byte);
        n >>= 7;
    } while (n > 0);
}

static void
put_varint(struct writer *w, struct guaco__buf *to, unsigned field, uint64_t n)
{
    put_number(w, to, field << 3 | WIRE_VARINT);
    put_number(w, to, n);
}

static void
put_bytes(struct writer *w, struct guaco__buf *to, unsigned field,
          struct guaco_slice bytes)
{
    put_number(w, to, field << 3 | WIRE_BYTES);
    put_number(w, to, bytes.len);
    if (w->rc == GUACO_OK && bytes.len > 0)
        w->rc = guaco__buf_append(to, bytes.at, bytes.len);
}

/* What was collected in `from` as a field of `to`. */
static void
put_inner(struct writer *w, struct guaco__buf *to, unsigned field,
          struct guaco__buf *from)
{
    put_bytes(w, to, field, guaco__buf_slice(from));
    guaco__buf_reset(from);
}

static void
put_value_type(struct writer *w, unsigned field, uint64_t type, uint64_t unit)
{
    put_varint(w, &w->inner, VALUE_TYPE, type);
    put_varint(w, &w->inner, VALUE_UNIT, unit);
    put_inner(w, w->out, field, &w->inner);
}

/* Places and functions are numbered from 1. */
static void
put_place(struct writer *w, const struct guaco__place *place)
{
    uint64_t id = (uint64_t)place->id + 1;
    uint64_t name = TEXT_PLACES + (uint64_t)place->id * 2;

    put_varint(w, &w->packed, LINE_FUNCTION, id);
    if (place->line > 0)
        put_varint(w, &w->packed, LINE_LINE, (uint64_t)place->line);
    put_varint(w, &w->inner, LOCATION_ID, id);
    put_inner(w, &w->inner, LOCATION_LINE, &w->packed);
    put_inner(w, w->out, PROFILE_LOCATION, &w->inner);

    put_varint(w, &w->inner, FUNCTION_ID, id);
    put_varint(w, &w->inner, FUNCTION_NAME, name);
    put_varint(w, &w->inner, FUNCTION_SYSTEM_NAME, name);
    put_varint(w, &w->inner, FUNCTION_FILE, name + 1);
    put_inner(w, w->out, PROFILE_FUNCTION, &w->inner);
}

static void
put_stack(struct writer *w, const struct guaco__tally_node *leaf,
          uint64_t period_ns)
{
    for (const struct guaco__tally_node *node = leaf; node->place != NULL;
         node = node->parent)
        put_number(w, &w->packed, (uint64_t)node->place->id + 1);
    put_inner(w, &w->inner, SAMPLE_LOCATION, &w->packed);
    put_number(w, &w->packed, leaf->self);
    put_number(w, &w->packed, leaf->self * period_ns);
    put_inner(w, &w->inner, SAMPLE_VALUE, &w->packed);
    put_inner(w, w->out, PROFILE_SAMPLE, &w->inner);
}

static void
put_all(struct writer *w, const struct guaco__tally_list *list,
        const struct guaco__report *report)
{
    uint64_t period_ns = report->period_ns;

    put_value_type(w, PROFILE_SAMPLE_TYPE, TEXT_SAMPLES, TEXT_COUNT);
    put_value_type(w, PROFILE_SAMPLE_TYPE, TEXT_WALL, TEXT_NANOSECONDS);
    for (size_t i = 0; i < list->stack_count; i++)
        put_stack(w, list->stacks[i], period_ns);
    for (uint32_t i = 0; i < list->place_count; i++)
        put_place(w, list->places[i]);
    for (unsigned i = 0; i < TEXT_PLACES; i++)
        put_bytes(w, w->out, PROFILE_STRING,
                  (struct guaco_slice){texts[i], strlen(texts[i])});
    for (uint32_t i = 0; i < list->place_count; i++) {
        put_bytes(w, w->out, PROFILE_STRING, list->places[i]->name);
        put_bytes(w, w->out, PROFILE_STRING, list->places[i]->file);
    }
    put_varint(w, w->out, PROFILE_TIME_NANOS, (uint64_t)report->begin_wall_ns);
    put_varint(w, w->out, PROFILE_DURATION_NANOS,
               report->tally->samples * period_ns);
    put_value_type(w, PROFILE_PERIOD_TYPE, TEXT_WALL, TEXT_NANOSECONDS);
    put_varint(w, w->out, PROFILE_PERIOD, period_ns);
}

int
guaco__pprof_write(const struct guaco__report *report, struct guaco__buf *out)
{
    struct guaco__tally_list list;
    struct writer w = {.out = out,
                       .rc = guaco__tally_list(report->tally, &list)};

    guaco__buf_init(&w.inner, (size_t)1 << 20);
    guaco__buf_init(&w.packed, (size_t)1 << 20);
    if (w.rc == GUACO_OK)
        put_all(&w, &list, report);
    guaco__buf_release(&w.inner);
    guaco__buf_release(&w.packed);
    guaco__tally_list_release(&list);
    return w.rc;
}
