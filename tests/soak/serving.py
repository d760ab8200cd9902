"""`guaco serve` of an application beside the soak tests."""

import pathlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HERE = pathlib.Path(__file__).resolve().parent


@contextmanager
def served(exe: str, target: str, *options: str) -> Iterator[tuple[int, int]]:
    """(port, pid of the supervisor) of a server that listens."""
    server = subprocess.Popen(
        [exe, "serve", target, "--port", "0", "--app-dir", str(HERE), "--python",
         sys.executable, "--no-access-log", "--lifespan", "off", *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert server.stdout is not None
    seen = b""
    try:
        for line in server.stdout:
            seen += line
            if found := re.search(rb"listening on http://[\d.]+:(\d+)", line):
                # Read on, so that the server never waits for a full pipe.
                threading.Thread(target=server.stdout.read, daemon=True).start()
                yield int(found[1]), server.pid
                break
        else:
            raise AssertionError(seen.decode(errors="replace"))
    finally:
        server.terminate()
        server.wait(60)
