/* Sealed bytes: form and reasons are in base/seal.h. */

#include "base/seal.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/digest.h"
#include "base/rand.h"

enum { SIGNED = 'S', ENCRYPTED = 'E' };
enum { KEY = 32, TAG_SIGNED = 32, SALT = 16, NONCE = 12, TAG = 16 };
enum { HEAD_MAX = 2 + GUACO__SEAL_ID_MAX };

_Static_assert(GUACO__SHA256_BYTES == KEY, "a digest is a key of AES-256");
_Static_assert(GUACO__SEAL_MORE_MAX >= HEAD_MAX + TAG_SIGNED, "kind S fits");
_Static_assert(GUACO__SEAL_MORE_MAX >= HEAD_MAX + SALT + NONCE + TAG,
               "kind E fits");

void
guaco__seal_init(struct guaco__seal *seal, bool encrypts)
{
    memset(seal, 0, sizeof *seal);
    seal->encrypts = encrypts;
}

void
guaco__seal_release(struct guaco__seal *seal)
{
    OPENSSL_cleanse(seal->keys, sizeof seal->keys);
    seal->n = 0;
}

static const struct guaco__seal_key *
key_find(const struct guaco__seal *seal, const unsigned char *id, size_t len)
{
    for (size_t i = 0; i < seal->n; i++) {
        const struct guaco__seal_key *key = &seal->keys[i];
        if (key->id_len == len && memcmp(key->id, id, len) == 0)
            return key;
    }
    return NULL;
}

/* A secret may be used elsewhere too: each use has a key of its own. */
static int
key_derive(struct guaco_slice secret, const char *use, unsigned char out[KEY])
{
    return guaco__hmac_sha256(secret.at, secret.len, use, strlen(use), out);
}

int
guaco__seal_add(struct guaco__seal *seal, struct guaco_slice id,
                struct guaco_slice secret, struct guaco_error *err)
{
    if (id.len < 1 || id.len > GUACO__SEAL_ID_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "a key's id has 1 to %d bytes", GUACO__SEAL_ID_MAX);
    if (secret.len < 1 || secret.len > GUACO__SEAL_SECRET_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "a secret has 1 to %d bytes",
                          GUACO__SEAL_SECRET_MAX);
    if (key_find(seal, (const unsigned char *)id.at, id.len) != NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "two keys have one id");
    if (seal->n == GUACO__SEAL_KEYS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "more than %d keys",
                          GUACO__SEAL_KEYS_MAX);

    struct guaco__seal_key *key = &seal->keys[seal->n];
    memcpy(key->id, id.at, id.len);
    key->id_len = id.len;
    int rc = key_derive(secret, "guaco seal 1 sign", key->sign);
    if (rc == GUACO_OK)
        rc = key_derive(secret, "guaco seal 1 encrypt", key->encrypt);
    if (rc < 0)
        return guaco_fail(err, rc, 0, "HMAC-SHA256");
    seal->n++;
    return GUACO_OK;
}

size_t
guaco__seal_bytes(const struct guaco__seal *seal, size_t len)
{
    assert(seal->n >= 1);

    size_t more = seal->encrypts ? SALT + NONCE + TAG : TAG_SIGNED;
    return 2 + seal->keys[0].id_len + more + len;
}

/* The key of one message.  The lengths stand before the parts, so that no two
 * triples of them are the same bytes. */
static int
message_key(const unsigned char base[KEY], struct guaco_slice context,
            const unsigned char *head, size_t head_len,
            const unsigned char *salt, size_t salt_len, unsigned char out[KEY])
{
    unsigned char all[2 + GUACO__SEAL_CONTEXT_MAX + HEAD_MAX + SALT];
    size_t n = 0;

    if (context.len > GUACO__SEAL_CONTEXT_MAX)
        return GUACO_E_INVALID;
    all[n++] = (unsigned char)(context.len >> 8);
    all[n++] = (unsigned char)context.len;
    if (context.len > 0)
        memcpy(all + n, context.at, context.len);
    n += context.len;
    memcpy(all + n, head, head_len); /* says its own length */
    n += head_len;
    if (salt_len > 0)
        memcpy(all + n, salt, salt_len);
    n += salt_len;
    return guaco__hmac_sha256(base, KEY, all, n, out);
}

/* ---- AES-256-GCM ------------------------------------------------------- */

/* Its complaints must not stay for the next TLS call of this thread. */
static int
cipher_failed(void)
{
    unsigned long why = ERR_peek_last_error();

    ERR_clear_error();
    return ERR_GET_REASON(why) == ERR_R_UNSUPPORTED ? GUACO_E_UNSUPPORTED
                                                    : GUACO_E_NOMEM;
}

static int
encrypt(const unsigned char key[KEY], const unsigned char nonce[NONCE],
        struct guaco_slice body, unsigned char *text, unsigned char tag[TAG])
{
    int n = 0, rc = GUACO_OK;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    if (ctx == NULL ||
        EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
        EVP_EncryptUpdate(ctx, text, &n, (const unsigned char *)body.at,
                          (int)body.len) != 1 ||
        EVP_EncryptFinal_ex(ctx, text + n, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, tag) != 1)
        rc = cipher_failed();
    EVP_CIPHER_CTX_free(ctx);
    return rc;
}

