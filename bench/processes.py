"""The processes of a session and their CPU time, from /proc."""

from __future__ import annotations

from pathlib import Path


def tree(session: int) -> list[int]:
    """The processes of one session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                found.append(int(entry.name))
    return found


def cpu_ns(session: int) -> int:
    """Nanoseconds that the living threads of a session have run, user and system.

    From the scheduler's own accounting, which is exact where utime and stime
    are sampled.
    """
    total = 0
    for pid in tree(session):
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except OSError:
                continue
    return total
