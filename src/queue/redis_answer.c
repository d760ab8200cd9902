/* What redis_store.lua answered, taken apart.  All of it is outside input. */

#include <assert.h>
#include <stdlib.h>

#include "redis_int.h"

#define NUMBER_MAX (INT64_C(1) << 53) /* what Lua counts exactly */
#define COUNT_MAX  INT64_C(0xffffffff)

/* The answers being read. */
struct reading {
    struct redis_store *self;
    const struct guaco__reply *reply;
    size_t at; /* next answer */
    bool *skip;
    bool unused;
};

static bool
number_at(const struct guaco__reply *reply, size_t i, int64_t max, int64_t *out)
{
    return guaco__reply_number(guaco__reply_at(reply, i), 0, max, out);
}

/* An op's own rc. */
static bool
is_own(int64_t rc)
{
    return rc == GUACO_OK || rc == GUACO_E_LOST || rc == GUACO_E_MISSING ||
           rc == GUACO_E_STATE || rc == GUACO_E_LIMIT;
}

/* An answer that is an rc and nothing else. */
static int
take_rc(const struct guaco__reply *reply, int *rc)
{
    int64_t number;

    if (!guaco__reply_number(reply, -100, 0, &number) || !is_own(number))
        return GUACO_E_PROTO;
    *rc = (int)number;
    return GUACO_OK;
}

/* An rc, or a text: the first of the ids of `n` puts. */
static int
take_ids(const struct guaco__reply *reply, struct guaco__put *puts, size_t n,
         int *rc)
{
    int64_t first;

    if (reply == NULL || reply->kind != GUACO__REPLY_TEXT)
        return take_rc(reply, rc);
    if (!guaco__reply_number(reply, 1, NUMBER_MAX, &first))
        return GUACO_E_PROTO;
    *rc = GUACO_OK;
    for (size_t i = 0; i < n; i++)
        puts[i].id = (uint64_t)first + i;
    return GUACO_OK;
}

static char *
dup_slice(struct guaco_slice slice)
{
    char *copy = malloc(slice.len + 1);

    if (copy != NULL && slice.len > 0)
        memcpy(copy, slice.at, slice.len);
    return copy;
}

/* ---- claims ---- */

/* "ATTEMPT FAILURES DEATHS FLAG PRIORITY" or with a time for the flag. */
static bool
take_counts(struct guaco_slice text, struct guaco__row *row, int64_t *fourth)
{
    int64_t attempt, failures, deaths, priority;

    if (!guaco__text_number(&text, 0, COUNT_MAX, &attempt) ||
        !guaco__text_number(&text, 0, COUNT_MAX, &failures) ||
        !guaco__text_number(&text, 0, COUNT_MAX, &deaths) ||
        !guaco__text_number(&text, 0, NUMBER_MAX, fourth) ||
        !guaco__text_number(&text, -GUACO_TASK_PRIORITY_MAX,
                            GUACO_TASK_PRIORITY_MAX, &priority))
        return false;
    row->attempt = (uint32_t)attempt;
    row->failures = (uint32_t)failures;
    row->deaths = (uint32_t)deaths;
    row->priority = (int32_t)priority;
    return true;
}

static int
take_row(struct guaco__op_claim *claim, const struct guaco__reply *reply,
         size_t i, int64_t now_ms)
{
    struct guaco__row row = {.since_ms = now_ms};
    struct guaco_slice counts, envelope;
    int64_t id, flags;

    if (claim->count >= claim->max ||
        !guaco__reply_number(guaco__reply_at(reply, i), 1, NUMBER_MAX, &id) ||
        !guaco__reply_text(guaco__reply_at(reply, i + 1), &counts) ||
        !guaco__reply_text(guaco__reply_at(reply, i + 2), &envelope) ||
        !take_counts(counts, &row, &flags) || row.attempt == 0)
        return GUACO_E_PROTO;
    row.id = (uint64_t)id;
    row.is_suspect = (flags & 1) != 0;
    row.envelope.len = envelope.len;
    row.envelope.at = dup_slice(envelope);
    if (row.envelope.at == NULL)
        return GUACO_E_NOMEM;
    claim->rows[claim->count++] = row;
    return GUACO_OK;
}

