"""A queue on PostgreSQL, from Python: the face, workers in trees, restarts, forks.

Each run has a cluster of its own, behind a Unix socket, and ends it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server_store import (
    Start,
    fork_a_child,
    kill_a_worker,
    restart_the_server,
    run_tasks,
)
from test_queue_run import fresh_app

import guaco
from guaco.queue import PostgresQueue, Queue

BINARIES = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))

pytestmark = pytest.mark.skipif(not BINARIES, reason="no PostgreSQL is installed")


class Server:
    """A PostgreSQL server: started, killed, started again."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.bin = BINARIES[-1].parent
        # It refuses to be root.
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self.user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(folder, user.pw_uid, user.pw_gid)
        folder.chmod(0o755)
        words = ["-D", str(folder / "data"), "-U", "guaco", "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            [str(self.bin / "initdb"), *words, "--no-locale", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **self.user,
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder),
             "-c", "listen_addresses=", "-c", "fsync=off", "-c", "unix_socket_permissions=0777"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", **self.user,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if "ready to accept connections" in line:
                return
        raise AssertionError(said)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ask(self, sql: str) -> str:
        done = subprocess.run(
            [str(self.bin / "psql"), "-h", str(self.folder), "-U", "guaco", "-d", "postgres", "-Atqc", sql],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    @property
    def url(self) -> str:
        return f"postgresql://guaco@/postgres?host={self.folder}"


@pytest.fixture(scope="module")
def module_server() -> Iterator[Server]:
    # The path of a socket is short, pytest's folders are not.
    folder = tempfile.mkdtemp(prefix="guaco-")
    server = Server(pathlib.Path(folder))
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


@pytest.fixture
def server(module_server: Server) -> Server:
    module_server.ask("DROP SCHEMA IF EXISTS guaco CASCADE")
    return module_server


@pytest.fixture(params=["thread", "async"])
def app(
    request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    module = fresh_app(server.url, monkeypatch)
    module.queue.start(2, kind=request.param)
    yield module
    module.queue.close()


def test_its_parts_make_a_url() -> None:
    queue = PostgresQueue("demo", host="db.local", port="5433", dbname="app", user="me")
    assert queue.url == "postgresql:///app?host=db.local&port=5433&user=me"
    assert PostgresQueue().url == "postgresql:///"
    secret = PostgresQueue(password="a/b:c@d&e")
    assert "a/b:c@d" not in repr(secret)
    assert "***" in repr(secret)
    hidden = Queue("postgresql://me:hush@h/db")
    assert "hush" not in repr(hidden)


def test_tasks_run_and_results_come(app: Any) -> None:
    run_tasks(app)


def test_two_processes_with_one_server(
    server: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_a_worker(server.url, start, monkeypatch)


def test_workers_go_on_when_the_server_was_away(
    server: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    restart_the_server(server, server.url + "&timeout_ms=30000", start, monkeypatch)


def test_a_forked_child_has_a_connection_of_its_own(server: Server) -> None:
    fork_a_child(PostgresQueue("forks", server.folder, dbname="postgres", user="guaco"))


def test_two_schemas_are_two_stores(server: Server) -> None:
    queues = [
        PostgresQueue("q", server.folder, dbname="postgres", user="guaco", schema=name)
        for name in ("one", "two")
    ]
    for queue in queues:
        queue.task(name="work")(lambda: None)()
        assert queue.pending_count() == 1
        queue.close()


def test_what_is_wrong_is_said(server: Server) -> None:
    def error_of(url: str) -> str:
        queue = Queue(url)
        with pytest.raises((guaco.Error, ValueError)) as caught:
            queue.pending_count()
        with contextlib.suppress(guaco.Error):
            queue.close()
        return str(caught.value)

    assert "nothere" in error_of(f"postgresql://nothere@/postgres?host={server.folder}")
    assert "nodb" in error_of(f"postgresql://guaco@/nodb?host={server.folder}")
    assert "no option 'x'" in error_of(server.url + "&x=1")
    assert "schema=" in error_of(server.url + "&schema=A-B")
    assert "newer guaco" in newer(server, error_of)
    assert "postgresql: " in error_of("postgresql://127.0.0.1:1/x?timeout_ms=200")


def newer(server: Server, error_of: Callable[[str], str]) -> str:
    queue = Queue(server.url)
    assert queue.pending_count() == 0
    queue.close()
    server.ask("UPDATE guaco.meta SET version = 999")
    return error_of(server.url)
