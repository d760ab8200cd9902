/* The inputs of each kind of op on the wire: one line a field, which says how it
 * is written, read, and checked against what the front promises a store. */

#include <stdlib.h>

#include "envelope.h"
#include "front.h"
#include "guaco/key.h"
#include "wire_int.h"

#define OPS_MAX      GUACO__BATCH_OPS_MAX
#define PUTS_MAX     GUACO__PUTS_MAX
#define RECURS_MAX   1000u
#define RECUR_BYTES  11u                           /* the least of one */
#define PUT_BYTES    8u                            /* the least of one */
#define DELAY_MS_MAX (366ULL * 24 * 3600 * 1000)   /* of a release */
#define LISTED_MAX   (GUACO__WIRE_DOWN_MAX - 4096) /* bytes */

enum field_type {
    FIELD_END,
    FIELD_U32,
    FIELD_U64,
    FIELD_I64,
    FIELD_BOOL,
    FIELD_ENUM,  /* from 1 to `max` */
    FIELD_STATE, /* enum guaco_task_state; all but those of `max` */
    FIELD_QUEUE,
    FIELD_BYTES,
    FIELD_PUTS, /* an array and, right behind it, its size_t */
};

struct field {
    enum field_type type;
    size_t at; /* in struct guaco__op */
    uint64_t max;
};

#define AT(member) offsetof(struct guaco__op, member)
#define HOLDER(op)                                                             \
    {FIELD_U64, AT(op.owner), UINT64_MAX}, {FIELD_U64, AT(op.id), UINT64_MAX}, \
    {                                                                          \
        FIELD_U32, AT(op.attempt), UINT32_MAX                                  \
    }
#define FIELDS_MAX 11

static const struct field fields[][FIELDS_MAX + 1] = {
    [GUACO__OP_PUT] = {{FIELD_PUTS, AT(put.tasks), PUTS_MAX}},
    [GUACO__OP_CLAIM] = {{FIELD_QUEUE, AT(claim.queue), 0},
                         {FIELD_U64, AT(claim.owner), UINT64_MAX},
                         {FIELD_U32, AT(claim.max), GUACO__CLAIM_MAX},
                         {FIELD_BOOL, AT(claim.alone), 1}},
    [GUACO__OP_FINISH] = {HOLDER(finish),
                          {FIELD_STATE, AT(finish.state), 0},
                          {FIELD_BOOL, AT(finish.keep), 1},
                          {FIELD_BOOL, AT(finish.has_rules), 1},
                          {FIELD_BOOL, AT(finish.pass_on), 1},
                          {FIELD_U32, AT(finish.ttl_s), UINT32_MAX},
                          {FIELD_BYTES, AT(finish.body), GUACO_RESULT_BODY_MAX},
                          {FIELD_BYTES, AT(finish.reason), GUACO_REASON_MAX},
                          {FIELD_PUTS, AT(finish.follow), PUTS_MAX}},
    [GUACO__OP_RELEASE] = {HOLDER(release),
                           {FIELD_U64, AT(release.delay_ms), DELAY_MS_MAX},
                           {FIELD_BOOL, AT(release.failed), 1}},
    [GUACO__OP_EVENT] = {HOLDER(event),
                         {FIELD_BYTES, AT(event.body), GUACO_EVENT_BODY_MAX}},
    [GUACO__OP_OWNER_OPEN] = {{FIELD_U32, AT(owner.owner.pid), INT32_MAX},
                              {FIELD_U64, AT(owner.owner.pid_start),
                               UINT64_MAX},
                              {FIELD_U64, AT(owner.owner.pid_space),
                               UINT64_MAX},
                              {FIELD_U32, AT(owner.lease_ms), UINT32_MAX}},
    [GUACO__OP_OWNER_RENEW] = {{FIELD_U64, AT(owner.owner.id), UINT64_MAX},
                               {FIELD_U32, AT(owner.lease_ms), UINT32_MAX}},
    [GUACO__OP_OWNER_REAP] = {{FIELD_U64, AT(reap.owner), UINT64_MAX},
                              {FIELD_BOOL, AT(reap.died), 1},
                              {FIELD_BYTES, AT(reap.reason), GUACO_REASON_MAX}},
    [GUACO__OP_OWNER_LIST] = {{FIELD_END, 0, 0}},
    [GUACO__OP_READ] = {{FIELD_U64, AT(read.id), UINT64_MAX},
                        {FIELD_U32, AT(read.after), UINT32_MAX},
                        {FIELD_BOOL, AT(read.take), 1},
                        {FIELD_BOOL, AT(read.members), 1}},
    [GUACO__OP_PROMOTE] = {{FIELD_U32, AT(promote.limit), 10000}},
    [GUACO__OP_SWEEP] = {{FIELD_U32, AT(sweep.limit), 10000}},
    [GUACO__OP_RECUR_SET] = {{FIELD_QUEUE, AT(recur_set.queue), 0},
                             {FIELD_U64, AT(recur_set.generation), INT64_MAX}},
    [GUACO__OP_RECUR_LIST] = {{FIELD_END, 0, 0}},
    [GUACO__OP_TICK] = {{FIELD_QUEUE, AT(tick.queue), 0},
                        {FIELD_BYTES, AT(tick.name), GUACO_TASK_NAME_MAX},
                        {FIELD_U64, AT(tick.generation), INT64_MAX},
                        {FIELD_I64, AT(tick.expect_ms), 0},
                        {FIELD_I64, AT(tick.last_ms), 0},
                        {FIELD_PUTS, AT(tick.tasks), PUTS_MAX}},
    [GUACO__OP_STATS] = {{FIELD_QUEUE, AT(stats.queue), 0}},
    [GUACO__OP_LIST] = {{FIELD_QUEUE, AT(list.queue), 0},
                        {FIELD_STATE, AT(list.state), 0},
                        {FIELD_U64, AT(list.offset), INT64_MAX},
                        {FIELD_U32, AT(list.limit), 10000}},
    [GUACO__OP_PURGE] = {{FIELD_QUEUE, AT(purge.queue), 0},
                         {FIELD_STATE, AT(purge.state), 0}},
    [GUACO__OP_REPLAY] = {{FIELD_QUEUE, AT(replay.queue), 0},
                          {FIELD_U64, AT(replay.id), UINT64_MAX}},
    [GUACO__OP_IDS] = {{FIELD_U32, AT(ids.n), 10000}},
    [GUACO__OP_CANCEL] = {{FIELD_U64, AT(cancel.id), UINT64_MAX},
                          {FIELD_BYTES, AT(cancel.reason), GUACO_REASON_MAX},
                          {FIELD_U32, AT(cancel.ttl_s), UINT32_MAX}},
    [GUACO__OP_PAUSE] = {{FIELD_QUEUE, AT(pause.queue), 0},
                         {FIELD_BOOL, AT(pause.pause), 1}},
    [GUACO__OP_REVOKE] = {{FIELD_ENUM, AT(revoke.verb), GUACO__REVOKE_TAKE},
                          {FIELD_QUEUE, AT(revoke.queue), 0},
                          {FIELD_BYTES, AT(revoke.key), GUACO_KEY_MAX},
                          {FIELD_I64, AT(revoke.until_ms), 0},
                          {FIELD_BOOL, AT(revoke.once), 1}},
    [GUACO__OP_KEY] = {{FIELD_ENUM, AT(key.verb), GUACO__KEY_ADD},
                       {FIELD_BYTES, AT(key.key), GUACO_KEY_MAX},
                       {FIELD_U64, AT(key.ttl_ms), GUACO__TIME_MS_MAX},
                       {FIELD_I64, AT(key.amount), 0}},
    [GUACO__OP_KEY_LIST] = {{FIELD_BYTES, AT(key_list.prefix), GUACO_KEY_MAX},
                            {FIELD_BYTES, AT(key_list.after), GUACO_KEY_MAX},
                            {FIELD_U32, AT(key_list.limit), 10000}},
    [GUACO__OP_LOCK] = {{FIELD_ENUM, AT(lock.verb), GUACO__LOCK_CLEAR},
                        {FIELD_BYTES, AT(lock.name), GUACO_KEY_MAX},
                        {FIELD_U32, AT(lock.slots), 10000},
                        {FIELD_U64, AT(lock.owner), UINT64_MAX},
                        {FIELD_U64, AT(lock.lease_ms), UINT32_MAX},
                        {FIELD_U64, AT(lock.token), UINT64_MAX}},
    [GUACO__OP_RECUR_PUT] = {{FIELD_END, 0, 0}},
    [GUACO__OP_RECUR_DROP] = {{FIELD_QUEUE, AT(recur_name.queue), 0},
                              {FIELD_BYTES, AT(recur_name.name),
                               GUACO_TASK_NAME_MAX}},
    [GUACO__OP_RECUR_PAUSE] = {{FIELD_QUEUE, AT(recur_name.queue), 0},
                               {FIELD_BYTES, AT(recur_name.name),
                                GUACO_TASK_NAME_MAX},
                               {FIELD_BOOL, AT(recur_name.pause), 1}},
};

static_assert(offsetof(struct guaco__op_put, n) ==
                      offsetof(struct guaco__op_put, tasks) + sizeof(void *) &&
                  offsetof(struct guaco__op_finish, follow_count) ==
                      offsetof(struct guaco__op_finish, follow) +
                          sizeof(void *) &&
                  offsetof(struct guaco__op_tick, n) ==
                      offsetof(struct guaco__op_tick, tasks) + sizeof(void *),
              "FIELD_PUTS finds the count behind the array");

struct puts {
    struct guaco__put *tasks;
    size_t n;
};

/* ---- writing ---- */

static void
put_puts(struct wire_writer *w, const struct puts *puts)
{
    guaco__wire_put_number(w, puts->n);
    for (size_t i = 0; i < puts->n; i++) {
        guaco__wire_put_bytes(w, puts->tasks[i].queue);
        guaco__wire_put_bytes(w, puts->tasks[i].envelope);
        guaco__wire_put_signed(w, puts->tasks[i].due_ms);
        guaco__wire_put_signed(w, puts->tasks[i].priority);
        guaco__wire_put_number(w, puts->tasks[i].hold);
        guaco__wire_put_number(w, puts->tasks[i].member);
        guaco__wire_put_number(w, puts->tasks[i].id);
        guaco__wire_put_number(w, puts->tasks[i].rules != NULL);
        if (puts->tasks[i].rules != NULL)
            guaco__wire_put_rules(w, puts->tasks[i].rules);
    }
}

static void
put_field(struct wire_writer *w, enum field_type type, const void *at)
{
    switch (type) {
    case FIELD_U32: guaco__wire_put_number(w, *(const uint32_t *)at); break;
    case FIELD_U64: guaco__wire_put_number(w, *(const uint64_t *)at); break;
    case FIELD_I64: guaco__wire_put_signed(w, *(const int64_t *)at); break;
    case FIELD_BOOL: guaco__wire_put_number(w, *(const bool *)at); break;
    case FIELD_ENUM: guaco__wire_put_number(w, *(const unsigned *)at); break;
    case FIELD_STATE:
        guaco__wire_put_number(w, *(const enum guaco_task_state *)at);
        break;
    case FIELD_QUEUE:
    case FIELD_BYTES:
        guaco__wire_put_bytes(w, *(const struct guaco_slice *)at);
        break;
    case FIELD_PUTS: put_puts(w, at); break;
    case FIELD_END: break;
    }
}

/* The value goes up with the verbs that set it, and down with the others. */
static bool
has_value(const struct guaco__op_key *op)
{
    return op->verb == GUACO__KEY_PUT || op->verb == GUACO__KEY_PUT_IF_EMPTY;
}

static void
put_value(struct wire_writer *w, const struct guaco__op_key *op)
{
    if (has_value(op))
        guaco__wire_put_bytes(w, op->value);
}

int
guaco__wire_put_op(struct guaco__buf *out, const struct guaco__op *op)
{
    struct wire_writer w = {out, GUACO_OK};

    guaco__wire_put_number(&w, op->kind);
    for (const struct field *f = fields[op->kind]; f->type != FIELD_END; f++)
        put_field(&w, f->type, (const char *)op + f->at);
    if (op->kind == GUACO__OP_RECUR_PUT)
        guaco__wire_put_recur(&w, op->recur_put.def);
    if (op->kind == GUACO__OP_KEY)
        put_value(&w, &op->key);
    if (op->kind == GUACO__OP_RECUR_SET) {
        guaco__wire_put_number(&w, op->recur_set.n);
        for (size_t i = 0; i < op->recur_set.n; i++)
            guaco__wire_put_recur(&w, &op->recur_set.all[i]);
    }
    return w.rc;
}

