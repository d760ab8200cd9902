#ifndef GUACO_PROFILE_RECORD_H
#define GUACO_PROFILE_RECORD_H

/*
 * A recording: samples of a target, counted as they come.  The caller keeps
 * the time and says when to sample.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/error.h"
#include "labels.h"
#include "tally.h"
#include "target.h"
#include "timeline.h"

struct guaco__record_options {
    int32_t pid;       /* of the target */
    bool threads;      /* all threads, not only the holder of the GIL */
    bool running_only; /* of those, the ones that are on a CPU or want one */
    bool exclude_idle; /* do not count "(idle)" */
    bool by_function;  /* frames without lines */
    bool by_process;   /* each stack begins with its process */
    bool by_task;      /* and with asyncio's task and those that await it */
    bool by_state;     /* and ends with what the thread does, if not Python */
    bool native;       /* with C frames: threads are stopped for them */
    struct guaco__timeline *timeline; /* keep the order too; NULL: do not */
    /* Join samples to requests and tasks, which are then the outermost word,
     * and count those of this filter only.  NULL: do not; borrowed. */
    const struct guaco__label_filter *labels;
};

struct guaco__record;

/*
 * Make ready for the C frames of the record's target, so that it is known before
 * the first sample whether that is possible.  Others are made ready when they
 * are sampled; where that fails their stacks have no C frames.
 *
 * Returns as guaco__native_new().
 */
int guaco__record_native(struct guaco__record *record, struct guaco_error *err);

/* `target` is borrowed.  Returns 0 or GUACO_E_NOMEM. */
int
guaco__record_new(struct guaco__record **record, struct guaco__target *target,
                  const struct guaco__record_options *options);
void guaco__record_free(struct guaco__record *record);

/* Go on with another target, or with none for a while (NULL: nothing is sampled
 * then): the process runs another program.  What was counted stays. */
void guaco__record_follow(struct guaco__record *record,
                          struct guaco__target *target);

/* Take one sample, at_ns after the recording began.  A sample in which
 * no thread holds the GIL counts as "(idle)"; one whose stack could not be read,
 * or whose thread runs no Python frame yet, is not counted.  Returns as
 * guaco__target_sample(), guaco__tally_add(). */
int guaco__record_sample(struct guaco__record *record, uint64_t at_ns);

/* The same of another target, of process `pid`.  An idle one is not counted as
 * such.  guaco__record_forget() before a target that was sampled is freed. */
int guaco__record_sample_of(struct guaco__record *record,
                            struct guaco__target *target, int32_t pid,
                            uint64_t at_ns);
void guaco__record_forget(struct guaco__record *record);

/* Count what waits for the name of its request: before the tally, or the
 * timeline, is written.  Returns as guaco__record_sample(). */
int guaco__record_settle(struct guaco__record *record);

/* What was counted so far, borrowed; the caller may sort and sum it. */
struct guaco__tally *guaco__record_tally(struct guaco__record *record);

/* How often what was seen, over all samples. */
struct guaco__record_counts {
    uint64_t rounds; /* samples taken */
    uint64_t active; /* in which a thread ran */
    uint64_t gil;    /* in which one held the GIL */
    size_t threads;  /* in the last sample */
    uint64_t unsure; /* stacks that may be of this request or of that one */
    uint64_t bare;   /* stacks that should have C frames and have none */
    uint64_t stops, stopped_ns, stopped_most_ns; /* of threads, for those */
};
const struct guaco__record_counts *
guaco__record_counts(struct guaco__record *record);

/* The line of a frame, at least 1. */
int32_t guaco__frame_line(const struct guaco__layout *layout,
                          const struct guaco__frame *frame);

#endif
