/*
 * Frames on two pages.
 *
 * Inside a page a copy is nearly one moment's picture.  Between two pages the
 * kernel takes time, and while a frame's cache line is written again and again
 * a copy that comes from the page below finds it mostly when its function is
 * over: a leaf at the start of a page had 5 % of the samples instead of 67 %.
 *
 * So a chunk is copied in two, its last page first: what that page says of its
 * frames is as true as a page alone.  The rest is copied after it and read
 * again, alone, until it fits: until its top frame is in the call of the upper
 * part's lowest frame or, when none lives there, in no call that would have
 * put one there.  So each part has the shares of a copy of its own, and no
 * sample is thrown away because its parts disagree.
 *
 * A call site that is specialised for one function may call another: then the
 * lower part never fits.  When it says the same in each of its copies, and the
 * upper part, copied anew, still the same too, the thread has not moved and
 * that is no tear; stack_walk.c then asks whether the site is to be believed.
 */

#include "stack_int.h"

#include <assert.h>

#include "opcodes.h"

#define PAGE_BYTES 4096u
#define TRIES_MAX  24

void
guaco__stack_split(struct guaco__stack_reader *reader, uint64_t top)
{
    const struct chunk *chunk = &reader->chunks[0];
    size_t used = (size_t)(top - chunk->address);
    size_t page = used / PAGE_BYTES * PAGE_BYTES;

    /* The top goes up and down: keep to the highest page that is planned. */
    if (page < reader->split.at && reader->split.at < chunk->planned)
        return;
    if (page != reader->split.at)
        reader->split = (struct split){.at = page};
}

static uint64_t
boundary_of(const struct guaco__stack_reader *r)
{
    return r->chunks[0].address + r->split.at;
}

/* Whether what tells that the frame at `address` lives is in the upper part. */
static bool
is_upper(const struct guaco__stack_reader *r, uint64_t address)
{
    const struct guaco__layout *l = r->world->layout;
    uint32_t mark = clears_frames(l) ? l->frame.function : l->frame.stacktop;

    return address + mark - boundary_of(r) < r->chunks[0].planned - r->split.at;
}

/* Whether its instruction is one of its code: what others left there may look
 * like a frame.  To 3.12 one that has not begun is a unit before its code. */
static bool
is_at(const struct slot *slot)
{
    return slot->instruction + 2 - slot->code->bytecode <=
           slot->code->bytecode_len + UINT64_C(2);
}

/* Whether a frame lives in the upper part, the lowest one at `address`. */
static bool
lives(struct guaco__stack_reader *r, uint64_t address)
{
    const struct guaco__layout *l = r->world->layout;
    const struct chunk *chunk = &r->chunks[0];
    uint64_t below = 0;

    while (address != 0 && address % 8 == 0 && is_upper(r, address) &&
           address - chunk->address + l->frame.localsplus <= chunk->planned) {
        struct slot slot;
        uint64_t executable = guaco__stack_slot_read(
            l, address, chunk->copy + (address - chunk->address), &slot);
        if (executable == 0 || slot.owner != OWNER_THREAD ||
            (below != 0 && slot.previous != below &&
             slot.previous - chunk->address < chunk->planned))
            return false;
        slot.code = guaco__codes_peek(&r->world->codes, executable);
        if (slot.code == NULL || (address >= boundary_of(r) && !is_at(&slot)))
            return false;
        if (clears_frames(l) ? slot.function != 0 : is_running(&slot))
            return true;
        if (clears_frames(l))
            return false;
        below = address;
        address += slot.code->frame_bytes;
    }
    return false;
}

/* The first of the slots that lies in the upper part, or their count. */
static size_t
first_upper(const struct guaco__stack_reader *r)
{
    size_t i = r->slot_count;

    while (i > 0 && is_upper(r, r->slots[i - 1].address))
        i--;
    return i;
}

/* Whether the lower part, slots[0..count), says that its top is in a call of
 * Python whose frame would lie in the upper part. */
static bool
calls_up(struct guaco__stack_reader *r, size_t count)
{
    const struct slot *top = &r->slots[count - 1];

    if (!is_upper(r, top->address + top->code->frame_bytes))
        return false;
    if (clears_frames(r->world->layout))
        return guaco__stack_site_kind(r->world, top, true) ==
               GUACO__OPCODE_VERSIONED;
    while (count > 0)
        if (is_running(&r->slots[--count]))
            return false;
    return true;
}

/* Whether a site that is specialised for another function than the one above
 * has said so in all the copies there may be, and does in one of both parts. */
static bool
stands(struct guaco__stack_reader *r, const struct slot *top,
       const struct slot *callee)
{
    struct split *split = &r->split;

    if (guaco__stack_site_kind(r->world, top, true) != GUACO__OPCODE_VERSIONED)
        return false;
    if (split->doubted_caller != top->address ||
        split->doubted_site != top->instruction ||
        split->doubted_callee != callee->function)
        split->doubts = 0;
    split->doubted_caller = top->address;
    split->doubted_site = top->instruction;
    split->doubted_callee = callee->function;
    split->is_doubted = true;
    if (split->doubts == TRIES_MAX)
        return !split->is_held;
    split->doubts++;
    return false;
}

/* Whether the lower part's top, slots[count - 1], called the frame at
 * slots[count]. */
static bool
called_it(struct guaco__stack_reader *r, size_t count)
{
    const struct slot *top = &r->slots[count - 1], *callee = &r->slots[count];

    if (callee->previous != top->address || callee->is_entry)
        return true; /* through C: nothing here says which call it was */
    for (size_t i = 0; !clears_frames(r->world->layout) && i < count; i++)
        if (is_running(&r->slots[i]))
            return false;
    return top->code->first_line == 0 || callee->code->first_line == 0 ||
           guaco__stack_pair_is_plain(r->world, top, callee) ||
           stands(r, top, callee);
}

static bool
fits(struct guaco__stack_reader *r, size_t first)
{
    if (first == 0)
        return true;
    if (r->split.bottom == 0)
        return !calls_up(r, first);
    return first < r->slot_count &&
           r->slots[first].address == r->split.bottom && called_it(r, first);
}

int
guaco__stack_settle(struct guaco__stack_reader *reader)
{
    struct split *split = &reader->split;

    if (split->at == 0 || split->at >= reader->chunks[0].planned)
        return GUACO_OK;
    size_t first = first_upper(reader);
    if (!split->is_held) {
        if (first > 0) {
            const struct slot *top = &reader->slots[first - 1];
            uint64_t next = top->address + top->code->frame_bytes;
            split->seen = is_upper(reader, next) ? next : split->seen;
        }
        split->bottom = lives(reader, split->seen) ? split->seen : 0;
        split->tries = 0;
    }
    split->is_doubted = false;
    split->is_held = !fits(reader, first);
    if (!split->is_doubted)
        split->doubts = 0;
    if (split->is_held && split->doubts == TRIES_MAX) {
        split->is_held = false; /* does the upper part say so still? */
        return GUACO_E_AGAIN;
    }
    if (split->is_held && ++split->tries < TRIES_MAX)
        return GUACO_E_AGAIN;
    if (split->is_held) { /* the lower part stands for itself */
        split->bottom = 0;
        split->seen = 0;
        split->is_held = false;
    }
    if (split->bottom == 0) /* what is above is of another moment */
        reader->slot_count = first;
    return GUACO_OK;
}
