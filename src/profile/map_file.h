#ifndef GUACO_PROFILE_MAP_FILE_H
#define GUACO_PROFILE_MAP_FILE_H

/*
 * The files that a live process has mapped.  They are opened through /proc/PID,
 * so that those of containers seen from the host, and deleted ones, are found.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"
#include "guaco/slice.h"
#include "mappings.h"

/*
 * The mappings of process `pid`, to be released.
 *
 * Returns 0; GUACO_E_CLOSED: no such process; GUACO_E_IO: not permitted (err
 * says what would help); or as guaco__mappings_parse().
 */
int guaco__maps_read(struct guaco__mappings *maps, int pid,
                     struct guaco_error *err);

/* The path of the process's executable as its mappings show it, in to[0..len);
 * empty when it is not known. */
struct guaco_slice guaco__map_program(int pid, char *to, size_t len);

/* Whether it maps a file by name. */
bool guaco__map_is_file(const struct guaco__mapping *map);

/* Open the mapped file for reading; `program` is the executable's path.
 * Returns a descriptor of a regular file, or -1. */
int guaco__map_open(int pid, const struct guaco__mapping *map,
                    struct guaco_slice program);

/* Map an open file for reading, to be unmapped; an empty slice when that is
 * not possible. */
struct guaco_slice guaco__map_image(int fd);

#endif
