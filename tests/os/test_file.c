/* The promises of os/file.h. */

#include "os/file.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "../failing_malloc.h"
#include "../folder.h"
#include "../test.h"

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
entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 2; /* . and .. */
}

static void
what_was_written_is_read(void **state)
{
    struct guaco__buf buf;
    struct stat st;
    char text[10000];

    (void)state;
    memset(text, 'x', sizeof text);
    const char *path = folder_path("f");
    assert_int_equal(guaco__file_write(path, "old", 3, 0600, NULL), GUACO_OK);
    assert_int_equal(guaco__file_write(path, text, sizeof text, 0640, NULL),
                     GUACO_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(entries(folder_path(".")), 1);

    guaco__buf_init(&buf, sizeof text + 2);
    assert_int_equal(guaco__buf_append(&buf, "ab", 2), GUACO_OK);
    assert_int_equal(guaco__file_read(path, &buf, NULL), GUACO_OK);
    assert_int_equal(buf.len, sizeof text + 2);
    guaco__buf_release(&buf);
}

static void
a_file_over_the_cap_is_refused_and_one_at_it_is_not(void **state)
{
    struct guaco__buf buf;
    struct guaco_error err = {0};

    (void)state;
    folder_write("f", "12345", 5);
    guaco__buf_init(&buf, 4);
    assert_int_equal(guaco__file_read(folder_path("f"), &buf, &err),
                     GUACO_E_LIMIT);
    assert_int_equal(buf.len, 0);
    guaco__buf_release(&buf);
    guaco__buf_init(&buf, 5);
    assert_int_equal(guaco__file_read(folder_path("f"), &buf, &err), GUACO_OK);
    assert_int_equal(buf.len, 5);
    guaco__buf_release(&buf);
}

static void
failures_say_what_and_leave_no_file(void **state)
{
    struct guaco__buf buf;
    struct guaco_error err = {0};

    (void)state;
    guaco__buf_init(&buf, 100);
    assert_int_equal(guaco__file_read(folder_path("none"), &buf, &err),
                     GUACO_E_MISSING);
    assert_non_null(strstr(err.text, "none"));
    assert_int_equal(guaco__file_read(folder_path("."), &buf, &err),
                     GUACO_E_IO);
    assert_int_equal(guaco__file_write(folder_path("no/f"), "", 0, 0600, &err),
                     GUACO_E_IO);
    folder_write("d/x", "", 0); /* a folder cannot be replaced by a file */
    assert_int_equal(guaco__file_write(folder_path("d"), "", 0, 0600, &err),
                     GUACO_E_IO);
    assert_int_equal(entries(folder_path(".")), 1);
    guaco__buf_release(&buf);
}

static void
without_memory_nothing_is_read(void **state)
{
    struct guaco__buf buf;

    (void)state;
    folder_write("f", "12345", 5);
    guaco__buf_init(&buf, 100);
    fail_after(0);
    int rc = guaco__file_read(folder_path("f"), &buf, NULL);
    assert_true(fail_stop());
    assert_int_equal(rc, GUACO_E_NOMEM);
    guaco__buf_release(&buf);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_was_written_is_read),
        T(a_file_over_the_cap_is_refused_and_one_at_it_is_not),
        T(failures_say_what_and_leave_no_file),
        T(without_memory_nothing_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
