"""TLS seen from clients: what an application is told, what is refused, and how
certificates are changed."""

import asyncio
import json
import logging
import os
import pathlib
import signal
import socket
import ssl
import sys
import threading
import time

import pytest

import guaco
from certificates import Certificates, make_server
from guaco._interface import TargetError
from deadline import DEADLINE_S
from served import Client, serve

PLAIN_GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def certs(tmp_path_factory) -> Certificates:
    return make_server(tmp_path_factory.mktemp("tls"))


def options_of(certs, name="server", **more):
    return {
        "ssl_certfile": certs.path(f"{name}.pem"),
        "ssl_keyfile": certs.path(f"{name}.key"),
        "lifespan": "off",
        **more,
    }


def context_of(certs, client=None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certs.path("ca.pem"))
    if client is not None:
        context.load_cert_chain(
            certs.path(f"{client}.pem"), certs.path(f"{client}.key")
        )
    return context


def connect(served, context, host="localhost") -> Client:
    raw = socket.create_connection((served.host, served.port), DEADLINE_S)
    try:
        return Client(context.wrap_socket(raw, server_hostname=host))
    except BaseException:
        raw.close()
        raise


def get(served, context, path="/", **headers):
    with connect(served, context) as client:
        return client.request("GET", path, headers)


async def tell_scope(scope, receive, send):
    tls = scope["extensions"].get("tls")
    about = {
        "scheme": scope["scheme"],
        "tls": tls and {k: v for k, v in tls.items() if k != "server_cert"},
        "server_cert": bool(tls) and tls["server_cert"][:27],
    }
    body = json.dumps(about).encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


def tell_environ(environ, start_response):
    start_response("200 OK", [])
    names = ("wsgi.url_scheme", "HTTPS", "SSL_CLIENT_S_DN", "SSL_CLIENT_CERT")
    return [json.dumps({n: environ.get(n) for n in names}).encode()]


# ---- what an application is told


def test_a_proxy_header_comes_before_the_handshake(certs):
    """Not a byte behind it is taken, and what it says is told of the request."""
    context = context_of(certs)
    header = b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 443\r\n"
    options = options_of(certs, proxy_protocol=True, proxy_allow_from="127.0.0.1")
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["client"], scope["scheme"]))
        await tell_scope(scope, receive, send)

    with serve(app, **options) as s:
        for pieces in ([header], [header[i:i + 1] for i in range(len(header))]):
            raw = socket.create_connection((s.host, s.port), DEADLINE_S)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                raw.sendall(piece)
            with Client(context.wrap_socket(raw, server_hostname="localhost")) as c:
                assert c.request("GET", "/").status == 200
        assert seen == [(("203.0.113.9", 4711), "https")] * 2
        with pytest.raises((ssl.SSLError, OSError)):
            connect(s, context)  # TLS without it


def test_a_scope_has_the_scheme_and_the_extension(certs):
    with serve(tell_scope, **options_of(certs)) as served:
        told = json.loads(get(served, context_of(certs)).body)
    assert told["scheme"] == "https"
    assert told["server_cert"] == "-----BEGIN CERTIFICATE-----"
    assert told["tls"] == {
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": told["tls"]["cipher_suite"],
    }
    assert told["tls"]["cipher_suite"] in (0x1301, 0x1302, 0x1303)


def test_a_plain_scope_has_no_such_extension(certs):
    with serve(tell_scope, lifespan="off") as served:
        told = json.loads(served.get().body)
    assert told == {"scheme": "http", "tls": None, "server_cert": False}


