"""Poison tasks: the pool survives each, and the task ends with the reason."""

from __future__ import annotations

import importlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Program
from deadline import DEADLINE_S

from guaco.queue import TaskDead, TaskException

HERE = pathlib.Path(__file__).parent
KINDS = pytest.mark.parametrize("kind", ["thread", "process"])


class Pool:
    """Two workers of a kind on a store, and their application on our side."""

    def __init__(self, app: Any, program: Program) -> None:
        self.app = app
        self.program = program

    def get(self, result: Any) -> Any:
        return result(blocking=True, timeout=DEADLINE_S)

    def is_well(self) -> bool:
        """Both work, and they end when told to."""
        sums = [self.app.add(n, 1) for n in range(10)]
        well = [self.get(s) for s in sums] == list(range(1, 11))
        return well and self.program.stop() == 0

    def death_of(self, result: Any) -> str:
        """The reason for which the task is in the dead set."""
        with pytest.raises(TaskDead):
            self.get(result)
        (row,) = self.app.queue.list("dead")
        assert row["id"] == result.id
        assert row["deaths"] == 3
        return str(row["reason"])


@pytest.fixture
def pool(
    start: Callable[..., Program],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Pool]]:
    url = f"sqlite:///{tmp_path}/q.db"
    monkeypatch.setenv("QUEUE_URL", url)
    monkeypatch.delitem(sys.modules, "poison_app", raising=False)
    app: Any = importlib.import_module("poison_app")

    def make(kind: str) -> Pool:
        program = start(
            "guaco",
            "work",
            "poison_app:queue",
            "--python",
            sys.executable,
            "-w",
            "2",
            "-k",
            kind,
            cwd=HERE,
            env={"QUEUE_URL": url},
        )
        program.read_until("workers ready")
        return Pool(app, program)

    yield make
    app.queue.close()


@KINDS
def test_a_segfault_is_dead_by_its_signal(
    pool: Callable[[str], Pool], kind: str
) -> None:
    it = pool(kind)
    assert "signal 11" in it.death_of(it.app.segfault())
    assert it.is_well()


def test_an_exit_past_python_is_dead_by_its_code(
    pool: Callable[[str], Pool],
) -> None:
    it = pool("process")
    assert "7" in it.death_of(it.app.leave())
    assert it.is_well()


def test_a_loop_that_holds_the_gil_has_its_process_replaced(
    pool: Callable[[str], Pool],
) -> None:
    it = pool("thread")
    with pytest.raises(TaskException, match="process was replaced"):
        it.get(it.app.hold_the_gil())
    assert it.is_well()


def test_a_result_of_500_megabytes_fails_and_says_so(
    pool: Callable[[str], Pool],
) -> None:
    it = pool("process")
    with pytest.raises(TaskException, match="larger than 16777216 bytes"):
        it.get(it.app.large())
    assert it.is_well()


def test_a_result_that_is_no_data_fails_and_says_so(
    pool: Callable[[str], Pool],
) -> None:
    it = pool("async")
    with pytest.raises(TaskException, match="serializer"):
        it.get(it.app.not_data())
    assert it.is_well()


def test_a_storm_of_forks_ends_with_its_task(
    pool: Callable[[str], Pool],
) -> None:
    it = pool("process")
    assert it.get(it.app.fork_storm(60)) == 60
    assert it.get(it.app.fork_storm(60)) == 60
    assert it.is_well()
