#ifndef GUACO__IO_TLS_INT_H
#define GUACO__IO_TLS_INT_H

/*
 * What the files of TLS share: tls.c reads certificates, tls_ticket.c makes
 * and opens tickets, tls_session.c is one connection's part under stream.c.
 */

#include <openssl/ssl.h>

#include "base/map.h"
#include "io/stream.h"
#include "io/tls.h"

/* A certificate (or one of each kind of key) with the names it is for. */
struct guaco__tls_cert {
    struct guaco__tls_cert *next;
    SSL_CTX *ctx;
    char **names; /* lower case; wildcards with their "*." */
    size_t name_count;
    int key_type;
    struct guaco_slice pem; /* of the own certificate alone; owned */
};

struct guaco__tls {
    size_t refs;
    struct guaco__tls_cert *certs; /* the first one is the default */
    struct guaco__map by_name;     /* of struct guaco__tls_cert */
    BIO_METHOD *bio;
    bool has_h2;
    bool has_h1;
    unsigned char secret[GUACO__TLS_SECRET_BYTES];
};

/* The certificate for a host name, or NULL. */
const struct guaco__tls_cert *
guaco__tls_find(const struct guaco__tls *tls, const char *name);

/* ---- tls_ticket.c ---- */

/* Seal and open the tickets of `ctx` by the secret of the struct guaco__tls
 * that is the connection's (SSL_get_app_data). */
void guaco__tls_set_tickets(SSL_CTX *ctx);

/* ---- tls_session.c ---- */

/* The methods of a BIO over a stream, or NULL when out of memory. */
BIO_METHOD *guaco__tls_bio_new(void);

/* What the connection of an SSL goes by. */
struct guaco__tls *guaco__tls_of(const SSL *ssl);

/*
 * The stream's functions of the same names, for one with TLS.  send: all that
 * is queued, as send_all() of stream.c.  close: say goodbye if the stream is
 * in order, and free the session.
 */
ssize_t guaco__tls_recv(struct guaco__stream *stream, void *buf, size_t size);
int guaco__tls_send(struct guaco__stream *stream);
void guaco__tls_shutdown(struct guaco__stream *stream);
void guaco__tls_close(struct guaco__stream *stream);

#endif
