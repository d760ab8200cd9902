/* What bash, zsh and fish complete: the contract is in run/options_pages.h. */

#include <string.h>

#include "options_pages.h"

/* ---- bash ---- */

static void
put_bash_option(struct guaco__page *page,
                const struct guaco__page_command *command,
                const struct guaco__option *o)
{
    (void)command;
    guaco__page_put(page, " --%s", o->name);
    if (o->kind == GUACO__OPTION_FLAG)
        guaco__page_put(page, " --no-%s", o->name);
}

static bool
is_first_of_name(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(guaco__option_table[k].name, guaco__option_table[i].name) ==
            0)
            return false;
    return true;
}

void
guaco__page_bash(struct guaco__page *page)
{
    guaco__page_put(page, "# bash completion of guaco: source it\n"
                          "_guaco() {\n"
                          "    local word=${COMP_WORDS[COMP_CWORD]} words=''\n"
                          "    case ${COMP_WORDS[COMP_CWORD-1]} in\n");
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        if (o->words == NULL || !is_first_of_name(i))
            continue;
        guaco__page_put(page, "    --%s) words='", o->name);
        guaco__page_put_words(page, o->words);
        guaco__page_put(page, "' ;;\n");
    }
    guaco__page_put(page, "    esac\n"
                          "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
                          "        words='");
    for (size_t i = 0; i < page->count; i++)
        guaco__page_put(page, "%s ", page->commands[i].name);
    guaco__page_put(page, "'\n    elif [ -z \"$words\" ] && "
                          "[ \"${word:0:1}\" = - ]; then\n"
                          "        case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < page->count; i++) {
        const struct guaco__page_command *command = &page->commands[i];
        if (command->options == 0)
            continue;
        guaco__page_put(page,
                        "        %s) words='--help --print-config "
                        "--check-config",
                        command->name);
        guaco__page_put_options(page, command, put_bash_option);
        guaco__page_put(page, "' ;;\n");
    }
    guaco__page_put(
        page, "        esac\n    fi\n"
              "    if [ -n \"$words\" ]; then\n"
              "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
              "    else\n"
              "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
              "    fi\n}\n"
              "complete -o filenames -F _guaco guaco\n");
}

/* ---- zsh ---- */

/* Inside '...[here]...'. */
static void
put_zsh_text(struct guaco__page *page, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '\'')
            guaco__page_put(page, "'\\''");
        else
            guaco__page_put(page, "%s%c", strchr("[]:\\", *text) ? "\\" : "",
                            *text);
}

static void
put_zsh_option(struct guaco__page *page,
               const struct guaco__page_command *command,
               const struct guaco__option *o)
{
    bool is_flag = o->kind == GUACO__OPTION_FLAG;

    (void)command;
    guaco__page_put(page, "            '--%s%s[", o->name, is_flag ? "" : "=");
    put_zsh_text(page, o->help);
    guaco__page_put(page, "]");
    if (o->words != NULL) {
        guaco__page_put(page, ":value:(");
        guaco__page_put_words(page, o->words);
        guaco__page_put(page, ")");
    } else if (!is_flag) {
        guaco__page_put(page, ":value:_files");
    }
    guaco__page_put(page, "' \\\n");
}

void
guaco__page_zsh(struct guaco__page *page)
{
    guaco__page_put(page, "#compdef guaco\n"
                          "_guaco() {\n"
                          "    if (( CURRENT == 2 )); then\n"
                          "        local -a commands=(\n");
    for (size_t i = 0; i < page->count; i++)
        guaco__page_put(page, "            '%s:%s'\n", page->commands[i].name,
                        page->commands[i].summary);
    guaco__page_put(page, "        )\n"
                          "        _describe command commands\n"
                          "        return\n"
                          "    fi\n"
                          "    case $words[2] in\n");
    for (size_t i = 0; i < page->count; i++) {
        const struct guaco__page_command *command = &page->commands[i];
        if (command->options == 0)
            continue;
        guaco__page_put(page, "    %s)\n        _arguments \\\n",
                        command->name);
        guaco__page_put_options(page, command, put_zsh_option);
        guaco__page_put(page, "            '*:target:_files' ;;\n");
    }
    guaco__page_put(page, "    *) _files ;;\n    esac\n}\n"
                          "compdef _guaco guaco\n");
}

/* ---- fish ---- */

static void
put_fish_text(struct guaco__page *page, const char *text)
{
    guaco__page_put(page, " -d '");
    guaco__page_put_escaped(page, text, "\\'", "\\");
    guaco__page_put(page, "'");
}

static void
put_fish_option(struct guaco__page *page,
                const struct guaco__page_command *command,
                const struct guaco__option *o)
{
    guaco__page_put(page,
                    "complete -c guaco -n '__fish_seen_subcommand_from %s' "
                    "-l %s",
                    command->name, o->name);
    put_fish_text(page, o->help);
    if (o->words != NULL) {
        guaco__page_put(page, " -x -a '");
        guaco__page_put_words(page, o->words);
        guaco__page_put(page, "'");
    } else if (o->kind != GUACO__OPTION_FLAG) {
        guaco__page_put(page, " -r");
    }
    guaco__page_put(page, "\n");
}

void
guaco__page_fish(struct guaco__page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        const struct guaco__page_command *command = &page->commands[i];
        guaco__page_put(page,
                        "complete -c guaco -n __fish_use_subcommand -f -a %s",
                        command->name);
        put_fish_text(page, command->summary);
        guaco__page_put(page, "\n");
        guaco__page_put_options(page, command, put_fish_option);
    }
}
