#ifndef GUACO__CLI_PROFILE_WIRE_H
#define GUACO__CLI_PROFILE_WIRE_H

/*
 * What guaco profile --socket and the supervisor's profiler say to one another:
 * the client one line of JSON, the settings; later it may end its side, which
 * ends the recording.  Then the profiler one line, and what it announces:
 *
 *     -> {"seconds": 10.0, "period_us": 10101, "threads": "running", ...}
 *     <- {"bytes": 4711, "samples": 990, "dropped": 0, "processes": 2}
 *     <- 4711 bytes
 *
 * or {"error": "..."}.
 */

#include "base/buf.h"
#include "guaco/error.h"
#include "profile_session.h"

#define GUACO__WIRE_LINE_MAX 8192

/* Append the line of a session. */
int guaco__wire_write(const struct guaco__profile_session *session,
                      struct guaco__buf *out);

/*
 * Read such a line, len bytes without its end; texts are in `arena`.  Returns
 * 0; GUACO_E_PROTO: it is none, or a value cannot be; GUACO_E_NOMEM.
 */
int guaco__wire_read(struct guaco__arena *arena, const char *line, size_t len,
                     struct guaco__profile_session *session,
                     struct guaco_error *err);

#endif
