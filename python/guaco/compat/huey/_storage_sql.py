"""Storages in SQLite, with Huey's tables."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
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

cysqlite: Any = None
with contextlib.suppress(ImportError):
    cysqlite = importlib.import_module("cysqlite")

BATCH = 500
"""Variables of one statement: an old SQLite takes 999."""


class BaseSqlStorage(BaseStorage):
    """One connection, used by one thread at a time."""

    begin_sql = "begin"
    ddl: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lock = threading.Lock()
        self._conn: Any = None
        self._pid = os.getpid()

    def close(self) -> bool:
        """Close the connection; False if there was none."""
        with self.lock:
            conn, self._conn = self._conn, None
        if conn is None:
            return False
        conn.close()
        return True

    @property
    def conn(self) -> Any:
        """The connection, opened when it is needed; a forked child's own."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._conn = None
        if self._conn is None:
            self._conn = self._create_connection()
        return self._conn

    def _create_connection(self) -> Any:
        raise NotImplementedError

    @contextlib.contextmanager
    def db(self, commit: bool = False, close: bool = False) -> Iterator[Any]:
        """A cursor; with commit, inside of a transaction."""
        with self.lock:
            conn = self.conn
            cursor = conn.cursor()
            try:
                if commit:
                    cursor.execute(self.begin_sql)
                try:
                    yield cursor
                except BaseException:
                    if commit:
                        cursor.execute("rollback")
                    raise
                if commit:
                    cursor.execute("commit")
            finally:
                cursor.close()
                if close:
                    self._conn = None
                    conn.close()

    def initialize_schema(self) -> None:
        """Make the tables that are not there."""
        is_file = getattr(self, "filename", "") != ":memory:"
        with self.db(commit=True, close=is_file) as cursor:
            for sql in self.ddl:
                cursor.execute(sql)

    def sql(
        self,
        query: str,
        params: Iterable[Any] | None = None,
        commit: bool = False,
        results: bool = False,
    ) -> Any:
        """Run one statement; its rows, with results."""
        with self.db(commit=commit) as cursor:
            cursor.execute(query, tuple(params or ()))
            return cursor.fetchall() if results else None


