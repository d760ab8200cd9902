"""guaco.Server as a guest of event loops that are not guaco's."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
import time
import weakref

import pytest

import guaco
import guaco.loop
from guest_hosts import HOSTS
from deadline import DEADLINE_S
from served import in_thread, serve


GUACO = pytest.param(guaco.loop.new_event_loop, id="guaco")


@pytest.fixture(params=HOSTS)
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


# ---- what a turn costs the host


class Counting(asyncio.SelectorEventLoop):
    """Counts what is scheduled."""

    calls = 0

    def call_soon(self, callback, *args, context=None):
        self.calls += 1
        return super().call_soon(callback, *args, context=context)


async def hello(scope, receive, send):
    assert asyncio.current_task() is not None
    await respond(send, b"hello")


def test_a_response_leaves_in_the_turn_that_read_its_request():
    loop = Counting()
    with serve(hello, loop_factory=lambda: loop, lifespan="off") as served:
        with served.connect() as client:
            client.request("GET", "/")
            before = loop.calls
            for _ in range(50):
                assert client.request("GET", "/").body == b"hello"
            assert loop.calls == before


def slept(thread_id):
    """How often the thread has gone to sleep; None while it could run."""
    with open(f"/proc/self/task/{thread_id}/status") as status:
        text = status.read()
    if "State:\tS" not in text:
        return None
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_an_idle_guest_does_not_wake(host):
    ids = []

    async def noting(scope, receive, send):
        ids.append(threading.get_native_id())
        await respond(send, b"hello")

    with serve(noting, loop_factory=host, lifespan="off") as served:
        with served.connect() as client:
            client.request("GET", "/")
            previous, before = None, slept(ids[0])
            while before is None or before != previous:  # until it sleeps
                time.sleep(0.05)
                previous, before = before, slept(ids[0])
            time.sleep(0.3)
            assert slept(ids[0]) == before


# ---- beside others


@contextlib.asynccontextmanager
async def serving(app, **options):
    """A server in the running loop, and the address where it listens."""
    server = guaco.Server(app, port=0, lifespan="off", **options)
    started = asyncio.Event()
    server.on_start = started.set
    task = asyncio.create_task(server.serve())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([task, waiting], return_when="FIRST_COMPLETED")
    if task.done():
        await task
    try:
        yield server.addresses[0]
    finally:
        server.shutdown()
        await task


async def ask(address, path="/"):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), DEADLINE_S)
    writer.close()
    await writer.wait_closed()
    return answer.rpartition(b"\r\n\r\n")[2]


def run(host, main):
    with asyncio.Runner(loop_factory=host) as runner:
        return runner.run(main)


def test_other_servers_and_timers_run_beside(host):
    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        other = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with other, serving(app) as address:
            for _ in range(10):
                answers = await asyncio.gather(
                    *(ask(address, "/later") for _ in range(5)),
                    echoed(other.sockets[0].getsockname()),
                )
                assert answers == [b"hello"] * 5 + [b"echo\n"]
        ticking.cancel()
        return ticks

    async def echoed(address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"echo\n")
        line = await reader.readline()
        writer.close()
        return line

    assert run(host, main()) > 10


def test_two_servers_share_a_host(host):
    def saying(body):
        async def one(scope, receive, send):
            await asyncio.sleep(0)
            await respond(send, body)

        return one

    async def main():
        async with serving(saying(b"a")) as a, serving(saying(b"b")) as b:
            for _ in range(10):
                answers = await asyncio.gather(ask(a), ask(b), ask(a))
                assert answers == [b"a", b"b", b"a"]

    run(host, main())


def test_a_server_asks_another_of_its_own_host(host):
    async def main():
        async with serving(app) as inner:

            async def front(scope, receive, send):
                await respond(send, await ask(inner, "/later"))

            async with serving(front) as outer:
                assert await ask(outer) == b"hello"

    run(host, main())


def test_threads_wake_the_host(host):
    async def threaded(scope, receive, send):
        await respond(send, await asyncio.to_thread(lambda: b"thread"))

    async def main():
        async with serving(threaded) as address:
            answers = await asyncio.gather(*(ask(address) for _ in range(5)))
            assert answers == [b"thread"] * 5

    run(host, main())


# ---- tasks


def test_a_task_factory_of_the_host_is_asked(host):
    made = []

    def factory(loop, coro, **keywords):
        task = asyncio.Task(coro, loop=loop, **keywords)
        made.append(task)
        return task

    async def main():
        async with serving(app) as address:
            asyncio.get_running_loop().set_task_factory(factory)
            assert await ask(address) == b"hello"
        asyncio.get_running_loop().set_task_factory(None)

    run(host, main())
    assert len(made) >= 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12")
def test_the_eager_task_factory_may_be_set(host):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        async with serving(app) as address:
            assert await ask(address) == b"hello"
            assert await ask(address, "/later") == b"hello"

    run(host, main())


def test_call_soon_of_the_host_is_its_own_afterwards(host):
    seen = []

    async def scheduling(scope, receive, send):
        loop = asyncio.get_running_loop()
        seen.append("call_soon" in vars(loop))
        done = asyncio.Event()
        loop.call_soon(done.set)
        await done.wait()
        await respond(send, b"done")

    async def main():
        async with serving(scheduling) as address:
            assert await ask(address) == b"done"
        assert "call_soon" not in vars(asyncio.get_running_loop())

    run(host, main())
    assert seen == [False]


def test_a_call_soon_that_somebody_has_set_is_used(host):
    async def main():
        loop = asyncio.get_running_loop()
        names = []
        original = loop.call_soon

        def noting(callback, *args, context=None):
            names.append(type(callback).__name__)
            return original(callback, *args, context=context)

        async with serving(app) as address:
            loop.call_soon = noting
            assert await ask(address, "/later") == b"hello"
            assert loop.call_soon is noting
            del loop.call_soon
        return names

    assert run(host, main())


# ---- the end


def open_files():
    return sorted(os.listdir("/proc/self/fd"))


def test_starting_and_stopping_leaves_nothing(host):
    servers = []

    async def main():
        async with serving(app) as address:
            await ask(address)
        gc.collect()  # what earlier tests left
        before = open_files()
        for _ in range(20):
            async with serving(app) as address:
                await ask(address, "/later")
        gc.collect()
        assert open_files() == before
        servers.extend(
            found
            for found in gc.get_objects()
            if type(found).__name__ in ("Server", "Guest")
            and type(found).__module__.startswith("guaco")
        )

    run(host, main())
    assert servers == []


def test_cancelling_serve_ends_it(host):
    async def main():
        server = guaco.Server(app, port=0, lifespan="off")
        started = asyncio.Event()
        server.on_start = started.set
        task = asyncio.create_task(server.serve())
        await started.wait()
        address = server.addresses[0]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    run(host, main())


@pytest.mark.parametrize("host", [*HOSTS, GUACO])
def test_a_server_whose_task_nobody_holds_lives_on(host):
    async def main():
        addresses = asyncio.get_running_loop().create_future()
        make_unheld(addresses)
        address = await addresses
        for _ in range(3):
            gc.collect()
            assert await ask(address) == b"hello"
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def make_unheld(addresses):
        server = guaco.Server(app, port=0, lifespan="off")
        server.on_start = lambda: addresses.set_result(server.addresses[0])
        asyncio.create_task(server.serve())

    in_thread(lambda: run(host, main()))


async def speaks_lifespan(scope, receive, send):
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


def test_a_host_that_is_closed_takes_the_server_along(host, monkeypatch):
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: lost.append(args))

    async def ending():
        server = guaco.Server(speaks_lifespan, port=0)
        started = asyncio.Event()
        server.on_start = started.set
        task = asyncio.create_task(server.serve())
        await started.wait()
        return server.addresses[0], weakref.ref(server), weakref.ref(task)

    def main():
        loop = host()
        address, server, task = loop.run_until_complete(ending())
        loop.close()
        del loop
        gc.collect()
        assert task() is None
        assert server() is None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, DEADLINE_S)

    in_thread(main)
    assert [str(args.exc_value) for args in lost] == []
