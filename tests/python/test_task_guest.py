"""Tasks in C: Python enqueues what C runs, C enqueues what Python runs."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import guaco
from conftest import Program
from deadline import DEADLINE_S

EXAMPLES = pathlib.Path(os.environ.get("GUACO_BUILD", ".")).resolve() / "examples"


@pytest.fixture
def url(tmp_path: pathlib.Path) -> str:
    return f"sqlite:///{tmp_path}/tasks.db"


@pytest.fixture
def queue(url: str) -> Iterator[guaco.Queue]:
    queue = guaco.Queue(url, name="c")
    yield queue
    queue.close()


@pytest.fixture
def work(start: Callable[..., Program], url: str) -> Callable[..., Program]:
    """work(words...): `guaco work` of the tasks, ready."""

    def begin(*words: str) -> Program:
        if not (EXAMPLES / "tasks.so").exists():
            pytest.skip("GUACO_BUILD does not name a build folder")
        program = start("guaco", "work", f"{EXAMPLES}/tasks.so:{url}", *words)
        program.read_until("workers ready")
        return program

    return begin


def declare(queue: guaco.Queue, name: str, **settings: Any) -> Any:
    """As a module of that name would declare it: a task is called MODULE.NAME."""

    def task(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("C runs it")

    task.__module__, _, own = name.rpartition(".")
    return queue.task(name=own, **settings)(task)


def test_a_worker_in_c_is_replaced_after_its_number_of_tasks(
    queue: guaco.Queue, work: Callable[..., Program]
) -> None:
    program = work("-w", "1", "--max-tasks", "2")
    add = declare(queue, "tasks.add")
    for i in range(5):
        assert add(i, 1)(blocking=True, timeout=DEADLINE_S) == i + 1
    program.read_until("has run its number of tasks; it is replaced")
    assert program.stop() == 0


def test_python_calls_and_c_runs(queue: guaco.Queue, work: Callable[..., Program]) -> None:
    program = work("-w", "2")
    add, greet = declare(queue, "tasks.add"), declare(queue, "tasks.greet")
    assert add(2, 40)(blocking=True, timeout=DEADLINE_S) == 42
    assert add(-(2**62), -(2**62))(blocking=True, timeout=DEADLINE_S) == -(2**63)
    assert greet(name="wörld")(blocking=True, timeout=DEADLINE_S) == "hello, wörld"
    results = [add(i, i) for i in range(200)]
    assert [r(blocking=True, timeout=DEADLINE_S) for r in results] == [
        2 * i for i in range(200)
    ]
    maps = pathlib.Path(f"/proc/{worker_of(program)}/maps").read_text()
    assert "libpython" not in maps and "site-packages" not in maps
    assert program.stop() == 0


def worker_of(program: Program) -> int:
    """The process that runs the tasks."""
    children = pathlib.Path(f"/proc/{program.pid}/task/{program.pid}/children")
    for pid in children.read_text().split():
        if b"_taskguest" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    raise AssertionError("no worker")


def test_what_fails_says_why_and_is_tried_again(
    queue: guaco.Queue, work: Callable[..., Program]
) -> None:
    program = work("-w", "1")
    add = declare(queue, "tasks.add", retries=1)
    with pytest.raises(guaco.TaskException, match="takes two integers"):
        add("x", 1)(blocking=True, timeout=DEADLINE_S)
    unknown = declare(queue, "tasks.unknown")
    with pytest.raises(guaco.TaskException, match="no task tasks.unknown"):
        unknown()(blocking=True, timeout=DEADLINE_S)
    assert program.stop() == 0


def test_progress_arrives(queue: guaco.Queue, work: Callable[..., Program]) -> None:
    program = work("-w", "1")
    result = declare(queue, "tasks.count")(20)
    events = list(result.events(timeout=DEADLINE_S))
    told = [e.value for e in events if e.kind == "progress"]
    assert told[-1] == 1.0
    assert told == sorted(told)
    assert result(blocking=True, timeout=DEADLINE_S) == 20
    assert program.stop() == 0


def test_a_killed_workers_task_runs_again(
    queue: guaco.Queue, work: Callable[..., Program]
) -> None:
    program = work("-w", "2", "-k", "process")
    result = declare(queue, "tasks.count")(400)
    # The first event says that it runs.
    next(iter(result.events(timeout=DEADLINE_S)))
    row = queue.list("running")
    assert len(row) == 1
    for pid in pathlib.Path(
        f"/proc/{program.pid}/task/{program.pid}/children"
    ).read_text().split():
        if b"_taskguest" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(int(pid), signal.SIGKILL)
    assert result(blocking=True, timeout=DEADLINE_S) == 400
    assert program.stop() == 0


def test_c_enqueues_and_python_runs(queue: guaco.Queue, url: str) -> None:
    enqueue = EXAMPLES / "enqueue"
    if not enqueue.exists():
        pytest.skip("GUACO_BUILD does not name a build folder")

    def concatenate(a: str, b: int) -> str:
        return f"{a}{b}"

    concatenate.__module__ = "shop"
    queue.task()(concatenate)
    queue.start(workers=1)
    try:
        done = subprocess.run(
            [enqueue, url, "c", "shop.concatenate", "x", "-7"],
            capture_output=True, text=True, timeout=DEADLINE_S,
        )  # fmt: skip
    finally:
        queue.stop()
    assert (done.returncode, done.stdout) == (0, "x-7\n"), done.stderr


def test_an_object_without_tasks_is_refused(start: Callable[..., Program]) -> None:
    hello = EXAMPLES / "hello.so"
    if not hello.exists():
        pytest.skip("GUACO_BUILD does not name a build folder")
    program = start("guaco", "work", hello)
    program.read_until("exports no guaco_tasks_open")
    assert program.wait() == 3
