#ifndef GUACO__CLI_PROFILE_CLIENT_H
#define GUACO__CLI_PROFILE_CLIENT_H

/* guaco profile --socket: a supervisor is asked, and writes what we save. */

#include "profile_session.h"

/*
 * Ask the supervisor at session->socket, and write its answer.  SIGINT and
 * SIGTERM end the recording, which is then written.  Gives the exit code: 0 or
 * 1.
 */
int guaco__profile_client_run(const struct guaco__profile_session *session);

#endif
