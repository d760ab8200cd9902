/* Listeners: accepting, pausing, and having no descriptor left. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "io/listener.h"
#include "io/loop.h"

struct world {
    struct guaco__loop *loop;
    struct guaco__listener listener;
    struct guaco_log log;
    struct sockaddr_in at;
};

static int accepted;
static int last_fd;
static int log_lines;

static void
on_accept(struct guaco__listener *listener, int fd,
          const struct sockaddr_storage *from)
{
    (void)listener;
    assert_int_equal(from->ss_family, AF_INET);
    accepted++;
    if (last_fd >= 0)
        close(last_fd);
    last_fd = fd;
}

static void
count_line(void *ctx, int level, const char *line, size_t len)
{
    (void)ctx, (void)level, (void)len;
    assert_non_null(strstr(line, "cannot accept"));
    log_lines++;
}

static void
open_world(struct world *w)
{
    socklen_t len = sizeof(w->at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(w, 0, sizeof(*w));
    accepted = log_lines = 0;
    last_fd = -1;
    w->log.write = count_line;
    w->at.sin_family = AF_INET;
    w->at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&w->at, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&w->at, &len), 0);
    assert_int_equal(guaco__loop_new(&w->loop, NULL), 0);
    assert_int_equal(guaco__listener_init(&w->listener, w->loop, fd, &w->log,
                                          on_accept, NULL),
                     0);
}

static void
close_world(struct world *w)
{
    if (last_fd >= 0)
        close(last_fd);
    guaco__listener_close(&w->listener);
    guaco__loop_free(w->loop);
}

static int
connect_to(struct world *w)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&w->at, sizeof(w->at)), 0);
    return fd;
}

static void
it_accepts_what_is_queued_once_it_is_resumed(void **state)
{
    struct world w;
    int clients[3];
    int nodelay = 0;
    socklen_t len = sizeof(nodelay);

    (void)state;
    open_world(&w);
    for (int i = 0; i < 3; i++)
        clients[i] = connect_to(&w);
    guaco__loop_run(w.loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(accepted, 0);
    assert_int_equal(guaco__listener_resume(&w.listener, NULL), 0);
    guaco__loop_run(w.loop, GUACO__LOOP_ONCE);
    assert_int_equal(accepted, 3);
    assert_int_equal(
        getsockopt(last_fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
    assert_int_equal(nodelay, 1);
    assert_true((fcntl(last_fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(last_fd, F_GETFD) & FD_CLOEXEC) != 0);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    close_world(&w);
}

static void
while_it_is_paused_the_kernel_keeps_them(void **state)
{
    struct world w;
    int client;

    (void)state;
    open_world(&w);
    guaco__listener_resume(&w.listener, NULL);
    guaco__listener_pause(&w.listener);
    client = connect_to(&w);
    guaco__loop_run(w.loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(accepted, 0);
    guaco__listener_resume(&w.listener, NULL);
    guaco__loop_run(w.loop, GUACO__LOOP_ONCE);
    assert_int_equal(accepted, 1);
    close(client);
    close_world(&w);
}

static void
without_descriptors_it_says_so_once_and_goes_on_later(void **state)
{
    struct world w;
    struct rlimit had;
    struct rlimit none;
    int client;

    (void)state;
    open_world(&w);
    client = connect_to(&w);
    guaco__listener_resume(&w.listener, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
    none = had;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    guaco__loop_run(w.loop, GUACO__LOOP_ONCE);
    guaco__loop_run(w.loop, GUACO__LOOP_ONCE); /* waits for the rest's end */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
    assert_int_equal(accepted, 0);
    assert_int_equal(log_lines, 1);
    while (accepted == 0)
        guaco__loop_run(w.loop, GUACO__LOOP_ONCE);
    assert_false(w.listener.is_starved);
    close(client);
    close_world(&w);
}

static void
what_does_not_listen_is_refused(void **state)
{
    struct guaco__listener listener;
    struct guaco_error err = {0};
    struct guaco__loop *loop;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(guaco__loop_new(&loop, NULL), 0);
    assert_int_equal(
        guaco__listener_init(&listener, loop, fd, NULL, on_accept, &err),
        GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "not a listening"));
    close(fd);
    guaco__loop_free(loop);
}

static bool
wants_none(const struct guaco__listener *listener)
{
    (void)listener;
    return false;
}

/* Others that listen on the same socket may not be there, or be busy. */
static void
what_is_left_to_others_is_taken_a_moment_later(void **state)
{
    struct world w;
    int client;

    (void)state;
    open_world(&w);
    w.listener.may_accept = wants_none;
    guaco__listener_resume(&w.listener, NULL);
    client = connect_to(&w);
    guaco__loop_run(w.loop, GUACO__LOOP_ONCE);
    assert_int_equal(accepted, 0);
    while (accepted == 0)
        guaco__loop_run(w.loop, GUACO__LOOP_ONCE);
    assert_int_equal(accepted, 1);
    guaco__listener_pause(&w.listener);
    close(client);
    close_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_accepts_what_is_queued_once_it_is_resumed),
        cmocka_unit_test(while_it_is_paused_the_kernel_keeps_them),
        cmocka_unit_test(without_descriptors_it_says_so_once_and_goes_on_later),
        cmocka_unit_test(what_is_left_to_others_is_taken_a_moment_later),
        cmocka_unit_test(what_does_not_listen_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
