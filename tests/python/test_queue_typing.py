"""What a type checker says of programs that use a queue."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from deadline import DEADLINE_S

PROGRAM = '''
from typing import assert_type

from guaco import Limit, Result, SqliteQueue, Unique, crontab

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


@queue.task(
    unique=Unique("{user}", ttl=60),
    concurrency=2,
    rate_limit="10/m",
    limits=[Limit("{user}", concurrency=1)],
    retry_jitter=0.5,
)
def ruled(user: int) -> str:
    return str(user)


@queue.batch_task(size=10)
def batch(items: list[int]) -> list[str]:
    return [str(i) for i in items]


@queue.batch_task()
async def abatch(items: list[bytes]) -> None:
    pass


@queue.task()
@queue.lock("x")
def locked(a: int) -> int:
    return a


@queue.task()
@queue.rate_limit("x", 1, per=1)
async def limited(a: int) -> int:
    return a


@queue.periodic_task(crontab(minute="1"))
def nightly() -> None:
    pass


assert_type(queue, SqliteQueue)
assert_type(add(1, b=2), Result[int])
assert_type(add(1)(), int | None)
assert_type(bare("x"), Result[bytes])
assert_type(fetch("u"), Result[str])
assert_type(nightly(), Result[None])
assert_type(ruled(1), Result[str])
assert_type(batch(1), Result[str])
assert_type(abatch(b""), Result[None])
assert_type(locked(1), Result[int])
assert_type(limited(a=1), Result[int])
add.s(1, 2).then(bare).error(ruled)


async def main() -> None:
    assert_type(await add(1), int)
    result = await fetch.aenqueue("u")
    assert_type(await result, str)
    async for event in result.events():
        event.kind.upper()


add("x")  # error
batch("x")  # error
locked("x")  # error
queue.task(unique=1)  # error
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
        timeout=DEADLINE_S,
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
