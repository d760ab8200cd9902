"""Workers of kind greenlet, with gevent from PyPI."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import guaco
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

from peers import with_packages  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE_S = 60


def exe() -> str:
    found = os.environ.get("GUACO_EXE") or shutil.which("guaco")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def python() -> str:
    try:
        return str(with_packages(sys.executable, ["gevent"]))
    except subprocess.CalledProcessError:
        pytest.skip("gevent cannot be installed")


@pytest.fixture
def app(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    module = importlib.import_module("greenlet_app")
    yield module
    module.queue.close()
    del sys.modules["greenlet_app"]


@pytest.fixture
def worker(app: Any, python: str, tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [exe(), "work", "greenlet_app:queue", "-k", "greenlet", "-w", "50",
         "--python", python, "--app-dir", str(HERE)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if b"workers ready" in line:
            break
    else:
        pytest.fail("the worker did not start")
    threading.Thread(target=process.stdout.read, daemon=True).start()
    yield process
    process.kill()
    process.wait()


def test_many_tasks_wait_on_one_thread(app: Any, worker: subprocess.Popen[bytes]) -> None:
    start = time.monotonic()
    results = [app.nap(1.0) for _ in range(50)]
    threads = {r(blocking=True, timeout=DEADLINE_S) for r in results}
    assert len(threads) == 1
    assert time.monotonic() - start < 25  # one after the other: 50

    with pytest.raises(guaco.TaskException, match="TaskTimeout"):
        app.too_long()(blocking=True, timeout=DEADLINE_S)
    with pytest.raises(guaco.TaskException, match="ZeroDivisionError"):
        app.failing()(blocking=True, timeout=DEADLINE_S)
    assert app.native(1)(blocking=True, timeout=DEADLINE_S) == 2

    last = app.nap(0.5)
    while not app.queue.list("running"):
        pass
    worker.terminate()
    assert worker.wait(DEADLINE_S) == 0
    assert last(blocking=True, timeout=1) in threads


def test_without_gevent_it_says_what_to_install(app: Any, tmp_path: pathlib.Path) -> None:
    if importlib.util.find_spec("gevent"):
        pytest.skip("gevent is installed here")
    done = subprocess.run(
        [exe(), "work", "greenlet_app:queue", "-k", "greenlet", "--app-dir", str(HERE),
         "--python", sys.executable],
        cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 3
    assert "pip install gevent" in done.stderr
