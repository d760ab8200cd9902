"""Signed and encrypted payloads, and keys that are changed."""

from __future__ import annotations

import pathlib
import pickle
import sqlite3
from typing import Any

import pytest
from deadline import WAIT
from guaco import MemoryQueue, PayloadError, SqliteQueue, TaskException
from guaco._core import Seal


def add(a: Any, b: Any) -> Any:
    return a + b


def fail() -> None:
    raise ValueError("the word")


def test_a_seal_opens_its_own_in_its_context_alone() -> None:
    for encrypt in (False, True):
        seal = Seal(((b"1", b"secret"),), encrypt)
        sealed = seal.close(b"body", b"here")
        assert seal.open(sealed, b"here") == b"body"
        for data, context in (
            (sealed, b"there"),
            (sealed[:-1], b"here"),
            (b"", b"here"),
            (sealed[:-1] + b"?", b"here"),
        ):
            with pytest.raises(PayloadError):
                seal.open(data, context)
        with pytest.raises(PayloadError, match="does not have"):
            Seal(((b"2", b"secret"),), encrypt).open(sealed, b"here")


@pytest.mark.parametrize(
    "keys", [(), ((b"", b"s"),), ((b"a", b""),), ((b"a", b"s"), (b"a", b"t"))]
)
def test_a_seal_without_good_keys_is_an_error(keys: Any) -> None:
    with pytest.raises(ValueError):
        Seal(keys, False)


@pytest.mark.parametrize("keys", [[], (1,), ((b"a",),), (("a", b"s"),)])
def test_a_seal_of_other_things_is_a_type_error(keys: Any) -> None:
    with pytest.raises(TypeError):
        Seal(keys, False)
    with pytest.raises(TypeError):
        Seal(((b"1", b"s"),), False).open("text", b"")  # type: ignore[arg-type]


def stored(path: pathlib.Path) -> bytes:
    """All bytes of the database."""
    with sqlite3.connect(path) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return path.read_bytes()


@pytest.mark.parametrize("serializer", ["typed", "pickle"])
def test_an_encrypted_queue_stores_no_word_of_it(
    tmp_path: pathlib.Path, serializer: str
) -> None:
    path = tmp_path / "q.db"
    queue = SqliteQueue(
        "q", path, secret="key", encrypt=True, serializer=serializer
    )
    task, bad = queue.task(add), queue.task(fail)
    queue.start()
    assert task("the word", " is kept")(*WAIT) == "the word is kept"
    with pytest.raises(TaskException, match="the word"):
        bad()(*WAIT)
    queue.stop()
    queue.close()
    assert b"the word" not in stored(path)


def test_a_queue_opens_only_what_its_secret_signed(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "q.db"
    SqliteQueue("q", path).task(add)(1, 2)
    SqliteQueue("q", path, secret="another").task(add)(3, 4)
    queue = SqliteQueue("q", path, secret="key")
    task = queue.task(add)
    mine = task(5, 6)
    queue.start()
    assert mine(*WAIT) == 11
    assert [r["args"] for r in queue.list()] == []
    for id in (mine.id - 2, mine.id - 1):
        with pytest.raises(TaskException, match="not a payload"):
            queue.result(id)(*WAIT)
    queue.close()


def test_what_waits_in_an_old_key_runs_and_the_newest_signs(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "q.db"
    old = SqliteQueue("q", path, secret={"2025": "a"}, encrypt=True)
    waiting = old.task(add)(1, 2)
    new = SqliteQueue(
        "q", path, secret={"2026": "b", "2025": "a"}, encrypt=True
    )
    task = new.task(add)
    new.start()
    assert new.result(waiting.id)(*WAIT) == 3
    assert task(2, 3)(*WAIT) == 5
    with pytest.raises(PayloadError):  # its result is of the newest key
        waiting()
    old.close()
    new.close()


def test_a_payload_that_was_moved_does_not_open(tmp_path: pathlib.Path) -> None:
    queue = MemoryQueue("q", secret="key", immediate=True)
    one = queue._pack([1], "task", "m.pay")
    assert queue._unpack(one, "task", "m.pay") == [1]
    for what, whose in (("task", "m.refund"), ("result", 1)):
        with pytest.raises(PayloadError):
            queue._unpack(one, what, whose)
    other = MemoryQueue("r", secret="key", immediate=True)
    with pytest.raises(PayloadError):
        other._unpack(one, "task", "m.pay")


def test_a_pickle_is_not_opened_without_its_seal() -> None:
    queue = MemoryQueue("q", serializer="pickle", secret="key", immediate=True)
    with pytest.raises(PayloadError):
        queue._unpack(pickle.dumps([1]), "task", "m.f")


def test_secrets_come_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GUACO_SECRET_KEY", "one")
    first = MemoryQueue("q", encrypt=True, immediate=True)
    body = first._pack("x", "task", "f")
    monkeypatch.setenv("GUACO_SECRET_KEY", "two")
    monkeypatch.setenv("GUACO_SECRET_KEY_OLD", "zero one")
    second = MemoryQueue("q", encrypt=True, immediate=True)
    assert second._unpack(body, "task", "f") == "x"
    monkeypatch.delenv("GUACO_SECRET_KEY")
    with pytest.raises(ValueError, match="GUACO_SECRET_KEY"):
        MemoryQueue("q", encrypt=True)
    for secret in ("", [], {"": "x"}, ["a", ""]):
        with pytest.raises(ValueError):
            MemoryQueue("q", secret=secret)  # type: ignore[arg-type]
