"""Storages in Redis, with Huey's keys; by redis-py."""

from __future__ import annotations

import functools
import importlib
import re
import struct
import time
from collections.abc import Iterable
from typing import Any

from guaco.compat.huey._claims import (
    DEATHS_MAX,
    LEASE_S,
    Claiming,
    Receipt,
    is_dead,
)
from guaco.compat.huey._storage_base import BaseStorage, text, unix_time
from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.exceptions import ConfigurationError
from guaco.compat.huey.utils import encode

ConnectionPool: Any = None
Redis: Any = None
TimeoutError: Any = OSError
try:
    _redis: Any = importlib.import_module("redis")
except ImportError:
    pass
else:
    ConnectionPool, Redis = _redis.ConnectionPool, _redis.Redis
    TimeoutError = _redis.exceptions.TimeoutError

SCHEDULE_POP_LUA = """
local due = redis.call('zrangebyscore', KEYS[1], '-inf', tonumber(ARGV[1]))
if #due > 0 then
    redis.call('zremrangebyscore', KEYS[1], '-inf', tonumber(ARGV[1]))
end
return due
"""

PROMOTE_LUA = """
if redis.call('zrem', KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[3] == '' then redis.call('lpush', KEYS[2], ARGV[2])
else redis.call('zadd', KEYS[2], ARGV[3], ARGV[2]) end
return 1
"""

# Entries of a claim list: the data; of a priority queue: the score as 8 bytes
# before the member.
GIVE_BACK_LUA = """
if redis.call('lrem', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
if ARGV[2] == '0' then redis.call('rpush', KEYS[2], ARGV[1])
else redis.call('zadd', KEYS[2], struct.unpack('>d', ARGV[1]),
                string.sub(ARGV[1], 9)) end
return 1
"""

CLAIM_PRIORITY_LUA = """
local first = redis.call('zpopmin', KEYS[1])
if #first == 0 then return false end
local entry = struct.pack('>d', tonumber(first[2])) .. first[1]
redis.call('lpush', KEYS[2], entry)
return entry
"""

REAP_LUA = """
local count, aside = 0, {}
for _, entry in ipairs(redis.call('lrange', KEYS[1], 0, -1)) do
    local digest = redis.sha1hex(entry)
    if redis.call('hincrby', KEYS[3], digest, 1) < tonumber(ARGV[2]) then
        count = count + 1
        if ARGV[1] == '0' then redis.call('rpush', KEYS[2], entry)
        else redis.call('zadd', KEYS[2], struct.unpack('>d', entry),
                        string.sub(entry, 9)) end
    else
        redis.call('hdel', KEYS[3], digest)
        redis.call('lpush', KEYS[4], entry)
        aside[#aside + 1] = entry
    end
end
redis.call('del', KEYS[1])
redis.call('srem', KEYS[5], ARGV[3])
return {count, aside}
"""

ASIDE_LUA = """
if redis.call('lrem', KEYS[1], 1, ARGV[1]) == 1 then
    redis.call('lpush', KEYS[2], ARGV[1])
end
"""

SETTLE_LUA = """
if redis.call('lrem', KEYS[1], 1, ARGV[1]) == 1 and
        redis.call('exists', KEYS[2]) == 1 then
    redis.call('hdel', KEYS[2], redis.sha1hex(ARGV[1]))
end
"""


def _client(
    connection_pool: Any, url: str | None, params: dict[str, Any]
) -> tuple[Any, Any]:
    if Redis is None:
        raise ConfigurationError("RedisHuey needs the package redis: "
                                 "pip install redis")
    given = {k: v for k, v in params.items() if v is not None}
    location = {"host", "port", "db", "unix_socket_path"} & set(given)
    if sum(map(bool, (url, connection_pool, location))) > 1:
        raise ConfigurationError(
            "The connection configuration is over-determined. Please specify "
            "only one of: the url, connection_pool, or the host/port/db."
        )
    if url:
        connection_pool = ConnectionPool.from_url(url, **given)
    elif connection_pool is None:
        if isinstance(given.get("port"), str):
            given["port"] = int(given["port"])
        return None, given
    return connection_pool, {}


