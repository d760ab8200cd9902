#ifndef GUACO_PROFILE_VALUES_H
#define GUACO_PROFILE_VALUES_H

/*
 * Python values of the profiled process as short text, as repr() would give it:
 *
 *     None  True  -12  2.5  'text'  b'\x00'  [1, 2, ... 98 more]
 *     {'a': 1}  <set of 3>  <Order at 0x7f..>
 *
 * Nothing of the process is run, so that objects of other classes show their
 * class only.  Numbers over 90 bits, long texts and large containers are cut.
 * What cannot be read, or makes no sense (the process runs on meanwhile), is
 * "<?>".
 *
 * Threads: none; one owner at a time.
 */

#include <stdint.h>

#include "base/buf.h"
#include "guaco/error.h"
#include "layout.h"
#include "memory.h"

#define GUACO__VALUE_ITEMS 5  /* of a container that are shown */
#define GUACO__VALUE_DEPTH 3  /* containers inside of one another */
#define GUACO__VALUE_TEXT  60 /* bytes of a str or bytes that are shown */
#define GUACO__VALUE_READS 96 /* of the memory, for one value */

/* Append the value at `address`.  Returns 0, GUACO_E_CLOSED (the process has
 * ended), GUACO_E_IO, GUACO_E_NOMEM or GUACO_E_LIMIT (of `out`). */
int guaco__value_write(struct guaco__vmem *memory,
                       const struct guaco__layout *layout, uint64_t address,
                       struct guaco__buf *out);

/* Whether values of this layout can be read: not in builds without the GIL,
 * whose objects are laid out otherwise. */
bool guaco__values_are_known(const struct guaco__layout *layout);

/* Where the items of a tuple begin. */
uint32_t guaco__tuple_items(const struct guaco__layout *layout);

#endif
