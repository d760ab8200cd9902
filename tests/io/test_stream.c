/* Streams: what is queued arrives in order, whoever owned it. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/stream.h"

enum { LARGE_BYTES = 2000000 };

struct world {
    struct guaco__loop *loop;
    struct guaco__stream_pool pool;
    struct guaco__stream stream;
    int peer;
};

static unsigned told_events;
static int released;

static void
on_event(struct guaco__stream *stream, unsigned events)
{
    told_events |= events;
    if ((events & GUACO__WRITABLE) != 0)
        guaco__stream_flush(stream);
}

static void
count_release(void *owner)
{
    released++;
    free(owner);
}

static void
open_world(struct world *w)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair),
                     0);
    assert_int_equal(guaco__loop_new(&w->loop, NULL), 0);
    guaco__stream_pool_init(&w->pool);
    assert_int_equal(
        guaco__stream_init(&w->stream, w->loop, &w->pool, pair[0], on_event),
        0);
    w->peer = pair[1];
    told_events = 0;
    released = 0;
}

static void
close_world(struct world *w)
{
    guaco__stream_close(&w->stream);
    guaco__stream_pool_release(&w->pool);
    guaco__loop_free(w->loop);
    close(w->peer);
}

static size_t
hear(struct world *w, char *into, size_t size)
{
    size_t len = 0;

    for (int idle = 0; len < size && idle < 4;) {
        ssize_t n = recv(w->peer, into + len, size - len, 0);

        if (n > 0)
            len += (size_t)n;
        else
            idle++;
        guaco__loop_run(w->loop, GUACO__LOOP_NOWAIT);
    }
    return len;
}

static struct guaco__stream_piece
large_piece(char fill)
{
    char *own = malloc(LARGE_BYTES);

    assert_non_null(own);
    memset(own, fill, LARGE_BYTES);
    return (struct guaco__stream_piece){own, LARGE_BYTES, count_release, own};
}

static int
open_file(const char *text)
{
    FILE *file = tmpfile();
    int fd;

    assert_non_null(file);
    fputs(text, file);
    fflush(file);
    fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
    fclose(file);
    return fd;
}

static void
pieces_of_all_kinds_arrive_in_order(void **state)
{
    struct world w;
    int fd = open_file("0123456789");
    struct guaco__stream_piece piece = large_piece('x');
    static char heard[LARGE_BYTES + 100];

    (void)state;
    open_world(&w);
    assert_int_equal(guaco__stream_write(&w.stream, "head ", 5), 0);
    assert_int_equal(guaco__stream_file(&w.stream, fd, 2, 3), 0);
    close(fd); /* the stream has its own */
    assert_int_equal(guaco__stream_give(&w.stream, &piece), 0);
    assert_int_equal(guaco__stream_write(&w.stream, "end", 3), 0);
    assert_int_equal(w.stream.queued_bytes, 5 + 3 + LARGE_BYTES + 3);
    assert_int_equal(guaco__stream_flush(&w.stream), GUACO_E_AGAIN);
    assert_int_equal(hear(&w, heard, sizeof(heard)), 11 + LARGE_BYTES);
    assert_memory_equal(heard, "head 234xxx", 11);
    assert_memory_equal(heard + LARGE_BYTES + 8, "end", 3);
    assert_int_equal(released, 1);
    assert_int_equal(w.stream.queued_bytes, 0);
    assert_null(w.stream.first);
    close_world(&w);
}

static void
small_pieces_share_a_chunk_and_are_released_at_once(void **state)
{
    struct world w;
    char heard[64];

    (void)state;
    open_world(&w);
    for (int i = 0; i < 3; i++) {
        char *own = strdup("abc");
        struct guaco__stream_piece piece = {own, 3, count_release, own};

        assert_int_equal(guaco__stream_give(&w.stream, &piece), 0);
    }
    assert_int_equal(released, 3);
    assert_ptr_equal(w.stream.first, w.stream.last);
    assert_int_equal(guaco__stream_flush(&w.stream), 0);
    assert_int_equal(hear(&w, heard, sizeof(heard)), 9);
    assert_memory_equal(heard, "abcabcabc", 9);
    assert_int_equal(w.pool.chunk_count, 1); /* and gave it back */
    close_world(&w);
}

