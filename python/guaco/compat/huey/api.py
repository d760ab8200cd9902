"""Huey's API in one module."""

from __future__ import annotations

import logging
from typing import Any

from guaco.compat.huey import storage as _s
from guaco.compat.huey._crontab import crontab, dash_re, every_re
from guaco.compat.huey._group import chord, group
from guaco.compat.huey._huey import Huey
from guaco.compat.huey._lock import RateLimit, TaskLock
from guaco.compat.huey._result import ChordResult, Result, ResultGroup
from guaco.compat.huey._task import PeriodicTask, Task, TaskWrapper
from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.exceptions import (
    CancelExecution,
    ConfigurationError,
    HueyException,
    RateLimitExceeded,
    ResultTimeout,
    RetryTask,
    TaskException,
    TaskLockedException,
    TaskTimeout,
)
from guaco.compat.huey.utils import SKIPPED, ChordConfig, Error

logger = logging.getLogger("huey")


class BlackHoleHuey(Huey):
    """Keeps nothing."""

    storage_class: Any = _s.BlackHoleStorage


class MemoryHuey(Huey):
    """In this process's memory."""

    storage_class: Any = _s.MemoryStorage


class SqliteHuey(Huey):
    """In a SQLite file."""

    storage_class: Any = _s.SqliteStorage


class CySqliteHuey(Huey):
    """In a SQLite file, by the driver cysqlite."""

    storage_class: Any = _s.CySqliteStorage


class PostgresHuey(Huey):
    """In PostgreSQL, by psycopg."""

    storage_class: Any = _s.PostgresStorage


class RedisHuey(Huey):
    """In Redis, by redis-py."""

    storage_class: Any = _s.RedisStorage


class RedisExpireHuey(RedisHuey):
    """In Redis; results expire."""

    storage_class: Any = _s.RedisExpireStorage


class PriorityRedisHuey(RedisHuey):
    """In Redis, with priorities."""

    storage_class: Any = _s.PriorityRedisStorage


class PriorityRedisExpireHuey(RedisHuey):
    """In Redis, with priorities; results expire."""

    storage_class: Any = _s.PriorityRedisExpireStorage


class FileHuey(Huey):
    """In the files of a folder."""

    storage_class: Any = _s.FileStorage


__all__ = [
    "BlackHoleHuey",
    "CancelExecution",
    "ChordConfig",
    "ChordResult",
    "ConfigurationError",
    "CySqliteHuey",
    "EmptyData",
    "Error",
    "FileHuey",
    "Huey",
    "HueyException",
    "MemoryHuey",
    "PeriodicTask",
    "PostgresHuey",
    "PriorityRedisExpireHuey",
    "PriorityRedisHuey",
    "RateLimit",
    "RateLimitExceeded",
    "RedisExpireHuey",
    "RedisHuey",
    "Result",
    "ResultGroup",
    "ResultTimeout",
    "RetryTask",
    "SKIPPED",
    "SqliteHuey",
    "Task",
    "TaskException",
    "TaskLock",
    "TaskLockedException",
    "TaskTimeout",
    "TaskWrapper",
    "chord",
    "crontab",
    "dash_re",
    "every_re",
    "group",
]
