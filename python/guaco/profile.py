"""Where a process spends its time: a running one, or this one.

    with guaco.profile.record("out.svg"):
        work()

    with guaco.profile.attach(3013, rate=200) as profile:
        profile.run(10)
        profile.save("out.svg")
        print(profile.dump(locals=True))

A native thread takes the samples.  It reads the process's memory from outside, never
asks for the interpreter and stops nothing: work that holds the GIL is seen as well as
any other.
"""

import json
import os
import pathlib
import sys
import threading
import time
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypedDict

from guaco import _core

__all__ = ["Counts", "Format", "Frame", "Local", "Profile", "Thread", "Threads"]
__all__ += ["attach", "record"]

Format = Literal["folded", "svg", "speedscope", "pprof", "gecko", "chrome"]
Threads = Literal["running", "all", "gil"]

_FORMATS: dict[str, int] = {
    name: n
    for n, name in enumerate(("folded", "svg", "speedscope", "pprof", "gecko", "chrome"))
}
_THREADS: dict[str, int] = {"running": 0, "all": 1, "gil": 2}
_ENDINGS: dict[str, Format] = {
    ".svg": "svg",
    ".speedscope.json": "speedscope",
    ".speedscope": "speedscope",
    ".pb": "pprof",
    ".pprof": "pprof",
    ".gecko.json": "gecko",
    ".trace.json": "chrome",
    ".chrome.json": "chrome",
}


class Local(TypedDict):
    """A local variable: its value as short text."""

    name: str
    repr: str


class _Place(TypedDict):
    name: str
    qualname: str
    filename: str
    line: int


class Frame(_Place, total=False):
    """A function call; ``locals`` only when they were asked for."""

    locals: list[Local]


class Thread(TypedDict):
    """What a thread does: its frames, the innermost first."""

    pid: int
    thread_id: int
    os_thread_id: int | None
    active: bool
    owns_gil: bool
    frames: list[Frame]


class Counts(NamedTuple):
    """What was sampled so far."""

    samples: int
    """Taken."""
    stacks: int
    """Counted: one a thread and sample."""
    dropped: int
    """Stacks that could not be read consistently."""
    has_ended: bool
    """The process has ended, or runs another program."""


class Profile:
    """Samples of one process.  See `attach` for the arguments.

    Use it as a context manager, or call `close`.  After a fork the child has none of it.
    """

    def __init__(
        self,
        pid: int,
        *,
        rate: float = 100,
        threads: Threads = "running",
        idle: bool = False,
        by_function: bool = False,
        title: str | None = None,
    ) -> None:
        if not 0.001 <= rate <= 1_000_000:
            raise ValueError(f"rate is 0.001 to 1000000 samples a second, not {rate}")
        if threads not in _THREADS:
            raise ValueError(f"threads is running, all or gil, not {threads!r}")
        self.pid = pid
        self.rate = rate
        self._core = _core.Profile(
            pid,
            _THREADS[threads],
            max(1, round(1_000_000 / rate)),
            idle,
            by_function,
            f"process {pid}" if title is None else title,
        )

    def start(self) -> None:
        """Take samples from now on, until `stop`."""
        self._core.start()

    def stop(self) -> None:
        """Take no more; harmless when nothing was started."""
        self._core.stop()

    def run(self, seconds: float) -> None:
        """Take samples for that long, or until the process has ended."""
        self.start()
        try:
            pause = threading.Event()
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0 and not self.counts.has_ended:
                pause.wait(min(left, 0.1))
        finally:
            self.stop()

    def sample(self) -> bool:
        """Take one sample now.  False: the process has ended."""
        return self._core.sample()

    @property
    def counts(self) -> Counts:
        """What was sampled so far."""
        return Counts(*self._core.counts())

    def render(self, format: Format = "folded") -> bytes:
        """What was sampled so far, in one of the forms of ``guaco profile -f``."""
        if format not in _FORMATS:
            raise ValueError(f"format is one of {', '.join(_FORMATS)}, not {format!r}")
        return self._core.render(_FORMATS[format])

    def save(self, path: str | os.PathLike[str], format: Format | None = None) -> None:
        """Write it into a file; without ``format``, in the form of the file's name."""
        data = self.render(format or _format_of(os.fspath(path)))
        pathlib.Path(path).write_bytes(data)

    def stacks(self) -> dict[tuple[str, ...], int]:
        """How often each stack was seen: "file:function:line", the outermost first."""
        found: dict[tuple[str, ...], int] = {}
        for line in self.render("folded").decode().splitlines():
            frames, count = line.rsplit(" ", 1)
            found[tuple(frames.split(";"))] = int(count)
        return found

    def dump(self, *, locals: bool = False) -> list[Thread]:
        """What each thread does now."""
        threads: Any = json.loads(self._core.dump(locals))
        return list(threads)

    def close(self) -> None:
        """Stop, and free what was sampled."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _format_of(path: str) -> Format:
    for ending, format in _ENDINGS.items():
        if path.endswith(ending):
            return format
    return "folded"


def attach(
    pid: int,
    *,
    rate: float = 100,
    threads: Threads = "running",
    idle: bool = False,
    by_function: bool = False,
    title: str | None = None,
) -> Profile:
    """Look into process ``pid``, which is not stopped: CPython 3.8 to 3.15.

    ``rate`` is in samples a second.  ``threads`` counts those that are on a CPU or wait
    for one ("running"), all that have a Python stack ("all"), or the one that holds the
    GIL ("gil").  With ``idle`` a sample without such a thread counts as "(idle)".
    ``by_function`` does not tell lines apart.  ``title`` is of pictures.

    ProcessLookupError: there is no such process.  PermissionError: Linux does not let
    us read it (run as its user, as root, or with CAP_SYS_PTRACE).  guaco.Error: it runs
    no Python that is known.
    """
    return Profile(
        pid, rate=rate, threads=threads, idle=idle, by_function=by_function, title=title
    )


class record:
    """Profile what this process does inside the ``with``, into a file.

    The arguments are those of `attach` and `Profile.save`.  The file is written when the
    block ends, also by an exception.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: Format | None = None,
        rate: float = 100,
        threads: Threads = "running",
        idle: bool = False,
        by_function: bool = False,
        title: str | None = None,
    ) -> None:
        if format is not None and format not in _FORMATS:
            raise ValueError(f"format is one of {', '.join(_FORMATS)}, not {format!r}")
        self._path = path
        self._format = format
        self._arguments: dict[str, Any] = {
            "rate": rate,
            "threads": threads,
            "idle": idle,
            "by_function": by_function,
            "title": " ".join(sys.orig_argv) if title is None else title,
        }
        self._profile: Profile | None = None

    def __enter__(self) -> Profile:
        if self._profile is not None:
            raise RuntimeError("it records already")
        self._profile = Profile(os.getpid(), **self._arguments)
        self._profile.start()
        return self._profile

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        profile, self._profile = self._profile, None
        assert profile is not None
        with profile:
            profile.stop()
            profile.save(self._path, self._format)
