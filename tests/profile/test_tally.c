/* Counting stacks, folded text both ways, and the flame graph drawn of them. */

#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "profile/flamegraph.h"
#include "profile/folded.h"
#include "profile/place.h"
#include "profile/tally.h"

static struct guaco__tally tally;
static struct guaco__buf out;

static int
setup(void **state)
{
    (void)state;
    guaco__tally_init(&tally);
    guaco__buf_init(&out, 1 << 24);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    guaco__tally_release(&tally);
    guaco__buf_release(&out);
    return 0;
}

static const struct guaco__place *
place(const char *file, const char *name, int32_t line)
{
    const struct guaco__place *p = NULL;

    assert_int_equal(
        guaco__tally_place(&tally, TEXT(file), TEXT(name), line, &p), 0);
    return p;
}

static void
add(size_t count, const struct guaco__place *const *places, uint64_t times)
{
    assert_int_equal(guaco__tally_add(&tally, places, count, times), 0);
}

static void
check_folded(const char *want)
{
    guaco__buf_reset(&out);
    assert_int_equal(guaco__folded_write(&tally, &out), 0);
    assert_int_equal(guaco__buf_append_byte(&out, '\0'), 0);
    assert_string_equal(guaco__buf_data(&out), want);
}

static void
places_are_the_same_when_their_texts_are(void **state)
{
    (void)state;
    assert_ptr_equal(place("a.py", "f", 3), place("a.py", "f", 3));
    assert_ptr_not_equal(place("a.py", "f", 3), place("a.py", "f", 4));
    assert_ptr_not_equal(place("a.py", "f", 3), place("a.p", "yf", 3));
    assert_int_equal(tally.place_count, 3);
}

static void
stacks_are_counted_by_their_leaf(void **state)
{
    const struct guaco__place *run = place("m.py", "run", 3);
    const struct guaco__place *work = place("m.py", "work", 10);
    const struct guaco__place *const both[] = {run, work};

    (void)state;
    add(2, both, 12);
    add(1, both, 3);
    add(2, both, 1);
    guaco__tally_sum(&tally.root);
    assert_int_equal(tally.samples, 16);
    assert_int_equal(tally.root.total, 16);
    assert_int_equal(tally.root.first_child->self, 3);
    assert_int_equal(tally.root.first_child->total, 16);
    assert_int_equal(guaco__tally_depth(&tally.root), 3);
    check_folded("m.py:run:3 3\nm.py:run:3;m.py:work:10 13\n");
}

static void
children_are_sorted_by_text(void **state)
{
    const struct guaco__place *const c[] = {place("b", "x", 2)};
    const struct guaco__place *const b[] = {place("b", "x", 1)};
    const struct guaco__place *const a[] = {place("a", "z", 9)};

    (void)state;
    add(1, b, 1);
    add(1, c, 1);
    add(1, a, 1);
    assert_int_equal(guaco__tally_sort(&tally), 0);
    check_folded("a:z:9 1\nb:x:1 1\nb:x:2 1\n");
}

static void
what_would_break_a_folded_line_is_replaced(void **state)
{
    const struct guaco__place *const odd[] = {place("a;b.py", "f\ng\r", 0)};

    (void)state;
    add(1, odd, 2);
    check_folded("a:b.py:f g  2\n");
}

static int
read_folded(const char *text, struct guaco_error *err)
{
    return guaco__folded_read(&tally, TEXT(text), err);
}

static void
folded_text_comes_back(void **state)
{
    static const char text[] = "all;a b;c 7\nall;d 1\n(idle) 22\n";

    (void)state;
    assert_int_equal(read_folded(text, NULL), 0);
    assert_int_equal(tally.samples, 30);
    assert_int_equal(guaco__tally_sort(&tally), 0);
    check_folded("(idle) 22\nall;a b;c 7\nall;d 1\n");
}

static void
comments_and_empty_lines_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(read_folded("# x\n\nf 1\r\n\r\nf 2", NULL), 0);
    check_folded("f 3\n");
}

static void
lines_without_a_count_are_refused_by_number(void **state)
{
    static const char *const odd[] = {"f 1\ng\n", "f 1\n 7\n", "f 1\ng7\n",
                                      "f 1\ng 99999999999999999999\n"};

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct guaco_error err = {0};
        assert_int_equal(read_folded(odd[i], &err), GUACO_E_PROTO);
        assert_non_null(strstr(err.text, "line 2"));
    }
}

static void
a_stack_that_is_too_deep_is_refused(void **state)
{
    size_t len = 4097 * 2;
    char *text = malloc(len + 3);

    (void)state;
    for (size_t i = 0; i < len; i += 2)
        memcpy(text + i, "f;", 2);
    memcpy(text + len - 1, " 1", 3);
    assert_int_equal(read_folded(text, NULL), GUACO_E_LIMIT);
    memcpy(text + len - 3, " 1", 3);
    assert_int_equal(read_folded(text, NULL), 0);
    assert_int_equal(guaco__tally_depth(&tally.root), 4097);
    free(text);
}

