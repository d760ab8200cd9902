"""Huey's serializers: pickle, compressed or signed if wanted.

What is written names the classes as Huey does (``huey.registry.Message``,
``huey.utils.Error``), so that Huey itself can read it, and what Huey wrote is
read by our classes of the same names.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import logging
import pickle
import zlib
from collections.abc import Iterable
from typing import Any

from guaco.compat.huey.exceptions import ConfigurationError
from guaco.compat.huey.registry import Message
from guaco.compat.huey.utils import SKIPPED, Error, encode

logger = logging.getLogger("huey.serializer")

_OURS = __name__.rpartition(".")[0]  # guaco.compat.huey
_THEIRS = "huey"
_RECORDS = {
    Message: b"chuey.registry\nMessage\n",
    Error: b"chuey.utils\nError\n",
}


class _Reader(pickle.Unpickler):
    """Finds Huey's classes here."""

    def find_class(self, module: str, name: str) -> Any:
        if module == _THEIRS or module.startswith(_THEIRS + "."):
            try:
                ours = _OURS + module[len(_THEIRS) :]
                return super().find_class(ours, name)
            except (ModuleNotFoundError, AttributeError):
                pass  # an application's module, below their name
        return super().find_class(module, name)


def loads(data: bytes) -> Any:
    """The value of a pickle that Huey or this module wrote."""
    if b"huey" not in data:
        return pickle.loads(data)
    return _Reader(io.BytesIO(data)).load()


class _Writer:
    """Pickles in pieces, so that Huey's names stand where its classes are.

    pickle itself writes no name that it cannot import, and ``huey`` may be
    absent, or be the original.  All pieces share one memo; protocol 3 is the
    last without frames, which could not be cut.
    """

    def __init__(self, protocol: int) -> None:
        self._protocol = max(2, min(protocol, 3))
        self._piece = io.BytesIO()
        self._pickler = pickle.Pickler(self._piece, self._protocol)
        self._out: list[bytes] = [bytes([0x80, self._protocol])]

    def put(self, value: Any) -> None:
        """Write one value."""
        head = _RECORDS.get(type(value))
        if head is not None:
            self._out.append(head)
            self._put_items(value, b"t\x81")  # NEWOBJ
        elif value is None:
            self._out.append(b"N")
        elif value is SKIPPED:
            self._out.append(b"chuey.utils\nSKIPPED\n")
        elif not _has_record(value):
            self._put_plain(value)
        elif type(value) is tuple:
            self._put_items(value, b"t")
        elif type(value) is list:
            self._put_items(value, b"l")
        else:
            items = [part for pair in value.items() for part in pair]
            self._put_items(items, b"d")

    def _put_plain(self, value: Any) -> None:
        self._piece.seek(0)
        self._piece.truncate()
        self._pickler.dump(value)
        self._out.append(self._piece.getvalue()[2:-1])

    def _put_items(self, values: Iterable[Any], end: bytes) -> None:
        self._out.append(b"(")
        for value in values:
            self.put(value)
        self._out.append(end)

    def end(self) -> bytes:
        """What was written."""
        return b"".join(self._out) + b"."


def _has_record(value: Any, depth: int = 8) -> bool:
    """Whether a record of ours is in it, where records of ours occur: not
    deep, and so a value that holds itself is looked through once."""
    kind = type(value)
    if kind in _RECORDS or value is SKIPPED:
        return True
    if depth == 0 or kind not in (tuple, list, dict):
        return False
    items = value.values() if kind is dict else value
    return any(_has_record(item, depth - 1) for item in items)


def dumps(value: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> bytes:
    """The pickle of value, as Huey writes it."""
    if not _has_record(value):
        return pickle.dumps(value, protocol)
    writer = _Writer(protocol)
    writer.put(value)
    return writer.end()


def is_compressed(data: bytes) -> bool:
    """Whether gzip or zlib wrote it."""
    return data[:3] == b"\x1f\x8b\x08" or data[:1] == b"\x78"


class Serializer:
    """Values to bytes and back, by pickle.

    Whoever can write to the storage can run code in those who read: pickle
    is a program.  SignedSerializer refuses what was not signed.
    """

    def __init__(
        self,
        compression: bool = False,
        compression_level: int = 6,
        use_zlib: bool = False,
        pickle_protocol: int = pickle.HIGHEST_PROTOCOL,
    ) -> None:
        self.comp = compression
        self.comp_level = compression_level
        self.use_zlib = use_zlib
        self.pickle_protocol = pickle_protocol or pickle.HIGHEST_PROTOCOL

    def _serialize(self, data: Any) -> bytes:
        return dumps(data, self.pickle_protocol)

    def _deserialize(self, data: bytes) -> Any:
        return loads(data)

    def serialize(self, data: Any) -> bytes:
        """The bytes of a value."""
        body = self._serialize(data)
        if not self.comp:
            return body
        if self.use_zlib:
            return zlib.compress(body, self.comp_level)
        return gzip.compress(body, self.comp_level)

    def deserialize(self, data: bytes) -> Any:
        """The value of bytes."""
        if self.comp:
            if not is_compressed(data):
                logger.warning("compression enabled but message data does not "
                               "appear to be compressed.")
            elif data[:1] == b"\x78":
                data = zlib.decompress(data)
            else:
                data = gzip.decompress(data)
        return self._deserialize(data)


def constant_time_compare(s1: Any, s2: Any) -> bool:
    """Whether two secrets are alike, in a time that tells nothing."""
    return hmac.compare_digest(encode(s1), encode(s2))


class SignedSerializer(Serializer):
    """A pickle, ``:``, and the hexadecimal HMAC-SHA-1 of the pickle."""

    def __init__(
        self,
        secret: str | bytes | None = None,
        salt: str | bytes = "huey",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not secret or not salt:
            raise ConfigurationError("The secret and salt parameters are "
                                     "required by SignedSerializer")
        self.secret = encode(secret)
        self.salt = encode(salt)
        self.separator = b":"
        self._key = hashlib.sha1(self.salt + self.secret).digest()

    def _signature(self, message: bytes) -> bytes:
        return hmac.new(self._key, message, hashlib.sha1).hexdigest().encode()

    def _sign(self, message: bytes) -> bytes:
        return message + self.separator + self._signature(message)

    def _unsign(self, signed: bytes) -> bytes:
        message, mark, signature = signed.rpartition(self.separator)
        if not mark:
            raise ValueError(f"Separator {self.separator!r} not found")
        if not constant_time_compare(signature, self._signature(message)):
            raise ValueError("Signature mismatch")
        return message

    def _serialize(self, message: Any) -> bytes:
        return self._sign(super()._serialize(message))

    def _deserialize(self, data: bytes) -> Any:
        return super()._deserialize(self._unsign(data))


__all__ = [
    "SKIPPED",
    "Serializer",
    "SignedSerializer",
    "constant_time_compare",
    "is_compressed",
]
