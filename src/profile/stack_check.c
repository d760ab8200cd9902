/*
 * Whether a caller and a callee found side by side can be true.
 *
 * A torn copy joins the frames of two moments.  What gives it away: the
 * caller's instruction is none that pushes a frame, or it is specialised for
 * one function and the callee is another.  Both the function's version and the
 * instruction's cache change rarely, so they are kept by address and read
 * again only when they contradict the stack.
 */

#include "stack_int.h"

#include <assert.h>
#include <string.h>

#include "opcodes.h"

#define BEFORE GUACO__OPCODE_BEFORE
#define WINDOW (BEFORE + 8u) /* and the instruction with two cache units more */

static struct guaco_slice
key_of(const uint64_t *address)
{
    return (struct guaco_slice){(const char *)address, sizeof *address};
}

/* To 3.12 a caller's pointer names the end of its instruction. */
static bool
names_last_unit(const struct guaco__layout *layout, bool is_caller)
{
    return is_caller && layout->version <= GUACO__VERSION(3, 12);
}

/* ---- call sites ------------------------------------------------------------ */

static bool
site_read(struct guaco__stack_world *world, const struct slot *slot,
          bool is_caller, struct call_site *site)
{
    uint8_t window[WINDOW];
    uint32_t start;

    /* Bytecode begins deep inside its object: what lies before is mapped. */
    if (guaco__vmem_get(world->memory, slot->instruction - BEFORE, window,
                        sizeof window) != GUACO_OK)
        return false;
    site->kind = (uint8_t)guaco__opcode_at(
        world->layout->version, window, BEFORE,
        names_last_unit(world->layout, is_caller), &start);
    if (site->kind == GUACO__OPCODE_VERSIONED)
        memcpy(&site->function_version, window + start + 4, 4);
    return true;
}

/* Callers and leaves read their pointer differently to 3.12, and are kept
 * apart by the lowest bit, which no instruction has. */
static struct call_site *
site_get(struct guaco__stack_world *world, const struct slot *slot,
         bool is_caller)
{
    uint64_t key = slot->instruction | (is_caller ? 1u : 0u);
    struct call_site *site = guaco__map_get(&world->sites, key_of(&key));

    if (site != NULL)
        return site;
    site = guaco__arena_calloc(&world->arena, 1, sizeof *site);
    if (site == NULL || !site_read(world, slot, is_caller, site))
        return NULL;
    site->address = key;
    if (guaco__map_put(&world->sites, key_of(&site->address), site) != GUACO_OK)
        return NULL;
    return site;
}

uint8_t
guaco__stack_site_kind(struct guaco__stack_world *world,
                       const struct slot *slot, bool is_caller)
{
    const struct call_site *site = site_get(world, slot, is_caller);

    return site == NULL ? GUACO__OPCODE_OTHER : site->kind;
}

/* ---- functions --------------------------------------------------------------- */

static bool
function_read(struct guaco__stack_world *world, uint64_t address,
              struct function *function)
{
    const struct guaco__layout *l = world->layout;
    struct guaco__span spans[2] = {
        {address + l->function.code, &function->code, 8},
        {address + l->function.version, &function->version, 4},
    };

    return guaco__vmem_read(world->memory, spans, 2, NULL) == GUACO_OK;
}

static struct function *
function_get(struct guaco__stack_world *world, uint64_t address)
{
    struct function *function =
        guaco__map_get(&world->functions, key_of(&address));

    if (function != NULL)
        return function;
    function = guaco__arena_calloc(&world->arena, 1, sizeof *function);
    if (function == NULL || !function_read(world, address, function))
        return NULL;
    function->address = address;
    if (guaco__map_put(&world->functions, key_of(&function->address),
                       function) != GUACO_OK)
        return NULL;
    return function;
}

/* ---- the pair ----------------------------------------------------------------- */

static bool
is_inside(const struct slot *slot)
{
    const struct guaco__code *code = slot->code;

    return slot->instruction >= code->bytecode &&
           slot->instruction - code->bytecode < code->bytecode_len;
}

static bool
agrees(const struct call_site *site, const struct function *function,
       const struct slot *callee)
{
    if (function->code != callee->code->address)
        return false;
    return site->kind == GUACO__OPCODE_INLINE ||
           (site->kind == GUACO__OPCODE_VERSIONED &&
            site->function_version == function->version);
}

/* After a mismatch that reading both again did not mend. */
static bool
believe(struct call_site *site, const struct function *function,
        const struct slot *callee)
{
    if (site->kind != GUACO__OPCODE_VERSIONED ||
        function->code != callee->code->address)
        return false;
    if (site->doubts < DOUBTS_MAX)
        site->doubts++;
    return site->doubts == DOUBTS_MAX;
}

static bool
pair_look_up(struct guaco__stack_world *world, const struct slot *caller,
             const struct slot *callee, bool may_believe,
             struct call_site **found)
{
    struct call_site *site = site_get(world, caller, true);

    *found = site;
    struct function *function = function_get(world, callee->function);
    if (site == NULL || function == NULL)
        return false;
    if (agrees(site, function, callee))
        return true;
    if (site->doubts == DOUBTS_MAX)
        return function->code == callee->code->address;
    /* Specialised anew, or another function at the same address. */
    if (!site_read(world, caller, true, site) ||
        !function_read(world, callee->function, function))
        return false;
    return agrees(site, function, callee) ||
           (may_believe && believe(site, function, callee));
}

/* Most pairs of a sample were there in the one before.  Each that is true ends
 * the row of doubts about its site. */
static bool
pair_check(struct guaco__stack_world *world, const struct slot *caller,
           const struct slot *callee, bool may_believe)
{
    uint64_t key = caller->instruction * 31 + (callee->function >> 4);
    struct proven *proven = &world->proven[key % PROVEN_SLOTS];
    struct call_site *site = proven->site;

    if (!is_inside(caller))
        return false;
    if (site == NULL || proven->instruction != caller->instruction ||
        proven->function != callee->function ||
        proven->callee != callee->code) {
        if (!pair_look_up(world, caller, callee, may_believe, &site))
            return false;
        *proven = (struct proven){caller->instruction, callee->function,
                                  callee->code, site};
    }
    if (site->doubts < DOUBTS_MAX) /* once believed, always */
        site->doubts = 0;
    return true;
}

bool
guaco__stack_pair_is_true(struct guaco__stack_world *world,
                          const struct slot *caller, const struct slot *callee)
{
    return pair_check(world, caller, callee, true);
}

bool
guaco__stack_pair_is_plain(struct guaco__stack_world *world,
                           const struct slot *caller, const struct slot *callee)
{
    return pair_check(world, caller, callee, false);
}
