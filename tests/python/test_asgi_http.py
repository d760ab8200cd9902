"""ASGI over HTTP/1.1: the scope, receive() and send(), by raw sockets."""

import asyncio
import contextvars
import gc
import logging
import socket
import struct
import threading
import weakref

import pytest

from guaco import ClientDisconnected
from deadline import DEADLINE_S
from served import serve


def respond(status=200, headers=(), body=b"", more_body=False):
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body, "more_body": more_body},
    ]


async def hello(scope, receive, send):
    for message in respond(body=b"hello", headers=[(b"x-a", b"1")]):
        await send(message)


def sender(*messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


async def body_of(receive):
    body = b""
    while True:
        event = await receive()
        assert event["type"] == "http.request"
        body += event["body"]
        if not event["more_body"]:
            return body


async def echo(scope, receive, send):
    for message in respond(body=await body_of(receive)):
        await send(message)


class Scopes:
    """An application that keeps the scopes it was given."""

    def __init__(self):
        self.seen = []

    async def __call__(self, scope, receive, send):
        self.seen.append(scope)
        for message in respond(body=b"ok"):
            await send(message)


# ---- the scope


def test_a_scope_has_the_keys_of_the_specification():
    app = Scopes()
    with serve(app, lifespan="off") as served, served.connect() as client:
        client.request("GET", "/a%20b/%C3%A9?q=%20", {"X-Y": "z", "x_y": " w "})
        peer = client.sock.getsockname()
    (scope,) = app.seen
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "GET"
    assert scope["scheme"] == "http"
    assert scope["path"] == "/a b/é"
    assert scope["raw_path"] == b"/a%20b/%C3%A9"
    assert scope["query_string"] == b"q=%20"
    assert scope["root_path"] == ""
    assert scope["headers"] == [
        (b"host", b"example.org"),
        (b"x-y", b"z"),
        (b"x-y", b"w"),
    ]
    assert scope["client"] == peer
    assert scope["server"] == (served.host, served.port)
    assert "state" not in scope
    assert set(scope["extensions"]) == {
        "http.response.pathsend",
        "http.response.zerocopysend",
        "http.response.early_hint",
    }


def test_every_request_has_a_scope_of_its_own():
    app = Scopes()
    with serve(app, lifespan="off") as served, served.connect() as client:
        for _ in range(3):
            client.request("GET", "/same", {"user-agent": "one"})
        client.request("GET", "/same", {"user-agent": "two"})
    first, second, third, fourth = app.seen
    assert first == second == third
    assert first is not second
    for key in ("asgi", "extensions", "headers"):
        assert first[key] is not second[key]
    for name in first["extensions"]:
        assert first["extensions"][name] is not second["extensions"][name]
    assert fourth["headers"][1] == (b"user-agent", b"two")
    # What cannot be changed is shared while the client sends the same bytes.
    assert second["headers"][1] is third["headers"][1]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PROPFIND"])
def test_the_method_is_given_as_it_came(method):
    app = Scopes()
    with serve(app, lifespan="off") as served, served.connect() as client:
        client.request(method, "/")
    assert app.seen[0]["method"] == method


def test_undecodable_paths_do_not_fail():
    app = Scopes()
    with serve(app, lifespan="off") as served:
        assert served.get("/%ff%zz").status == 200
    assert app.seen[0]["path"] == "/\ufffd%zz"
    assert app.seen[0]["raw_path"] == b"/%ff%zz"


def test_the_root_path_is_part_of_the_path():
    app = Scopes()
    with serve(app, lifespan="off", root_path="/api/") as served:
        served.get("/x")
    assert app.seen[0]["root_path"] == "/api"
    assert app.seen[0]["path"] == "/api/x"
    assert app.seen[0]["raw_path"] == b"/x"


def test_http_10_is_told_as_such():
    app = Scopes()
    with serve(app, lifespan="off") as served:
        answer = served.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert app.seen[0]["http_version"] == "1.0"
    assert answer.status == 200


def test_trailers_are_offered_to_those_who_take_them():
    app = Scopes()
    with serve(app, lifespan="off") as served:
        served.get("/", te="trailers", connection="te")
    assert "http.response.trailers" in app.seen[0]["extensions"]


# ---- receive()


def test_a_request_without_a_body_still_has_one_event():
    events = []

    async def app(scope, receive, send):
        events.append(await receive())
        await hello(scope, receive, send)
        events.append(await receive())
        events.append(await receive())

    with serve(app, lifespan="off") as served:
        assert served.get().body == b"hello"
    assert events == [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
        {"type": "http.disconnect"},
    ]


@pytest.mark.parametrize("size", [1, 1000, 70_000, 3_000_000])
def test_bodies_come_whole(size):
    body = bytes(range(256)) * (size // 256 + 1)
    with serve(echo, lifespan="off") as served, served.connect() as client:
        assert client.request("POST", "/", {}, body[:size]).body == body[:size]
        assert client.request("GET", "/").body == b""


def test_chunked_bodies_are_decoded():
    with serve(echo, lifespan="off") as served:
        answer = served.ask(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
        )
    assert answer.body == b"hello world"


def test_pieces_are_handed_out_as_they_come():
    pieces = []
    got_one = threading.Event()

    async def app(scope, receive, send):
        while True:
            event = await receive()
            pieces.append(event["body"])
            got_one.set()
            if not event["more_body"]:
                break
        await hello(scope, receive, send)

    with serve(app, lifespan="off") as served, served.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
        assert got_one.wait(DEADLINE_S)
        client.send(b"cd")
        assert client.response().status == 200
    assert b"".join(pieces) == b"abcd"
    assert len(pieces) >= 2


def test_continue_is_sent_when_the_body_is_asked_for():
    async def app(scope, receive, send):
        if scope["path"] == "/read":
            await body_of(receive)
        await hello(scope, receive, send)

    head = b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n" \
           b"expect: 100-continue\r\n\r\n"
    with serve(app, lifespan="off") as served:
        with served.connect() as client:
            client.send(head % b"/read")
            assert client.response().status == 100
            client.send(b"x")
            assert client.response().status == 200
        with served.connect() as client:
            client.send(head % b"/ignore")
            assert client.response().status == 200


def test_receive_tells_a_disconnect():
    events = []
    waiting = threading.Event()
    over = threading.Event()

    async def app(scope, receive, send):
        events.append(await receive())
        waiting.set()
        events.append(await receive())
        over.set()

    with serve(app, lifespan="off") as served:
        with served.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert waiting.wait(DEADLINE_S)
        assert over.wait(DEADLINE_S)
    assert events[1] == {"type": "http.disconnect"}


def test_a_cancelled_receive_loses_nothing():
    async def app(scope, receive, send):
        try:
            await asyncio.wait_for(receive(), 0.01)
        except asyncio.TimeoutError:
            ready.set()
        await echo(scope, receive, send)

    ready = threading.Event()
    with serve(app, lifespan="off") as served, served.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n")
        assert ready.wait(DEADLINE_S)
        client.send(b"ab")
        assert client.response().body == b"ab"


def test_receive_can_be_a_task_of_its_own():
    async def app(scope, receive, send):
        await receive()
        watch = asyncio.ensure_future(receive())
        other = asyncio.create_task(receive())
        await asyncio.sleep(0)
        for message in respond(body=b"done"):
            await send(message)
        assert (await watch)["type"] == "http.disconnect"
        assert (await other)["type"] == "http.disconnect"
        finished.set()

    finished = threading.Event()
    with serve(app, lifespan="off") as served:
        assert served.get().body == b"done"
        assert finished.wait(DEADLINE_S)


# ---- send()


def test_a_single_body_gets_a_length():
    with serve(hello, lifespan="off") as served:
        answer = served.get()
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer["content-length"] == "5"
    assert answer["x-a"] == "1"
    assert answer["server"] == "guaco"
    assert "date" in answer
    assert "transfer-encoding" not in answer


def test_several_pieces_are_chunked():
    app = sender(
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.body", "more_body": True},
        {"type": "http.response.body", "body": b"b", "unknown": 1},
    )
    with serve(app, lifespan="off") as served:
        answer = served.get()
        old = served.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert answer["transfer-encoding"] == "chunked"
    assert answer.body == b"ab"
    assert old.body == b"ab"
    assert "transfer-encoding" not in old


@pytest.mark.parametrize(
    "headers",
    [
        [[b"x-a", b"1"], (b"x-a", b"2")],
        ((b"x-a", b"1"), [b"x-a", b"2"]),
        lambda: iter([(b"x-a", b"1"), iter([b"x-a", b"2"])]),
        {b"x-a": b"1, 2"}.items(),
    ],
)
def test_headers_are_any_iterable_of_pairs(headers):
    if callable(headers):
        headers = headers()
    with serve(sender(*respond(headers=headers)), lifespan="off") as served:
        assert served.get()["x-a"] == "1, 2"


@pytest.mark.parametrize("body", [bytearray(b"abc"), memoryview(b"abc")])
def test_a_body_may_be_another_buffer(body):
    with serve(sender(*respond(body=body)), lifespan="off") as served:
        assert served.get().body == b"abc"


def test_a_large_body_is_handed_over_whole():
    body = b"0123456789" * 500_000
    with serve(sender(*respond(body=body)), lifespan="off") as served:
        assert served.get().body == body


def test_head_has_no_body():
    with serve(hello, lifespan="off") as served, served.connect() as client:
        answer = client.request("HEAD", "/")
        assert answer["content-length"] == "5"
        assert client.request("GET", "/").body == b"hello"


START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"x"}


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([{"type": "unknown"}], ValueError),
        ([{"status": 200}], ValueError),
        ([[]], TypeError),
        ([{"type": "http.response.start"}], TypeError),
        ([{"type": "http.response.start", "status": "200"}], TypeError),
        ([{"type": "http.response.start", "status": 99}], ValueError),
        ([{"type": "http.response.start", "status": 1000}], ValueError),
        ([{**START, "headers": [(b"a b", b"c")]}], ValueError),
        ([{**START, "headers": [(b"a", b"b\r\nc: d")]}], ValueError),
        ([{**START, "headers": [("a", "b")]}], TypeError),
        ([{**START, "headers": [(b"a",)]}], ValueError),
        ([{**START, "headers": 5}], TypeError),
        ([BODY], RuntimeError),
        ([START, START], RuntimeError),
        ([START, {**BODY, "body": "text"}], TypeError),
        ([START, BODY, BODY], RuntimeError),
        ([{"type": "http.response.trailers", "headers": []}], RuntimeError),
        ([{"type": "websocket.accept"}], ValueError),
        (
            [{**START, "headers": [(b"content-length", b"1")]},
             {**BODY, "body": b"xy"}],
            RuntimeError,
        ),
    ],
)
def test_wrong_messages_raise_out_of_the_await(messages, error):
    caught = []

    async def app(scope, receive, send):
        try:
            for message in messages[:-1]:
                await send(message)
            last = send(messages[-1])
        except Exception as exc:
            caught.append(("too early", exc))
            raise
        try:
            await last
        except Exception as exc:
            caught.append(exc)
        done.set()

    done = threading.Event()
    with serve(app, lifespan="off") as served:
        served.get()
        assert done.wait(DEADLINE_S)
    assert [type(exc) for exc in caught] == [error]


