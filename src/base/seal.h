#ifndef GUACO_BASE_SEAL_H
#define GUACO_BASE_SEAL_H

/*
 * Sealed bytes: what leaves the process and comes back is ours, unchanged and
 * in its place; if wanted, nobody else can read it.
 *
 *     sealed    := kind id_len id rest
 *     kind 'S'  := tag[32] body                      signed
 *     kind 'E'  := salt[16] nonce[12] text tag[16]   encrypted
 *
 * For each message a key of its own is derived: HMAC-SHA256 of the context,
 * the head (kind and id) and the salt, under the key of that id.  The tag of 'S'
 * is HMAC-SHA256 of the body under it; 'E' is AES-256-GCM under it, which so
 * sets no limit on the messages of one secret.  The context (what the bytes are
 * for: a task of that name, the result of that id) is not stored: bytes that
 * were moved to another place do not open there.
 *
 * Keys have ids, so that they can be changed while sealed bytes wait: the first
 * key that was added seals, each of them opens.
 *
 * Threads: a seal does not change after its last key was added; any may use it.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"
#include "guaco/slice.h"

#define GUACO__SEAL_KEYS_MAX    16
#define GUACO__SEAL_ID_MAX      32   /* bytes */
#define GUACO__SEAL_SECRET_MAX  4096 /* bytes */
#define GUACO__SEAL_CONTEXT_MAX 1024 /* bytes */
#define GUACO__SEAL_MORE_MAX    (2 + GUACO__SEAL_ID_MAX + 16 + 12 + 16)

struct guaco__seal_key {
    size_t id_len;
    unsigned char id[GUACO__SEAL_ID_MAX];
    unsigned char sign[32];
    unsigned char encrypt[32];
};

/* private */
struct guaco__seal {
    bool encrypts;
    size_t n;
    struct guaco__seal_key keys[GUACO__SEAL_KEYS_MAX];
};

/* Begin without keys; with `encrypts` what is sealed is encrypted too.  What
 * was sealed either way is opened, but an encrypting seal opens no 'S'. */
void guaco__seal_init(struct guaco__seal *seal, bool encrypts);

/* Forget the keys, in memory too. */
void guaco__seal_release(struct guaco__seal *seal);

/*
 * Add a key: an id of 1 to GUACO__SEAL_ID_MAX bytes, a secret of 1 to
 * GUACO__SEAL_SECRET_MAX.  Returns 0, GUACO_E_INVALID (a length; an id that is
 * there), GUACO_E_LIMIT (GUACO__SEAL_KEYS_MAX keys), or what a digest answers.
 */
int guaco__seal_add(struct guaco__seal *seal, struct guaco_slice id,
                    struct guaco_slice secret, struct guaco_error *err);

/* How many bytes a sealed body of len bytes has.  The seal has a key. */
size_t guaco__seal_bytes(const struct guaco__seal *seal, size_t len);

/* Seal body into out[0..guaco__seal_bytes()).  Returns 0, GUACO_E_INVALID (the
 * context is over GUACO__SEAL_CONTEXT_MAX), GUACO_E_IO (no random bytes),
 * GUACO_E_NOMEM, GUACO_E_UNSUPPORTED. */
int
guaco__seal_close(const struct guaco__seal *seal, struct guaco_slice context,
                  struct guaco_slice body, unsigned char *out);

/*
 * Open sealed bytes into out, which has room for sealed.len bytes; *len is the
 * body's.  Returns 0, GUACO_E_MISSING (sealed by a key that is not ours),
 * GUACO_E_PROTO (not sealed, changed, or of another context), or as above;
 * then nothing of out may be used.
 */
int
guaco__seal_open(const struct guaco__seal *seal, struct guaco_slice context,
                 struct guaco_slice sealed, unsigned char *out, size_t *len);

#endif
