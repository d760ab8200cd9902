#include "envelope.h"

#include <assert.h>

#include "broker_int.h"

#define VARINT_MAX 10 /* bytes of a 64-bit LEB128 number */
#define RATE_MAX   1000000u
#define YEAR_MS    (366ULL * 24 * 3600 * 1000)
#define SINCE_TWO  7 /* the first of the numbers of version 2 */

/* ---- limits ---- */

static bool
is_queue_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

int
guaco__queue_check(struct guaco_slice queue, struct guaco_error *err)
{
    if (queue.len == 0 || queue.len > GUACO_QUEUE_NAME_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "queue name of %zu bytes, not 1 to %u", queue.len,
                          GUACO_QUEUE_NAME_MAX);
    for (size_t i = 0; i < queue.len; i++)
        if (!is_queue_char(queue.at[i]))
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "queue name with byte 0x%02x; letters, digits "
                              "and _ . - are allowed",
                              (unsigned char)queue.at[i]);
    return GUACO_OK;
}

static int
check_length(const char *what, struct guaco_slice slice, size_t max,
             struct guaco_error *err)
{
    if (slice.len <= max && (slice.at != NULL || slice.len == 0))
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_INVALID, 0, "%s of %zu bytes, most %zu",
                      what, slice.len, max);
}

int
guaco__task_check(const struct guaco_task *task, struct guaco_error *err)
{
    int rc = guaco__queue_check(task->queue, err);

    if (rc == GUACO_OK && task->name.len == 0)
        rc = guaco_fail(err, GUACO_E_INVALID, 0, "task without a name");
    if (rc == GUACO_OK)
        rc = check_length("task name", task->name, GUACO_TASK_NAME_MAX, err);
    if (rc == GUACO_OK)
        rc = check_length("task headers", task->headers, GUACO_TASK_HEADERS_MAX,
                          err);
    if (rc == GUACO_OK)
        rc = check_length("task body", task->body, GUACO_TASK_BODY_MAX, err);
    if (rc != GUACO_OK)
        return rc;
    if (memchr(task->name.at, '\0', task->name.len) != NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "task name with a NUL");
    if (task->priority < -GUACO_TASK_PRIORITY_MAX ||
        task->priority > GUACO_TASK_PRIORITY_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "priority %d, not -%d to %d",
                          task->priority, GUACO_TASK_PRIORITY_MAX,
                          GUACO_TASK_PRIORITY_MAX);
    if (task->due_ms < 0 || task->expires_ms < 0)
        return guaco_fail(err, GUACO_E_INVALID, 0, "time before 1970");
    if (task->retry_jitter_percent > 100)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "retry_jitter_percent of %u, most 100",
                          task->retry_jitter_percent);
    return task->rules == NULL ? GUACO_OK
                               : guaco__rules_check(task->rules, err);
}

static int
check_limit(const struct guaco_limit *limit, struct guaco_error *err)
{
    int64_t bucket_us;
    struct guaco__rate rate;

    if (limit->key.len == 0)
        return GUACO_OK;
    if (limit->rate_count > 0 &&
        (limit->rate_count > RATE_MAX || limit->rate_burst > RATE_MAX ||
         limit->rate_period_ms < 1 || limit->rate_period_ms > YEAR_MS))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "limit of %u in %llu ms, not 1 to %u in up to a year",
                          limit->rate_count,
                          (unsigned long long)limit->rate_period_ms, RATE_MAX);
    rate = guaco__rate_of(limit);
    if (__builtin_mul_overflow(rate.interval_us, rate.burst * 4, &bucket_us))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "limit whose burst takes an age to fill");
    if (limit->rate_count > 0 && (int64_t)limit->cost > rate.burst)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "cost of %u, more than the limit's burst of %lld",
                          limit->cost, (long long)rate.burst);
    return check_length("limit's key", limit->key, GUACO_KEY_MAX, err);
}

int
guaco__rules_check(const struct guaco_rules *rules, struct guaco_error *err)
{
    int rc = check_length("unique key", rules->unique, GUACO_KEY_MAX, err);

    for (unsigned i = 0; i < GUACO_LIMITS_MAX && rc == GUACO_OK; i++)
        rc = check_limit(&rules->limits[i], err);
    if (rc != GUACO_OK)
        return rc;
    if ((unsigned)rules->unique_until > GUACO_UNIQUE_TIME ||
        rules->unique_ms > YEAR_MS ||
        (rules->unique_until == GUACO_UNIQUE_TIME && rules->unique_ms == 0))
        return guaco_fail(
            err, GUACO_E_INVALID, 0, "unique until %d and for %llu ms",
            (int)rules->unique_until, (unsigned long long)rules->unique_ms);
    for (unsigned i = 1; i < GUACO_LIMITS_MAX; i++)
        if (rules->limits[i].key.len > 0 &&
            guaco_slice_equals(rules->limits[0].key, rules->limits[i].key))
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "two limits of a task have one key");
    if (rules->id >> 62 != 0)
        return guaco_fail(err, GUACO_E_INVALID, 0, "no id that was reserved");
    return GUACO_OK;
}

