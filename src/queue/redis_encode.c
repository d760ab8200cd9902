/* Ops as the arguments of redis_store.lua, which says what they are. */

#include <assert.h>
#include <stdio.h>

#include "redis_int.h"

#define FRAME_SOFT (16u << 20) /* bytes; no op begins beyond */

/* ---- arguments ---- */

static int
add(struct redis_frame *frame, struct guaco_slice arg)
{
    frame->arg_count++;
    return guaco__redis_arg(&frame->args, arg);
}

static int
add_text(struct redis_frame *frame, const char *text)
{
    return add(frame, (struct guaco_slice){text, strlen(text)});
}

static int
add_number(struct redis_frame *frame, int64_t number)
{
    char text[24];
    size_t at = sizeof text;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    do
        text[--at] = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (number < 0)
        text[--at] = '-';
    return add(frame, (struct guaco_slice){text + at, sizeof text - at});
}

static int
add_flag(struct redis_frame *frame, bool flag)
{
    return add_text(frame, flag ? "1" : "0");
}

/* A name of what is waited for, as the scripts have it. */
static int
add_topic(struct redis_frame *frame, struct guaco_slice key)
{
    char name[REDIS_TOPIC_BYTES];

    guaco__redis_topic_name(guaco__topic_key(key), name);
    return add_text(frame, name);
}

int
guaco__redis_add(struct redis_frame *frame, const char *form,
                 const union redis_value *values)
{
    int rc = GUACO_OK;

    for (; *form != '\0' && rc == GUACO_OK; form++, values++)
        rc = *form == 'n'   ? add_number(frame, values->n)
             : *form == 'f' ? add_flag(frame, values->f)
             : *form == 't' ? add_topic(frame, values->s)
                            : add(frame, values->s);
    return rc;
}

/* The arguments of one op: its letter, and what `form` says behind it. */
static int
add_op(struct redis_frame *frame, const char *form,
       const union redis_value *values)
{
    int rc = add(frame, (struct guaco_slice){form, 1});

    return rc != GUACO_OK ? rc : guaco__redis_add(frame, form + 1, values);
}

/* ---- puts ---- */

static bool
is_alike(const struct guaco__put *a, const struct guaco__put *b)
{
    return a->priority == b->priority && a->due_ms == b->due_ms &&
           guaco_slice_equals(a->queue, b->queue);
}

/* What is stored of a task: its queue, its priority, its envelope. */
static int
add_record(struct redis_frame *frame, const struct guaco__put *put)
{
    char head[1 + GUACO_QUEUE_NAME_MAX + 2];
    size_t n = put->queue.len;
    uint16_t priority = (uint16_t)put->priority;

    assert(n <= GUACO_QUEUE_NAME_MAX);
    head[0] = (char)n;
    memcpy(head + 1, put->queue.at, n);
    head[1 + n] = (char)(priority >> 8);
    head[2 + n] = (char)(priority & 0xff);
    frame->arg_count++;
    return guaco__redis_two(&frame->args, (struct guaco_slice){head, n + 3},
                            put->envelope);
}

/* How many from puts[i] on go to the same place. */
static size_t
group_at(const struct guaco__put *puts, size_t n, size_t i)
{
    size_t end = i + 1;

    while (end < n && is_alike(&puts[i], &puts[end]))
        end++;
    return end - i;
}

bool
guaco__redis_are_ruled(const struct guaco__put *puts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (puts[i].rules != NULL || puts[i].hold > 0)
            return true;
    return false;
}

_Static_assert(GUACO_LIMITS_MAX == 2, "as many has a put of the script");

static int
add_limit(struct redis_frame *frame, const struct guaco_limit *limit)
{
    const struct guaco__rate rate = guaco__rate_of(limit);
    const union redis_value values[] = {
        {.s = limit->key},
        {.n = limit->running_max},
        {.n = rate.interval_us},
        {.n = rate.burst},
        {.n = limit->cost == 0 ? 1 : limit->cost}};

    return guaco__redis_add(frame, "snnnn", values);
}

