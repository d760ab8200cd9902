#!/usr/bin/env python3
"""check_layers.py [ROOT]: refuse an #include that the layer table does not allow.

A folder of src is a permission: it may include the folders below it that LAYERS
names, the C library, and the libraries that are its own to wrap.  An include that
resolves to no file of the project and to no header known here is refused as well,
so that nothing slips past the table by being unknown to it.
"""

import dataclasses
import pathlib
import re
import sys
from collections.abc import Iterator

from gate import report, sources

# Headers with neither I/O nor a clock in them: all that sans-I/O code gets.
PURE = frozenset(
    "assert ctype errno float inttypes limits locale math pthread setjmp stdalign"
    " stdarg stdatomic stdbool stddef stdint stdio stdlib string strings time wchar"
    " endian byteswap immintrin emmintrin tmmintrin smmintrin nmmintrin cpuid"
    " arm_neon sys/types sys/uio sys/random".split()
)
SYSTEM = PURE | frozenset(
    "dirent dlfcn elf fcntl fnmatch ftw getopt glob grp ifaddrs link netdb poll pwd sched"
    " semaphore signal spawn syslog termios ucontext unistd utime".split()
)
SYSTEM_FOLDERS = frozenset({"sys", "netinet", "arpa", "net", "linux", "asm"})


@dataclasses.dataclass(frozen=True)
class Layer:
    """What one folder of src may include."""

    folders: frozenset[str]
    libraries: frozenset[str] = frozenset()  # first part of the header's path
    pure: bool = False


def _layer(folders: str, libraries: str = "", pure: bool = False) -> Layer:
    return Layer(frozenset(folders.split()), frozenset(libraries.split()), pure)


LAYERS = {
    "base": _layer("", "openssl", pure=True),
    "os": _layer("base"),
    "io": _layer("base os", "uv openssl"),
    "http": _layer("base", "nghttp2 wslay zlib brotli zstd", pure=True),
    "server": _layer("base os io http"),
    "web": _layer("base http", pure=True),
    "queue": _layer("base os io", "sqlite3 hiredis openssl libpq-fe mongoc"),
    "profile": _layer("base os", "elfutils"),
    "run": _layer("base os io http server queue profile"),
    "python": _layer(
        "base os io http server web queue profile run",
        "Python structmember frameobject datetime pythread",
    ),
    "cli": _layer("base os io http server queue profile run", "curses ncurses"),
}

# include/guaco/NAME.h, or a folder of it -> the folder of src that implements it.
PUBLIC = {
    "error": "base",
    "slice": "base",
    "log": "base",
    "http": "http",
    "route": "http",
    "server": "server",
    "broker": "queue",
    "key": "queue",
    "task": "queue",
    "queue": "queue",
    "schedule": "queue",
    "worker": "queue",
    "keeper": "queue",
    "payload": "queue",
    "call": "queue",
    "using": "queue",
    "profile": "profile",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
COMPUTED = re.compile(r'^[ \t]*#[ \t]*include[ \t]+[^<"\s]', re.M)


def public_owner(name: str) -> str | None:
    """The folder behind guaco/NAME, or None."""
    return PUBLIC.get(re.split(r"[/.]", name)[1])


def owner(root: pathlib.Path, includer: pathlib.Path, name: str) -> str | None:
    """The folder of src that a quoted include leads to, or None."""
    if name.startswith("guaco/"):
        return public_owner(name) if (root / "include" / name).is_file() else None
    src = (root / "src").resolve()
    for base in (includer.parent, src):
        target = (base / name).resolve()
        if target.is_file() and src in target.parents:
            return target.relative_to(src).parts[0]
    recipe = includer.parent / "meson.build"
    if "/" not in name and recipe.is_file() and f"'{name}'" in recipe.read_text():
        return includer.relative_to(root / "src").parts[0]  # made by the build
    return None


def library_allowed(layer: Layer, name: str) -> bool:
    """Whether <name> is the C library's or one of the layer's libraries."""
    stem = name.removesuffix(".h")
    first = re.split(r"[/.]", name)[0]
    if first in layer.libraries or stem in PURE:
        return True
    return not layer.pure and (stem in SYSTEM or first in SYSTEM_FOLDERS)


def judge(
    root: pathlib.Path, path: pathlib.Path, here: str, public: bool
) -> Iterator[str]:
    """What is wrong with the includes of one file that belongs to layer `here`."""
    layer = LAYERS[here]
    text = path.read_text()
    where = path.relative_to(root)
    if COMPUTED.search(text):
        yield f"{where}: an #include by macro cannot be checked"
    for mark, name in INCLUDE.findall(text):
        if mark == "<" and name.startswith("guaco/"):
            yield f"{where}: <{name}> is ours: use quotes"
        elif mark == "<":
            if not library_allowed(layer, name):
                yield f"{where}: {here} may not use <{name}>"
        elif public and not name.startswith("guaco/"):
            yield f'{where}: a public header may not include "{name}"'
        elif (there := owner(root, path, name)) is None:
            yield f'{where}: "{name}" leads to no folder of the table'
        elif there != here and there not in layer.folders:
            yield f'{where}: {here} may not use {there} ("{name}")'


def complaints(root: pathlib.Path) -> Iterator[str]:
    """Everything that is wrong below root."""
    for path in sources(root, "src"):
        here = path.relative_to(root / "src").parts[0]
        if here not in LAYERS:
            yield f"{path.relative_to(root)}: src/{here} is not in the layer table"
        else:
            yield from judge(root, path, here, public=False)
    for path in sources(root, "include"):
        name = str(path.relative_to(root / "include"))
        layer = public_owner(name) if name.startswith("guaco/") else None
        if layer is None:
            yield f"{path.relative_to(root)}: this header belongs to no layer"
        else:
            yield from judge(root, path, layer, public=True)


if __name__ == "__main__":
    sys.exit(report(complaints))
