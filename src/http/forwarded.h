#ifndef GUACO_HTTP_FORWARDED_H
#define GUACO_HTTP_FORWARDED_H

/*
 * What a proxy says of the request that it passes on: X-Forwarded-For, -Proto,
 * -Host, -Port and -Prefix, or the one field of RFC 7239, Forwarded.
 *
 * Only one of the two families is read.  A proxy that writes one passes the
 * other on as its client has sent it, so that what stands there is anybody's;
 * the fields that are not read are to be taken out, with all of them when the
 * other side is not trusted: see guaco__forwarded_keeps().
 *
 * The list of hops is walked from the right, from the proxy that is nearest:
 * each trusted hop vouches for the one on its left.  The first that is not
 * trusted is the client; when all are, the leftmost is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/http/app.h"
#include "http/trust.h"

enum guaco__forwarded_family {
    GUACO__FORWARDED_X,       /* X-Forwarded-* */
    GUACO__FORWARDED_RFC7239, /* Forwarded */
};

/* Slices point into the fields, but for scheme, which lives for ever.  What
 * was not said is empty, 0 or NONE. */
struct guaco__forwarded {
    struct guaco__address client; /* NONE: stay with the address of the peer */
    uint16_t client_port;
    struct guaco_slice scheme; /* "http" or "https" */
    struct guaco_slice host;   /* with a port, perhaps */
    uint16_t port;
    struct guaco_slice prefix; /* a path without slash at its end */
};

/*
 * Read the fields of a request that came from a trusted peer.  An entry for a
 * hop that is no address (unknown, hidden, or garbage) ends the walk: the
 * client is then the hop that named it.
 *
 * Returns 0, or GUACO_E_PROTO: two schemes, hosts, ports or prefixes that
 * differ, or a value that is none; *why says which, for the log.
 */
int guaco__forwarded_read(enum guaco__forwarded_family family,
                          const struct guaco_field *fields, size_t count,
                          const struct guaco__trust *trust,
                          struct guaco__forwarded *out, const char **why);

/* Whether an application may see this field of a request that came from a
 * peer that is trusted or not: false for the fields of both families that
 * nobody has vouched for. */
bool guaco__forwarded_keeps(enum guaco__forwarded_family family,
                            bool is_trusted, struct guaco_slice name);

#endif
