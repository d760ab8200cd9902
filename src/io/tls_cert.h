#ifndef GUACO__IO_TLS_CERT_H
#define GUACO__IO_TLS_CERT_H

/* Reading one pair of PEM files: a certificate with its chain, and its key. */

#include <openssl/ssl.h>

#include "guaco/error.h"

struct guaco__tls_pair {
    X509 *cert;
    STACK_OF(X509) * chain; /* the others of the file, in its order */
    EVP_PKEY *key;
};

/*
 * Read both files, which may be the same; `password` may be NULL.  Returns as
 * guaco__tls_new().  Whatever it returns, release follows.
 */
int guaco__tls_pair_read(struct guaco__tls_pair *pair, const char *cert_file,
                         const char *key_file, const char *password,
                         struct guaco_error *err);

void guaco__tls_pair_release(struct guaco__tls_pair *pair);

/* Visit the names of hosts that a certificate is for, those of its
 * subjectAltName, or the common name where it has none; until `see` answers
 * other than 0, which is given back. */
int guaco__tls_each_name(X509 *cert,
                         int (*see)(void *ctx, const char *name, size_t len),
                         void *ctx);

/* Fail with what OpenSSL complains of, and empty its queue of complaints. */
int guaco__tls_fail(struct guaco_error *err, int code, const char *what);

#endif
