"""Huey: a queue with its storage."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from guaco.compat.huey import signals as S
from guaco.compat.huey import storage as storages
from guaco.compat.huey._execute import Execution
from guaco.compat.huey._group import chord, group
from guaco.compat.huey._lock import RateLimit, TaskLock
from guaco.compat.huey._result import Result, ResultGroup
from guaco.compat.huey._task import PeriodicTask, Task, TaskWrapper
from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.registry import Registry
from guaco.compat.huey.serializer import Serializer
from guaco.compat.huey.utils import normalize_time, utcnow

if TYPE_CHECKING:
    from guaco.compat.huey.consumer import Consumer

logger = logging.getLogger("huey")

Hook = Callable[..., Any]
H = TypeVar("H", bound=Hook)
_told: list[bool] = []


def _tell_of_pickle() -> None:
    if not _told:
        _told.append(True)
        logger.info(
            "guaco.compat.huey stores tasks by pickle, as Huey does: who can "
            "write to the storage can run code in the consumer.  "
            "huey.serializer.SignedSerializer(secret) guards against that."
        )


class Huey(Execution):
    """A task queue, with Huey's API and Huey's form of what is stored."""

    storage_class: Any = None

    def __init__(
        self,
        name: str = "huey",
        results: bool = True,
        store_none: bool = False,
        utc: bool = True,
        immediate: bool = False,
        serializer: Any = None,
        compression: bool = False,
        use_zlib: bool = False,
        immediate_use_memory: bool = True,
        storage_class: Any = None,
        store_intermediate_errors: bool = True,
        **storage_kwargs: Any,
    ) -> None:
        self.name = name
        self.results = results
        self.store_none = store_none
        self.store_intermediate_errors = store_intermediate_errors
        self.utc = utc
        self._immediate = immediate
        self.immediate_use_memory = immediate_use_memory
        if serializer is None:
            serializer = Serializer(compression, use_zlib=use_zlib)
            _tell_of_pickle()
        self.serializer = serializer
        if storage_class is not None:
            self.storage_class = storage_class
        self.storage_kwargs = storage_kwargs
        self.storage = self.create_storage()
        self.task_wrapper_class = self.get_task_wrapper_class()
        self._locks: set[str] = set()
        self._pre_execute: dict[str, Hook] = {}
        self._post_execute: dict[str, Hook] = {}
        self._startup: dict[str, Hook] = {}
        self._shutdown: dict[str, Hook] = {}
        self._registry = Registry()
        self._signal = S.Signal()
        self._tasks_in_flight: set[Task] = set()
        self._timeout_handler: Callable[[float], Any] | None = None

    def get_task_wrapper_class(self) -> Any:
        """What the decorators make of a function."""
        return TaskWrapper

    # ---- storage ----

    def create_storage(self) -> Any:
        """The storage, as ``immediate`` wants it."""
        if self._immediate and self.immediate_use_memory:
            return self.get_immediate_storage()
        return self.get_storage(**self.storage_kwargs)

    def get_immediate_storage(self) -> Any:
        """The storage of immediate mode."""
        return storages.MemoryStorage(self.name)

    def get_storage(self, **kwargs: Any) -> Any:
        """The storage of storage_class."""
        cls = self.storage_class
        if cls is None:
            warnings.warn(
                "storage_class not specified when initializing Huey: Redis "
                "will be used. Use RedisHuey, or give storage_class=.",
                stacklevel=4,
            )
            cls = storages.RedisStorage
        return cls(self.name, **kwargs)

    @property
    def immediate(self) -> bool:
        """True: tasks run where they are called."""
        return self._immediate

    @immediate.setter
    def immediate(self, value: bool) -> None:
        if self._immediate != value:
            self._immediate = value
            if self.immediate_use_memory:
                self.storage = self.create_storage()

    def create_consumer(self, **options: Any) -> Consumer:
        """What runs the tasks."""
        from guaco.compat.huey.consumer import Consumer

        return Consumer(self, **options)

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return self.pending_count()

    # ---- registering ----

    def task(
        self,
        retries: int = 0,
        retry_delay: Any = 0,
        retry_backoff: Any = 0,
        priority: Any = None,
        context: bool = False,
        name: str | None = None,
        expires: Any = None,
        timeout: Any = None,
        **kwargs: Any,
    ) -> Callable[[Any], Any]:
        """Make a function a task."""

        def decorator(func: Any) -> Any:
            return self.task_wrapper_class(
                self,
                func.func if isinstance(func, TaskWrapper) else func,
                context=context,
                name=name,
                default_retries=retries,
                default_retry_delay=retry_delay,
                default_retry_backoff=retry_backoff,
                default_priority=priority,
                default_expires=expires,
                default_timeout=timeout,
                **kwargs,
            )

        return decorator

    def periodic_task(
        self,
        validate_datetime: Callable[[dt.datetime], Any],
        retries: int = 0,
        retry_delay: Any = 0,
        retry_backoff: Any = 0,
        priority: Any = None,
        context: bool = False,
        name: str | None = None,
        expires: Any = None,
        timeout: Any = None,
        **kwargs: Any,
    ) -> Callable[[Any], Any]:
        """Make a function a task that runs in the minutes for which
        ``validate_datetime(minute)`` says so, as ``crontab(...)`` does."""

        def validate(self: Task, timestamp: dt.datetime) -> Any:
            return validate_datetime(timestamp)

        def decorator(func: Any) -> Any:
            return self.task_wrapper_class(
                self,
                func.func if isinstance(func, TaskWrapper) else func,
                context=context,
                name=name,
                default_retries=retries,
                default_retry_delay=retry_delay,
                default_retry_backoff=retry_backoff,
                default_priority=priority,
                default_expires=expires,
                default_timeout=timeout,
                validate_datetime=validate,
                task_base=PeriodicTask,
                **kwargs,
            )

        return decorator

    def context_task(
        self, obj: Any, as_argument: bool = False, **kwargs: Any
    ) -> Callable[[Any], Any]:
        """Make a function a task that runs within ``with obj``."""

        def decorator(func: Any) -> Any:
            @functools.wraps(func)
            def inner(*a: Any, **k: Any) -> Any:
                with obj as ctx:
                    return func(ctx, *a, **k) if as_argument else func(*a, **k)

            return self.task(**kwargs)(inner)

        return decorator

    # ---- hooks ----

    def _hook(self, hooks: dict[str, Hook], name: str | None) -> Callable[[H], H]:
        def decorator(fn: H) -> H:
            hooks[name or fn.__name__] = fn
            return fn

        return decorator

    def _unhook(self, hooks: dict[str, Hook], name: Any) -> bool:
        if not isinstance(name, str):
            found = [n for n, fn in hooks.items() if fn is name]
            name = found[0] if found else getattr(name, "__name__", None)
        return hooks.pop(name, None) is not None

    def pre_execute(self, name: str | None = None) -> Callable[[H], H]:
        """``fn(task)`` before a run; CancelExecution there cancels it."""
        return self._hook(self._pre_execute, name)

    def unregister_pre_execute(self, name: Any) -> bool:
        """Undo pre_execute(), by name or function."""
        return self._unhook(self._pre_execute, name)

    def post_execute(self, name: str | None = None) -> Callable[[H], H]:
        """``fn(task, value, exception)`` after a run."""
        return self._hook(self._post_execute, name)

    def unregister_post_execute(self, name: Any) -> bool:
        """Undo post_execute(), by name or function."""
        return self._unhook(self._post_execute, name)

    def on_startup(self, name: str | None = None) -> Callable[[H], H]:
        """``fn()`` in each worker as it begins."""
        return self._hook(self._startup, name)

    def unregister_on_startup(self, name: Any) -> bool:
        """Undo on_startup(), by name or function."""
        return self._unhook(self._startup, name)

    def on_shutdown(self, name: str | None = None) -> Callable[[H], H]:
        """``fn()`` in each worker as it ends."""
        return self._hook(self._shutdown, name)

    def unregister_on_shutdown(self, name: Any = None) -> bool:
        """Undo on_shutdown(), by name or function."""
        return self._unhook(self._shutdown, name)

    def set_timeout_handler(self, handler: Callable[[float], Any] | None) -> None:
        """``with handler(seconds):`` around tasks with a timeout."""
        self._timeout_handler = handler

    def notify_interrupted_tasks(self) -> None:
        """Emit SIGNAL_INTERRUPTED for what runs as the consumer exits."""
        while self._tasks_in_flight:
            try:
                task = self._tasks_in_flight.pop()
            except KeyError:
                return  # it ended meanwhile
            self._emit(S.SIGNAL_INTERRUPTED, task)

    def signal(self, *signals: str) -> Callable[[H], H]:
        """``fn(signal, task, *args)`` for these signals, or all."""

        def decorator(fn: H) -> H:
            self._signal.connect(fn, *signals)
            return fn

        return decorator

    def disconnect_signal(self, receiver: Hook, *signals: str) -> None:
        """Undo signal()."""
        self._signal.disconnect(receiver, *signals)

    def _emit(self, signal: str, task: Task, *args: Any, **kwargs: Any) -> None:
        self._signal.send(signal, task, *args, **kwargs)

    # ---- enqueuing ----

    def serialize_task(self, task: Task) -> bytes:
        """A task as it is stored."""
        data: bytes = self.serializer.serialize(
            self._registry.create_message(task)
        )
        return data

    def deserialize_task(self, data: bytes) -> Task:
        """The task of what was stored."""
        return self._registry.create_task(self.serializer.deserialize(data))

    def enqueue(self, task: Any) -> Any:
        """Enqueue a task, group or chord, and give its result."""
        if isinstance(task, group):
            return ResultGroup([self.enqueue(t) for t in task])
        if isinstance(task, chord):
            return self._enqueue_chord(task)
        task.resolve_expires(self.utc)
        self._emit(S.SIGNAL_ENQUEUED, task)
        if self._immediate:
            self.execute(task)
        else:
            self.storage.enqueue(self.serialize_task(task), task.priority)
        if not self.results:
            return None
        if task.on_complete is not None:
            return ResultGroup(self._pipeline_results(task))
        return self._result_handle(task)

    def dequeue(self) -> Task | None:
        """Take the next task out of the queue."""
        data = self.storage.dequeue()
        return None if data is None else self.deserialize_task(data)

    def _result_handle(self, task: Task) -> Result:
        return Result(self, task)

    def _get_timestamp(self) -> dt.datetime:
        return utcnow() if self.utc else dt.datetime.now()

    # ---- keys and values ----

    def put(self, key: Any, data: Any) -> Any:
        """Store a value under a key."""
        return self.storage.put_data(key, self.serializer.serialize(data))

    def put_result(self, key: Any, data: Any) -> Any:
        """Store a result."""
        body = self.serializer.serialize(data)
        return self.storage.put_data(key, body, is_result=True)

    def put_if_empty(self, key: Any, data: Any, ttl: float | None = None) -> bool:
        """Store a value unless the key has one; whether it did."""
        body = self.serializer.serialize(data)
        if ttl is None:
            return bool(self.storage.put_if_empty(key, body))
        return bool(self.storage.put_if_empty(key, body, ttl=ttl))

    def get_raw(self, key: Any, peek: bool = False) -> Any:
        """The bytes under a key, taken out unless peek; or EmptyData."""
        if peek:
            return self.storage.peek_data(key)
        return self.storage.pop_data(key)

    def get(self, key: Any, peek: bool = False) -> Any:
        """The value under a key, taken out unless peek; or None."""
        data = self.get_raw(key, peek)
        if data is EmptyData:
            return None
        return self.serializer.deserialize(data)

    def delete(self, key: Any) -> bool:
        """Delete a key; whether it was there."""
        return bool(self.storage.delete_data(key))

    # ---- revoking ----

    def _task_key(self, task_class: Any, key: str) -> str:
        return f"{key}:{self._registry.task_to_string(task_class)}"

    def _class_of(self, task_class: Any) -> type[Task]:
        if isinstance(task_class, TaskWrapper):
            return task_class.task_class
        found: type[Task] = task_class
        return found

    def revoke_all(
        self,
        task_class: Any,
        revoke_until: Any = None,
        revoke_once: bool = False,
    ) -> None:
        """Run no task of a class: until then, or the next one."""
        if revoke_until is not None:
            revoke_until = self._revoke_until(revoke_until)
        key = self._task_key(self._class_of(task_class), "rt")
        self.put(key, (revoke_until, revoke_once))

    def restore_all(self, task_class: Any) -> bool:
        """Undo revoke_all(); whether it was."""
        return self.delete(self._task_key(self._class_of(task_class), "rt"))

    def revoke(
        self, task: Task, revoke_until: Any = None, revoke_once: bool = False
    ) -> None:
        """Do not run a task."""
        if revoke_until is not None:
            revoke_until = self._revoke_until(revoke_until)
        self.put(task.revoke_id, (revoke_until, revoke_once))

    def restore(self, task: Task) -> bool:
        """Undo revoke(); whether it was."""
        return self.delete(task.revoke_id)

    def revoke_by_id(
        self, id: str, revoke_until: Any = None, revoke_once: bool = False
    ) -> None:
        """As revoke(), by id."""
        self.revoke(Task(id=id), revoke_until, revoke_once)

    def restore_by_id(self, id: str) -> bool:
        """As restore(), by id."""
        return self.restore(Task(id=id))

    def _revoke_until(self, when: Any) -> Any:
        if isinstance(when, dt.datetime):
            return normalize_time(eta=when, utc=self.utc)
        return normalize_time(delay=when, utc=self.utc)

    def _check_revoked(
        self, data: Any, timestamp: dt.datetime | None, peek: bool
    ) -> tuple[bool, bool]:
        """(whether it is revoked, whether the mark is used up)."""
        until, once = self.serializer.deserialize(data)
        if once:
            return True, not peek
        now = self._get_timestamp() if timestamp is None else timestamp
        if until is None or until > now:
            return True, False
        return False, not peek

    def _revoke_keys(self, task: Any) -> list[str]:
        if isinstance(task, (TaskWrapper, type)):
            return [self._task_key(self._class_of(task), "rt")]
        if isinstance(task, (Task, Result)):
            keys = [task.revoke_id]
            found = task.task if isinstance(task, Result) else task
            if type(found) is not Task:
                keys.append(self._task_key(type(found), "rt"))
            return keys
        return [f"r:{task}"]

    def is_revoked(
        self,
        task: Any,
        timestamp: dt.datetime | None = None,
        peek: bool = True,
    ) -> bool:
        """Whether a task, result, id, function or class is revoked."""
        keys = self._revoke_keys(task)
        marks = self.storage.peek_many(keys)
        for key in keys:
            if key in marks:
                revoked, is_used_up = self._check_revoked(
                    marks[key], timestamp, peek
                )
                if is_used_up:
                    self.delete(key)
                if revoked:
                    return True
        return False

    # ---- scheduling ----

    def add_schedule(self, task: Task) -> None:
        """Keep a task until its eta."""
        eta = task.eta or dt.datetime.fromtimestamp(0)
        self.storage.add_to_schedule(self.serialize_task(task), eta)
        logger.info("Added task %s to schedule, eta %s", task.id, eta)
        self._emit(S.SIGNAL_SCHEDULED, task)

    def read_schedule(self, timestamp: dt.datetime | None = None) -> list[Task]:
        """Take what is due out of the schedule."""
        now = self._get_timestamp() if timestamp is None else timestamp
        return self._deserialize_all(self.storage.read_schedule(now))

    def _deserialize_all(self, messages: Iterable[bytes]) -> list[Task]:
        tasks = []
        for data in messages:
            try:
                tasks.append(self.deserialize_task(data))
            except Exception:
                logger.exception("Unable to deserialize a task, skipping it.")
        return tasks

    def read_periodic(self, timestamp: dt.datetime) -> list[PeriodicTask]:
        """The periodic tasks of a minute."""
        return [
            task
            for task in self._registry.periodic_tasks
            if task.validate_datetime(timestamp)
        ]

    def ready_to_run(
        self, task: Task, timestamp: dt.datetime | None = None
    ) -> bool:
        """Whether its eta has come."""
        now = self._get_timestamp() if timestamp is None else timestamp
        return task.eta is None or task.eta <= now

    # ---- looking ----

    def pending(self, limit: int | None = None) -> list[Task]:
        """Tasks that wait, in order."""
        return self._deserialize_all(self.storage.enqueued_items(limit))

    def pending_count(self) -> int:
        """How many wait."""
        return int(self.storage.queue_size())

    def scheduled(self, limit: int | None = None) -> list[Task]:
        """Tasks that wait for their time."""
        return self._deserialize_all(self.storage.scheduled_items(limit))

    def scheduled_count(self) -> int:
        """How many do."""
        return int(self.storage.schedule_size())

    def all_results(self) -> Any:
        """Keys and the bytes under them."""
        return self.storage.result_items()

    def result_count(self) -> int:
        """How many keys there are."""
        return int(self.storage.result_store_size())

    def flush(self) -> None:
        """Delete all."""
        self.storage.flush_all()

    def result(
        self,
        id: str,
        blocking: bool = False,
        timeout: float | None = None,
        backoff: float = 1.15,
        max_delay: float = 1.0,
        revoke_on_timeout: bool = False,
        preserve: bool = False,
    ) -> Any:
        """The value of a task by its id: see Result.get()."""
        return Result(self, Task(id=id)).get(
            blocking, timeout, backoff, max_delay, revoke_on_timeout, preserve
        )

    # ---- locks ----

    def lock_task(self, lock_name: str, ttl: float | None = None) -> TaskLock:
        """A lock: ``with huey.lock_task("x"):`` or a decorator."""
        return TaskLock(self, lock_name, ttl)

    def is_locked(self, lock_name: str) -> bool:
        """Whether somebody holds it."""
        return TaskLock(self, lock_name).is_locked()

    def flush_locks(self, *names: str) -> set[str]:
        """Clear this queue's locks and those named; which were held."""
        prefix = f"{self.name}.lock."
        keys = self._locks | {prefix + name for name in names}
        return {key[len(prefix) :] for key in keys if self.delete(key)}

    def rate_limit(
        self, name: str, limit: int, per: int, retry: bool = True
    ) -> RateLimit:
        """A limit: ``with huey.rate_limit("x", 10, per=60):`` or a decorator."""
        return RateLimit(self, name, limit, per, retry)
