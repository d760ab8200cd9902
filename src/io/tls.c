/* Certificates and rules: the contract is in io/tls.h. */

#include "io/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/rand.h"
#include "io/tls_cert.h"
#include "io/tls_int.h"
#include "os/file.h"

enum {
    NAMES_MAX = 10000, /* of all certificates */
    NAME_BYTES_MAX = 255,
    PASSWORD_BYTES_MAX = 1024,
    CA_BYTES_MAX = 4 << 20,
};

/* For TLS 1.2: forward secrecy and AEAD, which is also what HTTP/2 asks for
 * (RFC 9113 9.2.2). */
static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

/* ---- names ---- */

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

const struct guaco__tls_cert *
guaco__tls_find(const struct guaco__tls *tls, const char *name)
{
    char own[NAME_BYTES_MAX + 1];
    size_t len = strlen(name);
    const struct guaco__tls_cert *cert;
    char *dot;

    if (len > 0 && name[len - 1] == '.')
        len--; /* the root's dot */
    if (len == 0 || len > NAME_BYTES_MAX)
        return NULL;
    for (size_t i = 0; i < len; i++)
        own[i] = lower(name[i]);
    own[len] = '\0';
    cert = guaco__map_get(&tls->by_name, (struct guaco_slice){own, len});
    if (cert != NULL)
        return cert;
    /* a wildcard stands for exactly one label, the first (RFC 6125 6.4.3) */
    dot = strchr(own, '.');
    if (dot == NULL || dot == own)
        return NULL;
    dot[-1] = '*';
    return guaco__map_get(
        &tls->by_name,
        (struct guaco_slice){dot - 1, len - (size_t)(dot - 1 - own)});
}

/* The first certificate of a name keeps it. */
static int
add_name(void *ctx, const char *name, size_t len)
{
    struct guaco__tls_cert *cert = ctx;
    char **names =
        realloc(cert->names, (cert->name_count + 1) * sizeof(*names));
    char *own = malloc(len + 1);

    if (names != NULL)
        cert->names = names;
    if (names == NULL || own == NULL) {
        free(own);
        return GUACO_E_NOMEM;
    }
    for (size_t i = 0; i < len; i++)
        own[i] = lower(name[i]);
    own[len] = '\0';
    cert->names[cert->name_count++] = own;
    return GUACO_OK;
}

static int
index_names(struct guaco__tls *tls, struct guaco__tls_cert *cert)
{
    for (size_t i = 0; i < cert->name_count; i++) {
        struct guaco_slice name = {cert->names[i], strlen(cert->names[i])};
        int rc = guaco__map_put(&tls->by_name, name, cert);

        if (rc < 0 && rc != GUACO_E_EXISTS)
            return rc;
    }
    return GUACO_OK;
}

static bool
same_names(const struct guaco__tls_cert *a, const struct guaco__tls_cert *b)
{
    if (a->name_count != b->name_count)
        return false;
    for (size_t i = 0; i < a->name_count; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return true;
}

/* ---- callbacks of a handshake ---- */

static int
on_server_name(SSL *ssl, int *alert, void *ctx)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct guaco__tls_cert *cert = NULL;

    (void)alert, (void)ctx;
    if (name != NULL)
        cert = guaco__tls_find(guaco__tls_of(ssl), name);
    if (cert == NULL)
        return SSL_TLSEXT_ERR_NOACK; /* the first certificate */
    SSL_set_SSL_CTX(ssl, cert->ctx);
    return SSL_TLSEXT_ERR_OK;
}

static bool
offers(const unsigned char *list, unsigned len, const char *protocol)
{
    size_t want = strlen(protocol);

    for (unsigned at = 0; at < len; at += 1u + list[at])
        if (list[at] == want && at + 1u + want <= len &&
            memcmp(list + at + 1, protocol, want) == 0)
            return true;
    return false;
}

