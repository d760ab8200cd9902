"""``static=``: files before an ASGI or WSGI application and before a C guest."""

import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import urllib.request

import pytest
from deadline import DEADLINE_S

from served import serve


@pytest.fixture
def public(tmp_path):
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "a.css").write_text("body {}\n" * 100)
    (folder / "a.css.gz").write_bytes(gzip.compress(b"body {}\n" * 100))
    (folder / "app.3f2a9c1b.js").write_text("1")
    return folder


async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"app"})


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]


@pytest.fixture(params=["asgi", "wsgi", "pool"])
def start_app(request):
    if request.param == "asgi":
        return lambda **options: serve(asgi, **options)
    threads = 4 if request.param == "pool" else 1
    return lambda **options: serve(wsgi, interface="wsgi", threads=threads, **options)


def test_files_come_before_the_application(start_app, public):
    with start_app(static=[f"/static={public}"]) as s, s.connect() as client:
        plain = client.request("GET", "/static/a.css")
        zipped = client.request("GET", "/static/a.css",
                                {"accept-encoding": "gzip"})
        again = client.request("GET", "/static/a.css",
                               {"if-none-match": plain["etag"]})
        part = client.request("GET", "/static/a.css", {"range": "bytes=0-3"})
        missing = client.request("GET", "/static/none")
        posted = client.request("POST", "/static/a.css", {"content-length": "0"})
        other = client.request("GET", "/statics")
    assert plain.body == (public / "a.css").read_bytes()
    assert plain["content-type"] == "text/css; charset=utf-8"
    assert gzip.decompress(zipped.body) == plain.body
    assert zipped["etag"] != plain["etag"]
    assert (again.status, part.status) == (304, 206)
    assert part.body == b"body"
    assert (missing.status, posted.status) == (404, 405)
    assert other.body == b"app"


@pytest.mark.skipif(not hasattr(threading, "setprofile_all_threads"),
                    reason="Python 3.12 or later")
def test_no_frame_of_python_runs_for_a_file(public):
    frames = []

    async def app(scope, receive, send):
        raise AssertionError("the application was asked")

    with serve(app, lifespan="off", static=f"/s={public}") as s, \
            s.connect() as client:
        client.request("GET", "/s/a.css")
        threading.setprofile_all_threads(lambda frame, event, arg: frames.append(
            frame.f_code.co_filename))
        try:
            for _ in range(5):
                assert client.request("GET", "/s/a.css").status == 200
        finally:
            threading.setprofile_all_threads(None)
    assert not [name for name in frames if "guaco" in name]


def test_options_reach_the_core(start_app, public):
    (public / ".hidden").write_text("x")
    with start_app(static=[f"/={public}"], static_max_age=60, static_immutable=True,
               static_index="a.css", static_dotfiles=True,
               static_precompressed=False) as s:
        plain = s.get("/", **{"accept-encoding": "gzip"})
        assert plain["cache-control"] == "public, max-age=60"
        assert "content-encoding" not in plain
        assert "immutable" in s.get("/app.3f2a9c1b.js")["cache-control"]
        assert s.get("/.hidden").status == 200
        assert s.get("/none").body == b"app"


@pytest.mark.parametrize("options, text", [
    ({"static": ["/s"]}, "ROUTE=FOLDER"),
    ({"static": ["/s=/no/such/folder"]}, "/no/such/folder"),
    ({"static": ["s=/"]}, "no route"),
    ({"static_index": "a/b"}, "static_index"),
    ({"static_max_age": -1}, "static_max_age"),
])
def test_a_bad_option_is_named(options, text):
    with pytest.raises(Exception, match=text):
        with serve(asgi, **options):
            pass


def test_descriptors_are_given_back(public):
    def count():
        return len(os.listdir("/proc/self/fd"))

    def once():
        with serve(asgi, static=[f"/s={public}"]) as s, s.connect() as client:
            for _ in range(5):
                client.request("GET", "/s/a.css")
                client.request("GET", "/s/a.css", {"range": "bytes=0-0,700-700"})
        with pytest.raises(Exception):
            with serve(asgi, static=[f"/s={public}", "/t=/no/such"]):
                pass

    once()
    before = count()
    once()
    assert count() <= before


@pytest.mark.parametrize("kind", ["wsgi", "guest"])
def test_the_command_line_serves_them(start_tree, public, kind):
    tree, url = start_tree(kind, "--static", f"/static={public}",
                           "--static-max-age", "1h")
    with urllib.request.urlopen(f"{url}/static/a.css") as answer:
        assert answer.read() == (public / "a.css").read_bytes()
        assert answer.headers["cache-control"] == "public, max-age=3600"
    assert tree.stop() == 0


@pytest.fixture
def start_tree(start, exe, tmp_path):
    def run(kind, *options):
        (tmp_path / "app.py").write_text(
            "def app(environ, start_response):\n"
            "    start_response('204 No Content', [])\n"
            "    return []\n")
        target = "app:app"
        if kind == "guest":
            target = str(pathlib.Path(exe).parents[2] / "examples" / "hello.so")
            if not os.path.exists(target):
                pytest.skip("the examples are not built")
        tree = start("guaco", "serve", target, "--bind", "127.0.0.1:0",
                             "--python", sys.executable, *options)
        return tree, tree.url()

    return run


def test_files_and_compression_are_the_same_over_http_2(public, tmp_path):
    """The layers know no protocol; curl speaks it."""
    curl = shutil.which("curl")
    if curl is None or b"HTTP2" not in subprocess.run(
            [curl, "--version"], capture_output=True).stdout:
        pytest.skip("no curl with HTTP/2")

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"a" * 5000,
                    "more_body": True})
        await send({"type": "http.response.body", "body": b"b" * 5000})

    def get(path, *headers):
        done = subprocess.run(
            [curl, "--http2-prior-knowledge", "-s", "-i", "--raw", f"{s.url}{path}",
             *(word for header in headers for word in ("-H", header))],
            capture_output=True, check=True, timeout=DEADLINE_S)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        return head.decode(), body

    with serve(app, lifespan="off", http2=True, compress=True,
               static=[f"/static={public}"]) as s:
        head, body = get("/static/a.css")
        assert head.startswith("HTTP/2 200")
        assert body == (public / "a.css").read_bytes()
        assert get("/static/a.css", "range: bytes=0-3")[1] == b"body"
        assert "304" in get("/static/a.css", "if-none-match: *")[0]
        assert "404" in get("/static/none")[0]
        head, body = get("/static/a.css", "range: bytes=0-1, 700-701")
        assert "multipart/byteranges" in head and b"700-701/800" in body
        head, body = get("/", "accept-encoding: gzip")
        assert "content-encoding: gzip" in head
        assert gzip.decompress(body) == b"a" * 5000 + b"b" * 5000
