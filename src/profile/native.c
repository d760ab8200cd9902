/* C and Python frames of a thread: see native.h. */

#include "native.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "os/file.h"
#include "unwind.h"

#define COPY_MAX  ((size_t)8 << 20) /* of a stack; the root is cut */
#define COPY_STEP ((size_t)16 << 10)
#define COPY_SPAN ((size_t)64 << 10) /* of one whose end is not known */
#define RED_ZONE  128u               /* in use below the stack pointer */
#define MIXED_MAX (GUACO__STACK_DEPTH_MAX + GUACO__NATIVE_DEPTH_MAX)

struct guaco__native {
    struct guaco__target *target;
    struct guaco__freezer freezer;
    struct guaco__unwinder *unwinder;
    struct guaco__registers registers;
    struct guaco__native_stack stack;
    struct guaco__mixed_frame mixed[MIXED_MAX];
    uint64_t bare;
    char copy[COPY_MAX];
};

/* ---- life ---------------------------------------------------------------------- */

/* The number behind `field` in /proc/PID/status; 0: there is none. */
static long
status_number(int pid, const char *field)
{
    char path[40];
    struct guaco__buf text;
    long number = 0;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    guaco__buf_init(&text, 65536);
    if (guaco__file_read(path, &text, NULL) == GUACO_OK &&
        guaco__buf_append_byte(&text, '\0') == GUACO_OK) {
        const char *line = strstr(guaco__buf_data(&text), field);
        number = line == NULL ? 0 : strtol(line + strlen(field), NULL, 10);
    }
    guaco__buf_release(&text);
    return number;
}

/* What can be known without stopping it.  Its memory can be read, which wants
 * the same rights. */
static int
check(int pid, struct guaco_error *err)
{
    int sys;
    long tracer = status_number(pid, "\nTracerPid:");

    if (tracer != 0)
        return guaco_fail(err, GUACO_E_IO, 0,
                          "process %d is traced by process %ld, and --native "
                          "has to do the same",
                          pid, tracer);
    int rc = guaco__freezer_check(&sys);
    if (rc == GUACO_E_UNSUPPORTED)
        return guaco_fail(err, rc, 0,
                          "--native knows x86-64 and aarch64 processors only");
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, sys,
                          "ptrace, which --native needs, is forbidden here: "
                          "see the container's seccomp profile");
    return GUACO_OK;
}

int
guaco__native_new(struct guaco__native **native, struct guaco__target *target,
                  int pid, struct guaco_error *err)
{
    struct guaco__native *self = calloc(1, sizeof *self);

    if (self == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "C frames");
    self->target = target;
    guaco__freezer_init(&self->freezer, pid);
    int rc = check(pid, err);
    if (rc == GUACO_OK)
        rc = guaco__unwinder_new(&self->unwinder, pid,
                                 guaco__target_memory(target),
                                 guaco__target_runtime(target)->address, err);
    if (rc != GUACO_OK) {
        guaco__native_free(self);
        return rc;
    }
    *native = self;
    return GUACO_OK;
}

void
guaco__native_free(struct guaco__native *native)
{
    if (native == NULL)
        return;
    guaco__freezer_release(&native->freezer);
    guaco__unwinder_free(native->unwinder);
    free(native);
}

uint64_t
guaco__native_bare(const struct guaco__native *native)
{
    return native->bare;
}

const struct guaco__freezer *
guaco__native_stops(const struct guaco__native *native)
{
    return &native->freezer;
}

/* ---- one stack ------------------------------------------------------------------- */

/* Copy the used part of the C stack; what is not there is cut. */
static void
copy_stack(struct guaco__native *self, struct guaco__stack_copy *copy)
{
    struct guaco__span spans[COPY_MAX / COPY_STEP + 1];
    uint64_t at = (self->registers.sp - RED_ZONE) & ~UINT64_C(7);
    uint64_t end = guaco__unwinder_stack_end(self->unwinder, at);
    size_t count = 0, done = 0, len = end == 0 ? COPY_SPAN : COPY_MAX;

    if (end != 0 && end - at < len)
        len = (size_t)(end - at);
    *copy = (struct guaco__stack_copy){at, self->copy, 0, end};
    /* Spans end at pages, since one that is half there is not copied. */
    for (size_t from = 0; from < len; count++) {
        size_t step = COPY_STEP - (size_t)((at + from) % COPY_STEP);
        if (step > len - from)
            step = len - from;
        spans[count] = (struct guaco__span){at + from, self->copy + from, step};
        from += step;
    }
    guaco__vmem_read(guaco__target_memory(self->target), spans, count, &done);
    for (size_t i = 0; i < done; i++)
        copy->len += spans[i].len;
}

/* Read all that must be of one moment.  *is_bare: there are no C frames. */
static int
read_stopped(struct guaco__native *self,
             const struct guaco__thread_sample *sample,
             struct guaco__stack_copy *copy, bool *is_bare)
{
    int rc = GUACO_E_AGAIN;

    if (sample->host_id != 0)
        rc = guaco__freeze_begin(&self->freezer, sample->host_id,
                                 &self->registers);
    *is_bare = rc == GUACO_E_AGAIN || rc == GUACO_E_IO;
    if (*is_bare)
        return GUACO_OK;
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__target_again(self->target, sample);
    copy_stack(self, copy);
    guaco__freeze_end(&self->freezer);
    return rc;
}

int
guaco__native_take(struct guaco__native *native,
                   const struct guaco__thread_sample *sample,
                   const struct guaco__mixed_frame **mixed, size_t *count)
{
    struct guaco__stack_copy copy;
    bool is_bare;

    native->stack.count = 0;
    int rc = read_stopped(native, sample, &copy, &is_bare);
    if (rc == GUACO_OK && !is_bare)
        rc = guaco__unwind(native->unwinder, &native->registers, &copy,
                           &native->stack);
    if (rc != GUACO_OK)
        return rc;
    native->bare += native->stack.count == 0;
    *mixed = native->mixed;
    *count = guaco__native_merge(native->stack.at, native->stack.count,
                                 native->stack.is_whole, sample->stack,
                                 native->mixed, MIXED_MAX);
    return GUACO_OK;
}
