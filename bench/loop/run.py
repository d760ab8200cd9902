"""The loop's primitives beside asyncio, uvloop and zuvloop.

    python bench/loop/run.py [--python 3.14] [--rounds 15]

Each round starts one process for each loop, in turn; the figure is the least
CPU time of the loop's thread over all rounds, in nanoseconds an operation.
The machine's speed wanders, so only minima of one run compare.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import peers  # noqa: E402

PEERS = {"uvloop": ["uvloop==0.23.0"], "zuvloop": ["zuvloop==0.0.17"]}


def loops_of(version: str) -> dict[str, str]:
    """{loop: its interpreter}; zuvloop needs 3.14."""
    own = sys.executable
    loops = {"asyncio": own, "guaco": own}
    for name, packages in PEERS.items():
        if name == "zuvloop" and tuple(map(int, version.split("."))) < (3, 14):
            continue
        try:
            loops[name] = str(peers.with_packages(own, packages))
        except subprocess.CalledProcessError:
            print(f"{name} cannot be installed: left out", file=sys.stderr)
    return loops


def measure(name: str, python: str) -> dict[str, float]:
    done = subprocess.run(
        [python, str(HERE / "primitives.py"), name],
        check=True,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=here)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    loops = loops_of(here)
    best: dict[str, dict[str, float]] = {name: {} for name in loops}
    for _ in range(args.rounds):
        for name, python in loops.items():
            for primitive, ns in measure(name, python).items():
                old = best[name].get(primitive, ns)
                best[name][primitive] = min(old, ns)
    print(f"Python {here}, {peers.cpu_model()}, ns of CPU, minimum of "
          f"{args.rounds} rounds")
    print(f"{'':36}" + "".join(f"{name:>10}" for name in loops))
    for primitive in best["guaco"]:
        row = "".join(f"{best[name][primitive]:10.0f}" for name in loops)
        print(f"{primitive:36}{row}")


if __name__ == "__main__":
    main()
