/*
 * guaco profile: pyflame's flags and meanings; behind record, top and dump
 * those of py-spy.  The flags are in profile_flags.c; here is what they mean
 * together.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "command.h"
#include "os/clock.h"
#include "profile/layout.h"
#include "profile_client.h"
#include "profile_flags.h"
#include "profile_session.h"

#define RATE_MOST      1e6  /* samples a second */
#define SOCKET_RATE    99.0 /* not in step with what happens 100 times */
#define SOCKET_SECONDS 10.0

struct parse {
    struct guaco__profile_session session;
    enum guaco__profile_word word;
    bool has_format, has_seconds, has_period, has_flamechart;
    bool wants_help, wants_version, wants_gil, wants_cpu, wants_idle;
    char file[64]; /* the name of the output, when it has none given */
};

static const struct {
    const char *name;
    enum guaco__profile_word word;
} words[] = {
    {"record", GUACO__PROFILE_RECORD},
    {"top", GUACO__PROFILE_TOP},
    {"dump", GUACO__PROFILE_DUMP},
};

/* ---- help ---------------------------------------------------------------------- */

static const char usage_bare[] =
    "usage: guaco profile [options] -p PID\n"
    "       guaco profile [options] -t COMMAND [ARGUMENT ...]\n"
    "       guaco profile record|top|dump ...   (with --help for each)\n"
    "\n"
    "sample the Python stacks of a process, without stopping it\n"
    "\n";
static const char usage_word[] = "usage: guaco profile %s [options] -p PID%s\n"
                                 "\n"
                                 "%s\n"
                                 "\n";
static const char usage_end[] =
    "\n"
    "Ctrl-C ends a recording and writes it; SIGUSR1 writes what was recorded so\n"
    "far.  The exit code is that of the command, where there is one.\n";

static int
print_help(enum guaco__profile_word word)
{
    const char *command =
        word == GUACO__PROFILE_DUMP ? "" : " | -- COMMAND [ARGUMENT ...]";

    switch (word) {
    case GUACO__PROFILE_BARE: fputs(usage_bare, stdout); break;
    case GUACO__PROFILE_RECORD:
        printf(usage_word, "record", command,
               "record the Python stacks of a process into a file");
        break;
    case GUACO__PROFILE_TOP:
        printf(usage_word, "top", command,
               "show which functions a process spends its time in");
        break;
    case GUACO__PROFILE_DUMP:
        printf(usage_word, "dump", command,
               "print what each thread of a process does now");
        break;
    case GUACO__PROFILE_FLAMEGRAPH: break;
    }
    guaco__profile_flags_help(word);
    if (word == GUACO__PROFILE_BARE || word == GUACO__PROFILE_RECORD)
        fputs(usage_end, stdout);
    return 0;
}

/* ---- values ---------------------------------------------------------------------- */

static int
take_pid(const char *text, int *pid, struct guaco_error *err)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value <= 0 || value > INT32_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "-p takes a process id, not %.60s", text);
    *pid = (int)value;
    return GUACO_OK;
}

static int
take_number(const char *text, double least, double most, double *number,
            const char *what, struct guaco_error *err)
{
    char *end;

    *number = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(*number >= least) || *number > most)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s, not %.60s", what, text);
    return GUACO_OK;
}

/* pyflame's ABI of Python 3.11 is 311. */
static int
take_version(const char *text, unsigned *version, struct guaco_error *err)
{
    char *end;
    long minor = text[0] == '3' ? strtol(text + 1, &end, 10) : 0;

    *version = GUACO__VERSION(3, (unsigned)minor);
    if (text[0] != '3' || text[1] == '\0' || *end != '\0' || minor < 0 ||
        *version < GUACO__VERSION_OLDEST || *version > GUACO__VERSION_NEWEST)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "unknown or unsupported ABI version: %.60s", text);
    return GUACO_OK;
}

