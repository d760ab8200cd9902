"""Tasks that are being run stay in the storage until they have ended.

Huey takes a task out of its queue and then runs it: what was running when a
consumer is killed is gone.  Here the stock storages *claim*: the task moves,
in one step of the database, to a list of its owner, and leaves that when its
run has ended.  A consumer gives back what an owner that is no more had
claimed; a task that took its owner with it DEATHS_MAX times is put aside.

The claims stand beside Huey's own tables and keys, which keep Huey's form.
A storage whose ``dequeue`` somebody overrides is asked by ``dequeue``, as in
Huey; so is one with ``at_least_once = False``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

DEATHS_MAX = 3
LEASE_S = 60.0
"""For an owner whose process cannot be seen from here: on another machine,
or in another container."""
BEAT_S = 15.0


class Receipt(NamedTuple):
    """A claimed task; ``key`` is the storage's own."""

    key: Any
    data: bytes
    priority: float


def _boot_and_space() -> tuple[str, str]:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return boot, str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "", ""


def _start_of(pid: int) -> str:
    """When a process began, in ticks; "" when there is none, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def this_owner() -> str:
    """A name of this process that no other has, ever."""
    boot, space = _boot_and_space()
    pid = os.getpid()
    return f"{boot}.{space}.{pid}.{_start_of(pid)}"


def is_dead(owner: str) -> bool | None:
    """Whether that process is no more; None: it cannot be seen from here."""
    boot, space, pid, start = owner.split(".")
    if (boot, space) != _boot_and_space() or not boot:
        return None
    return _start_of(int(pid)) != start


class Heart:
    """Has ``beat()`` called every BEAT_S while there are claims."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._held = 0
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def hold(self) -> None:
        """There is one claim more."""
        with self._change:
            self._held += 1
            if self._held > 1:
                return
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="huey-claims", daemon=True
                )
                self._thread.start()
            self._change.notify()

    def drop(self) -> None:
        """There is one claim less."""
        with self._change:
            self._held -= 1

    def _run(self) -> None:
        while True:
            with self._change:
                while self._held == 0:
                    self._change.wait()
                self._change.wait(BEAT_S)
                if self._held == 0:
                    continue
            try:
                self._beat()
            except Exception:
                from guaco.compat.huey._execute import logger

                logger.exception("the claims of this process were not renewed")


class Claiming:
    """What a storage with claims has; see the top."""

    at_least_once: bool = True
    """False: as Huey does it."""

    _claiming_dequeue: ClassVar[Any] = None
    """The ``dequeue`` that claim() takes the place of."""

    _claiming_read_schedule: ClassVar[Any] = None
    """The ``read_schedule`` that due_items() and promote() take the place of."""

    _owner: str = ""
    _owner_pid: int = 0
    _heart: Heart

    def can_claim(self) -> bool:
        """Whether tasks are to be claimed: nobody has an own dequeue()."""
        return (
            self.at_least_once
            and "dequeue" not in vars(self)
            and getattr(type(self), "dequeue", None)
            is type(self)._claiming_dequeue
        )

    def put_aside(self, receipt: Receipt) -> None:
        """Nobody here can run it: keep it out of the queue, for a person."""
        raise NotImplementedError

    def can_promote(self) -> bool:
        """As can_claim(), of read_schedule()."""
        return (
            self.at_least_once
            and "read_schedule" not in vars(self)
            and getattr(type(self), "read_schedule", None)
            is type(self)._claiming_read_schedule
        )

    def _own(self) -> str:
        """This process as an owner; told to the storage at first."""
        if self._owner_pid != os.getpid():
            owner = this_owner()
            self._enrol(owner)
            self._heart = Heart(self._beat)
            self._owner, self._owner_pid = owner, os.getpid()
        return self._owner

    def _enrol(self, owner: str) -> None:
        """Have the storage know this owner."""
        raise NotImplementedError

    def _beat(self) -> None:
        """Renew the lease of this owner."""
        self._enrol(self._owner)

    def claim(self) -> Receipt | None:
        """The next task, which stays here until settle()."""
        raise NotImplementedError

    def settle(self, receipt: Receipt) -> None:
        """Its run has ended."""
        raise NotImplementedError

    def give_back(self, receipt: Receipt) -> None:
        """It was not run: it is the next again."""
        raise NotImplementedError

    def due_items(self, ts: Any, limit: int = 500) -> list[tuple[Any, bytes]]:
        """What is due, left where it is, as (key, data)."""
        raise NotImplementedError

    def promote(self, key: Any, data: bytes, priority: float | None) -> bool:
        """Move a due item to the queue as data; False: another did."""
        raise NotImplementedError

    def drop_due(self, key: Any) -> None:
        """Delete a due item that cannot be read."""
        raise NotImplementedError

    def reap(self) -> tuple[int, list[bytes]]:
        """Give back what dead owners had: how many, and those put aside."""
        raise NotImplementedError
