"""run.py: the profiler beside its peers, one run, a table a question.

    cost       system calls and CPU time of a sample at depth 12; impossible stacks
    shares     impossible stacks, and how far shares are from those of a stopped target,
               by depth and so by page offset
    rate       the highest rate that is held
    slow-down  of the target, in interleaved pairs
    idle       the profiler's CPU time on a target that sleeps

The target has the last processor for itself as far as that can be asked for, the
profilers the first.  Figures are worth what the machine's quiet is: it prints its load.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import peers  # noqa: E402

HERE = Path(__file__).resolve().parent
VERSIONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
PY_SPY = "py-spy==0.4.3"
AUSTIN = "austin-dist==4.0.0"
MOJO = "austin-python"  # reads what Austin writes
DEPTHS = [*range(5, 40), 60, 67, 68, 69, 70, 71, 100, 104, 105, 106, 107, 108, 140]
CPUS = sorted(os.sched_getaffinity(0))


def alone_on(cpu: int) -> Callable[[], None]:
    """To run in a child: its own processor, and before others of its scheduling group."""

    def prepare() -> None:
        os.setsid()
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text("-19")
        os.sched_setaffinity(0, {cpu})

    return prepare


def interpreter(version: str) -> str | None:
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    return str(found[-1]) if found else peers.interpreter(version)


@contextmanager
def target(python: str, kind: str, depth: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    words = [python, "-S", str(HERE / "target.py"), kind, str(depth), *more]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=alone_on(CPUS[-1]),
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def run_alone(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, preexec_fn=alone_on(CPUS[0])
    )


def sample(sampler: str, pid: int, count: int, period_us: int, mode: str = "") -> dict[str, float]:
    done = run_alone([sampler, str(pid), str(count), str(period_us), mode])
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def shares(result: dict[str, float]) -> dict[str, float]:
    leaves: dict[str, int] = result["leaves"]  # type: ignore[assignment]
    total = sum(leaves.values())
    return {name: 100 * n / total for name, n in leaves.items()} if total else {}


def distance(one: dict[str, float], two: dict[str, float]) -> tuple[float, str]:
    """The largest difference in points, and whose."""
    return max(((abs(one.get(n, 0) - two.get(n, 0)), n) for n in {*one, *two}), default=(0, ""))


def heading(title: str, columns: str) -> None:
    print(f"\n## {title}\n\n{columns}\n{'|---' * columns.count(' | ')}|---|", flush=True)


# ---- the peers ---------------------------------------------------------------------


def austin() -> str | None:
    """Its executable; a copy with a newer C library where the system's is too old."""
    try:
        found = peers.with_packages(sys.executable, [AUSTIN]).parent / "austin"
    except subprocess.CalledProcessError:
        return None
    if subprocess.run([found, "--version"], capture_output=True).returncode == 0:
        return str(found)
    libraries = sorted(peers.ROOT.glob(".pythons/usr/lib/*/ld-linux*"))
    if not libraries or shutil.which("patchelf") is None:
        return None
    copy = found.with_name("austin-patched")
    shutil.copy(found, copy)
    paths = f"{libraries[0].parent}:/lib/{libraries[0].parent.name}"
    words = ["patchelf", "--set-interpreter", str(libraries[0]), "--force-rpath"]
    subprocess.run([*words, "--set-rpath", paths, str(copy)], check=True)
    works = subprocess.run([copy, "--version"], capture_output=True).returncode == 0
    return str(copy) if works else None


def written(name: str, out: Path) -> str:
    """What a profiler left in its file, as folded lines."""
    if name != "austin" or not out.exists():
        return out.read_text(errors="replace") if out.exists() else ""
    reader = peers.with_packages(sys.executable, [MOJO]).parent / "mojo2austin"
    text = out.with_suffix(".txt")
    subprocess.run([reader, out, text], check=True, capture_output=True)
    return text.read_text(errors="replace")


