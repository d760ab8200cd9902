/* What redis_store.lua answers about results, events and recurring tasks. */

#include <stdlib.h>

#include "redis_int.h"

/* ---- results and events ---- */

static uint64_t
big_endian(const char *at, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

/* struct '>BI4I8I4B': state, attempt, finished ms, bytes of the body, of the
 * queue; then queue, body, reason. */
static int
take_result(struct guaco_slice text, uint64_t id, struct guaco_news *news)
{
    const size_t head = 18;

    if (text.len == 0)
        return GUACO_OK;
    if (text.len < head)
        return GUACO_E_PROTO;
    size_t queue = (unsigned char)text.at[17];
    size_t body = (size_t)big_endian(text.at + 13, 4);
    if (text.len - head < queue || text.len - head - queue < body)
        return GUACO_E_PROTO;
    uint64_t finished = big_endian(text.at + 5, 8);
    unsigned state = (unsigned char)text.at[0];
    if (state < GUACO_TASK_DONE || state > GUACO_TASK_DEAD ||
        finished > INT64_MAX)
        return GUACO_E_PROTO;
    const char *at = text.at + head + queue;
    struct guaco_result result = {
        .id = id,
        .state = (enum guaco_task_state)state,
        .attempt = (uint32_t)big_endian(text.at + 1, 4),
        .finished_ms = (int64_t)finished,
        .body = {at, body},
        .reason = {at + body, text.len - head - queue - body},
    };
    return guaco__news_result(news, &result);
}

static int
compare_members(const void *a, const void *b)
{
    const struct guaco_member *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* {number, struct '>I8B' (id, state) and body} at `i`. */
static bool
take_member(const struct guaco__reply *reply, size_t i,
            struct guaco_member *member)
{
    struct guaco_slice text;
    int64_t number;

    if (!guaco__reply_count_at(reply, i, REDIS_COUNT_MAX, &number) ||
        !guaco__reply_text(guaco__reply_at(reply, i + 1), &text) ||
        text.len < 9 || text.at[8] < GUACO_TASK_DONE ||
        text.at[8] > GUACO_TASK_DEAD)
        return false;
    *member = (struct guaco_member){
        .number = (uint32_t)number,
        .id = big_endian(text.at, 8),
        .state = (enum guaco_task_state)text.at[8],
        .body = {text.at + 9, text.len - 9},
    };
    return true;
}

static int
take_members(const struct guaco__reply *reply, struct guaco__op_read *read)
{
    size_t n = reply->count / 2;
    struct guaco_member *all = calloc(n + 1, sizeof *all);
    int rc = reply->count % 2 == 0 ? GUACO_OK : GUACO_E_PROTO;

    if (all == NULL)
        return GUACO_E_NOMEM;
    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        if (!take_member(reply, 2 * i, &all[i]))
            rc = GUACO_E_PROTO;
    qsort(all, n, sizeof *all, compare_members);
    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = guaco__news_member(read->news, &all[i]);
    free(all);
    return rc;
}

int
guaco__redis_take_news(const struct guaco__reply *reply,
                       struct guaco__op_read *read)
{
    struct guaco_slice text;

    if (read->members)
        return take_members(reply, read);
    for (size_t i = 1; i < reply->count; i++) {
        if (!guaco__reply_text(reply->items[i], &text) || text.len < 4)
            return GUACO_E_PROTO;
        const struct guaco_slice body = {text.at + 4, text.len - 4};
        int rc = guaco__news_event(read->news, (uint32_t)big_endian(text.at, 4),
                                   body);
        if (rc != GUACO_OK)
            return rc;
    }
    if (!guaco__reply_text(guaco__reply_at(reply, 0), &text))
        return GUACO_E_PROTO;
    return take_result(text, read->id, read->news);
}

/* ---- recurring tasks ---- */

/* Queue, name, spec, zone, catch up, generation, priority, last, envelope,
 * paused, at run time. */
#define DEF_ITEMS 11

static bool
take_def(const struct guaco__reply *reply, size_t i, struct guaco__recur *def)
{
    int64_t catch_up, generation, priority, paused, run_time;

    *def = (struct guaco__recur){0};
    struct guaco_slice text;
    bool ok =
        guaco__reply_text(guaco__reply_at(reply, i), &def->queue) &&
        def->queue.len <= GUACO_QUEUE_NAME_MAX &&
        guaco__reply_text(guaco__reply_at(reply, i + 1), &def->name) &&
        guaco__reply_text(guaco__reply_at(reply, i + 2), &def->spec) &&
        guaco__reply_text(guaco__reply_at(reply, i + 3), &def->zone) &&
        guaco__reply_count_at(reply, i + 4, GUACO_CATCH_UP_ALL, &catch_up) &&
        guaco__reply_text(guaco__reply_at(reply, i + 5), &text) &&
        guaco__reply_number(guaco__reply_at(reply, i + 6),
                            -GUACO_TASK_PRIORITY_MAX, GUACO_TASK_PRIORITY_MAX,
                            &priority) &&
        guaco__reply_number(guaco__reply_at(reply, i + 7), -REDIS_NUMBER_MAX,
                            REDIS_NUMBER_MAX, &def->last_ms) &&
        guaco__reply_text(guaco__reply_at(reply, i + 8), &def->envelope) &&
        guaco__reply_count_at(reply, i + 9, 1, &paused) &&
        guaco__reply_count_at(reply, i + 10, 1, &run_time);
    if (!ok || catch_up < GUACO_CATCH_UP_SKIP)
        return false;
    /* Of any 64 bits: ten digits, and ten more. */
    struct guaco_slice high = {text.at, text.len < 10 ? text.len : 10};
    struct guaco_slice low = {text.at + high.len, text.len - high.len};
    int64_t tail;
    if (text.len != 20 ||
        !guaco__text_number(&high, 0, 1844674407, &generation) ||
        !guaco__text_number(&low, 0, INT64_C(9999999999), &tail))
        return false;
    def->generation =
        (uint64_t)generation * UINT64_C(10000000000) + (uint64_t)tail;
    def->catch_up = (enum guaco_catch_up)catch_up;
    def->priority = (int32_t)priority;
    def->is_paused = paused == 1;
    def->is_run_time = run_time == 1;
    return true;
}

static struct guaco_slice
copy_to(char **at, struct guaco_slice from)
{
    struct guaco_slice copy = {*at, from.len};

    if (from.len > 0)
        memcpy(*at, from.at, from.len);
    *at += from.len;
    return copy;
}

static int
compare_defs(const void *a, const void *b)
{
    const struct guaco__recur *x = a, *y = b;
    size_t least = x->queue.len < y->queue.len ? x->queue.len : y->queue.len;
    int order = memcmp(x->queue.at, y->queue.at, least);

    if (order == 0 && x->queue.len == y->queue.len)
        return guaco__recur_order(x, y);
    return order != 0 ? order : x->queue.len < y->queue.len ? -1 : 1;
}

int
guaco__redis_take_defs(const struct guaco__reply *reply,
                       struct guaco__op_recur_list *list)
{
    size_t n = reply->count / DEF_ITEMS, bytes = 0;
    struct guaco__recur def;

    if (reply->count % DEF_ITEMS != 0)
        return GUACO_E_PROTO;
    for (size_t i = 0; i < n; i++) {
        if (!take_def(reply, i * DEF_ITEMS, &def))
            return GUACO_E_PROTO;
        bytes += def.queue.len + def.name.len + def.spec.len + def.zone.len +
                 def.envelope.len;
    }
    list->all = malloc(n * sizeof *list->all + bytes + 1);
    if (list->all == NULL)
        return GUACO_E_NOMEM;
    char *at = (char *)(list->all + n);
    for (size_t i = 0; i < n; i++) {
        (void)take_def(reply, i * DEF_ITEMS, &def);
        def.queue = copy_to(&at, def.queue);
        def.name = copy_to(&at, def.name);
        def.spec = copy_to(&at, def.spec);
        def.zone = copy_to(&at, def.zone);
        def.envelope = copy_to(&at, def.envelope);
        list->all[i] = def;
    }
    list->n = n;
    if (n > 1)
        qsort(list->all, n, sizeof *list->all, compare_defs);
    return GUACO_OK;
}
