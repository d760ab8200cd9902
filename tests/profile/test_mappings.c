/* The text of /proc/PID/maps. */

#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "os/file.h"
#include "profile/mappings.h"

static const char usual[] =
    "00400000-00401000 r--p 00000000 08:01 77          /usr/bin/python3.14\n"
    "00401000-00800000 r-xp 00001000 08:01 77          /usr/bin/python3.14\n"
    "7f0000000000-7f0000021000 rw-p 00000000 00:00 0\n"
    "7f0000021000-7f0000022000 r-xp 00000000 08:01 9   /a b/x.so (deleted)\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";

static int
parse(struct guaco__mappings *maps, const char *text)
{
    return guaco__mappings_parse(maps, text, strlen(text), NULL);
}

static void
lines_become_mappings(void **state)
{
    struct guaco__mappings maps;

    (void)state;
    assert_int_equal(parse(&maps, usual), 0);
    assert_int_equal(maps.count, 5);
    assert_int_equal(maps.at[1].start, 0x401000);
    assert_int_equal(maps.at[1].end, 0x800000);
    assert_int_equal(maps.at[1].offset, 0x1000);
    assert_int_equal(maps.at[1].inode, 77);
    assert_true(maps.at[1].is_executable);
    assert_false(maps.at[1].is_writable);
    assert_true(maps.at[2].is_writable);
    assert_int_equal(maps.at[2].path.len, 0);
    assert_true(maps.at[3].is_deleted);
    assert_true(guaco_slice_equals(maps.at[3].path, TEXT("/a b/x.so")));
    guaco__mappings_release(&maps);
}

static void
an_address_finds_its_mapping(void **state)
{
    struct guaco__mappings maps;

    (void)state;
    assert_int_equal(parse(&maps, usual), 0);
    assert_null(guaco__mappings_find(&maps, 0x3fffff));
    assert_ptr_equal(guaco__mappings_find(&maps, 0x400000), &maps.at[0]);
    assert_ptr_equal(guaco__mappings_find(&maps, 0x401000), &maps.at[1]);
    assert_null(guaco__mappings_find(&maps, 0x800000));
    assert_ptr_equal(guaco__mappings_find(&maps, UINT64_C(0xffffffffff600fff)),
                     &maps.at[4]);
    assert_null(guaco__mappings_find(&maps, UINT64_MAX));
    guaco__mappings_release(&maps);
}

static void
odd_lines_are_refused(void **state)
{
    static const char *const odd[] = {
        "x",
        "1000-2000",
        "1000-2000 r--p",
        "1000-2000 r--p 0 08:01",
        "1000-2000 r--p 0 0801 7",
        "2000-1000 r--p 0 08:01 7 /x",
        "1000-1000 r--p 0 08:01 7 /x",
        "-1000 r--p 0 08:01 7 /x",
        "10000000000000000-2 r--p 0 08:01 7 /x",
        "1000-2000 r--p 0 08:01 99999999999999999999 /x",
        "2000-3000 r--p 0 08:01 7 /x\n1000-2000 r--p 0 08:01 7 /x\n",
        "1000-3000 r--p 0 08:01 7 /x\n2000-4000 r--p 0 08:01 7 /x\n",
        "\n",
    };
    struct guaco__mappings maps;

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        assert_int_equal(parse(&maps, odd[i]), GUACO_E_PROTO);
}

static void
no_text_is_no_mapping(void **state)
{
    struct guaco__mappings maps;

    (void)state;
    assert_int_equal(parse(&maps, ""), 0);
    assert_int_equal(maps.count, 0);
    assert_null(guaco__mappings_find(&maps, 0x1000));
    guaco__mappings_release(&maps);
}

static void
too_many_lines_are_refused(void **state)
{
    size_t len = 100001;
    char *text = malloc(len);
    struct guaco__mappings maps;

    (void)state;
    memset(text, '\n', len);
    assert_int_equal(guaco__mappings_parse(&maps, text, len, NULL),
                     GUACO_E_LIMIT);
    free(text);
}

static void
this_program_is_in_its_own_maps(void **state)
{
    struct guaco__mappings maps;
    struct guaco__buf text;

    (void)state;
    guaco__buf_init(&text, 1 << 24);
    assert_int_equal(guaco__file_read("/proc/self/maps", &text, NULL), 0);
    assert_int_equal(
        guaco__mappings_parse(&maps, guaco__buf_data(&text), text.len, NULL),
        0);
    const struct guaco__mapping *map = guaco__mappings_find(
        &maps, (uint64_t)(uintptr_t)&this_program_is_in_its_own_maps);
    assert_non_null(map);
    assert_true(map->is_executable);
    guaco__mappings_release(&maps);
    guaco__buf_release(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_mappings),
        cmocka_unit_test(an_address_finds_its_mapping),
        cmocka_unit_test(odd_lines_are_refused),
        cmocka_unit_test(no_text_is_no_mapping),
        cmocka_unit_test(too_many_lines_are_refused),
        cmocka_unit_test(this_program_is_in_its_own_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
