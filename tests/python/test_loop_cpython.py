"""CPython's own loop tests, over guaco.loop (see asyncio_suite.py)."""

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("asyncio_suite.py")


@pytest.mark.parametrize("part", ["events,sock,buffered,server", "server2"])
@pytest.mark.timeout(300)
def test_no_test_of_cpythons_fails(part: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SUITE), "--only", part],
        capture_output=True,
        text=True,
    )
    if done.returncode == 77:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
