"""The primitives of one loop, measured once; run by run.py.

    python primitives.py asyncio|uvloop|zuvloop|guaco

Prints a JSON object {primitive: CPU nanoseconds of this thread an operation}.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

COUNT = 20000


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "asyncio":
        return asyncio.SelectorEventLoop()
    module = "guaco.loop" if name == "guaco" else name
    return importlib.import_module(module).new_event_loop()


def nothing() -> None:
    pass


async def nothing_async() -> None:
    pass


def per_op(start: int, count: int) -> float:
    return (time.thread_time_ns() - start) / count


async def call_soon(loop: asyncio.AbstractEventLoop) -> float:
    start = time.thread_time_ns()
    for _ in range(COUNT // 100):
        for _ in range(100):
            loop.call_soon(nothing)
        await asyncio.sleep(0)
    return per_op(start, COUNT)


async def threadsafe_same(loop: asyncio.AbstractEventLoop) -> float:
    start = time.thread_time_ns()
    for _ in range(COUNT // 100):
        for _ in range(100):
            loop.call_soon_threadsafe(nothing)
        await asyncio.sleep(0)
    return per_op(start, COUNT)


async def threadsafe_other(loop: asyncio.AbstractEventLoop) -> float:
    """The caller's share."""
    done = loop.create_future()

    def call() -> None:
        start = time.thread_time_ns()
        for _ in range(COUNT):
            loop.call_soon_threadsafe(nothing)
        cost = per_op(start, COUNT)
        loop.call_soon_threadsafe(done.set_result, cost)

    thread = threading.Thread(target=call)
    thread.start()
    cost = await done
    thread.join()
    return float(cost)


async def call_later_cancel(loop: asyncio.AbstractEventLoop) -> float:
    start = time.thread_time_ns()
    for _ in range(COUNT // 100):
        for _ in range(100):
            loop.call_later(30, nothing).cancel()
        await asyncio.sleep(0)
    return per_op(start, COUNT)


async def call_later_fires(loop: asyncio.AbstractEventLoop) -> float:
    start = time.thread_time_ns()
    for _ in range(COUNT // 1000):
        for _ in range(1000):
            loop.call_later(0.001, nothing)
        await asyncio.sleep(0.003)
    return per_op(start, COUNT)


async def future_await(loop: asyncio.AbstractEventLoop) -> float:
    start = time.thread_time_ns()
    for _ in range(COUNT // 4):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future
    return per_op(start, COUNT // 4)


async def wake_blocked(loop: asyncio.AbstractEventLoop) -> float:
    async def wait(future: asyncio.Future[None]) -> None:
        await future

    cost = 0.0
    for _ in range(COUNT // 1000):
        futures = [loop.create_future() for _ in range(1000)]
        tasks = [loop.create_task(wait(future)) for future in futures]
        await asyncio.sleep(0)
        start = time.thread_time_ns()
        for future in futures:
            future.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        cost += time.thread_time_ns() - start
        del tasks
    return cost / COUNT


async def sleep_zero(loop: asyncio.AbstractEventLoop) -> float:
    start = time.thread_time_ns()
    for _ in range(COUNT):
        await asyncio.sleep(0)
    return per_op(start, COUNT)


async def create_task(loop: asyncio.AbstractEventLoop) -> float:
    start = time.thread_time_ns()
    for _ in range(COUNT // 100):
        tasks = [loop.create_task(nothing_async()) for _ in range(100)]
        await asyncio.sleep(0)
        del tasks
    return per_op(start, COUNT)


async def executor(loop: asyncio.AbstractEventLoop) -> float:
    await loop.run_in_executor(None, nothing)
    count = COUNT // 40
    start = time.thread_time_ns()
    for _ in range(count):
        await loop.run_in_executor(None, nothing)
    return per_op(start, count)


PRIMITIVES: dict[
    str, Callable[[asyncio.AbstractEventLoop], Coroutine[Any, Any, float]]
] = {
    "call_soon + run": call_soon,
    "call_soon_threadsafe, same thread": threadsafe_same,
    "call_soon_threadsafe, other thread": threadsafe_other,
    "call_later + cancel": call_later_cancel,
    "call_later, fires": call_later_fires,
    "create_future + set_result + await": future_await,
    "wake a blocked task": wake_blocked,
    "sleep(0)": sleep_zero,
    "create_task + run": create_task,
    "run_in_executor": executor,
}


def main() -> None:
    loop = new_loop(sys.argv[1])
    only = sys.argv[2:] or list(PRIMITIVES)
    gc.disable()
    figures = {}
    for name in only:
        loop.run_until_complete(PRIMITIVES[name](loop))  # warm
        figures[name] = loop.run_until_complete(PRIMITIVES[name](loop))
        gc.collect()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
