#ifndef GUACO__SERVER_PROXY_H
#define GUACO__SERVER_PROXY_H

/*
 * What is believed of those who speak for others: the PROXY header at the
 * start of a connection, and the fields of a request.
 */

#include <stdbool.h>

#include "http/forwarded.h"
#include "http/proxy_protocol.h"
#include "http/trust.h"

struct guaco__conn;
struct guaco__exchange;

/* A part of the server's options; all zero: nobody is believed. */
struct guaco__proxies {
    /* From these peers the fields are read; from others they are taken out.
     * Empty: no field is looked at, and what comes is passed on. */
    struct guaco__trust headers;
    enum guaco__forwarded_family family;
    /* Each connection begins with a PROXY header, and only these peers may
     * connect. */
    bool reads_protocol;
    struct guaco__trust protocol;
};

/* The options as a command line has them: `reads_headers` is --proxy-headers,
 * and who may connect is, unsaid, who may write the fields. */
void guaco__proxies_settle(struct guaco__proxies *proxies, bool reads_headers);

/*
 * Read what there is of the PROXY header and not a byte behind it: that may
 * be the first of a TLS handshake.  True once the connection is in its next
 * state; false: more is awaited, or it has failed.
 */
bool guaco__proxy_greet(struct guaco__conn *conn);

/* Let the request of `x`, of which nobody was told yet, say what its trusted
 * proxy knows.  Returns 0, GUACO_E_PROTO (answer 400) or GUACO_E_NOMEM. */
int guaco__proxy_apply(struct guaco__exchange *x);

#endif
