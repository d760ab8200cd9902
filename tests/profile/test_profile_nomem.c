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
#include "profile/ranking.h"
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
    guaco__buf_release(&out);
    guaco__tally_release(&tally);
    return rc;
}

/* Two threads in turn. */
static int
fill(struct guaco__tally *tally, struct guaco__timeline *timeline)
{
    int rc = GUACO_OK;

    for (uint64_t i = 0; i < 4 && rc == GUACO_OK; i++) {
        const struct guaco__place *places[2];
        const struct guaco__track *track;
        struct guaco__tally_node *leaf;
        rc = guaco__tally_place(tally, TEXT("a.py"), TEXT("f"), 1, &places[0]);
        if (rc == GUACO_OK)
            rc = guaco__tally_place(tally, TEXT("a.py"), TEXT("g"),
                                    (int32_t)i + 1, &places[1]);
        if (rc == GUACO_OK)
            rc = guaco__tally_find(tally, places, 2, &leaf);
        if (rc == GUACO_OK)
            rc = guaco__timeline_track(timeline, 7, i % 2 + 1, 0, TEXT(""),
                                       &track);
        if (rc == GUACO_OK)
            rc = guaco__timeline_add(timeline, i * 1000, leaf, track);
        if (rc == GUACO_OK) {
            leaf->self++;
            tally->samples++;
        }
    }
    return rc;
}

static int
rank(void)
{
    struct guaco__tally tally;
    struct guaco__timeline timeline;
    struct guaco__ranking *ranking = NULL;
    const struct guaco__rank *ranks;
    size_t count = 0;
    uint64_t now;

    guaco__tally_init(&tally);
    guaco__timeline_init(&timeline);
    int rc = fill(&tally, &timeline);
    if (rc == GUACO_OK)
        rc = guaco__ranking_new(&ranking, &tally, false);
    if (rc == GUACO_OK)
        rc =
            guaco__ranking_look(ranking, GUACO__RANK_OWN, &ranks, &count, &now);
    if (rc == GUACO_OK) {
        assert_int_equal(count, 2);
        assert_int_equal(now, 4);
        assert_int_equal(ranks[0].own, 4); /* g, on four lines */
        assert_int_equal(ranks[1].total, 4);
    }
    guaco__ranking_free(ranking);
    guaco__timeline_release(&timeline);
    guaco__tally_release(&tally);
    return rc;
}

static int
write_each_form(void)
{
    static const enum guaco__format formats[] = {
        GUACO__FORMAT_SVG,   GUACO__FORMAT_SPEEDSCOPE, GUACO__FORMAT_PPROF,
        GUACO__FORMAT_GECKO, GUACO__FORMAT_CHROME,     GUACO__FORMAT_CHART,
    };
    struct guaco__tally tally;
    struct guaco__timeline timeline;
    struct guaco__report report = {.tally = &tally,
                                   .timeline = &timeline,
                                   .period_ns = 1000,
                                   .in_time = true};
    struct guaco__buf out;

    guaco__tally_init(&tally);
    guaco__timeline_init(&timeline);
    guaco__buf_init(&out, 1 << 20);
    int rc = fill(&tally, &timeline);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (rc == GUACO_OK)
            rc = guaco__report_write(&report, formats[i], &out);
    guaco__buf_release(&out);
    guaco__timeline_release(&timeline);
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
each_form(void **state)
{
    (void)state;
    fail_each(write_each_form);
}

static void
a_ranking(void **state)
{
    (void)state;
    fail_each(rank);
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
        cmocka_unit_test(each_form),
        cmocka_unit_test(a_ranking),
        cmocka_unit_test(mappings),
        cmocka_unit_test(a_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
