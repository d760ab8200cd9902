#ifndef GUACO_PROFILE_TALLY_H
#define GUACO_PROFILE_TALLY_H

/*
 * The stacks of a profile, counted: a tree whose root's children are the
 * outermost frames, and whose nodes know how often they were the leaf.
 *
 *     all -- main.py:run:3 -- main.py:work:10   12 times
 *                          `- main.py:wait:20    3 times
 *
 * Frames are the same when their texts are: two code objects of one function
 * (it was defined twice) count together.  Memory grows with distinct stacks,
 * not with samples.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "guaco/error.h"
#include "guaco/slice.h"

/* A place in a program, by text. */
struct guaco__place {
    struct guaco_slice file; /* empty: not of a file, "(idle)" say */
    struct guaco_slice name;
    int32_t line; /* 0: not told apart by line */
    uint32_t id;  /* 0, 1 ... in the order of discovery */
};

struct guaco__tally_node {
    const struct guaco__place *place; /* NULL: the root */
    struct guaco__tally_node *parent, *first_child, *next_sibling;
    uint64_t self;  /* samples that ended here */
    uint64_t total; /* and in what it called; see guaco__tally_sum() */
    uint64_t self_before, total_before; /* of what it is compared with */
};

struct guaco__tally {
    struct guaco__arena arena;
    struct guaco__map places;   /* by text */
    struct guaco__map children; /* by parent and place */
    struct guaco__tally_node root;
    uint32_t place_count;
    uint64_t samples;
    uint64_t samples_before; /* of another profile, for a comparison */
};

void guaco__tally_init(struct guaco__tally *tally);
void guaco__tally_release(struct guaco__tally *tally);

/* The place of these texts, copied when it is new; alive as long as the
 * tally.  Returns 0, GUACO_E_NOMEM or GUACO_E_LIMIT (over a million places, or
 * 1 GiB). */
int guaco__tally_place(struct guaco__tally *tally, struct guaco_slice file,
                       struct guaco_slice name, int32_t line,
                       const struct guaco__place **place);

/* Count one stack `times` times; places[0] is the outermost.  Returns as
 * above; on failure nothing was counted. */
int guaco__tally_add(struct guaco__tally *tally,
                     const struct guaco__place *const *places, size_t count,
                     uint64_t times);

/* The node of a stack, made when it is new, without counting anything; alive as
 * long as the tally.  Returns as above. */
int guaco__tally_find(struct guaco__tally *tally,
                      const struct guaco__place *const *places, size_t count,
                      struct guaco__tally_node **leaf);

/* Order the children of every node by file, name and line.  Returns 0 or
 * GUACO_E_NOMEM (some are then in order and some not). */
int guaco__tally_sort(struct guaco__tally *tally);

/* Nodes on the longest way from `root` to a leaf, the root included. */
uint32_t guaco__tally_depth(const struct guaco__tally_node *root);

/* Fill in the totals of `root` and all below it.  Call when done with
 * adding. */
void guaco__tally_sum(struct guaco__tally_node *root);

#endif
