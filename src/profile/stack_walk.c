/*
 * From copied chunks to a chain of frames: rules in stack.h, reasons here.
 *
 * Where frames end is not in the copy.  From 3.14 a popped frame is cleared,
 * so the last slot that looks like a frame is the leaf.  To 3.13 popped frames
 * stay as they were and the mark is `stacktop`: -1 while a frame executes,
 * its own C calls included, 0 or more once it has called Python inline or has
 * returned.  A frame at -1 with another one linked directly above it therefore
 * proves that the one above is dead.
 */

#include "stack_int.h"

#include <assert.h>

#include "opcodes.h"

#define TAG_BITS        UINT64_C(3) /* of a _PyStackRef, 3.14 and later */
#define ENTRY_STEPS_MAX 8           /* entry frames one behind the other */

uint64_t
guaco__stack_slot_read(const struct guaco__layout *l, uint64_t address,
                       const char *at, struct slot *slot)
{
    *slot = (struct slot){
        .address = address,
        .previous = word_at(at, l->frame.previous),
        .function = word_at(at, l->frame.function) & ~TAG_BITS,
        .instruction = word_at(at, l->frame.instruction),
        .owner = (uint8_t)at[l->frame.owner],
        .is_entry = has(l->frame.is_entry) && at[l->frame.is_entry] != 0,
    };
    memcpy(&slot->stacktop, at + l->frame.stacktop, 4);
    return word_at(at, l->frame.executable) & ~TAG_BITS;
}

/* ---- the slots of a chunk --------------------------------------------------- */

struct walk {
    struct guaco__stack_reader *reader;
    const struct chunk *chunk;
    size_t end; /* of what was copied and may hold frames */
    size_t top; /* where the thread's top was, a hint */
};

/* The code object of a slot.  One that is new is fetched only below the top:
 * above it anything may lie. */
static int
slot_code(const struct walk *walk, size_t at, uint64_t address,
          struct guaco__code **code)
{
    struct guaco__codes *codes = &walk->reader->world->codes;

    *code = guaco__codes_peek(codes, address);
    if (*code != NULL || at >= walk->top)
        return GUACO_OK;
    int rc = guaco__codes_get(codes, address, code);
    if (rc == GUACO_E_AGAIN)
        *code = NULL;
    return rc == GUACO_E_AGAIN ? GUACO_OK : rc;
}

static bool
is_linked(const struct walk *walk, const struct slot *slot)
{
    const struct guaco__stack_reader *r = walk->reader;
    uint64_t in_chunk = slot->previous - walk->chunk->address;

    if (slot->previous == 0) /* above the first: being entered or left by C */
        return r->slot_count == 0;
    if (in_chunk >= walk->end) /* an outside frame, or a lower chunk */
        return true;
    return r->slot_count > 0 &&
           slot->previous == r->slots[r->slot_count - 1].address;
}

/* Walk one chunk; *at is where the walk ended. */
static int
walk_chunk(const struct walk *walk, size_t *at)
{
    struct guaco__stack_reader *r = walk->reader;
    const struct guaco__layout *l = r->world->layout;

    while (*at + l->frame.localsplus <= walk->end) {
        struct slot slot;
        uint64_t executable = guaco__stack_slot_read(
            l, walk->chunk->address + *at, walk->chunk->copy + *at, &slot);
        if (executable == 0 || slot.owner != OWNER_THREAD ||
            (clears_frames(l) && slot.function == 0) || !is_linked(walk, &slot))
            return GUACO_OK;
        int rc = slot_code(walk, *at, executable, &slot.code);
        if (rc != GUACO_OK || slot.code == NULL)
            return rc;
        if (r->slot_count == GUACO__STACK_DEPTH_MAX)
            return GUACO_E_LIMIT;
        r->slots[r->slot_count++] = slot;
        *at += slot.code->frame_bytes;
    }
    return GUACO_OK;
}

