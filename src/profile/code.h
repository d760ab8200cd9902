#ifndef GUACO_PROFILE_CODE_H
#define GUACO_PROFILE_CODE_H

/*
 * Code objects of the profiled process: read once, kept by address.
 *
 * A sample names functions by the addresses of their code objects; what is
 * behind an address (file, name, line table) is fetched when it is first seen.
 * The process may free a code object and put another at its address.  So an
 * entry is believed for one epoch; guaco__codes_renew() begins the next and
 * compares what was used lately with the process in one read: the object's
 * pointers and first line, the length and hash of its name, and the last bytes
 * of its file's name (which is not hashed over there).
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
    uint64_t name_at;  /* of its name there */
    uint64_t tail_at;  /* of the last 8 bytes of its file's name */
    uint64_t proof[6]; /* of its identity */
    uint32_t epoch;    /* in which it was last compared */
    bool is_used;      /* in this epoch */
};

#define GUACO__CODE_HOT    1024
#define GUACO__CODE_RECENT 128

struct guaco__codes {
    struct guaco__vmem *memory;         /* borrowed */
    const struct guaco__layout *layout; /* borrowed */
    struct guaco__arena arena;
    struct guaco__map by_address;
    uint32_t count;
    struct guaco__code *hot[GUACO__CODE_HOT]; /* by low bits of the address */
    uint32_t epoch;
    struct guaco__code *recent[GUACO__CODE_RECENT];
    size_t recent_count;
    char copies[GUACO__CODE_RECENT][GUACO__CODE_BYTES_MAX]; /* being compared */
    uint64_t names[GUACO__CODE_RECENT][3];
};

/* Begin with no entry; `memory` and `layout` outlive it. */
void guaco__codes_init(struct guaco__codes *codes, struct guaco__vmem *memory,
                       const struct guaco__layout *layout);
void guaco__codes_release(struct guaco__codes *codes);

/* The entry of the code object at `address` if it is known, else NULL.  Reads
 * only to compare an entry that was not used in the last epoch. */
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

/* Code objects may have been freed: begin an epoch.  Tells whether one of those
 * used lately was replaced. */
bool guaco__codes_renew(struct guaco__codes *codes);

/* The line of the instruction at byte `offset` of the bytecode. */
int32_t guaco__code_line(const struct guaco__code *code,
                         const struct guaco__layout *layout, uint32_t offset);

#endif
