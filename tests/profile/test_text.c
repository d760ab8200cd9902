/* str and bytes objects of 3.12's shape, in memory made by hand. */

#include "test.h"

#include <string.h>

#include "image.h"
#include "profile/text.h"

#define HERE UINT64_C(0x10000)

enum { COMPACT = 1 << 5, ASCII = 1 << 6, KIND = 2 };

static struct image image;
static struct guaco__arena arena;

static int
setup(void **state)
{
    (void)state;
    image.count = 0;
    guaco__arena_init(&arena, 1024, 1 << 20);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    guaco__arena_release(&arena);
    return 0;
}

static char *
add_text(uint64_t length, uint32_t state_bits)
{
    char *at = image_add(&image, HERE, 256);

    image_word(at, 16, length, 8);
    image_word(at, 32, state_bits, 4);
    return at;
}

static int
read_text(struct guaco_slice *text)
{
    struct guaco__vmem *memory = image_open(&image);
    int rc = guaco__text_read(
        memory, guaco__layout_fixed(GUACO__VERSION(3, 12)), HERE, &arena, text);

    guaco__vmem_close(memory);
    return rc;
}

static void
check_text(const char *want)
{
    struct guaco_slice text;

    assert_int_equal(read_text(&text), 0);
    assert_int_equal(text.len, strlen(want));
    assert_memory_equal(text.at, want, text.len);
}

static void
ascii_is_itself(void **state)
{
    (void)state;
    memcpy(add_text(5, COMPACT | ASCII | 1 << KIND) + 40, "hello", 5);
    check_text("hello");
}

static void
latin_1_becomes_utf_8(void **state)
{
    (void)state;
    memcpy(add_text(3, COMPACT | 1 << KIND) + 56, "a\xe9z", 3);
    check_text("a\xc3\xa9z");
}

static void
two_and_four_bytes_a_character_become_utf_8(void **state)
{
    const uint32_t poo[] = {0x1f4a9, 'x'};
    const uint16_t cyrillic[] = {0x0436, 'y'};

    (void)state;
    memcpy(add_text(2, COMPACT | 4 << KIND) + 56, poo, sizeof poo);
    check_text("\xf0\x9f\x92\xa9x");
    image.count = 0;
    memcpy(add_text(2, COMPACT | 2 << KIND) + 56, cyrillic, sizeof cyrillic);
    check_text("\xd0\xb6y");
}

static void
what_is_no_character_is_replaced(void **state)
{
    const uint32_t odd[] = {0xd800, 0x110000, UINT32_MAX};

    (void)state;
    memcpy(add_text(3, COMPACT | 4 << KIND) + 56, odd, sizeof odd);
    check_text("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void
what_is_no_str_is_not_read(void **state)
{
    static const struct {
        uint64_t length;
        uint32_t bits;
    } odd[] = {
        {5, ASCII | 1 << KIND},              /* not compact */
        {5, COMPACT | 3 << KIND},            /* three bytes a character */
        {5, COMPACT},                        /* none */
        {UINT64_MAX, COMPACT | 1 << KIND},   /* too long */
        {1 << 15, COMPACT | 4 << KIND},      /* too long in bytes */
        {1000, COMPACT | ASCII | 1 << KIND}, /* runs out of its mapping */
    };
    struct guaco_slice text;

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        image.count = 0;
        add_text(odd[i].length, odd[i].bits);
        assert_int_equal(read_text(&text), GUACO_E_AGAIN);
        assert_int_equal(text.len, 0);
    }
    image.count = 0;
    memcpy(add_text(2, COMPACT | ASCII | 1 << KIND) + 40, "\xff\xff", 2);
    assert_int_equal(read_text(&text), GUACO_E_AGAIN);
}

static void
bytes_are_copied(void **state)
{
    const struct guaco__layout *l = guaco__layout_fixed(GUACO__VERSION(3, 12));
    struct guaco_slice bytes;
    char *at = image_add(&image, HERE, 64);

    (void)state;
    image_word(at, 16, 4, 8);
    memcpy(at + 32, "a\0b\xff", 4);
    struct guaco__vmem *memory = image_open(&image);
    assert_int_equal(guaco__bytes_read(memory, l, HERE, &arena, &bytes), 0);
    assert_int_equal(bytes.len, 4);
    assert_memory_equal(bytes.at, "a\0b\xff", 4);
    assert_int_equal(
        guaco__bytes_read(memory, l, HERE + 0x1000, &arena, &bytes),
        GUACO_E_AGAIN);
    guaco__vmem_close(memory);

    image_word(image.ranges[0].bytes, 16, GUACO__BYTES_BYTES_MAX + 1, 8);
    memory = image_open(&image);
    assert_int_equal(guaco__bytes_read(memory, l, HERE, &arena, &bytes),
                     GUACO_E_AGAIN);
    guaco__vmem_close(memory);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(ascii_is_itself),
        T(latin_1_becomes_utf_8),
        T(two_and_four_bytes_a_character_become_utf_8),
        T(what_is_no_character_is_replaced),
        T(what_is_no_str_is_not_read),
        T(bytes_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
