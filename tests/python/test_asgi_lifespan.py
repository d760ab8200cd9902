"""The lifespan protocol, and the state that requests get of it."""

import asyncio
import contextvars
import threading

import pytest

import guaco.loop
from guaco import Server
from guaco._lifespan import LifespanError
from served import serve

variable = contextvars.ContextVar("variable", default="unset")


class App:
    """Speaks lifespan; answers a request with its state."""

    def __init__(self, startup="complete", shutdown="complete"):
        self.answers = {"startup": startup, "shutdown": shutdown}
        self.events = []
        self.scopes = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        self.scopes.append(scope)
        body = variable.get().encode()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})

    async def lifespan(self, scope, receive, send):
        self.scope = scope
        while True:
            kind = (await receive())["type"]
            self.events.append(kind)
            name = kind.removeprefix("lifespan.")
            if name == "startup":
                scope["state"]["list"] = []
                variable.set("set in startup")
            await send({"type": f"{kind}.{self.answers[name]}",
                        "message": "told why"})
            if name == "shutdown":
                return


def test_startup_comes_first_and_shutdown_last():
    app = App()
    with serve(app) as served:
        assert app.events == ["lifespan.startup"]
        served.get()
    assert app.events == ["lifespan.startup", "lifespan.shutdown"]
    assert app.scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}


def test_each_request_gets_a_shallow_copy_of_the_state():
    app = App()
    with serve(app) as served:
        served.get()
        app.scopes[0]["state"]["mine"] = 1
        app.scopes[0]["state"]["list"].append(1)
        served.get()
    assert app.scopes[1]["state"] == {"list": [1]}


def test_requests_see_the_context_of_the_lifespan():
    with serve(App()) as served:
        assert served.get().body == b"set in startup"
    assert variable.get() == "unset"


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_failed_startup_ends_the_server(mode):
    with pytest.raises(LifespanError, match="told why"):
        with serve(App(startup="failed"), lifespan=mode):
            raise AssertionError("it serves")


async def only_http(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"ok"})


async def returns_at_once(scope, receive, send):
    if scope["type"] == "http":
        await only_http(scope, receive, send)


@pytest.mark.parametrize("app", [only_http, returns_at_once])
def test_an_application_without_lifespan_is_served_in_auto(app):
    with serve(app) as served:
        assert served.get().body == b"ok"


@pytest.mark.parametrize("app", [only_http, returns_at_once])
def test_an_application_without_lifespan_is_refused_in_on(app):
    with pytest.raises(LifespanError):
        with serve(app, lifespan="on"):
            raise AssertionError("it serves")


def test_off_speaks_no_lifespan():
    app = App()
    with serve(app, lifespan="off") as served:
        served.get()
    assert app.events == []
    assert "state" not in app.scopes[0]


def test_a_failed_shutdown_is_logged(caplog):
    with serve(App(shutdown="failed")) as served:
        served.get()
    assert "told why" in caplog.text


def test_nothing_is_accepted_before_startup_is_complete():
    release = threading.Event()
    app = App()
    inner = app.lifespan

    async def slow(scope, receive, send):
        while not release.is_set():
            await asyncio.sleep(0.005)
        await inner(scope, receive, send)

    app.lifespan = slow
    server = Server(app, port=0)
    thread = threading.Thread(target=lambda: guaco.loop.run(server.serve()))
    started = threading.Event()
    server.on_start = started.set
    thread.start()
    try:
        assert server.addresses == []
        release.set()
        assert started.wait(10)
        assert server.addresses
    finally:
        server.should_exit = True
        thread.join(10)