static void
origins_are_judged_by_path(void **state)
{
    static const struct {
        const char *file, *name;
        enum guaco__origin origin;
    } rows[] = {
        {"/srv/app.py", "f", GUACO__ORIGIN_PROJECT},
        {"/v/lib/python3.11/site-packages/x.py", "f", GUACO__ORIGIN_PACKAGE},
        {"/usr/lib/python3/dist-packages/x.py", "f", GUACO__ORIGIN_PACKAGE},
        {"/usr/lib/python3.11/json.py", "f", GUACO__ORIGIN_STDLIB},
        {"<frozen importlib._bootstrap>", "f", GUACO__ORIGIN_STDLIB},
        {"", "(idle)", GUACO__ORIGIN_NONE},
        {"", "/srv/app.py:f:3", GUACO__ORIGIN_PROJECT},
        {"", "malloc", GUACO__ORIGIN_NONE},
        {"libz.so.1.2.13", "deflate", GUACO__ORIGIN_NATIVE},
        {"[python3.11]", "list_sort", GUACO__ORIGIN_NATIVE},
        {"", "[libz.so.1.2.13+0x12]", GUACO__ORIGIN_NATIVE},
        {"", "[python3.11]:list_sort", GUACO__ORIGIN_NATIVE},
        {"", "_x.cpython-311-x86_64-linux-gnu.so:f", GUACO__ORIGIN_NATIVE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(
            guaco__place_origin(place(rows[i].file, rows[i].name, 1)),
            rows[i].origin);
}

static int
draw(struct guaco__flamegraph_options options)
{
    options.count_name = GUACO_SLICE("samples");
    guaco__buf_reset(&out);
    int rc = guaco__flamegraph_write(&tally, &options, &out);
    assert_int_equal(guaco__buf_append_byte(&out, '\0'), 0);
    return rc;
}

static void
a_flame_graph_has_a_frame_for_each_node(void **state)
{
    (void)state;
    assert_int_equal(read_folded("a;b 3\na;c 1\n", NULL), 0);
    assert_int_equal(draw((struct guaco__flamegraph_options){.width = 1020}),
                     0);
    const char *svg = guaco__buf_data(&out);
    assert_non_null(strstr(svg, "<title>all (4 samples, 100.00%)</title>"));
    assert_non_null(strstr(svg, "<title>a (4 samples, 100.00%)</title>"));
    assert_non_null(strstr(svg, "<title>b (3 samples, 75.00%)</title>"
                                "<rect x=\"10.0000\" y=\"64.0\" "
                                "width=\"750.0000\""));
    assert_non_null(strstr(svg, "<title>c (1 samples, 25.00%)</title>"
                                "<rect x=\"760.0000\""));
    assert_null(strstr(svg, "Infinity"));
}

static void
text_in_a_flame_graph_is_escaped(void **state)
{
    (void)state;
    assert_int_equal(read_folded("<script>&\"\x01 1\n", NULL), 0);
    assert_int_equal(draw((struct guaco__flamegraph_options){
                         .title = GUACO_SLICE("]]><x>")}),
                     0);
    const char *svg = guaco__buf_data(&out);
    assert_non_null(strstr(svg, "&lt;script&gt;&amp;&quot;?"));
    assert_null(strstr(svg, "<script>&"));
    assert_null(strstr(svg, "<x>"));
}

static void
an_empty_profile_is_a_picture_too(void **state)
{
    (void)state;
    assert_int_equal(draw((struct guaco__flamegraph_options){.width = 0}), 0);
    assert_non_null(strstr(guaco__buf_data(&out), "</svg>"));
    assert_int_equal(draw((struct guaco__flamegraph_options){.width = 299}),
                     GUACO_E_INVALID);
}

static void
narrow_frames_are_left_out(void **state)
{
    (void)state;
    assert_int_equal(read_folded("a 100000\nb 1\n", NULL), 0);
    assert_int_equal(draw((struct guaco__flamegraph_options){.min_width = 0.1}),
                     0);
    assert_null(strstr(guaco__buf_data(&out), "<title>b "));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(places_are_the_same_when_their_texts_are),
        T(stacks_are_counted_by_their_leaf),
        T(children_are_sorted_by_text),
        T(what_would_break_a_folded_line_is_replaced),
        T(folded_text_comes_back),
        T(comments_and_empty_lines_are_passed_over),
        T(lines_without_a_count_are_refused_by_number),
        T(a_stack_that_is_too_deep_is_refused),
        T(origins_are_judged_by_path),
        T(a_flame_graph_has_a_frame_for_each_node),
        T(text_in_a_flame_graph_is_escaped),
        T(an_empty_profile_is_a_picture_too),
        T(narrow_frames_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
