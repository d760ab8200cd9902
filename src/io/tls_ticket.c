/*
 * Session tickets (RFC 5077, RFC 8446 4.6.1).  The keys of a period follow from
 * the secret and the period's number, so that processes that share the secret
 * need not talk: each opens what another sealed, and all change keys at the
 * same time.  A ticket is opened in its own period and in the next, and then
 * replaced.
 */

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <string.h>

#include "base/digest.h"
#include "io/tls_int.h"
#include "os/clock.h"

enum {
    PERIOD_S = 6 * 3600,
    NAME_BYTES = 16,
    IV_BYTES = 16,
    KEY_BYTES = 32,
};

struct keys {
    unsigned char name[KEY_BYTES]; /* NAME_BYTES of it */
    unsigned char cipher[KEY_BYTES];
    unsigned char mac[KEY_BYTES];
};

_Static_assert(KEY_BYTES == GUACO__SHA256_BYTES, "one digest a key");

static int64_t
period_now(void)
{
    const struct guaco_clock clock = {NULL};

    return guaco__clock_wall_ms(&clock) / 1000 / PERIOD_S;
}

static bool
derive(const struct guaco__tls *tls, int64_t period, struct keys *keys)
{
    unsigned char *const parts[] = {keys->name, keys->cipher, keys->mac};
    unsigned char text[32] = "guaco session ticket";

    memcpy(text + 20, &period, sizeof(period));
    for (unsigned char i = 0; i < 3; i++) {
        text[28] = i;
        if (guaco__hmac_sha256(tls->secret, sizeof(tls->secret), text,
                               sizeof(text), parts[i]) < 0)
            return false;
    }
    return true;
}

static bool
set_mac(EVP_MAC_CTX *mac, struct keys *keys)
{
    char digest[] = "sha256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, keys->mac,
                                          KEY_BYTES),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's convention: below 0 an error, 0 no such key, 1 good, 2 good and to
 * be replaced. */
static int
seal(struct keys *keys, unsigned char *name, unsigned char *iv,
     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    memcpy(name, keys->name, NAME_BYTES);
    if (RAND_bytes(iv, IV_BYTES) != 1 ||
        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->cipher, iv) !=
            1 ||
        !set_mac(mac, keys))
        return -1;
    return 1;
}

static int
unseal(const struct guaco__tls *tls, const unsigned char *name,
       const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
       struct keys *keys)
{
    int64_t period = period_now();

    for (int age = 0; age < 2; age++) {
        if (!derive(tls, period - age, keys))
            return -1;
        if (memcmp(name, keys->name, NAME_BYTES) != 0)
            continue;
        if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->cipher,
                               iv) != 1 ||
            !set_mac(mac, keys))
            return -1;
        return age == 0 ? 1 : 2;
    }
    return 0;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    const struct guaco__tls *tls = guaco__tls_of(ssl);
    struct keys keys;
    int rc = -1;

    if (!is_sealing)
        rc = unseal(tls, name, iv, cipher, mac, &keys);
    else if (derive(tls, period_now(), &keys))
        rc = seal(&keys, name, iv, cipher, mac);
    OPENSSL_cleanse(&keys, sizeof(keys));
    return rc;
}

void
guaco__tls_set_tickets(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    SSL_CTX_set_timeout(ctx, PERIOD_S);
}
