"""Tasks: what is enqueued, and what the decorator makes of a function."""

from __future__ import annotations

import contextvars
import copy
import datetime as dt
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar

from guaco._queue_errors import QueueError, TaskTimeout
from guaco._queue_rules import Key, Limit, Rate, Rules, Unique

if TYPE_CHECKING:
    from guaco._queue_compose import ResultGroup
    from guaco._queue_result import Result
    from guaco._queue_run import AnyRun
    from guaco.queue import Queue

P = ParamSpec("P")
R = TypeVar("R")

Seconds = float | dt.timedelta
Expires = float | dt.timedelta | dt.datetime

_current: contextvars.ContextVar[Task] = contextvars.ContextVar("guaco_task")


def current_task() -> Task:
    """The task that runs here; LookupError outside of one."""
    return _current.get()


def seconds(value: Seconds) -> float:
    """A duration in seconds."""
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    return value


def milliseconds(value: Seconds | None, what: str) -> int:
    """A duration in whole milliseconds; None is 0."""
    if value is None:
        return 0
    ms = round(seconds(value) * 1000)
    if not 0 <= ms < 2**32:
        raise ValueError(f"{what} must be 0 to 49 days, not {value!r}")
    return ms


def unix_ms(when: dt.datetime) -> int:
    """A datetime as Unix time in ms; a naive one is local time."""
    return round(when.timestamp() * 1000)


