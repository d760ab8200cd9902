"""The storages."""

from __future__ import annotations

from guaco.compat.huey._storage_base import (
    BaseStorage,
    BlackHoleStorage,
    MemoryStorage,
)
from guaco.compat.huey._storage_file import FileStorage
from guaco.compat.huey._storage_postgres import PostgresStorage
from guaco.compat.huey._storage_redis import (
    SCHEDULE_POP_LUA,
    ConnectionPool as ConnectionPool,
    PriorityRedisExpireStorage,
    PriorityRedisStorage,
    Redis,
    RedisExpireStorage,
    RedisPriorityQueue,
    RedisStorage,
)
from guaco.compat.huey._storage_sql import (
    BaseSqlStorage,
    CySqliteStorage,
    SqliteStorage,
    cysqlite,
)
from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.exceptions import ConfigurationError
from guaco.compat.huey.utils import FileLock

__all__ = [
    "BaseSqlStorage",
    "BaseStorage",
    "BlackHoleStorage",
    "ConfigurationError",
    "ConnectionPool",
    "CySqliteStorage",
    "EmptyData",
    "FileLock",
    "FileStorage",
    "MemoryStorage",
    "PostgresStorage",
    "PriorityRedisExpireStorage",
    "PriorityRedisStorage",
    "Redis",
    "RedisExpireStorage",
    "RedisPriorityQueue",
    "RedisStorage",
    "SCHEDULE_POP_LUA",
    "SqliteStorage",
    "cysqlite",
]