class SqliteStorage(Claiming, BaseSqlStorage):
    """In a SQLite file."""

    begin_sql = "begin exclusive"
    integrity_error: Any = sqlite3.IntegrityError
    operational_error: Any = sqlite3.OperationalError

    table_kv = (
        "create table if not exists kv (queue text not null, key text not "
        "null, value blob not null, primary key(queue, key))"
    )
    table_sched = (
        "create table if not exists schedule (id integer not null primary "
        "key, queue text not null, data blob not null, timestamp real not null)"
    )
    index_sched = (
        "create index if not exists schedule_queue_timestamp on schedule "
        "(queue, timestamp)"
    )
    table_task = (
        "create table if not exists task (id integer not null primary key, "
        "queue text not null, data blob not null, priority real not null "
        "default 0.0)"
    )
    index_task = (
        "create index if not exists task_queue_priority_id on task (queue, "
        "priority desc, id)"
    )
    drop_index_task = "drop index if exists task_priority_id"
    table_counter = (
        "create table if not exists counter (queue text not null, key text "
        "not null, value integer not null default 0, primary key(queue, key))"
    )
    ddl = [
        table_kv,
        table_sched,
        index_sched,
        table_task,
        index_task,
        drop_index_task,
        table_counter,
    ]
    claims_ddl = [
        "create table if not exists guaco_owner (owner text not null primary "
        "key, beat real not null)",
        "create table if not exists guaco_claim (id integer not null primary "
        "key, queue text not null, owner text not null, task_id integer not "
        "null, data blob not null, priority real not null)",
        "create index if not exists guaco_claim_owner on guaco_claim (owner)",
        "create table if not exists guaco_death (digest blob not null primary "
        "key, deaths integer not null)",
        "create table if not exists guaco_dead (id integer not null primary "
        "key, queue text not null, data blob not null, priority real not "
        "null, since real not null)",
    ]

    def __init__(
        self,
        name: str = "huey",
        filename: str = "huey.db",
        cache_mb: int = 8,
        fsync: bool | None = None,
        journal_mode: str = "wal",
        timeout: float = 5,
        strict_fifo: bool = False,
        create_tables: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(name)
        self.filename = filename
        self._cache_mb = cache_mb
        self._fsync = fsync
        self._journal_mode = journal_mode
        self._timeout = timeout
        self._conn_kwargs = kwargs
        self.to_blob: Any = memoryview
        if strict_fifo:
            self.ddl = [
                sql.replace("primary key,", "primary key autoincrement,")
                if sql is self.table_task else sql
                for sql in self.ddl
            ]
        if create_tables:
            self.initialize_schema()

    def _create_connection(self) -> Any:
        conn = sqlite3.connect(
            self.filename,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            **self._conn_kwargs,
        )
        self._set_journal_mode(conn)
        if self._cache_mb:
            conn.execute(f"pragma cache_size={-1000 * self._cache_mb}")
        if self._fsync is not None:
            conn.execute(f"pragma synchronous={2 if self._fsync else 0}")
        return conn

    def _set_journal_mode(self, conn: Any) -> None:
        """SQLite does not wait by itself for the lock that this needs."""
        end = time.monotonic() + self._timeout
        while True:
            try:
                conn.execute(f"pragma journal_mode={self._journal_mode}")
                return
            except self.operational_error:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.01 * random.uniform(0.5, 1.5))

    # ---- the queue ----

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        self.sql(
            "insert into task (queue, data, priority) values (?, ?, ?)",
            (self.name, self.to_blob(data), priority or 0),
            commit=True,
        )

    _first = (
        "select id, data, priority from task where queue = ? "
        "order by priority desc, id limit 1"
    )

    def _is_empty(self) -> bool:
        """Asked without the lock of a writer."""
        return not self.sql(
            "select 1 from task where queue = ? limit 1",
            (self.name,),
            results=True,
        )

    def dequeue(self) -> bytes | None:
        if self._is_empty():
            return None
        with self.db(commit=True) as cursor:
            cursor.execute(self._first, (self.name,))
            row = cursor.fetchone()
            if row is None:
                return None
            cursor.execute("delete from task where id = ?", (row[0],))
            return bytes(row[1])

    _claiming_dequeue = dequeue

    def queue_size(self) -> int:
        return self._count("task")

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        return self._items("task", "priority desc, id", limit)

    def flush_queue(self) -> Any:
        self._flush("task")

    def _count(self, table: str) -> int:
        sql = f"select count(*) from {table} where queue = ?"
        return int(self.sql(sql, (self.name,), results=True)[0][0])

    def _items(self, table: str, order: str, limit: int | None) -> list[bytes]:
        sql = f"select data from {table} where queue = ? order by {order}"
        if limit is not None:
            sql += f" limit {int(limit)}"
        rows = self.sql(sql, (self.name,), results=True)
        return [bytes(row[0]) for row in rows]

    def _flush(self, table: str) -> None:
        self.sql(
            f"delete from {table} where queue = ?", (self.name,), commit=True
        )

    # ---- claims ----

    def _enrol(self, owner: str) -> None:
        with self.db(commit=True) as cursor:
            for sql in self.claims_ddl:
                cursor.execute(sql)
            cursor.execute(
                "insert or replace into guaco_owner (owner, beat) "
                "values (?, ?)",
                (owner, time.time()),
            )

    def claim(self) -> Receipt | None:
        if self._is_empty():
            return None
        owner = self._own()
        with self.db(commit=True) as cursor:
            cursor.execute(self._first, (self.name,))
            row = cursor.fetchone()
            if row is None:
                return None
            cursor.execute("delete from task where id = ?", (row[0],))
            cursor.execute(
                "insert into guaco_claim (queue, owner, task_id, data, "
                "priority) values (?, ?, ?, ?, ?)",
                (self.name, owner, *row),
            )
            cursor.execute("select last_insert_rowid()")
            key = int(cursor.fetchone()[0])
        self._heart.hold()
        return Receipt((key, row[0]), bytes(row[1]), row[2])

    def _end(self, receipt: Receipt, is_put_back: bool) -> None:
        key, task_id = receipt.key
        with self.db(commit=True) as cursor:
            cursor.execute(
                "delete from guaco_claim where id = ? and owner = ?",
                (key, self._owner),
            )
            if cursor.rowcount == 0:
                return  # it was taken from us, and is somebody else's
            if is_put_back:
                self._put_back(cursor, task_id, receipt.data, receipt.priority)
            else:
                cursor.execute(
                    "delete from guaco_death where digest = ?",
                    (hashlib.sha1(receipt.data).digest(),),
                )

    def settle(self, receipt: Receipt) -> None:
        try:
            self._end(receipt, False)
        finally:
            self._heart.drop()

    def give_back(self, receipt: Receipt) -> None:
        try:
            self._end(receipt, True)
        finally:
            self._heart.drop()

    def put_aside(self, receipt: Receipt) -> None:
        try:
            with self.db(commit=True) as cursor:
                cursor.execute(
                    "delete from guaco_claim where id = ? and owner = ?",
                    (receipt.key[0], self._owner),
                )
                if cursor.rowcount:
                    self._put_dead(cursor, receipt.data, receipt.priority)
        finally:
            self._heart.drop()

    def _put_dead(self, cursor: Any, data: bytes, priority: float) -> None:
        cursor.execute(
            "insert into guaco_dead (queue, data, priority, since) "
            "values (?, ?, ?, ?)",
            (self.name, self.to_blob(data), priority, time.time()),
        )

    def _put_back(
        self, cursor: Any, task_id: int, data: bytes, priority: float
    ) -> None:
        """Where it was, unless its id is another's by now."""
        cursor.execute("select 1 from task where id = ?", (task_id,))
        cursor.execute(
            "insert into task (id, queue, data, priority) values (?, ?, ?, ?)",
            (
                None if cursor.fetchone() else task_id,
                self.name,
                self.to_blob(data),
                priority,
            ),
        )

    def reap(self) -> tuple[int, list[bytes]]:
        self._own()
        rows = self.sql("select owner, beat from guaco_owner", results=True)
        count, aside = 0, []
        for owner, beat in rows:
            dead = is_dead(owner)
            if dead is None:
                dead = time.time() - beat > LEASE_S
            if dead:
                returned, put_aside = self._reap_owner(owner)
                count += returned
                aside += put_aside
        return count, aside

    def _reap_owner(self, owner: str) -> tuple[int, list[bytes]]:
        aside = []
        with self.db(commit=True) as cursor:
            cursor.execute(
                "select id, task_id, data, priority from guaco_claim "
                "where owner = ? and queue = ? order by id",
                (owner, self.name),
            )
            rows = cursor.fetchall()
            for key, task_id, data, priority in rows:
                cursor.execute("delete from guaco_claim where id = ?", (key,))
                if self._count_death(cursor, bytes(data)) < DEATHS_MAX:
                    self._put_back(cursor, task_id, bytes(data), priority)
                    continue
                self._put_dead(cursor, bytes(data), priority)
                aside.append(bytes(data))
            cursor.execute(
                "delete from guaco_owner where owner = ? and not exists "
                "(select 1 from guaco_claim where owner = ?)",
                (owner, owner),
            )
        return len(rows) - len(aside), aside

    def _count_death(self, cursor: Any, data: bytes) -> int:
        digest = hashlib.sha1(data).digest()
        cursor.execute(
            "select deaths from guaco_death where digest = ?", (digest,)
        )
        row = cursor.fetchone()
        deaths = 1 + (int(row[0]) if row else 0)
        if deaths >= DEATHS_MAX:
            cursor.execute(
                "delete from guaco_death where digest = ?", (digest,)
            )
        else:
            cursor.execute(
                "insert or replace into guaco_death (digest, deaths) "
                "values (?, ?)",
                (digest, deaths),
            )
        return deaths

    # ---- the schedule ----

    def add_to_schedule(self, data: bytes, ts: Any) -> Any:
        self.sql(
            "insert into schedule (queue, data, timestamp) values (?, ?, ?)",
            (self.name, self.to_blob(data), unix_time(ts)),
            commit=True,
        )

    _due = (
        "select id, data from schedule where queue = ? and timestamp <= ? "
        "order by timestamp, id"
    )

    def read_schedule(self, ts: Any) -> list[bytes]:
        where = (self.name, unix_time(ts))
        if not self.sql(self._due + " limit 1", where, results=True):
            return []
        with self.db(commit=True) as cursor:
            cursor.execute(self._due, where)
            rows = cursor.fetchall()
            for start in range(0, len(rows), BATCH):
                ids = [row[0] for row in rows[start : start + BATCH]]
                marks = ",".join("?" * len(ids))
                cursor.execute(
                    f"delete from schedule where id in ({marks})", ids
                )
        return [bytes(row[1]) for row in rows]

    _claiming_read_schedule = read_schedule

    def due_items(self, ts: Any, limit: int = BATCH) -> list[tuple[Any, bytes]]:
        """What is due, left where it is: see promote()."""
        rows = self.sql(
            f"{self._due} limit {int(limit)}",
            (self.name, unix_time(ts)),
            results=True,
        )
        return [(row[0], bytes(row[1])) for row in rows]

    def promote(self, key: Any, data: bytes, priority: float | None) -> bool:
        """Move a due item to the queue as data; False: another did."""
        with self.db(commit=True) as cursor:
            cursor.execute("delete from schedule where id = ?", (key,))
            if cursor.rowcount == 0:
                return False
            cursor.execute(
                "insert into task (queue, data, priority) values (?, ?, ?)",
                (self.name, self.to_blob(data), priority or 0),
            )
        return True

    def drop_due(self, key: Any) -> None:
        """Delete a due item that cannot be read."""
        self.sql("delete from schedule where id = ?", (key,), commit=True)

    def schedule_size(self) -> int:
        return self._count("schedule")

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        return self._items("schedule", "timestamp, id", limit)

    def flush_schedule(self) -> Any:
        self._flush("schedule")

    # ---- keys and values ----

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        self.sql(
            "insert or replace into kv (queue, key, value) values (?, ?, ?)",
            (self.name, text(key), self.to_blob(value)),
            commit=True,
        )

    def peek_data(self, key: Any) -> Any:
        rows = self.sql(
            "select value from kv where queue = ? and key = ?",
            (self.name, text(key)),
            results=True,
        )
        return bytes(rows[0][0]) if rows else EmptyData

    def peek_many(self, keys: Iterable[Any]) -> dict[Any, bytes]:
        wanted = {text(key): key for key in keys}
        names, found = list(wanted), {}
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            marks = ",".join("?" * len(some))
            rows = self.sql(
                f"select key, value from kv where queue = ? and key in "
                f"({marks})",
                (self.name, *some),
                results=True,
            )
            found.update({wanted[row[0]]: bytes(row[1]) for row in rows})
        return found

    def pop_data(self, key: Any) -> Any:
        where = (self.name, text(key))
        if not self.has_data_for_key(key):
            return EmptyData
        with self.db(commit=True) as cursor:
            cursor.execute(
                "select value from kv where queue = ? and key = ?", where
            )
            row = cursor.fetchone()
            if row is None:
                return EmptyData
            cursor.execute("delete from kv where queue = ? and key = ?", where)
            return bytes(row[0])

    def has_data_for_key(self, key: Any) -> bool:
        return bool(
            self.sql(
                "select 1 from kv where queue = ? and key = ?",
                (self.name, text(key)),
                results=True,
            )
        )

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        if ttl is not None:
            raise NotImplementedError("a lock in SQLite has no ttl")
        try:
            self.sql(
                "insert into kv (queue, key, value) values (?, ?, ?)",
                (self.name, text(key), self.to_blob(value)),
                commit=True,
            )
        except self.integrity_error:
            return False
        return True

    def incr(self, key: Any, amount: int = 1) -> int:
        where = (self.name, text(key))
        with self.db(commit=True) as cursor:
            cursor.execute(
                "insert or ignore into counter (queue, key, value) values "
                "(?, ?, 0)",
                where,
            )
            cursor.execute(
                "update counter set value = value + ? where queue = ? and "
                "key = ?",
                (amount, *where),
            )
            cursor.execute(
                "select value from counter where queue = ? and key = ?", where
            )
            return int(cursor.fetchone()[0])

    def delete_counter(self, key: Any) -> Any:
        self.sql(
            "delete from counter where queue = ? and key = ?",
            (self.name, text(key)),
            commit=True,
        )

    def result_store_size(self) -> int:
        return self._count("kv")

    def result_items(self) -> dict[str, bytes]:
        rows = self.sql(
            "select key, value from kv where queue = ?",
            (self.name,),
            results=True,
        )
        return {row[0]: bytes(row[1]) for row in rows}

    def flush_results(self) -> Any:
        self._flush("kv")

    def flush_counters(self) -> Any:
        self._flush("counter")