static int
take_format(struct parse *p, const char *text, struct guaco_error *err)
{
    p->has_format = true;
    if (guaco__format_find(text, &p->session.format))
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "-f is folded, svg, speedscope, pprof, gecko or chrome, "
                      "not %.60s",
                      text);
}

static int
take_mode(struct parse *p, const char *text, struct guaco_error *err)
{
    p->wants_gil = strcmp(text, "gil") == 0;
    p->wants_cpu = strcmp(text, "cpu") == 0;
    p->wants_idle = strcmp(text, "wall") == 0;
    if (p->wants_gil || p->wants_cpu || p->wants_idle)
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "--mode is gil, cpu or wall, not %.60s", text);
}

static int
take_rate(double *period, const char *text, struct guaco_error *err)
{
    double rate;

    int rc = take_number(text, 1e-3, RATE_MOST, &rate,
                         "-r takes samples a second, at most 1000000", err);
    if (rc == GUACO_OK)
        *period = 1 / rate;
    return rc;
}

static int
take_flag(void *ctx, enum guaco__profile_flag flag, const char *value,
          struct guaco_error *err)
{
    struct parse *p = ctx;
    struct guaco__profile_session *s = &p->session;

    switch (flag) {
    case GUACO__FLAG_PID: return take_pid(value, &s->pid, err);
    case GUACO__FLAG_TRACE: return GUACO_OK; /* the words behind it are it */
    case GUACO__FLAG_DURATION:
        p->has_seconds = true;
        return take_number(value, 0, 1e9, &s->seconds,
                           p->word == GUACO__PROFILE_BARE ? "-s takes seconds"
                                                          : "-d takes seconds",
                           err);
    case GUACO__FLAG_PERIOD:
        p->has_period = true;
        return take_number(value, 1 / RATE_MOST, 1e6, &s->period,
                           "-r takes seconds between two samples, at least "
                           "0.000001",
                           err);
    case GUACO__FLAG_DELAY:
        return take_number(value, 0.05, 3600, &s->top_delay,
                           "--delay takes seconds between two screens, at "
                           "least 0.05",
                           err);
    case GUACO__FLAG_RATE:
        p->has_period = true;
        return take_rate(&s->period, value, err);
    case GUACO__FLAG_FORMAT: return take_format(p, value, err);
    case GUACO__FLAG_ABI: return take_version(value, &s->version, err);
    case GUACO__FLAG_OUTPUT:
        s->output = strcmp(value, "-") == 0 ? "/dev/stdout" : value;
        return GUACO_OK;
    case GUACO__FLAG_TITLE: s->title = value; return GUACO_OK;
    case GUACO__FLAG_EXCLUDE_IDLE: s->exclude_idle = true; return GUACO_OK;
    case GUACO__FLAG_THREADS: s->threads = true; return GUACO_OK;
    case GUACO__FLAG_BY_FUNCTION: s->by_function = true; return GUACO_OK;
    case GUACO__FLAG_DUMP: s->dump = true; return GUACO_OK;
    case GUACO__FLAG_FLAMECHART: p->has_flamechart = true; return GUACO_OK;
    case GUACO__FLAG_INVERTED: s->is_icicle = true; return GUACO_OK;
    case GUACO__FLAG_MODE: return take_mode(p, value, err);
    case GUACO__FLAG_NATIVE: s->native = true; return GUACO_OK;
    case GUACO__FLAG_STATES: s->by_state = true; return GUACO_OK;
    case GUACO__FLAG_SOCKET: s->socket = value; return GUACO_OK;
    case GUACO__FLAG_ROUTE: s->labels.route = value; return GUACO_OK;
    case GUACO__FLAG_TASK: s->labels.task = value; return GUACO_OK;
    case GUACO__FLAG_TASKS: s->by_task = true; return GUACO_OK;
    case GUACO__FLAG_SUBPROCESSES: s->subprocesses = true; return GUACO_OK;
    case GUACO__FLAG_JITTER: s->is_jittered = true; return GUACO_OK;
    case GUACO__FLAG_GIL: p->wants_gil = true; return GUACO_OK;
    case GUACO__FLAG_IDLE: p->wants_idle = true; return GUACO_OK;
    case GUACO__FLAG_LOCALS: s->dumps_locals = true; return GUACO_OK;
    case GUACO__FLAG_JSON: s->dumps_json = true; return GUACO_OK;
    case GUACO__FLAG_HELP: p->wants_help = true; return GUACO_OK;
    case GUACO__FLAG_VERSION: p->wants_version = true; return GUACO_OK;
    case GUACO__FLAG_IGNORED: return GUACO_OK;
    case GUACO__FLAG_DIFF: /* of guaco flamegraph */
    case GUACO__FLAG_SUBTITLE:
    case GUACO__FLAG_WIDTH: break;
    }
    return GUACO_E_INVALID;
}

