"""CPython's own tests of event loops, run over ours.

    python tests/python/asyncio_suite.py [--loop guaco|asyncio] [-v] [PATTERN]

The tests are those of the running interpreter (test.test_asyncio; Debian has
them in libpythonX.Y-testsuite): the mixins that CPython runs over each of its
loops, the servers' tests and the subprocess tests.  Each class runs in a
process of its own, which is ended and replaced when a test hangs, so that a
hang is a result like another.

Prints what did not pass and the counts; exits 1 if a test failed that is not
named in EXPECTED, 77 where there is no test.test_asyncio.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import subprocess
import sys
import tempfile
import unittest
from typing import Any

TEST_TIMEOUT_S = 120

# name: (test module, mixins or whole classes)
CLASSES = {
    "events": ("test_events", ["EventLoopTestsMixin", "SubprocessTestsMixin"]),
    "sock": ("test_sock_lowlevel", ["BaseSockTestsMixin"]),
    "sendfile": ("test_sendfile", ["SendfileTestsBase"]),
    "ssl": ("test_ssl", ["TestSSL"]),
    "start-tls": ("test_sslproto", ["BaseStartTLS"]),
    "buffered": ("test_buffered_proto", ["BaseTestBufferedProtocol"]),
    "server": ("test_server", ["BaseStartServer"]),
    "server2": ("test_server", ["TestServer2"]),
    "server-unix": ("test_server", ["UnixServerCleanupTests"]),
    "server-context": ("test_server_context", ["AsyncioEventLoopTests"]),
    "server-context-ssl": ("test_server_context", ["AsyncioEventLoopSSLTests"]),
    "subprocess": ("test_subprocess", ["SubprocessMixin"]),
}

# {test: why ours cannot pass it}
EXPECTED: dict[str, str] = {}


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "asyncio":
        return asyncio.SelectorEventLoop()
    return importlib.import_module("guaco.loop").new_event_loop()


def test_class(name: str, kind: str) -> type[unittest.TestCase] | None:
    """The tests of `name` over our loop; None where this Python has none."""
    module_name, bases = CLASSES[name]
    try:
        module = importlib.import_module(f"test.test_asyncio.{module_name}")
    except ModuleNotFoundError:
        return None
    if not hasattr(module, bases[0]):
        return None
    parents: list[type] = [getattr(module, base) for base in bases]

    def factory(self: Any = None) -> asyncio.AbstractEventLoop:
        return new_loop(kind)

    def set_up(self: Any) -> None:
        super(cls, self).setUp()
        if name == "subprocess":
            self.loop = factory()
            self.set_event_loop(self.loop)

    utils = importlib.import_module("test.test_asyncio.utils")
    if name in ("start-tls", "buffered", "server"):
        parents.append(unittest.TestCase)
    elif not issubclass(parents[0], unittest.TestCase):
        parents.append(utils.TestCase)
    cls = type(
        "OverLoop",
        tuple(parents),
        {
            "create_event_loop": factory,
            "new_loop": factory,
            "setUp": set_up,
            "loop_factory": staticmethod(factory),
        },
    )
    return cls


class Result(unittest.TestResult):
    """Writes a line of JSON as each test begins and ends."""

    def __init__(self, out: Any) -> None:
        super().__init__()
        self.out = out

    def put(self, test: unittest.TestCase, word: str, text: str = "") -> None:
        name = test.id().rpartition(".")[2]
        print(json.dumps([name, word, text]), file=self.out, flush=True)

    def startTest(self, test: unittest.TestCase) -> None:
        self.put(test, "start")

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.put(test, "ok")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.put(test, "skip", reason)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.put(test, "fail", self._exc_info_to_string(err, test))

    addError = addFailure

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.put(test, "fail", self._exc_info_to_string(err, test))


def work(name: str, kind: str, done: set[str], pattern: str) -> None:
    """Run the class's tests that are not done; the results go to stdout."""
    import faulthandler

    # What the tests themselves print must not be read as results.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    factory = lambda: new_loop(kind)  # noqa: E731
    asyncio.new_event_loop = asyncio.events.new_event_loop = factory  # type: ignore[assignment]
    cls = test_class(name, kind)
    if cls is None:
        return
    result = Result(out)
    for test_name in unittest.TestLoader().getTestCaseNames(cls):
        if test_name in done or pattern not in test_name:
            continue
        faulthandler.dump_traceback_later(TEST_TIMEOUT_S, exit=True)
        result._previousTestClass = None  # type: ignore[attr-defined]
        unittest.TestSuite([cls(test_name)]).run(result)
        faulthandler.cancel_dump_traceback_later()


def run_class(name: str, kind: str, pattern: str) -> dict[str, list[str]]:
    """{test: [word, text]} of a class, hangs and crashes included."""
    results: dict[str, list[str]] = {}
    while True:
        with (
            tempfile.TemporaryFile("w+") as errors,
            tempfile.TemporaryDirectory() as folder,
        ):
            worker = subprocess.run(
                [sys.executable, "-W", "ignore", os.path.abspath(__file__),
                 "--loop", kind, "--worker", name, "--done", ",".join(results),
                 pattern],
                stdout=subprocess.PIPE, stderr=errors, text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(
                    os.path.abspath(entry) for entry in sys.path[1:])},
                cwd=folder,
            )  # fmt: skip
            errors.seek(0)
            tail = errors.read()[-3000:]
        open_test = None
        for line in worker.stdout.splitlines():
            test, word, text = json.loads(line)
            open_test = test if word == "start" else None
            if word != "start" and results.get(test, [""])[0] != "fail":
                results[test] = [word, text]
        if open_test is None:
            if worker.returncode != 0:
                results["(end)"] = ["fail", tail]
            return results
        word = "hang" if "Timeout" in tail else "crash"
        results[open_test] = [word, tail]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", default="guaco")
    parser.add_argument("--worker")
    parser.add_argument("--done", default="")
    parser.add_argument("--only")
    parser.add_argument("-v", action="store_true")
    parser.add_argument("pattern", nargs="?", default="")
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.loop, set(args.done.split(",")), args.pattern)
        return 0
    try:
        importlib.import_module("test.test_asyncio")
    except ModuleNotFoundError:
        print("this Python has no test.test_asyncio")
        return 77
    counts: dict[str, int] = {}
    failed = 0
    for name in CLASSES:
        if args.only and name not in args.only.split(","):
            continue
        for test, (word, text) in run_class(
            name, args.loop, args.pattern
        ).items():
            if word not in ("ok", "skip") and test in EXPECTED:
                word = "expected"
            counts[word] = counts.get(word, 0) + 1
            if word in ("fail", "hang", "crash"):
                failed += 1
            if word != "ok":
                print(f"{word}: {name}.{test}", flush=True)
                if args.v or word in ("hang", "crash"):
                    print(text)
    total = sum(counts.values())
    print(f"{total} tests over {args.loop}: {counts}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
