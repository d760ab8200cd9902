/* The promises of base/arena.h. */

#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

#include "../failing_malloc.h"
#include "../test.h"

static void
pieces_are_aligned_and_do_not_overlap(void **state)
{
    struct guaco__arena arena;
    char *pieces[100];

    (void)state;
    guaco__arena_init(&arena, 256, 1 << 20);
    for (size_t i = 0; i < 100; i++) {
        pieces[i] = guaco__arena_alloc(&arena, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        memset(pieces[i], (int)i, i);
    }
    for (size_t i = 0; i < 100; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(pieces[i][k], (char)i);
    guaco__arena_release(&arena);
}

static void
a_piece_larger_than_a_block_gets_a_block_of_its_own(void **state)
{
    struct guaco__arena arena;

    (void)state;
    guaco__arena_init(&arena, 64, 4096);
    assert_non_null(guaco__arena_alloc(&arena, 1000));
    assert_true(arena.used >= 1000);
    guaco__arena_reset(&arena); /* a huge first block is not kept */
    assert_int_equal(arena.used, 0);
    guaco__arena_release(&arena);
}

static void
reset_keeps_the_first_block_and_gives_the_rest_back(void **state)
{
    struct guaco__arena arena;

    (void)state;
    guaco__arena_init(&arena, 128, 4096);
    char *first = guaco__arena_alloc(&arena, 16);
    for (int i = 0; i < 20; i++)
        assert_non_null(guaco__arena_alloc(&arena, 64));
    assert_true(arena.used > 128);
    guaco__arena_reset(&arena);
    assert_int_equal(arena.used, 128);
    assert_ptr_equal(guaco__arena_alloc(&arena, 16), first);
    guaco__arena_release(&arena);
}

static void
the_cap_is_kept_and_the_last_bytes_under_it_are_usable(void **state)
{
    struct guaco__arena arena;

    (void)state;
    guaco__arena_init(&arena, 128, 160);
    assert_non_null(guaco__arena_alloc(&arena, 128));
    assert_non_null(guaco__arena_alloc(&arena, 32));
    assert_null(guaco__arena_alloc(&arena, 1));
    assert_int_equal(arena.used, 160);
    guaco__arena_release(&arena);
}

static void
sizes_that_overflow_are_refused(void **state)
{
    struct guaco__arena arena;

    (void)state;
    guaco__arena_init(&arena, 128, 4096);
    assert_null(guaco__arena_alloc(&arena, SIZE_MAX));
    assert_null(guaco__arena_alloc(&arena, SIZE_MAX - 8));
    assert_null(guaco__arena_calloc(&arena, SIZE_MAX / 2, 4));
    assert_null(guaco__arena_dup(&arena, "", SIZE_MAX));
    guaco__arena_release(&arena);
}

static void
calloc_zeroes_memory_that_was_used_before(void **state)
{
    struct guaco__arena arena;

    (void)state;
    guaco__arena_init(&arena, 128, 4096);
    memset(guaco__arena_alloc(&arena, 64), 0xff, 64);
    guaco__arena_reset(&arena);
    const char *zeroed = guaco__arena_calloc(&arena, 8, 8);
    for (int i = 0; i < 64; i++)
        assert_int_equal(zeroed[i], 0);
    guaco__arena_release(&arena);
}

static void
a_copy_ends_with_nul_and_may_hold_some(void **state)
{
    struct guaco__arena arena;

    (void)state;
    guaco__arena_init(&arena, 64, 4096);
    assert_memory_equal(guaco__arena_dup(&arena, "a\0b", 3), "a\0b", 4);
    assert_string_equal(guaco__arena_dup(&arena, NULL, 0), "");
    guaco__arena_release(&arena);
}

static void
without_memory_alloc_answers_null_and_works_later(void **state)
{
    struct guaco__arena arena;

    (void)state;
    guaco__arena_init(&arena, 64, 4096);
    fail_after(0);
    assert_null(guaco__arena_alloc(&arena, 10));
    assert_true(fail_stop());
    assert_non_null(guaco__arena_alloc(&arena, 10));
    guaco__arena_release(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(a_piece_larger_than_a_block_gets_a_block_of_its_own),
        cmocka_unit_test(reset_keeps_the_first_block_and_gives_the_rest_back),
        cmocka_unit_test(
            the_cap_is_kept_and_the_last_bytes_under_it_are_usable),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(calloc_zeroes_memory_that_was_used_before),
        cmocka_unit_test(a_copy_ends_with_nul_and_may_hold_some),
        cmocka_unit_test(without_memory_alloc_answers_null_and_works_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