def test_a_refused_start_may_be_repeated():
    async def app(scope, receive, send):
        with pytest.raises(ValueError, match="value b'b"):
            await send({**START, "headers": [(b"a", b"b\n")]})
        await hello(scope, receive, send)

    with serve(app, lifespan="off") as served:
        assert served.get().body == b"hello"


def test_send_waits_while_the_client_does_not_read():
    sent = 0
    blocked = threading.Event()
    finished = threading.Event()

    async def app(scope, receive, send):
        nonlocal sent
        await send(START)
        for _ in range(400):
            waiting = asyncio.ensure_future(send({**BODY, "body": b"x" * 65536,
                                                  "more_body": True}))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            if not done:
                blocked.set()
            await waiting
            sent += 65536
        await send(BODY)
        finished.set()

    with serve(app, lifespan="off") as served, served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert blocked.wait(DEADLINE_S)
        assert sent < 400 * 65536
        assert len(client.response().body) == 400 * 65536 + 1
        assert finished.wait(DEADLINE_S)


def test_send_after_a_disconnect_raises_an_oserror(caplog):
    caught = []
    left = threading.Event()
    over = threading.Event()

    async def app(scope, receive, send):
        await send(START)
        await receive()
        await send({**BODY, "more_body": True})
        left.set()
        assert (await receive())["type"] == "http.disconnect"
        try:
            while True:
                await send({**BODY, "more_body": True})
                await asyncio.sleep(0.001)
        except OSError as exc:
            caught.append(exc)
            raise
        finally:
            over.set()

    with serve(app, lifespan="off") as served:
        with served.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert left.wait(DEADLINE_S)
        assert over.wait(DEADLINE_S)
    assert isinstance(caught[0], ClientDisconnected)
    assert caplog.text == ""  # it is ours: no error of the application's


