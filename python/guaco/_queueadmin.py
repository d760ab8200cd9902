"""`guaco queue|cron ACTION MODULE:QUEUE [...]`: role "queue-admin" of a worker.

    queue stats M:Q             counts
    queue ls M:Q [STATE]        the first tasks of a state; default: waiting
    queue retry M:Q [ID...]     dead tasks wait again; without ID: all
    queue purge M:Q STATE...    delete waiting, delayed, dead or results
    queue cancel M:Q ID...      do not run them, or interrupt them
    queue pause M:Q             no task is begun
    queue resume M:Q            they are again

    cron ls M:Q                 the schedules: name, next fire time, rule
    cron next M:Q [NAME] [N]    the next N fire times (10), in the zone's time
    cron run M:Q NAME           enqueue its task now
    cron pause M:Q NAME         it does not fire
    cron resume M:Q NAME        it fires again; what it missed is gone

The application is imported, so that arguments can be shown and one queue is
described in one place.  Output is for people; one row a line.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import sys
import zoneinfo
from collections.abc import Callable
from typing import Any, TextIO

from guaco._core import schedule_next
from guaco._interface import TargetError
from guaco._queue_task import PeriodicTask, TaskWrapper
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
    if queue.is_paused:
        print("paused", file=out)


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


def cancel(queue: Queue, words: list[str], out: TextIO) -> None:
    """Cancel tasks by their ids."""
    if not words:
        raise UsageError("cancel takes ids")
    for id in [int(word) for word in words]:
        if queue.cancel(id, "canceled by guaco queue"):
            print(f"{id} canceled", file=out)
        else:
            print(f"{id} has ended, or is none", file=out)


def pause(queue: Queue, words: list[str], out: TextIO) -> None:
    """Begin no task."""
    queue.pause()
    print("paused", file=out)


def resume(queue: Queue, words: list[str], out: TextIO) -> None:
    """Begin tasks again."""
    queue.resume()
    print("resumed", file=out)


# ---- schedules


def _schedules(queue: Queue, name: str | None) -> list[dict[str, Any]]:
    """Those in the store, and those of this application that no worker has
    told it of yet; one by its name."""
    rows = queue.schedules()
    known = {row["name"] for row in rows}
    for task in queue.tasks:
        if isinstance(task, PeriodicTask) and task.name not in known:
            rows.append(
                {
                    "name": task.name,
                    "spec": task.spec,
                    "zone": task.zone,
                    "last": None,
                    "is_paused": False,
                    "is_run_time": False,
                    "is_stored": False,
                }
            )
    if name is not None:
        rows = [row for row in rows if row["name"] == name]
        if not rows:
            raise UsageError(f"no schedule {name!r} on {queue.name!r}")
    return rows


def _fire_times(row: dict[str, Any], after_ms: int, count: int) -> list[int]:
    times: list[int] = []
    while len(times) < count:
        fire_ms = schedule_next(row["spec"], row["zone"], after_ms)
        if fire_ms is None:
            break
        times.append(fire_ms)
        after_ms = fire_ms
    return times


def _local(ms: int, zone: str) -> str:
    """A fire time as the clock in its zone shows it, with the offset."""
    tz: dt.tzinfo = dt.timezone.utc
    if zone:
        try:
            tz = zoneinfo.ZoneInfo(zone)
        except (OSError, ValueError):
            pass  # a zone that this machine has not: in UTC
    when = dt.datetime.fromtimestamp(ms / 1000, tz)
    return when.isoformat(" ", "milliseconds" if ms % 1000 else "seconds")


def cron_ls(queue: Queue, words: list[str], out: TextIO) -> None:
    """Print the schedules."""
    if words:
        raise UsageError("ls takes no more words")
    for row in _schedules(queue, None):
        times = [] if row["is_paused"] else _fire_times(row, queue._now_ms(), 1)
        state = "paused" if row["is_paused"] else "never"
        parts = [
            f"{_cut(row['name']):32}",
            f"{_local(times[0], row['zone']) if times else state:26}",
            f"{row['spec']}  {row['zone'] or 'UTC'}",
        ]
        if row["is_run_time"]:
            parts.append("(run time)")
        if not row.get("is_stored", True):
            parts.append("(no worker has defined it yet)")
        print("  ".join(parts), file=out)


def cron_next(queue: Queue, words: list[str], out: TextIO) -> None:
    """Print the fire times to come of one schedule, or of all."""
    *names, last = words or [""]
    count = 10
    if last.isdecimal():
        count = int(last)
    elif last:
        names.append(last)
    if len(names) > 1 or not 1 <= count <= ROWS_MAX:
        raise UsageError(f"next takes a name and a number from 1 to {ROWS_MAX}")
    rows = _schedules(queue, names[0] if names else None)
    times = sorted(
        (fire_ms, row["name"], row["zone"])
        for row in rows
        if not row["is_paused"]
        for fire_ms in _fire_times(row, queue._now_ms(), count)
    )
    for fire_ms, name, zone in times[:count]:
        print(f"{_local(fire_ms, zone):26}  {_cut(name)}", file=out)


def cron_run(queue: Queue, words: list[str], out: TextIO) -> None:
    """Enqueue the task of a schedule now, besides its fire times."""
    (row,) = _schedules(queue, _one_name("run", words))
    task = queue.registered(row.get("task") or row["name"])
    queue.enqueue(task.s())
    print(f"{row['name']} enqueued", file=out)


def cron_pause(queue: Queue, words: list[str], out: TextIO) -> None:
    """Have a schedule not fire."""
    name = _one_name("pause", words)
    if not queue.pause_schedule(name):
        raise UsageError(f"no schedule {name!r} in the store")
    print(f"{name} paused", file=out)


def cron_resume(queue: Queue, words: list[str], out: TextIO) -> None:
    """Have it fire again."""
    name = _one_name("resume", words)
    if not queue.resume_schedule(name):
        raise UsageError(f"no schedule {name!r} in the store")
    print(f"{name} fires again", file=out)


def _one_name(action: str, words: list[str]) -> str:
    if len(words) != 1:
        raise UsageError(f"{action} takes the name of one schedule")
    return words[0]


# ---- what is asked

ACTIONS: dict[str, dict[str, Callable[[Queue, list[str], TextIO], None]]] = {
    "queue": {
        "stats": stats,
        "ls": ls,
        "retry": retry,
        "purge": purge,
        "cancel": cancel,
        "pause": pause,
        "resume": resume,
    },
    "cron": {
        "ls": cron_ls,
        "next": cron_next,
        "run": cron_run,
        "pause": cron_pause,
        "resume": cron_resume,
    },
}


def run(
    command: str, action: str, target: str, words: list[str], out: TextIO
) -> None:
    """Do it; UsageError, ValueError or what the store raises."""
    actions = ACTIONS[command]
    if action not in actions:
        raise UsageError(f"{action!r} is none of {', '.join(actions)}")
    queue = load(target)
    if isinstance(queue, TaskWrapper):
        queue = queue.queue
    if not isinstance(queue, Queue):
        raise UsageError(f"{target!r} is a {type(queue).__name__}, not a Queue")
    if queue.url.startswith("memory:"):
        raise UsageError(
            "a queue in memory cannot be seen from outside: use sqlite:///FILE"
        )
    actions[action](queue, words, out)


def main(order: dict[str, Any], channel: socket.socket) -> int:
    """Do what order, the channel's first message, asks; the exit code."""
    del channel  # its end tells the supervisor enough
    folder = os.path.abspath(order.get("options", {}).get("app_dir") or ".")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    action, _target, *words = order["operands"]
    command = str(order.get("command") or "queue")
    try:
        run(command, action, order["target"], words, sys.stdout)
    except (UsageError, TargetError, ValueError, ImportError) as exc:
        print(f"guaco {command}: {exc}", file=sys.stderr)
        return EXIT_USAGE
    except Exception as exc:
        print(f"guaco {command}: {exc}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK
