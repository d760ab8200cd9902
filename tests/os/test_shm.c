/* The promises of os/shm.h. */

#include "os/shm.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../folder.h"
#include "../test.h"

#define BYTES 8192

static int
setup(void **state)
{
    (void)state;
    folder_make();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    folder_remove();
    return 0;
}

static int
fill(void *at, size_t bytes, void *ctx, struct guaco_error *err)
{
    int *calls = ctx;

    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(((char *)at)[i], 0);
    memset(at, 7, bytes);
    if ((*calls)++ == 99)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "as asked");
    return GUACO_OK;
}

static void
the_first_opener_sets_up_and_all_see_the_same_bytes(void **state)
{
    struct guaco__shm a;
    struct guaco__shm b;
    int calls = 0;

    (void)state;
    const char *path = folder_path("f");
    assert_int_equal(guaco__shm_open(&a, path, BYTES, 0600, fill, &calls, NULL),
                     GUACO_OK);
    assert_int_equal(guaco__shm_open(&b, path, BYTES, 0600, fill, &calls, NULL),
                     GUACO_OK);
    assert_int_equal(calls, 1);
    ((char *)a.at)[BYTES - 1] = 42;
    assert_int_equal(((char *)b.at)[BYTES - 1], 42);
    guaco__shm_close(&a);
    guaco__shm_close(&a);
    assert_int_equal(((char *)b.at)[0], 7);
    guaco__shm_close(&b);
}

static void
a_set_up_that_failed_is_done_again(void **state)
{
    struct guaco__shm shm;
    int calls = 99;

    (void)state;
    const char *path = folder_path("f");
    assert_int_equal(
        guaco__shm_open(&shm, path, BYTES, 0600, fill, &calls, NULL),
        GUACO_E_NOMEM);
    assert_null(shm.at);
    assert_int_equal(
        guaco__shm_open(&shm, path, BYTES, 0600, fill, &calls, NULL), GUACO_OK);
    assert_int_equal(calls, 101);
    guaco__shm_close(&shm);
}

static void
a_file_of_another_size_is_left_alone(void **state)
{
    struct guaco__shm shm;
    struct guaco_error err = {0};
    struct stat st;
    int calls = 0;

    (void)state;
    folder_write("f", "something else", 14);
    assert_int_equal(guaco__shm_open(&shm, folder_path("f"), BYTES, 0600, fill,
                                     &calls, &err),
                     GUACO_E_PROTO);
    assert_int_equal(calls, 0);
    assert_int_equal(stat(folder_path("f"), &st), 0);
    assert_int_equal(st.st_size, 14);
    assert_int_equal(guaco__shm_open(&shm, folder_path("no/f"), BYTES, 0600,
                                     fill, &calls, &err),
                     GUACO_E_IO);
}

static void
anonymous_memory_is_zeroed_and_has_a_descriptor(void **state)
{
    struct guaco__shm shm;
    struct stat st;

    (void)state;
    assert_int_equal(guaco__shm_open_anonymous(&shm, "test", BYTES, NULL),
                     GUACO_OK);
    assert_int_equal(((char *)shm.at)[BYTES - 1], 0);
    assert_int_equal(fstat(shm.fd, &st), 0);
    assert_int_equal(st.st_size, BYTES);
    guaco__shm_close(&shm);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_opener_sets_up_and_all_see_the_same_bytes),
        T(a_set_up_that_failed_is_done_again),
        T(a_file_of_another_size_is_left_alone),
        T(anonymous_memory_is_zeroed_and_has_a_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
