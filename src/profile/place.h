#ifndef GUACO_PROFILE_PLACE_H
#define GUACO_PROFILE_PLACE_H

/* A place as text, and where its code comes from. */

#include "base/buf.h"
#include "tally.h"

/* Append "file:name:line", "file:name" without a line, or the name alone where
 * there is no file: pyflame's frame.  Returns as guaco__buf_append(). */
int
guaco__place_write(const struct guaco__place *place, struct guaco__buf *out);

enum guaco__origin {
    GUACO__ORIGIN_PROJECT, /* the user's own files */
    GUACO__ORIGIN_PACKAGE, /* site-packages and dist-packages */
    GUACO__ORIGIN_STDLIB,  /* lib/python3.x and frozen modules */
    GUACO__ORIGIN_NONE,    /* no Python file: "(idle)", native code */
};

/* Judged by the path; a place without a file by its name, which in a folded
 * file of another program is the whole frame. */
enum guaco__origin guaco__place_origin(const struct guaco__place *place);

#endif