static int
take_claim(const struct guaco__reply *reply, struct guaco__op *op,
           int64_t now_ms)
{
    struct guaco__op_claim *claim = &op->claim;
    int64_t more, suspects;
    int rc = take_rc(guaco__reply_at(reply, 0), &op->rc);

    if (rc != GUACO_OK || !number_at(reply, 1, 2, &more) ||
        !number_at(reply, 2, 1, &suspects) || reply->count % 3 != 0)
        return GUACO_E_PROTO;
    claim->count = 0;
    claim->more = more > 0;
    claim->suspects = suspects > 0;
    for (size_t i = 3; i < reply->count && rc == GUACO_OK; i += 3)
        rc = take_row(claim, reply, i, now_ms);
    return rc;
}

/* ---- finishes ---- */

static int
take_finishes(const struct guaco__reply *reply, struct guaco__op **ops,
              size_t n)
{
    if (reply == NULL || reply->kind != GUACO__REPLY_LIST || reply->count != n)
        return GUACO_E_PROTO;
    for (size_t i = 0; i < n; i++) {
        struct guaco__op_finish *finish = &ops[i]->finish;
        int rc = take_ids(reply->items[i], finish->follow, finish->follow_count,
                          &ops[i]->rc);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

/* ---- owners ---- */

static int
take_reap(const struct guaco__reply *reply, struct guaco__op *op)
{
    struct guaco__op_reap *reap = &op->reap;
    int64_t returned, id;
    int rc = take_rc(guaco__reply_at(reply, 0), &op->rc);

    if (rc != GUACO_OK || op->rc != GUACO_OK)
        return rc;
    if (!number_at(reply, 1, COUNT_MAX, &returned))
        return GUACO_E_PROTO;
    reap->returned = (uint32_t)returned;
    reap->dead = malloc((reply->count + 1) * sizeof *reap->dead);
    if (reap->dead == NULL)
        return GUACO_E_NOMEM;
    for (size_t i = 2; i < reply->count; i++) {
        if (!guaco__reply_number(reply->items[i], 1, NUMBER_MAX, &id))
            return GUACO_E_PROTO;
        reap->dead[reap->dead_count++] = (uint64_t)id;
    }
    return GUACO_OK;
}

/* "PID PID_START PID_SPACE BOOT_ID"; its lease alone tells of one of another
 * boot: that may be another machine. */
static bool
take_owner(struct redis_store *self, const struct guaco__reply *reply, size_t i,
           struct guaco__owner *who)
{
    struct guaco_slice text;
    int64_t id, pid, start, space, expired, holds;

    if (!guaco__reply_number(guaco__reply_at(reply, i), 1, NUMBER_MAX, &id) ||
        !guaco__reply_text(guaco__reply_at(reply, i + 1), &text) ||
        !number_at(reply, i + 2, 2, &expired) ||
        !number_at(reply, i + 3, 1, &holds) ||
        !guaco__text_number(&text, 0, INT32_MAX, &pid) ||
        !guaco__text_number(&text, 0, INT64_MAX, &start) ||
        !guaco__text_number(&text, 0, INT64_MAX, &space))
        return false;
    *who = (struct guaco__owner){
        .id = (uint64_t)id,
        .pid = (int32_t)pid,
        .pid_start = (uint64_t)start,
        .pid_space = (uint64_t)space,
        .boot_is_ours = true,
        .is_expired = expired > 0,
        .holds = holds == 1,
    };
    who->is_elsewhere = text.len != strlen(self->boot_id) ||
                        memcmp(text.at, self->boot_id, text.len) != 0;
    /* An idle one renews no lease.  After a day it is reaped as if it held
     * something; if it lives, it comes back as another. */
    who->holds = who->holds || (who->is_elsewhere && expired == 2);
    return true;
}

static int
take_owners(struct redis_store *self, const struct guaco__reply *reply,
            struct guaco__op *op)
{
    struct guaco__op_owners *owners = &op->owners;

    if (reply->count % 4 != 0)
        return GUACO_E_PROTO;
    owners->owners = malloc((reply->count + 1) * sizeof *owners->owners);
    if (owners->owners == NULL)
        return GUACO_E_NOMEM;
    owners->n = 0;
    for (size_t i = 0; i < reply->count; i += 4)
        if (!take_owner(self, reply, i, &owners->owners[owners->n++]))
            return GUACO_E_PROTO;
    return GUACO_OK;
}

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
take_news(const struct guaco__reply *reply, struct guaco__op_read *read)
{
    struct guaco_slice text;

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

#define DEF_ITEMS \
    9 /* queue, name, spec, zone, catch up, generation, priority,
                       last, envelope */

static bool
take_def(const struct guaco__reply *reply, size_t i, struct guaco__recur *def)
{
    int64_t catch_up, generation, priority;

    *def = (struct guaco__recur){0};
    struct guaco_slice text;
    bool ok = guaco__reply_text(guaco__reply_at(reply, i), &def->queue) &&
              def->queue.len <= GUACO_QUEUE_NAME_MAX &&
              guaco__reply_text(guaco__reply_at(reply, i + 1), &def->name) &&
              guaco__reply_text(guaco__reply_at(reply, i + 2), &def->spec) &&
              guaco__reply_text(guaco__reply_at(reply, i + 3), &def->zone) &&
              number_at(reply, i + 4, GUACO_CATCH_UP_ALL, &catch_up) &&
              guaco__reply_text(guaco__reply_at(reply, i + 5), &text) &&
              guaco__reply_number(guaco__reply_at(reply, i + 6),
                                  -GUACO_TASK_PRIORITY_MAX,
                                  GUACO_TASK_PRIORITY_MAX, &priority) &&
              guaco__reply_number(guaco__reply_at(reply, i + 7), -NUMBER_MAX,
                                  NUMBER_MAX, &def->last_ms) &&
              guaco__reply_text(guaco__reply_at(reply, i + 8), &def->envelope);
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
take_defs(const struct guaco__reply *reply, struct guaco__op_recur_list *list)
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
    return GUACO_OK;
}

/* ---- looking after ---- */

static int
take_stats(const struct guaco__reply *reply, struct guaco_queue_stats *stats)
{
    int64_t numbers[6];

    for (size_t i = 0; i < 6; i++)
        if (!number_at(reply, i, NUMBER_MAX, &numbers[i]))
            return GUACO_E_PROTO;
    *stats = (struct guaco_queue_stats){
        .waiting = (uint64_t)numbers[0],
        .delayed = (uint64_t)numbers[1],
        .running = (uint64_t)numbers[2],
        .dead = (uint64_t)numbers[3],
        .results = (uint64_t)numbers[4],
        .recurring = (uint64_t)numbers[5],
    };
    return GUACO_OK;
}

/* Call out with the rows of a page; *more: there is another. */
static int
take_page(const struct guaco__reply *reply, struct guaco__op_list *list,
          bool *more)
{
    int64_t flag, id;

    if (!number_at(reply, 0, 1, &flag) || reply->count % 4 != 1)
        return GUACO_E_PROTO;
    *more = flag == 1;
    for (size_t i = 1; i < reply->count; i += 4) {
        struct guaco__row row = {0};
        struct guaco_slice counts;
        if (list->limit == 0 ||
            !guaco__reply_number(reply->items[i], 1, NUMBER_MAX, &id) ||
            !guaco__reply_text(guaco__reply_at(reply, i + 1), &counts) ||
            !guaco__reply_text(guaco__reply_at(reply, i + 2), &row.envelope) ||
            !guaco__reply_text(guaco__reply_at(reply, i + 3), &row.reason) ||
            !take_counts(counts, &row, &row.since_ms))
            return GUACO_E_PROTO;
        row.id = (uint64_t)id;
        list->fn(list->ctx, &row);
        list->offset++; /* of the next page */
        list->limit--;
    }
    /* A page without a row would be asked for without end. */
    if (reply->count == 1)
        *more = false;
    *more = *more && list->limit > 0;
    return GUACO_OK;
}

/* "COUNT" and the time of what comes next, or "". */
static int
take_due(const struct guaco__reply *reply, uint32_t *count, int64_t *next_ms)
{
    struct guaco_slice text;
    int64_t number;

    if (!number_at(reply, 0, COUNT_MAX, &number))
        return GUACO_E_PROTO;
    *count = (uint32_t)number;
    *next_ms = INT64_MAX;
    if (guaco__reply_text(guaco__reply_at(reply, 1), &text) && text.len == 0)
        return GUACO_OK;
    return guaco__reply_number(guaco__reply_at(reply, 1), 0, INT64_MAX, next_ms)
               ? GUACO_OK
               : GUACO_E_PROTO;
}

static int
take_count(const struct guaco__reply *reply, uint64_t *count)
{
    int64_t number;

    if (!guaco__reply_number(reply, 0, NUMBER_MAX, &number))
        return GUACO_E_PROTO;
    *count = (uint64_t)number;
    return GUACO_OK;
}

static int
take_stale(const struct guaco__reply *reply, struct guaco__op *op)
{
    int64_t number;

    if (!guaco__reply_number(reply, -100, 1, &number))
        return GUACO_E_PROTO;
    op->recur_set.stale = number == 1;
    return number == 1 ? GUACO_OK : take_rc(reply, &op->rc);
}

/* ---- one op ---- */

/* A number where a list is expected: it was not done, or was done before and
 * its answer not kept.  It changed nothing. */
static bool
is_to_ask_again(const struct guaco__op *op, const struct guaco__reply *reply)
{
    if (op->kind != GUACO__OP_READ && op->kind != GUACO__OP_OWNER_LIST &&
        op->kind != GUACO__OP_RECUR_LIST && op->kind != GUACO__OP_STATS &&
        op->kind != GUACO__OP_LIST)
        return false;
    return reply != NULL && reply->kind == GUACO__REPLY_NUMBER;
}

static int
take_id(const struct guaco__reply *reply, struct guaco__op *op)
{
    int64_t id;

    if (!guaco__reply_number(reply, 1, NUMBER_MAX, &id))
        return GUACO_E_PROTO;
    op->owner.owner.id = (uint64_t)id;
    return GUACO_OK;
}

static int
take_replay(const struct guaco__reply *reply, struct guaco__op *op)
{
    int rc = take_count(reply, &op->replay.count);

    if (rc == GUACO_OK && op->replay.id != 0 && op->replay.count == 0)
        op->rc = GUACO_E_MISSING;
    return rc;
}

static int
take_one(struct reading *in, const struct guaco__reply *reply,
         struct guaco__op *op, int64_t now_ms, bool *again)
{
    bool is_list = reply != NULL && reply->kind == GUACO__REPLY_LIST;

    op->rc = GUACO_OK;
    *again = is_to_ask_again(op, reply);
    if (*again)
        return GUACO_OK;
    switch (op->kind) {
    case GUACO__OP_PUT:
        return take_ids(reply, op->put.tasks, op->put.n, &op->rc);
    case GUACO__OP_CLAIM: return take_claim(reply, op, now_ms);
    case GUACO__OP_OWNER_OPEN: return take_id(reply, op);
    case GUACO__OP_OWNER_REAP: return take_reap(reply, op);
    case GUACO__OP_RELEASE:
    case GUACO__OP_EVENT:
    case GUACO__OP_OWNER_RENEW: return take_rc(reply, &op->rc);
    case GUACO__OP_TICK:
        return take_ids(reply, op->tick.tasks, op->tick.n, &op->rc);
    case GUACO__OP_OWNER_LIST:
        return is_list ? take_owners(in->self, reply, op) : GUACO_E_PROTO;
    case GUACO__OP_READ:
        return is_list ? take_news(reply, &op->read) : GUACO_E_PROTO;
    case GUACO__OP_RECUR_LIST:
        return is_list ? take_defs(reply, &op->recur_list) : GUACO_E_PROTO;
    case GUACO__OP_LIST:
        return is_list ? take_page(reply, &op->list, again) : GUACO_E_PROTO;
    case GUACO__OP_STATS: return take_stats(reply, op->stats.stats);
    case GUACO__OP_PROMOTE:
        return take_due(reply, &op->promote.count, &op->promote.next_due_ms);
    case GUACO__OP_SWEEP:
        return take_due(reply, &op->sweep.count, &op->sweep.next_end_ms);
    case GUACO__OP_RECUR_SET: return take_stale(reply, op);
    case GUACO__OP_PURGE: return take_count(reply, &op->purge.count);
    case GUACO__OP_REPLAY: return take_replay(reply, op);
    case GUACO__OP_FINISH:
    case GUACO__OP_IDS:
    case GUACO__OP_CANCEL:
    case GUACO__OP_PAUSE:
    case GUACO__OP_REVOKE:
    case GUACO__OP_KEY:
    case GUACO__OP_KEY_LIST:
    case GUACO__OP_LOCK:
    case GUACO__OP_RECUR_PUT:
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE: break; /* the front refuses them */
    }
    return GUACO_E_PROTO;
}

/* ---- all of them ---- */

static int
take_touched(struct reading *in)
{
    struct guaco__touched *touched = &in->self->base.touched;
    const struct guaco__reply *list = guaco__reply_at(in->reply, 2);
    const struct guaco__reply *due = guaco__reply_at(in->reply, 1);
    struct guaco_slice name;
    int64_t number;

    if (!guaco__reply_text(due, &name)) {
        if (!guaco__reply_number(due, 0, INT64_MAX, &number))
            return GUACO_E_PROTO;
        guaco__touched_due(touched, number);
    }
    if (list == NULL || list->kind != GUACO__REPLY_LIST || list->count % 2 != 0)
        return GUACO_E_PROTO;
    for (size_t i = 0; i < list->count; i += 2) {
        if (!guaco__reply_text(list->items[i], &name) ||
            name.len > GUACO_QUEUE_NAME_MAX ||
            touched->n == GUACO__QUEUES_MAX ||
            !guaco__reply_number(list->items[i + 1], 1, COUNT_MAX, &number))
            return GUACO_E_PROTO;
        guaco__touched_ready(touched, name, (uint32_t)number);
        guaco__redis_bell_rang(in->self, name);
    }
    return GUACO_OK;
}

/* The op cannot have what it was given. */
static void
refuse(struct reading *in, struct guaco__op *op)
{
    bool is_take = op->kind == GUACO__OP_READ && op->read.take;

    guaco__op_take_back(op);
    op->rc = GUACO_E_NOMEM;
    in->unused = in->unused || is_take || op->kind == GUACO__OP_CLAIM;
    if (op->kind == GUACO__OP_OWNER_REAP) {
        /* Who waits for one of the dead must look by himself. */
        op->rc = GUACO_OK;
        guaco__redis_bell_owe(in->self);
    }
}

/* What is taken back is all that the batch was given. */
static void
refuse_all(struct reading *in, struct guaco__op **ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ops[i]->rc == GUACO_OK &&
            (ops[i]->kind == GUACO__OP_CLAIM ||
             (ops[i]->kind == GUACO__OP_READ && ops[i]->read.take)))
            refuse(in, ops[i]);
}

static int
take_all(struct reading *in, const struct redis_frame *frame,
         struct guaco__op **ops, int64_t now_ms)
{
    size_t end = frame->first + frame->count, taken = 1;

    for (size_t i = frame->first; i < end; i += taken) {
        bool again = false;
        taken = 1;
        if (in->skip[i])
            continue;
        const struct guaco__reply *reply = guaco__reply_at(in->reply, in->at++);
        if (ops[i]->kind == GUACO__OP_FINISH)
            taken = guaco__redis_finishes(ops, in->skip, end, i);
        int rc = ops[i]->kind == GUACO__OP_FINISH
                     ? take_finishes(reply, ops + i, taken)
                     : take_one(in, reply, ops[i], now_ms, &again);
        if (rc == GUACO_E_NOMEM)
            refuse(in, ops[i]);
        else if (rc != GUACO_OK)
            return rc;
        for (size_t j = i; j < i + taken; j++)
            in->skip[j] = !again;
    }
    return in->at == in->reply->count ? GUACO_OK : GUACO_E_PROTO;
}

int
guaco__redis_answer(struct redis_store *self, const struct redis_frame *frame,
                    struct guaco__op **ops, bool *skip,
                    const struct guaco__reply *reply, bool *unused)
{
    struct reading in = {.self = self, .reply = reply, .at = 3, .skip = skip};
    int64_t now_us;

    if (!guaco__reply_number(guaco__reply_at(reply, 0), 1, NUMBER_MAX, &now_us))
        return GUACO_E_PROTO;
    self->skew_us = now_us - (int64_t)(guaco__clock_boot_ns() / 1000);
    int rc = take_touched(&in);
    if (rc == GUACO_OK)
        rc = take_all(&in, frame, ops, now_us / 1000);
    if (rc == GUACO_OK && in.unused)
        refuse_all(&in, ops + frame->first, frame->count);
    *unused = in.unused;
    return rc;
}
