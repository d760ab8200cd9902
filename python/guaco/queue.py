"""Task queues: enqueue calls of functions, run them elsewhere or later.

    from guaco import SqliteQueue, crontab

    queue = SqliteQueue("demo")

    @queue.task(retries=2, retry_delay=20)
    def add(a, b):
        return a + b

    result = add(1, 2)                       # stored when this returns
    result(blocking=True, timeout=5)         # 3; or: await result

``guaco work demo:queue`` runs them, or ``queue.start()`` in any process.  A
task is run at least once, and one run's outcome is accepted.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import datetime as dt
import itertools
import os
import threading
import time
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, overload

from guaco import trace
from guaco._core import Broker, Error, Seal, ids_reserve, task_members
from guaco._queue_batch import BatchTask, argument_of
from guaco._queue_command import Commands
from guaco._queue_compose import (
    Chord,
    Group,
    Plan,
    ResultGroup,
    chord,
    extra_of,
    group,
    results_of,
)
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
from guaco._queue_hooks import Hooks
from guaco._queue_local import LocalStore
from guaco._queue_result import Event, EventStream, Mail, Result
from guaco._queue_lock import Lock, RateLimit
from guaco._queue_register import Registering
from guaco._queue_rules import Limit, Unique
from guaco._queue_run import log
from guaco._queue_seal import Secret, seal_of
from guaco._queue_signals import (
    SIGNAL_CANCELED,
    SIGNAL_COMPLETE,
    SIGNAL_ENQUEUED,
    SIGNAL_ERROR,
    SIGNAL_EXECUTING,
    SIGNAL_INTERRUPTED,
    SIGNAL_LOCKED,
    SIGNAL_RATE_LIMITED,
    SIGNAL_RETRYING,
    SIGNAL_TIMEOUT,
)
from guaco._queue_steer import Steering
from guaco._queue_task import (
    PeriodicTask,
    Seconds,
    Task,
    TaskWrapper,
    current_task,
    milliseconds,
    seconds,
    unix_ms,
)
from guaco._queue_url import postgres_url, redis_url, without_secrets
from guaco._queue_using import Using, active
from guaco._serializer import (
    PayloadError,
    PickleSerializer,
    PlainPickle,
    RemoteError,
    Serializer,
    TypedSerializer,
)

if TYPE_CHECKING:
    from guaco._queue_worker import Kind, Workers

__all__ = [
    "BatchTask",
    "CancelExecution",
    "CommandError",
    "Chord",
    "Crontab",
    "Event",
    "EventStream",
    "Group",
    "Limit",
    "Lock",
    "MemoryQueue",
    "PayloadError",
    "PeriodicTask",
    "PickleSerializer",
    "PostgresQueue",
    "Queue",
    "QueueError",
    "RateLimit",
    "RateLimitExceeded",
    "RedisQueue",
    "RemoteError",
    "Result",
    "ResultGroup",
    "ResultTimeout",
    "RetryTask",
    "SIGNAL_CANCELED",
    "SIGNAL_COMPLETE",
    "SIGNAL_ENQUEUED",
    "SIGNAL_ERROR",
    "SIGNAL_EXECUTING",
    "SIGNAL_INTERRUPTED",
    "SIGNAL_LOCKED",
    "SIGNAL_RATE_LIMITED",
    "SIGNAL_RETRYING",
    "SIGNAL_TIMEOUT",
    "Serializer",
    "SqliteQueue",
    "Task",
    "TaskCanceled",
    "TaskDead",
    "TaskException",
    "TaskExpired",
    "TaskLocked",
    "TaskTimeout",
    "TaskWrapper",
    "TypedSerializer",
    "Unique",
    "Using",
    "chord",
    "crontab",
    "current_task",
    "group",
]

# enum guaco_task_state, by the names of the admin calls
STATES = {
    "waiting": 1,
    "delayed": 2,
    "running": 3,
    "results": 4,
    "dead": 8,
    "held": 9,
}

_numbers = itertools.count()
_queues: weakref.WeakSet[Queue] = weakref.WeakSet()
"""Every queue of the process, for the child of a fork and the workers' role."""


def _url_of(where: str) -> tuple[str, str]:
    """The store's URL and a queue's default name, of a URL or a name."""
    if ":" not in where:
        return _absolute(f"sqlite:///{where}.db"), where
    return _absolute(where), "guaco"


