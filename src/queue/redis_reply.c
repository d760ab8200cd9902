#include "redis_reply.h"

#include <hiredis/read.h>
#include <string.h>

#define ITEMS_MAX   4000000 /* of a list */
#define BLOCK_BYTES 16384u

/* ---- building ---- */

/* Zeroed memory of the arena; without it `failed` says why. */
static void *
take(struct guaco__replies *replies, size_t count, size_t size)
{
    struct guaco__arena *arena = &replies->arena;
    void *memory = guaco__arena_calloc(arena, count, size);

    if (memory == NULL)
        replies->failed = count * size + BLOCK_BYTES > arena->cap - arena->used
                              ? GUACO_E_LIMIT
                              : GUACO_E_NOMEM;
    return memory;
}

/* A reply put in its place of the list that is being read. */
static struct guaco__reply *
make(const redisReadTask *task, enum guaco__reply_kind kind)
{
    struct guaco__reply *reply = take(task->privdata, 1, sizeof *reply);

    if (reply == NULL)
        return NULL;
    reply->kind = kind;
    if (task->parent != NULL) {
        struct guaco__reply *list = task->parent->obj;
        list->items[task->idx] = reply;
    }
    return reply;
}

static void *
make_text(const redisReadTask *task, char *text, size_t len)
{
    struct guaco__reply *reply =
        make(task, task->type == REDIS_REPLY_ERROR ? GUACO__REPLY_ERROR
                                                   : GUACO__REPLY_TEXT);
    char *copy = reply == NULL ? NULL : take(task->privdata, 1, len + 1);

    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, text, len);
    reply->text = (struct guaco_slice){copy, len};
    return reply;
}

static void *
make_list(const redisReadTask *task, int count)
{
    struct guaco__replies *replies = task->privdata;
    struct guaco__reply *reply = make(task, GUACO__REPLY_LIST);

    if (reply == NULL)
        return NULL;
    if (count < 0 || count > ITEMS_MAX) {
        replies->failed = GUACO_E_LIMIT;
        return NULL;
    }
    reply->count = (size_t)count;
    reply->items =
        take(replies, reply->count + 1, sizeof(struct guaco__reply *));
    return reply->items == NULL ? NULL : reply;
}

static void *
make_number(const redisReadTask *task, long long number)
{
    struct guaco__reply *reply = make(task, GUACO__REPLY_NUMBER);

    if (reply != NULL)
        reply->number = number;
    return reply;
}

static void *
make_nil(const redisReadTask *task)
{
    return make(task, GUACO__REPLY_NIL);
}

/* ---- reading ---- */

/* The reader keeps a pointer to what it never writes. */
static redisReplyObjectFunctions *
functions(void)
{
    static const redisReplyObjectFunctions all = {
        .createString = make_text,
        .createArray = make_list,
        .createInteger = make_number,
        .createNil = make_nil,
    };

    return (redisReplyObjectFunctions *)(uintptr_t)&all;
}

int
guaco__replies_init(struct guaco__replies *replies, size_t bytes_max)
{
    guaco__arena_init(&replies->arena, BLOCK_BYTES, bytes_max);
    replies->failed = GUACO_OK;
    replies->reader = redisReaderCreateWithFunctions(functions());
    if (replies->reader == NULL)
        return GUACO_E_NOMEM;
    replies->reader->privdata = replies;
    return GUACO_OK;
}

void
guaco__replies_release(struct guaco__replies *replies)
{
    if (replies->reader != NULL)
        redisReaderFree(replies->reader);
    replies->reader = NULL;
    guaco__arena_release(&replies->arena);
}

int
guaco__replies_feed(struct guaco__replies *replies, struct guaco_slice bytes)
{
    return redisReaderFeed(replies->reader, bytes.at, bytes.len) == REDIS_OK
               ? GUACO_OK
               : GUACO_E_NOMEM;
}

int
guaco__replies_next(struct guaco__replies *replies,
                    const struct guaco__reply **out)
{
    void *reply = NULL;

    if (redisReaderGetReply(replies->reader, &reply) != REDIS_OK)
        return replies->failed != GUACO_OK ? replies->failed : GUACO_E_PROTO;
    if (reply == NULL)
        return GUACO_E_AGAIN;
    *out = reply;
    return GUACO_OK;
}

void
guaco__replies_forget(struct guaco__replies *replies)
{
    guaco__arena_reset(&replies->arena);
}

/* ---- taking ---- */

const struct guaco__reply *
guaco__reply_at(const struct guaco__reply *reply, size_t i)
{
    if (reply == NULL || reply->kind != GUACO__REPLY_LIST || i >= reply->count)
        return NULL;
    return reply->items[i];
}

bool
guaco__text_number(struct guaco_slice *text, int64_t min, int64_t max,
                   int64_t *out)
{
    const char *at = text->at, *end = text->at + text->len;
    bool is_negative = at < end && *at == '-';
    int64_t value = 0;

    at += is_negative;
    if (at == end || *at < '0' || *at > '9')
        return false;
    for (; at < end && *at != ' '; at++) {
        int digit = *at - '0';
        if (digit < 0 || digit > 9 || value < (INT64_MIN + digit) / 10)
            return false;
        value = value * 10 - digit; /* downwards, where there is one more */
    }
    if (!is_negative) {
        if (value == INT64_MIN)
            return false;
        value = -value;
    }
    if (value < min || value > max)
        return false;
    at += at < end;
    text->len = (size_t)(end - at);
    text->at = at;
    *out = value;
    return true;
}

bool
guaco__reply_number(const struct guaco__reply *reply, int64_t min, int64_t max,
                    int64_t *out)
{
    if (reply == NULL)
        return false;
    if (reply->kind == GUACO__REPLY_TEXT) {
        struct guaco_slice text = reply->text;
        return guaco__text_number(&text, min, max, out) && text.len == 0;
    }
    *out = reply->number;
    return reply->kind == GUACO__REPLY_NUMBER && *out >= min && *out <= max;
}

bool
guaco__reply_text(const struct guaco__reply *reply, struct guaco_slice *out)
{
    if (reply == NULL || reply->kind != GUACO__REPLY_TEXT)
        return false;
    *out = reply->text;
    return true;
}

bool
guaco__reply_is_error(const struct guaco__reply *reply, const char *code)
{
    size_t len = strlen(code);

    return reply != NULL && reply->kind == GUACO__REPLY_ERROR &&
           reply->text.len >= len && memcmp(reply->text.at, code, len) == 0;
}
