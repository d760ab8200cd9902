"""`guaco work` and `guaco queue`: worker processes, seen from outside."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Program
from deadline import DEADLINE_S, wait_gone
from test_queue_run import fresh_app, get

from guaco.queue import Queue, TaskDead, TaskException

Start = Callable[..., Program]
HERE = pathlib.Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"


class Work:
    """A store, the application on our side, and `guaco work` on the other."""

    def __init__(
        self, start: Start, tmp_path: pathlib.Path, app: Any, url: str
    ) -> None:
        self._start = start
        self._tmp_path = tmp_path
        self._url = url
        self.app = app

    def __call__(
        self, *options: str, env: dict[str, str] | None = None
    ) -> Program:
        program = self._start(
            "guaco",
            "work",
            "queue_app:queue",
            "--python",
            sys.executable,
            *options,
            cwd=HERE,
            env={"QUEUE_URL": self._url} | (env or {}),
        )
        program.read_until("workers ready")
        return program

    def admin(self, *words: str) -> Program:
        program = self._start(
            "guaco",
            "queue",
            "--python",
            sys.executable,
            *words,
            cwd=HERE,
            env={"QUEUE_URL": self._url},
        )
        program.wait()
        return program


@pytest.fixture
def work(
    start: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    url = f"sqlite:///{tmp_path}/q.db"
    app = fresh_app(url, monkeypatch)
    yield Work(start, tmp_path, app, url)
    app.queue.close()


KINDS = pytest.mark.parametrize("kind", ["thread", "process", "async"])


@KINDS
def test_workers_run_tasks_and_drain(work: Work, kind: str) -> None:
    program = work("-w", "2", "-k", kind)
    assert get(work.app.add(1, 2)) == 3
    assert get(work.app.double(2)) == 4
    with pytest.raises(TaskException, match="why"):
        get(work.app.fail("why"))
    held = work.app.hold(0.3)
    program.read_until("holding")
    assert program.stop() == 0
    pid, attempt = held()  # it was let end
    assert attempt == 1
    assert "hook: started" in program.output
    assert "hook: stopped" in program.output


def test_a_killed_workers_task_is_run_by_another_at_once(work: Work) -> None:
    program = work("-w", "2", "-k", "process")
    work.app.add(1, 2)(blocking=True, timeout=DEADLINE_S)
    result = work.app.hold(0.3)
    pid = int(program.read_until(r"holding (\d+) 1")[1])
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    other = int(program.read_until(r"holding (\d+) 2")[1])
    took_s = time.monotonic() - killed
    assert other != pid
    assert get(result) == [other, 2]
    # Measured 2 to 25 ms on an idle machine; the promise is 100 ms.  On one that
    # is not idle: before its lease ends, which is after 15 s.
    assert took_s < 10
    assert program.stop() == 0


def test_a_task_that_kills_its_workers_is_set_aside(work: Work) -> None:
    program = work("-w", "1", "-k", "process")
    result = work.app.die()
    with pytest.raises(TaskDead):
        get(result)
    (row,) = work.app.queue.list("dead")
    assert row["name"] == "queue_app.die"
    assert row["deaths"] == 3
    assert "signal 9 (Killed)" in row["reason"]
    assert get(work.app.add(2, 2)) == 4
    assert program.stop() == 0

    listed = work.admin("ls", "queue_app:queue", "dead")
    assert "queue_app.die()" in listed.output
    assert work.admin("retry", "queue_app:queue", str(row["id"])).output
    assert work.app.queue.stats()["dead"] == 0
    assert work.app.queue.stats()["waiting"] == 1


@KINDS
def test_a_child_that_returns_from_a_task_ends(work: Work, kind: str) -> None:
    program = work("-w", "2", "-k", kind)
    first = [get(work.app.fork_and_return()) for _ in range(3)]
    assert len({child for _, child in first}) == 3
    assert get(work.app.add(1, 2)) == 3  # and the parents work on
    for parent, child in first:
        assert parent != child
        wait_gone(child)
    assert program.stop() == 0


@pytest.mark.parametrize("name", ["spin", "doze"])
def test_a_process_worker_is_interrupted_by_a_signal(
    work: Work, name: str
) -> None:
    program = work("-w", "1", "-k", "process")
    # Not by kill_grace, after which the text is another: the next test.
    with pytest.raises(TaskException, match="TaskTimeout"):
        get(getattr(work.app, name)())
    assert get(work.app.add(1, 1)) == 2
    assert program.stop() == 0


@KINDS
def test_a_worker_that_ran_its_number_of_tasks_is_replaced(
    work: Work, kind: str
) -> None:
    program = work("-w", "1", "-k", kind, "--max-tasks", "3")
    first = get(work.app.hold(0))
    assert [get(work.app.add(i, 1)) for i in range(2)] == [1, 2]
    program.read_until("has run its number of tasks; it is replaced")
    deadline = time.monotonic() + 20
    while get(work.app.hold(0))[0] == first[0]:
        assert time.monotonic() < deadline
    assert program.stop() == 0
    assert "unexpectedly" not in program.output


def test_the_name_of_celery_is_taken(work: Work) -> None:
    program = work("-w", "1", "--max-tasks-per-child", "1", "--max-tasks-jitter", "2")
    for i in range(5):
        assert get(work.app.add(i, 1)) == i + 1
    program.read_until("has run its number of tasks; it is replaced")
    assert program.stop() == 0


def test_the_health_of_task_workers_is_told(work: Work, tmp_path: pathlib.Path) -> None:
    program = work("-w", "1", "--admin", f"unix:{tmp_path}/admin")
    for path in ("/-/live", "/-/ready", "/-/startup"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{tmp_path}/admin")
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert program.stop() == 0


def test_a_run_that_ignores_its_timeout_has_its_process_replaced(
    work: Work,
) -> None:
    program = work("-w", "2")  # threads: a sleeping one cannot be interrupted
    with pytest.raises(TaskException, match="process was replaced"):
        get(work.app.doze())
    program.read_until("replacing the process")
    assert get(work.app.add(1, 1)) == 2
    assert program.stop() == 0


def test_a_schedule_ticks_once_for_all_workers(
    work: Work, tmp_path: pathlib.Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("=q", 0))
    env = {"GUACO_TEST_CLOCK": str(clock)}
    first = work("-w", "2", "-k", "process", env=env)
    second = work("-w", "1", env=env)
    now = time.time()
    to_three = (3 * 3600 - now % 86400) % 86400
    with open(clock, "r+b") as file:
        file.write(struct.pack("=q", int((to_three + 0.2) * 1e9)))
    # It may be run by either; a task after it tells that all before was run.
    deadline = time.monotonic() + DEADLINE_S
    while work.app.queue.stats()["results"] < 1 and time.monotonic() < deadline:
        pass
    assert first.stop() == 0
    assert second.stop() == 0
    assert (first.output + second.output).count("nightly ticked") == 1


def test_no_periodic_defines_no_schedules(work: Work) -> None:
    program = work("--no-periodic")
    assert work.app.queue.stats()["recurring"] == 0
    assert program.stop() == 0
    program = work()
    assert work.app.queue.stats()["recurring"] == 1
    assert program.stop() == 0


def test_an_application_that_fails_to_import_is_shown(
    start: Start, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('not today')")
    program = start("guaco", "work", "broken:queue", "--python", sys.executable)
    assert program.wait() != 0
    assert "not today" in program.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queue = 1", "creates no queue"),
        ("import guaco; queue = guaco.MemoryQueue()", "use sqlite"),
        (
            "import guaco; queue = guaco.Queue('x', immediate=True)",
            "immediate mode",
        ),
        ("", "'some:queue': module 'some' has no 'queue'"),
    ],
)
def test_what_cannot_be_worked_is_an_error(
    start: Start, tmp_path: pathlib.Path, text: str, message: str
) -> None:
    (tmp_path / "some.py").write_text(text)
    program = start("guaco", "work", "some:queue", "--python", sys.executable)
    assert program.wait() != 0
    assert message in program.output
    assert "Traceback" not in program.output


def test_the_queue_command_looks_and_mends(work: Work) -> None:
    work.app.add(1, "two")
    work.app.add.schedule((3, 4), delay=3600)
    stats = work.admin("stats", "queue_app:queue")
    assert stats.process.returncode == 0
    assert re.search(r"^waiting +1$", stats.output, re.M)
    assert re.search(r"^delayed +1$", stats.output, re.M)
    assert "queue_app.add(1, 'two')" in work.admin("ls", "queue_app:queue").output
    delayed = work.admin("ls", "queue_app.queue", "delayed")
    assert "queue_app.add(3, 4)" in delayed.output
    purged = work.admin("purge", "queue_app:queue", "waiting", "delayed")
    assert "1 waiting deleted" in purged.output
    assert work.app.queue.stats()["delayed"] == 0
    ids = [work.app.add(1, 2).id, work.app.add(3, 4).id]
    assert "paused" in work.admin("pause", "queue_app:queue").output
    assert work.app.queue.is_paused
    canceled = work.admin("cancel", "queue_app:queue", str(ids[0]), "1")
    assert f"{ids[0]} canceled" in canceled.output
    assert "1 has ended" in canceled.output
    assert "paused" in work.admin("stats", "queue_app:queue").output
    work.admin("resume", "queue_app:queue")
    assert not work.app.queue.is_paused
    missing = work.admin("retry", "queue_app:queue", "999")
    assert missing.process.returncode == 1
    assert "no dead task 999" in missing.output
    for words in (
        ("nonsense", "queue_app:queue"),
        ("ls", "queue_app:queue", "nonsense"),
        ("purge", "queue_app:queue"),
        ("retry", "queue_app:queue", "x"),
        ("cancel", "queue_app:queue"),
        ("cancel", "queue_app:queue", "x"),
        ("stats", "queue_app:add_nothing"),
    ):
        assert work.admin(*words).process.returncode == 2


# ---- the seed's programs ---------------------------------------------------


def test_the_seeds_queue_runs(
    start: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "seed_queue", raising=False)
    import random

    import seed_queue

    huey: Queue = seed_queue.huey
    assert seed_queue.nightly_task.spec == "all 1 * * * *"
    program = start(
        "guaco",
        "work",
        "seed_queue.huey",
        "-w",
        "4",
        "--app-dir",
        EXAMPLES,
        "--python",
        sys.executable,
        cwd=tmp_path,
    )
    program.read_until("workers ready")
    assert get(seed_queue.add_numbers(1, 2)) == 3
    assert get(seed_queue.nightly_task()) is None
    program.read_until("finished data")
    assert program.stop() == 0

    huey.immediate = True
    assert seed_queue.add_numbers(3, 4)() == 7
    rolls = iter([2, 2, 1])
    monkeypatch.setattr(random, "randint", lambda a, b: next(rolls))
    assert seed_queue.flaky_task("url")() is None
    huey.immediate = False
    assert seed_queue.add_numbers(5, 6)() is None  # in the store again
    huey.close()
