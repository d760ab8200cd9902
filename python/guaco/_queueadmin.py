"""`guaco queue ACTION MODULE:QUEUE [...]`: role "queue-admin" of a worker.

    stats M:Q                   counts
    ls M:Q [STATE]              the first tasks of a state; default: waiting
    retry M:Q [ID...]           dead tasks wait again; without ID: all
    purge M:Q STATE...          delete waiting, delayed, dead or results

The application is imported, so that arguments can be shown and one queue is
described in one place.  Output is for people; one row a line.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, TextIO

from guaco._queue_task import TaskWrapper
from guaco._taskworker import load
from guaco.queue import Queue

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
ROWS_MAX = 1000
_TEXT_MAX = 100


class UsageError(Exception):
    """What was asked for is no such thing."""


def _cut(text: str) -> str:
    """One line of printable text, not too long."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= _TEXT_MAX else line[: _TEXT_MAX - 3] + "..."


def _call_of(row: dict[str, Any]) -> str:
    if row["args"] is None:
        return f"{row['name']}(?)"
    parts = [repr(a) for a in row["args"]]
    parts += [f"{k}={v!r}" for k, v in row["kwargs"].items()]
    return f"{row['name']}({', '.join(parts)})"


def _when(ms: int) -> str:
    if ms == 0:
        return "-"
    when = dt.datetime.fromtimestamp(ms / 1000, dt.timezone.utc)
    return when.isoformat(" ", "milliseconds").removesuffix("+00:00") + "Z"


def stats(queue: Queue, words: list[str], out: TextIO) -> None:
    """Print the counts."""
    if words:
        raise UsageError("stats takes no more words")
    for name, count in queue.stats().items():
        print(f"{name:10} {count}", file=out)


def ls(queue: Queue, words: list[str], out: TextIO) -> None:
    """Print tasks: id, when, priority, attempt, the call, why it is dead."""
    if len(words) > 1:
        raise UsageError("ls takes one state")
    rows = queue.list(words[0] if words else "waiting", limit=ROWS_MAX)
    for row in rows:
        parts = [
            f"{row['id']:>8}",
            f"{_when(row['since_ms']):24}",
            f"p{row['priority']}",
            f"run {row['attempt']}",
            _cut(_call_of(row)),
        ]
        if row["reason"]:
            parts.append(_cut(row["reason"]))
        print("  ".join(parts), file=out)
    if len(rows) == ROWS_MAX:
        print(f"(the first {ROWS_MAX})", file=out)


def retry(queue: Queue, words: list[str], out: TextIO) -> None:
    """Make dead tasks wait again."""
    if not all(word.isdecimal() for word in words):
        raise UsageError("retry takes ids, which are numbers")
    count = sum(queue.retry(int(word)) for word in words or ["0"])
    print(f"{count} tasks wait again", file=out)


def purge(queue: Queue, words: list[str], out: TextIO) -> None:
    """Delete what is in the states named."""
    if not words:
        raise UsageError("purge takes states: waiting, delayed, dead, results")
    for word in words:
        print(f"{queue.purge(word)} {word} deleted", file=out)


ACTIONS: dict[str, Callable[[Queue, list[str], TextIO], None]] = {
    "stats": stats,
    "ls": ls,
    "retry": retry,
    "purge": purge,
}


def run(action: str, target: str, words: list[str], out: TextIO) -> None:
    """Do it; UsageError, ValueError or what the store raises."""
    if action not in ACTIONS:
        raise UsageError(f"{action!r} is none of {', '.join(ACTIONS)}")
    queue = load(target)
    if isinstance(queue, TaskWrapper):
        queue = queue.queue
    if not isinstance(queue, Queue):
        raise UsageError(f"{target!r} is a {type(queue).__name__}, not a Queue")
    if queue.url.startswith("memory:"):
        raise UsageError(
            "a queue in memory cannot be seen from outside: use sqlite:///FILE"
        )
    ACTIONS[action](queue, words, out)


def main(order: dict[str, Any], channel: socket.socket) -> int:
    """Do what order, the channel's first message, asks; the exit code."""
    del channel  # its end tells the supervisor enough
    folder = os.path.abspath(order.get("options", {}).get("app_dir") or ".")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    action, _target, *words = order["operands"]
    try:
        run(action, order["target"], words, sys.stdout)
    except (UsageError, ValueError, ImportError, AttributeError) as exc:
        print(f"guaco queue: {exc}", file=sys.stderr)
        return EXIT_USAGE
    except Exception as exc:
        print(f"guaco queue: {exc}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK
