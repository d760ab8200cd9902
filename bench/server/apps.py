"""The applications that every server of the benchmark is given.

`asgi` and `wsgi` answer 13 bytes without looking at the request; `asgi` sends
WebSocket messages back, or to all of /hub; `starlette` is the first page of a framework.  Nothing here knows which server runs it.
"""

from typing import Any

BODY = b"Hello, world!"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await send({"type": "lifespan.shutdown.complete"})
                return
    if scope["type"] == "websocket":
        await websocket(scope["path"] == "/hub", receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


hub: set[Any] = set()
"""What sends on the WebSockets of /hub."""


async def websocket(is_hub: bool, receive: Any, send: Any) -> None:
    """Send each message back, or to all."""
    await receive()
    await send({"type": "websocket.accept"})
    if is_hub:
        hub.add(send)
    while (message := await receive())["type"] == "websocket.receive":
        for one in list(hub) if is_hub else (send,):
            await one({"type": "websocket.send", "text": message["text"]})
    hub.discard(send)


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [BODY]


def __getattr__(name: str) -> Any:
    """`starlette` is imported only where a server is asked for it."""
    if name != "starlette":
        raise AttributeError(name)
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def homepage(request: Any) -> JSONResponse:
        return JSONResponse({"hello": "world"})

    return Starlette(routes=[Route("/", homepage)])
