#ifndef GUACO_HTTP_FILE_PATH_H
#define GUACO_HTTP_FILE_PATH_H

/* From the path of a request to the name of a file below a folder. */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/slice.h"

/* Longer ones name no file. */
#define GUACO__FILE_PATH_BYTES 1024

/* The part of a path behind a route, when the route's segments are the first
 * of it: "/static" has "/static", "/static/" and "/static/a", not "/statics".
 * `route` has no slash at its end; "" has every path.  The rest is empty or
 * begins with a slash; at is NULL: the route has not this path. */
struct guaco_slice
guaco__route_rest(struct guaco_slice path, struct guaco_slice route);

/*
 * Decode `rest` (empty, or from its slash on) into a path relative to the
 * folder, with a NUL: "" for the folder itself.  *is_folder: it ended in a
 * slash.
 *
 * Returns 0; 400: an escape that is none, or that hides a slash or a NUL; 404:
 * a segment that is empty, "." or "..", one that begins with a dot unless
 * has_dots (".well-known" in front may), or too long.
 */
int guaco__file_path(struct guaco_slice rest, bool has_dots,
                     char out[GUACO__FILE_PATH_BYTES], bool *is_folder);

/* The last part of the name bears a hash: eight or more hexadecimal digits, one
 * of them a decimal one, between a dot or a hyphen and a dot ("app.3f2a9c1b.js",
 * "app-3f2a9c1b.css"). */
bool guaco__file_is_hashed(struct guaco_slice path);

#endif
