/* The promises of base/base64.h; vectors of RFC 4648, section 10. */

#include "base/base64.h"

#include <string.h>

#include "guaco/error.h"

#include "../test.h"

static const struct {
    const char *plain;
    const char *coded;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void
the_vectors_of_the_rfc_go_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const char *plain = vectors[i].plain;
        const char *coded = vectors[i].coded;
        char out[32];
        size_t n = guaco__base64_encode(plain, strlen(plain), out);
        assert_int_equal(n, strlen(coded));
        assert_memory_equal(out, coded, n);

        size_t back = 99;
        assert_int_equal(guaco__base64_decode(coded, strlen(coded), out, &back),
                         GUACO_OK);
        assert_int_equal(back, strlen(plain));
        assert_memory_equal(out, plain, back);
    }
}

static void
the_url_alphabet_has_no_padding(void **state)
{
    char out[8];

    (void)state;
    assert_int_equal(guaco__base64_encode_url("\xff\xfe\xfd\xff", 4, out), 6);
    assert_memory_equal(out, "__79_w", 6);
}

static void
every_byte_survives(void **state)
{
    unsigned char plain[256];
    unsigned char back[264];
    char coded[400];

    (void)state;
    for (int i = 0; i < 256; i++)
        plain[i] = (unsigned char)i;
    for (size_t len = 0; len <= 256; len++) {
        size_t got;
        size_t n = guaco__base64_encode(plain, len, coded);
        assert_int_equal(guaco__base64_decode(coded, n, back, &got), GUACO_OK);
        assert_int_equal(got, len);
        if (len > 0)
            assert_memory_equal(back, plain, len);
    }
}

static void
anything_the_encoder_would_not_write_is_refused(void **state)
{
    static const char *const bad[] = {
        "Zg",   "Zg=",  "Zh==", "Zm9=", "Z===",     "====",     "Zm9v\n",
        "Zm 9", "Zm-v", "Zm_v", "=Zm9", "Zg==Zg==", "Zm9vYg=A",
    };
    char out[16];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(guaco__base64_decode(bad[i], strlen(bad[i]), out, &n),
                         GUACO_E_PROTO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc_go_both_ways),
        cmocka_unit_test(the_url_alphabet_has_no_padding),
        cmocka_unit_test(every_byte_survives),
        cmocka_unit_test(anything_the_encoder_would_not_write_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
