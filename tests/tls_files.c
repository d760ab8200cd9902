#include "tls_files.h"

#include <stdarg.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder.h"

enum { YEAR_S = 365 * 86400 };

static void
add_extension(X509 *cert, int id, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, id, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static FILE *
open_pair(const char *name, const char *ending, const char *mode)
{
    char file[64];
    FILE *stream;

    snprintf(file, sizeof(file), "%s.%s", name, ending);
    stream = fopen(folder_path(file), mode);
    assert_non_null(stream);
    return stream;
}

static void
sign(X509 *cert, EVP_PKEY *own, const char *signer)
{
    FILE *stream;
    X509 *by;
    EVP_PKEY *key;

    if (signer == NULL) {
        add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
        X509_set_issuer_name(cert, X509_get_subject_name(cert));
        assert_true(X509_sign(cert, own, EVP_sha256()) > 0);
        return;
    }
    stream = open_pair(signer, "pem", "r");
    by = PEM_read_X509(stream, NULL, NULL, NULL);
    fclose(stream);
    stream = open_pair(signer, "key", "r");
    key = PEM_read_PrivateKey(stream, NULL, NULL, NULL);
    fclose(stream);
    assert_non_null(by);
    assert_non_null(key);
    X509_set_issuer_name(cert, X509_get_subject_name(by));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    X509_free(by);
    EVP_PKEY_free(key);
}

static void
write_pair(const struct tls_wish *wish, X509 *cert, EVP_PKEY *key)
{
    FILE *out = open_pair(wish->name, "pem", "w");
    char *password = (char *)(uintptr_t)wish->password;

    assert_int_equal(PEM_write_X509(out, cert), 1);
    fclose(out);
    out = open_pair(wish->name, "key", "w");
    assert_int_equal(PEM_write_PrivateKey(
                         out, key, password == NULL ? NULL : EVP_aes_128_cbc(),
                         (unsigned char *)password,
                         password == NULL ? 0 : (int)strlen(password), NULL,
                         NULL),
                     1);
    fclose(out);
}

void
tls_make(const struct tls_wish *wish)
{
    EVP_PKEY *key = wish->is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("prime256v1");
    X509 *cert = X509_new();
    X509_NAME *subject;

    assert_non_null(key);
    assert_non_null(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)random());
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), YEAR_S);
    X509_set_pubkey(cert, key);
    subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               (const unsigned char *)wish->subject, -1, -1, 0);
    if (wish->names != NULL)
        add_extension(cert, NID_subject_alt_name, wish->names);
    sign(cert, key, wish->signer);
    write_pair(wish, cert, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

SSL *
tls_client(SSL_CTX *ctx, int fd, const char *host)
{
    SSL *ssl = SSL_new(ctx);

    assert_non_null(ssl);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    if (host != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(ssl, host), 1);
    return ssl;
}
