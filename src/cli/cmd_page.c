/*
 * guaco completion SHELL, and guaco _page KIND: what is made of the option
 * table and the list of commands (run/options_pages.h).
 */

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "run/options_pages.h"
#include "run/supervisor.h"

#define PAGE_BYTES_MAX (4u << 20)
#define COMMANDS_MAX   32

struct named_page {
    const char *name;
    guaco__page_fn *write;
};

static int
print_page(guaco__page_fn *write)
{
    struct guaco__page_command listed[COMMANDS_MAX];
    struct guaco__buf text;
    struct guaco__page page = {.commands = listed, .out = &text};

    for (size_t i = 0; i < guaco__command_count && page.count < COMMANDS_MAX;
         i++) {
        const struct guaco__command *c = &guaco__commands[i];
        if (c->name[0] != '_')
            listed[page.count++] = (struct guaco__page_command){
                c->name, c->operands, c->summary, c->options};
    }
    guaco__buf_init(&text, PAGE_BYTES_MAX);
    write(&page);
    bool is_written =
        page.rc == GUACO_OK &&
        fwrite(guaco__buf_data(&text), 1, text.len, stdout) == text.len &&
        fflush(stdout) == 0;
    guaco__buf_release(&text);
    return is_written ? GUACO__EXIT_OK : GUACO__EXIT_CRASH;
}

static int
choose(const struct guaco__command *command, const char *const *args,
       size_t count, const struct named_page *pages, size_t page_count)
{
    for (size_t i = 0; i < page_count && count == 1; i++)
        if (strcmp(args[0], pages[i].name) == 0)
            return print_page(pages[i].write);
    fprintf(stderr, "usage: guaco %s %s\n", command->name, command->operands);
    return GUACO__EXIT_USAGE;
}

int
guaco__command_completion(const struct guaco__command *command,
                          const char *const *args, size_t count)
{
    static const struct named_page shells[] = {
        {"bash", guaco__page_bash},
        {"zsh", guaco__page_zsh},
        {"fish", guaco__page_fish},
    };

    return choose(command, args, count, shells,
                  sizeof shells / sizeof shells[0]);
}

int
guaco__command_page(const struct guaco__command *command,
                    const char *const *args, size_t count)
{
    static const struct named_page pages[] = {
        {"man", guaco__page_man},
        {"markdown", guaco__page_markdown},
    };

    return choose(command, args, count, pages, sizeof pages / sizeof pages[0]);
}
