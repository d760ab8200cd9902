/*
 * Fuzz the words that an interpreter publishes about itself: the first bytes of
 * its _PyRuntime.  Offsets that are accepted stay inside what readers have room
 * for.
 */

#include "fuzz.h"

#include <string.h>

#include "profile/layout.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__layout l;
    struct guaco_slice head = {(const char *)data, size};
    uint32_t hexversion;

    if (guaco__layout_debug_version(head, &hexversion) != GUACO_OK) {
        MUST(guaco__layout_debug(&l, head, NULL) != GUACO_OK);
        return 0;
    }
    if (guaco__layout_debug(&l, head, NULL) != GUACO_OK)
        return 0;
    MUST(l.version == hexversion >> 16);
    MUST(l.frame.localsplus <= GUACO__FRAME_BYTES_MAX);
    MUST(l.frame.stacktop + 4 <= l.frame.localsplus);
    MUST(l.frame.executable + 8 <= l.frame.localsplus);
    MUST(l.code.size <= GUACO__CODE_BYTES_MAX);
    MUST(l.code.name + 8 <= l.code.size);
    MUST(l.gil.size <= GUACO__GIL_BYTES_MAX);
    MUST(l.gil.switch_number + 8 <= l.gil.size);
    MUST(l.text.length + 8 <= GUACO__TEXT_HEAD_BYTES_MAX);
    MUST(l.thread.datastack_chunk + 16 <= l.thread.size);
    MUST(l.thread.size <= (1u << 22));
    return 0;
}
