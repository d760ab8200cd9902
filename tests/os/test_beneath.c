/* The promises of os/beneath.h, by openat2() and by the walk in its place. */

#include "os/beneath.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../folder.h"
#include "../test.h"

static struct guaco__beneath beneath;

static int
setup(void **state)
{
    (void)state;
    folder_make();
    folder_write("root/a.txt", "a", 1);
    folder_write("root/sub/b.txt", "b", 1);
    folder_write("secret", "s", 1);
    assert_int_equal(symlink("sub/b.txt", folder_path("root/inside")), 0);
    assert_int_equal(symlink("../secret", folder_path("root/outside")), 0);
    assert_int_equal(symlink("/etc/passwd", folder_path("root/absolute")), 0);
    assert_int_equal(symlink("sub", folder_path("root/link")), 0);
    assert_int_equal(symlink("..", folder_path("root/up")), 0);
    assert_int_equal(symlink("loop", folder_path("root/loop")), 0);
    assert_int_equal(mkfifo(folder_path("root/fifo"), 0600), 0);
    assert_int_equal(guaco__beneath_open(&beneath, folder_path("root"), NULL),
                     0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    guaco__beneath_close(&beneath);
    folder_remove();
    return 0;
}

/* The first byte of the file, or '-' when it cannot be opened, 'd' for what
 * cannot be read. */
static char
look(const char *path)
{
    char byte;
    int fd = guaco__beneath_file(&beneath, path);

    if (fd < 0)
        return '-';
    if (read(fd, &byte, 1) != 1)
        byte = 'd';
    close(fd);
    return byte;
}

static void
check_common(void)
{
    assert_int_equal(look("a.txt"), 'a');
    assert_int_equal(look("sub/b.txt"), 'b');
    assert_int_equal(look("sub"), 'd');
    assert_int_equal(look(""), 'd');
    assert_int_equal(look("fifo"), 'd'); /* and nobody waited */
    assert_int_equal(look("none"), '-');
    assert_int_equal(look("none/a.txt"), '-');
    assert_int_equal(look("a.txt/x"), '-');
    assert_int_equal(look("outside"), '-');
    assert_int_equal(look("absolute"), '-');
    assert_int_equal(look("up/secret"), '-');
    assert_int_equal(look("loop"), '-');
    assert_int_equal(guaco__beneath_file(&beneath, "none"), -ENOENT);
}

static void
links_lead_anywhere_below_and_nowhere_else(void **state)
{
    (void)state;
    check_common();
    if (beneath.walks)
        skip(); /* no openat2() here */
    assert_int_equal(look("inside"), 'b');
    assert_int_equal(look("link/b.txt"), 'b');
    assert_int_equal(guaco__beneath_file(&beneath, "outside"), -EXDEV);
}

static void
the_walk_follows_no_link(void **state)
{
    (void)state;
    beneath.walks = true;
    check_common();
    assert_int_equal(look("inside"), '-');
    assert_int_equal(look("link/b.txt"), '-');
    assert_int_equal(guaco__beneath_file(&beneath, "inside"), -ELOOP);
}

static void
a_long_name_is_no_file(void **state)
{
    char name[400];

    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(guaco__beneath_file(&beneath, name), -ENAMETOOLONG);
    beneath.walks = true;
    assert_int_equal(guaco__beneath_file(&beneath, name), -ENAMETOOLONG);
}

static void
what_is_no_folder_is_named(void **state)
{
    struct guaco__beneath other;
    struct guaco_error err;

    (void)state;
    assert_int_equal(guaco__beneath_open(&other, folder_path("none"), &err),
                     GUACO_E_MISSING);
    assert_non_null(strstr(err.text, "none"));
    assert_int_equal(guaco__beneath_open(&other, folder_path("secret"), &err),
                     GUACO_E_MISSING);
    guaco__beneath_close(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            links_lead_anywhere_below_and_nowhere_else, setup, teardown),
        cmocka_unit_test_setup_teardown(the_walk_follows_no_link, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_long_name_is_no_file, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_no_folder_is_named, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
