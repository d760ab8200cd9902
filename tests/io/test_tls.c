/* TLS: certificates that are read or refused, handshakes, and what passes
 * through a stream with it. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../folder.h"
#include "../tls_files.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"

enum { LARGE_BYTES = 300000 };

struct world {
    struct guaco__loop *loop;
    struct guaco__stream_pool pool;
    struct guaco__stream stream;
    struct guaco__tls *tls;
    SSL_CTX *ctx; /* the client's */
    SSL *client;
    int peer;
};

static unsigned told_events;

static void
on_event(struct guaco__stream *stream, unsigned events)
{
    told_events |= events;
    if ((events & GUACO__WRITABLE) != 0)
        guaco__stream_flush(stream);
}

/* Options of one certificate. */
static struct guaco__tls_options
options_of(const char *const files[2])
{
    return (struct guaco__tls_options){
        .cert_files = &files[0],
        .cert_count = 1,
        .key_files = &files[1],
        .key_count = 1,
        .has_h1 = true,
    };
}

static void
make_files(void)
{
    folder_make();
    tls_make(&(struct tls_wish){.name = "ca", .subject = "the CA"});
    tls_make(&(struct tls_wish){
        .name = "a", .subject = "a", .names = "DNS:a.test", .signer = "ca"});
}

static void
open_pair(struct world *w)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair),
                     0);
    assert_int_equal(
        guaco__stream_init(&w->stream, w->loop, &w->pool, pair[0], on_event),
        0);
    assert_int_equal(guaco__stream_start_tls(&w->stream, w->tls), 0);
    w->peer = pair[1];
    w->client = NULL;
}

