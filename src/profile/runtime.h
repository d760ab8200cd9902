#ifndef GUACO_PROFILE_RUNTIME_H
#define GUACO_PROFILE_RUNTIME_H

/*
 * The interpreter in a running process: which version it is, where its
 * _PyRuntime lies, and how its memory is laid out.
 *
 * Order of the search: each mapped file that looks like an interpreter (the
 * executable, then files named like libpython, then all others that are
 * mapped executable), by the symbol _PyRuntime, else the section .PyRuntime.
 * Files are opened through /proc/PID, so that containers seen from the host
 * and deleted files work.
 */

#include <stdint.h>

#include "guaco/error.h"
#include "layout.h"
#include "mappings.h"
#include "memory.h"

struct guaco__runtime {
    uint64_t address; /* of _PyRuntime */
    struct guaco__layout layout;
    uint32_t hexversion; /* PY_VERSION_HEX; low 16 bits may be 0 */
};

/*
 * Find the interpreter of process `pid`, whose memory is `memory`.
 *
 * Returns 0; GUACO_E_MISSING: no interpreter in this process (yet);
 * GUACO_E_UNSUPPORTED: one of a version whose layout is not known;
 * GUACO_E_CLOSED: no such process; GUACO_E_IO: not permitted (err says what
 * would help); GUACO_E_PROTO, GUACO_E_LIMIT, GUACO_E_NOMEM.
 */
int guaco__runtime_find(struct guaco__runtime *runtime, int pid,
                        struct guaco__vmem *memory, struct guaco_error *err);

/*
 * Where section `name` lies in the process, in the first of its mapped files
 * that has one: the executable, libpython and files whose path holds `word`
 * are looked through.  Returns 0, GUACO_E_MISSING, or as above.
 */
int guaco__section_find(int pid, const char *name, const char *word,
                        uint64_t *address, struct guaco_error *err);

/*
 * What one mapped file says, for tests: its image, and where file offset
 * `offset` of it is mapped.  `path` serves as the last resort for the version.
 * Returns as guaco__runtime_find().
 */
int guaco__runtime_in_file(struct guaco__runtime *runtime,
                           struct guaco__vmem *memory, struct guaco_slice image,
                           uint64_t mapped_at, uint64_t offset,
                           struct guaco_slice path, struct guaco_error *err);

#endif
