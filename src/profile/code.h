#ifndef GUACO_PROFILE_CODE_H
#define GUACO_PROFILE_CODE_H

/*
 * Code objects of the profiled process: read once, kept by address.
 *
 * A sample names functions by the addresses of their code objects; what is
 * behind an address (file, name, line table) is fetched when it is first seen.
 * The process may free a code object and put another at its address, so an
 * entry is checked against two of the object's own words when asked to, and
 * all are dropped when the interpreter's count of freed code objects rises
 * (3.14 and later).
 *
 * Entries live until guaco__codes_release(): an address that gets another
 * code object gets another entry, and samples keep what they named.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "layout.h"
#include "memory.h"

struct guaco__code {
    uint64_t address;
    uint64_t bytecode;     /* address of the first instruction, from 3.11 */
    uint32_t bytecode_len; /* bytes */
    uint32_t frame_bytes;  /* of a frame on the data stack, from 3.11 */
    int32_t first_line;
    uint32_t id; /* 0, 1, 2 ... in the order of discovery */
    struct guaco_slice file, name, qualname; /* UTF-8; qualname may be empty */
    struct guaco_slice line_table;
    uint64_t line_table_at; /* its address there: the check of identity */
};

#define GUACO__CODE_HOT 1024

struct guaco__codes {
    struct guaco__vmem *memory;         /* borrowed */
    const struct guaco__layout *layout; /* borrowed */
    struct guaco__arena arena;
    struct guaco__map by_address;
    uint32_t count;
    struct guaco__code *hot[GUACO__CODE_HOT]; /* by low bits of the address */
};

/* Begin with no entry; `memory` and `layout` outlive it. */
void guaco__codes_init(struct guaco__codes *codes, struct guaco__vmem *memory,
                       const struct guaco__layout *layout);
void guaco__codes_release(struct guaco__codes *codes);

/* The entry of the code object at `address` if it is known, else NULL.  Reads
 * nothing. */
struct guaco__code *
guaco__codes_peek(struct guaco__codes *codes, uint64_t address);

/*
 * The same, fetching it when it is not known.
 *
 * Returns 0; GUACO_E_AGAIN: there is no code object at this address (now);
 * GUACO_E_CLOSED, GUACO_E_IO as the memory; GUACO_E_NOMEM; GUACO_E_LIMIT: over
 * the cap of memory for names.
 */
int guaco__codes_get(struct guaco__codes *codes, uint64_t address,
                     struct guaco__code **code);

/* Forget which addresses hold what; entries stay alive. */
void guaco__codes_forget(struct guaco__codes *codes);

/* The line of the instruction at byte `offset` of the bytecode. */
int32_t guaco__code_line(const struct guaco__code *code,
                         const struct guaco__layout *layout, uint32_t offset);

#endif
