#ifndef GUACO_QUEUE_REDIS_REPLY_H
#define GUACO_QUEUE_REDIS_REPLY_H

/*
 * What a Redis server says, as a tree.  hiredis' reader takes the protocol
 * (RESP2) apart; what it makes is built here, in an arena with a cap, so that
 * no server can make us allocate without end.
 *
 * All of it is outside input: the takers below say no instead of trusting.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "guaco/error.h"
#include "guaco/slice.h"

enum guaco__reply_kind {
    GUACO__REPLY_NIL = 1,
    GUACO__REPLY_TEXT, /* a bulk string or a status */
    GUACO__REPLY_ERROR,
    GUACO__REPLY_NUMBER,
    GUACO__REPLY_LIST,
};

struct guaco__reply {
    enum guaco__reply_kind kind;
    int64_t number;
    struct guaco_slice text; /* TEXT and ERROR; a NUL stands behind it */
    struct guaco__reply **items;
    size_t count;
};

struct redisReader;

struct guaco__replies {
    struct redisReader *reader;
    struct guaco__arena arena;
    int failed; /* why no reply can be made, or 0 */
};

/* 0 or GUACO_E_NOMEM. */
int guaco__replies_init(struct guaco__replies *replies, size_t bytes_max);
void guaco__replies_release(struct guaco__replies *replies);

/* Add what came.  0 or GUACO_E_NOMEM. */
int
guaco__replies_feed(struct guaco__replies *replies, struct guaco_slice bytes);

/* The next reply, alive until the forget.  0, GUACO_E_AGAIN (not whole yet),
 * GUACO_E_PROTO, GUACO_E_LIMIT, GUACO_E_NOMEM; after the last three nothing
 * more can be read. */
int guaco__replies_next(struct guaco__replies *replies,
                        const struct guaco__reply **out);

/* Give back the memory of all replies; none may be half read. */
void guaco__replies_forget(struct guaco__replies *replies);

/* ---- taking ---- */

/* Item `i` of a list, or NULL. */
const struct guaco__reply *
guaco__reply_at(const struct guaco__reply *reply, size_t i);

/* The number, or the decimal text, from `min` to `max`.  False when it is
 * something else (NULL, too). */
bool guaco__reply_number(const struct guaco__reply *reply, int64_t min,
                         int64_t max, int64_t *out);

/* Item `i` of a list as a number from 0 to `max`. */
static inline bool
guaco__reply_count_at(const struct guaco__reply *reply, size_t i, int64_t max,
                      int64_t *out)
{
    return guaco__reply_number(guaco__reply_at(reply, i), 0, max, out);
}

/* The bytes of a text.  False when it is something else. */
bool
guaco__reply_text(const struct guaco__reply *reply, struct guaco_slice *out);

/* Whether it is an error that begins with `code`. */
bool guaco__reply_is_error(const struct guaco__reply *reply, const char *code);

/* "1 2 -3": the next number of a text, moving on.  False at its end. */
bool guaco__text_number(struct guaco_slice *text, int64_t min, int64_t max,
                        int64_t *out);

#endif
