#ifndef GUACO_PROFILE_ELF_FILE_H
#define GUACO_PROFILE_ELF_FILE_H

/*
 * Reading an ELF file (System V gABI, chapters 4 and 5) from memory: where a
 * symbol or a section is.  64-bit little-endian files only.  The file is
 * hostile input: every offset in it is checked against its size, and nothing
 * loops longer than the file is long.
 *
 * Threads: no shared state.  No allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"

struct guaco__elf {
    struct guaco_slice image; /* borrowed; outlives the struct */
    uint64_t segment_offset, section_offset;
    uint32_t segment_count, section_count;
    struct guaco_slice section_names;
};

/* A place in the file's own address space; add the load bias. */
struct guaco__elf_place {
    uint64_t address;
    uint64_t bytes;
};

/* Returns 0, or GUACO_E_PROTO: not such a file, or its tables lie outside. */
int guaco__elf_open(struct guaco__elf *elf, struct guaco_slice image,
                    struct guaco_error *err);

/* Where the dynamic or static symbol `name` is, by the GNU hash table where
 * the file has one (no scan).  Returns 0 or GUACO_E_MISSING. */
int guaco__elf_symbol(const struct guaco__elf *elf, const char *name,
                      struct guaco__elf_place *place);

/* Returns 0 or GUACO_E_MISSING. */
int guaco__elf_section(const struct guaco__elf *elf, const char *name,
                       struct guaco__elf_place *place);

/* What is at `address` of the file's address space, as far as the file holds
 * it: at least `len` bytes, or an empty slice. */
struct guaco_slice
guaco__elf_bytes(const struct guaco__elf *elf, uint64_t address, size_t len);

/*
 * The load bias, given that file offset `offset` is mapped at `address`.
 * Returns 0 or GUACO_E_MISSING (no loadable segment holds that offset).
 */
int guaco__elf_bias(const struct guaco__elf *elf, uint64_t address,
                    uint64_t offset, uint64_t *bias);

#endif
