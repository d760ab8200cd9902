#ifndef GUACO_PROFILE_UNWIND_INT_H
#define GUACO_PROFILE_UNWIND_INT_H

/* Shared by unwind.c (frames) and unwind_symbol.c (names); private to the
 * two. */

#include <elfutils/libdwfl.h>

#include "base/arena.h"
#include "base/map.h"
#include "unwind.h"

/* What is called of libdw. */
#define LIBDW_CALLS(X)               \
    X(dwarf_cfi_addrframe)           \
    X(dwarf_frame_info)              \
    X(dwfl_addrmodule)               \
    X(dwfl_attach_state)             \
    X(dwfl_begin)                    \
    X(dwfl_build_id_find_debuginfo)  \
    X(dwfl_end)                      \
    X(dwfl_errmsg)                   \
    X(dwfl_frame_pc)                 \
    X(dwfl_frame_reg)                \
    X(dwfl_getthread_frames)         \
    X(dwfl_module_addrinfo)          \
    X(dwfl_module_eh_cfi)            \
    X(dwfl_module_info)              \
    X(dwfl_report_begin)             \
    X(dwfl_report_elf)               \
    X(dwfl_report_end)               \
    X(dwfl_thread_state_register_pc) \
    X(dwfl_thread_state_registers)

struct libdw {
    void *handle;
#define X(name) __typeof__(name) *name;
    LIBDW_CALLS(X)
#undef X
};

typedef char *demangle_fn(const char *, char *, size_t *, int *);

/* Names by address. */
struct symbols {
    const struct libdw *dw;
    Dwfl *dwfl;
    Dwfl_Module *interpreter;
    struct guaco__arena arena;
    struct guaco__map by_pc;
    void *cxx; /* the C++ library, for its demangler */
    demangle_fn *demangle;
    bool sought_cxx;
};

void symbols_init(struct symbols *symbols, const struct libdw *dw);
void symbols_release(struct symbols *symbols);

/* Forget all; names are of the modules of `dwfl` from here on. */
void symbols_begin(struct symbols *symbols, Dwfl *dwfl, uint64_t runtime);

/* The function at `pc`; NULL: no memory for it. */
const struct guaco__native_symbol *
symbols_find(struct symbols *symbols, uint64_t pc);

#endif
