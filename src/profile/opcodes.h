#ifndef GUACO_PROFILE_OPCODES_H
#define GUACO_PROFILE_OPCODES_H

/*
 * The few instructions that tell whether a stack can be true: those that may
 * push a Python frame without leaving the interpreter's loop, and those that
 * end one.
 */

#include <stdbool.h>
#include <stdint.h>

enum guaco__opcode_kind {
    GUACO__OPCODE_OTHER,
    GUACO__OPCODE_INLINE,    /* may push a frame: the instruction or, when its
                                guess fails, the one it is specialised from */
    GUACO__OPCODE_VERSIONED, /* pushes one; bytes 4 to 7 behind the
                                instruction's start are the func_version of
                                the function it was specialised for */
    GUACO__OPCODE_RETURN,
};

struct guaco__opcode {
    uint8_t number;
    uint8_t caches; /* code units of inline cache behind it */
    uint8_t kind;   /* enum guaco__opcode_kind */
};

/*
 * What the instruction is that a frame's pointer names.  `window` holds the
 * bytecode from `before` bytes in front of the pointer to at least 2 bytes
 * behind it.  `is_last_unit`: the pointer names the last unit of the
 * instruction with its cache (callers in 3.11 and 3.12), not its first.
 * On success *start is where in the window the instruction begins.
 */
enum guaco__opcode_kind
guaco__opcode_at(uint32_t version, const uint8_t *window, uint32_t before,
                 bool is_last_unit, uint32_t *start);

/* Most bytes that `before` need be: the longest cache of an instruction that
 * may push a frame. */
#define GUACO__OPCODE_BEFORE 18

#endif
