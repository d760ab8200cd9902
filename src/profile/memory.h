#ifndef GUACO_PROFILE_MEMORY_H
#define GUACO_PROFILE_MEMORY_H

/*
 * The profiler's waist: how the memory of the profiled process is read.
 *
 * A live process is read by process_vm_readv(2); a recorded fixture is a file
 * of address ranges, so that everything above this line is tested without
 * privileges and without the interpreter in question.  What comes back is
 * another program's memory, which runs on meanwhile: every byte is hostile
 * input and no pointer in it is true until it was checked.
 *
 * Threads: none; one owner at a time.
 */

#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"

/* One range to be read: `len` bytes from `from` over there to `to` here. */
struct guaco__span {
    uint64_t from;
    void *to;
    size_t len;
};

/* Most spans of one read; the kernel's IOV_MAX. */
#define GUACO__SPANS_MAX 1024

struct guaco__vmem;

struct guaco__vmem_ops {
    const char *name;
    int (*read)(struct guaco__vmem *memory, const struct guaco__span *spans,
                size_t count, size_t *done);
    void (*close)(struct guaco__vmem *memory);
};

struct guaco__vmem {
    const struct guaco__vmem_ops *ops;
    uint64_t reads; /* how often it was read: system calls, for a process */
};

/*
 * Read all spans, in order, in one system call where there is one.  Spans
 * before the one that failed are filled; *done (may be NULL) says how many.
 *
 * Returns 0; GUACO_E_AGAIN: a range is not mapped there (any more);
 * GUACO_E_CLOSED: the process has ended; GUACO_E_IO: not permitted, or another
 * failure of the system.
 */
int
guaco__vmem_read(struct guaco__vmem *memory, const struct guaco__span *spans,
                 size_t count, size_t *done);

/* The same for one range. */
static inline int
guaco__vmem_get(struct guaco__vmem *memory, uint64_t from, void *to, size_t len)
{
    struct guaco__span span = {from, to, len};
    return guaco__vmem_read(memory, &span, 1, NULL);
}

/* The same for one 64-bit word, a pointer say. */
static inline int
guaco__vmem_word(struct guaco__vmem *memory, uint64_t from, uint64_t *word)
{
    return guaco__vmem_get(memory, from, word, sizeof *word);
}

/* Free it.  NULL is ignored. */
void guaco__vmem_close(struct guaco__vmem *memory);

/* The memory of process `pid`.  Nothing is read yet, so that a wrong pid shows
 * at the first read.  Returns 0 or GUACO_E_NOMEM. */
int guaco__vmem_of_process(struct guaco__vmem **memory, int pid,
                           struct guaco_error *err);

/*
 * A recorded fixture, copied from image[0..len):
 *
 *     "GUACOMEM" u32 version=1  u32 range_count
 *     range_count times: u64 address, u64 bytes
 *     the bytes of all ranges, one after the other
 *
 * in little endian; ranges ascend and do not overlap.  Returns 0,
 * GUACO_E_PROTO (not such a file) or GUACO_E_NOMEM.
 */
int guaco__vmem_of_fixture(struct guaco__vmem **memory, const void *image,
                           size_t len, struct guaco_error *err);

#endif
