"""HTTP/2 as applications see it: the same ASGI, WSGI and C guests, unchanged."""

import asyncio
import json
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys

import pytest

from certificates import make_server
from h2_client import RST_STREAM, H2Client
from deadline import DEADLINE_S
from served import in_thread, serve


def connect(served, **options) -> H2Client:
    raw = socket.create_connection((served.host, served.port), DEADLINE_S)
    return H2Client(raw, **options)


async def read_body(receive) -> bytes:
    body, more = b"", True
    while more:
        event = await receive()
        assert event["type"] == "http.request"
        body += event["body"]
        more = event["more_body"]
    return body


async def respond(send, body: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status})
    await send({"type": "http.response.body", "body": body})


# ---- ASGI


def test_a_scope_says_http_2():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await respond(send, b"hi")

    with serve(app, lifespan="off") as served, connect(served) as client:
        answer = client.get("/a%20b?q=1", ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"))
    assert (answer.status, answer.body) == (200, b"hi")
    scope = scopes[0]
    assert scope["http_version"] == "2"
    assert (scope["scheme"], scope["method"]) == ("http", "GET")
    assert (scope["path"], scope["raw_path"]) == ("/a b", b"/a%20b")
    assert scope["query_string"] == b"q=1"
    assert scope["headers"] == [
        (b"host", b"localhost"),
        (b"cookie", b"a=1; b=2"),
        (b"te", b"trailers"),
    ]
    assert scope["client"][0] == "127.0.0.1"
    assert {
        "http.response.pathsend",
        "http.response.trailers",
        "http.response.early_hint",
    } <= set(scope["extensions"])


def test_large_bodies_pass_both_ways_under_flow_control():
    async def echo(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        more = True
        while more:
            event = await receive()
            more = event["more_body"]
            await send({"type": "http.response.body", "body": event["body"], "more_body": more})

    body = os.urandom(2_000_000)
    with serve(echo, lifespan="off") as served, connect(served) as client:
        stream = client.begin("POST", "/", last=False)
        client.send(stream, body)
        assert client.wait(stream).body == body


def test_an_application_that_does_not_read_holds_its_client_back():
    may_read = asyncio.Event()
    seen = []

    async def app(scope, receive, send):
        await may_read.wait()
        body = await read_body(receive)
        seen.append(len(body))
        await respond(send, b"done")

    with serve(app, lifespan="off") as served, connect(served) as client:
        loop = served.server._loop
        stream = client.begin("POST", "/", last=False)
        client.send(stream, b"x" * 65535, last=False)
        client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while client.send_windows[stream] == 0:
                client.read()
        client.sock.settimeout(DEADLINE_S)
        loop.call_soon_threadsafe(may_read.set)
        client.send(stream, b"y" * 100_000)
        assert client.wait(stream).body == b"done"
    assert seen == [165_535]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("length", [6, 100_000, 262_144])
def test_an_early_answer_does_not_break_the_upload_of_curl(length, tmp_path):
    """curl before 8 takes what ends a stream in the midst of its upload for a
    failure of the stream: error 92."""

    async def app(scope, receive, send):
        await respond(send, b"early")

    (tmp_path / "body").write_bytes(b"x" * length)
    with serve(app, lifespan="off") as served:
        for _ in range(5):
            ran = subprocess.run(
                ["curl", "-sS", "--http2-prior-knowledge", "--max-time", str(DEADLINE_S),
                 "--data-binary", f"@{tmp_path / 'body'}", f"http://{served.host}:{served.port}/"],
                capture_output=True, check=False,
            )  # fmt: skip
            if ran.returncode == 2 or b"nsupported" in ran.stderr:
                pytest.skip("this curl has no HTTP/2")
            assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"early", b"")


def test_requests_of_one_connection_run_at_once():
    barrier = asyncio.Barrier(3)

    async def app(scope, receive, send):
        await barrier.wait()
        await respond(send, scope["path"].encode())

    with serve(app, lifespan="off") as served, connect(served) as client:
        streams = [client.begin("GET", f"/{i}") for i in range(3)]
        bodies = [client.wait(s).body for s in streams]
    assert bodies == [b"/0", b"/1", b"/2"]


def test_early_hints_trailers_and_files(tmp_path):
    (tmp_path / "file").write_bytes(b"f" * 50_000)

    async def app(scope, receive, send):
        if scope["path"] == "/file":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})
            return
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.early_hint", "links": [b"</s.css>"]})
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"4")]})

    with serve(app, lifespan="off") as served, connect(served) as client:
        answer = client.get("/", ("te", "trailers"))
        assert [h.get(":status") for h in answer.heads] == ["103", "200", None]
        assert answer.heads[2] == {"x-sum": "4"}
        assert answer.body == b"body"
        assert client.get("/file").body == b"f" * 50_000


