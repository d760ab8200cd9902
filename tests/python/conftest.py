"""Fixtures of all Python tests: the executable, programs under test, free ports.

Nothing here waits by sleeping: a program is ready when the line that says so is read
from its output, within a deadline.
"""

import dataclasses
import os
import pathlib
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from deadline import DEADLINE_S


def guaco_exe() -> str:
    """The executable under test: GUACO_EXE, else the one on PATH."""
    exe = os.environ.get("GUACO_EXE") or shutil.which("guaco")
    if exe is None:
        pytest.fail("no guaco executable: set GUACO_EXE or build first")
    return exe


@dataclasses.dataclass
class Program:
    """A running program and what it printed so far on stdout and stderr, merged."""

    process: subprocess.Popen[bytes]
    output: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def read_until(
        self, pattern: str, timeout_s: float = DEADLINE_S
    ) -> re.Match[str]:
        """Wait until the output matches; fail with the output if it never does."""
        stream = self.process.stdout
        assert stream is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while True:
                if match := re.search(pattern, self.output, re.M):
                    return match
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    self.fail(f"no {pattern!r} within {timeout_s} s")
                chunk = os.read(stream.fileno(), 65536)
                if not chunk:
                    self.fail(f"ended without {pattern!r}")
                self.output += chunk.decode(errors="replace")

    def url(self, timeout_s: float = DEADLINE_S) -> str:
        """The first http:// address that it prints."""
        return self.read_until(r"(http://[\w.:\[\]-]+\d)", timeout_s).group(1)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Wait for its end; the exit code (negative: the signal).  Collects output."""
        try:
            rest, _ = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.fail(f"did not end within {timeout_s} s")
        self.output += (rest or b"").decode(errors="replace")
        return self.process.returncode

    def stop(self, timeout_s: float = DEADLINE_S) -> int:
        """SIGTERM, then wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def fail(self, text: str) -> None:
        pytest.fail(f"{self.process.args}: {text}; it printed:\n{self.output}")


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Callable[..., Program]]:
    """start(*command, cwd=, env={}): run a program; killed with its group at the end.

    A command that begins with "guaco" runs the executable under test, one that
    begins with "python" this interpreter.
    """
    running: list[Program] = []

    def run(
        *command: str | os.PathLike[str],
        cwd: str | os.PathLike[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> Program:
        words = [os.fspath(word) for word in command]
        words[0] = {"guaco": guaco_exe, "python": lambda: sys.executable}.get(
            words[0], lambda: words[0]
        )()
        process = subprocess.Popen(
            words,
            cwd=cwd or tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running.append(Program(process))
        return running[-1]

    yield run
    for program in running:
        try:
            os.killpg(program.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        program.process.wait()
        if program.process.stdout is not None:
            program.process.stdout.close()


@pytest.fixture
def exe() -> str:
    """The path of the executable under test."""
    return guaco_exe()


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free just now.

    Another program may take it first: prefer --bind 127.0.0.1:0 and Program.url().
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port
