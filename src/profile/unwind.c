/* C frames by libdw: the contract is in unwind.h. */

#include "unwind.h"

#include <assert.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf_file.h"
#include "map_file.h"
#include "os/clock.h"
#include "unwind_int.h"

#define LIBDW          "libdw.so.1"
#define VDSO_BYTES_MAX ((size_t)64 << 10)
#define STACK_GROWS    ((uint64_t)64 << 20) /* below its mapping, since then */

/* The mappings are looked at again when a frame lies in none of them, at most
 * so often: code that is made at run time is in none. */
#define LOOK_LEAST_NS UINT64_C(100000000)
#define LOOK_MOST_NS  UINT64_C(10000000000)

struct guaco__unwinder {
    int pid;
    struct guaco__vmem *memory;
    uint64_t runtime;
    struct libdw dw;
    Dwfl_Callbacks callbacks;
    Dwfl *dwfl;
    struct guaco__mappings maps;
    struct symbols symbols;
    uint64_t looked_ns, look_ns;
    /* Of the call under way. */
    const struct guaco__registers *registers;
    const struct guaco__stack_copy *copy;
    uint64_t pcs[GUACO__NATIVE_DEPTH_MAX], sps[GUACO__NATIVE_DEPTH_MAX];
    size_t count;
};

/* ---- the library ------------------------------------------------------------------ */

static int
libdw_load(struct libdw *dw, struct guaco_error *err)
{
    dw->handle = dlopen(LIBDW, RTLD_NOW | RTLD_LOCAL);
    if (dw->handle == NULL)
        return guaco_fail(err, GUACO_E_MISSING, 0,
                          "--native needs elfutils' " LIBDW
                          " (package libdw1): %s",
                          dlerror());
    void *at;
    const char *missing = NULL;
#define X(name)                             \
    at = dlsym(dw->handle, #name);          \
    missing = at == NULL ? #name : missing; \
    memcpy(&dw->name, &at, sizeof at);
    LIBDW_CALLS(X)
#undef X
    if (missing == NULL)
        return GUACO_OK;
    return guaco_fail(
        err, GUACO_E_MISSING, 0,
        "--native needs a newer elfutils: its " LIBDW " has no %s", missing);
}

/* ---- what libdw asks --------------------------------------------------------------- */

/* All modules are reported with their files. */
static int
no_elf(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
       char **file, Elf **elf)
{
    (void)module, (void)data, (void)name, (void)base, (void)file, (void)elf;
    return -1;
}

static pid_t
next_thread(Dwfl *dwfl, void *ctx, void **thread)
{
    struct guaco__unwinder *self = ctx;

    (void)dwfl;
    if (*thread != NULL)
        return 0;
    *thread = self;
    return self->pid;
}

static bool
get_thread(Dwfl *dwfl, pid_t tid, void *ctx, void **thread)
{
    (void)dwfl, (void)tid;
    *thread = ctx;
    return true;
}

static bool
read_word(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *word, void *ctx)
{
    const struct guaco__unwinder *self = ctx;
    uint64_t at = address - self->copy->address;

    (void)dwfl;
    if (self->copy->len >= 8 && at <= self->copy->len - 8) {
        memcpy(word, self->copy->at + at, 8);
        return true;
    }
    if (address >= self->copy->address && address < self->copy->end)
        return false;
    return guaco__vmem_word(self->memory, address, word) == GUACO_OK;
}

static bool
set_registers(Dwfl_Thread *thread, void *ctx)
{
    const struct guaco__unwinder *self = ctx;
    const struct guaco__registers *r = self->registers;

    self->dw.dwfl_thread_state_register_pc(thread, r->pc);
    return self->dw.dwfl_thread_state_registers(thread, 0, r->count, r->at);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = read_word,
    .set_initial_registers = set_registers,
};

/* ---- modules ------------------------------------------------------------------------- */

/* Report the file behind `fd`, which is consumed. */
static void
report(struct guaco__unwinder *self, const char *name, int fd,
       const struct guaco__mapping *map)
{
    struct guaco__elf elf;
    uint64_t bias = 0;
    struct guaco_slice image = guaco__map_image(fd);

    int rc =
        image.at == NULL ? GUACO_E_MISSING : guaco__elf_open(&elf, image, NULL);
    if (rc == GUACO_OK)
        rc = guaco__elf_bias(&elf, map->start, map->offset, &bias);
    if (image.at != NULL)
        munmap((void *)(uintptr_t)image.at, image.len);
    if (rc != GUACO_OK || self->dw.dwfl_report_elf(self->dwfl, name, name, fd,
                                                   bias, true) == NULL)
        close(fd);
}

/* The kernel's own library is no file: a copy of it is. */
static void
report_vdso(struct guaco__unwinder *self, const struct guaco__mapping *map)
{
    size_t len = (size_t)(map->end - map->start);
    char *image = len <= VDSO_BYTES_MAX ? malloc(len) : NULL;
    int fd = -1;

    if (image != NULL &&
        guaco__vmem_get(self->memory, map->start, image, len) == GUACO_OK)
        fd = memfd_create("vdso", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, image, len) == (ssize_t)len)
        report(self, "[vdso]", fd, map);
    else if (fd >= 0)
        close(fd);
    free(image);
}

