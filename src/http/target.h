#ifndef GUACO_HTTP_TARGET_H
#define GUACO_HTTP_TARGET_H

/* Percent-encoding in request targets (RFC 3986 2.1). */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/slice.h"

struct guaco__decoded {
    size_t len;        /* bytes written */
    bool is_malformed; /* a '%' without two hexadecimal digits; it was copied
                          as it is */
    bool is_ascii;     /* no byte from 0x80 was written */
};

/*
 * Decode `raw` once into out, which has room for raw.len bytes and may be
 * raw.at itself.  '+' stays '+'.  The result may hold any byte, NUL and '/'
 * among them: whoever makes a file name of it checks that first.
 */
struct guaco__decoded guaco__percent_decode(struct guaco_slice raw, char *out);

/* True when there is nothing to decode: no '%' in it. */
bool guaco__is_plain(struct guaco_slice raw);

#endif
