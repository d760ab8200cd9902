"""CPU microseconds per request of every gateway, side by side, in one run.

    python bench/server/run.py [--python 3.11] [--seconds 3] [--rounds 3]
                               [--case hello ...] [--only NAME ...] [--guaco PATH]

Each server runs one worker on processor 0, `wrk` with 64 keep-alive connections
on processor 1.  The figure is user plus system time of the server's processes
(from the scheduler's own nanosecond accounting) divided by the requests that
wrk saw answered with 2xx; rates are printed beside it, but on a two-core
machine they say as much about the client.  Rounds go through all servers in
turn, so that a drift of the machine's speed meets them alike; the minimum and
the median over the rounds are printed.

Cases: hello (wrk's own two headers), browser (13 headers of a browser),
pipelined (16 requests a write), starlette (a framework's JSON page), tls (hello
over TLS), h2c and h2 (hello over HTTP/2 without TLS and with it, by h2load with
8 connections of 16 streams).
The floors: F answers a fixed response from C without looking at the request,
FA makes the ASGI call from C with no loop, no task and no limits.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from peers import cpu_model, interpreter, with_packages  # noqa: E402
from processes import cpu_ns, tree  # noqa: E402

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Connection": "keep-alive",
    "Cookie": "session=8c1f0e6ad1b54c0c9c6f; theme=dark; consent=1",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
    "Priority": "u=0, i",
}  # and wrk's Host: 13

UVICORN = "uvicorn==0.54.0"


@dataclasses.dataclass(frozen=True)
class Server:
    """One row: how it is started, and which cases it can answer."""

    name: str
    interface: str  # "asgi", "wsgi" or "c"
    command: Callable[[Context, int, str], list[str]]
    packages: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ("3.11", "3.12", "3.13", "3.14", "3.15")
    # What is added to the command for the cases of SECURE; a server is asked only
    # for those that stand here.  CERT and KEY stand for the files.
    more: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    only_more: bool = False  # it has rows in those cases alone


@dataclasses.dataclass(frozen=True)
class Context:
    python: str
    version: str
    guaco: str
    build: Path

    def peer(self, server: Server) -> str:
        return str(with_packages(self.python, [*server.packages, "starlette==1.10.0"]))


def uvicorn(http: str, loop: str) -> Callable[[Context, int, str], list[str]]:
    def command(context: Context, port: int, app: str) -> list[str]:
        return ["-m", "uvicorn", f"apps:{app}", "--port", str(port), "--http", http, "--loop", loop,
                "--no-access-log", "--log-level", "warning"]
    return command


def granian(interface: str) -> Callable[[Context, int, str], list[str]]:
    def command(context: Context, port: int, app: str) -> list[str]:
        return ["-m", "granian", f"apps:{app}", "--port", str(port), "--interface", interface, "--workers", "1",
                "--loop", "uvloop", "--log-level", "warning"]
    return command


def fastpysgi(context: Context, port: int, app: str) -> list[str]:
    return ["-c", f"import apps, fastpysgi; fastpysgi.run(apps.{app}, '127.0.0.1', {port})"]


def gunicorn(worker: str) -> Callable[[Context, int, str], list[str]]:
    def command(context: Context, port: int, app: str) -> list[str]:
        return ["-m", "gunicorn", f"apps:{app}", "-b", f"127.0.0.1:{port}", "-k", worker, "--threads", "4",
                "--keep-alive", "60", "--log-level", "warning"]
    return command


def uwsgi(context: Context, port: int, app: str) -> list[str]:
    return ["@uwsgi", "--http11-socket", f"127.0.0.1:{port}", "--module", f"apps:{app}", "--master", "--workers", "1",
            "--disable-logging", "--so-keepalive", "--need-app"]


def guaco(*extra: str) -> Callable[[Context, int, str], list[str]]:
    def command(context: Context, port: int, app: str) -> list[str]:
        return ["@guaco", "serve", f"apps:{app}", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--no-access-log",
                "--python", context.python, *extra]
    return command


CERT, KEY = "@cert", "@key"


def kinds(cert: str, key: str, tls: tuple[str, ...] | None = (), h2: tuple[str, ...] | None = None,
          h2c: bool = True) -> dict[str, tuple[str, ...]]:
    """The options of a server whose certificate's are `cert` and `key`: those that are
    added for HTTP/1 over TLS, and for HTTP/2; None where it has none."""
    files = (cert, CERT, key, KEY)
    more = {}
    if tls is not None:
        more["tls"] = files + tls
    if h2 is not None:
        more["h2"] = files + h2
        if h2c:
            more["h2c"] = h2
    return more


def hypercorn(context: Context, port: int, app: str) -> list[str]:
    return ["-m", "hypercorn", f"apps:{app}", "--bind", f"127.0.0.1:{port}", "--worker-class", "uvloop",
            "--log-level", "warning"]


SSL_FILES = ("--ssl-certfile", "--ssl-keyfile")
GUACO_KINDS = kinds(*SSL_FILES, h2=())

SERVERS = [
    Server("C floor (F)", "c", lambda c, port, app: ["@floor", str(port)]),
    Server("C floor, ASGI call (FA)", "asgi",
           lambda c, port, app: ["-c", FLOOR_ASGI.format(build=str(c.build), port=port, app=app)]),
    Server("guaco C guest", "c", lambda c, port, app: [
        "@guaco", "serve", str(guest()), "--bind", f"127.0.0.1:{port}", "--workers", "1", "--no-access-log"],
           more=GUACO_KINDS),
    Server("guaco ASGI", "asgi", guaco(), more=GUACO_KINDS),
    Server("guaco ASGI, access log", "asgi",
           guaco("--access-log", "--access-logfile", f"{tempfile.gettempdir()}/guaco-bench-access.log")),
    Server("uvicorn zttp+zuvloop", "asgi", uvicorn("zttp", "zuvloop"),
           (UVICORN, "zttp==0.0.35", "zuvloop==0.0.17"), ("3.14",), kinds(*SSL_FILES, h2=("--http2",))),
    Server("uvicorn httptools+uvloop", "asgi", uvicorn("httptools", "uvloop"),
           (UVICORN, "httptools==0.9.0", "uvloop==0.23.0"), ("3.11", "3.12", "3.13", "3.14"), kinds(*SSL_FILES)),
    Server("granian ASGI", "asgi", granian("asgi"), ("granian==2.8.7", "uvloop==0.23.0"), ("3.11", "3.12", "3.13", "3.14"),
           kinds("--ssl-certificate", "--ssl-keyfile", ("--http", "1"), ("--http", "2"))),
    Server("hypercorn", "asgi", hypercorn, ("hypercorn==0.18.0", "uvloop==0.23.0"), ("3.11", "3.12", "3.13", "3.14"),
           kinds("--certfile", "--keyfile", h2=()), only_more=True),
    Server("fastpysgi ASGI", "asgi", fastpysgi, ("fastpysgi==0.6",), ("3.11", "3.12", "3.13", "3.14")),
    Server("gunicorn asgi", "asgi", gunicorn("asgi"), ("gunicorn==27.0.1", "h2==4.3.0"),
           more=kinds("--certfile", "--keyfile", h2=("--http-protocols", "h2,h1"), h2c=False)),
    Server("guaco WSGI", "wsgi", guaco(), more=GUACO_KINDS),
    Server("guaco WSGI, 4 threads", "wsgi", guaco("--threads", "4")),
    Server("fastpysgi WSGI", "wsgi", fastpysgi, ("fastpysgi==0.6",), ("3.11", "3.12", "3.13", "3.14")),
    Server("granian WSGI", "wsgi", granian("wsgi"), ("granian==2.8.7", "uvloop==0.23.0"), ("3.11", "3.12", "3.13", "3.14")),
    Server("uWSGI http11-socket", "wsgi", uwsgi, ("uwsgi==2.0.31",), ("3.11",)),
    Server("gunicorn gthread", "wsgi", gunicorn("gthread"), ("gunicorn==27.0.1",)),
]

FLOOR_ASGI = """
import socket, sys
sys.path.insert(0, {build!r})
import apps, floor_asgi
s = socket.create_server(('127.0.0.1', {port}), backlog=1024)
floor_asgi.serve(s.fileno(), apps.{app})
"""

CASES = {
    "hello": ("c", "asgi", "wsgi"),
    "browser": ("c", "asgi", "wsgi"),
    "pipelined": ("c", "asgi", "wsgi"),
    "starlette": ("asgi",),
    "tls": ("c", "asgi", "wsgi"),
    "h2c": ("c", "asgi", "wsgi"),
    "h2": ("c", "asgi", "wsgi"),
}
SECURE = ("tls", "h2c", "h2")  # of which a server says what it can
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def guest() -> Path:
    return Path(os.environ.get("GUACO_BUILD", ROOT / "build")) / "examples" / "hello.so"


def lua(case: str) -> str | None:
    """The wrk script of a case, as text."""
    if case == "browser":
        return "".join(f'wrk.headers["{k}"] = "{v}"\n' for k, v in BROWSER.items())
    if case == "pipelined":
        return ('local batch\nfunction init(args)\n  local one = wrk.format("GET", "/")\n'
                "  batch = string.rep(one, 16)\nend\nfunction request() return batch end\n")
    return None


def build_floors(context: Context) -> None:
    """Compile the two floors into context.build."""
    cc = os.environ.get("CC", "cc")
    subprocess.run([cc, "-O2", "-D_GNU_SOURCE", "-o", str(context.build / "floor"),
                    str(HERE / "floor.c")], check=True)
    paths = subprocess.run([context.python, "-c", "import sysconfig; print(sysconfig.get_path('include'))"],
                           check=True, capture_output=True, text=True).stdout.strip()
    # Debian's unpacked interpreters keep pyconfig.h under a folder of the architecture beside it.
    more = [f"-I{p}" for p in (Path(context.python).resolve().parents[2] / "inc",) if p.exists()]
    subprocess.run([cc, "-O2", "-shared", "-fPIC", "-D_GNU_SOURCE", f"-I{paths}", *more,
                    "-o", str(context.build / "floor_asgi.so"), str(HERE / "floor_asgi.c")], check=True)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def make_certificate(build: Path) -> None:
    """cert.pem and key.pem, of a curve that every client has."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-days", "30", "-noenc", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-out", str(build / "cert.pem"), "-keyout", str(build / "key.pem")],
                   check=True, capture_output=True)


