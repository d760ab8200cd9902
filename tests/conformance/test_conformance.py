"""The suite as pytest runs it: against GUACO_TEST_ADDRESS, else our own server."""

import os
import pathlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from .behaviours import Address
from .suite import Case, cases, run_case

# A server of others is not asked for what it may leave out.
STRICT = "GUACO_TEST_ADDRESS" not in os.environ
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    given = os.environ.get("GUACO_TEST_ADDRESS")
    if given:
        host, _, port = given.rpartition(":")
        yield host.strip("[]"), int(port)
        return
    server = subprocess.Popen(
        [os.environ.get("GUACO_EXE", "guaco"), "serve",
         "tests.conformance.app:app", "--port", "0", "--no-access-log",
         "--no-http2",  # whose preface the suite has refused
         "--app-dir", str(ROOT), "--python", sys.executable],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        yield read_address(server)
    finally:
        server.terminate()
        server.wait(20)


def read_address(server: "subprocess.Popen[bytes]") -> Address:
    """From the line that says where it listens; what follows is read on a thread, so
    that the server never waits for a full pipe."""
    assert server.stdout is not None
    seen = b""
    for line in server.stdout:
        seen += line
        if found := re.search(rb"http://([\d.]+):(\d+)", line):
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return found[1].decode(), int(found[2])
    pytest.fail("the server did not start:\n" + seen.decode(errors="replace"))


@pytest.mark.parametrize("case", cases(STRICT), ids=lambda case: case.id)
def test_conformance(case: Case, address: Address) -> None:
    assert run_case(case, address) is None
