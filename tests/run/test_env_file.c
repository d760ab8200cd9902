/* The promises of run/env_file.h. */

#include "run/env_file.h"

#include <stdio.h>
#include <string.h>

#include "../failing_malloc.h"
#include "../test.h"

enum { ROOM = 1024 };

static int
collect(void *ctx, char *variable, size_t name_len)
{
    char *out = ctx;
    size_t len = strlen(out);

    assert_int_equal(variable[name_len], '=');
    snprintf(out + len, ROOM - len, "%s|", variable);
    return GUACO_OK;
}

/* All variables of the text, each followed by '|', or the error's text. */
static const char *
read_text(const char *text)
{
    static char out[ROOM];
    struct guaco__arena arena;
    struct guaco_error err = {0};

    out[0] = '\0';
    guaco__arena_init(&arena, 256, 65536);
    int rc = guaco__env_read(text, strlen(text), &arena, collect, out, &err);
    guaco__arena_release(&arena);
    if (rc != GUACO_OK) {
        assert_int_equal(rc, GUACO_E_INVALID);
        snprintf(out, ROOM, "%s", err.text);
    }
    return out;
}

static const char *const cases[][2] = {
    {"", ""},
    {"\n\n  \n", ""},
    {"A=1", "A=1|"},
    {"A=1\r\nB=2\r\n", "A=1|B=2|"},
    {"  A = x y \n", "A=x y|"},
    {"export A=1\nexported=2", "A=1|exported=2|"},
    {"# c\nA=1 # c\nB=a#b\nC=#c\n", "A=1|B=a#b|C=|"},
    {"A='x # $y \\n'\n", "A=x # $y \\n|"},
    {"A=\"x\\n\\\"\\q\" # c\n", "A=x\n\"\\q|"},
    {"A='two\nlines'\nB=2", "A=two\nlines|B=2|"},
    {"A=\nB=''\n", "A=|B=|"},
    {"A=1\nA", "line 2: not NAME=VALUE"},
    {"1A=1", "line 1: not NAME=VALUE"},
    {"A-B=1", "line 1: not NAME=VALUE"},
    {"=1", "line 1: not NAME=VALUE"},
    {"A='x\n\n", "line 1: a quote is not closed"},
    {"A='x\n'y", "line 2: more behind the closing quote"},
};

static void
files_are_read_as_dotenv_has_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(read_text(cases[i][0]), cases[i][1]);
}

static void
a_nul_is_refused(void **state)
{
    static const char *const texts[] = {"A=\0x", "A='\0'", "A\0=x"};
    static const size_t lens[] = {4, 5, 4};
    struct guaco__arena arena;

    (void)state;
    guaco__arena_init(&arena, 256, 65536);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            guaco__env_read(texts[i], lens[i], &arena, collect, NULL, NULL),
            GUACO_E_INVALID);
    guaco__arena_release(&arena);
}

static void
each_failing_allocation_is_an_error(void **state)
{
    char out[ROOM];
    int rc = GUACO_E_NOMEM;

    (void)state;
    for (long n = 0; rc != GUACO_OK; n++) {
        struct guaco__arena arena;
        out[0] = '\0';
        guaco__arena_init(&arena, 64, 65536);
        fail_after(n);
        rc = guaco__env_read("A=1\nB=2", 7, &arena, collect, out, NULL);
        bool hit = fail_stop();
        assert_true(hit ? rc == GUACO_E_NOMEM : rc == GUACO_OK);
        guaco__arena_release(&arena);
    }
    assert_string_equal(out, "A=1|B=2|");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_as_dotenv_has_them),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(each_failing_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
