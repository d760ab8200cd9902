"""Batch tasks: enqueued one by one, run together."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from deadline import DEADLINE_S, WAIT
from guaco import MemoryQueue, Queue, SqliteQueue, TaskException


@pytest.fixture(params=["immediate", "memory", "sqlite"])
def queue(request: Any, tmp_path: pathlib.Path) -> Iterator[Queue]:
    made: Queue
    if request.param == "sqlite":
        made = SqliteQueue("q", tmp_path / "q.db")
    else:
        made = MemoryQueue("q", immediate=request.param == "immediate")
    yield made
    made.close()


def begin(queue: Queue, kind: str = "thread") -> None:
    if not queue.immediate:
        queue.start(1, kind=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["thread", "async"])
@pytest.mark.parametrize("is_async", [False, True])
def test_calls_that_wait_together_run_together(
    queue: Queue, kind: str, is_async: bool
) -> None:
    sizes: list[int] = []

    @queue.batch_task(size=10)
    def double(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return [2 * i for i in items]

    @queue.batch_task(size=10)
    async def adouble(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return double.func(items)  # type: ignore[no-any-return]

    task = adouble if is_async else double
    results = task.map(range(25))
    begin(queue, kind)
    assert results(*WAIT) == [2 * i for i in range(25)]
    assert sum(sizes) == 25
    if not queue.immediate:
        assert max(sizes) == 10


def test_each_of_a_batch_ends_for_itself(queue: Queue) -> None:
    @queue.batch_task(size=4)
    def odd(items: list[int]) -> list[Any]:
        return [ValueError(i) if i % 2 == 0 else i for i in items]

    results = [odd(i) for i in range(4)]
    begin(queue)
    for number, result in enumerate(results):
        if number % 2:
            assert result(*WAIT) == number
        else:
            with pytest.raises(TaskException, match=f"ValueError\\({number}\\)"):
                result(*WAIT)


def test_a_batch_that_raises_fails_all_and_is_retried(queue: Queue) -> None:
    runs: list[int] = []

    @queue.batch_task(size=4, retries=1)
    def flaky(items: list[int]) -> None:
        runs.append(len(items))
        if len(runs) == 1:
            raise ValueError("once")

    results = [flaky(i) for i in range(3)]
    begin(queue)
    assert [r(*WAIT) for r in results] == [None] * 3
    assert sum(runs) > 3


@pytest.mark.parametrize("value", [1, [1, 2, 3, 4, 5], "abc", {}])
def test_what_a_batch_returns_is_checked(queue: Queue, value: Any) -> None:
    @queue.batch_task(size=3)
    def wrong(items: list[int]) -> Any:
        return value

    results = [wrong(i) for i in range(3)]
    begin(queue)
    with pytest.raises(TaskException, match="as many values"):
        results[0](*WAIT)


def test_a_call_with_other_arguments_fails_alone(queue: Queue) -> None:
    @queue.batch_task(size=3)
    def good(items: list[int]) -> list[int]:
        return items

    bad = queue.enqueue(good.s(1, 2))  # type: ignore[call-arg]
    fine = good(3)
    begin(queue)
    assert fine(*WAIT) == 3
    with pytest.raises(TaskException, match="one argument"):
        bad(*WAIT)


def test_other_tasks_of_the_queue_run_one_by_one(queue: Queue) -> None:
    @queue.batch_task(size=8)
    def total(items: list[int]) -> None:
        pass

    @queue.task()
    def single(a: int) -> int:
        return a

    results = [single(i) for i in range(9)]
    begin(queue)
    assert [r(*WAIT) for r in results] == list(range(9))
    for size in (0, 5000):
        with pytest.raises(ValueError):
            queue.batch_task(size=size)
    with pytest.raises(ValueError):
        queue.batch_task(context=True)


def test_a_queue_without_results_gives_values_to_chords_alone(
    tmp_path: pathlib.Path,
) -> None:
    from guaco import chord

    queue = SqliteQueue("q", tmp_path / "q.db", results=False)
    seen: list[Any] = []

    @queue.task()
    def one(n: int) -> int:
        return n

    @queue.task()
    def collect(values: list[int]) -> None:
        seen.append(values)
        queue.put("done", True)

    assert queue.enqueue(chord([one.s(1), one.s(2)], collect)) is None
    queue.start()
    assert queue.get("done", timeout=DEADLINE_S)
    queue.close()
    assert seen == [[1, 2]]
