#ifndef GUACO__CLI_GUEST_H
#define GUACO__CLI_GUEST_H

/*
 * What the workers of C guests share (cmd_guest.c, cmd_taskguest.c): the
 * channel to the supervisor (run/channel.h) and the shared object.
 */

#include <stdint.h>

#include "base/json.h"
#include "guaco/error.h"

/* The channel's descriptor, from the environment; -1: there is none. */
int guest_channel(void);

/* Send {"event": name, "text": text}, or with text NULL the pid.  A supervisor
 * that is gone is noticed by the end of the channel. */
void guest_send(int channel, const char *name, const char *text);

/* Tell the supervisor which store the tasks are in, so that it is kept. */
void guest_send_queue(int channel, const char *queue, const char *url);

/* A number of seconds among the options, or `otherwise`. */
double guest_seconds(const struct guaco__json *options, const char *name,
                     double otherwise);

/* The number `name` among the options, 0 if there is none, and by chance up to
 * name_jitter more: workers shall not all be replaced at once. */
uint64_t guest_limit(const struct guaco__json *options, const char *name);

/* A number for what is deployed, which later starts and reloads have greater:
 * GUACO_DEPLOYMENT, or when the supervisor was started (Unix time in ms) and
 * its count of reloads.  As python/guaco/_taskworker.py has it. */
uint64_t guest_deployment(const struct guaco__json *hello);

/*
 * Load the shared object of the channel's first message and find `symbol` in
 * it: "./hello.so:arg" gives `arg`, which is borrowed from `hello`.  A path
 * without a slash is looked up in the application's folder, not where the
 * system keeps its libraries.  It is never unloaded.
 *
 * Returns 0, GUACO_E_INVALID, or GUACO_E_MISSING with a text for a person.
 */
int guest_load(const struct guaco__json *hello, const char *symbol,
               void **address, const char **arg, struct guaco_error *err);

#endif
