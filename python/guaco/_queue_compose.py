"""Tasks that follow one another: pipelines, groups and chords.

A pipeline is its first task, with the others in its payload: each puts the
next one in the step of the store in which it ends.  A chord's callback is
held by the store until all members have ended, however they end: it cannot
hang, and is not run twice.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime as dt
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from guaco._queue_task import Task

if TYPE_CHECKING:
    from guaco._queue_result import Result
    from guaco.queue import Queue

__all__ = ["Chord", "Group", "ResultGroup", "chord", "group"]

SETTINGS = (
    "eta",
    "delay",
    "priority",
    "retries",
    "retry_delay",
    "retry_backoff",
    "expires",
    "timeout",
)
DEPTH_MAX = 20
"""Tasks that follow one another in one payload, which is nested so deep."""


class Group:
    """Tasks that are enqueued together, in one step."""

    def __init__(self, tasks: Iterable[Task | Chord]) -> None:
        self.tasks = list(tasks)

    def __iter__(self) -> Iterator[Task | Chord]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def then(self, task: Any, *args: Any, **kwargs: Any) -> Chord:
        """A chord: task gets the list of their values."""
        return Chord(self.tasks, Task.following(task, args, kwargs))

    def error(self, task: Any, *args: Any, **kwargs: Any) -> Group:
        """Task.error() for each of them."""
        for member in self.tasks:
            member.error(task, *args, **kwargs)
        return self


class Chord:
    """Tasks, and a callback that gets the list of their values, in order.

    Where a member failed, or was not run, the list has its TaskException.
    With must_succeed the callback fails too then, without being run.
    """

    def __init__(
        self,
        tasks: Iterable[Task | Chord],
        callback: Any,
        *,
        must_succeed: bool = False,
    ) -> None:
        self.tasks = list(tasks)
        for member in self.tasks:
            if not isinstance(member, (Task, Chord)):
                raise TypeError(
                    "members of a chord are tasks and chords, not "
                    f"{type(member).__name__}"
                )
        self.callback = Task.following(callback, (), {})
        self.must_succeed = must_succeed

    def then(self, task: Any, *args: Any, **kwargs: Any) -> Chord:
        """Task.then() of the callback."""
        self.callback.then(task, *args, **kwargs)
        return self

    def error(self, task: Any, *args: Any, **kwargs: Any) -> Chord:
        """Task.error() of the callback."""
        self.callback.error(task, *args, **kwargs)
        return self


group = Group
chord = Chord


class ResultGroup:
    """The results of several tasks, in order."""

    def __init__(self, results: Iterable[Any]) -> None:
        self.results: list[Any] = list(results)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> Any:
        return self.results[index]

    def get(self, blocking: bool = False, timeout: float | None = None) -> list[Any]:
        """The values: see Result.get(); timeout is that of all together."""
        end = None if timeout is None else time.monotonic() + timeout
        values = []
        for result in self.results:
            left = None if end is None else max(0.0, end - time.monotonic())
            values.append(result.get(blocking, left))
        return values

    __call__ = get

    def reset(self) -> None:
        """Forget what was read."""
        for result in self.results:
            result.reset()

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> list[Any]:
        async def value(result: Any) -> Any:
            return await result

        return list(await asyncio.gather(*map(value, self.results)))

    def as_completed(self, timeout: float | None = None) -> Iterator[Any]:
        """The values as they come; no polling, a thread for each that waits."""
        ready = [r for r in self.results if r.is_ready()]
        waiting = [r for r in self.results if r not in ready]
        for result in ready:
            yield result.get()
        if not waiting:
            return
        with concurrent.futures.ThreadPoolExecutor(len(waiting)) as pool:
            futures = [pool.submit(r.get, True, timeout) for r in waiting]
            for future in concurrent.futures.as_completed(futures):
                yield future.result()

    def cancel(self, reason: str = "") -> int:
        """Result.cancel() of each; how many were."""
        return sum(bool(result.cancel(reason)) for result in self.results)


# ---- tasks in the payload of others ----


def _plain(value: Any) -> Any:
    """A setting that every serializer keeps."""
    return value.total_seconds() if isinstance(value, dt.timedelta) else value


def pack_following(task: Task, depth: int = 0) -> dict[str, Any]:
    """A task that is to follow, as data."""
    if depth > DEPTH_MAX:
        raise ValueError(f"more than {DEPTH_MAX} tasks follow one another")
    data: dict[str, Any] = {
        "name": task.wrapper.name,
        "args": list(task.args),
        "kwargs": task.kwargs,
        "id": task.reserved,
    }
    settings = {
        k: _plain(getattr(task, k))
        for k in SETTINGS
        if getattr(task, k) is not None
    }
    if settings:
        data["set"] = settings
    data.update(extra_of(task, depth + 1) or {})
    return data


def extra_of(task: Task, depth: int = 0) -> dict[str, Any] | None:
    """What stands behind the arguments in a task's payload; None: nothing."""
    extra: dict[str, Any] = {}
    if task.on_complete is not None:
        extra["then"] = pack_following(task.on_complete, depth)
    if task.on_error is not None:
        extra["error"] = pack_following(task.on_error, depth)
    if task.gathers:
        extra["gathers"] = True
    if task.is_member:
        extra["member"] = True
    return extra or None