/* ---- reading ---- */

static struct guaco_slice
get_queue(struct wire_reader *r)
{
    struct guaco_slice queue = guaco__wire_get_bytes(r, GUACO_QUEUE_NAME_MAX);

    if (guaco__queue_check(queue, NULL) != GUACO_OK)
        r->rc = GUACO_E_PROTO;
    return queue;
}

static void *
allocate(struct wire_reader *r, struct guaco__arena *arena, size_t n,
         size_t size)
{
    void *got =
        r->rc == GUACO_OK ? guaco__arena_calloc(arena, n + 1, size) : NULL;

    if (got == NULL && r->rc == GUACO_OK)
        r->rc = GUACO_E_NOMEM;
    return got;
}

/* Each holds as many as join it, which stand behind and are numbered. */
static void
check_joins(struct wire_reader *r, struct guaco__arena *arena,
            const struct guaco__put *tasks, size_t n)
{
    uint32_t *counts = allocate(r, arena, n, sizeof *counts);

    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        const struct guaco_rules *rules = tasks[i].rules;
        if (rules == NULL || rules->joins == 0)
            continue;
        if (rules->joins > i || tasks[i].member != counts[rules->joins - 1]++)
            r->rc = GUACO_E_PROTO;
    }
    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        bool has_key = tasks[i].rules != NULL && tasks[i].rules->unique.len > 0;
        if (counts[i] != tasks[i].hold || (counts[i] > 0 && has_key))
            r->rc = GUACO_E_PROTO;
    }
}

static void
get_puts(struct wire_reader *r, struct guaco__arena *arena, size_t max,
         struct puts *puts)
{
    size_t n = guaco__wire_get_count(r, max, PUT_BYTES);

    puts->tasks = allocate(r, arena, n, sizeof *puts->tasks);
    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        struct guaco__put *put = &puts->tasks[i];
        put->queue = get_queue(r);
        put->envelope = guaco__wire_get_bytes(r, GUACO__ENVELOPE_MAX);
        put->due_ms = guaco__wire_get_signed(r, INT64_MIN, INT64_MAX);
        put->priority = (int32_t)guaco__wire_get_signed(
            r, -GUACO_TASK_PRIORITY_MAX, GUACO_TASK_PRIORITY_MAX);
        put->hold = (uint32_t)guaco__wire_get_number(r, PUTS_MAX);
        put->member = (uint32_t)guaco__wire_get_number(r, PUTS_MAX);
        put->id = guaco__wire_get_number(r, INT64_MAX);
        if (guaco__wire_get_number(r, 1) != 0) {
            struct guaco_rules *rules = allocate(r, arena, 0, sizeof *rules);
            if (rules != NULL)
                guaco__wire_get_rules(r, rules);
            put->rules = rules;
        }
    }
    check_joins(r, arena, puts->tasks, n);
    puts->n = r->rc == GUACO_OK ? n : 0;
}

static void
get_field(struct wire_reader *r, struct guaco__arena *arena,
          const struct field *f, void *at)
{
    switch (f->type) {
    case FIELD_U32:
        *(uint32_t *)at = (uint32_t)guaco__wire_get_number(r, f->max);
        break;
    case FIELD_U64: *(uint64_t *)at = guaco__wire_get_number(r, f->max); break;
    case FIELD_I64:
        *(int64_t *)at = guaco__wire_get_signed(r, INT64_MIN, INT64_MAX);
        break;
    case FIELD_BOOL: *(bool *)at = guaco__wire_get_number(r, 1) != 0; break;
    case FIELD_ENUM:
        *(unsigned *)at = (unsigned)guaco__wire_get_number(r, f->max);
        if (*(unsigned *)at == 0)
            r->rc = GUACO_E_PROTO;
        break;
    case FIELD_STATE:
        *(enum guaco_task_state *)at =
            (enum guaco_task_state)guaco__wire_get_number(r, GUACO_TASK_HELD);
        break;
    case FIELD_QUEUE: *(struct guaco_slice *)at = get_queue(r); break;
    case FIELD_BYTES:
        *(struct guaco_slice *)at = guaco__wire_get_bytes(r, f->max);
        break;
    case FIELD_PUTS: get_puts(r, arena, f->max, at); break;
    case FIELD_END: break;
    }
}

