/* Reading memory: recorded, and of this very process. */

#include "test.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"

static struct guaco__vmem *
two_ranges(void)
{
    struct image image = {.count = 0};

    memcpy(image_add(&image, 0x1000, 4), "abcd", 4);
    memcpy(image_add(&image, 0x1004, 4), "efgh", 4);
    return image_open(&image);
}

static void
a_read_may_run_over_ranges_that_touch(void **state)
{
    struct guaco__vmem *memory = two_ranges();
    char got[6];

    (void)state;
    assert_int_equal(guaco__vmem_get(memory, 0x1001, got, 6), 0);
    assert_memory_equal(got, "bcdefg", 6);
    assert_int_equal(guaco__vmem_get(memory, 0x1003, got, 6), GUACO_E_AGAIN);
    assert_int_equal(guaco__vmem_get(memory, 0xfff, got, 1), GUACO_E_AGAIN);
    assert_int_equal(memory->reads, 3);
    guaco__vmem_close(memory);
}

static void
spans_before_the_one_that_failed_are_counted(void **state)
{
    struct guaco__vmem *memory = two_ranges();
    char a, b, c;
    struct guaco__span spans[] = {{0x1000, &a, 1}, {0x1007, &b, 1}, {9, &c, 1}};
    size_t done = 9;

    (void)state;
    assert_int_equal(guaco__vmem_read(memory, spans, 3, &done), GUACO_E_AGAIN);
    assert_int_equal(done, 2);
    assert_int_equal(a, 'a');
    assert_int_equal(b, 'h');
    guaco__vmem_close(memory);
}

static void
refuse(const void *image, size_t len)
{
    struct guaco__vmem *memory = NULL;

    assert_int_equal(guaco__vmem_of_fixture(&memory, image, len, NULL),
                     GUACO_E_PROTO);
}

static void
files_that_are_no_fixtures_are_refused(void **state)
{
    static const char good[] = "GUACOMEM\1\0\0\0\1\0\0\0"
                               "\0\x10\0\0\0\0\0\0\1\0\0\0\0\0\0\0x";
    char image[sizeof good - 1];
    struct guaco__vmem *memory = NULL;

    (void)state;
    assert_int_equal(
        guaco__vmem_of_fixture(&memory, good, sizeof good - 1, NULL), 0);
    guaco__vmem_close(memory);
    for (size_t len = 0; len < sizeof good - 1; len++)
        refuse(good, len);
    memcpy(image, good, sizeof image);
    image[8] = 2; /* the version */
    refuse(image, sizeof image);
    memcpy(image, good, sizeof image);
    memset(image + 12, 0xff, 4); /* the number of ranges */
    refuse(image, sizeof image);
    memcpy(image, good, sizeof image);
    memset(image + 16, 0xff, 8); /* a range that passes the end of memory */
    refuse(image, sizeof image);
}

static void
overlapping_ranges_are_refused(void **state)
{
    struct image image = {.count = 0};

    (void)state;
    image_add(&image, 0x1000, 8);
    image_add(&image, 0x1007, 8);
    assert_null(image_open(&image));
}

static void
a_process_is_read_as_it_is(void **state)
{
    static const char text[] = "here I am";
    struct guaco__vmem *memory = NULL;
    char got[sizeof text];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *gone = mmap(NULL, page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_int_equal(guaco__vmem_of_process(&memory, getpid(), NULL), 0);
    assert_int_equal(
        guaco__vmem_get(memory, (uint64_t)(uintptr_t)text, got, sizeof got), 0);
    assert_memory_equal(got, text, sizeof text);

    munmap(gone, page);
    struct guaco__span spans[] = {
        {(uint64_t)(uintptr_t)text, got, 3},
        {(uint64_t)(uintptr_t)text, got, 0},
        {(uint64_t)(uintptr_t)gone, got + 3, 3},
    };
    size_t done = 0;
    assert_int_equal(guaco__vmem_read(memory, spans, 3, &done), GUACO_E_AGAIN);
    assert_int_equal(done, 2);
    guaco__vmem_close(memory);
}

static void
a_process_that_is_not_there_is_closed(void **state)
{
    struct guaco__vmem *memory = NULL;
    char byte;

    (void)state;
    assert_int_equal(guaco__vmem_of_process(&memory, INT32_MAX, NULL), 0);
    assert_int_equal(guaco__vmem_get(memory, 0x1000, &byte, 1), GUACO_E_CLOSED);
    guaco__vmem_close(memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_may_run_over_ranges_that_touch),
        cmocka_unit_test(spans_before_the_one_that_failed_are_counted),
        cmocka_unit_test(files_that_are_no_fixtures_are_refused),
        cmocka_unit_test(overlapping_ranges_are_refused),
        cmocka_unit_test(a_process_is_read_as_it_is),
        cmocka_unit_test(a_process_that_is_not_there_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
