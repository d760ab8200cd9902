"""A client of HTTP/2 for tests: frames by hand, HPACK's decoder of libnghttp2,
which the server has anyway."""

import ctypes
import ctypes.util
import dataclasses
import socket
import struct

import pytest
from deadline import DEADLINE_S

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class _Pair(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.POINTER(ctypes.c_uint8)),
        ("value", ctypes.POINTER(ctypes.c_uint8)),
        ("namelen", ctypes.c_size_t),
        ("valuelen", ctypes.c_size_t),
        ("flags", ctypes.c_uint8),
    ]


class Decoder:
    """HPACK, one direction of a connection."""

    EMIT, FINAL = 2, 1

    def __init__(self) -> None:
        name = ctypes.util.find_library("nghttp2") or "libnghttp2.so.14"
        try:
            self._lib = ctypes.CDLL(name)
        except OSError:
            pytest.skip("libnghttp2 is not where ctypes looks")
        self._inflater = ctypes.c_void_p()
        assert self._lib.nghttp2_hd_inflate_new(ctypes.byref(self._inflater)) == 0
        self._next = self._lib.nghttp2_hd_inflate_hd2
        self._next.restype = ctypes.c_ssize_t
        self._next.argtypes = [
            ctypes.c_void_p, ctypes.POINTER(_Pair), ctypes.POINTER(ctypes.c_int),
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int,
        ]  # fmt: skip
        self._end = self._lib.nghttp2_hd_inflate_end_headers
        self._end.argtypes = [ctypes.c_void_p]

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        found = []
        while True:
            pair, flags = _Pair(), ctypes.c_int()
            used = self._next(
                self._inflater, pair, flags, block, len(block), 1
            )
            assert used >= 0
            block = block[used:]
            if flags.value & self.EMIT:
                name = ctypes.string_at(pair.name, pair.namelen)
                value = ctypes.string_at(pair.value, pair.valuelen)
                found.append((name.decode(), value.decode()))
            if flags.value & self.FINAL:
                self._end(self._inflater)
                return found


@dataclasses.dataclass
class Stream:
    """What came on it; `heads` has early hints first and trailers last."""

    heads: list[dict[str, str]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        final = [h for h in self.heads if h.get(":status", "1")[0] != "1"]
        return int(final[0][":status"])


class H2Client:
    def __init__(self, sock: socket.socket, *, window: int = 1 << 24) -> None:
        self.sock = sock
        sock.settimeout(DEADLINE_S)
        self.decoder = Decoder()
        self.streams: dict[int, Stream] = {}
        self.goaway: int | None = None
        self.window = window
        self.send_windows = {0: 65535}
        self._last = -1
        self._buffer = b""
        sock.sendall(PREFACE)
        self.frame(SETTINGS, 0, 0, struct.pack(">HI", 4, min(window, 65535)))
        if window > 65535:
            self.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", window - 65535))

    def __enter__(self) -> "H2Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def frame(self, kind: int, flags: int, stream: int, data: bytes = b"") -> None:
        head = struct.pack(">I", len(data))[1:] + bytes([kind, flags])
        self.sock.sendall(head + struct.pack(">I", stream) + data)

    def begin(self, method: str, path: str, *more: tuple[str, str], last: bool = True) -> int:
        """Send a head; the number of its stream."""
        self._last += 2
        scheme = "https" if hasattr(self.sock, "version") else "http"
        fields = [(":method", method), (":scheme", scheme), (":path", path),
                  (":authority", "localhost"), *more]  # fmt: skip
        block = b"".join(_literal(n) + _literal(v, b"") for n, v in fields)
        self.streams[self._last] = Stream()
        self.send_windows[self._last] = 65535
        self.frame(HEADERS, END_HEADERS | (END_STREAM if last else 0), self._last, block)
        return self._last

    def get(self, path: str = "/", *more: tuple[str, str]) -> Stream:
        return self.wait(self.begin("GET", path, *more))

    def send(self, stream: int, data: bytes, *, last: bool = True) -> None:
        """Data, as far as the server's windows let it; reads meanwhile."""
        while True:
            room = min(self.send_windows[0], self.send_windows[stream], 16384)
            piece, data = data[:room], data[room:]
            if piece or not data:
                self.send_windows[0] -= len(piece)
                self.send_windows[stream] -= len(piece)
                self.frame(DATA, END_STREAM if last and not data else 0, stream, piece)
            if not data:
                return
            if not min(self.send_windows[0], self.send_windows[stream]):
                self.read()

    def wait(self, stream: int) -> Stream:
        """Until it has ended."""
        one = self.streams[stream]
        while not one.ended and one.reset is None:
            self.read()
        return one

    def read(self) -> None:
        """One frame."""
        head = self._exactly(9)
        data = self._exactly(int.from_bytes(head[:3], "big"))
        kind, flags = head[3], head[4]
        number = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        stream = self.streams.get(number)
        if kind == HEADERS:
            assert stream is not None and flags & END_HEADERS
            stream.heads.append(dict(self.decoder.decode(data)))
        elif kind == DATA:
            assert stream is not None
            stream.body += data
            if data and not flags & END_STREAM and self.window > 65535:
                for target in (0, number):
                    self.frame(WINDOW_UPDATE, 0, target, struct.pack(">I", len(data)))
        elif kind == RST_STREAM and stream is not None:
            stream.reset = int.from_bytes(data, "big")
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(data[4:8], "big")
        elif kind == SETTINGS and not flags & ACK:
            self.frame(SETTINGS, ACK, 0)
        elif kind == WINDOW_UPDATE:
            self.send_windows[number] = self.send_windows.get(number, 0) + int.from_bytes(data, "big")
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            assert stream is not None
            stream.ended = True

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data


def _literal(text: str, first: bytes = b"\0") -> bytes:
    data = text.encode()
    assert len(data) < 127
    return first + bytes([len(data)]) + data
