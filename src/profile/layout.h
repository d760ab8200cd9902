#ifndef GUACO_PROFILE_LAYOUT_H
#define GUACO_PROFILE_LAYOUT_H

/*
 * Where things are in the memory of one CPython version.
 *
 * To 3.12 the offsets are tables in layout_fixed.c.  From 3.13 on the
 * interpreter publishes them itself, in the first member of _PyRuntime
 * (struct _Py_DebugOffsets), whose own shape is a table in layout_debug.c.
 * They hold for 64-bit little-endian Linux; builds without the GIL are told
 * apart by the published ones only.
 *
 * A field that a version does not have is GUACO__NOWHERE.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"
#include "lines.h"

/* 3.8 is 0x0308. */
#define GUACO__VERSION(major, minor) ((uint32_t)((major) << 8 | (minor)))
#define GUACO__VERSION_OLDEST        GUACO__VERSION(3, 8)
#define GUACO__VERSION_NEWEST        GUACO__VERSION(3, 15)

#define GUACO__NOWHERE UINT32_MAX

/* Larger fixed parts are refused, so that readers can use the stack. */
#define GUACO__CODE_BYTES_MAX      512
#define GUACO__TEXT_HEAD_BYTES_MAX 128
#define GUACO__FRAME_BYTES_MAX     88
#define GUACO__GIL_BYTES_MAX       64

/* In bytes from the start of the named struct. */
struct guaco__layout {
    uint32_t version; /* GUACO__VERSION */
    bool is_free_threaded;
    enum guaco__line_table line_table;
    uint32_t lasti_unit; /* bytes that one of f_lasti counts, to 3.10 */

    struct { /* _PyRuntimeState */
        uint32_t interpreters_head;
        uint32_t gil; /* embedded _gil_runtime_state, to 3.11 */
    } runtime;
    struct { /* PyInterpreterState */
        uint32_t next, id, threads_head;
        uint32_t gil_pointer; /* to its _gil_runtime_state, from 3.12 */
        uint32_t own_gil;     /* embedded, where gil_pointer points mostly */
        uint32_t code_generation; /* rises when a code object is freed */
        uint32_t modules;         /* the dict sys.modules */
    } interpreter;
    struct { /* _gil_runtime_state */
        uint32_t last_holder, locked, switch_number, size;
    } gil;
    struct { /* PyThreadState */
        uint32_t next, interpreter;
        uint32_t frame;         /* PyFrameObject *, to 3.10 */
        uint32_t cframe;        /* _PyCFrame *, 3.11 and 3.12 */
        uint32_t current_frame; /* _PyInterpreterFrame *, from 3.13 */
        uint32_t thread_id;     /* pthread_t */
        uint32_t native_thread_id;
        uint32_t datastack_chunk;
        uint32_t size; /* what must be read of it for the above */
    } thread;
    uint32_t cframe_current; /* in _PyCFrame */
    struct {                 /* _PyInterpreterFrame, from 3.11 */
        uint32_t executable, previous, function, instruction, stacktop, owner;
        uint32_t is_entry;   /* 3.11 only */
        uint32_t localsplus; /* and so the size of the fixed part */
    } frame;
    uint32_t generator_frame; /* of its frame in a generator, from 3.11 */
    struct {                  /* PyFrameObject, to 3.10 */
        uint32_t back, code, lasti, size;
    } frame_object;
    struct { /* PyCodeObject */
        uint32_t filename, name, qualname, first_line, line_table;
        uint32_t bytecode;                 /* embedded, from 3.11 */
        uint32_t frame_words;              /* co_framesize, from 3.12 */
        uint32_t locals_count, stack_size; /* words; 3.11 has no framesize */
        uint32_t size;
    } code;
    struct { /* PyUnicodeObject */
        uint32_t length, state, ascii_data, compact_data;
    } text;
    struct { /* PyBytesObject, and bytes-like tables */
        uint32_t length, data;
    } bytes;
    struct { /* PyFunctionObject, from 3.11 */
        uint32_t code, version;
    } function;
};

/* The fixed layout of `version`, borrowed, valid for ever; NULL where there is
 * none (before 3.8, from 3.13 on, not known). */
const struct guaco__layout *guaco__layout_fixed(uint32_t version);

/* The first bytes of _PyRuntime that guaco__layout_debug() wants to see; what
 * is there in older versions is read in vain, never wrong. */
#define GUACO__DEBUG_OFFSETS_BYTES 888

/* Whether these are debug offsets ("xdebugpy"), and of which PY_VERSION_HEX.
 * Returns 0 and *hexversion, or GUACO_E_MISSING. */
int
guaco__layout_debug_version(struct guaco_slice runtime, uint32_t *hexversion);

/*
 * Fill *layout from published offsets.
 *
 * Returns 0; GUACO_E_UNSUPPORTED: a version that is not in the table;
 * GUACO_E_PROTO: offsets that cannot be (past the size of their struct).
 */
int guaco__layout_debug(struct guaco__layout *layout,
                        struct guaco_slice runtime, struct guaco_error *err);

#endif
