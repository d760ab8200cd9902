/* What is compressed comes out as it went in, piece by piece. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <brotli/decode.h>
#include <malloc.h>
#include <zlib.h>
#include <zstd.h>

#include "failing_malloc.h"
#include "http/block.h"
#include "http/compress.h"

enum { ROOM = 1 << 20 };

/* ---- the other end ---- */

struct reader {
    enum guaco__coding coding;
    BrotliDecoderState *br;
    ZSTD_DCtx *zstd;
    z_stream gzip;
    char *text; /* ROOM */
    size_t len;
    bool is_over;
};

static void
reader_open(struct reader *r, enum guaco__coding coding)
{
    memset(r, 0, sizeof(*r));
    r->coding = coding;
    r->text = malloc(ROOM);
    r->br = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    r->zstd = ZSTD_createDCtx();
    assert_int_equal(inflateInit2(&r->gzip, 15 + 16), Z_OK);
}

static void
reader_close(struct reader *r)
{
    free(r->text);
    BrotliDecoderDestroyInstance(r->br);
    ZSTD_freeDCtx(r->zstd);
    inflateEnd(&r->gzip);
}

static void
reader_feed(struct reader *r, const char *data, size_t len)
{
    if (r->coding == GUACO__CODING_BR) {
        const uint8_t *in = (const uint8_t *)data;
        uint8_t *out = (uint8_t *)r->text + r->len;
        size_t room = ROOM - r->len;
        BrotliDecoderResult rc =
            BrotliDecoderDecompressStream(r->br, &len, &in, &room, &out, NULL);

        assert_int_not_equal(rc, BROTLI_DECODER_RESULT_ERROR);
        r->len = ROOM - room;
        r->is_over = rc == BROTLI_DECODER_RESULT_SUCCESS;
    } else if (r->coding == GUACO__CODING_ZSTD) {
        ZSTD_inBuffer in = {data, len, 0};
        ZSTD_outBuffer out = {r->text, ROOM, r->len};
        size_t rc = 1;

        while (in.pos < in.size) {
            rc = ZSTD_decompressStream(r->zstd, &out, &in);
            assert_false(ZSTD_isError(rc));
        }
        r->len = out.pos;
        r->is_over = rc == 0;
    } else {
        r->gzip.next_in = (Bytef *)(uintptr_t)data;
        r->gzip.avail_in = (unsigned)len;
        r->gzip.next_out = (Bytef *)r->text + r->len;
        r->gzip.avail_out = (unsigned)(ROOM - r->len);
        int rc = inflate(&r->gzip, Z_SYNC_FLUSH);
        assert_true(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
        r->len = ROOM - r->gzip.avail_out;
        r->is_over = rc == Z_STREAM_END;
    }
}

/* ---- tests ---- */

static void
fill(char *text, size_t len)
{
    uint32_t seed = 7;

    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = (char)('a' + (seed >> 28));
    }
}

static void
a_flushed_piece_can_be_read_at_once(void **state)
{
    static const size_t sizes[] = {1, 13, 70000, 2, 200000, 1};
    static char text[300000];

    (void)state;
    fill(text, sizeof(text));
    for (int coding = 0; coding < GUACO__CODING_COUNT; coding++) {
        struct guaco__compressor *c;
        struct guaco__buf out;
        struct reader r;
        size_t at = 0;

        assert_int_equal(
            guaco__compressor_new(&c, (enum guaco__coding)coding, -1), 0);
        guaco__buf_init(&out, ROOM);
        reader_open(&r, (enum guaco__coding)coding);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct guaco_slice piece = {text + at, sizes[i]};

            assert_int_equal(
                guaco__compress(c, piece, GUACO__COMPRESS_FLUSH, &out), 0);
            reader_feed(&r, guaco__buf_data(&out), out.len);
            guaco__buf_reset(&out);
            at += sizes[i];
            assert_int_equal(r.len, at);
            assert_false(r.is_over);
        }
        assert_int_equal(guaco__compress(c, (struct guaco_slice){NULL, 0},
                                         GUACO__COMPRESS_END, &out),
                         0);
        reader_feed(&r, guaco__buf_data(&out), out.len);
        assert_true(r.is_over);
        assert_memory_equal(r.text, text, at);
        reader_close(&r);
        guaco__buf_release(&out);
        guaco__compressor_free(c);
    }
}