/* A put with rules: 23 arguments. */
static int
add_ruled(struct redis_frame *frame, const struct guaco__put *put)
{
    static const struct guaco_rules none;
    const struct guaco_rules *rules = put->rules == NULL ? &none : put->rules;
    const union redis_value head[] = {
        {.s = put->queue}, {.n = put->priority}, {.n = put->due_ms}};
    const union redis_value tail[] = {{.n = put->hold},
                                      {.n = put->member},
                                      {.s = rules->unique},
                                      {.n = rules->unique_until == 0
                                                ? GUACO_UNIQUE_DONE
                                                : (int64_t)rules->unique_until},
                                      {.n = (int64_t)rules->unique_ms},
                                      {.f = rules->unique_replace},
                                      {.n = rules->joins},
                                      {.f = rules->joins_must_succeed}};

    int rc = guaco__redis_add(frame, "snn", head);
    if (rc == GUACO_OK)
        rc = add_record(frame, put);
    if (rc == GUACO_OK)
        rc = rules->id == 0 ? add_text(frame, "")
                            : add_number(frame, (int64_t)rules->id);
    if (rc == GUACO_OK)
        rc = guaco__redis_add(frame, "nnsnnfnf", tail);
    for (size_t i = 0; i < GUACO_LIMITS_MAX && rc == GUACO_OK; i++)
        rc = add_limit(frame, &rules->limits[i]);
    return rc;
}

static int
add_all_ruled(struct redis_frame *frame, const struct guaco__put *puts,
              size_t n)
{
    int rc = add_text(frame, "R");

    if (rc == GUACO_OK)
        rc = add_number(frame, (int64_t)n);
    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = add_ruled(frame, &puts[i]);
    return rc;
}

static int
add_puts(struct redis_frame *frame, const struct guaco__put *puts, size_t n)
{
    int64_t groups = 0;

    if (guaco__redis_are_ruled(puts, n))
        return add_all_ruled(frame, puts, n);
    for (size_t i = 0; i < n; i += group_at(puts, n, i))
        groups++;
    int rc = add_number(frame, groups);
    if (rc == GUACO_OK)
        rc = add_number(frame, (int64_t)n);
    for (size_t i = 0; i < n && rc == GUACO_OK;) {
        size_t end = i + group_at(puts, n, i);
        rc = add(frame, puts[i].queue);
        if (rc == GUACO_OK)
            rc = add_number(frame, puts[i].priority);
        if (rc == GUACO_OK)
            rc = add_number(frame, puts[i].due_ms);
        if (rc == GUACO_OK)
            rc = add_number(frame, (int64_t)(end - i));
        for (; i < end && rc == GUACO_OK; i++)
            rc = add_record(frame, &puts[i]);
    }
    return rc;
}

/* ---- finishes ---- */

size_t
guaco__redis_finishes(struct guaco__op *const *ops, const bool *skip,
                      size_t end, size_t i)
{
    size_t n = 1, bytes = ops[i]->finish.body.len;

    for (;
         i + n < end && !skip[i + n] && ops[i + n]->kind == GUACO__OP_FINISH &&
         ops[i + n]->finish.owner == ops[i]->finish.owner;
         n++) {
        bytes += ops[i + n]->finish.body.len;
        if (bytes > FRAME_SOFT)
            break;
    }
    return n;
}

static int
add_outcome(struct redis_frame *frame, const struct guaco__op_finish *finish)
{
    if (!finish->keep && finish->follow_count == 0 && !finish->has_rules)
        return add_flag(frame, false);
    int rc = add_text(frame, finish->has_rules ? "2" : "1");
    if (rc == GUACO_OK && finish->has_rules)
        rc = add_flag(frame, finish->pass_on);
    if (rc == GUACO_OK)
        rc = add_number(frame, (int64_t)finish->state);
    if (rc == GUACO_OK)
        rc = finish->keep ? add_number(frame, (int64_t)finish->ttl_s * 1000)
                          : add_text(frame, "");
    if (rc == GUACO_OK)
        rc = add(frame, finish->body);
    if (rc == GUACO_OK)
        rc = add(frame, finish->reason);
    if (rc != GUACO_OK)
        return rc;
    return finish->follow_count == 0
               ? add_flag(frame, false)
               : add_puts(frame, finish->follow, finish->follow_count);
}

