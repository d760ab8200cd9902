/* C frames and Python frames as one stack: src/profile/native_merge.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "profile/code.h"
#include "profile/native_merge.h"

#define MOST 64

/*
 * A case is written as it is read in a debugger, the leaf first, words apart.
 * C: a name; "*" is the interpreter's loop, "-name" its way of calling, "+name"
 * a function of the interpreter's or the C library's, "?name" one without a
 * known role.  Each has 16 bytes of the stack, from 1024 on.
 * Python: a name; "name!" was entered by C, "name@N" by the loop whose own frame
 * lies in C frame N.
 */
static struct guaco__native_symbol symbols[MOST];
static struct guaco__native_frame natives[MOST];
static struct guaco__code codes[MOST];
static struct guaco__stack *stack;

static size_t
read_natives(const char *text)
{
    size_t count = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        size_t mark = strchr("*-+?", text[0]) != NULL;
        symbols[count] = (struct guaco__native_symbol){
            .name = {text + mark, len - mark},
            .role = text[0] == '*'   ? GUACO__NATIVE_LOOP
                    : text[0] == '-' ? GUACO__NATIVE_PLUMBING
                    : text[0] == '+' ? GUACO__NATIVE_START
                                     : GUACO__NATIVE_CODE,
        };
        natives[count] =
            (struct guaco__native_frame){&symbols[count], 1024 + count * 16};
        count++;
        text += len + (text[len] == ' ');
    }
    return count;
}

static void
read_python(const char *text)
{
    stack->count = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " "), name = strcspn(text, " !@");
        struct guaco__frame *frame = &stack->frames[stack->count];
        codes[stack->count].name = (struct guaco_slice){text, name};
        *frame = (struct guaco__frame){.code = &codes[stack->count]};
        if (text[name] == '!')
            frame->entry = GUACO__ENTRY_ANYWHERE;
        else if (text[name] == '@')
            frame->entry = 1024 + 8 + strtoul(text + name + 1, NULL, 10) * 16;
        stack->count++;
        text += len + (text[len] == ' ');
    }
}

/* The names of the two together; those of C in brackets. */
static void
merge(const char *c, bool is_whole, const char *python, size_t most,
      struct guaco__buf *out)
{
    struct guaco__mixed_frame mixed[MOST];
    size_t count = read_natives(c);

    read_python(python);
    size_t n =
        guaco__native_merge(natives, count, is_whole, stack, mixed, most);
    assert_true(n <= most);
    for (size_t i = 0; i < n; i++) {
        bool is_native = mixed[i].native != NULL;
        assert_true(is_native != (mixed[i].python != NULL));
        struct guaco_slice name =
            is_native ? mixed[i].native->name : mixed[i].python->code->name;
        assert_int_equal(
            guaco__buf_printf(out, is_native ? "%s[%.*s]" : "%s%.*s",
                              i == 0 ? "" : " ", (int)name.len, name.at),
            0);
    }
    assert_int_equal(guaco__buf_append_byte(out, '\0'), 0);
}

