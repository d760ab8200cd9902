/*
 * TLS between a stream's queue and its socket.
 *
 * OpenSSL writes into a buffer that all streams of the loop share, and one
 * send() takes all records of a flush; only what the socket does not take is
 * kept with the connection.  So no write of OpenSSL's ever has to be repeated.
 * It reads from the socket itself, a whole record at a time, into a buffer that
 * it frees when it is empty (SSL_MODE_RELEASE_BUFFERS): an idle connection owns
 * neither.
 */

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/stream_int.h"
#include "io/tls_cert.h"
#include "io/tls_int.h"

enum {
    RECORD_BYTES = 16384,
    BATCH_BYTES = 65536,      /* encrypted before the next send */
    KEPT_BYTES_MAX = 1 << 18, /* encrypted and not taken by the socket */
};

struct guaco__tls_session {
    SSL *ssl;
    struct guaco__tls *tls; /* shared */
    struct guaco__buf out;  /* encrypted, the socket did not take it */
    bool is_done;           /* the handshake is */
    bool has_failed;        /* OpenSSL must not be called again */
    bool is_drained;        /* the last recv took all that the socket had */
    bool is_full;           /* the last read ended for want of room */
    bool is_eof;            /* nothing more will come */
    bool eof_is_told;
    struct guaco__tls_about about;
};

struct guaco__tls *
guaco__tls_of(const SSL *ssl)
{
    const struct guaco__tls_session *session = SSL_get_app_data(ssl);

    return session->tls;
}

/* ---- the BIO ---- */

static int
bio_read(BIO *bio, char *out, int size)
{
    struct guaco__stream *stream = BIO_get_data(bio);
    struct guaco__tls_session *session = stream->tls;
    ssize_t n = -1;

    BIO_clear_retry_flags(bio);
    if (!session->is_drained)
        do {
            n = recv(stream->fd, out, (size_t)size, 0);
        } while (n < 0 && errno == EINTR);
    if (n > 0) {
        session->is_drained = n < size;
        return (int)n;
    }
    if (n == 0) {
        session->is_eof = true;
        return 0;
    }
    if (session->is_drained || errno == EAGAIN || errno == EWOULDBLOCK) {
        session->is_drained = true;
        BIO_set_retry_read(bio);
    }
    return -1;
}

static int
bio_write(BIO *bio, const char *data, int len)
{
    struct guaco__stream *stream = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    return guaco__buf_append(&stream->pool->cipher, data, (size_t)len) < 0
               ? -1
               : len;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct guaco__stream *stream = BIO_get_data(bio);

    (void)number, (void)pointer;
    if (command == BIO_CTRL_EOF)
        return stream->tls->is_eof;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *
guaco__tls_bio_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "guaco stream");

    if (method != NULL && (BIO_meth_set_read(method, bio_read) != 1 ||
                           BIO_meth_set_write(method, bio_write) != 1 ||
                           BIO_meth_set_ctrl(method, bio_ctrl) != 1)) {
        BIO_meth_free(method);
        method = NULL;
    }
    return method;
}

/* ---- what is encrypted, to the socket ---- */

