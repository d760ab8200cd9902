"""nginx, HAProxy and Node, started privately on ports of their own.

The first two stand before a back end that takes whatever they pass on and says how
many requests that was, so that a request which is two to one of them is seen.
"""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

NAMES = ("nginx", "haproxy", "node")
START_S = 20.0

NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{back}; proxy_http_version 1.1; }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 512
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
    option http-buffer-request
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server s 127.0.0.1:{back}
"""

NODE = """
require('http').createServer((request, response) => {{
    request.on('data', () => {{}});
    request.on('end', () => response.end('ok'));
}}).listen({port}, '127.0.0.1');
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


class BackEnd:
    """Answers each request with 200 "ok"; trusts the framing, for it is a proxy's."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(
                    target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file, \
                contextlib.suppress(OSError, ValueError, OverflowError):
            while file.readline():
                self._skip_body(file, dict(self._fields(file)))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    @staticmethod
    def _fields(file: "socket.SocketIO") -> Iterator[tuple[bytes, bytes]]:
        while (line := file.readline().strip()):
            name, _, value = line.partition(b":")
            yield name.lower(), value.strip()

    @staticmethod
    def _skip_body(file: "socket.SocketIO", fields: dict[bytes, bytes]) -> None:
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            while size := int(file.readline().split(b";")[0], 16):
                file.read(size + 2)
            while file.readline().strip():
                pass
        else:
            file.read(int(fields.get(b"content-length", b"0")))


def command(name: str, folder: pathlib.Path, port: int, back: int) -> list[str] | None:
    """How to start it; None where it is not installed."""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        return None
    text = {"nginx": NGINX, "haproxy": HAPROXY, "node": NODE}[name]
    file = folder / ("app.js" if name == "node" else f"{name}.conf")
    file.write_text(text.format(folder=folder, port=port, back=back))
    return {
        "nginx": [program, "-p", str(folder), "-c", str(file)],
        "haproxy": [program, "-db", "-f", str(file)],
        "node": [program, str(file)],
    }[name]


@contextlib.contextmanager
def running(name: str, folder: pathlib.Path,
            skip: Callable[[str], None]) -> Iterator[int]:
    """Its port, while it runs; skip(reason) where it is not installed."""
    back = BackEnd()
    port = free_port()
    words = command(name, folder, port, back.port)
    if words is None:
        skip(f"{name} is not installed")
        return
    with open(folder / "out", "wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, cwd=folder)
    try:
        end = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((folder / "out").read_text()) from None
                time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()
        back.close()
