/*
 * Asked by tests/python/test_profile.py.  On standard input, lines of
 *
 *     KIND FIRST_LINE TABLE_IN_HEX      KIND: 0 lnotab, 1 ranges, 2 locations
 *
 * each followed by one line of offsets; answers with one line of lines.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/lines.h"

enum { LINE_BYTES = 1 << 24 };

static size_t
unhex(char *text)
{
    size_t len = 0;

    for (char *at = text; at[0] > ' ' && at[1] > ' '; at += 2) {
        char pair[3] = {at[0], at[1], '\0'};
        text[len++] = (char)strtoul(pair, NULL, 16);
    }
    return len;
}

static void
answer(char *head, char *offsets)
{
    char *rest;
    long kind = strtol(head, &rest, 10);
    long first = strtol(rest, &rest, 10);
    rest += *rest == ' ';
    struct guaco_slice table = {rest, unhex(rest)};

    for (;;) {
        char *end;
        unsigned long offset = strtoul(offsets, &end, 10);
        if (end == offsets)
            break;
        printf("%d ",
               (int)guaco__lines_find((enum guaco__line_table)kind, table,
                                      (int32_t)first, (uint32_t)offset));
        offsets = end;
    }
    putchar('\n');
}

int
main(void)
{
    char *head = malloc(LINE_BYTES), *offsets = malloc(LINE_BYTES);

    if (head == NULL || offsets == NULL)
        return 1;
    while (fgets(head, LINE_BYTES, stdin) != NULL &&
           fgets(offsets, LINE_BYTES, stdin) != NULL)
        answer(head, offsets);
    free(head);
    free(offsets);
    return 0;
}