/* "libz.so.1.2.13"; an executable in brackets, by which it is told from a file
 * of Python. */
static void
name_module(const struct guaco__mapping *map, bool is_program, char *to,
            size_t room)
{
    const char *slash = memrchr(map->path.at, '/', map->path.len);
    const char *end = map->path.at + map->path.len;
    const char *base = slash == NULL ? map->path.at : slash + 1;
    bool is_library = memmem(base, (size_t)(end - base), ".so", 3) != NULL;

    snprintf(to, room, is_program || !is_library ? "[%.*s]" : "%.*s",
             (int)(end - base), base);
}

/* Whether file `maps->at[i]` is mapped from its beginning on, and runs.  Parts of
 * a library may be mapped elsewhere too, as libffi does with its trampolines. */
static bool
is_module(const struct guaco__mappings *maps, size_t i)
{
    struct guaco_slice path = maps->at[i].path;

    if (maps->at[i].offset != 0 || !guaco__map_is_file(&maps->at[i]))
        return false;
    for (; i < maps->count && guaco_slice_equals(maps->at[i].path, path); i++)
        if (maps->at[i].is_executable)
            return true;
    return false;
}

static void
report_all(struct guaco__unwinder *self)
{
    char link[PATH_MAX], name[NAME_MAX + 3];
    struct guaco_slice program =
        guaco__map_program(self->pid, link, sizeof link);

    self->dw.dwfl_report_begin(self->dwfl);
    for (size_t i = 0; i < self->maps.count; i++) {
        const struct guaco__mapping *map = &self->maps.at[i];
        if (guaco_slice_equals(map->path, GUACO_SLICE("[vdso]")))
            report_vdso(self, map);
        if (!is_module(&self->maps, i))
            continue;
        int fd = guaco__map_open(self->pid, map, program);
        name_module(map, guaco_slice_equals(map->path, program), name,
                    sizeof name);
        if (fd >= 0)
            report(self, name, fd, map);
    }
    self->dw.dwfl_report_end(self->dwfl, NULL, NULL);
}

/* Look at the process's mappings, and begin with what they are now. */
static int
look(struct guaco__unwinder *self, struct guaco_error *err)
{
    struct guaco__mappings maps;

    int rc = guaco__maps_read(&maps, self->pid, err);
    if (rc != GUACO_OK)
        return rc;
    if (maps.count == 0) { /* its memory is gone, it is not yet */
        guaco__mappings_release(&maps);
        return guaco_fail(err, GUACO_E_CLOSED, 0, "no process %d", self->pid);
    }
    guaco__mappings_release(&self->maps);
    self->maps = maps;
    if (self->dwfl != NULL)
        self->dw.dwfl_end(self->dwfl);
    self->dwfl = self->dw.dwfl_begin(&self->callbacks);
    if (self->dwfl == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "libdw");
    report_all(self);
    symbols_begin(&self->symbols, self->dwfl, self->runtime);
    self->looked_ns = guaco__clock_mono_ns();
    if (!self->dw.dwfl_attach_state(self->dwfl, NULL, self->pid,
                                    &thread_callbacks, self))
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0, "libdw: %s",
                          self->dw.dwfl_errmsg(-1));
    return GUACO_OK;
}

/* ---- life ------------------------------------------------------------------------------ */

int
guaco__unwinder_new(struct guaco__unwinder **unwinder, int pid,
                    struct guaco__vmem *memory, uint64_t runtime,
                    struct guaco_error *err)
{
    struct guaco__unwinder *self = calloc(1, sizeof *self);

