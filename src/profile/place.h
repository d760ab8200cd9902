#ifndef GUACO_PROFILE_PLACE_H
#define GUACO_PROFILE_PLACE_H

/* A place as text, and where its code comes from. */

#include "base/buf.h"
#include "tally.h"

/* Append "file:name:line", "file:name" without a line, or the name alone where
 * there is no file: pyflame's frame.  Returns as guaco__buf_append(). */
int
guaco__place_write(const struct guaco__place *place, struct guaco__buf *out);

/* The same as a frame of folded stacks: a semicolon in it becomes a colon, a
 * line break a space. */
int guaco__place_write_folded(const struct guaco__place *place,
                              struct guaco__buf *out);

enum guaco__origin {
    GUACO__ORIGIN_PROJECT, /* the user's own files */
    GUACO__ORIGIN_PACKAGE, /* site-packages and dist-packages */
    GUACO__ORIGIN_STDLIB,  /* lib/python3.x and frozen modules */
    GUACO__ORIGIN_NATIVE,  /* shared objects and executables */
    GUACO__ORIGIN_NONE,    /* no code: "(idle)", a thread, a route */
};

/* The parts of a place.  One without a file, whose name is the whole frame of a
 * folded file, is taken apart where it looks like "file:name:line" or
 * "file:name"; what does not is a name. */
struct guaco__place_parts {
    struct guaco_slice file, name; /* borrowed of the place */
    int32_t line;
};

struct guaco__place_parts guaco__place_split(const struct guaco__place *place);

/* Judged by the path; a place without a file by its name, which in a folded
 * file of another program is the whole frame. */
enum guaco__origin guaco__place_origin(const struct guaco__place *place);

#endif
