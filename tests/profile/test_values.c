/*
 * Values of another process, from memory made by hand: what they look like, and
 * that lies about sizes, cycles and holes end in "<?>".
 */

#include "test.h"

#include <string.h>

#include "image.h"
#include "profile/values.h"

#define TYPES   0x10000u
#define OBJECTS 0x20000u
#define TYPE(n) (TYPES + (n)*256u)
#define AT(n)   (OBJECTS + (n)*128u)

enum { NONE, INT, STR, LIST, TUPLE, DICT, OTHER, TYPE_COUNT };

static struct image image;
static char *objects;
static struct guaco__buf out;

static const struct {
    const char *name;
    uint64_t flags;
} types[TYPE_COUNT] = {
    {"NoneType", 0},        {"int", 1u << 24},   {"str", 1u << 28},
    {"list", 1u << 25},     {"tuple", 1u << 26}, {"dict", 1u << 29},
    {"app.Order", 1u << 9},
};

static int
setup(void **state)
{
    (void)state;
    memset(&image, 0, sizeof image);
    char *at = image_add(&image, TYPES, 4096);
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        image_word(at, i * 256 + 24, TYPES + i * 256 + 200, 8);
        image_word(at, i * 256 + 168, types[i].flags, 8);
        memcpy(at + i * 256 + 200, types[i].name, strlen(types[i].name));
    }
    objects = image_add(&image, OBJECTS, 4096);
    guaco__buf_init(&out, 1 << 16);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    guaco__buf_release(&out);
    return 0;
}

/* Object `n` of a type, with words from offset 16 on. */
static void
object(size_t n, unsigned type, uint64_t a, uint64_t b, uint64_t c)
{
    image_word(objects, n * 128 + 8, TYPE(type), 8);
    image_word(objects, n * 128 + 16, a, 8);
    image_word(objects, n * 128 + 24, b, 8);
    image_word(objects, n * 128 + 32, c, 8);
}

static void
check(uint32_t version, uint64_t address, const char *want)
{
    struct guaco__layout layout = *guaco__layout_fixed(version);
    struct guaco__vmem *memory = image_open(&image);

    assert_non_null(memory);
    guaco__buf_reset(&out);
    assert_int_equal(guaco__value_write(memory, &layout, address, &out), 0);
    assert_int_equal(guaco__buf_append_byte(&out, '\0'), 0);
    assert_string_equal(guaco__buf_data(&out), want);
    guaco__vmem_close(memory);
}

#define V311 GUACO__VERSION(3, 11)
#define V312 GUACO__VERSION(3, 12)

static void
numbers_have_their_sign_and_size(void **state)
{
    (void)state;
    object(0, NONE, 0, 0, 0);
    object(1, INT, 1, 7, 0);
    object(2, INT, (uint64_t)-2, 5u | UINT64_C(1) << 32, 0);
    object(3, INT, 40, 0, 0);
    object(4, INT, 1 << 3 | 2, 9, 0);
    check(V311, AT(0), "None");
    check(V311, AT(1), "7");
    check(V311, AT(2), "-1073741829");
    check(V311, AT(3), "<int of 1200 bits>");
    check(V312, AT(4), "-9");
}

static void
containers_are_cut(void **state)
{
    (void)state;
    object(1, INT, 1, 7, 0);
    object(2, LIST, 9, AT(3), 0);
    for (size_t i = 0; i < 9; i++)
        image_word(objects, 3 * 128 + i * 8, AT(1), 8);
    object(4, TUPLE, 1, AT(1), 0);
    object(5, OTHER, 0, 0, 0);
    check(V311, AT(2), "[7, 7, 7, 7, 7, ... 4 more]");
    check(V311, AT(4), "(7,)");
    check(V311, AT(5), "<app.Order at 0x20280>");
}

static void
a_list_of_itself_ends(void **state)
{
    (void)state;
    object(1, LIST, 1, AT(2), 0);
    image_word(objects, 2 * 128, AT(1), 8);
    check(V311, AT(1), "[[[... 1 more]]]");
}

static void
sizes_that_cannot_be_are_not_believed(void **state)
{
    (void)state;
    object(1, LIST, UINT64_MAX, AT(2), 0);
    object(2, STR, UINT64_MAX, 0, 0);
    object(3, INT, UINT64_C(1) << 63, 0, 0);
    object(4, DICT, UINT64_MAX, 0, 0);
    object(5, STR, 1 << 20, 0, 0);
    check(V311, AT(1), "<?>");
    check(V311, AT(2), "<?>");
    check(V311, AT(3), "<?>");
    check(V311, AT(4), "<?>");
    check(V311, AT(5), "<str of length 1048576>");
}

static void
holes_and_nonsense_are_told(void **state)
{
    (void)state;
    object(1, LIST, 2, 0x99990000, 0);
    object(2, TUPLE, 1, 0x8, 0);
    image_word(objects, 3 * 128 + 8, 0x99990000, 8);
    image_word(objects, 4 * 128 + 8, AT(5), 8);
    image_word(objects, 5 * 128 + 24, AT(6), 8);
    memcpy(objects + 6 * 128, "\x01\x02", 2);
    check(V311, AT(1), "<?>");
    check(V311, AT(2), "(<?>,)");
    check(V311, AT(3), "<?>");
    check(V311, AT(4), "<?>");
    check(V311, 0, "<?>");
    check(V311, UINT64_MAX - 3, "<?>");
}

/* Keys that say they have a million entries, none of them in use. */
static void
a_dict_that_lies_about_its_entries_ends(void **state)
{
    (void)state;
    object(1, DICT, 1000000, 0, AT(2));
    image_word(objects, 2 * 128 + 8, 3 | 3 << 8, 8);
    image_word(objects, 2 * 128 + 24, 1000000, 8);
    check(V311, AT(1), "{... 1000000 more}");
    image_word(objects, 2 * 128 + 8, 3 | 200 << 8, 8);
    check(V311, AT(1), "<?>");
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(numbers_have_their_sign_and_size),
        T(containers_are_cut),
        T(a_list_of_itself_ends),
        T(sizes_that_cannot_be_are_not_believed),
        T(holes_and_nonsense_are_told),
        T(a_dict_that_lies_about_its_entries_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
