"""The worker of applications in C, driven over its channel as the supervisor does."""

import array
import base64
import json
import os
import pathlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import DEADLINE_S, guaco_exe

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hello_so(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """examples/c/hello.c, compiled with nothing but the public headers."""
    path = tmp_path_factory.mktemp("guest") / "hello.so"
    command = ["cc", "-std=c17", "-shared", "-fPIC", "-fvisibility=hidden"]
    command += [f"-I{ROOT / 'include'}", "-o", str(path)]
    subprocess.run([*command, str(ROOT / "examples/c/hello.c")], check=True)
    return path


class Guest:
    """A `guaco _guest` process and our end of its channel."""

    def __init__(self, target: str, **options: Any) -> None:
        self.channel, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        self.channel.settimeout(DEADLINE_S)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        message = {
            "role": "web",
            "target": target,
            "slot": 0,
            "generation": 1,
            "options": options,
            "sockets": [{"bind": "127.0.0.1:0"}],
        }
        rights = array.array("i", [self.listener.fileno()])
        self.channel.sendmsg(
            [json.dumps(message).encode()],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)],
        )
        os.set_inheritable(theirs.fileno(), True)
        self.process = subprocess.Popen(
            [guaco_exe(), "_guest"],
            env={**os.environ, "GUACO_CHANNEL_FD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        theirs.close()

    def event(self) -> dict[str, Any]:
        data = self.channel.recv(65536)
        return json.loads(data) if data else {}

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, DEADLINE_S)

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.channel.close()
        self.listener.close()


@pytest.fixture
def guest(hello_so: pathlib.Path) -> Iterator[Guest]:
    it = Guest(str(hello_so), access_log=True)
    try:
        assert it.event() == {"event": "ready", "pid": it.process.pid}
        yield it
    finally:
        it.close()


def ask(connection: socket.socket, request: bytes, end: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while not answer.endswith(end):
        data = connection.recv(65536)
        assert data, answer
        answer += data
    return answer


def test_it_says_hello_and_echoes_a_body(guest: Guest) -> None:
    with guest.connect() as connection:
        answer = ask(connection, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"world\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        body = os.urandom(200_000)
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
        answer = ask(connection, head + body, b"\r\n0\r\n\r\n")
        assert b"transfer-encoding: chunked" in answer
        assert len(answer) > len(body)
        answer = ask(connection, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"Found\n")
        assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")


def test_it_echoes_messages_of_a_websocket(guest: Guest) -> None:
    key = base64.b64encode(bytes(16))
    with guest.connect() as connection:
        request = (
            b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: " + key + b"\r\n\r\n"
        )
        assert b" 101 " in ask(connection, request, b"\r\n\r\n")
        frame = b"\x81\x85" + bytes(4) + b"hello"
        assert ask(connection, frame, b"hello") == b"\x81\x05hello"


def test_it_runs_without_an_interpreter(guest: Guest) -> None:
    maps = pathlib.Path(f"/proc/{guest.process.pid}/maps").read_text()
    assert "hello.so" in maps
    assert "libpython" not in maps


def test_sigterm_drains(guest: Guest) -> None:
    with guest.connect() as connection:
        ask(connection, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"world\n")
        guest.process.send_signal(signal.SIGTERM)
        assert guest.event()["event"] == "draining"
        assert connection.recv(1) == b""  # it was idle
    assert guest.wait() == 0
    assert guest.process.stdout is not None
    assert b'"GET / HTTP/1.1" 200 13' in guest.process.stdout.read()


def test_the_drain_command_and_the_end_of_the_channel_drain(
    hello_so: pathlib.Path,
) -> None:
    for end in (False, True):
        guest = Guest(f"{hello_so}:argument")
        try:
            assert guest.event()["event"] == "ready"
            if end:
                guest.channel.shutdown(socket.SHUT_RDWR)
            else:
                guest.channel.send(b'{"command": "drain"}')
                assert guest.event()["event"] == "draining"
            assert guest.wait() == 0
        finally:
            guest.close()


def test_after_the_most_requests_it_drains_by_itself(
    hello_so: pathlib.Path,
) -> None:
    guest = Guest(str(hello_so), limit_max_requests=2)
    try:
        assert guest.event()["event"] == "ready"
        with guest.connect() as connection:
            request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            assert b"connection: close" not in ask(connection, request, b"world\n")
            assert b"connection: close" in ask(connection, request, b"world\n")
        assert guest.event()["event"] == "draining"
        assert guest.wait() == 0
    finally:
        guest.close()


def test_a_target_that_cannot_be_loaded_fails_the_start(
    tmp_path: pathlib.Path,
) -> None:
    guest = Guest(str(tmp_path / "missing.so"))
    try:
        event = guest.event()
        assert event["event"] == "failed"
        assert "missing.so" in event["text"]
        assert guest.wait() == 3
    finally:
        guest.close()


def test_alone_it_refuses_to_run() -> None:
    env = {k: v for k, v in os.environ.items() if k != "GUACO_CHANNEL_FD"}
    done = subprocess.run([guaco_exe(), "_guest"], env=env, capture_output=True)
    assert done.returncode == 2
