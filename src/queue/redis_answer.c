/* What redis_store.lua answered, taken apart.  All of it is outside input. */

#include <assert.h>
#include <stdlib.h>

#include "redis_int.h"

/* The answers being read. */
struct reading {
    struct redis_store *self;
    const struct guaco__reply *reply;
    size_t at; /* next answer */
    bool *skip;
    bool unused;
};

/* An op's own rc. */
static bool
is_own(int64_t rc)
{
    return rc == GUACO_OK || rc == GUACO_E_LOST || rc == GUACO_E_MISSING ||
           rc == GUACO_E_STATE || rc == GUACO_E_LIMIT ||
           rc == GUACO_E_INVALID || rc == GUACO_E_EXISTS;
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

/* {id, existed, ...} of puts with rules. */
static int
take_ruled(const struct guaco__reply *reply, struct guaco__put *puts, size_t n)
{
    int64_t id, existed;

    if (reply->count != 2 * n)
        return GUACO_E_PROTO;
    for (size_t i = 0; i < n; i++) {
        if (!guaco__reply_number(reply->items[2 * i], 1, REDIS_NUMBER_MAX,
                                 &id) ||
            !guaco__reply_count_at(reply, 2 * i + 1, 1, &existed))
            return GUACO_E_PROTO;
        puts[i].id = (uint64_t)id;
        puts[i].existed = existed == 1;
    }
    return GUACO_OK;
}

/* An rc, or a text: the first of the ids of `n` puts. */
static int
take_ids(const struct guaco__reply *reply, struct guaco__put *puts, size_t n,
         int *rc)
{
    int64_t first;

    *rc = GUACO_OK;
    if (reply != NULL && reply->kind == GUACO__REPLY_LIST)
        return guaco__redis_are_ruled(puts, n) ? take_ruled(reply, puts, n)
                                               : GUACO_E_PROTO;
    if (reply == NULL || reply->kind != GUACO__REPLY_TEXT)
        return take_rc(reply, rc);
    if (guaco__redis_are_ruled(puts, n))
        return GUACO_E_PROTO;
    if (!guaco__reply_number(reply, 1, REDIS_NUMBER_MAX, &first))
        return GUACO_E_PROTO;
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
    int64_t attempt, failures, deaths, priority, members;

    if (!guaco__text_number(&text, 0, REDIS_COUNT_MAX, &attempt) ||
        !guaco__text_number(&text, 0, REDIS_COUNT_MAX, &failures) ||
        !guaco__text_number(&text, 0, REDIS_COUNT_MAX, &deaths) ||
        !guaco__text_number(&text, 0, REDIS_NUMBER_MAX, fourth) ||
        !guaco__text_number(&text, -GUACO_TASK_PRIORITY_MAX,
                            GUACO_TASK_PRIORITY_MAX, &priority))
        return false;
    row->attempt = (uint32_t)attempt;
    row->failures = (uint32_t)failures;
    row->deaths = (uint32_t)deaths;
    row->priority = (int32_t)priority;
    row->has_rules = text.len > 0;
    if (!row->has_rules)
        return true;
    if (!guaco__text_number(&text, 0, REDIS_COUNT_MAX, &members) ||
        text.len > 0)
        return false;
    row->members = (uint32_t)members;
    return true;
}

/* A stored task's envelope, behind its queue and its priority. */
static bool
take_envelope(const struct guaco__reply *reply, struct guaco_slice *envelope)
{
    struct guaco_slice text;

    if (!guaco__reply_text(reply, &text))
        return false;
    *envelope = (struct guaco_slice){0};
    if (text.len == 0) /* it ended meanwhile */
        return true;
    size_t head = 3 + (size_t)(unsigned char)text.at[0];
    if (text.len < head)
        return false;
    *envelope = (struct guaco_slice){text.at + head, text.len - head};
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
        !guaco__reply_number(guaco__reply_at(reply, i), 1, REDIS_NUMBER_MAX,
                             &id) ||
        !guaco__reply_text(guaco__reply_at(reply, i + 1), &counts) ||
        !take_envelope(guaco__reply_at(reply, i + 2), &envelope) ||
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
    int64_t more, suspects, revokes;
    int rc = take_rc(guaco__reply_at(reply, 0), &op->rc);

    if (rc != GUACO_OK || !guaco__reply_count_at(reply, 1, 2, &more) ||
        !guaco__reply_count_at(reply, 2, 1, &suspects) ||
        !guaco__reply_count_at(reply, 3, 1, &revokes) || reply->count % 3 != 1)
        return GUACO_E_PROTO;
    claim->count = 0;
    claim->more = more > 0;
    claim->suspects = suspects > 0;
    claim->revokes = revokes > 0;
    for (size_t i = 4; i < reply->count && rc == GUACO_OK; i += 3)
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
    if (!guaco__reply_count_at(reply, 1, REDIS_COUNT_MAX, &returned))
        return GUACO_E_PROTO;
    reap->returned = (uint32_t)returned;
    reap->dead = malloc((reply->count + 1) * sizeof *reap->dead);
    if (reap->dead == NULL)
        return GUACO_E_NOMEM;
    for (size_t i = 2; i < reply->count; i++) {
        if (!guaco__reply_number(reply->items[i], 1, REDIS_NUMBER_MAX, &id))
            return GUACO_E_PROTO;
        reap->dead[reap->dead_count++] = (uint64_t)id;
    }
    return GUACO_OK;
}

static int
take_renew(const struct guaco__reply *reply, struct guaco__op *op)
{
    struct guaco__op_owner *owner = &op->owner;
    int64_t id;
    int rc = take_rc(guaco__reply_at(reply, 0), &op->rc);

    owner->canceled = NULL;
    owner->canceled_count = 0;
    if (rc != GUACO_OK || reply->count == 1)
        return rc;
    owner->canceled = malloc(reply->count * sizeof *owner->canceled);
    if (owner->canceled == NULL)
        return GUACO_E_NOMEM;
    for (size_t i = 1; i < reply->count; i++) {
        if (!guaco__reply_number(reply->items[i], 1, REDIS_NUMBER_MAX, &id))
            return GUACO_E_PROTO;
        owner->canceled[owner->canceled_count++] = (uint64_t)id;
    }
    return GUACO_OK;
}

/* 1: it was canceled and has ended so. */
static int
take_release(const struct guaco__reply *reply, struct guaco__op *op)
{
    int64_t number;

    op->release.ended = guaco__reply_number(reply, 1, 1, &number);
    return op->release.ended ? GUACO_OK : take_rc(reply, &op->rc);
}

/* "PID PID_START PID_SPACE BOOT_ID"; its lease alone tells of one of another
 * boot: that may be another machine. */
static bool
take_owner(struct redis_store *self, const struct guaco__reply *reply, size_t i,
           struct guaco__owner *who)
{
    struct guaco_slice text;
    int64_t id, pid, start, space, expired, holds;

    if (!guaco__reply_number(guaco__reply_at(reply, i), 1, REDIS_NUMBER_MAX,
                             &id) ||
        !guaco__reply_text(guaco__reply_at(reply, i + 1), &text) ||
        !guaco__reply_count_at(reply, i + 2, 2, &expired) ||
        !guaco__reply_count_at(reply, i + 3, 1, &holds) ||
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

/* ---- looking after ---- */

static int
take_stats(const struct guaco__reply *reply, struct guaco_queue_stats *stats)
{
    int64_t numbers[8];

    for (size_t i = 0; i < 8; i++)
        if (!guaco__reply_count_at(reply, i, REDIS_NUMBER_MAX, &numbers[i]))
            return GUACO_E_PROTO;
    *stats = (struct guaco_queue_stats){
        .waiting = (uint64_t)numbers[0],
        .delayed = (uint64_t)numbers[1],
        .running = (uint64_t)numbers[2],
        .dead = (uint64_t)numbers[3],
        .results = (uint64_t)numbers[4],
        .recurring = (uint64_t)numbers[5],
        .held = (uint64_t)numbers[6],
        .is_paused = numbers[7] == 1,
    };
    return GUACO_OK;
}

/* Call out with the rows of a page; *more: there is another. */
static int
take_page(const struct guaco__reply *reply, struct guaco__op_list *list,
          bool *more)
{
    int64_t flag, id;

    if (!guaco__reply_count_at(reply, 0, 1, &flag) || reply->count % 4 != 1)
        return GUACO_E_PROTO;
    *more = flag == 1;
    for (size_t i = 1; i < reply->count; i += 4) {
        struct guaco__row row = {0};
        struct guaco_slice counts;
        if (list->limit == 0 ||
            !guaco__reply_number(reply->items[i], 1, REDIS_NUMBER_MAX, &id) ||
            !guaco__reply_text(guaco__reply_at(reply, i + 1), &counts) ||
            !take_envelope(guaco__reply_at(reply, i + 2), &row.envelope) ||
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

    if (!guaco__reply_count_at(reply, 0, REDIS_COUNT_MAX, &number))
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

    if (!guaco__reply_number(reply, 0, REDIS_NUMBER_MAX, &number))
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
        op->kind != GUACO__OP_LIST && op->kind != GUACO__OP_KEY &&
        op->kind != GUACO__OP_KEY_LIST)
        return false;
    return reply != NULL && reply->kind == GUACO__REPLY_NUMBER;
}

static int
take_id(const struct guaco__reply *reply, struct guaco__op *op)
{
    int64_t id;

    if (!guaco__reply_number(reply, 1, REDIS_NUMBER_MAX, &id))
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
    case GUACO__OP_RELEASE: return take_release(reply, op);
    case GUACO__OP_EVENT: return take_rc(reply, &op->rc);
    case GUACO__OP_OWNER_RENEW: return take_renew(reply, op);
    case GUACO__OP_TICK:
        return take_ids(reply, op->tick.tasks, op->tick.n, &op->rc);
    case GUACO__OP_OWNER_LIST:
        return is_list ? take_owners(in->self, reply, op) : GUACO_E_PROTO;
    case GUACO__OP_READ:
        return is_list ? guaco__redis_take_news(reply, &op->read)
                       : GUACO_E_PROTO;
    case GUACO__OP_RECUR_LIST:
        return is_list ? guaco__redis_take_defs(reply, &op->recur_list)
                       : GUACO_E_PROTO;
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
    case GUACO__OP_IDS:
    case GUACO__OP_CANCEL:
    case GUACO__OP_PAUSE:
    case GUACO__OP_REVOKE:
    case GUACO__OP_KEY:
    case GUACO__OP_KEY_LIST:
    case GUACO__OP_LOCK:
    case GUACO__OP_RECUR_PUT:
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE:
        return guaco__redis_take_steer(in->self, reply, op, again);
    case GUACO__OP_FINISH: break;
    }
    return GUACO_E_PROTO;
}

/* ---- all of them ---- */

static int
take_topics(struct reading *in)
{
    const struct guaco__reply *list = guaco__reply_at(in->reply, 3);
    struct guaco_slice name;
    uint64_t topic;

    if (list == NULL || list->kind != GUACO__REPLY_LIST)
        return GUACO_E_PROTO;
    for (size_t i = 0; i < list->count; i++) {
        if (!guaco__reply_text(list->items[i], &name) ||
            !guaco__redis_topic_read(name, &topic))
            return GUACO_E_PROTO;
        guaco__touched_topic(&in->self->base.touched, topic);
    }
    return GUACO_OK;
}

static int
take_touched(struct reading *in)
{
    struct guaco__touched *touched = &in->self->base.touched;
    const struct guaco__reply *list = guaco__reply_at(in->reply, 2);
    const struct guaco__reply *due = guaco__reply_at(in->reply, 1);
    struct guaco_slice name;
    int64_t number, woken;

    if (!guaco__reply_text(due, &name)) {
        if (!guaco__reply_number(due, 0, INT64_MAX, &number))
            return GUACO_E_PROTO;
        guaco__touched_due(touched, number);
    }
    if (list == NULL || list->kind != GUACO__REPLY_LIST || list->count % 3 != 0)
        return GUACO_E_PROTO;
    for (size_t i = 0; i < list->count; i += 3) {
        if (!guaco__reply_text(list->items[i], &name) ||
            name.len > GUACO_QUEUE_NAME_MAX ||
            touched->n == GUACO__QUEUES_MAX ||
            !guaco__reply_number(list->items[i + 1], 1, REDIS_COUNT_MAX,
                                 &number) ||
            !guaco__reply_count_at(list, i + 2, 1, &woken))
            return GUACO_E_PROTO;
        guaco__touched_ready(touched, name, (uint32_t)number);
        if (woken == 1)
            guaco__redis_bell_rang(in->self, name);
    }
    return take_topics(in);
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
    struct reading in = {.self = self, .reply = reply, .at = 4, .skip = skip};
    int64_t now_us;

    if (!guaco__reply_number(guaco__reply_at(reply, 0), 1, REDIS_NUMBER_MAX,
                             &now_us))
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
