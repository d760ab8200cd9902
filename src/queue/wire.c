/* The wire's numbers, bytes, frames and notices. */

#include <assert.h>

#include "envelope.h"
#include "wire_int.h"

#define VARINT_MAX 10 /* bytes of a 64-bit LEB128 number */

/* ---- numbers and bytes ---- */

static size_t
write_varint(char *at, uint64_t value)
{
    size_t n = 0;

    while (value >= 0x80) {
        at[n++] = (char)(unsigned char)(value | 0x80);
        value >>= 7;
    }
    at[n++] = (char)value;
    return n;
}

static uint64_t
zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

void
guaco__wire_put_number(struct wire_writer *w, uint64_t value)
{
    char bytes[VARINT_MAX];

    if (w->rc == GUACO_OK)
        w->rc = guaco__buf_append(w->out, bytes, write_varint(bytes, value));
}

void
guaco__wire_put_signed(struct wire_writer *w, int64_t value)
{
    guaco__wire_put_number(w, zigzag(value));
}

void
guaco__wire_put_bytes(struct wire_writer *w, struct guaco_slice bytes)
{
    guaco__wire_put_number(w, bytes.len);
    if (w->rc == GUACO_OK)
        w->rc = guaco__buf_append(w->out, bytes.at, bytes.len);
}

uint64_t
guaco__wire_get_number(struct wire_reader *r, uint64_t max)
{
    uint64_t value = 0;

    for (unsigned shift = 0; r->rc == GUACO_OK; shift += 7) {
        if (r->at == r->end || shift > 63)
            break;
        unsigned char byte = (unsigned char)*r->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80 && value <= max)
            return value;
        if (byte < 0x80)
            break;
    }
    r->rc = GUACO_E_PROTO;
    return 0;
}

int64_t
guaco__wire_get_signed(struct wire_reader *r, int64_t min, int64_t max)
{
    uint64_t bits = guaco__wire_get_number(r, UINT64_MAX);
    int64_t half = (int64_t)(bits >> 1);
    int64_t value = (bits & 1) != 0 ? -half - 1 : half;

    if (r->rc == GUACO_OK && value >= min && value <= max)
        return value;
    r->rc = GUACO_E_PROTO;
    return 0;
}

struct guaco_slice
guaco__wire_get_bytes(struct wire_reader *r, size_t max)
{
    size_t len = guaco__wire_get_number(r, max);

    if (r->rc == GUACO_OK && len <= (size_t)(r->end - r->at)) {
        struct guaco_slice bytes = {r->at, len};
        r->at += len;
        return bytes;
    }
    r->rc = GUACO_E_PROTO;
    return (struct guaco_slice){"", 0};
}

size_t
guaco__wire_get_count(struct wire_reader *r, size_t max, size_t least)
{
    size_t n = guaco__wire_get_number(r, max);

    if (r->rc == GUACO_OK && n <= (size_t)(r->end - r->at) / least)
        return n;
    r->rc = GUACO_E_PROTO;
    return 0;
}

/* ---- frames ---- */

int
guaco__wire_begin(struct guaco__buf *out, enum guaco__wire_type type,
                  size_t *start)
{
    const char head[GUACO__WIRE_HEAD_BYTES] = {
        0, 0, 0, 0, GUACO__WIRE_VERSION, (char)type};

    *start = out->len;
    return guaco__buf_append(out, head, sizeof head);
}

int
guaco__wire_end(struct guaco__buf *out, size_t start, size_t max)
{
    assert(out->len >= start + GUACO__WIRE_HEAD_BYTES);
    size_t len = out->len - start - GUACO__WIRE_HEAD_BYTES;
    char *head = guaco__buf_data(out) + start;

    if (len > max)
        return GUACO_E_LIMIT;
    for (unsigned i = 0; i < 4; i++)
        head[i] = (char)(unsigned char)(len >> (8 * i));
    return GUACO_OK;
}

int
guaco__wire_frame(struct guaco_slice in, size_t max,
                  struct guaco__wire_frame *frame, size_t *taken)
{
    size_t len = 0;