/* ---- what they mean together ----------------------------------------------------- */

/* The words behind the flags: a command, or pyflame's old form of a pid. */
static int
take_rest(struct parse *p, const char *const *args, size_t count, size_t used,
          struct guaco_error *err)
{
    const char *last = used > 0 ? args[used - 1] : "";
    bool is_command = strcmp(last, "--") == 0 || strcmp(last, "-t") == 0 ||
                      strcmp(last, "--trace") == 0 ||
                      p->word != GUACO__PROFILE_BARE;

    if (used == count)
        return GUACO_OK;
    if (is_command && p->word != GUACO__PROFILE_DUMP) {
        p->session.command = args + used;
        return GUACO_OK;
    }
    if (count - used > 1 || p->session.pid != 0)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "the word %.60s is left over: a command stands "
                          "behind -- or -t",
                          args[used]);
    int rc = take_pid(args[used], &p->session.pid, err);
    if (rc == GUACO_OK)
        fputs("guaco profile: a PID without -p is deprecated, as it was in "
              "pyflame\n",
              stderr);
    return rc;
}

/* py-spy names the file itself when nobody does. */
static void
name_output(struct parse *p)
{
    struct guaco_clock wall = {0};
    char date[GUACO__DATE_ISO_BYTES];

    guaco__date_format_iso(guaco__clock_wall_ms(&wall), date);
    snprintf(p->file, sizeof p->file, "profile-%.19s.svg", date);
    p->session.output = p->file;
}

static void
choose_format(struct parse *p)
{
    struct guaco__profile_session *s = &p->session;
    bool is_record = p->word == GUACO__PROFILE_RECORD;

    if (is_record && s->output == NULL)
        name_output(p);
    if (!p->has_format && s->output != NULL)
        s->format = guaco__format_of_file(s->output);
    if (p->has_flamechart && !p->has_format &&
        s->format == GUACO__FORMAT_FOLDED)
        s->format = GUACO__FORMAT_CHART;
    s->in_time = p->has_flamechart;
}

/* Which threads count: pyflame's are those that hold the GIL, or all; py-spy's
 * those that run. */
static void
choose_threads(struct parse *p)
{
    struct guaco__profile_session *s = &p->session;
    bool is_bare = p->word == GUACO__PROFILE_BARE && s->socket == NULL;

    s->threads = (s->threads || !is_bare || p->wants_idle || p->wants_cpu) &&
                 !p->wants_gil;
    s->running_only =
        (!is_bare || p->wants_cpu) && s->threads && !p->wants_idle;
    s->exclude_idle = s->exclude_idle || !is_bare || s->has_labels;
    s->dumps_for_people = !is_bare || s->dumps_locals;
}

/* What is wrong with the choice of processes, or NULL. */
static const char *
check_target(const struct guaco__profile_session *s)
{
    if (s->pid != 0 && s->command != NULL)
        return "-p and a command exclude each other";
    if (s->socket != NULL && (s->pid != 0 || s->command != NULL))
        return "--socket asks a server for its processes: without -p or a "
               "command";
    if (s->pid == 0 && s->command == NULL && s->socket == NULL)
        return "a process is missing: -p PID, or a command";
    if (s->dump && s->command != NULL)
        return "-d and -t exclude each other";
    if (s->dump && s->socket != NULL)
        return "-d and --socket exclude each other";
    if (s->native && s->socket != NULL)
        return "--native and --socket exclude each other: servers are not "
               "stopped";
    if (s->labels.route != NULL && s->labels.task != NULL)
        return "--route and --task exclude each other";
    return NULL;
}