/* ---- writing ---- */

static char *
put_varint(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(unsigned char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

static uint64_t
zigzag(int32_t value)
{
    int64_t wide = value;
    return (uint64_t)(wide < 0 ? -2 * wide - 1 : 2 * wide);
}

int
guaco__envelope_write(struct guaco__buf *buf, const struct guaco_task *task)
{
    const uint64_t numbers[] = {
        (uint64_t)task->expires_ms,
        zigzag(task->priority),
        task->retries,
        task->retry_delay_ms,
        task->retry_backoff_percent,
        task->timeout_ms,
        task->result_ttl_s,
        task->retry_delay_max_ms,
        task->retry_jitter_percent,
        task->name.len,
        task->headers.len,
    };
    const size_t count = sizeof numbers / sizeof numbers[0];
    bool is_first =
        task->retry_delay_max_ms == 0 && task->retry_jitter_percent == 0;
    size_t most = 1 + count * VARINT_MAX + task->name.len + task->headers.len +
                  task->body.len;

    int rc = guaco__buf_reserve(buf, most);
    if (rc != GUACO_OK)
        return rc;

    char *start = guaco__buf_end(buf);
    char *at = start;
    *at++ = is_first ? 1 : GUACO__ENVELOPE_VERSION;
    for (size_t i = 0; i < count; i++)
        if (!is_first || i < SINCE_TWO || i > SINCE_TWO + 1)
            at = put_varint(at, numbers[i]);
    guaco__buf_commit(buf, (size_t)(at - start));

    /* Cannot fail: the room was reserved. */
    (void)guaco__buf_append(buf, task->name.at, task->name.len);
    (void)guaco__buf_append(buf, task->headers.at, task->headers.len);
    return guaco__buf_append(buf, task->body.at, task->body.len);
}

/* ---- reading ---- */

struct reader {
    const unsigned char *at;
    const unsigned char *end;
    bool failed;
};

static uint64_t
take_varint(struct reader *reader, uint64_t max)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && reader->at < reader->end;
         shift += 7) {
        uint64_t bits = *reader->at & 0x7fu;
        bool is_last = (*reader->at++ & 0x80u) == 0;

        if (shift == 63 && bits > 1)
            break;
        value |= bits << shift;
        if (is_last && value <= max)
            return value;
        if (is_last)
            break;
    }
    reader->failed = true;
    return 0;
}

static struct guaco_slice
take_bytes(struct reader *reader, size_t len)
{
    if (reader->failed || len > (size_t)(reader->end - reader->at)) {
        reader->failed = true;
        return (struct guaco_slice){0};
    }
    struct guaco_slice slice = {(const char *)reader->at, len};
    reader->at += len;
    return slice;
}

static int32_t
unzigzag(uint64_t value)
{
    int64_t half = (int64_t)(value >> 1);
    return (int32_t)((value & 1) != 0 ? -half - 1 : half);
}

int
guaco__envelope_read(struct guaco_slice envelope, struct guaco_task *task)
{
    *task = (struct guaco_task){0};
    if (envelope.len == 0)
        return GUACO_E_PROTO;
    if (envelope.at[0] < 1 || envelope.at[0] > GUACO__ENVELOPE_VERSION)
        return GUACO_E_UNSUPPORTED;

    const unsigned char *start = (const unsigned char *)envelope.at;
    struct reader reader = {.at = start + 1, .end = start + envelope.len};

    task->expires_ms = (int64_t)take_varint(&reader, INT64_MAX);
    task->priority =
        unzigzag(take_varint(&reader, zigzag(GUACO_TASK_PRIORITY_MAX)));
    task->retries = (uint32_t)take_varint(&reader, UINT32_MAX);
    task->retry_delay_ms = (uint32_t)take_varint(&reader, UINT32_MAX);
    task->retry_backoff_percent = (uint32_t)take_varint(&reader, UINT32_MAX);
    task->timeout_ms = (uint32_t)take_varint(&reader, UINT32_MAX);
    task->result_ttl_s = (uint32_t)take_varint(&reader, UINT32_MAX);
    if (envelope.at[0] > 1) {
        task->retry_delay_max_ms = (uint32_t)take_varint(&reader, UINT32_MAX);
        task->retry_jitter_percent = (uint32_t)take_varint(&reader, 100);
    }
    size_t name_len = take_varint(&reader, GUACO_TASK_NAME_MAX);
    size_t headers_len = take_varint(&reader, GUACO_TASK_HEADERS_MAX);
    task->name = take_bytes(&reader, name_len);
    task->headers = take_bytes(&reader, headers_len);
    if (reader.failed || name_len == 0)
        return GUACO_E_PROTO;
    task->body = take_bytes(&reader, (size_t)(reader.end - reader.at));
    return task->body.len > GUACO_TASK_BODY_MAX ? GUACO_E_PROTO : GUACO_OK;
}