static int
on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_len,
             const unsigned char *list, unsigned len, void *ctx)
{
    static const char h2[] = "h2";
    static const char h1[] = "http/1.1";
    const struct guaco__tls *tls = guaco__tls_of(ssl);
    const char *chosen = NULL;

    (void)ctx;
    if (tls->has_h2 && offers(list, len, h2))
        chosen = h2;
    else if (tls->has_h1 && offers(list, len, h1))
        chosen = h1;
    if (chosen == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2 */
    *out = (const unsigned char *)chosen;
    *out_len = (unsigned char)strlen(chosen);
    return SSL_TLSEXT_ERR_OK;
}

/* ---- one context ---- */

/* OpenSSL has two lists of ciphers, for TLS 1.2 and for 1.3; a person has one,
 * with either kind of name in it. */
static int
set_ciphers(SSL_CTX *ctx, const char *list, struct guaco_error *err)
{
    bool is_13 = strncmp(list, "TLS_", 4) == 0;
    int ok = is_13 ? SSL_CTX_set_ciphersuites(ctx, list)
                   : SSL_CTX_set_cipher_list(ctx, list);

    if (ok == 1)
        return GUACO_OK;
    ERR_clear_error();
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "no cipher of OpenSSL in the list %.120s", list);
}

/* Tickets sealed before the rules for clients' certificates changed must not
 * be honoured: the rules are the sessions' context. */
static int
set_session_context(SSL_CTX *ctx, const struct guaco__tls_options *options,
                    const struct guaco__buf *ca)
{
    unsigned char digest[GUACO__SHA256_BYTES];

    if (guaco__sha256(ca->len > 0 ? guaco__buf_data(ca) : "", ca->len, digest) <
        0)
        return 0;
    digest[0] = (unsigned char)options->verify;
    return SSL_CTX_set_session_id_context(ctx, digest, SSL_MAX_SID_CTX_LENGTH);
}

/* Trust who is in the file, and tell clients whom we trust. */
static int
set_ca(SSL_CTX *ctx, const struct guaco__tls_options *options,
       struct guaco__buf *ca, struct guaco_error *err)
{
    int mode = SSL_VERIFY_PEER;
    STACK_OF(X509_NAME) * names;

    if (options->verify == GUACO__TLS_VERIFY_NONE)
        return GUACO_OK;
    if (options->verify == GUACO__TLS_VERIFY_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, mode, NULL);
    if (options->ca_file == NULL)
        return SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? GUACO_OK
                   : guaco__tls_fail(err, GUACO_E_IO, "the system's CAs");

    int rc = guaco__file_read(options->ca_file, ca, err);

    if (rc < 0)
        return rc;
    names = SSL_load_client_CA_file(options->ca_file);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, options->ca_file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        ERR_clear_error();
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%.150s: no certificates of CAs in PEM form",
                          options->ca_file);
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    return GUACO_OK;
}

