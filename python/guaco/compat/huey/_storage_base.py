"""What a storage is, and the two that need nothing."""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import threading
import time
from collections.abc import Iterable
from typing import Any

from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.utils import encode


def text(key: Any) -> Any:
    """A key as str."""
    return key.decode("utf-8") if isinstance(key, bytes) else key


def unix_time(ts: Any) -> float:
    """A naive datetime as Huey stores it: as if it were local time."""
    return float(ts.timestamp()) if isinstance(ts, dt.datetime) else float(ts)


class BaseStorage:
    """Bytes in, bytes out.  Subclass it, and override what is yours: the
    consumer and Huey go through these methods alone."""

    blocking = False
    """Whether dequeue() waits for a task."""
    priority = True
    """Whether priorities count."""

    def __init__(self, name: str = "huey", **storage_kwargs: Any) -> None:
        self.name = name

    def close(self) -> Any:
        """Let go of what is open; the next use opens it again."""

    # ---- the queue ----

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        """Add a task."""
        raise NotImplementedError

    def dequeue(self) -> bytes | None:
        """Take the first task out; None when there is none."""
        raise NotImplementedError

    def queue_size(self) -> int:
        """How many there are."""
        raise NotImplementedError

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        """The tasks, first to be taken first."""
        raise NotImplementedError

    def flush_queue(self) -> Any:
        """Delete them."""
        raise NotImplementedError

    # ---- the schedule ----

    def add_to_schedule(self, data: bytes, ts: Any) -> Any:
        """Keep a task until ts."""
        raise NotImplementedError

    def read_schedule(self, ts: Any) -> list[bytes]:
        """Take out what is due, soonest first."""
        raise NotImplementedError

    def schedule_size(self) -> int:
        """How many wait for their time."""
        raise NotImplementedError

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        """Them, soonest first."""
        raise NotImplementedError

    def flush_schedule(self) -> Any:
        """Delete them."""
        raise NotImplementedError

    # ---- keys and values ----

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        """Store a value."""
        raise NotImplementedError

    def peek_data(self, key: Any) -> Any:
        """A value, or EmptyData."""
        raise NotImplementedError

    def peek_many(self, keys: Iterable[Any]) -> dict[Any, bytes]:
        """The values of those keys that have one."""
        found = {}
        for key in keys:
            value = self.peek_data(key)
            if value is not EmptyData:
                found[key] = value
        return found

    def pop_data(self, key: Any) -> Any:
        """A value, which is taken out, or EmptyData."""
        raise NotImplementedError

    def wait_result(
        self,
        key: Any,
        timeout: float | None = None,
        backoff: float = 1.15,
        max_delay: float = 1.0,
    ) -> bool:
        """Wait until the key has a value; False after timeout seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        delay = 0.01
        while not self.has_data_for_key(key):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            time.sleep(delay if left is None else min(delay, left))
            delay = min(delay * backoff, max_delay)
        return True

    def delete_data(self, key: Any) -> bool:
        """Delete a key; whether it had a value."""
        return self.pop_data(key) is not EmptyData

    def has_data_for_key(self, key: Any) -> bool:
        """Whether it has a value."""
        raise NotImplementedError

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        """Store a value if the key has none, as one step."""
        if ttl is not None:
            raise NotImplementedError("this storage has no ttl")
        if self.has_data_for_key(key):
            return False
        self.put_data(key, value)
        return True

    def incr(self, key: Any, amount: int = 1) -> int:
        """Add to a counter, as one step; its new value."""
        raise NotImplementedError

    def delete_counter(self, key: Any) -> Any:
        """Begin it at 0 again."""
        raise NotImplementedError

    def result_store_size(self) -> int:
        """How many keys there are."""
        raise NotImplementedError

    def result_items(self) -> dict[str, bytes]:
        """All keys and values."""
        raise NotImplementedError

    def flush_results(self) -> Any:
        """Delete them."""
        raise NotImplementedError

    def flush_counters(self) -> Any:
        """Delete all counters."""
        raise NotImplementedError

    def flush_all(self) -> Any:
        """Delete all."""
        self.flush_queue()
        self.flush_schedule()
        self.flush_results()
        self.flush_counters()


class BlackHoleStorage(BaseStorage):
    """Keeps nothing."""

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        pass

    def dequeue(self) -> bytes | None:
        return None

    def queue_size(self) -> int:
        return 0

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        return []

    def flush_queue(self) -> Any:
        pass

    def add_to_schedule(self, data: bytes, ts: Any) -> Any:
        pass

    def read_schedule(self, ts: Any) -> list[bytes]:
        return []

    def schedule_size(self) -> int:
        return 0

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        return []

    def flush_schedule(self) -> Any:
        pass

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        pass

    def peek_data(self, key: Any) -> Any:
        return EmptyData

    def pop_data(self, key: Any) -> Any:
        return EmptyData

    def has_data_for_key(self, key: Any) -> bool:
        return False

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        return True

    def incr(self, key: Any, amount: int = 1) -> int:
        return amount

    def delete_counter(self, key: Any) -> Any:
        pass

    def result_store_size(self) -> int:
        return 0

    def result_items(self) -> dict[str, bytes]:
        return {}

    def flush_results(self) -> Any:
        pass

    def flush_counters(self) -> Any:
        pass


class MemoryStorage(BaseStorage):
    """In this process; one lock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._numbers = itertools.count()
        self._queue: list[tuple[float, int, bytes]] = []
        self._schedule: list[tuple[float, int, bytes]] = []
        self._results: dict[Any, bytes] = {}
        self._ends: dict[Any, float] = {}
        self._counters: dict[Any, int] = {}
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        with self._lock:
            item = (-(priority or 0), next(self._numbers), data)
            heapq.heappush(self._queue, item)

    def dequeue(self) -> bytes | None:
        with self._lock:
            return heapq.heappop(self._queue)[2] if self._queue else None

    def queue_size(self) -> int:
        return len(self._queue)

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        with self._lock:
            return [item[2] for item in sorted(self._queue)][: limit or None]

    def flush_queue(self) -> Any:
        with self._lock:
            self._queue.clear()

    def add_to_schedule(self, data: bytes, ts: Any) -> Any:
        with self._lock:
            item = (unix_time(ts), next(self._numbers), data)
            heapq.heappush(self._schedule, item)

    def read_schedule(self, ts: Any) -> list[bytes]:
        until = unix_time(ts)
        due = []
        with self._lock:
            while self._schedule and self._schedule[0][0] <= until:
                due.append(heapq.heappop(self._schedule)[2])
        return due

    def schedule_size(self) -> int:
        return len(self._schedule)

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        with self._lock:
            return [item[2] for item in sorted(self._schedule)][: limit or None]

    def flush_schedule(self) -> Any:
        with self._lock:
            self._schedule.clear()

    def _expire(self, key: Any) -> None:
        end = self._ends.get(key)
        if end is not None and time.monotonic() >= end:
            del self._ends[key]
            self._results.pop(key, None)

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        with self._news:
            self._ends.pop(encode(key), None)
            self._results[encode(key)] = value
            self._news.notify_all()

    def peek_data(self, key: Any) -> Any:
        with self._lock:
            self._expire(encode(key))
            return self._results.get(encode(key), EmptyData)

    def pop_data(self, key: Any) -> Any:
        with self._lock:
            self._expire(encode(key))
            self._ends.pop(encode(key), None)
            return self._results.pop(encode(key), EmptyData)

    def has_data_for_key(self, key: Any) -> bool:
        with self._lock:
            self._expire(encode(key))
            return encode(key) in self._results

    def wait_result(
        self,
        key: Any,
        timeout: float | None = None,
        backoff: float = 1.15,
        max_delay: float = 1.0,
    ) -> bool:
        with self._news:
            return self._news.wait_for(
                lambda: self.has_data_for_key(key), timeout
            )

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        with self._lock:
            if self.has_data_for_key(key):
                return False
            self.put_data(key, value)
            if ttl is not None:
                self._ends[encode(key)] = time.monotonic() + ttl
            return True

    def incr(self, key: Any, amount: int = 1) -> int:
        with self._lock:
            value = self._counters.get(encode(key), 0) + amount
            self._counters[encode(key)] = value
            return value

    def delete_counter(self, key: Any) -> Any:
        with self._lock:
            self._counters.pop(encode(key), None)

    def result_store_size(self) -> int:
        with self._lock:
            for key in list(self._ends):
                self._expire(key)
            return len(self._results)

    def result_items(self) -> dict[str, bytes]:
        with self._lock:
            for key in list(self._ends):
                self._expire(key)
            return {text(k): v for k, v in self._results.items()}

    def flush_results(self) -> Any:
        with self._lock:
            self._results.clear()
            self._ends.clear()

    def flush_counters(self) -> Any:
        with self._lock:
            self._counters.clear()
