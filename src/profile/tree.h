#ifndef GUACO_PROFILE_TREE_H
#define GUACO_PROFILE_TREE_H

/*
 * The processes below a profiled one, followed from their birth.
 *
 * At each sample the kernel's lists of children are read, so that a child is
 * seen one period after it began; it is attached to as soon as it runs Python,
 * and again when it runs another program.  One that runs none is asked less
 * and less often, until its executable changes.  A process whose parent ended
 * before it was seen is not found; one that was seen is followed to its end.
 *
 * Threads: none; one owner at a time.
 */

#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "record.h"
#include "target.h"

#define GUACO__TREE_PROCESSES_MAX 4096 /* further ones are not followed */

struct guaco__tree;

/* Returns 0 or GUACO_E_NOMEM.  `pid` itself is the caller's to sample. */
int guaco__tree_new(struct guaco__tree **tree, int pid);
void guaco__tree_free(struct guaco__tree *tree);

/*
 * Look for new processes, attach to those that are due, and sample all into
 * `record`; now_ns is monotonic.  What ended is forgotten.  Returns 0, or as
 * guaco__record_sample() but for a process that ended.
 */
int guaco__tree_sample(struct guaco__tree *tree, struct guaco__record *record,
                       uint64_t now_ns, uint64_t at_ns);

/* How many processes were attached to since the beginning. */
size_t guaco__tree_seen(const struct guaco__tree *tree);

/* The counts of all targets so far, those that ended too. */
struct guaco__target_counts guaco__tree_counts(const struct guaco__tree *tree);

#endif
