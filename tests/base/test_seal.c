/* The promises of base/seal.h. */

#include "base/seal.h"

#include <string.h>

#include "../test.h"

static const struct guaco_slice context = {"task\0q\0m.f", 10};

static struct guaco_slice
text(const char *s)
{
    return (struct guaco_slice){s, strlen(s)};
}

static void
add(struct guaco__seal *seal, const char *id, const char *secret)
{
    assert_int_equal(guaco__seal_add(seal, text(id), text(secret), NULL),
                     GUACO_OK);
}

static struct guaco_slice
sealed(const struct guaco__seal *seal, const char *body, unsigned char *out)
{
    size_t n = guaco__seal_bytes(seal, strlen(body));

    assert_true(n <= strlen(body) + GUACO__SEAL_MORE_MAX);
    assert_int_equal(guaco__seal_close(seal, context, text(body), out),
                     GUACO_OK);
    return (struct guaco_slice){(const char *)out, n};
}

static int
opened(const struct guaco__seal *seal, struct guaco_slice in, const char *want)
{
    unsigned char out[256];
    size_t len = 0;

    assert_true(in.len <= sizeof out);
    int rc = guaco__seal_open(seal, context, in, out, &len);
    if (rc == GUACO_OK) {
        assert_int_equal(len, strlen(want));
        assert_memory_equal(out, want, len);
    }
    return rc;
}

static void
what_is_sealed_opens_in_its_context_alone(void **state)
{
    unsigned char buf[256], out[256];
    size_t len;

    (void)state;
    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct guaco__seal seal;
        guaco__seal_init(&seal, encrypts != 0);
        add(&seal, "2026", "secret");
        assert_int_equal(opened(&seal, sealed(&seal, "body", buf), "body"), 0);
        assert_int_equal(opened(&seal, sealed(&seal, "", buf), ""), 0);
        struct guaco_slice s = sealed(&seal, "body", buf);
        assert_int_equal(guaco__seal_open(&seal, text("task"), s, out, &len),
                         GUACO_E_PROTO);
        guaco__seal_release(&seal);
    }
}

static void
no_byte_can_be_changed_or_cut(void **state)
{
    unsigned char buf[256];

    (void)state;
    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct guaco__seal seal;
        guaco__seal_init(&seal, encrypts != 0);
        add(&seal, "k", "secret");
        struct guaco_slice s = sealed(&seal, "a body", buf);
        for (size_t i = 0; i < s.len; i++) {
            for (int bit = 0; bit < 8; bit++) {
                buf[i] ^= (unsigned char)(1 << bit);
                assert_true(opened(&seal, s, "a body") < 0);
                buf[i] ^= (unsigned char)(1 << bit);
            }
            assert_true(opened(&seal, (struct guaco_slice){s.at, i}, "") < 0);
        }
        assert_int_equal(opened(&seal, s, "a body"), GUACO_OK);
    }
}

static void
an_old_key_opens_and_the_first_one_seals(void **state)
{
    struct guaco__seal old, both;
    unsigned char first[256], second[256];

    (void)state;
    guaco__seal_init(&old, true);
    add(&old, "1", "old");
    guaco__seal_init(&both, true);
    add(&both, "2", "new");
    add(&both, "1", "old");
    assert_int_equal(opened(&both, sealed(&old, "x", first), "x"), GUACO_OK);
    assert_int_equal(opened(&old, sealed(&both, "x", second), "x"),
                     GUACO_E_MISSING);
    assert_memory_equal(second, "E\0012", 3);
}

static void
an_encrypting_seal_opens_nothing_that_is_only_signed(void **state)
{
    struct guaco__seal signs, encrypts;
    unsigned char buf[256];

    (void)state;
    guaco__seal_init(&signs, false);
    add(&signs, "k", "secret");
    guaco__seal_init(&encrypts, true);
    add(&encrypts, "k", "secret");
    assert_int_equal(opened(&encrypts, sealed(&signs, "x", buf), "x"),
                     GUACO_E_PROTO);
    assert_int_equal(opened(&signs, sealed(&encrypts, "x", buf), "x"),
                     GUACO_OK);
}

static void
two_messages_have_two_salts_and_the_text_is_not_the_body(void **state)
{
    struct guaco__seal seal;
    unsigned char one[256], two[256];

    (void)state;
    guaco__seal_init(&seal, true);
    add(&seal, "k", "secret");
    struct guaco_slice a = sealed(&seal, "a long enough body", one);
    struct guaco_slice b = sealed(&seal, "a long enough body", two);
    assert_int_equal(a.len, b.len);
    assert_memory_not_equal(one + 3, two + 3, 28);
    assert_null(memmem(one, a.len, "long", 4));
}

static void
keys_have_limits(void **state)
{
    struct guaco__seal seal;
    char id[2] = "a";
    static char long_text[GUACO__SEAL_SECRET_MAX + 2];

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    guaco__seal_init(&seal, false);
    assert_int_equal(guaco__seal_add(&seal, text(""), text("s"), NULL),
                     GUACO_E_INVALID);
    assert_int_equal(guaco__seal_add(&seal, text("a"), text(""), NULL),
                     GUACO_E_INVALID);
    assert_int_equal(guaco__seal_add(&seal, text("a"), text(long_text), NULL),
                     GUACO_E_INVALID);
    assert_int_equal(guaco__seal_add(&seal, text(long_text), text("s"), NULL),
                     GUACO_E_INVALID);
    for (int i = 0; i < GUACO__SEAL_KEYS_MAX; i++, id[0]++)
        add(&seal, id, "s");
    assert_int_equal(guaco__seal_add(&seal, text("a"), text("s"), NULL),
                     GUACO_E_INVALID);
    assert_int_equal(guaco__seal_add(&seal, text(id), text("s"), NULL),
                     GUACO_E_LIMIT);
}

static void
a_context_has_a_limit(void **state)
{
    struct guaco__seal seal;
    static char long_text[GUACO__SEAL_CONTEXT_MAX + 1];
    unsigned char out[256];
    struct guaco_slice most = {long_text, GUACO__SEAL_CONTEXT_MAX};
    struct guaco_slice more = {long_text, GUACO__SEAL_CONTEXT_MAX + 1};

    (void)state;
    guaco__seal_init(&seal, false);
    add(&seal, "k", "secret");
    assert_int_equal(guaco__seal_close(&seal, most, text("x"), out), GUACO_OK);
    assert_int_equal(guaco__seal_close(&seal, more, text("x"), out),
                     GUACO_E_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_in_its_context_alone),
        cmocka_unit_test(no_byte_can_be_changed_or_cut),
        cmocka_unit_test(an_old_key_opens_and_the_first_one_seals),
        cmocka_unit_test(an_encrypting_seal_opens_nothing_that_is_only_signed),
        cmocka_unit_test(
            two_messages_have_two_salts_and_the_text_is_not_the_body),
        cmocka_unit_test(keys_have_limits),
        cmocka_unit_test(a_context_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
