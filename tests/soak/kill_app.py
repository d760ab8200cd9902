"""The queue of test_kills.py, and as a program its producer.

    python kill_app.py LEDGER       enqueue until killed or told (SIGTERM)

Every run appends one line to KILL_LOG as it starts and one as it ends; a
producer appends the id of each task to its LEDGER once enqueuing has returned.
Lines are shorter than PIPE_BUF and appended by one write, so none is torn.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import guaco
from guaco import current_task

queue = guaco.Queue(os.environ["KILL_URL"], name="kill")


def append(path: str, line: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def told(what: str) -> list[int]:
    task = current_task()
    append(os.environ["KILL_LOG"], f"{what} {task.id} {task.attempt}\n")
    return [task.id, task.attempt]


@queue.task()
def brief() -> list[int]:
    told("start")
    return told("end")


@queue.task()
def sleepy() -> list[int]:
    told("start")
    time.sleep(0.02)
    return told("end")


@queue.task()
async def coroutine() -> list[int]:
    told("start")
    await asyncio.sleep(0.005)
    return told("end")


@queue.task(retries=1)
def second_time() -> list[int]:
    told("start")
    if current_task().failures == 0:
        told("fail")
        raise OSError("the first run of each fails")
    return told("end")


@queue.task()
def later() -> list[int]:
    told("start")
    return told("end")


def produce(ledger: str) -> None:
    """As fast as the workers keep up with, in every way of enqueuing."""
    is_told = False

    def stop(*_: object) -> None:
        nonlocal is_told
        is_told = True

    signal.signal(signal.SIGTERM, stop)
    while not is_told:
        results = [brief(), sleepy(), coroutine(), second_time()]
        results += [later.schedule(delay=0.05)]
        results += queue.enqueue_many([brief.s() for _ in range(5)])
        append(ledger, "".join(f"{result.id}\n" for result in results))
        while queue.pending_count() > 200 and not is_told:
            time.sleep(0.01)


if __name__ == "__main__":
    produce(sys.argv[1])
