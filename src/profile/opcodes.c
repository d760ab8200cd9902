/*
 * Numbers, inline caches and kinds of instructions, by version: from each
 * interpreter's own opcode metadata (tests/profile/check_opcodes.py compares).
 */

#include "opcodes.h"

#include <stddef.h>

#include "layout.h"

/* clang-format off */
/* Under a line or instruction hook the opcode is kept elsewhere: any
 * instruction may hide behind it, so it has an entry for each length. */
#define HOOKED(number) \
    {number, 0, INLINE}, {number, 1, INLINE}, {number, 3, INLINE}, {number, 9, INLINE}

#define INLINE    GUACO__OPCODE_INLINE
#define VERSIONED GUACO__OPCODE_VERSIONED
#define RETURN    GUACO__OPCODE_RETURN

static const struct guaco__opcode opcodes_3_11[] = {
    {17, 4, INLINE}, /* BINARY_SUBSCR_ADAPTIVE */
    {19, 4, INLINE}, /* BINARY_SUBSCR_GETITEM */
    {22, 4, INLINE}, /* CALL_ADAPTIVE */
    {23, 4, VERSIONED}, /* CALL_PY_EXACT_ARGS */
    {24, 4, VERSIONED}, /* CALL_PY_WITH_DEFAULTS */
    {25, 4, INLINE}, /* BINARY_SUBSCR */
    {39, 4, INLINE}, /* LOAD_ATTR_ADAPTIVE */
    {83, 0, RETURN}, /* RETURN_VALUE */
    {93, 0, INLINE}, /* FOR_ITER */
    {106, 4, INLINE}, /* LOAD_ATTR */
    {123, 0, INLINE}, /* SEND */
    {142, 0, INLINE}, /* CALL_FUNCTION_EX */
    {171, 4, INLINE}, /* CALL */
};

static const struct guaco__opcode opcodes_3_12[] = {
    {20, 1, INLINE}, /* BINARY_SUBSCR_GETITEM */
    {23, 3, VERSIONED}, /* CALL_PY_EXACT_ARGS */
    {24, 3, VERSIONED}, /* CALL_PY_WITH_DEFAULTS */
    {25, 1, INLINE}, /* BINARY_SUBSCR */
    {28, 3, VERSIONED}, /* CALL_BOUND_METHOD_EXACT_ARGS */
    {65, 1, INLINE}, /* FOR_ITER_GEN */
    {72, 9, INLINE}, /* LOAD_ATTR_GETATTRIBUTE_OVERRIDDEN */
    {77, 9, INLINE}, /* LOAD_ATTR_PROPERTY */
    {83, 0, RETURN}, /* RETURN_VALUE */
    {93, 1, INLINE}, /* FOR_ITER */
    {106, 9, INLINE}, /* LOAD_ATTR */
    {121, 0, RETURN}, /* RETURN_CONST */
    {123, 1, INLINE}, /* SEND */
    {142, 0, INLINE}, /* CALL_FUNCTION_EX */
    {168, 1, INLINE}, /* SEND_GEN */
    {171, 3, INLINE}, /* CALL */
    {241, 3, INLINE}, /* INSTRUMENTED_CALL */
    {242, 0, RETURN}, /* INSTRUMENTED_RETURN_VALUE */
    {244, 0, INLINE}, /* INSTRUMENTED_CALL_FUNCTION_EX */
    {247, 0, RETURN}, /* INSTRUMENTED_RETURN_CONST */
    {248, 1, INLINE}, /* INSTRUMENTED_FOR_ITER */
    HOOKED(254), /* INSTRUMENTED_LINE */
    HOOKED(253), /* INSTRUMENTED_INSTRUCTION */
};

