/* Watches: level-triggered, lazy interest, errors, reuse of descriptors. */

#include "io/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "io/loop.h"

struct end {
    struct guaco__watch watch;
    unsigned told;  /* events, or-ed */
    unsigned calls; /* of the callback */
    unsigned stops; /* stop after this many calls, 0: never */
};

struct pair {
    struct guaco__loop *loop;
    int fds[2];
    struct end end;
};

static int
open_pair(void **state)
{
    static struct pair pair;

    memset(&pair, 0, sizeof(pair));
    assert_int_equal(guaco__loop_new(&pair.loop, NULL), GUACO_OK);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.fds), 0);
    *state = &pair;
    return 0;
}

static int
close_pair(void **state)
{
    struct pair *pair = *state;

    guaco__watch_stop(&pair->end.watch);
    guaco__loop_free(pair->loop);
    close(pair->fds[0]);
    close(pair->fds[1]);
    return 0;
}

static void
on_event(struct guaco__watch *watch, unsigned events)
{
    struct end *end = GUACO__OF(watch, struct end, watch);

    end->told |= events;
    if (++end->calls == end->stops)
        guaco__watch_stop(watch);
}

static int
start(struct pair *pair, unsigned events)
{
    return guaco__watch_start(&pair->end.watch, pair->loop, pair->fds[0],
                              events, on_event, NULL);
}

static void
expect(struct pair *pair, unsigned events)
{
    pair->end.told = 0;
    guaco__loop_run(pair->loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(pair->end.told, events);
}

static void
readiness_is_told_each_turn_until_it_is_used_up(void **state)
{
    struct pair *pair = *state;
    char byte;

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    expect(pair, 0);
    assert_int_equal(write(pair->fds[1], "x", 1), 1);
    expect(pair, GUACO__READABLE);
    expect(pair, GUACO__READABLE);
    assert_int_equal(read(pair->fds[0], &byte, 1), 1);
    expect(pair, 0);
}

static void
only_what_is_wanted_is_told(void **state)
{
    struct pair *pair = *state;

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    assert_int_equal(write(pair->fds[1], "x", 1), 1);
    assert_int_equal(guaco__watch_set(&pair->end.watch, 0), GUACO_OK);
    expect(pair, 0);
    expect(pair, 0);
    assert_int_equal(guaco__watch_set(&pair->end.watch, GUACO__WRITABLE),
                     GUACO_OK);
    expect(pair, GUACO__WRITABLE);
    assert_int_equal(
        guaco__watch_set(&pair->end.watch, GUACO__READABLE | GUACO__WRITABLE),
        GUACO_OK);
    expect(pair, GUACO__READABLE | GUACO__WRITABLE);
    assert_int_equal(guaco__watch_set(&pair->end.watch, GUACO__READABLE),
                     GUACO_OK);
    expect(pair, GUACO__READABLE);
}

/* The backend's descriptor is an epoll: ask it whether fd is registered. */
static bool
is_registered(struct pair *pair)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd = guaco__loop_backend_fd(pair->loop);

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pair->fds[0], &event) == 0) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, pair->fds[0], &event);
        return false;
    }
    assert_int_equal(errno, EEXIST);
    return true;
}

static void
a_paused_reader_stays_registered_until_something_arrives(void **state)
{
    struct pair *pair = *state;

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    expect(pair, 0);
    guaco__watch_set(&pair->end.watch, 0);
    expect(pair, 0);
    assert_true(is_registered(pair));
    guaco__watch_set(&pair->end.watch, GUACO__READABLE);
    expect(pair, 0);

    guaco__watch_set(&pair->end.watch, 0);
    assert_int_equal(write(pair->fds[1], "x", 1), 1);
    expect(pair, 0);
    expect(pair, 0);
    assert_false(is_registered(pair));
    guaco__watch_set(&pair->end.watch, GUACO__READABLE);
    expect(pair, GUACO__READABLE);
}

static void
a_hang_up_reaches_a_paused_reader(void **state)
{
    struct pair *pair = *state;

    assert_int_equal(start(pair, GUACO__HANGUP), GUACO_OK);
    assert_int_equal(write(pair->fds[1], "x", 1), 1);
    expect(pair, 0);
    assert_int_equal(shutdown(pair->fds[1], SHUT_WR), 0);
    expect(pair, GUACO__HANGUP);
}

