/*
 * guaco serve, work, up and queue: reads the options, then hands over to the
 * supervisor.  [tool.guaco] is taken from the pyproject.toml of the working
 * directory.
 */

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "command.h"
#include "os/file.h"
#include "os/log_fd.h"
#include "run/interpreter.h"
#include "run/options.h"
#include "run/supervisor.h"
#include "run/toml.h"

#define FILE_NAME      "pyproject.toml"
#define FILE_BYTES_MAX (1u << 20)
#define TEXT_BYTES_MAX (1u << 20)

static int
complain(const struct guaco_error *err, int exit_code)
{
    fprintf(stderr, "guaco: %s\n", err->text);
    return exit_code;
}

static int
complain_about(struct guaco_error *err, int sys, const char *path)
{
    guaco_fail(err, GUACO_E_INVALID, sys, "%s", path);
    return complain(err, GUACO__EXIT_USAGE);
}

static void
tell(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    fwrite(text, 1, len, stderr);
    if (len > 0 && text[len - 1] != '\n')
        fputc('\n', stderr);
}

/* *root is NULL when there is no file. */
static int
read_file(struct guaco__arena *arena, const struct guaco__toml **root,
          struct guaco_error *err)
{
    struct guaco__buf text;
    struct guaco_error why;

    *root = NULL;
    guaco__buf_init(&text, FILE_BYTES_MAX);
    int rc = guaco__file_read(FILE_NAME, &text, err);
    if (rc == GUACO_OK) {
        rc = guaco__toml_read(arena, guaco__buf_data(&text), text.len, root,
                              &why);
        if (rc != GUACO_OK)
            guaco_fail(err, rc, 0, "%s: %s", FILE_NAME, why.text);
    } else if (rc == GUACO_E_MISSING) {
        rc = GUACO_OK;
    }
    guaco__buf_release(&text);
    return rc;
}

int
guaco__cli_resolve(struct guaco__options *options,
                   enum guaco__option_command command, const char *const *args,
                   size_t count, struct guaco_error *err)
{
    struct guaco__arena arena;
    const struct guaco__toml *root;

    guaco__arena_init(&arena, 16384, 8 * FILE_BYTES_MAX);
    int rc = read_file(&arena, &root, err);
    if (rc == GUACO_OK)
        rc = guaco__options_resolve(options, command, args, count,
                                    (const char *const *)environ, root, err);
    guaco__arena_release(&arena);
    return rc;
}

/* Print what `fill` appends; for --help and --print-config. */
static int
print(const struct guaco__buf *text, int rc)
{
    if (rc == GUACO_OK && text->len > 0)
        fwrite(guaco__buf_data(text), 1, text->len, stdout);
    return rc == GUACO_OK && fflush(stdout) == 0 ? GUACO__EXIT_OK
                                                 : GUACO__EXIT_CRASH;
}

static int
print_help(const struct guaco__command *command,
           enum guaco__option_command which)
{
    struct guaco__buf text;

    guaco__buf_init(&text, TEXT_BYTES_MAX);
    int rc =
        guaco__buf_printf(&text, "usage: guaco %s [options] %s\n\n%s\n\n",
                          command->name, command->operands, command->summary);
    if (rc == GUACO_OK)
        rc = guaco__options_help(which, &text);
    if (rc == GUACO_OK)
        rc = guaco__buf_printf(
            &text,
            "      --print-config\n          print what holds and where it "
            "comes from\n      --check-config\n          load the target, say "
            "whether all is sound, and end\n\nEach option is also a variable (GUACO_LOG_LEVEL) "
            "and a key of [tool.guaco]\nor [tool.guaco.%s] in "
            "pyproject.toml (log-level).\n",
            command->name);
    int code = print(&text, rc);
    guaco__buf_release(&text);
    return code;
}

static int
print_config(const struct guaco__options *options)
{
    struct guaco__buf text;

    guaco__buf_init(&text, TEXT_BYTES_MAX);
    int code = print(&text, guaco__options_print(options, &text));
    guaco__buf_release(&text);
    return code;
}

/* The target among the operands, "demo.queue" turned into "demo:queue". */
static int
find_target(const struct guaco__options *options, char target[PATH_MAX],
            struct guaco_error *err)
{
    size_t at = options->command == GUACO__QUEUE ? 1 : 0;