def test_a_reset_is_a_disconnect():
    events = []

    async def app(scope, receive, send):
        await read_body(receive)
        events.append(await receive())
        done.set()

    with serve(app, lifespan="off") as served, connect(served) as client:
        done = asyncio.Event()
        stream = client.begin("GET", "/")
        client.frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        future = asyncio.run_coroutine_threadsafe(done.wait(), served.server._loop)
        future.result(DEADLINE_S)
    assert events == [{"type": "http.disconnect"}]


def test_an_exception_is_500_or_a_reset():
    async def app(scope, receive, send):
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise RuntimeError("on purpose")

    with serve(app, lifespan="off") as served, connect(served) as client:
        assert client.get("/").status == 500
        assert client.get("/late").reset == 2
        assert client.goaway is None


def test_a_websocket_over_http_2():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"] * 2})

    with serve(app, lifespan="off") as served, connect(served) as client:
        stream = client.begin(
            "CONNECT", "/ws", (":protocol", "websocket"), ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat"), last=False,
        )  # fmt: skip
        one = client.streams[stream]
        while not one.heads:
            client.read()
        assert one.heads[0][":status"] == "200"
        assert one.heads[0]["sec-websocket-protocol"] == "chat"
        client.send(stream, b"\x81\x82\0\0\0\0hi", last=False)
        while len(one.body) < 6:
            client.read()
        assert one.body == b"\x81\x04hihi"
        client.send(stream, b"\x88\x82\0\0\0\0\x03\xe8", last=False)
        assert client.wait(stream).body.endswith(b"\x88\x02\x03\xe8")
    assert scopes[0]["type"] == "websocket"
    assert (scopes[0]["http_version"], scopes[0]["scheme"]) == ("2", "ws")
    assert scopes[0]["subprotocols"] == ["chat"]


def test_a_shutdown_lets_streams_finish():
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await go_on.wait()
        await respond(send, b"late")

    def main():
        with serve(app, lifespan="off") as served, connect(served) as client:
            stream = client.begin("GET", "/")
            while served.server.stats().get("exchanges_open") != 1:
                pass
            served.server.should_exit = True
            while client.goaway is None:
                client.read()
            served.server._loop.call_soon_threadsafe(go_on.set)
            assert client.wait(stream).body == b"late"

    in_thread(main)


def test_http_2_can_be_switched_off():
    async def app(scope, receive, send):
        await respond(send, b"hi")

    with serve(app, lifespan="off", http2=False) as served, connect(served) as client:
        assert client.sock.recv(9) == b"HTTP/1.1 "


# ---- over TLS


def test_alpn_chooses_http_2(tmp_path):
    certs = make_server(tmp_path)

    async def app(scope, receive, send):
        await respond(send, f"{scope['http_version']} {scope['scheme']}".encode())

    options = {"ssl_certfile": certs.path("server.pem"), "ssl_keyfile": certs.path("server.key")}
    context = ssl.create_default_context(cafile=certs.path("ca.pem"))
    with serve(app, lifespan="off", **options) as served:
        for protocols, chosen in ((["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1")):
            context.set_alpn_protocols(protocols)
            raw = socket.create_connection((served.host, served.port), DEADLINE_S)
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                assert tls.selected_alpn_protocol() == chosen
                if chosen == "h2":
                    assert H2Client(tls).get().body == b"2 https"


# ---- WSGI and C


def test_wsgi_over_http_2():
    def app(environ, start_response):
        about = {
            "protocol": environ["SERVER_PROTOCOL"],
            "host": environ["HTTP_HOST"],
            "body": len(environ["wsgi.input"].read()),
        }
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(about).encode()]

    with serve(app, interface="wsgi") as served, connect(served) as client:
        stream = client.begin("POST", "/", last=False)
        client.send(stream, b"x" * 300_000)
        answer = client.wait(stream)
        assert json.loads(answer.body) == {
            "protocol": "HTTP/2",
            "host": "localhost",
            "body": 300_000,
        }


WRITES = """
def app(environ, start_response):
    write = start_response("200 OK", [])
    for _ in range(40):
        write(b"w" * 10_000)
    return []
"""


def test_the_write_of_wsgi_waits_for_windows(start, tmp_path):
    (tmp_path / "demo.py").write_text(WRITES)
    program = start(
        "guaco", "serve", "demo:app", "--bind", "127.0.0.1:0",
        env={"GUACO_PYTHON": sys.executable},
    )  # fmt: skip
    host, port = program.url().removeprefix("http://").split(":")
    with H2Client(socket.create_connection((host, int(port)), DEADLINE_S)) as client:
        assert client.get("/").body == b"w" * 400_000
    assert program.stop() == 0


def test_a_guest_in_c_over_http_2(start):
    guest = pathlib.Path(os.environ["GUACO_EXE"]).parents[2] / "examples/hello.so"
    if not guest.exists():
        pytest.skip(f"no {guest}")
    program = start("guaco", "serve", str(guest), "--bind", "127.0.0.1:0")
    host, port = program.url().removeprefix("http://").split(":")
    with H2Client(socket.create_connection((host, int(port)), DEADLINE_S)) as client:
        assert client.get("/").status == 200
    assert program.stop() == 0
