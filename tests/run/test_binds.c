/* The promises of run/binds.h. */

#include "run/binds.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../failing_malloc.h"
#include "../folder.h"
#include "../test.h"

static struct guaco__binds binds;
static struct guaco_error err;

static int
setup(void **state)
{
    (void)state;
    folder_make();
    guaco__binds_init(&binds, 3, 16);
    binds.is_divided = true;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    guaco__binds_release(&binds);
    folder_remove();
    return 0;
}

static int
is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len), 0);
    return on;
}

static void
each_slot_has_a_socket_on_the_same_free_port(void **state)
{
    (void)state;
    assert_int_equal(guaco__binds_add(&binds, "127.0.0.1:0", &err), GUACO_OK);
    assert_int_not_equal(guaco__binds_fd(&binds, 0, 0),
                         guaco__binds_fd(&binds, 0, 2));
    for (size_t slot = 0; slot < 3; slot++)
        assert_true(is_listening(guaco__binds_fd(&binds, 0, slot)));
    assert_null(strstr(binds.items[0].text, ":0"));
    assert_memory_equal(binds.items[0].url, "http://127.0.0.1:", 17);
}

static void
a_port_with_a_listener_is_refused(void **state)
{
    struct guaco__binds other;

    (void)state;
    assert_int_equal(guaco__binds_add(&binds, "127.0.0.1:0", &err), GUACO_OK);
    guaco__binds_init(&other, 2, 16);
    assert_int_equal(guaco__binds_add(&other, binds.items[0].text, &err),
                     GUACO_E_EXISTS);
    assert_int_equal(other.count, 0);
}

static void
a_unix_socket_is_shared_and_its_file_removed(void **state)
{
    char address[600];

    (void)state;
    snprintf(address, sizeof address, "unix:%s", folder_path("s"));
    assert_int_equal(guaco__binds_add(&binds, address, &err), GUACO_OK);
    assert_int_equal(guaco__binds_fd(&binds, 0, 0),
                     guaco__binds_fd(&binds, 0, 2));
    assert_int_equal(access(folder_path("s"), F_OK), 0);
    assert_int_equal(guaco__binds_add(&binds, address, &err), GUACO_E_EXISTS);
    guaco__binds_release(&binds);
    assert_int_not_equal(access(folder_path("s"), F_OK), 0);

    folder_write("s", "a file", 6);
    assert_int_equal(guaco__binds_add(&binds, address, &err), GUACO_E_EXISTS);
    assert_int_equal(access(folder_path("s"), F_OK), 0);
}

static void
an_inherited_socket_is_taken_by_its_number(void **state)
{
    char address[20];

    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    snprintf(address, sizeof address, "fd:%d", fd);
    assert_int_equal(guaco__binds_add(&binds, address, &err), GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "not a listening socket"));
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(guaco__binds_add(&binds, address, &err), GUACO_OK);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    assert_true(is_listening(guaco__binds_fd(&binds, 0, 1)));
}

static void
a_scheme_before_an_address_chooses_tls(void **state)
{
    (void)state;
    assert_int_equal(guaco__binds_add(&binds, "https://127.0.0.1:0", &err),
                     GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "--ssl-certfile"));
    assert_int_equal(guaco__binds_add(&binds, "http://127.0.0.1:0", &err), 0);
    binds.has_tls = true;
    assert_int_equal(guaco__binds_add(&binds, "http://127.0.0.1:0", &err), 0);
    assert_int_equal(guaco__binds_add(&binds, "https://127.0.0.1:0", &err), 0);
    assert_int_equal(guaco__binds_add(&binds, "127.0.0.1:0", &err), 0);
    for (size_t i = 0; i < binds.count; i++) {
        bool is_tls = i >= 2;

        assert_int_equal(binds.items[i].is_tls, is_tls);
        assert_memory_equal(binds.items[i].url,
                            is_tls ? "https://127" : "http://127",
                            is_tls ? 11 : 10);
        assert_memory_equal(binds.items[i].text, "127.0.0.1:", 10);
    }
}

static void
what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = {
        "127.0.0.1:65536", "127.0.0.1:", "127.0.0.1:-1",
        "127.0.0.1:8 0",   "::1",        "[::1",
        "[::1]80",         "fd:",        "fd:x",
        "fd:99999",        "unix:",      "no.such.host.invalid:80",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (guaco__binds_add(&binds, bad[i], &err) != GUACO_E_INVALID)
            fail_msg("%s was taken", bad[i]);
    assert_int_equal(binds.count, 0);
}

static void
undivided_one_socket_is_all_slots(void **state)
{
    (void)state;
    binds.is_divided = false;
    assert_int_equal(guaco__binds_add(&binds, "127.0.0.1:0", &err), GUACO_OK);
    assert_int_equal(guaco__binds_fd(&binds, 0, 0),
                     guaco__binds_fd(&binds, 0, 2));
    assert_false(guaco__binds_is_own(&binds, 0));
    assert_int_equal(guaco__binds_grow(&binds, 5, &err), GUACO_OK);
    assert_int_equal(guaco__binds_fd(&binds, 0, 0),
                     guaco__binds_fd(&binds, 0, 4));
}

/* Also where the first was made for one slot, and so without SO_REUSEPORT. */
static void
more_slots_join_the_same_port(void **state)
{
    struct guaco__binds one;

    (void)state;
    guaco__binds_init(&one, 1, 16);
    one.is_divided = true;
    assert_int_equal(guaco__binds_add(&one, "127.0.0.1:0", &err), GUACO_OK);
    char address[FOLDER_PATH_MAX + 8];
    snprintf(address, sizeof address, "unix:%s", folder_path("s"));
    assert_int_equal(guaco__binds_add(&one, address, &err), GUACO_OK);
    assert_true(guaco__binds_is_own(&one, 0));
    assert_false(guaco__binds_is_own(&one, 1));
    assert_int_equal(guaco__binds_grow(&one, 3, &err), GUACO_OK);
    for (size_t slot = 0; slot < 3; slot++)
        assert_true(is_listening(guaco__binds_fd(&one, 0, slot)));
    assert_int_not_equal(guaco__binds_fd(&one, 0, 0),
                         guaco__binds_fd(&one, 0, 2));
    assert_int_equal(guaco__binds_fd(&one, 1, 2), guaco__binds_fd(&one, 1, 0));
    guaco__binds_release(&one);
}

static void
without_memory_nothing_is_bound(void **state)
{
    (void)state;
    fail_after(0);
    int rc = guaco__binds_add(&binds, "127.0.0.1:0", &err);
    assert_true(fail_stop());
    assert_int_equal(rc, GUACO_E_NOMEM);
    assert_int_equal(binds.count, 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(each_slot_has_a_socket_on_the_same_free_port),
        T(a_port_with_a_listener_is_refused),
        T(a_unix_socket_is_shared_and_its_file_removed),
        T(an_inherited_socket_is_taken_by_its_number),
        T(a_scheme_before_an_address_chooses_tls),
        T(what_is_no_address_is_refused),
        T(undivided_one_socket_is_all_slots),
        T(more_slots_join_the_same_port),
        T(without_memory_nothing_is_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