class RedisStorage(Claiming, BaseStorage):
    """In Redis: a list, a sorted set for the schedule, hashes for results
    and counters."""

    priority = False
    redis_client: Any = Redis

    def __init__(
        self,
        name: str = "huey",
        blocking: bool = True,
        read_timeout: float = 1,
        connection_pool: Any = None,
        url: str | None = None,
        client_name: str | None = None,
        notify_result: bool = False,
        notify_result_ttl: int = 60,
        clean_name: bool = True,
        **connection_params: Any,
    ) -> None:
        pool, params = _client(connection_pool, url, connection_params)
        if pool is None:
            self.conn = self.redis_client(**params)
        else:
            self.conn = self.redis_client(connection_pool=pool)
        self.pool = self.conn.connection_pool
        super().__init__(self.clean_name(name) if clean_name else name)
        self.blocking = blocking
        self.read_timeout = read_timeout
        self.client_name = client_name
        self.notify_result = notify_result
        self._notify_result_ttl = notify_result_ttl
        self.queue_key = f"huey.redis.{self.name}"
        self.schedule_key = f"huey.schedule.{self.name}"
        self.result_hash = self.result_key_prefix()
        self.counter_hash = f"huey.counters.{self.name}"
        self.notify_prefix = f"huey.notify.{self.name}."
        self._pop = self.conn.register_script(SCHEDULE_POP_LUA)
        if client_name is not None:
            self.conn.client_setname(client_name)

    def result_key_prefix(self) -> str:
        """The hash of the results."""
        return f"huey.results.{self.name}"

    def clean_name(self, name: str) -> str:
        """The name as it stands in keys."""
        return re.sub(r"[^A-Za-z0-9_]", "", name)

    def convert_ts(self, ts: Any) -> float:
        """A datetime as a score."""
        return unix_time(ts)

    @functools.cached_property
    def supports_hash_ttl(self) -> bool:
        """Whether a field of a hash can expire: Redis 7.4."""
        version = self.conn.info("server")["redis_version"]
        return tuple(map(int, version.split(".")[:2])) >= (7, 4)

    def _script(self, source: str, keys: list[str], *args: Any) -> Any:
        return self.conn.register_script(source)(keys=keys, args=args)

    def close(self) -> Any:
        self.pool.disconnect()

    # ---- the queue ----

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        if priority:
            raise NotImplementedError("Task priorities are not supported by "
                                      "this storage: use PriorityRedisHuey")
        self.conn.lpush(self.queue_key, data)

    def dequeue(self) -> bytes | None:
        if self.blocking:
            try:
                found = self.conn.brpop(self.queue_key, timeout=self.read_timeout)
            except TimeoutError:
                return None
            return None if found is None else bytes(found[1])
        data = self.conn.rpop(self.queue_key)
        return None if data is None else bytes(data)

    _claiming_dequeue = dequeue

    def queue_size(self) -> int:
        return int(self.conn.llen(self.queue_key))

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        start = 0 if limit is None else -limit
        return list(self.conn.lrange(self.queue_key, start, -1)[::-1])

    def flush_queue(self) -> Any:
        self.conn.delete(self.queue_key)

    # ---- claims ----

    _is_scored = "0"

    def _guaco_key(self, what: str) -> str:
        return f"huey.guaco.{what}.{self.name}"

    def _enrol(self, owner: str) -> None:
        key = self._guaco_key("owners")
        with self.conn.pipeline() as pipe:
            pipe.set(f"{key}.{owner}", 1, ex=int(LEASE_S))
            pipe.sadd(key, owner)
            pipe.execute()

    def _claim_key(self, owner: str) -> str:
        return self._guaco_key("claim") + "." + owner

    def _claim_entry(self, key: str) -> Any:
        if not self.blocking:
            return self.conn.rpoplpush(self.queue_key, key)
        try:
            return self.conn.brpoplpush(
                self.queue_key, key, timeout=self.read_timeout
            )
        except TimeoutError:
            return None

    def claim(self) -> Receipt | None:
        key = self._claim_key(self._own())
        self._heart.hold()  # before it is there: it may take its time
        entry = None
        try:
            entry = self._claim_entry(key)
        finally:
            if entry is None:
                self._heart.drop()
        return None if entry is None else self._receipt_of(bytes(entry))

    def _receipt_of(self, entry: bytes) -> Receipt:
        return Receipt(entry, entry, 0.0)

    def settle(self, receipt: Receipt) -> None:
        keys = [self._claim_key(self._owner), self._guaco_key("deaths")]
        try:
            self._script(SETTLE_LUA, keys, receipt.key)
        finally:
            self._heart.drop()

    def give_back(self, receipt: Receipt) -> None:
        keys = [self._claim_key(self._owner), self.queue_key]
        try:
            self._script(GIVE_BACK_LUA, keys, receipt.key, self._is_scored)
        finally:
            self._heart.drop()

    def put_aside(self, receipt: Receipt) -> None:
        keys = [self._claim_key(self._owner), self._guaco_key("dead")]
        try:
            self._script(ASIDE_LUA, keys, receipt.key)
        finally:
            self._heart.drop()

    def reap(self) -> tuple[int, list[bytes]]:
        count, aside = 0, []
        owners = self._guaco_key("owners")
        for member in self.conn.smembers(owners):
            owner = text(member)
            dead = is_dead(owner)
            if dead is None:
                dead = not self.conn.exists(f"{owners}.{owner}")
            if not dead:
                continue
            keys = [
                self._claim_key(owner),
                self.queue_key,
                self._guaco_key("deaths"),
                self._guaco_key("dead"),
                owners,
            ]
            returned, entries = self._script(
                REAP_LUA, keys, self._is_scored, DEATHS_MAX, owner
            )
            count += int(returned)
            aside += [self._receipt_of(bytes(e)).data for e in entries]
        return count, aside

    # ---- the schedule ----

    def add_to_schedule(self, data: bytes, ts: Any) -> Any:
        self.conn.zadd(self.schedule_key, {data: self.convert_ts(ts)})

    def read_schedule(self, ts: Any) -> list[bytes]:
        found = self._pop(keys=[self.schedule_key], args=[self.convert_ts(ts)])
        return list(found or ())

    _claiming_read_schedule = read_schedule

    def due_items(self, ts: Any, limit: int = 500) -> list[tuple[Any, bytes]]:
        """What is due, left where it is: see promote()."""
        found = self.conn.zrangebyscore(
            self.schedule_key, "-inf", self.convert_ts(ts), 0, limit
        )
        return [(data, bytes(data)) for data in found]

    def promote(self, key: Any, data: bytes, priority: float | None) -> bool:
        """Move a due item to the queue as data; False: another did."""
        if priority:
            raise NotImplementedError("Task priorities are not supported by "
                                      "this storage: use PriorityRedisHuey")
        keys = [self.schedule_key, self.queue_key]
        return bool(self._script(PROMOTE_LUA, keys, key, data, ""))

    def drop_due(self, key: Any) -> None:
        """Delete a due item that cannot be read."""
        self.conn.zrem(self.schedule_key, key)

    def schedule_size(self) -> int:
        return int(self.conn.zcard(self.schedule_key))

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        end = -1 if limit is None else limit - 1
        return list(self.conn.zrange(self.schedule_key, 0, end))

    def flush_schedule(self) -> Any:
        self.conn.delete(self.schedule_key)

    # ---- keys and values ----

    def _notify(self, key: Any) -> None:
        name = self.notify_prefix + text(key)
        with self.conn.pipeline() as pipe:
            pipe.lpush(name, 1)
            pipe.expire(name, self._notify_result_ttl)
            pipe.execute()

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        self.conn.hset(self.result_hash, key, value)
        if is_result and self.notify_result:
            self._notify(key)

    def peek_data(self, key: Any) -> Any:
        value = self.conn.hget(self.result_hash, key)
        return EmptyData if value is None else value

    def peek_many(self, keys: Iterable[Any]) -> dict[Any, bytes]:
        names = list(keys)
        if not names:
            return {}
        values = self.conn.hmget(self.result_hash, names)
        return {
            k: v for k, v in zip(names, values, strict=True) if v is not None
        }

    def pop_data(self, key: Any) -> Any:
        with self.conn.pipeline() as pipe:
            pipe.hget(self.result_hash, key)
            pipe.hdel(self.result_hash, key)
            value = pipe.execute()[0]
        return EmptyData if value is None else value

    def delete_data(self, key: Any) -> bool:
        return bool(self.conn.hdel(self.result_hash, key))

    def wait_result(
        self,
        key: Any,
        timeout: float | None = None,
        backoff: float = 1.15,
        max_delay: float = 1.0,
    ) -> bool:
        if not self.notify_result:
            return super().wait_result(key, timeout, backoff, max_delay)
        name = self.notify_prefix + text(key)
        end = None if timeout is None else time.monotonic() + timeout
        while not self.has_data_for_key(key):
            left = 1.0 if end is None else min(1.0, end - time.monotonic())
            if left <= 0:
                return False
            try:
                found = self.conn.blpop(name, timeout=max(left, 0.01))
            except TimeoutError:
                found = None
            if found is not None:
                if self.has_data_for_key(key):
                    self._notify(key)  # others may wait for it too
                return True
        return True

    def has_data_for_key(self, key: Any) -> bool:
        return bool(self.conn.hexists(self.result_hash, key))

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        if ttl is None:
            return bool(self.conn.hsetnx(self.result_hash, key, value))
        if not self.supports_hash_ttl:
            raise NotImplementedError("a lock's ttl needs Redis 7.4, or "
                                      "RedisExpireHuey")
        script = (
            "if redis.call('hsetnx', KEYS[1], ARGV[1], ARGV[2]) == 0 then "
            "return 0 end redis.call('hpexpire', KEYS[1], ARGV[3], 'FIELDS', "
            "1, ARGV[1]) return 1"
        )
        ms = max(1, round(ttl * 1000))
        return bool(self._script(script, [self.result_hash], key, value, ms))

    def incr(self, key: Any, amount: int = 1) -> int:
        return int(self.conn.hincrby(self.counter_hash, key, amount))

    def delete_counter(self, key: Any) -> Any:
        self.conn.hdel(self.counter_hash, key)

    def result_store_size(self) -> int:
        return int(self.conn.hlen(self.result_hash))

    def result_items(self) -> dict[str, bytes]:
        found = self.conn.hgetall(self.result_hash)
        return {text(k): v for k, v in found.items()}

    def flush_results(self) -> Any:
        self.conn.delete(self.result_hash)

    def flush_counters(self) -> Any:
        self.conn.delete(self.counter_hash)