@pytest.mark.parametrize("leave", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_returning_once_the_client_has_left_is_no_error(caplog, leave):
    over = threading.Event()

    async def app(scope, receive, send):
        await send(START)
        await receive()
        await send({**BODY, "more_body": True})
        try:
            if leave == socket.SHUT_WR:
                assert (await receive())["type"] == "http.disconnect"
                return
            while True:  # without a wait: send() itself finds it out
                await send({**BODY, "more_body": True})
        except OSError:
            return
        finally:
            over.set()

    with serve(app, lifespan="off") as served:
        with served.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            client.sock.shutdown(leave)
            if leave == socket.SHUT_RDWR:
                client.sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                client.sock.close()
            assert over.wait(DEADLINE_S)
    assert caplog.text == ""


def test_trailers_follow_the_body():
    app = sender(
        {**START, "trailers": True, "headers": [(b"trailer", b"x-t")]},
        {**BODY, "more_body": True},
        BODY,
        {"type": "http.response.trailers", "headers": [(b"x-t", b"1")],
         "more_trailers": True},
        {"type": "http.response.trailers", "headers": iter([(b"x-u", b"2")])},
    )
    with serve(app, lifespan="off") as served:
        answer = served.get("/", te="trailers", connection="te")
        assert answer.body == b"xx"
        assert answer.trailers == [("x-t", "1"), ("x-u", "2")]
        plain = served.get()
        assert (plain.body, plain.trailers) == (b"xx", [])


def test_early_hints_come_before_the_response():
    app = sender(
        {"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]},
        *respond(body=b"x"),
    )
    with serve(app, lifespan="off") as served, served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        hint = client.response()
        assert (hint.status, hint["link"]) == (103, "</a>; rel=preload")
        assert client.response().body == b"x"


def test_an_early_hint_may_follow_the_start():
    app = sender(
        START,
        {"type": "http.response.early_hint", "links": [b"</a>"]},
        BODY,
    )
    with serve(app, lifespan="off") as served, served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        hint = client.response()
        assert (hint.status, hint["link"]) == (103, "</a>")
        assert client.response().body == b"x"


# ---- files


def test_pathsend_sends_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 100_000)
    app = sender(
        START, {"type": "http.response.pathsend", "path": str(path)}
    )
    with serve(app, lifespan="off") as served, served.connect() as client:
        assert client.request("GET", "/").body == path.read_bytes()
        assert client.request("HEAD", "/").body == b""
        assert client.request("GET", "/").body == path.read_bytes()


@pytest.mark.parametrize(
    ("path", "error"),
    [("relative", ValueError), ("/no/such/file", FileNotFoundError),
     ("/", ValueError), (5, TypeError)],
)
def test_pathsend_refuses_what_is_no_file(path, error):
    async def app(scope, receive, send):
        await send(START)
        with pytest.raises(error):
            await send({"type": "http.response.pathsend", "path": path})
        await send(BODY)

    with serve(app, lifespan="off") as served:
        assert served.get().body == b"x"


def test_zerocopysend_mixes_with_bodies(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def app(scope, receive, send):
        kind = {"type": "http.response.zerocopysend"}
        await send(START)
        with path.open("rb") as file:
            file.read(1)
            await send({**kind, "file": file, "count": 2, "more_body": True})
            assert file.tell() == 3
            await send({**BODY, "more_body": True})
            await send({**kind, "file": file, "offset": 8, "more_body": True})
            assert file.tell() == 3
            await send({**kind, "file": file.fileno(), "offset": 0, "count": 1})

    with serve(app, lifespan="off") as served:
        assert served.get().body == b"12x890"


# ---- the end


@pytest.mark.parametrize(
    ("app", "text"),
    [
        (sender(), "without a response"),
        (sender(START), "before its response was whole"),
        (sender(START, {**BODY, "more_body": True}), "before its response"),
        (sender({**START, "trailers": True}, BODY), "before its trailers"),
    ],
)
def test_an_unfinished_response_is_broken_off_and_logged(app, text, caplog):
    with serve(app, lifespan="off") as served:
        answer = served.get()
    assert answer.status == 500 or not answer.is_whole
    assert text in caplog.text


def test_an_exception_is_answered_by_500_and_logged(caplog):
    async def app(scope, receive, send):
        await asyncio.sleep(0)
        raise ZeroDivisionError("mine")

    with serve(app, lifespan="off") as served:
        assert served.get().status == 500
        assert served.get().status == 500
    records = [r for r in caplog.records if r.name == "guaco.error"]
    assert len(records) == 2
    assert isinstance(records[0].exc_info[1], ZeroDivisionError)


def test_an_exception_in_the_body_breaks_the_connection(caplog):
    async def app(scope, receive, send):
        await send(START)
        await send({**BODY, "more_body": True})
        await asyncio.sleep(0.01)
        raise ZeroDivisionError

    with serve(app, lifespan="off") as served:
        answer = served.get()
    assert not answer.is_whole
    assert "ZeroDivisionError" in caplog.text


def test_a_result_other_than_none_is_an_error(caplog):
    async def app(scope, receive, send):
        await hello(scope, receive, send)
        return 5

    with serve(app, lifespan="off") as served:
        served.get()
    assert "did not return None" in caplog.text


# ---- tasks


def test_a_request_has_one_task_and_one_context():
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    async def app(scope, receive, send):
        task = asyncio.current_task()
        assert variable.get() == "unset"
        variable.set(scope["path"])
        assert task in asyncio.all_tasks()
        await asyncio.sleep(0.001)
        assert asyncio.current_task() is task
        assert variable.get() == scope["path"]
        async with asyncio.timeout(5):
            await hello(scope, receive, send)
        seen.append(type(task))

    with serve(app, lifespan="off") as served, served.connect() as client:
        for i in range(5):
            assert client.request("GET", f"/{i}").body == b"hello"
    assert seen == [asyncio.Task] * 5


def test_plain_functions_and_asgi2_are_applications():
    class Double:
        def __init__(self, scope):
            self.scope = scope

        async def __call__(self, receive, send):
            await hello(self.scope, receive, send)

    def returns_awaitable(scope, receive, send):
        assert asyncio.current_task() is not None

        class Awaitable:
            def __await__(self):
                return hello(scope, receive, send).__await__()

        return Awaitable()

    for app in (Double, returns_awaitable, lambda *a: hello(*a)):
        with serve(app, lifespan="off", interface="asgi") as served:
            assert served.get().body == b"hello"


def test_pipelined_requests_are_answered_in_order():
    async def app(scope, receive, send):
        if scope["path"].endswith("3"):
            await asyncio.sleep(0.01)
        for message in respond(body=scope["path"].encode()):
            await send(message)

    with serve(app, lifespan="off") as served, served.connect() as client:
        client.send(
            b"".join(
                b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % i for i in range(20)
            )
        )
        bodies = [client.response().body for _ in range(20)]
    assert bodies == [b"/%d" % i for i in range(20)]


def test_an_open_request_is_finished_at_shutdown():
    started = threading.Event()

    async def app(scope, receive, send):
        started.set()
        await asyncio.sleep(0.1)
        await hello(scope, receive, send)

    with serve(app, lifespan="off") as served, served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert started.wait(DEADLINE_S)
        served.server.should_exit = True
        answer = client.response()
        assert (answer.body, answer["connection"]) == (b"hello", "close")


def test_a_stuck_request_is_cancelled_at_shutdown(caplog):
    started = threading.Event()
    cancelled = []

    async def app(scope, receive, send):
        started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(scope["path"])
            raise

    with serve(
        app, lifespan="off", timeout_graceful_shutdown=0.05
    ) as served, served.connect() as client:
        client.send(b"GET /stuck HTTP/1.1\r\nhost: a\r\n\r\n")
        assert started.wait(DEADLINE_S)
    assert cancelled == ["/stuck"]
    assert "exception in" not in caplog.text


# ---- memory


class Marker:
    pass


@pytest.mark.parametrize("waits", [False, True])
def test_a_request_is_freed_when_it_ends_without_the_collector(waits):
    markers = []

    async def app(scope, receive, send):
        marker = Marker()
        scope["marker"] = marker
        markers.append(weakref.ref(marker))
        markers.append(weakref.ref(asyncio.current_task()))
        await receive()
        if waits:
            await asyncio.sleep(0)
        await hello(scope, receive, send)

    gc.collect()
    gc.disable()
    try:
        with serve(app, lifespan="off") as served, served.connect() as client:
            for _ in range(10):
                client.request("POST", "/", {}, b"x" * 100)
            client.request("GET", "/")
        alive = [m for m in markers if m() is not None]
    finally:
        gc.enable()
    assert len(markers) == 22
    assert alive == []


def test_kept_send_and_receive_are_harmless():
    kept = []

    async def app(scope, receive, send):
        kept.append((receive, send))
        await hello(scope, receive, send)

    async def use():
        receive, send = kept[0]
        assert (await receive())["type"] == "http.disconnect"
        with pytest.raises(RuntimeError):
            await send(BODY)

    with serve(app, lifespan="off") as served:
        for _ in range(3):
            assert served.get().body == b"hello"
    assert len({id(send) for _, send in kept}) == 3
    asyncio.run(use())


def test_errors_of_the_logging_hook_do_not_stop_the_server(monkeypatch):
    async def app(scope, receive, send):
        raise ValueError

    def broken(*args, **kwargs):
        raise RuntimeError("logging is broken")

    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: None)
    with serve(app, lifespan="off") as served:
        monkeypatch.setattr(logging.getLogger("guaco.error"), "error", broken)
        assert served.get().status == 500
        assert served.get().status == 500
