/* Line tables made by hand, after Objects/lnotab_notes.txt and
 * InternalDocs/code_objects.md of CPython. */

#include "test.h"

#include <string.h>

#include "profile/lines.h"

#define TABLE(bytes) ((struct guaco_slice){(bytes), sizeof(bytes) - 1})

static void
check(enum guaco__line_table kind, struct guaco_slice table, int32_t first,
      uint32_t offset, int32_t line)
{
    assert_int_equal(guaco__lines_find(kind, table, first, offset), line);
}

static void
lnotab_adds_pairs(void **state)
{
    /* 0: line 10; 4: 12; 6: 11 */
    struct guaco_slice t = TABLE("\x04\x02\x02\xff");

    (void)state;
    check(GUACO__LINES_LNOTAB, t, 10, 0, 10);
    check(GUACO__LINES_LNOTAB, t, 10, 3, 10);
    check(GUACO__LINES_LNOTAB, t, 10, 4, 12);
    check(GUACO__LINES_LNOTAB, t, 10, 6, 11);
    check(GUACO__LINES_LNOTAB, t, 10, 4000000000u, 11);
}

static void
lnotab_spreads_large_steps_over_pairs(void **state)
{
    /* 255 + 45 bytes and 127 + 73 lines further on */
    struct guaco_slice t = TABLE("\xff\x00\x2d\x7f\x00\x49");

    (void)state;
    check(GUACO__LINES_LNOTAB, t, 1, 299, 1);
    check(GUACO__LINES_LNOTAB, t, 1, 300, 201);
}

static void
ranges_hold_for_their_length(void **state)
{
    /* [0,4): 11; [4,6): none; [6,8): 9; an empty one in front of the last */
    struct guaco_slice t = TABLE("\x04\x01\x02\x80\x00\x05\x02\xf9");

    (void)state;
    check(GUACO__LINES_RANGES, t, 10, 0, 11);
    check(GUACO__LINES_RANGES, t, 10, 2, 11);
    check(GUACO__LINES_RANGES, t, 10, 4, 11);
    check(GUACO__LINES_RANGES, t, 10, 6, 9);
}

static void
locations_know_all_their_forms(void **state)
{
    /* short form, 2 units; one line further, 1 unit; no columns, +3; none;
     * long form, -2 lines */
    struct guaco_slice t = TABLE("\x81\x23" /* code 0 */
                                 "\xd8\x01\x02"
                                 "\xe8\x06"
                                 "\xf8"
                                 "\xf0\x05\x00\x01\x01");

    (void)state;
    check(GUACO__LINES_LOCATIONS, t, 100, 0, 100);
    check(GUACO__LINES_LOCATIONS, t, 100, 2, 100);
    check(GUACO__LINES_LOCATIONS, t, 100, 4, 101);
    check(GUACO__LINES_LOCATIONS, t, 100, 6, 104);
    check(GUACO__LINES_LOCATIONS, t, 100, 8, 104);
    check(GUACO__LINES_LOCATIONS, t, 100, 10, 102);
}

static void
locations_read_long_numbers(void **state)
{
    struct guaco_slice t = TABLE("\xe8\x68\x1f"); /* 2 * 1000 + 24 */

    (void)state;
    check(GUACO__LINES_LOCATIONS, t, 1, 0, 1 + (0x28 + 0x1f * 64) / 2);
}

static void
a_table_that_is_empty_or_cut_gives_the_line_reached(void **state)
{
    static const char table[] = "\x81\x23\xd8\x01\x02\xe8\x7f";
    const enum guaco__line_table kinds[] = {
        GUACO__LINES_LNOTAB, GUACO__LINES_RANGES, GUACO__LINES_LOCATIONS};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        check(kinds[k], (struct guaco_slice){NULL, 0}, 7, 12, 7);
        for (size_t len = 0; len < sizeof table; len++)
            guaco__lines_find(kinds[k], (struct guaco_slice){table, len}, 7,
                              100);
    }
    check(GUACO__LINES_LOCATIONS, TABLE("\x01\x02\x03"), 7, 0, 7);
}

static void
sums_do_not_overflow(void **state)
{
    char table[4000];

    (void)state;
    memset(table, 0x7f, sizeof table);
    struct guaco_slice t = {table, sizeof table};
    check(GUACO__LINES_LNOTAB, t, INT32_MAX, 0, 0);
    for (size_t i = 0; i < sizeof table; i += 7)
        memcpy(table + i, "\xe8\x7f\x7f\x7f\x7f\x7f\x1f",
               i + 7 <= sizeof table ? 7 : 1);
    int32_t line = guaco__lines_find(GUACO__LINES_LOCATIONS, t, 1, UINT32_MAX);
    assert_true(line > -(1 << 30) - 1 && line < (1 << 30) + 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lnotab_adds_pairs),
        cmocka_unit_test(lnotab_spreads_large_steps_over_pairs),
        cmocka_unit_test(ranges_hold_for_their_length),
        cmocka_unit_test(locations_know_all_their_forms),
        cmocka_unit_test(locations_read_long_numbers),
        cmocka_unit_test(a_table_that_is_empty_or_cut_gives_the_line_reached),
        cmocka_unit_test(sums_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
