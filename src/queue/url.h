#ifndef GUACO_QUEUE_URL_H
#define GUACO_QUEUE_URL_H

/*
 * The URL of a store behind a socket:
 *
 *     //USER:PASSWORD@HOST:PORT,HOST:PORT/PATH?KEY=VALUE&KEY=VALUE
 *
 * Each part may be left out; %XX is decoded in all of them.  An IPv6 address
 * stands in brackets.  What a URL holds may be a secret: none of these puts
 * more of it into an error than the part that is wrong, and never a password.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"

#define GUACO__URL_HOSTS_MAX 16u
#define GUACO__URL_BYTES_MAX 4096u /* of the whole */

struct guaco__url_host {
    const char *name; /* not empty */
    uint16_t port;    /* 0: none was given */
};

struct guaco__url {
    const char *user;     /* "" when there is none */
    const char *password; /* NULL when there is none */
    struct guaco__url_host hosts[GUACO__URL_HOSTS_MAX];
    size_t host_count;
    char *path; /* with its slash, or ""; may be cut up */
    size_t option_count;
    struct {
        const char *key;
        const char *value;
    } options[32];
    char bytes[GUACO__URL_BYTES_MAX]; /* private: what the strings are in */
    char path_bytes[GUACO__URL_BYTES_MAX]; /* private: but for the path */
};

/* Read `rest`, what stands behind the scheme and its colon.  Returns 0, or
 * GUACO_E_INVALID with what is wrong. */
int guaco__url_read(struct guaco__url *url, const char *rest,
                    struct guaco_error *err);

/* A decimal number of at most `max`, of the option `key`.  0 or
 * GUACO_E_INVALID. */
int guaco__url_number(const char *key, const char *text, uint64_t max,
                      uint64_t *out, struct guaco_error *err);

/* `url` for a person to see: its password replaced.  Cut to `room`. */
void guaco__url_redact(const char *url, char *out, size_t room);

#endif
