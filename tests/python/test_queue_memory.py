"""A queue in the memory of a tree: `guaco up` with nothing but memory:."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Program
from deadline import DEADLINE_S

Start = Callable[..., Program]
HERE = pathlib.Path(__file__).parent


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
        return json.load(answer)


@pytest.fixture
def up(start: Start) -> Program:
    return start(
        "guaco",
        "up",
        "memory_app:app",
        "--port",
        "0",
        "--task-workers",
        "1",
        "-k",
        "process",
        "--python",
        sys.executable,
        "--log-level",
        "debug",
        cwd=HERE,
    )


class Asking(threading.Thread):
    """A request whose answer is waited for elsewhere."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        self.answer = get(self._url)

    def wait(self) -> Any:
        self.join(30)
        assert not self.is_alive()
        return self.answer


def test_a_web_workers_task_is_run_by_a_task_worker(up: Program) -> None:
    url = up.url()
    total, worker, web = get(url)
    assert total == 3
    assert worker != web
    assert [get(url)[:2] for _ in range(5)] == [[3, worker]] * 5
    assert up.stop() == 0


def test_a_killed_task_workers_task_is_given_back(up: Program) -> None:
    asking = Asking(up.url() + "/hold")
    pid = int(up.read_until(r"holding (\d+) 1")[1])
    os.kill(pid, signal.SIGKILL)
    other = int(up.read_until(r"holding (\d+) 2")[1])
    assert asking.wait()[:2] == [other, 2]
    assert up.stop() == 0


def test_who_waits_is_told_when_the_keeper_dies(up: Program) -> None:
    url = up.url()
    get(url)
    asking = Asking(url + "/hold")
    up.read_until("holding")
    (keeper,) = [
        int(pid)
        for pid in os.listdir("/proc")
        if pid.isdigit() and is_keeper(int(pid), up.pid)
    ]
    os.kill(keeper, signal.SIGKILL)
    assert "lost" in asking.wait()
    assert get(url)[0] == 3  # the next one serves again


def is_keeper(pid: int, parent: int) -> bool:
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    fields = stat.rpartition(")")[2].split()
    return b"_keeper" in words and int(fields[1]) == parent


def test_workers_of_another_tree_name_sqlite(start: Start) -> None:
    program = start(
        "guaco", "work", "memory_app:queue", "--python", sys.executable, cwd=HERE
    )
    assert program.wait() != 0
    assert re.search(r"use\s+sqlite:///FILE", program.output)
