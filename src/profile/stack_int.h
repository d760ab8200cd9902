#ifndef GUACO_PROFILE_STACK_INT_H
#define GUACO_PROFILE_STACK_INT_H

/* Shared by stack.c (what to read), stack_walk.c (which frames, in which
 * order), stack_page.c (frames on two pages), stack_check.c (whether that can
 * be true) and stack_objects.c (all of it to 3.10); private to the five. */

#include <string.h>

#include "base/map.h"
#include "layout_read.h"
#include "stack.h"

/* A frame as it was copied. */
struct slot {
    uint64_t address;
    uint64_t previous;
    uint64_t function; /* without tag bits; 0: NULL */
    uint64_t instruction;
    struct guaco__code *code; /* NULL: an entry frame */
    int32_t stacktop;         /* to 3.12 */
    uint8_t owner;
    bool is_entry; /* 3.11 */
};

enum {
    OWNER_THREAD = 0,
    OWNER_GENERATOR = 1,
    OWNER_FRAME_OBJECT = 2,
    OWNER_ENTRY = 3, /* and above: no Python function */
};

struct function {
    uint64_t address;
    uint64_t code;
    uint32_t version;
};

/* A specialised instruction whose guess fails falls back without being
 * rewritten at once, so a call site can truly call another function than it
 * names.  A torn copy does not show the same site so several times in a row. */
#define DOUBTS_MAX 6

struct call_site {
    uint64_t address;
    uint32_t function_version; /* with kind GUACO__OPCODE_VERSIONED */
    uint8_t kind;              /* enum guaco__opcode_kind */
    uint8_t doubts; /* mismatches in a row; at DOUBTS_MAX it is believed */
};

/* A pair that was found to be true: it is not looked up again. */
struct proven {
    uint64_t instruction, function;
    const struct guaco__code *callee;
    struct call_site *site;
};
#define PROVEN_SLOTS     512
#define GENERATOR_SLOTS  1024
#define DRIVE_DOUBTS_MAX 8 /* copies in a row that say the same */

struct guaco__stack_world {
    struct guaco__vmem *memory;
    const struct guaco__layout *layout;
    struct guaco__codes codes;
    struct guaco__arena arena; /* functions and call sites */
    struct guaco__map functions, sites;
    struct proven proven[PROVEN_SLOTS];
    uint64_t
        generators[GENERATOR_SLOTS]; /* that were seen to run, by address */
};

/*
 * The copy lies on a boundary of cache lines, as the chunk does: the kernel
 * copies with `rep movsb`, which takes 2 ns a line that way and 38 ns when the
 * two differ by 8 bytes, and that is the time between its first and last line.
 */
struct chunk {
    uint64_t address;
    char *copy;
    void *block;    /* to be freed: the copy lies in it */
    size_t room;    /* for the copy */
    size_t planned; /* bytes to read, at most room */
};

/* A frame that is not in a chunk. */
struct outside {
    uint64_t address;
    char copy[GUACO__FRAME_BYTES_MAX];
    bool is_fresh; /* was in the last plan */
    uint8_t idle;  /* decodes since it was last met */
};

/* Where the current chunk's copy is cut in two: stack_page.c. */
struct split {
    size_t at;       /* bytes into the chunk, a page's start; 0: nowhere */
    bool is_held;    /* the upper part is kept, the lower is read again */
    uint64_t bottom; /* its lowest living frame there; 0: none lives */
    uint64_t seen;   /* where the lowest frame of the upper part was last */
    int tries;
    /* A call that contradicts its site, and in how many copies in a row. */
    uint64_t doubted_caller, doubted_site, doubted_callee;
    int doubts;
    bool is_doubted; /* in this copy */
};

/* _PyStackChunk: previous, size, top, data[]. */
enum { CHUNK_PREVIOUS = 0, CHUNK_SIZE = 8, CHUNK_TOP = 16, CHUNK_DATA = 24 };

struct frame_objects;

struct guaco__stack_reader {
    struct guaco__stack_world *world;
    uint64_t thread;
    struct frame_objects *objects; /* to 3.10; NULL later */
    bool is_booted;                /* the chunks are known */
    char *thread_copy;
    uint64_t cframe; /* predicted address of _PyCFrame, 3.11 and 3.12 */
    char cframe_copy[16];
    bool cframe_is_fresh;
    struct chunk chunks[GUACO__STACK_CHUNKS_MAX]; /* the current one first */
    size_t chunk_count;
    struct split split; /* of chunks[0] */
    struct outside outside[GUACO__STACK_OUTSIDE_MAX];
    size_t outside_count;
    uint64_t doubted_driver, doubted_frame; /* of the last copy */
    uint8_t drive_doubts;
    struct slot slots[GUACO__STACK_DEPTH_MAX]; /* the root first */
    size_t slot_count;
};

/* The reader of frame objects, to 3.10: as the functions of stack.h. */
struct frame_objects *guaco__frame_objects_new(void);
void guaco__frame_objects_free(struct frame_objects *objects);
void guaco__frame_objects_forget(struct frame_objects *objects);
int guaco__frame_objects_plan(struct guaco__stack_reader *reader,
                              struct guaco__span *spans, size_t *count,
                              size_t most);
int guaco__frame_objects_decode(struct guaco__stack_reader *reader,
                                struct guaco__stack *stack);

/* Walk the copied chunks into reader->slots.  Returns as decode. */
int guaco__stack_walk(struct guaco__stack_reader *reader);

/*
 * Whether the two parts of a chunk that was copied in two fit together.
 * Returns 0, or GUACO_E_AGAIN: the lower part is to be read again.
 */
int guaco__stack_settle(struct guaco__stack_reader *reader);

/* Where to cut the copy of the current chunk next time, given its top. */
void guaco__stack_split(struct guaco__stack_reader *reader, uint64_t top);

/* Read the frame at `address`, copied to `at`, all but its code; its
 * executable is given. */
uint64_t
guaco__stack_slot_read(const struct guaco__layout *layout, uint64_t address,
                       const char *at, struct slot *slot);

/* From 3.14 a popped frame is cleared; before, the mark of a frame that
 * executes is its stacktop. */
static inline bool
clears_frames(const struct guaco__layout *layout)
{
    return layout->version >= GUACO__VERSION(3, 14);
}

static inline bool
is_running(const struct slot *slot)
{
    return slot->stacktop == -1;
}

/* Find the leaf and follow the chain to the root.  Returns as decode. */
int guaco__stack_link(struct guaco__stack_reader *reader,
                      struct guaco__stack *stack);

/* The copy of an outside frame; NULL when it was not read this time: it is in
 * the next plan then. */
const char *
guaco__stack_outside(struct guaco__stack_reader *reader, uint64_t address);

/*
 * Whether `caller` can have pushed `callee` without leaving the interpreter's
 * loop.  May read a call site or a function that is seen for the first time.
 */
bool
guaco__stack_pair_is_true(struct guaco__stack_world *world,
                          const struct slot *caller, const struct slot *callee);

/* The same of two that may well be of two moments, and are asked about again
 * and again: a contradiction stays one, however often it is seen. */
bool guaco__stack_pair_is_plain(struct guaco__stack_world *world,
                                const struct slot *caller,
                                const struct slot *callee);

/* What kind of instruction the frame's pointer names; `is_caller` when it has
 * called another.  Reads it when it is seen for the first time. */
uint8_t guaco__stack_site_kind(struct guaco__stack_world *world,
                               const struct slot *slot, bool is_caller);

#endif
