/*
 * CPython 3.13 and later: the interpreter says itself where things are.
 *
 * struct _Py_DebugOffsets is a row of 64-bit words without names, so each
 * version needs a table of which word is what.  Do not compile it from
 * headers: a distribution's flags can differ from what its headers show.  The
 * words come from another process and are checked like all of its memory.
 */

#include "layout.h"

#include <stddef.h>
#include <string.h>

#define N            GUACO__NOWHERE
#define WORDS_MAX    (GUACO__DEBUG_OFFSETS_BYTES / 8)
#define STRUCT_LIMIT (UINT64_C(1) << 22) /* larger than any of theirs */

#define CODE_FRAME_WORDS 76u /* co_framesize, not published */

/* Word 0 is the cookie, 1 the version. */
enum { WORD_FREE_THREADED = 2 };

/* Numbers of words; `size` is that of the struct the others are offsets in. */
struct words {
    uint32_t version, count;
    struct {
        uint8_t size, interpreters_head;
    } runtime;
    struct {
        uint8_t size, id, next, threads_head, ceval_gil, gil, locked, holder;
        uint8_t code_generation, modules;
    } interpreter;
    struct {
        uint8_t size, next, interp, current_frame, thread_id, native_thread_id;
        uint8_t datastack_chunk;
    } thread;
    struct {
        uint8_t size, previous, executable, instr_ptr, localsplus, owner;
    } frame;
    struct {
        uint8_t size, filename, name, qualname, linetable, firstlineno, code;
    } code;
    struct {
        uint8_t size, ob_size, ob_sval;
    } bytes;
    struct {
        uint8_t size, state, length, ascii_size;
    } text;
};

static const struct words tables[] = {
    {
        .version = GUACO__VERSION(3, 13),
        .count = 73,
        .runtime = {3, 5},
        .interpreter = {6, 7, 8, 9, 14, 15, 17, 18, 0, 11},
        .thread = {19, 21, 22, 23, 24, 25, 26},
        .frame = {28, 29, 30, 31, 32, 33},
        .code = {34, 35, 36, 37, 38, 39, 43},
        .bytes = {64, 65, 66},
        .text = {67, 68, 69, 70},
    },
    {
        .version = GUACO__VERSION(3, 14),
        .count = 95,
        .runtime = {3, 5},
        .interpreter = {6, 7, 8, 9, 15, 16, 18, 19, 20, 12},
        .thread = {22, 24, 25, 26, 27, 28, 29},
        .frame = {31, 32, 33, 34, 35, 36},
        .code = {39, 40, 41, 42, 43, 44, 48},
        .bytes = {74, 75, 76},
        .text = {77, 78, 79, 80},
    },
    {
        .version = GUACO__VERSION(3, 15),
        .count = 111,
        .runtime = {3, 5},
        .interpreter = {6, 7, 8, 9, 15, 16, 18, 19, 20, 12},
        .thread = {22, 24, 25, 26, 30, 31, 32},
        .frame = {39, 40, 41, 42, 43, 44},
        .code = {47, 48, 49, 50, 51, 52, 56},
        .bytes = {86, 87, 88},
        .text = {89, 90, 91, 92},
    },
};

static const struct words *
words_find(uint32_t version)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (tables[i].version == version)
            return &tables[i];
    return NULL;
}

int
guaco__layout_debug_version(struct guaco_slice runtime, uint32_t *hexversion)
{
    uint64_t word;

    if (runtime.len < 16 || memcmp(runtime.at, "xdebugpy", 8) != 0)
        return GUACO_E_MISSING;
    memcpy(&word, runtime.at + 8, 8);
    *hexversion = (uint32_t)word;
    return GUACO_OK;
}

/* One pass over the published words.  `bad` sticks. */
struct reader {
    uint64_t word[WORDS_MAX];
    uint64_t size; /* of the struct that is being read */
    bool bad;
};

static void
enter(struct reader *r, uint8_t number)
{
    r->size = r->word[number];
    if (r->size == 0 || r->size > STRUCT_LIMIT)
        r->bad = true;
}

/* The offset of a field of `bytes` bytes. */
static uint32_t
field(struct reader *r, uint8_t number, uint32_t bytes)
{
    uint64_t offset = r->word[number];

    if (offset > r->size || bytes > r->size - offset) {
        r->bad = true;
        return N;
    }
    return (uint32_t)offset;
}

/* The end of a struct that also holds this field. */
static uint32_t
past(uint32_t end, uint32_t offset, uint32_t bytes)
{
    return offset != N && offset + bytes > end ? offset + bytes : end;
}

static void
read_interpreter(struct reader *r, const struct words *w,
                 struct guaco__layout *l)
{
    enter(r, w->runtime.size);
    l->runtime.interpreters_head = field(r, w->runtime.interpreters_head, 8);
    enter(r, w->interpreter.size);
    l->interpreter.id = field(r, w->interpreter.id, 8);
    l->interpreter.next = field(r, w->interpreter.next, 8);
    l->interpreter.threads_head = field(r, w->interpreter.threads_head, 8);
    l->interpreter.gil_pointer = field(r, w->interpreter.ceval_gil, 8);
    l->interpreter.own_gil = field(r, w->interpreter.gil, 32);
    l->interpreter.modules = field(r, w->interpreter.modules, 8);
    uint32_t locked = field(r, w->interpreter.locked, 4);
    uint32_t holder = field(r, w->interpreter.holder, 8);
    if (w->interpreter.code_generation != 0)
        l->interpreter.code_generation =
            field(r, w->interpreter.code_generation, 8);
    /* Builds without the GIL have one more member before these. */
    if (r->bad || holder < l->interpreter.own_gil ||
        locked < l->interpreter.own_gil) {
        r->bad = true;
        return;
    }
    l->gil.last_holder = holder - l->interpreter.own_gil;
    l->gil.locked = locked - l->interpreter.own_gil;
    l->gil.switch_number = l->gil.locked + 8;
    l->gil.size = l->gil.switch_number + 8;
    if (l->gil.last_holder > GUACO__GIL_BYTES_MAX - 8 ||
        l->gil.locked > GUACO__GIL_BYTES_MAX - 16)
        r->bad = true;
    else
        l->gil.size = past(l->gil.size, l->gil.last_holder, 8);
}