static void
open_world(struct world *w, const struct guaco__tls_options *options)
{
    struct guaco_error err = {0};

    memset(w, 0, sizeof(*w));
    if (guaco__tls_new(&w->tls, options, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(guaco__loop_new(&w->loop, NULL), 0);
    guaco__stream_pool_init(&w->pool);
    w->ctx = SSL_CTX_new(TLS_client_method());
    open_pair(w);
}

static void
close_pair(struct world *w)
{
    guaco__stream_close(&w->stream);
    SSL_free(w->client);
    close(w->peer);
}

static void
close_world(struct world *w)
{
    close_pair(w);
    guaco__stream_pool_release(&w->pool);
    guaco__loop_free(w->loop);
    guaco__tls_unref(w->tls);
    SSL_CTX_free(w->ctx);
    folder_remove();
}

/* Both sides in turn; gives what the server's says at its end. */
static int
shake(struct world *w, const char *host)
{
    struct guaco_error err = {0};
    int rc = GUACO_E_AGAIN;

    if (w->client == NULL)
        w->client = tls_client(w->ctx, w->peer, host);
    for (int i = 0; i < 20 && rc == GUACO_E_AGAIN; i++) {
        SSL_do_handshake(w->client);
        rc = guaco__stream_handshake(&w->stream, &err);
    }
    SSL_do_handshake(w->client);
    ERR_clear_error();
    return rc;
}

static void
shake_well(struct world *w, const char *host)
{
    assert_int_equal(shake(w, host), 0);
    assert_true(SSL_is_init_finished(w->client));
}

/* The common name of the certificate that the client was shown. */
static const char *
shown_name(const struct world *w)
{
    static char name[64];
    X509 *cert = SSL_get0_peer_certificate(w->client);

    assert_non_null(cert);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
                              sizeof(name));
    return name;
}

/* ---- files ---- */

static void
refuses(const struct guaco__tls_options *options, int rc, const char *why)
{
    struct guaco__tls *tls = NULL;
    struct guaco_error err = {0};

    assert_int_equal(guaco__tls_new(&tls, options, &err), rc);
    assert_null(tls);
    if (strstr(err.text, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, err.text);
}

static void
files_that_do_not_do_are_named(void **state)
{
    (void)state;
    make_files();
    tls_make(&(struct tls_wish){.name = "b", .subject = "b"});
    tls_make(&(struct tls_wish){
        .name = "locked", .subject = "l", .password = "secret"});
    folder_write("nonsense", "nonsense\n", 9);

    const char *files[2] = {folder_path("a.pem"), folder_path("b.key")};
    struct guaco__tls_options options = options_of(files);

    refuses(&options, GUACO_E_INVALID, "is not the key of the certificate");
    files[1] = "/nowhere/a.key";
    refuses(&options, GUACO_E_MISSING, "/nowhere/a.key");
    files[1] = folder_path("nonsense");
    refuses(&options, GUACO_E_INVALID, "no private key");
    files[0] = folder_path("nonsense");
    refuses(&options, GUACO_E_INVALID, "no certificate");
    files[0] = folder_path("locked.pem");
    files[1] = folder_path("locked.key");
    refuses(&options, GUACO_E_INVALID, "encrypted and no password");
    options.key_password = "wrong";
    refuses(&options, GUACO_E_INVALID, "the password does not open");
    options.key_password = NULL;
    options.ciphers = "NO-SUCH";
    refuses(&options, GUACO_E_INVALID, "encrypted");
    options.key_count = 0;
    options.cert_count = 0;
    refuses(&options, GUACO_E_INVALID, "needs a certificate");
    folder_remove();
}

static void
a_password_may_come_from_a_file(void **state)
{
    struct guaco__tls *tls;

    (void)state;
    folder_make();
    tls_make(&(struct tls_wish){
        .name = "locked", .subject = "l", .password = "secret"});
    folder_write("password", "secret\n", 7);

    const char *files[2] = {folder_path("locked.pem"),
                            folder_path("locked.key")};
    struct guaco__tls_options options = options_of(files);
    struct guaco_error err = {0};

    options.key_password_file = folder_path("password");
    assert_int_equal(guaco__tls_new(&tls, &options, &err), 0);
    guaco__tls_unref(tls);
    options.ciphers = "NO-SUCH";
    refuses(&options, GUACO_E_INVALID, "no cipher");
    options.ciphers = NULL;
    options.ca_file = folder_path("password");
    refuses(&options, GUACO_E_INVALID, "--ssl-cert-reqs");
    options.verify = GUACO__TLS_VERIFY_REQUIRED;
    refuses(&options, GUACO_E_INVALID, "no certificates of CAs");
    folder_remove();
}

/* ---- handshakes ---- */

static void
a_handshake_settles_version_cipher_and_names(void **state)
{
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    open_world(&w, &options);
    assert_null(guaco__stream_tls(&w.stream));
    shake_well(&w, "a.test");

    const struct guaco__tls_about *about = guaco__stream_tls(&w.stream);

    assert_int_equal(about->version, TLS1_3_VERSION);
    assert_int_equal(about->cipher_suite >> 8, 0x13);
    assert_string_equal(about->server_name, "a.test");
    assert_memory_equal(about->server_pem.at, "-----BEGIN", 10);
    assert_int_equal(about->client_pem.len, 0);
    assert_null(about->client_name);
    close_world(&w);
}

static void
the_certificate_is_chosen_by_the_name_asked_for(void **state)
{
    static const char *const cases[][2] = {
        {"a.test", "a"},         {"A.TEST", "a"},    {"b.test", "b"},
        {"x.wild.test", "wild"}, {"wild.test", "a"}, {"x.y.wild.test", "a"},
        {"other.test", "a"},     {"b.test.", "b"},
    };
    struct world w;

    (void)state;
    make_files();
    tls_make(&(struct tls_wish){
        .name = "b", .subject = "b", .names = "DNS:b.test,DNS:c.test"});
    tls_make(&(struct tls_wish){
        .name = "wild", .subject = "wild", .names = "DNS:*.wild.test"});

    char paths[6][FOLDER_PATH_MAX];
    static const char *const names[] = {"a", "b", "wild"};
    const char *certs[3];
    const char *keys[3];

    for (size_t i = 0; i < 3; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s.pem", folder_path(names[i]));
        snprintf(paths[i + 3], sizeof(paths[i]), "%s.key",
                 folder_path(names[i]));
        certs[i] = paths[i];
        keys[i] = paths[i + 3];
    }

    struct guaco__tls_options options = {.cert_files = certs,
                                         .cert_count = 3,
                                         .key_files = keys,
                                         .key_count = 3,
                                         .has_h1 = true};

    open_world(&w, &options);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        shake_well(&w, cases[i][0]);
        assert_string_equal(shown_name(&w), cases[i][1]);
        close_pair(&w);
        open_pair(&w);
    }
    shake_well(&w, NULL);
    assert_string_equal(shown_name(&w), "a");
    close_world(&w);
}

static void
two_kinds_of_key_for_one_name_serve_both_kinds_of_client(void **state)
{
    struct world w;

    (void)state;
    make_files();
    tls_make(&(struct tls_wish){.name = "rsa",
                                .subject = "rsa",
                                .names = "DNS:a.test",
                                .is_rsa = true});

    char paths[4][FOLDER_PATH_MAX];

    snprintf(paths[0], FOLDER_PATH_MAX, "%s", folder_path("a.pem"));
    snprintf(paths[1], FOLDER_PATH_MAX, "%s", folder_path("rsa.pem"));
    snprintf(paths[2], FOLDER_PATH_MAX, "%s", folder_path("a.key"));
    snprintf(paths[3], FOLDER_PATH_MAX, "%s", folder_path("rsa.key"));

    const char *certs[] = {paths[0], paths[1]};
    const char *keys[] = {paths[2], paths[3]};
    struct guaco__tls_options options = {.cert_files = certs,
                                         .cert_count = 2,
                                         .key_files = keys,
                                         .key_count = 2,
                                         .has_h1 = true};

    open_world(&w, &options);
    SSL_CTX_set_max_proto_version(w.ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(w.ctx, "ECDHE-RSA-AES128-GCM-SHA256");
    shake_well(&w, "a.test");
    assert_string_equal(shown_name(&w), "rsa");
    close_pair(&w);
    open_pair(&w);
    SSL_CTX_set_cipher_list(w.ctx, "ECDHE-ECDSA-AES128-GCM-SHA256");
    shake_well(&w, "a.test");
    assert_string_equal(shown_name(&w), "a");
    close_world(&w);
}

static void
old_versions_and_weak_ciphers_are_refused(void **state)
{
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    open_world(&w, &options);
    SSL_CTX_set_security_level(w.ctx, 0);
    SSL_CTX_set_max_proto_version(w.ctx, TLS1_1_VERSION);
    SSL_CTX_set_cipher_list(w.ctx, "ALL:@SECLEVEL=0");
    assert_int_equal(shake(&w, NULL), GUACO_E_PROTO);
    close_pair(&w);
    open_pair(&w);
    SSL_CTX_set_max_proto_version(w.ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(w.ctx, "ECDHE-ECDSA-AES128-SHA");
    assert_int_equal(shake(&w, NULL), GUACO_E_PROTO);
    close_world(&w);
}

static void
tls_12_can_be_refused(void **state)
{
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    options.only_13 = true;
    open_world(&w, &options);
    SSL_CTX_set_max_proto_version(w.ctx, TLS1_2_VERSION);
    assert_int_equal(shake(&w, NULL), GUACO_E_PROTO);
    close_world(&w);
}

static void
alpn_prefers_h2_and_refuses_what_is_not_spoken(void **state)
{
    static const unsigned char both[] = "\x08http/1.1\x02h2";
    static const unsigned char h1[] = "\x08http/1.1";
    static const unsigned char odd[] = "\x06spdy/9";
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    options.has_h2 = true;
    open_world(&w, &options);
    SSL_CTX_set_alpn_protos(w.ctx, both, sizeof(both) - 1);
    shake_well(&w, NULL);
    assert_true(guaco__stream_tls(&w.stream)->is_h2);
    close_pair(&w);
    open_pair(&w);
    SSL_CTX_set_alpn_protos(w.ctx, h1, sizeof(h1) - 1);
    shake_well(&w, NULL);
    assert_false(guaco__stream_tls(&w.stream)->is_h2);
    close_pair(&w);
    open_pair(&w);
    SSL_CTX_set_alpn_protos(w.ctx, odd, sizeof(odd) - 1);
    assert_int_equal(shake(&w, NULL), GUACO_E_PROTO);
    close_world(&w);
}

static void
clients_show_a_certificate_of_the_ca_or_are_refused(void **state)
{
    struct world w;

    (void)state;
    make_files();
    tls_make(&(struct tls_wish){
        .name = "good", .subject = "Ann, of us", .signer = "ca"});
    tls_make(&(struct tls_wish){.name = "bad", .subject = "bad"});
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    options.verify = GUACO__TLS_VERIFY_REQUIRED;
    options.ca_file = folder_path("ca.pem");
    open_world(&w, &options);
    assert_int_equal(shake(&w, NULL), GUACO_E_PROTO);
    close_pair(&w);
    open_pair(&w);
    SSL_CTX_use_certificate_file(w.ctx, folder_path("bad.pem"),
                                 SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(w.ctx, folder_path("bad.key"),
                                SSL_FILETYPE_PEM);
    assert_int_equal(shake(&w, NULL), GUACO_E_PROTO);
    close_pair(&w);
    open_pair(&w);
    SSL_CTX_use_certificate_file(w.ctx, folder_path("good.pem"),
                                 SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(w.ctx, folder_path("good.key"),
                                SSL_FILETYPE_PEM);
    shake_well(&w, NULL);

    const struct guaco__tls_about *about = guaco__stream_tls(&w.stream);

    assert_string_equal(about->client_name, "CN=Ann\\, of us");
    assert_memory_equal(about->client_pem.at, "-----BEGIN", 10);
    close_world(&w);
}

static void
with_optional_a_client_may_show_none_but_not_a_bad_one(void **state)
{
    struct world w;

    (void)state;
    make_files();
    tls_make(&(struct tls_wish){.name = "bad", .subject = "bad"});
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    options.verify = GUACO__TLS_VERIFY_OPTIONAL;
    options.ca_file = folder_path("ca.pem");
    open_world(&w, &options);
    shake_well(&w, NULL);
    assert_null(guaco__stream_tls(&w.stream)->client_name);
    close_pair(&w);
    open_pair(&w);
    SSL_CTX_use_certificate_file(w.ctx, folder_path("bad.pem"),
                                 SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(w.ctx, folder_path("bad.key"),
                                SSL_FILETYPE_PEM);
    assert_int_equal(shake(&w, NULL), GUACO_E_PROTO);
    close_world(&w);
}

/* ---- tickets ---- */

/* A handshake with the session of the one before; whether it was resumed. */
static bool
resumes(struct world *w, SSL_SESSION *session)
{
    bool resumed;

    close_pair(w);
    open_pair(w);
    w->client = tls_client(w->ctx, w->peer, NULL);
    SSL_set_session(w->client, session);
    shake_well(w, NULL);
    resumed = SSL_session_reused(w->client) == 1;
    return resumed;
}

/* The session, with its ticket, which comes after the handshake in TLS 1.3. */
static SSL_SESSION *
take_session(struct world *w)
{
    char byte;

    assert_int_equal(guaco__stream_write(&w->stream, "x", 1), 0);
    assert_int_equal(guaco__stream_flush(&w->stream), 0);
    assert_int_equal(SSL_read(w->client, &byte, 1), 1);
    /* one that is freed without a goodbye spoils its session */
    SSL_set_shutdown(w->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    return SSL_get1_session(w->client);
}

static void
a_ticket_is_opened_by_whoever_knows_the_secret(void **state)
{
    static const unsigned char secret[GUACO__TLS_SECRET_BYTES] = "one";
    static const unsigned char other[GUACO__TLS_SECRET_BYTES] = "two";
    struct world w;
    SSL_SESSION *session;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    options.secret = secret;
    open_world(&w, &options);
    shake_well(&w, NULL);
    session = take_session(&w);
    guaco__tls_unref(w.tls); /* another process of the tree */
    assert_int_equal(guaco__tls_new(&w.tls, &options, NULL), 0);
    assert_true(resumes(&w, session));
    guaco__tls_unref(w.tls);
    options.secret = other;
    assert_int_equal(guaco__tls_new(&w.tls, &options, NULL), 0);
    assert_false(resumes(&w, session));
    SSL_SESSION_free(session);
    close_world(&w);
}

/* ---- bytes ---- */

static void
hear_all(struct world *w, char *into, size_t size)
{
    size_t len = 0;

    for (int idle = 0; len < size && idle < 50;) {
        size_t n = 0;

        if (SSL_read_ex(w->client, into + len, size - len, &n) != 1) {
            idle++;
            guaco__loop_run(w->loop, GUACO__LOOP_NOWAIT);
        }
        len += n;
    }
    ERR_clear_error();
    assert_int_equal(len, size);
}

static void
chunks_pieces_and_files_arrive_in_order(void **state)
{
    static char expected[2 * LARGE_BYTES + 8];
    static char heard[2 * LARGE_BYTES + 8];
    struct world w;
    int fd;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    memcpy(expected, "head", 4);
    for (size_t i = 0; i < 2 * LARGE_BYTES; i++)
        expected[4 + i] = (char)(i * 31 + i / 251);
    memcpy(expected + 4 + 2 * LARGE_BYTES, "tail", 4);
    folder_write("file", expected + 4 + LARGE_BYTES, LARGE_BYTES);
    fd = open(folder_path("file"), O_RDONLY);
    open_world(&w, &options);
    shake_well(&w, NULL);
    assert_int_equal(guaco__stream_write(&w.stream, "head", 4), 0);
    assert_int_equal(guaco__stream_write(&w.stream, expected + 4, LARGE_BYTES),
                     0);
    assert_int_equal(guaco__stream_file(&w.stream, fd, 0, LARGE_BYTES), 0);
    assert_int_equal(guaco__stream_write(&w.stream, "tail", 4), 0);
    assert_int_equal(guaco__stream_flush(&w.stream), GUACO_E_AGAIN);
    assert_true(w.stream.queued_bytes > 0);
    hear_all(&w, heard, sizeof(heard));
    assert_memory_equal(heard, expected, sizeof(expected));
    assert_int_equal(w.stream.queued_bytes, 0);
    close(fd);
    close_world(&w);
}

static void
a_file_that_got_shorter_breaks_the_stream(void **state)
{
    struct world w;
    int fd;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    folder_write("file", "0123456789", 10);
    fd = open(folder_path("file"), O_RDWR);
    open_world(&w, &options);
    shake_well(&w, NULL);
    assert_int_equal(guaco__stream_file(&w.stream, fd, 0, 10), 0);
    assert_int_equal(ftruncate(fd, 4), 0);
    assert_int_equal(guaco__stream_flush(&w.stream), GUACO_E_CLOSED);
    assert_int_equal(w.stream.queued_bytes, 0);
    close(fd);
    close_world(&w);
}

static void
bytes_beyond_the_callers_room_are_pending(void **state)
{
    char buf[64];
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    open_world(&w, &options);
    shake_well(&w, NULL);
    assert_int_equal(guaco__stream_recv(&w.stream, buf, sizeof(buf)),
                     GUACO_E_AGAIN);
    assert_int_equal(SSL_write(w.client, "0123456789", 10), 10);
    assert_int_equal(SSL_write(w.client, "abc", 3), 3);
    assert_int_equal(guaco__stream_recv(&w.stream, buf, 4), 4);
    assert_true(guaco__stream_has_pending(&w.stream));
    assert_int_equal(guaco__stream_recv(&w.stream, buf + 4, 6), 6);
    assert_true(guaco__stream_has_pending(&w.stream));
    assert_int_equal(guaco__stream_recv(&w.stream, buf + 10, 54), 3);
    assert_false(guaco__stream_has_pending(&w.stream));
    assert_memory_equal(buf, "0123456789abc", 13);
    close_world(&w);
}

static void
a_goodbye_is_heard_and_said(void **state)
{
    char byte;
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    open_world(&w, &options);
    shake_well(&w, NULL);
    SSL_shutdown(w.client);
    assert_int_equal(guaco__stream_recv(&w.stream, &byte, 1), 0);
    guaco__stream_shutdown(&w.stream);
    assert_int_equal(SSL_read(w.client, &byte, 1), 0);
    assert_int_equal(SSL_get_error(w.client, 0), SSL_ERROR_ZERO_RETURN);
    close_pair(&w);
    open_pair(&w);
    shake_well(&w, NULL);
    guaco__stream_reset(&w.stream); /* what was sent is not the whole */
    assert_true(SSL_read(w.client, &byte, 1) <= 0);
    assert_int_not_equal(SSL_get_shutdown(w.client), SSL_RECEIVED_SHUTDOWN);
    ERR_clear_error();
    close_world(&w);
}

static void
a_renegotiation_is_refused(void **state)
{
    char byte;
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    open_world(&w, &options);
    SSL_CTX_set_max_proto_version(w.ctx, TLS1_2_VERSION);
    shake_well(&w, NULL);
    assert_int_equal(SSL_renegotiate(w.client), 1);
    SSL_do_handshake(w.client);
    guaco__stream_recv(&w.stream, &byte, 1);
    assert_int_not_equal(SSL_do_handshake(w.client), 1);
    ERR_clear_error();
    close_world(&w);
}

/* ---- what is not TLS ---- */

static int
say_and_shake(struct world *w, const char *data, size_t len)
{
    assert_int_equal(send(w->peer, data, len, 0), (ssize_t)len);
    return guaco__stream_handshake(&w->stream, NULL);
}

static void
what_is_no_handshake_is_told_apart(void **state)
{
    static const char http[] = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    open_world(&w, &options);
    assert_int_equal(say_and_shake(&w, http, sizeof(http) - 1),
                     GUACO_E_UNSUPPORTED);
    assert_null(w.stream.tls);
    assert_int_equal(guaco__stream_write(&w.stream, "plain", 5), 0);
    assert_int_equal(guaco__stream_flush(&w.stream), 0);
    close_pair(&w);
    open_pair(&w);
    assert_int_equal(say_and_shake(&w, "\0\1\2\3\4\5\6\7\10\11\12", 11),
                     GUACO_E_PROTO);
    assert_int_equal(guaco__stream_handshake(&w.stream, NULL), GUACO_E_CLOSED);
    close_pair(&w);
    open_pair(&w);
    assert_int_equal(say_and_shake(&w, "\x16\3\1", 3), GUACO_E_AGAIN);
    shutdown(w.peer, SHUT_WR); /* in the midst of a record */
    assert_int_equal(guaco__stream_handshake(&w.stream, NULL), GUACO_E_CLOSED);
    close_world(&w);
}

static void
a_broken_record_closes(void **state)
{
    char byte;
    struct world w;

    (void)state;
    make_files();
    const char *files[2] = {folder_path("a.pem"), folder_path("a.key")};
    struct guaco__tls_options options = options_of(files);

    open_world(&w, &options);
    shake_well(&w, NULL);
    assert_int_equal(send(w.peer,
                          "\x17\3\3\0\x20"
                          "0123456789012345678901234567"
                          "8901",
                          37, 0),
                     37);
    assert_int_equal(guaco__stream_recv(&w.stream, &byte, 1), GUACO_E_CLOSED);
    assert_int_equal(guaco__stream_recv(&w.stream, &byte, 1), GUACO_E_CLOSED);
    close_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_do_not_do_are_named),
        cmocka_unit_test(a_password_may_come_from_a_file),
        cmocka_unit_test(a_handshake_settles_version_cipher_and_names),
        cmocka_unit_test(the_certificate_is_chosen_by_the_name_asked_for),
        cmocka_unit_test(
            two_kinds_of_key_for_one_name_serve_both_kinds_of_client),
        cmocka_unit_test(old_versions_and_weak_ciphers_are_refused),
        cmocka_unit_test(tls_12_can_be_refused),
        cmocka_unit_test(alpn_prefers_h2_and_refuses_what_is_not_spoken),
        cmocka_unit_test(clients_show_a_certificate_of_the_ca_or_are_refused),
        cmocka_unit_test(
            with_optional_a_client_may_show_none_but_not_a_bad_one),
        cmocka_unit_test(a_ticket_is_opened_by_whoever_knows_the_secret),
        cmocka_unit_test(chunks_pieces_and_files_arrive_in_order),
        cmocka_unit_test(a_file_that_got_shorter_breaks_the_stream),
        cmocka_unit_test(bytes_beyond_the_callers_room_are_pending),
        cmocka_unit_test(a_goodbye_is_heard_and_said),
        cmocka_unit_test(a_renegotiation_is_refused),
        cmocka_unit_test(what_is_no_handshake_is_told_apart),
        cmocka_unit_test(a_broken_record_closes),
    };

    signal(SIGPIPE, SIG_IGN); /* the client's OpenSSL writes to closed ends */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
