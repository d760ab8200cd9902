"""ASGI WebSockets, by the websockets client and by raw sockets."""

import asyncio
import gc
import threading
import weakref

import pytest

websockets = pytest.importorskip("websockets.sync.client")
from websockets.exceptions import (  # noqa: E402
    ConnectionClosed,
    ConnectionClosedError,
    InvalidStatus,
)

from guaco import ClientDisconnected  # noqa: E402
from deadline import DEADLINE_S  # noqa: E402
from served import serve  # noqa: E402


def connect(served, path="/", **options):
    return websockets.connect(
        f"ws://{served.host}:{served.port}{path}",
        open_timeout=DEADLINE_S,
        close_timeout=DEADLINE_S,
        proxy=None,
        **options,
    )


async def accepted(receive, send, **more):
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **more})


async def echo(scope, receive, send):
    await accepted(receive, send)
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send({**event, "type": "websocket.send"})


def test_a_scope_has_the_keys_of_the_specification():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await echo(scope, receive, send)

    with serve(app, lifespan="off") as served:
        with connect(served, "/a%20b?x=1", subprotocols=["one", "two"]):
            pass
    (scope,) = scopes
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["scheme"] == "ws"
    assert scope["path"] == "/a b"
    assert scope["raw_path"] == b"/a%20b"
    assert scope["query_string"] == b"x=1"
    assert scope["subprotocols"] == ["one", "two"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert (b"upgrade", b"websocket") in [
        (name, value.lower()) for name, value in scope["headers"]
    ]
    assert isinstance(scope["client"][1], int)
    assert "method" not in scope


@pytest.mark.parametrize("message", ["", "text \u20ac", b"", b"\0\xff" * 50_000])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_come_back(message, compression):
    with serve(echo, lifespan="off") as served:
        with connect(served, compression=compression) as client:
            agreed = [e.name for e in client.protocol.extensions]
            assert agreed == (["permessage-deflate"] if compression else [])
            for _ in range(3):
                client.send(message)
                assert client.recv(DEADLINE_S) == message


def test_fragments_are_one_message():
    with serve(echo, lifespan="off") as served, connect(served) as client:
        client.send(["a", "b", "c"])
        assert client.recv(DEADLINE_S) == "abc"


def test_many_messages_keep_their_order():
    with serve(echo, lifespan="off") as served, connect(served) as client:
        for i in range(500):
            client.send(str(i))
        assert [client.recv(DEADLINE_S) for _ in range(500)] == [
            str(i) for i in range(500)
        ]


def test_accept_takes_a_subprotocol_and_headers():
    async def app(scope, receive, send):
        await accepted(
            receive, send, subprotocol="two", headers=[(b"x-a", b"1")]
        )
        await receive()

    with serve(app, lifespan="off") as served:
        with connect(served, subprotocols=["one", "two"]) as client:
            assert client.subprotocol == "two"
            assert client.response.headers["x-a"] == "1"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"subprotocol": "three"}, ValueError),
        ({"subprotocol": 3}, TypeError),
        ({"headers": [(b"sec-websocket-protocol", b"one")]}, ValueError),
        ({"headers": [(b"a", b"b\n")]}, ValueError),
    ],
)
def test_a_wrong_accept_raises_and_may_be_repeated(message, error):
    async def app(scope, receive, send):
        await receive()
        with pytest.raises(error):
            await send({"type": "websocket.accept", **message})
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "in"})

    with serve(app, lifespan="off") as served:
        with connect(served, subprotocols=["one"]) as client:
            assert client.recv(DEADLINE_S) == "in"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "websocket.send"}, ValueError),
        ({"type": "websocket.send", "text": None, "bytes": None}, ValueError),
        ({"type": "websocket.send", "text": "a", "bytes": b"b"}, ValueError),
        ({"type": "websocket.send", "text": b"a"}, TypeError),
        ({"type": "websocket.send", "bytes": "a"}, TypeError),
        ({"type": "websocket.send", "text": "\ud800"}, UnicodeEncodeError),
        ({"type": "websocket.accept"}, RuntimeError),
        ({"type": "websocket.close", "code": 1005}, ValueError),
        ({"type": "websocket.close", "code": 99}, ValueError),
        ({"type": "websocket.close", "code": "1000"}, TypeError),
        ({"type": "websocket.close", "reason": "x" * 124}, ValueError),
        ({"type": "websocket.http.response.start", "status": 403}, RuntimeError),
        ({"type": "http.response.start", "status": 200}, ValueError),
    ],
)
def test_wrong_messages_raise_and_the_socket_lives_on(message, error):
    async def app(scope, receive, send):
        await accepted(receive, send)
        with pytest.raises(error):
            await send(message)
        await send({"type": "websocket.send", "text": "alive", "bytes": None})

    with serve(app, lifespan="off") as served, connect(served) as client:
        assert client.recv(DEADLINE_S) == "alive"


# ---- the end


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [({}, 1000, ""), ({"code": 3001, "reason": "because"}, 3001, "because"),
     ({"code": None, "reason": None}, 1000, "")],
)
def test_the_application_closes(message, code, reason):
    events = []
    over = threading.Event()

    async def app(scope, receive, send):
        await accepted(receive, send)
        await send({"type": "websocket.close", **message})
        with pytest.raises(OSError):
            await send({"type": "websocket.send", "text": "late"})
        events.append(await receive())
        over.set()

    with serve(app, lifespan="off") as served, connect(served) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_S)
        assert (client.close_code, client.close_reason) == (code, reason)
        assert over.wait(DEADLINE_S)
    assert events[0]["type"] == "websocket.disconnect"


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "bye"), (4000, "\u20ac")]
)
def test_the_client_closes(code, reason):
    events = []
    over = threading.Event()

    async def app(scope, receive, send):
        await accepted(receive, send)
        events.append(await receive())
        events.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})
        over.set()

    with serve(app, lifespan="off") as served:
        with connect(served) as client:
            client.close(code, reason)
        assert over.wait(DEADLINE_S)
    expected = {"type": "websocket.disconnect", "code": code, "reason": reason}
    assert events == [expected, expected]


