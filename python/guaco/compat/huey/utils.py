"""Times, locks on files, and the small records that are stored."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import importlib
import os
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

Seconds = float | dt.timedelta


class Error(NamedTuple):
    """A failure as it is stored: see TaskException.metadata."""

    metadata: dict[str, Any]


class _Skipped:
    """What a chord's callback gets for a member that was not run."""

    def __repr__(self) -> str:
        return "SKIPPED"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "SKIPPED"


SKIPPED = _Skipped()


class ChordConfig(NamedTuple):
    """To which chord a task belongs, and as which member."""

    cid: str
    size: int
    idx: int
    callback: Any


def load_class(s: str) -> Any:
    """What the dotted path names."""
    path, _, name = s.rpartition(".")
    return getattr(importlib.import_module(path), name)


def utcnow() -> dt.datetime:
    """Now, UTC, naive: as all times of this API are."""
    return dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)


def is_naive(dt: dt.datetime) -> bool:
    """Whether it has no offset from UTC."""
    return dt.utcoffset() is None


def make_naive(dt: dt.datetime) -> dt.datetime:
    """An aware datetime as local time."""
    return dt.astimezone().replace(tzinfo=None)


def aware_to_utc(dt: dt.datetime) -> dt.datetime:
    """An aware datetime as UTC, naive."""
    return dt.astimezone(_utc).replace(tzinfo=None)


def local_to_utc(dt: dt.datetime) -> dt.datetime:
    """A naive local datetime as UTC."""
    return dt.astimezone(_utc).replace(tzinfo=None)


_utc = dt.timezone.utc


def normalize_time(
    eta: dt.datetime | None = None,
    delay: Seconds | None = None,
    utc: bool = True,
) -> dt.datetime:
    """When it is due, naive: of exactly one of a datetime and a delay."""
    if (eta is None) == (delay is None):
        raise ValueError("Specify either an eta (datetime) or delay (in seconds)")
    if delay is not None:
        if not isinstance(delay, dt.timedelta):
            delay = dt.timedelta(seconds=delay)
        return (utcnow() if utc else dt.datetime.now()) + delay
    if not isinstance(eta, dt.datetime):
        raise ValueError("Specify either an eta (datetime) or delay (in seconds)")
    if not is_naive(eta):
        return aware_to_utc(eta) if utc else make_naive(eta)
    return local_to_utc(eta) if utc else eta


def normalize_expire_time(
    expires: Seconds | dt.datetime, utc: bool = True
) -> dt.datetime:
    """When it expires, naive."""
    if isinstance(expires, dt.datetime):
        return normalize_time(eta=expires, utc=utc)
    return normalize_time(delay=expires, utc=utc)


def encode(s: Any) -> Any:
    """A str as bytes, anything else as it is."""
    return s.encode("utf-8") if isinstance(s, str) else s


class FileLock:
    """A lock among processes and threads, by flock(2) on a file."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.fd: int | None = None
        self._lock = threading.Lock()
        folder = os.path.dirname(filename)
        if folder:
            os.makedirs(folder, exist_ok=True)

    def acquire(self) -> None:
        """Wait for it."""
        self._lock.acquire()
        try:
            fd = os.open(self.filename, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            self._lock.release()
            raise
        self.fd = fd

    def release(self) -> None:
        """Give it back; nothing if it is not held."""
        if self.fd is not None:
            fd, self.fd = self.fd, None
            os.close(fd)
            self._lock.release()

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *args: object) -> None:
        self.release()


@contextlib.contextmanager
def noop_context() -> Iterator[None]:
    """Does nothing."""
    yield
