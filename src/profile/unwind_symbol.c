/* The names of C functions, by address: see unwind.h. */

#include <dlfcn.h>
#include <elfutils/libdw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unwind_int.h"

#define SYMBOLS_MAX 200000u
#define ARENA_BYTES ((size_t)32 << 10)
#define ARENA_CAP   ((size_t)64 << 20)
#define NAME_MOST   240 /* bytes; templates have longer ones */
#define CXX_LIBRARY "libstdc++.so.6"

struct entry {
    uint64_t pc; /* the key */
    struct guaco__native_symbol symbol;
};

void
symbols_init(struct symbols *s, const struct libdw *dw)
{
    *s = (struct symbols){.dw = dw};
    guaco__arena_init(&s->arena, ARENA_BYTES, ARENA_CAP);
    guaco__map_init(&s->by_pc, SYMBOLS_MAX);
}

void
symbols_release(struct symbols *s)
{
    guaco__map_release(&s->by_pc);
    guaco__arena_release(&s->arena);
    if (s->cxx != NULL)
        dlclose(s->cxx);
}

void
symbols_begin(struct symbols *s, Dwfl *dwfl, uint64_t runtime)
{
    guaco__map_release(&s->by_pc);
    guaco__map_init(&s->by_pc, SYMBOLS_MAX);
    guaco__arena_reset(&s->arena);
    s->dwfl = dwfl;
    s->interpreter = s->dw->dwfl_addrmodule(dwfl, runtime);
}

static struct guaco_slice
keep(struct symbols *s, const char *text, size_t len)
{
    len = len < NAME_MOST ? len : NAME_MOST;
    return (struct guaco_slice){guaco__arena_dup(&s->arena, text, len), len};
}

/* A name of C++ as it is written there, where its library is at hand. */
static void
demangle(struct symbols *s, struct guaco_slice *name)
{
    int status = 0;

    if (!s->sought_cxx) {
        s->sought_cxx = true;
        s->cxx = dlopen(CXX_LIBRARY, RTLD_NOW | RTLD_LOCAL);
        void *at = s->cxx == NULL ? NULL : dlsym(s->cxx, "__cxa_demangle");
        memcpy(&s->demangle, &at, sizeof at);
    }
    char *plain =
        s->demangle == NULL ? NULL : s->demangle(name->at, NULL, NULL, &status);
    if (plain != NULL)
        *name = keep(s, plain, strlen(plain));
    free(plain);
}

/* Where the function that holds `pc` begins in its module, by its call frame
 * information; else `pc` itself. */
static uint64_t
begin_of(struct symbols *s, Dwfl_Module *module, uint64_t pc)
{
    const struct libdw *dw = s->dw;
    Dwarf_Addr bias = 0, begin = 0, end = 0, low = 0;
    Dwarf_Frame *frame = NULL;

    dw->dwfl_module_info(module, NULL, &low, NULL, NULL, NULL, NULL, NULL);
    Dwarf_CFI *cfi = dw->dwfl_module_eh_cfi(module, &bias);
    if (cfi == NULL || dw->dwarf_cfi_addrframe(cfi, pc - bias, &frame) != 0)
        return pc - low;
    int rc = dw->dwarf_frame_info(frame, &begin, &end, NULL);
    free(frame);
    return rc == -1 || begin == 0 ? pc - low : begin;
}

/* Named by its module and where it begins. */
static void
name_by_place(struct symbols *s, Dwfl_Module *module, const char *file,
              uint64_t pc, struct guaco__native_symbol *symbol)
{
    char text[NAME_MOST];
    int len = (int)strlen(file);
    bool has_brackets = file[0] == '[' && file[len - 1] == ']';

    snprintf(text, sizeof text, "[%.*s+0x%llx]", len - 2 * has_brackets,
             file + has_brackets, (unsigned long long)begin_of(s, module, pc));
    symbol->name = keep(s, text, strlen(text));
    symbol->role = guaco__native_role((struct guaco_slice){"", 0},
                                      (struct guaco_slice){file, strlen(file)},
                                      module == s->interpreter);
}

static void
describe(struct symbols *s, uint64_t pc, struct guaco__native_symbol *symbol)
{
    const struct libdw *dw = s->dw;
    Dwfl_Module *module = dw->dwfl_addrmodule(s->dwfl, pc);
    GElf_Off offset = 0;
    GElf_Sym elf = {.st_size = 0};

    *symbol = (struct guaco__native_symbol){.role = GUACO__NATIVE_CODE};
    if (module == NULL) {
        symbol->name = GUACO_SLICE("[code without a file]");
        return;
    }
    const char *file =
        dw->dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    const char *name =
        dw->dwfl_module_addrinfo(module, pc, &offset, &elf, NULL, NULL, NULL);
    if (name == NULL || name[0] == '\0' ||
        (elf.st_size > 0 && offset >= elf.st_size)) {
        name_by_place(s, module, file, pc, symbol);
        return;
    }
    struct guaco_slice plain = guaco__native_name(name);
    symbol->file = keep(s, file, strlen(file));
    symbol->role =
        guaco__native_role(plain, symbol->file, module == s->interpreter);
    symbol->name = keep(s, plain.at, plain.len);
    if (symbol->name.at != NULL && name[0] == '_' && name[1] == 'Z')
        demangle(s, &symbol->name);
}

const struct guaco__native_symbol *
symbols_find(struct symbols *s, uint64_t pc)
{
    struct guaco_slice key = {(const char *)&pc, sizeof pc};
    struct entry *entry = guaco__map_get(&s->by_pc, key);

    if (entry != NULL)
        return &entry->symbol;
    entry = guaco__arena_alloc(&s->arena, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->pc = pc;
    describe(s, pc, &entry->symbol);
    key.at = (const char *)&entry->pc;
    if (entry->symbol.name.at == NULL ||
        (entry->symbol.file.at == NULL && entry->symbol.file.len > 0) ||
        guaco__map_put(&s->by_pc, key, entry) != GUACO_OK)
        return NULL;
    return &entry->symbol;
}
