#!/usr/bin/env python3
"""check_headers.py [ROOT]: each public header must compile alone, as C17 and as C++17.

So whoever includes one needs no other before it, and the library can be used from C++.
"""

import pathlib
import subprocess
import sys
from collections.abc import Iterator

from gate import report, sources

# Not -Wshadow: to C++ a function hides the constructor of a struct of its name.
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wundef -Werror".split()
COMPILERS = (
    ("gcc", "-std=c17", "c"),
    ("clang", "-std=c17", "c"),
    ("g++", "-std=c++17", "c++"),
)


def complaints(root: pathlib.Path) -> Iterator[str]:
    """The first message of each compiler that refuses a header."""
    for path in sources(root, "include"):
        name = path.relative_to(root / "include")
        for compiler, standard, language in COMPILERS:
            done = subprocess.run(
                [compiler, standard, *WARNINGS, "-fsyntax-only", "-x", language]
                + ["-I", str(root / "include"), "-"],
                # Twice: its guard is tested too.
                input=f'#include "{name}"\n' * 2 + "extern int alone;\n",
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                first = next(
                    (x for x in done.stderr.splitlines() if "error" in x), done.stderr
                )
                yield f"include/{name}: {compiler} {standard}: {first}"


if __name__ == "__main__":
    sys.exit(report(complaints))
