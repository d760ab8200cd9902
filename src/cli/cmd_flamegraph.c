/* guaco flamegraph: folded stacks, of any program, as an SVG. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "command.h"
#include "os/file.h"
#include "profile/flamegraph.h"
#include "profile/folded.h"

#define TEXT_BYTES_MAX ((size_t)1 << 30)

static int
complain(int rc, const struct guaco_error *err)
{
    fprintf(stderr, "guaco flamegraph: %s\n",
            err->text[0] != '\0' ? err->text : guaco_strerror(rc));
    return 1;
}

static int
draw(struct guaco_slice text, struct guaco__buf *out, struct guaco_error *err)
{
    struct guaco__tally tally;
    struct guaco__flamegraph_options options = {
        .count_name = {"samples", 7},
        .min_width = 0.1,
    };

    guaco__tally_init(&tally);
    int rc = guaco__folded_read(&tally, text, err);
    if (rc == GUACO_OK)
        rc = guaco__flamegraph_write(&tally, &options, out);
    guaco__tally_release(&tally);
    return rc;
}

int
guaco__command_flamegraph(const struct guaco__command *command,
                          const char *const *args, size_t count)
{
    struct guaco__buf text, out;
    struct guaco_error err = {0};

    if (count != 1 || args[0][0] == '-') {
        fprintf(stderr,
                "usage: guaco %s %s\n"
                "       the SVG is written to standard output\n",
                command->name, command->operands);
        return count == 1 && strcmp(args[0], "--help") == 0 ? 0 : 2;
    }
    guaco__buf_init(&text, TEXT_BYTES_MAX);
    guaco__buf_init(&out, TEXT_BYTES_MAX);
    int rc = guaco__file_read(args[0], &text, &err);
    if (rc == GUACO_OK)
        rc = draw(guaco__buf_slice(&text), &out, &err);
    if (rc == GUACO_OK &&
        fwrite(guaco__buf_data(&out), 1, out.len, stdout) != out.len)
        rc = guaco_fail(&err, GUACO_E_IO, 0, "standard output is closed");
    guaco__buf_release(&out);
    guaco__buf_release(&text);
    return rc == GUACO_OK ? 0 : complain(rc, &err);
}
