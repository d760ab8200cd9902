"""What a type checker says of programs that use a queue."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

PROGRAM = '''
from typing import assert_type

from guaco import Result, SqliteQueue, crontab

queue = SqliteQueue("demo")


@queue.task()
def add(a: int, b: int = 0) -> int:
    return a + b


@queue.task
def bare(text: str) -> bytes:
    return text.encode()


@queue.task(retries=2, retry_delay=20)
async def fetch(url: str) -> str:
    return url


@queue.periodic_task(crontab(minute="1"))
def nightly() -> None:
    pass


assert_type(queue, SqliteQueue)
assert_type(add(1, b=2), Result[int])
assert_type(add(1)(), int | None)
assert_type(bare("x"), Result[bytes])
assert_type(fetch("u"), Result[str])
assert_type(nightly(), Result[None])


async def main() -> None:
    assert_type(await add(1), int)
    result = await fetch.aenqueue("u")
    assert_type(await result, str)
    async for event in result.events():
        event.kind.upper()


add("x")  # error
add(1, 2, 3)  # error
fetch(url=1)  # error
queue.task(retires=2)  # error
'''


def test_signatures_are_kept_and_mistakes_are_found(
    tmp_path: pathlib.Path,
) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            "--cache-dir",
            str(tmp_path / "cache"),
            str(program),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=50,
    )
    found = {
        int(line.split(":")[1])
        for line in run.stdout.splitlines()
        if line.startswith("program.py") and ": error:" in line
    }
    wanted = {
        number
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if line.endswith("# error")
    }
    assert found == wanted, run.stdout + run.stderr
