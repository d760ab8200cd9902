/*
 * Fuzz the reader of folded stacks and the flame graph drawn of them.  What was
 * written of a tally is read again without complaint.
 */

#include "fuzz.h"

#include "profile/flamegraph.h"
#include "profile/folded.h"

static int
write_of(struct guaco_slice text, struct guaco__buf *out)
{
    struct guaco__tally tally;

    guaco__tally_init(&tally);
    int rc = guaco__folded_read(&tally, text, NULL);
    if (rc == GUACO_OK) {
        MUST(guaco__tally_sort(&tally) == GUACO_OK);
        MUST(guaco__folded_write(&tally, out) == GUACO_OK);
    }
    guaco__tally_release(&tally);
    return rc;
}

static void
draw(struct guaco_slice text)
{
    struct guaco__flamegraph_options options = {
        .count_name = {"samples", 7},
        .min_width = 0.1,
    };
    struct guaco__tally tally;
    struct guaco__buf out;

    guaco__tally_init(&tally);
    guaco__buf_init(&out, (size_t)1 << 26);
    MUST(guaco__folded_read(&tally, text, NULL) == GUACO_OK);
    int rc = guaco__flamegraph_write(&tally, &options, &out);
    MUST(rc == GUACO_OK || rc == GUACO_E_LIMIT);
    guaco__buf_release(&out);
    guaco__tally_release(&tally);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco_slice text = {(const char *)data, size};
    struct guaco__buf once, twice;

    guaco__buf_init(&once, (size_t)1 << 24);
    guaco__buf_init(&twice, (size_t)1 << 24);
    int rc = write_of(text, &once);
    MUST(rc == GUACO_OK || rc == GUACO_E_PROTO || rc == GUACO_E_LIMIT);
    if (rc == GUACO_OK && once.len > 0) {
        struct guaco_slice first = guaco__buf_slice(&once);
        rc = write_of(first, &twice);
        /* A count of one stack that is two lines may have grown too large. */
        MUST(rc == GUACO_OK || rc == GUACO_E_PROTO);
        if (rc == GUACO_OK)
            draw(first);
    }
    guaco__buf_release(&once);
    guaco__buf_release(&twice);
    return 0;
}