static int
walk_one(struct guaco__stack_reader *reader, size_t i)
{
    const struct guaco__layout *l = reader->world->layout;
    struct chunk *chunk = &reader->chunks[i];
    struct walk walk = {reader, chunk, chunk->planned, chunk->planned};
    bool is_first = word_at(chunk->copy, CHUNK_PREVIOUS) == 0;
    size_t at = CHUNK_DATA + (is_first ? 8u : 0u);

    if (i == 0)
        walk.top = (size_t)(word_at(reader->thread_copy,
                                    l->thread.datastack_chunk + 8) -
                            chunk->address);
    else
        walk.end = CHUNK_DATA + (size_t)word_at(chunk->copy, CHUNK_TOP) * 8;
    assert(walk.end <= chunk->planned);
    int rc = walk_chunk(&walk, &at);
    if (rc != GUACO_OK)
        return rc;
    /* It ended with the copy, and more is in use: the plan was short. */
    if (i == 0 && at + l->frame.localsplus > walk.end && at < walk.top)
        return GUACO_E_AGAIN;
    return i == 0 || at == walk.end ? GUACO_OK : GUACO_E_LOST;
}

int
guaco__stack_walk(struct guaco__stack_reader *reader)
{
    int rc = GUACO_OK;

    reader->slot_count = 0;
    for (size_t i = reader->chunk_count; rc == GUACO_OK && i-- > 0;)
        rc = walk_one(reader, i);
    return rc;
}

/* ---- the leaf ------------------------------------------------------------------ */

/* How many slots are left when what is above a running frame and linked to it
 * directly is cut off.  3.11 has no entry frames: a callback's first frame is
 * linked directly to the frame that called C, and says so. */
static size_t
cut_dead(const struct slot *slots, size_t count)
{
    for (size_t k = 0; k + 1 < count; k++)
        if (is_running(&slots[k]) &&
            slots[k + 1].previous == slots[k].address && !slots[k + 1].is_entry)
            return k + 1;
    return count;
}

/* The number of slots up to the topmost running one; 0: none runs. */
static size_t
up_to_running(const struct slot *slots, size_t count)
{
    while (count > 0 && !is_running(&slots[count - 1]))
        count--;
    return count;
}

/* Between two marks: the top frame has just returned, or not begun. */
static bool
is_over(struct guaco__stack_world *world, const struct slot *slot)
{
    if (slot->instruction <= slot->code->bytecode)
        return true;
    return guaco__stack_site_kind(world, slot, false) == GUACO__OPCODE_RETURN;
}

/* The frame that the thread's state names, by a copy a little later than the
 * chunk's: 0 when it is not known. */
static uint64_t
current_hint(struct guaco__stack_reader *r)
{
    const struct guaco__layout *l = r->world->layout;

    if (has(l->thread.current_frame))
        return word_at(r->thread_copy, l->thread.current_frame);
    uint64_t cframe = word_at(r->thread_copy, l->thread.cframe);
    if (cframe == r->cframe && r->cframe_is_fresh)
        return word_at(r->cframe_copy, l->cframe_current);
    r->cframe = cframe;
    r->cframe_is_fresh = false;
    return 0;
}

static bool
is_in_chunks(const struct guaco__stack_reader *r, uint64_t address)
{
    for (size_t i = 0; i < r->chunk_count; i++)
        if (address - r->chunks[i].address <
            word_at(r->chunks[i].copy, CHUNK_SIZE))
            return true;
    return false;
}

/* ---- generators ------------------------------------------------------------------ */

/* The copy of a generator's frame is a little younger than the chunk's.  What
 * ties them together: a frame that drives a generator mostly holds it, among
 * its locals or on its stack, and that is in the chunk's copy. */
struct held {
    bool this_one, another; /* found before one another; both: this one later */
};

static uint64_t *
generator_slot(const struct guaco__stack_reader *r, uint64_t generator)
{
    return &r->world->generators[(generator >> 4) % GENERATOR_SLOTS];
}

