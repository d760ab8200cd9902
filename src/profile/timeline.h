#ifndef GUACO_PROFILE_TIMELINE_H
#define GUACO_PROFILE_TIMELINE_H

/*
 * The order in which a recording saw its stacks: one moment a sample and
 * thread, beside the counts of the tally.  Forms that show time are written
 * from it.  24 bytes a moment, so that it is kept only for those.
 *
 * Threads: none; one owner at a time.
 */

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "guaco/error.h"
#include "tally.h"

/* More moments are not kept: 40 million, four days at 100 Hz. */
#define GUACO__TIMELINE_MOMENTS_MAX ((size_t)40 * 1000 * 1000)
#define GUACO__TIMELINE_THREADS_MAX 65536u

/* A thread of a process; lives as long as the timeline. */
struct guaco__track {
    int32_t pid;
    uint64_t thread_id;      /* pthread_t; 0: no thread, the idle process */
    int32_t native_id;       /* of the kernel; 0: not known */
    struct guaco_slice name; /* may be empty */
    uint32_t index;          /* 0, 1 ... in the order of discovery */
    char key[12];            /* private: pid and thread */
    const struct guaco__track *next; /* in that order */
};

struct guaco__moment {
    uint64_t at_ns; /* since the recording began */
    const struct guaco__tally_node *leaf;
    const struct guaco__track *track;
};

struct guaco__timeline {
    struct guaco__buf moments; /* private: of struct guaco__moment */
    struct guaco__arena arena; /* private: of tracks */
    struct guaco__map by_key;  /* private */
    const struct guaco__track *first;
    struct guaco__track *last; /* private */
    uint32_t track_count;
    uint64_t lost; /* moments that had no place any more */
};

void guaco__timeline_init(struct guaco__timeline *timeline);
void guaco__timeline_release(struct guaco__timeline *timeline);

/* The track of a thread, made with `name` (copied) when it is new.  Returns 0,
 * GUACO_E_LIMIT or GUACO_E_NOMEM. */
int guaco__timeline_track(struct guaco__timeline *timeline, int32_t pid,
                          uint64_t thread_id, int32_t native_id,
                          struct guaco_slice name,
                          const struct guaco__track **track);

/* Keep a moment; one that is over the cap is counted as lost.  Returns 0 or
 * GUACO_E_NOMEM. */
int guaco__timeline_add(struct guaco__timeline *timeline, uint64_t at_ns,
                        const struct guaco__tally_node *leaf,
                        const struct guaco__track *track);

/* Put the moments into the order of time, where they were not added so. */
void guaco__timeline_sort(struct guaco__timeline *timeline);

/* The moments, in the order of time. */
size_t guaco__timeline_count(const struct guaco__timeline *timeline);
const struct guaco__moment *
guaco__timeline_moments(const struct guaco__timeline *timeline);

/* What a track is called: its name, else by its numbers; appended to `out`.
 * Returns as guaco__buf_append(). */
int
guaco__track_write(const struct guaco__track *track, struct guaco__buf *out);

/*
 * The moments as a tree whose siblings are in the order of time: a stack is
 * merged with what the same thread did the moment before, and with nothing
 * else.  Each thread that had samples is a child of the root when there are
 * several.
 *
 * Returns 0 and the root, allocated in `arena`, totals filled in;
 * GUACO_E_NOMEM.
 */
int guaco__timeline_tree(const struct guaco__timeline *timeline,
                         struct guaco__arena *arena,
                         struct guaco__tally_node **root);

#endif
