/* The promises of base/digest.h; vectors of FIPS 180-4 and RFC 4231, 6455. */

#include "base/digest.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "guaco/error.h"

#include "../test.h"

static void
is_hex(const unsigned char *got, size_t len, const char *want)
{
    char text[130];

    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", got[i]);
    assert_string_equal(text, want);
}

static void
sha256_of_abc(void **state)
{
    unsigned char out[GUACO__SHA256_BYTES];

    (void)state;
    assert_int_equal(guaco__sha256("abc", 3, out), GUACO_OK);
    is_hex(out, sizeof out,
           "ba7816bf8f01cfea414140de5dae2223"
           "b00361a396177a9cb410ff61f20015ad");
}

static void
the_websocket_accept_key_of_rfc_6455(void **state)
{
    static const char text[] = "dGhlIHNhbXBsZSBub25jZQ=="
                               "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char out[GUACO__SHA1_BYTES];
    char coded[28];

    (void)state;
    assert_int_equal(guaco__sha1(text, strlen(text), out), GUACO_OK);
    assert_int_equal(guaco__base64_encode(out, sizeof out, coded), 28);
    assert_memory_equal(coded, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28);
}

static void
hmac_of_rfc_4231_test_case_2(void **state)
{
    static const char data[] = "what do ya want for nothing?";
    unsigned char out[GUACO__SHA256_BYTES];

    (void)state;
    assert_int_equal(guaco__hmac_sha256("Jefe", 4, data, strlen(data), out),
                     GUACO_OK);
    is_hex(out, sizeof out,
           "5bdcc146bf60754e6a042426089575c7"
           "5a003f089d2739839dec58b964ec3843");
}

static void
secrets_are_equal_or_not(void **state)
{
    (void)state;
    assert_true(guaco__secret_equals("abc", "abc", 3));
    assert_false(guaco__secret_equals("abc", "abd", 3));
    assert_true(guaco__secret_equals("", "", 0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_abc),
        cmocka_unit_test(the_websocket_accept_key_of_rfc_6455),
        cmocka_unit_test(hmac_of_rfc_4231_test_case_2),
        cmocka_unit_test(secrets_are_equal_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
