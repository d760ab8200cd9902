#ifndef GUACO__RUN_INHERITED_H
#define GUACO__RUN_INHERITED_H

/*
 * Sockets that listened before this process was started: those that a service
 * manager has activated (LISTEN_FDS), and those of the supervisor that this one
 * replaces (upgrade.c).  An address that is bound under the same words takes
 * them in place of new ones.
 *
 * Threads: none.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"

#define GUACO__INHERITED_MAX       24  /* addresses */
#define GUACO__INHERITED_FDS_MAX   256 /* sockets of one */
#define GUACO__INHERITED_WORDS_MAX 320 /* with the NUL */

struct guaco__inherited_item {
    char words[GUACO__INHERITED_WORDS_MAX]; /* "0.0.0.0:80", "fd:3" */
    char name[64];                          /* of LISTEN_FDNAMES, or "" */
    bool is_shared;                         /* all slots have the same */
    bool is_ours; /* a Unix socket whose file is to be removed */
    bool is_taken;
    int *fds; /* NULL once taken */
    size_t fd_count;
};

struct guaco__inherited {
    struct guaco__inherited_item items[GUACO__INHERITED_MAX];
    size_t count;
};

/* Add sockets, which are taken, close-on-exec from now on, to the address of
 * these words.  Returns 0, GUACO_E_LIMIT or GUACO_E_NOMEM, after which the
 * sockets are closed. */
int
guaco__inherited_add(struct guaco__inherited *inherited, const char *words,
                     const int *fds, size_t fd_count, struct guaco_error *err);

/* Add what LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say, if they are meant for
 * this process, as "fd:3" and so on.  Returns 0, GUACO_E_INVALID (not a
 * listening stream socket) or as above. */
int guaco__inherited_add_activated(struct guaco__inherited *inherited,
                                   const char *const *envp,
                                   struct guaco_error *err);

/* One that is not taken, by its words or as "fd:NAME"; NULL: none. */
struct guaco__inherited_item *
guaco__inherited_find(struct guaco__inherited *inherited, const char *words);

/* Close what was not taken; gives how many addresses that were. */
size_t guaco__inherited_release(struct guaco__inherited *inherited);

#endif
