/* The table of guaco profile's flags, and how words are matched with it. */

#include "profile_flags.h"

#include <stdio.h>
#include <string.h>

#include "run/options.h"

#define BARE   GUACO__PROFILE_BARE
#define RECORD GUACO__PROFILE_RECORD
#define TOP    GUACO__PROFILE_TOP
#define DUMP   GUACO__PROFILE_DUMP
#define WORDS  (RECORD | TOP | DUMP)
#define GRAPH  GUACO__PROFILE_FLAMEGRAPH
#define ALL    (BARE | WORDS)

struct flag {
    const char *name;
    char letter; /* 0: none */
    unsigned words;
    enum guaco__profile_flag flag;
    const char *operand; /* NULL: takes no value */
    const char *help;    /* NULL: not shown */
};

/* clang-format off */
static const struct flag flags[] = {
    {"pid", 'p', ALL, GUACO__FLAG_PID, "PID", "attach to this process"},
    {"trace", 't', BARE, GUACO__FLAG_TRACE, "COMMAND",
     "run a command and profile it to its end; the last\n"
     "option: what follows belongs to the command"},
    {"seconds", 's', BARE, GUACO__FLAG_DURATION, "SECONDS",
     "how long to record [1]; 0: one sample"},
    {"rate", 'r', BARE, GUACO__FLAG_PERIOD, "SECONDS",
     "seconds between two samples [0.01]"},
    {"duration", 'd', RECORD, GUACO__FLAG_DURATION, "SECONDS",
     "how long to record [to the end]"},
    {"rate", 'r', RECORD | TOP, GUACO__FLAG_RATE, "HZ",
     "samples a second [100]"},
    {"delay", 0, TOP, GUACO__FLAG_DELAY, "SECONDS",
     "between two screens [1]"},
    {"output", 'o', BARE | RECORD | GRAPH, GUACO__FLAG_OUTPUT, "FILE",
     "where to write; - is standard output"},
    {"format", 'f', BARE | RECORD, GUACO__FLAG_FORMAT, "FORMAT",
     "folded, svg, speedscope, pprof, gecko or chrome\n"
     "[by the name of FILE]"},
    {"exclude-idle", 'x', BARE, GUACO__FLAG_EXCLUDE_IDLE, NULL,
     "do not count samples in which nothing ran"},
    {"threads", 0, BARE, GUACO__FLAG_THREADS, NULL,
     "every thread in every sample, not only the one\n"
     "that holds the GIL"},
    {"gil", 'g', RECORD | TOP, GUACO__FLAG_GIL, NULL,
     "only threads that hold the GIL"},
    {"gil", 0, BARE, GUACO__FLAG_GIL, NULL, "the same as without --threads"},
    {"idle", 'i', RECORD | TOP, GUACO__FLAG_IDLE, NULL,
     "threads that wait too, not only those that run"},
    {"idle", 'i', BARE, GUACO__FLAG_IDLE, NULL, "the same as --threads"},
    {"mode", 0, BARE | RECORD | TOP, GUACO__FLAG_MODE, "MODE",
     "which threads count: gil, those that hold the GIL;\n"
     "cpu, those that run; wall, all"},
    {"states", 0, BARE | RECORD, GUACO__FLAG_STATES, NULL,
     "end a stack with what its thread does, if it does\n"
     "not run Python: waits for the GIL, runs without it,\n"
     "or waits"},
    {"tasks", 0, BARE | RECORD, GUACO__FLAG_TASKS, NULL,
     "begin a stack with asyncio's task, below those that\n"
     "await it"},
    {"native", 'n', WORDS, GUACO__FLAG_NATIVE, NULL,
     "with the frames of C, C++ and the like: each thread\n"
     "is stopped for microseconds"},
    {"native", 0, BARE, GUACO__FLAG_NATIVE, NULL,
     "with the frames of C, C++ and the like: each thread\n"
     "is stopped for microseconds"},
    {"subprocesses", 's', RECORD, GUACO__FLAG_SUBPROCESSES, NULL,
     "the processes below it too, from their birth"},
    {"subprocesses", 0, BARE, GUACO__FLAG_SUBPROCESSES, NULL,
     "the processes below it too, from their birth"},
    {"socket", 0, BARE | RECORD, GUACO__FLAG_SOCKET, "PATH",
     "ask the server or workers that were started with\n"
     "--profile-socket PATH: all of their processes"},
    {"route", 0, BARE | RECORD, GUACO__FLAG_ROUTE, "TEMPLATE",
     "only what ran for requests of this route"},
    {"task", 0, BARE | RECORD, GUACO__FLAG_TASK, "NAME",
     "only what ran for this task"},
    {"jitter", 0, BARE | RECORD | TOP, GUACO__FLAG_JITTER, NULL,
     "at a random moment of each period"},
    {"locals", 'l', BARE | DUMP, GUACO__FLAG_LOCALS, NULL,
     "with the local variables"},
    {"json", 'j', DUMP, GUACO__FLAG_JSON, NULL, "as JSON"},
    {"no-line-numbers", 'n', BARE, GUACO__FLAG_BY_FUNCTION, NULL,
     "count by function"},
    {"function", 'F', RECORD, GUACO__FLAG_BY_FUNCTION, NULL,
     "count by function, not by line"},
    {"nolineno", 0, RECORD, GUACO__FLAG_BY_FUNCTION, NULL,
     "the same"},
    {"dump", 'd', BARE, GUACO__FLAG_DUMP, NULL,
     "print the stack of each thread once"},
    {"flamechart", 0, BARE | RECORD, GUACO__FLAG_FLAMECHART, NULL,
     "in the order of time, not counted; alone in\n"
     "pyflame's form, else with -f svg"},
    {"diff", 0, GRAPH, GUACO__FLAG_DIFF, NULL,
     "draw the second file, coloured by what changed since\n"
     "the first: red has more of the samples, blue less"},
    {"inverted", 0, BARE | RECORD | GRAPH, GUACO__FLAG_INVERTED, NULL,
     "an SVG with the outermost frames on top"},
    {"title", 0, BARE | RECORD, GUACO__FLAG_TITLE, "TEXT",
     "of the picture [the command]"},
    {"title", 0, GRAPH, GUACO__FLAG_TITLE, "TEXT",
     "of the picture [the name of FOLDED]"},
    {"subtitle", 0, GRAPH, GUACO__FLAG_SUBTITLE, "TEXT", "what stands below it"},
    {"width", 0, GRAPH, GUACO__FLAG_WIDTH, "PIXELS", "300 to 100000 [1200]"},
    {"abi", 0, BARE, GUACO__FLAG_ABI, "VERSION",
     "refuse a process of another version (38 to 315)"},
    {"full-filenames", 0, WORDS, GUACO__FLAG_IGNORED, NULL, NULL},
    {"nonblocking", 0, WORDS, GUACO__FLAG_IGNORED, NULL, NULL},
    {"version", 'v', BARE, GUACO__FLAG_VERSION, NULL, "print the version"},
    {"version", 'V', WORDS, GUACO__FLAG_VERSION, NULL, NULL},
    {"help", 'h', ALL | GRAPH, GUACO__FLAG_HELP, NULL, "this text"},
};
/* clang-format on */

