"""What Huey's API raises, and what a task raises to steer its own run."""

from __future__ import annotations

import datetime as dt
from typing import Any


class HueyException(Exception):
    """Base of what the library raises."""


class ConfigurationError(HueyException):
    """Settings that cannot work."""


class TaskLockedException(HueyException):
    """A lock is held by somebody else."""


class ResultTimeout(HueyException):
    """The result was not there in time."""


class TaskTimeout(HueyException):
    """A task ran longer than its timeout."""


class RateLimitExceeded(HueyException):
    """A window has no room left; ``delay`` is the seconds to its end."""

    def __init__(self, key: str, delay: float | None, retry: bool = True) -> None:
        self.key = key
        self.delay = delay
        self.retry = retry
        super().__init__(key, delay, retry)

    def __str__(self) -> str:
        text = f'Rate limit exceeded on "{self.key}"'
        if self.retry and self.delay:
            text += f", retry in {self.delay:.1f}s"
        return text


class CancelExecution(Exception):
    """Ends the run.  ``retry`` True: run again; False: never; None: by the
    task's retries."""

    def __init__(self, msg: object = None, retry: bool | None = None) -> None:
        self.retry = retry
        super().__init__(*(() if msg is None else (msg,)))


class RetryTask(Exception):
    """Have the task run again; uses none of its retries up."""

    def __init__(
        self,
        msg: object = None,
        eta: dt.datetime | None = None,
        delay: float | dt.timedelta | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self.eta = eta
        self.delay = delay
        super().__init__(*(() if msg is None else (msg,)), *args, **kwargs)


class TaskException(Exception):
    """A task failed; raised where its result is read."""

    def __init__(self, metadata: dict[str, Any] | None = None, *args: Any) -> None:
        self.metadata: dict[str, Any] = metadata or {}
        super().__init__(metadata, *args)

    def __str__(self) -> str:
        return str(self.metadata.get("error") or "unknown error")


RETRYING_EXCEPTIONS = (RateLimitExceeded, RetryTask, TaskLockedException)