def test_a_clients_certificate_is_told(certs):
    certs.make("ann", "Ann", signer="ca")
    options = options_of(
        certs,
        ssl_ca_certs=certs.path("ca.pem"),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
    with serve(tell_scope, **options) as served:
        told = json.loads(get(served, context_of(certs, "ann")).body)["tls"]
        with pytest.raises((ssl.SSLError, OSError)):
            get(served, context_of(certs))
    assert told["client_cert_name"] == "CN=Ann"
    # the client sends its CA too, which it knows
    assert len(set(told["client_cert_chain"])) == 2
    assert told["client_cert_chain"][0].startswith("-----BEGIN CERTIFICATE")


def test_an_environ_says_https(certs):
    certs.make("bob", "Bob", signer="ca")
    options = options_of(
        certs, ssl_ca_certs=certs.path("ca.pem"), ssl_cert_reqs="optional"
    )
    with serve(tell_environ, interface="wsgi", **options) as served:
        alone = json.loads(get(served, context_of(certs)).body)
        told = json.loads(get(served, context_of(certs, "bob")).body)
    assert alone == {
        "wsgi.url_scheme": "https",
        "HTTPS": "on",
        "SSL_CLIENT_S_DN": None,
        "SSL_CLIENT_CERT": None,
    }
    assert told["SSL_CLIENT_S_DN"] == "CN=Bob"
    assert told["SSL_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE")


def test_a_websocket_is_wss(certs):
    schemes = []

    async def app(scope, receive, send):
        schemes.append(scope["scheme"])
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
        await receive()

    with serve(app, **options_of(certs)) as served:
        with connect(served, context_of(certs)) as client:
            client.send(
                b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
                b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
                b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
                b"\x81\x82\0\0\0\0hi"
            )
            assert client.response().status == 101
            assert client.exactly(4) == b"\x81\x02hi"
    assert schemes == ["wss"]


# ---- bodies


def test_large_bodies_pass_both_ways(certs):
    async def echo(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        more = True
        while more:
            event = await receive()
            more = event["more_body"]
            await send(
                {
                    "type": "http.response.body",
                    "body": event["body"],
                    "more_body": more,
                }
            )

    body = os.urandom(3_000_000)
    with serve(echo, **options_of(certs)) as served:
        with connect(served, context_of(certs)) as client:
            sender = threading.Thread(
                target=client.send,
                args=(
                    b"POST / HTTP/1.1\r\nhost: localhost\r\n"
                    b"content-length: %d\r\n\r\n" % len(body) + body,
                ),
            )
            sender.start()
            answer = client.response()
            sender.join(DEADLINE_S)
    assert answer.body == body


def test_a_file_is_sent_without_sendfile(certs, tmp_path):
    content = os.urandom(500_000)
    (tmp_path / "file").write_bytes(content)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send(
            {"type": "http.response.pathsend", "path": str(tmp_path / "file")}
        )

    with serve(app, **options_of(certs)) as served:
        with connect(served, context_of(certs)) as client:
            for _ in range(2):
                assert client.request("GET", "/", {}).body == content


def test_pipelined_requests_in_one_record_are_answered_in_order(certs):
    async def app(scope, receive, send):
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200})
        await send(
            {"type": "http.response.body", "body": scope["path"].encode()}
        )

    requests = [f"/{i}" for i in range(200)]
    raw = b"".join(
        b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n" % p.encode()
        for p in requests
    )
    with serve(app, **options_of(certs)) as served:
        with connect(served, context_of(certs)) as client:
            client.send(raw)
            heard = [client.response().body.decode() for _ in requests]
    assert heard == requests


