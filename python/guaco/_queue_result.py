"""Results: how the one who enqueued learns what became of a task."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import itertools
import time
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from guaco._core import Mailbox, PayloadError
from guaco._queue_errors import (
    QueueError,
    ResultTimeout,
    TaskCanceled,
    TaskDead,
    TaskException,
    TaskExpired,
)

if TYPE_CHECKING:
    from guaco._core import Broker, Watch
    from guaco._core import _News as News
    from guaco._queue_local import LocalStore
    from guaco._queue_task import Seconds, Task
    from guaco.queue import Queue

R = TypeVar("R")

DONE, FAILED, EXPIRED, CANCELED, DEAD = 4, 5, 6, 7, 8
"""enum guaco_task_state, as a result has it."""

_ENDINGS = {
    DONE: "complete",
    FAILED: "error",
    EXPIRED: "expired",
    CANCELED: "canceled",
    DEAD: "dead",
}
_EXCEPTIONS: dict[int, type[TaskException]] = {
    FAILED: TaskException,
    EXPIRED: TaskExpired,
    CANCELED: TaskCanceled,
    DEAD: TaskDead,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that a task said, or its end.

    ``kind`` is "progress", one that the task chose, or for the last event
    "complete" (``value`` is the result), "error", "expired", "canceled" or
    "dead" (``value`` is the metadata of the TaskException).  ``number`` counts
    from 1, and a gap means that a slow reader missed some; it is 0 in the last.
    """

    number: int
    kind: str
    value: Any


class LoopMail:
    """The letters of one queue's store for one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # which holds this as its key's value
        self.box = Mailbox()
        self._waiting: dict[int, Callable[[BaseException | None, Any], None]] = {}
        self._tags = itertools.count(1)

    def expect(self, call: Callable[[BaseException | None, Any], None]) -> int:
        """Have call(error, payload) called for the letters of the tag given."""
        loop = self._loop()
        if not self._waiting and loop is not None:
            loop.add_reader(self.box.fileno(), self._read)
        tag = next(self._tags)
        self._waiting[tag] = call
        return tag

    def forget(self, tag: int) -> None:
        """No more letters of tag are wanted."""
        loop = self._loop()
        if self._waiting.pop(tag, None) is None or self._waiting:
            return
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self.box.fileno())

    def _read(self) -> None:
        for _kind, tag, error, payload in self.box.take(0):
            call = self._waiting.get(tag)
            if call is not None:
                call(error, payload)


class Mail:
    """The letters of a queue's event loops, made on demand."""

    def __init__(self) -> None:
        self._loops: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, LoopMail
        ] = weakref.WeakKeyDictionary()

    def of_loop(self) -> LoopMail:
        """The letters of the running loop."""
        loop = asyncio.get_running_loop()
        mail = self._loops.get(loop)
        if mail is None:
            mail = self._loops[loop] = LoopMail(loop)
        return mail

    async def put(self, broker: Broker, record: tuple[Any, ...]) -> int:
        """Broker.put without blocking the loop."""
        mail = self.of_loop()
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_letter(error: BaseException | None, id: int) -> None:
            if stored.done():
                return  # whoever awaited it was cancelled
            if error is not None:
                stored.set_exception(error)
            else:
                stored.set_result(id)

        tag = mail.expect(on_letter)
        try:
            broker.put_async(*record, mail.box, tag)
            return await stored
        finally:
            mail.forget(tag)


class EventStream:
    """The events of one task: ``async for`` on a loop, ``for`` in a thread.

    It starts with the oldest event that is kept and ends after the event that
    tells the task's end.
    """

    def __init__(self, result: Result[Any], timeout: float | None) -> None:
        self._result = result
        self._timeout = timeout

    def __iter__(self) -> Iterator[Event]:
        for news in self._result._follow(_deadline_of(self._timeout)):
            yield from self._result._events_of(news)
        if not self._result.is_ready():
            raise ResultTimeout(f"no end of task {self._result.id} in time")

    async def __aiter__(self) -> AsyncIterator[Event]:
        async with asyncio.timeout(self._timeout):
            async for news in self._result._afollow():
                for event in self._result._events_of(news):
                    yield event


def _deadline_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left_ms(deadline: float | None) -> int:
    """To the deadline, for Mailbox.take: -1 is no limit."""
    if deadline is None:
        return -1
    return max(0, round((deadline - time.monotonic()) * 1000))