#define FLAGS (sizeof flags / sizeof flags[0])

static const struct flag *
find(enum guaco__profile_word word, const char *name, size_t len)
{
    for (size_t i = 0; i < FLAGS; i++)
        if ((flags[i].words & word) != 0 && strlen(flags[i].name) == len &&
            strncmp(flags[i].name, name, len) == 0)
            return &flags[i];
    return NULL;
}

static const struct flag *
find_letter(enum guaco__profile_word word, char letter)
{
    for (size_t i = 0; i < FLAGS; i++)
        if ((flags[i].words & word) != 0 && flags[i].letter == letter)
            return &flags[i];
    return NULL;
}

static int
fail_unknown(enum guaco__profile_word word, const char *given,
             struct guaco_error *err)
{
    const char *name = given + strspn(given, "-");
    const struct flag *near = NULL;
    size_t least = strlen(name) / 3 + 2; /* further is no misspelling */

    for (size_t i = 0; i < FLAGS; i++) {
        size_t d = guaco__options_distance(name, flags[i].name);
        if ((flags[i].words & word) == 0 || d >= least)
            continue;
        least = d;
        near = &flags[i];
    }
    if (near == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "unknown flag %.60s", given);
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "unknown flag %.60s; the nearest is --%s", given,
                      near->name);
}