def argv_of(server: Server, context: Context, port: int, app: str, case: str) -> list[str]:
    command = server.command(context, port, app)
    files = {CERT: str(context.build / "cert.pem"), KEY: str(context.build / "key.pem")}
    command += [files.get(word, word) for word in server.more.get(case, ())]
    if command[0] == "@floor":
        return [str(context.build / "floor"), *command[1:]]
    if command[0] == "@guaco":
        if server.interface != "c":
            context.peer(SERVERS_BY_NAME["guaco ASGI"])
        return [context.guaco, *command[1:]]
    python = context.peer(server) if server.packages else context.python
    if command[0] == "@uwsgi":
        return [str(Path(python).parent / "uwsgi"), *command[1:]]
    return [python, *command]


def speaks_h2(port: int, case: str) -> bool:
    """Whether HTTP/2's preface is answered with SETTINGS."""
    try:
        with connect(port, case) as s:
            s.sendall(H2_PREFACE)
            return s.recv(9)[3:4] == b"\x04"
    except OSError:
        return False


def connect(port: int, case: str) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=2)
    if case not in ("tls", "h2"):
        return plain
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2" if case == "h2" else "http/1.1"])
    return context.wrap_socket(plain)


def answers(port: int, expect: bytes, case: str) -> bool:
    """Whether one request is answered with 200 and the body."""
    if case in ("h2c", "h2"):
        return speaks_h2(port, case)
    try:
        with connect(port, case) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            s.settimeout(2)
            data = b""
            while chunk := s.recv(65536):
                data += chunk
                if expect in data:
                    break
    except OSError:
        return False
    return data.startswith(b"HTTP/1.1 200") and expect in data


