/* The promises of base/buf.h. */

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "../failing_malloc.h"
#include "../test.h"

static void
holds(const struct guaco__buf *buf, const char *text)
{
    assert_int_equal(buf->len, strlen(text));
    if (buf->len > 0)
        assert_memory_equal(guaco__buf_data(buf), text, buf->len);
}

static void
an_empty_buffer_owns_nothing(void **state)
{
    struct guaco__buf buf;

    (void)state;
    guaco__buf_init(&buf, 10);
    assert_null(guaco__buf_data(&buf));
    assert_null(guaco__buf_end(&buf));
    assert_int_equal(guaco__buf_free(&buf), 0);
    assert_int_equal(guaco__buf_append(&buf, NULL, 0), GUACO_OK);
    guaco__buf_release(&buf);
}

static void
what_is_appended_is_held_in_order(void **state)
{
    struct guaco__buf buf;
    char all[6001] = "";

    (void)state;
    guaco__buf_init(&buf, 10000);
    for (int i = 0; i < 1000; i++) {
        char piece[8];
        snprintf(piece, sizeof piece, "%06d", i);
        memcpy(all + (size_t)i * 6, piece, 7);
        assert_int_equal(guaco__buf_append_text(&buf, piece), GUACO_OK);
    }
    holds(&buf, all);
    guaco__buf_release(&buf);
}

static void
dropping_moves_the_front_and_frees_room_at_the_end(void **state)
{
    struct guaco__buf buf;

    (void)state;
    guaco__buf_init(&buf, 256);
    for (int turn = 0; turn < 1000; turn++) {
        assert_int_equal(guaco__buf_append_text(&buf, "abcdefg"), GUACO_OK);
        guaco__buf_drop(&buf, turn % 3 == 0 ? 7 : 6);
        if (buf.len > 100)
            guaco__buf_drop(&buf, buf.len - 10);
    }
    guaco__buf_drop(&buf, buf.len);
    assert_int_equal(guaco__buf_free(&buf), 256);
    guaco__buf_release(&buf);
}

static void
the_cap_counts_held_bytes_and_refuses_without_change(void **state)
{
    struct guaco__buf buf;

    (void)state;
    guaco__buf_init(&buf, 5);
    assert_int_equal(guaco__buf_append(&buf, "abcde", 5), GUACO_OK);
    assert_int_equal(guaco__buf_append_byte(&buf, 'f'), GUACO_E_LIMIT);
    assert_int_equal(guaco__buf_reserve(&buf, SIZE_MAX), GUACO_E_LIMIT);
    holds(&buf, "abcde");
    guaco__buf_drop(&buf, 2);
    assert_int_equal(guaco__buf_append(&buf, "fg", 2), GUACO_OK);
    holds(&buf, "cdefg");
    guaco__buf_release(&buf);
}

static void
formatted_text_short_and_long(void **state)
{
    struct guaco__buf buf;
    char want[401];

    (void)state;
    guaco__buf_init(&buf, 500);
    assert_int_equal(guaco__buf_printf(&buf, "%d-%s", 42, "x"), GUACO_OK);
    holds(&buf, "42-x");
    guaco__buf_reset(&buf);
    snprintf(want, sizeof want, "%400d", 7);
    assert_int_equal(guaco__buf_printf(&buf, "%400d", 7), GUACO_OK);
    holds(&buf, want);
    assert_int_equal(guaco__buf_printf(&buf, "%200d", 7), GUACO_E_LIMIT);
    holds(&buf, want);
    guaco__buf_release(&buf);
}

static void
text_puts_a_nul_that_does_not_count(void **state)
{
    struct guaco__buf buf;
    const char *text;

    (void)state;
    guaco__buf_init(&buf, 4);
    assert_int_equal(guaco__buf_text(&buf, &text), GUACO_OK);
    assert_string_equal(text, "");
    assert_int_equal(guaco__buf_append(&buf, "abc", 3), GUACO_OK);
    assert_int_equal(guaco__buf_text(&buf, &text), GUACO_OK);
    assert_string_equal(text, "abc");
    assert_int_equal(buf.len, 3);
    assert_int_equal(guaco__buf_append(&buf, "d", 1), GUACO_OK);
    assert_int_equal(guaco__buf_text(&buf, &text), GUACO_E_LIMIT);
    guaco__buf_cut(&buf, 1);
    holds(&buf, "a");
    guaco__buf_release(&buf);
}

static void
without_memory_the_contents_stay(void **state)
{
    struct guaco__buf buf;

    (void)state;
    guaco__buf_init(&buf, 10000);
    assert_int_equal(guaco__buf_append_text(&buf, "kept"), GUACO_OK);
    fail_after(0);
    assert_int_equal(guaco__buf_reserve(&buf, 5000), GUACO_E_NOMEM);
    assert_int_equal(guaco__buf_printf(&buf, "%5000d", 1), GUACO_E_NOMEM);
    assert_true(fail_stop());
    holds(&buf, "kept");
    guaco__buf_release(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_owns_nothing),
        cmocka_unit_test(what_is_appended_is_held_in_order),
        cmocka_unit_test(dropping_moves_the_front_and_frees_room_at_the_end),
        cmocka_unit_test(the_cap_counts_held_bytes_and_refuses_without_change),
        cmocka_unit_test(formatted_text_short_and_long),
        cmocka_unit_test(text_puts_a_nul_that_does_not_count),
        cmocka_unit_test(without_memory_the_contents_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
