#ifndef TESTS_TLS_FILES_H
#define TESTS_TLS_FILES_H

/*
 * Certificates and keys of tests, made when they run, in the folder of
 * folder.h; and a client of TLS on a socket of a pair.
 */

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

/*
 * Write NAME.pem and NAME.key: a certificate for `subject`, with
 * subjectAltName `names` ("DNS:a,DNS:*.b") unless NULL, signed by the pair
 * `signer` of the same folder, or by itself (then it is a CA).  The key is of
 * the curve P-256, or RSA; encrypted with `password` unless NULL.
 */
struct tls_wish {
    const char *name;
    const char *subject;
    const char *names;
    const char *signer;
    const char *password;
    bool is_rsa;
};

void tls_make(const struct tls_wish *wish);

/* A client of `host` (SNI, or NULL) on the socket `fd`; of its own context,
 * which trusts anybody. */
SSL *tls_client(SSL_CTX *ctx, int fd, const char *host);

#endif
