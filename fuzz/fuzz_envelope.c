/*
 * Fuzz the envelope of a stored task: any bytes are read or refused, never read
 * beyond; and a task that was read, written again, reads the same.
 */

#include "fuzz.h"

#include <string.h>

#include "queue/envelope.h"

static void
check_same(const struct guaco_task *a, const struct guaco_task *b)
{
    MUST(guaco_slice_equals(a->name, b->name));
    MUST(guaco_slice_equals(a->headers, b->headers));
    MUST(guaco_slice_equals(a->body, b->body));
    MUST(a->expires_ms == b->expires_ms);
    MUST(a->priority == b->priority);
    MUST(a->retries == b->retries);
    MUST(a->retry_delay_ms == b->retry_delay_ms);
    MUST(a->retry_backoff_percent == b->retry_backoff_percent);
    MUST(a->timeout_ms == b->timeout_ms);
    MUST(a->result_ttl_s == b->result_ttl_s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco_slice envelope = {(const char *)data, size};
    struct guaco_task task, again;
    struct guaco__buf buf;

    if (guaco__envelope_read(envelope, &task) != GUACO_OK)
        return 0;
    guaco__buf_init(&buf, GUACO__ENVELOPE_MAX);
    MUST(guaco__envelope_write(&buf, &task) == GUACO_OK);
    MUST(guaco__envelope_read(guaco__buf_slice(&buf), &again) == GUACO_OK);
    check_same(&task, &again);
    guaco__buf_release(&buf);
    return 0;
}