class Task:
    """One call of a task function, to be enqueued or being run.

    Made by ``wrapper.s(...)``; inside a task by ``context=True`` (it comes as
    the keyword ``task``) or ``guaco.current_task()``.  A setting that is None
    is the wrapper's.
    """

    __slots__ = (
        "args",
        "attempt",
        "delay",
        "existed",
        "eta",
        "expires",
        "failures",
        "gathers",
        "headers",
        "id",
        "is_member",
        "kwargs",
        "on_complete",
        "on_error",
        "priority",
        "reserved",
        "retries",
        "retry_backoff",
        "retry_delay",
        "timeout",
        "wrapper",
        "_run",
        "__weakref__",
    )

    def __init__(
        self,
        wrapper: TaskWrapper[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        eta: dt.datetime | None = None,
        delay: Seconds | None = None,
        priority: int | None = None,
        retries: int | None = None,
        retry_delay: Seconds | None = None,
        retry_backoff: float | None = None,
        expires: Expires | None = None,
        timeout: Seconds | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        if eta is not None and delay is not None:
            raise ValueError("eta or delay, not both")
        self.wrapper = wrapper
        self.args = args
        self.kwargs = {} if kwargs is None else kwargs
        self.eta = eta
        self.delay = delay
        self.priority = priority
        self.retries = retries
        self.retry_delay = retry_delay
        self.retry_backoff = retry_backoff
        self.expires = expires
        self.timeout = timeout
        self.headers = headers
        self.id = 0
        self.attempt = 0
        self.failures = 0
        self.on_complete: Task | None = None
        self.on_error: Task | None = None
        self.gathers = False  # it is the callback of a chord
        self.is_member = False  # the callback of a chord wants its value
        self.reserved = 0  # the id that it is to get
        self.existed = False  # another with its unique key was there
        self._run: AnyRun | None = None

    @property
    def name(self) -> str:
        """The name that is stored: module and function."""
        return self.wrapper.name

    def __repr__(self) -> str:
        text = f"<{type(self).__name__} {self.wrapper.label}"
        return f"{text} {self.id}>" if self.id else f"{text}>"

    def copy(self) -> Task:
        """The same call, as a task of its own."""
        again = copy.copy(self)
        again.kwargs = dict(self.kwargs)
        again.id = again.reserved = again.attempt = again.failures = 0
        again.existed = False
        again._run = None
        return again

    # ---- composing ----

    @staticmethod
    def following(
        task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Task:
        """A task that follows another: one, or a task function."""
        if isinstance(task, TaskWrapper):
            return task.s(*args, **kwargs)
        if not isinstance(task, Task):
            raise TypeError(f"a task is needed, not {type(task).__name__}")
        task.extend(args)
        task.extend(kwargs)
        return task

    def extend(self, value: Any) -> None:
        """Add arguments: a tuple's items, a dict as defaults of keywords, or
        one value.  None adds nothing."""
        if isinstance(value, tuple):
            self.args += value
        elif isinstance(value, dict):
            self.kwargs = {**value, **self.kwargs}
        elif value is not None:
            self.args = (*self.args, value)

    def then(self, task: Any, *args: Any, **kwargs: Any) -> Task:
        """Run task once this one, and what follows it already, is complete.

        It gets the value, by extend().  Enqueuing a pipeline gives the
        results of all its tasks, a ResultGroup.
        """
        last = self
        while last.on_complete is not None:
            last = last.on_complete
        last.on_complete = Task.following(task, args, kwargs)
        return self

    def error(self, task: Any, *args: Any, **kwargs: Any) -> Task:
        """Run task, with the exception, when this one has failed and no retry
        is left."""
        last = self
        while last.on_error is not None:
            last = last.on_error
        last.on_error = Task.following(task, args, kwargs)
        return self

    # ---- inside the running task ----

    def event(self, kind: str, value: Any = None) -> None:
        """Tell those who follow ``Result.events()``; kind is yours to choose.

        Stored and sent within a few milliseconds; the last 256 of a task are
        kept.  Outside of a run it goes nowhere.
        """
        if self._run is not None:
            pack = self.wrapper.queue._pack
            self._run.event(pack([kind, value], "event", self.id))

    def progress(self, value: float, message: str | None = None) -> None:
        """An event "progress": value from 0 to 1, and a text."""
        if message is None:
            self.event("progress", value)
        else:
            self.event("progress", {"value": value, "message": message})

    def complete(self, connection: Any, value: Any = None) -> None:
        """Write that this run is done, with its result and what follows it,
        in the transaction that is open on connection: together with what the
        task itself has written there.

        To be committed before the function returns, whose value then counts
        for nothing; if it is not, the run has failed.  QueueError when another
        attempt has taken this one's place: roll back.  connection is as for
        Queue.using().
        """
        from guaco._queue_using import complete

        complete(self, connection, value)

    @property
    def time_remaining(self) -> float:
        """Seconds to the timeout of this run; infinite without one."""
        left = None if self._run is None else self._run.remaining_ms()
        return float("inf") if left is None else left / 1000

    def check_timeout(self) -> None:
        """Raise TaskTimeout when the run's time is over."""
        if self.time_remaining <= 0:
            raise TaskTimeout(f"timeout of {self.wrapper.label}")


def importable_name(func: Callable[..., Any]) -> str | None:
    """The module by which another process finds func; None: there is none.

    That of a script's functions is the script's own name, if importing that
    name gives the same file.
    """
    module = func.__module__
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    if (spec := getattr(main, "__spec__", None)) is not None:
        return str(spec.name)
    path = getattr(main, "__file__", None)
    if path is None:
        return None
    stem = os.path.splitext(os.path.basename(path))[0]
    try:
        found = importlib.util.find_spec(stem)
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None:
        return None
    return stem if os.path.realpath(found.origin) == os.path.realpath(path) else None


class TaskWrapper(Generic[P, R]):
    """A task function: calling it enqueues, ``call_local`` runs it here.

    Made by ``@queue.task()``.  Subclass it through ``Queue.wrapper_class``,
    and its tasks through ``task_class``.
    """

    task_class: ClassVar[type[Task]] = Task

    def __init__(
        self,
        queue: Queue,
        func: Callable[P, Any],
        *,
        retries: int = 0,
        retry_delay: Seconds = 0,
        retry_backoff: float = 1.0,
        priority: int = 0,
        expires: Expires | None = None,
        timeout: Seconds | None = None,
        context: bool = False,
        name: str | None = None,
        retry_delay_max: Seconds | None = None,
        retry_jitter: float = 0.0,
        unique: bool | Key | Unique = False,
        concurrency: int = 0,
        rate_limit: Rate | None = None,
        limits: Sequence[Limit] = (),
    ) -> None:
        if not 0 <= retry_jitter <= 1:
            raise ValueError("retry_jitter must be 0 to 1")
        if concurrency or rate_limit is not None:
            own = Limit(None, concurrency, rate_limit)
            limits = (own, *limits)
        self.rules = Rules(func, unique, limits)
        if retries < 0:
            raise ValueError("retries must not be negative")
        if retry_backoff and not 1 <= retry_backoff <= 1000:
            raise ValueError("retry_backoff must be 1 to 1000")
        self.queue = queue
        self.func = func
        self.is_async = inspect.iscoroutinefunction(func)
        self.retries = retries
        self.retry_delay = retry_delay
        self.retry_backoff = retry_backoff
        self.priority = priority
        self.expires = expires
        self.timeout = timeout
        self.context = context
        self.label = name or str(
            getattr(func, "__name__", type(func).__name__)
        )
        self._module = importable_name(func)
        if self._module is None and queue.is_local:
            self._module = "__main__"
        # The settings in the order of Broker.put, for calls that change none.
        self.settings = (
            priority,
            retries,
            milliseconds(retry_delay, "retry_delay"),
            round((retry_backoff or 1) * 100),
            milliseconds(timeout, "timeout"),
        )
        self.more_settings = (
            milliseconds(retry_delay_max, "retry_delay_max"),
            round(retry_jitter * 100),
        )
        self.__name__ = self.label
        self.__qualname__ = getattr(func, "__qualname__", self.label)
        self.__module__ = func.__module__
        self.__doc__ = func.__doc__
        self.__wrapped__ = func

    @property
    def name(self) -> str:
        """``module.function``, by which a worker finds it.

        QueueError for a function of a script that cannot be imported: give it
        a name in a module, or run the script as ``python -m``.
        """
        if self._module is None:
            raise QueueError(
                f"task {self.label!r} is defined in "
                f"{self.func.__module__ or 'no module'}, which no worker can "
                "import: move it into a module"
            )
        return f"{self._module}.{self.label}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._module}.{self.label}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Enqueue a call; returns when the store has committed it.

        A queue with ``results=False`` gives None.
        """
        result: Result[R] = self.queue.enqueue(self.s(*args, **kwargs))
        return result

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """As calling it, for event loops: the loop goes on meanwhile."""
        task = self.s(*args, **kwargs)
        result: Result[R] = await self.queue.aenqueue(task)
        return result

    def s(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """The task of a call, not enqueued yet."""
        return self.task_class(self, args, kwargs)

    def schedule(
        self,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        eta: dt.datetime | None = None,
        delay: Seconds | None = None,
        priority: int | None = None,
        retries: int | None = None,
        retry_delay: Seconds | None = None,
        retry_backoff: float | None = None,
        expires: Expires | None = None,
        timeout: Seconds | None = None,
    ) -> Result[R]:
        """Enqueue a call with other settings than the decorator's.

        ``delay`` is seconds from now (a past time is now), ``eta`` a datetime,
        local time if it is naive; with neither it is due at once.
        """
        task = self.task_class(
            self,
            tuple(args),
            kwargs,
            eta=eta,
            delay=delay,
            priority=priority,
            retries=retries,
            retry_delay=retry_delay,
            retry_backoff=retry_backoff,
            expires=expires,
            timeout=timeout,
        )
        result: Result[R] = self.queue.enqueue(task)
        return result

    def map(self, items: Iterable[Any]) -> ResultGroup:
        """Enqueue a call for each item, all or none; a tuple is *args."""
        from guaco._queue_compose import ResultGroup

        return ResultGroup(
            self.queue.enqueue_many(
                self.task_class(
                    self, item if isinstance(item, tuple) else (item,)
                )
                for item in items
            )
        )

    def revoke(
        self,
        until: Seconds | dt.datetime | None = None,
        *,
        once: bool = False,
    ) -> None:
        """Run none of its tasks: ever, until then, or the next one.

        They end as canceled when their turn comes.  It holds across restarts.
        """
        self.queue._revoke(self.name, until, once)

    def restore(self) -> bool:
        """Undo revoke(); False if it was not revoked."""
        return self.queue._restore(self.name)

    def is_revoked(self) -> bool:
        """Whether revoke() holds."""
        return self.queue._is_revoked(self.name)

    def call_local(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function itself, here and now.

        A coroutine function gives its coroutine.
        """
        return self.func(*args, **kwargs)

    def unregister(self) -> bool:
        """Forget the task on this queue; False if it was not there."""
        return self.queue.unregister(self)


class PeriodicTask(TaskWrapper[P, R]):
    """A task that comes by the clock; made by ``@queue.periodic_task()``.

    Calling it enqueues one run now, as for any task.
    """

    spec: str = ""
    zone: str = ""
    catch_up: int = 1
