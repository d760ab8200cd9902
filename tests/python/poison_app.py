"""Tasks that no worker should have to run; URL in QUEUE_URL."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

import guaco

queue = guaco.Queue(os.environ.get("QUEUE_URL", "memory:"), name="poison")


@queue.task()
def add(a: int, b: int) -> int:
    return a + b


@queue.task()
def segfault() -> None:
    ctypes.string_at(0)


@queue.task()
def leave() -> None:
    os._exit(7)


@queue.task(timeout=0.1)
def hold_the_gil() -> None:
    """A loop in C that never lets Python run anything else."""
    ctypes.PyDLL(None).sleep(3600)


@queue.task()
def large() -> bytes:
    return bytes(500 << 20)


@queue.task()
def not_data() -> Callable[[], None]:
    return lambda: None


@queue.task()
def fork_storm(count: int) -> int:
    """Children that go on in the task as if they were the worker, children
    that end at once, and children that live on."""
    for number in range(count):
        if os.fork() != 0:
            continue
        if number % 3 == 0:
            return -number
        if number % 3 == 1:
            os._exit(0)
        sys.stdin.close()
        os.execlp("sleep", "sleep", "2")
    return count