static void
get_recurs(struct wire_reader *r, struct guaco__arena *arena,
           struct guaco__op_recur_set *set)
{
    size_t n = guaco__wire_get_count(r, RECURS_MAX, RECUR_BYTES);
    struct guaco__recur *all = allocate(r, arena, n, sizeof *all);

    for (size_t i = 0; i < n && r->rc == GUACO_OK; i++) {
        guaco__wire_get_recur(r, &all[i]);
        if (!guaco_slice_equals(all[i].queue, set->queue))
            r->rc = GUACO_E_PROTO;
    }
    set->all = all;
    set->n = r->rc == GUACO_OK ? n : 0;
}

static void
get_recur(struct wire_reader *r, struct guaco__arena *arena,
          struct guaco__op_recur_put *put)
{
    struct guaco__recur *def = allocate(r, arena, 0, sizeof *def);

    if (def != NULL)
        guaco__wire_get_recur(r, def);
    put->def = def;
}

/* What cannot be said of one field by itself. */
static bool
is_promised(const struct guaco__op *op)
{
    enum guaco_task_state state;

    switch (op->kind) {
    case GUACO__OP_PUT: return op->put.n >= 1;
    case GUACO__OP_FINISH:
        state = op->finish.state;
        return state >= GUACO_TASK_DONE && state <= GUACO_TASK_CANCELED &&
               (!op->finish.pass_on || (op->finish.follow_count > 0 &&
                                        op->finish.follow[0].rules != NULL));
    case GUACO__OP_LIST:
        state = op->list.state;
        return (state == GUACO_TASK_WAITING || state == GUACO_TASK_DELAYED ||
                state == GUACO_TASK_RUNNING || state == GUACO_TASK_DEAD ||
                state == GUACO_TASK_HELD) &&
               op->list.limit >= 1;
    case GUACO__OP_PURGE:
        state = op->purge.state;
        return state == GUACO_TASK_WAITING || state == GUACO_TASK_DELAYED ||
               state == GUACO_TASK_DEAD || state == GUACO_TASK_DONE ||
               state == GUACO_TASK_HELD;
    case GUACO__OP_IDS: return op->ids.n >= 1;
    case GUACO__OP_REVOKE:
        return op->revoke.key.len >= 1 && op->revoke.until_ms >= 0 &&
               op->revoke.until_ms <= GUACO__TIME_MS_MAX;
    case GUACO__OP_KEY: return op->key.key.len >= 1;
    case GUACO__OP_KEY_LIST: return op->key_list.limit >= 1;
    case GUACO__OP_LOCK:
        return op->lock.name.len >= 1 &&
               (op->lock.verb != GUACO__LOCK_TAKE || op->lock.slots >= 1);
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE: return op->recur_name.name.len >= 1;
    case GUACO__OP_CANCEL:
    case GUACO__OP_PAUSE:
    case GUACO__OP_RECUR_PUT: break;
    case GUACO__OP_PROMOTE: return op->promote.limit >= 1;
    case GUACO__OP_SWEEP: return op->sweep.limit >= 1;
    case GUACO__OP_CLAIM:
    case GUACO__OP_RELEASE:
    case GUACO__OP_EVENT:
    case GUACO__OP_OWNER_OPEN:
    case GUACO__OP_OWNER_RENEW:
    case GUACO__OP_OWNER_REAP:
    case GUACO__OP_OWNER_LIST:
    case GUACO__OP_READ:
    case GUACO__OP_RECUR_SET:
    case GUACO__OP_RECUR_LIST:
    case GUACO__OP_TICK:
    case GUACO__OP_STATS:
    case GUACO__OP_REPLAY: break;
    }
    return true;
}

