"""Pipelines, groups and chords, in a store and in immediate mode."""

from __future__ import annotations

import asyncio
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deadline import DEADLINE_S, WAIT
from guaco import (
    CancelExecution,
    MemoryQueue,
    Queue,
    ResultGroup,
    SqliteQueue,
    TaskCanceled,
    TaskException,
    chord,
    group,
)


Run = Callable[[], None]


@pytest.fixture(params=["immediate", "memory", "sqlite", "sealed"])
def queue(request: Any, tmp_path: pathlib.Path) -> Iterator[Queue]:
    """A queue with its tasks; start() it when all is enqueued."""
    made: Queue
    if request.param == "sqlite":
        made = SqliteQueue("q", tmp_path / "q.db")
    elif request.param == "sealed":
        made = MemoryQueue("q", serializer="pickle", secret="key", encrypt=True)
    else:
        made = MemoryQueue("q", immediate=request.param == "immediate")

    @made.task()
    def add(a: int, b: int = 0) -> int:
        return a + b

    @made.task()
    async def aadd(a: int, b: int = 0) -> int:
        await asyncio.sleep(0)
        return a + b

    @made.task()
    def fail(*args: Any) -> None:
        raise ValueError("no")

    @made.task()
    def collect(values: list[Any]) -> list[Any]:
        return [v if isinstance(v, (int, list)) else type(v).__name__
                for v in values]

    @made.task()
    def told(*args: Any) -> str:
        return f"{args[:-1]} {type(args[-1]).__name__} {args[-1]}"

    yield made
    made.close()


def task(queue: Queue, name: str) -> Any:
    return next(t for t in queue.tasks if t.label == name)


def begin(queue: Queue) -> None:
    if not queue.immediate:
        queue.start(2)


def test_a_pipeline_passes_each_value_on(queue: Queue) -> None:
    add, aadd = task(queue, "add"), task(queue, "aadd")
    results = queue.enqueue(add.s(1, 2).then(aadd, 10).then(add))
    assert isinstance(results, ResultGroup)
    begin(queue)
    assert results(*WAIT) == [3, 13, 13]
    assert len({r.id for r in results}) == 3


def test_a_pipeline_extends_by_tuples_and_dicts(queue: Queue) -> None:
    @queue.task()
    def pair() -> tuple[int, int]:
        return 1, 2

    @queue.task()
    def named() -> dict[str, int]:
        return {"b": 5, "a": 7}

    @queue.task()
    def nothing() -> None:
        pass

    add = task(queue, "add")
    one = queue.enqueue(pair.s().then(add))
    two = queue.enqueue(named.s().then(add, a=1))
    three = queue.enqueue(nothing.s().then(add, 4))
    begin(queue)
    assert one(*WAIT)[1] == 3
    assert two(*WAIT)[1] == 6  # the call's own keywords win
    assert three(*WAIT) == [None, 4]


def test_a_failed_stage_ends_those_behind_it(queue: Queue) -> None:
    add, fail = task(queue, "add"), task(queue, "fail")
    results = queue.enqueue(add.s(1).then(fail).then(add).then(add))
    begin(queue)
    assert results[0](*WAIT) == 1
    for later in results.results[1:]:
        with pytest.raises(TaskException, match="no"):
            later(*WAIT)


def test_an_error_handler_gets_the_exception(queue: Queue) -> None:
    fail, told = task(queue, "fail"), task(queue, "told")
    seen: list[str] = []
    noted = threading.Event()

    @queue.task()
    def note(what: str) -> None:
        seen.append(what)
        noted.set()

    retried = fail.s()
    retried.retries = 1
    result = queue.enqueue(retried.error(told.s("x").then(note)))
    begin(queue)
    with pytest.raises(TaskException):
        result(*WAIT)
    assert noted.wait(10)
    queue.stop()
    assert seen == ["('x',) ValueError no"]  # once, though it ran twice


def test_a_group_is_stored_in_one_step(queue: Queue) -> None:
    add = task(queue, "add")
    results = queue.enqueue(group(add.s(i, 1) for i in range(5)))
    begin(queue)
    assert results(*WAIT) == [1, 2, 3, 4, 5]
    assert sorted(results.as_completed(DEADLINE_S)) == [1, 2, 3, 4, 5]
    with pytest.raises(TypeError):
        chord([group([])], add)  # type: ignore[list-item]


def test_a_chord_calls_back_with_all_values_in_order(queue: Queue) -> None:
    add, aadd, collect = (task(queue, n) for n in ("add", "aadd", "collect"))
    result = queue.enqueue(
        chord([add.s(1), aadd.s(2).then(add, 10), add.s(3)], collect)
    )
    begin(queue)
    assert result(*WAIT) == [1, 12, 3]


