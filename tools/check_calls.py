#!/usr/bin/env python3
"""check_calls.py [ROOT]: refuse calls that are unsafe, or not a library's to make.

UNSAFE is refused everywhere.  CORE is refused in src but not in src/cli: the library
neither prints nor ends the process, and reads no clock but os/clock.  Exceptions stand
in tools/allowed_calls.txt, one a line: "FILE CALL: the reason"; an entry that is no
longer needed is refused too.
"""

import pathlib
import re
import sys
from collections.abc import Iterator

from gate import code_only, exceptions, report, sources

UNSAFE = {
    "strcpy": "no bound; use guaco__buf or snprintf",
    "strcat": "no bound; use guaco__buf or snprintf",
    "stpcpy": "no bound; use guaco__buf or snprintf",
    "strncpy": "may leave no NUL; use memcpy or snprintf",
    "strncat": "its bound is not the buffer's; use snprintf",
    "sprintf": "no bound; use snprintf",
    "vsprintf": "no bound; use vsnprintf",
    "gets": "no bound",
    "scanf": "no error on overflow",
    "sscanf": "no error on overflow; use a parser of base",
    "fscanf": "no error on overflow",
    "strtok": "hidden state",
    "atoi": "no error on nonsense",
    "atol": "no error on nonsense",
    "atoll": "no error on nonsense",
    "atof": "no error on nonsense, follows the locale",
    "alloca": "no bound",
    "localtime": "hidden state, follows TZ",
    "gmtime": "hidden state; use base/date",
    "localtime_r": "follows the process's TZ; use queue/tz",
    "mktime": "follows the process's TZ; use queue/tz",
    "asctime": "hidden state",
    "ctime": "hidden state",
    "strerror": "hidden state; use guaco_fail",
    "rand": "hidden state; use base/rand",
    "srand": "hidden state; use base/rand",
    "tmpnam": "a race; use mkstemp",
    "mktemp": "a race; use mkstemp",
    "tempnam": "a race; use mkstemp",
    "system": "a shell; use os/process",
    "popen": "a shell; use os/process",
    "inet_addr": "no error; use inet_pton",
    "gethostbyname": "hidden state; use getaddrinfo",
    "readdir_r": "overflows; use readdir",
    "longjmp": "skips clean-up",
}
CORE = {
    "printf": "the library prints nothing",
    "puts": "the library prints nothing",
    "putchar": "the library prints nothing",
    "perror": "the library prints nothing",
    "exit": "the library ends no process",
    "_exit": "the library ends no process",
    "abort": "the library ends no process",
    "setenv": "the environment is not ours to change",
    "putenv": "the environment is not ours to change",
    "setlocale": "the locale is not ours to change",
    "clock_gettime": "the one clock is os/clock",
    "gettimeofday": "the one clock is os/clock",
    "time": "the one clock is os/clock",
    "sleep": "nothing waits by sleeping",
    "usleep": "nothing waits by sleeping",
}

CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")


def refused(where: str) -> dict[str, str]:
    """The calls that this file may not make, with the reason."""
    is_core = where.startswith("src/") and not where.startswith("src/cli/")
    return UNSAFE | CORE if is_core else UNSAFE


def complaints(root: pathlib.Path) -> Iterator[str]:
    """Everything that is wrong below root."""
    listed = exceptions(root / "tools" / "allowed_calls.txt")
    used = set()
    for path in sources(root, "src", "include", "tests", "fuzz", "bench", "examples"):
        where = str(path.relative_to(root))
        bad = refused(where)
        for number, line in enumerate(code_only(path.read_text()).splitlines(), 1):
            for name in CALL.findall(line):
                if (where, name) in listed:
                    used.add((where, name))
                elif name in bad:
                    yield f"{where}:{number}: {name}(): {bad[name]}"
    for where, name in sorted(listed - used):
        yield f"tools/allowed_calls.txt: {where} {name} is not needed"


if __name__ == "__main__":
    sys.exit(report(complaints))
