/*
 * CPython 3.8 to 3.12: offsets compiled from each version's own headers and
 * compared with live processes of both shared and static builds.
 */

#include "layout.h"

#include <stddef.h>

#define N GUACO__NOWHERE

/* Alike in all of them. */
#define GIL                                                             \
    {                                                                   \
        .last_holder = 8, .locked = 16, .switch_number = 24, .size = 32 \
    }
#define BYTES                    \
    {                            \
        .length = 16, .data = 32 \
    }
/* The unicode objects of 3.12 lost the wstr pointer. */
#define TEXT_OLD                                                        \
    {                                                                   \
        .length = 16, .state = 32, .ascii_data = 48, .compact_data = 72 \
    }
#define TEXT_NEW                                                        \
    {                                                                   \
        .length = 16, .state = 32, .ascii_data = 40, .compact_data = 56 \
    }
#define NO_FRAME                                                         \
    {                                                                    \
        .executable = N, .previous = N, .function = N, .instruction = N, \
        .stacktop = N, .owner = N, .is_entry = N, .localsplus = N        \
    }
#define NO_FRAME_OBJECT                             \
    {                                               \
        .back = N, .code = N, .lasti = N, .size = N \
    }
#define NO_FUNCTION             \
    {                           \
        .code = N, .version = N \
    }

/* 3.8, 3.9 and 3.10 differ in little: where the thread's list and the code
 * object begin, and what the line table is. */
#define CODE_OLD                                                               \
    {                                                                          \
        .filename = 104, .name = 112, .qualname = N, .first_line = 40,         \
        .line_table = 120, .bytecode = N, .frame_words = N, .locals_count = N, \
        .stack_size = N, .size = 176                                           \
    }
#define THREAD_OLD(bytes)                                            \
    {                                                                \
        .next = 8, .interpreter = 16, .frame = 24, .cframe = N,      \
        .current_frame = N, .thread_id = 176, .native_thread_id = N, \
        .datastack_chunk = N, .size = (bytes)                        \
    }
#define INTERPRETER_OLD(at_id, at_modules)                             \
    {                                                                  \
        .next = 0, .id = (at_id), .threads_head = 8, .gil_pointer = N, \
        .own_gil = N, .code_generation = N, .modules = (at_modules)    \
    }

static const struct guaco__layout layouts[] = {
    {
        .version = GUACO__VERSION(3, 8),
        .line_table = GUACO__LINES_LNOTAB,
        .lasti_unit = 1,
        .runtime = {.interpreters_head = 32, .gil = 1152},
        .interpreter = INTERPRETER_OLD(16, 56),
        .gil = GIL,
        .thread = THREAD_OLD(184),
        .cframe_current = N,
        .generator_frame = N,
        .frame = NO_FRAME,
        .frame_object = {.back = 24, .code = 32, .lasti = 104, .size = 112},
        .code = CODE_OLD,
        .text = TEXT_OLD,
        .bytes = BYTES,
        .function = NO_FUNCTION,
    },
    {
        .version = GUACO__VERSION(3, 9),
        .line_table = GUACO__LINES_LNOTAB,
        .lasti_unit = 1,
        .runtime = {.interpreters_head = 32, .gil = 352},
        .interpreter = INTERPRETER_OLD(24, 856),
        .gil = GIL,
        .thread = THREAD_OLD(184),
        .cframe_current = N,
        .generator_frame = N,
        .frame = NO_FRAME,
        .frame_object = {.back = 24, .code = 32, .lasti = 104, .size = 112},
        .code = CODE_OLD,
        .text = TEXT_OLD,
        .bytes = BYTES,
        .function = NO_FUNCTION,
    },
    {
        .version = GUACO__VERSION(3, 10),
        .line_table = GUACO__LINES_RANGES,
        .lasti_unit = 2,
        .runtime = {.interpreters_head = 32, .gil = 352},
        .interpreter = INTERPRETER_OLD(24, 856),
        .gil = GIL,
        .thread = THREAD_OLD(184),
        .cframe_current = N,
        .generator_frame = N,
        .frame = NO_FRAME,
        .frame_object = {.back = 24, .code = 32, .lasti = 96, .size = 112},
        .code = CODE_OLD,
        .text = TEXT_OLD,
        .bytes = BYTES,
        .function = NO_FUNCTION,
    },
    {
        .version = GUACO__VERSION(3, 11),
        .line_table = GUACO__LINES_LOCATIONS,
        .lasti_unit = 1,
        .runtime = {.interpreters_head = 40, .gil = 360},
        .interpreter = {.next = 0,
                        .id = 48,
                        .threads_head = 16,
                        .gil_pointer = N,
                        .own_gil = N,
                        .code_generation = N,
                        .modules = 888},
        .gil = GIL,
        .thread = {.next = 8,
                   .interpreter = 16,
                   .frame = N,
                   .cframe = 56,
                   .current_frame = N,
                   .thread_id = 152,
                   .native_thread_id = 160,
                   .datastack_chunk = 296,
                   .size = 320},
        .cframe_current = 8,
        .generator_frame = 80,
        .frame = {.executable = 32,
                  .previous = 48,
                  .function = 0,
                  .instruction = 56,
                  .stacktop = 64,
                  .owner = 69,
                  .is_entry = 68,
                  .localsplus = 72},
        .frame_object = NO_FRAME_OBJECT,
        .code = {.filename = 112,
                 .name = 120,
                 .qualname = 128,
                 .first_line = 72,
                 .line_table = 136,
                 .bytecode = 184,
                 .frame_words = N,
                 .locals_count = 76,
                 .stack_size = 68,
                 .size = 192},
        .text = TEXT_OLD,
        .bytes = BYTES,
        .function = {.code = 48, .version = 128},
    },
    {
        .version = GUACO__VERSION(3, 12),
        .line_table = GUACO__LINES_LOCATIONS,
        .lasti_unit = 1,
        .runtime = {.interpreters_head = 40, .gil = N},
        .interpreter = {.next = 0,
                        .id = 8,
                        .threads_head = 72,
                        .gil_pointer = 384,
                        .own_gil = 1040,
                        .code_generation = N,
                        .modules = 944},
        .gil = GIL,
        .thread = {.next = 8,
                   .interpreter = 16,
                   .frame = N,
                   .cframe = 56,
                   .current_frame = N,
                   .thread_id = 136,
                   .native_thread_id = 144,
                   .datastack_chunk = 232,
                   .size = 256},
        .cframe_current = 0,
        .generator_frame = 72,
        .frame = {.executable = 0,
                  .previous = 8,
                  .function = 16,
                  .instruction = 56,
                  .stacktop = 64,
                  .owner = 70,
                  .is_entry = N,
                  .localsplus = 72},
        .frame_object = NO_FRAME_OBJECT,
        .code = {.filename = 112,
                 .name = 120,
                 .qualname = 128,
                 .first_line = 68,
                 .line_table = 136,
                 .bytecode = 192,
                 .frame_words = 76,
                 .locals_count = 72,
                 .stack_size = 64,
                 .size = 200},
        .text = TEXT_NEW,
        .bytes = BYTES,
        .function = {.code = 48, .version = 136},
    },
};

const struct guaco__layout *
guaco__layout_fixed(uint32_t version)
{
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (layouts[i].version == version)
            return &layouts[i];
    return NULL;
}
