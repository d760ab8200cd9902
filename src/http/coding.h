#ifndef GUACO_HTTP_CODING_H
#define GUACO_HTTP_CODING_H

/* Content codings and their negotiation (RFC 9110 8.4 and 12.5.3). */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/http/app.h"

/* In the server's order of preference, what is smallest first. */
enum guaco__coding {
    GUACO__CODING_BR,
    GUACO__CODING_ZSTD,
    GUACO__CODING_GZIP,
    GUACO__CODING_COUNT,
    GUACO__CODING_IDENTITY = GUACO__CODING_COUNT,
};

/* "br", "zstd", "gzip"; "identity".  Lives for ever. */
struct guaco_slice guaco__coding_name(enum guaco__coding coding);

/*
 * The codings that the client takes no less gladly than none at all, those it
 * likes best first, equals in the server's order.  Gives their number; a
 * request without Accept-Encoding takes none that need be told.  A weight that
 * is malformed counts as 0.
 */
size_t guaco__codings_read(const struct guaco_request *request,
                           enum guaco__coding codings[GUACO__CODING_COUNT]);

#endif