def commands(guaco: str, rate: int, seconds: float, out: Path) -> dict[str, list[str] | None]:
    """How each profiler is started; PID stands for the process."""
    spy = str(peers.with_packages(sys.executable, [PY_SPY]).parent / "py-spy")
    recent = interpreter("3.15")
    found = austin()
    d, o = str(int(seconds)), str(out)
    spy_words = [spy, "record", "-p", "PID", "-r", str(rate), "-d", d, "-f", "raw", "-o", o]
    return {
        "guaco": [guaco, "profile", "-n", "-r", str(1 / rate), "-s", d, "-o", o, "-p", "PID"],
        "py-spy": spy_words,
        "py-spy --nonblocking": [*spy_words, "--nonblocking"],
        "austin": None
        if found is None
        else [found, "-i", str(max(1, 1000000 // rate)), "-x", d, "-o", o, "-p", "PID"],
        "profiling.sampling": None
        if recent is None
        else [recent, "-m", "profiling.sampling", "attach", "-r", str(rate), "-d", d,
              "--collapsed", "-o", o, "PID"],
    }


def is_impossible(stack: str) -> bool:
    names = re.findall(r"\b[abcgn]w?([12])\b", stack)
    return "1" in names and "2" in names


def read_folded(name: str, text: str) -> tuple[int, int]:
    """How many samples, and how many that cannot be."""
    kept = wrong = 0
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if not count.isdigit() or stack.startswith("#"):
            continue
        times = 1 if name == "austin" else int(count)
        kept += times
        wrong += times if is_impossible(stack) else 0
    return kept, wrong


def run_peer(words: list[str], pid: int) -> tuple[float, str]:
    """Its CPU seconds, and what it wrote to standard output or error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_alone([word.replace("PID", str(pid)) for word in words])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, done.stdout or done.stderr


def peer_rows(guaco: str, python: str, rate: int, seconds: float) -> Iterator[tuple[str, float, int, int]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        for name, words in commands(guaco, rate, seconds, out).items():
            if words is None:
                print(f"| {name} | does not run here |", flush=True)
                continue
            out.unlink(missing_ok=True)
            with target(python, "calls", 12) as process:
                used, said = run_peer(words, process.pid)
            yield name, used, *read_folded(name, written(name, out) or said)


# ---- cost --------------------------------------------------------------------------


def cost(options: argparse.Namespace, python: str, version: str) -> None:
    n = options.samples // 20
    with target(python, "calls", 12) as process:
        flat = sample(options.sampler, process.pid, options.samples, 0)
        tick = sample(options.sampler, process.pid, n, 1000)
        off = sample(options.sampler, process.pid, n, 1000, "off")
    print(
        f"| {version} | guaco's core | {tick['calls']:.3f} | {tick['cpu_us'] - off['cpu_us']:.1f} | "
        f"{tick['cpu_us']:.1f} | {flat['cpu_us']:.1f} | {flat['impossible']:.0f} of "
        f"{flat['told']:.0f} | {tick['dropped']:.0f} of {tick['samples']:.0f} |", flush=True,
    )
    if options.no_peers or version not in options.peer_versions:
        return
    for name, used, kept, wrong in peer_rows(options.guaco, python, 1000, 5):
        each = f"{1e6 * used / kept:.0f}" if kept else "-"
        part = f"{100 * wrong / kept:.2f} %" if kept else "-"
        print(
            f"| {version} | {name}, start included | | | {each} | | {part} | "
            f"{5000 - kept} of 5000 |", flush=True,
        )


# ---- shares -------------------------------------------------------------------------


def share_rows(options: argparse.Namespace, python: str, version: str) -> None:
    n = options.share_samples
    for kind in ("calls", "work", "generators"):
        worst: Counter[int] = Counter()
        by_depth = {}
        told = wrong = torn = dropped = 0
        for depth in options.depths if kind != "generators" else options.depths[::6]:
            with target(python, kind, depth) as process:
                truth = sample(options.sampler, process.pid, n, 50, "stop")
                tick = sample(options.sampler, process.pid, n, 100)
                flat = sample(options.sampler, process.pid, n * 4, 0)
            apart, name = distance(shares(tick), shares(truth))
            by_depth[depth] = f"{apart:.0f}{name}"
            worst[min(int(apart), 20)] += 1
            told += int(tick["told"] + flat["told"])
            wrong += int(tick["impossible"] + flat["impossible"])
            torn += int(tick["torn"] + flat["torn"])
            dropped += int(tick["dropped"] + flat["dropped"])
        within = sum(k for apart, k in worst.items() if apart < 2)
        print(
            f"| {version} | {kind} | {wrong} of {told} | {torn} | {dropped} | {within} of "
            f"{len(by_depth)} | {' '.join(f'{d}:{a}' for d, a in by_depth.items())} |", flush=True,
        )


# ---- rate -----------------------------------------------------------------------------


def held(guaco: str, python: str, rate: int, seconds: int = 2) -> float:
    """The samples that one asked-for rate gives, a second."""
    with tempfile.TemporaryDirectory() as folder, target(python, "calls", 12) as process:
        out = Path(folder) / "out"
        words = [guaco, "profile", "-n", "-r", f"{1 / rate:.9f}", "-s", str(seconds)]
        run_alone([*words, "-o", str(out), "-p", str(process.pid)])
        return read_folded("guaco", out.read_text())[0] / seconds


def rate_rows(options: argparse.Namespace, python: str, version: str) -> None:
    with target(python, "calls", 12) as process:
        flat = sample(options.sampler, process.pid, options.samples, 0)
    steps = [(rate, held(options.guaco, python, rate)) for rate in (5000, 10000, 20000, 30000, 50000)]
    best = max((rate for rate, got in steps if got >= 0.99 * rate), default=0)
    most = max(got for _, got in steps)
    row = f"| {version} | {best} | {most:.0f} | {flat['rate']:.0f} |"
    words = None if options.no_peers else commands(options.guaco, 1000000, 2, Path("/dev/null"))["austin"]
    if words is not None:
        with tempfile.TemporaryDirectory() as folder, target(python, "calls", 12) as process:
            out = Path(folder) / "out"
            run_peer([str(out) if w == "/dev/null" else w for w in words], process.pid)
            row += f" {read_folded('austin', written('austin', out))[0] / 2:.0f} |"
    else:
        row += " does not run here |"
    print(row, flush=True)


# ---- slow-down ---------------------------------------------------------------------------


def one_piece(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def slow_down(options: argparse.Namespace, python: str, threads: int, period_us: int) -> float:
    """How much longer a piece takes under the sampler, a sample a second: a fraction."""
    ratios = []
    with target(python, "count", 8, str(threads)) as process:
        for _ in range(3):
            one_piece(process)
        for _ in range(options.pairs):
            bare = [one_piece(process) for _ in range(8)]
            words = [options.sampler, str(process.pid), "100000000", str(period_us), ""]
            sampler = subprocess.Popen(
                words, stdout=subprocess.DEVNULL, preexec_fn=alone_on(CPUS[0])
            )
            time.sleep(0.01)
            under = [one_piece(process) for _ in range(8)]
            sampler.kill()
            sampler.wait()
            ratios.append(min(under) / min(bare) - 1)
    return statistics.median(ratios) * period_us / 1e6


def slow_down_rows(options: argparse.Namespace, python: str, version: str) -> None:
    for threads in (0, 200):
        fraction = slow_down(options, python, threads, 100)
        print(
            f"| {version} | {threads} | {options.pairs} | {100 * fraction * 100:.3f} % | "
            f"{100 * fraction * 1000:.2f} % |", flush=True,
        )


# ---- idle ----------------------------------------------------------------------------------


def idle_rows(options: argparse.Namespace, python: str, version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        for name, words in commands(options.guaco, 100, 5, out).items():
            if words is None or (options.no_peers and name != "guaco"):
                continue
            if name == "profiling.sampling" and version != "3.15":
                continue
            with target(python, "idle", 8) as process:
                used, _ = run_peer(words, process.pid)
            print(f"| {version} | {name} | {100 * used / 5:.2f} % |", flush=True)


TABLES = {
    "cost": (
        "cost of a sample, depth 12, 1 kHz",
        "| Python | profiler | calls | net us | us with its tick | us flat out | impossible | lost |",
        cost,
    ),
    "shares": (
        "impossible stacks, and shares beside a stopped target",
        "| Python | target | impossible | torn | dropped | depths within 2 points | points by depth |",
        share_rows,
    ),
    "rate": (
        "rate",
        "| Python | held to 1 % | most of the command | of its core | austin |",
        rate_rows,
    ),
    "slow-down": (
        "slow-down of the target",
        "| Python | native threads | pairs | at 100 Hz | at 1 kHz |",
        slow_down_rows,
    ),
    "idle": (
        "CPU of the profiler, idle target, 100 Hz for 5 s, start included",
        "| Python | profiler | CPU |",
        idle_rows,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", default=list(TABLES), metavar="TABLE")
    parser.add_argument("--build", default=os.environ.get("GUACO_BUILD", "build"))
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--share-samples", type=int, default=5_000)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--versions", nargs="*", default=VERSIONS)
    parser.add_argument("--peer-versions", nargs="*", default=["3.11", "3.13", "3.15"])
    parser.add_argument("--depths", nargs="*", type=int, default=DEPTHS)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    options.sampler = str(Path(options.build) / "bench/bench_profile")
    options.guaco = str(Path(options.build) / "src/cli/guaco")
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{peers.cpu_model()}, {len(CPUS)} processors, load {load}")
    for table in options.tables:
        title, columns, rows = TABLES[table]
        heading(title, columns)
        for version in options.versions:
            python = interpreter(version)
            if python is None:
                print(f"| {version} | no such interpreter here |")
            else:
                rows(options, python, version)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"\nload at the end {load}")


if __name__ == "__main__":
    main()
