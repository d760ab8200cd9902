"""A storage in any database of peewee."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from guaco.compat.huey._huey import Huey
from guaco.compat.huey._storage_base import BaseStorage, text
from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.exceptions import ConfigurationError

peewee: Any = importlib.import_module("peewee")
_db_url: Any = importlib.import_module("playhouse.db_url")

RETRY_S = 5.0
"""How long SQLite's lock of a writer is waited for."""


def _models(database: Any) -> tuple[Any, Any, Any, Any]:
    """The four tables, as classes bound to a database."""
    pw = peewee
    meta = type("Meta", (), {"database": database})
    base = type("Base", (pw.Model,), {"Meta": meta})

    def model(name: str, table: str, primary: Any = None, **fields: Any) -> Any:
        own = {"table_name": table}
        if primary is not None:
            own["primary_key"] = primary
        return type(name, (base,), {"Meta": type("Meta", (), own), **fields})

    kv = model(
        "KV", "kv", pw.CompositeKey("queue", "key"),
        queue=pw.CharField(), key=pw.CharField(), value=pw.BlobField(),
    )
    schedule = model(
        "Schedule", "schedule",
        queue=pw.CharField(), data=pw.BlobField(),
        timestamp=pw.TimestampField(resolution=1000, index=True),
    )
    task = model(
        "Task", "task",
        queue=pw.CharField(), data=pw.BlobField(),
        priority=pw.FloatField(default=0.0, index=True),
    )
    counter = model(
        "Counter", "counter", pw.CompositeKey("queue", "key"),
        queue=pw.CharField(), key=pw.CharField(),
        value=pw.IntegerField(default=0),
    )
    return kv, schedule, task, counter


