/* The outputs of each kind of op on the wire. */

#include <stdlib.h>

#include "front.h"
#include "guaco/key.h"
#include "wire_int.h"

#define DEAD_MAX    4096u /* tasks of one owner */
#define OWNERS_MAX  65536u
#define RECURS_MAX  (GUACO__QUEUES_MAX * 1000u)
#define ROW_BYTES   11u /* the least of each */
#define RECUR_BYTES 11u
#define OWNER_BYTES 7u

/* A lock that is taken says when it will be free. */
static bool
has_outputs(const struct guaco__op *op)
{
    return op->rc == GUACO_OK ||
           (op->kind == GUACO__OP_LOCK && op->rc == GUACO_E_AGAIN);
}

/* ---- writing ---- */

static void
put_owner(struct wire_writer *w, const struct guaco__owner *owner)
{
    guaco__wire_put_number(w, owner->id);
    guaco__wire_put_number(w, (uint32_t)owner->pid);
    guaco__wire_put_number(w, owner->pid_start);
    guaco__wire_put_number(w, owner->pid_space);
    guaco__wire_put_number(w, owner->boot_is_ours);
    guaco__wire_put_number(w, owner->is_expired);
    guaco__wire_put_number(w, owner->holds);
}

static void
put_members(struct wire_writer *w, const struct guaco_news *news)
{
    guaco__wire_put_number(w, news->member_count);
    for (size_t i = 0; i < news->member_count; i++) {
        guaco__wire_put_number(w, news->members[i].number);
        guaco__wire_put_number(w, news->members[i].id);
        guaco__wire_put_number(w, news->members[i].state);
        guaco__wire_put_bytes(w, news->members[i].body);
    }
}

static void
put_owners(struct wire_writer *w, const struct guaco__op_owners *op)
{
    guaco__wire_put_number(w, op->n);
    for (size_t i = 0; i < op->n; i++)
        put_owner(w, &op->owners[i]);
}

static void
put_news(struct wire_writer *w, const struct guaco_news *news)
{
    const struct guaco_result *result = news->result;

    guaco__wire_put_number(w, news->event_count);
    for (size_t i = 0; i < news->event_count; i++) {
        guaco__wire_put_number(w, news->events[i].number);
        guaco__wire_put_bytes(w, news->events[i].body);
    }
    put_members(w, news);
    guaco__wire_put_number(w, result != NULL);
    if (result == NULL)
        return;
    guaco__wire_put_number(w, result->id);
    guaco__wire_put_number(w, result->state);
    guaco__wire_put_number(w, result->attempt);
    guaco__wire_put_signed(w, result->finished_ms);
    guaco__wire_put_bytes(w, result->body);
    guaco__wire_put_bytes(w, result->reason);
}

static void
put_claim(struct wire_writer *w, const struct guaco__op_claim *claim)
{
    guaco__wire_put_number(w, claim->count);
    for (uint32_t i = 0; i < claim->count; i++)
        guaco__wire_put_row(w, &claim->rows[i]);
    guaco__wire_put_number(w, claim->more);
    guaco__wire_put_number(w, claim->suspects);
    guaco__wire_put_number(w, claim->revokes);
}

static void
put_stats(struct wire_writer *w, const struct guaco_queue_stats *stats)
{
    guaco__wire_put_number(w, stats->waiting);
    guaco__wire_put_number(w, stats->delayed);
    guaco__wire_put_number(w, stats->running);
    guaco__wire_put_number(w, stats->dead);
    guaco__wire_put_number(w, stats->results);
    guaco__wire_put_number(w, stats->recurring);
    guaco__wire_put_number(w, stats->held);
    guaco__wire_put_number(w, stats->is_paused);
}

static void
put_rows(struct wire_writer *w, const struct guaco__wire_rows *rows)
{
    guaco__wire_put_number(w, rows->count);
    if (w->rc == GUACO_OK)
        w->rc = rows->rc != GUACO_OK
                    ? rows->rc
                    : guaco__buf_append(w->out, guaco__buf_data(&rows->bytes),
                                        rows->bytes.len);
}

static bool
gives_value(const struct guaco__op_key *op)
{
    return op->verb == GUACO__KEY_GET || op->verb == GUACO__KEY_TAKE;
}

static void
put_ids(struct wire_writer *w, const struct guaco__op_put *put)
{
    for (size_t i = 0; i < put->n; i++) {
        guaco__wire_put_number(w, put->tasks[i].id);
        guaco__wire_put_number(w, put->tasks[i].existed);
    }
}

