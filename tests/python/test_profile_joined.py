"""Profiles joined to what ran: --profile-socket, --socket, --route, --task."""

import collections
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from deadline import DEADLINE_S

SHOP = """
import asyncio, time
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

def burn():
    end = time.perf_counter() + 0.005
    while time.perf_counter() < end:
        sum(range(50))

def price_order(): burn()
def list_orders(): burn()
def child_orders(): burn()

async def order(request):  # done in its first step
    price_order()
    return PlainTextResponse("one")

async def orders(request):  # suspended before it works
    await asyncio.sleep(0)
    list_orders()
    return PlainTextResponse("all")

async def child(request):  # works in a task of its own
    async def inner():
        child_orders()
    await asyncio.create_task(inner())
    return PlainTextResponse("child")

shop = Starlette(routes=[
    Route("/orders/{id}", order), Route("/orders", orders), Route("/child", child)])

def lost(): burn()

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/lost":  # no framework
        lost()
    await shop(scope, receive, send)
"""
TASKS = """
import asyncio, guaco, time
queue = guaco.SqliteQueue("q", filename="q.db")

def burn():
    end = time.perf_counter() + 0.02
    while time.perf_counter() < end:
        sum(range(50))

def compose(): burn()
def draw(): burn()

@queue.task()
def send_mail():
    compose()

@queue.task()
async def paint():
    await asyncio.sleep(0)
    draw()

for _ in range(400):
    send_mail(); paint()
"""
FUNCTIONS = ("price_order", "list_orders", "child_orders", "lost", "compose", "draw")


def profile(exe, *args, **options):
    return subprocess.run(
        [exe, "profile", *map(str, args)], capture_output=True, text=True, timeout=DEADLINE_S, **options
    )


def shares(folded):
    """{(label, function of ours): samples}."""
    found = collections.Counter()
    for line in folded.splitlines():
        stack, count = line.rsplit(" ", 1)
        label, *frames = stack.split(";")
        for name in FUNCTIONS:
            if any(frame.endswith(f":{name}") for frame in frames):
                found[label, name] += int(count)
    return found


class Load:
    """Requests of several paths, as fast as they are answered, until it ends."""

    def __init__(self, url, *paths):
        self.is_over = False
        self.threads = [threading.Thread(target=self._get, args=(url + p,)) for p in paths]

    def _get(self, url):
        while not self.is_over:
            try:
                urllib.request.urlopen(url, timeout=DEADLINE_S).read()
            except (urllib.error.URLError, ConnectionError):
                pass

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join()


@pytest.fixture
def shop(start, tmp_path):
    """A server of SHOP that may be profiled at shop.sock, its URL in .url_."""
    pytest.importorskip("starlette")
    (tmp_path / "shop.py").write_text(SHOP)
    server = start(
        "guaco", "serve", "shop:app", "-w", "2", "--port", "0", "--no-access-log",
        "--profile-socket", "shop.sock",
    )
    server.url_ = server.url()
    server.sock = tmp_path / "shop.sock"
    return server


PATHS = ("/orders/7", "/orders", "/child", "/lost")
RIGHT = {
    "request /orders/{id}": "price_order",
    "request /orders": "list_orders",
    "request /child": "child_orders",
    "request unrouted": "lost",
}


def test_each_sample_has_its_route(exe, shop):
    with Load(shop.url_, *PATHS):
        done = profile(exe, "--socket", shop.sock, "-s", 2.5, "-n")
    assert (done.returncode, done.stderr) == (0, "")
    found = shares(done.stdout)
    for label, name in RIGHT.items():
        own = found[label, name]
        other = sum(n for (at, what), n in found.items() if what == name) - own
        assert own >= 10, (label, found)
        assert other <= 0.1 * own, (label, found, done.stdout)


