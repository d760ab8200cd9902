"""A storage in the files of a folder, as Huey lays them out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import tempfile
import threading
import time
from typing import Any

from guaco.compat.huey._storage_base import BaseStorage, text, unix_time
from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.exceptions import ConfigurationError
from guaco.compat.huey.utils import FileLock, encode


class FileStorage(BaseStorage):
    """Tasks, results and counters are files; one lock guards them all."""

    MAX_PRIORITY = 0xFFFF

    def __init__(
        self,
        name: str,
        path: str,
        levels: int = 2,
        use_thread_lock: bool = False,
        **storage_kwargs: Any,
    ) -> None:
        super().__init__(name, **storage_kwargs)
        if not 0 <= levels <= 4:
            raise ConfigurationError("levels must be 0 to 4")
        self.path = path
        self.levels = levels
        self.queue_path = os.path.join(path, "queue")
        self.schedule_path = os.path.join(path, "schedule")
        self.result_path = os.path.join(path, "results")
        self.counter_path = os.path.join(path, "counters")
        for folder in (
            self.queue_path,
            self.schedule_path,
            self.result_path,
            self.counter_path,
        ):
            os.makedirs(folder, exist_ok=True)
        self.lock: Any = (
            threading.Lock()
            if use_thread_lock
            else FileLock(os.path.join(path, ".lock"))
        )

    # ---- files ----

    def _flush_dir(self, path: str) -> None:
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path, exist_ok=True)

    def _write(self, filename: str, data: bytes) -> None:
        """Whole or not at all."""
        folder, name = os.path.split(filename)
        fd, temporary = tempfile.mkstemp(prefix=".tmp-", dir=folder)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
            os.rename(temporary, filename)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _write_new(self, folder: str, prefix: str, data: bytes) -> None:
        """In order of time behind the prefix."""
        number = time.time_ns() // 1_000_000
        while True:
            filename = os.path.join(folder, f"{prefix}-{number:012x}")
            if not os.path.exists(filename):
                break
            number += 1
        self._write(filename, data)

    def _get_sorted_filenames(self, path: str) -> list[str]:
        return sorted(n for n in os.listdir(path) if not n.startswith("."))

    def _take(self, filename: str) -> bytes:
        with open(filename, "rb") as file:
            data = file.read()
        os.unlink(filename)
        return data

    def _items(self, folder: str, limit: int | None) -> list[bytes]:
        with self.lock:
            items = []
            for name in self._get_sorted_filenames(folder)[: limit or None]:
                with open(os.path.join(folder, name), "rb") as file:
                    items.append(file.read())
            return items

    # ---- the queue ----

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        number = int(priority or 0)
        if not 0 <= number <= self.MAX_PRIORITY:
            raise ValueError(f"priority must be 0 to {self.MAX_PRIORITY}")
        with self.lock:
            prefix = f"{self.MAX_PRIORITY - number:04x}"
            self._write_new(self.queue_path, prefix, data)

    def dequeue(self) -> bytes | None:
        with self.lock:
            names = self._get_sorted_filenames(self.queue_path)
            if not names:
                return None
            return self._take(os.path.join(self.queue_path, names[0]))

    def queue_size(self) -> int:
        return len(self._get_sorted_filenames(self.queue_path))

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        return self._items(self.queue_path, limit)

    def flush_queue(self) -> Any:
        with self.lock:
            self._flush_dir(self.queue_path)

    # ---- the schedule ----

    def _timestamp_to_prefix(self, ts: Any) -> str:
        return f"{max(0, int(unix_time(ts) * 1000)):012x}"

    def add_to_schedule(self, data: bytes, ts: Any) -> Any:
        with self.lock:
            prefix = self._timestamp_to_prefix(ts)
            self._write_new(self.schedule_path, prefix, data)

    def read_schedule(self, ts: Any) -> list[bytes]:
        until = self._timestamp_to_prefix(ts)
        with self.lock:
            due = []
            for name in self._get_sorted_filenames(self.schedule_path):
                if name.partition("-")[0] > until:
                    break
                due.append(self._take(os.path.join(self.schedule_path, name)))
            return due

    def schedule_size(self) -> int:
        return len(self._get_sorted_filenames(self.schedule_path))

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        return self._items(self.schedule_path, limit)

    def flush_schedule(self) -> Any:
        with self.lock:
            self._flush_dir(self.schedule_path)

    # ---- keys and values ----

    def path_for_key(self, key: Any) -> str:
        """The file of a key."""
        digest = hashlib.md5(encode(key)).hexdigest()
        return os.path.join(self.result_path, *digest[: self.levels], digest)

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        with self.lock:
            self._put_data(key, value)

    def _put_data(self, key: Any, value: bytes) -> None:
        name = encode(key)
        data = struct.pack(">I", len(name)) + name + value
        filename = self.path_for_key(key)
        os.makedirs(os.path.dirname(filename), exist_ok=True)
        self._write(filename, data)

    def put_if_empty(
        self, key: Any, value: bytes, ttl: float | None = None
    ) -> bool:
        if ttl is not None:
            raise NotImplementedError("a lock in files has no ttl")
        with self.lock:
            if self.has_data_for_key(key):
                return False
            self._put_data(key, value)
            return True

    def _unpack_result(self, data: bytes) -> tuple[bytes, bytes]:
        (length,) = struct.unpack(">I", data[:4])
        if len(data) < 4 + length:
            raise struct.error("truncated")
        return data[4 : 4 + length], data[4 + length :]

    def _read(self, filename: str) -> Any:
        try:
            with open(filename, "rb") as file:
                return self._unpack_result(file.read())[1]
        except (FileNotFoundError, struct.error):
            return EmptyData

    def peek_data(self, key: Any) -> Any:
        return self._read(self.path_for_key(key))

    def pop_data(self, key: Any) -> Any:
        filename = self.path_for_key(key)
        with self.lock:
            value = self._read(filename)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(filename)
            return value

    def has_data_for_key(self, key: Any) -> bool:
        return os.path.exists(self.path_for_key(key))

    def _counter_filename(self, key: Any) -> str:
        digest = hashlib.md5(encode(key)).hexdigest()
        return os.path.join(self.counter_path, digest)

    def incr(self, key: Any, amount: int = 1) -> int:
        filename = self._counter_filename(key)
        with self.lock:
            try:
                with open(filename) as file:
                    value = int(file.read())
            except (FileNotFoundError, ValueError):
                value = 0
            value += amount
            self._write(filename, str(value).encode())
            return value

    def delete_counter(self, key: Any) -> Any:
        with self.lock, contextlib.suppress(FileNotFoundError):
            os.unlink(self._counter_filename(key))

    def _result_files(self) -> list[str]:
        return [
            os.path.join(folder, name)
            for folder, _, names in os.walk(self.result_path)
            for name in names
            if not name.startswith(".")
        ]

    def result_store_size(self) -> int:
        return len(self._result_files())

    def result_items(self) -> dict[str, bytes]:
        items = {}
        for filename in self._result_files():
            try:
                with open(filename, "rb") as file:
                    key, value = self._unpack_result(file.read())
            except (FileNotFoundError, struct.error):
                continue
            items[text(key)] = value
        return items

    def flush_results(self) -> Any:
        with self.lock:
            self._flush_dir(self.result_path)

    def flush_counters(self) -> Any:
        with self.lock:
            self._flush_dir(self.counter_path)
