"""WSGI (PEP 3333) over HTTP/1.1, on the loop's thread and in a pool; every
application is run inside wsgiref.validate where that allows it."""

import asyncio
import gc
import io
import sys
import tempfile
import threading
import time
import weakref
from wsgiref.validate import validator

import pytest

from deadline import DEADLINE_S
from served import serve

TEXT = [("Content-Type", "text/plain")]


def simple(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello"]


def echo(environ, start_response):
    start_response("200 OK", TEXT)
    return [environ["wsgi.input"].read(-1)]


@pytest.fixture(params=[1, 4], ids=["inline", "pool"])
def threads(request):
    return request.param


@pytest.fixture
def served(threads):
    def start(app, check=True, **options):
        if check:
            app = validator(app)
        return serve(app, interface="wsgi", threads=threads, **options)

    return start


class Environs:
    def __init__(self):
        self.seen = []

    def __call__(self, environ, start_response):
        self.seen.append(dict(environ))
        return simple(environ, start_response)


# ---- the environ


def test_an_environ_is_what_the_pep_says(served, threads):
    app = Environs()
    with served(app) as s, s.connect() as client:
        client.request(
            "POST",
            "/a%20b/%C3%A9?x=%20y",
            {"content-type": "text/x", "x-one": "1", "cookie": "a=1"},
            b"body",
        )
        host, port = client.sock.getsockname()
    (environ,) = app.seen
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\u00c3\u00a9",
        "QUERY_STRING": "x=%20y",
        "REQUEST_URI": "/a%20b/%C3%A9?x=%20y",
        "SERVER_NAME": s.host,
        "SERVER_PORT": str(s.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": host,
        "REMOTE_PORT": str(port),
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "4",
        "HTTP_HOST": "example.org",
        "HTTP_X_ONE": "1",
        "HTTP_COOKIE": "a=1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": threads > 1,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {k: environ.get(k) for k in expected} == expected
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "PATH" not in environ  # nothing of os.environ
    assert type(environ) is dict


def test_repeated_fields_are_joined_and_underscores_dropped(served):
    app = Environs()
    with served(app) as s:
        s.ask(
            b"GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\r\nx-a: 2\r\nx-a: 2\r\n"
            b"cookie: a=1\r\ncookie: b=2\r\nx_a: evil\r\n\r\n"
        )
    (environ,) = app.seen
    assert environ["HTTP_X_A"] == "1,2,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_values_of_a_connection_are_not_mixed_up(served):
    app = Environs()
    with served(app) as s, s.connect() as client:
        for i in range(4):
            client.request("GET", f"/{i}", {"x-n": str(i), "x-same": "same"})
    assert [e["HTTP_X_N"] for e in app.seen] == ["0", "1", "2", "3"]
    assert [e["PATH_INFO"] for e in app.seen] == ["/0", "/1", "/2", "/3"]
    assert app.seen[1]["HTTP_X_SAME"] is app.seen[2]["HTTP_X_SAME"]


@pytest.mark.parametrize(
    ("path", "info"), [("/api/x", "/x"), ("/api", ""), ("/apix", "/apix")]
)
def test_the_root_path_is_the_script_name(served, path, info):
    app = Environs()
    with served(app, root_path="/api") as s:
        s.get(path)
    assert app.seen[0]["SCRIPT_NAME"] == "/api"
    assert app.seen[0]["PATH_INFO"] == info


def test_http_10_is_told_as_such(served):
    app = Environs()
    with served(app) as s:
        s.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert app.seen[0]["SERVER_PROTOCOL"] == "HTTP/1.0"


# ---- wsgi.input

BODY = b"one\ntwo\n\nthree without an end"


@pytest.mark.parametrize("padding", [0, 200_000], ids=["memory", "file"])
def test_the_input_reads_like_a_file(served, padding):
    body = BODY + b"\n" + b"x" * padding
    results = []

    def app(environ, start_response):
        stream = environ["wsgi.input"]
        like = io.BytesIO(body)
        for file in (stream, like):
            results.append(
                [
                    file.read(2),
                    file.readline(),
                    file.readline(2),
                    file.readline(-1),
                    file.readlines(1),
                    next(iter(file)),
                    file.read(),
                    file.read(5),
                    file.readline(),
                    file.readlines(),
                    list(file),
                ]
            )
        return simple(environ, start_response)

    with served(app, check=False) as s, s.connect() as client:
        assert client.request("POST", "/", {}, body).status == 200
    assert results[0] == results[1]


def test_the_input_takes_none_and_refuses_nonsense(served):
    def app(environ, start_response):
        stream = environ["wsgi.input"]
        with pytest.raises(TypeError):
            stream.read("x")
        with pytest.raises(TypeError):
            stream.read(1, 2)
        start_response("200 OK", TEXT)
        return [stream.read(None)]

    with served(app, check=False) as s, s.connect() as client:
        assert client.request("POST", "/", {}, b"abc").body == b"abc"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 2_000_000])
