"""CPU microseconds per static file, beside nginx and granian, in one run.

    python bench/static/run.py [--python 3.11] [--seconds 3] [--rounds 3]
                               [--case page ...] [--only NAME ...] [--guaco PATH]

As bench/server: one worker on processor 0, `wrk` with 64 keep-alive connections
on processor 1, user plus system time of the server's processes divided by the
responses that were 2xx or 3xx.  Cases: page (4 KiB of CSS), zipped (its .gz
sibling, where a server has such), unchanged (If-None-Match or -Modified-Since),
large (1 MiB).  Guaco serves a C guest, so that nothing but files is measured.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "bench" / "server")]

from peers import cpu_model, interpreter, with_packages  # noqa: E402
from processes import cpu_ns, tree  # noqa: E402
from run import free_port  # noqa: E402

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/log crit;
events {{ worker_connections 512; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    types {{ text/css css; }} {cache}
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; location /static/ {{ alias {files}/; gzip_static on; }} }}
}}
"""
CACHE = "open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;"

Command = Callable[[Path, int, str, str], list[str] | None]  # folder, port, python, guaco


def nginx(cache: str) -> Command:
    def command(folder: Path, port: int, python: str, guaco: str) -> list[str] | None:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        conf = folder / "nginx.conf"
        conf.write_text(NGINX.format(folder=folder, port=port, files=folder / "files", cache=cache))
        return program and [program, "-p", str(folder), "-c", str(conf)]
    return command


def own(folder: Path, port: int, python: str, guaco: str) -> list[str] | None:
    guest = Path(os.environ.get("GUACO_BUILD", ROOT / "build")) / "examples" / "hello.so"
    return guaco and [guaco, "serve", str(guest), "--bind", f"127.0.0.1:{port}", "--no-access-log",
                      "--static", f"/static={folder / 'files'}"]


def granian(folder: Path, port: int, python: str, guaco: str) -> list[str] | None:
    peer = with_packages(python, ["granian==2.8.7", "uvloop==0.23.0"])
    (folder / "app.py").write_text("async def app(scope, receive, send):\n    pass\n")
    return [str(peer), "-m", "granian", "app:app", "--working-dir", str(folder), "--port", str(port), "--interface",
            "asgi", "--log-level", "critical", "--static-path-route", "/static", "--static-path-mount",
            str(folder / "files")]


SERVERS: dict[str, Command] = {
    "guaco": own, "nginx": nginx(""), "nginx, open_file_cache": nginx(CACHE), "granian": granian,
}
CASES = ("page", "zipped", "unchanged", "large")


def script_of(case: str, port: int) -> str:
    """The wrk script of a case; "unchanged" sends back what the server calls this version."""
    headers = {"zipped": {"Accept-Encoding": "gzip"}}.get(case, {})
    if case == "unchanged":
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/static/page.css") as answer:
            tag, date = answer.headers["etag"], answer.headers["last-modified"]
        headers = {"If-None-Match": tag} if tag else {"If-Modified-Since": date} if date else {}
    return "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in headers.items())


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/static/page.css", timeout=2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield process.pid
    finally:
        for pid in tree(process.pid):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        process.wait()


def load(port: int, case: str, seconds: int, script: Path) -> tuple[int, int]:
    """Responses, and those of them that were no success."""
    name = "large.bin" if case == "large" else "page.css"
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", "-s", str(script),
                          f"http://127.0.0.1:{port}/static/{name}"], capture_output=True, text=True).stdout
    words = out.split()
    done = int(words[words.index("requests") - 1]) if "requests" in words else 0
    bad = int(words[words.index("responses:") + 1]) if "responses:" in words else 0
    return done, bad


def measure(command: Command, case: str, seconds: int, python: str, guaco: str) -> float | None:
    """CPU microseconds a response; None where the server is not there or failed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = folder / "files"
        files.mkdir()
        text = b"body { color: red; }\n" * 195
        (files / "page.css").write_bytes(text)
        (files / "page.css.gz").write_bytes(gzip.compress(text))
        (files / "large.bin").write_bytes(os.urandom(1 << 20))
        for file in files.iterdir():
            os.utime(file, (1e9, 1e9))
        port = free_port()
        words = command(folder, port, python, guaco)
        if not words:
            return None
        with running(words, port) as session:
            script = folder / "case.lua"
            script.write_text(script_of(case, port))
            load(port, case, 1, script)
            before = cpu_ns(session)
            done, bad = load(port, case, seconds, script)
            spent = cpu_ns(session) - before
    return spent / 1000 / done if done and not bad else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.11")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--only", action="append", choices=sorted(SERVERS))
    parser.add_argument("--guaco", default=os.environ.get("GUACO_EXE") or shutil.which("guaco"))
    options = parser.parse_args()
    python = interpreter(options.python)
    if shutil.which("wrk") is None or len(os.sched_getaffinity(0)) < 2 or python is None:
        print("bench/static: needs wrk, two processors and the interpreter; skipped", file=sys.stderr)
        return 0
    print(f"{cpu_model()}, {time.strftime('%Y-%m-%d')}, {options.rounds} rounds of {options.seconds} s")
    for case in options.case or CASES:
        rows: dict[str, list[float]] = {name: [] for name in options.only or SERVERS}
        for _ in range(options.rounds):
            for name, figures in rows.items():
                if (one := measure(SERVERS[name], case, options.seconds, python, options.guaco)) is not None:
                    figures.append(one)
        print(f"\n### static, {case}\n\n| server | CPU µs/response, min | median |\n|---|---|---|")
        for name, figures in rows.items():
            print(f"| {name} | {min(figures):.2f} | {statistics.median(figures):.2f} |" if figures
                  else f"| {name} | - | did not answer |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
