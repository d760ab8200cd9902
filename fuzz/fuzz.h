#ifndef GUACO_FUZZ_H
#define GUACO_FUZZ_H

/* What every fuzz target includes. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* libFuzzer's entry point; replay.c calls it too.  Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Checked in every build, whatever NDEBUG says. */
#define MUST(claim)   \
    do {              \
        if (!(claim)) \
            abort();  \
    } while (0)

#endif