struct reader {
    enum guaco__profile_word word;
    const char *const *args;
    size_t count, at;
    guaco__flag_fn *fn;
    void *ctx;
};

/* `rest` is what stands in the same word as the flag, or NULL. */
static int
take(struct reader *r, const struct flag *flag, const char *rest,
     struct guaco_error *err)
{
    if (flag->operand == NULL)
        return r->fn(r->ctx, flag->flag, NULL, err);
    if (rest == NULL && r->at == r->count)
        return guaco_fail(err, GUACO_E_INVALID, 0, "--%s lacks its %s",
                          flag->name, flag->operand);
    if (flag->flag == GUACO__FLAG_TRACE && rest != NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "the command of -t is a word of its own");
    if (flag->flag == GUACO__FLAG_TRACE) /* the command stays unread */
        return r->fn(r->ctx, flag->flag, r->args[r->at], err);
    return r->fn(r->ctx, flag->flag, rest != NULL ? rest : r->args[r->at++],
                 err);
}

/* "--name", "--name=value" */
static int
take_long(struct reader *r, const char *given, const struct flag **flag,
          struct guaco_error *err)
{
    size_t len = strcspn(given + 2, "=");
    const char *rest = given[2 + len] == '=' ? given + 3 + len : NULL;

    *flag = find(r->word, given + 2, len);
    if (*flag == NULL)
        return fail_unknown(r->word, given, err);
    if (rest != NULL && (*flag)->operand == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "--%s takes no value",
                          (*flag)->name);
    return take(r, *flag, rest, err);
}

/* "-xn", "-p 12", "-p12", "-xp12" */
static int
take_short(struct reader *r, const char *given, const struct flag **flag,
           struct guaco_error *err)
{
    for (const char *at = given + 1; *at != '\0'; at++) {
        *flag = find_letter(r->word, *at);
        if (*flag == NULL)
            return fail_unknown(r->word, given, err);
        bool has_rest = (*flag)->operand != NULL && at[1] != '\0';
        int rc = take(r, *flag, has_rest ? at + 1 + (at[1] == '=') : NULL, err);
        if (rc != GUACO_OK || (*flag)->operand != NULL)
            return rc;
    }
    return GUACO_OK;
}

int
guaco__profile_flags_read(enum guaco__profile_word word,
                          const char *const *args, size_t count,
                          guaco__flag_fn *fn, void *ctx, size_t *used,
                          struct guaco_error *err)
{
    struct reader r = {
        .word = word, .args = args, .count = count, .fn = fn, .ctx = ctx};
    int rc = GUACO_OK;

    while (rc == GUACO_OK && r.at < count) {
        const char *given = args[r.at];
        const struct flag *flag = NULL;
        if (given[0] != '-' || given[1] == '\0')
            break;
        r.at++;
        if (strcmp(given, "--") == 0)
            break;
        rc = given[1] == '-' ? take_long(&r, given, &flag, err)
                             : take_short(&r, given, &flag, err);
        if (flag != NULL && flag->flag == GUACO__FLAG_TRACE)
            break;
    }
    *used = r.at;
    return rc;
}

void
guaco__profile_flags_help(enum guaco__profile_word word)
{
    for (size_t i = 0; i < FLAGS; i++) {
        const struct flag *f = &flags[i];
        char left[40];
        const char *text = f->help;

        if ((f->words & word) == 0 || text == NULL)
            continue;
        snprintf(left, sizeof left, "%c%c%c --%s%s%s",
                 f->letter != 0 ? '-' : ' ', f->letter != 0 ? f->letter : ' ',
                 f->letter != 0 ? ',' : ' ', f->name,
                 f->operand != NULL ? " " : "",
                 f->operand != NULL ? f->operand : "");
        while (text != NULL) {
            const char *stop = strchr(text, '\n');
            int len = stop == NULL ? (int)strlen(text) : (int)(stop - text);
            printf("  %-23s %.*s\n", left, len, text);
            left[0] = '\0';
            text = stop == NULL ? NULL : stop + 1;
        }
    }
}
