"""guaco.Server and guaco.run as libraries; what the target may be."""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import weakref

import pytest

import guaco
import guaco.loop
from guaco._interface import TargetError, adapt, detect, import_target
from guaco._run import command_line
from guaco._server import _is_disconnect, bind_sockets
from deadline import DEADLINE_S
from served import Client, in_thread, serve


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]


# ---- Server


def test_serve_runs_beside_other_tasks_of_its_loop():
    async def main():
        server = guaco.Server(hello, port=0, lifespan="off")
        started = asyncio.Event()
        server.on_start = started.set
        serving = asyncio.create_task(server.serve())
        await started.wait()
        host, port = server.addresses[0]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert server.stats()["requests"] == 1
        server.shutdown()
        await serving
        return answer

    answer = guaco.loop.run(main())
    assert answer.endswith(b"\r\n\r\nhello")


def test_a_unix_socket_can_be_served(tmp_path):
    path = str(tmp_path / "socket")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await hello(scope, receive, send)

    async def main():
        server = guaco.Server(app, uds=path, lifespan="off")
        started = asyncio.Event()
        server.on_start = started.set
        serving = asyncio.create_task(server.serve())
        await started.wait()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()
        server.shutdown()
        await serving

    guaco.loop.run(main())
    assert scopes[0]["client"] is None
    assert scopes[0]["server"] == (path, None)


def test_unknown_options_and_values_are_errors():
    with pytest.raises(TypeError, match="unknown option 'hots'"):
        guaco.Server(hello, hots="x")
    with pytest.raises(ValueError, match="auto, on, off"):
        guaco.Server(hello, lifespan="maybe")
    with pytest.raises(ValueError, match="out of range"):
        with serve(hello, timeout_head=-1):
            pass


def test_a_taken_address_is_an_oserror():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = guaco.Server(
            hello, port=taken.getsockname()[1], lifespan="off"
        )
        with pytest.raises(OSError):
            guaco.loop.run(server.serve())


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", ":x"])
def test_a_malformed_address_is_a_valueerror(address):
    with pytest.raises(ValueError):
        bind_sockets({"bind": [address]})


def test_several_addresses_can_be_bound(tmp_path):
    sockets = bind_sockets(
        {"bind": ["127.0.0.1:0", "[::1]:0", f"unix:{tmp_path}/s"]}
    )
    families = [s.family for s in sockets]
    for listener in sockets:
        listener.close()
    assert families == [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]


def test_a_limit_is_passed_on():
    with serve(hello, lifespan="off", limit_head_bytes=1024) as served:
        assert served.get("/" + "x" * 2000).status in (414, 431)
    with serve(hello, lifespan="off", server_header=False) as served:
        assert "server" not in served.get()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # close() is refused
)
def test_a_loop_that_is_dropped_takes_the_server_along():
    async def ending():
        server = guaco.Server(hello, port=0, lifespan="off")
        started = asyncio.Event()
        server.on_start = started.set
        asyncio.create_task(server.serve())
        await started.wait()
        return server.addresses[0], weakref.ref(server)

    def main():
        loop = guaco.loop.new_event_loop()
        address, server = loop.run_until_complete(ending())
        with pytest.raises(RuntimeError, match="server lives in"):
            loop.close()
        with pytest.warns(ResourceWarning):
            del loop
            gc.collect()
        assert server() is None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, DEADLINE_S)

    in_thread(main)


# ---- targets


def test_interfaces_are_told_apart():
    class Double:
        def __init__(self, scope):
            pass

    class Async:
        async def __call__(self, scope, receive, send):
            pass

    class Wsgi:
        def __call__(self, environ, start_response):
            pass

    assert detect(hello) == "asgi"
    assert detect(Async()) == "asgi"
    assert detect(Double) == "asgi"
    assert detect(lambda scope, receive, send: None) == "asgi"
    assert detect(lambda scope: None) == "asgi"
    assert detect(wsgi) == "wsgi"
    assert detect(Wsgi()) == "wsgi"
    assert adapt(hello) is hello
    with pytest.raises(TargetError):
        adapt(5)


