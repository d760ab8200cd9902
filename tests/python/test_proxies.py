"""Proxies in front, as ASGI and WSGI applications see them, in a Server, a worker
of ``guaco serve`` and a C guest's."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import pytest
from deadline import DEADLINE_S

import guaco
from served import Client, serve

ALL = {
    "x-forwarded-for": "6.6.6.6, 203.0.113.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "example.org",
    "x-forwarded-prefix": "/app",
}
LOCAL = "127.0.0.0/8, ::1"


class Scopes:
    def __init__(self):
        self.seen = []

    async def __call__(self, scope, receive, send):
        assert scope["type"] != "lifespan"
        self.seen.append(scope)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})


class Environs:
    def __init__(self):
        self.seen = []

    def __call__(self, environ, start_response):
        self.seen.append(dict(environ))
        start_response("204 No Content", [])
        return []


def test_a_scope_has_what_a_trusted_proxy_says():
    app = Scopes()
    with serve(app, forwarded_allow_ips=[LOCAL]) as s, s.connect() as client:
        client.request("GET", "/a%20b", ALL)
        client.request("GET", "/a%20b")
    told, plain = app.seen
    assert told["client"] == ("203.0.113.9", 0)
    assert told["scheme"] == "https"
    assert told["server"] == ("example.org", 443)
    assert told["root_path"] == "/app"
    assert told["path"] == "/app/a b"
    assert told["raw_path"] == b"/a%20b"
    assert (b"host", b"example.org") in told["headers"]
    assert (b"x-forwarded-for", b"6.6.6.6, 203.0.113.9") in told["headers"]
    assert plain["client"][0] == "127.0.0.1"
    assert plain["scheme"] == "http"
    assert (plain["root_path"], plain["path"]) == ("", "/a b")


def test_an_environ_has_what_a_trusted_proxy_says():
    app = Environs()
    with serve(app, interface="wsgi", forwarded_allow_ips="*") as s, \
            s.connect() as client:
        client.request("GET", "/a%20b", ALL)
        client.request("GET", "/a%20b")
    told, plain = app.seen
    assert told["REMOTE_ADDR"] == "6.6.6.6"  # * trusts every hop
    assert told["wsgi.url_scheme"] == "https"
    assert (told["SERVER_NAME"], told["SERVER_PORT"]) == ("example.org", "443")
    assert told["HTTP_HOST"] == "example.org"
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/app", "/a b")
    assert plain["REMOTE_ADDR"] == "127.0.0.1"
    assert plain["wsgi.url_scheme"] == "http"
    assert (plain["SCRIPT_NAME"], plain["PATH_INFO"]) == ("", "/a b")


@pytest.mark.parametrize("options", [
    {"forwarded_allow_ips": ["192.0.2.1"]},
    {"forwarded_allow_ips": [LOCAL], "forwarded_header": "forwarded"},
])
def test_what_nobody_vouched_for_is_taken_out(options):
    app = Scopes()
    with serve(app, **options) as s:
        s.get("/", **ALL)
    scope, = app.seen
    assert scope["client"][0] == "127.0.0.1"
    assert scope["scheme"] == "http"
    assert not [n for n, _ in scope["headers"] if n.startswith(b"x-forw")]


def test_without_trusted_proxies_fields_are_the_applications_affair():
    app = Scopes()
    with serve(app) as s:
        s.get("/", **ALL)
    scope, = app.seen
    assert scope["client"][0] == "127.0.0.1"
    assert (b"x-forwarded-proto", b"https") in scope["headers"]


def test_the_standard_field_is_read_by_choice():
    app = Scopes()
    with serve(app, forwarded_allow_ips=LOCAL,
               forwarded_header="forwarded") as s:
        s.get("/", forwarded='for="[2001:db8::1]:4711";proto=https;host=b.example')
    scope, = app.seen
    assert scope["client"] == ("2001:db8::1", 4711)
    assert scope["scheme"] == "https"
    assert scope["server"] == ("b.example", 443)


def test_schemes_that_contradict_are_400():
    app = Scopes()
    with serve(app, forwarded_allow_ips=LOCAL) as s:
        assert s.get("/", **{"x-forwarded-proto": "https, http"}).status == 400
    assert app.seen == []


def test_a_proxy_header_names_the_client():
    app = Scopes()
    with serve(app, proxy_protocol=True, proxy_allow_from=LOCAL) as s, \
            s.connect() as client:
        client.send(b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 443\r\n")
        client.request("GET", "/")
        client.request("GET", "/")
    assert [scope["client"] for scope in app.seen] == [("203.0.113.9", 4711)] * 2
    assert app.seen[0]["server"] == ("192.0.2.2", 443)


@pytest.mark.parametrize("options, text", [
    ({"forwarded_allow_ips": ["10.0.0.1/8"]}, "forwarded_allow_ips: '10.0.0.1/8'"),
    ({"forwarded_allow_ips": "example.org"}, "'example.org' is no address"),
    ({"proxy_protocol": True}, "PROXY"),
])
def test_a_bad_list_is_named(options, text):
    with pytest.raises(Exception, match=text):
        with serve(Scopes(), **options):
            pass
    with pytest.raises(TypeError):
        with serve(Scopes(), forwarded_allow_ips=[1]):
            pass


@pytest.mark.parametrize("kind", ["wsgi", "guest"])
def test_the_command_line_reads_them_and_logs_the_client(start, exe, tmp_path, kind):
    (tmp_path / "app.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('204 No Content', [])\n"
        "    return []\n")
    target = "app:app"
    if kind == "guest":
        target = str(pathlib.Path(exe).parents[2] / "examples" / "hello.so")
        if not os.path.exists(target):
            pytest.skip("the examples are not built")
    path = tmp_path / "s"
    tree = start("guaco", "serve", target, "--uds", path, "--python", sys.executable,
                 env={"FORWARDED_ALLOW_IPS": "unix"})
    tree.read_until("listening")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n"
                       b"x-forwarded-for: 203.0.113.9\r\n"
                       b"connection: close\r\n\r\n")
        while client.recv(4096):
            pass
    tree.read_until(r"^203\.0\.113\.9 - - \[")
    assert tree.stop() == 0


def test_guaco_run_knows_the_variable_of_gunicorn_and_uvicorn(monkeypatch):
    """FORWARDED_ALLOW_IPS holds where no option says otherwise."""
    seen = []

    class Server:
        def __init__(self, app, **options):
            seen.append(options["forwarded_allow_ips"])
            raise KeyboardInterrupt

    monkeypatch.setattr("guaco._run.Server", Server)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    for options in ({}, {"forwarded_allow_ips": "::1"}):
        with pytest.raises(KeyboardInterrupt):
            guaco.run(Scopes(), **options)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    with pytest.raises(KeyboardInterrupt):
        guaco.run(Scopes())
    assert seen == ["10.0.0.0/8", "::1", None]


# ---- proxies of others


HAPROXY = """
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend f
    bind 127.0.0.1:{front}
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    default_backend b
backend b
    server s 127.0.0.1:{back} {options}
