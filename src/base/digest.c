/* Digests: the contract is in base/digest.h. */

#include "base/digest.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "guaco/error.h"

/* libcrypto queues its complaints a thread; ours travel as return codes, and
 * what stayed in the queue would be reported by the next TLS call. */
static int
failed(void)
{
    unsigned long why = ERR_peek_last_error();

    ERR_clear_error();
    return ERR_GET_REASON(why) == ERR_R_UNSUPPORTED ? GUACO_E_UNSUPPORTED
                                                    : GUACO_E_NOMEM;
}

static int
digest(const EVP_MD *md, const void *data, size_t len, unsigned char *out,
       size_t out_len)
{
    unsigned int n = 0;

    if (EVP_Digest(data, len, out, &n, md, NULL) != 1)
        return failed();
    assert(n == out_len);
    return GUACO_OK;
}

int
guaco__sha1(const void *data, size_t len, unsigned char out[GUACO__SHA1_BYTES])
{
    return digest(EVP_sha1(), data, len, out, GUACO__SHA1_BYTES);
}

int
guaco__sha256(const void *data, size_t len,
              unsigned char out[GUACO__SHA256_BYTES])
{
    return digest(EVP_sha256(), data, len, out, GUACO__SHA256_BYTES);
}

int
guaco__hmac_sha256(const void *key, size_t key_len, const void *data,
                   size_t len, unsigned char out[GUACO__SHA256_BYTES])
{
    unsigned int n = 0;

    assert(key_len >= 1);
    assert(key_len <= 4096);
    if (HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &n) == NULL)
        return failed();
    assert(n == GUACO__SHA256_BYTES);
    return GUACO_OK;
}

bool
guaco__secret_equals(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