def test_bodies_come_whole(served, size):
    body = bytes(range(256)) * (size // 256 + 1)
    with served(echo) as s, s.connect() as client:
        for _ in range(2):
            answer = client.request("POST", "/", {}, body[:size])
            assert answer.body == body[:size]


def test_chunked_bodies_are_decoded_and_have_no_length(served):
    app = Environs()

    def both(environ, start_response):
        app(environ, lambda *a: None)
        return echo(environ, start_response)

    with served(both) as s:
        answer = s.ask(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n"
        )
    assert answer.body == b"hello"
    assert "CONTENT_LENGTH" not in app.seen[0]


# ---- start_response


def test_the_status_and_headers_are_sent(served):
    def app(environ, start_response):
        start_response("404 Not Here", [*TEXT, ("X-A", "\u00e9"), ("X-A", "2")])
        return [b"no"]

    with served(app, check=False) as s:
        answer = s.get()
    assert (answer.status, answer.body) == (404, b"no")
    assert answer["x-a"] == "\u00e9, 2"
    assert answer["content-length"] == "2"


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (200, [], TypeError),
        ("200", [], ValueError),
        ("20 OK", [], ValueError),
        ("100 Continue", [], ValueError),
        ("200 OK\r\nX: y", [], ValueError),
        ("200 OK", [("Content-Length", "1")] * 2, ValueError),
        ("200 OK", (), TypeError),
        ("200 OK", [["a", "b"]], TypeError),
        ("200 OK", [("a", 1)], TypeError),
        ("200 OK", [("a b", "c")], ValueError),
        ("200 OK", [("a", "b\r\nc: d")], ValueError),
        ("200 OK", [("a", "\u20ac")], ValueError),
        ("200 OK", [("Connection", "close")], ValueError),
        ("200 OK", [("Content-Length", "5x")], ValueError),
        ("200 OK", [("Content-Length", "5"), ("content-length", "6")], ValueError),
    ],
)
def test_wrong_responses_are_refused(served, status, headers, error):
    def app(environ, start_response):
        with pytest.raises(error):
            start_response(status, headers)
        return simple(environ, start_response)

    with served(app, check=False) as s:
        assert s.get().body == b"hello"


def test_a_second_start_needs_exc_info(served):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        with pytest.raises(AssertionError):
            start_response("500 No", TEXT)
        try:
            raise ValueError
        except ValueError:
            start_response("500 Replaced", TEXT, sys.exc_info())
        return [b"replaced"]

    with served(app, check=False) as s:
        answer = s.get()
    assert (answer.status, answer.body) == (500, b"replaced")


def test_exc_info_is_raised_again_once_headers_are_sent(served):
    caught = []
    done = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"begun"
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            try:
                start_response("500 Late", TEXT, exc_info=sys.exc_info())
            except ZeroDivisionError as exc:
                caught.append(exc)
        done.set()

    with served(app, check=False) as s:
        assert s.get().body == b"begun"
        assert done.wait(DEADLINE_S)
    assert len(caught) == 1


def test_start_response_may_come_with_the_first_piece(served):
    def app(environ, start_response):
        start_response("201 Made", TEXT)
        yield b""
        yield b"made"

    with served(app) as s:
        answer = s.get()
    assert (answer.status, answer.body) == (201, b"made")


