"""Guaco: one native runtime for Python backends."""

from typing import TYPE_CHECKING, Any

from guaco._core import (
    ClientDisconnected,
    Error,
    PayloadError,
    __version__,
)

if TYPE_CHECKING:
    from guaco import profile
    from guaco._queue_batch import BatchTask
    from guaco._queue_compose import Chord, Group, ResultGroup, chord, group
    from guaco._queue_crontab import Crontab, crontab
    from guaco._queue_errors import (
        CancelExecution,
        CommandError,
        QueueError,
        RateLimitExceeded,
        ResultTimeout,
        RetryTask,
        TaskCanceled,
        TaskDead,
        TaskException,
        TaskExpired,
        TaskLocked,
        TaskTimeout,
    )
    from guaco._queue_lock import Lock, RateLimit
    from guaco._queue_result import Event, Result
    from guaco._queue_rules import Limit, Unique
    from guaco._queue_task import (
        PeriodicTask,
        Task,
        TaskWrapper,
        current_task,
    )
    from guaco._run import run
    from guaco._server import Server
    from guaco.queue import MemoryQueue, PostgresQueue, Queue, RedisQueue, SqliteQueue

__all__ = [
    "BatchTask",
    "CancelExecution",
    "CommandError",
    "Chord",
    "ClientDisconnected",
    "Crontab",
    "Error",
    "Event",
    "Group",
    "Limit",
    "Lock",
    "MemoryQueue",
    "PayloadError",
    "PeriodicTask",
    "Queue",
    "QueueError",
    "RateLimit",
    "RateLimitExceeded",
    "PostgresQueue",
    "RedisQueue",
    "Result",
    "ResultGroup",
    "ResultTimeout",
    "RetryTask",
    "Server",
    "SqliteQueue",
    "Task",
    "TaskCanceled",
    "TaskDead",
    "TaskException",
    "TaskExpired",
    "TaskLocked",
    "TaskTimeout",
    "TaskWrapper",
    "Unique",
    "__version__",
    "chord",
    "crontab",
    "current_task",
    "profile",
    "group",
    "run",
]

# What brings asyncio with it is imported when somebody asks for it.
_LAZY = {
    "BatchTask": "guaco._queue_batch",
    "CancelExecution": "guaco._queue_errors",
    "CommandError": "guaco._queue_errors",
    "Chord": "guaco._queue_compose",
    "Crontab": "guaco._queue_crontab",
    "Event": "guaco._queue_result",
    "Group": "guaco._queue_compose",
    "Limit": "guaco._queue_rules",
    "Lock": "guaco._queue_lock",
    "MemoryQueue": "guaco.queue",
    "PeriodicTask": "guaco._queue_task",
    "Queue": "guaco.queue",
    "QueueError": "guaco._queue_errors",
    "RateLimit": "guaco._queue_lock",
    "RateLimitExceeded": "guaco._queue_errors",
    "PostgresQueue": "guaco.queue",
    "RedisQueue": "guaco.queue",
    "Result": "guaco._queue_result",
    "ResultGroup": "guaco._queue_compose",
    "ResultTimeout": "guaco._queue_errors",
    "RetryTask": "guaco._queue_errors",
    "Server": "guaco._server",
    "SqliteQueue": "guaco.queue",
    "Task": "guaco._queue_task",
    "TaskCanceled": "guaco._queue_errors",
    "TaskDead": "guaco._queue_errors",
    "TaskException": "guaco._queue_errors",
    "TaskExpired": "guaco._queue_errors",
    "TaskLocked": "guaco._queue_errors",
    "TaskTimeout": "guaco._queue_errors",
    "TaskWrapper": "guaco._queue_task",
    "Unique": "guaco._queue_rules",
    "chord": "guaco._queue_compose",
    "crontab": "guaco._queue_crontab",
    "current_task": "guaco._queue_task",
    "group": "guaco._queue_compose",
    "run": "guaco._run",
}


def __getattr__(name: str) -> Any:
    if name == "profile":
        import guaco.profile

        return guaco.profile
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