def test_a_response_ends_with_a_goodbye(certs):
    with serve(tell_scope, **options_of(certs)) as served:
        context = context_of(certs)
        with connect(served, context) as client:
            client.send(PLAIN_GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            assert client.response().status == 200
            assert client.sock.recv(1) == b""  # not SSLEOFError


# ---- who speaks something else


def test_http_to_the_port_of_https_is_told_so(certs):
    with serve(tell_scope, **options_of(certs)) as served:
        with served.connect() as client:
            client.send(PLAIN_GET)
            answer = client.response()
            assert client.rest() == b""
    assert answer.status == 400
    assert ("connection", "close") in answer.headers


def test_tls_to_a_plain_port_is_refused(certs):
    with serve(tell_scope, lifespan="off") as served:
        with pytest.raises((ssl.SSLError, OSError)):
            connect(served, context_of(certs))
        assert served.get().status == 200


def test_nonsense_and_short_handshakes_harm_nobody(certs):
    starts = [b"", b"\x16", b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\0" * 600]
    with serve(tell_scope, **options_of(certs)) as served:
        for start in starts:
            with served.connect() as client:
                client.send(start)
        assert get(served, context_of(certs)).status == 200


def test_a_handshake_has_its_time(certs):
    with serve(
        tell_scope, **options_of(certs, timeout_handshake=0.1)
    ) as served:
        with served.connect() as client:
            client.send(b"\x16\x03\x01")
            assert client.rest() == b""
        assert get(served, context_of(certs)).status == 200


# ---- changing certificates


def name_of(client: Client) -> str:
    subject = client.sock.getpeercert()["subject"]
    return dict(part[0] for part in subject)["commonName"]


def test_certificates_are_reloaded_for_new_connections(certs, caplog):
    first, key = certs.make("now", "first", names="DNS:localhost", signer="ca")
    context = context_of(certs)
    with serve(tell_scope, **options_of(certs, "now")) as served:
        with connect(served, context) as old:
            assert name_of(old) == "first"
            certs.make("now", "second", names="DNS:localhost", signer="ca")
            assert served.server.reload_certificates()
            assert old.request("GET", "/", {}).status == 200
            with connect(served, context) as client:
                assert name_of(client) == "second"
            pathlib.Path(key).write_text("broken")
            with caplog.at_level(logging.ERROR, "guaco"):
                assert not served.server.reload_certificates()
            assert "no private key" in caplog.text
            with connect(served, context) as client:
                assert name_of(client) == "second"


def test_certificates_are_chosen_by_name(certs):
    certs.make("one", "one", names="DNS:one.test", signer="ca")
    certs.make("two", "two", names="DNS:*.two.test", signer="ca")
    options = {
        "ssl_certfile": [certs.path(f"{n}.pem") for n in ("one", "two")],
        "ssl_keyfile": [certs.path(f"{n}.key") for n in ("one", "two")],
        "lifespan": "off",
    }
    with serve(tell_scope, **options) as served:
        for host, name in (("one.test", "one"), ("x.two.test", "two")):
            with connect(served, context_of(certs), host) as client:
                assert name_of(client) == name


# ---- what cannot start


def test_what_cannot_start_says_why(certs):
    certs.make("other")
    certs.make("locked", password="secret")
    cases = [
        ({"ssl_certfile": "/nowhere/x.pem"}, "/nowhere/x.pem"),
        ({"ssl_keyfile": certs.path("other.key")}, "is not the key of"),
        (options_of(certs, "locked"), "encrypted and no password"),
        (
            options_of(certs, "locked", ssl_keyfile_password="x"),
            "does not open the key",
        ),
        ({"ssl_ciphers": "NONE"}, "no cipher"),
    ]
    for more, why in cases:
        with pytest.raises(TargetError, match=why):
            with serve(tell_scope, **options_of(certs) | more):
                pass
    with serve(
        tell_scope, **options_of(certs, "locked", ssl_keyfile_password="secret")
    ) as served:
        assert served.server.started


def test_options_are_checked(certs):
    with pytest.raises(ValueError, match="none, optional, required"):
        guaco.Server(tell_scope, ssl_cert_reqs="maybe")
    with pytest.raises(ValueError, match=r"1\.2, 1\.3"):
        guaco.Server(tell_scope, ssl_min_version="1.1")


# ---- the whole tree


APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})
"""


def url_of(program, scheme: str) -> tuple[str, int]:
    match = program.read_until(rf"listening on {scheme}://([\d.]+):(\d+)")
    return match.group(1), int(match.group(2))


def fetch(address, context=None, session=None):
    raw = socket.create_connection(address, DEADLINE_S)
    if context is not None:
        raw = context.wrap_socket(
            raw, server_hostname="localhost", session=session
        )
    with Client(raw) as client:
        answer = client.request("GET", "/", {})
        if context is None:
            return answer.body, None
        return answer.body, (raw.session, raw.session_reused)


@pytest.fixture
def tree(start, tmp_path, certs):
    (tmp_path / "demo.py").write_text(APP)

    def run(*words, env=None):
        return start(
            "guaco",
            "serve",
            "demo:app",
            "--ssl-certfile",
            certs.path("server.pem"),
            "--ssl-keyfile",
            certs.path("server.key"),
            *words,
            env={"GUACO_PYTHON": sys.executable} | (env or {}),
        )

    return run


def test_a_tree_serves_both_kinds_and_shares_tickets(tree, certs):
    program = tree(
        "--bind", "127.0.0.1:0", "--bind", "http://127.0.0.1:0", "-w", "2"
    )
    plain = url_of(program, "http")
    address = url_of(program, "https")
    assert fetch(plain)[0] == b"http"
    context = context_of(certs)
    body, (session, _) = fetch(address, context)
    assert body == b"https"
    # Whichever worker takes it, the ticket opens.
    for _ in range(6):
        body, (session, reused) = fetch(address, context, session)
        assert body == b"https" and reused
    assert program.stop() == 0


def test_a_hangup_reloads_the_certificates_of_a_tree(
    tree, certs, tmp_path, start
):
    pair = certs.make("tree", "first", names="DNS:localhost", signer="ca")
    program = start(
        "guaco", "serve", "demo:app", "--bind", "127.0.0.1:0",
        "--ssl-certfile", pair[0], "--ssl-keyfile", pair[1],
        env={"GUACO_PYTHON": sys.executable},
    )  # fmt: skip
    address = url_of(program, "https")
    context = context_of(certs)

    def shown() -> str:
        raw = socket.create_connection(address, DEADLINE_S)
        with Client(
            context.wrap_socket(raw, server_hostname="localhost")
        ) as client:
            return name_of(client)

    assert shown() == "first"
    certs.make("tree", "second", names="DNS:localhost", signer="ca")
    program.process.send_signal(signal.SIGHUP)
    program.read_until("reloaded")
    end = time.monotonic() + DEADLINE_S
    # The worker before may take a connection more until it is told to drain.
    while shown() != "second":
        assert time.monotonic() < end
    pathlib.Path(pair[1]).write_text("broken")
    program.output = ""
    program.process.send_signal(signal.SIGHUP)
    program.read_until("no private key")
    program.read_until("the workers before it go on")
    assert shown() == "second"
    assert program.stop() == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--ssl-keyfile", "/nowhere.key"], "1 certificates"),
        (["--ssl-ca-certs", "/nowhere.pem"], "--ssl-cert-reqs"),
        (["--ssl-cert-reqs", "maybe"], "none|optional|required"),
    ],
)
def test_a_tree_that_cannot_start_ends_with_a_reason(tree, words, why):
    program = tree("--bind", "127.0.0.1:0", *words)
    assert program.wait() == 2
    assert why in program.output


def test_https_without_a_certificate_is_an_error(start, tmp_path):
    (tmp_path / "demo.py").write_text(APP)
    program = start(
        "guaco", "serve", "demo:app", "--bind", "https://127.0.0.1:0"
    )
    assert program.wait() == 2
    assert "needs --ssl-certfile" in program.output


def test_a_password_is_not_printed(tree, certs):
    program = tree(
        "--print-config", env={"GUACO_SSL_KEYFILE_PASSWORD": "hush"}
    )
    assert program.wait() == 0
    assert "hush" not in program.output
    assert "(hidden)" in program.output


def test_a_password_comes_from_the_environment(start, tmp_path, certs):
    certs.make(
        "kept", names="DNS:localhost", signer="ca", password="secret"
    )
    (tmp_path / "demo.py").write_text(APP)
    program = start(
        "guaco", "serve", "demo:app", "--bind", "127.0.0.1:0",
        "--ssl-certfile", certs.path("kept.pem"),
        "--ssl-keyfile", certs.path("kept.key"),
        env={
            "GUACO_PYTHON": sys.executable,
            "GUACO_SSL_KEYFILE_PASSWORD": "secret",
        },
    )  # fmt: skip
    address = url_of(program, "https")
    assert fetch(address, context_of(certs))[0] == b"https"
    assert program.stop() == 0


def test_a_guest_in_c_serves_https(start, certs, tmp_path):
    guest = pathlib.Path(os.environ["GUACO_EXE"]).parents[2] / "examples/hello.so"
    if not guest.exists():
        pytest.skip(f"no {guest}")
    program = start(
        "guaco", "serve", str(guest), "--bind", "127.0.0.1:0",
        "--ssl-certfile", certs.path("server.pem"),
        "--ssl-keyfile", certs.path("server.key"),
    )  # fmt: skip
    address = url_of(program, "https")
    raw = socket.create_connection(address, DEADLINE_S)
    context = context_of(certs)
    with Client(context.wrap_socket(raw, server_hostname="localhost")) as client:
        assert client.request("GET", "/", {}).status == 200
    assert program.stop() == 0
