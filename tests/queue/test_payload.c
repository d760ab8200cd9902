/* The promises of guaco/payload.h. */

#include "guaco/payload.h"

#include <float.h>
#include <string.h>

#include "../test.h"

static unsigned char out[4096];

static struct guaco_slice
arguments(const struct guaco_value *args, size_t n,
          const struct guaco_argument *keywords, size_t k)
{
    size_t len;

    assert_int_equal(
        guaco_payload_arguments(args, n, keywords, k, out, sizeof out, &len),
        GUACO_OK);
    return (struct guaco_slice){(char *)out, len};
}

static void
what_is_written_is_what_python_writes(void **state)
{
    /* guaco._core.Codec: encode([[1, -300, "ä", None], {"k": True}]) */
    static const unsigned char wanted[] = {1,    0x82, 0x84, 0x01, 0x39,
                                           0x01, 0x2b, 0x62, 0xc3, 0xa4,
                                           0xf6, 0xa1, 0x61, 'k',  0xf5};
    const struct guaco_value args[] = {
        guaco_value_int(1),
        guaco_value_int(-300),
        guaco_value_text(GUACO_SLICE("\xc3\xa4")),
        {.kind = GUACO_VALUE_NONE}};
    const struct guaco_argument keywords[] = {
        {GUACO_SLICE("k"), {.kind = GUACO_VALUE_BOOL, .integer = 1}}};
    struct guaco_slice body = arguments(args, 4, keywords, 1);

    (void)state;
    assert_int_equal(body.len, sizeof wanted);
    assert_memory_equal(body.at, wanted, sizeof wanted);
}

static void
every_kind_comes_back(void **state)
{
    const struct guaco_value args[] = {
        guaco_value_int(INT64_MIN),
        guaco_value_int(INT64_MAX),
        guaco_value_real(DBL_MIN),
        {.kind = GUACO_VALUE_BYTES, .bytes = GUACO_SLICE("\0\xff")},
        {.kind = GUACO_VALUE_OTHER, .bytes = GUACO_SLICE("\x82\x01\x02")},
        {.kind = GUACO_VALUE_BOOL},
    };
    const struct guaco_argument keywords[] = {
        {GUACO_SLICE("first"), guaco_value_int(7)},
        {GUACO_SLICE("other"), guaco_value_text(GUACO_SLICE("x"))}};
    struct guaco_slice body = arguments(args, 6, keywords, 2);
    struct guaco_value value;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(guaco_payload_argument(body, i, &value), GUACO_OK);
        assert_int_equal(value.kind, args[i].kind);
        assert_int_equal(value.integer, args[i].integer);
        assert_true(value.real == args[i].real);
        assert_true(guaco_slice_equals(value.bytes, args[i].bytes));
    }
    assert_int_equal(guaco_payload_argument(body, 6, &value), GUACO_E_MISSING);
    assert_int_equal(guaco_payload_keyword(body, GUACO_SLICE("other"), &value),
                     GUACO_OK);
    assert_true(guaco_slice_equals(value.bytes, GUACO_SLICE("x")));
    assert_int_equal(guaco_payload_keyword(body, GUACO_SLICE("none"), &value),
                     GUACO_E_MISSING);
}

static void
what_cannot_be_written_is_refused(void **state)
{
    const struct guaco_value bad[] = {
        guaco_value_text(GUACO_SLICE("\xff")),
        {.kind = GUACO_VALUE_OTHER, .bytes = GUACO_SLICE("\x82\x01")},
        {.kind = GUACO_VALUE_OTHER, .bytes = GUACO_SLICE("\x01\x01")},
        {.kind = (enum guaco_value_kind)99},
    };
    const struct guaco_argument name = {GUACO_SLICE("\xff"),
                                        guaco_value_int(1)};
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(guaco_payload_value(&bad[i], out, sizeof out, &len),
                         GUACO_E_INVALID);
    assert_int_equal(
        guaco_payload_arguments(NULL, 0, &name, 1, out, sizeof out, &len),
        GUACO_E_INVALID);
    struct guaco_value text = guaco_value_text(GUACO_SLICE("12345678"));
    for (size_t cap = 0; cap < 10; cap++)
        assert_int_equal(guaco_payload_value(&text, out, cap, &len),
                         GUACO_E_LIMIT);
    assert_int_equal(guaco_payload_value(&text, out, 10, &len), GUACO_OK);
}

/* Every prefix of a body, and every byte of it changed, is read or refused. */
static void
no_bytes_break_the_reader(void **state)
{
    const struct guaco_value args[] = {
        guaco_value_int(1),
        guaco_value_text(GUACO_SLICE("text")),
        {.kind = GUACO_VALUE_OTHER, .bytes = GUACO_SLICE("\x82\x01\x02")}};
    const struct guaco_argument keywords[] = {
        {GUACO_SLICE("k"), guaco_value_real(1)}};
    struct guaco_slice body = arguments(args, 3, keywords, 1);
    struct guaco_value value;

    (void)state;
    for (size_t len = 0; len < body.len; len++)
        assert_int_equal(
            guaco_payload_keyword((struct guaco_slice){body.at, len},
                                  GUACO_SLICE("k"), &value),
            GUACO_E_PROTO);
    for (size_t i = 0; i < body.len; i++) {
        unsigned char kept = out[i];
        for (unsigned byte = 0; byte < 256; byte++) {
            out[i] = (unsigned char)byte;
            for (size_t n = 0; n < 4; n++)
                (void)guaco_payload_argument(body, n, &value);
            (void)guaco_payload_keyword(body, GUACO_SLICE("k"), &value);
            (void)guaco_payload_read(body, &value);
        }
        out[i] = kept;
    }
}

static void
an_empty_result_is_none_and_more_is_no_value(void **state)
{
    struct guaco_value value;

    (void)state;
    assert_int_equal(guaco_payload_read((struct guaco_slice){NULL, 0}, &value),
                     GUACO_OK);
    assert_int_equal(value.kind, GUACO_VALUE_NONE);
    assert_int_equal(guaco_payload_read(GUACO_SLICE("\x01\x05"), &value),
                     GUACO_OK);
    assert_int_equal(value.integer, 5);
    assert_int_equal(guaco_payload_read(GUACO_SLICE("\x01\x05\x05"), &value),
                     GUACO_E_PROTO);
    assert_int_equal(guaco_payload_read(GUACO_SLICE("\x02\x05"), &value),
                     GUACO_E_PROTO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_what_python_writes),
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(what_cannot_be_written_is_refused),
        cmocka_unit_test(no_bytes_break_the_reader),
        cmocka_unit_test(an_empty_result_is_none_and_more_is_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
