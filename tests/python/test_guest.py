"""guaco.Server as a guest of event loops that are not guaco's."""

import asyncio
import importlib.util
import time

import pytest

import guaco
from served import DEADLINE_S, serve


def uvloop_factory():
    import uvloop

    return uvloop.new_event_loop()


HOSTS = [
    asyncio.SelectorEventLoop,
    pytest.param(
        uvloop_factory,
        marks=pytest.mark.skipif(
            importlib.util.find_spec("uvloop") is None, reason="no uvloop"
        ),
    ),
]


@pytest.fixture(params=HOSTS, ids=["asyncio", "uvloop"])
def host(request):
    return request.param


async def respond(send, body):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send):
    task = asyncio.current_task()
    body = b""
    while True:
        event = await receive()
        body += event["body"]
        if not event["more_body"]:
            break
    if scope["path"] == "/later":
        await asyncio.sleep(0.01)
    if scope["path"] == "/raise":
        raise ZeroDivisionError
    assert asyncio.current_task() is task
    await respond(send, body or b"hello")


def test_requests_are_answered(host):
    with serve(app, loop_factory=host, lifespan="off") as served:
        with served.connect() as client:
            for _ in range(20):
                assert client.request("GET", "/").body == b"hello"
                assert client.request("GET", "/later").body == b"hello"
            body = b"x" * 1_000_000
            assert client.request("POST", "/", {}, body).body == body


def test_errors_are_logged(host, caplog):
    with serve(app, loop_factory=host, lifespan="off") as served:
        assert served.get("/raise").status == 500
    assert "ZeroDivisionError" in caplog.text


def test_timeouts_of_the_server_are_kept(host):
    started = time.monotonic()
    with serve(
        app, loop_factory=host, lifespan="off", timeout_head=0.2
    ) as served:
        with served.connect() as client:
            client.send(b"GET / HT")
            assert client.response().status == 408
    assert time.monotonic() - started < DEADLINE_S


@pytest.mark.parametrize("threads", [1, 2])
def test_wsgi_works_too(host, threads):
    def wsgi(environ, start_response):
        start_response("200 OK", [])
        yield environ["wsgi.input"].read()
        yield b"!"

    with serve(wsgi, loop_factory=host, threads=threads) as served:
        with served.connect() as client:
            for _ in range(5):
                assert client.request("POST", "/", {}, b"abc").body == b"abc!"


def test_an_idle_guest_costs_no_turns(host):
    async def main():
        server = guaco.Server(app, port=0, lifespan="off")
        started = asyncio.Event()
        server.on_start = started.set
        serving = asyncio.create_task(server.serve())
        await started.wait()
        await asyncio.sleep(0.05)
        turns = 0
        turn = server._guest._turn

        def count():
            nonlocal turns
            turns += 1
            turn()

        server._guest._turn = count
        server._guest.wake()
        await asyncio.sleep(0.2)
        server.shutdown()
        await serving
        return turns

    with asyncio.Runner(loop_factory=host) as runner:
        assert runner.run(main()) < 10


def test_keyboard_interrupt_ends_the_host(host):
    async def interrupting(scope, receive, send):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with serve(
            interrupting, loop_factory=host, lifespan="off"
        ) as served:
            with served.connect() as client:
                client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                client.rest()
