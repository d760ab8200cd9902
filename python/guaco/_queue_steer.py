"""Steering a queue: cancel, pause, revoke, schedules, keys, locks."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from guaco import _core
from guaco._queue_crontab import Crontab
from guaco._queue_lock import Lock, RateLimit
from guaco._queue_task import Seconds, Task, seconds, unix_ms

if TYPE_CHECKING:
    from guaco._core import Broker
    from guaco.queue import Queue

P = ParamSpec("P")
R = TypeVar("R")

CATCH_UP = {"skip": 1, "once": 2, "all": 3}
_CATCH_UP_NAMES = {number: name for name, number in CATCH_UP.items()}


class Steering:
    """The part of Queue that changes what is in the store already."""

    name: str
    zone: str

    def _open(self) -> Broker:
        raise NotImplementedError

    def _pack(self, value: Any, what: str, whose: str | int) -> bytes:
        raise NotImplementedError

    def _unpack(self, data: bytes, what: str, whose: str | int) -> Any:
        raise NotImplementedError

    def _record(
        self,
        task: Task,
        is_traced: bool = True,
        joins: int = 0,
        must_succeed: bool = False,
    ) -> tuple[Any, ...]:
        raise NotImplementedError

    async def call(
        self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Any blocking call of this package, on an event loop:
        ``await queue.call(queue.pause)``."""
        return await asyncio.to_thread(function, *args, **kwargs)

    # ---- tasks ----

    def cancel(self, id: int, reason: str = "") -> bool:
        """Cancel a task by its id: see Result.cancel()."""
        return _core.task_cancel(self._open(), id, reason) != 0

    def pause(self) -> None:
        """Run no task until resume().  Enqueuing goes on, and what runs; all
        workers heed it, also those that start later."""
        _core.queue_pause(self._open(), self.name, True)

    def resume(self) -> None:
        """Undo pause()."""
        _core.queue_pause(self._open(), self.name, False)

    @property
    def is_paused(self) -> bool:
        """Whether pause() holds."""
        return bool(self._open().stats(self.name)["paused"])

    def _revoke(
        self, key: str, until: Seconds | dt.datetime | None, once: bool
    ) -> None:
        until_ms = 0
        if isinstance(until, dt.datetime):
            until_ms = max(1, unix_ms(until))
        elif until is not None:
            until_ms = self._open().now_ms() + round(seconds(until) * 1000)
        _core.name_revoke(self._open(), self.name, key, until_ms, once)

    def _restore(self, key: str) -> bool:
        return _core.name_restore(self._open(), self.name, key)

    def _is_revoked(self, key: str) -> bool:
        return _core.name_revoked(self._open(), self.name, key, False)

    # ---- schedules ----

    def add_schedule(
        self,
        name: str,
        when: Crontab | str,
        task: Task,
        *,
        zone: str | None = None,
        catch_up: str = "skip",
        is_paused: bool = False,
    ) -> None:
        """Run task by the clock from now on, or change the schedule of that
        name.  It is kept in the store until remove_schedule(), whatever is
        deployed.  when, zone, catch_up: see Queue.periodic_task().
        """
        if catch_up not in CATCH_UP:
            raise ValueError(f"catch_up is skip, once or all, not {catch_up!r}")
        if task.wrapper.rules:
            raise ValueError(
                "a task with a unique key or a limit cannot come by the clock"
            )
        spec = when.spec if isinstance(when, Crontab) else when
        default = when.zone if isinstance(when, Crontab) else self.zone
        where = zone or default
        Crontab(spec, where)  # a spec that cannot be read is an error here
        entry = name, spec, where, CATCH_UP[catch_up], self._record(task, False)
        _core.recurring_put(self._open(), entry, is_paused)

    def remove_schedule(self, name: str) -> bool:
        """Forget a schedule; False if there is none.  One of a periodic_task
        comes back with the next deployment."""
        return _core.recurring_remove(self._open(), self.name, name)

    def pause_schedule(self, name: str) -> bool:
        """Have a schedule not fire; False if there is none."""
        return _core.recurring_pause(self._open(), self.name, name, True)

    def resume_schedule(self, name: str) -> bool:
        """Undo pause_schedule(); what it missed is gone."""
        return _core.recurring_pause(self._open(), self.name, name, False)

    def schedules(self) -> list[dict[str, Any]]:
        """All schedules: name, task, spec, zone, catch_up, ``last`` and
        ``next`` (datetimes in UTC, or None), is_paused, is_run_time."""
        rows = _core.recurring_list(self._open(), self.name)
        for row in rows:
            row["catch_up"] = _CATCH_UP_NAMES[row["catch_up"]]
            for name in ("last", "next"):
                row[name] = _time_of(row.pop(f"{name}_ms"))
        return rows

    # ---- keys and values ----

    def _key(self, key: str) -> str:
        return f"data.{self.name}.{key}"

    def put(self, key: str, value: Any, *, ttl: Seconds | None = None) -> None:
        """Keep a value beside the tasks, under a key of this queue."""
        body = self._pack(value, "data", key)
        _core.key_put(self._open(), self._key(key), body, _ttl_ms(ttl), False)

    def put_if_empty(
        self, key: str, value: Any, *, ttl: Seconds | None = None
    ) -> bool:
        """As put(), if the key has no value; whether it had none."""
        body = self._pack(value, "data", key)
        return not _core.key_put(
            self._open(), self._key(key), body, _ttl_ms(ttl), True
        )

    def get(
        self,
        key: str,
        default: Any = None,
        *,
        take: bool = False,
        timeout: float = 0,
    ) -> Any:
        """The value of a key, waited for at most timeout seconds; take
        removes it."""
        body = _core.key_get(
            self._open(), self._key(key), take, round(timeout * 1000)
        )
        return default if body is None else self._unpack(body, "data", key)

    def delete(self, key: str) -> bool:
        """Remove a key; whether it was there."""
        return _core.key_drop(self._open(), self._key(key))

    def incr(self, key: str, amount: int = 1, *, ttl: Seconds | None = None) -> int:
        """Add to a counter, which begins at 0, and give the sum."""
        name = f"count.{self.name}.{key}"
        return _core.key_add(self._open(), name, amount, _ttl_ms(ttl))

    # ---- locks ----

    def lock(
        self,
        name: str,
        *,
        slots: int = 1,
        lease: float = 30.0,
        timeout: float | None = None,
    ) -> Lock:
        """A lock, or with slots a semaphore: see Lock."""
        return Lock(
            _queue(self), name, slots=slots, lease=lease, timeout=timeout
        )

    def lock_task(self, name: str, *, slots: int = 1, lease: float = 30.0) -> Lock:
        """A lock that does not wait: a decorator below ``@queue.task()``.

        A task that finds it held fails with TaskLocked, and so is retried.
        """
        return self.lock(name, slots=slots, lease=lease, timeout=0)

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds a lock."""
        return self.lock(name).holders() > 0

    def flush_locks(self, *names: str) -> set[str]:
        """Free locks; which were held."""
        return {name for name in names if self.lock(name).clear()}

    def rate_limit(
        self, name: str, limit: int, per: float, *, retry: bool = True
    ) -> RateLimit:
        """A limit of how often within tasks: see RateLimit.  For whole tasks
        ``@queue.task(rate_limit="10/m")`` starts them no sooner instead."""
        return RateLimit(_queue(self), name, limit, per, retry=retry)


def _queue(self: Any) -> Queue:
    queue: Queue = self
    return queue


def _ttl_ms(ttl: Seconds | None) -> int:
    if ttl is None:
        return 0
    ms = round(seconds(ttl) * 1000)
    if ms < 1:
        raise ValueError("ttl must be more than 0")
    return ms


def _time_of(ms: int | None) -> dt.datetime | None:
    if not ms:
        return None
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    return epoch + dt.timedelta(milliseconds=ms)
