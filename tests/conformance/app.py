"""The ASGI application that the suite talks to; any ASGI server can serve it.

Each path is one behaviour.  Requests to paths that are not listed get 200, "hello".
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

RESULTS: dict[str, Any] = {}  # what an exchange left for a later one to fetch


async def read_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def answer(
    send: Send,
    body: bytes = b"",
    status: int = 200,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    await send({"type": "http.response.start", "status": status,
                "headers": headers or []})
    await send({"type": "http.response.body", "body": body})


def plain(value: Any) -> Any:
    """A scope as JSON can hold it: bytes as Latin-1."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("state", "app")}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return repr(value)


async def hello(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"hello")


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, await read_body(receive))


async def show_scope(scope: Message, receive: Receive, send: Send) -> None:
    shown = plain(scope)
    shown["types"] = {key: type(value).__name__ for key, value in scope.items()}
    await answer(send, json.dumps(shown).encode())


async def events(scope: Message, receive: Receive, send: Send) -> None:
    first = await receive()
    await answer(send, json.dumps(plain(first)).encode())


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"one", b"", b"two", b"three"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def with_length(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})


async def too_short(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"short", headers=[(b"content-length", b"10")])


async def too_long(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"0123456789", headers=[(b"content-length", b"5")])


async def status(scope: Message, receive: Receive, send: Send) -> None:
    code = int(scope["path"].rsplit("/", 1)[1])
    await answer(send, b"" if code in (204, 205, 304) else b"x", code)


async def body_on_204(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"not allowed", 204)


async def head_fields(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"x", headers=[
        (b"X-Two", b"1"), (b"set-cookie", b"a=1"), (b"x-two", b"2"),
        (b"set-cookie", b"b=2"), (b"x-empty", b""), (b"x-bytes", b"\xe9")])


async def own_date(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"x", headers=[(b"date", b"never"), (b"server", b"mine")])


async def bad_header(scope: Message, receive: Receive, send: Send) -> None:
    value = scope["query_string"]
    name = b"x-a"
    if value == b"name":
        name, value = b"x a", b"b"
    elif value == b"crlf":
        value = b"b\r\nset-cookie: c=d"
    elif value == b"lf":
        value = b"b\nset-cookie: c=d"
    elif value == b"nul":
        value = b"b\0"
    await answer(send, b"x", headers=[(name, value)])


async def transfer_encoding(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"plain", headers=[(b"transfer-encoding", b"chunked")])


async def close(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"bye", headers=[(b"connection", b"close")])


async def fail(scope: Message, receive: Receive, send: Send) -> None:
    raise RuntimeError("on purpose")


async def fail_late(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise RuntimeError("on purpose")


async def silent(scope: Message, receive: Receive, send: Send) -> None:
    return


async def unfinished(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})


async def unread(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"not read")


async def disconnect(scope: Message, receive: Receive, send: Send) -> None:
    key = scope["query_string"].decode()
    await read_body(receive)
    first = await receive()
    second = await receive()
    RESULTS[key] = [first["type"], second["type"]]


async def after_response(scope: Message, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await answer(send, b"x")
    RESULTS[scope["query_string"].decode()] = (await receive())["type"]


async def result(scope: Message, receive: Receive, send: Send) -> None:
    key = scope["query_string"].decode()
    for _ in range(200):
        if key in RESULTS:
            break
        await asyncio.sleep(0.01)
    await answer(send, json.dumps(RESULTS.get(key)).encode())


async def task(scope: Message, receive: Receive, send: Send) -> None:
    before = asyncio.current_task()
    await asyncio.sleep(0)
    await answer(send, b"same" if before is asyncio.current_task() and before
                 else b"different")


async def bad_message(scope: Message, receive: Receive, send: Send) -> None:
    bad: dict[bytes, Message] = {
        b"type": {"type": "http.response.nonsense"},
        b"body-first": {"type": "http.response.body", "body": b"x"},
        b"status": {"type": "http.response.start", "status": "200", "headers": []},
        b"body-type": {"type": "http.response.start", "status": 200, "headers": [1]},
    }
    try:
        await send(bad[scope["query_string"]])
    except Exception:
        await answer(send, b"raised")
        return
    await answer(send, b"accepted")


async def twice(scope: Message, receive: Receive, send: Send) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    try:
        await send(start)
    except Exception:
        await send({"type": "http.response.body", "body": b"raised"})
        return
    await send({"type": "http.response.body", "body": b"accepted"})


async def offered(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, json.dumps(sorted(scope.get("extensions") or {})).encode())


async def early_hint(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
    await send({"type": "http.response.body", "body": b"x"})


async def pathsend(scope: Message, receive: Receive, send: Send) -> None:
    size = os.path.getsize(__file__)
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"%d" % size)]})
    await send({"type": "http.response.pathsend", "path": os.path.abspath(__file__)})


async def zerocopysend(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"<", "more_body": True})
    with open(__file__, "rb") as file:
        await send({"type": "http.response.zerocopysend", "file": file, "offset": 3,
                    "count": 10, "more_body": True})
    await send({"type": "http.response.body", "body": b">"})


async def trailers(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [],
                "trailers": True})
    await send({"type": "http.response.body", "body": b"x"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"7")]})


async def after_disconnect(scope: Message, receive: Receive, send: Send) -> None:
    """ASGI 2.4: send() raises an OSError once the client has left."""
    key = scope["query_string"].decode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        for _ in range(400):
            await send({"type": "http.response.body", "body": b"x" * 65536,
                        "more_body": True})
            await asyncio.sleep(0.005)
        RESULTS[key] = "accepted"
    except OSError:
        RESULTS[key] = "raised"
        raise


HTTP = {
    "/offered": offered, "/early-hint": early_hint, "/pathsend": pathsend,
    "/zerocopysend": zerocopysend, "/trailers": trailers,
    "/after-disconnect": after_disconnect,
    "/echo": echo, "/scope": show_scope, "/events": events, "/stream": stream,
    "/length": with_length, "/short": too_short, "/long": too_long,
    "/body-on-204": body_on_204, "/fields": head_fields, "/own-date": own_date,
    "/bad-header": bad_header, "/transfer-encoding": transfer_encoding,
    "/close": close, "/fail": fail, "/fail-late": fail_late, "/silent": silent,
    "/unfinished": unfinished, "/unread": unread, "/disconnect": disconnect,
    "/after-response": after_response, "/result": result, "/task": task,
    "/bad-message": bad_message, "/twice": twice,
}


async def websocket(scope: Message, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    path = scope["path"]
    if path == "/ws/refuse":
        await send({"type": "websocket.close"})
        return
    if path == "/ws/silent":
        return
    if path == "/ws/deny":
        await send({"type": "websocket.http.response.start", "status": 418,
                    "headers": [(b"x-why", b"tea")]})
        await send({"type": "websocket.http.response.body", "body": b"no ",
                    "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"coffee"})
        return
    protocol = (scope["subprotocols"] or [None])[-1]
    await send({"type": "websocket.accept", "subprotocol": protocol,
                "headers": [(b"x-ws", b"yes")]})
    if path == "/ws/close":
        await send({"type": "websocket.close", "code": 4321, "reason": "why"})
        return
    if path == "/ws/return":
        return
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            RESULTS[scope["query_string"].decode()] = [
                message.get("code"), message.get("reason")]
            return
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    elif scope["path"].startswith("/status/"):
        await status(scope, receive, send)
    else:
        await HTTP.get(scope["path"], hello)(scope, receive, send)
