#ifndef GUACO_PROFILE_H
#define GUACO_PROFILE_H

/*
 * The profiler: where a Python process spends its time, seen from outside of
 * it, or of one's own process by a thread that needs no interpreter.
 *
 *     struct guaco_profile_options options = {.period_us = 10000};
 *     struct guaco_profile *profile;
 *
 *     if (guaco_profile_open(&profile, pid, &options, &err) == GUACO_OK) {
 *         guaco_profile_start(profile, &err);
 *         ... for as long as one wants ...
 *         guaco_profile_stop(profile);
 *         guaco_profile_save(profile, GUACO_PROFILE_SVG, "out.svg", &err);
 *         guaco_profile_close(profile);
 *     }
 *
 * Nothing is stopped or written in the process: its memory is read
 * (process_vm_readv), which Linux permits for one's own processes and
 * children, and for others with the right to trace them.
 *
 * Threads: every function may be called from every thread, one call at a time
 * goes on inside; guaco_profile_close() is the last.  None calls back while
 * something of it is locked but for the `write` functions, which must not call
 * in here.  After fork() the child may only close it.
 *
 * Limits: CPython 3.8 to 3.15 on 64-bit Linux; 4096 threads; stacks of 4096
 * frames, deeper ones are cut at the root; a million places, 40 million moments
 * and 1 GiB a profile, then GUACO_E_LIMIT, and what was counted stays.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct guaco_profile;

/* Which threads count in a sample. */
enum guaco_profile_threads {
    GUACO_PROFILE_RUNNING, /* those on a CPU, or waiting for one */
    GUACO_PROFILE_ALL,     /* those that have a Python stack */
    GUACO_PROFILE_GIL,     /* the one that holds the GIL */
};

/* Zeroed it is the default. */
struct guaco_profile_options {
    enum guaco_profile_threads threads;
    uint32_t period_us; /* between two samples; 0: 10000 */
    bool counts_idle;   /* "(idle)" where no such thread was found */
    bool by_function;   /* frames without lines */
    bool keeps_time;    /* for the forms that show time */
    const char *title;  /* of pictures, copied; NULL: none */
};

enum guaco_profile_format {
    GUACO_PROFILE_FOLDED,
    GUACO_PROFILE_SVG,
    GUACO_PROFILE_SPEEDSCOPE, /* needs keeps_time */
    GUACO_PROFILE_PPROF,
    GUACO_PROFILE_GECKO,  /* needs keeps_time */
    GUACO_PROFILE_CHROME, /* needs keeps_time */
};

struct guaco_profile_counts {
    uint64_t samples; /* taken */
    uint64_t stacks;  /* counted: one a thread, or "(idle)" */
    uint64_t dropped; /* stacks that could not be read consistently */
    bool has_ended;   /* the process has, or runs another program */
};

/* Takes data[0..len), borrowed until it returns; anything but 0 ends the
 * writing, which then returns the same. */
typedef int guaco_profile_write_fn(void *ctx, const void *data, size_t len);

/* ---- life ---- */

/*
 * Attach to process `pid` (one's own too): find its interpreter.  `options` is
 * copied.
 *
 * Returns 0 and *out, to be closed; GUACO_E_INVALID: an option;
 * GUACO_E_MISSING: no interpreter in this process (yet); GUACO_E_UNSUPPORTED:
 * one of a version that is not known; GUACO_E_CLOSED: no such process;
 * GUACO_E_IO: not permitted (err says what would help); GUACO_E_NOMEM.
 * Takes about a millisecond.
 */
GUACO_API int guaco_profile_open(struct guaco_profile **out, int pid,
                                 const struct guaco_profile_options *options,
                                 struct guaco_error *err);

/* Stop and free it.  NULL is ignored. */
GUACO_API void guaco_profile_close(struct guaco_profile *profile);

/* ---- sampling ---- */

/* Take one sample now.  Returns 0; GUACO_E_CLOSED: the process has ended or
 * runs another program; GUACO_E_IO; GUACO_E_LIMIT; GUACO_E_NOMEM. */
GUACO_API int guaco_profile_sample(struct guaco_profile *profile);

/*
 * Have a thread of its own take a sample each period, until stop, or until one
 * fails (guaco_profile_stop() then tells).  The thread blocks all signals.
 *
 * Returns 0, GUACO_E_STATE (it is started already) or GUACO_E_NOMEM (no
 * thread).
 */
GUACO_API int
guaco_profile_start(struct guaco_profile *profile, struct guaco_error *err);

/* End that thread and wait for it: at most the time of one sample.  Returns 0,
 * or as guaco_profile_sample() why it had ended before.  May be called again,
 * and when nothing was started. */
GUACO_API int guaco_profile_stop(struct guaco_profile *profile);

GUACO_API void guaco_profile_counts(struct guaco_profile *profile,
                                    struct guaco_profile_counts *counts);

/* ---- what was seen ---- */

/*
 * Give what was counted so far to `write`, in one or more pieces.
 *
 * Returns 0; what `write` returned; GUACO_E_INVALID: the form needs
 * keeps_time; GUACO_E_LIMIT: over 1 GiB; GUACO_E_NOMEM.
 */
GUACO_API int guaco_profile_render(struct guaco_profile *profile,
                                   enum guaco_profile_format format,
                                   guaco_profile_write_fn *write, void *ctx,
                                   struct guaco_error *err);

/* The same into a file of mode 0644, which is replaced when the new one is
 * complete.  Returns as above, or GUACO_E_IO. */
GUACO_API int guaco_profile_save(struct guaco_profile *profile,
                                 enum guaco_profile_format format,
                                 const char *path, struct guaco_error *err);

/*
 * What each thread does now, as JSON: an array of {"pid", "thread_id",
 * "os_thread_id", "active", "owns_gil", "frames": [{"name", "qualname",
 * "filename", "line", "locals": [{"name", "repr"}]}]}, the leaf first; the
 * local variables only if asked for.
 *
 * Returns as guaco_profile_sample() and guaco_profile_render();
 * GUACO_E_UNSUPPORTED: local variables of a build without the GIL.
 */
GUACO_API int guaco_profile_dump(struct guaco_profile *profile, bool locals,
                                 guaco_profile_write_fn *write, void *ctx,
                                 struct guaco_error *err);

#ifdef __cplusplus
}
#endif

#endif
