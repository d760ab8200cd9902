#ifndef GUACO_OS_BENEATH_H
#define GUACO_OS_BENEATH_H

/*
 * Opening files below a folder and nowhere else, whatever their names and
 * whatever links lie on the way: openat2() with RESOLVE_BENEATH, where links
 * are followed as long as they stay below; without that call (Linux before 5.6,
 * or a sandbox) a walk from folder to folder that follows no link at all.
 *
 * Threads: from any, one object by one at a time.
 */

#include <stdbool.h>

#include "guaco/error.h"

struct guaco__beneath {
    int fd;     /* of the folder; -1 once closed */
    bool walks; /* private: openat2() is not there */
};

/* Returns 0, GUACO_E_MISSING (no such folder) or GUACO_E_IO. */
int guaco__beneath_open(struct guaco__beneath *beneath, const char *folder,
                        struct guaco_error *err);

void guaco__beneath_close(struct guaco__beneath *beneath);

/* Open `path`, relative and without "..", for reading ("" is the folder
 * itself); it does not wait for the other end of a FIFO.  Gives a descriptor,
 * or a negative errno. */
int guaco__beneath_file(struct guaco__beneath *beneath, const char *path);

#endif