static struct held
held_in(const struct guaco__stack_reader *r, const struct chunk *chunk,
        uint64_t at, uint64_t end, uint64_t generator)
{
    struct held held = {false, false};

    for (; at + 8 <= end && !held.this_one; at += 8) {
        uint64_t word = word_at(chunk->copy, at) & ~TAG_BITS;
        if (word == generator)
            held.this_one = true;
        else if (word != 0 && *generator_slot(r, word) == word)
            held.another = true;
    }
    return held;
}

/* Whether the frame holds the generator, and whether one of those that were
 * seen before. */
static struct held
holds(const struct guaco__stack_reader *r, const struct slot *slot,
      uint64_t generator)
{
    uint32_t fixed = r->world->layout->frame.localsplus;

    for (size_t i = 0; i < r->chunk_count; i++) {
        const struct chunk *chunk = &r->chunks[i];
        uint64_t at = slot->address - chunk->address;
        if (at >= chunk->planned)
            continue;
        uint64_t end = at + slot->code->frame_bytes;
        if (end > chunk->planned)
            end = chunk->planned;
        /* What lies in the part that was copied before is of another moment
         * than its code. */
        if (i == 0 && at < r->split.at && end > r->split.at)
            end = r->split.at;
        return held_in(r, chunk, at + fixed, end, generator);
    }
    return (struct held){false, false};
}

static uint64_t
generator_of(const struct guaco__stack_reader *r, uint64_t frame)
{
    return frame - r->world->layout->generator_frame;
}

/*
 * One that holds another generator, and not this one, does not drive it.  One
 * that holds none may, with C code between the two, and one that holds another
 * before this one may drive either, or have this one left over above its stack:
 * that is believed when some copies, one after the other, say so.
 */
static bool
may_drive(struct guaco__stack_reader *r, const struct slot *caller,
          uint64_t frame)
{
    uint64_t generator = generator_of(r, frame);
    struct held held = holds(r, caller, generator);

    if (held.this_one)
        *generator_slot(r, generator) = generator;
    if (held.this_one != held.another)
        return held.this_one;
    if (r->doubted_driver != caller->address || r->doubted_frame != frame)
        r->drive_doubts = 0;
    r->doubted_driver = caller->address;
    r->doubted_frame = frame;
    if (r->drive_doubts < DRIVE_DOUBTS_MAX)
        r->drive_doubts++;
    return r->drive_doubts == DRIVE_DOUBTS_MAX;
}

/* The frame that drives a running generator, entry frames stepped over. */
static int
driver_of(struct guaco__stack_reader *r, uint64_t previous, uint64_t *driver)
{
    for (int steps = 0; steps < ENTRY_STEPS_MAX; steps++) {
        struct slot entry;
        *driver = previous;
        if (previous == 0 || previous % 8 != 0 || is_in_chunks(r, previous))
            return GUACO_OK;
        const char *copy = guaco__stack_outside(r, previous);
        if (copy == NULL)
            return GUACO_E_AGAIN;
        guaco__stack_slot_read(r->world->layout, previous, copy, &entry);
        if (entry.owner < OWNER_ENTRY)
            return GUACO_OK;
        previous = entry.previous;
    }
    return GUACO_E_LOST;
}

/* Whether this copy is of a generator's frame that is under way.  A suspended
 * one has no previous frame; to 3.13 one that awaits another inline is not
 * marked as running, but has one. */
static bool
is_under_way(const struct guaco__stack_reader *r, const struct outside *outside,
             struct slot *slot)
{
    const struct guaco__layout *l = r->world->layout;

    if (!outside->is_fresh ||
        guaco__stack_slot_read(l, outside->address, outside->copy, slot) == 0)
        return false;
    return slot->owner == OWNER_GENERATOR && slot->previous != 0 &&
           (!clears_frames(l) || slot->function != 0);
}

