"""Task workers are killed under load, and nothing that was promised is lost.

KILLS is how many workers get SIGKILL (default: 1000); KILLS_SEED repeats the
choice of the victims.  Keepers and supervisors are killed now and then besides,
and producers are replaced.  A run of 20 is in tests/python/test_queue_kills.py.

    KILLS=200 python -m pytest -s tests/soak/test_kills.py
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

import guaco

HERE = pathlib.Path(__file__).parent
PRODUCERS = 2
KILLS_A_SLOT = 6
"""Then the tree gets a new supervisor: an old one restarts ever more slowly
what dies ever again."""
PROGRESS_S = 60.0
"""Longer without a run that ends: something is stuck."""


@dataclasses.dataclass
class Tree:
    """A `guaco work`: its kind, tasks at a time, and worker processes."""

    kind: str
    concurrency: int
    slots: int
    output: pathlib.Path
    kills: int = 0
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def supervisor(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def is_ready(self) -> bool:
        """Whether each slot had a worker; before, a death ends the tree."""
        return self.output.read_text().count(" is ready") >= self.slots


@dataclasses.dataclass
class Tally:
    """What was done to them."""

    workers: int = 0
    keepers: int = 0
    supervisors: int = 0
    drains: int = 0
    producers: int = 0


def children(pid: int) -> dict[int, str]:
    """The living children of a process, with their command lines."""
    found = {}
    with contextlib.suppress(OSError):
        for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                line = pathlib.Path(f"/proc/{word}/cmdline").read_bytes()
                if line:
                    found[int(word)] = line.replace(b"\0", b" ").decode()
    return found


class Scene:
    """The trees and the producers over one store."""

    def __init__(self, folder: pathlib.Path, exe: str, seed: int) -> None:
        self.folder = folder
        self.exe = exe
        self.random = random.Random(seed)
        self.tally = Tally()
        self.url = f"sqlite:///{folder}/kill.db"
        self.log = folder / "runs.log"
        self.log.touch()
        self.env = os.environ | {"KILL_URL": self.url, "KILL_LOG": str(self.log)}
        self.trees = [
            Tree("thread", 4, 1, folder / "thread.log"),
            Tree("process", 3, 3, folder / "process.log"),
            Tree("async", 4, 1, folder / "async.log"),
        ]
        self.producers: list[subprocess.Popen[bytes]] = []

    def start(
        self, output: pathlib.Path, *command: str
    ) -> subprocess.Popen[bytes]:
        with open(output, "wb") as file:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def start_tree(self, tree: Tree) -> None:
        tree.kills = 0
        tree.starts += 1
        tree.process = self.start(
            tree.output,
            *(self.exe, "work", "kill_app:queue", "--app-dir", str(HERE)),
            *("-k", tree.kind, "-w", str(tree.concurrency)),
            *("--python", sys.executable, "--grace", "20"),
            *("--log-level", "debug"),
        )

    def start_producer(self) -> None:
        name = f"producer.{self.tally.producers}"
        self.tally.producers += 1
        self.producers.append(
            self.start(
                self.folder / f"{name}.log",
                *(sys.executable, str(HERE / "kill_app.py")),
                str(self.folder / f"{name}.ids"),
            )
        )

    # ---- violence ----

    def kill_a_worker(self) -> None:
        """SIGKILL to one of the workers of a tree, whatever it is doing."""
        tree = self.random.choice(self.trees)
        if (code := tree.supervisor.poll()) is not None:
            self.fail(f"the supervisor of {tree.kind} workers ended with {code}")
        living = children(tree.supervisor.pid)
        workers = [p for p, line in living.items() if "guaco._worker" in line]
        keepers = [p for p, line in living.items() if "_keeper" in line]
        if not workers or not tree.is_ready():
            return
        os.kill(self.random.choice(workers), signal.SIGKILL)
        self.tally.workers += 1
        tree.kills += 1
        if keepers and self.random.random() < 0.05:
            os.kill(keepers[0], signal.SIGKILL)
            self.tally.keepers += 1
        if tree.kills >= KILLS_A_SLOT * tree.slots:
            self.replace_tree(tree)
        if self.random.random() < 0.02:
            self.replace_producer()

    def replace_tree(self, tree: Tree) -> None:
        """End a supervisor, by SIGKILL or gracefully, and start another."""
        if self.random.random() < 0.5:
            tree.supervisor.kill()
            self.tally.supervisors += 1
        else:
            tree.supervisor.terminate()
            self.tally.drains += 1
        tree.supervisor.wait(60)
        self.start_tree(tree)

    def replace_producer(self) -> None:
        producer = self.producers.pop(0)
        producer.kill()
        producer.wait()
        self.start_producer()

    # ---- looking ----

    def size_of_log(self) -> int:
        return self.log.stat().st_size

    def fail(self, text: str) -> None:
        tails = [tree.output.read_text()[-4000:] for tree in self.trees]
        pytest.fail("\n".join([text, str(self.tally), *tails]))

    def stop_producers(self) -> None:
        for producer in self.producers:
            producer.terminate()
        for producer in self.producers:
            producer.wait(60)

    def stop_trees(self) -> None:
        for tree in self.trees:
            tree.supervisor.terminate()
        for tree in self.trees:
            if (code := tree.supervisor.wait(60)) != 0:
                self.fail(f"the {tree.kind} workers' supervisor ended with {code}")

    def end(self) -> None:
        trees = [t.process for t in self.trees if t.process is not None]
        for process in trees + self.producers:
            if process.poll() is None:
                process.kill()
                process.wait()


def kill_until(scene: Scene, kills: int) -> None:
    size, since = scene.size_of_log(), time.monotonic()
    while scene.tally.workers < kills:
        time.sleep(scene.random.uniform(0.01, 0.3))
        scene.kill_a_worker()
        if scene.size_of_log() != size:
            size, since = scene.size_of_log(), time.monotonic()
        elif time.monotonic() - since > PROGRESS_S:
            scene.fail("no run ended")


def wait_for_the_rest(scene: Scene, queue: guaco.Queue) -> int:
    """Until nothing waits or runs; how many had to be raised from the dead."""
    raised = 0
    seen, since = None, time.monotonic()
    while True:
        stats = queue.stats()
        left = stats["waiting"] + stats["delayed"] + stats["running"]
        if left == 0 and stats["dead"] == 0:
            return raised
        if left == 0:
            raised += queue.retry()
        if stats != seen:
            seen, since = stats, time.monotonic()
        elif time.monotonic() - since > PROGRESS_S:
            scene.fail(f"left over: {stats}")
        time.sleep(0.05)


def check_file(path: pathlib.Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def check_runs(scene: Scene, queue: guaco.Queue, raised: int) -> None:
    """The log of the runs beside the ledgers and the results."""
    runs: dict[str, collections.Counter[tuple[int, int]]] = {
        "start": collections.Counter(),
        "end": collections.Counter(),
        "fail": collections.Counter(),
    }
    for line in scene.log.read_text().splitlines():
        what, id, attempt = line.split()
        runs[what][int(id), int(attempt)] += 1
    promised = [
        int(line)
        for ids in scene.folder.glob("producer.*.ids")
        for line in ids.read_text().splitlines()
    ]
    ended = collections.Counter(id for id, _ in runs["end"])
    started = collections.Counter(id for id, _ in runs["start"])
    cut = len(runs["start"] - runs["end"] - runs["fail"])
    print(
        f"\n{scene.tally}\n{len(promised)} tasks promised, {len(ended)} ended, "
        f"{sum(started.values())} runs, {cut} cut off, "
        f"{sum(n > 1 for n in ended.values())} ended more than once, "
        f"{raised} raised from the dead"
    )
    assert len(set(promised)) == len(promised), "an id was given twice"
    assert max(runs["start"].values()) == 1, "one attempt ran twice"
    assert not [id for id in promised if id not in ended], "lost"
    for id in promised:
        state, value = outcome_of(queue, id)
        assert state == "done", (id, state, value)
        assert runs["end"][tuple(value)] == 1, f"{id}: the result of no run"


def outcome_of(queue: guaco.Queue, id: int) -> tuple[str, list[int]]:
    value = queue.result(id)()
    return ("done", value) if isinstance(value, list) else ("missing", [])


def run(folder: pathlib.Path, exe: str, kills: int) -> None:
    """Kill so many workers; every promise must be kept."""
    seed = int(os.environ.get("KILLS_SEED") or random.randrange(1 << 32))
    print(f"\nKILLS={kills} KILLS_SEED={seed}")
    scene = Scene(folder, exe, seed)
    queue = guaco.Queue(scene.url, name="kill")
    begin = time.monotonic()
    try:
        for tree in scene.trees:
            scene.start_tree(tree)
        for _ in range(PRODUCERS):
            scene.start_producer()
        kill_until(scene, kills)
        scene.stop_producers()
        raised = wait_for_the_rest(scene, queue)
        scene.stop_trees()
        check_runs(scene, queue, raised)
        check_file(folder / "kill.db")
        print(f"{time.monotonic() - begin:.0f} s")
    finally:
        scene.end()
        queue.close()


def test_no_promised_task_is_lost_by_kills(tmp_path: pathlib.Path, exe: str) -> None:
    run(tmp_path, exe, int(os.environ.get("KILLS") or 1000))