static void
a_whole_body_of_any_size_comes_out_whole(void **state)
{
    static const size_t sizes[] = {0,    1,     500,   511,   513,
                                   4096, 65536, 65537, 300000};
    static char text[300000];

    (void)state;
    fill(text, sizeof(text));
    for (int coding = 0; coding < GUACO__CODING_COUNT; coding++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct guaco__compressor *c;
            struct guaco__buf out;
            struct reader r;

            assert_int_equal(guaco__compressor_new(&c,
                                                   (enum guaco__coding)coding,
                                                   (int64_t)sizes[i]),
                             0);
            guaco__buf_init(&out, ROOM);
            reader_open(&r, (enum guaco__coding)coding);
            assert_int_equal(
                guaco__compress(c, (struct guaco_slice){text, sizes[i]},
                                GUACO__COMPRESS_END, &out),
                0);
            reader_feed(&r, guaco__buf_data(&out), out.len);
            assert_true(r.is_over);
            assert_int_equal(r.len, sizes[i]);
            assert_memory_equal(r.text, text, sizes[i]);
            reader_close(&r);
            guaco__buf_release(&out);
            guaco__compressor_free(c);
        }
}

static void
what_does_not_fit_is_a_limit(void **state)
{
    static char text[100000];
    struct guaco__buf out;

    (void)state;
    fill(text, sizeof(text));
    for (int coding = 0; coding < GUACO__CODING_COUNT; coding++) {
        struct guaco__compressor *c;

        assert_int_equal(
            guaco__compressor_new(&c, (enum guaco__coding)coding, -1), 0);
        guaco__buf_init(&out, 10000);
        assert_int_equal(
            guaco__compress(c, (struct guaco_slice){text, sizeof(text)},
                            GUACO__COMPRESS_END, &out),
            GUACO_E_LIMIT);
        guaco__buf_release(&out);
        guaco__compressor_free(c);
    }
}

static void
a_compressor_stays_below_its_bound(void **state)
{
#ifdef __GLIBC__
    static char text[1000000];
    struct guaco__buf out;

    (void)state;
    fill(text, sizeof(text));
    guaco__buf_init(&out, 8 * ROOM);
    assert_int_equal(guaco__buf_reserve(&out, 4 * ROOM), 0);
    if (mallinfo2().uordblks + mallinfo2().hblkhd < 4 * ROOM) {
        guaco__buf_release(&out);
        skip(); /* another allocator is in its place (a sanitizer's) */
    }
    for (int coding = 0; coding < GUACO__CODING_COUNT; coding++) {
        struct mallinfo2 before = mallinfo2();
        struct guaco__compressor *c;

        assert_int_equal(
            guaco__compressor_new(&c, (enum guaco__coding)coding, -1), 0);
        for (size_t at = 0; at < sizeof(text); at += 50000) {
            struct mallinfo2 now;

            assert_int_equal(
                guaco__compress(c, (struct guaco_slice){text + at, 50000},
                                GUACO__COMPRESS_FLUSH, &out),
                0);
            now = mallinfo2();
            assert_in_range(now.uordblks + now.hblkhd - before.uordblks -
                                before.hblkhd,
                            1, GUACO__COMPRESSOR_BYTES_MAX);
        }
        guaco__compressor_free(c);
        guaco__buf_reset(&out);
    }
    guaco__buf_release(&out);
#else
    (void)state;
    skip();
#endif
}

