"""MiniHuey: tasks and a clock in one process, by gevent."""

from __future__ import annotations

import datetime as dt
import functools
import heapq
import importlib
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

from guaco.compat.huey.exceptions import ConfigurationError
from guaco.compat.huey.utils import normalize_time

gevent: Any = importlib.import_module("gevent")
AsyncResult: Any = importlib.import_module("gevent.event").AsyncResult
Pool: Any = importlib.import_module("gevent.pool").Pool

logger = logging.getLogger("huey.mini")


class MiniHueyResult(AsyncResult):  # type: ignore[misc]
    """The result of a call; calling it is get()."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.get(*args, **kwargs)


class MiniHuey:
    """Calls go to a pool of greenlets; local time."""

    def __init__(
        self, name: str = "huey", interval: float = 1, pool_size: int | None = None
    ) -> None:
        self.name = name
        self._interval = interval
        self._last_check = dt.datetime.now()
        self._periodic_interval = dt.timedelta(minutes=1)
        self._periodic_tasks: list[tuple[Callable[..., Any], Any]] = []
        self._scheduled_tasks: list[tuple[dt.datetime, int, Any, Any, Any, Any]] = []
        self._numbers = itertools.count()
        self._pool = Pool(pool_size)
        self._run_t: Any = None

    def task(self, validate_func: Any = None) -> Callable[[Any], Any]:
        """Make a function a task; with crontab(...), a periodic one."""

        def decorator(fn: Any) -> Any:
            if validate_func is not None:
                self._periodic_tasks.append((validate_func, fn))

            @functools.wraps(fn)
            def inner(*args: Any, **kwargs: Any) -> MiniHueyResult:
                result = MiniHueyResult()
                self._enqueue(fn, args, kwargs, result)
                return result

            def schedule(
                args: Any = None,
                kwargs: Any = None,
                delay: Any = None,
                eta: dt.datetime | None = None,
            ) -> MiniHueyResult:
                if delay is None and eta is None:
                    raise ValueError("Specify either a delay (in seconds) or "
                                     "an eta (datetime)")
                when = normalize_time(eta, delay, utc=False)
                result = MiniHueyResult()
                item = (when, next(self._numbers), fn, args or (), kwargs or {},
                        result)
                heapq.heappush(self._scheduled_tasks, item)
                return result

            inner.schedule = schedule  # type: ignore[attr-defined]
            return inner

        return decorator

    def periodic_task(self, validate_func: Any) -> Callable[[Any], Any]:
        """As task(validate_func)."""
        return self.task(validate_func)

    def start(self) -> None:
        """Begin to look at the clock."""
        if self._run_t is not None:
            raise ConfigurationError("Task runner is already running.")
        self._run_t = gevent.spawn(self._run)

    def stop(self) -> None:
        """End it."""
        if self._run_t is None:
            raise ConfigurationError("Task runner does not appear to have "
                                     "started.")
        self._run_t.kill()
        self._run_t = None

    def _enqueue(self, fn: Any, args: Any, kwargs: Any, result: Any) -> None:
        self._pool.spawn(self._execute, fn, args, kwargs, result)

    def _execute(self, fn: Any, args: Any, kwargs: Any, result: Any) -> None:
        start = time.monotonic()
        try:
            value = fn(*args, **kwargs)
        except Exception as exc:
            logger.exception("task %s failed", fn.__name__)
            if result is not None:
                result.set_exception(exc)
            return
        took = time.monotonic() - start
        logger.info("task %s executed in %0.3fs", fn.__name__, took)
        if result is not None:
            result.set(value)

    def _run(self) -> None:
        logger.info("task runner started.")
        while True:
            start = time.monotonic()
            try:
                self._check(dt.datetime.now())
            except Exception:
                logger.exception("unhandled exception in the task runner")
            took = time.monotonic() - start
            gevent.sleep(max(0.0, self._interval - took))

    def _check(self, now: dt.datetime) -> None:
        minute = now.replace(second=0, microsecond=0)
        if minute != self._last_check.replace(second=0, microsecond=0):
            self._last_check = now
            for validate, fn in self._periodic_tasks:
                if validate(now):
                    self._enqueue(fn, (), {}, None)
        while self._scheduled_tasks and self._scheduled_tasks[0][0] <= now:
            _, _, fn, args, kwargs, result = heapq.heappop(self._scheduled_tasks)
            self._enqueue(fn, args, kwargs, result)