static int
decrypt(const unsigned char key[KEY], const unsigned char nonce[NONCE],
        const unsigned char *text, size_t len, const unsigned char tag[TAG],
        unsigned char *out)
{
    unsigned char wanted[TAG];
    int n = 0, rc = GUACO_OK;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    memcpy(wanted, tag, TAG);
    if (ctx == NULL ||
        EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
        EVP_DecryptUpdate(ctx, out, &n, text, (int)len) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, wanted) != 1)
        rc = cipher_failed();
    else if (EVP_DecryptFinal_ex(ctx, out + n, &n) != 1) {
        ERR_clear_error();
        rc = GUACO_E_PROTO;
    }
    EVP_CIPHER_CTX_free(ctx);
    return rc;
}

/* ---- sealing and opening ----------------------------------------------- */

static int
seal_signed(const struct guaco__seal_key *key, struct guaco_slice context,
            struct guaco_slice body, unsigned char *out, size_t head_len)
{
    unsigned char own[KEY];
    unsigned char *tag = out + head_len;

    int rc = message_key(key->sign, context, out, head_len, NULL, 0, own);
    if (rc < 0)
        return rc;
    if (body.len > 0)
        memcpy(tag + TAG_SIGNED, body.at, body.len);
    rc = guaco__hmac_sha256(own, KEY, tag + TAG_SIGNED, body.len, tag);
    OPENSSL_cleanse(own, sizeof own);
    return rc;
}

static int
seal_encrypted(const struct guaco__seal_key *key, struct guaco_slice context,
               struct guaco_slice body, unsigned char *out, size_t head_len)
{
    unsigned char own[KEY];
    unsigned char *salt = out + head_len, *text = salt + SALT + NONCE;

    int rc = guaco__rand_bytes(salt, SALT + NONCE);
    if (rc == GUACO_OK)
        rc = message_key(key->encrypt, context, out, head_len, salt, SALT, own);
    if (rc < 0)
        return rc;
    rc = encrypt(own, salt + SALT, body, text, text + body.len);
    OPENSSL_cleanse(own, sizeof own);
    return rc;
}

int
guaco__seal_close(const struct guaco__seal *seal, struct guaco_slice context,
                  struct guaco_slice body, unsigned char *out)
{
    assert(seal->n >= 1);
    const struct guaco__seal_key *key = &seal->keys[0];

    if (body.len > INT_MAX - GUACO__SEAL_MORE_MAX)
        return GUACO_E_INVALID;
    out[0] = seal->encrypts ? ENCRYPTED : SIGNED;
    out[1] = (unsigned char)key->id_len;
    memcpy(out + 2, key->id, key->id_len);
    size_t head_len = 2 + key->id_len;
    if (seal->encrypts)
        return seal_encrypted(key, context, body, out, head_len);
    return seal_signed(key, context, body, out, head_len);
}

static int
open_signed(const struct guaco__seal_key *key, struct guaco_slice context,
            const unsigned char *at, size_t head_len, size_t rest,
            unsigned char *out, size_t *len)
{
    unsigned char own[KEY], tag[GUACO__SHA256_BYTES];
    const unsigned char *body = at + head_len + TAG_SIGNED;

    if (rest < TAG_SIGNED)
        return GUACO_E_PROTO;
    int rc = message_key(key->sign, context, at, head_len, NULL, 0, own);
    if (rc == GUACO_OK)
        rc = guaco__hmac_sha256(own, KEY, body, rest - TAG_SIGNED, tag);
    OPENSSL_cleanse(own, sizeof own);
    if (rc < 0)
        return rc;
    if (!guaco__secret_equals(tag, at + head_len, TAG_SIGNED))
        return GUACO_E_PROTO;
    *len = rest - TAG_SIGNED;
    if (*len > 0)
        memcpy(out, body, *len);
    return GUACO_OK;
}

static int
open_encrypted(const struct guaco__seal_key *key, struct guaco_slice context,
               const unsigned char *at, size_t head_len, size_t rest,
               unsigned char *out, size_t *len)
{
    unsigned char own[KEY];
    const unsigned char *salt = at + head_len, *text = salt + SALT + NONCE;

    if (rest < SALT + NONCE + TAG)
        return GUACO_E_PROTO;
    *len = rest - SALT - NONCE - TAG;
    int rc = message_key(key->encrypt, context, at, head_len, salt, SALT, own);
    if (rc == GUACO_OK)
        rc = decrypt(own, salt + SALT, text, *len, text + *len, out);
    OPENSSL_cleanse(own, sizeof own);
    return rc;
}

int
guaco__seal_open(const struct guaco__seal *seal, struct guaco_slice context,
                 struct guaco_slice sealed, unsigned char *out, size_t *len)
{
    const unsigned char *at = (const unsigned char *)sealed.at;

    if (sealed.len < 2 || sealed.len > INT_MAX ||
        (at[0] != SIGNED && at[0] != ENCRYPTED))
        return GUACO_E_PROTO;
    if (at[0] == SIGNED && seal->encrypts)
        return GUACO_E_PROTO; /* whoever wrote it may not be downgraded to */
    size_t id_len = at[1];
    if (id_len < 1 || id_len > GUACO__SEAL_ID_MAX || sealed.len < 2 + id_len)
        return GUACO_E_PROTO;
    const struct guaco__seal_key *key = key_find(seal, at + 2, id_len);
    if (key == NULL)
        return GUACO_E_MISSING;
    size_t rest = sealed.len - 2 - id_len;
    if (at[0] == SIGNED)
        return open_signed(key, context, at, 2 + id_len, rest, out, len);
    return open_encrypted(key, context, at, 2 + id_len, rest, out, len);
}
