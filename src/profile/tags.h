#ifndef GUACO_PROFILE_TAGS_H
#define GUACO_PROFILE_TAGS_H

/*
 * What a process says of itself: the request's route or the task that each of
 * its threads runs, read from its board (os/board.h).
 *
 * The board is another process's memory, as hostile as all of it.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "memory.h"
#include "os/board.h"

struct guaco__tags;

/*
 * Find the board of process `pid`, whose memory outlives the tags.
 *
 * Returns 0; GUACO_E_MISSING: it has none; GUACO_E_PROTO: of another version;
 * as guaco__vmem_read(); GUACO_E_NOMEM.
 */
int guaco__tags_open(struct guaco__tags **tags, int pid,
                     struct guaco__vmem *memory, struct guaco_error *err);
void guaco__tags_close(struct guaco__tags *tags);

/* Look at the board as it is now: one system call, two when there are new
 * names.  Returns as guaco__vmem_read(). */
int guaco__tags_look(struct guaco__tags *tags);

/* What the thread with this kernel's id does, as last looked at; *slot is for
 * the next function.  Returns 0; GUACO_E_MISSING: it says nothing. */
int guaco__tags_find(const struct guaco__tags *tags, int32_t native_id,
                     struct guaco__board_view *view, size_t *slot);

/* Whether that still holds: the thread has said nothing else since. */
bool guaco__tags_still_hold(const struct guaco__tags *tags, size_t slot);

/* The name of a request that had none when it was seen, as last looked at.
 * Returns as guaco__board_ask(). */
int guaco__tags_ask(const struct guaco__tags *tags, uint64_t id,
                    char name[GUACO__BOARD_NAME_BYTES]);

#endif
