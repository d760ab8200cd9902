/* PEM files: the contract is in io/tls_cert.h. */

#include "io/tls_cert.h"

#include <assert.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/buf.h"
#include "os/file.h"

enum { FILE_BYTES_MAX = 1 << 20 };

int
guaco__tls_fail(struct guaco_error *err, int code, const char *what)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return guaco_fail(err, code, 0, "%s%s%s", what, why == NULL ? "" : ": ",
                      why == NULL ? "" : why);
}

/* The file as a BIO over `text`. */
static int
open_file(const char *path, struct guaco__buf *text, BIO **bio,
          struct guaco_error *err)
{
    guaco__buf_init(text, FILE_BYTES_MAX);

    int rc = guaco__file_read(path, text, err);

    if (rc < 0)
        return rc;
    *bio = BIO_new_mem_buf(text->len > 0 ? guaco__buf_data(text) : "",
                           (int)text->len);
    return *bio == NULL ? guaco_fail(err, GUACO_E_NOMEM, 0, "%s", path)
                        : GUACO_OK;
}

/* ---- certificates ---- */

static int
read_certs(struct guaco__tls_pair *pair, BIO *bio, const char *path,
           struct guaco_error *err)
{
    X509 *next;

    pair->cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    pair->chain = sk_X509_new_null();
    if (pair->cert == NULL || pair->chain == NULL) {
        ERR_clear_error();
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%.150s: no certificate in PEM form", path);
    }
    while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        if (sk_X509_push(pair->chain, next) <= 0) {
            X509_free(next);
            return guaco_fail(err, GUACO_E_NOMEM, 0, "%s", path);
        }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        ERR_clear_error();
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%.150s: a certificate of the chain is broken", path);
    }
    ERR_clear_error();
    return GUACO_OK;
}

/* ---- keys ---- */

struct password {
    const char *text;
    bool was_asked;
};

/* OpenSSL would ask at the terminal. */
static int
give_password(char *out, int size, int is_writing, void *ctx)
{
    struct password *password = ctx;
    size_t len;

    (void)is_writing;
    password->was_asked = true;
    if (password->text == NULL)
        return -1;
    len = strlen(password->text);
    if (size < 0 || len > (size_t)size)
        return -1;
    memcpy(out, password->text, len);
    return (int)len;
}

static int
read_key(struct guaco__tls_pair *pair, BIO *bio, const char *path,
         const char *text, struct guaco_error *err)
{
    struct password password = {text, false};

    pair->key = PEM_read_bio_PrivateKey(bio, NULL, give_password, &password);
    ERR_clear_error();
    if (pair->key != NULL)
        return GUACO_OK;
    if (!password.was_asked)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%.150s: no private key in PEM form", path);
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      text == NULL
                          ? "%.100s: the key is encrypted and no password "
                            "is given (--ssl-keyfile-password-file)"
                          : "%.150s: the password does not open the key",
                      path);
}

/* ---- the pair ---- */

/* Text with a key in it does not stay in freed memory. */
static void
wipe(struct guaco__buf *text)
{
    if (text->len > 0)
        OPENSSL_cleanse(guaco__buf_data(text), text->len);
    guaco__buf_release(text);
}

int
guaco__tls_pair_read(struct guaco__tls_pair *pair, const char *cert_file,
                     const char *key_file, const char *password,
                     struct guaco_error *err)
{
    struct guaco__buf text;
    BIO *bio = NULL;
    int rc;

    *pair = (struct guaco__tls_pair){.cert = NULL};
    ERR_clear_error();
    rc = open_file(cert_file, &text, &bio, err);
    if (rc == GUACO_OK)
        rc = read_certs(pair, bio, cert_file, err);
    BIO_free(bio);
    wipe(&text);
    if (rc < 0)
        return rc;

    bio = NULL;
    rc = open_file(key_file, &text, &bio, err);
    if (rc == GUACO_OK)
        rc = read_key(pair, bio, key_file, password, err);
    BIO_free(bio);
    wipe(&text);
    if (rc < 0)
        return rc;
    if (X509_check_private_key(pair->cert, pair->key) != 1) {
        ERR_clear_error();
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%.90s is not the key of the certificate %.90s",
                          key_file, cert_file);
    }
    return GUACO_OK;
}

void
guaco__tls_pair_release(struct guaco__tls_pair *pair)
{
    X509_free(pair->cert);
    sk_X509_pop_free(pair->chain, X509_free);
    EVP_PKEY_free(pair->key);
    *pair = (struct guaco__tls_pair){.cert = NULL};
}

/* ---- names ---- */

static int
see_common_name(X509 *cert, int (*see)(void *ctx, const char *, size_t),
                void *ctx)
{
    char name[256];
    int len = X509_NAME_get_text_by_NID(X509_get_subject_name(cert),
                                        NID_commonName, name, sizeof(name));

    if (len <= 0 || len >= (int)sizeof(name))
        return 0;
    return see(ctx, name, (size_t)len);
}

int
guaco__tls_each_name(X509 *cert, int (*see)(void *ctx, const char *, size_t),
                     void *ctx)
{
    GENERAL_NAMES *names =
        X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int rc = 0;

    if (names == NULL)
        return see_common_name(cert, see, ctx);
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && rc == 0; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type != GEN_DNS)
            continue;

        const unsigned char *at = ASN1_STRING_get0_data(name->d.dNSName);
        int len = ASN1_STRING_length(name->d.dNSName);

        if (len > 0 && memchr(at, '\0', (size_t)len) == NULL)
            rc = see(ctx, (const char *)at, (size_t)len);
    }
    GENERAL_NAMES_free(names);
    return rc;
}