class CySqliteStorage(SqliteStorage):
    """In a SQLite file, by the driver cysqlite."""

    def __init__(
        self,
        name: str = "huey",
        filename: str = "huey.db",
        pragmas: dict[str, Any] | None = None,
        timeout: float = 5,
        strict_fifo: bool = False,
        create_tables: bool = True,
        **kwargs: Any,
    ) -> None:
        if cysqlite is None:
            from guaco.compat.huey.exceptions import ConfigurationError

            raise ConfigurationError("CySqliteHuey needs the package cysqlite")
        self.integrity_error = cysqlite.IntegrityError
        self.operational_error = cysqlite.OperationalError
        self._pragmas = dict(pragmas or {})
        super().__init__(
            name,
            filename,
            timeout=timeout,
            strict_fifo=strict_fifo,
            create_tables=create_tables,
            **kwargs,
        )
        self.to_blob = bytes

    def _create_connection(self) -> Any:
        pragmas: dict[str, Any] = {
            "journal_mode": self._journal_mode,
            "cache_size": -1000 * self._cache_mb,
        }
        if self._fsync is not None:
            pragmas["synchronous"] = 2 if self._fsync else 0
        return cysqlite.connect(
            self.filename,
            timeout=self._timeout,
            pragmas={**pragmas, **self._pragmas},
            autoconnect=True,
            **self._conn_kwargs,
        )