static void
writable_is_told_only_while_a_flush_waits(void **state)
{
    struct world w;
    struct guaco__stream_piece piece = large_piece('x');
    static char heard[LARGE_BYTES];

    (void)state;
    open_world(&w);
    guaco__loop_run(w.loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(told_events, 0);
    guaco__stream_give(&w.stream, &piece);
    assert_int_equal(guaco__stream_flush(&w.stream), GUACO_E_AGAIN);
    hear(&w, heard, sizeof(heard));
    assert_int_equal(told_events, GUACO__WRITABLE);
    told_events = 0;
    guaco__loop_run(w.loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(told_events, 0);
    close_world(&w);
}

static void
what_is_queued_is_released_by_close(void **state)
{
    struct world w;
    struct guaco__stream_piece piece = large_piece('x');
    int fd = open_file("abc");

    (void)state;
    open_world(&w);
    guaco__stream_give(&w.stream, &piece);
    guaco__stream_file(&w.stream, fd, 0, 3);
    close(fd);
    guaco__stream_close(&w.stream);
    assert_int_equal(released, 1);
    assert_int_equal(w.stream.queued_bytes, 0);
    close_world(&w);
}

static void
a_peer_that_left_breaks_the_stream(void **state)
{
    struct world w;
    struct guaco__stream_piece piece = large_piece('x');

    (void)state;
    open_world(&w);
    close(w.peer);
    guaco__stream_give(&w.stream, &piece);
    assert_int_equal(guaco__stream_flush(&w.stream), GUACO_E_CLOSED);
    assert_int_equal(released, 1);
    assert_int_equal(guaco__stream_flush(&w.stream), GUACO_E_CLOSED);
    w.peer = -1;
    close_world(&w);
}

static void
a_file_that_got_shorter_breaks_the_stream(void **state)
{
    struct world w;
    int fd = open_file("abc");

    (void)state;
    open_world(&w);
    guaco__stream_file(&w.stream, fd, 0, 10);
    close(fd);
    assert_int_equal(guaco__stream_flush(&w.stream), GUACO_E_CLOSED);
    close_world(&w);
}

static void
reading_can_be_paused(void **state)
{
    struct world w;
    char heard[8];

    (void)state;
    open_world(&w);
    assert_int_equal(guaco__stream_want_read(&w.stream, false), 0);
    assert_int_equal(send(w.peer, "abc", 3, 0), 3);
    for (int i = 0; i < 3; i++)
        guaco__loop_run(w.loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(told_events, 0);
    assert_int_equal(guaco__stream_want_read(&w.stream, true), 0);
    guaco__loop_run(w.loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(told_events, GUACO__READABLE);
    assert_int_equal(guaco__stream_recv(&w.stream, heard, sizeof(heard)), 3);
    assert_int_equal(guaco__stream_recv(&w.stream, heard, sizeof(heard)),
                     GUACO_E_AGAIN);
    close_world(&w);
}

static void
a_blocking_wait_ends_at_its_time(void **state)
{
    struct world w;
    struct guaco__stream_piece piece = large_piece('x');

    (void)state;
    open_world(&w);
    guaco__stream_give(&w.stream, &piece);
    assert_int_equal(guaco__stream_wait(&w.stream, w.loop, 0, 1),
                     GUACO_E_TIMEOUT);
    assert_int_equal(guaco__stream_wait(&w.stream, w.loop, LARGE_BYTES, 1), 0);
    close_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_all_kinds_arrive_in_order),
        cmocka_unit_test(small_pieces_share_a_chunk_and_are_released_at_once),
        cmocka_unit_test(writable_is_told_only_while_a_flush_waits),
        cmocka_unit_test(what_is_queued_is_released_by_close),
        cmocka_unit_test(a_peer_that_left_breaks_the_stream),
        cmocka_unit_test(a_file_that_got_shorter_breaks_the_stream),
        cmocka_unit_test(reading_can_be_paused),
        cmocka_unit_test(a_blocking_wait_ends_at_its_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
