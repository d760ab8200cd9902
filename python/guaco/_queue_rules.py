"""Rules that bind tasks to others: unique keys, limits."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from guaco._queue_task import Seconds, Task

__all__ = ["Limit", "Unique"]

KEY_MAX = 255
LIMITS_MAX = 2

Key = str | Callable[..., object] | None
"""A format string over the task's parameters, or a function of them."""
Rate = str | tuple[int, float]
"""``"10/m"`` (s, m, h, d), or a count and seconds."""

_UNTIL = {"done": 1, "started": 2, "time": 3}
_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"(\d+)\s*/\s*(\d*)\s*([smhd])[a-z]*")


def _ms(value: Any) -> int:
    from guaco._queue_task import seconds

    return round(seconds(value) * 1000)


@dataclasses.dataclass(frozen=True)
class Unique:
    """While a task has this key, another one with it is not enqueued: who
    tries gets the result of the one that is there.

    key: None: the task and its arguments; else a format string over the
    parameters ("user-{user_id}") or a function of them.
    until: the key is free once the task has ended ("done"), once it runs
    ("started"), or ttl after the enqueue ("time").
    ttl: at most so long, in any case.
    replace: a later call changes the one that waits: its arguments, due time
    and priority.
    """

    key: Key = None
    ttl: Seconds | None = None
    until: Literal["done", "started", "time"] = "done"
    replace: bool = False

    def __post_init__(self) -> None:
        if self.until not in _UNTIL:
            raise ValueError(f"until is done, started or time, not {self.until!r}")
        if self.until == "time" and self.ttl is None:
            raise ValueError('until="time" needs a ttl')
        if self.ttl is not None and _ms(self.ttl) <= 0:
            raise ValueError("ttl must be more than 0")


@dataclasses.dataclass(frozen=True)
class Limit:
    """How many tasks of a key run at a time, and how often they start;
    counted in the store, for all workers of the queue.

    key: None: the task; else as of Unique, to limit by user or across tasks.
    concurrency: so many at a time.
    rate: so many starts, "10/m" or (10, 60); evenly refilled, with at most
    burst at once (default: the count).
    cost: how many starts one of this task is.
    """

    key: Key = None
    concurrency: int = 0
    rate: Rate | None = None
    burst: int = 0
    cost: int = 1

    def __post_init__(self) -> None:
        if self.concurrency < 0 or self.burst < 0 or self.cost < 1:
            raise ValueError("a limit's numbers must be positive")
        if self.concurrency == 0 and self.rate is None:
            raise ValueError("a limit is a concurrency, a rate, or both")
        rate_of(self.rate)


def rate_of(rate: Rate | None) -> tuple[int, int]:
    """A rate as starts and milliseconds; (0, 0): none."""
    if rate is None:
        return 0, 0
    if isinstance(rate, str):
        found = _RATE.fullmatch(rate.strip())
        if found is None:
            raise ValueError(f'a rate is like "10/m" or "100/5 s", not {rate!r}')
        count = int(found.group(1))
        period = _PERIODS[found.group(3)] * int(found.group(2) or 1)
    else:
        count, period = rate
    ms = round(period * 1000)
    if not 1 <= count <= 1_000_000 or ms < 1:
        raise ValueError(f"a rate of {count} in {ms} ms cannot be")
    return count, ms


class Rules:
    """The rules of one task function."""

    def __init__(
        self,
        func: Callable[..., Any],
        unique: bool | Key | Unique,
        limits: Sequence[Limit],
    ) -> None:
        if isinstance(unique, bool):
            self.unique = Unique() if unique else None
        elif unique is None or isinstance(unique, Unique):
            self.unique = unique
        else:
            self.unique = Unique(unique)
        self.limits = tuple(limits)
        if len(self.limits) > LIMITS_MAX:
            raise ValueError(f"a task has at most {LIMITS_MAX} limits")
        self._signature: inspect.Signature | None = None
        self._func = func

    def __bool__(self) -> bool:
        return self.unique is not None or bool(self.limits)

    def _arguments(self, task: Task) -> dict[str, Any]:
        """The call's arguments by parameter."""
        if self._signature is None:
            self._signature = inspect.signature(self._func)
        bound = self._signature.bind_partial(*task.args, **task.kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _text(self, key: Key, task: Task) -> str:
        """The key of a call; of the whole queue, so its own words."""
        if key is None:
            return ""
        if callable(key):
            return str(key(*task.args, **task.kwargs))
        if "{" not in key:
            return key
        return key.format(**self._arguments(task))

    def _unique_key(self, task: Task, name: str) -> str:
        assert self.unique is not None
        if self.unique.key is None:
            encode = task.wrapper.queue.serializer.encode
            data = encode([list(task.args), task.kwargs])
            return f"{name}:{hashlib.sha256(data).hexdigest()[:32]}"[-KEY_MAX:]
        return _short(self._text(self.unique.key, task))

    def record(
        self, task: Task, joins: int, must_succeed: bool, id: int
    ) -> tuple[Any, ...]:
        """The ``rules`` of Broker.put."""
        name = task.wrapper.name
        unique = self.unique
        limits = []
        for limit in self.limits:
            key = _short(self._text(limit.key, task)) or name
            count, period_ms = rate_of(limit.rate)
            limits.append(
                (key, limit.concurrency, count, period_ms, limit.burst, limit.cost)
            )
        if unique is None:
            return "", 0, 0, False, tuple(limits), joins, must_succeed, id
        return (
            self._unique_key(task, name),
            _UNTIL[unique.until],
            0 if unique.ttl is None else _ms(unique.ttl),
            unique.replace,
            tuple(limits),
            joins,
            must_succeed,
            id,
        )


def _short(key: str) -> str:
    """A key that fits; a longer one by its digest."""
    data = key.encode()
    if len(data) <= KEY_MAX:
        return key
    return "sha256:" + hashlib.sha256(data).hexdigest()
