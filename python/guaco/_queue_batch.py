"""Batches: calls that were enqueued one by one, run by one call.

The function of a batch task gets a list with the argument of each; what it
returns ends each for itself: a list of as many values (an exception among
them fails that one), or None.  When it raises, all have failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Generic

from guaco._queue_run import (
    AnyRun,
    Execution,
    as_failure,
    in_this_process,
    interruption,
    is_cancelled_from_outside,
)
from guaco._queue_task import P, R, Task, TaskWrapper

if TYPE_CHECKING:
    from guaco.queue import Queue

SIZE_MAX = 4096


class BatchTask(TaskWrapper[P, R], Generic[P, R]):
    """A task whose runs are put together; made by ``@queue.batch_task()``."""

    size: int = 100


def size_of(queue: Queue) -> int:
    """The largest batch of the queue's tasks; 1: it has no batch task."""
    sizes = [t.size for t in queue.tasks if isinstance(t, BatchTask)]
    return max(sizes, default=1)


def argument_of(task: Task) -> Any:
    """What stands for one call in the list."""
    if len(task.args) != 1 or task.kwargs:
        raise TypeError(
            f"{task.wrapper.label} is a batch task: it takes one argument"
        )
    return task.args[0]


class Batch:
    """Runs of one batch task, from their begin to their end."""

    def __init__(self, queue: Queue, runs: Sequence[AnyRun]) -> None:
        self.queue = queue
        self.begun: list[tuple[Execution, Task]] = []
        for run in runs:
            execution = Execution(queue, run)
            task = execution.begin()
            if task is None:
                continue
            try:
                argument_of(task)
            except TypeError as exc:
                execution.end(None, exc)
                continue
            self.begun.append((execution, task))

    @property
    def tasks(self) -> list[Task]:
        """The tasks that are to be run."""
        return [task for _, task in self.begun]

    def end(self, value: Any, exc: BaseException | None) -> None:
        """End each by what the function gave, the last that began first."""
        values: Sequence[Any] = []
        if exc is None and value is not None:
            is_list = isinstance(value, (list, tuple))
            if not is_list or len(value) != len(self.begun):
                exc = TypeError(
                    "a batch task returns None, or a list of as many values "
                    "as it was given"
                )
            else:
                values = value
        for place in reversed(range(len(self.begun))):
            execution, _ = self.begun[place]
            own = values[place] if values else None
            if exc is not None:
                execution.end(None, exc)
            elif isinstance(own, BaseException):
                execution.end(None, own)
            else:
                execution.end(own, None)

    def interrupt(self, exc: BaseException) -> None:
        """The worker ends: others take them."""
        for execution, _ in reversed(self.begun):
            execution.interrupt(exc)


def perform_batch(
    queue: Queue,
    runs: Sequence[AnyRun],
    await_it: Callable[[Coroutine[Any, Any, Any]], Any],
    *,
    is_callers: bool = False,
) -> None:
    """As perform(), of several runs of one batch task."""
    batch = Batch(queue, runs)
    if not batch.begun:
        return
    value: Any = None
    error: BaseException | None = None
    try:
        tasks = batch.tasks
        if is_callers:
            value = queue.execute_batch(tasks)
        else:
            value = in_this_process(queue.execute_batch, tasks)
        if tasks[0].wrapper.is_async:
            value = await_it(value)
    except BaseException as exc:
        error = exc
    if is_callers and isinstance(error, KeyboardInterrupt):
        batch.interrupt(error)
        raise error
    batch.end(value, as_failure(error))


def _call(queue: Queue, tasks: list[Task]) -> tuple[Any, BaseException | None]:
    try:
        return in_this_process(queue.execute_batch, tasks), None
    except BaseException as exc:
        return None, as_failure(exc)


async def aperform_batch(
    queue: Queue,
    runs: Sequence[AnyRun],
    call: Callable[..., Coroutine[Any, Any, Any]] = asyncio.to_thread,
) -> None:
    """As aperform(), of several runs of one batch task."""
    batch = Batch(queue, runs)
    if not batch.begun:
        return
    tasks = batch.tasks
    value: Any = None
    error: BaseException | None = None
    try:
        if tasks[0].wrapper.is_async:
            value = await queue.execute_batch(tasks)
        else:
            value, error = await call(_call, queue, tasks)
    except asyncio.CancelledError as exc:
        if any(run.interrupted for run in runs):
            error = interruption(runs[0], tasks[0].wrapper.label)
        elif is_cancelled_from_outside():
            batch.interrupt(exc)
            raise
        else:
            error = as_failure(exc)
    except BaseException as exc:
        error = exc
    batch.end(value, error)
