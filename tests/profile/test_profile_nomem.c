/* Every allocation refused in turn: the call says so, and nothing is lost. */

#include "test.h"

#include <string.h>
#include <unistd.h>

#include "failing_malloc.h"
#include "image.h"
#include "profile/flamegraph.h"
#include "profile/folded.h"
#include "profile/formats.h"
#include "profile/mappings.h"
#include "profile/record.h"

/* Call `body` with the n-th allocation failing, until it meets no failure. */
static void
fail_each(int (*body)(void))
{
    long failed = 0;

    for (long n = 0;; n++) {
        fail_after(n);
        int rc = body();
        if (!fail_stop()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
        failed++;
    }
    assert_true(failed > 0);
}

static int
fold_and_draw(void)
{
    static const char text[] = "a;b;c 7\na;d 1\n(idle) 22\n";
    struct guaco__flamegraph_options options = {.count_name = {"samples", 7}};
    struct guaco__tally tally;
    struct guaco__buf out;

    guaco__tally_init(&tally);
    guaco__buf_init(&out, 1 << 20);
    int rc = guaco__folded_read(&tally, TEXT(text), NULL);
    if (rc == GUACO_OK)
        rc = guaco__folded_write(&tally, &out);
    if (rc == GUACO_OK)
        rc = guaco__flamegraph_write(&tally, &options, &out);
    if (rc == GUACO_OK)
        rc = guaco__speedscope_write(&tally, GUACO_SLICE("x"), 1000, &out);
    if (rc == GUACO_OK)
        rc = guaco__pprof_write(&tally, 1000, &out);
    guaco__buf_release(&out);
    guaco__tally_release(&tally);
    return rc;
}

static int
parse_maps(void)
{
    static const char text[] = "1000-2000 r--p 0 08:01 7 /x\n";
    struct guaco__mappings maps;

    int rc = guaco__mappings_parse(&maps, text, sizeof text - 1, NULL);
    if (rc == GUACO_OK)
        guaco__mappings_release(&maps);
    return rc;
}

/* Memory without an interpreter in it: making a target and its recording. */
static int
make_record(void)
{
    struct guaco__runtime runtime = {
        .address = 0x1000,
        .layout = *guaco__layout_fixed(GUACO__VERSION(3, 11)),
    };
    struct guaco__record_options options = {.threads = false};
    struct guaco__vmem *memory = NULL;
    struct guaco__target *target = NULL;
    struct guaco__record *record = NULL;

    int rc =
        guaco__vmem_of_fixture(&memory, "GUACOMEM\1\0\0\0\0\0\0\0", 16, NULL);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__target_of_memory(&target, memory, &runtime, NULL);
    if (rc != GUACO_OK) {
        guaco__vmem_close(memory);
        return rc;
    }
    rc = guaco__record_new(&record, target, &options);
    guaco__record_free(record);
    guaco__target_free(target);
    return rc;
}

static void
counting_and_drawing(void **state)
{
    (void)state;
    fail_each(fold_and_draw);
}

static void
mappings(void **state)
{
    (void)state;
    fail_each(parse_maps);
}

static void
a_recording(void **state)
{
    (void)state;
    fail_each(make_record);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counting_and_drawing),
        cmocka_unit_test(mappings),
        cmocka_unit_test(a_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