def test_write_comes_before_the_iterable(served):
    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"a")
        write(b"b" * 100_000)
        return [b"c"]

    with served(app) as s:
        assert s.get().body == b"a" + b"b" * 100_000 + b"c"


@pytest.mark.parametrize("loop", [None, asyncio.new_event_loop], ids=["own", "asyncio"])
def test_other_threads_run_while_write_waits_for_the_client(served, loop):
    body = b"b" * 8_000_000

    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(body)
        return []

    # the client is such a thread: nobody reads while it does not run
    with served(app, loop_factory=loop) as s:
        assert s.get().body == body


# ---- the iterable


@pytest.mark.parametrize(
    ("pieces", "length"),
    [([], "0"), ([b""], "0"), ([b"a"], "1"), ([b"a", b"", b"bc"], "3")],
)
def test_lists_get_a_length(served, pieces, length):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return pieces

    with served(app, check=False) as s, s.connect() as client:
        for _ in range(2):
            answer = client.request("GET", "/")
            assert answer["content-length"] == length
            assert answer.body == b"".join(pieces)


def test_pooled_pieces_leave_before_the_next_is_asked_for():
    go_on = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"first"
        assert go_on.wait(DEADLINE_S)
        yield b"second"

    with serve(validator(app), interface="wsgi", threads=2) as s:
        with s.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            while b"first" not in client.buffer:
                client.buffer += client.sock.recv(65536)
            go_on.set()
            assert client.response().body == b"firstsecond"


def test_an_iterable_of_length_one_gets_a_content_length(served):
    class One:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter([b"only"])

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return One()

    with served(app, check=False) as s:
        answer = s.get()
    assert (answer["content-length"], answer.body) == ("4", b"only")


def test_inline_pieces_leave_before_the_next_is_asked_for():
    has_first = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"first"
        # The loop is blocked: only what has left is seen.
        assert has_first.wait(DEADLINE_S)
        yield b"second"

    with serve(app) as s, s.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        while b"first" not in client.buffer:
            client.buffer += client.sock.recv(65536)
        assert b"second" not in client.buffer
        has_first.set()
        assert client.response().body == b"firstsecond"


def test_a_slow_client_holds_the_iterable_back(served):
    produced = []

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        for _ in range(300):
            produced.append(1)
            yield b"x" * 65536

    with served(app) as s, s.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        client.line()
        count, last = -1, len(produced)
        while count != last:
            time.sleep(0.05)
            count, last = last, len(produced)
        assert len(produced) < 300
        client.fields()
        while size := int(client.line(), 16):
            client.exactly(size + 2)
    assert len(produced) == 300


class Closing:
    def __init__(self, pieces):
        self.pieces = iter(pieces)
        self.closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        self.closed.set()


def raising():
    yield b"a"
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "pieces", [[b"a", b"b"], [], raising(), ["text"], [b"a", 5]]
)
def test_close_is_always_called(served, pieces, caplog):
    result = Closing(pieces)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return result

    with served(app, check=False) as s:
        s.get()
        assert result.closed.wait(DEADLINE_S)


def test_close_is_called_when_the_client_leaves(served):
    def forever():
        while True:
            yield b"x" * 65536

    result = Closing(forever())

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return result

    with served(app, check=False) as s:
        with s.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            client.line()
        assert result.closed.wait(DEADLINE_S)


def test_more_than_the_length_is_cut_and_logged(served, caplog):
    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "3")])
        yield b"ab"
        yield b"cdef"

    with served(app, check=False) as s:
        assert s.get().body == b"abc"
    assert "longer than its Content-Length" in caplog.text


def test_less_than_the_length_closes_the_connection(served):
    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "3")])
        return [b"ab"]

    with served(app, check=False) as s:
        assert not s.get().is_whole


def test_head_and_304_have_no_body(served):
    def app(environ, start_response):
        start_response(environ["PATH_INFO"][1:] + " X", [("ETag", '"a"')])
        return [] if environ["PATH_INFO"] == "/304" else [b"body"]

    with served(app, check=False) as s, s.connect() as client:
        assert client.request("HEAD", "/200")["content-length"] == "4"
        assert client.request("GET", "/304").body == b""
        assert client.request("GET", "/200").body == b"body"


# ---- errors