/* Brotli would end the process: it must never need more than its block. */
static void
brotli_asks_for_no_memory_once_it_is_made(void **state)
{
    static char text[2000000];
    uint32_t seed = 3;
    struct guaco__buf out;

    (void)state;
    guaco__buf_init(&out, 8 * ROOM);
    assert_int_equal(guaco__buf_reserve(&out, 4 * ROOM), 0);
    for (int kind = 0; kind < 3; kind++)
        for (int pattern = 0; pattern < 3; pattern++) {
            static const size_t most[] = {3000, 65536, sizeof(text)};
            struct guaco__compressor *c;

            fill(text, sizeof(text));
            for (size_t i = 0; i < sizeof(text); i++) {
                seed = seed * 1664525 + 1013904223;
                if (kind == 0 || (kind == 1 && i % 997 < 500))
                    text[i] = (char)(seed >> 24);
            }
            assert_int_equal(guaco__compressor_new(&c, GUACO__CODING_BR, -1),
                             0);
            fail_after(0);
            for (size_t at = 0, len; at < sizeof(text); at += len) {
                seed = seed * 1664525 + 1013904223;
                len = pattern == 2 ? most[2] : 1 + (seed >> 8) % most[pattern];
                if (len > sizeof(text) - at)
                    len = sizeof(text) - at;
                assert_int_equal(
                    guaco__compress(c, (struct guaco_slice){text + at, len},
                                    GUACO__COMPRESS_FLUSH, &out),
                    0);
                guaco__buf_reset(&out);
            }
            assert_false(fail_stop());
            guaco__compressor_free(c);
        }
    guaco__buf_release(&out);
}

static void
a_block_is_filled_where_there_is_room(void **state)
{
    struct guaco__block *block = guaco__block_new(4096);
    char *a = guaco__block_alloc(block, 1000);
    char *b = guaco__block_alloc(block, 1000);
    char *c = guaco__block_alloc(block, 1000);

    (void)state;
    guaco__block_free(block, b);
    assert_ptr_equal(guaco__block_alloc(block, 900), b);
    char *d = guaco__block_alloc(block, 5000); /* from elsewhere */
    memset(d, 1, 5000);
    guaco__block_free(block, d);
    guaco__block_free(block, NULL);
    guaco__block_free(block, c);
    guaco__block_free(block, a);
    guaco__block_free(block, b);
    fail_after(0);
    assert_null(guaco__block_new(1));
    assert_null(guaco__block_alloc(block, 5000));
    assert_non_null(a = guaco__block_alloc(block, 4096));
    assert_true(fail_stop());
    guaco__block_free(block, a);
    guaco__block_delete(block);
}

static void
each_allocation_may_fail(void **state)
{
    static char text[100000];

    (void)state;
    fill(text, sizeof(text));
    for (int coding = 0; coding < GUACO__CODING_COUNT; coding++)
        for (long n = 0;; n++) {
            struct guaco__compressor *c = NULL;
            struct guaco__buf out;

            guaco__buf_init(&out, ROOM);
            fail_after(n);
            int rc = guaco__compressor_new(&c, (enum guaco__coding)coding, -1);
            if (rc == 0)
                rc =
                    guaco__compress(c, (struct guaco_slice){text, sizeof(text)},
                                    GUACO__COMPRESS_END, &out);
            bool has_failed = fail_stop();
            guaco__compressor_free(c);
            guaco__buf_release(&out);
            assert_int_equal(rc, has_failed ? GUACO_E_NOMEM : 0);
            if (!has_failed)
                break;
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flushed_piece_can_be_read_at_once),
        cmocka_unit_test(a_whole_body_of_any_size_comes_out_whole),
        cmocka_unit_test(what_does_not_fit_is_a_limit),
        cmocka_unit_test(a_compressor_stays_below_its_bound),
        cmocka_unit_test(brotli_asks_for_no_memory_once_it_is_made),
        cmocka_unit_test(a_block_is_filled_where_there_is_room),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
