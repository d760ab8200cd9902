"""A web application and its queue in the memory of their tree."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import guaco

queue = guaco.MemoryQueue(name="test")


@queue.task()
def add(a: int, b: int) -> list[int]:
    return [a + b, os.getpid()]


@queue.task()
def hold() -> list[int]:
    """The first run waits to be killed; the second says who it was."""
    attempt = guaco.current_task().attempt
    sys.stdout.write(f"holding {os.getpid()} {attempt}\n")
    sys.stdout.flush()
    if attempt == 1:
        time.sleep(30)
    return [os.getpid(), attempt]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    result = hold() if scope["path"] == "/hold" else add(1, 2)
    try:
        body: Any = [*await result, os.getpid()]
    except Exception as error:
        body = f"{type(error).__name__}: {error}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
