"""What the benchmark's tasks do, the same for every system: nothing, or leave a time stamp.

A stamp is one line appended to the file named by BENCH_OUT.  CLOCK_MONOTONIC is
the same for all processes of a machine, so that a producer's and a worker's
stamps can be subtracted.
"""

from __future__ import annotations

import os
import time


def _append(line: str) -> None:
    fd = os.open(os.environ["BENCH_OUT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def noop() -> None:
    """The job that is measured."""


def mark(label: str) -> None:
    _append(f"{label} {time.monotonic_ns()}\n")


def stamp(sent_ns: int) -> None:
    now = time.monotonic_ns()
    _append(f"latency {now - sent_ns}\n")
