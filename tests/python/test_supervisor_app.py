"""The supervisor with its real workers: an ASGI application, and one in C."""

import datetime
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

import pytest
from conftest import Program, guaco_exe
from deadline import DEADLINE_S

Start = Callable[..., Program]

APP = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    body = f"{os.getpid()} {VERSION}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


def write_app(folder: pathlib.Path, version: int) -> None:
    # The time of a .pyc is in seconds: two versions in one second would be one.
    (folder / "app_under_test.py").write_text(f"VERSION = {version}\n" + APP)


@pytest.fixture
def serve(start: Start, tmp_path: pathlib.Path) -> Start:
    """serve(*options): guaco serve of the application above, two workers."""
    write_app(tmp_path, 1)

    def run(*options: str, target: str = "app_under_test:app") -> Program:
        return start(
            *("guaco", "serve", target, "-w", "2", "--bind", "127.0.0.1:0"),
            *("--python", sys.executable, *options),
            env={"PYTHONDONTWRITEBYTECODE": "1"},
        )

    return run


def get(url: str, path: str = "/") -> tuple[int, str]:
    """GET on a connection of its own: the status and the body."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as s:
        s.sendall(
            f"GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode()
        )
        reply = b""
        while piece := s.recv(65536):
            reply += piece
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), reply
    return int(head[9:12]), body.decode()


def versions(url: str) -> set[str]:
    return {get(url)[1].split()[1] for _ in range(20)}


def test_a_reload_under_load_fails_no_request(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    tree = serve("--no-access-log")
    url = tree.url()
    assert versions(url) == {"1"}
    failures: list[object] = []
    answered = 0
    stop = threading.Event()

    def ask() -> None:
        nonlocal answered
        while not stop.is_set():
            try:
                status, body = get(url)
            except Exception as error:
                failures.append(error)
            else:
                answered += 1
                if status != 200 or "body" in body:
                    failures.append((status, body))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in (2, 3):
        write_app(tmp_path, version)
        tree.process.send_signal(signal.SIGHUP)
        tree.read_until(rf"(?s)(reloaded.*){{{version - 1}}}")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert answered > 10
    assert versions(url) == {"3"}
    assert tree.stop() == 0


def test_a_killed_worker_is_replaced(serve: Start) -> None:
    tree = serve()
    url = tree.url()
    pid = int(get(url)[1].split()[0])
    os.kill(pid, signal.SIGKILL)
    tree.read_until(r"ended unexpectedly: signal 9")
    end = time.monotonic() + DEADLINE_S
    while len({get(url)[1].split()[0] for _ in range(20)} - {str(pid)}) < 2:
        assert time.monotonic() < end
    assert tree.stop() == 0


def test_the_traceback_of_a_failing_import_is_shown(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "broken.py").write_text("def f():\n    1 / 0\n\nf()\n")
    tree = serve(target="broken:app")
    assert tree.wait() == 3
    assert 'broken.py", line 2, in f' in tree.output
    assert "ZeroDivisionError: division by zero" in tree.output


def test_settings_come_from_pyproject_toml(
    start: Start, serve: Start, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.guaco]\naccess-log = false\n'
        '[tool.guaco.serve]\ntimeout-send = "2m"\n'
    )
    shown = start("guaco", "serve", "x:y", "--print-config")
    assert shown.wait() == 0
    assert (
        "timeout-send = 120  # pyproject.toml [tool.guaco.serve] timeout-send"
        in shown.output
    )
    tree = serve()
    assert get(tree.url())[0] == 200
    assert tree.stop() == 0
    assert "GET /" not in tree.output

    (tmp_path / "pyproject.toml").write_text("[tool.guaco]\nworker = 3\n")
    wrong = serve()
    assert wrong.wait() == 2
    assert "unknown key worker; the nearest is workers" in wrong.output


def test_a_guest_in_c_is_served_without_an_interpreter(start: Start) -> None:
    guest = pathlib.Path(guaco_exe()).parents[2] / "examples" / "hello.so"
    if not guest.exists():
        pytest.skip("the examples are not built")
    tree = start(
        *("guaco", "serve", str(guest), "-w", "2", "--bind", "127.0.0.1:0")
    )
    url = tree.url()
    assert get(url) == (200, "Hello, world\n")
    children = pathlib.Path(f"/proc/{tree.pid}/task/{tree.pid}/children")
    for pid in children.read_text().split():
        assert "python" not in pathlib.Path(f"/proc/{pid}/maps").read_text()
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("reloaded")
    assert get(url)[0] == 200
    assert tree.stop() == 0


STUCK = """
import asyncio, os, time

def wait_for_ever():
    time.sleep(1000)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    if scope["path"] == "/stuck":
        wait_for_ever()
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    if scope["path"] == "/grow":
        app.memory = b"x" * (64 << 20)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def test_a_stuck_worker_is_shown_and_replaced(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    tree = serve("-w", "1", "--timeout-worker", "300ms", target="stuck:app")
    url = tree.url()
    before = get(url)[1]
    # A coroutine that waits for longer does not hold the loop.
    assert get(url, "/slow")[0] == 200
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as s:
        s.sendall(b"GET /stuck?x=1 HTTP/1.1\r\nHost: t\r\n\r\n")
        tree.read_until(r"did not move on for 0\.[3-9]\d* s \(--timeout-worker\)")
        tree.read_until(r"in flight for 0\.[3-9]\d* s: GET /stuck\?x=1")
        tree.read_until(r"wait_for_ever \(.*stuck.py:5\)\n +app \(.*stuck.py:11\)\n")
        assert get(url)[1] != before
        assert s.recv(100) == b""
    assert tree.stop() == 0


def test_a_worker_that_has_grown_is_replaced(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    tree = serve("-w", "1", "--worker-max-rss", "80m", target="stuck:app")
    url = tree.url()
    before = get(url, "/grow")[1]
    tree.read_until("has grown over --worker-max-rss; it is replaced")
    end = time.monotonic() + DEADLINE_S
    while get(url)[1] == before:
        assert time.monotonic() < end
    assert tree.stop() == 0
    assert "unexpectedly" not in tree.output


def test_a_worker_is_replaced_after_its_requests_and_none_fails(serve: Start) -> None:
    tree = serve("-w", "1", "--limit-max-requests", "20", "--no-access-log")
    url = tree.url()
    seen: set[str] = set()
    end = time.monotonic() + DEADLINE_S
    while len(seen) < 3:
        status, body = get(url)
        assert status == 200
        seen.add(body.split()[0])
        assert time.monotonic() < end
    assert tree.stop() == 0
    assert "unexpectedly" not in tree.output


def test_access_log_lines_go_to_a_file_in_the_wanted_form(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    tree = serve("--access-logfile", "a.log", "--access-log-format", "json")
    url = tree.url()
    get(url, "/x?a=1")
    get(url, "/y")
    assert tree.stop() == 0
    lines = [json.loads(s) for s in (tmp_path / "a.log").read_text().splitlines()]
    assert {line["target"] for line in lines} == {"/x?a=1", "/y"}
    for line in lines:
        assert (line["method"], line["status"]) == ("GET", 200)
        assert line["client"] == "127.0.0.1"
        assert line["duration_us"] < DEADLINE_S * 1e6
        datetime.datetime.fromisoformat(line["time"])
    assert "GET" not in tree.output
    wrong = serve("--access-log-format", "%(h)s %(z)s")
    assert wrong.wait() == 2
    assert "%(z)s is not known" in wrong.output
