"""Tasks for `guaco work -k greenlet`."""

import asyncio
import threading
import time

import guaco

queue = guaco.Queue("sqlite:///greenlets.db")


@queue.task()
def nap(seconds: float) -> int:
    """Sleeps by gevent's time.sleep, on one thread with all others."""
    time.sleep(seconds)
    return threading.get_native_id()


@queue.task(timeout=0.3)
def too_long() -> None:
    time.sleep(1000)


@queue.task()
async def native(a: int) -> int:
    await asyncio.sleep(0.01)
    return a + 1


@queue.task(retries=1)
def failing() -> None:
    raise ZeroDivisionError