def test_a_chord_tells_of_members_that_failed(queue: Queue) -> None:
    add, fail, collect = (task(queue, n) for n in ("add", "fail", "collect"))

    @queue.task()
    def cancels() -> None:
        raise CancelExecution("no need", retry=False)

    result = queue.enqueue(chord([add.s(1), fail.s(), cancels.s()], collect))
    begin(queue)
    assert result(*WAIT) == [1, "TaskException", "TaskCanceled"]


def test_a_chord_that_must_succeed_does_not_call_back(queue: Queue) -> None:
    add, fail, collect = (task(queue, n) for n in ("add", "fail", "collect"))
    result = queue.enqueue(
        chord([add.s(1), fail.s()], collect, must_succeed=True)
    )
    begin(queue)
    with pytest.raises(TaskException):
        result(*WAIT)


def test_chords_nest_and_have_pipelines_behind(queue: Queue) -> None:
    add, collect = task(queue, "add"), task(queue, "collect")
    inner = chord([add.s(1), add.s(2)], collect)
    twice = chord([add.s(3), inner.then(collect)], collect)

    @queue.task()
    def count(values: list[Any]) -> int:
        return len(values)

    results = queue.enqueue(twice.then(count))
    begin(queue)
    assert results(*WAIT) == [[3, [1, 2]], 2]


def test_an_empty_chord_calls_back_with_no_value(queue: Queue) -> None:
    result = queue.enqueue(chord([], task(queue, "collect")))
    begin(queue)
    assert result(*WAIT) == []


def test_a_group_becomes_a_chord_by_then(queue: Queue) -> None:
    add, collect = task(queue, "add"), task(queue, "collect")
    result = queue.enqueue(group([add.s(1), add.s(2)]).then(collect))
    begin(queue)
    assert result(*WAIT) == [1, 2]


def test_they_are_awaited_on_a_loop(queue: Queue) -> None:
    add, fail, collect = (task(queue, n) for n in ("add", "fail", "collect"))

    async def main() -> None:
        results = await queue.aenqueue(add.s(1).then(add, 2))
        both = await queue.aenqueue(chord([add.s(1), add.s(2)], collect))
        bad = await queue.aenqueue(fail.s().then(add))
        begin(queue)
        assert await results == [1, 3]
        assert await both == [1, 2]
        with pytest.raises(TaskException):
            await bad[1]
        many = await queue.aenqueue_many([add.s(5), add.s(6)])
        assert [await r for r in many] == [5, 6]

    asyncio.run(main())


def test_a_member_that_is_canceled_does_not_hold_the_chord(
    queue: Queue,
) -> None:
    if queue.immediate:
        pytest.skip("nothing waits in immediate mode")
    add, collect = task(queue, "add"), task(queue, "collect")
    plan = chord([add.s(1), add.s(2)], collect)
    result = queue.enqueue(plan)
    member = plan.tasks[1]
    assert queue.cancel(member.id)
    begin(queue)
    assert result(*WAIT) == [1, "TaskCanceled"]
    with pytest.raises(TaskCanceled):
        queue.result(member.id)(*WAIT)


def test_tasks_of_two_queues_do_not_follow_one_another(queue: Queue) -> None:
    other = MemoryQueue("other")

    @other.task()
    def alien(x: int) -> int:
        return x

    add, collect = task(queue, "add"), task(queue, "collect")
    with pytest.raises(ValueError, match="one queue"):
        queue.enqueue(add.s(1).then(alien))
    with pytest.raises(ValueError, match="one queue"):
        queue.enqueue(chord([alien.s(1)], collect))
    with pytest.raises(TypeError):
        add.s(1).then(print)


def test_a_pipeline_has_an_end(queue: Queue) -> None:
    add = task(queue, "add")
    long = add.s(1)
    for _ in range(25):
        long.then(add)
    with pytest.raises(ValueError, match="follow"):
        queue.enqueue(long)


def test_a_mixin_sees_pipelines_and_chords_too(tmp_path: pathlib.Path) -> None:
    class LoggingQueue(Queue):
        seen: list[str] = []

        def enqueue(self, task: Any, /) -> Any:
            self.seen.append(type(task).__name__)
            return super().enqueue(task)

    queue = LoggingQueue("memory:", immediate=True)

    @queue.task()
    def one(*args: Any) -> int:
        return 1

    one()
    one.map([1, 2])
    one.schedule(delay=5)
    queue.enqueue(group([one.s()]))
    queue.enqueue(chord([one.s()], one))
    asyncio.run(queue.aenqueue(one.s().then(one)))
    assert queue.seen == ["Task"] * 4 + ["Group", "Task", "Chord", "Task"]
