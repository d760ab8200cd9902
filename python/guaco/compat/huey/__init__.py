"""Huey 3.5's API over Guaco: write ``guaco.compat.huey`` for ``huey``.

Or change nothing and start the program by ``python -m guaco.compat huey
script.py``, the consumer by ``python -m guaco.compat huey_consumer app.huey``.
What is stored has Huey's form, so a queue that Huey filled is worked off, and
the way back is open.  Unlike there, a task that is being run stays in the
storage until it has ended: see docs/queue.md.
"""

from guaco.compat.huey.api import (
    BlackHoleHuey,
    CySqliteHuey,
    FileHuey,
    Huey,
    MemoryHuey,
    PostgresHuey,
    PriorityRedisExpireHuey,
    PriorityRedisHuey,
    RedisExpireHuey,
    RedisHuey,
    SqliteHuey,
    chord,
    crontab,
    group,
)
from guaco.compat.huey.exceptions import CancelExecution, RetryTask
from guaco.compat.huey.utils import SKIPPED, Error

__version__ = "3.5.4"

__all__ = [
    "BlackHoleHuey",
    "CancelExecution",
    "CySqliteHuey",
    "Error",
    "FileHuey",
    "Huey",
    "MemoryHuey",
    "PostgresHuey",
    "PriorityRedisExpireHuey",
    "PriorityRedisHuey",
    "RedisExpireHuey",
    "RedisHuey",
    "RetryTask",
    "SKIPPED",
    "SqliteHuey",
    "chord",
    "crontab",
    "group",
]
