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

/* Several of them, as the arguments of one op: its letter, then numbers (n),
 * flags (f) and slices (s) as `form` says. */
union value {
    int64_t n;
    bool f;
    struct guaco_slice s;
};

static int
add_op(struct redis_frame *frame, const char *form, const union value *values)
{
    int rc = add(frame, (struct guaco_slice){form, 1});

    for (form++; *form != '\0' && rc == GUACO_OK; form++, values++)
        rc = *form == 'n'   ? add_number(frame, values->n)
             : *form == 'f' ? add_flag(frame, values->f)
                            : add(frame, values->s);
    return rc;
}

/* ---- puts ---- */

static bool
is_alike(const struct guaco__put *a, const struct guaco__put *b)
{
    return a->priority == b->priority && a->due_ms == b->due_ms &&
           guaco_slice_equals(a->queue, b->queue);
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

static int
add_puts(struct redis_frame *frame, const struct guaco__put *puts, size_t n)
{
    int64_t groups = 0;

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
            rc = add(frame, puts[i].envelope);
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
    if (!finish->keep && finish->follow_count == 0)
        return add_flag(frame, false);
    int rc = add_flag(frame, true);
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
    const union value head[] = {{.n = (int64_t)ops[0]->finish.owner},
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
    const union value values[] = {{.n = op->lease_ms},
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
    const union value head[] = {{.s = set->queue},
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
    const union value head[] = {{.s = tick->queue},
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
        const union value values[] = {{.s = claim->queue},
                                      {.n = (int64_t)claim->owner},
                                      {.n = claim->max},
                                      {.f = claim->alone}};
        return add_op(frame, "Csnnf", values);
    }
    if (op->kind == GUACO__OP_RELEASE) {
        const struct guaco__op_release *release = &op->release;
        const union value values[] = {{.n = (int64_t)release->owner},
                                      {.n = (int64_t)release->id},
                                      {.n = release->attempt},
                                      {.n = (int64_t)release->delay_ms},
                                      {.f = release->failed}};
        return add_op(frame, "Rnnnnf", values);
    }
    assert(op->kind == GUACO__OP_EVENT);
    const union value values[] = {{.n = (int64_t)op->event.owner},
                                  {.n = (int64_t)op->event.id},
                                  {.n = op->event.attempt},
                                  {.s = op->event.body}};
    return add_op(frame, "Ennns", values);
}

static int
add_small(struct redis_frame *frame, const char *form, union value a,
          union value b, union value c)
{
    const union value values[] = {a, b, c};

    return add_op(frame, form, values);
}

#define N(x) ((union value){.n = (int64_t)(x)})
#define F(x) ((union value){.f = (x)})
#define S(x) ((union value){.s = (x)})

static int
add_list(struct redis_frame *frame, const struct guaco__op_list *list)
{
    const union value values[] = {{.s = list->queue},
                                  {.n = (int64_t)list->state},
                                  {.n = (int64_t)list->offset},
                                  {.n = list->limit}};

    return add_op(frame, "Ysnnn", values);
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
    case GUACO__OP_READ:
        return add_small(frame, "Dnnf", N(op->read.id), N(op->read.after),
                         F(op->read.take));
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
