"""The handles of what was enqueued."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.exceptions import ResultTimeout, TaskException
from guaco.compat.huey.utils import Error, Seconds, normalize_time

if TYPE_CHECKING:
    from guaco.compat.huey._huey import Huey
    from guaco.compat.huey._task import Task


class Result:
    """The result of a task.  Reading it takes it out of the storage, unless
    ``preserve``; the handle keeps what it read until reset()."""

    def __init__(self, huey: Huey, task: Task) -> None:
        self.huey = huey
        self.task = task
        self.revoke_id = task.revoke_id
        self._result: Any = EmptyData

    def __repr__(self) -> str:
        return f"<Result: task {self.id}>"

    @property
    def id(self) -> str:
        """The task's id."""
        return self.task.id

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.get(*args, **kwargs)

    def is_ready(self) -> bool:
        """Whether it is there."""
        return self._get() is not EmptyData

    def _get(self, preserve: bool = False) -> Any:
        if self._result is EmptyData:
            data = self.huey.get_raw(self.id, peek=preserve)
            if data is not EmptyData:
                self._result = self.huey.serializer.deserialize(data)
        return self._result

    def get_raw_result(
        self,
        blocking: bool = False,
        timeout: float | None = None,
        backoff: float = 1.15,
        max_delay: float = 1.0,
        revoke_on_timeout: bool = False,
        preserve: bool = False,
    ) -> Any:
        """As get(), but a failure is given as an ``Error``."""
        found = self._get(preserve)
        if found is not EmptyData:
            return found
        if not blocking:
            return None
        storage = self.huey.storage
        if storage.wait_result(self.id, timeout, backoff, max_delay):
            found = self._get(preserve)
            if found is not EmptyData:
                return found  # else somebody else has taken it
        if revoke_on_timeout:
            self.revoke()
        raise ResultTimeout("timed out waiting for result")

    def get(
        self,
        blocking: bool = False,
        timeout: float | None = None,
        backoff: float = 1.15,
        max_delay: float = 1.0,
        revoke_on_timeout: bool = False,
        preserve: bool = False,
    ) -> Any:
        """The value; None when it is not there and blocking is false.

        TaskException when the task failed, ResultTimeout after timeout
        seconds.
        """
        value = self.get_raw_result(
            blocking, timeout, backoff, max_delay, revoke_on_timeout, preserve
        )
        if isinstance(value, Error):
            raise TaskException(value.metadata)
        return value

    def is_revoked(self) -> bool:
        """Whether the task was revoked."""
        return self.huey.is_revoked(self.task)

    def revoke(self, revoke_once: bool = True) -> None:
        """Do not run it."""
        self.huey.revoke(self.task, revoke_once=revoke_once)

    def restore(self) -> bool:
        """Undo revoke()."""
        return self.huey.restore(self.task)

    def reschedule(
        self,
        eta: dt.datetime | None = None,
        delay: Seconds | None = None,
        expires: Any = None,
        priority: Any = None,
        preserve_pipeline: bool = True,
    ) -> Any:
        """Revoke it and enqueue the same call again: now, or later."""
        self.revoke()
        old = self.task
        if eta is not None or delay is not None:
            eta = normalize_time(eta, delay, self.huey.utc)
        task = type(old)(
            old.args,
            old.kwargs,
            eta=eta,
            retries=old.retries,
            retry_delay=old.retry_delay,
            retry_backoff=old.retry_backoff,
            priority=old.priority if priority is None else priority,
            expires=old.expires if expires is None else expires,
            on_complete=old.on_complete if preserve_pipeline else None,
            on_error=old.on_error if preserve_pipeline else None,
            timeout=old.timeout,
            chord_config=old.chord_config,
        )
        return self.huey.enqueue(task)

    def reset(self) -> None:
        """Forget what was read."""
        self._result = EmptyData


class ResultGroup:
    """The results of several tasks, in order."""

    def __init__(self, results: list[Any]) -> None:
        self._results = results

    def get(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The value of each: see Result.get()."""
        return [result.get(*args, **kwargs) for result in self._results]

    __call__ = get

    def __getitem__(self, idx: int) -> Any:
        return self._results[idx].get(True)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def as_completed(
        self, backoff: float = 1.15, max_delay: float = 1.0
    ) -> Iterator[Any]:
        """The values as they come."""
        waiting = list(self._results)
        delay = 0.1
        while waiting:
            ready = [r for r in waiting if r.is_ready()]
            if not ready:
                time.sleep(delay)
                delay = min(delay * backoff, max_delay)
                continue
            delay = 0.1
            waiting = [r for r in waiting if r not in ready]
            for result in ready:
                yield result.get()


class ChordResult:
    """The result of a chord: that of its callback."""

    def __init__(
        self,
        results: ResultGroup,
        callback_result: Any,
        pipeline: ResultGroup | None = None,
    ) -> None:
        self.results = results
        self.callback = callback_result
        self.pipeline_results = pipeline

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """The callback's value."""
        return self.callback.get(*args, **kwargs)

    __call__ = get

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "callback":
            raise AttributeError(name)
        return getattr(self.callback, name)

    def reset(self) -> None:
        """Forget what was read."""
        self.callback.reset()
        for result in self.results:
            result.reset()