static int
add_finishes(struct redis_frame *frame, struct guaco__op *const *ops, size_t n)
{
    const union redis_value head[] = {{.n = (int64_t)ops[0]->finish.owner},
                                      {.n = (int64_t)n}};
    int rc = add_op(frame, "Fnn", head);

    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = add_number(frame, (int64_t)ops[i]->finish.id);
    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = add_number(frame, ops[i]->finish.attempt);
    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = add_outcome(frame, &ops[i]->finish);
    return rc;
}

/* ---- owners ---- */

/* "PID PID_START PID_SPACE BOOT_ID": only clients read it. */
static int
add_owner(struct redis_store *self, struct redis_frame *frame,
          const struct guaco__op_owner *op)
{
    char who[128];
    int len = snprintf(who, sizeof who, "%d %llu %llu %s", (int)op->owner.pid,
                       (unsigned long long)op->owner.pid_start,
                       (unsigned long long)op->owner.pid_space, self->boot_id);
    const union redis_value values[] = {{.n = op->lease_ms},
                                        {.s = {who, (size_t)len}}};

    return add_op(frame, "Ons", values);
}

/* ---- recurring tasks ---- */

/* 20 digits, so that the greater text is the greater number. */
static struct guaco_slice
generation_of(uint64_t generation, char text[24])
{
    int len = snprintf(text, 24, "%020llu", (unsigned long long)generation);

    return (struct guaco_slice){text, (size_t)len};
}

static int
add_recurs(struct redis_frame *frame, const struct guaco__op_recur_set *set)
{
    char text[24];
    const union redis_value head[] = {
        {.s = set->queue},
        {.s = generation_of(set->generation, text)},
        {.n = (int64_t)set->n}};
    int rc = add_op(frame, "Ussn", head);

    for (size_t i = 0; i < set->n && rc == GUACO_OK; i++) {
        const struct guaco__recur *def = &set->all[i];
        const struct guaco_slice slices[] = {def->name, def->spec, def->zone};
        for (size_t j = 0; j < 3 && rc == GUACO_OK; j++)
            rc = add(frame, slices[j]);
        if (rc == GUACO_OK)
            rc = add_number(frame, (int64_t)def->catch_up);
        if (rc == GUACO_OK)
            rc = add_number(frame, def->priority);
        if (rc == GUACO_OK)
            rc = add(frame, def->envelope);
    }
    return rc;
}

static int
add_tick(struct redis_frame *frame, const struct guaco__op_tick *tick)
{
    char text[24];
    const union redis_value head[] = {
        {.s = tick->queue},
        {.s = tick->name},
        {.s = generation_of(tick->generation, text)},
        {.n = tick->expect_ms},
        {.n = tick->last_ms}};
    int rc = add_op(frame, "Ksssnn", head);

    if (rc != GUACO_OK)
        return rc;
    return tick->n == 0 ? add_flag(frame, false)
                        : add_puts(frame, tick->tasks, tick->n);
}

/* ---- ops ---- */

