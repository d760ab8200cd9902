"""What is told of each thread beside its stack: what it does, its name, asyncio's tasks.

On every interpreter found, as tests/python/test_profile.py.
"""

import collections
import os
import pathlib
import re
import subprocess
import time

import pytest
from deadline import DEADLINE_S
from test_profile import VERSIONS, find

SOURCE = """
import asyncio, threading, time
def spin():
    while True: sum(range(100))
async def leaf():
    end = time.monotonic() + 0.02
    while time.monotonic() < end: sum(range(100))
    await asyncio.sleep(0)
async def child():
    while True: await leaf()
async def parent(task):
    await task
async def main():
    task = asyncio.create_task(child(), name="the child")
    above = asyncio.create_task(parent(task), name="the \\u03c0 parent")
    asyncio.create_task(asyncio.sleep(1000))
    await asyncio.sleep(0.01)
    threading.Thread(target=spin, name="spinner", daemon=True).start()
    print("ready", flush=True)
    await above
threading.Thread(target=threading.Event().wait, name="napper", daemon=True).start()
threading.Thread(target=time.sleep, args=(1000,), name="Schl\\u00e4fer", daemon=True).start()
asyncio.run(main())
"""


@pytest.fixture(params=VERSIONS)
def python(request):
    path = find(request.param)
    if path is None:
        pytest.skip(f"no python{request.param} here")
    return path


def probe(pid, count, period_us=1000):
    """[(state, native id, name, tasks, [function, ...])] of all threads and samples."""
    build = os.environ.get("GUACO_BUILD")
    if build is None:
        pytest.skip("GUACO_BUILD does not name a build folder")
    words = [pathlib.Path(build) / "tests/profile/sample_probe", pid, count, period_us]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.splitlines()[:-1]:
        if line == "--":
            continue
        head, tasks, names = line.split("|")
        state, native, _, name = head.split(" ", 3)
        chain = tasks.split(", ") if tasks else []
        found.append((state, int(native), name, chain, names.split(";")))
    return found


def test_threads_have_their_names_states_and_tasks(python, start, tmp_path):
    path = tmp_path / "target.py"
    path.write_text(SOURCE)
    program = start(python, str(path))
    program.read_until("ready")
    found = probe(program.pid, 150)

    states = collections.defaultdict(collections.Counter)
    for state, _, name, _, _ in found:
        states[name][state] += 1
    assert set(states) >= {"MainThread", "spinner", "napper", "Schläfer"}
    for name in ("napper", "Schläfer"):
        assert states[name]["idle"] >= 0.9 * states[name].total(), states
    for name in ("MainThread", "spinner"):
        assert states[name]["holds"] > 0, states
        busy = states[name]["holds"] + states[name]["waits"] + states[name]["runs"]
        assert busy >= 0.8 * states[name].total(), states
    assert states["MainThread"]["waits"] + states["spinner"]["waits"] > 0, states

    tasks = pathlib.Path(f"/proc/{program.pid}/task")
    assert {native for _, native, *_ in found} <= {int(p.name) for p in tasks.iterdir()}

    chains = collections.Counter(
        tuple(chain) for _, _, _, chain, names in found if names[-1] == "leaf"
    )
    whole = ("the child", "the π parent", "Task-1")
    assert chains.most_common(1)[0][0] == whole, chains
    stacks = {tuple(names[-3:]) for *_, names in found if names[-1] == "leaf"}
    assert ("_run", "child", "leaf") in stacks, stacks


def test_a_thread_that_begins_later_is_named(python, start, tmp_path):
    path = tmp_path / "target.py"
    path.write_text(
        "import sys, threading\n"
        "def spin():\n    while True: sum(range(100))\n"
        "print('ready', flush=True)\n"
        "threading.Timer(0.2, spin).start()\n"
        "spin()\n"
    )
    program = start(python, "-S", str(path))
    program.read_until("ready")
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        names = {name for _, _, name, _, stack in probe(program.pid, 300) if stack}
        if any(re.match(r"Thread-\d", name) for name in names):
            return
    pytest.fail(f"only {names}")
