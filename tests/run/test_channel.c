/* The promises of run/channel.h. */

#include "run/channel.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"

static int ours;
static int theirs;

static int
setup(void **state)
{
    (void)state;
    return guaco__channel_open(&ours, &theirs, NULL);
}

static int
teardown(void **state)
{
    (void)state;
    close(ours);
    close(theirs);
    return 0;
}

static void
messages_keep_their_bounds(void **state)
{
    char got[100];
    size_t len;

    (void)state;
    assert_int_equal(
        guaco__channel_receive(ours, got, sizeof got, &len, NULL, NULL),
        GUACO_E_AGAIN);
    assert_int_equal(guaco__channel_send(theirs, "one", 3, NULL, 0), GUACO_OK);
    assert_int_equal(guaco__channel_send(theirs, "two!", 4, NULL, 0), GUACO_OK);
    assert_int_equal(
        guaco__channel_receive(ours, got, sizeof got, &len, NULL, NULL),
        GUACO_OK);
    assert_int_equal(len, 3);
    assert_int_equal(
        guaco__channel_receive(ours, got, sizeof got, &len, NULL, NULL),
        GUACO_OK);
    assert_int_equal(len, 4);
}

static void
descriptors_travel_in_order_and_are_close_on_exec(void **state)
{
    int pipes[2];
    int fds[GUACO__CHANNEL_FDS_MAX];
    size_t count = 99;
    char got[8];
    size_t len;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(guaco__channel_send(ours, "x", 1, pipes, 2), GUACO_OK);
    assert_int_equal(
        guaco__channel_receive(theirs, got, sizeof got, &len, fds, &count),
        GUACO_OK);
    assert_int_equal(count, 2);
    assert_int_equal(write(fds[1], "a", 1), 1);
    assert_int_equal(read(pipes[0], got, 1), 1);
    assert_true((fcntl(fds[0], F_GETFD) & FD_CLOEXEC) != 0);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(pipes[i]);
    }
}

static void
descriptors_that_nobody_wants_are_closed(void **state)
{
    int pipes[2];
    char got[8];
    size_t len;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(guaco__channel_send(ours, "x", 1, &pipes[1], 1), GUACO_OK);
    assert_int_equal(
        guaco__channel_receive(theirs, got, sizeof got, &len, NULL, NULL),
        GUACO_OK);
    close(pipes[1]);
    assert_int_equal(read(pipes[0], got, 1), 0); /* no writer is left */
    close(pipes[0]);
}

static void
a_message_that_is_too_long_is_lost_and_said(void **state)
{
    static char big[GUACO__CHANNEL_MESSAGE_MAX + 1];
    char got[8];
    size_t len;

    (void)state;
    assert_int_equal(guaco__channel_send(ours, big, sizeof big, NULL, 0),
                     GUACO_E_LIMIT);
    assert_int_equal(guaco__channel_send(ours, big, sizeof got + 1, NULL, 0),
                     GUACO_OK);
    assert_int_equal(
        guaco__channel_receive(theirs, got, sizeof got, &len, NULL, NULL),
        GUACO_E_LIMIT);
    assert_int_equal(guaco__channel_send(ours, "y", 1, NULL, 0), GUACO_OK);
    assert_int_equal(
        guaco__channel_receive(theirs, got, sizeof got, &len, NULL, NULL),
        GUACO_OK);
    assert_int_equal(got[0], 'y');
}

static void
a_full_channel_and_a_closed_one_are_told_apart(void **state)
{
    static char big[GUACO__CHANNEL_MESSAGE_MAX];
    char got[8];
    size_t len;
    int rc;

    (void)state;
    do
        rc = guaco__channel_send(ours, big, sizeof big, NULL, 0);
    while (rc == GUACO_OK);
    assert_int_equal(rc, GUACO_E_AGAIN);
    close(theirs);
    assert_int_equal(guaco__channel_send(ours, "x", 1, NULL, 0),
                     GUACO_E_CLOSED);
    rc = guaco__channel_receive(ours, got, sizeof got, &len, NULL, NULL);
    assert_true(rc == GUACO_E_CLOSED);
    theirs = dup(ours); /* for the teardown */
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(messages_keep_their_bounds),
        T(descriptors_travel_in_order_and_are_close_on_exec),
        T(descriptors_that_nobody_wants_are_closed),
        T(a_message_that_is_too_long_is_lost_and_said),
        T(a_full_channel_and_a_closed_one_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
