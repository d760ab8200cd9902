/*
 * Fuzz everything that reads another process's memory: debug offsets, lists of
 * threads, code objects, texts, stacks, local variables, names of threads,
 * tasks, over a recorded fixture.
 *
 *     u8 minor version   u64 address of _PyRuntime   a fixture (memory.h)
 *
 * Whatever is in it, three samples end, and each stack names code objects with
 * valid UTF-8.
 */

#include "fuzz.h"

#include <string.h>

#include "base/utf8.h"
#include "profile/locals.h"
#include "profile/target.h"

struct seen {
    struct guaco__vmem *memory;
    const struct guaco__layout *layout;
};

static int
on_local(void *ctx, struct guaco_slice name, struct guaco_slice value)
{
    (void)ctx;
    MUST(guaco__utf8_is_valid(name.at, name.len));
    MUST(value.len > 0);
    return GUACO_OK;
}

static void
on_thread(void *ctx, const struct guaco__thread_sample *sample)
{
    const struct seen *seen = ctx;
    const struct guaco__layout *layout = seen->layout;

    MUST(sample->stack->count <= GUACO__STACK_DEPTH_MAX);
    for (size_t i = 0; i < sample->stack->count; i++) {
        const struct guaco__frame *frame = &sample->stack->frames[i];
        MUST(guaco__utf8_is_valid(frame->code->name.at, frame->code->name.len));
        MUST(guaco__utf8_is_valid(frame->code->file.at, frame->code->file.len));
        if (frame->offset >= 0)
            guaco__code_line(frame->code, layout, (uint32_t)frame->offset);
        if (i < 64)
            guaco__locals_read(seen->memory, layout, frame, on_local, NULL);
    }
}

static int
layout_of(struct guaco__runtime *runtime, struct guaco__vmem *memory,
          uint32_t version)
{
    char head[GUACO__DEBUG_OFFSETS_BYTES];
    const struct guaco__layout *fixed = guaco__layout_fixed(version);

    if (fixed != NULL) {
        runtime->layout = *fixed;
        return GUACO_OK;
    }
    int rc = guaco__vmem_get(memory, runtime->address, head, sizeof head);
    if (rc != GUACO_OK)
        return rc;
    return guaco__layout_debug(&runtime->layout,
                               (struct guaco_slice){head, sizeof head}, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__runtime runtime = {.address = 0};
    struct guaco__vmem *memory = NULL;
    struct guaco__target *target = NULL;

    if (size < 9)
        return 0;
    memcpy(&runtime.address, data + 1, 8);
    if (guaco__vmem_of_fixture(&memory, data + 9, size - 9, NULL) != GUACO_OK)
        return 0;
    if (layout_of(&runtime, memory, GUACO__VERSION(3, data[0] % 16)) !=
            GUACO_OK ||
        guaco__target_of_memory(&target, memory, &runtime, NULL) != GUACO_OK) {
        guaco__vmem_close(memory);
        return 0;
    }
    struct seen seen = {memory, &runtime.layout};
    guaco__target_want(target, GUACO__WANT_NAMES | GUACO__WANT_TASKS);
    for (int i = 0; i < 3; i++)
        guaco__target_sample(
            target, i < 2 ? GUACO__SAMPLE_THREADS : GUACO__SAMPLE_HOLDERS,
            on_thread, &seen);
    guaco__target_free(target);
    return 0;
}