static void
read_thread(struct reader *r, const struct words *w, struct guaco__layout *l)
{
    enter(r, w->thread.size);
    l->thread.next = field(r, w->thread.next, 8);
    l->thread.interpreter = field(r, w->thread.interp, 8);
    l->thread.current_frame = field(r, w->thread.current_frame, 8);
    l->thread.thread_id = field(r, w->thread.thread_id, 8);
    l->thread.native_thread_id = field(r, w->thread.native_thread_id, 8);
    /* datastack_top and _limit follow the chunk's pointer. */
    l->thread.datastack_chunk = field(r, w->thread.datastack_chunk, 24);
    uint32_t end = past(0, l->thread.next, 8);
    end = past(end, l->thread.interpreter, 8);
    end = past(end, l->thread.current_frame, 8);
    end = past(end, l->thread.thread_id, 8);
    end = past(end, l->thread.native_thread_id, 8);
    l->thread.size = past(end, l->thread.datastack_chunk, 24);
}

static void
read_frame(struct reader *r, const struct words *w, struct guaco__layout *l)
{
    enter(r, w->frame.size);
    l->frame.executable = field(r, w->frame.executable, 8);
    l->frame.previous = field(r, w->frame.previous, 8);
    l->frame.instruction = field(r, w->frame.instr_ptr, 8);
    l->frame.owner = field(r, w->frame.owner, 1);
    l->frame.localsplus = field(r, w->frame.localsplus, 8);
    /* Not published, the same in all of these versions. */
    l->frame.function = 16;
    l->frame.stacktop = 64;
    uint32_t end = past(l->frame.stacktop + 4, l->frame.executable, 8);
    end = past(end, l->frame.previous, 8);
    end = past(end, l->frame.instruction, 8);
    end = past(end, l->frame.owner, 1);
    if (l->frame.localsplus < end ||
        l->frame.localsplus > GUACO__FRAME_BYTES_MAX ||
        l->frame.localsplus % 8 != 0)
        r->bad = true;
}

static void
read_objects(struct reader *r, const struct words *w, struct guaco__layout *l)
{
    enter(r, w->code.size);
    l->code.size = (uint32_t)r->size;
    if (r->size > GUACO__CODE_BYTES_MAX || r->size < CODE_FRAME_WORDS + 4)
        r->bad = true;
    l->code.filename = field(r, w->code.filename, 8);
    l->code.name = field(r, w->code.name, 8);
    l->code.qualname = field(r, w->code.qualname, 8);
    l->code.line_table = field(r, w->code.linetable, 8);
    l->code.first_line = field(r, w->code.firstlineno, 4);
    l->code.bytecode = field(r, w->code.code, 1);
    enter(r, w->bytes.size);
    l->bytes.length = field(r, w->bytes.ob_size, 8);
    l->bytes.data = field(r, w->bytes.ob_sval, 1);
    enter(r, w->text.size);
    l->text.length = field(r, w->text.length, 8);
    l->text.state = field(r, w->text.state, 4);
    if (r->size > GUACO__TEXT_HEAD_BYTES_MAX)
        r->bad = true;
    l->text.ascii_data = field(r, w->text.ascii_size, 0);
    /* The UTF-8 pointer and its length come between. */
    l->text.compact_data = l->text.ascii_data + 16;
}

/* What is not published, compiled per version. */
static void
fill_constants(struct guaco__layout *l)
{
    l->line_table = GUACO__LINES_LOCATIONS;
    l->lasti_unit = 1;
    l->generator_frame = 72;
    l->code.frame_words = CODE_FRAME_WORDS;
    l->code.locals_count = 72;
    l->code.stack_size = 64;
    l->function.code = 48;
    l->function.version = l->version >= GUACO__VERSION(3, 14) ? 144 : 136;
}

static struct guaco__layout
layout_empty(uint32_t version)
{
    struct guaco__layout l;

    memset(&l, 0xff, sizeof l); /* every offset is GUACO__NOWHERE */
    l.version = version;
    l.is_free_threaded = false;
    return l;
}

int
guaco__layout_debug(struct guaco__layout *layout, struct guaco_slice runtime,
                    struct guaco_error *err)
{
    struct reader r = {.bad = false};
    uint32_t hex;

    if (guaco__layout_debug_version(runtime, &hex) != GUACO_OK)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "the interpreter publishes no debug offsets");
    const struct words *w = words_find(hex >> 16);
    if (w == NULL)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "the layout of Python %u.%u is not known", hex >> 24,
                          (hex >> 16) & 255u);
    size_t bytes = w->count * sizeof r.word[0];
    if (runtime.len < bytes)
        return guaco_fail(err, GUACO_E_PROTO, 0, "debug offsets are cut");
    memcpy(r.word, runtime.at, bytes);

    *layout = layout_empty(w->version);
    layout->is_free_threaded = r.word[WORD_FREE_THREADED] != 0;
    read_interpreter(&r, w, layout);
    read_thread(&r, w, layout);
    read_frame(&r, w, layout);
    read_objects(&r, w, layout);
    fill_constants(layout);
    if (r.bad)
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "debug offsets of Python %u.%u make no sense",
                          hex >> 24, (hex >> 16) & 255u);
    return GUACO_OK;
}
