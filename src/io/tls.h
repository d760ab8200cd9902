#ifndef GUACO__IO_TLS_H
#define GUACO__IO_TLS_H

/*
 * TLS of a server, by OpenSSL: certificates with their keys, chosen by the name
 * that the client asks for, and the rules that hold for a handshake.
 *
 * One struct guaco__tls is one state of the files.  It is read once, shared by
 * count and never changed: a reload makes another, which new connections get,
 * and those before keep theirs.
 *
 * What is not for choosing: TLS 1.2 with forward secrecy and AEAD at least, no
 * compression, no renegotiation, no early data (it can be replayed).  Sessions
 * are resumed by tickets alone, sealed under keys that follow from one secret
 * and the time, so that all processes that know the secret open each other's.
 *
 * Threads: the loop's only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"

#define GUACO__TLS_SECRET_BYTES 32
#define GUACO__TLS_PAIRS_MAX    64

struct guaco__tls;

enum guaco__tls_verify {
    GUACO__TLS_VERIFY_NONE,
    GUACO__TLS_VERIFY_OPTIONAL, /* a certificate that is shown must be good */
    GUACO__TLS_VERIFY_REQUIRED,
};

struct guaco__tls_options {
    /* PEM files: chains with the own certificate first, and their keys.  The
     * first pair is for clients that name no host, or none of ours. */
    const char *const *cert_files;
    size_t cert_count;
    const char *const *key_files; /* as many, or none: in the same files */
    size_t key_count;
    const char *key_password; /* of all keys; or NULL */
    const char *key_password_file;
    const char *ca_file; /* who signs clients' certificates; or NULL */
    enum guaco__tls_verify verify;
    const char *ciphers; /* OpenSSL's list; NULL: ours */
    bool only_13;        /* refuse TLS 1.2 */
    bool has_h2;         /* offer HTTP/2 by ALPN, and prefer it */
    bool has_h1;         /* offer HTTP/1.1 */
    /* Of the tickets' keys, GUACO__TLS_SECRET_BYTES; NULL: a random one. */
    const unsigned char *secret;
};

/*
 * Read the files.  Returns 0; GUACO_E_MISSING or GUACO_E_IO: a file cannot be
 * read; GUACO_E_INVALID: what is in it is not acceptable (err names the file
 * and what is wrong: no certificate, an encrypted key without or with a wrong
 * password, a key of another certificate, no such cipher); GUACO_E_NOMEM.
 */
int guaco__tls_new(struct guaco__tls **tls,
                   const struct guaco__tls_options *options,
                   struct guaco_error *err);

/* What the handshake of a stream has settled; the texts live as long as the
 * stream. */
struct guaco__tls_about {
    uint16_t version;              /* 0x0303 is TLS 1.2, 0x0304 TLS 1.3 */
    uint16_t cipher_suite;         /* IANA's number */
    bool is_h2;                    /* ALPN chose it */
    const char *server_name;       /* asked for by the client; or NULL */
    struct guaco_slice server_pem; /* our certificate */
    struct guaco_slice client_pem; /* the client's chain, one PEM block after
                                      another, its own first; or empty */
    const char *client_name;       /* its subject (RFC 4514); or NULL */
};

struct guaco__tls *guaco__tls_ref(struct guaco__tls *tls);
void guaco__tls_unref(struct guaco__tls *tls); /* NULL is ignored */

#endif