static int
push_from(struct guaco__stream *stream, struct guaco__buf *from)
{
    while (from->len > 0) {
        ssize_t n =
            send(stream->fd, guaco__buf_data(from), from->len, MSG_NOSIGNAL);

        if (n >= 0) {
            stream->sent_bytes += (size_t)n;
            guaco__buf_drop(from, (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return GUACO_E_AGAIN;
        } else if (errno != EINTR) {
            return GUACO_E_CLOSED;
        }
    }
    return GUACO_OK;
}

/* Send what is in the shared buffer, behind what the socket did not take
 * before.  The shared buffer is empty afterwards. */
static int
push(struct guaco__stream *stream)
{
    struct guaco__tls_session *session = stream->tls;
    struct guaco__buf *cipher = &stream->pool->cipher;
    size_t kept_bytes = session->out.len;
    int rc = push_from(stream, &session->out);

    if (rc == GUACO_OK)
        rc = push_from(stream, cipher);
    if (cipher->len > 0 && rc == GUACO_E_AGAIN &&
        guaco__buf_append(&session->out, guaco__buf_data(cipher), cipher->len) <
            0)
        rc = GUACO_E_CLOSED;
    if (session->out.len == 0)
        guaco__buf_release(&session->out);
    stream->queued_bytes += session->out.len;
    stream->queued_bytes -= kept_bytes;
    guaco__buf_reset(cipher);
    return rc;
}

/* ---- the queue, into records ---- */

static bool
is_memory(const struct guaco__stream_node *node)
{
    return node->kind != GUACO__STREAM_FILE;
}

/* Read from the file at the front; 0 when it got shorter than announced. */
static size_t
take_file(struct guaco__stream *stream, char *out, size_t room)
{
    struct guaco__stream_node *node = stream->first;
    uint64_t left = node->as.file.left;
    size_t want = left < room ? (size_t)left : room;
    ssize_t n;

    do {
        n = pread(node->as.file.fd, out, want, node->as.file.offset);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return 0;
    node->as.file.offset += n;
    node->as.file.left -= (uint64_t)n;
    stream->queued_bytes -= (size_t)n;
    if (node->as.file.left == 0)
        guaco__stream_drop_first(stream);
    return (size_t)n;
}

/* Take the front of the queue into `out`, until that is full.  Gives the bytes,
 * 0 for a file that cannot be read. */
static size_t
gather(struct guaco__stream *stream, char *out)
{
    size_t len = 0;

    while (stream->first != NULL && len < RECORD_BYTES) {
        struct guaco__stream_node *node = stream->first;
        size_t n;

        if (is_memory(node)) {
            struct iovec iov = guaco__stream_iovec(node);

            n = iov.iov_len < RECORD_BYTES - len ? iov.iov_len
                                                 : RECORD_BYTES - len;
            memcpy(out + len, iov.iov_base, n);
            guaco__stream_advance(stream, n);
        } else {
            n = take_file(stream, out + len, RECORD_BYTES - len);
            if (n == 0)
                return 0;
        }
        len += n;
    }
    return len;
}

static bool
encrypt(struct guaco__stream *stream, const void *data, size_t len)
{
    size_t written;

    ERR_clear_error();
    if (SSL_write_ex(stream->tls->ssl, data, len, &written) == 1 &&
        written == len)
        return true;
    ERR_clear_error();
    stream->tls->has_failed = true;
    return false;
}

/* Make at least one record.  What lies in memory in one run is not copied
 * together with others first. */
static bool
encrypt_next(struct guaco__stream *stream)
{
    struct guaco__stream_node *node = stream->first;
    struct guaco__stream_pool *pool = stream->pool;

    if (is_memory(node)) {
        struct iovec iov = guaco__stream_iovec(node);
        size_t len = iov.iov_len < BATCH_BYTES ? iov.iov_len : BATCH_BYTES;

        if (len >= RECORD_BYTES || node->next == NULL) {
            bool is_good = encrypt(stream, iov.iov_base, len);

            guaco__stream_advance(stream, len);
            return is_good;
        }
    }
    if (pool->plain == NULL)
        pool->plain = malloc(RECORD_BYTES);
    if (pool->plain == NULL)
        return false;

    size_t len = gather(stream, pool->plain);

    return len > 0 && encrypt(stream, pool->plain, len);
}

int
guaco__tls_send(struct guaco__stream *stream)
{
    struct guaco__tls_session *session = stream->tls;
    int rc = push(stream);

    while (rc == GUACO_OK && stream->first != NULL) {
        if (!session->is_done || session->has_failed)
            return GUACO_E_CLOSED;
        while (stream->first != NULL && stream->pool->cipher.len < BATCH_BYTES)
            if (!encrypt_next(stream)) {
                push(stream);
                return GUACO_E_CLOSED;
            }
        rc = push(stream);
    }
    return rc;
}

/* ---- reading ---- */

/* A read gave nothing: GUACO_E_AGAIN or GUACO_E_CLOSED, 0 at the end. */
static int
judge_read(struct guaco__tls_session *session, int result)
{
    int why = SSL_get_error(session->ssl, result);

    if (why == SSL_ERROR_WANT_READ)
        return GUACO_E_AGAIN;
    if (why == SSL_ERROR_ZERO_RETURN)
        session->is_eof = true;
    else
        session->has_failed = true;
    ERR_clear_error();
    /* One that closes without a goodbye has closed; what it said before is
     * delimited by HTTP. */
    return session->is_eof ? 0 : GUACO_E_CLOSED;
}

ssize_t
guaco__tls_recv(struct guaco__stream *stream, void *buf, size_t size)
{
    struct guaco__tls_session *session = stream->tls;
    size_t len = 0;
    int rc = GUACO_OK;

    if (session->is_eof)
        session->eof_is_told = true;
    if (session->is_eof || session->has_failed)
        return session->is_eof ? 0 : GUACO_E_CLOSED;
    session->is_drained = false;
    ERR_clear_error();
    while (len < size && rc == GUACO_OK) {
        size_t n = 0;
        int result =
            SSL_read_ex(session->ssl, (char *)buf + len, size - len, &n);

        len += n;
        if (result != 1) {
            rc = judge_read(session, result);
            break;
        }
    }
    session->is_full = len == size;
    if (stream->pool->cipher.len > 0) /* an alert, or new keys were wanted */
        push(stream);
    if (len > 0)
        return (ssize_t)len;
    if (session->is_eof)
        session->eof_is_told = true;
    return rc;
}

bool
guaco__stream_has_pending(const struct guaco__stream *stream)
{
    const struct guaco__tls_session *session = stream->tls;

    if (session == NULL || !session->is_done)
        return false;
    if (session->is_eof || session->has_failed)
        return !session->eof_is_told;
    return session->is_full && SSL_has_pending(session->ssl);
}

/* ---- the handshake ---- */

int
guaco__stream_start_tls(struct guaco__stream *stream, struct guaco__tls *tls)
{
    struct guaco__tls_session *session = calloc(1, sizeof(*session));
    BIO *bio = BIO_new(tls->bio);

    assert(stream->tls == NULL);
    if (session != NULL)
        session->ssl = SSL_new(tls->certs->ctx);
    if (session == NULL || session->ssl == NULL || bio == NULL) {
        if (session != NULL)
            SSL_free(session->ssl);
        BIO_free(bio);
        free(session);
        ERR_clear_error();
        return GUACO_E_NOMEM;
    }
    session->tls = guaco__tls_ref(tls);
    guaco__buf_init(&session->out, KEPT_BYTES_MAX);
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_app_data(session->ssl, session);
    SSL_set_accept_state(session->ssl);
    stream->tls = session;
    return GUACO_OK;
}

static void
session_free(struct guaco__tls_session *session)
{
    SSL_free(session->ssl);
    guaco__tls_unref(session->tls);
    guaco__buf_release(&session->out);
    free((char *)(uintptr_t)session->about.client_pem.at);
    free((char *)(uintptr_t)session->about.client_name);
    free(session);
}

/* The certificate that was shown. */
static struct guaco_slice
server_pem(const struct guaco__tls_session *session)
{
    const SSL_CTX *ctx = SSL_get_SSL_CTX(session->ssl);
    EVP_PKEY *key = SSL_get_privatekey(session->ssl);
    int type = key == NULL ? 0 : EVP_PKEY_get_base_id(key);

    for (struct guaco__tls_cert *cert = session->tls->certs; cert != NULL;
         cert = cert->next)
        if (cert->ctx == ctx && cert->key_type == type)
            return cert->pem;
    return session->tls->certs->pem;
}

/* What an in-memory BIO holds, as memory of its own, with a NUL behind it;
 * empty when there is none left. */
static struct guaco_slice
dup_bio(BIO *bio)
{
    char *at = NULL;
    long len = bio == NULL ? 0 : BIO_get_mem_data(bio, &at);
    char *copy = len > 0 ? malloc((size_t)len + 1) : NULL;

    if (copy == NULL)
        return (struct guaco_slice){NULL, 0};
    memcpy(copy, at, (size_t)len);
    copy[len] = '\0';
    return (struct guaco_slice){copy, (size_t)len};
}

static struct guaco_slice
client_pem(SSL *ssl, X509 *own)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    BIO *bio = BIO_new(BIO_s_mem());
    bool is_good = bio != NULL && PEM_write_bio_X509(bio, own) == 1;
    struct guaco_slice pem = {NULL, 0};

    for (int i = 0; is_good && i < sk_X509_num(chain); i++)
        is_good = PEM_write_bio_X509(bio, sk_X509_value(chain, i)) == 1;
    if (is_good)
        pem = dup_bio(bio);
    BIO_free(bio);
    return pem;
}

static const char *
subject_of(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const char *text = NULL;

    if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
                                          XN_FLAG_RFC2253) >= 0)
        text = dup_bio(bio).at;
    BIO_free(bio);
    return text;
}

