/* C frames and Python frames: the rule is in native_merge.h. */

#include "native_merge.h"

#include <string.h>

/* ---- roles -------------------------------------------------------------------- */

static const char *const plumbing[] = {
    "_PyEval_",      "PyEval_Eval",       "_PyFunction_",   "_PyObject_",
    "PyObject_Call", "PyObject_Vector",   "PyVectorcall_",  "_PyVectorcall_",
    "vectorcall_",   "_PyCFunction_",     "PyCFunction_",   "cfunction_",
    "_PyMethodDef_", "method_vectorcall", "_PyStack_",      "call_function",
    "do_call_core",  "function_code_",    "fast_function",  "trampoline_call",
    "gen_send",      "gen_iternext",      "_PyGen_",        "slot_tp_",
    "wrap_",         "object_vacall",     "run_eval_code_", "_PyCallMethod",
};

static bool
begins(struct guaco_slice text, const char *with)
{
    size_t len = strlen(with);

    return text.len >= len && memcmp(text.at, with, len) == 0;
}

static bool
is_c_library(struct guaco_slice module)
{
    return begins(module, "libc.") || begins(module, "libc-") ||
           begins(module, "libpthread") || begins(module, "ld-") ||
           begins(module, "[vdso]");
}

enum guaco__native_role
guaco__native_role(struct guaco_slice name, struct guaco_slice module,
                   bool is_interpreter)
{
    if (guaco_slice_equals(name, GUACO_SLICE("_start")))
        return GUACO__NATIVE_PLUMBING;
    if (!is_interpreter)
        return is_c_library(module) || begins(module, "[python")
                   ? GUACO__NATIVE_START
                   : GUACO__NATIVE_CODE;
    if (guaco_slice_equals(name, GUACO_SLICE("_PyEval_EvalFrameDefault")) ||
        begins(name, "_TAIL_CALL_"))
        return GUACO__NATIVE_LOOP;
    for (size_t i = 0; i < sizeof plumbing / sizeof plumbing[0]; i++)
        if (begins(name, plumbing[i]))
            return GUACO__NATIVE_PLUMBING;
    return GUACO__NATIVE_START;
}

/* Whether a compiler put this behind a name. */
static bool
is_suffix(const char *text)
{
    static const char *const known[] = {".cold",      ".part.", ".isra.",
                                        ".constprop", ".lto_",  ".llvm."};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(text, known[i], strlen(known[i])) == 0)
            return true;
    return text[0] == '@' ||
           (text[0] == '.' && text[1] >= '0' && text[1] <= '9');
}

struct guaco_slice
guaco__native_name(const char *name)
{
    size_t len = 0;

    while (name[len] != '\0' && (len == 0 || !is_suffix(name + len)))
        len++;
    return (struct guaco_slice){name, len};
}

/* ---- the two together ---------------------------------------------------------------- */

struct merge {
    const struct guaco__stack *stack;
    size_t at; /* Python frames that are told */
    struct guaco__mixed_frame *mixed;
    size_t count, most;
};

static void
put(struct merge *m, struct guaco__mixed_frame frame)
{
    if (m->count < m->most)
        m->mixed[m->count++] = frame;
}

/* The Python frames up to the next that C entered. */
static void
put_group(struct merge *m)
{
    bool is_entry = false;

    while (m->at < m->stack->count && !is_entry) {
        const struct guaco__frame *frame = &m->stack->frames[m->at++];
        is_entry = frame->entry != 0;
        put(m, (struct guaco__mixed_frame){.python = frame});
    }
}

static size_t
count_groups(const struct guaco__stack *stack)
{
    size_t groups = 0;

    for (size_t i = 0; i < stack->count; i++) /* the outermost one is one */
        groups += stack->frames[i].entry != 0 || i + 1 == stack->count;
    return groups;
}

/* Whether C frame `i` is the interpreter's loop: by its name, or since one of
 * the loop's own frames lies in it.  Those come in the order of the C frames, so
 * that *at, the Python frame to look at next, only grows. */
static bool
is_loop(const struct guaco__native_frame *natives, size_t count, size_t i,
        const struct guaco__stack *stack, size_t *at)
{
    uint64_t end = i + 1 < count ? natives[i + 1].sp : UINT64_MAX;

    while (*at < stack->count && stack->frames[*at].entry < natives[i].sp)
        ++*at;
    return natives[i].symbol->role == GUACO__NATIVE_LOOP ||
           (*at < stack->count && i + 1 < count &&
            stack->frames[*at].entry < end);
}

static size_t
count_loops(const struct guaco__native_frame *natives, size_t count,
            const struct guaco__stack *stack)
{
    size_t loops = 0, at = 0;

    for (size_t i = 0; i < count; i++)
        loops += is_loop(natives, count, i, stack, &at);
    return loops;
}

static bool
is_shown(const struct guaco__native_symbol *native, bool is_below)
{
    return native->role == GUACO__NATIVE_CODE ||
           (native->role == GUACO__NATIVE_START && !is_below);
}

/*
 * A thread may stand where the loop is entered and has no frame yet, or where a
 * frame is pushed and its loop not entered: that is at the leaf, so the two are
 * matched from the root when all is there.
 */
size_t
guaco__native_merge(const struct guaco__native_frame *natives, size_t count,
                    bool is_whole, const struct guaco__stack *stack,
                    struct guaco__mixed_frame *mixed, size_t most)
{
    struct merge m = {.stack = stack, .mixed = mixed, .most = most};
    size_t loops = count_loops(natives, count, stack);
    size_t left = loops, groups = count_groups(stack), at = 0;
    bool from_root = is_whole && stack->count < GUACO__STACK_DEPTH_MAX;

    if (loops == 0 && is_whole) /* its loop is not known by name */
        count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_loop(natives, count, i, stack, &at)) {
            const struct guaco__native_symbol *symbol = natives[i].symbol;
            if (is_shown(symbol, m.at == stack->count))
                put(&m, (struct guaco__mixed_frame){.native = symbol});
            continue;
        }
        left--;
        if (from_root && left >= groups)
            continue;
        put_group(&m);
        for (; from_root && groups > left + 1; groups--)
            put_group(&m);
        groups--;
    }
    while (m.at < stack->count)
        put_group(&m);
    return m.count;
}
