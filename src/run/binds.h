#ifndef GUACO__RUN_BINDS_H
#define GUACO__RUN_BINDS_H

/*
 * The listening sockets of a tree; the supervisor owns them for its whole life,
 * and whoever takes over a slot gets the same ones, so that nothing that is
 * queued on them is lost.  There is one for each address, which all slots
 * share: the workers themselves see to it that the one with the fewest
 * connections takes the next (server/metering.c; 64 connections on 4 workers
 * come out as 15 to 17, where SO_REUSEPORT, which divides by a hash, gives 11
 * to 22, for the same CPU).  When `is_divided` is set there is one SO_REUSEPORT
 * socket for each (TCP address, slot).
 *
 * Threads: none.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"
#include "run/inherited.h"

#define GUACO__BINDS_MAX      16
#define GUACO__BIND_SLOTS_MAX 256
#define GUACO__BIND_TEXT_MAX  128 /* of an address, with the NUL */

struct guaco__bind {
    char text[GUACO__BIND_TEXT_MAX];        /* as bound: "127.0.0.1:8000" */
    char url[GUACO__BIND_TEXT_MAX + 16];    /* "http://127.0.0.1:8000" */
    char given[GUACO__INHERITED_WORDS_MAX]; /* the words that asked for it */
    bool is_tls;
    int *fds;        /* private: one a slot, or one */
    size_t fd_count; /* private */
    bool is_ours;    /* private: a Unix socket's file to be removed */
    bool is_shared;  /* private: all slots have the same socket */
};

struct guaco__binds {
    struct guaco__bind items[GUACO__BINDS_MAX];
    size_t count;
    size_t slots;
    int backlog;
    struct guaco__inherited *inherited; /* or NULL; borrowed */
    bool is_divided;                    /* set it before the first address */
    bool has_tls; /* addresses speak TLS unless they say http:// */
};

/* Begin without an address, for 1 to GUACO__BIND_SLOTS_MAX slots. */
void guaco__binds_init(struct guaco__binds *binds, size_t slots, int backlog);

/*
 * Bind and listen on "HOST:PORT", "HOST" (port 8000), "[IPV6]:PORT", ":PORT"
 * (all of IPv4), "unix:PATH" or "fd:N".  The host is a name or a number; port 0
 * takes any that is free, the same for all slots.  "https://" before any of
 * these asks for TLS, "http://" for none.  The file of a Unix socket
 * that nobody listens on is replaced.  What was inherited under the same words
 * is taken as it is, with a socket for each slot that there was: then there may
 * be more slots than before.
 *
 * Returns 0; GUACO_E_INVALID: not an address, or https:// without has_tls;
 * GUACO_E_EXISTS: in use;
 * GUACO_E_LIMIT: too many; GUACO_E_NOMEM; GUACO_E_IO.
 */
int guaco__binds_add(struct guaco__binds *binds, const char *address,
                     struct guaco_error *err);

/*
 * Make sockets for more slots.  Returns 0, or the failure of an address, after
 * which there are as many as before.
 */
int guaco__binds_grow(struct guaco__binds *binds, size_t slots,
                      struct guaco_error *err);

/* Whether each slot has a socket of its own for the address. */
bool guaco__binds_is_own(const struct guaco__binds *binds, size_t index);

/* The socket of the address `index` for a slot; borrowed. */
int
guaco__binds_fd(const struct guaco__binds *binds, size_t index, size_t slot);

/* Close all; remove the files of Unix sockets. */
void guaco__binds_release(struct guaco__binds *binds);

#endif
