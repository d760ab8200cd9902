"""The web worker's main: the channel's protocol, without the supervisor."""

import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from deadline import DEADLINE_S
from served import Client

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                print("shut down", flush=True)
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi" + str(environ["wsgi.multiprocess"]).encode()]

def make():
    return app
"""


class Worker:
    """A worker process and our end of its channel."""

    def __init__(self, folder: pathlib.Path, target: str, **options: object):
        self.channel, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        self.channel.settimeout(DEADLINE_S)
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "guaco._worker"],
            env=os.environ
            | {
                "GUACO_CHANNEL_FD": str(theirs.fileno()),
                # Before what is installed: modules that a test replaces.
                "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}",
            },
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        theirs.close()
        order = {
            "role": "web",
            "target": target,
            "slot": 0,
            "generation": 1,
            "options": {"app_dir": str(folder), "workers": 2, "uds": None,
                        "access_log": False, "reload": False, **options},
            "sockets": [{"bind": "127.0.0.1:0"}],
        }
        socket.send_fds(
            self.channel, [json.dumps(order).encode()], [listener.fileno()]
        )
        listener.close()

    def event(self) -> dict[str, object]:
        data = self.channel.recv(65536)
        return json.loads(data) if data else {}

    def end(self) -> int:
        code = self.process.wait(DEADLINE_S)
        self.output = self.process.stdout.read().decode()
        self.process.stdout.close()
        return code

    def get(self) -> bytes:
        with Client(socket.create_connection(self.address)) as client:
            return client.request("GET", "/").body


@contextlib.contextmanager
def worker(folder, target="demo:app", source=APP, **options):
    (folder / "demo.py").write_text(textwrap.dedent(source))
    started = Worker(folder, target, **options)
    try:
        yield started
    finally:
        started.channel.close()
        if started.process.poll() is None:
            started.process.kill()
            started.end()


def order_to_drain(started):
    started.channel.send(b'{"command": "drain"}')


def terminate(started):
    started.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("stop", [order_to_drain, terminate])
def test_a_worker_serves_until_it_is_told_to_drain(tmp_path, stop):
    with worker(tmp_path) as started:
        assert started.event() == {"event": "ready", "pid": started.process.pid}
        assert started.get() == b"hello"
        stop(started)
        assert started.event() == {"event": "draining"}
        assert started.end() == 0
        assert started.output == "shut down\n"


LOOPS = """
import asyncio

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = type(asyncio.get_running_loop()).__module__.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.mark.parametrize(
    "name, module",
    [
        ("guaco", b"guaco.loop"),
        ("asyncio", b"asyncio.unix_events"),
        pytest.param(
            "uvloop",
            b"uvloop",
            marks=pytest.mark.skipif(
                not HAS_UVLOOP, reason="uvloop is not installed"
            ),
        ),
    ],
)
def test_a_worker_serves_in_the_loop_that_is_named(tmp_path, name, module):
    with worker(tmp_path, source=LOOPS, loop=name) as started:
        started.event()
        assert started.get() == module
        order_to_drain(started)
        assert started.end() == 0


def test_a_missing_uvloop_is_told(tmp_path):
    (tmp_path / "uvloop.py").write_text("import no_such_module_of_uvloop\n")
    with worker(tmp_path, loop="uvloop") as started:
        event = started.event()
        assert event["event"] == "failed"
        assert event["text"].startswith("--loop uvloop: ")
        assert "is not installed" in event["text"]
        assert "\n" not in event["text"]
        assert started.end() == 3


def test_a_worker_ends_with_its_supervisor(tmp_path):
    with worker(tmp_path) as started:
        started.event()
        started.channel.close()
        assert started.end() == 0


def test_an_open_request_is_answered_before_the_end(tmp_path):
    source = """
    import asyncio
    async def app(scope, receive, send):
        print("in", flush=True)
        await receive()
        await asyncio.sleep(0.1)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"late"})
    """
    with worker(tmp_path, source=source, lifespan="off") as started:
        started.event()
        with Client(socket.create_connection(started.address)) as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert started.process.stdout.readline() == b"in\n"
            order_to_drain(started)
            assert client.response().body == b"late"
        assert started.end() == 0


def test_wsgi_targets_and_factories(tmp_path):
    with worker(tmp_path, "demo:wsgi") as started:
        started.event()
        assert started.get() == b"wsgiTrue"
    with worker(tmp_path, "demo.make", factory=True) as started:
        started.event()
        assert started.get() == b"hello"


@pytest.mark.parametrize(
    ("target", "source", "text"),
    [
        ("demo:app", "import nothing_like_this\n", "ModuleNotFoundError"),
        ("demo:app", "def f():\n    1 / 0\nf()\n", "ZeroDivisionError"),
        ("demo:app", "raise SystemExit(5)\n", "SystemExit: 5"),
        ("demo:nothing", APP, "has no 'nothing'"),
        ("nothing:app", APP, "no module 'nothing'"),
        ("demo:app", "app = 5\n", "not callable"),
        (
            "demo:app",
            """
            async def app(scope, receive, send):
                await receive()
                await send({"type": "lifespan.startup.failed",
                            "message": "no database"})
            """,
            "no database",
        ),
    ],
)
def test_a_failing_start_is_told_with_its_reason(tmp_path, target, source, text):
    with worker(tmp_path, target, source) as started:
        event = started.event()
        assert event["event"] == "failed"
        assert text in event["text"]
        if "Error" in text:
            assert "demo.py" in event["text"]
            assert "_worker.py" not in event["text"]
        assert started.end() == 3


def test_a_worker_asks_for_a_successor_after_its_share_and_serves_on(tmp_path):
    with worker(tmp_path, limit_max_requests=2) as started:
        started.event()
        started.get()
        assert started.get() == b"hello"
        assert started.event() == {"event": "exhausted"}
        assert started.get() == b"hello"
        order_to_drain(started)
        assert started.event() == {"event": "draining"}
        assert started.end() == 0


def test_a_worker_listens_on_more_sockets_when_told(tmp_path):
    with worker(tmp_path) as started, socket.create_server(("127.0.0.1", 0)) as more:
        started.event()
        command = b'{"command": "listen", "sockets": [{"tls": false}]}'
        socket.send_fds(started.channel, [command], [more.fileno()])
        started.address = more.getsockname()
        assert started.get() == b"hello"


def test_without_a_channel_it_says_how_it_is_started():
    done = subprocess.run(
        [sys.executable, "-m", "guaco._worker"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "python -m guaco serve" in done.stderr
