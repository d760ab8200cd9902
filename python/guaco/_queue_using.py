"""Enqueuing, and ending a task, in a transaction of the application's.

    with sqlite3.connect("shop.db") as db:
        db.execute("INSERT INTO orders ...")
        queue.using(db).enqueue(send_invoice.s(order))

What is written so belongs to the connection's transaction: it is stored when
that is committed, by whoever does it, and with a rollback it never was.
"""

from __future__ import annotations

import contextvars
import inspect
import sqlite3
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from guaco._core import Error, ids_reserve, using_addresses, using_learn
from guaco._queue_errors import QueueError

if TYPE_CHECKING:
    from guaco._queue_compose import Chord, Group
    from guaco._queue_task import Task
    from guaco.queue import Queue

# enum guaco_using_state
NONE, OPEN, COMMITTED, UNDONE = 0, 1, 2, 3

_active: contextvars.ContextVar[tuple[Using, ...]] = contextvars.ContextVar(
    "guaco_using", default=()
)
_lock = threading.Lock()
_is_known = False

DEPTH_MAX = 8
"""Wrappers around a connection."""


def active(queue: Queue) -> Using | None:
    """The connection that calls of this queue's tasks go through here."""
    for using in reversed(_active.get()):
        if using.queue is queue:
            return using
    return None


def connection_of(connection: Any) -> sqlite3.Connection:
    """The sqlite3.Connection that is, or that SQLAlchemy's or Django's wrap."""
    inner = connection
    for _ in range(DEPTH_MAX):
        if isinstance(inner, sqlite3.Connection):
            _learn()
            return inner
        if type(inner).__module__.partition(".")[0] == "aiosqlite":
            raise TypeError(
                "aiosqlite uses its connection on a thread of its own, where "
                "using() cannot go; open one with sqlite3 for this transaction"
            )
        if callable(ensure := getattr(inner, "ensure_connection", None)):
            ensure()  # Django connects at the first query
        for name in ("driver_connection", "dbapi_connection", "connection"):
            found = getattr(inner, name, None)
            # A sqlite3.Connection can be called, for what it is worth.
            if found is not None and not inspect.ismethod(found):
                inner = found
                break
        else:
            break
    raise TypeError(
        "using() takes a sqlite3.Connection, or what wraps one (SQLAlchemy's "
        "session.connection(), Django's django.db.connection), not "
        f"{type(connection).__module__}.{type(connection).__qualname__}"
    )


def _learn() -> None:
    """Find out where Python's connections keep SQLite's, once."""
    global _is_known
    with _lock:
        if _is_known:
            return
        using_addresses(True)
        try:
            probe = sqlite3.connect(":memory:")
        finally:
            using_addresses(False)
        try:
            row = probe.execute("SELECT guaco_address()").fetchone()
            _is_known = using_learn(sqlite3.Connection, probe, row[0])
        except sqlite3.OperationalError:
            raise QueueError(
                "the sqlite3 module of this Python has another copy of the "
                f"SQLite library ({sqlite3.sqlite_version}) in it than guaco "
                "uses, so that using() cannot reach its connections; a Python "
                "that shares the system's SQLite can"
            ) from None
        finally:
            probe.close()
        if not _is_known:
            raise QueueError("this Python's sqlite3 module is not known")


def _commits(connection: sqlite3.Connection) -> bool:
    """Whether a statement outside of a transaction is one by itself.

    sqlite3.ProgrammingError when the connection is closed, or another
    thread's.
    """
    sqlite3.Connection.cursor(connection).close()
    autocommit = getattr(connection, "autocommit", -1)  # Python 3.12
    if autocommit in (True, False):
        return bool(autocommit)
    return connection.isolation_level is None


class Using:
    """A queue through a connection; made by ``queue.using(connection)``.

    As a context manager: in the block (of this thread, or asyncio task) every
    call of the queue's tasks goes through the connection.  Neither begins or
    ends a transaction otherwise than a statement on the connection would:
    where the connection commits each statement for itself, each call is
    committed for itself, else commit() is the caller's.
    """

    def __init__(self, queue: Queue, connection: Any) -> None:
        self.queue = queue
        self._entered: list[contextvars.Token[tuple[Using, ...]]] = []
        if queue.immediate:
            return
        self.connection = connection_of(connection)
        try:
            queue._open()
        except (Error, TimeoutError) as exc:
            if not self.connection.in_transaction:
                raise
            raise QueueError(
                f"{exc}: a queue that is new on its file makes its tables at "
                "its first use, which is to be before your transaction begins"
            ) from exc

    def __enter__(self) -> Using:
        self._entered.append(_active.set((*_active.get(), self)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        _active.reset(self._entered.pop())

    def enqueue(self, task: Task | Group | Chord, /) -> Any:
        """As queue.enqueue(), in the connection's transaction."""
        with self:
            return self.queue.enqueue(task)

    def enqueue_many(self, tasks: Iterable[Task | Chord]) -> list[Any]:
        """As queue.enqueue_many(), in the connection's transaction."""
        with self:
            return self.queue.enqueue_many(tasks)

    # ---- for the queue ----

    def _put(self, records: list[tuple[Any, ...]]) -> list[int]:
        commits = _commits(self.connection)
        return self.queue._open().put_many(records, self.connection, commits)

    def _reserve(self, n: int) -> int:
        commits = _commits(self.connection)
        return ids_reserve(self.queue._open(), n, self.connection, commits)


def complete(task: Task, connection: Any, value: Any) -> None:
    """Task.complete()."""
    from guaco._queue_run import done_of

    run = task._run
    queue = task.wrapper.queue
    if run is None:
        raise QueueError("complete() is for the task that runs")
    body, follow = done_of(queue, task, value)
    if queue.immediate:
        run.complete(None, True, body, follow)
        return
    inner = connection_of(connection)
    if _commits(inner) and not inner.in_transaction:
        raise QueueError(
            "complete() is to be part of a transaction, and the connection has "
            "none open: BEGIN one"
        )
    run.complete(inner, False, body, follow)
