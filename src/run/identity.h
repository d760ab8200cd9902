#ifndef GUACO__RUN_IDENTITY_H
#define GUACO__RUN_IDENTITY_H

/*
 * --user and --group: who the tree is once its addresses are bound.
 *
 * Threads: none; the process has one.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "guaco/error.h"

struct guaco__identity {
    bool is_set; /* --user or --group was given */
    uid_t user;
    gid_t group;
    char name[64]; /* of the user, for its other groups; "": none */
};

/* Look up names or numbers, NULL: not given.  Returns 0 or GUACO_E_INVALID
 * (nobody of that name). */
int guaco__identity_find(struct guaco__identity *identity, const char *user,
                         const char *group, struct guaco_error *err);

/*
 * Become it, for good: the groups of the user, the group, the user.  Nothing
 * happens when it is not set or when the process is it already.
 *
 * Returns 0, or GUACO_E_IO (not permitted; the process must end then, for a
 * part may have been done).
 */
int guaco__identity_become(const struct guaco__identity *identity,
                           struct guaco_error *err);

/* Give a file to it, if it is set. */
void
guaco__identity_own(const struct guaco__identity *identity, const char *path);

/* A mask in octal, as umask(2) takes.  Returns 0 or GUACO_E_INVALID. */
int guaco__identity_umask(const char *text, struct guaco_error *err);

#endif
