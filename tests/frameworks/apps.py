"""One small application in each framework, with the same routes.

    GET  /             hello
    GET  /json?name=x  {"hello": "x", "scheme": "https"}
    POST /form         a form's `name`, and what the cookie `seen` said before
    POST /upload       the size and name of an uploaded `file`
    GET  /stream       three pieces
    GET  /error        raises

`from_name("flask")` imports that framework alone.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from typing import Any

PIECES = ("one ", "two ", "three")

FRAMEWORKS = {
    "starlette": ("starlette", "python-multipart"),
    "fastapi": ("fastapi", "python-multipart"),
    "litestar": ("litestar",),
    "quart": ("quart",),
    "flask": ("flask",),
    "django": ("django",),
    "django_asgi": ("django",),
}
"""A name for from_name(), and what it needs from PyPI."""


async def pieces() -> AsyncIterator[str]:
    for piece in PIECES:
        yield piece


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import (
        JSONResponse,
        PlainTextResponse,
        Response,
        StreamingResponse,
    )
    from starlette.routing import Route

    async def hello(_request: Request) -> Response:
        return PlainTextResponse("hello")

    async def as_json(request: Request) -> Response:
        return JSONResponse(
            {"hello": request.query_params["name"], "scheme": request.url.scheme}
        )

    async def form(request: Request) -> Response:
        async with request.form() as data:
            seen = request.cookies.get("seen", "no")
            response = PlainTextResponse(f"{data['name']} {seen}")
        response.set_cookie("seen", "yes")
        return response

    async def upload(request: Request) -> Response:
        async with request.form() as data:
            file: Any = data["file"]
            return PlainTextResponse(f"{len(await file.read())} {file.filename}")

    async def stream(_request: Request) -> Response:
        return StreamingResponse(pieces(), media_type="text/plain")

    async def error(_request: Request) -> Response:
        raise ZeroDivisionError

    return Starlette(
        routes=[
            Route("/", hello),
            Route("/json", as_json),
            Route("/form", form, methods=["POST"]),
            Route("/upload", upload, methods=["POST"]),
            Route("/stream", stream),
            Route("/error", error),
        ]
    )


def fastapi() -> Any:
    fastapi: Any = importlib.import_module("fastapi")
    responses: Any = importlib.import_module("fastapi.responses")
    app = fastapi.FastAPI()
    text = responses.PlainTextResponse
    form_field, file_field = fastapi.Form(), fastapi.File()

    @app.get("/", response_class=text)  # type: ignore[untyped-decorator]
    def hello() -> str:  # in a thread
        return "hello"

    async def as_json(request: Any, name: str) -> dict[str, str]:
        return {"hello": name, "scheme": request.url.scheme}

    as_json.__annotations__["request"] = fastapi.Request
    app.get("/json")(as_json)

    async def form(request: Any, response: Any, name: Any = form_field) -> Any:
        answer = text(f"{name} {request.cookies.get('seen', 'no')}")
        answer.set_cookie("seen", "yes")
        return answer

    form.__annotations__.update(
        request=fastapi.Request, response=fastapi.Response, name=str
    )
    app.post("/form", response_class=text)(form)

    async def upload(file: Any = file_field) -> Any:
        return text(f"{len(await file.read())} {file.filename}")

    upload.__annotations__["file"] = fastapi.UploadFile
    app.post("/upload", response_class=text)(upload)

    @app.get("/stream")  # type: ignore[untyped-decorator]
    async def stream() -> Any:
        return responses.StreamingResponse(pieces(), media_type="text/plain")

    @app.get("/error")  # type: ignore[untyped-decorator]
    async def error() -> None:
        raise ZeroDivisionError

    return app


def litestar() -> Any:
    litestar: Any = importlib.import_module("litestar")
    response: Any = importlib.import_module("litestar.response")
    text = "text/plain"

    @litestar.get("/", media_type=text, sync_to_thread=False)  # type: ignore[untyped-decorator]
    def hello() -> str:
        return "hello"

    async def as_json(request: Any, name: str) -> dict[str, str]:
        return {"hello": name, "scheme": request.url.scheme}

    async def form(request: Any) -> Any:
        data = await request.form()
        seen = request.cookies.get("seen", "no")
        answer = response.Response(f"{data['name']} {seen}", media_type=text)
        answer.set_cookie("seen", "yes")
        return answer

    async def upload(request: Any) -> str:
        file = (await request.form())["file"]
        return f"{len(await file.read())} {file.filename}"

    @litestar.get("/stream")  # type: ignore[untyped-decorator]
    async def stream() -> Any:
        return response.Stream(pieces(), media_type=text)

    @litestar.get("/error")  # type: ignore[untyped-decorator]
    async def error() -> None:
        raise ZeroDivisionError

    for handler in (as_json, form, upload):
        handler.__annotations__["request"] = litestar.Request
    stream.fn.__annotations__["return"] = response.Stream
    return litestar.Litestar(
        [
            hello,
            litestar.get("/json")(as_json),
            litestar.post("/form", status_code=200)(form),
            litestar.post("/upload", media_type=text, status_code=200)(upload),
            stream,
            error,
        ]
    )


def quart() -> Any:
    quart: Any = importlib.import_module("quart")
    app = quart.Quart(__name__)
    request = quart.request

    async def hello() -> str:
        return "hello"

    async def as_json() -> Any:
        return {"hello": request.args["name"], "scheme": request.scheme}

    async def form() -> Any:
        data = await request.form
        answer = await quart.make_response(
            f"{data['name']} {request.cookies.get('seen', 'no')}"
        )
        answer.set_cookie("seen", "yes")
        return answer

    async def upload() -> str:
        file = (await request.files)["file"]
        return f"{len(file.read())} {file.filename}"

    async def stream() -> Any:
        return pieces(), {"Content-Type": "text/plain"}

    async def error() -> None:
        raise ZeroDivisionError

    return with_routes(app.add_url_rule, hello, as_json, form, upload, stream, error)


def flask() -> Any:
    flask: Any = importlib.import_module("flask")
    app = flask.Flask(__name__)
    request = flask.request

    def hello() -> str:
        return "hello"

    def as_json() -> Any:
        return {"hello": request.args["name"], "scheme": request.scheme}

    def form() -> Any:
        seen = request.cookies.get("seen", "no")
        answer = flask.make_response(f"{request.form['name']} {seen}")
        answer.set_cookie("seen", "yes")
        return answer

    def upload() -> str:
        file = request.files["file"]
        return f"{len(file.read())} {file.filename}"

    def stream() -> Any:
        return iter(PIECES), {"Content-Type": "text/plain"}

    def error() -> None:
        raise ZeroDivisionError

    return with_routes(app.add_url_rule, hello, as_json, form, upload, stream, error)


def with_routes(add: Callable[..., Any], *views: Callable[..., Any]) -> Any:
    """Flask's and Quart's way to add them; gives the application of `add`."""
    for view, path in zip(
        views, ("/", "/json", "/form", "/upload", "/stream", "/error"), strict=True
    ):
        methods = ["POST"] if path in ("/form", "/upload") else ["GET"]
        add(path, view.__name__, view, methods=methods)
    return add.__self__  # type: ignore[attr-defined]


def set_up_django() -> None:
    conf: Any = importlib.import_module("django.conf")
    http: Any = importlib.import_module("django.http")
    urls: Any = importlib.import_module("django.urls")

    def hello(_request: Any) -> Any:
        return http.HttpResponse("hello")

    def as_json(request: Any) -> Any:
        return http.JsonResponse(
            {"hello": request.GET["name"], "scheme": request.scheme}
        )

    def form(request: Any) -> Any:
        seen = request.COOKIES.get("seen", "no")
        answer = http.HttpResponse(f"{request.POST['name']} {seen}")
        answer.set_cookie("seen", "yes")
        return answer

    def upload(request: Any) -> Any:
        file = request.FILES["file"]
        return http.HttpResponse(f"{len(file.read())} {file.name}")

    def stream(request: Any) -> Any:
        is_async = hasattr(request, "scope")
        return http.StreamingHttpResponse(pieces() if is_async else iter(PIECES))

    def error(_request: Any) -> Any:
        raise ZeroDivisionError

    routes = [hello, as_json, form, upload, stream, error]
    paths = ("", "json", "form", "upload", "stream", "error")

    class Urls:
        urlpatterns = [
            urls.path(path, view) for path, view in zip(paths, routes, strict=True)
        ]

    conf.settings.configure(
        ROOT_URLCONF=Urls, SECRET_KEY="of a test", ALLOWED_HOSTS=["*"]
    )
    importlib.import_module("django").setup()


def django() -> Any:
    set_up_django()
    return importlib.import_module("django.core.wsgi").get_wsgi_application()


def django_asgi() -> Any:
    set_up_django()
    return importlib.import_module("django.core.asgi").get_asgi_application()


def from_name(name: str) -> Any:
    """The application of a framework; a KeyError when there is no such."""
    makers: dict[str, Callable[[], Any]] = {
        "starlette": starlette,
        "fastapi": fastapi,
        "litestar": litestar,
        "quart": quart,
        "flask": flask,
        "django": django,
        "django_asgi": django_asgi,
    }
    return makers[name]()


def __getattr__(name: str) -> Any:
    # `guaco serve tests.frameworks.apps:flask_app`
    if name.endswith("_app") and name[:-4] in FRAMEWORKS:
        app = globals()[name] = from_name(name[:-4])
        return app
    raise AttributeError(name)
