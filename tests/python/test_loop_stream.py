"""Stream transports, on the standard library's loop and on ours."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import subprocess
import sys
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from deadline import DEADLINE_S

import guaco.loop
from loops import factory, loop  # noqa: F401  (fixtures)

MIB = 1 << 20


class Recorder(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.data = bytearray()
        self.pauses = 0
        self.is_paused = False
        self.lost: asyncio.Future[Exception | None] = loop.create_future()
        self.eof: asyncio.Future[None] = loop.create_future()
        self.keep_open = False
        self.resumed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data

    def eof_received(self) -> bool:
        self.eof.set_result(None)
        return self.keep_open

    def pause_writing(self) -> None:
        self.pauses += 1
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        self.resumed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


Case = Callable[[Recorder, socket.socket], Awaitable[None]]


def run(
    loop: asyncio.AbstractEventLoop,  # noqa: F811
    case: Case,
    make: Callable[[], asyncio.BaseProtocol] = Recorder,
) -> None:
    """Run case with a protocol that is connected, and the peer's socket."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            protocol: Any
            _, protocol = await loop.connect_accepted_socket(make, ours)
            await asyncio.wait_for(case(protocol, theirs), DEADLINE_S)
            if not protocol.lost.done() or isinstance(loop, guaco.loop.Loop):
                protocol.transport.abort()
            await asyncio.wait_for(protocol.lost, DEADLINE_S)

    loop.run_until_complete(main())


