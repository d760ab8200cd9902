"""permessage-deflate, which a server may leave out (RFC 7692)."""

import zlib

from .behaviours import (
    Address,
    Behaviour,
    Run,
    closes_with,
    ends,
    frame,
    read_frame,
    shake,
)
from .client import Client

TAIL = b"\0\0\xff\xff"
OFFER = "permessage-deflate; client_max_window_bits"


def _agree(client: Client, offer: str = OFFER) -> dict[bytes, bytes]:
    """The parameters that the server answered with."""
    response = shake(client, Sec_WebSocket_Extensions=offer)
    assert response.status == 101, response
    name, *params = (response.get("sec-websocket-extensions") or b"").split(b";")
    assert name.strip() == b"permessage-deflate", response
    pairs = [param.strip().partition(b"=") for param in params]
    return {key: value for key, _, value in pairs}


def _pack(text: bytes, bits: int = 9) -> bytes:
    packer = zlib.compressobj(wbits=-bits)
    data = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert data.endswith(TAIL)
    return data[:-4]


def _echo_of(text: bytes) -> Run:
    def run(client: Client, address: Address) -> None:
        _agree(client)
        client.send(frame(0xC1, _pack(text)))
        first, payload = read_frame(client)
        if first == 0xC1:
            payload = zlib.decompressobj(wbits=-15).decompress(payload + TAIL)
        assert (first & ~0x40, payload) == (0x81, text), (first, payload[:80])

    return run


def windows_are_kept_over_messages(client: Client, address: Address) -> None:
    bits = int(_agree(client).get(b"client_max_window_bits", b"15"))
    packer = zlib.compressobj(wbits=-max(bits, 9))
    reader = zlib.decompressobj(wbits=-15)
    text = bytes(range(32, 127)) * 5
    for _ in range(3):
        data = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
        client.send(frame(0xC1, data[:-4]))
        first, payload = read_frame(client)
        assert first == 0xC1
        assert reader.decompress(payload + TAIL) == text


def only_the_first_fragment_is_marked(client: Client, address: Address) -> None:
    _agree(client)
    data = _pack(b"abc" * 10)
    client.send(frame(0x41, data[:3]) + frame(0x80, data[3:]))
    assert read_frame(client) == (0x81, b"abc" * 10)
    client.send(frame(0x41, data[:3]) + frame(0xC0, data[3:]))
    closes_with(client, 1002)
    ends(client)


def a_plain_message_between_deflated_ones(client: Client, address: Address) -> None:
    _agree(client)
    client.send(frame(0x81, b"plain"))
    assert read_frame(client) == (0x81, b"plain")


def the_server_obeys_a_smaller_window(client: Client, address: Address) -> None:
    params = _agree(client, "permessage-deflate; server_max_window_bits=9;"
                    " server_no_context_takeover")
    assert params.get(b"server_max_window_bits") == b"9"
    assert b"server_no_context_takeover" in params
    assert b"client_max_window_bits" not in params, "it was not offered"
    text = bytes(range(32, 127)) * 20
    for _ in range(2):
        client.send(frame(0x81, text))
        first, payload = read_frame(client)
        assert first == 0xC1
        # A reader of its own for each message: no window is shared.
        assert zlib.decompressobj(wbits=-9).decompress(payload + TAIL) == text


def an_unknown_offer_is_declined(client: Client, address: Address) -> None:
    response = shake(client, Sec_WebSocket_Extensions="permessage-deflate; x=1")
    assert response.status == 101
    assert not response.count("sec-websocket-extensions")


def damaged_data_is_1007(client: Client, address: Address) -> None:
    _agree(client)
    client.send(frame(0xC1, b"\xff\xff\xff"))
    closes_with(client, 1007)
    ends(client)


def a_bomb_is_1009(client: Client, address: Address) -> None:
    _agree(client)
    client.send(frame(0xC2, _pack(bytes(1 << 26))))
    closes_with(client, 1009)
    ends(client)


DEFLATE = [
    Behaviour("deflate-" + run.__name__.replace("_", "-"), "7692", run)
    for run in (
        windows_are_kept_over_messages,
        only_the_first_fragment_is_marked,
        a_plain_message_between_deflated_ones,
        the_server_obeys_a_smaller_window,
        an_unknown_offer_is_declined,
        damaged_data_is_1007,
        a_bomb_is_1009,
    )
] + [
    Behaviour(f"deflate-echo-of-{len(text)}", "7692 7.2", _echo_of(text))
    for text in (b"", b"a", b"a" * 300, bytes(range(32, 127)) * 1000)
]
