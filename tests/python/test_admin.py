"""The operator's socket: /metrics, health, and guaco top, with a real application."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable

import pytest
from conftest import Program
from deadline import DEADLINE_S
from test_supervisor import python
from test_supervisor import serve as fake_serve
from test_supervisor_app import get
from test_upgrade import upgrade

__all__ = ["fake_serve", "python"]  # fixtures

Start = Callable[..., Program]

APP = """
import asyncio, os

gate = asyncio.Event()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    status = 200
    if scope["path"] == "/missing":
        status = 404
    if scope["path"] == "/wait":
        await gate.wait()
    if scope["path"] == "/open":
        gate.set()
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


@pytest.fixture
def serve(start: Start, tmp_path: pathlib.Path) -> Start:
    """serve(*options): the application above, the admin's socket at "admin"."""
    (tmp_path / "counted.py").write_text(APP)

    def run(*options: str) -> Program:
        return start(
            *("guaco", "serve", "counted:app", "--bind", "127.0.0.1:0"),
            *("--python", sys.executable, "--no-access-log"),
            *("--admin", "unix:admin", *options),
        )

    return run


def ask(path: pathlib.Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(DEADLINE_S)
        s.connect(str(path))
        s.sendall(request)
        reply = b""
        while piece := s.recv(65536):
            reply += piece
    return reply


def admin(path: pathlib.Path, target: str, method: str = "GET") -> tuple[int, str, str]:
    reply = ask(path, f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    head, _, body = reply.decode().partition("\r\n\r\n")
    return int(head[9:12]), head, body


def metrics(path: pathlib.Path) -> dict[str, float]:
    status, head, body = admin(path, "/metrics")
    assert status == 200
    assert "content-type: application/openmetrics-text; version=1.0.0" in head
    assert body.endswith("# EOF\n")
    samples = (line for line in body.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (s.rsplit(" ", 1) for s in samples)}


def gets(found: dict[str, float]) -> float:
    return found.get('guaco_requests_total{method="GET",code="2xx"}', 0)


def test_counts_are_exact_over_workers_restarts_and_upgrades(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    tree = serve("-w", "2")
    url = tree.url()
    path = tmp_path / "admin"
    assert path.stat().st_mode & 0o777 == 0o600
    pids = {get(url)[1] for _ in range(30)}
    assert get(url, "/missing")[0] == 404
    found = metrics(path)
    assert gets(found) == 30
    assert found['guaco_requests_total{method="GET",code="4xx"}'] == 1
    assert found["guaco_request_duration_seconds_count"] == 31
    assert found['guaco_request_duration_seconds_bucket{le="+Inf"}'] == 31
    assert found["guaco_connections_total"] == 31
    assert found['guaco_workers{role="web",state="ready"}'] == 2
    assert found["guaco_received_bytes_total"] > 31 * 20
    assert found["guaco_sent_bytes_total"] > 31 * 20

    os.kill(int(pids.pop()), signal.SIGKILL)
    tree.read_until("ended unexpectedly")
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("reloaded")
    for _ in range(10):
        get(url)
    found = metrics(path)
    assert gets(found) == 40
    assert found['guaco_worker_restarts_total{reason="died"}'] == 1
    assert found['guaco_worker_restarts_total{reason="reload"}'] == 2

    after = upgrade(tree, tree.pid)
    for _ in range(10):
        get(url)
    found = metrics(path)
    assert gets(found) == 50
    assert found['guaco_worker_restarts_total{reason="died"}'] == 1
    os.kill(after, signal.SIGTERM)
    assert tree.wait() == 0
    assert not path.exists()


def test_requests_in_flight_are_seen(serve: Start, tmp_path: pathlib.Path) -> None:
    tree = serve("-w", "1")
    url = tree.url()
    path = tmp_path / "admin"
    waiting = threading.Thread(target=get, args=(url, "/wait?id=7"))
    waiting.start()
    try:
        end = time.monotonic() + DEADLINE_S
        while metrics(path)["guaco_requests_in_flight"] != 1:
            assert time.monotonic() < end
        [worker] = json.loads(admin(path, "/-/status")[2])["workers"]
        [call] = worker["calls"]
        assert (call["method"], call["target"]) == ("GET", "/wait?id=7")
        assert worker["in_flight"] == 1
        assert worker["state"] == "ready"
        assert worker["rss_bytes"] > 1 << 20
    finally:
        get(url, "/open")
        waiting.join()
    while metrics(path)["guaco_requests_in_flight"] != 0:
        assert time.monotonic() < end
    assert tree.stop() == 0


def test_health_follows_the_tree(
    fake_serve: Start, tmp_path: pathlib.Path
) -> None:
    mode = tmp_path / "mode"
    mode.write_text("silent")
    tree = fake_serve(
        f"fake:{mode}", "--admin", "unix:admin", "--timeout-worker-start", "0.5"
    )
    path = tmp_path / "admin"
    tree.read_until("admin on unix:admin")
    assert admin(path, "/-/live")[0] == 200
    assert admin(path, "/-/startup")[0] == 503
    assert admin(path, "/-/ready")[0] == 503
    assert tree.wait() == 3
    mode.write_text("serve")
    tree = fake_serve(f"fake:{mode}", "--admin", "unix:admin")
    tree.url()
    for target in ("/-/live", "/-/startup", "/-/ready"):
        assert admin(path, target)[0] == 200
    assert admin(path, "/-/ready", "HEAD")[2] == ""
    assert admin(path, "/other")[0] == 404
    assert admin(path, "/metrics", "POST")[0] == 405
    assert b" 400 " in ask(path, b"nonsense\r\n\r\n")
    assert b" 431 " in ask(path, b"GET / HTTP/1.1\r\nA: " + b"x" * 9000)
    assert tree.stop() == 0


def test_clients_that_do_nothing_do_not_keep_others_out(
    fake_serve: Start, tmp_path: pathlib.Path
) -> None:
    tree = fake_serve("fake:serve", "--admin", "127.0.0.1:0")
    tree.url()
    where = tree.read_until(r"admin on http://127\.0\.0\.1:(\d+)")[1]
    idle = [socket.create_connection(("127.0.0.1", int(where))) for _ in range(40)]
    for one in idle[8:]:
        one.close()
    with socket.create_connection(("127.0.0.1", int(where)), DEADLINE_S) as s:
        s.sendall(b"GET /-/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200 OK")
    for one in idle[:8]:
        one.close()
    assert tree.stop() == 0


def test_the_page_is_openmetrics(serve: Start, tmp_path: pathlib.Path) -> None:
    tree = serve()
    tree.url()
    _, _, body = admin(tmp_path / "admin", "/metrics")
    families: dict[str, str] = {}
    current = ""
    for line in body.splitlines()[:-1]:
        if line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current not in families, "a family stands in one place"
            families[current] = kind
        elif not line.startswith("# HELP "):
            match = re.fullmatch(r'(\w+)(\{(\w+="[^"]*",?)+\})? [0-9.]+', line)
            assert match, line
            suffix = match[1].removeprefix(current)
            assert suffix in {
                "counter": ("_total",),
                "gauge": ("",),
                "info": ("_info",),
                "histogram": ("_bucket", "_count", "_sum"),
            }[families[current]], line
    assert tree.stop() == 0


def test_connections_are_shared_out_evenly(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    tree = serve("-w", "4")
    host, _, port = tree.url().removeprefix("http://").rpartition(":")
    opened: list[socket.socket] = []
    # A worker that the machine does not run for a while takes none meanwhile;
    # the next ones are its own until it has as many as the others.
    for _ in range(8):
        opened += connect_many(host, int(port), 64)
        workers = json.loads(admin(tmp_path / "admin", "/-/status")[2])["workers"]
        counts = [worker["connections"] for worker in workers]
        assert sum(counts) == len(opened)
        least = min(counts)
        if is_even := max(counts) <= least + least // 16 + 3:
            break
    for one in opened:
        one.close()
    assert is_even, counts
    assert tree.stop() == 0


def connect_many(host: str, port: int, count: int) -> list[socket.socket]:
    """As many connections, each of which has had an answer."""
    opened = [socket.create_connection((host, port)) for _ in range(count)]
    for one in opened:
        one.settimeout(DEADLINE_S)
        one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for one in opened:
        assert one.recv(4096).startswith(b"HTTP/1.1 200")
    return opened


# ---- guaco top


def test_top_prints_once_where_there_is_no_terminal(
    serve: Start, start: Start, tmp_path: pathlib.Path
) -> None:
    tree = serve("-w", "2")
    url = tree.url()
    for _ in range(5):
        get(url)
    waiting = threading.Thread(target=get, args=(url, "/wait?q=%1b[2J"))
    waiting.start()
    try:
        end = time.monotonic() + DEADLINE_S
        while metrics(tmp_path / "admin")["guaco_requests_in_flight"] != 1:
            assert time.monotonic() < end
        top = start("guaco", "top", "unix:admin")
        assert top.wait() == 0
        assert re.search(r"^guaco \S+  counted:app  pid \d+  running", top.output)
        assert len(re.findall(r"^web +[01] +\d+ ready ", top.output, re.M)) == 2
        assert re.search(r"^requests 5 ", top.output, re.M)
        assert re.search(r"s +\d+ GET /wait\?q=%1b\[2J$", top.output, re.M)
        found = start("guaco", "top", "--once", env={"GUACO_ADMIN": "unix:admin"})
        assert found.wait() == 0
        assert "counted:app" in found.output
    finally:
        while waiting.is_alive():  # the event is one of each worker
            get(url, "/open")
            waiting.join(0.01)
    assert tree.stop() == 0


def test_top_is_a_screen_on_a_terminal(serve: Start, tmp_path: pathlib.Path) -> None:
    tree = serve()
    tree.url()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen(
        [os.environ["GUACO_EXE"], "top", "--interval", "0.1", "unix:admin"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    ) as top:
        os.close(theirs)
        shown = b""
        while b"ROLE" not in shown or b"q quit" not in shown:
            assert select.select([ours], [], [], DEADLINE_S)[0], shown
            shown += os.read(ours, 65536)
        os.write(ours, b"q")
        while select.select([ours], [], [], DEADLINE_S)[0]:
            try:
                if not os.read(ours, 65536):
                    break
            except OSError:  # its end was closed
                break
        assert top.wait(DEADLINE_S) == 0
    os.close(ours)
    assert tree.stop() == 0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["unix:missing"], 1, "connect to unix:missing: No such file"),
        (["somewhere"], 1, "somewhere is neither HOST:PORT nor unix:PATH"),
        ([], 2, "where? name the address of --admin"),
        (["--often"], 2, "--often is not understood"),
        (["--interval", "0"], 2, "--interval takes"),
        (["--help"], 0, "usage: guaco top"),
    ],
)
def test_top_says_what_is_wrong(
    start: Start, words: list[str], code: int, text: str
) -> None:
    program = start("guaco", "top", *words)
    assert program.wait() == code
    assert text in program.output


def test_top_knows_another_server(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        top = start("guaco", "top", f"127.0.0.1:{other.getsockname()[1]}")
        connection, _ = other.accept()
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n[]")
        connection.recv(1000)
        connection.close()
        assert top.wait() == 1
    assert "is no admin socket of guaco" in top.output