    if (self == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "unwinder");
    self->pid = pid;
    self->memory = memory;
    self->runtime = runtime;
    self->look_ns = LOOK_LEAST_NS;
    symbols_init(&self->symbols, &self->dw);
    int rc = libdw_load(&self->dw, err);
    if (rc == GUACO_OK) {
        self->callbacks = (Dwfl_Callbacks){
            .find_elf = no_elf,
            .find_debuginfo = self->dw.dwfl_build_id_find_debuginfo,
        };
        rc = look(self, err);
    }
    if (rc != GUACO_OK) {
        guaco__unwinder_free(self);
        return rc;
    }
    *unwinder = self;
    return GUACO_OK;
}

void
guaco__unwinder_free(struct guaco__unwinder *unwinder)
{
    if (unwinder == NULL)
        return;
    symbols_release(&unwinder->symbols);
    if (unwinder->dwfl != NULL)
        unwinder->dw.dwfl_end(unwinder->dwfl);
    if (unwinder->dw.handle != NULL)
        dlclose(unwinder->dw.handle);
    guaco__mappings_release(&unwinder->maps);
    free(unwinder);
}

uint64_t
guaco__unwinder_stack_end(const struct guaco__unwinder *unwinder, uint64_t sp)
{
    const struct guaco__mappings *maps = &unwinder->maps;
    size_t low = 0, high = maps->count;

    while (low < high) { /* the first that ends above it */
        size_t middle = low + (high - low) / 2;
        if (maps->at[middle].end <= sp)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == maps->count)
        return 0;
    const struct guaco__mapping *map = &maps->at[low];
    bool has_grown = guaco_slice_equals(map->path, GUACO_SLICE("[stack]")) &&
                     map->start - sp < STACK_GROWS;
    return map->start <= sp || has_grown ? map->end : 0;
}

/* ---- frames ------------------------------------------------------------------------------ */

static int
on_frame(Dwfl_Frame *frame, void *ctx)
{
    struct guaco__unwinder *self = ctx;
    Dwarf_Addr pc;
    Dwarf_Word sp;
    bool is_activation;

    if (self->count == GUACO__NATIVE_DEPTH_MAX ||
        !self->dw.dwfl_frame_pc(frame, &pc, &is_activation))
        return DWARF_CB_ABORT;
    if (self->dw.dwfl_frame_reg(frame, GUACO__REGISTER_SP, &sp) != 0)
        sp = 0;
    self->sps[self->count] = sp;
    /* A caller's is behind its call, which may be the function's last byte. */
    self->pcs[self->count++] = is_activation ? pc : pc - 1;
    return DWARF_CB_OK;
}

static bool
run(struct guaco__unwinder *self)
{
    self->count = 0;
    return self->dw.dwfl_getthread_frames(self->dwfl, self->pid, on_frame,
                                          self) == 0;
}

/* Whether a library has been loaded since the mappings were looked at. */
static bool
is_outdated(struct guaco__unwinder *self)
{
    if (self->count > 0 && self->dw.dwfl_addrmodule(
                               self->dwfl, self->pcs[self->count - 1]) != NULL)
        return false;
    if (guaco__clock_mono_ns() - self->looked_ns < self->look_ns)
        return false;
    self->look_ns =
        self->look_ns < LOOK_MOST_NS / 2 ? self->look_ns * 2 : LOOK_MOST_NS;
    return true;
}

int
guaco__unwind(struct guaco__unwinder *unwinder,
              const struct guaco__registers *registers,
              const struct guaco__stack_copy *copy,
              struct guaco__native_stack *stack)
{
    struct guaco__unwinder *self = unwinder;

    stack->count = 0;
    stack->is_whole = false;
    if (self->dwfl == NULL) /* it could not be looked at again */
        return GUACO_OK;
    self->registers = registers;
    self->copy = copy;
    bool is_whole = run(self);
    if (!is_whole && is_outdated(self) && look(self, NULL) == GUACO_OK)
        is_whole = run(self);
    stack->is_whole = is_whole && self->count > 0;
    for (size_t i = 0; i < self->count; i++) {
        const struct guaco__native_symbol *symbol =
            symbols_find(&self->symbols, self->pcs[i]);
        if (symbol == NULL)
            return GUACO_E_NOMEM;
        stack->at[stack->count++] =
            (struct guaco__native_frame){symbol, self->sps[i]};
    }
    return GUACO_OK;
}
