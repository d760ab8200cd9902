#ifndef GUACO__CLI_PROFILE_SESSION_H
#define GUACO__CLI_PROFILE_SESSION_H

/* A profiling session at a terminal: the child or the attached process, the
 * clock, the signals, the files written.  guaco profile's arguments come
 * resolved. */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "profile/formats.h"
#include "profile/labels.h"

struct guaco__profile_session {
    int pid;                    /* attached to; 0: `command` is started */
    const char *const *command; /* ends with NULL */
    double seconds;             /* of recording; 0: one sample; < 0: no end */
    double period;              /* seconds between two samples */
    unsigned version; /* refuse other interpreters: 0x030b; 0: takes any */
    bool threads, running_only, exclude_idle, by_function;
    bool by_task, by_state;
    bool native;       /* with C frames: threads are stopped for them */
    bool subprocesses; /* those below it too */
    bool is_jittered;  /* ticks at random moments, one in each period */
    bool is_top;
    double top_delay; /* seconds between two screens */
    bool dump, dumps_json, dumps_locals;
    bool dumps_for_people;   /* else as pyflame did */
    bool in_time, is_icicle; /* of an SVG */
    bool says_end;           /* say what was written, on standard error */
    struct guaco__label_filter labels;
    bool has_labels;    /* each stack begins with its request or task */
    const char *socket; /* of a supervisor, which is asked; or NULL */
    enum guaco__format format;
    const char *title;  /* of the picture; NULL: the command line */
    const char *output; /* NULL: standard output */
};

/*
 * Run it to its end.  SIGINT, SIGTERM, SIGHUP and SIGQUIT end a recording,
 * which is then written; sent to us while a command runs, they are passed on
 * to it.  SIGUSR1 writes what there is so far.  Gives the exit code: of the
 * command when there is one and it is not 0, else 0 or 1.
 */
int guaco__profile_session_run(const struct guaco__profile_session *session);

#endif