class RedisExpireStorage(RedisStorage):
    """As RedisStorage, but each result is a key that expires, and reading it
    leaves it there."""

    def __init__(
        self,
        name: str = "huey",
        expire_time: int = 86400,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, *args, **kwargs)
        self._expire_time = expire_time
        self.result_prefix = f"huey.r.{self.name}.".encode()
        self.counter_prefix = f"huey.c.{self.name}.".encode()

    def result_key(self, key: Any) -> bytes:
        """The key of a result."""
        return self.result_prefix + bytes(encode(key))

    def counter_key(self, key: Any) -> bytes:
        """The key of a counter."""
        return self.counter_prefix + bytes(encode(key))

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        self.conn.set(
            self.result_key(key),
            value,
            ex=self._expire_time if is_result else None,
        )
        if is_result and self.notify_result:
            self._notify(key)

    def peek_data(self, key: Any) -> Any:
        value = self.conn.get(self.result_key(key))
        return EmptyData if value is None else value

    def peek_many(self, keys: Iterable[Any]) -> dict[Any, bytes]:
        names = list(keys)
        if not names:
            return {}
        values = self.conn.mget([self.result_key(k) for k in names])
        return {
            k: v for k, v in zip(names, values, strict=True) if v is not None
        }

    def pop_data(self, key: Any) -> Any:
        return self.peek_data(key)

    def delete_data(self, key: Any) -> bool:
        return bool(self.conn.delete(self.result_key(key)))

    def has_data_for_key(self, key: Any) -> bool:
        return bool(self.conn.exists(self.result_key(key)))

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        ms = None if ttl is None else max(1, round(ttl * 1000))
        return bool(self.conn.set(self.result_key(key), value, nx=True, px=ms))

    def incr(self, key: Any, amount: int = 1) -> int:
        name = self.counter_key(key)
        with self.conn.pipeline() as pipe:
            pipe.incrby(name, amount)
            pipe.expire(name, self._expire_time)
            return int(pipe.execute()[0])

    def delete_counter(self, key: Any) -> Any:
        self.conn.delete(self.counter_key(key))

    def _keys_of(self, prefix: bytes) -> list[bytes]:
        pattern = re.sub(rb"([\\\[\]*?])", rb"\\\1", prefix) + b"*"
        return list(self.conn.scan_iter(match=pattern, count=500))

    def _result_keys(self) -> list[bytes]:
        return self._keys_of(self.result_prefix)

    def _counter_keys(self) -> list[bytes]:
        return self._keys_of(self.counter_prefix)

    def result_store_size(self) -> int:
        return len(self._result_keys())

    def result_items(self) -> dict[str, bytes]:
        keys = self._result_keys()
        if not keys:
            return {}
        values = self.conn.mget(keys)
        head = len(self.result_prefix)
        return {
            text(k[head:]): v
            for k, v in zip(keys, values, strict=True)
            if v is not None
        }

    def flush_results(self) -> Any:
        if keys := self._result_keys():
            self.conn.delete(*keys)

    def flush_counters(self) -> Any:
        if keys := self._counter_keys():
            self.conn.delete(*keys)


