#ifndef GUACO_OS_CLOCK_H
#define GUACO_OS_CLOCK_H

/*
 * The only place that reads a clock.  Three of them:
 *
 *   mono_ns      for durations and timers; stops while the machine sleeps
 *   boot_ns      for leases: goes on during sleep, is never stepped, and means
 *                something only together with the boot id (os/proc.h)
 *   wall_ms      Unix time, for what people and schedules see; may be stepped
 *
 * For tests the environment variable GUACO_TEST_CLOCK names a file of at least
 * eight bytes: a signed number of nanoseconds in the machine's byte order,
 * mapped, which is added to the wall clock; so all processes of a tree are
 * shifted at once by one write.  The other two clocks are never shifted: a
 * moved wall clock must not end a lease.
 *
 * Threads: a struct guaco_clock may be read by all at once.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "base/log.h"
#include "guaco/error.h"

struct guaco_clock {
    const _Atomic int64_t *offset_ns; /* private: NULL when not shifted */
};

/*
 * Open the clock; reads GUACO_TEST_CLOCK and, when it is set, says so in the
 * log as a warning.  Returns 0, or GUACO_E_IO or GUACO_E_INVALID when the file
 * cannot be mapped or is too short.
 */
int guaco__clock_open(struct guaco_clock *clock, const struct guaco_log *log,
                      struct guaco_error *err);

void guaco__clock_close(struct guaco_clock *clock);

/* Unix time in milliseconds, or nanoseconds, with the test's offset. */
int64_t guaco__clock_wall_ms(const struct guaco_clock *clock);
int64_t guaco__clock_wall_ns(const struct guaco_clock *clock);

/* What the test's offset adds, in ms; else 0. */
int64_t guaco__clock_shift_ms(const struct guaco_clock *clock);

/* CLOCK_MONOTONIC and CLOCK_BOOTTIME; need no open clock. */
uint64_t guaco__clock_mono_ns(void);
uint64_t guaco__clock_boot_ns(void);

static inline uint64_t
guaco__clock_mono_ms(void)
{
    return guaco__clock_mono_ns() / 1000000;
}

static inline uint64_t
guaco__clock_boot_ms(void)
{
    return guaco__clock_boot_ns() / 1000000;
}

#endif