static void
set_rules(SSL_CTX *ctx, const struct guaco__tls_options *options)
{
    SSL_CTX_set_min_proto_version(ctx, options->only_13 ? TLS1_3_VERSION
                                                        : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record in one system call */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_dh_auto(ctx, 1);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    if (options->has_h1 || options->has_h2)
        SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
    guaco__tls_set_tickets(ctx);
}

static int
make_context(SSL_CTX **out, const struct guaco__tls_options *options,
             struct guaco_error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    struct guaco__buf ca;
    int rc;

    if (ctx == NULL)
        return guaco__tls_fail(err, GUACO_E_NOMEM, "TLS");
    *out = ctx;
    guaco__buf_init(&ca, CA_BYTES_MAX);
    set_rules(ctx, options);
    rc = set_ciphers(
        ctx, options->ciphers == NULL ? default_ciphers : options->ciphers,
        err);
    if (rc == GUACO_OK)
        rc = set_ca(ctx, options, &ca, err);
    if (rc == GUACO_OK && set_session_context(ctx, options, &ca) != 1)
        rc = guaco__tls_fail(err, GUACO_E_NOMEM, "TLS");
    guaco__buf_release(&ca);
    return rc;
}

/* ---- certificates ---- */

static void
cert_free(struct guaco__tls_cert *cert)
{
    SSL_CTX_free(cert->ctx);
    for (size_t i = 0; i < cert->name_count; i++)
        free(cert->names[i]);
    free(cert->names);
    free((char *)(uintptr_t)cert->pem.at);
    free(cert);
}

/* The own certificate as text, for applications that ask. */
static int
keep_pem(struct guaco__tls_cert *cert, X509 *x509)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *at;
    char *copy = NULL;
    long len = 0;

    if (bio != NULL && PEM_write_bio_X509(bio, x509) == 1)
        len = BIO_get_mem_data(bio, &at);
    if (len > 0)
        copy = malloc((size_t)len);
    if (copy != NULL) {
        memcpy(copy, at, (size_t)len);
        cert->pem = (struct guaco_slice){copy, (size_t)len};
    }
    BIO_free(bio);
    return copy != NULL ? GUACO_OK : GUACO_E_NOMEM;
}

/* One for the same names with another kind of key: both go into one context,
 * and the handshake takes the one that the client can verify. */
static struct guaco__tls_cert *
find_twin(const struct guaco__tls *tls, const struct guaco__tls_cert *cert)
{
    struct guaco__tls_cert *other = tls->certs;

    while (other != NULL &&
           (other->key_type == cert->key_type || !same_names(other, cert)))
        other = other->next;
    return other;
}

static void
append_cert(struct guaco__tls *tls, struct guaco__tls_cert *cert)
{
    struct guaco__tls_cert **at = &tls->certs;

    while (*at != NULL)
        at = &(*at)->next;
    *at = cert;
}

static int
use_pair(struct guaco__tls *tls, struct guaco__tls_cert *cert,
         const struct guaco__tls_pair *pair,
         const struct guaco__tls_options *options, struct guaco_error *err)
{
    struct guaco__tls_cert *twin;
    int rc = guaco__tls_each_name(pair->cert, add_name, cert);

    if (rc == GUACO_OK)
        rc = keep_pem(cert, pair->cert);
    if (rc < 0)
        return guaco_fail(err, rc, 0, "a certificate");
    cert->key_type = EVP_PKEY_get_base_id(pair->key);
    twin = find_twin(tls, cert);
    if (twin != NULL)
        SSL_CTX_up_ref(cert->ctx = twin->ctx);
    else
        rc = make_context(&cert->ctx, options, err);
    if (rc < 0)
        return rc;
    if (SSL_CTX_use_cert_and_key(cert->ctx, pair->cert, pair->key, pair->chain,
                                 0) != 1)
        return guaco__tls_fail(err, GUACO_E_INVALID,
                               "a certificate is not accepted");
    rc = index_names(tls, cert);
    return rc < 0 ? guaco_fail(err, rc, 0, "the names of certificates") : rc;
}

static int
add_pair(struct guaco__tls *tls, const struct guaco__tls_options *options,
         size_t i, const char *password, struct guaco_error *err)
{
    const char *cert_file = options->cert_files[i];
    const char *key_file =
        options->key_count > 0 ? options->key_files[i] : cert_file;
    struct guaco__tls_cert *cert = calloc(1, sizeof(*cert));
    struct guaco__tls_pair pair;
    int rc;

    if (cert == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "%s", cert_file);
    append_cert(tls, cert);
    rc = guaco__tls_pair_read(&pair, cert_file, key_file, password, err);
    if (rc == GUACO_OK)
        rc = use_pair(tls, cert, &pair, options, err);
    guaco__tls_pair_release(&pair);
    return rc;
}

/* ---- life ---- */

