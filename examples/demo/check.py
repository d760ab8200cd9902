"""Do what a visitor of the demo would, and worse; exit 0 only if all of it went right.

    python examples/demo/check.py [--guaco PATH]

Starts `guaco up demo:app` on a free port with a SQLite file of its own, then:
asks over HTTP, starts a task over a WebSocket and follows it, kills the worker
that runs a task with SIGKILL, moves the clock to the next minute so that the
scheduler's tick is due, and ends the tree with SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

HERE = Path(__file__).resolve().parent


class Failed(Exception):
    """Something was not as it should be."""


def saw(text: str) -> None:
    print(f"  {text}", flush=True)


def expect(condition: object, text: str) -> None:
    if not condition:
        raise Failed(text)
    saw(text)


class Tree:
    """The running demo and what it has printed so far."""

    def __init__(self, guaco: str, folder: Path) -> None:
        self.clock = folder / "clock"
        self.clock.write_bytes(struct.pack("=q", 0))
        env = dict(os.environ, DEMO_QUEUE=f"sqlite:///{folder}/demo.db", GUACO_TEST_CLOCK=str(self.clock),
                   PYTHONUNBUFFERED="1")
        self.process = subprocess.Popen(
            [guaco, "up", "demo:app", "--bind", "127.0.0.1:0", "--python", sys.executable, "-w", "1", "-c", "2"],
            cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []
        self.news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def wait_line(self, pattern: str, after: int = 0, seconds: float = 20) -> re.Match[str]:
        """The first line from number `after` on that matches."""
        deadline = time.monotonic() + seconds
        with self.news:
            seen = after
            while True:
                for line in self.lines[seen:]:
                    if found := re.search(pattern, line):
                        return found
                seen = len(self.lines)
                if self.process.poll() is not None or not self.news.wait(deadline - time.monotonic()):
                    raise Failed(f"no line like {pattern!r} in {seconds:g} s; the demo printed:\n"
                                 + "\n".join(self.lines[-30:]))

    def move_clock(self, milliseconds: int) -> None:
        """Shift the wall clock of every process of the tree, at once."""
        with open(self.clock, "r+b") as file:
            file.write(struct.pack("=q", milliseconds * 1_000_000))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def start(socket: ClientConnection, number: int, steps: int, pause: float) -> None:
    socket.send(json.dumps({"number": number, "steps": steps, "pause": pause}))


def events(socket: ClientConnection, number: int) -> Iterator[dict[str, Any]]:
    while True:
        event = json.loads(socket.recv(timeout=20))
        if event["number"] == number:
            yield event


def follow(socket: ClientConnection, number: int) -> tuple[list[float], str]:
    """The progress values and the result of a task."""
    progress = []
    for event in events(socket, number):
        if event["kind"] == "progress":
            progress.append(event["value"])
        else:
            return progress, event["value"]
    raise AssertionError("events() ends only by an exception")


def process_of(result: str) -> int:
    return int(result.rpartition(" ")[2])


def check(tree: Tree) -> None:
    url = tree.wait_line(r"(http://\S+:\d+)")[1].rstrip("/")
    saw(f"up at {url}")

    expect(get(url) == {"hello": "world"}, "GET / answers the seed's {'hello': 'world'}")
    with urllib.request.urlopen(f"{url}/demo", timeout=10) as response:
        expect(b"Start a task" in response.read(), "GET /demo is the page with the button")
    expect(get(f"{url}/add?a=20&b=22") == {"sum": 42}, "add_numbers(20, 22) ran in a worker: 42")

    with connect(url.replace("http", "ws", 1) + "/watch") as socket:
        start(socket, 1, steps=5, pause=0.02)
        progress, result = follow(socket, 1)
        expect(progress == [0.2, 0.4, 0.6, 0.8, 1.0], f"a task's progress over the WebSocket: {progress}")
        victim = process_of(result)
        expect(victim != tree.process.pid, f"its result: {result}")

        start(socket, 2, steps=20, pause=0.05)
        next(events(socket, 2))
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        saw(f"killed process {victim} in mid-task")
        first = next(e for e in events(socket, 2) if e["kind"] == "progress" and e["value"] == 0.05)
        saw(f"the task began again {time.monotonic() - killed:.2f} s later, at {first['value']:.0%}")
        _, result = follow(socket, 2)
        expect(process_of(result) != victim, f"and ended in another process: {result}")

    begun = len(tree.lines)
    now = time.time()
    tree.move_clock(round((60 - now % 60 - 1) * 1000))
    tree.wait_line("finished data", after=begun, seconds=10)
    saw("the clock moved to a second before the minute: nightly_task ticked")

    expect(tree.stop() == 0, "SIGTERM: the tree drained and exited with 0")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guaco", default=os.environ.get("GUACO_EXE") or shutil.which("guaco"))
    options = parser.parse_args()
    if options.guaco is None:
        parser.error("no guaco on PATH; name it by --guaco")

    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(options.guaco, Path(folder))
        try:
            check(tree)
        except (Failed, OSError, TimeoutError, subprocess.TimeoutExpired) as failure:
            print(f"demo-check: NOT RIGHT: {failure or type(failure).__name__}", file=sys.stderr)
            print("\n".join(f"    | {line}" for line in tree.lines[-30:]), file=sys.stderr)
            return 1
        finally:
            tree.kill()
    print("demo-check: all right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
