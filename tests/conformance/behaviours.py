"""What a server does with requests that are in order, and with its application.

Each case is a function over an open connection and the address; it asserts.  The
application is tests/conformance/app.py.  Cases of the section "ASGI" or "WebSocket"
need an ASGI server; the rest is HTTP.
"""

import base64
import dataclasses
import hashlib
import json
import os
import re
import socket
import struct
import uuid
from collections.abc import Callable
from typing import Any

from .client import Client, Response, chunked, request
from .rejects import CHUNKED, GET, POST

Address = tuple[str, int]
Run = Callable[[Client, Address], None]


@dataclasses.dataclass(frozen=True)
class Behaviour:
    id: str
    section: str
    run: Run


BEHAVIOURS: list[Behaviour] = []


def case(section: str) -> Callable[[Run], Run]:
    """Register a function as a case; its name is the id."""

    def register(run: Run) -> Run:
        BEHAVIOURS.append(Behaviour(run.__name__.replace("_", "-"), section, run))
        return run

    return register


def ok(client: Client, data: bytes, method: str = "GET") -> Response:
    client.send(data)
    response = client.response(method)
    assert response.status == 200, response
    return response


def ask(client: Client, target: str, method: str = "GET") -> Response:
    return ok(client, request(method, target), method)


def stays_open(client: Client) -> None:
    assert ask(client, "/").body == b"hello"


def ends(client: Client) -> None:
    assert client.is_closed(), "the connection stays open"


def scope_of(client: Client, data: bytes) -> dict[str, Any]:
    scope: dict[str, Any] = json.loads(ok(client, data).body)
    return scope


# ---- accepted requests, one table -----------------------------------------