def apply_extra(queue: Queue, task: Task, extra: dict[str, Any]) -> None:
    """Undo extra_of()."""
    if "then" in extra:
        task.on_complete = unpack_following(queue, extra["then"])
    if "error" in extra:
        task.on_error = unpack_following(queue, extra["error"])
    task.gathers = bool(extra.get("gathers"))
    task.is_member = bool(extra.get("member"))


def unpack_following(queue: Queue, data: dict[str, Any]) -> Task:
    """Undo pack_following()."""
    wrapper = queue.registered(data["name"])
    settings = {k: v for k, v in data.get("set", {}).items() if k in SETTINGS}
    task = wrapper.task_class(
        wrapper, tuple(data["args"]), data["kwargs"], **settings
    )
    task.reserved = int(data["id"])
    apply_extra(queue, task, data)
    return task


def chain_of(task: Task) -> list[Task]:
    """A task and those that follow it."""
    chain = [task]
    while (following := chain[-1].on_complete) is not None:
        if following.wrapper.queue is not task.wrapper.queue:
            raise ValueError("the tasks of a pipeline are of one queue")
        chain.append(following)
    return chain


# ---- what is put for a group or a chord ----


class Plan:
    """The tasks of one put, and the handles of those who asked.

    A chord's callback stands before its members, which join it; a member
    may be a chord, whose callback is the one that joins.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.tasks: list[tuple[Task, int, bool]] = []
        """(task, joins, must_succeed), in the order of the put."""
        self.chains: list[list[Task]] = []

    def add(self, item: Task | Chord, joins: int = 0) -> list[Task]:
        """Add a task with what follows it, or a chord; its chain."""
        if isinstance(item, Chord):
            item.callback.gathers = True
            chain = self._add(item.callback, joins, item.must_succeed)
            place = len(self.tasks)
            for member in item.tasks:
                self.add(member, place)
            return chain
        return self._add(item, joins, False)

    def _add(self, task: Task, joins: int, must_succeed: bool) -> list[Task]:
        if task.wrapper.queue is not self.queue:
            raise ValueError("the tasks of a group or chord are of one queue")
        chain = chain_of(task)
        chain[-1].is_member = joins > 0
        self.tasks.append((task, joins, must_succeed))
        self.chains.append(chain)
        return chain

    def reserve(self, ids: Any) -> None:
        """Give an id to each task that is put later: ids(n) is the first."""
        later = [t for chain in self.chains for t in chain[1:]]
        if later:
            first = ids(len(later))
            for number, task in enumerate(later):
                task.reserved = task.id = first + number


def results_of(
    queue: Queue, chain: list[Task], existed: bool = False
) -> Any:
    """The handle of a chain whose ids are known: one, or a ResultGroup."""
    results: list[Result[Any]] = []
    for task in chain:
        result = queue._result_of(task)
        if results:
            result._previous = results[-1]
        results.append(result)
    results[0].existed = existed
    return results[0] if len(results) == 1 else ResultGroup(results)
