"""Enqueue rate, whole no-op jobs and pick-up latency of task queues, side by side, in one run.

    python bench/queue/run.py [--python 3.11] [--jobs 20000] [--rounds 2] [--idle 12] [--only NAME ...]

Each system gets a store of its own, freshly made: a SQLite file, or a private
Redis with its append-only file flushed each second: both survive a killed
process.  (Huey knows `synchronous` OFF and FULL only; NORMAL in WAL mode differs
from OFF in the sync at a checkpoint.)  FULL survives a power cut.  `enqueue` is one producer, no worker; `jobs` is the rate
between a first and a last mark that the worker leaves, all enqueued before it
starts; `latency` is from the call that enqueues to the first line of the task,
in another process, after a pause.  CPU is user plus system time of the
producer, and of the worker's processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from peers import cpu_model, interpreter, with_packages  # noqa: E402
from processes import cpu_ns, tree  # noqa: E402


PICK_UPS = 300
GAP_S = 0.03  # before each: everybody is asleep, and the caches are others'


@dataclasses.dataclass(frozen=True)
class System:
    name: str
    app: str
    store: str  # "sqlite", "sqlite-full" or "redis"
    packages: tuple[str, ...] = ()

    def worker(self, python: Path | str, guaco: str, workers: int, url: str) -> list[str]:
        bin_ = Path(python).parent
        return {
            "app_guaco": [guaco, "work", "app_guaco:queue", "-w", str(workers), "--python", str(python)],
            "app_huey": [str(bin_ / "huey_consumer"), "app_huey.huey", "-w", str(workers), "-q"],
            "app_celery": [str(bin_ / "celery"), "-A", "app_celery", "worker", "-c", str(workers), "-l", "error",
                           "--without-gossip", "--without-mingle"],
            "app_dramatiq": [str(bin_ / "dramatiq"), "app_dramatiq", "-p", "1", "-t", str(workers)],
            "app_rq": [str(bin_ / "rq"), "worker-pool", "-n", str(workers), "-u", url, "-q",
                       "-w", "rq.worker.SimpleWorker"],
            "app_taskiq": [str(bin_ / "taskiq"), "worker", "app_taskiq:broker", "-w", "1",
                           "--max-threadpool-threads", str(workers), "--log-level", "ERROR"],
        }[self.app]


SYSTEMS = [
    System("guaco, SQLite NORMAL", "app_guaco", "sqlite"),
    System("guaco, SQLite FULL", "app_guaco", "sqlite-full"),
    System("guaco, Redis", "app_guaco", "redis"),
    System("Huey 3.5, SQLite OFF", "app_huey", "sqlite", ("huey==3.5.4",)),
    System("Huey 3.5, SQLite FULL", "app_huey", "sqlite-full", ("huey==3.5.4",)),
    System("Huey 3.5, Redis", "app_huey", "redis", ("huey==3.5.4", "redis")),
    System("Celery 5.7, Redis", "app_celery", "redis", ("celery[redis]==5.7.0", "packaging")),
    System("Dramatiq 2.2, Redis", "app_dramatiq", "redis", ("dramatiq==2.2.1", "redis")),
    System("RQ 3, Redis, no fork", "app_rq", "redis", ("rq>=3,<4",)),
    System("Taskiq 0.13, Redis streams", "app_taskiq", "redis", ("taskiq~=0.13.0", "taskiq-redis")),
]


@contextmanager
def store(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a fresh store."""
    if kind.startswith("sqlite"):
        yield f"sqlite:///{folder}/queue.db" + ("?synchronous=full" if kind == "sqlite-full" else "")
        return
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
                              "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
                             stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as s:
                s.sendall(b"PING\r\n")
                if s.recv(16).startswith(b"+PONG"):
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        redis.kill()
        redis.wait()