static void
put_numbers(struct wire_writer *w, const uint64_t *numbers, size_t n)
{
    guaco__wire_put_number(w, n);
    for (size_t i = 0; i < n; i++)
        guaco__wire_put_number(w, numbers[i]);
}

static void
put_outputs(struct wire_writer *w, const struct guaco__op *op,
            const struct guaco__wire_rows *rows)
{
    switch (op->kind) {
    case GUACO__OP_PUT: put_ids(w, &op->put); break;
    case GUACO__OP_CLAIM: put_claim(w, &op->claim); break;
    case GUACO__OP_OWNER_OPEN:
        guaco__wire_put_number(w, op->owner.owner.id);
        break;
    case GUACO__OP_OWNER_REAP:
        guaco__wire_put_number(w, op->reap.returned);
        put_numbers(w, op->reap.dead, op->reap.dead_count);
        break;
    case GUACO__OP_OWNER_LIST: put_owners(w, &op->owners); break;
    case GUACO__OP_READ: put_news(w, op->read.news); break;
    case GUACO__OP_PROMOTE:
        guaco__wire_put_number(w, op->promote.count);
        guaco__wire_put_signed(w, op->promote.next_due_ms);
        break;
    case GUACO__OP_SWEEP:
        guaco__wire_put_number(w, op->sweep.count);
        guaco__wire_put_signed(w, op->sweep.next_end_ms);
        break;
    case GUACO__OP_RECUR_SET:
        guaco__wire_put_number(w, op->recur_set.stale);
        break;
    case GUACO__OP_RECUR_LIST:
        guaco__wire_put_number(w, op->recur_list.n);
        for (size_t i = 0; i < op->recur_list.n; i++)
            guaco__wire_put_recur(w, &op->recur_list.all[i]);
        break;
    case GUACO__OP_STATS: put_stats(w, op->stats.stats); break;
    case GUACO__OP_LIST:
    case GUACO__OP_KEY_LIST: put_rows(w, rows); break;
    case GUACO__OP_PURGE: guaco__wire_put_number(w, op->purge.count); break;
    case GUACO__OP_REPLAY: guaco__wire_put_number(w, op->replay.count); break;
    case GUACO__OP_RELEASE: guaco__wire_put_number(w, op->release.ended); break;
    case GUACO__OP_OWNER_RENEW:
        put_numbers(w, op->owner.canceled, op->owner.canceled_count);
        break;
    case GUACO__OP_IDS: guaco__wire_put_number(w, op->ids.first); break;
    case GUACO__OP_CANCEL:
        guaco__wire_put_number(w, op->cancel.was);
        guaco__wire_put_number(w, op->cancel.owner);
        break;
    case GUACO__OP_REVOKE: guaco__wire_put_number(w, op->revoke.was); break;
    case GUACO__OP_KEY:
        guaco__wire_put_signed(w, op->key.sum);
        if (gives_value(&op->key))
            guaco__wire_put_bytes(w, op->key.value);
        break;
    case GUACO__OP_LOCK:
        guaco__wire_put_number(w, op->lock.token);
        guaco__wire_put_number(w, op->lock.holders);
        guaco__wire_put_number(w, op->lock.free_ms);
        break;
    case GUACO__OP_FINISH:
    case GUACO__OP_EVENT:
    case GUACO__OP_PAUSE:
    case GUACO__OP_RECUR_PUT:
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE:
    case GUACO__OP_TICK: break;
    }
}

int
guaco__wire_put_answer(struct guaco__buf *out,
                       const struct guaco__wire_run *run, int rc,
                       const struct guaco_error *err)
{
    struct wire_writer w = {out, GUACO_OK};

    guaco__wire_put_signed(&w, rc);
    if (rc != GUACO_OK) {
        guaco__wire_put_bytes(
            &w, (struct guaco_slice){err->text, strlen(err->text)});
        return w.rc;
    }
    for (size_t i = 0; i < run->n; i++) {
        guaco__wire_put_signed(&w, run->ops[i].rc);
        if (has_outputs(&run->ops[i]))
            put_outputs(&w, &run->ops[i], &run->rows);
    }
    return w.rc;
}

/* ---- reading ---- */

static int32_t
get_rc(struct wire_reader *r)
{
    return (int32_t)guaco__wire_get_signed(r, GUACO_E_UNSUPPORTED, GUACO_OK);
}

