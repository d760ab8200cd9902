"""Autobahn's fuzzing client, all its cases, against our WebSocket.

It runs on Python 2.7 only: skipped where there is none, or no PyPI.  The environment
is made once, in .cache.
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from serving import served

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "autobahn"
GOOD = {"OK", "INFORMATIONAL"}
CASES = 517


def python2() -> str | None:
    """An interpreter of 2.7 that runs: python2.7 on PATH (perhaps a shim of pyenv's
    that does not), else one of pyenv's."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    kept = sorted(pathlib.Path(root).glob("versions/2.7.*/bin/python2.7"))
    for candidate in (shutil.which("python2.7"), *map(str, reversed(kept))):
        if candidate and not subprocess.run([candidate, "-V"], capture_output=True).returncode:
            return candidate
    return None


@pytest.fixture
def wstest() -> str:
    tool = CACHE / "bin" / "wstest"
    if tool.exists():
        return str(tool)
    python = python2()
    if python is None:
        pytest.skip("Autobahn's test suite needs Python 2.7, which is not here")
    site = CACHE / "virtualenv"
    steps = [
        [python, "-m", "pip", "install", "-q", "--target", str(site), "virtualenv<20.22"],
        [python, "-m", "virtualenv", "-q", str(CACHE)],
        [str(CACHE / "bin" / "pip"), "install", "-q", "autobahntestsuite"],
    ]
    for step in steps:
        env = dict(os.environ, PYTHONPATH=str(site)) if "virtualenv" in step else None
        done = subprocess.run(step, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"Autobahn's test suite cannot be installed: {done.stderr[-300:]}")
    return str(tool)


@pytest.mark.timeout(7200)
def test_every_case(exe: str, wstest: str, tmp_path: pathlib.Path) -> None:
    with served(exe, "echo_app:app", "--limit-ws-message-bytes", "64m") as (port, _pid):
        spec = {
            "outdir": str(tmp_path / "report"),
            "servers": [{"agent": "guaco", "url": f"ws://127.0.0.1:{port}"}],
            "cases": [os.environ.get("AUTOBAHN_CASES", "*")],
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        subprocess.run(
            [wstest, "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")],
            check=True, cwd=tmp_path, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    results = json.loads((tmp_path / "report" / "index.json").read_text())["guaco"]
    counts = collections.Counter(case["behavior"] for case in results.values())
    print(f"\nautobahn: {len(results)} cases: {dict(counts)}")
    bad = {
        name: (case["behavior"], case["behaviorClose"])
        for name, case in results.items()
        if case["behavior"] not in GOOD | {"NON-STRICT"}
        or case["behaviorClose"] not in GOOD
    }
    assert not bad
    assert "AUTOBAHN_CASES" in os.environ or len(results) >= CASES
