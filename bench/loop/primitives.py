"""The primitives of one loop, measured once; run by run.py.

    python primitives.py asyncio|uvloop|zuvloop|guaco

Prints a JSON object {primitive: CPU nanoseconds of this thread an operation}.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

COUNT = 20000
CLIENTS = 20


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


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def ask(clients: list[socket.socket], rounds: int) -> None:
    """A child process: 1 KiB to each, then the answer of each; blocking."""
    message = b"x" * 1024
    for _ in range(rounds):
        for client in clients:
            client.sendall(message)
        for client in clients:
            client.recv(1024, socket.MSG_WAITALL)


async def with_clients(
    loop: asyncio.AbstractEventLoop,
    serve: Callable[[socket.socket], Coroutine[Any, Any, Any]],
) -> float:
    """What a message costs the loop's thread, the kernel's share included."""
    pairs = [socket.socketpair() for _ in range(CLIENTS)]
    rounds = COUNT // CLIENTS
    child = os.fork()
    if child == 0:
        try:
            ask([client for client, _ in pairs], rounds)
        finally:
            os._exit(0)
    start = time.thread_time_ns()
    for client, ours in pairs:
        client.close()
        ours.setblocking(False)
    await asyncio.gather(*(serve(ours) for _, ours in pairs))
    cost = per_op(start, rounds * CLIENTS)
    os.waitpid(child, 0)
    return cost


async def echo_protocol(loop: asyncio.AbstractEventLoop) -> float:
    async def serve(sock: socket.socket) -> None:
        lost = loop.create_future()

        class Served(Echo):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.set_result(None)

        await loop.connect_accepted_socket(Served, sock)
        await lost

    return await with_clients(loop, serve)


async def echo_streams(loop: asyncio.AbstractEventLoop) -> float:
    async def serve(sock: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=sock)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                writer.write(await reader.readexactly(1024))
        writer.close()

    return await with_clients(loop, serve)


async def echo_sock(loop: asyncio.AbstractEventLoop) -> float:
    async def serve(sock: socket.socket) -> None:
        while data := await loop.sock_recv(sock, 65536):
            await loop.sock_sendall(sock, data)
        sock.close()

    return await with_clients(loop, serve)


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
    "1 KiB echo, Protocol": echo_protocol,
    "1 KiB echo, streams": echo_streams,
    "1 KiB echo, sock_recv + sock_sendall": echo_sock,
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
