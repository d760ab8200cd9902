#!/usr/bin/env python3
"""check_symbols.py [ROOT] BUILD: what is exported is what the public headers declare.

- libguaco.a: the global symbols of default visibility are those marked GUACO_API.
- the extension module exports its init function alone.
- the executable exports nothing but symbols marked GUACO_API.
- libguaco.a holds no writable data: a library has no mutable globals.  Exceptions
  stand in tools/allowed_globals.txt: "OBJECT NAME: the reason".
"""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

from gate import code_only, exceptions, report, sources

DECLARED = re.compile(r"\bGUACO_API\b[^;{]*?\b(guaco_\w+)\s*(?:\(|\[|;)")
SYMBOL = re.compile(
    r"\s*\d+: [0-9a-f]+\s+\S+ (\w+)\s+(GLOBAL|WEAK)\s+(\w+)\s+(\w+) (\S+)"
)
WRITABLE = re.compile(r"\.(data|bss|tdata|tbss)(?!\.rel\.ro)(\.|$)")
DATA = re.compile(r"[0-9a-f]+ .{6}O (\S+)\s+[0-9a-f]+ (?:\.hidden )?(\S+)$")


def output(*command: str) -> list[str]:
    """The lines a tool of binutils prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def declared(root: pathlib.Path) -> set[str]:
    """The names that the public headers mark GUACO_API."""
    names: set[str] = set()
    for path in sources(root, "include"):
        text = re.sub(r"^\s*#.*(?:\\\n.*)*$", "", code_only(path.read_text()), flags=re.M)
        names.update(DECLARED.findall(text))
    return names


def exported(path: pathlib.Path, *, dynamic: bool) -> set[str]:
    """The defined symbols of default visibility that others can link against."""
    table = "--dyn-syms" if dynamic else "--syms"
    names = set()
    for line in output("readelf", "-W", table, str(path)):
        match = SYMBOL.match(line)
        if match and match.group(3) == "DEFAULT" and match.group(4) != "UND":
            names.add(match.group(5))
    # A copy of a libc object in an executable carries a version: not ours.
    return {name for name in names if "@" not in name}


def writable(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    """(object, symbol) of what stands in a writable section of an archive."""
    member = "?"
    for line in output("objdump", "-t", str(path)):
        if ":" in line and "file format" in line:
            member = line.split(":")[0].rsplit("/", 1)[-1]
        match = DATA.match(line)
        if match and WRITABLE.match(match.group(1)):
            yield member, match.group(2)


def complaints(root: pathlib.Path) -> Iterator[str]:
    """Everything that is wrong with the build folder of the second argument."""
    build = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "build")
    public = declared(root)
    archive = build / "libguaco.a"
    core = exported(archive, dynamic=False)
    for name in sorted(core - public):
        yield f"libguaco.a exports {name}, which no public header declares"
    for name in sorted(public - core):
        yield f"{name} is declared GUACO_API and not exported by libguaco.a"
    for module in sorted((build / "python" / "guaco").glob("_core*.so")):
        for name in sorted(exported(module, dynamic=True) - {"PyInit__core"}):
            yield f"{module.name} exports {name}"
    for name in sorted(exported(build / "src/cli/guaco", dynamic=True) - public):
        yield f"the executable exports {name}"
    allowed = exceptions(root / "tools" / "allowed_globals.txt")
    for pair in sorted(set(writable(archive)) - allowed):
        yield f"{pair[0]}: {pair[1]} is a mutable global"


if __name__ == "__main__":
    sys.exit(report(complaints))