@contextmanager
def worker(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with open(f"{env['BENCH_OUT']}.log", "ab") as log:
        process = subprocess.Popen(command, cwd=HERE, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    try:
        yield process
    finally:
        for pid in tree(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def lines(out: Path, label: str) -> list[int]:
    if not out.exists():
        return []
    return [int(line.split()[1]) for line in out.read_text().splitlines() if line.startswith(label)]


def wait_for(out: Path, label: str, count: int, seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while len(found := lines(out, label)) < count:
        if time.monotonic() > deadline:
            log = Path(f"{out}.log")
            tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
            raise TimeoutError(f"{len(found)} of {count} '{label}' after {seconds:g} s\n{tail}")
        time.sleep(0.02)
    return found


def produce(python: Path | str, app: str, env: dict[str, str], *args: object) -> dict[str, float]:
    run = subprocess.run([str(python), "producer.py", app, *map(str, args)], cwd=HERE, env=env, check=True,
                         capture_output=True, text=True)
    return json.loads(run.stdout) if run.stdout.strip() else {}


def jobs(system: System, python: Path | str, guaco: str, count: int, workers: int) -> tuple[dict[str, float], float, float]:
    """What the producer says, whole jobs a second, worker CPU microseconds a job."""
    with tempfile.TemporaryDirectory() as folder, store(system.store, Path(folder)) as url:
        out = Path(folder) / "out"
        env = environment(url, out)
        made = produce(python, system.app, env, "jobs", count)
        with worker(system.worker(python, guaco, workers, url), env) as process:
            first = wait_for(out, "first", 1, 60)[0]
            before = cpu_ns(process.pid)
            last = wait_for(out, "last", 1, 300)[0]
            spent = cpu_ns(process.pid) - before
        return made, count / ((last - first) / 1e9), spent / 1000 / count


def latency(system: System, python: Path | str, guaco: str, count: int, gap: float) -> list[int]:
    with tempfile.TemporaryDirectory() as folder, store(system.store, Path(folder)) as url:
        out = Path(folder) / "out"
        env = environment(url, out)
        with worker(system.worker(python, guaco, 1, url), env):
            produce(python, system.app, env, "latency", 3, 0.1)
            wait_for(out, "latency", 3, 60)
            produce(python, system.app, env, "latency", count, gap)
            return wait_for(out, "latency", 3 + count, 60)[3:]


def percentiles(values: list[int]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered) / 1e6:.2f} / {ordered[int(len(ordered) * 0.99)] / 1e6:.2f}"


def bare_wake(count: int, gap: float) -> list[int]:
    """Nanoseconds from a send to the return of the receive that slept in another process: the floor of a pick-up."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(count):
                sent = int(theirs.recv(32))
                theirs.send(str(time.monotonic_ns() - sent).encode())
        finally:
            os._exit(0)
    found = []
    for _ in range(count):
        time.sleep(gap)
        ours.send(str(time.monotonic_ns()).encode())
        found.append(int(ours.recv(32)))
    os.waitpid(child, 0)
    return found


def environment(url: str, out: Path) -> dict[str, str]:
    path = f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return dict(os.environ, BENCH_URL=url, BENCH_OUT=str(out), PYTHONPATH=path)


def measure(system: System, options: argparse.Namespace, own: str) -> str:
    python = with_packages(own, list(system.packages)) if system.packages else own
    cells = [system.name]
    try:
        runs = [jobs(system, python, options.guaco, options.jobs, 1) for _ in range(options.rounds)]
        cells.append(f"{max(options.jobs / r[0]['seconds'] for r in runs):,.0f}")
        cells.append(f"{min(r[0]['cpu'] for r in runs) * 1e6 / options.jobs:.1f}")
        cells.append(f"{max(r[1] for r in runs):,.0f}")
        cells.append(f"{min(r[2] for r in runs):.1f}")
        cells.append(f"{max(jobs(system, python, options.guaco, options.jobs, 4)[1] for _ in range(options.rounds)):,.0f}")
        cells.append(percentiles(latency(system, python, options.guaco, PICK_UPS, GAP_S)))
        if options.idle:
            slow = sorted(latency(system, python, options.guaco, 3, options.idle))
            cells.append(f"{statistics.median(slow) / 1e6:.2f} / {slow[-1] / 1e6:.2f}")
    except (TimeoutError, subprocess.CalledProcessError) as failure:
        detail = getattr(failure, "stderr", None) or str(failure)
        print(f"{system.name}: {detail}", file=sys.stderr)
        cells.append("failed")
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sysconfig.get_python_version(), help="version or path")
    parser.add_argument("--jobs", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--idle", type=float, default=12, help="seconds of idleness before a late task; 0: leave out")
    parser.add_argument("--only", action="append")
    parser.add_argument("--guaco", default=os.environ.get("GUACO_EXE") or shutil.which("guaco"))
    options = parser.parse_args()

    own = interpreter(options.python)
    if own is None:
        print(f"bench/queue: no Python {options.python}; skipped", file=sys.stderr)
        return 0
    print(f"{cpu_model()}, {time.strftime('%Y-%m-%d')}, Python {options.python}, {options.jobs} jobs, "
          f"best of {options.rounds}\n")
    print("| system | enqueue/s | CPU µs | jobs/s, 1 worker | worker CPU µs | jobs/s, 4 workers "
          "| pick-up ms, p50 / p99 | after idle, p50 / max |\n|---|---|---|---|---|---|---|---|")
    print(f"| bare socket wake | | | | | | {percentiles(bare_wake(PICK_UPS, GAP_S))} | |")
    for system in SYSTEMS:
        if system.store == "redis" and shutil.which("redis-server") is None:
            print(f"| {system.name} | no redis-server |")
        elif not options.only or any(o in system.name for o in options.only):
            print(measure(system, options, own), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
