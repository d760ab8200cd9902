"""A guaco.Server in a thread of the test, and raw HTTP to talk to it."""

import asyncio
import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import guaco
import guaco.loop
from deadline import DEADLINE_S

# What serve() uses when it is not told; test_guest_asgi.py sets others.
loop_factory_default: Callable[[], asyncio.AbstractEventLoop] = (
    guaco.loop.new_event_loop
)


@dataclasses.dataclass
class Served:
    """Where the server of serve() listens."""

    server: guaco.Server
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def connect(self) -> "Client":
        return Client(
            socket.create_connection((self.host, self.port), DEADLINE_S)
        )

    def get(self, path: str = "/", **headers: str) -> "Response":
        with self.connect() as client:
            return client.request("GET", path, headers)

    def ask(self, raw: bytes, *, head: bool = False) -> "Response":
        """Send raw bytes, read one response."""
        with self.connect() as client:
            client.send(raw)
            return client.response(head=head)


@dataclasses.dataclass
class Response:
    version: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_whole: bool = True
    trailers: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return ", ".join(v for n, v in self.headers if n.lower() == name)

    def __contains__(self, name: str) -> bool:
        return any(n.lower() == name for n, _ in self.headers)


class Client:
    """One connection; responses are read by the framing that they state."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(DEADLINE_S)
        self.buffer = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            if not self._more():
                raise EOFError(self.buffer)
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self._more():
                raise EOFError(self.buffer)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def rest(self) -> bytes:
        """Everything until the server closes."""
        with contextlib.suppress(ConnectionResetError):
            while self._more():
                pass
        data, self.buffer = self.buffer, b""
        return data

    def fields(self) -> list[tuple[str, str]]:
        fields = []
        while line := self.line():
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name, value.strip()))
        return fields

    def response(self, *, head: bool = False) -> Response:
        version, status, *_ = self.line().decode().split(" ", 2)
        answer = Response(version, int(status), self.fields(), b"")
        if head or answer.status in (204, 304) or answer.status < 200:
            return answer
        try:
            self._body(answer)
        except (EOFError, ConnectionResetError):
            answer.is_whole = False
        return answer

    def _body(self, answer: Response) -> None:
        if answer["transfer-encoding"] == "chunked":
            while size := int(self.line(), 16):
                answer.body += self.exactly(size)
                assert self.line() == b""
            answer.trailers = self.fields()
        elif "content-length" in answer:
            answer.body = self.exactly(int(answer["content-length"]))
        else:
            answer.body = self.rest()

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        lines = [f"{method} {path} HTTP/1.1", "host: example.org"]
        lines += [f"{n.replace('_', '-')}: {v}" for n, v in (headers or {}).items()]
        if body:
            lines.append(f"content-length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return self.response(head=method == "HEAD")


@contextlib.contextmanager
def serve(
    app: Any,
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **options: Any,
) -> Iterator[Served]:
    """Serve ``app`` in a thread with a loop of its own; what serve() raises
    comes out of here."""
    loop_factory = loop_factory or loop_factory_default
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    options.setdefault("timeout_graceful_shutdown", 2)
    server = guaco.Server(app, sockets=[listener], **options)
    started = threading.Event()
    failure: list[BaseException] = []
    server.on_start = started.set

    def main() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(server.serve())
        except BaseException as exc:
            failure.append(exc)
        finally:
            started.set()

    thread = threading.Thread(target=main)
    thread.start()
    try:
        assert started.wait(DEADLINE_S)
        if failure:
            raise failure[0]
        yield Served(server, host, port)
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        listener.close()
    assert not thread.is_alive()
    if failure:
        raise failure[0]


def in_thread(target: Callable[[], object]) -> None:
    """Not in the main one, where the signals' handlers hold the server."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            target()
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join(DEADLINE_S)
    if failures:
        raise failures[0]
