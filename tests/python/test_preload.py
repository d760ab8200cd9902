"""--preload: one import, forked workers; with a real application."""

import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Callable

import pytest
from conftest import Program
from deadline import DEADLINE_S
from test_supervisor import children, wait_gone
from test_supervisor_app import get

Start = Callable[..., Program]

APP = """
import os, threading

VERSION = {version}
IMPORTED_BY = os.getpid()
{more}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    if scope["path"] == "/die":
        os.kill(os.getpid(), 9)
    body = f"{{os.getpid()}} {{IMPORTED_BY}} {{os.getppid()}} {{VERSION}}".encode()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})
"""


def write_app(folder: pathlib.Path, version: int = 1, more: str = "") -> None:
    (folder / "preloaded.py").write_text(APP.format(version=version, more=more))


@pytest.fixture
def serve(start: Start, tmp_path: pathlib.Path) -> Start:
    write_app(tmp_path)

    def run(*options: str) -> Program:
        return start(
            *("guaco", "serve", "preloaded:app", "-w", "2", "--preload"),
            *("--bind", "127.0.0.1:0", "--python", sys.executable),
            *("--no-access-log", *options),
            env={"PYTHONDONTWRITEBYTECODE": "1"},
        )

    return run


def seen(url: str, count: int = 30) -> list[list[str]]:
    """[pid, who imported, parent, version] of each answer."""
    return [get(url)[1].split() for _ in range(count)]


def test_workers_are_forked_from_one_import_and_are_the_supervisors_children(
    serve: Start,
) -> None:
    tree = serve()
    url = tree.url()
    answers = seen(url)
    assert len({pid for pid, *_ in answers}) == 2
    [imported_by] = {by for _, by, *_ in answers}
    assert {parent for _, _, parent, _ in answers} == {str(tree.pid)}
    assert children(tree, "preload") and imported_by not in {a[0] for a in answers}
    assert tree.stop() == 0
    assert "unexpectedly" not in tree.output


def test_a_dead_worker_is_forked_again(serve: Start) -> None:
    tree = serve()
    url = tree.url()
    before = {a[0] for a in seen(url)}
    with pytest.raises(AssertionError):
        get(url, "/die")
    tree.read_until("ended unexpectedly: signal 9")
    end = time.monotonic() + DEADLINE_S
    while len({a[0] for a in seen(url, 20)} - before) != 1:
        assert time.monotonic() < end
    assert len({a[1] for a in seen(url)}) == 1, "it was not imported again"
    assert tree.stop() == 0


def test_a_reload_imports_again_and_replaces_all(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    tree = serve()
    url = tree.url()
    before = seen(url)
    write_app(tmp_path, version=2)
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("reloaded")
    after = seen(url)
    assert {a[3] for a in after} == {"2"}
    assert {a[1] for a in after}.isdisjoint({b[1] for b in before})
    wait_gone(int(before[0][1]))
    (tmp_path / "preloaded.py").write_text("1 / 0\n")
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("ZeroDivisionError")
    tree.read_until("reload stopped")
    assert {a[3] for a in seen(url)} == {"2"}
    assert tree.stop() == 0


def test_workers_outlive_the_process_that_imported(serve: Start) -> None:
    tree = serve()
    url = tree.url()
    [imported_by] = {a[1] for a in seen(url)}
    os.kill(int(imported_by), signal.SIGKILL)
    tree.read_until(r"preload 0 \(pid \d+\) ended unexpectedly: signal 9")
    assert len({a[0] for a in seen(url)}) == 2
    with pytest.raises(AssertionError):
        get(url, "/die")
    end = time.monotonic() + DEADLINE_S
    while len({a[0] for a in seen(url, 20)}) != 2:
        assert time.monotonic() < end
    assert tree.stop() == 0


def test_threads_of_the_import_are_warned_of(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    write_app(
        tmp_path,
        more="threading.Thread(target=threading.Event().wait, name='poller',"
        " daemon=True).start()",
    )
    tree = serve()
    tree.url()
    assert re.search(r"has started 1 threads \(poller\)", tree.output)
    assert tree.stop() == 0


def test_an_import_that_fails_ends_the_tree(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "preloaded.py").write_text("def f():\n    1 / 0\n\nf()\n")
    tree = serve()
    assert tree.wait() == 3
    assert 'preloaded.py", line 2, in f' in tree.output