ACCEPTED: list[tuple[str, str, bytes, bool]] = [
    # id, section, request, whether the connection stays
    ("plain-get", "9112 2.1", GET + b"\r\n", True),
    ("one-empty-line-first", "9112 2.2", b"\r\n" + GET + b"\r\n", True),
    ("unknown-method-is-a-token", "9110 9.1",
     b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ("method-with-odd-token-bytes", "9110 5.6.2",
     b"A!#$%&'*+.^`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ("absolute-form", "9112 3.2.2", b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ("absolute-form-with-port", "9112 3.2.2",
     b"GET http://a:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n", True),
    ("absolute-form-without-path", "9112 3.2.2",
     b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ("absolute-form-in-capitals", "3986 3.1",
     b"GET HTTP://A/ HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ("asterisk-form", "9112 3.2.4", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ("host-with-port", "9110 7.2", b"GET / HTTP/1.1\r\nHost: a:8000\r\n\r\n", True),
    ("host-of-ipv4", "9110 7.2", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", True),
    ("host-of-ipv6", "9110 7.2", b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", True),
    ("host-with-underscore", "3986 3.2.2",
     b"GET / HTTP/1.1\r\nHost: a_b\r\n\r\n", True),
    ("host-name-in-capitals", "9110 5.1",
     b"GET / HTTP/1.1\r\nHOST: a\r\n\r\n", True),
    ("no-space-behind-the-colon", "9112 5.1", GET + b"A:b\r\n\r\n", True),
    ("spaces-and-tabs-around-a-value", "9112 5.1", GET + b"A: \t b \t \r\n\r\n", True),
    ("empty-value", "9110 5.5", GET + b"A:\r\n\r\n", True),
    ("tab-inside-a-value", "9110 5.5", GET + b"A: b\tc\r\n\r\n", True),
    ("bytes-above-127-in-a-value", "9110 5.5", GET + b"A: \xc3\xa9\xff\r\n\r\n", True),
    ("repeated-field", "9110 5.3", GET + b"A: b\r\nA: c\r\n\r\n", True),
    ("name-with-odd-token-bytes", "9110 5.6.2", GET + b"!#$%&'*+.^_`|~: b\r\n\r\n",
     True),
    ("fifty-fields", "9110 5.4", GET + b"A: b\r\n" * 50 + b"\r\n", True),
    ("target-of-4-kib", "9110 4.1",
     b"GET /" + b"a" * 4096 + b" HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ("value-of-4-kib", "9110 5.4", GET + b"A: " + b"b" * 4096 + b"\r\n\r\n", True),
    ("target-with-odd-bytes", "3986 3.3",
     b"GET /a;b=c,d!$&'()*+:@%20?e=f/?g HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ("zero-length", "9110 8.6", POST + b"Content-Length: 0\r\n\r\n", True),
    ("length-with-leading-zeros", "9110 8.6",
     POST + b"Content-Length: 0003\r\n\r\nabc", True),
    ("get-with-a-body", "9110 9.3.1", GET + b"Content-Length: 3\r\n\r\nabc", True),
    ("delete-with-a-body", "9110 9.3.5",
     b"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", True),
    ("empty-chunked-body", "9112 7.1", CHUNKED + b"0\r\n\r\n", True),
    ("chunked-in-capitals", "9112 7",
     POST + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", True),
    ("chunk-size-in-both-cases", "9112 7.1",
     CHUNKED + b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", True),
    ("chunk-size-with-leading-zeros", "9112 7.1",
     CHUNKED + b"003\r\nabc\r\n00\r\n\r\n", True),
    ("chunk-extensions", "9112 7.1.1",
     CHUNKED + b'3;a;b=c;d="e f"\r\nabc\r\n0;z\r\n\r\n', True),
    ("trailers", "9112 7.1.2", CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", True),
    ("connection-close", "9112 9.6", GET + b"Connection: close\r\n\r\n", False),
    ("connection-close-in-a-list", "9112 9.6", GET + b"Connection: x, Close\r\n\r\n",
     False),
    ("connection-keep-alive", "9112 9.3", GET + b"Connection: keep-alive\r\n\r\n", True),
    ("http-1-0", "9112 9.3", b"GET / HTTP/1.0\r\n\r\n", False),
    ("http-1-0-with-host", "9112 3.2", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", False),
    ("http-1-0-keep-alive", "9112 9.3",
     b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ("upgrade-to-something-unknown", "9110 7.8",
     GET + b"Upgrade: x/1\r\nConnection: upgrade\r\n\r\n", True),
    ("http2-upgrade-is-ignored", "9113 3.1",
     GET + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
     b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", True),
    ("unknown-fields", "9110 5.1", GET + b"X-Nothing: 1\r\nProxy: x\r\n\r\n", True),
]


def accept(data: bytes, stays: bool) -> Run:
    def run(client: Client, address: Address) -> None:
        ok(client, data)
        if stays:
            stays_open(client)
        else:
            ends(client)

    return run


def accept_bytewise(data: bytes) -> Run:
    def run(client: Client, address: Address) -> None:
        for at in range(len(data)):
            client.send(data[at : at + 1])
        assert client.response().status == 200

    return run


for _id, _section, _data, _stays in ACCEPTED:
    BEHAVIOURS.append(Behaviour(_id, _section, accept(_data, _stays)))
    if len(_data) < 200:
        BEHAVIOURS.append(
            Behaviour(_id + "-byte-by-byte", _section, accept_bytewise(_data)))


# ---- connections ----------------------------------------------------------


@case("9112 9.3.2")
def sixteen_pipelined_requests_in_order(client: Client, address: Address) -> None:
    client.send(b"".join(request("POST", "/echo", body=b"%d" % i) for i in range(16)))
    assert [client.response().body for _ in range(16)] == [
        b"%d" % i for i in range(16)]


@case("9112 9.3.2")
def good_requests_are_answered_before_a_bad_one(
    client: Client, address: Address
) -> None:
    client.send(request() * 2 + b"GET / HTTP/9.9\r\n\r\n")
    assert [client.response().status for _ in range(2)] == [200, 200]
    assert client.response().status in (400, 505)
    ends(client)


@case("9112 9.6")
def bytes_after_close_are_ignored(client: Client, address: Address) -> None:
    client.send(request(fields={"Connection": "close"}) + request() * 2)
    assert client.response().status == 200
    assert client.rest() == b""


@case("9112 9.6")
def close_is_echoed(client: Client, address: Address) -> None:
    response = ok(client, request(fields={"Connection": "close"}))
    assert (response.get("connection") or b"").lower() == b"close"


@case("9112 6.3")
def a_request_inside_a_body_is_not_read_as_one(
    client: Client, address: Address
) -> None:
    inner = request("GET", "/fail")
    assert ok(client, request("POST", "/echo", body=inner)).body == inner
    assert client.is_quiet()
    stays_open(client)


def no_failure_follows(client: Client) -> None:
    """The end, or the answer to the request that was sent last: not that of /fail."""
    try:
        assert client.response().status == 200
    except (EOFError, ConnectionError):
        pass


@case("9112 9.3")
def an_unread_body_does_not_become_a_request(
    client: Client, address: Address
) -> None:
    client.send(request("POST", "/unread", body=request("GET", "/fail")) + request())
    assert client.response().body == b"not read"
    no_failure_follows(client)


@case("9112 9.5")
def half_a_head_then_end_gets_no_200(client: Client, address: Address) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    client.half_close()
    assert b" 200 " not in client.rest()


@case("9112 8")
def half_a_body_then_end_is_not_a_whole_one(client: Client, address: Address) -> None:
    client.send(request("POST", "/echo", {"Content-Length": "10"}) + b"12345")
    client.half_close()
    assert b"12345" not in client.rest()


@case("9112 8")
def a_chunked_body_without_its_end_is_not_whole(
    client: Client, address: Address
) -> None:
    client.send(chunked("/echo", b"12345", end=b""))
    client.half_close()
    assert b"12345" not in client.rest()


@case("9112 9.6")
def a_client_that_half_closes_gets_its_answer(
    client: Client, address: Address
) -> None:
    client.send(request())
    client.half_close()
    assert client.response().body == b"hello"


@case("9112 9.3")
def a_hundred_requests_on_one_connection(client: Client, address: Address) -> None:
    for _ in range(100):
        stays_open(client)


def _body_of(method: str) -> Run:
    def run(client: Client, address: Address) -> None:
        client.send(request(method, "/unread", body=request("GET", "/fail")))
        assert client.response(method).status == 200
        client.send(request())
        no_failure_follows(client)

    return run


for _method in ("GET", "HEAD", "OPTIONS", "DELETE"):
    BEHAVIOURS.append(
        Behaviour(f"an-unread-body-of-{_method.lower()}-is-no-request", "9112 6.3",
                  _body_of(_method)))


def _kept(byte: bytes) -> Run:
    """What is no white space of HTTP stays at both ends of a value."""

    def run(client: Client, address: Address) -> None:
        scope = scope_of(client, GET.replace(b"/ ", b"/scope ")
                         + b"A: " + byte + b"b" + byte + b"\r\n\r\n")
        value = (byte + b"b" + byte).decode("latin-1")
        assert ["a", value] in scope["headers"], scope["headers"]

    return run


for _byte in (b"\x85", b"\xa0", b"\xff"):
    BEHAVIOURS.append(
        Behaviour(f"0x{_byte.hex()}-around-a-value-is-kept", "9110 5.5", _kept(_byte)))


@case("9112 9.6")
def a_get_with_close_and_a_body_behind_it_is_one_request(
    client: Client, address: Address
) -> None:
    client.send(request("POST", "/unread", {"Connection": "close"}, body=b"abc")
                + request("GET", "/fail"))
    assert client.response().body == b"not read"
    assert b" 500 " not in client.rest()


# ---- Expect ---------------------------------------------------------------

EXPECT = {"Expect": "100-continue", "Content-Length": "3"}


@case("9110 10.1.1")
def continue_is_sent_when_the_body_is_wanted(
    client: Client, address: Address
) -> None:
    client.send(request("POST", "/echo", EXPECT))
    first = client.head()
    assert first.status == 100
    assert not first.count("content-length") + first.count("transfer-encoding")
    client.send(b"abc")
    assert client.response().body == b"abc"


@case("9110 10.1.1")
def no_continue_when_the_body_is_not_wanted(client: Client, address: Address) -> None:
    client.send(request("POST", "/unread", EXPECT))
    assert client.head().status == 200


@case("9110 10.1.1")
def a_body_sent_without_waiting_is_read(client: Client, address: Address) -> None:
    client.send(request("POST", "/echo", EXPECT) + b"abc")
    assert client.response().body == b"abc"


@case("9110 10.1.1")
def no_continue_to_http_1_0(client: Client, address: Address) -> None:
    client.send(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\n"
                b"Content-Length: 3\r\n\r\nabc")
    assert client.head().status == 200


# ---- responses ------------------------------------------------------------


@case("9110 6.6.1")
def date_is_there_once_and_well_formed(client: Client, address: Address) -> None:
    date = ask(client, "/").get("date")
    assert date is not None and re.fullmatch(
        rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)


@case("9110 6.6.1")
def date_and_server_of_the_application_win(client: Client, address: Address) -> None:
    response = ask(client, "/own-date")
    assert response.get("date") == b"never" and response.get("server") == b"mine"


@case("9112 6.2")
def a_body_in_one_piece_has_a_length(client: Client, address: Address) -> None:
    response = ask(client, "/")
    assert response.get("content-length") == b"5"
    assert not response.count("transfer-encoding")


@case("9112 7.1")
def a_body_in_pieces_is_chunked(client: Client, address: Address) -> None:
    response = ask(client, "/stream")
    assert response.get("transfer-encoding") == b"chunked"
    assert response.body == b"onetwothree"
    stays_open(client)


@case("9112 7.1")
def nothing_is_chunked_for_http_1_0(client: Client, address: Address) -> None:
    client.send(b"GET /stream HTTP/1.0\r\n\r\n")
    response = client.response()
    assert not response.count("transfer-encoding")
    assert response.body == b"onetwothree"


@case("9112 9.3")
def a_1_0_keep_alive_without_length_closes(client: Client, address: Address) -> None:
    client.send(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.response().body == b"onetwothree"
    ends(client)


@case("9110 9.3.2")
def head_has_the_fields_of_get_and_no_body(client: Client, address: Address) -> None:
    assert ask(client, "/", "HEAD").get("content-length") == b"5"
    assert client.is_quiet()
    stays_open(client)


@case("9110 9.3.2")
def head_of_a_stream_has_no_body(client: Client, address: Address) -> None:
    ask(client, "/stream", "HEAD")
    assert client.is_quiet()
    stays_open(client)


@case("9110 15.3.5")
def status_204_has_neither_body_nor_length(client: Client, address: Address) -> None:
    for path in ("/status/204", "/body-on-204"):
        client.send(request("GET", path))
        response = client.response()
        assert response.status == 204
        assert not response.count("content-length")
        assert not response.count("transfer-encoding")
        assert client.is_quiet()
    stays_open(client)


@case("9110 15.4.5")
def status_304_has_no_body(client: Client, address: Address) -> None:
    client.send(request("GET", "/status/304"))
    assert client.response().status == 304
    assert client.is_quiet()
    stays_open(client)


@case("9110 15.3.6")
def status_205_has_an_empty_body(client: Client, address: Address) -> None:
    client.send(request("GET", "/status/205"))
    response = client.response()
    assert (response.status, response.body) == (205, b"")
    stays_open(client)


@case("9112 4")
def a_status_without_a_name_is_sent(client: Client, address: Address) -> None:
    client.send(request("GET", "/status/299"))
    assert client.response().status == 299
    stays_open(client)


@case("9112 6.3")
def a_body_that_ends_early_closes_the_connection(
    client: Client, address: Address
) -> None:
    client.send(request("GET", "/short"))
    head = client.head()
    assert head.get("content-length") in (b"10", None) or head.status == 500
    if head.status == 200:
        assert len(client.rest()) < 10
    else:
        ends(client)


@case("9112 6.3")
def a_body_past_its_length_is_cut(client: Client, address: Address) -> None:
    client.send(request("GET", "/long"))
    head = client.head()
    if head.status != 500:
        assert client.exactly(5) == b"01234"
        assert client.is_quiet()


@case("9112 6.1")
def the_application_does_not_frame(client: Client, address: Address) -> None:
    assert ask(client, "/transfer-encoding").body == b"plain"
    stays_open(client)


@case("9112 9.6")
def close_by_the_application_is_honoured(client: Client, address: Address) -> None:
    assert ask(client, "/close").body == b"bye"
    ends(client)


def _refused_field(kind: str) -> Run:
    def run(client: Client, address: Address) -> None:
        client.send(request("GET", "/bad-header?" + kind))
        response = client.response()
        assert response.status == 500 and not response.count("set-cookie")

    return run


for _kind in ("crlf", "lf", "nul", "name"):
    BEHAVIOURS.append(
        Behaviour(f"a-response-field-with-bad-{_kind}-is-refused", "9110 5.5",
                  _refused_field(_kind)))


# ---- ASGI -----------------------------------------------------------------


@case("ASGI scope")
def the_scope_has_its_keys_and_types(client: Client, address: Address) -> None:
    scope = scope_of(client, request("GET", "/scope?a=b%20c"))
    assert scope["type"] == "http" and scope["method"] == "GET"
    assert scope["http_version"] == "1.1" and scope["scheme"] == "http"
    assert scope["path"] == "/scope" and scope["query_string"] == "a=b%20c"
    types = scope["types"]
    assert types["query_string"] == "bytes" and types["path"] == "str"
    assert scope["asgi"]["version"] == "3.0" and "spec_version" in scope["asgi"]


@case("ASGI scope")
def client_and_server_are_host_and_port(client: Client, address: Address) -> None:
    scope = scope_of(client, request("GET", "/scope"))
    assert scope["client"] == list(client.socket.getsockname()[:2])
    assert scope["server"] == list(client.socket.getpeername()[:2])


@case("ASGI scope")
def field_names_are_lower_case_and_in_order(client: Client, address: Address) -> None:
    scope = scope_of(client, request("GET", "/scope", {"X-B": "1", "a": "2",
                                                       "X-C": " 3 "}))
    assert scope["headers"][:4] == [["host", "a"], ["x-b", "1"], ["a", "2"],
                                    ["x-c", "3"]]


@case("ASGI scope")
def repeated_fields_stay_apart(client: Client, address: Address) -> None:
    scope = scope_of(client, b"GET /scope HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n"
                             b"A: 3\r\n\r\n")
    assert scope["headers"][1:] == [["a", "1"], ["b", "2"], ["a", "3"]]


@case("ASGI scope")
def the_path_is_decoded_and_raw_path_is_not(client: Client, address: Address) -> None:
    scope = scope_of(client, request("GET", "http://a/%73cope?%41"))
    assert scope["path"] == "/scope" and scope["raw_path"] == "/%73cope"
    assert scope["query_string"] == "%41"


@case("ASGI scope")
def http_1_0_is_told(client: Client, address: Address) -> None:
    scope = scope_of(client, b"GET /scope HTTP/1.0\r\n\r\n")
    assert scope["http_version"] == "1.0"


@case("ASGI scope")
def a_path_that_is_not_utf_8_is_not_a_crash(client: Client, address: Address) -> None:
    client.send(request("GET", "/%ff%fe"))
    assert client.response().status in (200, 400)


@case("ASGI receive")
def an_empty_body_is_one_event(client: Client, address: Address) -> None:
    event = json.loads(ask(client, "/events").body)
    assert event["type"] == "http.request"
    assert event.get("body", "") == "" and not event.get("more_body", False)


@case("ASGI receive")
def a_large_body_comes_whole(client: Client, address: Address) -> None:
    body = os.urandom(1 << 20)
    assert ok(client, request("POST", "/echo", body=body)).body == body
    stays_open(client)


@case("ASGI receive")
def a_chunked_body_comes_without_its_chunks(client: Client, address: Address) -> None:
    pieces = [b"one", b"2" * 5000, b"three"]
    assert ok(client, chunked("/echo", *pieces)).body == b"".join(pieces)
    stays_open(client)


@case("ASGI receive")
def a_chunked_body_byte_by_byte(client: Client, address: Address) -> None:
    data = chunked("/echo", b"abc", b"defgh", end=b"0\r\nA: b\r\n\r\n")
    for at in range(len(data)):
        client.send(data[at : at + 1])
    assert client.response().body == b"abcdefgh"


def _result(address: Address, key: str) -> Any:
    with Client(*address) as other:
        return json.loads(ask(other, "/result?" + key).body)


@case("ASGI receive")
def a_client_that_leaves_is_told_for_ever(client: Client, address: Address) -> None:
    key = uuid.uuid4().hex
    client.send(request("GET", "/disconnect?" + key))
    client.is_quiet()
    client.socket.close()
    assert _result(address, key) == ["http.disconnect", "http.disconnect"]


@case("ASGI receive")
def receive_after_the_response_is_disconnect(
    client: Client, address: Address
) -> None:
    key = uuid.uuid4().hex
    ask(client, "/after-response?" + key)
    assert _result(address, key) == "http.disconnect"


@case("ASGI send")
def response_fields_keep_order_and_number(client: Client, address: Address) -> None:
    response = ask(client, "/fields")
    mine = [(n, v) for n, v in response.fields
            if n.startswith(b"x-") or n == b"set-cookie"]
    assert mine == [(b"x-two", b"1"), (b"set-cookie", b"a=1"), (b"x-two", b"2"),
                    (b"set-cookie", b"b=2"), (b"x-empty", b""), (b"x-bytes", b"\xe9")]


@case("ASGI send")
def a_length_of_the_application_is_kept(client: Client, address: Address) -> None:
    response = ask(client, "/length")
    assert response.get("content-length") == b"6" and response.body == b"onetwo"
    stays_open(client)


@case("ASGI send")
def an_exception_before_the_response_is_500(client: Client, address: Address) -> None:
    client.send(request("GET", "/fail"))
    assert client.response().status == 500


@case("ASGI send")
def an_exception_after_the_start_breaks_off(client: Client, address: Address) -> None:
    client.send(request("GET", "/fail-late"))
    assert client.head().status == 200
    assert not client.rest().endswith(b"0\r\n\r\n")


@case("ASGI send")
def an_application_that_says_nothing_is_500(client: Client, address: Address) -> None:
    client.send(request("GET", "/silent"))
    assert client.response().status == 500


@case("ASGI send")
def a_response_without_its_end_breaks_off(client: Client, address: Address) -> None:
    client.send(request("GET", "/unfinished"))
    assert client.head().status == 200
    assert not client.rest().endswith(b"0\r\n\r\n")


def _raises(kind: str) -> Run:
    def run(client: Client, address: Address) -> None:
        assert ask(client, "/bad-message?" + kind).body == b"raised"

    return run


for _kind in ("type", "body-first", "status", "body-type"):
    BEHAVIOURS.append(
        Behaviour(f"a-bad-message-raises-{_kind}", "ASGI send", _raises(_kind)))


@case("ASGI send")
def a_second_start_raises(client: Client, address: Address) -> None:
    assert ask(client, "/twice").body == b"raised"


@case("ASGI core")
def the_task_stays_the_same_over_a_suspension(
    client: Client, address: Address
) -> None:
    assert ask(client, "/task").body == b"same"


# ---- WebSocket ------------------------------------------------------------

KEY = base64.b64encode(bytes(range(16))).decode()
ACCEPT = base64.b64encode(
    hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade",
           "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}


def frame(first: int, payload: bytes = b"", mask: bytes = b"\1\2\3\4") -> bytes:
    size = len(payload)
    head = bytes([first])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    return head + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(payload))


def read_frame(client: Client) -> tuple[int, bytes]:
    first, size = client.exactly(2)
    assert size < 128, "a server must not mask"
    if size == 126:
        (size,) = struct.unpack(">H", client.exactly(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", client.exactly(8))
    return first, client.exactly(size)


def shake(client: Client, target: str = "/ws", **more: str) -> Response:
    fields = UPGRADE | {k.replace("_", "-"): v for k, v in more.items()}
    client.send(request("GET", target, fields))
    return client.head()


def closes_with(client: Client, code: int) -> None:
    first, payload = read_frame(client)
    assert first == 0x88 and struct.unpack(">H", payload[:2])[0] == code, (
        first, payload)


@case("6455 4.2.2")
def the_handshake_is_answered(client: Client, address: Address) -> None:
    response = shake(client)
    assert response.status == 101 and response.get("sec-websocket-accept") == ACCEPT
    assert (response.get("upgrade") or b"").lower() == b"websocket"
    assert response.get("x-ws") == b"yes"
    assert not response.count("content-length") + response.count("transfer-encoding")


@case("6455 4.2.1")
def tokens_of_the_handshake_are_lists_in_any_case(
    client: Client, address: Address
) -> None:
    assert shake(client, Upgrade="WebSocket",
                 Connection="keep-alive, upgrade").status == 101


@case("6455 4.2.2")
def a_subprotocol_that_was_offered_is_chosen(client: Client, address: Address) -> None:
    response = shake(client, Sec_WebSocket_Protocol="one, two")
    assert response.get("sec-websocket-protocol") == b"two"


@case("6455 4.4")
def another_version_is_426(client: Client, address: Address) -> None:
    response = shake(client, Sec_WebSocket_Version="8")
    assert response.status in (400, 426)
    assert response.status == 400 or response.get("sec-websocket-version") == b"13"


@case("6455 4.2.1")
def a_bad_key_is_refused(client: Client, address: Address) -> None:
    assert shake(client, Sec_WebSocket_Key="short").status == 400


@case("6455 4.1")
def a_handshake_by_post_is_refused(client: Client, address: Address) -> None:
    client.send(request("POST", "/ws", UPGRADE))
    assert client.head().status != 101


@case("6455 4.1")
def a_handshake_in_http_1_0_is_not_accepted(client: Client, address: Address) -> None:
    client.send(request("GET", "/ws", UPGRADE).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert client.head().status != 101


@case("ASGI websocket")
def close_before_accept_is_403(client: Client, address: Address) -> None:
    assert shake(client, "/ws/refuse").status == 403


@case("ASGI websocket")
def an_application_that_leaves_before_accept_is_500(
    client: Client, address: Address
) -> None:
    assert shake(client, "/ws/silent").status == 500


@case("6455 5.6")
def messages_are_echoed(client: Client, address: Address) -> None:
    shake(client)
    client.send(frame(0x81, "é".encode()) + frame(0x82, b"\0\xff"))
    assert read_frame(client) == (0x81, "é".encode())
    assert read_frame(client) == (0x82, b"\0\xff")


def _echo_of(size: int) -> Run:
    def run(client: Client, address: Address) -> None:
        shake(client)
        client.send(frame(0x82, b"x" * size))
        assert read_frame(client) == (0x82, b"x" * size)

    return run


for _size in (0, 1, 125, 126, 127, 65535, 65536, 1 << 20):
    BEHAVIOURS.append(
        Behaviour(f"a-message-of-{_size}-bytes", "6455 5.2", _echo_of(_size)))


@case("6455 5.4")
def fragments_become_one_message(client: Client, address: Address) -> None:
    shake(client)
    client.send(frame(0x01, b"a") + frame(0x89, b"p") + frame(0x00, b"b")
                + frame(0x80, b"c"))
    assert read_frame(client) == (0x8A, b"p")
    assert read_frame(client) == (0x81, b"abc")


@case("6455 5.5.2")
def a_ping_is_answered(client: Client, address: Address) -> None:
    shake(client)
    client.send(frame(0x89, b"x" * 125))
    assert read_frame(client) == (0x8A, b"x" * 125)


@case("6455 5.5.3")
def a_pong_out_of_the_blue_is_ignored(client: Client, address: Address) -> None:
    shake(client)
    client.send(frame(0x8A, b"x") + frame(0x81, b"y"))
    assert read_frame(client) == (0x81, b"y")


@case("6455 5.5.1")
def a_close_is_answered_and_told(client: Client, address: Address) -> None:
    key = uuid.uuid4().hex
    shake(client, "/ws?" + key)
    client.send(frame(0x88, b"\x03\xe8bye"))
    closes_with(client, 1000)
    ends(client)
    assert _result(address, key)[0] == 1000


@case("6455 7.1.5")
def a_close_without_a_code_is_1005(client: Client, address: Address) -> None:
    key = uuid.uuid4().hex
    shake(client, "/ws?" + key)
    client.send(frame(0x88))
    assert read_frame(client)[0] == 0x88
    assert _result(address, key)[0] == 1005


@case("6455 7.1.5")
def a_connection_that_breaks_is_1006(client: Client, address: Address) -> None:
    key = uuid.uuid4().hex
    shake(client, "/ws?" + key)
    client.socket.close()
    assert _result(address, key)[0] == 1006


@case("ASGI websocket")
def a_close_by_the_application(client: Client, address: Address) -> None:
    shake(client, "/ws/close")
    first, payload = read_frame(client)
    assert (first, payload) == (0x88, struct.pack(">H", 4321) + b"why")


@case("ASGI websocket")
def an_application_that_returns_closes_with_1000(
    client: Client, address: Address
) -> None:
    shake(client, "/ws/return")
    closes_with(client, 1000)


def _broken(data: bytes, code: int) -> Run:
    def run(client: Client, address: Address) -> None:
        shake(client)
        client.send(data)
        closes_with(client, code)
        ends(client)

    return run


for _id, _section, _data, _code in [
    ("unmasked-frame", "6455 5.1", b"\x81\x01x", 1002),
    ("unknown-opcode", "6455 5.2", frame(0x83, b"x"), 1002),
    ("unknown-control-opcode", "6455 5.2", frame(0x8B, b"x"), 1002),
    ("reserved-bit-1", "6455 5.2", frame(0xC1, b"x"), 1002),
    ("reserved-bit-2", "6455 5.2", frame(0xA1, b"x"), 1002),
    ("reserved-bit-3", "6455 5.2", frame(0x91, b"x"), 1002),
    ("ping-of-126-bytes", "6455 5.5", frame(0x89, b"x" * 126), 1002),
    ("fragmented-ping", "6455 5.5", frame(0x09, b"x"), 1002),
    ("continuation-of-nothing", "6455 5.4", frame(0x80, b"x"), 1002),
    ("message-inside-a-message", "6455 5.4",
     frame(0x01, b"x") + frame(0x81, b"y"), 1002),
    ("close-of-one-byte", "6455 5.5.1", frame(0x88, b"\x03"), 1002),
    ("close-with-1005", "6455 7.4.1", frame(0x88, b"\x03\xed"), 1002),
    ("close-with-999", "6455 7.4.2", frame(0x88, b"\x03\xe7"), 1002),
    ("close-reason-not-utf-8", "6455 5.5.1", frame(0x88, b"\x03\xe8\xff"), 1007),
    ("text-not-utf-8", "6455 8.1", frame(0x81, b"\xc0\xaf"), 1007),
    ("surrogate-in-text", "6455 8.1", frame(0x81, b"\xed\xa0\x80"), 1007),
    ("length-over-2-63", "6455 5.2", b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0x", 1002),
]:
    BEHAVIOURS.append(Behaviour("ws-" + _id, _section, _broken(_data, _code)))


# ---- extensions of ASGI ---------------------------------------------------


def offers(client: Client, name: str, **fields: str) -> None:
    """A server that has not the extension does not claim it: the case fails."""
    named: list[str] = json.loads(ok(client, request("GET", "/offered", fields)).body)
    assert name in named, f"not offered; it has {named}"


@case("ASGI extensions")
def early_hints_come_before_the_response(client: Client, address: Address) -> None:
    offers(client, "http.response.early_hint")
    client.send(request("GET", "/early-hint"))
    hint = client.head()
    assert (hint.status, hint.get("link")) == (103, b"</a>; rel=preload"), hint
    assert client.response().body == b"x"
    stays_open(client)


@case("ASGI extensions")
def http_1_0_is_offered_no_early_hint(client: Client, address: Address) -> None:
    offers(client, "http.response.early_hint")
    named = json.loads(
        ok(client, b"GET /offered HTTP/1.0\r\nHost: a\r\n\r\n").body)
    assert "http.response.early_hint" not in named


@case("ASGI extensions")
def pathsend_sends_the_file(client: Client, address: Address) -> None:
    offers(client, "http.response.pathsend")
    assert b"async def pathsend" in ask(client, "/pathsend").body
    stays_open(client)


@case("ASGI extensions")
def pathsend_to_head_sends_no_byte(client: Client, address: Address) -> None:
    offers(client, "http.response.pathsend")
    assert ask(client, "/pathsend", "HEAD").body == b""
    stays_open(client)


@case("ASGI extensions")
def zerocopysend_mixes_with_bodies(client: Client, address: Address) -> None:
    offers(client, "http.response.zerocopysend")
    body = ask(client, "/zerocopysend").body
    assert body[:1] + body[-1:] == b"<>" and len(body) == 12, body
    assert body[1:11] == b"The ASGI a", body


@case("ASGI extensions")
def trailers_come_to_who_takes_them(client: Client, address: Address) -> None:
    offers(client, "http.response.trailers", TE="trailers")
    response = ok(client, request("GET", "/trailers", {"TE": "trailers"}))
    assert response.body == b"x"
    assert (b"x-sum", b"7") in response.trailers, response.trailers


@case("ASGI extensions")
def trailers_are_not_sent_to_others(client: Client, address: Address) -> None:
    offers(client, "http.response.trailers", TE="trailers")
    response = ask(client, "/trailers")
    assert (response.body, response.trailers) == (b"x", [])
    named = json.loads(ask(client, "/offered").body)
    assert "http.response.trailers" not in named


@case("ASGI extensions")
def a_websocket_is_denied_with_a_response(client: Client, address: Address) -> None:
    response = shake(client, "/ws/deny")
    assert response.status == 418, response
    assert response.get("x-why") == b"tea"
    if not response.body:
        client.body(response)
    assert response.body == b"no coffee"


@case("ASGI send")
def send_to_a_client_that_left_raises(client: Client, address: Address) -> None:
    key = uuid.uuid4().hex
    client.send(request("GET", f"/after-disconnect?{key}"))
    client.head()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
    client.socket.close()
    assert _result(address, key) == "raised"
