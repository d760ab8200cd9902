/* What is made of options: the workers' object, --help, --print-config. */

#include <assert.h>
#include <string.h>

#include "options_int.h"

static void
write_value(const struct guaco__option *o, const struct guaco__option_value *v,
            struct guaco__json_writer *w)
{
    if (o->kind == GUACO__OPTION_LIST) {
        guaco__json_open(w, '[');
        for (size_t i = 0; i < v->count; i++)
            guaco__json_put_text(w, v->items[i]);
        guaco__json_close(w, ']');
        return;
    }
    if (v->origin == GUACO__ORIGIN_UNSET) {
        guaco__json_put_null(w);
        return;
    }
    switch (o->kind) {
    case GUACO__OPTION_FLAG: guaco__json_put_bool(w, v->number != 0); return;
    case GUACO__OPTION_COUNT:
    case GUACO__OPTION_BYTES:
        if (v->number < 0)
            guaco__json_put_text(w, v->text);
        else
            guaco__json_put_int(w, v->number);
        return;
    case GUACO__OPTION_SECONDS:
        if (v->number % 1000 == 0)
            guaco__json_put_int(w, v->number / 1000);
        else
            guaco__json_put_real(w, (double)v->number / 1000);
        return;
    case GUACO__OPTION_TEXT:
    case GUACO__OPTION_CHOICE:
    case GUACO__OPTION_LIST: guaco__json_put_text(w, v->text); return;
    }
}

void
guaco__options_write(const struct guaco__options *options,
                     struct guaco__json_writer *w)
{
    guaco__json_open(w, '{');
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        char name[NAME_BYTES_MAX];

        if ((o->commands & options->command) == 0)
            continue;
        size_t len = strlen(o->name);
        assert(len < sizeof name);
        for (size_t k = 0; k <= len; k++)
            name[k] = o->name[k] == '-' ? '_' : o->name[k];
        guaco__json_name(w, name);
        write_value(o, &options->values[i], w);
    }
    guaco__json_close(w, '}');
}

/* "  -w, --workers N" or "      --[no-]reload" */
static int
put_usage(const struct guaco__option *o, struct guaco__buf *out)
{
    char letter[8] = "    ";

    if (o->letter != 0) {
        letter[0] = '-';
        letter[1] = o->letter;
        letter[2] = ',';
    }
    if (o->kind == GUACO__OPTION_FLAG)
        return guaco__buf_printf(out, "  %s--[no-]%s", letter, o->name);
    return guaco__buf_printf(out, "  %s--%s %s", letter, o->name, o->operand);
}

int
guaco__options_help(enum guaco__option_command command, struct guaco__buf *out)
{
    int rc = GUACO_OK;

    for (size_t i = 0; i < guaco__option_count && rc == GUACO_OK; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        if ((o->commands & command) == 0)
            continue;
        rc = put_usage(o, out);
        if (rc == GUACO_OK)
            rc = guaco__buf_printf(out, "\n          %s", o->help);
        if (rc == GUACO_OK && o->otherwise != NULL && *o->otherwise != '\0')
            rc = guaco__buf_printf(out, " [%s]", o->otherwise);
        if (rc == GUACO_OK)
            rc = guaco__buf_append_byte(out, '\n');
    }
    return rc;
}

int
guaco__options_print(const struct guaco__options *options,
                     struct guaco__buf *out)
{
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        const struct guaco__option_value *v = &options->values[i];
        struct guaco__json_writer w;

        if ((o->commands & options->command) == 0)
            continue;
        int rc = guaco__buf_printf(out, "%s = ", o->name);
        guaco__json_begin(&w, out);
        if (o->is_secret && v->origin != GUACO__ORIGIN_UNSET)
            guaco__json_put_text(&w, "(hidden)");
        else
            write_value(o, v, &w);
        if (rc == GUACO_OK)
            rc = guaco__json_end(&w);
        if (rc == GUACO_OK)
            rc = guaco__buf_printf(
                out, "  # %s\n",
                v->origin == GUACO__ORIGIN_UNSET ? "not set" : v->source);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}