def _absolute(url: str) -> str:
    """A SQLite URL whose path no chdir() changes."""
    head = "sqlite:///"
    if not url.startswith(head) or url.startswith(head + "/"):
        return url
    path, mark, options = url[len(head) :].partition("?")
    return f"{head}{os.path.abspath(path)}{mark}{options}"


class Queue(Registering, Hooks, Steering, Commands):
    """A queue of tasks in a store.

    ``where`` is a URL (``sqlite:///demo.db``, four slashes for an absolute
    path; ``redis://user:password@host:port/db``, ``rediss://``,
    ``redis+sentinel://host,host/service/db``, ``redis+unix:///path``;
    ``postgresql://user:password@host:port/db``; ``memory:``) or a name, which
    means the SQLite file NAME.db.  Nothing is opened before the first use.

    name: several queues may share one store; A-Z a-z 0-9 _ . - (64).
    results: whether results are kept; if not, enqueuing gives None.
    result_ttl: how long, seconds or timedelta.
    serializer: "typed" (the default), "pickle", or an object of your own.
    secret: signs what is stored, and nothing is opened that it did not sign;
    several, newest first or by id in a dict: the first signs, all open.  For
    "pickle" it is needed; default: GUACO_SECRET_KEY.
    encrypt: what is stored is encrypted too (AES-256-GCM).
    zone: the IANA time zone of periodic tasks that name none.
    """

    result_class: ClassVar[type[Result[Any]]] = Result

    def __init__(
        self,
        where: str = "guaco",
        *,
        name: str | None = None,
        results: bool = True,
        result_ttl: Seconds = 86400,
        immediate: bool = False,
        serializer: str | Serializer = "typed",
        secret: Secret | None = None,
        encrypt: bool = False,
        zone: str = "UTC",
    ) -> None:
        self.url, default_name = _url_of(where)
        self.name = name or default_name
        self.results = results
        self.result_ttl_s = max(1, round(seconds(result_ttl)))
        self.serializer = _serializer_of(serializer)
        self._seal: Seal | None = None
        if secret is not None or encrypt or serializer == "pickle":
            self._seal = seal_of(secret, encrypt)
        self.zone = zone
        self._lock = threading.Lock()
        self._broker: Broker | None = None
        self._mail = Mail()
        self._workers: Workers | None = None
        self._init_tasks()
        self._init_hooks()
        self._local: LocalStore | None = None
        self.immediate = immediate
        self._number = next(_numbers)
        _queues.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {without_secrets(self.url)}>"

    # A queue is no container: `if queue:` asks whether there is one.
    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return self.pending_count()

    # ---- the store ----

    @property
    def is_local(self) -> bool:
        """Whether only this process can reach the store.

        The processes of a tree that serves (``guaco up``) share a memory.
        """
        return self.url.startswith("memory:") and not os.environ.get(
            "GUACO_MEMORY_SOCKET"
        )

    def _open(self) -> Broker:
        """The store, opened at the first call."""
        broker = self._broker
        if broker is not None:
            return broker
        with self._lock:
            if self._broker is None:
                self._broker = Broker(self.url)
                if warning := self._broker.warning():
                    log.warning("%s", warning)
            return self._broker

    def close(self) -> None:
        """Stop the workers and close the store; the next use opens it again."""
        self.stop()
        with self._lock:
            broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()

    def _after_fork(self) -> None:
        """In a forked child: leave what is the parent's, open our own."""
        self._lock = threading.Lock()
        self._broker = None
        self._mail = Mail()
        self._workers = None

    @property
    def immediate(self) -> bool:
        """True: tasks run when they are called, in memory, without a store.

        Set to True it begins with no results; set to False again they are
        forgotten, and calls go to the store.
        """
        return self._local is not None

    @immediate.setter
    def immediate(self, value: bool) -> None:
        if value != (self._local is not None):
            self._local = LocalStore() if value else None

    # ---- payloads ----

    def _pack(self, value: Any, what: str, whose: str | int) -> bytes:
        """The bytes of a value that is of a task's name, or of an id."""
        data = self.serializer.encode(value)
        if self._seal is None:
            return data
        return self._seal.close(data, self._context(what, whose))

    def _unpack(self, data: bytes, what: str, whose: str | int) -> Any:
        """The value; PayloadError when it is not one of this queue's."""
        if self._seal is not None:
            data = self._seal.open(bytes(data), self._context(what, whose))
        return self.serializer.decode(data)

    def _context(self, what: str, whose: str | int) -> bytes:
        """Where a payload belongs: it opens nowhere else."""
        return f"{self.name}\0{what}\0{whose}".encode()

    # ---- enqueuing ----

    def _record(
        self,
        task: Task,
        is_traced: bool = True,
        joins: int = 0,
        must_succeed: bool = False,
    ) -> tuple[Any, ...]:
        """The arguments of Broker.put for task, which joins the one at that
        place of the same put."""
        wrapper = task.wrapper
        name = wrapper.name
        call: list[Any] = [list(task.args), task.kwargs]
        if (
            task.on_complete is not None
            or task.on_error is not None
            or task.gathers
            or task.is_member
        ):
            call.append(extra_of(task))
        body = self._pack(call, "task", name)
        rules = None
        if wrapper.rules or joins or must_succeed or task.reserved:
            rules = wrapper.rules.record(
                task, joins, must_succeed, task.reserved
            )
        headers = task.headers
        if is_traced and trace.may_be():
            headers = {**trace.headers(), **(headers or {})}
        head = b"" if not headers else self._pack(headers, "headers", name)
        if (
            task.eta is None
            and task.delay is None
            and task.priority is None
            and task.retries is None
            and task.retry_delay is None
            and task.retry_backoff is None
            and task.timeout is None
            and task.expires is None
            and wrapper.expires is None
        ):
            return (
                self.name,
                wrapper.name,
                head,
                body,
                0,
                0,
                *wrapper.settings,
                self.result_ttl_s,
                *wrapper.more_settings,
                rules,
            )
        return (
            self.name,
            wrapper.name,
            head,
            body,
            *self._times(task),
            *self._settings(task),
            self.result_ttl_s,
            *wrapper.more_settings,
            rules,
        )

    def _times(self, task: Task) -> tuple[int, int]:
        """When it is due and when it expires, Unix time in ms."""
        due = expires = 0
        if task.eta is not None:
            due = max(1, unix_ms(task.eta))
        elif task.delay is not None and (delay := seconds(task.delay)) > 0:
            due = self._now_ms() + round(delay * 1000)
        limit = task.expires
        if limit is None:
            limit = task.wrapper.expires
        if isinstance(limit, dt.datetime):
            expires = max(1, unix_ms(limit))
        elif limit is not None:
            expires = self._now_ms() + round(seconds(limit) * 1000)
        return due, expires

    def _settings(self, task: Task) -> tuple[int, int, int, int, int]:
        """Its settings where it has them, else the wrapper's."""
        priority, retries, delay_ms, backoff, timeout_ms = task.wrapper.settings
        if task.priority is not None:
            priority = task.priority
        if task.retries is not None:
            retries = task.retries
        if task.retry_delay is not None:
            delay_ms = milliseconds(task.retry_delay, "retry_delay")
        if task.retry_backoff is not None:
            backoff = round((task.retry_backoff or 1) * 100)
        if task.timeout is not None:
            timeout_ms = milliseconds(task.timeout, "timeout")
        return priority, retries, delay_ms, backoff, timeout_ms

    def _now_ms(self) -> int:
        if self._local is not None:
            return round(time.time() * 1000)
        return self._open().now_ms()

    def _result_of(self, task: Task) -> Result[Any]:
        """The handle of a task whose id is known."""
        result = self.result_class(self, task.id, task.wrapper.label)
        result.task = task
        result._local = self._local
        return result

    def _handle(self, chain: list[Task], id: int) -> Any:
        """The Result of a task that was stored as id, or of its pipeline.

        id is negative when another one had its unique key.
        """
        task = chain[0]
        task.id, task.existed = abs(id), id < 0
        if not self._signals.is_empty and not task.existed:
            self._signals.send(SIGNAL_ENQUEUED, task)
        if not self.results:
            return None
        if len(chain) == 1:
            result = self._result_of(task)
            result.existed = task.existed
            return result
        return results_of(self, chain, task.existed)

    def _reserve(self, n: int) -> int:
        if self._local is not None:
            return self._local.reserve(n)
        if (through := active(self)) is not None:
            return through._reserve(n)
        return ids_reserve(self._open(), n)

    def _gathered(self, run: Any) -> list[Any]:
        """The values of a chord's members, for its callback."""
        if not run.members:
            return []
        rows = getattr(run, "member_rows", None)
        if rows is None:
            rows = task_members(self._open(), run.id)
        values = []
        for id, state, body in rows:
            member = self.result_class(self, id)
            member._ready = state, body, ""
            try:
                values.append(member.get())
            except TaskException as exc:
                values.append(exc)
        return values

    def _plan(self, items: Iterable[Task | Chord]) -> Plan:
        plan = Plan(self)
        for item in items:
            plan.add(item)
        plan.reserve(self._reserve)
        return plan

    def _put_plan(self, plan: Plan) -> list[Any]:
        """Store what was planned, in one step; the handles, in its order."""
        if not plan.tasks:
            return []
        records = [
            self._record(task, True, joins, must)
            for task, joins, must in plan.tasks
        ]
        if self._local is not None:
            ids = self._local.put_many(self, [t[0] for t in plan.tasks], records)
        elif (through := active(self)) is not None:
            ids = through._put(records)
        else:
            ids = self._open().put_many(records)
        return [
            self._handle(chain, id)
            for chain, id in zip(plan.chains, ids, strict=True)
        ]

    @overload
    def enqueue(self, task: Task, /) -> Any: ...
    @overload
    def enqueue(self, task: Group, /) -> ResultGroup: ...
    @overload
    def enqueue(self, task: Chord, /) -> Any: ...

    def enqueue(self, task: Task | Group | Chord, /) -> Any:
        """Store task; every way of enqueuing in a thread goes through here.

        Gives its Result once the store has committed, or None on a queue
        without results; of a pipeline or a Group a ResultGroup, of a Chord
        the result of its callback.  TypeError for arguments the serializer
        does not take, and then nothing was stored.
        """
        if isinstance(task, Group):
            return ResultGroup(self.enqueue_many(task.tasks))
        if isinstance(task, Chord) or task.on_complete is not None:
            return self._put_plan(self._plan([task]))[0]
        record = self._record(task)
        if self._local is not None:
            return self._handle([task], self._local.run(self, task, record))
        if (through := active(self)) is not None:
            return self._handle([task], through._put([record])[0])
        return self._handle([task], self._open().put(*record))

    async def aenqueue(self, task: Task | Group | Chord, /) -> Any:
        """As enqueue, on an event loop, which goes on meanwhile.

        A class that overrides enqueue() alone is gone through here too.
        """
        if active(self) is not None:  # a connection is its thread's own
            return self.enqueue(task)
        if type(self).aenqueue is Queue.aenqueue:
            if type(self).enqueue is not Queue.enqueue:
                return await asyncio.to_thread(self.enqueue, task)
        if isinstance(task, (Group, Chord)) or task.on_complete is not None:
            return await asyncio.to_thread(Queue.enqueue, self, task)
        record = self._record(task)
        if self._local is not None:
            id = await self._local.arun(self, task, record)
            return self._handle([task], id)
        id = await self._mail.put(self._open(), record)
        return self._handle([task], id)

    def enqueue_many(self, tasks: Iterable[Task | Chord]) -> list[Any]:
        """Store tasks in one step, all or none, at most 10000."""
        items = list(tasks)
        if type(self).enqueue is not Queue.enqueue:
            return [self.enqueue(task) for task in items]
        plan = self._plan(items)
        results = self._put_plan(plan)
        wanted = {id(item.callback if isinstance(item, Chord) else item)
                  for item in items}
        return [
            result
            for (task, _, _), result in zip(plan.tasks, results, strict=True)
            if id(task) in wanted
        ]

    async def aenqueue_many(self, tasks: Iterable[Task | Chord]) -> list[Any]:
        """As enqueue_many, on an event loop."""
        if active(self) is not None:
            return self.enqueue_many(tasks)
        return await asyncio.to_thread(self.enqueue_many, list(tasks))

    def using(self, connection: Any) -> Using:
        """This queue through a connection to its SQLite file, so that what is
        enqueued is part of that connection's transaction.

        connection: a sqlite3.Connection, or what wraps one (SQLAlchemy's,
        Django's).  ``queue.using(db).enqueue(task)``, or ``with
        queue.using(db):`` for all calls in the block.
        """
        return Using(self, connection)

    def result(self, id: int) -> Result[Any]:
        """The handle of a task by its id, in any process."""
        result = self.result_class(self, int(id))
        result._local = self._local
        return result

    # ---- running ----

    def execute(self, task: Task) -> Any:
        """Call the function of task; workers of every kind come through here.

        For a coroutine function it gives the coroutine, not yet run.
        """
        wrapper = task.wrapper
        if wrapper.context:
            return wrapper.func(*task.args, **task.kwargs, task=task)
        return wrapper.func(*task.args, **task.kwargs)

    def execute_batch(self, tasks: builtins.list[Task]) -> Any:
        """Call the function of a batch task for tasks, as execute() does."""
        return tasks[0].wrapper.func([argument_of(task) for task in tasks])

    def start(
        self, workers: int = 1, *, kind: Kind = "thread", periodic: bool = True
    ) -> None:
        """Run workers in this process, in the background, until stop().

        kind: "thread" (as many threads) or "async" (one thread with a loop, as
        many tasks at a time).  periodic: fire periodic tasks too.
        """
        if self._workers is not None:
            raise QueueError("the workers of this queue run already")
        if self._local is not None:
            raise QueueError("a queue in immediate mode has no workers")
        from guaco._queue_worker import open_workers  # a producer needs none

        self._workers = open_workers(self, workers, kind)
        try:
            self._workers.start(periodic=periodic)
        except BaseException:
            self._workers = None
            raise

    def stop(self, timeout: float | None = None) -> bool:
        """Begin no other task, wait for those that run, end the workers.

        False: some still ran after timeout seconds; they are left alone.
        """
        workers, self._workers = self._workers, None
        return True if workers is None else workers.stop(timeout)

    def __enter__(self) -> Queue:
        self.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.stop()

    def _register_periodic(self, generation: int | None = None) -> None:
        """Tell the store which tasks come by the clock."""
        if generation is None:
            text = os.environ.get("GUACO_DEPLOYMENT")
            generation = int(text) if text else round(time.time() * 1000)
        everything = tuple(
            (
                w.name,
                w.spec,
                w.zone,
                w.catch_up,
                self._record(w.task_class(w), False),
            )
            for w in self._tasks.values()
            if isinstance(w, PeriodicTask)
        )
        if not self._open().recurring(self.name, generation, everything):
            log.warning(
                "queue %s: a newer deployment defined the periodic tasks; "
                "they are left as they are",
                self.name,
            )

    # ---- looking after it ----

    def stats(self) -> dict[str, int]:
        """Counts: waiting, delayed, held (by a chord's members), running,
        dead, results, recurring."""
        counts = self._open().stats(self.name)
        del counts["paused"]
        return counts

    def pending_count(self) -> int:
        """Tasks that could run now."""
        return self.stats()["waiting"]

    def scheduled_count(self) -> int:
        """Tasks that wait for their time."""
        return self.stats()["delayed"]

    def list(
        self, state: str = "waiting", *, offset: int = 0, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Tasks in a state: "waiting", "delayed", "running", "dead", or
        "held" until the members of their chord have ended.

        Each is a dict; ``args`` and ``kwargs`` are None when this process
        cannot read them.
        """
        number = _state_of(state, "results")
        rows = self._open().list(self.name, number, offset, limit)
        for row in rows:
            row["state"] = state
            row["args"] = row["kwargs"] = None
            body = row.pop("body")
            with contextlib.suppress(PayloadError, ValueError, TypeError):
                call = self._unpack(body, "task", row["name"])
                row["args"], row["kwargs"] = call[:2]
        return rows

    def purge(self, state: str) -> int:
        """Delete what is "waiting", "delayed", "held" or "dead", or the
        "results"."""
        return self._open().purge(self.name, _state_of(state, "running"))

    def retry(self, id: int = 0) -> int:
        """Make the dead task id (0: all of them) wait again; how many."""
        return self._open().replay(self.name, id)

    def flush(self) -> None:
        """Delete all but what runs and the schedules of periodic tasks."""
        for state in ("waiting", "delayed", "held", "dead", "results"):
            self.purge(state)


def _state_of(state: str, other_than: str) -> int:
    if state not in STATES or state == other_than:
        names = ", ".join(s for s in STATES if s != other_than)
        raise ValueError(f"a state is one of {names}, not {state!r}")
    return STATES[state]


def _serializer_of(serializer: str | Serializer) -> Serializer:
    if not isinstance(serializer, str):
        return serializer
    if serializer == "typed":
        return TypedSerializer()
    if serializer != "pickle":
        raise ValueError(f"serializer is typed or pickle, not {serializer!r}")
    return PlainPickle()  # opened by the queue's seal alone


class SqliteQueue(Queue):
    """A queue in a SQLite file, by default NAME.db in the working folder.

    ``fsync=True`` survives a power cut too, not only a killed process.
    """

    def __init__(
        self,
        name: str = "guaco",
        filename: str | os.PathLike[str] | None = None,
        *,
        fsync: bool = False,
        **settings: Any,
    ) -> None:
        path = os.path.abspath(filename or f"{name}.db")
        options = "?synchronous=full" if fsync else ""
        super().__init__(f"sqlite:///{path}{options}", name=name, **settings)


class RedisQueue(Queue):
    """A queue on a Redis server, 5 or newer.

    ``url`` says all at once (``rediss://``, ``redis+sentinel://`` and further
    options: see Queue); else ``host``, ``port`` (also as a str), ``db``,
    ``username`` and ``password``, or ``unix_socket_path``.  ``ssl=True`` speaks
    TLS, and ``ssl_ca_certs``, ``ssl_certfile`` and ``ssl_keyfile`` are files.
    """

    def __init__(
        self,
        name: str = "guaco",
        host: str = "localhost",
        port: int | str = 6379,
        db: int | str = 0,
        *,
        username: str | None = None,
        password: str | None = None,
        url: str | None = None,
        unix_socket_path: str | os.PathLike[str] | None = None,
        ssl: bool = False,
        ssl_ca_certs: str | os.PathLike[str] | None = None,
        ssl_certfile: str | os.PathLike[str] | None = None,
        ssl_keyfile: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        if url is None:
            options = {
                "db": int(db) or None,
                "user": username,
                "password": password,
                "tls_ca": ssl_ca_certs,
                "tls_cert": ssl_certfile,
                "tls_key": ssl_keyfile,
            }
            url = redis_url(host, port, unix_socket_path, ssl, options)
        super().__init__(url, name=name, **settings)


class PostgresQueue(Queue):
    """A queue on a PostgreSQL server, 12 or newer.

    ``url`` says all at once; else ``host`` (a name, or the folder of a Unix
    socket), ``port``, ``dbname``, ``user`` and ``password``, of which libpq has
    its own defaults (``PGHOST`` and its like).  ``schema`` is where the tables
    are, made when they are first needed; ``synchronous_commit`` is on, off,
    local, remote_write or remote_apply; ``sslmode`` and ``sslrootcert`` are
    libpq's.
    """

    def __init__(
        self,
        name: str = "guaco",
        host: str | os.PathLike[str] | None = None,
        port: int | str | None = None,
        dbname: str | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        url: str | None = None,
        schema: str | None = None,
        synchronous_commit: str | None = None,
        sslmode: str | None = None,
        sslrootcert: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        if url is None:
            options = {
                "dbname": dbname,
                "user": user,
                "password": password,
                "schema": schema,
                "synchronous_commit": synchronous_commit,
                "sslmode": sslmode,
                "sslrootcert": sslrootcert,
            }
            url = postgres_url(host, port, options)
        super().__init__(url, name=name, **settings)


class MemoryQueue(Queue):
    """A queue in this process's memory, for tests and small programs."""

    def __init__(self, name: str = "guaco", **settings: Any) -> None:
        super().__init__("memory:", name=name, **settings)


def all_queues() -> list[Queue]:
    """Every queue of this process that is in use, in order of creation."""
    return sorted(_queues, key=lambda queue: queue._number)


class _Fork:
    """What is done around os.fork(): the parent's stores pause, the child's
    queues forget them."""

    def __init__(self) -> None:
        self._paused: list[Broker] = []

    def before(self) -> None:
        for queue in _queues:
            if (broker := queue._broker) is not None:
                with contextlib.suppress(Error):  # closed meanwhile
                    broker.before_fork()
                    self._paused.append(broker)

    def in_parent(self) -> None:
        paused, self._paused = self._paused, []
        for broker in paused:
            broker.after_fork()

    def in_child(self) -> None:
        self._paused = []
        for queue in _queues:
            queue._after_fork()


_fork = _Fork()
os.register_at_fork(
    before=_fork.before,
    after_in_parent=_fork.in_parent,
    after_in_child=_fork.in_child,
)
