#ifndef GUACO__RUN_UWSGI_H
#define GUACO__RUN_UWSGI_H

/*
 * A uwsgi.ini turned into [tool.guaco] (guaco import-uwsgi).
 *
 * Read are the lines `key = value` of the section [uwsgi]; ; and # begin
 * comments.  %(key) is what the key was set to before, %d %n %s %p are the
 * file's folder, name without its ending, name, and path, %% is a percent
 * sign; other % and $(VARIABLE) are left and named.  What has no place here
 * (if-, for, other sections, keys that nobody knows) is named, never dropped.
 *
 * Sans I/O.  Threads: from any.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "guaco/error.h"
#include "guaco/slice.h"

#define GUACO__UWSGI_BYTES_MAX (1u << 20)
#define GUACO__UWSGI_KEYS_MAX  4096u

/*
 * Append the TOML for the file text[0..len), whose path is `path`, to `out`:
 * a comment that says how to start it, the table, and a comment for each key
 * that was not carried over, with why or what to use.  *left is how many.
 *
 * Returns 0; GUACO_E_INVALID with the number of the line (no section [uwsgi],
 * a line that is neither, a key or value that is no UTF-8 or has control
 * characters); GUACO_E_LIMIT; GUACO_E_NOMEM.
 */
int guaco__uwsgi_import(struct guaco_slice text, const char *path,
                        struct guaco__buf *out, size_t *left,
                        struct guaco_error *err);

/* ---- shared by uwsgi.c and uwsgi_map.c ---- */

/* A key and its value, with what stands for others put in. */
struct guaco__uwsgi_entry {
    struct guaco_slice key;   /* into the text */
    struct guaco_slice value; /* into the file's `values` */
    bool is_open;             /* something in it was not put in */
};

struct guaco__uwsgi_file {
    const char *path;
    struct guaco__uwsgi_entry *entries;
    size_t count;
    struct guaco__arena *arena; /* of the values */
};

/* The value of the last entry of that name, or NULL. */
const struct guaco_slice *
guaco__uwsgi_find(const struct guaco__uwsgi_file *file, const char *key);

/* Write what guaco__uwsgi_import() promises. */
int guaco__uwsgi_write(const struct guaco__uwsgi_file *file,
                       struct guaco__buf *out, size_t *left);

#endif
