/*
 * guaco profile: pyflame's flags and meanings (-p -t -s -r -o -x --threads -d
 * -n --flamechart), and -f for the form of what is written.
 */

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "profile_session.h"

static const char help[] =
    "usage: guaco profile [options] -p PID\n"
    "       guaco profile [options] -t COMMAND [ARGUMENT ...]\n"
    "\n"
    "sample the Python stacks of a process, without stopping it\n"
    "\n"
    "  -p, --pid PID          attach to this process\n"
    "  -t, --trace COMMAND    run a command and profile it to its end; the last\n"
    "                         option: what follows belongs to the command\n"
    "  -s, --seconds SECONDS  how long to record [1]; 0: one sample\n"
    "  -r, --rate SECONDS     seconds between two samples [0.01]\n"
    "  -o, --output FILE      where to write [standard output]\n"
    "  -f, --format FORMAT    folded, svg, speedscope or pprof [by the name of\n"
    "                         FILE]\n"
    "  -x, --exclude-idle     do not count samples in which nothing ran\n"
    "      --threads          every thread in every sample, not only the one\n"
    "                         that holds the GIL\n"
    "  -n, --no-line-numbers  count by function\n"
    "  -d, --dump             print the stack of each thread once\n"
    "      --flamechart       in the order of time, not counted\n"
    "\n"
    "SIGUSR1 writes what was recorded so far.  With -t the exit code is the\n"
    "command's.\n";

static const struct option flags[] = {
    {"pid", required_argument, NULL, 'p'},
    {"trace", required_argument, NULL, 't'},
    {"seconds", required_argument, NULL, 's'},
    {"rate", required_argument, NULL, 'r'},
    {"output", required_argument, NULL, 'o'},
    {"format", required_argument, NULL, 'f'},
    {"exclude-idle", no_argument, NULL, 'x'},
    {"threads", no_argument, NULL, 'T'},
    {"no-line-numbers", no_argument, NULL, 'n'},
    {"dump", no_argument, NULL, 'd'},
    {"flamechart", no_argument, NULL, 'F'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int
refuse(const char *what)
{
    fprintf(stderr, "guaco profile: %s; see guaco profile --help\n", what);
    return 2;
}

static bool
take_pid(const char *text, int *pid)
{
    char *end;
    long value = strtol(text, &end, 10);

    *pid = (int)value;
    return *text != '\0' && *end == '\0' && value > 0 && value <= INT32_MAX;
}

static bool
take_seconds(const char *text, double *seconds)
{
    char *end;

    *seconds = strtod(text, &end);
    return *text != '\0' && *end == '\0' && *seconds >= 0 && *seconds < 1e9;
}

static bool
take_format(const char *text, enum guaco__profile_format *format)
{
    static const struct {
        const char *name;
        enum guaco__profile_format format;
    } known[] = {
        {"folded", GUACO__PROFILE_FOLDED},
        {"svg", GUACO__PROFILE_SVG},
        {"speedscope", GUACO__PROFILE_SPEEDSCOPE},
        {"pprof", GUACO__PROFILE_PPROF},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(text, known[i].name) == 0) {
            *format = known[i].format;
            return true;
        }
    return false;
}

struct parse {
    struct guaco__profile_session session;
    bool has_format, has_seconds;
};

/* One flag with its value; what is wrong with it, or NULL. */
static const char *
take_flag(struct parse *p, int flag, const char *value)
{
    struct guaco__profile_session *s = &p->session;

    switch (flag) {
    case 'p': return take_pid(value, &s->pid) ? NULL : "-p takes a process id";
    case 's':
        p->has_seconds = true;
        return take_seconds(value, &s->seconds) ? NULL : "-s takes seconds";
    case 'r':
        return take_seconds(value, &s->period) && s->period >= 1e-6
                   ? NULL
                   : "-r takes seconds between two samples, at least 0.000001";
    case 'f':
        p->has_format = true;
        return take_format(value, &s->format)
                   ? NULL
                   : "-f is folded, svg, speedscope or pprof";
    case 'o': s->output = value; return NULL;
    case 'x': s->exclude_idle = true; return NULL;
    case 'T': s->threads = true; return NULL;
    case 'n': s->by_function = true; return NULL;
    case 'd': s->dump = true; return NULL;
    case 'F': s->format = GUACO__PROFILE_CHART; return NULL;
    default: return "";
    }
}

static bool
ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum guaco__profile_format
format_of_name(const char *file)
{
    if (ends_with(file, ".svg"))
        return GUACO__PROFILE_SVG;
    if (ends_with(file, ".speedscope.json"))
        return GUACO__PROFILE_SPEEDSCOPE;
    return ends_with(file, ".pb") ? GUACO__PROFILE_PPROF
                                  : GUACO__PROFILE_FOLDED;
}

/* What only shows when all flags are read. */
static const char *
check(struct parse *p)
{
    struct guaco__profile_session *s = &p->session;

    if (s->pid != 0 && s->command != NULL)
        return "-p and -t exclude each other";
    if (s->pid == 0 && s->command == NULL)
        return "a process is missing: -p PID, or -t COMMAND";
    if (s->dump && s->command != NULL)
        return "-d and -t exclude each other";
    if (p->has_format && s->format == GUACO__PROFILE_CHART)
        return "--flamechart has its own form: not with -f";
    if (s->command != NULL && !p->has_seconds)
        s->seconds = -1;
    if (!p->has_format && s->format == GUACO__PROFILE_FOLDED &&
        s->output != NULL)
        s->format = format_of_name(s->output);
    if (s->period >= 1)
        fprintf(stderr,
                "guaco profile: -r is seconds between samples, not a rate "
                "in Hz: one sample every %g s\n",
                s->period);
    return NULL;
}

int
guaco__command_profile(const struct guaco__command *command,
                       const char *const *args, size_t count)
{
    struct parse p = {.session = {.seconds = 1, .period = 0.01}};
    char *const *argv = (char *const *)(uintptr_t)(args - 1);
    const char *wrong = NULL;
    int flag;

    (void)command;
    optind = 1;
    /* '+': the first word that is no flag ends them; -t is the last. */
    while (wrong == NULL && p.session.command == NULL &&
           (flag = getopt_long((int)count + 1, argv, "+:p:t:s:r:o:f:xndh",
                               flags, NULL)) != -1) {
        if (flag == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (flag == 't')
            p.session.command = args + optind - 2;
        else if (flag == ':')
            wrong = "a flag lacks its value";
        else if (flag == '?')
            wrong = "there is an unknown flag";
        else
            wrong = take_flag(&p, flag, optarg);
    }
    if (wrong == NULL && p.session.command == NULL &&
        (size_t)optind < count + 1 && strcmp(args[optind - 2], "--") == 0)
        p.session.command = args + optind - 1;
    else if (wrong == NULL && p.session.command == NULL &&
             (size_t)optind < count + 1)
        wrong = "a word is left over";
    if (wrong == NULL)
        wrong = check(&p);
    return wrong != NULL ? refuse(wrong)
                         : guaco__profile_session_run(&p.session);
}