    if (in.len < GUACO__WIRE_HEAD_BYTES)
        return GUACO_E_AGAIN;
    for (unsigned i = 0; i < 4; i++)
        len |= (size_t)(unsigned char)in.at[i] << (8 * i);
    if (in.at[4] != GUACO__WIRE_VERSION)
        return GUACO_E_UNSUPPORTED;
    if (in.at[5] < GUACO__WIRE_HELLO || in.at[5] > GUACO__WIRE_RING ||
        len > max)
        return GUACO_E_PROTO;
    if (in.len - GUACO__WIRE_HEAD_BYTES < len)
        return GUACO_E_AGAIN;
    frame->type = (enum guaco__wire_type)in.at[5];
    frame->payload = (struct guaco_slice){in.at + GUACO__WIRE_HEAD_BYTES, len};
    *taken = GUACO__WIRE_HEAD_BYTES + len;
    return GUACO_OK;
}

/* ---- notices ---- */

size_t
guaco__wire_put_notice(char *out, const struct guaco__notice *notice)
{
    size_t name_len = strlen(notice->queue);
    size_t n = 0;

    static_assert(GUACO__WIRE_NOTICE_MAX >=
                      GUACO_QUEUE_NAME_MAX + 5 * VARINT_MAX,
                  "a notice fits");
    out[n++] = (char)notice->kind;
    n += write_varint(out + n, name_len);
    memcpy(out + n, notice->queue, name_len);
    n += name_len;
    n += write_varint(out + n, notice->id);
    n += write_varint(out + n, notice->count);
    n += write_varint(out + n, zigzag(notice->due_ms));
    return n;
}

int
guaco__wire_get_notice(struct guaco_slice in, struct guaco__notice *notice)
{
    struct wire_reader r = {in.at, in.at + in.len, GUACO_OK};

    *notice = (struct guaco__notice){0};
    uint64_t kind = guaco__wire_get_number(&r, GUACO__NOTICE_KEEPER);
    struct guaco_slice queue = guaco__wire_get_bytes(&r, GUACO_QUEUE_NAME_MAX);
    notice->id = guaco__wire_get_number(&r, UINT64_MAX);
    notice->count = (uint32_t)guaco__wire_get_number(&r, UINT32_MAX);
    notice->due_ms = guaco__wire_get_signed(&r, INT64_MIN, INT64_MAX);
    if (r.rc != GUACO_OK || r.at != r.end || kind < GUACO__NOTICE_TASKS)
        return GUACO_E_PROTO;
    notice->kind = (enum guaco__notice_kind)kind;
    memcpy(notice->queue, queue.at, queue.len);
    if (kind == GUACO__NOTICE_TASKS)
        return guaco__queue_check(queue, NULL) == GUACO_OK ? GUACO_OK
                                                           : GUACO_E_PROTO;
    return queue.len == 0 ? GUACO_OK : GUACO_E_PROTO;
}

/* ---- what ops have in common ---- */

void
guaco__wire_put_row(struct wire_writer *w, const struct guaco__row *row)
{
    guaco__wire_put_number(w, row->id);
    guaco__wire_put_number(w, row->attempt);
    guaco__wire_put_number(w, row->failures);
    guaco__wire_put_number(w, row->deaths);
    guaco__wire_put_number(w, row->is_suspect);
    guaco__wire_put_number(w, row->has_rules);
    guaco__wire_put_number(w, row->members);
    guaco__wire_put_signed(w, row->since_ms);
    guaco__wire_put_signed(w, row->priority);
    guaco__wire_put_bytes(w, row->envelope);
    guaco__wire_put_bytes(w, row->reason);
}

void
guaco__wire_get_row(struct wire_reader *r, struct guaco__row *row)
{
    row->id = guaco__wire_get_number(r, UINT64_MAX);
    row->attempt = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    row->failures = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    row->deaths = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    row->is_suspect = guaco__wire_get_number(r, 1) != 0;
    row->has_rules = guaco__wire_get_number(r, 1) != 0;
    row->members = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    row->since_ms = guaco__wire_get_signed(r, INT64_MIN, INT64_MAX);
    row->priority = (int32_t)guaco__wire_get_signed(r, -GUACO_TASK_PRIORITY_MAX,
                                                    GUACO_TASK_PRIORITY_MAX);
    row->envelope = guaco__wire_get_bytes(r, GUACO__ENVELOPE_MAX);
    row->reason = guaco__wire_get_bytes(r, GUACO_REASON_MAX);
}

