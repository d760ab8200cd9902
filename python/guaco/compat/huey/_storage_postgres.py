"""A storage in PostgreSQL, with Huey's tables; by psycopg 3."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from guaco.compat.huey._storage_base import text, unix_time
from guaco.compat.huey._storage_sql import BaseSqlStorage
from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.exceptions import ConfigurationError

psycopg: Any = None
with contextlib.suppress(ImportError):
    psycopg = importlib.import_module("psycopg")

_CHANNEL_MAX = 63
"""Bytes of a name, in PostgreSQL."""


class PostgresStorage(BaseSqlStorage):
    """Four tables, and a channel that wakes those who wait for tasks."""

    def __init__(
        self,
        name: str = "huey",
        dsn: str | None = None,
        connection: Callable[[], Any] | None = None,
        blocking: bool = True,
        read_timeout: float = 1,
        table_prefix: str = "huey",
        create_tables: bool = True,
        **connection_params: Any,
    ) -> None:
        if psycopg is None:
            raise ConfigurationError("PostgresHuey needs the package psycopg: "
                                     "pip install 'psycopg[binary]'")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", table_prefix):
            raise ConfigurationError("table_prefix must be a plain name")
        super().__init__(name)
        self._dsn = dsn
        self._connection = connection
        self._params = connection_params
        self.blocking = blocking
        self.read_timeout = read_timeout
        self.prefix = table_prefix
        self.channel = f"{table_prefix}.q.{name}"
        if len(self.channel.encode()) > _CHANNEL_MAX:
            self.channel = "huey.q." + hashlib.md5(name.encode()).hexdigest()
        self._listen_local = threading.local()
        self.ddl = self._ddl()
        if create_tables:
            self.initialize_schema()

    def _ddl(self) -> list[str]:
        p = self.prefix
        return [
            f"create table if not exists {p}_kv (queue text not null, key "
            "text not null, value bytea not null, primary key (queue, key))",
            f"create table if not exists {p}_schedule (id bigserial primary "
            "key, queue text not null, data bytea not null, timestamp double "
            "precision not null)",
            f"create index if not exists {p}_schedule_queue_timestamp on "
            f"{p}_schedule (queue, timestamp)",
            f"create table if not exists {p}_task (id bigserial primary key, "
            "queue text not null, data bytea not null, priority double "
            "precision not null default 0)",
            f"create index if not exists {p}_task_queue_priority_id on "
            f"{p}_task (queue, priority desc, id)",
            f"create table if not exists {p}_counter (queue text not null, "
            "key text not null, value bigint not null default 0, primary key "
            "(queue, key))",
        ]

    # ---- connections ----

    def _connect(self) -> Any:
        if self._connection is not None:
            conn = self._connection()
            conn.autocommit = True
            return conn
        return psycopg.connect(
            self._dsn or "", autocommit=True, **self._params
        )

    def _create_connection(self) -> Any:
        return self._connect()

    @property
    def conn(self) -> Any:
        """The connection; a lost one is opened again."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._conn = None  # the parent's: not ours to close
        if self._conn is not None and (self._conn.closed or self._conn.broken):
            self._close_quiet(self._conn)
            self._conn = None
        if self._conn is None:
            self._conn = self._create_connection()
        return self._conn

    def _close_quiet(self, conn: Any) -> None:
        with contextlib.suppress(Exception):
            conn.close()

    def close(self) -> bool:
        listening = getattr(self._listen_local, "conn", None)
        if listening is not None:
            self._listen_local.conn = None
            if self._listen_local.pid == os.getpid():
                self._close_quiet(listening)
        with self.lock:
            conn, self._conn = self._conn, None
        if conn is None:
            return False
        if self._pid == os.getpid():
            self._close_quiet(conn)
        return True

    @contextlib.contextmanager
    def db(self, commit: bool = False, close: bool = False) -> Iterator[Any]:
        with self.lock:
            conn = self.conn
            try:
                with conn.transaction(), conn.cursor() as cursor:
                    yield cursor
            finally:
                if close:
                    self._conn = None
                    self._close_quiet(conn)

    def initialize_schema(self) -> None:
        """Make the tables that are not there; one process at a time."""
        with self.db(commit=True) as cursor:
            cursor.execute("select pg_advisory_xact_lock(7213045)")
            for sql in self.ddl:
                cursor.execute(sql)

    def _listen_conn(self) -> Any:
        """This thread's connection that listens."""
        local = self._listen_local
        conn = getattr(local, "conn", None)
        if (
            conn is None
            or local.pid != os.getpid()
            or conn.closed
            or conn.broken
        ):
            conn = self._connect()
            conn.execute(f'listen "{self.channel}"')
            local.conn, local.pid = conn, os.getpid()
        return conn

    # ---- the queue ----

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        with self.db(commit=True) as cursor:
            cursor.execute(
                f"insert into {self.prefix}_task (queue, data, priority) "
                "values (%s, %s, %s)",
                (self.name, data, priority or 0),
            )
            cursor.execute("select pg_notify(%s, '')", (self.channel,))

    def _dequeue(self) -> bytes | None:
        p = self.prefix
        with self.db(commit=True) as cursor:
            cursor.execute(
                f"delete from {p}_task where id = (select id from {p}_task "
                "where queue = %s order by priority desc, id limit 1 for "
                "update skip locked) returning data",
                (self.name,),
            )
            row = cursor.fetchone()
        return None if row is None else bytes(row[0])

    def dequeue(self) -> bytes | None:
        data = self._dequeue()
        if data is not None or not self.blocking:
            return data
        conn = self._listen_conn()
        data = self._dequeue()  # what came before it listened
        if data is not None:
            return data
        for _ in conn.notifies(timeout=self.read_timeout, stop_after=1):
            pass
        return self._dequeue()

    def _one(self, sql: str, params: Iterable[Any]) -> Any:
        with self.db() as cursor:
            cursor.execute(sql, tuple(params))
            return cursor.fetchone()

    def _count(self, table: str) -> int:
        sql = f"select count(*) from {self.prefix}_{table} where queue = %s"
        return int(self._one(sql, (self.name,))[0])

    def _items(self, table: str, order: str, limit: int | None) -> list[bytes]:
        rows = self.sql(
            f"select data from {self.prefix}_{table} where queue = %s "
            f"order by {order} limit %s",
            (self.name, limit),
            results=True,
        )
        return [bytes(row[0]) for row in rows]

    def _flush(self, table: str) -> None:
        self.sql(
            f"delete from {self.prefix}_{table} where queue = %s",
            (self.name,),
            commit=True,
        )

    def queue_size(self) -> int:
        return self._count("task")

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        return self._items("task", "priority desc, id", limit)

    def flush_queue(self) -> Any:
        self._flush("task")

    # ---- the schedule ----

    def add_to_schedule(self, data: bytes, ts: Any) -> Any:
        self.sql(
            f"insert into {self.prefix}_schedule (queue, data, timestamp) "
            "values (%s, %s, %s)",
            (self.name, data, unix_time(ts)),
            commit=True,
        )

    def read_schedule(self, ts: Any) -> list[bytes]:
        p = self.prefix
        rows = self.sql(
            f"with due as (delete from {p}_schedule where id in (select id "
            f"from {p}_schedule where queue = %s and timestamp <= %s for "
            "update skip locked) returning id, data, timestamp) select data "
            "from due order by timestamp, id",
            (self.name, unix_time(ts)),
            commit=True,
            results=True,
        )
        return [bytes(row[0]) for row in rows]

    def schedule_size(self) -> int:
        return self._count("schedule")

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        return self._items("schedule", "timestamp, id", limit)

    def flush_schedule(self) -> Any:
        self._flush("schedule")

    # ---- keys and values ----

    def _key(self, key: Any) -> tuple[str, str]:
        return self.name, text(key)

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        self.sql(
            f"insert into {self.prefix}_kv (queue, key, value) values "
            "(%s, %s, %s) on conflict (queue, key) do update set value = "
            "excluded.value",
            (*self._key(key), value),
            commit=True,
        )

    def peek_data(self, key: Any) -> Any:
        row = self._one(
            f"select value from {self.prefix}_kv where queue = %s and "
            "key = %s",
            self._key(key),
        )
        return EmptyData if row is None else bytes(row[0])

    def peek_many(self, keys: Iterable[Any]) -> dict[Any, bytes]:
        wanted = {text(key): key for key in keys}
        rows = self.sql(
            f"select key, value from {self.prefix}_kv where queue = %s and "
            "key = any(%s)",
            (self.name, list(wanted)),
            results=True,
        )
        return {wanted[row[0]]: bytes(row[1]) for row in rows}

    def pop_data(self, key: Any) -> Any:
        row = self._one(
            f"delete from {self.prefix}_kv where queue = %s and key = %s "
            "returning value",
            self._key(key),
        )
        return EmptyData if row is None else bytes(row[0])

    def has_data_for_key(self, key: Any) -> bool:
        sql = f"select 1 from {self.prefix}_kv where queue = %s and key = %s"
        return self._one(sql, self._key(key)) is not None

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        if ttl is not None:
            raise NotImplementedError("a lock in PostgreSQL has no ttl")
        row = self._one(
            f"insert into {self.prefix}_kv (queue, key, value) values "
            "(%s, %s, %s) on conflict do nothing returning 1",
            (*self._key(key), value),
        )
        return row is not None

    def incr(self, key: Any, amount: int = 1) -> int:
        row = self._one(
            f"insert into {self.prefix}_counter as c (queue, key, value) "
            "values (%s, %s, %s) on conflict (queue, key) do update set "
            "value = c.value + excluded.value returning value",
            (*self._key(key), amount),
        )
        return int(row[0])

    def delete_counter(self, key: Any) -> Any:
        self.sql(
            f"delete from {self.prefix}_counter where queue = %s and "
            "key = %s",
            self._key(key),
            commit=True,
        )

    def result_store_size(self) -> int:
        return self._count("kv")

    def result_items(self) -> dict[str, bytes]:
        rows = self.sql(
            f"select key, value from {self.prefix}_kv where queue = %s",
            (self.name,),
            results=True,
        )
        return {row[0]: bytes(row[1]) for row in rows}

    def flush_results(self) -> Any:
        self._flush("kv")

    def flush_counters(self) -> Any:
        self._flush("counter")