static void
describe(struct guaco__tls_session *session)
{
    SSL *ssl = session->ssl;
    struct guaco__tls_about *about = &session->about;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    X509 *client = SSL_get0_peer_certificate(ssl);
    const unsigned char *protocol;
    unsigned len;

    SSL_get0_alpn_selected(ssl, &protocol, &len);
    about->version = (uint16_t)SSL_version(ssl);
    about->cipher_suite =
        cipher == NULL ? 0 : SSL_CIPHER_get_protocol_id(cipher);
    about->is_h2 = len == 2 && memcmp(protocol, "h2", 2) == 0;
    about->server_name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    about->server_pem = server_pem(session);
    if (client != NULL) {
        about->client_pem = client_pem(ssl, client);
        about->client_name = subject_of(client);
    }
}

/* The peer said "GET / HTTP/1.1": go on without TLS, to tell it so. */
static int
fall_back(struct guaco__stream *stream)
{
    guaco__buf_reset(&stream->pool->cipher);
    stream->queued_bytes -= stream->tls->out.len;
    session_free(stream->tls);
    stream->tls = NULL;
    return GUACO_E_UNSUPPORTED;
}

/* A handshake that cannot go on now, or not at all. */
static int
judge_handshake(struct guaco__stream *stream, int result,
                struct guaco_error *err)
{
    struct guaco__tls_session *session = stream->tls;
    int why = SSL_get_error(session->ssl, result);
    int reason = ERR_GET_REASON(ERR_peek_last_error());

