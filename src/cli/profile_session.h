#ifndef GUACO__CLI_PROFILE_SESSION_H
#define GUACO__CLI_PROFILE_SESSION_H

/* A profiling session at a terminal: the child or the attached process, the
 * clock, the signals, the files written.  guaco profile's arguments come
 * resolved. */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"

enum guaco__profile_format {
    GUACO__PROFILE_FOLDED,
    GUACO__PROFILE_SVG,
    GUACO__PROFILE_SPEEDSCOPE,
    GUACO__PROFILE_PPROF,
    GUACO__PROFILE_CHART, /* pyflame's --flamechart */
};

struct guaco__profile_session {
    int pid;                    /* attached to; 0: `command` is started */
    const char *const *command; /* ends with NULL */
    double seconds;             /* of recording; 0: one sample; < 0: no end */
    double period;              /* seconds between two samples */
    bool dump, threads, exclude_idle, by_function;
    enum guaco__profile_format format;
    const char *output; /* NULL: standard output */
};

/*
 * Run it to its end.  SIGINT and SIGTERM end a recording, which is then
 * written; SIGUSR1 writes what there is so far.  Gives the exit code: of the
 * child when there is one, else 0 or 1.
 */
int guaco__profile_session_run(const struct guaco__profile_session *session);

#endif