async def read_all(peer: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    got = bytearray()
    while len(got) < count:
        piece = await loop.sock_recv(peer, MIB)
        assert piece
        got += piece
    return bytes(got)


def test_what_the_kernel_does_not_take_stays_in_order(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        transport = protocol.transport
        pieces: list[bytes] = []

        def send(piece: bytes) -> None:
            pieces.append(piece)
            transport.write(piece)

        for i in range(40):
            send(bytes([i]) * 50_000)
            send(b"|")
            pieces += [b"<", bytes([200 + i]) * 1000]
            transport.writelines(pieces[-2:])
        assert protocol.is_paused
        assert transport.get_write_buffer_size() > 0
        whole = b"".join(pieces)
        assert await read_all(peer, len(whole)) == whole
        await protocol.resumed.wait()
        assert transport.get_write_buffer_size() == 0
        transport.write(b"after")
        assert await read_all(peer, 5) == b"after"

    run(loop, case)


def test_a_buffer_may_be_changed_once_write_returned(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        data = bytearray(4 * MIB)
        for wrap in (bytearray, memoryview):
            protocol.transport.write(data if wrap is bytearray else wrap(data))
            data[:] = b"x" * len(data)
        protocol.transport.write(data)
        data[:] = b"y" * len(data)
        got = await read_all(peer, 3 * len(data))
        assert got == bytes(len(data)) + b"x" * 2 * len(data)

    if not isinstance(loop, guaco.loop.Loop) and sys.version_info >= (3, 12):
        pytest.skip("asyncio keeps the buffer itself from 3.12 on")
    run(loop, case)


def test_bulk_arrives_whole(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        data = bytes(range(256)) * (MIB // 64)
        await asyncio.get_running_loop().sock_sendall(peer, data)
        peer.shutdown(socket.SHUT_WR)
        await protocol.eof
        assert protocol.data == data
        assert await protocol.lost is None

    run(loop, case)


def test_a_half_closed_connection_can_still_write(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        protocol.keep_open = True
        peer.shutdown(socket.SHUT_WR)
        await protocol.eof
        protocol.transport.write(b"still here")
        assert await read_all(peer, 10) == b"still here"
        protocol.transport.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            protocol.transport.write(b"x")
        assert await asyncio.get_running_loop().sock_recv(peer, 10) == b""

    run(loop, case)


def test_a_write_eof_waits_for_what_was_written(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        protocol.transport.write(bytes(4 * MIB))
        protocol.transport.write_eof()
        assert len(await read_all(peer, 4 * MIB)) == 4 * MIB
        assert await asyncio.get_running_loop().sock_recv(peer, 10) == b""

    run(loop, case)


def test_a_close_waits_for_what_was_written(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        protocol.transport.write(bytes(4 * MIB))
        protocol.transport.close()
        assert len(await read_all(peer, 4 * MIB)) == 4 * MIB
        assert await protocol.lost is None
        assert await asyncio.get_running_loop().sock_recv(peer, 10) == b""

    run(loop, case)


def test_writing_to_one_who_left_ends_the_connection(
    loop: Any, caplog: pytest.LogCaptureFixture  # noqa: F811
) -> None:
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        protocol.keep_open = True
        peer.close()
        await protocol.eof
        kept = protocol.transport.write
        protocol.transport.write(b"x")
        assert isinstance(await protocol.lost, (BrokenPipeError, ConnectionError))
        for _ in range(7):
            protocol.transport.write(b"x")
        kept(b"x")

    run(loop, case)
    assert "socket.send() raised exception." in caplog.text


def test_only_bytes_like_objects_are_written(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        for wrong in ("text", 5, None, [b"x"]):
            with pytest.raises(TypeError, match="data argument must be"):
                protocol.transport.write(wrong)
        protocol.transport.write(b"")
        protocol.transport.write(b"right")
        assert await read_all(peer, 5) == b"right"

    run(loop, case)


def test_a_view_with_holes_ends_the_connection(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, _peer: socket.socket) -> None:
        protocol.transport.write(memoryview(b"a.b.c.")[::2])
        assert isinstance(await protocol.lost, BufferError)

    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    run(loop, case)
    assert [c["message"] for c in told] == ["Fatal write error on socket transport"]


def test_what_data_received_raises_ends_the_connection(loop: Any) -> None:  # noqa: F811
    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError(data)

    async def case(protocol: Recorder, peer: socket.socket) -> None:
        peer.send(b"x")
        assert isinstance(await protocol.lost, ZeroDivisionError)

    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    run(loop, case, Failing)
    assert [c["message"] for c in told] == [
        "Fatal error: protocol.data_received() call failed."
    ]


def test_an_exit_in_data_received_ends_the_loop(loop: Any) -> None:  # noqa: F811
    class Leaving(Recorder):
        def data_received(self, data: bytes) -> None:
            raise SystemExit(3)

    async def case(protocol: Recorder, peer: socket.socket) -> None:
        peer.send(b"x")
        await protocol.lost

    with pytest.raises(SystemExit):
        run(loop, case, Leaving)
    # What the exit cut off ends before the loop is closed.
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


class Buffered(Recorder, asyncio.BufferedProtocol):
    """Lends a buffer of `size` bytes for each piece."""

    size = 7

    def get_buffer(self, sizehint: int) -> bytearray:
        assert sizehint == -1
        self.buffer = bytearray(self.size)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]


def test_a_buffered_protocol_is_filled(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        peer.send(b"0123456789" * 5)
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert protocol.data == b"0123456789" * 5

    run(loop, case, Buffered)


def test_an_empty_buffer_ends_the_connection(loop: Any) -> None:  # noqa: F811
    class Empty(Buffered):
        size = 0

    async def case(protocol: Recorder, peer: socket.socket) -> None:
        peer.send(b"x")
        assert isinstance(await protocol.lost, RuntimeError)

    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    run(loop, case, Empty)
    assert [str(c["exception"]) for c in told] == [
        "get_buffer() returned an empty buffer"
    ]


def test_another_protocol_receives_the_rest(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        peer.send(b"one")
        while protocol.data != b"one":
            await asyncio.sleep(0)
        for other in (Buffered(), Recorder()):
            protocol.transport.set_protocol(other)
            assert protocol.transport.get_protocol() is other
            peer.send(b"two")
            while other.data != b"two":
                await asyncio.sleep(0)
        protocol.transport.set_protocol(protocol)
        assert protocol.data == b"one"

    run(loop, case)


def test_a_paused_transport_reads_nothing(loop: Any) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        protocol.transport.pause_reading()
        assert not protocol.transport.is_reading()
        peer.send(b"x")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not protocol.data
        protocol.transport.resume_reading()
        while protocol.data != b"x":
            await asyncio.sleep(0)

    run(loop, case)


def test_sendfile_and_writes_keep_their_order(loop: Any, tmp_path: Path) -> None:  # noqa: F811
    async def case(protocol: Recorder, peer: socket.socket) -> None:
        body = bytes(range(256)) * 8192
        (tmp_path / "file").write_bytes(body)
        protocol.transport.write(b"head")
        with open(tmp_path / "file", "rb") as file:
            sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
            await asyncio.sleep(0)
            got = await read_all(peer, 4 + len(body))
            assert await sending == len(body)
        protocol.transport.write(b"tail")
        assert got + await read_all(peer, 4) == b"head" + body + b"tail"

    run(loop, case)


def test_an_ended_transport_is_freed_without_the_collector() -> None:
    loop = guaco.loop.new_event_loop()
    refs: list[weakref.ref[Any]] = []

    async def case(protocol: Recorder, peer: socket.socket) -> None:
        protocol.transport.write(b"x")
        refs.append(weakref.ref(protocol.transport))
        refs.append(weakref.ref(protocol))

    gc.disable()
    try:
        run(loop, case)
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()
        loop.close()


def test_an_unclosed_transport_warns(factory: Any) -> None:  # noqa: F811
    async def open_one() -> socket.socket:
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().connect_accepted_socket(Recorder, ours)
        return theirs

    loop = factory()
    peer = loop.run_until_complete(open_one())
    with peer, pytest.warns(ResourceWarning, match="unclosed transport"):
        loop.close()
        del loop
        gc.collect()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(path), "-out", str(path) + ".crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_tls_both_ways(loop: Any, certificate: Path) -> None:  # noqa: F811
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    client_side = ssl.create_default_context(cafile=str(certificate))
    body = bytes(range(256)) * 4096

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(body)))
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_side)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_side, server_hostname="localhost"
        )
        assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
        writer.write(body)
        assert await asyncio.wait_for(reader.readexactly(len(body)), DEADLINE_S) == body
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())
