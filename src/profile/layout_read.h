#ifndef GUACO_PROFILE_LAYOUT_READ_H
#define GUACO_PROFILE_LAYOUT_READ_H

/* Reading copied memory by a layout's offsets. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "layout.h"

/* Whether this version has the field. */
static inline bool
has(uint32_t offset)
{
    return offset != GUACO__NOWHERE;
}

/* The word at `offset` of a copy, which need not be aligned. */
static inline uint64_t
word_at(const char *at, uint64_t offset)
{
    uint64_t word;

    memcpy(&word, at + offset, sizeof word);
    return word;
}

#endif
