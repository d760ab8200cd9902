"""What a queue raises, and what a task raises to steer its own run."""

from __future__ import annotations

import datetime as dt
from typing import Any

from guaco._core import Error

__all__ = [
    "CancelExecution",
    "CommandError",
    "QueueError",
    "RateLimitExceeded",
    "ResultTimeout",
    "RetryTask",
    "TaskCanceled",
    "TaskDead",
    "TaskException",
    "TaskExpired",
    "TaskLocked",
    "TaskTimeout",
]


class QueueError(Error):
    """A queue or a task is not set up in a way that can work."""


class ResultTimeout(QueueError, TimeoutError):
    """The result was not there in the time given."""


class TaskException(Exception):
    """The task failed; raised where its result is read.

    ``metadata`` has ``error`` (the repr of what was raised), ``traceback``
    (its text), ``retries`` (that were left) and ``task_id``.
    """

    def __init__(self, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(metadata)
        self.metadata: dict[str, Any] = metadata or {}

    def __str__(self) -> str:
        return str(self.metadata.get("error") or "unknown error")


class TaskExpired(TaskException):
    """The task was not begun before it expired."""


class TaskCanceled(TaskException):
    """The task was revoked, or ended itself by CancelExecution."""


class TaskDead(TaskException):
    """The task killed its worker process too often; it waits for a person."""


class TaskLocked(QueueError):
    """A lock was not free in the time that there was."""


class RateLimitExceeded(QueueError):
    """There is no room in a window; ``delay`` is the seconds to its end."""

    def __init__(self, name: str, delay: float, retry: bool = True) -> None:
        super().__init__(f"rate limit {name!r}: no room for {delay:.1f} s")
        self.name = name
        self.delay = delay
        self.retry = retry


class TaskTimeout(Exception):
    """Raised inside a task that runs longer than its timeout."""


class CancelExecution(Exception):
    """Raised by a task, or a pre_execute hook, to end the run.

    ``retry`` True: run again, also without retries left.  None: by the task's
    retries.  False: never again.
    """

    def __init__(self, message: object = None, retry: bool | None = None) -> None:
        super().__init__(*([] if message is None else [message]))
        self.retry = retry


class RetryTask(Exception):
    """Raised by a task to be run again; uses none of its retries up.

    ``delay`` is seconds or a timedelta, ``eta`` a datetime; with neither the
    task's own retry_delay counts.
    """

    def __init__(
        self,
        message: object = None,
        eta: dt.datetime | None = None,
        delay: float | dt.timedelta | None = None,
    ) -> None:
        super().__init__(*([] if message is None else [message]))
        self.eta = eta
        self.delay = delay


class CommandError(QueueError):
    """A command ended by a signal or another exit code than 0.

    ``code`` is the exit code, or minus the signal; ``output`` the end of what
    it wrote.
    """

    def __init__(self, command: str, code: int, output: str) -> None:
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        super().__init__(f"{command}: {how}" + (f"\n{output}" if output else ""))
        self.code = code
        self.output = output
