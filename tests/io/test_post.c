/* Posts: order, one wake-up, cancelling, closing, many threads. */

#include "io/post.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "io/loop.h"

enum { THREADS = 4, EACH = 2000 };

struct numbered {
    struct guaco__post post;
    int thread;
    int number;
};

static struct guaco__loop *loop;
static int next[THREADS]; /* the number expected of each thread */
static int calls;

static int
open_loop(void **state)
{
    (void)state;
    calls = 0;
    return guaco__loop_new(&loop, NULL);
}

static int
close_loop(void **state)
{
    (void)state;
    guaco__loop_free(loop);
    return 0;
}

static void
on_post(struct guaco__post *post)
{
    (void)post;
    calls++;
}

static void
on_numbered(struct guaco__post *post)
{
    struct numbered *numbered = GUACO__OF(post, struct numbered, post);

    assert_int_equal(numbered->number, next[numbered->thread]);
    next[numbered->thread]++;
    if (++calls == THREADS * EACH)
        guaco__loop_stop(loop);
    free(numbered);
}

static void *
send_numbered(void *arg)
{
    int thread = *(int *)arg;

    for (int i = 0; i < EACH; i++) {
        struct numbered *numbered = malloc(sizeof(*numbered));
        guaco__post_init(&numbered->post, on_numbered);
        numbered->thread = thread;
        numbered->number = i;
        guaco__post_send(loop, &numbered->post);
    }
    return NULL;
}

static void
posts_of_a_thread_arrive_in_order_and_none_is_lost(void **state)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        next[i] = 0;
        numbers[i] = i;
        pthread_create(&threads[i], NULL, send_numbered, &numbers[i]);
    }
    guaco__loop_run(loop, GUACO__LOOP_UNTIL_STOPPED);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(calls, THREADS * EACH);
}

static void
a_post_sent_twice_runs_once(void **state)
{
    struct guaco__post post;

    (void)state;
    guaco__post_init(&post, on_post);
    guaco__post_send(loop, &post);
    guaco__post_send(loop, &post);
    guaco__loop_run(loop, GUACO__LOOP_ONCE);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(calls, 1);
}

static void
send_again(struct guaco__post *post)
{
    if (++calls < 3)
        guaco__post_send(loop, post);
}

static void
what_a_post_sends_runs_in_the_next_turn(void **state)
{
    struct guaco__post post;

    (void)state;
    guaco__post_init(&post, send_again);
    guaco__post_send(loop, &post);
    for (int turn = 1; turn <= 3; turn++) {
        guaco__loop_run(loop, GUACO__LOOP_ONCE);
        assert_int_equal(calls, turn);
    }
}

static struct guaco__post second;

static void
cancel_second(struct guaco__post *post)
{
    (void)post;
    assert_true(guaco__post_cancel(loop, &second));
    calls++;
}

static void
a_cancelled_post_does_not_run(void **state)
{
    struct guaco__post first;

    (void)state;
    guaco__post_init(&first, cancel_second);
    guaco__post_init(&second, on_post);
    assert_false(guaco__post_cancel(loop, &second));
    guaco__post_send(loop, &first);
    guaco__post_send(loop, &second);
    guaco__loop_run(loop, GUACO__LOOP_ONCE);
    assert_int_equal(calls, 1);
}

static void
a_closed_loop_refuses_posts(void **state)
{
    struct guaco__post post;

    (void)state;
    guaco__post_init(&post, on_post);
    guaco__post_close(loop);
    assert_int_equal(guaco__post_send(loop, &post), GUACO_E_CLOSED);
    guaco__loop_run(loop, GUACO__LOOP_NOWAIT);
    assert_int_equal(calls, 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
    const struct CMUnitTest tests[] = {
        TEST(posts_of_a_thread_arrive_in_order_and_none_is_lost),
        TEST(a_post_sent_twice_runs_once),
        TEST(what_a_post_sends_runs_in_the_next_turn),
        TEST(a_cancelled_post_does_not_run),
        TEST(a_closed_loop_refuses_posts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
