#ifndef GUACO_PROFILE_LABELS_H
#define GUACO_PROFILE_LABELS_H

/*
 * Samples joined to what ran: each gets a label, "request /orders/{id}" or
 * "task send_mail", from the board of its process (tags.h), and is counted or
 * not by it.
 *
 * A request that is seen before its route is known is held back until there is
 * an answer, which comes within a sample or two; without one it is of the route
 * "unrouted".
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "tally.h"
#include "target.h"
#include "timeline.h"

#define GUACO__LABEL_BYTES 96   /* of a label, with its NUL */
#define GUACO__HELD_MAX    4096 /* samples; more are of "unrouted" at once */

/* Which samples are wanted: both NULL: all. */
struct guaco__label_filter {
    const char *route; /* the template */
    const char *task;  /* its name, or the part behind the last dot */
};

enum guaco__label_kind {
    GUACO__LABEL_NONE,     /* neither a request nor a task */
    GUACO__LABEL_NAMED,    /* wanted, and its text is there */
    GUACO__LABEL_UNNAMED,  /* a request whose route is not known yet */
    GUACO__LABEL_UNWANTED, /* by the filter */
    GUACO__LABEL_UNSURE,   /* it does something else by now, and too much time
                              has passed to say what the stack was of */
};

/* A sample that waits for its label. */
struct guaco__held {
    struct guaco__list link; /* private */
    uint64_t id;             /* of the request */
    int32_t pid;
    const struct guaco__track *track; /* NULL: no timeline */
    uint64_t at_ns;
    size_t label_at; /* which place is to be its label */
    size_t depth;
    const struct guaco__place *places[]; /* the outermost first */
};

struct guaco__labels;

/* `filter` is borrowed for good.  Returns 0 or GUACO_E_NOMEM. */
int guaco__labels_new(struct guaco__labels **labels,
                      const struct guaco__label_filter *filter);
void guaco__labels_free(struct guaco__labels *labels);

/*
 * Look at the board of process `pid`, just before `target` is sampled: what
 * follows is about it.  A process without a board has no labels.  Returns
 * 0, GUACO_E_NOMEM, or as guaco__tags_look().
 */
int guaco__labels_look(struct guaco__labels *labels, int32_t pid,
                       struct guaco__target *target);

/* The label of a thread; `id` is of an unnamed one. */
enum guaco__label_kind
guaco__labels_of(const struct guaco__labels *labels, int32_t native_id,
                 char text[GUACO__LABEL_BYTES], uint64_t *id);

/* The label of no request and no task; whether it is wanted. */
bool guaco__labels_want_none(const struct guaco__labels *labels);

/* Room for a sample of `depth` places, to be filled in; held from now on.  NULL:
 * there are too many, or no memory. */
struct guaco__held *
guaco__labels_hold(struct guaco__labels *labels, uint64_t id, size_t depth);

/*
 * The next one of the present process whose label is known by now, or of any
 * process when it is the end; taken: free() it.  *text is empty when it is not
 * wanted.  NULL: no other.
 */
struct guaco__held *
guaco__labels_next(struct guaco__labels *labels, bool is_end,
                   char text[GUACO__LABEL_BYTES]);

/* Targets that were looked at may be freed: look them up anew. */
void guaco__labels_forget(struct guaco__labels *labels);

#endif