/* The first line of the file. */
static int
read_password(const char *path, struct guaco__buf *text,
              struct guaco_error *err)
{
    int rc = guaco__file_read(path, text, err);
    char *end;

    if (rc == GUACO_OK)
        rc = guaco__buf_append(text, "", 1);
    if (rc < 0)
        return err != NULL && err->code == rc
                   ? rc
                   : guaco_fail(err, rc, 0, "%s", path);
    end = strpbrk(guaco__buf_data(text), "\r\n");
    if (end != NULL)
        *end = '\0';
    return GUACO_OK;
}

static int
add_pairs(struct guaco__tls *tls, const struct guaco__tls_options *options,
          struct guaco_error *err)
{
    const char *password = options->key_password;
    struct guaco__buf text;
    int rc = GUACO_OK;

    guaco__buf_init(&text, PASSWORD_BYTES_MAX + 1);
    if (password == NULL && options->key_password_file != NULL) {
        rc = read_password(options->key_password_file, &text, err);
        password = guaco__buf_data(&text);
    }
    for (size_t i = 0; i < options->cert_count && rc == GUACO_OK; i++)
        rc = add_pair(tls, options, i, password, err);
    if (text.len > 0)
        OPENSSL_cleanse(guaco__buf_data(&text), text.len);
    guaco__buf_release(&text);
    return rc;
}

static int
check_options(const struct guaco__tls_options *options, struct guaco_error *err)
{
    if (options->cert_count == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "TLS needs a certificate (--ssl-certfile)");
    if (options->cert_count > GUACO__TLS_PAIRS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "more than %d certificates",
                          GUACO__TLS_PAIRS_MAX);
    if (options->key_count != 0 && options->key_count != options->cert_count)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%zu certificates (--ssl-certfile) and %zu keys "
                          "(--ssl-keyfile): give a key for each, or none "
                          "when they are in the same files",
                          options->cert_count, options->key_count);
    if (options->ca_file != NULL && options->verify == GUACO__TLS_VERIFY_NONE)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "--ssl-ca-certs has no effect without "
                          "--ssl-cert-reqs optional or required");
    return GUACO_OK;
}

int
guaco__tls_new(struct guaco__tls **out,
               const struct guaco__tls_options *options,
               struct guaco_error *err)
{
    struct guaco__tls *tls;
    int rc = check_options(options, err);

    if (rc < 0)
        return rc;
    tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "TLS");
    tls->refs = 1;
    tls->has_h2 = options->has_h2;
    tls->has_h1 = options->has_h1;
    guaco__map_init(&tls->by_name, NAMES_MAX);
    tls->bio = guaco__tls_bio_new();
    if (tls->bio == NULL)
        rc = guaco_fail(err, GUACO_E_NOMEM, 0, "TLS");
    else if (options->secret != NULL)
        memcpy(tls->secret, options->secret, sizeof(tls->secret));
    else if (guaco__rand_bytes(tls->secret, sizeof(tls->secret)) < 0)
        rc = guaco_fail(err, GUACO_E_IO, 0, "no random bytes");
    if (rc == GUACO_OK)
        rc = add_pairs(tls, options, err);
    if (rc < 0)
        guaco__tls_unref(tls);
    else
        *out = tls;
    return rc;
}

struct guaco__tls *
guaco__tls_ref(struct guaco__tls *tls)
{
    assert(tls->refs > 0);
    tls->refs++;
    return tls;
}

void
guaco__tls_unref(struct guaco__tls *tls)
{
    if (tls == NULL)
        return;
    assert(tls->refs > 0);
    if (--tls->refs > 0)
        return;
    while (tls->certs != NULL) {
        struct guaco__tls_cert *next = tls->certs->next;

        cert_free(tls->certs);
        tls->certs = next;
    }
    guaco__map_release(&tls->by_name);
    BIO_meth_free(tls->bio);
    OPENSSL_cleanse(tls->secret, sizeof(tls->secret));
    free(tls);
}
