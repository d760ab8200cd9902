"""WebSocket messages and idle connections of every ASGI gateway, in one run.

    python bench/server/connections.py [--python 3.14] [--rounds 2] [--only NAME ...]

Each server runs one worker on processor 0, the client is one process on processor 1.

echo: 64 WebSockets, 64 bytes each and back, all at once; broadcast: one of them
sends, all 64 receive.  The figure is user plus system time of the server a message
that it sent.

idle: 2,000 connections of which each asked one page and is kept alive: memory that
the server's processes (proportional set size) grew by, a connection; the kernel's
sockets are not in it.  Then the context switches of 3 seconds in which nothing is
asked.
"""

from __future__ import annotations

import argparse
import base64
import os
import resource
import shutil
import socket
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import run as gateways  # noqa: E402
from peers import cpu_model, interpreter  # noqa: E402
from processes import cpu_ns, tree  # noqa: E402

SOCKETS = 64
ROUNDS = 300
IDLE = 2000
SILENCE_S = 3.0
TEXT = b"x" * 64
MASK = b"\x00\x00\x00\x00"
FRAME = b"\x81\xc0" + MASK + TEXT  # 64 bytes, masked by zeros
ANSWER = len(TEXT) + 2

# A server of WebSockets brings a library for them, or has one.
EXTRA = {
    "uvicorn httptools+uvloop": ("websockets==17.4",),
    "uvicorn zttp+zuvloop": ("websockets==17.4",),
}


def servers(version: str) -> list[gateways.Server]:
    found = []
    for server in gateways.SERVERS:
        if version not in server.pythons or server.interface != "asgi" or "floor" in server.name:
            continue
        more = EXTRA.get(server.name, ())
        found.append(gateways.dataclasses.replace(server, packages=(*server.packages, *more)))
    return found


def websocket(port: int, path: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (byte := sock.recv(1)):
            raise OSError("closed in the handshake")
        head += byte
    if not head.startswith(b"HTTP/1.1 101"):
        raise OSError(head.decode(errors="replace").splitlines()[0])
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_exactly(sock: socket.socket, count: int) -> None:
    while count:
        data = sock.recv(count)
        if not data:
            raise OSError("closed")
        count -= len(data)


def echo_round(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.sendall(FRAME)
    for sock in socks:
        read_exactly(sock, ANSWER)


def broadcast_round(socks: list[socket.socket]) -> None:
    socks[0].sendall(FRAME)
    for sock in socks:
        read_exactly(sock, ANSWER)


def messages(port: int, session: int, path: str, one_round: Callable[[list[socket.socket]], None]) -> float:
    """CPU microseconds a message sent."""
    socks = [websocket(port, path) for _ in range(SOCKETS)]
    try:
        for _ in range(20):
            one_round(socks)
        before = cpu_ns(session)
        for _ in range(ROUNDS):
            one_round(socks)
        return (cpu_ns(session) - before) / 1000 / (ROUNDS * SOCKETS)
    finally:
        for sock in socks:
            sock.close()


def memory(session: int) -> int:
    """Bytes that the processes of a session hold, what they share divided among them."""
    total = 0
    for pid in tree(session):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def switches(session: int) -> int:
    total = 0
    for pid in tree(session):
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            for line in status.read_text().splitlines():
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
    return total


def ask(sock: socket.socket) -> None:
    sock.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
    answer = b""
    while b"Hello" not in answer:
        data = sock.recv(4096)
        if not data:
            raise OSError("closed")
        answer += data


def idle(port: int, session: int) -> tuple[float, int]:
    """Bytes a connection, and context switches in SILENCE_S."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as first:
        ask(first)
    before = memory(session)
    socks = []
    try:
        for _ in range(IDLE):
            sock = socket.create_connection(("127.0.0.1", port), timeout=20)
            ask(sock)
            socks.append(sock)
        grown = memory(session) - before
        start = switches(session)
        time.sleep(SILENCE_S)
        return grown / IDLE, switches(session) - start
    finally:
        for sock in socks:
            sock.close()


def measure(server: gateways.Server, context: gateways.Context) -> list[str]:
    with gateways.running(server, context, "hello") as up:
        if up is None:
            return ["-"] * 4
        port, session = up
        cells = []
        for path, one_round in (("/echo", echo_round), ("/hub", broadcast_round)):
            try:
                cells.append(f"{messages(port, session, path, one_round):.2f}")
            except OSError as exc:
                cells.append(f"({exc})")
    with gateways.running(server, context, "hello") as up:
        assert up is not None
        try:
            bytes_each, count = idle(*up)
            cells += [f"{bytes_each:,.0f}", str(count)]
        except OSError as exc:
            cells += [f"({exc})", "-"]
    return cells


def least(rows: list[list[str]]) -> list[str]:
    """Of several rounds the least of each column, where it is a number."""
    def number(cell: str) -> float:
        try:
            return float(cell.replace(",", ""))
        except ValueError:
            return float("inf")
    return [min(column, key=number) for column in zip(*rows, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sysconfig.get_python_version(), help="version or path")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", action="append", help="a row whose name contains this")
    parser.add_argument("--guaco", default=os.environ.get("GUACO_EXE") or shutil.which("guaco"))
    options = parser.parse_args()

    python = interpreter(options.python)
    if python is None or len(os.sched_getaffinity(0)) < 2:
        print("bench/connections: needs that Python and two processors; skipped", file=sys.stderr)
        return 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + 500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as build:
        context = gateways.Context(python, options.python, options.guaco or "", Path(build))
        chosen = [s for s in servers(options.python)
                  if not options.only or any(o in s.name for o in options.only)]
        rows: dict[str, list[list[str]]] = {s.name: [] for s in chosen}
        for _ in range(options.rounds):
            for server in chosen:
                rows[server.name].append(measure(server, context))
    print(f"{cpu_model()}, {time.strftime('%Y-%m-%d')}, Python {options.python}, least of {options.rounds} rounds\n")
    print("| server | echo, CPU µs/message | broadcast, CPU µs/message | bytes/idle connection | "
          f"switches in {SILENCE_S:g} s |\n|---|---|---|---|---|")
    for name, runs in rows.items():
        print(f"| {name} | {' | '.join(least(runs))} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
