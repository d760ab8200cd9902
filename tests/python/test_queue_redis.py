"""A queue on Redis, from Python: the face, workers in trees, TLS, Sentinel, forks.

Each run has a server of its own, behind a Unix socket or a port of the system's
choice, and ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deadline import DEADLINE_S
from server_store import (
    Start,
    fork_a_child,
    kill_a_worker,
    restart_the_server,
    run_tasks,
)
from test_queue_run import fresh_app, get

import guaco
from guaco.queue import Queue, RedisQueue

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server is installed"
)


class Server:
    """A redis-server: started, killed, started again."""

    def __init__(self, folder: pathlib.Path, *options: str) -> None:
        self.folder = folder
        self.socket = folder / "r.sock"
        self.options = options
        self.start()

    def start(self, program: str = "redis-server") -> None:
        self.process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", str(self.socket), "--dir",
             str(self.folder), "--save", "", "--appendonly", "no", *self.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if "accept connections" in line:
                return
        raise AssertionError(said)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ask(self, line: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.socket))
            s.sendall(line.encode() + b"\r\n")
            return s.recv(65536)

    @property
    def url(self) -> str:
        return f"redis+unix://{self.socket}"


@contextlib.contextmanager
def running(*options: str) -> Iterator[Server]:
    # The path of a socket is short, pytest's folders are not.
    folder = tempfile.mkdtemp(prefix="guaco-")
    server = Server(pathlib.Path(folder), *options)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def module_server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def server(module_server: Server) -> Server:
    module_server.ask("FLUSHALL")
    return module_server


@pytest.fixture(params=["thread", "async"])
def app(
    request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    module = fresh_app(server.url, monkeypatch)
    module.queue.start(2, kind=request.param)
    yield module
    module.queue.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
    return port


# ---- the face ----


def test_the_seeds_form_makes_a_url() -> None:
    queue = RedisQueue("demo", host="10.0.0.206", port="6379", db=10)
    assert (queue.name, queue.url) == ("demo", "redis://10.0.0.206:6379?db=10")
    assert RedisQueue().url == "redis://localhost:6379"
    assert RedisQueue(host="::1", ssl=True).url == "rediss://[::1]:6379"
    secret = RedisQueue(username="me", password="a/b:c@d&e")
    assert "a/b:c@d" not in repr(secret)
    assert "***" in repr(secret)
    hidden = Queue("redis://me:hush@h/1?sentinel_password=hush")
    assert "hush" not in repr(hidden)
    with pytest.raises(ValueError, match="port"):
        RedisQueue(port="port")


def test_tasks_run_and_results_come(app: Any) -> None:
    run_tasks(app)


def test_two_processes_with_one_server(
    server: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_a_worker(server.url, start, monkeypatch)


def test_workers_go_on_when_the_server_was_away(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running("--appendonly", "yes", "--appendfsync", "always") as server:
        restart_the_server(server, server.url, start, monkeypatch)


def test_a_result_waited_for_in_a_loop_comes_after_disconnects(app: Any, server: Server) -> None:
    async def wait() -> Any:
        result = await app.hold.aenqueue(0.2)

        async def value() -> Any:
            return await result

        waiting = asyncio.create_task(value())
        await asyncio.sleep(0)  # it waits now
        server.ask("CLIENT KILL TYPE pubsub")
        server.ask("CLIENT KILL TYPE normal SKIPME yes")
        return await waiting

    assert asyncio.run(wait())[1] == 1


def test_a_forked_child_has_a_connection_of_its_own(server: Server) -> None:
    fork_a_child(RedisQueue("forks", unix_socket_path=server.socket))


def test_a_server_that_may_evict_is_warned_of(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.ask("CONFIG SET maxmemory-policy allkeys-lru")
    server.ask("CONFIG SET maxmemory 1gb")
    try:
        queue = RedisQueue(unix_socket_path=server.socket)
        with caplog.at_level(logging.WARNING, "guaco"):
            assert queue.pending_count() == 0
        assert "noeviction" in caplog.text
        queue.close()
    finally:
        server.ask("CONFIG SET maxmemory 0")
        server.ask("CONFIG SET maxmemory-policy noeviction")


def test_nobody_there_is_a_clear_error() -> None:
    queue = RedisQueue(port=free_port(), host="127.0.0.1")
    with pytest.raises(guaco.Error, match=r"redis: 127\.0\.0\.1:\d+: connect: "):
        queue.pending_count()


# ---- TLS ----


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An authority, and a certificate of "localhost"."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=ours")  # fmt: skip
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost")  # fmt: skip
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "server.pem", "-days", "2",
            "-copy_extensions", "copy")  # fmt: skip
    return folder


def test_tls_and_its_certificates(certificates: pathlib.Path) -> None:
    port = free_port()
    tls = ("--tls-port", str(port), "--bind", "127.0.0.1",
           "--tls-cert-file", str(certificates / "server.pem"),
           "--tls-key-file", str(certificates / "server.key"),
           "--tls-ca-cert-file", str(certificates / "ca.pem"))  # fmt: skip
    with running(*tls) as server:
        ca = certificates / "ca.pem"
        mine = {
            "ssl_ca_certs": ca,
            "ssl_certfile": certificates / "server.pem",
            "ssl_keyfile": certificates / "server.key",
        }
        queue = RedisQueue(port=port, ssl=True, **mine)  # type: ignore[arg-type]
        add = queue.task(name="add")(lambda a, b: a + b)
        queue.start(1)
        assert get(add(1, 2)) == 3
        server.ask("CLIENT KILL TYPE normal SKIPME yes")
        server.ask("CLIENT KILL TYPE pubsub")
        assert get(add(3, 4)) == 7
        queue.close()

        unknown = RedisQueue(port=port, ssl=True)
        with pytest.raises(ValueError, match="certificate"):
            unknown.pending_count()
        other = RedisQueue(host="127.0.0.1", port=port, ssl=True, **mine)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="certificate"):
            other.pending_count()  # it is no 127.0.0.1's


# ---- Sentinel ----


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_sentinel_names_the_master_also_after_a_failover(tmp_path: pathlib.Path) -> None:
    ports = [free_port() for _ in range(3)]
    local = ("--bind", "127.0.0.1")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running(*local, "--port", str(ports[0])))
        second = stack.enter_context(
            running(*local, "--port", str(ports[1]), "--replicaof", "127.0.0.1",
                    str(ports[0]), "--repl-diskless-sync-delay", "0")  # fmt: skip
        )
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"port {ports[2]}\nbind 127.0.0.1\n"
            f"sentinel monitor mine 127.0.0.1 {ports[0]} 1\n"
            "sentinel down-after-milliseconds mine 300\n"
            "sentinel failover-timeout mine 2000\n"
        )
        sentinel = subprocess.Popen(
            ["redis-server", str(config), "--sentinel"], stdout=subprocess.DEVNULL
        )
        stack.callback(sentinel.wait)
        stack.callback(sentinel.kill)
        wait_until(lambda: b"link_status:up" in second.ask("INFO replication"), "a replica")

        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{ports[2]}/mine/2?timeout_ms=20000"
        queue = Queue(url)
        work = queue.task(name="work")(lambda: None)

        def is_known() -> bool:
            with contextlib.suppress(guaco.Error):
                work()
                return True
            return False

        wait_until(is_known, "a sentinel")
        before = queue.pending_count()
        assert first.ask("WAIT 1 5000").startswith(b":1")

        def has_replica() -> bool:
            with socket.create_connection(("127.0.0.1", ports[2])) as s:
                s.sendall(b"SENTINEL replicas mine\r\n")
                return s.recv(65536)[:2] == b"*1"

        wait_until(has_replica, "the sentinel knows the replica")
        first.kill()
        work()  # returns once the other is the master
        assert b"role:master" in second.ask("INFO replication")
        assert queue.pending_count() == before + 1
        queue.close()
        first.start()  # for its end
    unknown = Queue(f"redis+sentinel://127.0.0.1:{ports[2]}/mine?timeout_ms=100")
    with pytest.raises(guaco.Error, match="redis: "):
        unknown.pending_count()