class RedisPriorityQueue:
    """A sorted set for the queue: Redis 5 and later."""

    priority = True
    _is_scored = "1"
    conn: Any
    queue_key: str
    blocking: bool
    read_timeout: float

    def _member(self, data: bytes) -> bytes:
        """In order of time, and unlike any other."""
        return struct.pack(">Q", time.time_ns() // 1000) + bytes(data)

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        """Add a task."""
        score = -priority if priority else 0
        self.conn.zadd(self.queue_key, {self._member(data): score})

    def dequeue(self) -> bytes | None:
        """Take the first task out."""
        if self.blocking:
            try:
                found = self.conn.bzpopmin(
                    self.queue_key, timeout=self.read_timeout
                )
            except TimeoutError:
                return None
            return None if found is None else bytes(found[1][8:])
        items = self.conn.zpopmin(self.queue_key)
        return bytes(items[0][0][8:]) if items else None

    _claiming_dequeue = dequeue

    def _claim_entry(self, key: str) -> Any:
        """No blocking command moves the first of a sorted set: ask again."""
        end = time.monotonic() + (self.read_timeout if self.blocking else 0)
        delay = 0.005
        script = self.conn.register_script(CLAIM_PRIORITY_LUA)
        while True:
            entry = script(keys=[self.queue_key, key])
            left = end - time.monotonic()
            if entry is not None or left <= 0:
                return entry
            time.sleep(min(delay, left))
            delay = min(delay * 1.5, 0.05)

    def _receipt_of(self, entry: bytes) -> Receipt:
        (score,) = struct.unpack(">d", entry[:8])
        return Receipt(entry, entry[16:], -score)

    def promote(self, key: Any, data: bytes, priority: float | None) -> bool:
        """Move a due item to the queue as data; False: another did."""
        score = -priority if priority else 0
        keys = [self.schedule_key, self.queue_key]  # type: ignore[attr-defined]
        moved = self._script(  # type: ignore[attr-defined]
            PROMOTE_LUA, keys, key, self._member(data), score
        )
        return bool(moved)

    def queue_size(self) -> int:
        """How many there are."""
        return int(self.conn.zcard(self.queue_key))

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        """The tasks, first to be taken first."""
        end = -1 if limit is None else limit - 1
        return [bytes(m[8:]) for m in self.conn.zrange(self.queue_key, 0, end)]


class PriorityRedisStorage(RedisPriorityQueue, RedisStorage):
    """As RedisStorage, with priorities."""


class PriorityRedisExpireStorage(RedisPriorityQueue, RedisExpireStorage):
    """As RedisExpireStorage, with priorities."""