    if (options->operand_count <= at)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "what to run is missing: module:attribute");
    if (options->operand_count > at + 1 && options->command != GUACO__QUEUE)
        return guaco_fail(err, GUACO_E_INVALID, 0, "one target, not also %s",
                          options->operands[at + 1]);
    const char *given = options->operands[at];
    size_t len = strlen(given);
    if (len >= PATH_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "the target is too long");
    memcpy(target, given, len + 1);
    if (guaco__target_is_guest(target) || strchr(target, ':') != NULL)
        return GUACO_OK;
    char *dot = strrchr(target, '.');
    if (dot == NULL || dot == target || dot[1] == '\0')
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s is not module:attribute",
                          given);
    *dot = ':';
    return GUACO_OK;
}

/*
 * --check-config: have the interpreter of the workers load the target.  What it
 * is to know of the options goes by an argument, as JSON.
 */
static int
check_config(const struct guaco__options *options, const char *target,
             const char *exe, struct guaco_error *err)
{
    char python[PATH_MAX];
    struct guaco__buf text;
    struct guaco__json_writer writer;
    const char *why;
    const char *json;

    if (guaco__target_is_guest(target))
        return access(target, R_OK) == 0 ? GUACO__EXIT_OK
                                         : complain_about(err, errno, target);
    if (guaco__interpreter_find(guaco__options_text(options, "python"), exe,
                                (const char *const *)environ, python, &why,
                                err) != GUACO_OK)
        return complain(err, GUACO__EXIT_USAGE);
    guaco__buf_init(&text, TEXT_BYTES_MAX);
    guaco__json_begin(&writer, &text);
    guaco__options_write(options, &writer);
    int rc = guaco__json_end(&writer);
    if (rc == GUACO_OK)
        rc = guaco__buf_text(&text, &json);
    if (rc == GUACO_OK) {
        execl(python, python, "-m", "guaco._check", target, json, (char *)NULL);
        rc = guaco_fail(err, GUACO_E_IO, errno, "start %s", python);
    }
    guaco__buf_release(&text);
    return complain(err, GUACO__EXIT_CRASH);
}

static int
run_tree(const struct guaco__options *options, const char *const *argv,
         struct guaco_error *err)
{
    char target[PATH_MAX];
    char exe[PATH_MAX];
    char folder[PATH_MAX];
    int exit_code = GUACO__EXIT_CRASH;

    int rc = find_target(options, target, err);
    if (rc != GUACO_OK)
        return complain(err, GUACO__EXIT_USAGE);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 0) {
        guaco_fail(err, GUACO_E_IO, errno, "/proc/self/exe");
        return complain(err, GUACO__EXIT_CRASH);
    }
    exe[n] = '\0';
    if (getcwd(folder, sizeof folder) == NULL) {
        guaco_fail(err, GUACO_E_IO, errno, "the working directory");
        return complain(err, GUACO__EXIT_CRASH);
    }

    const struct guaco_log log = {
        .level =
            guaco__log_level_find(guaco__options_text(options, "log-level")),
        .write = guaco__log_fd,
        .ctx = (void *)(intptr_t)STDERR_FILENO,
    };
    const struct guaco__supervisor_setup setup = {
        .options = options,
        .command = argv[1],
        .target = target,
        .exe = exe,
        .argv = argv,
        .folder = folder,
        .envp = (const char *const *)environ,
        .log = &log,
        .tell = tell,
    };
    const char *to = guaco__options_text(options, "chdir");
    if (to != NULL && chdir(to) != 0) {
        guaco_fail(err, GUACO_E_INVALID, errno, "--chdir %s", to);
        return complain(err, GUACO__EXIT_USAGE);
    }
    if (options->wants_check)
        return check_config(options, target, exe, err);
    for (size_t i = 0; i < options->note_count; i++)
        guaco__log(&log, GUACO_LOG_WARNING, "options", "%s", options->notes[i]);
    rc = guaco__supervisor_run(&setup, &exit_code, err);
    if (rc == GUACO_OK)
        return exit_code;
    return complain(err, rc == GUACO_E_INVALID || rc == GUACO_E_MISSING
                             ? GUACO__EXIT_USAGE
                             : GUACO__EXIT_CRASH);
}

int
guaco__command_tree(const struct guaco__command *command,
                    const char *const *args, size_t count)
{
    enum guaco__option_command which =
        (enum guaco__option_command)command->options;
    struct guaco__options options;
    struct guaco_error err = {0};
    int code;

    for (size_t i = 0; i < count; i++) /* before anything can be wrong */
        if (strcmp(args[i], "--help") == 0 || strcmp(args[i], "-h") == 0)
            return print_help(command, which);
    if (guaco__cli_resolve(&options, which, args, count, &err) != GUACO_OK)
        return complain(&err, GUACO__EXIT_USAGE);
    if (options.wants_config)
        code = print_config(&options);
    else
        code = run_tree(&options, args - 2, &err);
    guaco__options_release(&options);
    return code;
}