/* At least one byte, so that NULL means no memory. */
static void *
allocate(struct wire_reader *r, size_t n, size_t size)
{
    void *got = r->rc == GUACO_OK ? malloc(n * size + 1) : NULL;

    if (got == NULL && r->rc == GUACO_OK)
        r->rc = GUACO_E_NOMEM;
    return got;
}

static void
get_claim(struct wire_reader *r, struct guaco__op_claim *claim)
{
    size_t n = guaco__wire_get_count(r, claim->max, ROW_BYTES);

    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        struct guaco__row *row = &claim->rows[claim->count];
        guaco__wire_get_row(r, row);
        char *copy = allocate(r, row->envelope.len, 1);
        if (copy == NULL)
            return;
        memcpy(copy, row->envelope.at, row->envelope.len);
        row->envelope.at = copy;
        row->reason = (struct guaco_slice){0};
        claim->count++;
    }
    claim->more = guaco__wire_get_number(r, 1) != 0;
    claim->suspects = guaco__wire_get_number(r, 1) != 0;
    claim->revokes = guaco__wire_get_number(r, 1) != 0;
}

static void
get_owner(struct wire_reader *r, struct guaco__owner *owner)
{
    owner->id = guaco__wire_get_number(r, UINT64_MAX);
    owner->pid = (int32_t)guaco__wire_get_number(r, INT32_MAX);
    owner->pid_start = guaco__wire_get_number(r, UINT64_MAX);
    owner->pid_space = guaco__wire_get_number(r, UINT64_MAX);
    owner->boot_is_ours = guaco__wire_get_number(r, 1) != 0;
    owner->is_expired = guaco__wire_get_number(r, 1) != 0;
    owner->holds = guaco__wire_get_number(r, 1) != 0;
}

static void
get_owners(struct wire_reader *r, struct guaco__op_owners *op)
{
    size_t n = guaco__wire_get_count(r, OWNERS_MAX, OWNER_BYTES);

    op->n = 0;
    op->owners = allocate(r, n, sizeof *op->owners);
    while (op->n < n && r->rc == GUACO_OK)
        get_owner(r, &op->owners[op->n++]);
}

static void
get_reap(struct wire_reader *r, struct guaco__op_reap *op)
{
    op->returned = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    size_t n = guaco__wire_get_count(r, DEAD_MAX, 1);

    op->dead = allocate(r, n, sizeof *op->dead);
    op->dead_count = 0;
    while (op->dead_count < n && r->rc == GUACO_OK)
        op->dead[op->dead_count++] = guaco__wire_get_number(r, UINT64_MAX);
}

static void
get_result(struct wire_reader *r, struct guaco_news *news)
{
    struct guaco_result result = {
        .id = guaco__wire_get_number(r, UINT64_MAX),
        .state =
            (enum guaco_task_state)guaco__wire_get_number(r, GUACO_TASK_DEAD),
        .attempt = (uint32_t)guaco__wire_get_number(r, UINT32_MAX),
        .finished_ms = guaco__wire_get_signed(r, INT64_MIN, INT64_MAX),
        .body = guaco__wire_get_bytes(r, GUACO_RESULT_BODY_MAX),
        .reason = guaco__wire_get_bytes(r, GUACO_REASON_MAX),
    };

    if (r->rc == GUACO_OK && result.state < GUACO_TASK_DONE)
        r->rc = GUACO_E_PROTO;
    if (r->rc == GUACO_OK)
        r->rc = guaco__news_result(news, &result);
}

static void
get_members(struct wire_reader *r, struct guaco_news *news)
{
    size_t n = guaco__wire_get_count(r, GUACO__PUTS_MAX, 4);

    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        struct guaco_member member = {
            .number = (uint32_t)guaco__wire_get_number(r, UINT32_MAX),
            .id = guaco__wire_get_number(r, UINT64_MAX),
            .state = (enum guaco_task_state)guaco__wire_get_number(
                r, GUACO_TASK_DEAD),
            .body = guaco__wire_get_bytes(r, GUACO_RESULT_BODY_MAX),
        };
        if (r->rc == GUACO_OK && member.state < GUACO_TASK_DONE)
            r->rc = GUACO_E_PROTO;
        if (r->rc == GUACO_OK)
            r->rc = guaco__news_member(news, &member);
    }
}

