"""Every public class of the queue may be subclassed, calls super(), and is
gone through."""

from __future__ import annotations

import asyncio
import inspect
import pathlib
from typing import Any

import guaco
import pytest
from deadline import WAIT
from guaco import (
    BatchTask,
    Lock,
    PeriodicTask,
    Queue,
    RateLimit,
    Result,
    Task,
    TaskWrapper,
    chord,
    group,
)


class Mixin:
    """Counts what is enqueued, wherever it stands among the bases."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.seen: list[str] = []

    def enqueue(self, task: Any, /) -> Any:
        self.seen.append(type(task).__name__)
        return super().enqueue(task)  # type: ignore[misc]


class OwnTask(Task):
    """With an attribute, and other arguments where it is enqueued."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.note = "mine"


class OwnWrapper(TaskWrapper[..., Any]):
    task_class = OwnTask

    def s(self, *args: Any, **kwargs: Any) -> Task:
        return super().s(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.queue.seen.append("call")  # type: ignore[attr-defined]
        return super().__call__(*args, **kwargs)


class OwnResult(Result[Any]):
    def get(self, *args: Any, **kwargs: Any) -> Any:
        value = super().get(*args, **kwargs)
        return value if value is None else f"<{value}>"


class OwnQueue(Mixin, Queue):
    wrapper_class = OwnWrapper
    result_class = OwnResult

    def execute(self, task: Task) -> Any:
        self.seen.append(f"execute {getattr(task, 'note', '')}")
        return super().execute(task)

    def execute_batch(self, tasks: list[Task]) -> Any:
        self.seen.append(f"batch of {len(tasks)}")
        return super().execute_batch(tasks)


@pytest.fixture(params=[False, True])
def queue(request: Any, tmp_path: pathlib.Path) -> Any:
    made = OwnQueue(f"sqlite:///{tmp_path}/q.db", immediate=request.param)
    yield made
    made.close()


def test_a_mixin_sees_each_way_of_enqueuing(queue: Any) -> None:
    @queue.task()
    def one(*args: Any) -> int:
        return 1

    async def main() -> None:
        await one.aenqueue(1)
        await queue.aenqueue(one.s())
        await queue.aenqueue_many([one.s()])

    one()
    one.schedule(delay=60)
    one.map([1, 2])
    queue.enqueue_many([one.s()])
    queue.enqueue(group([one.s()]))
    queue.enqueue(chord([one.s()], one))
    queue.enqueue(one.s().then(one))
    asyncio.run(main())
    kinds = [s for s in queue.seen if not s.startswith("execute")]
    assert kinds == [
        "call", "OwnTask",
        *["OwnTask"] * 3, "OwnTask", "Group", "OwnTask", "Chord",
        *["OwnTask"] * 4,
    ]


def test_a_queue_that_overrides_both_is_asked_once() -> None:
    seen: list[str] = []

    class Both(Queue):
        def enqueue(self, task: Any, /) -> Any:
            seen.append("sync")
            return super().enqueue(task)

        async def aenqueue(self, task: Any, /) -> Any:
            seen.append("async")
            return await super().aenqueue(task)

    queue = Both("memory:", immediate=True)

    @queue.task()
    def one(*args: Any) -> int:
        return 1

    async def main() -> None:
        await one.aenqueue()
        await queue.aenqueue(one.s().then(one))

    asyncio.run(main())
    assert seen == ["async", "async"]


def test_workers_go_through_execute_and_the_own_classes(queue: Any) -> None:
    @queue.task(context=True)
    def noted(task: Any = None) -> str:
        return str(task.note)

    @queue.batch_task(size=3)
    def batch(items: list[int]) -> list[int]:
        return items

    result, batches = noted(), [batch(i) for i in range(3)]
    assert type(result) is OwnResult
    if not queue.immediate:
        queue.start()
    assert result(*WAIT) == "<mine>"
    assert [r(*WAIT) for r in batches] == ["<0>", "<1>", "<2>"]
    assert "execute mine" in queue.seen
    assert any(s.startswith("batch of") for s in queue.seen)


def test_own_wrappers_of_periodic_and_batch_tasks() -> None:
    class OwnPeriodic(PeriodicTask[..., Any]):
        pass

    class OwnBatch(BatchTask[..., Any]):
        def call_local(self, *args: Any, **kwargs: Any) -> Any:
            return super().call_local([*args], **kwargs)

    class Special(Queue):
        periodic_class = OwnPeriodic
        batch_class = OwnBatch

    queue = Special("memory:")

    @queue.periodic_task("@daily")
    def tick() -> None:
        pass

    @queue.batch_task()
    def total(items: list[int]) -> list[int]:
        return items

    assert type(tick) is OwnPeriodic and type(total) is OwnBatch
    assert total.call_local(1) == [1]


def test_locks_and_limits_may_be_subclassed(tmp_path: pathlib.Path) -> None:
    seen: list[str] = []

    class OwnLock(Lock):
        def acquire(self, timeout: float | None = None) -> bool:
            seen.append("acquire")
            return super().acquire(timeout)

        def release(self) -> bool:
            seen.append("release")
            return super().release()

    class OwnLimit(RateLimit):
        def acquire(self) -> None:
            seen.append("count")
            super().acquire()

    queue = Queue(f"sqlite:///{tmp_path}/q.db")
    with OwnLock(queue, "x"), OwnLimit(queue, "y", 1, 60):
        pass

    @OwnLock(queue, "x")
    def within() -> int:
        return 1

    assert within() == 1
    assert seen == ["acquire", "count", "release", "acquire", "release"]
    queue.close()


def test_each_public_class_of_the_queue_can_be_subclassed() -> None:
    names = [
        name
        for name in guaco.__all__
        if inspect.isclass(getattr(guaco, name))
        and getattr(guaco, name).__module__.startswith(
            ("guaco.queue", "guaco._queue")
        )
    ]
    assert len(names) > 20
    for name in names:
        cls = getattr(guaco, name)
        made = type(name, (cls,), {"__doc__": "of a user"})
        assert issubclass(made, cls)
