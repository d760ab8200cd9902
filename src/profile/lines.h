#ifndef GUACO_PROFILE_LINES_H
#define GUACO_PROFILE_LINES_H

/*
 * From a byte offset in a code object's bytecode to a line of its file.
 *
 * CPython has had three tables: co_lnotab (to 3.9), PEP 626's co_linetable
 * (3.10) and the location table (from 3.11, Objects/locations.md).  A table
 * that is cut or makes no sense gives the line that was reached, never more.
 */

#include <stdint.h>

#include "guaco/slice.h"

enum guaco__line_table {
    GUACO__LINES_LNOTAB,    /* 3.8, 3.9 */
    GUACO__LINES_RANGES,    /* 3.10, PEP 626 */
    GUACO__LINES_LOCATIONS, /* 3.11 and later */
};

/*
 * The line of the instruction at byte `offset` (0 or more), given the table
 * and co_firstlineno.  An instruction without a line of its own has that of
 * the nearest one before it, else `first_line`.
 */
int32_t guaco__lines_find(enum guaco__line_table kind, struct guaco_slice table,
                          int32_t first_line, uint32_t offset);

#endif
