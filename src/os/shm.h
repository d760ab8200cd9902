#ifndef GUACO_OS_SHM_H
#define GUACO_OS_SHM_H

/*
 * Memory shared between processes: a small file that all who open it map, or
 * an anonymous one that is handed on by its descriptor.
 *
 * Threads: opening and closing by one; the mapped bytes are the users' to
 * guard.
 */

#include <stddef.h>

#include "guaco/error.h"

struct guaco__shm {
    void *at;     /* NULL when closed */
    size_t bytes; /* mapped */
    int fd;       /* kept open: its file lock and its number are useful */
};

/* Set up fresh, zeroed memory.  Returns 0 or a failure with its text. */
typedef int
guaco__shm_init_fn(void *at, size_t bytes, void *ctx, struct guaco_error *err);

/*
 * Map the file at `path`, made with `mode` where it is missing, as `bytes`
 * bytes.  Whoever finds it new calls init(at, bytes, ctx) while all others
 * wait; when init fails, or its process dies in it, the next opener finds the
 * file new again.
 *
 * Returns 0; what init returned; GUACO_E_PROTO when the file has another size
 * (another version made it); GUACO_E_IO.
 */
int guaco__shm_open(struct guaco__shm *shm, const char *path, size_t bytes,
                    unsigned mode, guaco__shm_init_fn *init, void *ctx,
                    struct guaco_error *err);

/* Make and map anonymous memory, zeroed; `name` shows in /proc/PID/maps as
 * "/memfd:name".  Returns 0 or GUACO_E_IO. */
int guaco__shm_open_anonymous(struct guaco__shm *shm, const char *name,
                              size_t bytes, struct guaco_error *err);

/* Unmap and close; the file stays.  Closing twice is fine. */
void guaco__shm_close(struct guaco__shm *shm);

#endif
