"""Secrets of a queue: which key signs, which ones open."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping

from guaco._core import Seal

Secret = str | bytes | Iterable[str | bytes] | Mapping[str, str | bytes]
"""One, or several with the newest first; by id, or with ids of our own."""


def _as_bytes(secret: str | bytes) -> bytes:
    data = secret.encode() if isinstance(secret, str) else bytes(secret)
    if not data:
        raise ValueError("a secret must not be empty")
    return data


def _id_of(secret: bytes) -> bytes:
    """An id that tells which secret it is of, and nothing about it."""
    return hashlib.sha256(b"guaco key id\0" + secret).hexdigest()[:8].encode()


def keys_of(secret: Secret) -> tuple[tuple[bytes, bytes], ...]:
    """The keys, (id, secret), the one that seals first."""
    if isinstance(secret, (str, bytes)):
        secret = [secret]
    if isinstance(secret, Mapping):
        keys = [(k.encode(), _as_bytes(v)) for k, v in secret.items()]
    else:
        keys = [(_id_of(s), s) for s in map(_as_bytes, secret)]
    if not keys:
        raise ValueError("a secret is needed")
    return tuple(dict(keys).items())


def seal_of(secret: Secret | None, encrypt: bool) -> Seal:
    """The seal of a queue.

    Without a secret: GUACO_SECRET_KEY, and what GUACO_SECRET_KEY_OLD has,
    separated by blanks, opens too; ValueError if there is none.
    """
    if secret is None:
        key = os.environ.get("GUACO_SECRET_KEY")
        if not key:
            raise ValueError(
                "a secret is needed: secret=, or GUACO_SECRET_KEY"
            )
        secret = [key, *os.environ.get("GUACO_SECRET_KEY_OLD", "").split()]
    return Seal(keys_of(secret), encrypt)
