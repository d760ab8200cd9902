/* guaco import-uwsgi FILE: [tool.guaco] for a uwsgi.ini (run/uwsgi.h). */

#include <stdio.h>

#include "command.h"
#include "os/file.h"
#include "run/supervisor.h"
#include "run/uwsgi.h"

#define OUT_BYTES_MAX (8u << 20)

static int
import_file(const char *path, struct guaco__buf *out, size_t *left,
            struct guaco_error *err)
{
    struct guaco__buf text;
    struct guaco_error why;

    guaco__buf_init(&text, GUACO__UWSGI_BYTES_MAX);
    int rc = guaco__file_read(path, &text, err);
    if (rc == GUACO_OK) {
        rc =
            guaco__uwsgi_import(guaco__buf_slice(&text), path, out, left, &why);
        if (rc != GUACO_OK)
            guaco_fail(err, rc, 0, "%s: %s", path, why.text);
    }
    guaco__buf_release(&text);
    return rc;
}

int
guaco__command_import_uwsgi(const struct guaco__command *command,
                            const char *const *args, size_t count)
{
    struct guaco__buf out;
    struct guaco_error err = {0};
    size_t left;
    int code = GUACO__EXIT_CRASH;

    if (count != 1 || args[0][0] == '-') {
        fprintf(stderr, "usage: guaco %s %s\n", command->name,
                command->operands);
        return GUACO__EXIT_USAGE;
    }
    guaco__buf_init(&out, OUT_BYTES_MAX);
    if (import_file(args[0], &out, &left, &err) != GUACO_OK) {
        fprintf(stderr, "guaco: %s\n", err.text);
    } else if (fwrite(guaco__buf_data(&out), 1, out.len, stdout) == out.len &&
               fflush(stdout) == 0) {
        code = GUACO__EXIT_OK;
        if (left > 0)
            fprintf(stderr,
                    "guaco: %zu of its lines were not carried over: the "
                    "comments at the end name them\n",
                    left);
    }
    guaco__buf_release(&out);
    return code;
}
