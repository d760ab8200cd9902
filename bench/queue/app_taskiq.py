"""Taskiq's side: `taskiq worker app_taskiq:broker`, a loop with plain functions
on threads, acknowledged (Redis streams).

Its producers are coroutines: here each call runs a loop of this module until it
has been sent, as a synchronous program would.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import marks
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ["BENCH_URL"])
_loop = asyncio.new_event_loop()


def _sender(function: Callable[..., None]) -> Callable[..., None]:
    task: Any = broker.task(task_name=function.__name__)(function)
    started = False

    def send(*args: object) -> None:
        nonlocal started
        if not started:
            _loop.run_until_complete(broker.startup())
            started = True
        _loop.run_until_complete(task.kiq(*args))

    return send


noop, mark, stamp = map(_sender, (marks.noop, marks.mark, marks.stamp))
