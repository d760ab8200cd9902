#ifndef GUACO_HTTP_PROXY_PROTOCOL_H
#define GUACO_HTTP_PROXY_PROTOCOL_H

/*
 * The PROXY protocol, versions 1 (text) and 2 (binary): the header by which a
 * load balancer says, before the first byte of a connection, between whom it
 * is (haproxy.org, proxy-protocol.txt).  Strict: a receiver must not guess.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "http/trust.h"

/* Of a whole header; version 2 could say more, in fields that nobody here
 * reads. */
#define GUACO__PROXY_BYTES_MAX 4096

struct guaco__proxy_header {
    /* Of both ends; NONE when the sender speaks for itself (LOCAL), does not
     * know (UNKNOWN), or names an address that is of no use (datagrams).  UNIX
     * has no port, and its paths are not kept. */
    struct guaco__address client;
    struct guaco__address server;
    uint16_t client_port;
    uint16_t server_port;
};

/*
 * Read the header that data[0..len) begins with.  Returns 0 with its length in
 * *used; GUACO_E_AGAIN: what is there can begin one, and more is needed (only
 * with less than GUACO__PROXY_BYTES_MAX); GUACO_E_PROTO: it is none;
 * GUACO_E_LIMIT: it is too long.  The same bytes in any split give the same.
 */
int guaco__proxy_read(const char *data, size_t len,
                      struct guaco__proxy_header *header, size_t *used);

#endif
