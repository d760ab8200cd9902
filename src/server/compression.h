#ifndef GUACO__SERVER_COMPRESSION_H
#define GUACO__SERVER_COMPRESSION_H

/*
 * Responses of the application in the content coding that the client likes
 * best: a layer that stands between the application's answer calls and the
 * protocol's.
 *
 * Compressed is what has a type that shrinks and is not encoded already, of
 * status 200 to 299 but 204, 205 and 206, to any method but HEAD, unless
 * Cache-Control says no-transform or the announced length is small.  Each
 * piece of a stream is flushed, so that events arrive when they are sent.
 * Files that are sent as such (sendfile) stay as they are.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"
#include "guaco/http/app.h"
#include "guaco/slice.h"

struct guaco__server;

#define GUACO__COMPRESS_TYPES_MAX  16
#define GUACO__COMPRESS_TYPE_BYTES 80

/* Streams that are open at once; more are sent as they are. */
#define GUACO__COMPRESSORS_MAX 128

/* A part of the server's options. */
struct guaco__compression {
    bool is_on;
    size_t min_bytes; /* of a body worth it, when its length is known (500) */
    /* "text/html" or "text/" and all below it, in lower case; none: what is
     * known to shrink (http/media_type.h) */
    char types[GUACO__COMPRESS_TYPES_MAX][GUACO__COMPRESS_TYPE_BYTES];
    unsigned type_count;
};

void guaco__compression_init(struct guaco__compression *compression);

/* Add "text/html", "text/" + "*", or several separated by commas.  Returns 0,
 * GUACO_E_INVALID or GUACO_E_LIMIT. */
int
guaco__compression_add_types(struct guaco__compression *compression,
                             struct guaco_slice types, struct guaco_error *err);

/* A layer before `inner` by server->options.compression (both borrowed).  Gives
 * the application to use in its place; NULL when out of memory. */
struct guaco_app *guaco__compression_layer_new(struct guaco__server *server,
                                               struct guaco_app *inner);
void guaco__compression_layer_free(struct guaco_app *app);

#endif