def raises_early(environ, start_response):
    raise ZeroDivisionError


def never_starts(environ, start_response):
    return [b"x"]


def text_piece(environ, start_response):
    start_response("200 OK", TEXT)
    return ["text"]


def returns_none(environ, start_response):
    start_response("200 OK", TEXT)


@pytest.mark.parametrize(
    ("app", "text"),
    [
        (raises_early, "ZeroDivisionError"),
        (never_starts, "start_response was not called"),
        (text_piece, "yields bytes, not str"),
        (returns_none, "not iterable"),
    ],
)
def test_failures_are_answered_by_500_and_logged(served, app, text, caplog):
    with served(app, check=False) as s:
        assert s.get().status == 500
        assert s.get().status == 500
    assert caplog.text.count(text) >= 2


def test_an_exception_in_the_body_breaks_the_connection(served, caplog):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"a"
        raise ZeroDivisionError

    with served(app, check=False) as s:
        assert not s.get().is_whole
    assert "ZeroDivisionError" in caplog.text


# ---- files


@pytest.mark.parametrize("start", [0, 3])
def test_a_file_wrapper_sends_the_file_from_where_it_stands(
    served, tmp_path, start
):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 50_000)
    files = []

    def app(environ, start_response):
        file = path.open("rb")
        files.append(file)
        file.read(start)
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](file, 4096)

    with served(app) as s, s.connect() as client:
        for _ in range(2):
            assert client.request("GET", "/").body == path.read_bytes()[start:]
    assert all(file.closed for file in files)


def test_a_file_wrapper_stops_at_the_length(served, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "4")])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with served(app, check=False) as s:
        assert s.get().body == b"0123"


def test_a_file_wrapper_reads_what_is_no_file(served):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](io.BytesIO(b"0123456789"), 3)

    with served(app) as s:
        assert s.get().body == b"0123456789"


def test_an_empty_file_is_sent(served):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](tempfile.TemporaryFile())

    with served(app) as s:
        assert s.get().body == b""


# ---- threads and memory


def test_a_pool_runs_requests_side_by_side():
    together = threading.Barrier(4, timeout=DEADLINE_S)

    def app(environ, start_response):
        together.wait()
        return simple(environ, start_response)

    with serve(app, threads=4) as s:
        clients = [s.connect() for _ in range(4)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert [c.response().body for c in clients] == [b"hello"] * 4
        for client in clients:
            client.sock.close()


def test_pipelined_requests_are_answered_in_order(served):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return [environ["PATH_INFO"].encode()]

    with served(app) as s, s.connect() as client:
        client.send(
            b"".join(
                b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % i for i in range(20)
            )
        )
        bodies = [client.response().body for _ in range(20)]
    assert bodies == [b"/%d" % i for i in range(20)]


def test_a_thread_that_outlives_the_server_ends_in_peace():
    started = threading.Event()
    go_on = threading.Event()

    def forever():
        yield b"x"
        started.set()
        assert go_on.wait(DEADLINE_S)
        while True:
            yield b"x" * 1000

    result = Closing(forever())

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return result

    with serve(app, threads=2, timeout_graceful_shutdown=0.05) as s:
        client = s.connect()
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert started.wait(DEADLINE_S)
    client.sock.close()
    assert not result.closed.is_set()
    go_on.set()
    assert result.closed.wait(DEADLINE_S)


class Marker:
    pass


def test_a_request_is_freed_when_it_ends_without_the_collector(served):
    markers = []

    def app(environ, start_response):
        environ["marker"] = Marker()
        markers.append(weakref.ref(environ["marker"]))
        start_response("200 OK", TEXT)
        if environ["PATH_INFO"] == "/list":
            return [b"x"]
        return iter([b"x", b"y"])

    gc.collect()
    gc.disable()
    try:
        with served(app, check=False) as s, s.connect() as client:
            for _ in range(5):
                client.request("POST", "/list", {}, b"x" * 100)
                client.request("GET", "/iterator")
        alive = [m for m in markers if m() is not None]
    finally:
        gc.enable()
    assert len(markers) == 10
    assert alive == []


def test_the_interface_is_detected():
    with serve(simple) as s:
        assert s.get().body == b"hello"