/* How long and how often, where it was not said. */
static void
choose_times(struct parse *p)
{
    struct guaco__profile_session *s = &p->session;

    if (s->socket != NULL && !p->has_period)
        s->period = 1.0 / SOCKET_RATE;
    if (p->has_seconds)
        return;
    if (s->command != NULL || p->word != GUACO__PROFILE_BARE)
        s->seconds = -1;
    else
        s->seconds = s->socket != NULL ? SOCKET_SECONDS : 1;
}

/* What only shows when all flags are read. */
static int
check(struct parse *p, struct guaco_error *err)
{
    struct guaco__profile_session *s = &p->session;

    choose_format(p);
    if (p->wants_gil && (p->wants_idle || s->threads))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "--gil and --%s exclude each other",
                          p->wants_idle ? "idle" : "threads");
    if (s->dumps_locals && !s->dump && p->word == GUACO__PROFILE_BARE)
        return guaco_fail(err, GUACO_E_INVALID, 0, "--locals goes with --dump");
    s->has_labels =
        s->socket != NULL || s->labels.route != NULL || s->labels.task != NULL;
    choose_threads(p);
    const char *wrong = check_target(s);
    if (wrong == NULL && p->has_flamechart &&
        (s->format == GUACO__FORMAT_FOLDED || s->format == GUACO__FORMAT_PPROF))
        wrong = "this format has no order of time: --flamechart goes with "
                "svg, speedscope, gecko and chrome";
    if (wrong != NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s", wrong);
    choose_times(p);
    if (s->period >= 1 && p->word == GUACO__PROFILE_BARE)
        fprintf(stderr,
                "guaco profile: -r is seconds between samples, not a rate in "
                "Hz: one sample every %g s; for %g Hz write -r %g, or guaco "
                "profile record -r %g\n",
                s->period, s->period, 1 / s->period, s->period);
    return GUACO_OK;
}

static enum guaco__profile_word
word_of(const char *text)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i].name) == 0)
            return words[i].word;
    return GUACO__PROFILE_BARE;
}

static int
run(struct parse *p)
{
    p->session.says_end = p->word == GUACO__PROFILE_RECORD;
    p->session.is_top = p->word == GUACO__PROFILE_TOP;
    p->session.dump |= p->word == GUACO__PROFILE_DUMP;
    return p->session.socket != NULL ? guaco__profile_client_run(&p->session)
                                     : guaco__profile_session_run(&p->session);
}

int
guaco__command_profile(const struct guaco__command *command,
                       const char *const *args, size_t count)
{
    struct parse p = {.session = {.period = 0.01, .top_delay = 1}};
    struct guaco_error err = {0};
    size_t used;

    (void)command;
    p.word = count > 0 ? word_of(args[0]) : GUACO__PROFILE_BARE;
    if (p.word != GUACO__PROFILE_BARE) {
        args++;
        count--;
    }
    int rc = guaco__profile_flags_read(p.word, args, count, take_flag, &p,
                                       &used, &err);
    if (rc == GUACO_OK && p.wants_help)
        return print_help(p.word);
    if (rc == GUACO_OK && p.wants_version) {
        printf("guaco %s (Python 3.8 to 3.15)\n", GUACO_VERSION);
        return 0;
    }
    if (rc == GUACO_OK)
        rc = take_rest(&p, args, count, used, &err);
    if (rc == GUACO_OK)
        rc = check(&p, &err);
    if (rc == GUACO_OK)
        return run(&p);
    fprintf(stderr, "guaco profile: %s; see guaco profile --help\n", err.text);
    return 2;
}