/* The generator that `driver` drives at this moment, into *leaf. */
static int
driven_by(struct guaco__stack_reader *r, uint64_t driver,
          const struct slot *caller, struct slot *leaf)
{
    size_t count = r->outside_count; /* driver_of() may add some */

    for (size_t i = 0; i < count; i++) {
        uint64_t above;
        struct slot slot;
        if (r->outside[i].address == driver ||
            !is_under_way(r, &r->outside[i], &slot))
            continue;
        int rc = driver_of(r, slot.previous, &above);
        if (rc != GUACO_OK)
            return rc;
        if (above != driver)
            continue;
        if (caller != NULL && !may_drive(r, caller, slot.address))
            return GUACO_E_LOST;
        uint64_t executable =
            word_at(r->outside[i].copy, r->world->layout->frame.executable);
        rc = guaco__codes_get(&r->world->codes, executable & ~TAG_BITS,
                              &slot.code);
        if (rc == GUACO_E_AGAIN)
            continue;
        r->outside[i].idle = 0;
        *leaf = slot;
        return rc;
    }
    return GUACO_E_MISSING;
}

/*
 * Go up from the top of the chunk through the generators that run.  The thread's
 * own word for its frame only makes them known.  Returns 0; GUACO_E_AGAIN when
 * something has to be read first.
 */
static int
leaf_outside(struct guaco__stack_reader *r, const struct slot *top,
             struct slot *leaf, bool *is_outside)
{
    uint64_t hint = current_hint(r);
    int rc = GUACO_OK;

    *is_outside = false;
    if (hint != 0 && hint % 8 == 0 && !is_in_chunks(r, hint) &&
        guaco__stack_outside(r, hint) == NULL)
        return GUACO_E_AGAIN;
    uint64_t driver = top == NULL ? 0 : top->address;
    for (int n = 0; n < GUACO__STACK_OUTSIDE_MAX && driver != 0; n++) {
        struct slot next;
        rc = driven_by(r, driver, n == 0 ? top : NULL, &next);
        if (rc != GUACO_OK)
            break;
        driver = next.address;
        /* Without the mark it is a step on the way up, if anything. */
        if (!clears_frames(r->world->layout) && !is_running(&next))
            continue;
        *is_outside = true;
        *leaf = next;
    }
    return rc == GUACO_E_MISSING ? GUACO_OK : rc;
}

/* ---- the chain ------------------------------------------------------------------- */

/* The frame that the interpreter puts under __init__ calls, from 3.13. */
static bool
is_init_shim(const struct guaco__code *code)
{
    static const struct guaco_slice name = {"__init__", 8};

    return code->first_line == 0 && guaco_slice_equals(code->file, name);
}

static void
emit(struct guaco__stack *stack, const struct slot *slot)
{
    uint64_t offset = slot->instruction - slot->code->bytecode;

    if (is_init_shim(slot->code) || stack->count == GUACO__STACK_DEPTH_MAX)
        return;
    stack->frames[stack->count++] = (struct guaco__frame){
        slot->code, offset < slot->code->bytecode_len ? (int32_t)offset : -1,
        slot->address, slot->is_entry ? GUACO__ENTRY_ANYWHERE : 0u};
}

/* C called the interpreter's loop for the frame that was emitted last; `entry`
 * is where the loop keeps its own. */
static void
note_entry(struct guaco__stack *stack, uint64_t entry)
{
    if (stack->count > 0 && stack->frames[stack->count - 1].entry == 0)
        stack->frames[stack->count - 1].entry =
            entry != 0 ? entry : GUACO__ENTRY_ANYWHERE;
}

struct chain {
    struct guaco__stack_reader *reader;
    struct guaco__stack *stack;
    struct slot at;
    size_t below;    /* slots that may still come */
    bool was_direct; /* nothing lies between `at` and what called it */
};

static bool
pair_is_true(const struct chain *chain, const struct slot *caller)
{
    if (chain->at.owner == OWNER_GENERATOR && caller->owner == OWNER_THREAD &&
        !may_drive(chain->reader, caller, chain->at.address))
        return false;
    if (!chain->was_direct || chain->at.is_entry ||
        is_init_shim(caller->code) || is_init_shim(chain->at.code))
        return true;
    return guaco__stack_pair_is_true(chain->reader->world, caller, &chain->at);
}