static int
add_run_op(struct redis_frame *frame, const struct guaco__op *op)
{
    if (op->kind == GUACO__OP_CLAIM) {
        const struct guaco__op_claim *claim = &op->claim;
        const union redis_value values[] = {{.s = claim->queue},
                                            {.n = (int64_t)claim->owner},
                                            {.n = claim->max},
                                            {.f = claim->alone}};
        return add_op(frame, "Csnnf", values);
    }
    if (op->kind == GUACO__OP_RELEASE) {
        const struct guaco__op_release *release = &op->release;
        const union redis_value values[] = {{.n = (int64_t)release->owner},
                                            {.n = (int64_t)release->id},
                                            {.n = release->attempt},
                                            {.n = (int64_t)release->delay_ms},
                                            {.f = release->failed}};
        return add_op(frame, "Rnnnnf", values);
    }
    assert(op->kind == GUACO__OP_EVENT);
    const union redis_value values[] = {{.n = (int64_t)op->event.owner},
                                        {.n = (int64_t)op->event.id},
                                        {.n = op->event.attempt},
                                        {.s = op->event.body}};
    return add_op(frame, "Ennns", values);
}

static int
add_small(struct redis_frame *frame, const char *form, union redis_value a,
          union redis_value b, union redis_value c)
{
    const union redis_value values[] = {a, b, c};

    return add_op(frame, form, values);
}

#define N(x) ((union redis_value){.n = (int64_t)(x)})
#define F(x) ((union redis_value){.f = (x)})
#define S(x) ((union redis_value){.s = (x)})

static int
add_list(struct redis_frame *frame, const struct guaco__op_list *list)
{
    const union redis_value values[] = {{.s = list->queue},
                                        {.n = (int64_t)list->state},
                                        {.n = (int64_t)list->offset},
                                        {.n = list->limit}};

    return add_op(frame, "Ysnnn", values);
}

static int
add_read(struct redis_frame *frame, const struct guaco__op_read *read)
{
    const union redis_value values[] = {{.n = (int64_t)read->id},
                                        {.n = read->after},
                                        {.f = read->take},
                                        {.f = read->members}};

    return add_op(frame, "Dnnff", values);
}

/* ---- steering ---- */

static int
add_key(struct redis_frame *frame, const struct guaco__op_key *key)
{
    const bool is_put =
        key->verb == GUACO__KEY_PUT || key->verb == GUACO__KEY_PUT_IF_EMPTY;
    const union redis_value values[] = {
        {.n = (int64_t)key->verb},
        {.s = key->key},
        {.s = key->key},
        {.s = is_put ? key->value : (struct guaco_slice){0}},
        {.n = (int64_t)key->ttl_ms},
        {.n = key->amount}};

    return add_op(frame, "Hnstsnn", values);
}

static int
add_lock(struct redis_frame *frame, const struct guaco__op_lock *lock)
{
    const union redis_value values[] = {
        {.n = (int64_t)lock->verb},  {.s = lock->name},
        {.s = lock->name},           {.n = lock->slots},
        {.n = (int64_t)lock->owner}, {.n = (int64_t)lock->lease_ms},
        {.n = (int64_t)lock->token}};

    return add_op(frame, "Qnstnnnn", values);
}

static int
add_revoke(struct redis_frame *frame, const struct guaco__op_revoke *revoke)
{
    const union redis_value values[] = {{.n = (int64_t)revoke->verb},
                                        {.s = revoke->queue},
                                        {.s = revoke->key},
                                        {.n = revoke->until_ms},
                                        {.f = revoke->once}};

    return add_op(frame, "Bnssnf", values);
}

static int
add_recur_put(struct redis_frame *frame, const struct guaco__recur *def)
{
    const union redis_value values[] = {{.s = def->queue},
                                        {.s = def->name},
                                        {.s = def->spec},
                                        {.s = def->zone},
                                        {.n = (int64_t)def->catch_up},
                                        {.n = def->priority},
                                        {.s = def->envelope},
                                        {.f = def->is_paused}};

    return add_op(frame, "ussssnnsf", values);
}

static int
add_recur_name(struct redis_frame *frame, const struct guaco__op *op)
{
    const char *verb = op->kind == GUACO__OP_RECUR_DROP ? "d"
                       : op->recur_name.pause           ? "p"
                                                        : "r";
    return add_small(frame, "vsss", S(((struct guaco_slice){verb, 1})),
                     S(op->recur_name.queue), S(op->recur_name.name));
}