    if (why == SSL_ERROR_WANT_READ)
        return GUACO_E_AGAIN;
    session->has_failed = true;
    if (reason == SSL_R_HTTP_REQUEST) {
        ERR_clear_error();
        return fall_back(stream);
    }
    if (why != SSL_ERROR_SSL || session->is_eof) {
        ERR_clear_error();
        return GUACO_E_CLOSED;
    }
    guaco__tls_fail(err, GUACO_E_PROTO, "TLS handshake");
    return GUACO_E_PROTO;
}

int
guaco__stream_handshake(struct guaco__stream *stream, struct guaco_error *err)
{
    struct guaco__tls_session *session = stream->tls;
    int result;
    int rc = GUACO_OK;

    assert(session != NULL);
    assert(!session->is_done);
    if (session->has_failed || stream->is_broken)
        return GUACO_E_CLOSED;
    session->is_drained = false;
    ERR_clear_error();
    result = SSL_do_handshake(session->ssl);
    if (result != 1)
        rc = judge_handshake(stream, result, err);
    if (stream->tls != NULL && guaco__stream_flush(stream) == GUACO_E_CLOSED &&
        rc != GUACO_E_PROTO)
        return GUACO_E_CLOSED;
    if (rc == GUACO_OK) {
        session->is_done = true;
        session->is_full = true; /* a request may have come with its end */
        describe(session);
    }
    return rc;
}

const struct guaco__tls_about *
guaco__stream_tls(const struct guaco__stream *stream)
{
    return stream->tls != NULL && stream->tls->is_done ? &stream->tls->about
                                                       : NULL;
}

/* ---- the end ---- */

static bool
may_say_goodbye(const struct guaco__stream *stream)
{
    const struct guaco__tls_session *session = stream->tls;

    return session->is_done && !session->has_failed && !stream->is_broken &&
           stream->first == NULL && session->out.len == 0 &&
           (SSL_get_shutdown(session->ssl) & SSL_SENT_SHUTDOWN) == 0;
}

void
guaco__tls_shutdown(struct guaco__stream *stream)
{
    if (!may_say_goodbye(stream))
        return;
    ERR_clear_error();
    SSL_shutdown(stream->tls->ssl);
    ERR_clear_error();
    push(stream);
}

void
guaco__tls_close(struct guaco__stream *stream)
{
    guaco__tls_shutdown(stream);
    session_free(stream->tls);
    stream->tls = NULL;
}
