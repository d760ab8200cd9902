"""The tasks that the tests of stores and workers run; URL in QUEUE_URL."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

import guaco
from guaco import current_task

queue = guaco.Queue(
    os.environ.get("QUEUE_URL", "memory:"),
    name="test",
    zone=os.environ.get("QUEUE_ZONE", "UTC"),
)


def say(text: str) -> None:
    """One line to the worker's stdout, which the test reads."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@queue.on_startup()
def started() -> None:
    say("hook: started")


@queue.on_shutdown()
def stopped() -> None:
    say("hook: stopped")


@queue.task()
def add(a: Any, b: Any) -> Any:
    return a + b


@queue.task()
def fail(text: str) -> None:
    raise ValueError(text)


@queue.task(retries=2)
def flaky(wanted: int) -> list[int]:
    """Succeeds in run number `wanted`."""
    task = current_task()
    if task.attempt < wanted:
        raise OSError(f"run {task.attempt}")
    return [task.attempt, task.failures]


@queue.task(retries=1, retry_delay=0.05)
def flaky_later() -> float:
    if current_task().attempt == 1:
        raise OSError
    return time.time()


@queue.task()
async def double(n: int) -> int:
    await asyncio.sleep(0)
    return n * 2


@queue.task()
def steps(count: int) -> str:
    for step in range(1, count + 1):
        current_task().progress(step / count)
    return "done"


@queue.task()
async def meet(path: str, count: int) -> int:
    """Returns when `count` of it run at the same time."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, b"x")
    os.close(fd)
    while os.path.getsize(path) < count:
        await asyncio.sleep(0.001)
    return count


@queue.task(timeout=0.05)
def spin() -> None:
    while True:
        pass


@queue.task(timeout=0.05)
def doze() -> None:
    time.sleep(30)


@queue.task(timeout=0.05)
async def adoze() -> None:
    await asyncio.sleep(30)


@queue.task(retries=3)
def hold(seconds: float) -> list[int]:
    """Say who runs, then take its time."""
    say(f"holding {os.getpid()} {current_task().attempt}")
    time.sleep(seconds)
    return [os.getpid(), current_task().attempt]


@queue.task()
def die() -> None:
    say(f"dying {os.getpid()}")
    os.kill(os.getpid(), signal.SIGKILL)


RAISED: dict[str, type[BaseException]] = {
    "keyboard": KeyboardInterrupt,
    "exit": SystemExit,
    "cancelled": asyncio.CancelledError,
    "stop": StopIteration,
    "generator": GeneratorExit,
}


@queue.task()
def throw(name: str) -> None:
    raise RAISED[name]()


@queue.task()
async def athrow(name: str) -> None:
    raise RAISED[name]()


@queue.task()
async def throw_in_child(name: str) -> None:
    async def child() -> None:
        raise RAISED[name]()

    await asyncio.create_task(child())


@queue.task()
async def own_id() -> int:
    await asyncio.sleep(0)
    return int(current_task().id)


@queue.task()
def fork_and_return() -> list[int]:
    """Comes back twice: in the worker, and by mistake in the child."""
    parent = os.getpid()
    return [parent, os.fork()]


@queue.task()
def record(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, text.encode())
    os.close(fd)


@queue.periodic_task("0 3 * * *")
def nightly() -> None:
    say("nightly ticked")
