"""Immediate mode: tasks run at once, in the caller, and results stay here.

Everything but the store is as in a worker: arguments and results go through
the serializer, hooks and signals are called, retries are made (at once: no
delay is waited for).  A task with a delay or an eta is kept and never run.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextvars
import itertools
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from guaco import _queue_run
from guaco._queue_result import CANCELED, DONE, FAILED

if TYPE_CHECKING:
    from guaco._core import _News as News
    from guaco._queue_task import Task
    from guaco.queue import Queue

KEPT_MAX = 10_000
"""Results and scheduled tasks that are kept; the oldest go."""


class LocalRun:
    """What a worker's Run is, for a task that runs where it was enqueued."""

    interrupted = False

    def __init__(self, task: Task, record: tuple[Any, ...], id: int) -> None:
        self.queue: str = record[0]
        self.name: str = record[1]
        self.headers: bytes = record[2]
        self.body: bytes = record[3]
        self.priority: int = record[6]
        self.retries_left: int = record[7]
        self.timeout_ms = 0
        self.due_ms = 0
        self.expires_ms = 0
        self.id = id
        self.attempt = 1
        self.failures = 0
        self.events: list[tuple[int, bytes]] = []
        self.result: tuple[int, int, int, bytes, str] | None = None

    def remaining_ms(self) -> None:
        """There is no limit: nothing could end the caller."""

    def event(self, body: bytes, /) -> None:
        """Keep an event."""
        self.events.append((len(self.events) + 1, body))

    def finish(
        self, kind: int, body: bytes | None = None, retry_delay_ms: int = -1, /
    ) -> bool:
        """Keep the outcome; True: run it again."""
        if kind == _queue_run.RETRY or (
            kind == _queue_run.FAILED and self.retries_left > 0
        ):
            if kind == _queue_run.FAILED:
                self.retries_left -= 1
                self.failures += 1
            self.attempt += 1
            return True
        states = {_queue_run.DONE: DONE, _queue_run.FAILED: FAILED}
        state = states.get(kind, CANCELED)
        self.result = (state, self.attempt, 0, body or b"", "")
        return False


def await_here(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end; on a thread of its own beside a loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        context = contextvars.copy_context()
        return pool.submit(context.run, asyncio.run, coroutine).result()


class LocalStore:
    """The results of immediate mode, by id."""

    ATTEMPTS_MAX = 1000

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._runs: collections.OrderedDict[int, LocalRun] = (
            collections.OrderedDict()
        )
        self.scheduled: collections.deque[Task] = collections.deque(
            maxlen=KEPT_MAX
        )

    def _keep(self, task: Task, record: tuple[Any, ...]) -> LocalRun:
        run = LocalRun(task, record, next(self._ids))
        self._runs[run.id] = run
        if len(self._runs) > KEPT_MAX:
            self._runs.popitem(last=False)
        return run

    def run(self, queue: Queue, task: Task, record: tuple[Any, ...]) -> int:
        """Run task to its end and give its id."""
        run = self._keep(task, record)
        if record[4]:
            self.scheduled.append(task)
            return run.id
        for _ in range(self.ATTEMPTS_MAX):
            _queue_run.perform(queue, run, await_here, is_callers=True)
            if run.result is not None:
                break
        return run.id

    async def arun(
        self, queue: Queue, task: Task, record: tuple[Any, ...]
    ) -> int:
        """As run, for a task enqueued on an event loop."""
        run = self._keep(task, record)
        if record[4]:
            self.scheduled.append(task)
            return run.id
        for _ in range(self.ATTEMPTS_MAX):
            await _queue_run.aperform(queue, run)
            if run.result is not None:
                break
        return run.id

    def read(self, id: int) -> News:
        """What Broker.read gives."""
        run = self._runs.get(id)
        return ([], None) if run is None else (run.events, run.result)
