"""Clients that people use, on our loop: anyio, httpx, and a database driver's
way of talking (one Protocol over create_connection, pipelined, with TLS)."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from typing import Any

import pytest

import guaco.loop

anyio = pytest.importorskip("anyio")
httpx = pytest.importorskip("httpx")


async def answer_http(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while await reader.readline() not in (b"\r\n", b""):
        pass
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()
    writer.close()


def test_httpx_talks_to_a_stream_server() -> None:
    async def main() -> None:
        server = await asyncio.start_server(answer_http, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server, httpx.AsyncClient() as client:
            calls = [client.get(f"http://{host}:{port}/") for _ in range(20)]
            for response in await asyncio.gather(*calls):
                assert response.text == "ok"

    guaco.loop.run(main())


def test_anyio_runs_one_worker_thread_for_calls_in_turn() -> None:
    async def main() -> set[int]:
        names = set()
        for _ in range(100):
            names.add(await anyio.to_thread.run_sync(threading.get_ident))
        return names

    assert len(guaco.loop.run(main())) == 1


def test_anyio_scopes_groups_streams_and_processes() -> None:
    async def echo(client: Any) -> None:
        async with client:
            await client.send(await client.receive())

    async def main() -> None:
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(5)
        assert scope.cancelled_caught
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
            group.cancel_scope.cancel()
        done = await anyio.run_process(["echo", "hi"])
        assert done.stdout == b"hi\n"

    anyio.run(main, backend_options={"loop_factory": guaco.loop.new_event_loop})


class Database(asyncio.Protocol):
    """Answers each message (a byte and a length) with its payload reversed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 5:
            kind, size = struct.unpack("!cI", self.buffer[:5])
            if len(self.buffer) < 5 + size:
                return
            body, self.buffer = (
                self.buffer[5 : 5 + size],
                self.buffer[5 + size :],
            )
            self.transport.write(struct.pack("!cI", kind, size) + body[::-1])


class Driver(asyncio.Protocol):
    """A client in the manner of asyncpg: futures by order of request."""

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[bytes]] = deque()
        self.buffer = b""
        self.may_write = asyncio.Event()
        self.may_write.set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 5:
            size = int.from_bytes(self.buffer[1:5], "big")
            if len(self.buffer) < 5 + size:
                return
            self.waiting.popleft().set_result(self.buffer[5 : 5 + size])
            self.buffer = self.buffer[5 + size :]

    async def ask(self, body: bytes) -> bytes:
        await self.may_write.wait()
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        self.transport.write(struct.pack("!cI", b"Q", len(body)) + body)
        answer: bytes = await future
        return answer


def test_a_driver_pipelines_and_is_held_back() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Database, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        transport, driver = await loop.create_connection(Driver, host, port)
        bodies = [bytes([i]) * 3000 * i for i in range(1, 60)]
        answers = await asyncio.gather(*map(driver.ask, bodies))
        assert answers == [body[::-1] for body in bodies]
        assert await asyncio.wait_for(driver.ask(b"x"), 5) == b"x"
        transport.close()
        server.close()
        await server.wait_closed()

    guaco.loop.run(main(), debug=True)
