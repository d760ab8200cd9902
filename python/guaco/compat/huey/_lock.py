"""Locks, and limits of how often."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from guaco.compat.huey.exceptions import RateLimitExceeded, TaskLockedException

if TYPE_CHECKING:
    from guaco.compat.huey._huey import Huey

F = TypeVar("F", bound=Callable[..., Any])


def _within(manager: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        with manager:
            return function(*args, **kwargs)

    return inner


class TaskLock:
    """A lock by name: a context manager, or a decorator of a function.

    It does not wait; without ``ttl`` it is held until somebody clears it.
    """

    def __init__(self, huey: Huey, name: str, ttl: float | None = None) -> None:
        self._huey = huey
        self._name = name
        self._ttl = ttl
        self._key = f"{huey.name}.lock.{name}"
        huey._locks.add(self._key)

    def is_locked(self) -> bool:
        """Whether somebody holds it."""
        return bool(self._huey.storage.has_data_for_key(self._key))

    def locked(self) -> bool:
        """As is_locked()."""
        return self.is_locked()

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return _within(self, fn)

    def acquire(self) -> None:
        """Take it; TaskLockedException when it is held."""
        if not self._huey.put_if_empty(self._key, "1", ttl=self._ttl):
            raise TaskLockedException(f"unable to acquire lock {self._name}")

    def clear(self) -> bool:
        """Have nobody hold it; whether somebody did."""
        return self._huey.delete(self._key)

    def release(self) -> bool:
        """As clear()."""
        return self.clear()

    def __enter__(self) -> TaskLock:
        self.acquire()
        return self

    def __exit__(self, *args: object) -> None:
        self.clear()


class RateLimit:
    """At most ``limit`` in each window of ``per`` seconds."""

    def __init__(
        self,
        huey: Huey,
        name: str,
        limit: int,
        per: int,
        retry: bool = True,
    ) -> None:
        self._huey = huey
        self._name = name
        self._limit = limit
        self._per = per
        self._retry = retry
        self._counter_key = f"{huey.name}.rl.{name}"
        self._window_key = f"{huey.name}.rl.{name}.w"

    def _current_window(self, now: float) -> int:
        return int(now) // self._per

    def _time_until_reset(self, now: float) -> float:
        return self._per * (self._current_window(now) + 1) - now

    def _key_of(self, window: int) -> str:
        """Each window counts for itself: a roll-over cannot reset a new one."""
        return f"{self._counter_key}.{window}"

    def reset(self) -> None:
        """Begin the window again."""
        storage = self._huey.storage
        storage.delete_counter(self._key_of(self._current_window(time.time())))
        self._huey.delete(self._window_key)

    def acquire(self) -> None:
        """Count one; RateLimitExceeded when there is no room."""
        now = time.time()
        window = self._current_window(now)
        count = self._huey.storage.incr(self._key_of(window))
        if count == 1:  # ours is the first of this window
            last = self._huey.get(self._window_key, peek=True)
            if isinstance(last, int) and last != window:
                self._huey.storage.delete_counter(self._key_of(last))
            self._huey.put(self._window_key, window)
        if count > self._limit:
            delay = self._time_until_reset(now)
            raise RateLimitExceeded(self._name, delay, self._retry)

    def current_usage(self) -> int:
        """How many were counted in this window."""
        now = self._current_window(time.time())
        if self._huey.get(self._window_key, peek=True) != now:
            return 0
        return int(self._huey.storage.incr(self._key_of(now), 0))

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return _within(self, fn)

    def __enter__(self) -> RateLimit:
        self.acquire()
        return self

    def __exit__(self, *args: object) -> None:
        pass