static void
get_news(struct wire_reader *r, struct guaco_news *news)
{
    size_t n = guaco__wire_get_count(r, GUACO_EVENTS_MAX, 2);

    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        uint32_t number = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
        struct guaco_slice body =
            guaco__wire_get_bytes(r, GUACO_EVENT_BODY_MAX);
        if (r->rc == GUACO_OK)
            r->rc = guaco__news_event(news, number, body);
    }
    get_members(r, news);
    if (guaco__wire_get_number(r, 1) != 0)
        get_result(r, news);
}

/* The block that free() takes: the entries, then their bytes. */
static void
get_recurs(struct wire_reader *r, struct guaco__op_recur_list *list)
{
    size_t n = guaco__wire_get_count(r, RECURS_MAX, RECUR_BYTES);
    size_t left = (size_t)(r->end - r->at);
    struct guaco__recur *all =
        allocate(r, 1, n * sizeof *all + (n > 0 ? left : 0));
    list->all = all;
    list->n = 0;
    if (all == NULL || n == 0)
        return;

    /* Read from the copy, so that the slices point into the block. */
    const char *copy = memcpy(all + n, r->at, left);
    struct wire_reader own = {copy, copy + left, GUACO_OK};
    while (list->n < n && own.rc == GUACO_OK)
        guaco__wire_get_recur(&own, &all[list->n++]);
    r->rc = own.rc;
    r->at = r->end - (own.end - own.at);
}

static void
get_stats(struct wire_reader *r, struct guaco_queue_stats *stats)
{
    stats->waiting = guaco__wire_get_number(r, UINT64_MAX);
    stats->delayed = guaco__wire_get_number(r, UINT64_MAX);
    stats->running = guaco__wire_get_number(r, UINT64_MAX);
    stats->dead = guaco__wire_get_number(r, UINT64_MAX);
    stats->results = guaco__wire_get_number(r, UINT64_MAX);
    stats->recurring = guaco__wire_get_number(r, UINT64_MAX);
    stats->held = guaco__wire_get_number(r, UINT64_MAX);
    stats->is_paused = guaco__wire_get_number(r, 1) != 0;
}

static void
get_rows(struct wire_reader *r, const struct guaco__op_list *list)
{
    size_t n = guaco__wire_get_count(r, list->limit, ROW_BYTES);

    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        struct guaco__row row;
        guaco__wire_get_row(r, &row);
        if (r->rc == GUACO_OK)
            list->fn(list->ctx, &row);
    }
}

static void
get_canceled(struct wire_reader *r, struct guaco__op_owner *op)
{
    size_t n = guaco__wire_get_count(r, DEAD_MAX, 1);

    op->canceled = n == 0 ? NULL : allocate(r, n, sizeof *op->canceled);
    op->canceled_count = 0;
    while (op->canceled_count < n && r->rc == GUACO_OK)
        op->canceled[op->canceled_count++] =
            guaco__wire_get_number(r, UINT64_MAX);
}

static void
get_key(struct wire_reader *r, struct guaco__op_key *op)
{
    op->sum = guaco__wire_get_signed(r, INT64_MIN, INT64_MAX);
    if (!gives_value(op))
        return;
    struct guaco_slice value = guaco__wire_get_bytes(r, GUACO_KEY_VALUE_MAX);
    char *copy = allocate(r, value.len, 1);
    if (copy == NULL)
        return;
    memcpy(copy, value.at, value.len);
    op->value = (struct guaco_slice){copy, value.len};
}

static void
get_keys(struct wire_reader *r, const struct guaco__op_key_list *list)
{
    size_t n = guaco__wire_get_count(r, list->limit, 2);

    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        struct guaco_slice key = guaco__wire_get_bytes(r, GUACO_KEY_MAX);
        struct guaco_slice value =
            guaco__wire_get_bytes(r, GUACO_KEY_VALUE_MAX);
        if (r->rc == GUACO_OK)
            list->fn(list->ctx, key, value);
    }
}

