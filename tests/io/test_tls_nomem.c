/* Allocations that fail: TLS says so, and leaves nothing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../failing_malloc.h"
#include "../folder.h"
#include "../tls_files.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"

enum { TIMES_MAX = 200, PIECE_BYTES = 200000 };

static void
on_event(struct guaco__stream *stream, unsigned events)
{
    (void)stream, (void)events;
}

static void
certificates_are_read_whole_or_not_at_all(void **state)
{
    struct guaco__tls *tls = NULL;

    (void)state;
    folder_make();
    tls_make(&(struct tls_wish){
        .name = "a", .subject = "a", .names = "DNS:a,DNS:*.b"});

    const char *cert = folder_path("a.pem");
    const char *key = folder_path("a.key");
    struct guaco__tls_options options = {.cert_files = &cert,
                                         .cert_count = 1,
                                         .key_files = &key,
                                         .key_count = 1,
                                         .ca_file = folder_path("a.pem"),
                                         .verify = GUACO__TLS_VERIFY_REQUIRED};

    for (long n = 0;; n++) {
        assert_true(n < TIMES_MAX);
        fail_after(n);
        int rc = guaco__tls_new(&tls, &options, NULL);
        bool refused = fail_stop();
        if (rc == GUACO_OK) {
            guaco__tls_unref(tls);
            assert_false(refused);
            break;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
        assert_null(tls);
    }
    folder_remove();
}

/* Handshake, a small and a large answer that the client does not read. */
static bool
attempt(long n, struct guaco__tls *tls, SSL_CTX *ctx, struct guaco__loop *loop)
{
    static char large[PIECE_BYTES];
    struct guaco__stream_pool pool;
    struct guaco__stream stream;
    SSL *client;
    bool refused;
    int rc = GUACO_E_AGAIN;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair),
                     0);
    guaco__stream_pool_init(&pool);
    assert_int_equal(
        guaco__stream_init(&stream, loop, &pool, pair[0], on_event), 0);
    client = tls_client(ctx, pair[1], "a");
    fail_after(n);
    if (guaco__stream_start_tls(&stream, tls) == GUACO_OK) {
        for (int i = 0; i < 9 && rc == GUACO_E_AGAIN; i++) {
            SSL_do_handshake(client);
            rc = guaco__stream_handshake(&stream, NULL);
        }
        if (rc == GUACO_OK) {
            guaco__stream_write(&stream, "small", 5);
            guaco__stream_write(&stream, large, 3000);
            guaco__stream_write(&stream, large, sizeof(large));
            guaco__stream_flush(&stream);
        }
    }
    refused = fail_stop();
    guaco__stream_close(&stream);
    guaco__stream_pool_release(&pool);
    SSL_free(client);
    ERR_clear_error();
    close(pair[1]);
    return refused;
}

static void
a_connection_survives_it(void **state)
{
    struct guaco__loop *loop;
    struct guaco__tls *tls;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    long n = 0;

    (void)state;
    folder_make();
    tls_make(&(struct tls_wish){.name = "a", .subject = "a"});

    const char *cert = folder_path("a.pem");
    const char *key = folder_path("a.key");
    struct guaco__tls_options options = {.cert_files = &cert,
                                         .cert_count = 1,
                                         .key_files = &key,
                                         .key_count = 1};

    assert_int_equal(guaco__tls_new(&tls, &options, NULL), 0);
    assert_int_equal(guaco__loop_new(&loop, NULL), 0);
    while (attempt(n, tls, ctx, loop))
        assert_true(++n < TIMES_MAX);
    assert_true(n > 3);
    guaco__loop_free(loop);
    guaco__tls_unref(tls);
    SSL_CTX_free(ctx);
    folder_remove();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_are_read_whole_or_not_at_all),
        cmocka_unit_test(a_connection_survives_it),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
