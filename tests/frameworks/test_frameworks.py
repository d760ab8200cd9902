"""The same smoke test for an application in each framework: 4 workers, plain and TLS.

The frameworks come from PyPI into one environment, made once, and a case is skipped
where there is none.  Not part of `make test`: `make frameworks`.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

import pytest

from .apps import FRAMEWORKS, PIECES

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from peers import with_packages  # noqa: E402

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def python() -> str:
    packages = sorted({p for needed in FRAMEWORKS.values() for p in needed})
    try:
        return str(with_packages(sys.executable, packages))
    except subprocess.CalledProcessError:
        pytest.skip("the frameworks cannot be installed: no PyPI")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


class Site:
    """A served application, asked over fresh connections: each meets some worker."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        self.port = port
        self.tls = tls

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection: HTTPConnection
        if self.tls is None:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        else:
            connection = HTTPSConnection(
                "127.0.0.1", self.port, timeout=DEADLINE_S, context=self.tls
            )
        try:
            named = {k.replace("_", "-"): v for k, v in headers.items()}
            connection.request(method, path, body or None, named)
            answer = connection.getresponse()
            return (
                answer.status,
                {k.lower(): v for k, v in answer.getheaders()},
                answer.read(),
            )
        finally:
            connection.close()


@pytest.fixture(params=["plain", "tls"])
def site(
    request: pytest.FixtureRequest, framework: str, python: str, certificate: pathlib.Path
) -> Iterator[Site]:
    exe = os.environ.get("GUACO_EXE") or shutil.which("guaco")
    assert exe is not None
    tls = None
    command = [exe, "serve", f"tests.frameworks.apps:{framework}_app", "--port", "0",
               "-w", "4", "--app-dir", str(ROOT), "--python", python,
               "--no-access-log"]  # fmt: skip
    if request.param == "tls":
        tls = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
        command += ["--ssl-certfile", str(certificate / "cert.pem"),
                    "--ssl-keyfile", str(certificate / "key.pem")]  # fmt: skip
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield Site(port_of(server), tls)
    finally:
        server.terminate()
        assert server.wait(DEADLINE_S) == 0


def port_of(server: subprocess.Popen[bytes]) -> int:
    assert server.stdout is not None
    seen = b""
    for line in server.stdout:
        seen += line
        if found := re.search(rb"listening on https?://[\d.]+:(\d+)", line):
            # Read on, so that the server never waits for a full pipe.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return int(found[1])
    pytest.fail("the server did not start:\n" + seen.decode(errors="replace"))


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Any:
    return request.param


def upload_of(content: bytes) -> tuple[bytes, str]:
    return (
        b"--limit\r\n"
        b'Content-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
        + content
        + b"\r\n--limit--\r\n",
        "multipart/form-data; boundary=limit",
    )


@pytest.mark.timeout(180)
def test_hello_to_forms(site: Site) -> None:
    for _ in range(8):
        assert site.ask("GET", "/")[::2] == (200, b"hello")

    status, headers, body = site.ask("GET", "/json?name=w%C3%B6rld")
    assert status == 200
    assert headers["content-type"].startswith("application/json")
    scheme = "https" if site.tls is not None else "http"
    assert json.loads(body) == {"hello": "wörld", "scheme": scheme}

    form = "application/x-www-form-urlencoded"
    status, headers, body = site.ask("POST", "/form", b"name=a%26b", Content_Type=form)
    assert (status, body) == (200, b"a&b no")
    cookie = headers["set-cookie"].partition(";")[0]
    assert cookie == "seen=yes"
    status, _, body = site.ask(
        "POST", "/form", b"name=x", Content_Type=form, Cookie=cookie
    )
    assert (status, body) == (200, b"x yes")

    for size in (0, 10, 300_000):
        data, kind = upload_of(bytes(size))
        status, _, body = site.ask("POST", "/upload", data, Content_Type=kind)
        assert (status, body) == (200, b"%d a.bin" % size)

    assert site.ask("GET", "/stream")[::2] == (200, "".join(PIECES).encode())
    assert site.ask("HEAD", "/")[2] == b""
    assert site.ask("GET", "/missing")[0] == 404
    assert site.ask("GET", "/error")[0] == 500
    assert site.ask("GET", "/")[0] == 200