static void
get_outputs(struct wire_reader *r, struct guaco__op *op)
{
    switch (op->kind) {
    case GUACO__OP_PUT:
        for (size_t i = 0; i < op->put.n; i++) {
            op->put.tasks[i].id = guaco__wire_get_number(r, UINT64_MAX);
            op->put.tasks[i].existed = guaco__wire_get_number(r, 1) != 0;
            if (op->put.tasks[i].id == 0)
                r->rc = GUACO_E_PROTO;
        }
        break;
    case GUACO__OP_CLAIM: get_claim(r, &op->claim); break;
    case GUACO__OP_OWNER_OPEN:
        op->owner.owner.id = guaco__wire_get_number(r, UINT64_MAX);
        break;
    case GUACO__OP_OWNER_REAP: get_reap(r, &op->reap); break;
    case GUACO__OP_OWNER_LIST: get_owners(r, &op->owners); break;
    case GUACO__OP_READ: get_news(r, op->read.news); break;
    case GUACO__OP_PROMOTE:
        op->promote.count = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
        op->promote.next_due_ms =
            guaco__wire_get_signed(r, INT64_MIN, INT64_MAX);
        break;
    case GUACO__OP_SWEEP:
        op->sweep.count = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
        op->sweep.next_end_ms = guaco__wire_get_signed(r, INT64_MIN, INT64_MAX);
        break;
    case GUACO__OP_RECUR_SET:
        op->recur_set.stale = guaco__wire_get_number(r, 1) != 0;
        break;
    case GUACO__OP_RECUR_LIST: get_recurs(r, &op->recur_list); break;
    case GUACO__OP_STATS: get_stats(r, op->stats.stats); break;
    case GUACO__OP_LIST: get_rows(r, &op->list); break;
    case GUACO__OP_PURGE:
        op->purge.count = guaco__wire_get_number(r, UINT64_MAX);
        break;
    case GUACO__OP_REPLAY:
        op->replay.count = guaco__wire_get_number(r, UINT64_MAX);
        break;
    case GUACO__OP_RELEASE:
        op->release.ended = guaco__wire_get_number(r, 1) != 0;
        break;
    case GUACO__OP_OWNER_RENEW: get_canceled(r, &op->owner); break;
    case GUACO__OP_IDS:
        op->ids.first = guaco__wire_get_number(r, UINT64_MAX);
        break;
    case GUACO__OP_CANCEL:
        op->cancel.was =
            (enum guaco_task_state)guaco__wire_get_number(r, GUACO_TASK_HELD);
        op->cancel.owner = guaco__wire_get_number(r, UINT64_MAX);
        break;
    case GUACO__OP_REVOKE:
        op->revoke.was = guaco__wire_get_number(r, 1) != 0;
        break;
    case GUACO__OP_KEY: get_key(r, &op->key); break;
    case GUACO__OP_KEY_LIST: get_keys(r, &op->key_list); break;
    case GUACO__OP_LOCK:
        op->lock.token = guaco__wire_get_number(r, UINT64_MAX);
        op->lock.holders = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
        op->lock.free_ms = guaco__wire_get_number(r, UINT64_MAX);
        break;
    case GUACO__OP_FINISH:
    case GUACO__OP_EVENT:
    case GUACO__OP_PAUSE:
    case GUACO__OP_RECUR_PUT:
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE:
    case GUACO__OP_TICK: break;
    }
}

static int
get_failure(struct wire_reader *r, int rc, struct guaco_error *err)
{
    struct guaco_slice text = guaco__wire_get_bytes(r, sizeof err->text);

    if (r->rc != GUACO_OK)
        return guaco_fail(err, r->rc, 0, "the keeper's answer is no answer");
    return guaco_fail(err, rc, 0, "%.*s", (int)text.len, text.at);
}

int
guaco__wire_get_answer(struct guaco_slice payload, struct guaco__op **ops,
                       size_t n, struct guaco_error *err)
{
    struct wire_reader r = {payload.at, payload.at + payload.len, GUACO_OK};
    int rc = get_rc(&r);

    if (r.rc == GUACO_OK && rc != GUACO_OK)
        return get_failure(&r, rc, err);
    for (size_t i = 0; i < n; i++) {
        ops[i]->rc = get_rc(&r);
        if (r.rc == GUACO_OK && has_outputs(ops[i]))
            get_outputs(&r, ops[i]);
    }
    if (r.rc == GUACO_OK && r.at != r.end)
        r.rc = GUACO_E_PROTO;
    if (r.rc == GUACO_OK)
        return GUACO_OK;
    for (size_t i = 0; i < n; i++)
        guaco__op_take_back(ops[i]);
    return guaco_fail(err, r.rc, 0, "%s",
                      r.rc == GUACO_E_NOMEM
                          ? "out of memory"
                          : "the keeper's answer cannot be read");
}
