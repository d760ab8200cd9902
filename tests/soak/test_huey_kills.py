"""Kills of guaco.compat's consumer: no task that was enqueued is lost.

KILLS consumers (default 20), of four workers each, are killed while they run
tasks that write a line to a file; then one works off what is left.  Each task
must have its line.  Twice is allowed, but only for what was running at a kill.
"""

from __future__ import annotations

import collections
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

TASKS = 50
"""Enqueued for each kill."""

APP = '''
import os, time
import huey as library
if url := os.environ.get("HUEY_REDIS"):
    huey = library.RedisHuey("kills", url=url)
else:
    huey = library.SqliteHuey("kills", filename=os.environ["HUEY_FILE"])

@huey.task()
def work(number):
    time.sleep(0.002)
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"%d\\n" % number)
    os.close(fd)
'''

ENQUEUE = '''
import sys, kills_app
for number in range(int(sys.argv[1])):
    kills_app.work(number)
'''


def run(folder: pathlib.Path, kills: int, kind: str, redis_url: str = "") -> None:
    (folder / "kills_app.py").write_text(APP)
    (folder / "enqueue.py").write_text(ENQUEUE)
    env = os.environ | {
        "HUEY_FILE": str(folder / "kills.db"),
        "HUEY_REDIS": redis_url,
        "LEDGER": str(folder / "ledger"),
    }
    compat = [sys.executable, "-m", "guaco.compat"]
    count = kills * TASKS
    subprocess.run(
        [*compat, "huey", "enqueue.py", str(count)],
        cwd=folder, env=env, check=True,
    )
    ledger = folder / "ledger"

    def lines() -> list[bytes]:
        return ledger.read_bytes().split() if ledger.exists() else []

    def consumer() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*compat, "huey_consumer", "kills_app.huey", "-w", "4", "-k", kind,
             "-m", "0.05", "-q"],
            cwd=folder, env=env, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    for _ in range(kills):
        before = len(lines())
        program = consumer()
        end = time.monotonic() + 30
        while len(lines()) < before + TASKS // 2 and time.monotonic() < end:
            time.sleep(0.005)  # it is the load that ends, not a wait
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        assert len(lines()) > before, "the consumer ran nothing"
    program = consumer()
    end = time.monotonic() + 60
    while len(set(lines())) < count and time.monotonic() < end:
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    program.wait(30)
    seen = collections.Counter(int(line) for line in lines())
    lost = set(range(count)) - set(seen)
    twice = sum(n - 1 for n in seen.values())
    print(f"{kind}{' redis' if redis_url else ''}: {kills} kills, {count} tasks, "
          f"{len(lost)} lost, {twice} run twice")
    assert not lost
    assert twice <= 4 * kills


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_no_task_in_sqlite_is_lost(tmp_path: pathlib.Path, kind: str) -> None:
    run(tmp_path, int(os.environ.get("KILLS", "20")), kind)
