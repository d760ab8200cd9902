"""A semaphore in Redis."""

from __future__ import annotations

import functools
import threading
import uuid
from collections.abc import Callable
from typing import Any

from guaco.compat.huey._storage_redis import RedisStorage
from guaco.compat.huey.exceptions import (
    ConfigurationError,
    TaskLockedException,
)

ACQUIRE_LUA = """
local now = redis.call('time')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
redis.call('zremrangebyscore', KEYS[1], '-inf', now - tonumber(ARGV[2]))
if not redis.call('zscore', KEYS[1], ARGV[3]) and
        redis.call('zcard', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('zadd', KEYS[1], now, ARGV[3])
redis.call('expire', KEYS[1], math.ceil(tonumber(ARGV[2])) + 1)
return 1
"""

RENEW_LUA = """
local now = redis.call('time')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
if not redis.call('zscore', KEYS[1], ARGV[2]) then return 0 end
redis.call('zadd', KEYS[1], now, ARGV[2])
redis.call('expire', KEYS[1], math.ceil(tonumber(ARGV[1])) + 1)
return 1
"""

TIMEOUT_S = 300.0


class RedisSemaphore:
    """At most ``value`` holders; one that died is forgotten after timeout
    seconds."""

    def __init__(
        self,
        huey: Any,
        name: str,
        value: int = 1,
        timeout: float | None = None,
    ) -> None:
        self.huey = huey
        self.key = f"{huey.name}.lock.{name}"
        self.value = value
        self.timeout = timeout or TIMEOUT_S

    @property
    def conn(self) -> Any:
        """The client of Redis."""
        if not isinstance(self.huey.storage, RedisStorage):
            raise ConfigurationError("RedisSemaphore needs a RedisHuey")
        return self.huey.storage.conn

    def acquire(self, name: str | None = None) -> str | None:
        """Take a slot; its name, or None when there is none."""
        holder = name or str(uuid.uuid4())
        script = self.conn.register_script(ACQUIRE_LUA)
        args = [self.value, self.timeout, holder]
        return holder if script(keys=[self.key], args=args) else None

    def renew(self, name: str) -> bool:
        """Hold it on; False when it was lost."""
        script = self.conn.register_script(RENEW_LUA)
        return bool(script(keys=[self.key], args=[self.timeout, name]))

    def release(self, name: str) -> int:
        """Give it back; how many there were of it."""
        return int(self.conn.zrem(self.key, name))

    def _renew_until(self, name: str, stop: threading.Event) -> None:
        while not stop.wait(self.timeout / 3):
            self.renew(name)


def lock_task_semaphore(
    huey: Any, lock_name: str, value: int = 1, timeout: float | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """At most ``value`` runs of a task at a time; TaskLockedException."""
    semaphore = RedisSemaphore(huey, lock_name, value, timeout)

    def decorator(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def inner(*args: Any, **kwargs: Any) -> Any:
            holder = semaphore.acquire()
            if holder is None:
                raise TaskLockedException(f"unable to acquire lock {lock_name}")
            stop = threading.Event()
            renewing = threading.Thread(
                target=semaphore._renew_until, args=(holder, stop), daemon=True
            )
            renewing.start()
            try:
                return fn(*args, **kwargs)
            finally:
                stop.set()
                semaphore.release(holder)

        return inner

    return decorator