def test_targets_are_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "package_of_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "inner.py").write_text("class box: app = 1\napp = 2\n")
    name = "package_of_test.inner"
    assert import_target(f"{name}:box.app", str(tmp_path)) == 1
    assert import_target(name) == 2
    assert import_target(f"{name}.app") == 2
    for wrong in (":app", "", "no_such_module:app", f"{name}:none"):
        with pytest.raises(TargetError):
            import_target(wrong)


def test_a_module_that_the_application_lacks_is_its_own_error(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "lacks.py").write_text("import not_there_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        import_target("lacks:app", str(tmp_path))


# ---- what is a disconnect of ours


def test_disconnects_are_found_in_chains_and_groups():
    gone = guaco.ClientDisconnected("gone")
    other = ValueError()
    wrapped = RuntimeError()
    wrapped.__cause__ = gone
    assert isinstance(gone, OSError)
    assert _is_disconnect(gone)
    assert _is_disconnect(wrapped)
    assert _is_disconnect(ExceptionGroup("", [gone, wrapped]))
    assert not _is_disconnect(ExceptionGroup("", [gone, other]))
    assert not _is_disconnect(other)
    circle = ExceptionGroup("", [other])
    other.__context__ = circle
    assert not _is_disconnect(circle)
    assert not _is_disconnect(other)


# ---- run()

PROGRAM = """
import sys
import guaco

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})

def broken():
    raise ZeroDivisionError

if __name__ == "__main__":
    guaco.run(TARGET, **OPTIONS)
    print("returned")
"""


def program(tmp_path, target, **options):
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent(PROGRAM)
        .replace("TARGET", target)
        .replace("OPTIONS", repr(options))
    )
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def port_of(process):
    for line in process.stdout:
        if "http://" in line:
            return int(line.strip().rpartition(":")[2])
    raise AssertionError("it never listened")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_a_signal(tmp_path, number):
    process = program(tmp_path, "app", port=0)
    try:
        port = port_of(process)
        with Client(socket.create_connection(("127.0.0.1", port))) as client:
            assert client.request("GET", "/").body == b"hello"
        process.send_signal(number)
        output, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "returned" in output


def test_run_takes_another_loop(tmp_path):
    process = program(tmp_path, "app", port=0, loop="asyncio")
    try:
        port = port_of(process)
        with Client(socket.create_connection(("127.0.0.1", port))) as client:
            assert client.request("GET", "/").body == b"hello"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "returned" in output


def test_run_refuses_a_loop_that_it_does_not_know():
    with pytest.raises(ValueError, match="guaco, asyncio, uvloop"):
        guaco.run(hello, port=0, loop="quick")


def test_run_with_a_failing_target_exits_with_3(tmp_path):
    process = program(tmp_path, "'program:missing'", port=0)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 3
    assert "has no 'missing'" in output


def test_workers_need_a_name(monkeypatch):
    with pytest.raises(ValueError, match="as a name"):
        guaco.run(hello, workers=2)
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    with pytest.raises(ValueError, match="as a name"):
        guaco.run(hello)


def test_options_become_words():
    assert command_line(
        {
            "workers": 2,
            "reload": True,
            "access_log": False,
            "bind": ["a:1", "b:2"],
            "uds": None,
        }
    ) == ["--workers", "2", "--reload", "--no-access-log", "--bind", "a:1",
          "--bind", "b:2"]


@pytest.mark.skipif(
    "GUACO_EXE" not in os.environ, reason="needs the executable (GUACO_EXE)"
)
def test_python_m_guaco_is_the_executable():
    done = subprocess.run(
        [sys.executable, "-m", "guaco", "--version"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert guaco.__version__ in done.stdout
