#!/usr/bin/env python3
"""check_functions.py [ROOT]: refuse functions over 70 lines and files over 800.

A function counts from the line of its name to its closing brace.  Exceptions stand
in tools/long_functions.txt, one a line: "FILE FUNCTION: the reason".  An entry that
is no longer needed is refused too.
"""

import pathlib
import re
import sys
from collections.abc import Iterator

from gate import code_only, exceptions, report, sources

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
FOLDERS = ("src", "include", "tests", "fuzz", "bench", "examples")

NAME = re.compile(r"^(\w+)\(")


def functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each definition; the style puts names and braces at column 0."""
    name, start = "", 0
    inside = False
    for number, line in enumerate(code_only(text).splitlines(), 1):
        if inside:
            if line.startswith("}"):
                yield name, number - start + 1
                name, inside = "", False
        elif match := NAME.match(line):
            name, start = match.group(1), number
        elif line.startswith("{"):
            inside = name != ""
        elif line.rstrip().endswith(";"):
            name = ""


def complaints(root: pathlib.Path) -> Iterator[str]:
    """Everything that is wrong below root."""
    listed = exceptions(root / "tools" / "long_functions.txt")
    for path in sources(root, *FOLDERS):
        where = str(path.relative_to(root))
        text = path.read_text()
        if (lines := text.count("\n")) > FILE_LINES_MAX:
            yield f"{where}: {lines} lines; more than {FILE_LINES_MAX} is two files"
        for name, lines in functions(text):
            if lines <= FUNCTION_LINES_MAX:
                continue
            if (where, name) in listed:
                listed.discard((where, name))
            else:
                yield f"{where}: {name} has {lines} lines, over {FUNCTION_LINES_MAX}"
    for where, name in sorted(listed):
        yield f"tools/long_functions.txt: {where} {name} is not needed"


if __name__ == "__main__":
    sys.exit(report(complaints))
