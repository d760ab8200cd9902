#ifndef GUACO__CLI_PROFILE_TOP_H
#define GUACO__CLI_PROFILE_TOP_H

/*
 * guaco profile top: the functions of a process by the time spent in them, on
 * the whole terminal, renewed every second.
 *
 *     keys: q ends; s or 1 to 4 sorts; l lines or functions; p stops and goes
 *     on; r counts from here on
 */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"
#include "profile/record.h"

struct guaco__top;

/* Take the terminal.  Returns 0, GUACO_E_UNSUPPORTED (no terminal, or one
 * without a moving cursor) or GUACO_E_NOMEM. */
int guaco__top_open(struct guaco__top **top, double rate, uint64_t delay_ns,
                    struct guaco_error *err);

/* Give the terminal back.  NULL is ignored. */
void guaco__top_close(struct guaco__top *top);

/* What is sampled, borrowed. */
void guaco__top_watch(struct guaco__top *top, struct guaco__record *record,
                      int pid, struct guaco_slice command_line);

/* Take the keys that wait; false: the user wants to end. */
bool guaco__top_keys(struct guaco__top *top);

/* Show it again when it is time to, `elapsed_ns` after the beginning. */
int guaco__top_tick(struct guaco__top *top, uint64_t elapsed_ns);

/* Whether sampling is to go on, or stands still. */
bool guaco__top_is_paused(const struct guaco__top *top);

#endif
