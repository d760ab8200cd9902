"""The black-box suite of tests/conformance against ourselves and our peers.

    python bench/conformance.py [--python 3.11] [--guaco PATH] [--only NAME ...]
                                [--write docs/conformance.md]

Each server gets an environment of its own (bench/peers.py), one worker and
tests/conformance/app.py; every case opens its own connection.  A table of the
sections and a list of what each server failed go to stdout, or into the file.
It is no timing: a run on a busy machine gives the same table.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from peers import interpreter, with_packages  # noqa: E402
from tests.conformance import suite  # noqa: E402

APP = "tests.conformance.app:app"
START_S = 30.0
# Cases run side by side: most of their time is waiting for what must not come.
AT_ONCE = 8


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    arguments: Callable[[int], list[str]]  # behind the interpreter
    packages: tuple[str, ...]
    # A worker that a case has killed is another one's failure: cases of these
    # run one after the other.
    at_once: int = AT_ONCE


def uvicorn(http: str) -> Callable[[int], list[str]]:
    return lambda port: ["-m", "uvicorn", APP, "--port", str(port), "--http", http,
                         "--ws", "websockets-sansio", "--loop", "uvloop",
                         "--log-level", "critical"]


PEERS = [
    Peer("uvicorn httptools", uvicorn("httptools"),
         ("uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0", "websockets")),
    Peer("uvicorn h11", uvicorn("h11"),
         ("uvicorn==0.54.0", "h11", "uvloop==0.23.0", "websockets")),
    Peer("hypercorn", lambda port: ["-m", "hypercorn", APP, "-b", f"127.0.0.1:{port}",
                                    "--log-level", "CRITICAL"], ("hypercorn",)),
    Peer("granian", lambda port: ["-m", "granian", APP, "--port", str(port),
                                  "--interface", "asgi", "--workers", "1",
                                  "--log-level", "critical"],
         ("granian==2.8.7", "uvloop==0.23.0")),
    Peer("gunicorn asgi", lambda port: ["-m", "gunicorn", APP, "-k", "asgi",
                                        "-b", f"127.0.0.1:{port}",
                                        "--log-level", "critical"],
         ("gunicorn==27.0.1",)),
]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"conformance: {process.args} did not start")


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(path)})
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def judge(command: list[str], port: int, at_once: int) -> dict[str, str | None]:
    """Of each case by its id None, or why it failed."""
    with running(command) as process:
        wait_for(port, process)

        def one(case: suite.Case) -> tuple[str, str | None]:
            return case.id, suite.run_case(case, ("127.0.0.1", port))

        with ThreadPoolExecutor(at_once) as pool:
            found = dict(pool.map(one, suite.cases(False)))
        if process.poll() is not None:
            print("conformance: the server ended", command, file=sys.stderr)
        return found


def version_of(python: str, package: str) -> str:
    done = subprocess.run(
        [python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))"],
        capture_output=True, text=True)
    return done.stdout.strip()


def table(results: dict[str, dict[str, str | None]]) -> list[str]:
    """Passed cases of each section, by server."""
    groups: dict[str, list[str]] = {}
    for case in suite.cases(False):
        groups.setdefault(group_of(case.section), []).append(case.id)
    lines = ["| section | cases | " + " | ".join(results) + " |",
             "|---" * (len(results) + 2) + "|"]
    for group, ids in [*sorted(groups.items()), ("**all**", [i for g in groups.values() for i in g])]:
        passed = [sum(found[i] is None for i in ids) for found in results.values()]
        lines.append(f"| {group} | {len(ids)} | " + " | ".join(map(str, passed)) + " |")
    return lines


def group_of(section: str) -> str:
    """The first number of a section of an RFC, or ASGI's part."""
    if not section[0].isdigit():
        return section
    rfc, _, part = section.partition(" ")
    names = {"9112 2": "messages", "9112 3": "request lines", "9112 5": "fields",
             "9112 6": "framing", "9112 7": "chunks", "9112 9": "connections",
             "9110 5": "field values", "9110 8": "lengths", "9110 10": "Expect",
             "9110 9": "methods", "9110 15": "statuses", "9110 7": "Host"}
    key = f"{rfc} {part.split('.')[0]}"
    return f"RFC {key}" + (f", {names[key]}" if key in names else "")


HEAD = """# Conformance

What `tests/conformance` finds, black box and over raw sockets, in ourselves and
in our peers: how many cases of each section pass. Written by

    python bench/conformance.py --write docs/conformance.md

A request that must be refused passes with a fitting status, or with the end of
the connection before any answer. An extension of ASGI that a server does not
claim is a case that it does not pass. Defaults of each server, one worker. A
server that waits for more than it will get passes if it gives up within 5 s:
where its own timeout is that long, a case or two may fall either way.

`tests/conformance/classes.toml` says which cases stand for which class of
request. `tests/differential` holds the same requests against nginx, HAProxy and
Node; its `divergences.toml` explains each difference.
"""


def report(results: dict[str, dict[str, str | None]], versions: dict[str, str]) -> str:
    lines = [HEAD]
    lines += [f"- {name}: {version}" for name, version in versions.items()]
    lines += ["", *table(results), ""]
    sections = {case.id: case.section for case in suite.cases(False)}
    for name, found in results.items():
        failed = [i for i, why in found.items() if why is not None]
        lines += [f"## {name}", ""]
        if not failed:
            lines += ["Every case passes.", ""]
            continue
        lines += [f"Not passed ({len(failed)}):", ""]
        lines += [f"- `{i}` ({sections[i]})" for i in failed]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.11")
    parser.add_argument("--guaco", default=os.environ.get("GUACO_EXE") or shutil.which("guaco"))
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME")
    parser.add_argument("--write", metavar="FILE")
    options = parser.parse_args()
    python = interpreter(options.python)
    if python is None or options.guaco is None:
        raise SystemExit("conformance: no such interpreter, or no guaco")

    results: dict[str, dict[str, str | None]] = {}
    versions: dict[str, str] = {}
    port = free_port()
    if options.only is None or "guaco" in options.only:
        results["guaco"] = judge(
            [options.guaco, "serve", APP, "--port", str(port), "--no-access-log",
             "--app-dir", str(ROOT), "--python", sys.executable], port, AT_ONCE)
        versions["guaco"] = "this tree"
    for peer in PEERS:
        if options.only is not None and peer.name not in options.only:
            continue
        own = str(with_packages(python, list(peer.packages)))
        port = free_port()
        results[peer.name] = judge([own, *peer.arguments(port)], port, peer.at_once)
        package = peer.packages[0].split("==")[0]
        versions[peer.name] = f"{package} {version_of(own, package)}, CPython {options.python}"
    text = report(results, versions)
    if options.write:
        Path(options.write).write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