/* A TCP connection to oneself that its peer has reset. */
static void
a_reset_is_told_as_readable_again_and_again(void **state)
{
    struct pair *pair = *state;
    struct linger linger = {1, 0};
    struct sockaddr_storage address = {.ss_family = AF_INET};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(listen(listener, 1), 0); /* binds to a free port */
    getsockname(listener, (struct sockaddr *)&address, &len);
    close(pair->fds[0]);
    close(pair->fds[1]);
    pair->fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(pair->fds[0], (struct sockaddr *)&address, len),
                     0);
    pair->fds[1] = accept(listener, NULL, NULL);
    setsockopt(pair->fds[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(pair->fds[1]);
    pair->fds[1] = listener;

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    expect(pair, GUACO__READABLE);
    expect(pair, GUACO__READABLE);
    char byte;
    assert_int_equal(read(pair->fds[0], &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void
a_watch_may_be_stopped_and_started_again_in_its_callback(void **state)
{
    struct pair *pair = *state;

    pair->end.stops = 1;
    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    assert_int_equal(write(pair->fds[1], "x", 1), 1);
    expect(pair, GUACO__READABLE);
    expect(pair, 0);
    assert_false(guaco__watch_is_started(&pair->end.watch));
    guaco__watch_stop(&pair->end.watch);
    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    expect(pair, GUACO__READABLE);
}

static void
a_reused_descriptor_number_is_a_new_file(void **state)
{
    struct pair *pair = *state;
    int fd = pair->fds[0];

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    expect(pair, 0);
    guaco__watch_stop(&pair->end.watch);
    close(pair->fds[0]);
    close(pair->fds[1]);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->fds), 0);
    assert_int_equal(pair->fds[0], fd);
    assert_int_equal(write(pair->fds[1], "x", 1), 1);
    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    expect(pair, GUACO__READABLE);
}

static void
a_parked_watch_stays_registered_and_gives_way(void **state)
{
    struct pair *pair = *state;
    struct end other = {0};

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    expect(pair, 0);
    guaco__watch_park(&pair->end.watch);
    expect(pair, 0);
    assert_true(is_registered(pair));
    assert_int_equal(guaco__watch_set(&pair->end.watch, GUACO__READABLE),
                     GUACO_OK);
    assert_int_equal(write(pair->fds[1], "x", 1), 1);
    expect(pair, GUACO__READABLE);

    guaco__watch_park(&pair->end.watch);
    int fd = pair->fds[0];
    close(pair->fds[0]);
    close(pair->fds[1]);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->fds), 0);
    assert_int_equal(pair->fds[0], fd);
    assert_int_equal(write(pair->fds[1], "x", 1), 1);
    assert_int_equal(guaco__watch_start(&other.watch, pair->loop, fd,
                                        GUACO__READABLE, on_event, NULL),
                     GUACO_OK);
    assert_false(guaco__watch_is_started(&pair->end.watch));
    expect(pair, 0);
    assert_int_equal(other.told, GUACO__READABLE);
    guaco__watch_stop(&other.watch);
}

static void
a_descriptor_may_be_closed_right_after_it_was_parked(void **state)
{
    struct pair *pair = *state;

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    guaco__watch_park(&pair->end.watch);
    close(pair->fds[0]);
    expect(pair, 0);
    guaco__watch_stop(&pair->end.watch);
    pair->fds[0] = dup(pair->fds[1]);
}

static void
a_descriptor_closed_before_the_poll_is_passed_over(void **state)
{
    struct pair *pair = *state;

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    close(pair->fds[0]);
    expect(pair, 0);
    guaco__watch_stop(&pair->end.watch);

    pair->fds[0] = dup(pair->fds[1]);
    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    close(pair->fds[0]);
    assert_int_equal(open("/proc/self/exe", O_RDONLY), pair->fds[0]);
    expect(pair, 0);
}

static void
what_cannot_be_watched_is_an_error(void **state)
{
    struct pair *pair = *state;
    struct guaco__watch other;
    struct guaco_error err = {0};

    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    assert_int_equal(guaco__watch_start(&other, pair->loop, pair->fds[0],
                                        GUACO__READABLE, on_event, &err),
                     GUACO_E_EXISTS);
    assert_false(guaco__watch_is_started(&other));

    int file = open("/proc/self/exe", O_RDONLY);
    assert_int_equal(guaco__watch_start(&other, pair->loop, file,
                                        GUACO__READABLE, on_event, &err),
                     GUACO_E_UNSUPPORTED);
    close(file);
    assert_int_equal(guaco__watch_start(&other, pair->loop, file,
                                        GUACO__READABLE, on_event, &err),
                     GUACO_E_IO);
    assert_int_equal(err.sys, EBADF);
}

static void
the_blocking_mode_is_left_alone(void **state)
{
    struct pair *pair = *state;

    assert_int_equal(fcntl(pair->fds[0], F_SETFL, 0), 0);
    assert_int_equal(start(pair, GUACO__READABLE), GUACO_OK);
    assert_false(fcntl(pair->fds[0], F_GETFL) & O_NONBLOCK);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        TEST(readiness_is_told_each_turn_until_it_is_used_up),
        TEST(only_what_is_wanted_is_told),
        TEST(a_paused_reader_stays_registered_until_something_arrives),
        TEST(a_hang_up_reaches_a_paused_reader),
        TEST(a_reset_is_told_as_readable_again_and_again),
        TEST(a_watch_may_be_stopped_and_started_again_in_its_callback),
        TEST(a_reused_descriptor_number_is_a_new_file),
        TEST(a_parked_watch_stays_registered_and_gives_way),
        TEST(a_descriptor_may_be_closed_right_after_it_was_parked),
        TEST(a_descriptor_closed_before_the_poll_is_passed_over),
        TEST(what_cannot_be_watched_is_an_error),
        TEST(the_blocking_mode_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
