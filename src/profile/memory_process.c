/*
 * A live process, by process_vm_readv.  One system call reads a thousand
 * ranges; on the machine this was measured on a call costs 1.2 us, each range
 * 0.3 us, and the bytes of a page nothing.
 */

#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

struct process_memory {
    struct guaco__vmem base;
    pid_t pid;
};

static int
code_of_errno(int sys)
{
    switch (sys) {
    case EFAULT: return GUACO_E_AGAIN;
    case ESRCH: return GUACO_E_CLOSED;
    default: return GUACO_E_IO;
    }
}

static int
process_read(struct guaco__vmem *memory, const struct guaco__span *spans,
             size_t count, size_t *done)
{
    struct process_memory *self = (struct process_memory *)memory;
    struct iovec local[GUACO__SPANS_MAX], remote[GUACO__SPANS_MAX];
    size_t want = 0;

    for (size_t i = 0; i < count; i++) {
        local[i] = (struct iovec){spans[i].to, spans[i].len};
        remote[i] =
            (struct iovec){(void *)(uintptr_t)spans[i].from, spans[i].len};
        want += spans[i].len;
    }
    ssize_t got = process_vm_readv(self->pid, local, count, remote, count, 0);
    *done = 0;
    if (got < 0)
        return code_of_errno(errno);
    if ((size_t)got == want) {
        *done = count;
        return GUACO_OK;
    }
    /* A range in the middle is not there: the kernel stops before it. */
    for (size_t left = (size_t)got; left >= spans[*done].len; (*done)++)
        left -= spans[*done].len;
    return GUACO_E_AGAIN;
}

static void
process_close(struct guaco__vmem *memory)
{
    (void)memory;
}

static const struct guaco__vmem_ops process_ops = {
    .name = "process",
    .read = process_read,
    .close = process_close,
};

int
guaco__vmem_of_process(struct guaco__vmem **memory, int pid,
                       struct guaco_error *err)
{
    struct process_memory *self = calloc(1, sizeof *self);

    if (self == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "memory of process %d", pid);
    self->base.ops = &process_ops;
    self->pid = pid;
    *memory = &self->base;
    return GUACO_OK;
}
