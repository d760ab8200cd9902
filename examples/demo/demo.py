"""The seed's two programs in one file, and a page that shows them at work.

    guaco up demo:app

runs the web application, the task workers and the scheduler.  The page at /demo
starts a task and follows it over a WebSocket: nothing polls.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import guaco
from guaco import crontab
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

HERE = Path(__file__).resolve().parent
queue = guaco.Queue(os.environ.get("DEMO_QUEUE", "sqlite:///demo.db"))

# ---- the seed's tasks ------------------------------------------------------


@queue.task()
def add_numbers(a: int, b: int) -> int:
    return a + b


@queue.task(retries=2, retry_delay=20)
def flaky_task(url: str) -> str:
    return this_might_fail(url)


def this_might_fail(url: str) -> str:
    if random.randint(0, 4) == 2:
        raise ConnectionError(f"{url} did not answer this time")
    return f"{url} answered"


def sync_all_data() -> None:
    print("finished data", flush=True)


# The seed's is crontab(minute='1'), each hour at :01; here each minute, so that
# a visitor sees it.
@queue.periodic_task(crontab(minute="*"))
def nightly_task() -> None:
    sync_all_data()


# ---- a task to watch -------------------------------------------------------


@queue.task(retries=3)
def count_to(steps: int, pause: float) -> str:
    """Count, saying how far it got; `pause` seconds for each step."""
    for step in range(1, steps + 1):
        time.sleep(pause)
        guaco.current_task().progress(step / steps)
    return f"counted to {steps} in process {os.getpid()}"


# ---- the application -------------------------------------------------------


async def homepage(request: Request) -> JSONResponse:
    return JSONResponse({"hello": "world"})


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse((HERE / "page.html").read_text(encoding="utf-8"))


async def add(request: Request) -> JSONResponse:
    """Enqueue and wait for the result, without blocking the loop."""
    result = await add_numbers.aenqueue(int(request.query_params["a"]), int(request.query_params["b"]))
    return JSONResponse({"sum": await result})


async def watch(websocket: WebSocket) -> None:
    """Each message of the client starts a task; its events go back as they happen."""
    await websocket.accept()
    follow: set[asyncio.Task[None]] = set()

    async def tell(number: int, steps: int, pause: float) -> None:
        result = await count_to.aenqueue(steps, pause)
        async for event in result.events():
            await websocket.send_json({"number": number, "kind": event.kind, "value": event.value})

    try:
        while True:
            order = await websocket.receive_json()
            task = asyncio.create_task(tell(order["number"], min(int(order["steps"]), 100), min(order["pause"], 1.0)))
            follow.add(task)
            task.add_done_callback(follow.discard)
    except WebSocketDisconnect:
        for task in follow:
            task.cancel()


app = Starlette(routes=[
    Route("/", homepage),
    Route("/demo", page),
    Route("/add", add),
    WebSocketRoute("/watch", watch),
])
