"""python -m tests.differential: print each divergence of each server, explained or not."""

import pathlib
import sys
import tempfile

from . import servers, verdicts


def absent(reason: str) -> None:
    raise SystemExit(reason)


def main() -> int:
    unexplained = 0
    for name in servers.NAMES:
        with tempfile.TemporaryDirectory() as folder, \
                servers.running(name, pathlib.Path(folder), absent) as port:
            found = verdicts.diverging(port)
        known = verdicts.explained(name)
        for case, what in found.items():
            unexplained += case not in known
            print(f"{name:8} {what:13} {case}: {known.get(case, 'NOT EXPLAINED')}")
        for case in known.keys() - found.keys():
            print(f"{name:8} agrees        {case}: the explanation is not needed")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