static void
add_row(void *ctx, const struct guaco__row *row)
{
    struct guaco__wire_rows *rows = ctx;
    struct wire_writer w = {&rows->bytes, rows->rc};

    guaco__wire_put_row(&w, row);
    rows->rc = w.rc;
    rows->count++;
}

static void
add_key(void *ctx, struct guaco_slice key, struct guaco_slice value)
{
    struct guaco__wire_rows *rows = ctx;
    struct wire_writer w = {&rows->bytes, rows->rc};

    guaco__wire_put_bytes(&w, key);
    guaco__wire_put_bytes(&w, value);
    rows->rc = w.rc;
    rows->count++;
}

/* Where the outputs go. */
static void
make_room(struct wire_reader *r, struct guaco__arena *arena,
          struct guaco__wire_run *run, struct guaco__op *op)
{
    if (op->kind == GUACO__OP_CLAIM) {
        op->claim.rows =
            allocate(r, arena, op->claim.max, sizeof *op->claim.rows);
    } else if (op->kind == GUACO__OP_READ) {
        op->read.news = allocate(r, arena, 0, sizeof *op->read.news);
    } else if (op->kind == GUACO__OP_STATS) {
        op->stats.stats = allocate(r, arena, 0, sizeof *op->stats.stats);
    } else if (op->kind == GUACO__OP_LIST || op->kind == GUACO__OP_KEY_LIST) {
        if (run->rows.bytes.cap != 1)
            r->rc = GUACO_E_PROTO; /* a second one */
        guaco__buf_release(&run->rows.bytes);
        guaco__buf_init(&run->rows.bytes, LISTED_MAX);
        if (op->kind == GUACO__OP_LIST) {
            op->list.fn = add_row;
            op->list.ctx = &run->rows;
        } else {
            op->key_list.fn = add_key;
            op->key_list.ctx = &run->rows;
        }
    }
}

static void
get_op(struct wire_reader *r, struct guaco__arena *arena,
       struct guaco__wire_run *run, struct guaco__op *op)
{
    uint64_t kind = guaco__wire_get_number(r, GUACO__OP_LAST);

    if (kind < GUACO__OP_PUT)
        r->rc = GUACO_E_PROTO;
    if (r->rc != GUACO_OK)
        return;
    op->kind = (enum guaco__op_kind)kind;
    for (const struct field *f = fields[kind];
         f->type != FIELD_END && r->rc == GUACO_OK; f++)
        get_field(r, arena, f, (char *)op + f->at);
    if (kind == GUACO__OP_RECUR_SET && r->rc == GUACO_OK)
        get_recurs(r, arena, &op->recur_set);
    if (kind == GUACO__OP_RECUR_PUT && r->rc == GUACO_OK)
        get_recur(r, arena, &op->recur_put);
    if (kind == GUACO__OP_KEY && r->rc == GUACO_OK && has_value(&op->key))
        op->key.value = guaco__wire_get_bytes(r, GUACO_KEY_VALUE_MAX);
    if (r->rc == GUACO_OK && !is_promised(op))
        r->rc = GUACO_E_PROTO;
    if (r->rc == GUACO_OK)
        make_room(r, arena, run, op);
}

int
guaco__wire_get_run(struct guaco__arena *arena, struct guaco_slice payload,
                    struct guaco__wire_run *run)
{
    struct wire_reader r = {payload.at, payload.at + payload.len, GUACO_OK};

    *run = (struct guaco__wire_run){0};
    guaco__buf_init(&run->rows.bytes, 1); /* no listing yet */
    size_t n = guaco__wire_get_count(&r, OPS_MAX, 1);
    run->ops = allocate(&r, arena, n, sizeof *run->ops);
    for (size_t i = 0; i < n && r.rc == GUACO_OK; i++)
        get_op(&r, arena, run, &run->ops[i]);
    if (r.rc == GUACO_OK && (n < 1 || r.at != r.end))
        r.rc = GUACO_E_PROTO;
    if (r.rc == GUACO_OK)
        run->n = n;
    return r.rc;
}

void
guaco__wire_run_release(struct guaco__wire_run *run)
{
    for (size_t i = 0; i < run->n; i++)
        guaco__op_take_back(&run->ops[i]);
    guaco__buf_release(&run->rows.bytes);
    run->n = 0;
}
