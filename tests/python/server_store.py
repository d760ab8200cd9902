"""What holds of a queue on any server: the bodies of tests of Redis and PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import pytest
from conftest import Program
from test_queue_run import fresh_app, get

from guaco.queue import Queue

Start = Callable[..., Program]
HERE = pathlib.Path(__file__).parent
PYTHON = ("--python", sys.executable)


class AnyServer(Protocol):
    """A server of the test's own."""

    def start(self) -> None: ...
    def kill(self) -> None: ...


def run_tasks(app: Any) -> None:
    """Tasks run and results come, to threads and to loops."""
    assert get(app.add(1, 2)) == 3
    assert get(app.double(21)) == 42
    assert [get(r) for r in [app.add(n, n) for n in range(50)]] == [
        2 * n for n in range(50)
    ]

    async def in_a_loop() -> int:
        results = [await app.add.aenqueue(n, 1) for n in range(20)]
        return sum([await r for r in results])

    assert asyncio.run(in_a_loop()) == sum(range(1, 21))
    assert app.queue.stats()["waiting"] == 0


def kill_a_worker(url: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed worker's task is run by another, at once; commands look on."""
    app = fresh_app(url, monkeypatch)
    env = {"QUEUE_URL": url}
    program = start("guaco", "work", "queue_app:queue", "-w", "2", "-k", "process",
                    *PYTHON, cwd=HERE, env=env)  # fmt: skip
    program.read_until("workers ready")
    assert get(app.add(1, 2)) == 3
    result = app.hold(0.3)
    pid = int(program.read_until(r"holding (\d+) 1")[1])
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    other = int(program.read_until(r"holding (\d+) 2")[1])
    assert time.monotonic() - killed < 10  # its lease ends after 15 s
    assert get(result) == [other, 2]

    stats = start("guaco", "queue", *PYTHON, "stats", "queue_app:queue", cwd=HERE, env=env)
    stats.wait()
    assert "waiting" in stats.output
    schedules = start("guaco", "cron", *PYTHON, "ls", "queue_app:queue", cwd=HERE, env=env)
    assert schedules.wait() == 0
    app.queue.stop()
    assert program.stop() == 0


def restart_the_server(
    server: AnyServer, url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers and callers go on when the server was away."""
    app = fresh_app(url, monkeypatch)
    program = start("guaco", "work", "queue_app:queue", "-w", "2",
                    *PYTHON, cwd=HERE, env={"QUEUE_URL": url})  # fmt: skip
    program.read_until("workers ready")
    assert get(app.add(1, 2)) == 3
    for _ in range(3):
        server.kill()
        server.start()
        assert get(app.add(3, 4)) == 7
    assert program.stop() == 0
    app.queue.close()


def fork_a_child(queue: Queue) -> None:
    """A forked child has a connection of its own."""
    work = queue.task(name="work")(lambda: None)
    first = work()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0 if queue.pending_count() == 2 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert work().id > first.id
    assert queue.pending_count() == 3
    queue.close()
