/*
 * Exchanges and what other threads post to them.
 *
 * The parsed head lies in the connection's input, which other bytes will soon
 * overwrite, so it is copied into the arena in one piece and the slices are
 * moved there: a few hundred bytes, cheaper than keeping a read buffer for
 * each request that waits for its application.
 */

#include "server/exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "server/conn.h"
#include "server/metering.h"

enum {
    ARENA_BLOCK_BYTES = 2048 - 64,
    ARENA_MAX_BYTES = 1 << 20, /* beside the heads, which have their limit */
    ANSWER_HEAD_MAX = 1 << 20, /* of one response */
};

static struct guaco__exchange *
take(struct guaco__server *server)
{
    struct guaco__list *link = guaco__list_shift(&server->free_exchanges);
    struct guaco__exchange *x;

    if (link != NULL) {
        server->free_exchange_count--;
        return GUACO__OF(link, struct guaco__exchange, link);
    }
    x = malloc(server->exchange_bytes);
    if (x == NULL)
        return NULL;
    guaco__list_init(&x->link);
    guaco__buf_init(&x->head, ANSWER_HEAD_MAX);
    guaco__arena_init(&x->arena, ARENA_BLOCK_BYTES,
                      ARENA_MAX_BYTES +
                          4 * server->options.limits.head_bytes_max);
    return x;
}

static void
free_exchange(struct guaco__exchange *x)
{
    guaco__buf_release(&x->head);
    guaco__arena_release(&x->arena);
    free(x);
}

static void
give_back(struct guaco__exchange *x)
{
    struct guaco__server *server = x->server;

    if (server->state == GUACO__SERVER_FREED ||
        server->free_exchange_count >= GUACO__FREE_EXCHANGES_MAX) {
        free_exchange(x);
    } else {
        guaco__buf_reset(&x->head);
        guaco__arena_reset(&x->arena);
        guaco__list_push_front(&server->free_exchanges, &x->link);
        server->free_exchange_count++;
    }
    guaco__server_unref(server);
}

static bool
copy_head(struct guaco__exchange *x, const struct guaco_http_head *head,
          const char *head_at)
{
    struct guaco_http_head own = *head;
    size_t fields_bytes = head->field_count * sizeof(struct guaco_field);
    char *at = guaco__arena_alloc(&x->arena, fields_bytes + head->bytes +
                                                 head->field_count);

    if (at == NULL)
        return false;
    own.fields = (struct guaco_field *)(void *)at;
    own.ids = (uint8_t *)at + fields_bytes + head->bytes;
    memcpy(own.fields, head->fields, fields_bytes);
    memcpy(at + fields_bytes, head_at, head->bytes);
    memcpy(own.ids, head->ids, head->field_count);
    guaco_http_head_rebase(&own, head_at, at + fields_bytes);

    x->request = (struct guaco_request){
        .kind = GUACO_REQUEST_HTTP,
        .version_major = 1,
        .version_minor = own.version_minor,
        .method = own.method,
        .target = own.target,
        .path = own.path,
        .query = own.query,
        .scheme = x->conn->peer.face.is_tls ? GUACO_SLICE("https")
                                            : GUACO_SLICE("http"),
        .fields = own.fields,
        .field_ids = own.ids,
        .field_count = own.field_count,
        .body_bytes = own.body_bytes,
        .accepts_trailers = own.accepts_trailers,
        .keep_alive = own.keep_alive,
        .peer = &x->conn->peer.face,
    };
    return true;
}