static int
step_to(struct chain *chain, const struct slot *next)
{
    if (!pair_is_true(chain, next))
        return GUACO_E_LOST;
    emit(chain->stack, next);
    chain->at = *next;
    chain->was_direct = true;
    return GUACO_OK;
}

/* One outside frame: an entry frame is stepped over, a generator's emitted. */
static int
step_outside(struct chain *chain, uint64_t address)
{
    struct guaco__stack_reader *r = chain->reader;
    const char *copy = guaco__stack_outside(r, address);
    struct slot next;

    if (copy == NULL)
        return GUACO_E_AGAIN;
    uint64_t executable =
        guaco__stack_slot_read(r->world->layout, address, copy, &next);
    if (next.owner >= OWNER_ENTRY) {
        chain->at.previous = next.previous;
        chain->was_direct = false;
        note_entry(chain->stack, address);
        return GUACO_OK;
    }
    if (next.owner != OWNER_GENERATOR || executable == 0)
        return GUACO_E_LOST;
    int rc = guaco__codes_get(&r->world->codes, executable, &next.code);
    if (rc != GUACO_OK)
        return rc == GUACO_E_AGAIN ? GUACO_E_LOST : rc;
    /* It was suspended since the chunk was copied, where its callee stands. */
    const struct slot *below = &r->slots[chain->below - 1];
    if (next.previous == 0 &&
        holds(r, below, generator_of(r, address)).this_one)
        next.previous = below->address;
    return step_to(chain, &next);
}

static int
step(struct chain *chain)
{
    struct slot *slots = chain->reader->slots;
    uint64_t previous = chain->at.previous;

    if (chain->below > 0 && previous == slots[chain->below - 1].address)
        return step_to(chain, &slots[--chain->below]);
    if (is_in_chunks(chain->reader, previous) || previous % 8 != 0)
        return GUACO_E_LOST;
    return step_outside(chain, previous);
}

/* Below the lowest slot nothing but entry frames lies; they need no reading. */
static int
chain_run(struct chain *chain)
{
    size_t most = GUACO__STACK_DEPTH_MAX + GUACO__STACK_OUTSIDE_MAX;

    emit(chain->stack, &chain->at);
    while (chain->below > 0) {
        if (chain->at.previous == 0 || most-- == 0)
            return GUACO_E_LOST;
        int rc = step(chain);
        if (rc != GUACO_OK)
            return rc;
    }
    note_entry(chain->stack, chain->at.previous);
    return GUACO_OK;
}

/* How many slots are alive, for a leaf in the chunk. */
static size_t
live_slots(struct guaco__stack_reader *r, size_t cut, size_t running)
{
    if (clears_frames(r->world->layout))
        return r->slot_count;
    if (running > 0)
        return running;
    while (cut > 0 && is_over(r->world, &r->slots[cut - 1]))
        cut--;
    return cut;
}

int
guaco__stack_link(struct guaco__stack_reader *reader,
                  struct guaco__stack *stack)
{
    bool marks = !clears_frames(reader->world->layout);
    size_t cut = marks ? cut_dead(reader->slots, reader->slot_count)
                       : reader->slot_count;
    size_t running = marks ? up_to_running(reader->slots, cut) : 0;
    struct chain chain = {.reader = reader, .stack = stack, .was_direct = true};
    bool is_outside;

    size_t live = live_slots(reader, cut, running);
    const struct slot *top = live == 0 ? NULL : &reader->slots[live - 1];
    int rc = leaf_outside(reader, top, &chain.at, &is_outside);
    if (rc != GUACO_OK)
        return rc;
    chain.below = live;
    if (is_outside)
        return chain_run(&chain);
    if (live == 0)
        return GUACO_OK;
    chain.at = reader->slots[live - 1];
    chain.below = live - 1;
    return chain_run(&chain);
}
