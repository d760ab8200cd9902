"""``compress=``: responses of ASGI and WSGI applications by negotiation."""

import asyncio
import gzip
import zlib

import pytest

from served import serve

TEXT = b"hello, world\n" * 200
PLAIN = [(b"content-type", b"text/plain")]


async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    await send({"type": "http.response.body", "body": TEXT})


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [TEXT]


def wsgi_pieces(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(TEXT[:100])
    yield TEXT[100:1000]
    yield b""
    yield TEXT[1000:]


@pytest.mark.parametrize("app, options", [
    (asgi, {"lifespan": "off"}),
    (wsgi, {"interface": "wsgi"}),
    (wsgi, {"interface": "wsgi", "threads": 4}),
    (wsgi_pieces, {"interface": "wsgi"}),
    (wsgi_pieces, {"interface": "wsgi", "threads": 4}),
], ids=["asgi", "wsgi", "pool", "pieces", "pieces-pool"])
def test_a_client_that_accepts_gets_it_compressed(app, options):
    with serve(app, compress=True, **options) as s, s.connect() as client:
        plain = client.request("GET", "/")
        zipped = client.request("GET", "/", {"accept-encoding": "gzip"})
        head = client.request("HEAD", "/", {"accept-encoding": "gzip"})
    assert plain.body == TEXT
    assert plain["vary"] == "accept-encoding"
    assert "content-encoding" not in plain
    assert zipped["content-encoding"] == "gzip"
    assert zipped["vary"] == "accept-encoding"
    assert gzip.decompress(zipped.body) == TEXT
    assert len(zipped.body) < 200
    assert head["vary"] == "accept-encoding"


def test_it_is_off_by_default():
    with serve(asgi, lifespan="off") as s:
        answer = s.get("/", **{"accept-encoding": "gzip"})
    assert answer.body == TEXT
    assert "vary" not in answer


def test_an_event_arrives_when_it_is_sent():
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n",
                    "more_body": True})
        await receive()  # the request
        await receive()  # http.disconnect: nothing more is sent
        go_on.set()

    with serve(app, lifespan="off", compress=True) as s, s.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n")
        client.line()
        assert ("content-encoding", "gzip") in client.fields()
        piece = client.exactly(int(client.line(), 16))
        assert zlib.decompressobj(31).decompress(piece) == b"data: 1\n\n"


def test_options_reach_the_core():
    with serve(asgi, lifespan="off", compress=True, compress_min_bytes=100_000) as s:
        assert s.get("/", **{"accept-encoding": "gzip"}).body == TEXT
    with serve(asgi, lifespan="off", compress=True, compress_type=["text/html"]) as s:
        assert s.get("/", **{"accept-encoding": "gzip"}).body == TEXT
    with serve(asgi, lifespan="off", compress=True, compress_type="text/*") as s:
        assert "content-encoding" in s.get("/", **{"accept-encoding": "br"})
    with pytest.raises(ValueError, match="compress_type"):
        with serve(asgi, compress_type="text"):
            pass
    with pytest.raises(ValueError, match="compress_min_bytes"):
        with serve(asgi, compress_min_bytes=-1):
            pass


def test_a_bad_header_is_raised_where_it_is_sent():
    seen = []

    async def app(scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": 200,
                        "headers": [*PLAIN, (b"x", b"a\r\nb: c")]})
        except Exception as exc:
            seen.append(exc)
        await asgi(scope, receive, send)

    with serve(app, lifespan="off", compress=True) as s:
        assert s.get("/", **{"accept-encoding": "gzip"}).status == 200
    assert len(seen) == 1