struct guaco__exchange *
guaco__exchange_new(struct guaco__server *server, struct guaco__conn *conn,
                    const struct guaco_http_head *head, const char *head_at)
{
    struct guaco__exchange *x = take(server);

    if (x == NULL)
        return NULL;

    struct guaco__arena arena = x->arena;
    struct guaco__buf answer_head = x->head;

    memset(x, 0, server->exchange_bytes);
    guaco__list_init(&x->link);
    x->arena = arena;
    x->head = answer_head;
    x->face.ops = &guaco__exchange_ops;
    x->face.request = &x->request;
    x->face.app_space = x->app_space;
    x->wire = &guaco__wire_h1;
    x->server = server;
    x->conn = conn;
    x->refs = 1;
    x->expects_continue = head->expects_continue;
    x->wants_close = !head->keep_alive;
    guaco__spool_init(&x->spool, server->options.limits.spool_bytes);
    server->refs++;
    server->stats.exchanges_open++;
    x->meter_place = -1;
    if (guaco__access_wants_time(&server->access))
        x->begun_ns = guaco__clock_mono_ns();
    if (!copy_head(x, head, head_at)) {
        guaco__exchange_end(x);
        return NULL;
    }
    guaco__metering_begin(x);
    return x;
}

void
guaco__exchange_end(struct guaco__exchange *x)
{
    assert(x->conn != NULL);
    assert(x->server->stats.exchanges_open > 0);
    x->server->stats.exchanges_open--;
    guaco__metering_end(x);
    guaco__spool_release(&x->spool);
    if (x->forwarded != NULL)
        guaco__server_peer_gone(x->server, x->forwarded);
    x->conn = NULL;
    guaco__exchange_unref_op(&x->face);
}

void
guaco__exchanges_release(struct guaco__server *server)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&server->free_exchanges)) != NULL)
        free_exchange(GUACO__OF(link, struct guaco__exchange, link));
    server->free_exchange_count = 0;
}

void
guaco__exchange_ref_op(struct guaco_exchange *face)
{
    struct guaco__exchange *x = guaco__exchange_of(face);

    assert(x->refs > 0);
    x->refs++;
}

void
guaco__exchange_unref_op(struct guaco_exchange *face)
{
    struct guaco__exchange *x = guaco__exchange_of(face);

    assert(x->refs > 0);
    if (--x->refs > 0)
        return;
    assert(x->conn ==
           NULL); /* the connection's reference is the last but one */
    give_back(x);
}

/* ---- posts ---- */

struct post {
    struct guaco__post post; /* first */
    struct guaco__list link; /* of server->posts */
    struct guaco__exchange *x;
    void (*fn)(struct guaco_exchange *x, void *ctx);
    void *ctx;
};

static void
on_post(struct guaco__post *loop_post)
{
    struct post *post = GUACO__OF(loop_post, struct post, post);
    struct guaco__server *server = post->x->server;

    pthread_mutex_lock(&server->post_lock);
    guaco__list_remove(&post->link);
    pthread_mutex_unlock(&server->post_lock);
    post->fn(&post->x->face, post->ctx);
    free(post);
}

int
guaco__exchange_post_op(struct guaco_exchange *face,
                        void (*fn)(struct guaco_exchange *x, void *ctx),
                        void *ctx)
{
    struct guaco__exchange *x = guaco__exchange_of(face);
    struct guaco__server *server = x->server;
    struct post *post = malloc(sizeof(*post));
    int rc = GUACO_E_CLOSED;

    if (post == NULL)
        return GUACO_E_NOMEM;
    guaco__post_init(&post->post, on_post);
    guaco__list_init(&post->link);
    post->x = x;
    post->fn = fn;
    post->ctx = ctx;

    /* Under the lock, so that closing cannot come between: once closed, the
     * loop may be freed at any time. */
    pthread_mutex_lock(&server->post_lock);
    if (!server->is_post_closed)
        rc = guaco__post_send(server->loop, &post->post);
    if (rc == GUACO_OK)
        guaco__list_push(&server->posts, &post->link);
    pthread_mutex_unlock(&server->post_lock);
    if (rc < 0)
        free(post);
    return rc;
}

void
guaco__posts_close(struct guaco__server *server)
{
    struct guaco__list dropped;
    struct guaco__list *link;

    guaco__list_init(&dropped);
    pthread_mutex_lock(&server->post_lock);
    server->is_post_closed = true;
    guaco__list_splice(&dropped, &server->posts);
    pthread_mutex_unlock(&server->post_lock);
    while ((link = guaco__list_shift(&dropped)) != NULL) {
        struct post *post = GUACO__OF(link, struct post, link);

        guaco__post_cancel(server->loop, &post->post);
        free(post);
    }
}
