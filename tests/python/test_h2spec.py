"""h2spec, the conformance suite of HTTP/2, strict cases included, against a
tree without TLS and with it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from certificates import make_server

MODULE = "github.com/summerwind/h2spec/cmd/h2spec@latest"
CASES = 146
INSTALL_S = 240

# Reads the whole request before it answers, as an application that has a use
# for it; else a case that sends bad DATA would come too late.
APP = """
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"Hello, world!"})
"""


@pytest.fixture(scope="session")
def h2spec() -> str:
    """The program, built once into .cache of the repository."""
    folder = pathlib.Path(__file__).parents[2] / ".cache" / "go"
    program = folder / "h2spec"
    if program.exists():
        return str(program)
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go to build h2spec with")
    try:
        built = subprocess.run(
            [go, "install", MODULE],
            env=os.environ | {"GOBIN": str(folder)},
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"h2spec was not built within {INSTALL_S} s")
    if built.returncode != 0:
        pytest.skip(f"h2spec cannot be built: {built.stderr[-300:]}")
    return str(program)


@pytest.mark.parametrize("kind", ["h2c", "tls"])
def test_h2spec_has_no_complaint(kind, h2spec, start, tmp_path):
    (tmp_path / "demo.py").write_text(APP)
    words = ["--bind", "127.0.0.1:0", "--no-access-log"]
    flags = ["-S", "-o", "1"]
    if kind == "tls":
        certs = make_server(tmp_path)
        words += ["--ssl-certfile", certs.path("server.pem")]
        words += ["--ssl-keyfile", certs.path("server.key")]
        flags += ["-t", "-k"]
    else:
        # What does not begin like HTTP/2 would be answered in HTTP/1.
        words += ["--no-http1"]
    program = start(
        "guaco", "serve", "demo:app", *words,
        env={"GUACO_PYTHON": sys.executable},
    )  # fmt: skip
    found = program.read_until(r"listening on https?://([\d.]+):(\d+)")
    told = subprocess.run(
        [h2spec, "-h", found[1], "-p", found[2], *flags],
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    summary = re.search(r"(\d+) tests, (\d+) passed", told)
    assert summary is not None, told
    assert summary.groups() == (str(CASES), str(CASES)), told
    assert program.stop() == 0
