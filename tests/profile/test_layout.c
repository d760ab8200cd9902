/* Fixed layouts, and published ones with the words that 3.15.2 had. */

#include "test.h"

#include <string.h>

#include "profile/layout.h"

struct published {
    uint64_t word[GUACO__DEBUG_OFFSETS_BYTES / 8];
};

/* The words of Debian's 3.15.2, as far as they are read. */
static struct published
published_3_15(void)
{
    static const struct {
        unsigned number, value;
    } known[] = {
        {3, 346568}, {5, 936},   {6, 226240}, {7, 7272},  {8, 7264},  {9, 7336},
        {15, 16},    {16, 7736}, {18, 7752},  {19, 7744}, {20, 7944}, {22, 888},
        {24, 8},     {25, 16},   {26, 72},    {30, 176},  {31, 184},  {32, 256},
        {39, 88},    {40, 8},    {41, 0},     {42, 56},   {43, 80},   {44, 74},
        {47, 216},   {48, 112},  {49, 120},   {50, 128},  {51, 136},  {52, 68},
        {56, 208},   {86, 40},   {87, 16},    {88, 32},   {89, 64},   {90, 32},
        {91, 16},    {92, 40},
    };
    struct published p = {{0}};

    memcpy(&p.word[0], "xdebugpy", 8);
    p.word[1] = 0x030f02f0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        p.word[known[i].number] = known[i].value;
    return p;
}

static int
read_layout(const struct published *p, struct guaco__layout *layout)
{
    return guaco__layout_debug(
        layout, (struct guaco_slice){(const char *)p, sizeof *p}, NULL);
}

static void
published_words_become_offsets(void **state)
{
    struct published p = published_3_15();
    struct guaco__layout l;

    (void)state;
    assert_int_equal(read_layout(&p, &l), 0);
    assert_int_equal(l.version, GUACO__VERSION(3, 15));
    assert_false(l.is_free_threaded);
    assert_int_equal(l.runtime.interpreters_head, 936);
    assert_int_equal(l.interpreter.threads_head, 7336);
    assert_int_equal(l.gil.last_holder, 8);
    assert_int_equal(l.gil.locked, 16);
    assert_int_equal(l.gil.switch_number, 24);
    assert_int_equal(l.thread.current_frame, 72);
    assert_int_equal(l.thread.size, 280);
    assert_int_equal(l.frame.localsplus, 80);
    assert_int_equal(l.code.size, 216);
    assert_int_equal(l.text.compact_data, 56);
    assert_int_equal(l.thread.cframe, GUACO__NOWHERE);
    assert_int_equal(l.frame_object.back, GUACO__NOWHERE);
}

static void
a_version_that_is_not_known_is_refused(void **state)
{
    struct published p = published_3_15();
    struct guaco__layout l;
    struct guaco_error err = {0};

    (void)state;
    p.word[1] = 0x03630000;
    int rc = guaco__layout_debug(
        &l, (struct guaco_slice){(const char *)&p, sizeof p}, &err);
    assert_int_equal(rc, GUACO_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "3.99"));
    p.word[0] = 0;
    assert_int_equal(read_layout(&p, &l), GUACO_E_UNSUPPORTED);
}

static void
cut_words_are_refused(void **state)
{
    struct published p = published_3_15();
    struct guaco__layout l;

    (void)state;
    for (size_t len = 0; len < 111 * 8; len++) {
        int rc = guaco__layout_debug(
            &l, (struct guaco_slice){(const char *)&p, len}, NULL);
        assert_int_equal(rc, len < 16 ? GUACO_E_UNSUPPORTED : GUACO_E_PROTO);
    }
}

/* A reader may add what it reads at these offsets to its own buffers. */
static void
check_bounds(const struct guaco__layout *l)
{
    assert_true(l->code.size <= GUACO__CODE_BYTES_MAX);
    assert_true(l->code.line_table + 8 <= l->code.size);
    assert_true(l->text.state + 4 <= GUACO__TEXT_HEAD_BYTES_MAX);
    assert_true(l->text.length + 8 <= GUACO__TEXT_HEAD_BYTES_MAX);
    assert_true(l->frame.localsplus >= l->frame.executable + 8);
    assert_true(l->frame.localsplus >= l->frame.owner + 1);
    assert_true(l->frame.localsplus >= l->frame.stacktop + 4);
    assert_true(l->frame.localsplus <= 88);
    assert_true(l->thread.current_frame + 8 <= l->thread.size);
    assert_true(l->code.frame_words + 4 <= l->code.size);
}

static void
words_that_cannot_be_are_refused(void **state)
{
    static const uint64_t wrong[] = {
        0,         1,    7,       63,      65,         87,
        200,       4096, 1 << 20, 1 << 22, UINT32_MAX, UINT64_C(1) << 63,
        UINT64_MAX};
    struct guaco__layout l;

    (void)state;
    for (size_t n = 2; n < 111; n++)
        for (size_t w = 0; w < sizeof wrong / sizeof wrong[0]; w++) {
            struct published p = published_3_15();
            p.word[n] = wrong[w];
            int rc = read_layout(&p, &l);
            assert_true(rc == GUACO_OK || rc == GUACO_E_PROTO);
            if (rc == GUACO_OK)
                check_bounds(&l);
        }
}

static void
fixed_layouts_are_those_of_3_8_to_3_12(void **state)
{
    (void)state;
    for (uint32_t minor = 0; minor < 30; minor++) {
        const struct guaco__layout *l =
            guaco__layout_fixed(GUACO__VERSION(3, minor));
        assert_int_equal(l != NULL, minor >= 8 && minor <= 12);
        if (l == NULL)
            continue;
        assert_int_equal(l->version, GUACO__VERSION(3, minor));
        assert_int_equal(l->frame_object.back == GUACO__NOWHERE, minor > 10);
        assert_int_equal(l->frame.executable == GUACO__NOWHERE, minor <= 10);
        assert_true(l->code.size <= GUACO__CODE_BYTES_MAX);
    }
    assert_null(guaco__layout_fixed(GUACO__VERSION(2, 7)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_words_become_offsets),
        cmocka_unit_test(a_version_that_is_not_known_is_refused),
        cmocka_unit_test(cut_words_are_refused),
        cmocka_unit_test(words_that_cannot_be_are_refused),
        cmocka_unit_test(fixed_layouts_are_those_of_3_8_to_3_12),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
