"""What the gates share: reading C without its prose, exception lists, the report."""

import pathlib
import re
import sys
from collections.abc import Callable, Iterator

_PROSE = re.compile(
    r"""
      //[^\n]*
    | /\*.*?\*/
    | "(?:\\.|[^"\\\n])*"
    | '(?:\\.|[^'\\\n])*'
    """,
    re.S | re.X,
)


def code_only(text: str) -> str:
    """Blank out comments and the insides of literals; lines stay where they are."""

    def blank(match: re.Match[str]) -> str:
        piece = match.group()
        if piece[0] in "\"'":
            return piece[0] + " " * (len(piece) - 2) + piece[0]
        return re.sub(r"[^\n]", " ", piece)

    return _PROSE.sub(blank, text)


def sources(root: pathlib.Path, *folders: str) -> Iterator[pathlib.Path]:
    """Every .c and .h below the given folders of root, in a stable order."""
    for folder in folders:
        base = root / folder
        yield from sorted(p for p in base.rglob("*") if p.suffix in {".c", ".h"})


def exceptions(path: pathlib.Path) -> set[tuple[str, str]]:
    """The (file, name) pairs of a list of lines "FILE NAME: the reason"."""
    pairs = set()
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            match = re.fullmatch(r"(\S+) (\w+): \S.*", line)
            if match is None:
                raise SystemExit(f"{path}: not 'FILE NAME: the reason': {line}")
            pairs.add((match.group(1), match.group(2)))
    return pairs


def report(complaints: Callable[[pathlib.Path], Iterator[str]]) -> int:
    """Print what a gate finds below its argument (default: here); the exit status."""
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(complaints(root))
    for line in found:
        print(line)
    return 1 if found else 0
