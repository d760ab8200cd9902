#ifndef GUACO_PROFILE_MAPPINGS_H
#define GUACO_PROFILE_MAPPINGS_H

/*
 * The mapped files of a process, from the text of /proc/PID/maps (proc(5)).
 * Anonymous mappings are kept too: they bound what a pointer may point at.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"

struct guaco__mapping {
    uint64_t start, end; /* addresses, end is the first one behind */
    uint64_t offset;     /* in the file, bytes */
    uint64_t inode;      /* 0: no file */
    bool is_writable, is_executable;
    struct guaco_slice path; /* as the kernel prints it; " (deleted)" removed */
    bool is_deleted;
};

struct guaco__mappings {
    struct guaco__mapping *at; /* ascending */
    size_t count;
    char *text; /* private: what the paths point into */
};

/*
 * Parse text[0..len), copied.  Returns 0 and maps to be released;
 * GUACO_E_PROTO (a line is not of the form), GUACO_E_LIMIT (over 100000 maps)
 * or GUACO_E_NOMEM.
 */
int guaco__mappings_parse(struct guaco__mappings *maps, const char *text,
                          size_t len, struct guaco_error *err);

void guaco__mappings_release(struct guaco__mappings *maps);

/* The map that holds `address`, borrowed; NULL where there is none. */
const struct guaco__mapping *
guaco__mappings_find(const struct guaco__mappings *maps, uint64_t address);

#endif
