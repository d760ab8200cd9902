/*
 * Fuzz what travels between a process and the keeper of memory:.  The first byte
 * chooses the end: any bytes are read or refused, never read beyond; a request
 * that was read is written again the same; an answer gives what can be freed.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "queue/wire.h"

#define OUT_MAX (64u << 20)

static void
check_frames(struct guaco_slice in)
{
    struct guaco__wire_frame frame;
    size_t taken;

    while (guaco__wire_frame(in, 4096, &frame, &taken) == GUACO_OK) {
        MUST(taken <= in.len);
        MUST(frame.payload.len + GUACO__WIRE_HEAD_BYTES == taken);
        in.at += taken;
        in.len -= taken;
    }
}

static void
check_notice(struct guaco_slice in)
{
    char out[GUACO__WIRE_NOTICE_MAX];
    struct guaco__notice notice, again;

    if (guaco__wire_get_notice(in, &notice) != GUACO_OK)
        return;
    size_t len = guaco__wire_put_notice(out, &notice);
    MUST(len <= sizeof out);
    MUST(guaco__wire_get_notice((struct guaco_slice){out, len}, &again) ==
         GUACO_OK);
    MUST(memcmp(&notice, &again, sizeof notice) == 0);
}

/* The ops written, read and written again are the same bytes. */
static void
check_again(const struct guaco__wire_run *run)
{
    struct guaco__arena arena;
    struct guaco__wire_run again;
    struct guaco__buf one, two;

    guaco__arena_init(&arena, 4096, OUT_MAX);
    guaco__buf_init(&one, OUT_MAX);
    guaco__buf_init(&two, OUT_MAX);
    char count[2] = {(char)(unsigned char)((run->n & 0x7f) | 0x80),
                     (char)(run->n >> 7)};
    MUST(guaco__buf_append(&one, count, 2) == GUACO_OK);
    for (size_t i = 0; i < run->n; i++)
        MUST(guaco__wire_put_op(&one, &run->ops[i]) == GUACO_OK);
    MUST(guaco__wire_get_run(&arena, guaco__buf_slice(&one), &again) ==
         GUACO_OK);
    MUST(again.n == run->n);
    MUST(guaco__buf_append(&two, count, 2) == GUACO_OK);
    for (size_t i = 0; i < again.n; i++)
        MUST(guaco__wire_put_op(&two, &again.ops[i]) == GUACO_OK);
    MUST(guaco_slice_equals(guaco__buf_slice(&one), guaco__buf_slice(&two)));
    guaco__wire_run_release(&again);
    guaco__buf_release(&one);
    guaco__buf_release(&two);
    guaco__arena_release(&arena);
}

static void
check_run(struct guaco_slice in)
{
    struct guaco__arena arena;
    struct guaco__wire_run run;

    guaco__arena_init(&arena, 4096, OUT_MAX);
    if (guaco__wire_get_run(&arena, in, &run) == GUACO_OK)
        check_again(&run);
    guaco__wire_run_release(&run);
    guaco__arena_release(&arena);
}

static void
count_row(void *ctx, const struct guaco__row *row)
{
    size_t *bytes = ctx;

    *bytes += row->envelope.len + row->reason.len;
}

static void
count_key(void *ctx, struct guaco_slice key, struct guaco_slice value)
{
    size_t *bytes = ctx;

    *bytes += key.len + value.len;
}

/* An answer to one op of each kind. */
static void
check_answer(struct guaco_slice in)
{
    struct guaco__row rows[9];
    struct guaco__put puts[2] = {{.priority = 0}};
    struct guaco_news news = {0};
    struct guaco_queue_stats stats = {0};
    size_t bytes = 0;
    struct guaco__op ops[GUACO__OP_LAST] = {{0}};
    struct guaco__op *all[GUACO__OP_LAST];

    for (size_t i = 0; i < GUACO__OP_LAST; i++) {
        ops[i].kind = (enum guaco__op_kind)(i + 1);
        all[i] = &ops[i];
    }
    ops[GUACO__OP_PUT - 1].put = (struct guaco__op_put){puts, 2};
    ops[GUACO__OP_CLAIM - 1].claim =
        (struct guaco__op_claim){.max = 8, .rows = rows};
    ops[GUACO__OP_READ - 1].read.news = &news;
    ops[GUACO__OP_STATS - 1].stats.stats = &stats;
    ops[GUACO__OP_LIST - 1].list =
        (struct guaco__op_list){.limit = 8, .fn = count_row, .ctx = &bytes};
    ops[GUACO__OP_KEY_LIST - 1].key_list =
        (struct guaco__op_key_list){.limit = 8, .fn = count_key, .ctx = &bytes};
    ops[GUACO__OP_KEY - 1].key.verb = GUACO__KEY_GET;
    (void)guaco__wire_get_answer(in, all, GUACO__OP_LAST, NULL);
    for (size_t i = 0; i < GUACO__OP_LAST; i++)
        guaco__op_take_back(&ops[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct guaco_slice in = {(const char *)data + 1, size - 1};
    switch (data[0] % 4) {
    case 0: check_frames(in); break;
    case 1: check_notice(in); break;
    case 2: check_run(in); break;
    default: check_answer(in); break;
    }
    return 0;
}
