#!/usr/bin/env python3
"""opcode_table.py: this interpreter's rows of src/profile/opcodes.c.

Run by each interpreter from 3.11 on; the test compares what it prints with what
the file holds.  A row is {number, code units of inline cache, kind}.
"""

import importlib
import opcode
import os
import re
import sysconfig
from typing import Any

PRIVATE: Any = opcode  # what its stubs do not tell
FAMILIES = {"CALL", "CALL_KW", "CALL_FUNCTION_EX", "LOAD_ATTR", "FOR_ITER", "SEND", "BINARY_SUBSCR"}
VERSIONED = re.compile(r"CALL_PY\w*|CALL_BOUND_METHOD\w*|CALL_KW_PY|CALL_KW_BOUND_METHOD")
RETURN = re.compile(r"(INSTRUMENTED_)?RETURN_(VALUE|CONST)")
HOOKED = ("INSTRUMENTED_LINE", "INSTRUMENTED_INSTRUCTION")
HOOKED_CACHES = (0, 1, 3, 9)


def numbers() -> tuple[dict[str, int], dict[str, list[str]]]:
    """All opcodes by name, and the specialisations of each."""
    try:  # 3.13 and later
        metadata: Any = importlib.import_module("_opcode_metadata")
    except ImportError:
        found: dict[str, int] = {}
        with open(os.path.join(sysconfig.get_path("include"), "opcode.h")) as header:
            for line in header:
                if m := re.match(r"#define\s+([A-Z][A-Z_0-9]+)\s+(\d+)\s*$", line):
                    found[m[1]] = int(m[2])
        return found, PRIVATE._specializations
    return {**metadata.opmap, **metadata._specialized_opmap}, metadata._specializations


def rows() -> list[str]:
    codes, specialisations = numbers()
    base = {name: family for family, names in specialisations.items() for name in names}
    entries: Any = PRIVATE._inline_cache_entries

    def caches(name: str) -> int:
        plain = base.get(name, name).removeprefix("INSTRUMENTED_")
        units: int = entries.get(plain, 0) if hasattr(entries, "get") else entries[codes[plain]]
        return units

    def kind(name: str) -> str | None:
        plain = name.removeprefix("INSTRUMENTED_")
        if RETURN.fullmatch(name):
            return "RETURN"
        if VERSIONED.fullmatch(name):
            return "VERSIONED"
        if plain in FAMILIES or base.get(name) in FAMILIES or name in ("BINARY_OP_SUBSCR_GETITEM", "ENTER_EXECUTOR"):
            return "INLINE"
        return None

    out = []
    for number, name in sorted((number, name) for name, number in codes.items() if number < 256):
        if name in HOOKED:
            out += [f"    {{{number}, {n}, INLINE}}, /* {name} */" for n in HOOKED_CACHES]
        elif what := kind(name):
            units = 0 if name == "ENTER_EXECUTOR" else caches(name)
            out.append(f"    {{{number}, {units}, {what}}}, /* {name} */")
    return out


if __name__ == "__main__":
    print("\n".join(rows()))
