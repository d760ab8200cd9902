"""The peers' virtual environments: one for each set of packages, made once.

    with_packages("python3.14", ["uvicorn==0.54.0", "uvloop"]) -> Path to its python

They live in .cache/peers, keyed by interpreter and packages, so that a new
release of a peer is measured by changing its line in PEERS and nothing else.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "peers"


def interpreter(name: str) -> str | None:
    """The path of an interpreter by version ("3.14") or path; None where there is none."""
    if "/" in name:
        return name if Path(name).exists() else None
    for candidate in (ROOT / ".pythons" / "usr" / "bin" / f"python{name}",):
        if candidate.exists():
            return str(candidate)
    found = shutil.which(f"python{name}")
    if found:
        return found
    if f"{sys.version_info.major}.{sys.version_info.minor}" == name:
        return sys.executable
    return None


def with_packages(python: str, packages: list[str]) -> Path:
    """The interpreter of an environment that holds `packages`; made at the first call."""
    key = hashlib.sha256("\n".join([python, *packages]).encode()).hexdigest()[:12]
    folder = CACHE / key
    done = folder / ".complete"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"bench: installing {' '.join(packages)}", file=sys.stderr, flush=True)
        subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
        # The pip of this interpreter installs into the other one's environment.
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
        subprocess.run([*pip, "install", "-q", *packages], check=True, stdout=sys.stderr)
        done.touch()
    return folder / "bin" / "python"


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"