static const struct guaco__opcode opcodes_3_13[] = {
    {5, 1, INLINE}, /* BINARY_SUBSCR */
    {36, 0, RETURN}, /* RETURN_VALUE */
    {53, 3, INLINE}, /* CALL */
    {54, 0, INLINE}, /* CALL_FUNCTION_EX */
    {57, 0, INLINE}, /* CALL_KW */
    {70, 0, INLINE}, /* ENTER_EXECUTOR */
    {72, 1, INLINE}, /* FOR_ITER */
    {82, 9, INLINE}, /* LOAD_ATTR */
    {103, 0, RETURN}, /* RETURN_CONST */
    {104, 1, INLINE}, /* SEND */
    {158, 1, INLINE}, /* BINARY_SUBSCR_GETITEM */
    {162, 3, INLINE}, /* CALL_ALLOC_AND_ENTER_INIT */
    {163, 3, VERSIONED}, /* CALL_BOUND_METHOD_EXACT_ARGS */
    {164, 3, VERSIONED}, /* CALL_BOUND_METHOD_GENERAL */
    {177, 3, VERSIONED}, /* CALL_PY_EXACT_ARGS */
    {178, 3, VERSIONED}, /* CALL_PY_GENERAL */
    {187, 1, INLINE}, /* FOR_ITER_GEN */
    {192, 9, INLINE}, /* LOAD_ATTR_GETATTRIBUTE_OVERRIDDEN */
    {200, 9, INLINE}, /* LOAD_ATTR_PROPERTY */
    {208, 1, INLINE}, /* SEND_GEN */
    {239, 0, RETURN}, /* INSTRUMENTED_RETURN_VALUE */
    {240, 0, RETURN}, /* INSTRUMENTED_RETURN_CONST */
    {243, 1, INLINE}, /* INSTRUMENTED_FOR_ITER */
    {244, 3, INLINE}, /* INSTRUMENTED_CALL */
    {245, 0, INLINE}, /* INSTRUMENTED_CALL_KW */
    {246, 0, INLINE}, /* INSTRUMENTED_CALL_FUNCTION_EX */
    HOOKED(254), /* INSTRUMENTED_LINE */
    HOOKED(247), /* INSTRUMENTED_INSTRUCTION */
};

static const struct guaco__opcode opcodes_3_14[] = {
    {4, 0, INLINE}, /* CALL_FUNCTION_EX */
    {35, 0, RETURN}, /* RETURN_VALUE */
    {52, 3, INLINE}, /* CALL */
    {55, 3, INLINE}, /* CALL_KW */
    {70, 1, INLINE}, /* FOR_ITER */
    {80, 9, INLINE}, /* LOAD_ATTR */
    {106, 1, INLINE}, /* SEND */
    {136, 5, INLINE}, /* BINARY_OP_SUBSCR_GETITEM */
    {143, 3, INLINE}, /* CALL_ALLOC_AND_ENTER_INIT */
    {144, 3, VERSIONED}, /* CALL_BOUND_METHOD_EXACT_ARGS */
    {145, 3, VERSIONED}, /* CALL_BOUND_METHOD_GENERAL */
    {151, 3, VERSIONED}, /* CALL_KW_BOUND_METHOD */
    {153, 3, VERSIONED}, /* CALL_KW_PY */
    {161, 3, VERSIONED}, /* CALL_PY_EXACT_ARGS */
    {162, 3, VERSIONED}, /* CALL_PY_GENERAL */
    {171, 1, INLINE}, /* FOR_ITER_GEN */
    {179, 9, INLINE}, /* LOAD_ATTR_GETATTRIBUTE_OVERRIDDEN */
    {187, 9, INLINE}, /* LOAD_ATTR_PROPERTY */
    {197, 1, INLINE}, /* SEND_GEN */
    {237, 1, INLINE}, /* INSTRUMENTED_FOR_ITER */
    {246, 0, RETURN}, /* INSTRUMENTED_RETURN_VALUE */
    {250, 3, INLINE}, /* INSTRUMENTED_CALL */
    {251, 3, INLINE}, /* INSTRUMENTED_CALL_KW */
    {252, 0, INLINE}, /* INSTRUMENTED_CALL_FUNCTION_EX */
    {255, 0, INLINE}, /* ENTER_EXECUTOR */
    HOOKED(254), /* INSTRUMENTED_LINE */
    HOOKED(238), /* INSTRUMENTED_INSTRUCTION */
};

