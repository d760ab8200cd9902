"""Rolling reloads, binary upgrades and killed workers under load: no request fails, but
those that a killed worker had in flight.

RELOADS, UPGRADES and WORKER_KILLS say how many (default: 200, 20, 200).  A short run of
each is in tests/python/test_operations_load.py.

    RELOADS=20 python -m pytest -s tests/soak/test_operations_soak.py
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

CLIENTS = 8
KILLS_A_SUPERVISOR = 4
"""Then there is a new one: it restarts ever more slowly what dies ever again."""
WORKERS = 2
DEADLINE_S = 60.0

APP = """
import os
body = str(os.getpid()).encode()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
"""

REQUEST = b"GET / HTTP/1.1\r\nHost: soak\r\n\r\n"


@dataclasses.dataclass
class Failure:
    port: int
    """The client's end of the connection; 0: there was none."""
    error: str


@dataclasses.dataclass
class Load:
    """Clients that ask without pause, half of them on connections that they keep."""

    port: int
    answered: int = 0
    failures: list[Failure] = dataclasses.field(default_factory=list)
    slowest_s: float = 0.0
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def client(self, keeps: bool) -> None:
        while not self.stop.is_set():
            port = 0
            try:
                with socket.create_connection(("127.0.0.1", self.port), 30) as s:
                    port = s.getsockname()[1]
                    while not self.stop.is_set():
                        if self.ask(s) or not keeps:
                            break
            except (OSError, ValueError) as error:
                with self.lock:
                    self.failures.append(Failure(port, repr(error)))

    def ask(self, s: socket.socket) -> bool:
        """A request and its answer; whether the connection ends with it."""
        began = time.monotonic()
        s.sendall(REQUEST)
        reply = b""
        while b"\r\n\r\n" not in reply:
            piece = s.recv(4096)
            if not piece:
                raise ValueError(f"the end after {reply!r}")
            reply += piece
        head, _, body = reply.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise ValueError(f"{head!r}")
        while len(body) < int(length[1]):
            piece = s.recv(4096)
            if not piece:
                raise ValueError("the end in a body")
            body += piece
        with self.lock:
            self.answered += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        return b"connection: close" in head


class Tree:
    """A `guaco serve` whose output is read from a file; the supervisor may change."""

    def __init__(self, folder: pathlib.Path, exe: str) -> None:
        (folder / "soaked.py").write_text(APP)
        self.log = folder / "log"
        self.pid_file = folder / "pid"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(exe, "serve", "soaked:app", "-w", str(WORKERS)),
                    *("--python", sys.executable, "--bind", "127.0.0.1:0"),
                    *("--no-access-log", "--pid-file", str(self.pid_file)),
                ],
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.port = int(self.wait_for(r"http://127\.0\.0\.1:(\d+)", 1)[0])

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def wait_for(self, pattern: str, count: int) -> list[str]:
        """Wait until the log has it `count` times."""
        end = time.monotonic() + DEADLINE_S
        while True:
            found = re.findall(pattern, self.log.read_text())
            if len(found) >= count:
                return found
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.002)

    def upgrade(self) -> None:
        before = self.pid
        os.kill(before, signal.SIGUSR2)
        end = time.monotonic() + DEADLINE_S
        while self.pid == before:
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.002)

    def workers(self) -> list[int]:
        path = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children")
        with contextlib.suppress(OSError):
            return [int(word) for word in path.read_text().split()]
        return []

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def loaded(folder: pathlib.Path, exe: str) -> Iterator[tuple[Tree, Load]]:
    tree = Tree(folder, exe)
    load = Load(tree.port)
    threads = [
        threading.Thread(target=load.client, args=(i % 2 == 0,), daemon=True)
        for i in range(CLIENTS)
    ]
    try:
        for thread in threads:
            thread.start()
        yield tree, load
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()
        tree.end()


def report(what: str, load: Load) -> None:
    print(
        f"{what}: {load.answered} requests answered, {len(load.failures)} failed, "
        f"the slowest took {load.slowest_s * 1000:.0f} ms"
    )


def run_reloads(folder: pathlib.Path, exe: str, count: int) -> None:
    with loaded(folder, exe) as (tree, load):
        for i in range(count):
            os.kill(tree.pid, signal.SIGHUP)
            tree.wait_for("supervisor: reloaded", i + 1)
    report(f"{count} rolling reloads", load)
    assert load.failures == []
    assert load.answered > count


def run_upgrades(folder: pathlib.Path, exe: str, count: int) -> None:
    with loaded(folder, exe) as (tree, load):
        for _ in range(count):
            tree.upgrade()
    report(f"{count} binary upgrades", load)
    assert load.failures == []
    assert load.answered > count


def connections_of(pid: int) -> set[int]:
    """The ports at the other end of the TCP connections that a process has open."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd)):
            inodes.add(found[1])
    rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {int(row[2].split(":")[1], 16) for row in map(str.split, rows) if row[9] in inodes}


def stop(pid: int) -> None:
    """Have a process stand still: from then on it accepts nothing."""
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + DEADLINE_S
    while pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        assert time.monotonic() < end, f"process {pid} does not stop"
        time.sleep(0.0002)


def run_kills(folder: pathlib.Path, exe: str, count: int) -> None:
    killed: set[int] = set()
    victims_ports: list[int] = []
    with loaded(folder, exe) as (tree, load):
        while len(killed) < count:
            workers = [pid for pid in tree.workers() if pid not in killed]
            if len(workers) < WORKERS:
                time.sleep(0.002)
                continue
            victim = random.choice(workers)
            stop(victim)
            victims_ports += connections_of(victim)
            seen = load.answered
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
            tree.wait_for("ended unexpectedly: signal 9", len(killed))
            if len(killed) % KILLS_A_SUPERVISOR == 0:
                tree.upgrade()
            end = time.monotonic() + DEADLINE_S
            while load.answered == seen:
                assert time.monotonic() < end
                time.sleep(0.002)
    report(f"{count} killed workers, with {len(victims_ports)} connections", load)
    # A client has one request at a time: no connection fails twice for one kill.
    strangers = collections.Counter(f.port for f in load.failures)
    strangers.subtract(victims_ports)
    assert +strangers == collections.Counter(), load.failures


def number(name: str, otherwise: int) -> int:
    return int(os.environ.get(name) or otherwise)


def test_no_request_fails_over_rolling_reloads(tmp_path: pathlib.Path, exe: str) -> None:
    run_reloads(tmp_path, exe, number("RELOADS", 200))


def test_no_request_fails_over_binary_upgrades(tmp_path: pathlib.Path, exe: str) -> None:
    run_upgrades(tmp_path, exe, number("UPGRADES", 20))


def test_a_killed_worker_fails_what_it_had_in_flight_alone(
    tmp_path: pathlib.Path, exe: str
) -> None:
    run_kills(tmp_path, exe, number("WORKER_KILLS", 200))
