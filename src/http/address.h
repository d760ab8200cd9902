#ifndef GUACO_HTTP_ADDRESS_H
#define GUACO_HTTP_ADDRESS_H

/*
 * Network addresses as bytes and as text.
 *
 * An IPv4 address that is mapped into IPv6 (::ffff:10.0.0.1, as a socket that
 * listens on both names its clients) is the IPv4 address.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/slice.h"

enum guaco__address_kind {
    GUACO__ADDRESS_NONE, /* not known, or said to be hidden */
    GUACO__ADDRESS_IPV4,
    GUACO__ADDRESS_IPV6,
    GUACO__ADDRESS_UNIX,
};

struct guaco__address {
    enum guaco__address_kind kind;
    uint8_t bytes[16]; /* IPv4: the first four; unused: zero */
};

#define GUACO__ADDRESS_TEXT_BYTES 48

/* Read a numeric address without brackets, port or zone.  False, and kind NONE,
 * when it is none. */
bool
guaco__address_parse(struct guaco_slice text, struct guaco__address *address);

/* An address from its 4 or 16 bytes in network order. */
struct guaco__address
guaco__address_of(enum guaco__address_kind kind, const uint8_t *bytes);

/* The canonical text of an IPv4 or IPv6 address with a NUL; else "". */
void guaco__address_format(const struct guaco__address *address,
                           char out[GUACO__ADDRESS_TEXT_BYTES]);

#endif
