/*
 * fixture_record PID >FILE: sample a stopped process and write down all memory
 * that was looked at, in the form of fuzz/fuzz_profile_memory.c.
 *
 *     python3 -S target.py & kill -STOP $!; fixture_record $! >py3.14
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/target.h"

enum { BLOCK = 64, BLOCKS_MAX = 1 << 16 };

static uint64_t blocks[BLOCKS_MAX];
static size_t block_count;
static struct guaco__vmem_ops recording;
static const struct guaco__vmem_ops *below;

static int
record_read(struct guaco__vmem *memory, const struct guaco__span *spans,
            size_t count, size_t *done)
{
    int rc = below->read(memory, spans, count, done);

    for (size_t i = 0; i < *done; i++)
        for (uint64_t at = spans[i].from / BLOCK * BLOCK;
             at < spans[i].from + spans[i].len && block_count < BLOCKS_MAX;
             at += BLOCK)
            blocks[block_count++] = at;
    return rc;
}

static int
compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static void
ignore(void *ctx, const struct guaco__thread_sample *sample)
{
    (void)ctx;
    (void)sample;
}

/* Sort the blocks, each once; the number of ranges that they make up. */
static uint32_t
blocks_settle(void)
{
    size_t kept = 0;
    uint32_t ranges = 0;

    qsort(blocks, block_count, sizeof blocks[0], compare);
    for (size_t i = 0; i < block_count; i++) {
        if (kept > 0 && blocks[kept - 1] == blocks[i])
            continue;
        ranges += kept == 0 || blocks[kept - 1] + BLOCK != blocks[i];
        blocks[kept++] = blocks[i];
    }
    block_count = kept;
    return ranges;
}

static void
write_fixture(struct guaco__vmem *memory)
{
    uint32_t head[2] = {1, blocks_settle()};

    fwrite("GUACOMEM", 1, 8, stdout);
    fwrite(head, 4, 2, stdout);
    for (size_t i = 0, n = 0; i < block_count; i += n) {
        for (n = 1;
             i + n < block_count && blocks[i] + n * BLOCK == blocks[i + n];)
            n++;
        uint64_t range[2] = {blocks[i], n * BLOCK};
        fwrite(range, 8, 2, stdout);
    }
    for (size_t i = 0; i < block_count; i++) {
        char bytes[BLOCK] = {0};
        guaco__vmem_get(memory, blocks[i], bytes, BLOCK);
        fwrite(bytes, 1, BLOCK, stdout);
    }
}

int
main(int argc, char **argv)
{
    struct guaco__vmem *memory = NULL;
    struct guaco__runtime runtime;
    struct guaco__target *target = NULL;
    struct guaco_error err = {0};
    int pid = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;

    if (pid <= 0 || guaco__vmem_of_process(&memory, pid, &err) != GUACO_OK ||
        guaco__runtime_find(&runtime, pid, memory, &err) != GUACO_OK) {
        fprintf(stderr, "fixture_record: %s\n", err.text);
        return 1;
    }
    below = memory->ops;
    recording = *below;
    recording.read = record_read;
    memory->ops = &recording;
    if (guaco__target_of_memory(&target, memory, &runtime, &err) != GUACO_OK)
        return 1;
    char head[GUACO__DEBUG_OFFSETS_BYTES];
    guaco__vmem_get(memory, runtime.address, head, sizeof head);
    for (int i = 0; i < 3; i++)
        guaco__target_sample(target, GUACO__SAMPLE_THREADS, ignore, NULL);
    memory->ops = below;
    putchar((int)(runtime.layout.version & 255u));
    fwrite(&runtime.address, 8, 1, stdout);
    write_fixture(memory);
    guaco__target_free(target);
    return fflush(stdout) == 0 ? 0 : 1;
}