static const struct guaco__opcode opcodes_3_15[] = {
    {4, 1, INLINE}, /* CALL_FUNCTION_EX */
    {33, 0, RETURN}, /* RETURN_VALUE */
    {50, 3, INLINE}, /* CALL */
    {53, 3, INLINE}, /* CALL_KW */
    {68, 1, INLINE}, /* FOR_ITER */
    {79, 9, INLINE}, /* LOAD_ATTR */
    {105, 1, INLINE}, /* SEND */
    {136, 5, INLINE}, /* BINARY_OP_SUBSCR_GETITEM */
    {144, 3, INLINE}, /* CALL_ALLOC_AND_ENTER_INIT */
    {145, 3, VERSIONED}, /* CALL_BOUND_METHOD_EXACT_ARGS */
    {146, 3, VERSIONED}, /* CALL_BOUND_METHOD_GENERAL */
    {152, 1, INLINE}, /* CALL_EX_PY */
    {154, 3, VERSIONED}, /* CALL_KW_BOUND_METHOD */
    {156, 3, VERSIONED}, /* CALL_KW_PY */
    {164, 3, VERSIONED}, /* CALL_PY_EXACT_ARGS */
    {165, 3, VERSIONED}, /* CALL_PY_GENERAL */
    {174, 1, INLINE}, /* FOR_ITER_GEN */
    {185, 9, INLINE}, /* LOAD_ATTR_GETATTRIBUTE_OVERRIDDEN */
    {193, 9, INLINE}, /* LOAD_ATTR_PROPERTY */
    {202, 1, INLINE}, /* SEND_ASYNC_GEN */
    {203, 1, INLINE}, /* SEND_GEN */
    {204, 1, INLINE}, /* SEND_VIRTUAL */
    {236, 1, INLINE}, /* INSTRUMENTED_FOR_ITER */
    {245, 0, RETURN}, /* INSTRUMENTED_RETURN_VALUE */
    {249, 3, INLINE}, /* INSTRUMENTED_CALL */
    {250, 3, INLINE}, /* INSTRUMENTED_CALL_KW */
    {251, 1, INLINE}, /* INSTRUMENTED_CALL_FUNCTION_EX */
    {254, 0, INLINE}, /* ENTER_EXECUTOR */
    HOOKED(253), /* INSTRUMENTED_LINE */
    HOOKED(237), /* INSTRUMENTED_INSTRUCTION */
};

#define TABLE(major, minor)                                                   \
    {GUACO__VERSION(major, minor), opcodes_##major##_##minor,                 \
     sizeof opcodes_##major##_##minor / sizeof(struct guaco__opcode)}

static const struct {
    uint32_t version;
    const struct guaco__opcode *at;
    size_t count;
} tables[] = {
    TABLE(3, 11), TABLE(3, 12), TABLE(3, 13), TABLE(3, 14), TABLE(3, 15),
};
/* clang-format on */

enum guaco__opcode_kind
guaco__opcode_at(uint32_t version, const uint8_t *window, uint32_t before,
                 bool is_last_unit, uint32_t *start)
{
    size_t t = 0, count = sizeof tables / sizeof tables[0];

    while (t < count && tables[t].version != version)
        t++;
    for (size_t i = 0; t < count && i < tables[t].count; i++) {
        const struct guaco__opcode *op = &tables[t].at[i];
        uint32_t back = is_last_unit ? op->caches * 2u : 0;
        if (back > before || window[before - back] != op->number)
            continue;
        *start = before - back;
        return (enum guaco__opcode_kind)op->kind;
    }
    return GUACO__OPCODE_OTHER;
}