"""


@pytest.fixture
def haproxy(tmp_path, free_port):
    """haproxy(back, options): HAProxy before the port `back`; its own port."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("haproxy is not installed")
    running = []

    def run(back, options):
        file = tmp_path / "haproxy.cfg"
        file.write_text(HAPROXY.format(front=free_port, back=back, options=options))
        running.append(subprocess.Popen([program, "-db", "-f", str(file)],
                                        stderr=subprocess.DEVNULL))
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", free_port), 5)
            except OSError:
                assert time.monotonic() < end and running[-1].poll() is None

    yield run
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2",
                                     "send-proxy-v2 proxy-v2-options unique-id,crc32c"])
def test_haproxy_says_who_the_client_is(haproxy, options):
    app = Scopes()
    with serve(app, proxy_protocol=True, proxy_allow_from="127.0.0.1") as s:
        with Client(haproxy(s.port, options)) as client:
            here = client.sock.getsockname()
            client.request("GET", "/")
    assert app.seen[0]["client"] == here
    assert app.seen[0]["scheme"] == "http"  # its fields are nobody's here


def test_haproxy_and_its_fields_are_believed(haproxy):
    app = Scopes()
    with serve(app, forwarded_allow_ips="127.0.0.1") as s:
        with Client(haproxy(s.port, "")) as client:
            client.request("GET", "/", {"x-forwarded-for": "203.0.113.9"})
    # The client's own word is on the left of HAProxy's: not trusted were it not
    # that the client is on 127.0.0.1 too, and so a proxy of ours.
    assert app.seen[0]["client"] == ("203.0.113.9", 0)
    assert app.seen[0]["scheme"] == "https"
