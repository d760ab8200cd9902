#ifndef GUACO_OS_CGROUP_H
#define GUACO_OS_CGROUP_H

/*
 * How much of the machine this process may use: a container's limits stand in
 * its control group (v2, or v1 where that is mounted) and in the CPU affinity,
 * not in the number of processors.
 *
 * Threads: from any.
 */

#include <stdint.h>

struct guaco__limits {
    uint32_t cpu_milli;    /* thousandths of a CPU; UINT32_MAX: no limit */
    uint64_t memory_bytes; /* UINT64_MAX: no limit */
};

/*
 * Read the limits of this process's group and of all groups above it; the
 * least holds.  `root` is "" or, in tests, a folder that has proc and sys in
 * it.  What cannot be read counts as no limit.
 */
struct guaco__limits guaco__cgroup_limits(const char *root);

/* The number of CPUs worth a worker each: those of the affinity mask, at most
 * the limit rounded up, at least 1. */
uint32_t guaco__cgroup_cpus(const struct guaco__limits *limits);

#endif
