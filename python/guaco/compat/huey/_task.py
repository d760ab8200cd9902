"""Tasks, and what the decorators make of a function."""

from __future__ import annotations

import datetime as dt
import inspect
import time
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from guaco.compat.huey.exceptions import ConfigurationError, TaskTimeout
from guaco.compat.huey.utils import (
    ChordConfig,
    Seconds,
    normalize_expire_time,
    normalize_time,
)

if TYPE_CHECKING:
    from guaco.compat.huey._huey import Huey
    from guaco.compat.huey._result import ResultGroup

Expires = Seconds | dt.datetime

SETTINGS = (
    "eta",
    "delay",
    "retries",
    "retry_delay",
    "retry_backoff",
    "priority",
    "expires",
    "timeout",
    "id",
)
"""Keywords of a call that are the task's, not its function's."""


class Task:
    """One call of a task function.  A subclass is made for each function; a
    setting that is None is the class's default."""

    default_expires: Any = None
    default_priority: Any = None
    default_retries: int = 0
    default_retry_delay: Any = 0
    default_retry_backoff: Any = 0
    default_timeout: Any = None

    def __init__(
        self,
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        id: str | None = None,
        eta: dt.datetime | None = None,
        retries: int | None = None,
        retry_delay: Any = None,
        priority: Any = None,
        expires: Any = None,
        on_complete: Task | None = None,
        on_error: Task | None = None,
        expires_resolved: dt.datetime | None = None,
        timeout: Any = None,
        chord_config: ChordConfig | None = None,
        retry_backoff: Any = None,
    ) -> None:
        def default(value: Any, otherwise: Any) -> Any:
            return otherwise if value is None else value

        self.name = type(self).__name__
        self.args: tuple[Any, ...] = () if args is None else tuple(args)
        self.kwargs: dict[str, Any] = {} if kwargs is None else kwargs
        self.id = id or self.create_id()
        self.revoke_id = f"r:{self.id}"
        self.eta = eta
        self.retries: int = default(retries, self.default_retries)
        self.retry_delay = default(retry_delay, self.default_retry_delay)
        self.retry_backoff = default(retry_backoff, self.default_retry_backoff)
        self.priority = default(priority, self.default_priority)
        self.expires = default(expires, self.default_expires)
        self.expires_resolved = expires_resolved
        self.timeout = default(timeout, self.default_timeout)
        self.chord_config = chord_config
        self._deadline: float | None = None
        self.on_complete = on_complete
        self.on_error = on_error

    @property
    def data(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the call."""
        return self.args, self.kwargs

    def __repr__(self) -> str:
        text = f"{type(self).__module__}.{self.name}: {self.id}"
        if self.eta:
            text += f" @{self.eta}"
        if self.expires:
            text += f" exp={self.expires}"
            if self.expires != self.expires_resolved and self.expires_resolved:
                text += f" ({self.expires_resolved})"
        if self.priority:
            text += f" p={self.priority}"
        if self.retries:
            text += f" {self.retries} retries"
        if self.timeout:
            text += f" timeout={self.timeout}"
        if self.on_complete:
            text += f" -> {self.on_complete}"
        if self.on_error:
            text += f", on error {self.on_error}"
        if self.chord_config:
            text += f", chord {self.chord_config.cid}"
        return text

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Task)
            and (self.id, self.eta) == (other.id, other.eta)
        )

    def create_id(self) -> str:
        """The id of a new task."""
        return str(uuid.uuid4())

    def resolve_expires(self, utc: bool = True) -> None:
        """Compute when it expires, from now."""
        if self.expires:
            self.expires_resolved = normalize_expire_time(self.expires, utc)

    # ---- inside the run ----

    @property
    def time_remaining(self) -> float:
        """Seconds to the timeout; infinite without one."""
        if self._deadline is None:
            return float("inf")
        return max(0.0, self._deadline - time.monotonic())

    @property
    def is_timed_out(self) -> bool:
        """Whether the run's time is over."""
        return self.time_remaining == 0

    def check_timeout(self) -> None:
        """TaskTimeout when the run's time is over."""
        if self.is_timed_out:
            raise TaskTimeout(f"timeout {self.timeout}s")

    # ---- composing ----

    def extend_data(self, data: Any) -> None:
        """Add arguments: a tuple's items, a dict as defaults of keywords, or
        one value; None and () add nothing."""
        if data is None or data == ():
            return
        if isinstance(data, tuple):
            self.args += data
        elif isinstance(data, dict):
            for key, value in data.items():
                self.kwargs.setdefault(key, value)
        else:
            self.args = (*self.args, data)

    def _append(
        self, name: str, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Task:
        if isinstance(task, TaskWrapper):
            task = task.s(*args, **kwargs)
        else:
            if args:
                task.extend_data(args)
            if kwargs:
                task.extend_data(kwargs)
        last = self
        while (following := getattr(last, name)) is not None:
            last = following
        setattr(last, name, task)
        return self

    def then(self, task: Any, *args: Any, **kwargs: Any) -> Task:
        """Run task when this one, and what follows it already, is complete."""
        return self._append("on_complete", task, args, kwargs)

    def error(self, task: Any, *args: Any, **kwargs: Any) -> Task:
        """Run task when this one has failed."""
        return self._append("on_error", task, args, kwargs)

    def execute(self) -> Any:
        """Call the function; the decorators' subclasses do."""
        raise NotImplementedError


class PeriodicTask(Task):
    """A task that comes by the clock."""

    def validate_datetime(self, timestamp: dt.datetime) -> bool:
        """Whether it is to be run in this minute."""
        return False


class TaskWrapper:
    """A task function: calling it enqueues."""

    task_base: type[Task] = Task

    def __init__(
        self,
        huey: Huey,
        func: Callable[..., Any],
        context: bool = False,
        name: str | None = None,
        task_base: type[Task] | None = None,
        **settings: Any,
    ) -> None:
        self.__doc__ = getattr(func, "__doc__", None)
        if inspect.iscoroutinefunction(func):
            raise ConfigurationError(
                f"{func.__name__} is a coroutine function, which Huey does "
                "not run: call asyncio.run() in a plain one, or use guaco.Queue"
            )
        self.huey = huey
        self.func = func
        self.context = context
        self.name = name
        self.settings = settings
        if task_base is not None:
            self.task_base = task_base
        self.task_class = self.create_task(func, context, name, **settings)
        huey._registry.register(self.task_class)

    @property
    def retries(self) -> int:
        """Runs after the first that failed."""
        return self.task_class.default_retries

    @property
    def retry_delay(self) -> Any:
        """Seconds before each."""
        return self.task_class.default_retry_delay

    def unregister(self) -> bool:
        """Forget the task; False if it was not known."""
        return self.huey._registry.unregister(self.task_class)

    def create_task(
        self,
        func: Callable[..., Any],
        context: bool = False,
        name: str | None = None,
        **settings: Any,
    ) -> type[Task]:
        """The class of the function's tasks."""

        def execute(self: Task) -> Any:
            args, kwargs = self.data
            if self.context:  # type: ignore[attr-defined]
                kwargs = {**kwargs, "task": self}
            return func(*args, **kwargs)

        attributes = {
            "context": context,
            "execute": execute,
            "__module__": func.__module__,
            "__doc__": func.__doc__,
            **settings,
        }
        return type(name or func.__name__, (self.task_base,), attributes)

    def is_revoked(
        self, timestamp: dt.datetime | None = None, peek: bool = True
    ) -> bool:
        """Whether all its tasks are revoked."""
        return self.huey.is_revoked(self.task_class, timestamp, peek)

    def revoke(
        self,
        revoke_until: Expires | None = None,
        revoke_once: bool = False,
    ) -> None:
        """Run none of its tasks: until then, or the next one."""
        self.huey.revoke_all(self.task_class, revoke_until, revoke_once)

    def restore(self) -> bool:
        """Undo revoke(); False if it was not revoked."""
        return self.huey.restore_all(self.task_class)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.huey.enqueue(self.s(*args, **kwargs))

    def schedule(
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        eta: Any = None,
        delay: Seconds | None = None,
        priority: Any = None,
        retries: int | None = None,
        retry_delay: Any = None,
        retry_backoff: Any = None,
        expires: Any = None,
        timeout: Any = None,
        id: str | None = None,
    ) -> Any:
        """Enqueue a call for later."""
        if eta is None and delay is None:
            if isinstance(args, (int, float, dt.timedelta)):
                delay, args = args, None
            elif isinstance(args, dt.datetime):
                eta, args = args, None
        if kwargs is not None and not isinstance(kwargs, dict):
            raise ValueError("The kwargs argument must be a dictionary.")
        if eta is None and delay is None:
            raise ValueError("Specify either an eta (datetime) or delay "
                             "(in seconds)")
        if args is not None and not isinstance(args, (tuple, list)):
            args = (args,)
        task = self.task_class(
            args or (),
            kwargs or {},
            id=id,
            eta=normalize_time(eta, delay, self.huey.utc),
            priority=priority,
            retries=retries,
            retry_delay=retry_delay,
            retry_backoff=retry_backoff,
            expires=expires,
            timeout=timeout,
        )
        return self.huey.enqueue(task)

    def _apply(self, it: Iterable[Any]) -> list[Task]:
        return [self.s(*(i if isinstance(i, tuple) else (i,))) for i in it]

    def map(self, it: Iterable[Any]) -> ResultGroup | None:
        """Enqueue a call for each item; a tuple's items are the arguments."""
        from guaco.compat.huey._result import ResultGroup

        results = [self.huey.enqueue(t) for t in self._apply(it)]
        return ResultGroup(results) if self.huey.results else None

    def call_local(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, here and now."""
        return self.func(*args, **kwargs)

    def s(self, *args: Any, **kwargs: Any) -> Task:
        """The task of a call, not enqueued."""
        settings = {k: kwargs.pop(k, None) for k in SETTINGS}
        eta, delay = settings.pop("eta"), settings.pop("delay")
        if eta is not None or delay is not None:
            eta = normalize_time(eta, delay, self.huey.utc)
        return self.task_class(args, kwargs, eta=eta, **settings)
