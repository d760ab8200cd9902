#include "post.h"

#include <assert.h>

#include "loop_int.h"

void
guaco__post_init(struct guaco__post *post, void (*fn)(struct guaco__post *post))
{
    guaco__list_init(&post->link);
    post->fn = fn;
}

int
guaco__post_send(struct guaco__loop *loop, struct guaco__post *post)
{
    bool wakes = false;
    int rc = GUACO_OK;

    pthread_mutex_lock(&loop->post_lock);
    if (loop->is_post_closed) {
        rc = GUACO_E_CLOSED;
    } else if (guaco__list_is_empty(&post->link)) {
        wakes = guaco__list_is_empty(&loop->posts);
        guaco__list_push(&loop->posts, &post->link);
    }
    pthread_mutex_unlock(&loop->post_lock);
    if (wakes)
        guaco__loop_wake(loop);
    return rc;
}

bool
guaco__post_cancel(struct guaco__loop *loop, struct guaco__post *post)
{
    pthread_mutex_lock(&loop->post_lock);
    bool was_queued = !guaco__list_is_empty(&post->link);
    guaco__list_remove(&post->link);
    pthread_mutex_unlock(&loop->post_lock);
    return was_queued;
}

void
guaco__post_close(struct guaco__loop *loop)
{
    pthread_mutex_lock(&loop->post_lock);
    loop->is_post_closed = true;
    pthread_mutex_unlock(&loop->post_lock);
}

void
guaco__loop_wake(struct guaco__loop *loop)
{
    int rc = uv_async_send(&loop->wake);
    assert(rc == 0);
    (void)rc;
}

/*
 * What a post sends comes in the next turn: the batch is taken over first.
 * Each link leaves the batch under the lock, because another thread may be
 * sending that very post again.
 */
void
guaco__posts_run(struct guaco__loop *loop)
{
    pthread_mutex_lock(&loop->post_lock);
    guaco__list_splice(&loop->batch, &loop->posts);
    struct guaco__list *link = guaco__list_shift(&loop->batch);
    while (link != NULL) {
        pthread_mutex_unlock(&loop->post_lock);
        struct guaco__post *post = GUACO__OF(link, struct guaco__post, link);
        post->fn(post);
        pthread_mutex_lock(&loop->post_lock);
        link = guaco__list_shift(&loop->batch);
    }
    pthread_mutex_unlock(&loop->post_lock);
}

void
guaco__posts_drop(struct guaco__loop *loop)
{
    pthread_mutex_lock(&loop->post_lock);
    loop->is_post_closed = true;
    guaco__list_splice(&loop->batch, &loop->posts);
    while (guaco__list_shift(&loop->batch) != NULL)
        continue;
    pthread_mutex_unlock(&loop->post_lock);
}