static void
c_and_python_are_one_stack(void **state)
{
    static const struct {
        const char *c;
        bool is_whole;
        const char *python, *together;
    } rows[] = {
        /* C at the leaf, between and below, and an inlined call. */
        {"+sleep * +sort -call * +main", true, "key inner! outer top!",
         "[sleep] key inner [sort] outer top"},
        /* To 3.10 each frame has its loop. */
        {"* -call * -call * +main", true, "a! b! c!", "a b c"},
        /* A program that embeds the interpreter stays. */
        {"deflate * +Run handler +start", true, "f g!",
         "[deflate] f g [handler]"},
        /* The loop is entered and has no frame yet, or no more. */
        {"* -call * +main", true, "a!", "a"},
        {"* -call * +sort *", true, "a! b!", "a [sort] b"},
        /* A frame is pushed and its loop not entered. */
        {"-call +sort * +main", true, "new! old!", "[sort] new old"},
        /* The root is cut: the two are matched from the leaf on. */
        {"+sleep * +sort", false, "a! b! c!", "[sleep] a [sort] b c"},
        {"+sleep", false, "a! b!", "[sleep] a b"},
        {"", false, "a b!", "a b"},
        /* The loop has no name: known by its own frame; else no C is shown. */
        {"+sleep ?part +sort ?part +main", true, "a@1 b c@3",
         "[sleep] a [sort] b c"},
        {"+sleep ?loop +main", true, "a!", "a"},
        /* Named and known by its frame: counted once. */
        {"+sleep * +sort * +main", true, "a@1 b@3", "[sleep] a [sort] b"},
        /* The outermost frame does not say how it was entered. */
        {"* +main", true, "a b", "a b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct guaco__buf out;
        guaco__buf_init(&out, 4096);
        merge(rows[i].c, rows[i].is_whole, rows[i].python, MOST, &out);
        assert_string_equal(guaco__buf_data(&out), rows[i].together);
        guaco__buf_release(&out);
    }
}

static void
what_does_not_fit_is_cut_at_the_root(void **state)
{
    struct guaco__buf out;

    (void)state;
    guaco__buf_init(&out, 4096);
    merge("+sleep * +sort * +main", true, "a! b!", 3, &out);
    assert_string_equal(guaco__buf_data(&out), "[sleep] a [sort]");
    guaco__buf_release(&out);
}

static void
roles_are_judged_by_name_and_module(void **state)
{
    static const struct {
        const char *name, *module;
        bool is_interpreter;
        enum guaco__native_role role;
    } rows[] = {
        {"_PyEval_EvalFrameDefault", "libpython3.12.so.1.0", true,
         GUACO__NATIVE_LOOP},
        {"_PyEval_EvalFrameDefault", "libother.so", false, GUACO__NATIVE_CODE},
        {"_TAIL_CALL_CALL", "[python3.15]", true, GUACO__NATIVE_LOOP},
        {"_PyFunction_Vectorcall", "[python3.11]", true,
         GUACO__NATIVE_PLUMBING},
        {"list_sort", "[python3.11]", true, GUACO__NATIVE_START},
        {"", "[python3.11]", true, GUACO__NATIVE_START},
        {"main", "[python3.12]", false, GUACO__NATIVE_START},
        {"main", "[server]", false, GUACO__NATIVE_CODE},
        {"_start", "[server]", false, GUACO__NATIVE_PLUMBING},
        {"clone3", "libc.so.6", false, GUACO__NATIVE_START},
        {"deflate", "libz.so.1.2.13", false, GUACO__NATIVE_CODE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(
            guaco__native_role(
                (struct guaco_slice){rows[i].name, strlen(rows[i].name)},
                (struct guaco_slice){rows[i].module, strlen(rows[i].module)},
                rows[i].is_interpreter),
            rows[i].role);
}

static void
a_name_has_no_compilers_suffix(void **state)
{
    static const char *const rows[][2] = {
        {"list_sort", "list_sort"},
        {"list_sort.cold", "list_sort"},
        {"f.constprop.0.isra.0", "f"},
        {"f.part.3", "f"},
        {"f.lto_priv.0", "f"},
        {"f.1234", "f"},
        {"clock_nanosleep@@GLIBC_2.17", "clock_nanosleep"},
        {"clock_nanosleep@GLIBC_2.2.5", "clock_nanosleep"},
        {"main.main", "main.main"},
        {".start", ".start"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct guaco_slice name = guaco__native_name(rows[i][0]);
        assert_int_equal(name.len, strlen(rows[i][1]));
        assert_memory_equal(name.at, rows[i][1], name.len);
    }
}

static int
begin(void **state)
{
    (void)state;
    stack = calloc(1, sizeof *stack);
    return stack == NULL;
}

static int
end(void **state)
{
    (void)state;
    free(stack);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_and_python_are_one_stack),
        cmocka_unit_test(what_does_not_fit_is_cut_at_the_root),
        cmocka_unit_test(roles_are_judged_by_name_and_module),
        cmocka_unit_test(a_name_has_no_compilers_suffix),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