def test_one_route_alone(exe, shop, tmp_path):
    with Load(shop.url_, *PATHS):
        out = tmp_path / "out.svg"
        done = profile(
            exe, "record", "--socket", shop.sock, "-d", 1, "--route", "/orders/{id}", "-o", out
        )
        assert done.returncode == 0
        svg = out.read_text()
        assert re.search(r"<title>request /orders/\{id\} \(\d+ samples, 100.00%\)", svg)
        assert ":price_order:" in svg
        assert ":lost:" not in svg
        assert re.search(r"\d+ samples of 2 processes in ", done.stderr)
        # In the order of time: what was held back for its route has its place.
        out = tmp_path / "out.trace.json"
        done = profile(exe, "--socket", shop.sock, "-s", 1, "--route", "/child", "-o", out)
        assert done.returncode == 0
        assert '"child_orders"' in out.read_text()


def test_a_route_that_nobody_asks_for(exe, shop):
    done = profile(exe, "--socket", shop.sock, "-s", 0.3, "--route", "/none")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing of the kind ran" in done.stderr


def test_one_process_alone(exe, shop):
    """Without the supervisor: who may read the process sees its labels too."""
    listing = pathlib.Path(f"/proc/{shop.pid}/task/{shop.pid}/children").read_text()
    with Load(shop.url_, *PATHS):
        for pid in listing.split():
            done = profile(exe, "-p", pid, "-s", 1, "-n", "--route", "/orders/{id}")
            assert done.returncode == 0, done.stderr
            assert {name for _, name in shares(done.stdout)} <= {"price_order"}
            labels = {line.split(";")[0] for line in done.stdout.splitlines()}
            assert labels <= {"request /orders/{id}"}


def test_an_interrupted_client_writes_what_there_is(exe, shop, tmp_path):
    out = tmp_path / "x"
    with Load(shop.url_, "/lost"):
        client = subprocess.Popen(
            [exe, "profile", "--socket", shop.sock, "-s", "600", "-n", "-o", out], stderr=subprocess.PIPE
        )
        wait_for_profiler(shop)
        wait_for_ticks(profilers(shop)[0], 80)
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE_S) == 0
    client.stderr.close()
    assert sum(shares(out.read_text()).values()) > 0


def children(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def profilers(server):
    found = []
    for pid in children(server.pid):
        try:
            if b"_profiler" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            pass
    return found


def wait_for_profiler(server, count=1):
    deadline = time.monotonic() + DEADLINE_S
    while len(profilers(server)) != count:
        assert time.monotonic() < deadline, profilers(server)


def wait_for_ticks(pid, count):
    """It has slept that often: once a tick."""
    deadline = time.monotonic() + DEADLINE_S
    pattern = re.compile(r"\nvoluntary_ctxt_switches:\s+(\d+)")
    while int(pattern.search(pathlib.Path(f"/proc/{pid}/status").read_text())[1]) < count:
        assert time.monotonic() < deadline


def test_a_client_that_leaves_takes_its_profiler_along(exe, shop):
    client = subprocess.Popen([exe, "profile", "--socket", shop.sock, "-s", "600"])
    wait_for_profiler(shop)
    client.kill()
    client.wait()
    wait_for_profiler(shop, 0)


def test_four_profilers_at_a_time(exe, shop):
    command = [exe, "profile", "--socket", shop.sock, "-s", "600", "-o", "/dev/null"]
    running = [subprocess.Popen(command) for _ in range(4)]
    wait_for_profiler(shop, 4)
    done = profile(exe, "--socket", shop.sock, "-s", 1)
    assert done.returncode == 1
    assert "four profilers are running already" in done.stderr
    for client in running:
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE_S) == 0
    wait_for_profiler(shop, 0)
    assert profile(exe, "--socket", shop.sock, "-s", 0.1).returncode == 0


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{}\n", b"[" * 9000, b'{"seconds": 1e300, "period": 1}\n', b"\xff\xfe\n"]
)
def test_nonsense_on_the_socket_is_refused(exe, shop, line):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(shop.sock))
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        try:
            answer = client.recv(65536)
        except ConnectionResetError:
            answer = b""
        assert answer.startswith(b'{"error":') or answer == b""
    assert profile(exe, "--socket", shop.sock, "-s", 0.1).returncode == 0