@contextmanager
def running(server: Server, context: Context, case: str) -> Iterator[tuple[int, int] | None]:
    app = "starlette" if case == "starlette" else "wsgi" if server.interface == "wsgi" else "asgi"
    port = free_port()
    env = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if server.name.startswith("guaco") and server.interface != "c":
        # Starlette for Guaco's own interpreter comes from the peers' environment.
        site = subprocess.run([context.peer(server), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                              check=True, capture_output=True, text=True).stdout.strip()
        env["PYTHONPATH"] += os.pathsep + site
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(["taskset", "-c", "0", *argv_of(server, context, port, app, case)], cwd=HERE, env=env,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 20
            expect = b'"world"' if case == "starlette" else b"Hello"
            while not answers(port, expect, case):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    print(f"{server.name}: does not answer:\n{log.read()[-2000:].decode(errors='replace')}",
                          file=sys.stderr)
                    yield None
                    return
                time.sleep(0.05)
            yield port, process.pid
        finally:
            for pid in tree(process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.wait()


def load_h2(port: int, case: str, seconds: int) -> tuple[int, float, str]:
    """The same by h2load."""
    scheme = "https" if case == "h2" else "http"
    run = subprocess.run(["taskset", "-c", "1", "h2load", "-D", str(seconds), "-c", "8", "-m", "16",
                          f"{scheme}://127.0.0.1:{port}/"], capture_output=True, text=True)
    done = re.search(r"(\d+) succeeded, (\d+) failed", run.stdout)
    rate = re.search(r"([\d.]+) req/s", run.stdout)
    if done is None or rate is None:
        return 0, 0.0, ((run.stderr or run.stdout).strip().splitlines() or ["h2load failed"])[-1][:80]
    return int(done[1]), float(rate[1]), "" if done[2] == "0" else f"{done[2]} failed"


def load(port: int, case: str, seconds: int, script: Path | None) -> tuple[int, float, str]:
    """Requests answered well, requests a second, and what wrk complained of."""
    if case in ("h2c", "h2"):
        return load_h2(port, case, seconds)
    scheme = "https" if case == "tls" else "http"
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", f"{scheme}://127.0.0.1:{port}/"]
    if script is not None:
        command[-1:-1] = ["-s", str(script)]
    run = subprocess.run(command, capture_output=True, text=True)
    out = run.stdout
    done = re.search(r"(\d+) requests in", out)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: (.*)", out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if done is None or rate is None:
        return 0, 0.0, (run.stderr or out).strip().splitlines()[-1][:80] if run.stderr or out else "wrk failed"
    complaint = " ".join(filter(None, [bad and f"{bad[1]} not 2xx", errors and errors[1]]))
    return int(done[1]) - int(bad[1] if bad else 0), float(rate[1]), complaint


def measure(server: Server, context: Context, case: str, seconds: int) -> tuple[float, float, str] | None:
    """CPU microseconds a request and requests a second; None when it did not answer."""
    script = None
    if text := lua(case):
        script = context.build / f"{case}.lua"
        script.write_text(text)
    with running(server, context, case) as up:
        if up is None:
            return None
        port, session = up
        load(port, case, 1, script)
        before = cpu_ns(session)
        count, rate, complaint = load(port, case, seconds, script)
        spent = cpu_ns(session) - before
    return (spent / 1000 / count if count else float("inf")), rate, complaint


SERVERS_BY_NAME = {s.name: s for s in SERVERS}


def report(version: str, results: dict[str, dict[str, list[tuple[float, float, str]]]]) -> None:
    for case, rows in results.items():
        print(f"\n### {case}, Python {version}\n")
        print("| server | CPU µs/request, min | median | requests/s, best | notes |\n|---|---|---|---|---|")
        for name, runs in rows.items():
            if not runs:
                print(f"| {name} | - | - | - | did not answer |")
                continue
            cpu = [r[0] for r in runs]
            if min(cpu) == float("inf"):
                print(f"| {name} | - | - | - | failed under load: {runs[0][2]} |")
                continue
            notes = next((r[2] for r in runs if r[2]), "")
            print(f"| {name} | {min(cpu):.2f} | {statistics.median(cpu):.2f} | {max(r[1] for r in runs):,.0f} | {notes} |")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sysconfig.get_python_version(), help="version or path")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=sorted(CASES))
    parser.add_argument("--only", action="append", help="a row whose name contains this")
    parser.add_argument("--guaco", default=os.environ.get("GUACO_EXE") or shutil.which("guaco"))
    options = parser.parse_args()

    if shutil.which("wrk") is None or len(os.sched_getaffinity(0)) < 2:
        print("bench/server: needs wrk and two processors; skipped", file=sys.stderr)
        return 0
    python = interpreter(options.python)
    if python is None:
        print(f"bench/server: no Python {options.python}; skipped", file=sys.stderr)
        return 0
    version = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_python_version())"],
                             check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as build:
        context = Context(python, version, options.guaco or "", Path(build))
        build_floors(context)
        make_certificate(context.build)
        servers = [s for s in SERVERS if version in s.pythons
                   and (not options.only or any(o in s.name for o in options.only))
                   and (context.guaco or not s.name.startswith("guaco"))]
        results: dict[str, dict[str, list[tuple[float, float, str]]]] = {}
        for case in options.case or CASES:
            if case in ("h2c", "h2") and shutil.which("h2load") is None:
                print("bench/server: HTTP/2 needs h2load; left out", file=sys.stderr)
                continue
            rows = results[case] = {
                s.name: [] for s in servers
                if s.interface in CASES[case] and (case in s.more if case in SECURE else not s.only_more)}
            for _ in range(options.rounds):
                for name in rows:
                    if (one := measure(SERVERS_BY_NAME[name], context, case, options.seconds)) is not None:
                        rows[name].append(one)
        print(f"{cpu_model()}, {time.strftime('%Y-%m-%d')}, Python {version}, "
              f"{options.rounds} rounds of {options.seconds} s, wrk -t1 -c64")
        report(version, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