def test_a_broken_connection_is_1006():
    events = []
    over = threading.Event()

    async def app(scope, receive, send):
        await accepted(receive, send)
        await send({"type": "websocket.send", "text": "in"})
        events.append(await receive())
        over.set()

    with serve(app, lifespan="off") as served:
        with connect(served) as client:
            client.recv(DEADLINE_S)
            client.socket.shutdown(2)
            assert over.wait(DEADLINE_S)
    assert events[0]["code"] == 1006


def test_messages_before_a_close_are_still_given():
    events = []
    over = threading.Event()
    closed = threading.Event()

    async def app(scope, receive, send):
        await accepted(receive, send)
        while not closed.is_set():
            await asyncio.sleep(0.005)
        for _ in range(3):
            events.append(await receive())
        over.set()

    with serve(app, lifespan="off") as served:
        with connect(served) as client:
            client.send("a")
            client.send(b"b")
        closed.set()
        assert over.wait(DEADLINE_S)
    assert events[:2] == [
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "bytes": b"b"},
    ]
    assert events[2]["type"] == "websocket.disconnect"


def test_returning_closes_with_1000():
    async def app(scope, receive, send):
        await accepted(receive, send)

    with serve(app, lifespan="off") as served, connect(served) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_S)
        assert client.close_code == 1000


def test_an_exception_closes_with_1011_and_is_logged(caplog):
    async def app(scope, receive, send):
        await accepted(receive, send)
        raise ZeroDivisionError

    with serve(app, lifespan="off") as served, connect(served) as client:
        with pytest.raises(ConnectionClosedError):
            client.recv(DEADLINE_S)
        assert client.close_code == 1011
    assert "ZeroDivisionError" in caplog.text


def test_shutdown_closes_with_1012():
    events = []
    ready = threading.Event()

    async def app(scope, receive, send):
        await accepted(receive, send)
        ready.set()
        events.append(await receive())

    with serve(app, lifespan="off") as served:
        with connect(served) as client:
            assert ready.wait(DEADLINE_S)
            served.server.should_exit = True
            with pytest.raises(ConnectionClosed):
                client.recv(DEADLINE_S)
            assert client.close_code == 1012
    assert events == [
        {"type": "websocket.disconnect", "code": 1012, "reason": ""}
    ]


# ---- refusing


def test_closing_before_accepting_is_403():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})

    with serve(app, lifespan="off") as served:
        with pytest.raises(InvalidStatus) as caught:
            connect(served)
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("raises", [False, True])
def test_ending_before_accepting_is_500(raises, caplog):
    async def app(scope, receive, send):
        await receive()
        if raises:
            raise ZeroDivisionError

    with serve(app, lifespan="off") as served:
        with pytest.raises(InvalidStatus) as caught:
            connect(served)
    assert caught.value.response.status_code == 500
    assert caplog.text


def test_a_denial_is_a_response_of_its_own():
    async def app(scope, receive, send):
        await receive()
        kind = "websocket.http.response."
        await send({"type": kind + "start", "status": 418,
                    "headers": [(b"x-a", b"1")]})
        await send({"type": kind + "body", "body": b"tea", "more_body": True})
        await send({"type": kind + "body", "body": b"pot"})

    with serve(app, lifespan="off") as served:
        with pytest.raises(InvalidStatus) as caught:
            connect(served)
    response = caught.value.response
    assert response.status_code == 418
    assert response.headers["x-a"] == "1"
    assert response.body == b"teapot"


# ---- flow and memory


def test_a_slow_reader_holds_send_back():
    sent = 0
    blocked = threading.Event()

    async def app(scope, receive, send):
        nonlocal sent
        await accepted(receive, send)
        for _ in range(300):
            waiting = asyncio.ensure_future(
                send({"type": "websocket.send", "bytes": b"x" * 65536})
            )
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            if not done:
                blocked.set()
            await waiting
            sent += 1

    with serve(app, lifespan="off", ws_deflate=False) as served:
        with connect(served, max_queue=1, compression=None) as client:
            assert blocked.wait(DEADLINE_S)
            assert sent < 300
            total = 0
            while total < 300 * 65536:
                total += len(client.recv(DEADLINE_S))


class Marker:
    pass


def test_a_websocket_is_freed_when_it_ends_without_the_collector():
    markers = []
    over = threading.Event()

    async def app(scope, receive, send):
        marker = scope["marker"] = Marker()
        markers.append(weakref.ref(marker))
        markers.append(weakref.ref(asyncio.current_task()))
        await echo(scope, receive, send)
        over.set()

    gc.collect()
    gc.disable()
    try:
        with serve(app, lifespan="off") as served:
            for _ in range(3):
                over.clear()
                with connect(served) as client:
                    client.send("x")
                    client.recv(DEADLINE_S)
                assert over.wait(DEADLINE_S)
        alive = [m for m in markers if m() is not None]
    finally:
        gc.enable()
    assert len(markers) == 6
    assert alive == []