def test_the_socket_is_its_owners_and_goes_with_the_server(shop):
    assert stat.S_IMODE(shop.sock.stat().st_mode) == 0o600
    assert shop.stop() == 0
    assert not shop.sock.exists()


def test_no_privilege_is_needed(exe, tmp_path):
    """All of it as an ordinary user."""
    pytest.importorskip("starlette")
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root to become an ordinary user")
    readable = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", exe, "--version"], capture_output=True
    )
    if readable.returncode != 0:
        pytest.skip("an ordinary user may not read the build")
    tmp_path.chmod(0o777)
    (tmp_path / "shop.py").write_text(SHOP)
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": tmp_path}
    server = subprocess.Popen(
        [exe, "serve", "shop:app", "--uds", "web.sock", "--profile-socket", "p.sock"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, **nobody,
    )
    try:
        for line in server.stderr:
            if "listening on" in line:
                break
        else:
            pytest.skip("an ordinary user could not start it")
        done = profile(exe, "--socket", "p.sock", "-s", 0.3, "--idle", **nobody)
        assert (done.returncode, done.stderr) == (0, "")
        assert "(no request or task);" in done.stdout
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


WSGI = """
import time
def lost():
    end = time.perf_counter() + 0.005
    while time.perf_counter() < end:
        sum(range(50))
def app(environ, start_response):
    lost()
    start_response("200 OK", [])
    return [b"x"]
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_requests_of_wsgi_are_unrouted(exe, start, tmp_path, threads):
    (tmp_path / "old.py").write_text(WSGI)
    server = start(
        "guaco", "serve", "old:app", "--threads", str(threads), "--port", "0",
        "--no-access-log", "--profile-socket", "o.sock",
    )
    with Load(server.url(), "/a", "/b"):
        done = profile(exe, "--socket", tmp_path / "o.sock", "-s", 1, "-n", "--route", "unrouted")
    assert (done.returncode, done.stderr) == (0, "")
    assert shares(done.stdout)["request unrouted", "lost"] > 20


@pytest.mark.parametrize("kind", ["thread", "process", "async"])
def test_each_sample_has_its_task(exe, start, tmp_path, kind):
    (tmp_path / "jobs.py").write_text(TASKS)
    workers = start(
        "guaco", "work", "jobs:queue", "-k", kind, "-w", "2", "--profile-socket", "w.sock"
    )
    workers.read_until("workers ready")
    done = profile(exe, "--socket", tmp_path / "w.sock", "-s", 2, "-n")
    assert (done.returncode, done.stderr) == (0, "")
    found = shares(done.stdout)
    for name, task in ("compose", "send_mail"), ("draw", "paint"):
        own = sum(n for (label, what), n in found.items() if what == name and label.endswith(task))
        other = sum(n for (_, what), n in found.items() if what == name) - own
        assert own >= 10, found
        assert other <= 0.1 * own, (found, done.stdout)
    done = profile(exe, "--socket", tmp_path / "w.sock", "-s", 0.7, "-n", "--task", "send_mail")
    assert {name for _, name in shares(done.stdout)} == {"compose"}, done.stdout


def test_what_is_wrong_is_said(exe, tmp_path, start):
    done = profile(exe, "--socket", tmp_path / "none")
    assert done.returncode == 1
    assert "no server with --profile-socket" in done.stderr
    done = profile(exe, "--socket", "x" * 200)
    assert done.returncode == 1
    for words, text in (
        (["--socket", "x", "-p", "1"], "without -p"),
        (["--socket", "x", "-d"], "-d and --socket exclude"),
        (["-p", "1", "--route", "/", "--task", "t"], "--route and --task exclude"),
    ):
        done = profile(exe, *words)
        assert (done.returncode, text in done.stderr) == (2, True), done.stderr
    other = start("python", "-c", "print('ready', flush=True); input()")
    sleeper = start("python", "-c", "import time; print('ready', flush=True); time.sleep(600)")
    sleeper.read_until("ready")
    done = profile(exe, "-p", sleeper.pid, "--task", "x")
    assert done.returncode == 1
    assert "start it with --profile-socket" in done.stderr
    other.wait()
