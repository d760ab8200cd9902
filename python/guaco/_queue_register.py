"""Which functions are tasks of a queue."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, overload

from guaco._queue_batch import SIZE_MAX, BatchTask
from guaco._queue_crontab import Crontab
from guaco._queue_errors import QueueError
from guaco._queue_rules import Key, Limit, Rate, Unique
from guaco._queue_steer import CATCH_UP
from guaco._queue_task import (
    Expires,
    P,
    PeriodicTask,
    R,
    Seconds,
    TaskWrapper,
)

A = TypeVar("A")


class _TaskDecorator(Protocol):
    @overload
    def __call__(
        self, func: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskWrapper[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> TaskWrapper[P, R]: ...


class _PeriodicDecorator(Protocol):
    @overload
    def __call__(
        self, func: Callable[P, Coroutine[Any, Any, R]], /
    ) -> PeriodicTask[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> PeriodicTask[P, R]: ...


class _BatchDecorator(Protocol):
    @overload
    def __call__(
        self, func: Callable[[list[A]], Coroutine[Any, Any, None]], /
    ) -> BatchTask[[A], None]: ...
    @overload
    def __call__(
        self, func: Callable[[list[A]], None], /
    ) -> BatchTask[[A], None]: ...
    @overload
    def __call__(
        self,
        func: Callable[
            [list[A]], Coroutine[Any, Any, list[R]]
        ],
        /,
    ) -> BatchTask[[A], R]: ...
    @overload
    def __call__(
        self, func: Callable[[list[A]], list[R]], /
    ) -> BatchTask[[A], R]: ...


class Registering:
    """The part of Queue that makes functions tasks."""

    name: str
    zone: str

    wrapper_class: ClassVar[type[TaskWrapper[..., Any]]] = TaskWrapper
    periodic_class: ClassVar[type[PeriodicTask[..., Any]]] = PeriodicTask
    batch_class: ClassVar[type[BatchTask[..., Any]]] = BatchTask

    def _init_tasks(self) -> None:
        self._tasks: dict[str, TaskWrapper[..., Any]] = {}
        self._unnamed: list[TaskWrapper[..., Any]] = []

    @overload
    def task(
        self, func: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskWrapper[P, R]: ...
    @overload
    def task(self, func: Callable[P, R], /) -> TaskWrapper[P, R]: ...
    @overload
    def task(
        self,
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
    ) -> _TaskDecorator: ...

    def task(
        self, func: Callable[..., Any] | None = None, **settings: Any
    ) -> Any:
        """Make a function, plain or ``async``, a task of this queue.

        retries: runs after the first that failed.
        retry_delay: seconds (or timedelta) before each; retry_backoff: each
        delay is so many times the one before, at most retry_delay_max; of
        each, the part retry_jitter (0 to 1) is random.
        priority: -1000 to 1000, higher first.
        expires: not begun later than this after the call (or that datetime).
        timeout: seconds of a run, then TaskTimeout is raised in it.
        context: the function gets its Task as the keyword ``task``.
        name: by which it is stored, behind its module; default: its own.
        unique: while one waits or runs with this key no other is enqueued:
        True (the arguments), a format string over the parameters, a function
        of them, or a Unique.
        concurrency: so many of them run at a time, on all workers.
        rate_limit: so many start, "10/m" or (10, 60).
        limits: Limits with keys of their own.
        """
        if func is not None:
            return self._register(self.wrapper_class, func, settings)
        return lambda f: self._register(self.wrapper_class, f, settings)

    def periodic_task(
        self,
        when: Crontab | str,
        *,
        zone: str | None = None,
        catch_up: str = "skip",
        **settings: Any,
    ) -> _PeriodicDecorator:
        """Make a function without parameters a task that comes by the clock.

        when: ``crontab(...)``, or a spec: five fields as of crontab(5), six
        with seconds first, "@hourly", "every 10 s".
        zone: its IANA time zone; default: the queue's.
        catch_up: what was missed while no worker ran is skipped ("skip"), run
        once for all ("once"), or each ("all", the last 100).
        """
        if catch_up not in CATCH_UP:
            raise ValueError(f"catch_up is skip, once or all, not {catch_up!r}")
        spec = when.spec if isinstance(when, Crontab) else when
        where = zone or self.zone
        Crontab(spec, where)  # a spec that cannot be read is an error here

        def decorate(func: Callable[..., Any]) -> Any:
            wrapper = self._register(self.periodic_class, func, settings)
            if wrapper.rules:
                raise ValueError("a periodic task has no unique key or limit")
            assert isinstance(wrapper, PeriodicTask)
            wrapper.spec = spec
            wrapper.zone = where
            wrapper.catch_up = CATCH_UP[catch_up]
            return wrapper

        return decorate

    def batch_task(
        self, size: int = 100, **settings: Any
    ) -> _BatchDecorator:
        """Make a function of a list a task that is enqueued by its items.

        Calls that wait together are run by one call, at most size of them.
        It gives None, or a list with the value of each, exceptions for those
        that failed.  Give it a queue of its own: a worker takes a batch at a
        time, whatever else is in it.
        """
        if not 1 <= size <= SIZE_MAX:
            raise ValueError(f"size must be 1 to {SIZE_MAX}")
        if settings.get("context"):
            raise ValueError("a batch task has no context")

        def decorate(func: Callable[..., Any]) -> Any:
            wrapper = self._register(self.batch_class, func, settings)
            assert isinstance(wrapper, BatchTask)
            wrapper.size = size
            return wrapper

        return decorate

    def _register(
        self,
        cls: type[TaskWrapper[..., Any]],
        func: Callable[..., Any],
        settings: dict[str, Any],
    ) -> TaskWrapper[..., Any]:
        if isinstance(func, TaskWrapper):
            func = func.func  # one function may be a task of several queues
        queue: Any = self
        wrapper = cls(queue, func, **settings)
        if wrapper._module is None:
            self._unnamed.append(wrapper)
            return wrapper
        if wrapper.name in self._tasks:
            raise ValueError(f"task {wrapper.name!r} is registered already")
        self._tasks[wrapper.name] = wrapper
        return wrapper

    def unregister(self, wrapper: TaskWrapper[..., Any]) -> bool:
        """Forget a task; False if it is not one of this queue."""
        if wrapper._module is None or self._tasks.get(wrapper.name) is not wrapper:
            return False
        del self._tasks[wrapper.name]
        return True

    def registered(self, name: str) -> TaskWrapper[..., Any]:
        """The task of that name; QueueError if this process has none."""
        wrapper = self._tasks.get(name)
        if wrapper is None:
            raise QueueError(f"no task {name!r} is registered on {self.name!r}")
        return wrapper

    @property
    def tasks(self) -> list[TaskWrapper[..., Any]]:
        """The registered tasks, periodic ones too, in order."""
        return list(self._tasks.values())
