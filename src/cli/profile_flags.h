#ifndef GUACO__CLI_PROFILE_FLAGS_H
#define GUACO__CLI_PROFILE_FLAGS_H

/*
 * The flags of guaco profile, from one table (profile_flags.c).  Behind a word
 * (record, top, dump) they have py-spy's meanings, without one pyflame's: -r is
 * then seconds between samples and -s how long to record.  guaco flamegraph's
 * are in it too.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"

enum guaco__profile_word {
    GUACO__PROFILE_BARE = 1,
    GUACO__PROFILE_RECORD = 2,
    GUACO__PROFILE_TOP = 4,
    GUACO__PROFILE_DUMP = 8,
    GUACO__PROFILE_FLAMEGRAPH = 16, /* guaco flamegraph */
};

enum guaco__profile_flag {
    GUACO__FLAG_ABI,
    GUACO__FLAG_DELAY,
    GUACO__FLAG_DIFF,
    GUACO__FLAG_DUMP,
    GUACO__FLAG_DURATION,
    GUACO__FLAG_EXCLUDE_IDLE,
    GUACO__FLAG_FLAMECHART,
    GUACO__FLAG_FORMAT,
    GUACO__FLAG_BY_FUNCTION,
    GUACO__FLAG_GIL,
    GUACO__FLAG_HELP,
    GUACO__FLAG_IDLE,
    GUACO__FLAG_IGNORED,
    GUACO__FLAG_INVERTED,
    GUACO__FLAG_JITTER,
    GUACO__FLAG_JSON,
    GUACO__FLAG_LOCALS,
    GUACO__FLAG_MODE,
    GUACO__FLAG_NATIVE,
    GUACO__FLAG_OUTPUT,
    GUACO__FLAG_PERIOD,
    GUACO__FLAG_PID,
    GUACO__FLAG_RATE,
    GUACO__FLAG_ROUTE,
    GUACO__FLAG_SOCKET,
    GUACO__FLAG_STATES,
    GUACO__FLAG_SUBPROCESSES,
    GUACO__FLAG_SUBTITLE,
    GUACO__FLAG_TASK,
    GUACO__FLAG_TASKS,
    GUACO__FLAG_THREADS,
    GUACO__FLAG_TITLE,
    GUACO__FLAG_TRACE,
    GUACO__FLAG_VERSION,
    GUACO__FLAG_WIDTH,
};

/* Called for each flag in turn; `value` is NULL where it takes none.  Returns
 * 0 or a failure with its text, which ends the reading. */
typedef int guaco__flag_fn(void *ctx, enum guaco__profile_flag flag,
                           const char *value, struct guaco_error *err);

/*
 * Read args[0..count), which end with a NULL.  Flags end at "--", at the first
 * word that is none, or behind -t; *used says how many words were read, "--"
 * included.
 *
 * Returns 0; GUACO_E_INVALID: an unknown flag (the nearest is named) or one
 * that lacks its value; or what `fn` returned.
 */
int guaco__profile_flags_read(enum guaco__profile_word word,
                              const char *const *args, size_t count,
                              guaco__flag_fn *fn, void *ctx, size_t *used,
                              struct guaco_error *err);

/* Print the lines of --help that describe the flags. */
void guaco__profile_flags_help(enum guaco__profile_word word);

#endif