/* One op, but a finish. */
static int
add_one(struct redis_store *self, struct redis_frame *frame,
        const struct guaco__op *op)
{
    switch (op->kind) {
    case GUACO__OP_PUT: {
        int rc = add_text(frame, "P");
        return rc != GUACO_OK ? rc : add_puts(frame, op->put.tasks, op->put.n);
    }
    case GUACO__OP_CLAIM:
    case GUACO__OP_RELEASE:
    case GUACO__OP_EVENT: return add_run_op(frame, op);
    case GUACO__OP_OWNER_OPEN: return add_owner(self, frame, &op->owner);
    case GUACO__OP_OWNER_RENEW:
        return add_small(frame, "Nnn", N(op->owner.owner.id),
                         N(op->owner.lease_ms), N(0));
    case GUACO__OP_OWNER_REAP:
        return add_small(frame, "Xnfs", N(op->reap.owner), F(op->reap.died),
                         S(op->reap.reason));
    case GUACO__OP_OWNER_LIST: return add_text(frame, "L");
    case GUACO__OP_READ: return add_read(frame, &op->read);
    case GUACO__OP_PROMOTE:
        return add_small(frame, "Mn", N(op->promote.limit), N(0), N(0));
    case GUACO__OP_SWEEP:
        return add_small(frame, "Sn", N(op->sweep.limit), N(0), N(0));
    case GUACO__OP_RECUR_SET: return add_recurs(frame, &op->recur_set);
    case GUACO__OP_RECUR_LIST: return add_text(frame, "V");
    case GUACO__OP_TICK: return add_tick(frame, &op->tick);
    case GUACO__OP_STATS:
        return add_small(frame, "Ts", S(op->stats.queue), N(0), N(0));
    case GUACO__OP_LIST: return add_list(frame, &op->list);
    case GUACO__OP_PURGE:
        return add_small(frame, "Zsn", S(op->purge.queue), N(op->purge.state),
                         N(0));
    case GUACO__OP_REPLAY:
        return add_small(frame, "Wsn", S(op->replay.queue), N(op->replay.id),
                         N(0));
    case GUACO__OP_IDS: return add_small(frame, "In", N(op->ids.n), N(0), N(0));
    case GUACO__OP_CANCEL:
        return add_small(frame, "Gnsn", N(op->cancel.id), S(op->cancel.reason),
                         N((int64_t)op->cancel.ttl_s * 1000));
    case GUACO__OP_PAUSE:
        return add_small(frame, "Jsf", S(op->pause.queue), F(op->pause.pause),
                         N(0));
    case GUACO__OP_REVOKE: return add_revoke(frame, &op->revoke);
    case GUACO__OP_KEY: return add_key(frame, &op->key);
    case GUACO__OP_KEY_LIST:
        return add_small(frame, "Assn", S(op->key_list.prefix),
                         S(op->key_list.after), N(op->key_list.limit));
    case GUACO__OP_LOCK: return add_lock(frame, &op->lock);
    case GUACO__OP_RECUR_PUT: return add_recur_put(frame, op->recur_put.def);
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE: return add_recur_name(frame, op);
    case GUACO__OP_FINISH: break;
    }
    return GUACO_E_STATE;
}

int
guaco__redis_encode(struct redis_store *self, struct redis_frame *frame,
                    struct guaco__op **ops, const bool *skip, size_t n,
                    size_t first)
{
    int rc = GUACO_OK;

    guaco__buf_reset(&frame->args);
    frame->arg_count = 0;
    frame->first = first;
    size_t i = first;
    while (i < n && rc == GUACO_OK && frame->args.len < FRAME_SOFT) {
        size_t taken = 1;
        if (skip[i])
            rc = GUACO_OK;
        else if (ops[i]->kind == GUACO__OP_FINISH)
            rc = add_finishes(frame, ops + i,
                              taken = guaco__redis_finishes(ops, skip, n, i));
        else
            rc = add_one(self, frame, ops[i]);
        i += taken;
    }
    frame->count = i - first;
    return rc;
}
