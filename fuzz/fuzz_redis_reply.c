/*
 * Fuzz what a Redis server says.  The first byte is the size of the pieces in
 * which the rest comes, the second chooses the op that it answers (or one of
 * each), and of two ways to ask it.  Any pieces give the same replies; any
 * answer is taken or refused, and what it gave can be freed.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/redis_int.h"

#define BYTES_MAX (1u << 20)
#define OPS       (GUACO__OP_LAST)

static bool
is_same(const struct guaco__reply *a, const struct guaco__reply *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->kind != b->kind || a->number != b->number || a->count != b->count ||
        !guaco_slice_equals(a->text, b->text))
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!is_same(a->items[i], b->items[i]))
            return false;
    return true;
}

/* The next reply of bytes that come in pieces of `step`. */
static int
next_in_pieces(struct guaco__replies *replies, struct guaco_slice *in,
               size_t step, const struct guaco__reply **reply)
{
    for (;;) {
        int rc = guaco__replies_next(replies, reply);
        if (rc != GUACO_E_AGAIN || in->len == 0)
            return rc;
        size_t n = step < in->len ? step : in->len;
        if (guaco__replies_feed(replies, (struct guaco_slice){in->at, n}) !=
            GUACO_OK)
            return GUACO_E_NOMEM;
        in->at += n;
        in->len -= n;
    }
}

static void
count_row(void *ctx, const struct guaco__row *row)
{
    size_t *bytes = ctx;

    *bytes += row->envelope.len + row->reason.len;
}

/* Ops as a front might have asked them, and where they put what they get. */
struct asked {
    struct guaco__op ops[OPS];
    struct guaco__op *all[OPS];
    struct guaco__row rows[8];
    struct guaco__put puts[2];
    struct guaco_rules rules;
    struct guaco_news news;
    struct guaco_queue_stats stats;
    size_t bytes;
};

static void
count_key(void *ctx, struct guaco_slice key, struct guaco_slice value)
{
    size_t *bytes = ctx;

    *bytes += key.len + value.len;
}

/* `is_odd`: the other of two ways to ask some of them. */
static void
ask(struct asked *asked, bool is_odd)
{
    memset(asked, 0, sizeof *asked);
    for (size_t i = 0; i < OPS; i++) {
        asked->ops[i].kind = (enum guaco__op_kind)(i + 1);
        asked->all[i] = &asked->ops[i];
    }
    asked->ops[GUACO__OP_PUT - 1].put = (struct guaco__op_put){asked->puts, 2};
    if (is_odd)
        asked->puts[0].rules = &asked->rules;
    asked->ops[GUACO__OP_READ - 1].read.members = is_odd;
    asked->ops[GUACO__OP_KEY - 1].key.verb =
        is_odd ? GUACO__KEY_ADD : GUACO__KEY_TAKE;
    asked->ops[GUACO__OP_KEY_LIST - 1].key_list = (struct guaco__op_key_list){
        .limit = 8, .fn = count_key, .ctx = &asked->bytes};
    asked->ops[GUACO__OP_CLAIM - 1].claim =
        (struct guaco__op_claim){.max = 8, .rows = asked->rows};
    asked->ops[GUACO__OP_READ - 1].read.news = &asked->news;
    asked->ops[GUACO__OP_STATS - 1].stats.stats = &asked->stats;
    asked->ops[GUACO__OP_LIST - 1].list = (struct guaco__op_list){
        .limit = 8, .fn = count_row, .ctx = &asked->bytes};
}

static void
take_answer(struct redis_store *store, const struct guaco__reply *reply,
            size_t which, bool is_odd)
{
    struct asked asked;
    bool skip[OPS] = {false}, unused;
    struct redis_frame frame = {.count = OPS};

    ask(&asked, is_odd);
    if (which < OPS)
        frame = (struct redis_frame){.first = which, .count = 1};
    guaco__touched_reset(&store->base.touched);
    guaco__redis_bell_reset(store);
    (void)guaco__redis_answer(store, &frame, asked.all, skip, reply, &unused);
    for (size_t i = 0; i < OPS; i++)
        guaco__op_take_back(&asked.ops[i]);
    for (struct guaco__list *link;
         (link = guaco__list_shift(&store->pages)) != NULL;)
        free(GUACO__OF(link, struct redis_page, link));
}

/* Nobody is spoken to: there is an end of the ear alone. */
static void
close_nothing(struct redis_store *store)
{
    (void)store;
}

static const struct redis_server nobody = {.close_ear = close_nothing};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct redis_store *store = calloc(1, sizeof *store);
    struct guaco__replies whole, pieces;
    struct guaco_slice in = {(const char *)data + 2, size - 2};
    struct guaco_slice rest = in;

    MUST(store != NULL);
    store->server = &nobody;
    pthread_mutex_init(&store->lock, NULL);
    guaco__list_init(&store->pages);
    MUST(guaco__redis_bell_open(store, NULL) == GUACO_OK);
    MUST(guaco__replies_init(&whole, BYTES_MAX) == GUACO_OK);
    MUST(guaco__replies_init(&pieces, BYTES_MAX) == GUACO_OK);
    MUST(guaco__replies_feed(&whole, in) == GUACO_OK);
    for (;;) {
        const struct guaco__reply *a = NULL, *b = NULL;
        int rc = guaco__replies_next(&whole, &a);
        MUST(next_in_pieces(&pieces, &rest, data[0] % 16 + 1u, &b) == rc);
        if (rc != GUACO_OK)
            break;
        MUST(is_same(a, b));
        take_answer(store, a, data[1] % 128 % (OPS + 1u), data[1] >= 128);
    }
    free(store->base.touched.topics);
    guaco__replies_release(&whole);
    guaco__replies_release(&pieces);
    guaco__redis_bell_close(store);
    pthread_mutex_destroy(&store->lock);
    free(store);
    return 0;
}
