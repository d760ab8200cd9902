"""Frameworks and clients that people use, over real sockets."""

import asyncio
import queue

import pytest

httpx = pytest.importorskip("httpx")
starlette = pytest.importorskip("starlette")

from starlette.applications import Starlette  # noqa: E402
from starlette.background import BackgroundTask  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.responses import (  # noqa: E402
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    StreamingResponse,
)
from starlette.routing import Route  # noqa: E402

from deadline import DEADLINE_S  # noqa: E402
from served import serve  # noqa: E402

done: queue.SimpleQueue[int] = queue.SimpleQueue()


async def json(request):
    return JSONResponse({"hello": "world", "query": dict(request.query_params)})


async def echo(request):
    return PlainTextResponse(await request.body())


def in_a_thread(request):
    return PlainTextResponse("from a thread")


async def stream(request):
    async def pieces():
        for i in range(10):
            yield f"{i}\n"
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


async def file(request):
    return FileResponse(__file__)


async def fails(request):
    raise ZeroDivisionError


async def background(request):
    return PlainTextResponse("ok", background=BackgroundTask(done.put, 1))


async def is_disconnected(request):
    return JSONResponse(await request.is_disconnected())


class Header(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-middleware"] = "1"
        return response


def application():
    functions = [json, in_a_thread, stream, file, fails, background,
                 is_disconnected]
    routes = [Route(f"/{f.__name__}", f) for f in functions]
    routes.append(Route("/echo", echo, methods=["POST"]))
    return Starlette(routes=routes, middleware=[Middleware(Header)])


@pytest.fixture(scope="module")
def client():
    with serve(application()) as served:
        with httpx.Client(
            base_url=served.url, timeout=DEADLINE_S, trust_env=False
        ) as client:
            yield client


def test_json(client):
    answer = client.get("/json", params={"a": "b c"})
    assert answer.json() == {"hello": "world", "query": {"a": "b c"}}
    assert answer.headers["x-middleware"] == "1"


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_bodies(client, size):
    assert client.post("/echo", content=b"x" * size).content == b"x" * size


def test_chunked_uploads(client):
    pieces = (b"x" * 1000 for _ in range(100))
    assert len(client.post("/echo", content=pieces).content) == 100_000


def test_threads(client):
    for _ in range(20):
        assert client.get("/in_a_thread").text == "from a thread"


def test_streams(client):
    assert client.get("/stream").text == "".join(f"{i}\n" for i in range(10))


def test_files(client):
    with open(__file__, "rb") as expected:
        assert client.get("/file").content == expected.read()
    part = client.get("/file", headers={"range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)


def test_errors(caplog):
    with serve(application()) as served:
        assert httpx.get(served.url + "/fails").status_code == 500
    assert "ZeroDivisionError" in caplog.text


def test_background_tasks(client):
    for _ in range(3):
        assert client.get("/background").text == "ok"
    # They run after their responses, in threads.
    assert [done.get(timeout=DEADLINE_S) for _ in range(3)] == [1, 1, 1]


def test_asking_for_a_disconnect_loses_nothing(client):
    assert client.get("/is_disconnected").json() is False
