"""How arguments and results become bytes: the two serializers of a queue.

A serializer is any object with ``encode(value) -> bytes`` and
``decode(data) -> value``; pass one as ``Queue(serializer=...)``.
"""

from __future__ import annotations

import builtins
import datetime as dt
import decimal
import pickle
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Final, Protocol

from guaco._core import Codec, PayloadError, Seal
from guaco._queue_seal import Secret, keys_of

__all__ = [
    "BYTES_MAX",
    "PayloadError",
    "PickleSerializer",
    "RemoteError",
    "Serializer",
    "TypedSerializer",
]

BYTES_MAX: Final = 16 * 1024 * 1024
"""The largest payload, bytes; a task's arguments, its result, an event."""


class Serializer(Protocol):
    """What a queue asks of its serializer."""

    def encode(self, value: object, /) -> bytes:
        """The bytes of value; TypeError or ValueError if it cannot be kept."""

    def decode(self, data: bytes, /) -> Any:
        """The value; PayloadError when the bytes are not what encode gives."""


class RemoteError(Exception):
    """An exception whose class this process does not rebuild from data.

    ``type_name`` is the dotted name of its class, ``args`` what could be kept
    of its arguments.
    """

    def __init__(self, type_name: str, *args: object) -> None:
        super().__init__(type_name, *args)
        self.type_name = type_name

    def __str__(self) -> str:
        return ": ".join([self.type_name, *map(str, self.args[1:])])


def _zone(tz: dt.tzinfo | None) -> str | int | None:
    """A time zone as data: its IANA key, or microseconds east of UTC."""
    if tz is None:
        return None
    if isinstance(tz, zoneinfo.ZoneInfo) and tz.key:
        return tz.key
    if type(tz) is dt.timezone:
        return tz.utcoffset(None) // dt.timedelta(microseconds=1)
    raise TypeError(
        f"a datetime with a {type(tz).__qualname__} cannot be stored: use "
        "zoneinfo.ZoneInfo or datetime.timezone"
    )


def _unzone(zone: str | int | None) -> dt.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    if zone == 0:
        return dt.timezone.utc
    return dt.timezone(dt.timedelta(microseconds=zone))


def _reduce_datetime(v: dt.datetime) -> tuple[Any, ...]:
    wall = v.replace(tzinfo=None, fold=0).isoformat()
    return ("datetime", wall, _zone(v.tzinfo), v.fold)


def _build_datetime(wall: str, zone: str | int | None, fold: int) -> dt.datetime:
    naive = dt.datetime.fromisoformat(wall)
    return naive.replace(tzinfo=_unzone(zone), fold=fold)


def _reduce_time(v: dt.time) -> tuple[Any, ...]:
    wall = v.replace(tzinfo=None, fold=0).isoformat()
    return ("time", wall, _zone(v.tzinfo), v.fold)


def _build_time(wall: str, zone: str | int | None, fold: int) -> dt.time:
    naive = dt.time.fromisoformat(wall)
    return naive.replace(tzinfo=_unzone(zone), fold=fold)


_PLAIN = (type(None), bool, int, float, str, bytes)


def _reduce_exception(v: BaseException) -> tuple[Any, ...]:
    """Its class by name and its arguments; one that is not plain by repr."""
    if type(v) is RemoteError:
        return ("exception", *v.args)
    cls = type(v)
    name = f"{cls.__module__}.{cls.__qualname__}"
    args = [a if type(a) in _PLAIN else repr(a) for a in v.args]
    return ("exception", name, *args)


def _build_exception(name: str, *args: object) -> BaseException:
    """A built-in exception by name, anything else as RemoteError.

    No module is imported and no class of the application is called because
    data says so.
    """
    module, _, attr = name.rpartition(".")
    cls = getattr(builtins, attr, None) if module == "builtins" else None
    if isinstance(cls, type) and issubclass(cls, Exception):
        try:
            return cls(*args)
        except TypeError:  # UnicodeDecodeError and friends check theirs
            pass
    return RemoteError(name, *args)


_REDUCERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    dt.datetime: _reduce_datetime,
    dt.date: lambda v: ("date", v.isoformat()),
    dt.time: _reduce_time,
    dt.timedelta: lambda v: ("timedelta", v.days, v.seconds, v.microseconds),
    decimal.Decimal: lambda v: ("Decimal", str(v)),
    uuid.UUID: lambda v: ("UUID", v.bytes),
    BaseException: _reduce_exception,
}

_BUILDERS: dict[str, Callable[..., Any]] = {
    "datetime": _build_datetime,
    "date": dt.date.fromisoformat,
    "time": _build_time,
    "timedelta": dt.timedelta,
    "Decimal": decimal.Decimal,
    "UUID": lambda b: uuid.UUID(bytes=b),
    "exception": _build_exception,
}


class TypedSerializer:
    """The default: typed, safe to open whoever wrote it, and CBOR inside.

    It keeps None, bool, int, float, str, bytes, list, tuple, dict, set,
    frozenset, datetime, date, time, timedelta, Decimal, UUID and exceptions
    (as data), each as exactly itself.  Every other type, a subclass of these
    too, is a TypeError at enqueue.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        codec = Codec(_REDUCERS, _BUILDERS, bytes_max)
        self.encode: Callable[[object], bytes] = codec.encode
        self.decode: Callable[[bytes], Any] = codec.decode


class PlainPickle:
    """Pickle without a signature, for a queue whose seal is its guard."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max

    def encode(self, value: object, /) -> bytes:
        """The pickle of value; TypeError when it cannot be pickled."""
        try:
            body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError) as exc:
            raise TypeError(f"cannot be pickled: {exc}") from exc
        if len(body) > self._bytes_max:
            raise ValueError(
                f"the value is larger than {self._bytes_max} bytes when pickled"
            )
        return body

    def decode(self, data: bytes, /) -> Any:
        """The value.  Who wrote data has its code run here."""
        return pickle.loads(data)


class PickleSerializer:
    """Pickle, by choice: any object, and HMAC-SHA-256 before it is opened.

    ``secret`` is what all processes of the queue share; of several, newest
    first, the first signs and all open.  Whoever has it can run code in them:
    pickle is a program.  Bytes without a valid signature are a PayloadError
    and are never unpickled.
    """

    def __init__(self, secret: Secret, bytes_max: int = BYTES_MAX) -> None:
        self._seal = Seal(keys_of(secret), False)
        self._pickle = PlainPickle(bytes_max)

    def encode(self, value: object, /) -> bytes:
        """The signed pickle of value; TypeError when it cannot be pickled."""
        return self._seal.close(self._pickle.encode(value), b"pickle")

    def decode(self, data: bytes, /) -> Any:
        """The value; PayloadError unless the signature is ours."""
        return self._pickle.decode(self._seal.open(bytes(data), b"pickle"))
