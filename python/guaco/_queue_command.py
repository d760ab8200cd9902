"""Tasks that run a command, as crontab's lines do.

What is run stands in the application's code, never in the store: who may write
to the store can have a command run, not choose it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from guaco._queue_crontab import Crontab
from guaco._queue_errors import CommandError

if TYPE_CHECKING:
    from guaco._queue_task import TaskWrapper

OUTPUT_BYTES_MAX = 64 * 1024
LOOK_S = 0.2
"""While a command is silent: how often Python gets to raise what interrupts."""
TERM_GRACE_S = 2.0
"""From SIGTERM to SIGKILL; less than a task's kill_grace."""


class _Tail:
    """The last bytes of an output, and how many there were."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        self._kept += data
        if len(self._kept) > 2 * self._bytes_max:
            del self._kept[: -self._bytes_max]

    def text(self) -> str:
        kept = bytes(self._kept[-self._bytes_max :]) if self._bytes_max else b""
        return kept.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started, which is one process group."""
    for number, wait_s in ((signal.SIGTERM, TERM_GRACE_S), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
            return


def _follow(process: subprocess.Popen[bytes], tail: _Tail) -> None:
    """Read until it closes its output; what interrupts the task is raised here."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(LOOK_S):
                continue
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return
            tail.add(data)


def run_command(
    command: Sequence[str],
    cwd: str | os.PathLike[str] | None,
    env: Mapping[str, str] | None,
    output_bytes_max: int,
) -> dict[str, Any]:
    """Run it to its end: its output, and how many bytes that was in all.

    CommandError for another exit code than 0.  A task that is interrupted (its
    timeout, cancel()) takes the command and what that started with it.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=None if env is None else {**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    tail = _Tail(output_bytes_max)
    try:
        _follow(process, tail)
        code = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        assert process.stdout is not None
        process.stdout.close()
    if code != 0:
        raise CommandError(shlex.join(command), code, tail.text())
    return {"output": tail.text(), "bytes": tail.total}


def command_function(
    name: str,
    command: Sequence[str] | str,
    cwd: str | os.PathLike[str] | None,
    env: Mapping[str, str] | None,
    output_bytes_max: int,
) -> Callable[[], dict[str, Any]]:
    """The function of a task that runs command; a str goes to /bin/sh."""
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else [*command]
    if not words or not all(isinstance(word, str) for word in words):
        raise TypeError("a command is a str, or a list of str that is not empty")
    if output_bytes_max < 0:
        raise ValueError("output_bytes_max cannot be negative")

    def run() -> dict[str, Any]:
        return run_command(words, cwd, env, output_bytes_max)

    # By these a task is named: "command.NAME".
    run.__module__, run.__name__, run.__qualname__ = "command", name, name
    run.__doc__ = f"Run {shlex.join(words)}."
    return run


class Commands:
    """The part of Queue that makes commands tasks."""

    def command(
        self,
        name: str,
        command: Sequence[str] | str,
        *,
        when: Crontab | str | None = None,
        zone: str | None = None,
        catch_up: str = "skip",
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        output_bytes_max: int = OUTPUT_BYTES_MAX,
        **settings: Any,
    ) -> TaskWrapper[[], dict[str, Any]]:
        """Make a command a task, ``command.NAME``, as a line of crontab is.

        command: its words, or a str for /bin/sh.
        when: it also comes by the clock, see periodic_task().
        env: added to the worker's own.
        output_bytes_max: of stdout and stderr together the last are the
        result's "output"; all are counted in "bytes".
        Another exit code than 0 is a CommandError, retried as settings say; a
        timeout ends the command and what it started.
        """
        queue: Any = self
        func = command_function(name, command, cwd, env, output_bytes_max)
        decorate = (
            queue.task(**settings)
            if when is None
            else queue.periodic_task(
                when, zone=zone, catch_up=catch_up, **settings
            )
        )
        wrapper: TaskWrapper[[], dict[str, Any]] = decorate(func)
        return wrapper
