/*
 * guaco flamegraph: folded stacks, of any program, as an SVG; with --diff those
 * of two runs.
 */

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "command.h"
#include "os/file.h"
#include "profile/flamegraph.h"
#include "profile/folded.h"
#include "profile/tally_list.h"
#include "profile_flags.h"
#include "profile_output.h"

#define FILES_MAX 2

struct parse {
    struct guaco__flamegraph_options options;
    const char *files[FILES_MAX];
    size_t file_count;
    const char *output;
    bool wants_help;
};

static int
take_width(const char *text, uint32_t *width, struct guaco_error *err)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || value < 300 ||
        value > 100000)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "--width is 300 to 100000 pixels, not %.60s", text);
    *width = (uint32_t)value;
    return GUACO_OK;
}

static int
take_flag(void *ctx, enum guaco__profile_flag flag, const char *value,
          struct guaco_error *err)
{
    struct parse *p = ctx;

    /* Those of the table that are not guaco flamegraph's never come here. */
    if (flag == GUACO__FLAG_DIFF)
        p->options.is_diff = true;
    else if (flag == GUACO__FLAG_INVERTED)
        p->options.is_icicle = true;
    else if (flag == GUACO__FLAG_TITLE)
        p->options.title = (struct guaco_slice){value, strlen(value)};
    else if (flag == GUACO__FLAG_SUBTITLE)
        p->options.subtitle = (struct guaco_slice){value, strlen(value)};
    else if (flag == GUACO__FLAG_WIDTH)
        return take_width(value, &p->options.width, err);
    else if (flag == GUACO__FLAG_OUTPUT)
        p->output = strcmp(value, "-") == 0 ? NULL : value;
    else
        p->wants_help = true;
    return GUACO_OK;
}

/* Flags and files in any order. */
static int
read_words(struct parse *p, const char *const *args, size_t count,
           struct guaco_error *err)
{
    for (;;) {
        size_t used;
        int rc = guaco__profile_flags_read(GUACO__PROFILE_FLAMEGRAPH, args,
                                           count, take_flag, p, &used, err);
        if (rc != GUACO_OK || used == count || p->wants_help)
            return rc;
        if (p->file_count == FILES_MAX)
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "the word %.60s is left over", args[used]);
        p->files[p->file_count++] = args[used];
        args += used + 1;
        count -= used + 1;
    }
}

static int
check(struct parse *p, struct guaco_error *err)
{
    const char *last = p->file_count > 0 ? p->files[p->file_count - 1] : "";

    if (p->options.is_diff && p->file_count != 2)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "--diff takes two files, before and after");
    if (!p->options.is_diff && p->file_count != 1)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "one file of folded stacks, or - for standard input");
    if (p->options.title.len == 0)
        p->options.title = strcmp(last, "-") == 0
                               ? GUACO_SLICE("Flame graph")
                               : (struct guaco_slice){last, strlen(last)};
    return GUACO_OK;
}

/* One file's stacks into the tally, as those of now or of before. */
static int
read_stacks(struct guaco__tally *tally, const char *file, bool is_before,
            struct guaco_error *err)
{
    struct guaco__buf text;
    struct guaco_error why = {0};
    const char *path = strcmp(file, "-") == 0 ? "/dev/stdin" : file;

    guaco__buf_init(&text, GUACO__OUTPUT_BYTES_MAX);
    int rc = guaco__file_read(path, &text, err);
    if (rc == GUACO_OK) {
        rc = (is_before ? guaco__folded_read_before : guaco__folded_read)(
            tally, guaco__buf_slice(&text), &why);
        if (rc != GUACO_OK)
            guaco_fail(err, rc, 0, "%s: %s", file, why.text);
    }
    guaco__buf_release(&text);
    return rc;
}

/* What was there before and has no width now, for the line below the title. */
static void
tell_gone(const struct guaco__tally *tally, char *to, size_t len)
{
    const struct guaco__tally_node *node = &tally->root;
    uint64_t gone = 0;

    for (; node != NULL; node = guaco__tally_next(node))
        if (node->total == 0)
            gone += node->self_before;
    double share = tally->samples_before == 0
                       ? 0
                       : 100.0 * (double)gone / (double)tally->samples_before;
    snprintf(to, len,
             "%llu samples now, %llu before; %.1f%% of those before are in "
             "stacks that are gone",
             (unsigned long long)tally->samples,
             (unsigned long long)tally->samples_before, share);
}

static int
draw(struct parse *p, struct guaco__buf *out, struct guaco_error *err)
{
    struct guaco__tally tally;
    char subtitle[160];
    int rc = GUACO_OK;

    guaco__tally_init(&tally);
    if (p->options.is_diff)
        rc = read_stacks(&tally, p->files[0], true, err);
    if (rc == GUACO_OK)
        rc = read_stacks(&tally, p->files[p->file_count - 1], false, err);
    if (rc == GUACO_OK && p->options.is_diff && p->options.subtitle.len == 0) {
        guaco__tally_sum(&tally.root);
        tell_gone(&tally, subtitle, sizeof subtitle);
        p->options.subtitle = (struct guaco_slice){subtitle, strlen(subtitle)};
    }
    if (rc == GUACO_OK)
        rc = guaco__flamegraph_write(&tally, &p->options, out);
    guaco__tally_release(&tally);
    return rc;
}

static int
print_help(const struct guaco__command *command)
{
    printf("usage: guaco %s [options] FOLDED\n"
           "       guaco %s [options] --diff BEFORE AFTER\n"
           "\n"
           "%s; - is standard input\n"
           "\n",
           command->name, command->name, command->summary);
    guaco__profile_flags_help(GUACO__PROFILE_FLAMEGRAPH);
    return 0;
}

int
guaco__command_flamegraph(const struct guaco__command *command,
                          const char *const *args, size_t count)
{
    struct parse p = {
        .options = {.count_name = {"samples", 7}, .min_width = 0.1}};
    struct guaco__buf out;
    struct guaco_error err = {0};

    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error with a text */
    int rc = read_words(&p, args, count, &err);
    if (rc == GUACO_OK && p.wants_help)
        return print_help(command);
    if (rc == GUACO_OK)
        rc = check(&p, &err);
    if (rc != GUACO_OK) {
        fprintf(stderr, "guaco flamegraph: %s; see guaco flamegraph --help\n",
                err.text);
        return 2;
    }
    guaco__buf_init(&out, GUACO__OUTPUT_BYTES_MAX);
    rc = guaco__output_check(p.output, &err);
    if (rc == GUACO_OK)
        rc = draw(&p, &out, &err);
    if (rc == GUACO_OK)
        rc = guaco__output_write(p.output, &out, &err);
    guaco__buf_release(&out);
    return rc == GUACO_OK ? 0 : guaco__complain("flamegraph", rc, &err);
}
