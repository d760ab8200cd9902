/* Which Python runs the workers: the contract is in run/interpreter.h. */

#include "run/interpreter.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/environment.h"

static bool
is_runnable(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           access(path, X_OK) == 0;
}

/* Whether folder[0..len)/name can be run; its path in out. */
static bool
is_program(const char *folder, size_t len, const char *name, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%.*s/%s", (int)len, folder, name);

    return n > 0 && n < PATH_MAX && is_runnable(out);
}

static bool
is_on_path(const char *name, const char *const *envp, char out[PATH_MAX])
{
    const char *path = guaco__environment_find(envp, "PATH");

    for (; path != NULL && *path != '\0';) {
        size_t len = strcspn(path, ":");
        if (len > 0 && is_program(path, len, name, out))
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

int
guaco__interpreter_find(const char *wanted, const char *exe,
                        const char *const *envp, char out[PATH_MAX],
                        const char **why, struct guaco_error *err)
{
    const char *venv = guaco__environment_find(envp, "VIRTUAL_ENV");
    const char *slash = strrchr(exe, '/');

    *why = "--python";
    if (wanted != NULL && strchr(wanted, '/') != NULL) {
        if (is_runnable(wanted) && strlen(wanted) < PATH_MAX) {
            memcpy(out, wanted, strlen(wanted) + 1);
            return GUACO_OK;
        }
        return guaco_fail(err, GUACO_E_MISSING, 0, "--python: no program %s",
                          wanted);
    }
    if (wanted != NULL)
        return is_on_path(wanted, envp, out)
                   ? GUACO_OK
                   : guaco_fail(err, GUACO_E_MISSING, 0,
                                "--python: no program %s on PATH", wanted);

    *why = "beside guaco";
    if (slash != NULL && is_program(exe, (size_t)(slash - exe), "python3", out))
        return GUACO_OK;
    *why = "VIRTUAL_ENV";
    char bin[PATH_MAX];
    int n = snprintf(bin, sizeof bin, "%s/bin", venv == NULL ? "" : venv);
    if (venv != NULL && *venv != '\0' && n > 0 && n < PATH_MAX &&
        is_program(bin, strlen(bin), "python3", out))
        return GUACO_OK;
    *why = "PATH";
    if (is_on_path("python3", envp, out))
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_MISSING, 0,
                      "no python3 beside guaco, in VIRTUAL_ENV or on PATH; "
                      "name one with --python");
}