class Result(Generic[R]):
    """The handle of an enqueued task.

    ``result()`` gives the value, or None while there is none;
    ``result(blocking=True, timeout=5)`` waits in a thread, ``await result`` on
    an event loop, neither by polling.  A task that failed raises
    TaskException there.  Results are kept for the queue's ``result_ttl``.
    """

    def __init__(self, queue: Queue, id: int, name: str = "") -> None:
        self.queue = queue
        self.id = id
        self.name = name
        self._ready: tuple[int, bytes, str] | None = None
        self.task: Task | None = None
        """What was enqueued; None for a handle by id."""
        self.existed = False
        """Another task with the same unique key was there; this is its."""
        self._previous: Result[Any] | None = None  # of a pipeline
        self._local: LocalStore | None = None  # of immediate mode

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.id}>"

    # ---- reading ----

    def __call__(
        self, blocking: bool = False, timeout: float | None = None
    ) -> R | None:
        """As get()."""
        return self.get(blocking, timeout)

    def get(
        self, blocking: bool = False, timeout: float | None = None
    ) -> R | None:
        """The value; None when it is not there and blocking is false.

        Raises TaskException (TaskExpired, TaskCanceled, TaskDead) when the
        task has none, ResultTimeout after timeout seconds.
        """
        if self._ready is None and not self.is_ready():
            deadline = _deadline_of(timeout)
            if self._previous is not None:
                # It is put by the end of the one before it, or never.
                self._previous.get(blocking, timeout)
            if not blocking:
                return None
            for news in self._follow(deadline):
                self._note(news)
            if self._ready is None:
                raise ResultTimeout(
                    f"no result of task {self.id} within {timeout} s"
                )
        return self._value()

    def is_ready(self) -> bool:
        """Whether the task has ended; does not wait."""
        if self._ready is None:
            self._note(self._read())
        return self._ready is not None

    def reset(self) -> None:
        """Forget what was read: the next read asks the store again."""
        self._ready = None

    def __await__(self) -> Generator[Any, None, R]:
        return self._wait().__await__()

    async def _wait(self) -> R:
        if self._ready is None:
            if self._previous is not None and not self.is_ready():
                await self._previous
            async for news in self._afollow():
                self._note(news)
            if self._ready is None:
                raise ResultTimeout(f"task {self.id} was not run")
        return self._value()

    def cancel(self, reason: str = "") -> bool:
        """Do not run the task, or interrupt it where it runs.

        It is not retried, and its result is TaskCanceled.  False: it had
        ended already.
        """
        if self._local is not None:
            return self._local.cancel(self.id)
        return self.queue.cancel(self.id, reason)

    revoke = cancel

    async def acancel(self, reason: str = "") -> bool:
        """As cancel(), for event loops."""
        return await asyncio.to_thread(self.cancel, reason)

    def reschedule(
        self,
        *,
        eta: dt.datetime | None = None,
        delay: Seconds | None = None,
    ) -> Result[R]:
        """Cancel the task and enqueue its call again, now or for later.

        QueueError for the handle of another process, which does not know the
        call.
        """
        if self.task is None:
            raise QueueError("only who enqueued a task can reschedule it")
        self.cancel("rescheduled")
        again = self.task.copy()
        again.eta, again.delay = eta, delay
        result: Result[R] = self.queue.enqueue(again)
        return result

    def events(self, timeout: float | None = None) -> EventStream:
        """What the task says while it runs, and how it ended.

        timeout is in seconds for the whole stream: ResultTimeout (in a loop
        TimeoutError) after it.
        """
        return EventStream(self, timeout)

    # ---- parts ----

    def _read(self) -> News:
        """What the store knows now."""
        if self._local is not None:
            return self._local.read(self.id)
        return self.queue._open().read(self.id)

    def _note(self, news: News) -> bool:
        """Keep the result of news, if there is one."""
        if news[1] is not None:
            state, _attempt, _finished_ms, body, reason = news[1]
            self._ready = state, body, reason
        return self._ready is not None

    def _decode(self, state: int, body: bytes, reason: str) -> Any:
        """The value, or the metadata of a failure."""
        if body:
            try:
                data = self.queue._unpack(body, "result", self.id)
            except PayloadError as exc:
                if state == DONE:
                    raise
                data = {"error": str(exc)}
            if state == DONE:
                return data
            if isinstance(data, dict):
                return {"task_id": self.id, **data}
        if state == DONE:
            return None
        error = reason or _ENDINGS[state]
        return {"task_id": self.id, "error": error, "retries": 0}

    def _value(self) -> R:
        assert self._ready is not None
        state = self._ready[0]
        data = self._decode(*self._ready)
        if state in _EXCEPTIONS:
            raise _EXCEPTIONS[state](data)
        value: R = data
        return value

    def _events_of(self, news: News) -> list[Event]:
        """What news tells; the task's end comes as one event more."""
        unpack = self.queue._unpack
        events = [
            Event(n, *unpack(body, "event", self.id)) for n, body in news[0]
        ]
        if self._note(news):
            assert self._ready is not None
            kind, value = _ENDINGS[self._ready[0]], self._decode(*self._ready)
            events.append(Event(0, kind, value))
        return events

    def _follow(self, deadline: float | None) -> Iterator[News]:
        """News of the task, the last one with its result; fewer in a timeout."""
        if self._local is not None:
            yield self._read()
            return
        box = Mailbox()
        watch: Watch = self.queue._open().watch(self.id, 0, box, 0)
        try:
            while True:
                letters = box.take(_left_ms(deadline))
                if not letters:
                    return
                for _kind, _tag, error, news in letters:
                    if error is not None:
                        raise error
                    yield news
                    if news[1] is not None:
                        return
        finally:
            watch.close()

    async def _afollow(self) -> AsyncIterator[News]:
        if self._local is not None:
            yield self._read()
            return
        mail = self.queue._mail.of_loop()
        letters: asyncio.Queue[tuple[BaseException | None, News]]
        letters = asyncio.Queue()
        tag = mail.expect(lambda *letter: letters.put_nowait(letter))
        watch: Watch | None = None
        try:
            watch = self.queue._open().watch(self.id, 0, mail.box, tag)
            while True:
                error, news = await letters.get()
                if error is not None:
                    raise error
                yield news
                if news[1] is not None:
                    return
        finally:
            mail.forget(tag)
            if watch is not None:
                watch.close()
