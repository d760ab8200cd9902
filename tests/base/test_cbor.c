/* base/cbor.h: heads both ways, and everything that is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cbor.h"
#include "guaco/error.h"

/* GUACO_SLICE is a compound literal, which is no constant in C17. */
#define BYTES(literal)               \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static void
an_argument_takes_the_fewest_bytes(void **state)
{
    static const struct {
        uint64_t value;
        size_t len;
    } rows[] = {
        {0, 1},          {23, 1},         {24, 2},
        {255, 2},        {256, 3},        {65535, 3},
        {65536, 5},      {UINT32_MAX, 5}, {(uint64_t)UINT32_MAX + 1, 9},
        {UINT64_MAX, 9},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char head[GUACO__CBOR_HEAD_MAX];
        struct guaco__cbor_item item;
        size_t len =
            guaco__cbor_put_head(head, GUACO__CBOR_UINT, rows[i].value);
        assert_int_equal(len, rows[i].len);

        struct guaco__cbor_reader r = guaco__cbor_reader_of(head, len);
        assert_int_equal(guaco__cbor_next(&r, &item), 0);
        assert_int_equal(item.kind, GUACO__CBOR_UINT);
        assert_true(item.value == rows[i].value);
        assert_ptr_equal(r.at, r.end);

        /* Cut anywhere it is refused, and the reader has not moved. */
        for (size_t cut = 0; cut < len; cut++) {
            r = guaco__cbor_reader_of(head, cut);
            assert_int_equal(guaco__cbor_next(&r, &item), GUACO_E_PROTO);
            assert_ptr_equal(r.at, head);
        }
    }
}

static void
a_float_keeps_its_bits(void **state)
{
    static const double rows[] = {0.0, -0.0, 1.1, -1e300, INFINITY};
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char out[GUACO__CBOR_HEAD_MAX];
        struct guaco__cbor_item item;
        assert_int_equal(guaco__cbor_put_float(out, rows[i]), 9);
        struct guaco__cbor_reader r = guaco__cbor_reader_of(out, 9);
        assert_int_equal(guaco__cbor_next(&r, &item), 0);
        assert_int_equal(item.kind, GUACO__CBOR_FLOAT);
        assert_memory_equal(&item.number, &rows[i], sizeof rows[i]);
    }
}

static void
what_guaco_does_not_write_is_refused(void **state)
{
    static const struct {
        const char *why;
        struct guaco_slice bytes;
    } rows[] = {
        {"nothing", BYTES("")},
        {"a small number in two bytes", BYTES("\x18\x17")},
        {"a small number in three bytes", BYTES("\x19\x00\xff")},
        {"a small number in five bytes", BYTES("\x1a\x00\x00\xff\xff")},
        {"a small number in nine bytes",
         BYTES("\x1b\x00\x00\x00\x00\xff\xff\xff\xff")},
        {"a reserved size", BYTES("\x1c")},
        {"an indefinite array", BYTES("\x9f\x01\xff")},
        {"an indefinite text", BYTES("\x7f\x61\x61\xff")},
        {"a break", BYTES("\xff")},
        {"undefined", BYTES("\xf7")},
        {"a half float", BYTES("\xf9\x00\x00")},
        {"a single float", BYTES("\xfa\x00\x00\x00\x00")},
        {"a cut float", BYTES("\xfb\x00\x00")},
        {"text beyond the end", BYTES("\x62\x61")},
        {"more items than bytes", BYTES("\x82\x01")},
        {"more pairs than bytes", BYTES("\xa1\x01")},
        {"an enormous count", BYTES("\xbb\x80\x00\x00\x00\x00\x00\x00\x00")},
        {"a tag of nothing", BYTES("\xc2")},
        {"an integer below -2^63",
         BYTES("\x3b\x80\x00\x00\x00\x00\x00\x00\x00")},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct guaco__cbor_item item;
        struct guaco__cbor_reader r =
            guaco__cbor_reader_of(rows[i].bytes.at, rows[i].bytes.len);
        if (guaco__cbor_next(&r, &item) != GUACO_E_PROTO)
            fail_msg("accepted: %s", rows[i].why);
    }
}

static void
skip_steps_over_one_item_with_all_inside(void **state)
{
    /* [1, {"a": [2]}, tag 2 of h'01', null], then 7 */
    static const struct guaco_slice bytes =
        BYTES("\x84\x01\xa1\x61\x61\x81\x02\xc2\x41\x01\xf6\x07");
    struct guaco__cbor_reader r = guaco__cbor_reader_of(bytes.at, bytes.len);
    (void)state;

    assert_int_equal(guaco__cbor_skip(&r, 3), 0);
    assert_int_equal(r.end - r.at, 1);
    assert_int_equal(guaco__cbor_skip(&r, 1), 0);
    assert_int_equal(r.end - r.at, 0);
    assert_int_equal(guaco__cbor_skip(&r, 1), GUACO_E_PROTO);

    r = guaco__cbor_reader_of(bytes.at, bytes.len);
    assert_int_equal(guaco__cbor_skip(&r, 2), GUACO_E_LIMIT);
    assert_int_equal(r.end - r.at, bytes.len);

    for (size_t cut = 0; cut + 1 < bytes.len; cut++) {
        r = guaco__cbor_reader_of(bytes.at, cut);
        assert_int_equal(guaco__cbor_skip(&r, 3), GUACO_E_PROTO);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_argument_takes_the_fewest_bytes),
        cmocka_unit_test(a_float_keeps_its_bits),
        cmocka_unit_test(what_guaco_does_not_write_is_refused),
        cmocka_unit_test(skip_steps_over_one_item_with_all_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
