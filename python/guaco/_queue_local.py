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

from guaco import _queue_batch, _queue_run, _queue_using
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
    why = 0

    def __init__(self, record: tuple[Any, ...], id: int) -> None:
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
        self.follow: tuple[tuple[Any, ...], ...] = ()
        self.passes_on = False
        self.completion = _queue_using.NONE
        self.member_rows: list[tuple[int, int, bytes]] = []

    @property
    def members(self) -> int:
        """How many tasks joined this one."""
        return len(self.member_rows)

    def remaining_ms(self) -> None:
        """There is no limit: nothing could end the caller."""

    def event(self, body: bytes, /) -> None:
        """Keep an event."""
        self.events.append((len(self.events) + 1, body))

    def complete(
        self,
        connection: Any,
        commits: bool,
        body: bytes | None,
        follow: tuple[tuple[Any, ...], ...] | None,
        /,
    ) -> None:
        """Keep that it is done; there is no transaction."""
        self.finish(_queue_run.DONE, body, -1, follow, follow is not None)
        self.completion = _queue_using.COMMITTED

    def finish(
        self,
        kind: int,
        body: bytes | None = None,
        retry_delay_ms: int = -1,
        follow: tuple[tuple[Any, ...], ...] | None = None,
        pass_on: bool = False,
        /,
    ) -> bool:
        """Keep the outcome; True: run it again."""
        if self.completion != _queue_using.NONE:
            return False
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
        self.follow, self.passes_on = follow or (), pass_on
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

    def reserve(self, n: int) -> int:
        """The first of n ids that are the caller's."""
        return [next(self._ids) for _ in range(n)][0]

    def _keep(self, record: tuple[Any, ...]) -> LocalRun:
        rules = record[14]
        reserved = 0 if rules is None else rules[7]
        run = LocalRun(record, reserved or next(self._ids))
        self._runs[run.id] = run
        if len(self._runs) > KEPT_MAX:
            self._runs.popitem(last=False)
        return run

    def _is_put_off(
        self, task: Task | None, record: tuple[Any, ...], id: int
    ) -> bool:
        """Whether it is for later, which never comes."""
        if not record[4]:
            return False
        if task is not None:
            self.scheduled.append(task)
            task.id = id
        return True

    def run(
        self, queue: Queue, task: Task | None, record: tuple[Any, ...]
    ) -> int:
        """Run task to its end, and what follows it, and give its id."""
        run = self._keep(record)
        self._run(queue, task, record, run)
        return run.id

    def _run(
        self,
        queue: Queue,
        task: Task | None,
        record: tuple[Any, ...],
        run: LocalRun,
    ) -> LocalRun:
        """The run that ended what began: the last one of a pipeline."""
        if self._is_put_off(task, record, run.id):
            return run
        for _ in range(self.ATTEMPTS_MAX):
            if isinstance(queue.registered(run.name), _queue_batch.BatchTask):
                _queue_batch.perform_batch(
                    queue, [run], await_here, is_callers=True
                )
            else:
                _queue_run.perform(queue, run, await_here, is_callers=True)
            if run.result is not None:
                break
        return self._run_following(queue, run)

    def _run_following(self, queue: Queue, run: LocalRun) -> LocalRun:
        last = run
        for number, record in enumerate(run.follow):
            ended = self._run(queue, None, record, self._keep(record))
            if number == 0 and run.passes_on:
                last = ended
        return last

    async def arun(
        self, queue: Queue, task: Task, record: tuple[Any, ...]
    ) -> int:
        """As run, for a task enqueued on an event loop."""
        run = self._keep(record)
        if self._is_put_off(task, record, run.id):
            return run.id
        for _ in range(self.ATTEMPTS_MAX):
            if isinstance(queue.registered(run.name), _queue_batch.BatchTask):
                await _queue_batch.aperform_batch(queue, [run])
            else:
                await _queue_run.aperform(queue, run)
            if run.result is not None:
                break
        if run.follow:
            await asyncio.to_thread(self._run_following, queue, run)
        return run.id

    def put_many(
        self, queue: Queue, tasks: list[Task], records: list[tuple[Any, ...]]
    ) -> list[int]:
        """Run tasks that may join one another, each after those that join
        it; their ids."""
        runs = [self._keep(record) for record in records]
        joins = [0 if r[14] is None else r[14][5] for r in records]
        left = [joins.count(place + 1) for place in range(len(records))]

        def end(place: int) -> None:
            run = runs[place]
            last = self._run(queue, tasks[place], records[place], run)
            target = joins[place] - 1
            if target < 0:
                return
            state, _, _, body, _ = last.result or (CANCELED, 0, 0, b"", "")
            runs[target].member_rows.append((last.id, state, body))
            left[target] -= 1
            if left[target] > 0:
                return
            bad = any(row[1] != DONE for row in runs[target].member_rows)
            rules = records[target][14]
            if bad and rules is not None and rules[6]:
                runs[target].result = FAILED, 0, 0, b"", "a member failed"
            else:
                end(target)

        for place, count in enumerate(list(left)):
            if count == 0:
                end(place)
        return [run.id for run in runs]

    def cancel(self, id: int) -> bool:
        """Forget a task that is put off; False if there is none."""
        for task in self.scheduled:
            if task.id == id:
                self.scheduled.remove(task)
                self._runs[id].result = CANCELED, 0, 0, b"", ""
                return True
        return False

    def read(self, id: int) -> News:
        """What Broker.read gives."""
        run = self._runs.get(id)
        return ([], None) if run is None else (run.events, run.result)
