#ifndef GUACO__RUN_TLS_SETTINGS_H
#define GUACO__RUN_TLS_SETTINGS_H

/* The options of TLS (--ssl-*) in the form that io/tls.h takes, from the
 * options of a command or from the message that a worker gets. */

#include "base/json.h"
#include "io/tls.h"
#include "run/options.h"

struct guaco__tls_settings {
    struct guaco__tls_options options;
    const char *certs[GUACO__TLS_PAIRS_MAX];
    const char *keys[GUACO__TLS_PAIRS_MAX];
    unsigned char secret[GUACO__TLS_SECRET_BYTES];
};

/* Whether there is a certificate; without one nothing speaks TLS. */
bool guaco__tls_is_wanted(const struct guaco__options *options);

/* Texts are borrowed from `options`; there is no secret. */
void guaco__tls_settings_read(struct guaco__tls_settings *settings,
                              const struct guaco__options *options);

/* From the members of a worker's first message: "options" and, encoded in
 * base64, "ticket_secret".  Texts are borrowed.  False: no certificate. */
bool guaco__tls_settings_take(struct guaco__tls_settings *settings,
                              const struct guaco__json *hello);

#endif
