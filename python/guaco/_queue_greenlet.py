"""Workers of kind "greenlet": each task a greenlet of gevent's.

For code that was written for gevent: its sockets and sleeps let other tasks go
on.  What gevent does not know, a query of a C library or a wait for the result
of another task, holds up all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from guaco._core import Error
from guaco._queue_batch import BatchTask, perform_batch
from guaco._queue_errors import QueueError
from guaco._queue_run import RELEASED, log, perform
from guaco._queue_worker import (
    ERROR_PAUSE_S,
    INTERRUPT,
    LOG,
    STUCK,
    Workers,
    _kind_of,
    log_line,
)

if TYPE_CHECKING:
    from guaco._core import Run
    from guaco.queue import Queue


def patch() -> None:
    """gevent's monkey patching: before the application is imported."""
    try:
        monkey: Any = importlib.import_module("gevent.monkey")
    except ImportError as exc:
        raise QueueError(
            "worker kind greenlet needs gevent: pip install gevent"
        ) from exc
    monkey.patch_all()


class GreenletWorkers(Workers):
    """``count`` greenlets at a time, on the hub of the thread that starts it."""

    def __init__(
        self, queue: Queue, count: int, *, exit_when_stuck: bool = False
    ) -> None:
        super().__init__(queue, count, exit_when_stuck=exit_when_stuck)
        self._gevent: Any = importlib.import_module("gevent")
        self._wait_read: Any = importlib.import_module("gevent.socket").wait_read
        self._running: dict[int, Any] = {}
        self._runs: dict[int, list[Run]] = {}
        self._main: Any = None

    def start(self, *, keeper: bool = True, periodic: bool = True) -> None:
        self._open(keeper=keeper, periodic=periodic, wants_ready=True)
        self._main = self._gevent.spawn(self._serve)

    def _serve(self) -> None:
        queue = self.queue
        queue._call_hooks(queue._startup)
        try:
            self._pump()
            while not (self.is_draining and not self._running):
                self._wait_read(self.box.fileno())
                self._read()
        finally:
            queue._call_hooks(queue._shutdown)

    def _read(self) -> None:
        for kind, _tag, _error, payload in self.box.take(0):
            if kind == INTERRUPT:
                self._interrupt(payload[0], _kind_of(payload[2]))
            elif kind == STUCK:
                self._leave_behind(payload[0])
            elif kind == LOG:
                log_line(*payload)
        self._pump()

    def _interrupt(self, run_id: int, kind: type[Exception]) -> None:
        """Raise kind in the greenlet, at its next switch."""
        greenlet = self._running.get(run_id)
        if greenlet is not None:
            greenlet.kill(kind("the task was interrupted"), block=False)

    def _leave_behind(self, run_id: int) -> None:
        log.error("task %d goes on after its timeout", run_id)
        self._running.pop(run_id, None)
        self._runs.pop(run_id, None)
        self._renew()

    def _pump(self) -> None:
        """Begin what can be begun."""
        while not self.is_draining and len(self._running) < self.count:
            try:
                runs = self.worker.next_batch(0, self.batch)
            except Exception:
                log.exception("queue %s: its store", self.queue.name)
                self._gevent.spawn_later(ERROR_PAUSE_S, self._pump)
                return
            if not runs:
                return
            if isinstance(self.queue._tasks.get(runs[0].name), BatchTask):
                self._begin(perform_batch, runs, runs)
            else:
                for run in runs:
                    self._begin(perform, run, [run])

    def _begin(self, how: Any, what: Any, runs: list[Run]) -> None:
        first = runs[0].id
        self._runs[first] = runs
        greenlet = self._gevent.Greenlet(how, self.queue, what, self._await)
        self._running[first] = greenlet
        greenlet.link(functools.partial(self._done, first))
        greenlet.start()

    def _done(self, run_id: int, greenlet: Any) -> None:
        if self._running.get(run_id) is greenlet:
            del self._running[run_id]
            self._tell_ended(len(self._runs.pop(run_id, ())))
        self.box.ring()  # there is a slot, or nothing is left

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """An event loop would hold the hub up: on a thread of gevent's pool."""
        return self._gevent.get_hub().threadpool.apply(asyncio.run, (coroutine,))

    def stop(self, timeout: float | None) -> bool:
        self.drain()
        if self._main is not None:
            end = None if timeout is None else time.monotonic() + timeout
            self._main.join(None if end is None else max(0.0, end - time.monotonic()))
            if not self._main.dead:
                return False
        self._close()
        return True

    def release(self) -> None:
        """Give back what still runs, as the process is about to end."""
        for run in [run for runs in self._runs.values() for run in runs]:
            with contextlib.suppress(Error):  # it ended meanwhile
                run.finish(RELEASED)