class SqlStorage(BaseStorage):
    """Four tables in a peewee database, or that of a URL."""

    def __init__(
        self,
        name: str = "huey",
        database: Any = None,
        create_tables: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(name)
        if database is None:
            raise ConfigurationError("SqlHuey needs database=, a peewee "
                                     "Database or a URL")
        if isinstance(database, peewee.Database):
            self.database = database
        else:
            self.database = _db_url.connect(database)
        self.KV, self.Schedule, self.Task, self.Counter = _models(self.database)
        if create_tables:
            self.initialize_schema()

    @property
    def _tables(self) -> list[Any]:
        return [self.KV, self.Schedule, self.Task, self.Counter]

    def initialize_schema(self) -> None:
        """Make the tables that are not there."""
        with self.database:
            self.database.create_tables(self._tables)

    def drop_tables(self) -> None:
        """Delete the tables."""
        with self.database:
            self.database.drop_tables(self._tables)

    def close(self) -> Any:
        return self.database.close()

    def _connect(self) -> None:
        if self.database.is_closed():
            self.database.connect(reuse_if_open=True)

    def _atomic(self, function: Callable[[], Any]) -> Any:
        """function() in a transaction that may write."""
        self._connect()
        is_sqlite = isinstance(self.database, peewee.SqliteDatabase)
        kind = ("immediate",) if is_sqlite else ()
        end = time.monotonic() + RETRY_S
        while True:
            try:
                with self.database.atomic(*kind):
                    return function()
            except peewee.OperationalError as exc:
                if "locked" not in str(exc) or time.monotonic() >= end:
                    raise
                time.sleep(0.02)

    def _own(self, table: Any, *columns: Any) -> Any:
        self._connect()
        return table.select(*columns).where(table.queue == self.name)

    def _count(self, table: Any) -> int:
        return int(self._own(table).count())

    def _flush(self, table: Any) -> None:
        self._atomic(
            lambda: table.delete().where(table.queue == self.name).execute()
        )

    def _take(self, table: Any, query: Any) -> list[bytes]:
        """The data of rows, which are deleted."""
        if isinstance(self.database, peewee.PostgresqlDatabase):
            query = query.for_update("FOR UPDATE SKIP LOCKED")

        def take() -> list[bytes]:
            rows = list(query)
            for start in range(0, len(rows), 500):
                ids = [row.id for row in rows[start : start + 500]]
                table.delete().where(table.id.in_(ids)).execute()
            return [bytes(row.data) for row in rows]

        found: list[bytes] = self._atomic(take)
        return found

    # ---- the queue ----

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        self._atomic(
            lambda: self.Task.create(
                queue=self.name, data=data, priority=priority or 0
            )
        )

    def _in_order(self) -> Any:
        return self._own(self.Task).order_by(
            self.Task.priority.desc(), self.Task.id
        )

    def dequeue(self) -> bytes | None:
        if not self._own(self.Task).exists():
            return None
        found = self._take(self.Task, self._in_order().limit(1))
        return found[0] if found else None

    def queue_size(self) -> int:
        return self._count(self.Task)

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        return [bytes(row.data) for row in self._in_order().limit(limit)]

    def flush_queue(self) -> Any:
        self._flush(self.Task)

    # ---- the schedule ----

    def add_to_schedule(self, data: bytes, ts: Any) -> Any:
        self._atomic(
            lambda: self.Schedule.create(
                queue=self.name, data=data, timestamp=ts
            )
        )

    def _scheduled(self) -> Any:
        return self._own(self.Schedule).order_by(
            self.Schedule.timestamp, self.Schedule.id
        )

    def read_schedule(self, ts: Any) -> list[bytes]:
        due = self._scheduled().where(self.Schedule.timestamp <= ts)
        return self._take(self.Schedule, due)

    def schedule_size(self) -> int:
        return self._count(self.Schedule)

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        return [bytes(row.data) for row in self._scheduled().limit(limit)]

    def flush_schedule(self) -> Any:
        self._flush(self.Schedule)

    # ---- keys and values ----

    def _at(self, table: Any, key: Any) -> Any:
        return self._own(table).where(table.key == text(key))

    def _delete(self, table: Any, key: Any) -> int:
        return int(
            table.delete()
            .where((table.queue == self.name) & (table.key == text(key)))
            .execute()
        )

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        def put() -> None:
            self._delete(self.KV, key)
            self.KV.create(queue=self.name, key=text(key), value=value)

        self._atomic(put)

    def peek_data(self, key: Any) -> Any:
        row = self._at(self.KV, key).first()
        return EmptyData if row is None else bytes(row.value)

    def peek_many(self, keys: Iterable[Any]) -> dict[Any, bytes]:
        wanted = {text(key): key for key in keys}
        rows = self._own(self.KV).where(self.KV.key.in_(list(wanted)))
        return {wanted[row.key]: bytes(row.value) for row in rows}

    def pop_data(self, key: Any) -> Any:
        if not self.has_data_for_key(key):
            return EmptyData

        def pop() -> Any:
            value = self.peek_data(key)
            return value if self._delete(self.KV, key) else EmptyData

        return self._atomic(pop)

    def has_data_for_key(self, key: Any) -> bool:
        return bool(self._at(self.KV, key).exists())

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        if ttl is not None:
            raise NotImplementedError("a lock in SQL has no ttl")
        try:
            self._atomic(
                lambda: self.KV.insert(
                    queue=self.name, key=text(key), value=value
                ).execute()
            )
        except peewee.IntegrityError:
            return False
        return True

    def incr(self, key: Any, amount: int = 1) -> int:
        table = self.Counter

        def add() -> int:
            where = (table.queue == self.name) & (table.key == text(key))
            query = table.update(value=table.value + amount).where(where)
            if query.execute() == 0:
                table.create(queue=self.name, key=text(key), value=amount)
                return amount
            return int(table.get(where).value)

        return int(self._atomic(add))

    def delete_counter(self, key: Any) -> Any:
        self._atomic(lambda: self._delete(self.Counter, key))

    def result_store_size(self) -> int:
        return self._count(self.KV)

    def result_items(self) -> dict[str, bytes]:
        return {row.key: bytes(row.value) for row in self._own(self.KV)}

    def flush_results(self) -> Any:
        self._flush(self.KV)

    def flush_counters(self) -> Any:
        self._flush(self.Counter)


SqlHuey = functools.partial(Huey, storage_class=SqlStorage)