void
guaco__wire_put_recur(struct wire_writer *w, const struct guaco__recur *recur)
{
    guaco__wire_put_bytes(w, recur->queue);
    guaco__wire_put_bytes(w, recur->name);
    guaco__wire_put_bytes(w, recur->spec);
    guaco__wire_put_bytes(w, recur->zone);
    guaco__wire_put_bytes(w, recur->envelope);
    guaco__wire_put_number(w, recur->catch_up);
    guaco__wire_put_number(w, recur->generation);
    guaco__wire_put_signed(w, recur->priority);
    guaco__wire_put_signed(w, recur->last_ms);
    guaco__wire_put_number(w, recur->is_paused);
    guaco__wire_put_number(w, recur->is_run_time);
}

void
guaco__wire_get_recur(struct wire_reader *r, struct guaco__recur *recur)
{
    recur->queue = guaco__wire_get_bytes(r, GUACO_QUEUE_NAME_MAX);
    if (guaco__queue_check(recur->queue, NULL) != GUACO_OK)
        r->rc = GUACO_E_PROTO;
    recur->name = guaco__wire_get_bytes(r, GUACO_TASK_NAME_MAX);
    recur->spec = guaco__wire_get_bytes(r, GUACO_REASON_MAX);
    recur->zone = guaco__wire_get_bytes(r, GUACO_REASON_MAX);
    recur->envelope = guaco__wire_get_bytes(r, GUACO__ENVELOPE_MAX);
    uint64_t catch_up = guaco__wire_get_number(r, GUACO_CATCH_UP_ALL);
    if (catch_up < GUACO_CATCH_UP_SKIP)
        r->rc = GUACO_E_PROTO;
    recur->catch_up = (enum guaco_catch_up)catch_up;
    recur->generation = guaco__wire_get_number(r, INT64_MAX);
    recur->priority = (int32_t)guaco__wire_get_signed(
        r, -GUACO_TASK_PRIORITY_MAX, GUACO_TASK_PRIORITY_MAX);
    recur->last_ms = guaco__wire_get_signed(r, INT64_MIN, INT64_MAX);
    recur->is_paused = guaco__wire_get_number(r, 1) != 0;
    recur->is_run_time = guaco__wire_get_number(r, 1) != 0;
}

/* ---- rules ---- */

static void
put_limit(struct wire_writer *w, const struct guaco_limit *limit)
{
    guaco__wire_put_bytes(w, limit->key);
    if (limit->key.len == 0)
        return;
    guaco__wire_put_number(w, limit->running_max);
    guaco__wire_put_number(w, limit->rate_count);
    guaco__wire_put_number(w, limit->rate_period_ms);
    guaco__wire_put_number(w, limit->rate_burst);
    guaco__wire_put_number(w, limit->cost);
}

void
guaco__wire_put_rules(struct wire_writer *w, const struct guaco_rules *rules)
{
    guaco__wire_put_bytes(w, rules->unique);
    guaco__wire_put_number(w, (uint64_t)rules->unique_until);
    guaco__wire_put_number(w, rules->unique_ms);
    guaco__wire_put_number(w, rules->unique_replace);
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++)
        put_limit(w, &rules->limits[i]);
    guaco__wire_put_number(w, rules->joins);
    guaco__wire_put_number(w, rules->joins_must_succeed);
}

static void
get_limit(struct wire_reader *r, struct guaco_limit *limit)
{
    limit->key = guaco__wire_get_bytes(r, GUACO_KEY_MAX);
    if (limit->key.len == 0)
        return;
    limit->running_max = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    limit->rate_count = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    limit->rate_period_ms = guaco__wire_get_number(r, INT64_MAX);
    limit->rate_burst = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    limit->cost = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
}

void
guaco__wire_get_rules(struct wire_reader *r, struct guaco_rules *rules)
{
    rules->unique = guaco__wire_get_bytes(r, GUACO_KEY_MAX);
    rules->unique_until =
        (enum guaco_unique_until)guaco__wire_get_number(r, GUACO_UNIQUE_TIME);
    rules->unique_ms = guaco__wire_get_number(r, INT64_MAX);
    rules->unique_replace = guaco__wire_get_number(r, 1) != 0;
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++)
        get_limit(r, &rules->limits[i]);
    rules->joins = (uint32_t)guaco__wire_get_number(r, UINT32_MAX);
    rules->joins_must_succeed = guaco__wire_get_number(r, 1) != 0;
    if (r->rc == GUACO_OK && guaco__rules_check(rules, NULL) != GUACO_OK)
        r->rc = GUACO_E_PROTO;
}
