"""run.py: the profiler beside its peers, on targets whose impossible stacks are decidable.

Prints one line a measurement: system calls and CPU a sample, stacks that cannot be, and
the largest difference of a function's share from that of a target stopped for each sample.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import peers  # noqa: E402

HERE = Path(__file__).resolve().parent
VERSIONS = ["3.11", "3.13", "3.14", "3.15"]
PY_SPY = "py-spy==0.4.3"
AUSTIN = "austin-dist"


@contextmanager
def target(python: str, kind: str, depth: int) -> Iterator[int]:
    """A running target's pid."""
    words = [python, "-S", str(HERE / "target.py"), kind, str(depth)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()


def sample(
    sampler: str, pid: int, count: int, period_us: int, *more: str
) -> dict[str, float]:
    words = [sampler, str(pid), str(count), str(period_us), *more]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def shares(result: dict[str, float]) -> dict[str, float]:
    leaves: dict[str, int] = result["leaves"]  # type: ignore[assignment]
    total = sum(leaves.values())
    return {name: 100 * n / total for name, n in leaves.items()}


def distance(one: dict[str, float], two: dict[str, float]) -> tuple[float, str]:
    """The largest difference in points, and whose."""
    return max((abs(one.get(n, 0) - two.get(n, 0)), n) for n in {*one, *two})


def ours(sampler: str, python: str, version: str, samples: int) -> None:
    for kind in ("calls", "generators"):
        with target(python, kind, 8) as pid:
            flat = sample(sampler, pid, samples, 0)
            tick = sample(sampler, pid, samples // 100, 1000)
            truth = sample(sampler, pid, samples // 100, 200, "stop")
        apart, name = distance(shares(tick), shares(truth))
        print(
            f"guaco {version} {kind}: {flat['calls']:.3f} calls, "
            f"{flat['cpu_us']:.1f} us CPU flat out, {tick['cpu_us']:.1f} us at 1 kHz "
            f"with its timer; impossible {flat['impossible']:.0f} and dropped "
            f"{flat['dropped']:.0f} of {flat['samples']:.0f}; "
            f"shares at 1 kHz within {apart:.1f} points of the truth ({name})",
            flush=True,
        )


def is_impossible(stack: str) -> bool:
    names = re.findall(r"\b[abcgn]([12])\b", stack)
    return "1" in names and "2" in names


def peer(name: str, words: list[str], out: Path, python: str, version: str) -> None:
    """A peer at 1 kHz for five seconds, its folded file judged."""
    with target(python, "calls", 8) as pid:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        full = [word.replace("PID", str(pid)) for word in words]
        done = subprocess.run(full, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = out.read_text() if out.exists() else done.stdout
    kept = wrong = 0
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if not count.isdigit() or stack.startswith("#"):
            continue
        times = 1 if name == "austin" else int(count)
        kept += times
        wrong += times if is_impossible(stack) else 0
    if kept == 0:
        print(f"{name} {version}: does not run here: {done.stderr.strip()[-120:]}")
        return
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{name} {version} calls: {1e6 * cpu / kept:.0f} us CPU a sample at 1 kHz, "
        f"start included, {kept} samples in 5 s; impossible {100 * wrong / kept:.1f} %",
        flush=True,
    )


def all_peers(python: str, version: str, guaco: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        words = [guaco, "profile", "-n", "-r", "0.001", "-s", "5", "-o", str(out)]
        peer("guaco", [*words, "-p", "PID"], out, python, version)
        out.unlink(missing_ok=True)
        spy = str(peers.with_packages(sys.executable, [PY_SPY]).parent / "py-spy")
        words = [spy, "record", "-p", "PID", "-r", "1000", "-d", "5", "-f", "raw"]
        peer("py-spy", [*words, "-o", str(out)], out, python, version)
        out.unlink(missing_ok=True)
        words = [*words, "--nonblocking", "-o", str(out)]
        peer("py-spy --nonblocking", words, out, python, version)
        out.unlink(missing_ok=True)
        austin = str(peers.with_packages(sys.executable, [AUSTIN]).parent / "austin")
        words = [austin, "-i", "1000", "-x", "5", "-o", str(out), "-p", "PID"]
        peer("austin", words, out, python, version)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.environ.get("GUACO_BUILD", "build"))
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--versions", nargs="*", default=VERSIONS)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    build = Path(options.build)
    for version in options.versions:
        python = peers.interpreter(version)
        if python is None:
            print(f"no python{version} here")
            continue
        ours(str(build / "bench/bench_profile"), python, version, options.samples)
        if not options.no_peers:
            all_peers(python, version, str(build / "src/cli/guaco"))


if __name__ == "__main__":
    main()
