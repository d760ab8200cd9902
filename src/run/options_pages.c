/* The manual and the options page: the contract is in run/options_pages.h. */

#include "options_pages.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "options_alias.h"
#include "options_int.h"

/* ---- writing ---- */

void
guaco__page_put(struct guaco__page *page, const char *fmt, ...)
{
    va_list ap;

    if (page->rc != GUACO_OK)
        return;
    va_start(ap, fmt);
    page->rc = guaco__buf_vprintf(page->out, fmt, ap);
    va_end(ap);
}

void
guaco__page_put_escaped(struct guaco__page *page, const char *text,
                        const char *marked, const char *escape)
{
    for (; *text != '\0'; text++)
        guaco__page_put(page, "%s%c", strchr(marked, *text) ? escape : "",
                        *text);
}

void
guaco__page_put_words(struct guaco__page *page, const char *words)
{
    for (; *words != '\0'; words++)
        guaco__page_put(page, "%c", *words == '|' ? ' ' : *words);
}

void
guaco__page_put_options(struct guaco__page *page,
                        const struct guaco__page_command *command,
                        void (*put)(struct guaco__page *page,
                                    const struct guaco__page_command *command,
                                    const struct guaco__option *option))
{
    for (size_t i = 0; i < guaco__option_count; i++)
        if ((guaco__option_table[i].commands & command->options) != 0)
            put(page, command, &guaco__option_table[i]);
}

static bool
has_default(const struct guaco__option *o)
{
    return o->otherwise != NULL && *o->otherwise != '\0';
}

/* ---- the manual ---- */

/* A hyphen is a minus sign, to be copied into a shell. */
static void
put_roff(struct guaco__page *page, const char *text)
{
    guaco__page_put_escaped(page, text, "\\-", "\\");
}

static void
put_man_option(struct guaco__page *page,
               const struct guaco__page_command *command,
               const struct guaco__option *o)
{
    (void)command;
    guaco__page_put(page, ".TP\n.B ");
    if (o->letter != 0)
        guaco__page_put(page, "\\-%c, ", o->letter);
    put_roff(page, o->kind == GUACO__OPTION_FLAG ? "--[no-]" : "--");
    put_roff(page, o->name);
    if (o->kind != GUACO__OPTION_FLAG)
        guaco__page_put(page, " \\fI%s\\fB", o->operand);
    guaco__page_put(page, "\n");
    put_roff(page, o->help);
    if (has_default(o))
        guaco__page_put(page, " [%s]", o->otherwise);
    guaco__page_put(page, "\n");
}

void
guaco__page_man(struct guaco__page *page)
{
    guaco__page_put(page,
                    ".TH GUACO 1 \"\" \"guaco %s\"\n.SH NAME\nguaco \\- "
                    "gateway, task queue, scheduler and profiler for Python\n"
                    ".SH SYNOPSIS\n.B guaco\n.I COMMAND\n.RI [ options ]\n"
                    ".SH OPTIONS\n",
                    GUACO_VERSION);
    put_roff(page,
             "A flag counts over a variable (GUACO_LOG_LEVEL for --log-level), "
             "that over the table [tool.guaco.COMMAND] of pyproject.toml, that "
             "over [tool.guaco], and that over the default in brackets.\n"
             ".SH COMMANDS\n");
    for (size_t i = 0; i < page->count; i++) {
        const struct guaco__page_command *command = &page->commands[i];
        guaco__page_put(page, ".SS guaco %s ", command->name);
        put_roff(page, command->operands);
        guaco__page_put(page, "\n");
        put_roff(page, command->summary);
        guaco__page_put(page, ".\n");
        guaco__page_put_options(page, command, put_man_option);
    }
}

/* ---- the options page ---- */

static void
put_markdown_option(struct guaco__page *page,
                    const struct guaco__page_command *command,
                    const struct guaco__option *o)
{
    bool is_flag = o->kind == GUACO__OPTION_FLAG;

    (void)command;
    guaco__page_put(page, "| `--%s%s` | `GUACO_", is_flag ? "[no-]" : "",
                    o->name);
    for (const char *p = o->name; *p != '\0'; p++)
        guaco__page_put(page, "%c",
                        *p == '-' ? '_' : toupper((unsigned char)*p));
    guaco__page_put(page, "` | ");
    if (!is_flag)
        guaco__page_put_escaped(page, o->operand, "|", "\\");
    guaco__page_put(page, has_default(o) ? " | `%s` | " : " |%s | ",
                    has_default(o) ? o->otherwise : "");
    guaco__page_put_escaped(page, o->help, "|", "\\");
    guaco__page_put(page, " |\n");
}

static void
put_markdown_alias(struct guaco__page *page,
                   const struct guaco__option_alias *a)
{
    guaco__page_put(page, "| `--%s` | %s | ", a->name, a->whose);
    switch ((enum guaco__alias_kind)a->kind) {
    case GUACO__ALIAS_SAME: guaco__page_put(page, "`--%s`", a->own); break;
    case GUACO__ALIAS_FIXED:
        guaco__page_put(page, "`--%s=%s`", a->own, a->text);
        break;
    case GUACO__ALIAS_NOTED:
        guaco__page_put(page, "taken, and said in the log: %s", a->text);
        break;
    case GUACO__ALIAS_REFUSED:
        guaco__page_put(page, "refused; use %s", a->text);
        break;
    }
    guaco__page_put(page, " |\n");
}

void
guaco__page_markdown(struct guaco__page *page)
{
    guaco__page_put(
        page,
        "# Options\n\nMade from the option table by `guaco _page markdown`.\n\n"
        "A flag counts over a variable, that over the table "
        "`[tool.guaco.COMMAND]` of\npyproject.toml, that over `[tool.guaco]`, "
        "and that over the default; the key there is\nthe flag's name without "
        "its dashes. `--print-config` shows what holds and where it\ncomes "
        "from; `--check-config` loads the application, too, and ends.\n");
    for (size_t i = 0; i < page->count; i++) {
        const struct guaco__page_command *command = &page->commands[i];
        if (command->options == 0)
            continue;
        guaco__page_put(page,
                        "\n## guaco %s\n\n`guaco %s %s`: %s.\n\n| flag | "
                        "variable | value | default | |\n"
                        "|---|---|---|---|---|\n",
                        command->name, command->name, command->operands,
                        command->summary);
        guaco__page_put_options(page, command, put_markdown_option);
    }
    guaco__page_put(page, "\n## Flags of other programs\n\n"
                          "| flag | of | here |\n|---|---|---|\n");
    for (size_t i = 0; i < guaco__alias_count; i++)
        put_markdown_alias(page, &guaco__alias_table[i]);
}
