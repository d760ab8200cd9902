"""A headless Chromium, driven by WebDriver's protocol over plain HTTP."""

import base64
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from typing import Any

FLAGS = [
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--window-size=1260,900",
]


def is_here() -> bool:
    return bool(shutil.which("chromedriver") and shutil.which("chromium"))


class Browser:
    """One window of one session."""

    def __init__(self, port: int, folder: str) -> None:
        self.port = port
        options = {"args": [*FLAGS, f"--user-data-dir={folder}"]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
        session = self._call("POST", "/session", {"capabilities": wanted})
        self.path = f"/session/{session['sessionId']}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def do(self, method: str, path: str, body: Any = None) -> Any:
        return self._call(method, self.path + path, body)

    def open(self, url: str) -> None:
        self.do("POST", "/url", {"url": url})

    def run(self, script: str, *args: Any) -> Any:
        return self.do("POST", "/execute/sync", {"script": script, "args": list(args)})

    def click(self, css: str) -> None:
        found = self.do("POST", "/element", {"using": "css selector", "value": css})
        (element,) = found.values()
        self.do("POST", f"/element/{element}/click", {})

    def press(self, *keys: str) -> None:
        down_up = [{"type": t, "value": k} for k in keys for t in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keys", "actions": down_up}]
        self.do("POST", "/actions", {"actions": actions})

    def answer(self, text: str) -> None:
        """Type into the question that the page asks, and accept it."""
        self.do("POST", "/alert/text", {"text": text})
        self.do("POST", "/alert/accept", {})

    def screenshot(self, path: pathlib.Path) -> None:
        path.write_bytes(base64.b64decode(self.do("GET", "/screenshot")))


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            assert driver.stdout is not None
            for line in driver.stdout:
                if match := re.search(r"successfully on port (\d+)", line):
                    break
            else:
                raise RuntimeError("chromedriver did not start")
            one = Browser(int(match[1]), folder)
            try:
                yield one
            finally:
                one.do("DELETE", "")
    finally:
        driver.terminate()
        driver.wait()
