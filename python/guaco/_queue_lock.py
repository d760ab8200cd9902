"""Locks, semaphores and rate limits of a queue, kept in its store."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from guaco import _core
from guaco._queue_errors import RateLimitExceeded, TaskLocked

if TYPE_CHECKING:
    from guaco.queue import Queue

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["Lock", "RateLimit"]

SLICE_MS = 1000
"""A thread that waits looks for signals so often; it is told otherwise."""


class _Around:
    """Something that is entered and left, also around a function."""

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *args: object) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Any:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *args: object) -> None:
        await asyncio.to_thread(self.__exit__, *args)

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """The function, within."""
        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                async with self._again():
                    return await func(*args, **kwargs)

            return awaited  # type: ignore[return-value]

        @functools.wraps(func)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._again():
                return func(*args, **kwargs)

        return called

    def _again(self) -> Any:
        """One of its kind for another call: calls may overlap."""
        return self


class Lock(_Around):
    """A lock of ``slots`` holders among all processes of the store.

    ``with queue.lock("name"):``, ``async with``, or a decorator.  It is freed
    when it is left, when the process that holds it dies, and when its lease
    ends; while it is held here the lease is renewed.  ``token`` grows with
    each holder: outside systems can refuse what an older one says.

    timeout: how long to wait, seconds; None: without limit, 0: not at all.
    TaskLocked when it was not free in time.
    """

    def __init__(
        self,
        queue: Queue,
        name: str,
        *,
        slots: int = 1,
        lease: float = 30.0,
        timeout: float | None = None,
    ) -> None:
        if slots < 1 or lease <= 0:
            raise ValueError("slots and lease must be more than 0")
        self.queue = queue
        self.name = name
        self.slots = slots
        self.lease_ms = max(1, round(lease * 1000))
        self.timeout = timeout
        self.token = 0
        self._key = f"{queue.name}.{name}"
        self._ended = threading.Event()

    def _again(self) -> Lock:
        return type(self)(
            self.queue,
            self.name,
            slots=self.slots,
            lease=self.lease_ms / 1000,
            timeout=self.timeout,
        )

    def acquire(self, timeout: float | None = None) -> bool:
        """Take it; False when it was not free within timeout seconds."""
        if self.token:
            raise RuntimeError(f"lock {self.name!r} is held by this object")
        broker = self.queue._open()
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = SLICE_MS
            if end is not None:
                left = max(0, round((end - time.monotonic()) * 1000))
            token = _core.lock_take(
                broker, self._key, self.slots, self.lease_ms,
                min(left, SLICE_MS),
            )
            if token:
                break
            if left == 0:
                return False
        self.token = token
        self._ended = threading.Event()
        threading.Thread(
            target=self._renew,
            args=(token, self._ended),
            name=f"guaco-lock-{self.name}",
            daemon=True,
        ).start()
        return True

    def _renew(self, token: int, ended: threading.Event) -> None:
        while not ended.wait(self.lease_ms / 3000):
            try:
                held = _core.lock_renew(
                    self.queue._open(), self._key, self.slots, self.lease_ms,
                    token,
                )
            except _core.Error:
                continue  # the store is away: the lease may last
            if not held:
                return

    def release(self) -> bool:
        """Free it; False when it was another's already: its lease had ended."""
        token, self.token = self.token, 0
        self._ended.set()
        if not token:
            return False
        return _core.lock_free(
            self.queue._open(), self._key, self.slots, self.lease_ms, token
        )

    def holders(self) -> int:
        """How many hold it."""
        return _core.lock_holders(self.queue._open(), self._key, False)

    def is_locked(self) -> bool:
        """Whether nobody else can take it now."""
        return self.holders() >= self.slots

    def clear(self) -> bool:
        """Have nobody hold it; whether somebody did."""
        return _core.lock_holders(self.queue._open(), self._key, True) > 0

    def __enter__(self) -> Lock:
        if not self.acquire(self.timeout):
            raise TaskLocked(f"lock {self.name!r} is held by another")
        return self

    def __exit__(self, *args: object) -> None:
        self.release()


class RateLimit(_Around):
    """At most ``limit`` in each window of ``per`` seconds, for all processes.

    RateLimitExceeded when there is no room; a task that raises it is run
    again when the window ends, and uses no retry up (unless retry=False).
    """

    def __init__(
        self,
        queue: Queue,
        name: str,
        limit: int,
        per: float,
        *,
        retry: bool = True,
    ) -> None:
        if limit < 1 or per <= 0:
            raise ValueError("limit and per must be more than 0")
        self.queue = queue
        self.name = name
        self.limit = limit
        self.per_ms = max(1, round(per * 1000))
        self.retry = retry

    def _key(self, window: int) -> str:
        return f"rate.{self.queue.name}.{self.name}.{window}"

    def acquire(self) -> None:
        """Count one; RateLimitExceeded when there is no room."""
        broker = self.queue._open()
        now = broker.now_ms()
        window = now // self.per_ms
        count = _core.key_add(broker, self._key(window), 1, 2 * self.per_ms)
        if count > self.limit:
            left = ((window + 1) * self.per_ms - now) / 1000
            raise RateLimitExceeded(self.name, left, self.retry)

    def current_usage(self) -> int:
        """How many were counted in this window."""
        broker = self.queue._open()
        key = self._key(broker.now_ms() // self.per_ms)
        return _core.key_add(broker, key, 0, 2 * self.per_ms)

    def reset(self) -> None:
        """Begin the window again."""
        broker = self.queue._open()
        _core.key_drop(broker, self._key(broker.now_ms() // self.per_ms))

    def __enter__(self) -> RateLimit:
        self.acquire()
        return self

    def __exit__(self, *args: object) -> None:
        pass


